"""What goes on at a simulated host while one looks: stories, told as data, that come round again and again.

A scenario, or a host of one, has `[[story]]` tables beside its events:

    about     what it is, in a sentence
    begin     the second of its first act
    every     so many seconds later it happens again; 0: never
    spread    each time later than that by up to so many seconds, drawn from the seed
    program   [[story.program]] tables of programs that run only in the story
    act       [[story.act]] tables: events of scenarios, `after` so many seconds from the story's beginning

Stories are told only where a demo `lives`. What an act is refused, or waits for, is a matter of the simulated kernel: a story goes
on, as programs do.
"""

from __future__ import annotations

import bisect
import random
from collections.abc import Mapping, Sequence
from typing import Any

from vfdeck.backend.bdf import typed

Table = Mapping[str, Any]

#: What each kind of event has to say, beside what it may say.
EVENTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "bind": (("bdf", "driver"), ()),
    "unbind": (("bdf",), ()),
    "vfs": (("bdf", "count"), ()),
    "start": (("program",), ()),
    "open": (("program", "bdf"), ("token",)),
    "close": (("program", "bdf"), ()),
    "token": (("program", "bdf", "token"), ()),
    "exit": (("program",), ()),
}
_STORY = ("about", "begin", "every", "spread", "program", "act")
_NUMBERS = ("program", "count")


class BrokenStory(ValueError):
    """A slip in a story or an event: one line that says where, what, and what was expected."""


def check(table: Table) -> None:
    """Raise BrokenStory for a story, or an event, of a scenario that cannot be told."""
    where = table["host"]["name"]
    known = {entry["pid"] for entry in table.get("program", ())}
    for program in (*table.get("program", ()), *(each for told in table.get("story", ()) for each in told.get("program", ()))):
        if not _is_time(program.get("lets_go", 0)):
            raise BrokenStory(f"{where}, program {program['pid']}: lets_go = {program['lets_go']!r}: expected seconds, 0 or more")
    for number, event in enumerate(table.get("event", ()), 1):
        _check_event(f"{where}, event {number}", event, "at", known)
    for number, story in enumerate(table.get("story", ()), 1):
        _check_story(f"{where}, story {number}", story, known)


def _check_story(where: str, story: Table, known: set[int]) -> None:
    for key in story:
        if key not in _STORY:
            raise BrokenStory(f'{where} has no key "{key}"; expected some of {", ".join(_STORY)}')
    for key in ("begin", "every", "spread"):
        if not _is_time(story.get(key, 0)):
            raise BrokenStory(f"{where}: {key} = {story[key]!r}: expected seconds, 0 or more")
    if not isinstance(story.get("about"), str):
        raise BrokenStory(f"{where}: about is missing: expected a sentence")
    acts = story.get("act", ())
    if not acts:
        raise BrokenStory(f"{where} has no act")
    own = {entry["pid"] for entry in story.get("program", ())}
    if shared := own & known:
        raise BrokenStory(f"{where}: program {min(shared)} is one of the host's already")
    for number, act in enumerate(acts, 1):
        _check_event(f"{where}, act {number}", act, "after", known | own)
    last = max(act.get("after", 0) for act in acts)
    if 0 < story.get("every", 0) <= last:
        raise BrokenStory(f"{where}: every = {story['every']}: it would begin again before its last act, after {last} s")


def _check_event(where: str, event: Table, when: str, known: set[int]) -> None:
    if (kind := event.get("do")) not in EVENTS:
        raise BrokenStory(f'{where}: do = "{kind}": expected one of {", ".join(EVENTS)}')
    needed, more = EVENTS[kind]
    for key in needed:
        if key not in event:
            raise BrokenStory(f"{where}: {key} is missing")
    for key, value in event.items():
        if key not in ("do", when, *needed, *more):
            raise BrokenStory(f'{where} has no key "{key}"; expected some of do, {", ".join((when, *needed, *more))}')
        if key == when and not _is_time(value):
            raise BrokenStory(f"{where}: {key} = {value!r}: expected seconds, 0 or more")
        if key in _NUMBERS and (type(value) is not int or value < 0):
            raise BrokenStory(f"{where}: {key} = {value!r}: expected a number")
        if key == "bdf" and (not isinstance(value, str) or typed(value) != value):
            raise BrokenStory(f"{where}: bdf = {value!r}: expected a PCI address such as 0000:03:02.1")
    if "program" in needed and event["program"] not in known:
        raise BrokenStory(f"{where}: there is no program {event['program']}")


def _is_time(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0


class Stories:
    """The stories of one host; the same for the same seed."""

    def __init__(self, told: Sequence[Table], seed: int) -> None:
        self.told = told
        self._chance = [random.Random(f"{seed} {story['about']}") for story in told]
        self._due = [float(story.get("begin", 0)) for story in told]

    def first(self) -> list[dict[str, Any]]:
        """The events of every story's first time, in order."""
        events: list[dict[str, Any]] = []
        for number in range(len(self.told)):
            self.again(number, events)
        return events

    def again(self, number: int, events: list[dict[str, Any]]) -> None:
        """Put a story's next time among the events, which are in order; its last event brings the time after that."""
        story = self.told[number]
        begin = self._due[number] + self._chance[number].uniform(0, story.get("spread", 0))
        new = [
            {key: value for key, value in act.items() if key != "after"} | {"at": begin + act.get("after", 0)}
            for act in story["act"]
        ]
        if every := story.get("every", 0):
            self._due[number] = begin + every
            new.append({"do": "again", "story": number, "at": begin + max(act.get("after", 0) for act in story["act"])})
        for event in new:
            bisect.insort(events, event, key=lambda each: each.get("at", 0))
