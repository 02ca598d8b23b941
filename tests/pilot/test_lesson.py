"""A fault to practise on in the dashboard: its story first, the cursor where it happens, and the entry named when it is met."""

from __future__ import annotations

from tests.pilot.driving import Deck
from vfdeck.app.dashboard.app import DashboardApp
from vfdeck.app.dashboard.lesson import Lesson
from vfdeck.backend.sim.faults.host import load


async def test_a_fault_is_told_and_met() -> None:
    host = load("D1")
    fault = host.exercise
    app = DashboardApp([host], follow=False, interval=30.0, lesson=Lesson(fault.name, fault.story, fault.advice, fault.target))
    async with app.run_test(size=(100, 30), notifications=True) as pilot:
        deck = Deck(app, pilot)
        await deck.until(lambda: deck.dialog == "Page")
        assert fault.story.split(",")[0] in deck.page
        await deck.press("escape")
        assert deck.dialog == ""
        row = deck.tree.row_id
        assert row is not None
        assert row.bdf == fault.target
        await deck.press("e")  # nothing was done yet: no second telling
        assert deck.dialog == ""
    host.close()
