"""Pictures of the tour: its strip while something is to be done, after a wrong turn, above a dialog, and when it is done."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from textual.pilot import Pilot

from tests.pilot.driving import Deck
from tests.snapshots.test_pictures import SnapCompare
from tests.tour.walking import do_step, look_until, said, told
from vfdeck.app.dashboard.app import DashboardApp
from vfdeck.app.dashboard.touring import Tour

#: syrupy expects the test's name in the file's; ours are for people
pytestmark = pytest.mark.filterwarnings("ignore:\\s*Can not relate snapshot")

Way = Callable[[Deck, Tour], Coroutine[Any, Any, None]]


async def to_do(_: Deck, __: Tour) -> None:
    """The beginning."""


async def over_a_dialog(deck: Deck, _: Tour) -> None:
    """A dialog, with what is to be pressed above it."""
    await deck.press("o")


async def wrong_turn(deck: Deck, _: Tour) -> None:
    """Opened, and not held."""
    await deck.press("o", "enter")
    await deck.until(lambda: deck.dialog == "ConfirmDialog")
    await deck.press("y")
    await look_until(deck, lambda: "closed at once" in said(deck))


async def done(deck: Deck, tour: Tour) -> None:
    """Done as the lesson says."""
    for step in tour.lesson.steps:
        await do_step(deck, step)


WAYS: dict[str, Way] = {"tour-to-do": to_do, "tour-dialog": over_a_dialog, "tour-wrong-turn": wrong_turn, "tour-done": done}
SIZES = [(80, 24), (120, 40), (40, 12)]
PICTURES = [(name, size) for name in WAYS for size in SIZES if size != (40, 12) or name != "tour-dialog"]


@pytest.mark.parametrize(("name", "size"), PICTURES, ids=lambda part: part if isinstance(part, str) else f"{part[0]}x{part[1]}")
def test_picture(snap_compare: SnapCompare, name: str, size: tuple[int, int]) -> None:
    tour = Tour(3)
    app = DashboardApp((), follow=False, interval=30.0, tour=tour)

    async def come(pilot: Pilot[Any]) -> None:
        deck = Deck(app, pilot)
        await deck.until(lambda: told(deck) is not None)
        await WAYS[name](deck, tour)
        await deck.until(lambda: not deck.main.is_inspecting)

    assert snap_compare(app, terminal_size=size, run_before=come)
    tour.close()
