"""Who set which PF's token when: what the kernel tells nobody, kept from run to run by fingerprint. A token is never in here.

Each line of `tokens.jsonl` is an event of one token record of one kernel: the record begins when the PF is bound to vfio-pci and
ends when it leaves, or when the machine reboots. So an event holds as long as the boot (`boot_id`) and the binding
(`Kernel.binding`) are those in the line. Several vfdecks may write; the order of the lines is the order of the events.

A program that sets a token says first what it is about to do (`begun`) and then what came of it. Where it dies in between, nobody
knows which token is in force, and nobody claims to.
"""

from __future__ import annotations

import enum
import json
import os
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from vfdeck.backend.model import Problem
from vfdeck.backend.state_folder import PATIENCE, StateFolder
from vfdeck.backend.text import printable

FILE = "tokens.jsonl"
VERSION = 1

#: A journal of more bytes is shortened to what still holds.
LONG = 256 << 10


#: A program that began to set a token so many seconds before another one did will not set it afterwards.
SETTING_TAKES = 60.0


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
    holders: tuple[int, ...] = ()  # process ids of those that held the PF at that moment

    @property
    def accounted_for(self) -> frozenset[int]:
        """Process ids of those of whom it is known that they set nothing else later: who held the PF already, and the writer."""
        pid = self.run.partition("-")[0]
        return frozenset((*self.holders, int(pid))) if pid.isdecimal() else frozenset(self.holders)

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
                "holders": self.holders,
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
            tuple(_whole(pid) for pid in fields.get("holders", ())),
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


