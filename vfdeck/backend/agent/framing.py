"""Messages on a stream of bytes: JSON objects, each ended by NUL (varlink.org, "Method Call"). Bounded in size and depth.

Whoever is at the other end may send anything. What makes no sense ends the connection: where the next message would begin is not
known then. At most one message is kept in memory, of bytes that may still become one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from itertools import accumulate, islice
from typing import Any, NoReturn

#: Longest request, and longest reply, in bytes.
REQUEST, REPLY = 64 << 10, 32 << 20
#: Objects and arrays in one another.
DEPTH = 16
#: Commas, of which there are as many as values: while they are read no other thread runs. A host with 8,192 VFs has 145,000.
COMMAS = 500_000

#: Objects around the members that there may be many of (message, parameters, snapshot), and so many members are written at once.
_OUTER, _SOME = 3, 128
_NUL = b"\0"
_ESCAPED = re.compile(rb"\\.", re.DOTALL)  # in texts only
_STEPS = {0x7B: 1, 0x5B: 1, 0x7D: -1, 0x5D: -1}
#: Brackets that are counted before other threads may run.
_AT_ONCE = 1 << 14
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in _STEPS and byte != 0x22)


class Garbled(Exception):
    """What came is no message; says why, without repeating any of it."""


class Reader:
    """Takes bytes as they come, and gives messages.

    `once`: refuse an object that has a name twice. Readers differ on which one counts, and what is asked for must not depend on
    that; of a reply the last one counts, for looking costs as much as all other reading.
    """

    def __init__(self, longest: int = REQUEST, depth: int = DEPTH, once: bool = True) -> None:
        self._longest = longest
        self._depth = depth
        self._hook = _once if once else None
        self._parts = bytearray()
        self._looked = 0  # so much of it has no NUL

    def feed(self, data: bytes) -> Iterator[dict[str, Any]]:
        """The messages that are complete now. Raises Garbled; after that nothing can be read any more."""
        self._parts += data
        while True:
            end = self._parts.find(_NUL, self._looked)
            if end < 0:
                self._looked = len(self._parts)
                if self._looked > self._longest:
                    self._give_up(f"a message of more than {self._longest} bytes")
                return
            if end > self._longest:
                self._give_up(f"a message of more than {self._longest} bytes")
            text = bytes(self._parts[:end])
            del self._parts[: end + 1]
            self._looked = 0
            yield self._parsed(text)

    @property
    def is_empty(self) -> bool:
        """Whether no message was begun: a stream that ends elsewhere was cut."""
        return not self._parts

    def _parsed(self, text: bytes) -> dict[str, Any]:
        if _deeper_than(text, self._depth):
            self._give_up(f"more than {self._depth} objects and arrays in one another")
        if text.count(b",") > COMMAS:
            self._give_up(f"more than {COMMAS} commas")
        try:
            value = json.loads(text.decode("utf-8"), object_pairs_hook=self._hook, parse_constant=_no_constant)
        except RecursionError:
            self._give_up("too deep")
        except ValueError as error:
            self._give_up("bytes that are no UTF-8" if isinstance(error, UnicodeError) else _why(error))
        if not isinstance(value, dict):
            self._give_up("JSON that is no object")
        return value

    def _give_up(self, why: str) -> NoReturn:
        self._parts.clear()
        raise Garbled(f"expected a JSON object that ends with NUL, got {why}")


def message(value: dict[str, Any], part: Callable[[Any], Any] | None = None) -> bytes:
    """The bytes of a message. `part` makes JSON of what in it is none, when its turn comes; TypeError where nothing does."""
    return "".join(pieces(value, part)).encode("ascii")


def pieces(value: dict[str, Any], part: Callable[[Any], Any] | None = None) -> Iterator[str]:
    """The same in pieces, all ASCII: making JSON takes several times the memory of what comes of it."""
    yield from _pieces(value, part, _OUTER)
    yield "\0"


def _pieces(value: Any, part: Callable[[Any], Any] | None, outer: int) -> Iterator[str]:
    if part is not None and not isinstance(value, (dict, list, str, int, type(None))):
        value = part(value)
    if not isinstance(value, dict) or not value:
        yield _json(value, part)
    elif outer:
        lead = "{"
        for name, one in value.items():
            yield f"{lead}{_json(name, part)}:"
            yield from _pieces(one, part, outer - 1)
            lead = ","
        yield "}"
    else:
        lead, members = "{", iter(value.items())
        while some := dict(islice(members, _SOME)):
            yield lead + _json(some, part)[1:-1]
            lead = ","
        yield "}"


def _json(value: Any, part: Callable[[Any], Any] | None) -> str:
    # not looking for what holds itself saves a tenth; it would be a RecursionError, as it is a ValueError else
    return json.dumps(value, separators=(",", ":"), allow_nan=False, check_circular=False, default=part)


def _deeper_than(text: bytes, depth: int) -> bool:
    """Whether brackets that stand in no text are deeper in one another than that."""
    if text.count(b"{") + text.count(b"[") <= depth:
        return False
    plain = _ESCAPED.sub(b"", text) if b"\\" in text else text
    # two quotes side by side begin and end nothing that matters, so that a text without brackets is soon gone
    brackets = b"".join(plain.translate(None, _NO_BRACKETS).replace(b'""', b"").split(b'"')[::2])
    depths = [0]
    for begin in range(0, len(brackets), _AT_ONCE):
        depths = list(accumulate(map(_STEPS.__getitem__, brackets[begin : begin + _AT_ONCE]), initial=depths[-1]))
        if max(depths) > depth:
            return True
    return False


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Twice
    return found


class _Twice(ValueError):
    """A name that an object has twice: readers differ on which counts."""


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name}, which is no JSON")


def _why(error: ValueError) -> str:
    if isinstance(error, _Twice):
        return "an object that has a name twice"
    if isinstance(error, json.JSONDecodeError):
        return f"no JSON at character {error.pos}"
    return "a number that is none, or too long"
