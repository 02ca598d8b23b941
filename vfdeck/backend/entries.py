"""The lines of the token journal, and what those of one token record say together. A token is never in here.

A program that sets a token says first what it is about to do (`begun`) and then what came of it. Where it dies in between, nobody
knows which token is in force, and nobody claims to: its entry stays a doubt until somebody sets another one, knowing that it was
dead, or until the token is shown to be in force.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Optional, TypeVar

from vfdeck.backend.text import printable

T = TypeVar("T")

VERSION = 1

#: More settings that were begun and not finished than there can be at once: older ones are not kept.
MOST = 64


#: A program of a boot: its process id, and when it was started, clock ticks since the boot; None where that could not be read, and
#: in lines of older vfdecks.
Program = tuple[int, Optional[int]]


class Event(enum.StrEnum):
    """What happened to a token record, or became known of it."""

    BEGUN = "begun"  # a program is about to set this token
    SET = "set"  # and it has
    UNCHANGED = "unchanged"  # and the kernel refused: the token is what it was
    CONFIRMED = "confirmed"  # this token was shown to be the one in force
    WITHDRAWN = "withdrawn"  # what was known before is not true any more, or need not be


_EVENTS = {event.value: event for event in Event}
_FIELDS = frozenset({"event", "pf", "binding", "token", "time", "boot"})


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the journal."""

    event: Event
    pf: str
    binding: int | None  # see `Kernel.binding`; None: could not be read, so that the entry never counts in another run
    fingerprint: str
    time: float  # seconds since the epoch
    boot: str
    machine: str = ""  # tells machines apart that share a home; "" where it could not be told
    by: str = ""  # the user
    run: str = ""  # the vfdeck that wrote it; no other run on the machine has the same
    holders: tuple[Program, ...] = ()  # those that held the PF at that moment
    way: str = ""  # how it is set, a `TokenWay`; "" where that is not told
    up: float | None = None  # seconds since the boot
    started: int | None = None  # when the writer was started, clock ticks since the boot; proc(5), stat
    space: str = ""  # the writer's namespace of process ids, as /proc/self/ns/pid names it
    over: tuple[str, ...] = ()  # runs that began to set a token, of which the writer knew that they would not go on with it

    @property
    def pid(self) -> int | None:
        """The writer's process id, in its own namespace."""
        pid = self.run.partition("-")[0]
        return int(pid) if pid.isascii() and pid.isdecimal() and len(pid) < 12 else None

    @property
    def accounted_for(self) -> frozenset[Program]:
        """Those of whom it is known that they set nothing else later: who held the PF already, and the writer."""
        return frozenset(self.holders if self.pid is None else (*self.holders, (self.pid, self.started)))

    def to_line(self) -> bytes:
        """As JSON."""
        return json.dumps(
            {
                "v": VERSION,
                "time": self.time,
                "event": self.event.value,
                "pf": self.pf,
                "token": self.fingerprint,
                "binding": self.binding,
                "boot": self.boot,
                "machine": self.machine,
                "by": self.by,
                "run": self.run,
                "holders": [pid for pid, _ in self.holders],
                "ticks": [ticks for _, ticks in self.holders],
                "way": self.way,
                "up": self.up,
                "started": self.started,
                "space": self.space,
                "over": self.over,
            }
        ).encode()


class Newer(Exception):
    """A line of a newer vfdeck."""


def parse(line: bytes) -> Entry:
    """The entry in a line. Raises ValueError where it is damaged; the message does not repeat it."""
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        raise ValueError("not JSON") from None
    if not isinstance(fields, dict) or not isinstance(fields.get("v"), int):
        raise ValueError("not an object with a version")
    if fields["v"] > VERSION:
        raise Newer
    try:
        entry = Entry(
            _EVENTS[fields["event"]],
            _text(fields["pf"]),
            None if fields["binding"] is None else _whole(fields["binding"]),
            _text(fields["token"]),
            _seconds(fields["time"]),
            _text(fields["boot"]),
            _text(fields.get("machine", "")),
            _text(fields.get("by", "")),
            _text(fields.get("run", "")),
            _programs(fields.get("holders", ()), fields.get("ticks")),
            _text(fields.get("way", "")),
            _or_none(_seconds, fields.get("up")),
            _or_none(_whole, fields.get("started")),
            _text(fields.get("space", "")),
            tuple(_text(run) for run in fields.get("over", ())),
        )
    except KeyError as missing:
        name = missing.args[0] if missing.args[0] in _FIELDS else "event that is known"
        raise ValueError(f"no {name}") from None
    except (TypeError, OverflowError):
        raise ValueError("a value of another type than expected") from None
    if not _is_fingerprint(entry.fingerprint) and (entry.fingerprint or entry.event is not Event.WITHDRAWN):
        raise ValueError("no fingerprint of 8 hex digits")
    return entry


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return printable(value, 128)


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError
    return value


