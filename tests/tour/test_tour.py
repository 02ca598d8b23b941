"""The tour: every lesson is done by the keys it names, by nothing less, and wrong turns are answered."""

from __future__ import annotations

import pytest

from tests.tour.walking import do_step, key_names, look_until, next_lesson, said, told, touring
from vfdeck.app.dashboard.actions import ACTIONS, BY_ID
from vfdeck.app.tour import lessons
from vfdeck.widgets.bars import KeyBar
from vfdeck.widgets.state import Tone
from vfdeck.widgets.tour_strip import TourStrip

NUMBERS = range(1, len(lessons().all) + 1)


async def test_all_lessons_one_after_the_other() -> None:
    async with touring() as (deck, tour):
        for number in NUMBERS:
            for step in tour.lesson.steps:
                assert (now := told(deck)) is not None
                assert now.tone is not Tone.GOOD
                await do_step(deck, step)
            assert (now := told(deck)) is not None
            assert (now.number, now.tone) == (number, Tone.GOOD), said(deck)
            if number < tour.total:
                await next_lesson(deck, tour)
        await deck.press(BY_ID["tour_next"].keys)
        await deck.until(lambda: tour.lessons.end.title in deck.text)
        await deck.press("escape")
        assert told(deck) is None
        assert deck.dialog == ""


@pytest.mark.parametrize("number", NUMBERS)
async def test_a_lesson_alone(number: int) -> None:
    async with touring(number) as (deck, tour):
        row = deck.tree.row_id
        assert row is not None
        assert row.bdf == tour.lesson.target
        for step in tour.lesson.steps:
            await do_step(deck, step)
        assert (now := told(deck)) is not None
        assert now.tone is Tone.GOOD


@pytest.mark.parametrize("number", NUMBERS)
async def test_what_is_planned_and_given_up_is_not_done(number: int) -> None:
    async with touring(number) as (deck, tour):
        before = said(deck)
        keys = key_names(tour.lesson.steps[0])
        for key in keys[: next(at for at, key in enumerate(keys) if key in ("y", "Y"))]:
            await deck.press(key)
        await deck.until(lambda: deck.dialog == "ConfirmDialog")
        await deck.press("n")
        await deck.until(lambda: deck.dialog == "")
        await deck.press("r")
        assert said(deck) == before


@pytest.mark.parametrize(
    ("number", "keys", "answer"),
    [
        (2, "o enter y", "It opened, as the token was given"),
        (3, "o enter y", "closed at once"),
        (3, "o up enter y escape", "Refused, as no token was given"),
        (4, "o enter y", "closed at once"),
        (7, "o up enter y escape", 'Take the path "cdev"'),
        (7, "o enter y", "It opened through its group"),
    ],
)
async def test_a_wrong_turn_is_answered_and_the_lesson_goes_on(number: int, keys: str, answer: str) -> None:
    async with touring(number) as (deck, tour):
        for key in keys.split():
            if key == "escape":
                await deck.until(lambda: deck.dialog == "Page")
            await deck.press(key)
        await look_until(deck, lambda: answer in said(deck))
        assert (now := told(deck)) is not None
        assert now.tone is Tone.WARN
        for step in tour.lesson.steps:
            await do_step(deck, step)
        assert (now := told(deck)) is not None
        assert now.tone is Tone.GOOD


async def test_skip_back_again_and_leave() -> None:
    async with touring(2) as (deck, tour):
        await next_lesson(deck, tour)
        assert tour.number == 3
        for expected in (2, 1):
            before = deck.main
            await deck.press("less_than_sign")
            await deck.until(lambda before=before: deck.main is not before and told(deck) is not None)  # type: ignore[misc]
            assert tour.number == expected
        await deck.press("less_than_sign")
        assert "this is the beginning" in deck.line
        for step in tour.lesson.steps:
            await do_step(deck, step)
        before = deck.main
        await deck.press("less_than_sign")  # something was done: the same lesson from its beginning
        await deck.until(lambda: deck.main is not before and told(deck) is not None)
        assert (now := told(deck)) is not None
        assert (now.number, now.tone) == (1, Tone.PLAIN)
        await deck.press("X")
        assert told(deck) is None
        assert "Tour" not in deck.text
        await deck.press("greater_than_sign")
        assert "vfdeck demo --tour begins one" in deck.line


async def test_a_page_that_is_open_says_what_is_new() -> None:
    async with touring(6) as (deck, tour):
        await do_step(deck, tour.lesson.steps[0])
        await deck.press("e")
        assert "Tour 6 of 7  Esc closes this page; then ! shuts web-1 down" in deck.text
        tour.host.act({"do": "exit", "program": 4242})
        await look_until(deck, lambda: "Tour 6 of 7  Done." in deck.text)


async def test_nobody_else_acts_before_it_is_time() -> None:
    async with touring(6) as (deck, _):
        await deck.press("exclamation_mark")
        assert "nobody else is needed now" in deck.line
        assert any(not holder.own for holder in deck.main.fleet.snapshots[0].holders)


async def test_the_lesson_can_be_read_again_with_the_keys() -> None:
    async with touring(6) as (deck, tour):
        await deck.press("question_mark")
        assert deck.page.startswith("Tour 6 of 7: A removal that waits")
        assert tour.lesson.story[0][:40] in deck.page.replace("\n", " ")
        assert all(action.title in deck.page for action in ACTIONS if action.on_tour)


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (40, 12)])
async def test_the_strip_leaves_room_for_the_tree(size: tuple[int, int]) -> None:
    async with touring(size=size) as (deck, tour):
        for number in NUMBERS:
            strip = deck.main.query_one(TourStrip)
            assert f"Tour {number} of 7" in deck.text
            assert tour.lesson.title[:9] in deck.text
            assert strip.size.height <= 5
            assert deck.tree.size.height >= 4
            assert strip.size.height == strip.virtual_size.height  # nothing is cut off
            if number < tour.total:
                await next_lesson(deck, tour)


def test_the_keys_are_those_that_the_text_names() -> None:
    signs = {"enter": "⏎", "tab": "Tab", "space": "Space", "up": "↑", "down": "↓", "escape": "Esc"}
    for lesson in lessons().all:
        for step in lesson.steps:
            told = step.text + step.press
            for key in step.keys.split():
                assert signs.get(key, key) in told, (lesson.title, key)


async def test_keys_on_the_strip_can_be_clicked() -> None:
    async with touring(3) as (deck, tour):
        before = deck.main
        keys = before.query_one(TourStrip).query_one(KeyBar)
        at = str(keys.render()).index(">")
        await deck.pilot.click(keys, offset=(at, 0))
        await deck.until(lambda: deck.main is not before)
        assert tour.number == 4
