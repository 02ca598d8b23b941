"""The tour's data: a slip in it is named in one line, and what it says has room."""

from __future__ import annotations

import copy
import textwrap
import tomllib
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import pytest

from vfdeck.app import tour
from vfdeck.app.tour import TourError, keyed, lessons, parse

Table = dict[str, Any]
DATA: Table = tomllib.loads(files(tour).joinpath("lessons.toml").read_text(encoding="utf-8"))


def _first(table: Table) -> Table:
    """The first lesson."""
    found: Table = table["lesson"][0]
    return found


def _step(table: Table) -> Table:
    """The first lesson's step."""
    found: Table = _first(table)["step"][0]
    return found


@pytest.mark.parametrize(
    ("slip", "message"),
    [
        (lambda t: t.pop("welcome"), "welcome is missing: expected a table with title and text"),
        (lambda t: t.update(lesson=[]), r"there is no lesson: expected \[\[lesson\]\]"),
        (lambda t: t["end"].update(more=1), 'end has no key "more"; expected some of title, text, next'),
        (lambda t: _first(t).pop("done"), "lesson 1: done is missing"),
        (lambda t: _first(t).update(story="a"), "lesson 1: story = 'a': expected a list"),
        (lambda t: _first(t).update(story=[1]), "lesson 1: 1: expected a text"),
        (lambda t: _first(t).update(step=[]), "lesson 1 has no step"),
        (
            lambda t: _first(t)["stage"].update(vm=1),
            'lesson 1: stage has no key "vm"; expected some of host, name, kernel, token, event',
        ),
        (lambda t: _step(t).pop("wish"), "lesson 1, step 1 has neither wish nor sight: it would never end"),
        (lambda t: _step(t).update(press="{tokn}"), r"lesson 1, step 1: \{tokn\} is no action's key"),
        (lambda t: _step(t).update(times=0), "lesson 1, step 1: times = 0: expected 1 or more"),
        (lambda t: _step(t)["wish"].update(change="Token"), 'lesson 1, step 1: change = "Token": expected one of SetNumvfs, .*'),
        (lambda t: _step(t)["wish"].update(path="fd"), 'lesson 1, step 1: path = "fd": expected one of group, cdev'),
        (lambda t: _step(t)["wish"].update(entry="Z9"), 'lesson 1, step 1: entry = "Z9": the catalogue has none of this name'),
        (lambda t: _step(t)["wish"].update(hold=1), "lesson 1, step 1: hold = 1: expected true or false"),
        (lambda t: _step(t)["wish"].update(of=[]), r"lesson 1, step 1: of = \[\]: expected an address or a list of addresses"),
        (lambda t: _step(t).update(sight={}), "lesson 1, step 1: a sight has no keys: everything would do"),
        (lambda t: _step(t).update(sight={"users": 1}), "lesson 1, step 1: users, vfs and waits are about a PF: pf is missing"),
        (
            lambda t: _step(t).update(sight={"pf": "x", "uses": 1}),
            'lesson 1, step 1: a sight has no key "uses"; expected some of .*',
        ),
        (lambda t: _step(t).update(help=[{"text": "x"}]), "lesson 1, step 1, help: wish is missing"),
    ],
)
def test_a_slip_is_named_in_one_line(slip: Callable[[Table], object], message: str) -> None:
    table = copy.deepcopy(DATA)
    slip(table)
    with pytest.raises(TourError, match=f"^{message}$") as raised:
        parse(table)
    assert "\n" not in str(raised.value)


def _lines(text: str, width: int) -> int:
    """So many lines it takes."""
    return len(textwrap.wrap("".join(piece for piece, _ in keyed(text)), width))


def test_what_the_strip_says_has_four_lines_of_78_columns() -> None:
    for lesson in lessons().all:
        assert _lines(lesson.done, 78) <= 3, lesson.title
        for step in lesson.steps:
            assert _lines(step.text, 78) <= 3, step.text
            assert _lines(step.press, 78) == 1, step.press
            assert _lines(step.press, 38) <= 4, step.press
            for each in step.help:
                assert _lines(each.text, 78) <= 3, each.text
                assert _lines(each.text, 38) <= 4, each.text


def test_keys_are_told_by_whatever_they_are() -> None:
    assert keyed("{open} on it", lambda action: f"<{action}>") == [("<open>", True), (" on it", False)]