def _programs(pids: Iterable[object], ticks: Iterable[object] | None) -> tuple[Program, ...]:
    numbers = [_whole(pid) for pid in pids]
    started = [None] * len(numbers) if ticks is None else [_or_none(_whole, when) for when in ticks]
    if len(started) != len(numbers):
        raise TypeError
    return tuple(zip(numbers, started, strict=True))


def _seconds(value: object) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not -1e12 < value < 1e12:
        raise TypeError
    return float(value)


def _or_none(read: Callable[[object], T], value: object) -> T | None:
    """Fields that are not in the lines of older vfdecks."""
    return None if value is None else read(value)


def _is_fingerprint(text: str) -> bool:
    return len(text) == 8 and all(char in "0123456789abcdef" for char in text)


@dataclass(frozen=True, slots=True)
class Told:
    """What the journal says of one PF's token record."""

    last: Entry  # the newest entry
    in_force: Entry | None = None  # the SET or CONFIRMED by which a token is known to have come into force
    confirmed: float | None = None  # when it was last shown to be in force
    begun: tuple[Entry, ...] = ()  # other settings, of which it is not known whether they took place, or whether before or after
    rivals: frozenset[str] = frozenset()  # runs whose own setting was under way when that token was set

    def and_then(self, entry: Entry) -> Told:
        """With one more entry of the same record."""
        others = tuple(b for b in self.begun if b.run != entry.run)
        if entry.event is Event.BEGUN:
            begun = (*_one_of(others, entry.over), entry)[-MOST:]
            return replace(self, last=entry, begun=begun, rivals=self.rivals - {entry.run})
        if entry.event is Event.SET:
            # who was dead before this setting was begun set nothing after it
            own = next((b for b in self.begun if b.run == entry.run and b.event is Event.BEGUN), None)
            late = _may_come(others, own.over if own else ())
            either = (self.in_force,) if self.in_force and entry.run in self.rivals else ()
            return Told(entry, entry, begun=(*late, *either), rivals=frozenset(b.run for b in late))
        if entry.event is Event.UNCHANGED:
            return replace(self, last=entry, begun=others, rivals=self.rivals - {entry.run})
        if entry.event is Event.CONFIRMED:
            known = self.in_force if self.in_force and self.in_force.fingerprint == entry.fingerprint else entry
            return Told(entry, known, entry.time, _may_come(others, entry.over))
        return Told(entry, begun=_may_come(others, ()))  # WITHDRAWN


def _may_come(begun: tuple[Entry, ...], over: tuple[str, ...]) -> tuple[Entry, ...]:
    """The settings that may still take place: begun, not finished, and not known to be over."""
    return tuple(b for b in begun if b.event is Event.BEGUN and b.run not in over)


def _one_of(begun: tuple[Entry, ...], over: tuple[str, ...]) -> tuple[Entry, ...]:
    """With only the newest of those that are over: one is doubt enough, and it goes when they all would."""
    last = next((b for b in reversed(begun) if b.run in over), None)
    return tuple(b for b in begun if b is last or b.run not in over)


def needed(entries: list[Entry]) -> set[int]:
    """The places of those entries of one record that say all that the whole list says."""
    told = _replayed(entries)
    confirming = [e for e in entries if e.event is Event.CONFIRMED and e.time == told.confirmed]
    wanted = {id(e) for e in (told.last, told.in_force, *told.begun, *confirming[-1:]) if e is not None}
    places = {place for place, entry in enumerate(entries) if id(entry) in wanted}
    if _replayed([entries[place] for place in sorted(places)]) == told:
        return places
    # settings that overlapped: as many of the last ones as it takes
    count = 1
    while count < len(entries) and _replayed(entries[-count:]) != told:
        count *= 2
    return set(range(max(0, len(entries) - count), len(entries)))


def _replayed(entries: list[Entry]) -> Told:
    told = Told(entries[0])
    for entry in entries:
        told = told.and_then(entry)
    return told
