"""What the Events panel says: what happened to a function and its family, the newest first."""

from __future__ import annotations

import enum
import time
from dataclasses import dataclass

from vfdeck.widgets.holder_words import clock
from vfdeck.widgets.sections import Fact, Section
from vfdeck.widgets.state import Tone, plural

#: So many events are on the panel where it fills the screen; an export has them all.
SHOWN = 100
#: Columns from which an event is taken to need one line, and not two.
WIDE = 70


class Kind(enum.StrEnum):
    """Who tells of an event."""

    UEVENT = "uevent"  # the kernel, to whoever listens
    KERNEL = "kernel"  # the kernel, in its log
    SEEN = "seen"  # a look at the host, which was otherwise before
    JOB = "job"  # a change of vfdeck's that is under way
    DONE = "vfdeck"  # what came of one


@dataclass(frozen=True, slots=True)
class Entry:
    """An event: when (seconds since the epoch, by its host's clock), who tells of it, where, and about which functions.

    Without functions it is about the host. `text` is one printable line.
    """

    time: float
    kind: Kind
    host: str
    bdfs: tuple[str, ...]
    text: str
    tone: Tone = Tone.PLAIN


@dataclass(frozen=True, slots=True)
class Events:
    """The events of one row, newest first, and `notes` on what could not be heard or read."""

    entries: tuple[Entry, ...] = ()
    notes: tuple[str, ...] = ()
    shown: int = SHOWN  # so many of them are drawn


def room(width: int, height: int) -> int:
    """How many events a panel of this size has room for, about: what nobody sees need not be drawn with every key."""
    return min(SHOWN, max(8, height if width >= WIDE else height // 2))


def event_sections(title: str, events: Events) -> list[Section]:
    """A line for each event; first what is missing among them."""
    notes = tuple(Fact("", note, Tone.DIM) for note in events.notes)
    today = _day(events.entries[0].time) if events.entries else ""
    lines = [_fact(entry, today) for entry in events.entries[: events.shown]]
    older = len(events.entries) - len(lines)
    lines += [Fact("", f"and {plural(older, 'event')} before", Tone.DIM)] if older > 0 else []
    return [Section(title, (*notes, *(lines or [Fact("", "nothing has happened since vfdeck began to look", Tone.DIM)])))]


def _fact(entry: Entry, today: str) -> Fact:
    """An event with its time of day, and its day where that is not the newest event's."""
    day, text = _day(entry.time), f"{entry.kind}: {entry.text}"
    return Fact(clock(entry.time), text, entry.tone) if day == today else Fact(day, f"{clock(entry.time)} {text}", entry.tone)


def _day(moment: float) -> str:
    """Month and day, in this terminal's zone."""
    return time.strftime("%m-%d", time.localtime(moment))
