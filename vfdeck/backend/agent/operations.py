"""Changes that an agent carries out, each under a key that its client has made: the same key twice does it once."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass

from vfdeck.backend.agent.framing import message
from vfdeck.backend.agent.protocol import RUNNING, Refused
from vfdeck.backend.agent.wire import REQUESTS
from vfdeck.backend.changes import OPERATION, Change, Outcome, Plan, target_of
from vfdeck.backend.digest import sha256
from vfdeck.backend.local_host import LocalHost
from vfdeck.backend.text import printable

#: So many that are over are remembered.
KEPT = 1000


@dataclass
class Operation:
    """A change under way, or over: with an outcome, or with the name of the fault that it met in vfdeck itself."""

    key: str
    target: str
    asked: bytes  # tells what was asked for from anything else, and keeps none of its token
    outcome: Outcome | None = None
    fault: str = ""

    @property
    def is_over(self) -> bool:
        """Whether it has come to an end."""
        return self.outcome is not None or bool(self.fault)


class Operations:
    """Those of one host. `ended` is told of each that is over. Any thread may ask."""

    def __init__(self, host: LocalHost, ended: Callable[[str], None]) -> None:
        self._host = host
        self._ended = ended
        self._lock = threading.Lock()
        self._known: dict[str, Operation] = {}
        self._secret = os.urandom(32)

    def begin(self, key: str, change: Change, confirmed: Plan | None) -> Operation:
        """Begin a change, or tell of the one that was begun under this key.

        Raises Refused: Conflict for another change, and for a key under which another agent has begun one, by the history;
        Busy where too many are under way.
        """
        asked = sha256(self._secret + message(REQUESTS.encode_one_of(change))).digest()
        past = None if key in self._known else self._host.done_before(key)
        with self._lock:
            known = self._known.get(key)
            if known is None and past is not None:
                raise Refused("Conflict", reason=f"another agent began a change under this key: {past.result}")
            if known is not None:
                if known.asked != asked:
                    raise Refused("Conflict", reason="another change was begun under this key")
                return known
            running = [one.target for one in self._known.values() if not one.is_over]
            if len(running) >= RUNNING:
                raise Refused("Busy", hanging=sorted(set(running)))
            operation = self._known[key] = Operation(key, target_of(change), asked)
            over = [one.key for one in self._known.values() if one.is_over]
            for old in over[:-KEPT]:
                del self._known[old]
        threading.Thread(target=self._carry_out, args=(operation, change, confirmed), name=f"operation {key}", daemon=True).start()
        return operation

    def get(self, key: str) -> Operation:
        """Raises Refused: NoSuchOperation, with what the history says where another agent has begun it, or why it says nothing."""
        with self._lock:
            known = self._known.get(key)
        if known is not None:
            return known
        try:
            past = self._host.done(key)
        except OSError as error:
            raise Refused("NoSuchOperation", key=key, unread=printable(error.strerror or str(error))) from None
        raise Refused("NoSuchOperation", key=key, **({} if past is None else {"history": past.result}))

    def _carry_out(self, operation: Operation, change: Change, confirmed: Plan | None) -> None:
        OPERATION.set(operation.key)
        try:
            operation.outcome = self._host.perform(change, confirmed)
        except BaseException as error:  # its text might hold anything
            operation.fault = type(error).__name__
        self._ended(operation.key)
