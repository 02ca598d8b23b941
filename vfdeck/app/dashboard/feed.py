"""Threads between hosts and the screen.

Textual's thread workers keep the program from quitting while one of them waits; a host may wait in the kernel for as long as
it likes. So snapshots and changes run on daemon threads of our own, which speak to the screen by messages only. What is looked up
before a change (plans, checks) is awaited, on such a thread too.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TypeVar

from textual.message import Message

from vfdeck.backend.changes import Change, Close, Outcome, Plan, target_of
from vfdeck.backend.host import Host
from vfdeck.backend.model import Snapshot

Post = Callable[[Message], object]
T = TypeVar("T")


class SnapshotReady(Message):
    """A host was looked at; `begun` is when the look began, by the monotonic clock."""

    def __init__(self, host: str, snapshot: Snapshot, begun: float) -> None:
        super().__init__()
        self.host = host
        self.snapshot = snapshot
        self.begun = begun

    def can_replace(self, message: Message) -> bool:
        """A slow screen skips to the newest snapshot of a host."""
        return isinstance(message, SnapshotReady) and message.host == self.host


class HostFailed(Message):
    """The backend itself failed, which is a bug or a lost host; `what` holds no local values."""

    def __init__(self, host: str, what: str) -> None:
        super().__init__()
        self.host = host
        self.what = what


class ChangeBegun(Message):
    """A change left the queue."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


class ChangeDone(Message):
    """A change has come back from the host."""

    def __init__(self, number: int, host: str, outcome: Outcome | None, failure: str = "") -> None:
        super().__init__()
        self.number = number
        self.host = host
        self.outcome = outcome
        self.failure = failure


async def aside(work: Callable[[], T], name: str = "look up") -> T:
    """What `work` answers or raises, from a thread that nobody waits for: when this is cancelled, it goes on unheard."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()

    def hand_over(result: T | None, error: Exception | None) -> None:
        if answer.done():  # cancelled: nobody listens
            return
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(result)  # type: ignore[arg-type]  # None only where T is None

    def run() -> None:
        result, failed = None, None
        try:
            result = work()
        except Exception as error:
            failed = error
        with contextlib.suppress(RuntimeError):  # the event loop is closed
            loop.call_soon_threadsafe(hand_over, result, failed)

    threading.Thread(target=run, name=name, daemon=True).start()
    return await answer


def _post_quietly(post: Post, message: Message) -> None:
    """Post, unless the screen is gone."""
    try:
        post(message)
    except RuntimeError:  # the event loop is closed: nobody listens any more
        return


class HostFeed:
    """Looks at one host whenever it changes, and at least every `interval` seconds; never twice at the same time."""

    def __init__(self, host: Host, post: Post, interval: float) -> None:
        self.host = host
        self._post = post
        self._interval = interval
        self._looking = threading.Lock()
        self._again = threading.Event()
        self._stopped = threading.Event()

    def start(self, follow: bool = True) -> None:
        """Begin; with `follow` False look once and then only when asked."""
        target = self._follow if follow else self._look
        threading.Thread(target=target, name=f"feed {self.host.name}", daemon=True).start()

    def stop(self) -> None:
        """Look no more; a look that waits in the kernel is left alone."""
        self._stopped.set()

    def look_soon(self) -> None:
        """Look once more; several wishes during one look are one."""
        self._again.set()
        threading.Thread(target=self._look_if_wanted, name=f"look {self.host.name}", daemon=True).start()

    def _follow(self) -> None:
        while not self._stopped.is_set():
            self._look()
            try:
                self.host.wait_for_change(self._interval)
            except Exception as error:
                _post_quietly(self._post, HostFailed(self.host.name, f"{type(error).__name__} while waiting for changes"))
                self._stopped.wait(self._interval)

    def _look_if_wanted(self) -> None:
        with self._looking:
            if not self._again.is_set():
                return
            self._again.clear()
            self._look_now()

    def _look(self) -> None:
        with self._looking:
            self._again.clear()
            self._look_now()

    def _look_now(self) -> None:
        if self._stopped.is_set():
            return
        begun = time.monotonic()
        try:
            message: Message = SnapshotReady(self.host.name, self.host.snapshot(), begun)
        except Exception as error:  # by its contract a host never raises here; a bug of one must not end the dashboard
            message = HostFailed(self.host.name, f"{type(error).__name__} while looking")
        _post_quietly(self._post, message)


#: A change on its way: its number, where, what, and the plan that was confirmed.
_Job = tuple[int, Host, Change, Plan | None]


class Performer:
    """Carries changes out: one after the other for each PF, at the same time for different ones.

    Closing what we hold never queues: it may be what the change before it waits for.
    """

    def __init__(self, post: Post) -> None:
        self._post = post
        self._lock = threading.Lock()
        self._lanes: dict[tuple[str, str], deque[_Job]] = {}
        self._numbers = 0

    def submit(self, host: Host, change: Change, confirmed: Plan | None = None) -> int:
        """Begin `change` once those before it about the same function are done; the number names it in messages.

        Where it would not do what was `confirmed` any more, the host does nothing and says so.
        """
        with self._lock:
            self._numbers += 1
            number = self._numbers
            if isinstance(change, Close):
                threading.Thread(target=self._perform, args=(number, host, change, confirmed), name="close", daemon=True).start()
                return number
            key = (host.name, target_of(change))
            waiting = self._lanes.get(key)
            if waiting is None:
                self._lanes[key] = deque([(number, host, change, confirmed)])
                threading.Thread(target=self._drain, args=(key,), name=f"changes {key[1]}", daemon=True).start()
            else:
                waiting.append((number, host, change, confirmed))
            return number

    def _drain(self, key: tuple[str, str]) -> None:
        while True:
            with self._lock:
                if not self._lanes[key]:
                    del self._lanes[key]
                    return
                job = self._lanes[key].popleft()
            self._perform(*job)

    def _perform(self, number: int, host: Host, change: Change, confirmed: Plan | None) -> None:
        _post_quietly(self._post, ChangeBegun(number))
        try:
            message = ChangeDone(number, host.name, host.perform(change, confirmed))
        except Exception as error:  # a bug of the backend: named by its kind only, as its text might hold what it was given
            message = ChangeDone(number, host.name, None, type(error).__name__)
        _post_quietly(self._post, message)
