"""What was done to this host: the audit trail (`audit.py`), read back. Lines that make no sense are counted, and stop nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from vfdeck.backend.audit import FILE, result_of
from vfdeck.backend.state_folder import StateFolder
from vfdeck.backend.text import printable

#: By kind of change, what was asked for.
WORDS = {
    "SetNumvfs": "set VFs to {count}",
    "BindDriver": "bind to {driver}",
    "UnbindDriver": "unbind",
    "SetToken": "set token {token}",
    "VerifyToken": "verify token {token}",
    "Open": "open",
    "Close": "close",
    "SetAutoprobe": "set autoprobe to {on}",
    "ResetFunction": "reset",
}


@dataclass(frozen=True)
class Done:
    """A change that was begun. `outcome` None: nobody wrote down what came of it; see `result`."""

    id: str
    time: float  # when it was begun, seconds since the epoch
    user: str
    function: str
    change: dict[str, Any]  # its kind and fields; of a token the fingerprint
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    outcome: dict[str, Any] | None = None
    ended: float | None = None
    fault: str = ""  # of vfdeck's own
    key: str = ""  # an agent's operation
    host: str = ""
    pid: int = 0

    @property
    def ok(self) -> bool:
        """Whether it is known that all of it was done."""
        return bool(self.outcome and self.outcome.get("ok"))

    @property
    def result(self) -> str:
        """`done`, `EACCES at get_device_fd`, `not attempted`, ..."""
        if self.fault:
            return f"vfdeck failed ({self.fault})"
        return "begun, and no word of its end" if self.outcome is None else result_of(self.outcome)

    @property
    def what(self) -> str:
        """`set VFs to 8`; of a kind that is not known, its name."""
        kind = str(self.change["kind"])
        if kind == "Open" and self.change.get("token"):
            return f"open with token {self.change['token']}"
        if kind == "BindDriver" and not self.change.get("driver"):
            return "give back to the driver the kernel chooses"
        try:
            return WORDS[kind].format_map(self.change)
        except (KeyError, ValueError):
            return kind

    @property
    def difference(self) -> str:
        """`numvfs 0 → 8, driver ice → vfio-pci`: what is otherwise afterwards; "" where nothing is, or it is not known."""
        if not self.before or not self.after:
            return ""
        names = [name for name in {**self.before, **self.after} if self.before.get(name) != self.after.get(name)]
        return ", ".join(f"{name} {_plain(self.before.get(name))} → {_plain(self.after.get(name))}" for name in names)


def _plain(value: object) -> str:
    return "none" if value is None else str(value)


@dataclass(frozen=True)
class Trail:
    """The audit trail of a host as it is written down there. `folder` "": none is kept; `problem`: why it cannot be read."""

    folder: str = ""
    lines: tuple[str, ...] = ()  # oldest first
    cut: bool = False  # there are older ones
    problem: str = ""


@dataclass(frozen=True)
class History:
    """Changes in the order in which they were begun, and how many lines could not be read."""

    changes: tuple[Done, ...]
    damaged: int = 0


def read(folder: StateFolder) -> History:
    """Everything that is there, of the older file and of the present one. Raises OSError where a file may not be read."""
    return history(_lines(folder))


def newest(folder: StateFolder, longest: int) -> tuple[tuple[str, ...], bool]:
    """The newest lines, of so many bytes at the most, and whether there are older ones. Raises OSError as `read` does."""
    kept: list[str] = []
    for line in reversed(_lines(folder)):
        longest -= len(line)
        if longest < 0:
            return tuple(kept[::-1]), True
        kept.append(line.decode("utf-8", "replace"))
    return tuple(kept[::-1]), False


def _lines(folder: StateFolder) -> list[bytes]:
    return [*folder.lines(f"{FILE}.1"), *folder.lines(FILE)]


def of_key(folder: StateFolder, key: str) -> Done | None:
    """The change that was begun under an agent's key; None where none was. Raises OSError as `read` does."""
    lines, wanted = _lines(folder), key.encode()
    begun = history(line for line in lines if wanted in line).changes
    numbers = [one.id.encode() for one in begun if one.key == key]  # few lines are parsed: there may be 20,000
    found = history(line for line in lines if any(number in line for number in numbers)).changes
    return next((one for one in found if one.key == key), None)


def history(lines: Iterable[bytes]) -> History:
    """What lines of an audit trail tell."""
    found: dict[str, Done] = {}
    damaged = 0
    for line in lines:
        try:
            _take(found, json.loads(line, parse_constant=_no_number))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
            damaged += 1
    return History(tuple(found.values()), damaged)


def _take(found: dict[str, Done], entry: dict[str, Any]) -> None:
    number, at = str(entry["id"]), _moment(entry["time_ns"])
    if entry["event"] == "begun":
        change = _texts(entry["change"])
        function = str(change.get("pf") or change["bdf"])
        user, host = printable(str(entry.get("user", "")), 64), printable(str(entry.get("host", "")), 64)
        before, key = _texts(entry.get("before", {})), printable(str(entry.get("key", "")), 64)
        change["kind"] = str(change["kind"])
        found[number] = Done(number, at, user, function, change, before, key=key, host=host, pid=int(entry.get("pid", 0)))
        return
    begun = found.get(number)
    if begun is None:  # it was begun in a file that is no more
        return
    outcome = _texts(entry["outcome"]) if entry["event"] == "done" else None
    if outcome is not None and not outcome.keys() & {"ok", "blocked", "attempted", "errno"}:
        raise ValueError
    after, fault = _texts(entry.get("after", {})), printable(str(entry.get("fault", "")), 64)
    found[number] = replace(begun, ended=at, after=after, fault=fault, outcome=outcome)


def _moment(nanoseconds: Any) -> float:
    """A time as seconds; raises ValueError for none that a clock can show."""
    if not 0 <= int(nanoseconds) < 2**63:
        raise ValueError
    return int(nanoseconds) / 10**9


def _no_number(text: str) -> Any:
    raise ValueError(text)


def _texts(values: dict[str, Any]) -> dict[str, Any]:
    """A flat object with its texts made safe; raises AttributeError for what is none."""
    return {printable(name): _safe(value) for name, value in values.items()}


def _safe(value: Any) -> Any:
    if isinstance(value, list):
        return [_safe(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError
    return value if value is None or isinstance(value, (bool, int, float)) else printable(str(value))
