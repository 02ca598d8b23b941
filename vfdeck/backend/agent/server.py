"""The agent's end of a connection: calls are answered in the order in which they come, one after the other, as Varlink wants it.

What may take long runs on a thread with a deadline, so that an end of the connection is seen at once: a call that waits in the
kernel cannot be taken back, and nobody waits for it; where too many do, others are refused at once. A call that waits for events
is answered when another one comes. Who takes `more` replies to a call is sent a large answer in several, and reads one while the
next is made.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from vfdeck.backend.agent.framing import REPLY, Garbled, Reader, pieces
from vfdeck.backend.agent.protocol import DEADLINES, HANGING, INTERFACE, SERVICE, Refused, invalid

_READ = _WRITE = 1 << 16
#: Calls that are kept while one is answered, beyond those of one read; more are left in the pipe.
_AHEAD = 64
#: What was asked for before the other side ended is still answered, for so long in all, seconds: it may still read.
_GRACE = 1.0
_MEMBERS = {"method": str, "parameters": dict, "oneway": bool, "more": bool, "upgrade": bool}

Answer = dict[str, Any]


class Service(Protocol):
    """What a server offers."""

    #: Methods of our interface, by name: parameters to answer. They raise Refused.
    methods: dict[str, Callable[[dict[str, Any]], Answer]]

    def wait(self, parameters: dict[str, Any]) -> tuple[float, Callable[[], Answer | None]]:
        """Of `Events`: how long to wait at most, seconds, and what gives the answer as soon as there is one."""

    def several(self, answer: Answer) -> list[Answer]:
        """An answer as one or several, for a caller who takes more than one."""

    def part(self, value: Any) -> Any:
        """What JSON can say of a value in an answer, which may hold more such values. Raises TypeError where it can say nothing."""

    def close(self) -> None:
        """The other side has ended. Never waits."""

    def standard(self, method: str, parameters: dict[str, Any]) -> Answer:
        """A method of org.varlink.service. Raises Refused."""


class Server:
    """One connection. `wake` becomes readable when the service has news, and does not block."""

    def __init__(self, service: Service, source: int, sink: int, wake: int) -> None:
        self._service = service
        self._source, self._sink, self._wake = source, sink, wake
        self._reader = Reader()
        self._calls: deque[dict[str, Any]] = deque()
        self._garbled = ""
        self._hanging: list[tuple[str, threading.Event]] = []  # calls that took too long, and what is set when they are over
        self._end: float | None = None  # when the last answer is due, by the monotonic clock: the other side has ended

    def run(self) -> None:
        """Answer until the other side ends, or sends what is no message. Raises BrokenPipeError where nobody reads any more."""
        try:
            self._serve()
        finally:
            self._service.close()

    def _serve(self) -> None:
        while self._calls or self._end is None:
            if self._calls:
                self._answer(self._calls.popleft())
            elif self._garbled:
                self._send({"error": f"{INTERFACE}.Garbled", "parameters": {"why": self._garbled}})
                return
            else:
                self._listen(None)
            if self._end is not None and time.monotonic() > self._end:
                return

    # -- what comes in -----------------------------------------------------------------------------------------------
    def _listen(self, seconds: float | None, *others: int) -> None:
        """Wait for bytes, or for one of `others` to be readable, and take the bytes."""
        poll = select.poll()
        if not self._garbled and self._end is None and len(self._calls) < _AHEAD:
            poll.register(self._source, select.POLLIN)
        for fd in others:
            poll.register(fd, select.POLLIN)
        ready = poll.poll(None if seconds is None else max(0.0, seconds) * 1000)
        if any(fd == self._source for fd, _ in ready):
            self._take(os.read(self._source, _READ))

    def _take(self, data: bytes) -> None:
        if not data:
            self._end = time.monotonic() + _GRACE
        try:
            self._calls.extend(self._reader.feed(data))
        except Garbled as garbled:
            self._garbled = str(garbled)

    # -- answers -----------------------------------------------------------------------------------------------------
    def _answer(self, call: dict[str, Any]) -> None:
        try:
            answer = self._called(call)
            answers = self._service.several(answer) if call.get("more") is True else [answer]
            replies: list[Answer] = [{"parameters": one, "continues": True} for one in answers[:-1]]
            replies.append({"parameters": answers[-1]})
        except Refused as refused:
            replies = [_error(refused)]
        except Exception as fault:  # one call's; its text might hold anything
            replies = [_failed(type(fault).__name__)]
        if call.get("oneway") is True:
            return
        for reply in replies:
            if not self._send(reply):
                return  # an error was sent in its place, which is the last

    def _called(self, call: dict[str, Any]) -> Answer:
        for name, value in call.items():
            if name not in _MEMBERS or not isinstance(value, _MEMBERS[name]):
                raise invalid("call", f"expected {', '.join(_MEMBERS)}, each of its kind")
        if call.get("upgrade"):
            raise invalid("upgrade", "there is nothing to upgrade to")
        interface, _, method = call.get("method", "").rpartition(".")
        parameters = call.get("parameters", {})
        if interface == SERVICE:
            return self._service.standard(method, parameters)
        if interface != INTERFACE:
            raise Refused(f"{SERVICE}.InterfaceNotFound", interface=interface)
        if method == "Events":
            return self._events(parameters)
        if method not in self._service.methods:
            raise Refused(f"{SERVICE}.MethodNotFound", method=method)
        answer = self._service.methods[method]
        return self._in_time(method, lambda: answer(parameters)) if method in DEADLINES else answer(parameters)

    def _events(self, parameters: dict[str, Any]) -> Answer:
        longest, look = self._service.wait(parameters)
        until = time.monotonic() + longest
        while True:
            answer = look()
            left = until - time.monotonic()
            if answer is not None:
                return answer
            if left <= 0 or self._calls or self._garbled or self._end is not None:
                return {"events": []}
            self._listen(left, self._wake)
            with suppress(BlockingIOError):
                os.read(self._wake, _READ)

    def _in_time(self, method: str, work: Callable[[], Answer]) -> Answer:
        """What `work` answers, on a thread. Raises Refused where it takes longer, and leaves the thread to what it waits for.

        Where `HANGING` of them are left so, nothing is begun: threads are no more to be had for ever than answers.
        """
        self._hanging = [(name, ended) for name, ended in self._hanging if not ended.is_set()]
        if len(self._hanging) >= HANGING:
            raise Refused("Busy", hanging=[name for name, _ in self._hanging])
        seconds, over = DEADLINES[method], threading.Event()
        results: list[Any] = []
        reader, writer = os.pipe()

        def run() -> None:
            try:
                results.append(work())
            except BaseException as fault:
                results.append(fault)
            over.set()
            os.close(writer)

        threading.Thread(target=run, name=f"call {method}", daemon=True).start()
        until = time.monotonic() + seconds
        try:
            while not over.is_set() and time.monotonic() < min(until, self._end or until):
                self._listen(min(until, self._end or until) - time.monotonic(), reader)
        finally:
            os.close(reader)
        if not results:
            self._hanging.append((method, over))
            raise Refused("Deadline", seconds_ns=int(seconds * 10**9))
        if isinstance(results[0], Refused):
            raise results[0]
        if isinstance(results[0], BaseException):
            raise Refused("Failed", fault=type(results[0]).__name__)  # its text might hold anything
        answer: Answer = results[0]
        return answer

    def _send(self, reply: Answer) -> bool:
        """Send a reply, or else, where there is no sending it, an error."""
        fault = ""
        try:
            left = list(pieces(reply, self._service.part))
            if sum(map(len, left)) > REPLY:
                fault = "an answer that is too long"
        except Exception as failed:  # as in `_answer`
            fault = type(failed).__name__
        if fault:
            left = list(pieces(_failed(fault)))
        left.reverse()
        data = bytearray()
        while left:
            data += left.pop().encode("ascii")
            while len(data) >= _WRITE or (data and not left):
                del data[: os.write(self._sink, data)]
        return not fault


def _error(refused: Refused) -> Answer:
    return {"error": refused.name, "parameters": refused.told}


def _failed(fault: str) -> Answer:
    return _error(Refused("Failed", fault=fault))
