"""A fault to practise on in the dashboard: its story first, the cursor where it happens, and the entry named when it is met."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.pilot.driving import Deck
from vfdeck.app.dashboard.app import DashboardApp
from vfdeck.app.dashboard.lesson import Lesson
from vfdeck.backend.sim import faults
from vfdeck.backend.sim.faults.host import load


async def test_a_fault_is_told_and_met() -> None:
    host = load("D1")
    fault = host.exercise
    app = DashboardApp([host], follow=False, interval=30.0, lesson=Lesson.of(fault))
    async with app.run_test(size=(100, 30), notifications=True) as pilot:
        deck = Deck(app, pilot)
        await deck.until(lambda: "To practise on: D1" in deck.text)
        assert fault.story.split(",")[0] in deck.page
        await deck.press("escape")
        assert deck.dialog == ""
        row = deck.tree.row_id
        assert row is not None
        assert row.bdf == fault.target
        await deck.press("e")  # nothing was done yet: no second telling
        assert deck.dialog == ""
    host.close()


@asynccontextmanager
async def practising(name: str) -> AsyncIterator[Deck]:
    """The dashboard with a fault, its story told and put away."""
    host = load(name)
    app = DashboardApp([host], follow=False, interval=30.0, lesson=Lesson.of(host.exercise))
    async with app.run_test(size=(100, 40), notifications=True) as pilot:
        deck = Deck(app, pilot)
        await deck.until(lambda: "To practise on" in deck.text)
        await deck.press("escape")
        yield deck
    host.close()


async def open_it(deck: Deck) -> None:
    """Attempt to open what the cursor stands on, as the dialog offers it."""
    await deck.press("o")
    await deck.until(lambda: "Attempt to open" in deck.text and deck.dialog == "OpenDialog")
    await deck.press("enter")
    await deck.until(lambda: "What would be done" in deck.text)
    await deck.press("Y")


async def test_a_fault_that_is_mended_is_told_with_what_was_learned_and_what_comes_next() -> None:
    async with practising("D1") as deck:
        await open_it(deck)
        await deck.until(lambda: "VF token required (D1)" in deck.text)
        await deck.press("escape")
        await deck.press("t", "g", "ctrl+r", "enter")
        await deck.until(lambda: "What would be done" in deck.text)
        await deck.press("Y")
        await deck.until(lambda: deck.line.startswith("✓"))
        assert deck.dialog == ""  # a step on the way, and no more
        await open_it(deck)
        await deck.until(lambda: "Solved: D1" in deck.text)
        assert "refused with EACCES at get_device_fd works now" in deck.page
        assert "vfdeck explain D1" in deck.page
        assert "vfdeck demo --fault D2" in deck.page
        await deck.press("escape")
        await open_it(deck)
        await deck.until(lambda: deck.line.startswith("✓") and not deck.main.is_looking_up)
        assert deck.dialog == ""  # told once


async def test_the_story_can_be_read_again() -> None:
    async with practising("D1") as deck:
        await deck.press("question_mark")
        await deck.until(lambda: "To practise on: D1" in deck.text)
        assert deck.page.startswith("To practise on: D1")
        assert "without a token" in deck.page


async def test_what_the_doctor_found_is_told_when_it_is_gone() -> None:
    async with practising("D19") as deck:
        await deck.press("t", "g", "ctrl+r", "enter")
        await deck.until(lambda: "What would be done" in deck.text)
        await deck.press("Y")
        await deck.until(lambda: "Solved: D19" in deck.text)
        assert "The doctor found it, and finds it no more." in deck.page


def test_the_last_fault_has_none_after_it() -> None:
    every = faults.names()
    assert [Lesson.of(faults.exercise(name)).after for name in every] == [*every[1:], ""]