def _seconds(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not -1e12 < value < 1e12:
        raise TypeError
    return float(value)


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
        begun = tuple(b for b in self.begun if b.run != entry.run)
        late = tuple(b for b in begun if b.event is Event.BEGUN and entry.time - b.time < SETTING_TAKES)
        match entry.event:
            case Event.BEGUN:
                return replace(self, last=entry, begun=(*begun, entry), rivals=self.rivals - {entry.run})
            case Event.SET:
                either = (self.in_force,) if self.in_force and entry.run in self.rivals else ()
                return Told(entry, entry, begun=(*late, *either), rivals=frozenset(b.run for b in late))
            case Event.UNCHANGED:
                return replace(self, last=entry, begun=begun, rivals=self.rivals - {entry.run})
            case Event.CONFIRMED:
                known = self.in_force if self.in_force and self.in_force.fingerprint == entry.fingerprint else entry
                return Told(entry, known, entry.time, late)
            case Event.WITHDRAWN:
                return Told(entry, begun=late)


class Journal:
    """The journal of one machine, as one run of vfdeck writes and reads it. Never raises: see `problems`. Any thread may use it."""

    def __init__(self, folder: StateFolder | None, boot: str, machine: str = "", user: Callable[[], str] = str) -> None:
        """`folder` None: there is no place to keep it in, which is a problem that is told; what is noted is kept in memory.

        `user` is asked on whose behalf this process runs when there is something to note.
        """
        self._folder = folder
        self.boot, self.machine = boot, machine
        self._user = user
        self.run = f"{os.getpid()}-{os.urandom(4).hex()}"
        self._lock = threading.Lock()
        self._unwritten: list[Entry] = []
        self._refusal = ""
        self._mark: tuple[int, ...] | None = None
        self._read = False
        self._told: dict[tuple[str, int | None], Told] = {}
        self._rebooted: dict[str, Entry] = {}
        self._damage: list[Problem] = []

    # -- writing -----------------------------------------------------------------------------------------------------
    def note(self, event: Event, pf: str, fingerprint: str, now: float, binding: int | None, holders: Iterable[int] = ()) -> None:
        """Write down what happened; where that fails now it is tried again with every later look."""
        if not self.boot:  # without it the entry could never be told from those of other boots
            return
        by, run, held_by = self._user(), self.run, tuple(sorted(holders))
        entry = Entry(event, pf, binding, fingerprint, now, self.boot, self.machine, by, run, held_by)
        with self._lock:
            self._unwritten.append(entry)
            self._write(PATIENCE)

    def _write(self, patience: float) -> None:
        if self._folder is None:
            return
        while self._unwritten:
            try:
                self._folder.append(FILE, self._unwritten[0].to_line(), patience, LONG, self._shorten)
            except OSError as error:
                self._refusal = _reason(error)
                return
            del self._unwritten[0]
        self._refusal = ""

    def _shorten(self, lines: list[bytes]) -> list[bytes]:
        """What still holds: entries of this boot and of other machines, each as long as a later one does not make it moot.

        Lines that cannot be read stay as they are: whoever wrote them may want them.
        """
        kept: list[bytes | None] = list(lines)
        records: dict[tuple[str, str, int | None], list[tuple[int, Entry]]] = {}
        last: dict[tuple[str, str], str] = {}  # the newest boot in which there was an entry of a PF of a machine
        bindings: dict[tuple[str, str], list[int | None]] = {}  # of a PF in a boot, the newest last
        for place, line in enumerate(lines):
            try:
                entry = parse(line)
            except (ValueError, Newer):
                continue
            records.setdefault((entry.boot, entry.pf, entry.binding), []).append((place, entry))
            last[entry.machine, entry.pf] = entry.boot
            known = bindings.setdefault((entry.boot, entry.pf), [])
            known[:] = [*(other for other in known if other != entry.binding), entry.binding]
        for (boot, pf, binding), entries in records.items():
            machine = entries[0][1].machine
            rebooted = boot != self.boot and machine == self.machine and last[machine, pf] != boot
            # the one before the last is of use to say which token was lost
            over = rebooted or binding not in bindings[boot, pf][-2:]
            needed = set() if over else _needed([entry for _, entry in entries])
            for number, (place, _) in enumerate(entries):
                if number not in needed:
                    kept[place] = None
        return [line for line in kept if line is not None]

    # -- reading -----------------------------------------------------------------------------------------------------
    def look(self) -> None:
        """Read what is new, and write what could not be written before."""
        with self._lock:
            if self._unwritten:
                self._write(0.0)
            if self._folder is None or not self.boot:
                return
            try:
                mark = self._folder.mark(FILE)
                if self._read and mark == self._mark:
                    return
                lines = self._folder.lines(FILE)
            except OSError as error:
                self._damage = [Problem(self._place, f"{_reason(error)}; what it tells of tokens is not known")]
                return
            self._mark, self._read = mark, True
            self._take(lines)

    def _take(self, lines: list[bytes]) -> None:
        self._told, self._rebooted, self._damage = {}, {}, []
        damaged: list[str] = []
        newer = 0
        for number, line in enumerate(lines, 1):
            try:
                self._enter(parse(line))
            except ValueError as error:
                damaged.append(f"line {number}: {error}")
            except Newer:
                newer += 1
        if damaged:
            more = f" (and {len(damaged) - 1} more)" if damaged[1:] else ""
            what = f"{damaged[0]}{more}; expected an entry of a vfdeck: left alone and not believed"
            self._damage.append(Problem(self._place, what))
        if newer:
            what = f"{newer} {'entry' if newer == 1 else 'entries'} of a newer vfdeck: left alone, and not known here"
            self._damage.append(Problem(self._place, what))

    def _enter(self, entry: Entry) -> None:
        if entry.boot == self.boot:
            key = (entry.pf, entry.binding)
            told = self._told.get(key)
            self._told[key] = (told or Told(entry)).and_then(entry)
        elif self.machine and entry.machine == self.machine and entry.event in (Event.SET, Event.CONFIRMED):
            self._rebooted[entry.pf] = entry

    def told(self, pf: str, binding: int | None) -> Told | None:
        """What is written of a PF's present token record, by all programs."""
        with self._lock:
            return self._told.get((pf, binding)) if binding is not None else None

    def lost(self, pf: str, binding: int | None) -> tuple[str, str]:
        """Fingerprint of the token that was last in force in a record that is over, and how it went ("rebound", "rebooted")."""
        with self._lock:
            over = [t.in_force for (name, b), t in self._told.items() if name == pf and b != binding and t.in_force]
            if over:
                return over[-1].fingerprint, "rebound"
            entry = self._rebooted.get(pf)
            return (entry.fingerprint, "rebooted") if entry else ("", "")

    @property
    def unwritten(self) -> bool:
        """Whether there is something that could not be written yet."""
        with self._lock:
            return bool(self._unwritten)

    @property
    def _place(self) -> str:
        return printable(self._folder.place(FILE)) if self._folder else "token journal"

    def problems(self) -> tuple[Problem, ...]:
        """What is in the way of reading or writing it."""
        with self._lock:
            found = list(self._damage)
            if self._unwritten:
                what = self._refusal or "there is no home directory to keep it in"
                found.append(Problem(self._place, f"{what}; what happened to tokens is remembered until this vfdeck ends"))
            return tuple(found)


def _needed(entries: list[Entry]) -> set[int]:
    """The places of those entries of one record that say all that the whole list says."""
    told = _replayed(entries)
    confirming = [e for e in entries if e.event is Event.CONFIRMED and e.time == told.confirmed]
    wanted = {id(e) for e in (told.last, told.in_force, *told.begun, *confirming[-1:]) if e is not None}
    needed = {place for place, entry in enumerate(entries) if id(entry) in wanted}
    if _replayed([entries[place] for place in sorted(needed)]) == told:
        return needed
    # settings that overlapped: as many of the last ones as it takes
    start = next(n for n in range(len(entries) - 1, -1, -1) if _replayed(entries[n:]) == told)
    return set(range(start, len(entries)))


def _replayed(entries: list[Entry]) -> Told:
    told = Told(entries[0])
    for entry in entries:
        told = told.and_then(entry)
    return told


def _reason(error: OSError) -> str:
    return printable(error.strerror or str(error))
