"""Walking through the tour as its texts say, for tests and for the recording."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from textual.css.query import NoMatches

from tests.pilot.driving import Deck
from vfdeck.app.dashboard.actions import BY_ID
from vfdeck.app.dashboard.app import DashboardApp
from vfdeck.app.dashboard.touring import Tour
from vfdeck.app.tour import Lessons, Step, keyed
from vfdeck.widgets.tour_strip import Told, TourStrip

#: Called after every key with its name.
Watch = Callable[[Deck, str], Awaitable[None]]


async def nobody(_: Deck, __: str) -> None:
    """Nobody watches."""


def key_names(step: Step) -> list[str]:
    """The keys of a step as the terminal calls them."""
    return "".join(text for text, _ in keyed(step.keys, lambda action: BY_ID[action].keys.split(",")[0])).split()


def told(deck: Deck) -> Told | None:
    """What the strip says."""
    try:
        return deck.main.query_one(TourStrip).told
    except NoMatches:  # one screen has gone, the next one has not come
        return None


def said(deck: Deck) -> str:
    """All of it, as one text."""
    now = told(deck)
    return "".join(text for text, _ in (*now.text, *now.press)) if now is not None else ""


async def look_until(deck: Deck, condition: Callable[[], object]) -> None:
    """Look again and again, until `condition` holds: nobody follows a host in tests."""

    def holds() -> bool:
        if not condition():
            deck.main._look_again()
        return bool(condition())

    await deck.until(holds)


async def do_step(deck: Deck, step: Step, watch: Watch = nobody) -> None:
    """Press what a step names, and wait for the strip to say something else."""
    before = said(deck)
    for key in key_names(step):
        if key == "escape":
            await deck.until(lambda: deck.dialog)
        await deck.press(key)
        if key in ("y", "Y"):
            await look_until(deck, lambda: deck.line[:1] in ("✓", "✗", "!", "◔"))
        await watch(deck, key)
    await look_until(deck, lambda: said(deck) != before)


async def next_lesson(deck: Deck, tour: Tour) -> None:
    """On to the next lesson."""
    before = deck.main
    await deck.press(BY_ID["tour_next"].keys)
    await deck.until(lambda: deck.main is not before and deck.main.is_mounted and told(deck) is not None)
    assert (now := told(deck)) is not None
    assert now.number == tour.number
    await deck.until(lambda: not before.is_attached)


@asynccontextmanager
async def touring(
    number: int = 1, *, size: tuple[int, int] = (80, 24), lessons: Lessons | None = None
) -> AsyncIterator[tuple[Deck, Tour]]:
    """The tour from a lesson on, the welcome read."""
    tour = Tour(number, told=lessons)
    app = DashboardApp((), follow=False, interval=30.0, tour=tour)
    async with app.run_test(size=size, notifications=True) as pilot:
        deck = Deck(app, pilot)
        await deck.until(lambda: told(deck) is not None)
        if number == 1:
            await deck.until(lambda: deck.dialog == "Page")
            await deck.press("escape")
        yield deck, tour
    tour.close()
