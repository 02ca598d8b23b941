"""The tour's lessons as data (`lessons.toml`): what is said, on which host, and what must have happened for it to go on.

No Textual in here. A text names keys by the actions they belong to, so that it is right whatever they are.
"""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from vfdeck.app.dashboard.actions import BY_ID
from vfdeck.backend.changes import Outcome
from vfdeck.backend.model import Snapshot
from vfdeck.backend.sim.lab import KEYS as STAGE
from vfdeck.backend.wish import Sight, Wish, WishError

Table = dict[str, Any]

#: In a text: the key of an action.
_KEY = re.compile(r"\{(\w+)\}")

_LESSON = {"title": str, "target": str, "story": list, "stage": dict, "step": list, "done": str}
_STEP = {"text": str, "press": str, "keys": str}
_MORE = {"wish": dict, "times": int, "sight": dict, "help": list, "act": dict}


class TourError(ValueError):
    """A slip in the tour's data: one line that says where, what, and what was expected."""


@dataclass(frozen=True, slots=True)
class Help:
    """What to say to an outcome that is not the one that is wanted."""

    wish: Wish
    text: str


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do."""

    text: str
    press: str
    keys: str  # one by one, as the terminal calls them; `{id}` for those of actions
    wish: Wish | None = None
    times: int = 1
    sight: Sight | None = None
    help: tuple[Help, ...] = ()
    act: Table | None = None


@dataclass(frozen=True, slots=True)
class Lesson:
    """A lesson: its title, its story, its host and its steps."""

    title: str
    story: tuple[str, ...]
    done: str
    target: str
    stage: Table
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Leaf:
    """A page at the tour's beginning or end."""

    title: str
    text: tuple[str, ...]
    next: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Lessons:
    """All of it."""

    welcome: Leaf
    end: Leaf
    all: tuple[Lesson, ...]


class Progress:
    """How far a lesson has come: judged by outcomes and looks alone."""

    def __init__(self, lesson: Lesson) -> None:
        self.lesson = lesson
        self.number = 0  # of the step
        self.is_done = False
        self.hint = ""
        self._met = 0

    @property
    def step(self) -> Step:
        """What is to be done now; of a lesson that is done the last."""
        return self.lesson.steps[self.number]

    def take(self, outcome: Outcome) -> None:
        """A change is over."""
        self.hint = ""
        if self.is_done:
            return
        if self.step.wish is not None and self._met < self.step.times and self.step.wish.is_met(outcome):
            self._met += 1
            if self.step.sight is None and self._met == self.step.times:
                self._go_on()
            return
        found = next((each.text for each in self.step.help if each.wish.is_met(outcome)), "")
        self.hint = found or ("" if outcome.ok else "That was refused; {result} says why. It is not what is meant here.")

    def look(self, snapshot: Snapshot) -> None:
        """The host was looked at."""
        step = self.step
        met = step.wish is None or self._met >= step.times
        if not self.is_done and step.sight is not None and met and step.sight.is_met(snapshot):
            self._go_on()

    def _go_on(self) -> None:
        """To the next step, or to the end."""
        self.hint, self._met = "", 0
        if self.number + 1 < len(self.lesson.steps):
            self.number += 1
        else:
            self.is_done = True


@functools.cache
def lessons() -> Lessons:
    """The tour that comes with vfdeck."""
    return parse(tomllib.loads(files(__package__).joinpath("lessons.toml").read_text(encoding="utf-8")))


def keyed(text: str, key_of: Callable[[str], str] | None = None) -> list[tuple[str, bool]]:
    """A text in pieces, with whether a piece is a key."""
    name = key_of or (lambda action: BY_ID[action].key)
    parts = _KEY.split(text)
    return [(name(part) if at % 2 else part, bool(at % 2)) for at, part in enumerate(parts) if part]


# -- reading ---------------------------------------------------------------------------------------------------------------
def parse(table: Mapping[str, Any]) -> Lessons:
    """The tour that a table tells. Raises TourError."""
    leaves = {name: _leaf(name, table.get(name)) for name in ("welcome", "end")}
    found = table.get("lesson")
    if not isinstance(found, list) or not found:
        raise TourError("there is no lesson: expected [[lesson]]")
    return Lessons(leaves["welcome"], leaves["end"], tuple(_lesson(f"lesson {n}", each) for n, each in enumerate(found, 1)))


def _leaf(name: str, table: Any) -> Leaf:
    if not isinstance(table, dict):
        raise TourError(f"{name} is missing: expected a table with title and text")
    _demand(name, table, {"title": str, "text": list}, {"next": list})
    return Leaf(table["title"], _texts(name, table["text"]), _texts(name, table.get("next", [])))


def _lesson(where: str, table: Any) -> Lesson:
    if not isinstance(table, dict):
        raise TourError(f"{where} is no table")
    _demand(where, table, _LESSON)
    for key in table["stage"]:
        if key not in STAGE:
            raise TourError(f'{where}: stage has no key "{key}"; expected some of {", ".join(STAGE)}')
    steps = tuple(_step(f"{where}, step {n}", each) for n, each in enumerate(table["step"], 1))
    if not steps:
        raise TourError(f"{where} has no step")
    return Lesson(
        table["title"], _texts(where, table["story"]), _text(where, table["done"]), table["target"], table["stage"], steps
    )


def _step(where: str, table: Any) -> Step:
    if not isinstance(table, dict):
        raise TourError(f"{where} is no table")
    _demand(where, table, _STEP, _MORE)
    if "wish" not in table and "sight" not in table:
        raise TourError(f"{where} has neither wish nor sight: it would never end")
    try:
        wish = Wish.parse(table["wish"]) if "wish" in table else None
        sight = Sight.parse(table["sight"]) if "sight" in table else None
        helps = []
        for each in table.get("help", ()):
            _demand(f"{where}, help", each, {"wish": dict, "text": str})
            helps.append(Help(Wish.parse(each["wish"]), _text(where, each["text"])))
    except WishError as slip:
        raise TourError(f"{where}: {slip}") from None
    if table.get("times", 1) < 1:
        raise TourError(f"{where}: times = {table['times']}: expected 1 or more")
    text, press, keys = (_text(where, table[key]) for key in _STEP)
    return Step(text, press, keys, wish, table.get("times", 1), sight, tuple(helps), table.get("act"))


def _demand(where: str, table: Mapping[str, Any], needed: Mapping[str, type], more: Mapping[str, type] | None = None) -> None:
    """Raise TourError for a key that is missing, unknown, or of another type."""
    allowed = {**needed, **(more or {})}
    for key in needed:
        if key not in table:
            raise TourError(f"{where}: {key} is missing")
    for key, value in table.items():
        if key not in allowed:
            raise TourError(f'{where} has no key "{key}"; expected some of {", ".join(allowed)}')
        if type(value) is not allowed[key]:
            raise TourError(f"{where}: {key} = {value!r}: expected {_WORDS[allowed[key]]}")


_WORDS = {str: "a text", int: "a number", list: "a list", dict: "a table"}


def _texts(where: str, values: Sequence[Any]) -> tuple[str, ...]:
    for value in values:
        if not isinstance(value, str):
            raise TourError(f"{where}: {value!r}: expected a text")
    return tuple(_text(where, value) for value in values)


def _text(where: str, text: str) -> str:
    """A text whose keys are those of actions."""
    for name in _KEY.findall(text):
        if name not in BY_ID:
            raise TourError(f"{where}: {{{name}}} is no action's key")
    return text
