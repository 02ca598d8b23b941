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
from collections.abc import Callable, Sequence
from typing import TypeVar

from textual.message import Message

from vfdeck.backend.changes import Change, Close, Outcome, Plan, target_of
from vfdeck.backend.host import Host
from vfdeck.backend.kernel import Uevent
from vfdeck.backend.model import Snapshot
from vfdeck.backend.sharing import Sharing

Post = Callable[[Message], object]
T = TypeVar("T")


class SnapshotReady(Message):
    """A host was looked at; `begun` is when the look began, by the monotonic clock."""

    def __init__(self, host: str, snapshot: Snapshot, begun: float) -> None:
        super().__init__()
        self.host = host
        self.snapshot = snapshot
        self.begun = begun

    @property
    def since(self) -> float:
        """Since when things may be otherwise than it shows; for ever, where this is the last picture of a host that is lost."""
        return 0.0 if self.snapshot.away is not None else self.begun

    def can_replace(self, message: Message) -> bool:
        """A slow screen skips to the newest snapshot of a host."""
        return isinstance(message, SnapshotReady) and message.host == self.host


class HostFailed(Message):
    """The backend itself failed, which is a bug or a lost host; `what` holds no local values."""

    def __init__(self, host: str, what: str) -> None:
        super().__init__()
        self.host = host
        self.what = what


class UeventsHeard(Message):
    """Uevents of a host, oldest first."""

    def __init__(self, host: str, events: tuple[Uevent, ...]) -> None:
        super().__init__()
        self.host = host
        self.events = events


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


def pending(host: Host) -> Snapshot | None:
    """What there is to show of a host behind an agent while the next look at it connects first; never waits."""
    ask: Callable[[], Snapshot | None] = getattr(host, "pending", lambda: None)
    return ask()


#: Seconds between two rounds in which hosts are asked whether they changed.
TICK = 0.25
#: So many hosts are looked at at once; those whose look takes longer than `SLOW` seconds are not counted. More of them would only
#: make the screen wait for its turn.
AT_ONCE, SLOW = 2, 1.0
#: What a look at one host costs the screen, which sums up the whole fleet: seconds for each host, as a share of its time.
SUMMING = 0.02


class Feed:
    """Looks at hosts when they change, with few threads for all of them, and never twice at the same host at the same time.

    A host that does not tell of everything is looked at every `interval` seconds too, and so is one with a change under way; so is,
    less often in a large fleet, the one that the operator is at, for the sake of its clock. A look that waits in the kernel holds
    up nobody else's.
    """

    def __init__(self, hosts: Sequence[Host], post: Post, interval: float) -> None:
        self._hosts = {host.name: host for host in hosts}
        self._post = post
        self._interval = interval
        self._calm = max(interval, SUMMING * len(hosts))  # for a host that is looked at although it would tell of changes
        self._sharing = Sharing() if len(hosts) > 1 else None
        self._lock = threading.Lock()
        self._wanted: dict[str, None] = {}  # hosts to be looked at, in order
        self._looking: dict[str, float] = {}  # those that are looked at, since when
        self._looked: dict[str, float] = {}  # when the last look began
        self._attended = next(iter(self._hosts), "")
        self._stopped = threading.Event()

    def start(self, follow: bool = True) -> None:
        """Begin; with `follow` False look once and then only when asked."""
        self.look_soon()
        if follow and self._hosts:
            threading.Thread(target=self._follow, name="feed", daemon=True).start()

    def stop(self) -> None:
        """Look no more; a look that waits in the kernel is left alone."""
        self._stopped.set()

    def look_soon(self, *names: str) -> None:
        """Look once more at these hosts, or at all; several wishes during one look are one."""
        with self._lock:
            self._wanted |= dict.fromkeys(names or self._hosts)
        self._begin()

    def attend(self, name: str) -> None:
        """This is the host that the operator is at."""
        if name in self._hosts:
            self._attended = name

    # -- when ----------------------------------------------------------------------------------------------------------
    def _follow(self) -> None:
        """Ask every host whether it changed, and meanwhile wait for the one that the operator is at."""
        while not self._stopped.is_set():
            attended = self._attended
            began = time.monotonic()
            if self._is_due(self._hosts[attended], TICK):
                self.look_soon(attended)
            due = [name for name, host in self._hosts.items() if name != attended and self._is_due(host, 0.0)]
            if due:
                self.look_soon(*due)
            self._begin()  # in place of those that have become slow
            if time.monotonic() - began < TICK / 10:  # the host at once says that it changed, or cannot wait
                self._stopped.wait(TICK)

    def _is_due(self, host: Host, seconds: float) -> bool:
        """Whether it is time to look at a host again; for its word that it changed wait so long."""
        begun = self._looked.get(host.name)
        if begun is None:  # not looked at yet, which is under way
            self._stopped.wait(seconds)
            return False
        try:
            changed = host.wait_for_change(seconds)
            if events := host.heard():
                self._say(UeventsHeard(host.name, events))
            if changed:
                return True
            if host.tells_all and not host.jobs():
                return host.name == self._attended and time.monotonic() - begun >= self._calm
        except Exception as error:
            if time.monotonic() - begun > self._interval:
                self._say(HostFailed(host.name, f"{type(error).__name__} while waiting for changes"))
        return time.monotonic() - begun >= self._interval

    # -- looking -------------------------------------------------------------------------------------------------------
    def _begin(self) -> None:
        """Have as many threads look as there may be and is work for."""
        with self._lock:
            now = time.monotonic()
            busy = sum(1 for since in self._looking.values() if now - since < SLOW)
            for _ in range(AT_ONCE - busy):
                name = self._take()
                if name is None:
                    return
                threading.Thread(target=self._look, args=(name,), name=f"look {name}", daemon=True).start()

    def _take(self) -> str | None:
        """The next host to look at, first of all the one that the operator is at; with the lock held."""
        first = [self._attended] if self._attended in self._wanted else []
        name = next((name for name in (*first, *self._wanted) if name not in self._looking), None)
        if name is not None:
            del self._wanted[name]
            self._looking[name] = self._looked[name] = time.monotonic()
        return name

    def _look(self, first: str) -> None:
        """Look at a host, and then at others while there are any and no other thread took this one's place."""
        name: str | None = first
        while name is not None and not self._stopped.is_set():
            begun = time.monotonic()
            self._look_at(self._hosts[name], begun)
            with self._lock:
                del self._looking[name]
                name = self._take() if time.monotonic() - begun < SLOW or len(self._looking) < AT_ONCE else None

    def _look_at(self, host: Host, begun: float) -> None:
        try:
            if (picture := pending(host)) is not None:
                self._say(SnapshotReady(host.name, picture, begun))
            snapshot = host.snapshot()
            message: Message = SnapshotReady(host.name, self._sharing.of(snapshot) if self._sharing else snapshot, begun)
        except Exception as error:  # by its contract a host never raises here; a bug of one must not end the dashboard
            message = HostFailed(host.name, f"{type(error).__name__} while looking")
        self._say(message)

    def _say(self, message: Message) -> None:
        if not self._stopped.is_set():
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
