"""What happened to a PF's token since the PF was bound, as far as vfdecks wrote it down: their entries, put together by setting."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from vfdeck.backend.changes import TokenWay
from vfdeck.backend.entries import Entry, Event
from vfdeck.backend.model import Happened, TokenEvent

#: How many are told, the latest ones.
TOLD = 50

_WAYS = frozenset(way.value for way in TokenWay)
_IN_FORCE = (Happened.SET, Happened.FOUND)


def past(entries: Iterable[Entry], run: str) -> tuple[TokenEvent, ...]:
    """The events of one token record, oldest first. `run`: this one."""
    events: list[TokenEvent] = []
    for entry in entries:
        _take(events, entry, entry.run == run)
    return tuple(events[-TOLD:])


def _take(events: list[TokenEvent], entry: Entry, own: bool) -> None:
    known_way = entry.way if entry.way in _WAYS else ""  # a newer vfdeck may have others
    made = TokenEvent(Happened.BEGUN, entry.time, entry.fingerprint, entry.by, entry.run, own, known_way)
    if entry.event is Event.BEGUN:
        events.append(made)
    elif entry.event is Event.SET:
        begun = _begun(events, entry)
        way = events.pop(begun).way if begun is not None else ""
        events.append(replace(made, what=Happened.SET, way=made.way or way))
    elif entry.event is Event.UNCHANGED:
        begun = _begun(events, entry)
        if begun is not None:
            events[begun] = replace(events[begun], what=Happened.REFUSED)
    elif entry.event is Event.CONFIRMED:
        last = next((place for place in range(len(events) - 1, -1, -1) if events[place].what in _IN_FORCE), None)
        if last is not None and events[last].fingerprint == entry.fingerprint:
            events[last] = replace(events[last], confirmed=entry.time)
        else:
            events.append(replace(made, what=Happened.FOUND, confirmed=entry.time))
    elif entry.event is Event.WITHDRAWN:
        events.append(replace(made, what=Happened.DOUBTED))


def _begun(events: list[TokenEvent], entry: Entry) -> int | None:
    """The place of what a run had begun before it told what came of it."""
    found = (place for place in range(len(events) - 1, -1, -1) if events[place].run == entry.run)
    place = next((place for place in found if events[place].what is Happened.BEGUN), None)
    return place if place is not None and events[place].fingerprint == entry.fingerprint else None
