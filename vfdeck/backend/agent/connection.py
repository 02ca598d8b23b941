"""The client's end of a connection to an agent: calls from many threads, sent in order, answered in order."""

from __future__ import annotations

import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from vfdeck.backend.agent.framing import REPLY, REQUEST, Garbled, Reader, message
from vfdeck.backend.text import printable

_CHUNK = 1 << 16
#: Replies to one call, at the most.
REPLIES = 1024


class Lost(Exception):
    """The connection is no more; says why. Whether a call that was under way was carried out is not known."""


class Refused(Exception):
    """The agent answered with an error: its full name, and what it told."""

    def __init__(self, name: str, told: dict[str, Any]) -> None:
        about = ", ".join(f"{printable(str(key))}: {printable(str(value))}" for key, value in told.items())
        super().__init__(f"{printable(name)} ({about})" if about else printable(name))
        self.name = name
        self.told = told


def ready(fd: int, event: int, deadline: float | None = None) -> bool:
    """Whether a descriptor, of any number, is ready (or has ended) before a time of the monotonic clock; None: waits for it."""
    poll = select.poll()
    poll.register(fd, event)
    return bool(poll.poll(None if deadline is None else max(deadline - time.monotonic(), 0.0) * 1000))


class _Pending:
    """A call that waits for its answer."""

    def __init__(self, more: bool) -> None:
        self.more = more
        self.answered = threading.Event()
        self.replies: list[dict[str, Any]] = []
        self.over = False
        self.begun = 0  # bytes that had come when the first of its replies had


class Connection:
    """Speaks to an agent over two file descriptors, which stay the caller's; `close` is called once, when it is lost."""

    def __init__(self, incoming: int, outgoing: int, close: Callable[[], None]) -> None:
        self._incoming, self._outgoing = incoming, outgoing
        self._close = close
        self._pending: deque[_Pending] = deque()
        self._sending = threading.Lock()  # held while a request is written: requests stand in `_pending` as they were sent
        self._state = threading.Lock()
        self._lost = ""
        self.garbled = False  # what came was none of an agent
        self.received = 0  # bytes
        self._progress = time.monotonic()  # when the last answer came
        os.set_blocking(outgoing, False)
        threading.Thread(target=self._read, name="agent's answers", daemon=True).start()

    @property
    def lost(self) -> str:
        """Why the connection is no more; "" while it is."""
        return self._lost

    def call(self, method: str, parameters: dict[str, Any], seconds: float) -> dict[str, Any]:
        """The answer to a call. Raises Refused, and Lost; ValueError for a request that is too long.

        An agent that answers nothing for so many seconds, neither this call nor those before it, is given up.
        """
        return self._called(method, parameters, seconds)[0]

    def call_more(self, method: str, parameters: dict[str, Any], seconds: float) -> list[dict[str, Any]]:
        """The same, of a call that may be answered in several replies; together they are bounded, as one is."""
        return self._called(method, parameters, seconds, more=True)

    def _called(self, method: str, parameters: dict[str, Any], seconds: float, more: bool = False) -> list[dict[str, Any]]:
        data = message({"method": method, "parameters": parameters, **({"more": True} if more else {})})
        if len(data) > REQUEST:
            raise ValueError(f"a request of more than {REQUEST} bytes")
        pending = _Pending(more)
        begun = time.monotonic()
        if not self._sending.acquire(timeout=seconds):
            self.give_up(f"it took no request for {seconds:g} s")
            raise Lost(self._lost)
        try:
            with self._state:
                if self._lost:
                    raise Lost(self._lost)
                self._pending.append(pending)
            self._write(data, begun + seconds)
        finally:
            self._sending.release()
        while not pending.answered.wait(max(max(begun, self._progress) + seconds - time.monotonic(), 0.0)):
            if time.monotonic() >= max(begun, self._progress) + seconds:
                self.give_up(f"no answer for {seconds:g} s")
        return self._parameters(pending)

    def give_up(self, why: str) -> None:
        """End the connection; whoever waits for an answer is told why. Never waits."""
        with self._state:
            if self._lost:
                return
            self._lost = why or "it was closed"
            waiting = list(self._pending)
            self._pending.clear()
        for pending in waiting:
            pending.answered.set()
        self._close()

    def _parameters(self, pending: _Pending) -> list[dict[str, Any]]:
        if not pending.over:
            raise Lost(self._lost)
        found = []
        for reply in pending.replies:
            parameters, error = reply.get("parameters", {}), reply.get("error")
            if not isinstance(parameters, dict) or not (error is None or isinstance(error, str)):
                self.garbled = True
                self.give_up("it answers what is no Varlink")
                raise Lost(self._lost)
            if error is not None:
                raise Refused(error, parameters)
            found.append(parameters)
        return found

    def _write(self, data: bytes, deadline: float) -> None:
        rest = memoryview(data)
        while rest and not self._lost:
            if not ready(self._outgoing, select.POLLOUT, deadline):
                self.give_up("it takes no requests any more")
                return
            try:
                rest = rest[os.write(self._outgoing, rest) :]
            except BlockingIOError:
                continue
            except OSError as error:
                self.give_up(f"the connection broke ({error.strerror})")

    def _read(self) -> None:
        reader = Reader(REPLY, once=False)
        why = "the connection ended"
        try:
            while data := self._next():
                self.received += len(data)
                for reply in reader.feed(data):
                    self._answer(reply)
        except Garbled as garbled:
            self.garbled = True
            why = f"it answers what is no Varlink: {garbled}"
        except (OSError, ValueError) as error:
            why = f"the connection broke ({type(error).__name__})"
        self.give_up(why)

    def _next(self) -> bytes:
        """What comes next; nothing at the end."""
        while True:
            try:
                return os.read(self._incoming, _CHUNK)
            except BlockingIOError:  # of a socket both directions are one file, which never blocks
                ready(self._incoming, select.POLLIN)

    def _answer(self, reply: dict[str, Any]) -> None:
        with self._state:
            if not self._pending:
                if self._lost:
                    return
                raise Garbled("an answer to no call")
            pending = self._pending[0]
            self._progress = time.monotonic()
            pending.replies.append(reply)
            if len(pending.replies) == 1:
                pending.begun = self.received
            if reply.get("continues") is True:
                if not pending.more or len(pending.replies) >= REPLIES or self.received - pending.begun > REPLY:
                    raise Garbled("more replies to a call than were asked for")
                return
            self._pending.popleft()
            pending.over = True
        pending.answered.set()
