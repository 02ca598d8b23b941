"""Driving the dashboard in tests: no sleeps, only waiting for what must come."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from textual import _wait, events, screen
from textual.pilot import Pilot

from tests.fake_host import FakeHost
from vfdeck.app.dashboard import themes
from vfdeck.app.dashboard.app import DashboardApp
from vfdeck.app.dashboard.dialogs.base import Page
from vfdeck.app.dashboard.dialogs.numvfs import NumvfsDialog
from vfdeck.app.dashboard.screen import Dashboard
from vfdeck.app.settings import USUAL, Reading
from vfdeck.backend.host import Host
from vfdeck.widgets.bars import JobLine
from vfdeck.widgets.fleet_tree import FleetTree
from vfdeck.widgets.query import QueryBar
from vfdeck.widgets.section_view import SectionView
from vfdeck.widgets.sections import plain_text

# Textual's pilot waits for a still process after each key, twice 20 ms and more: as sure, and quicker, with all of its clocks five
# times as fast, the one that draws too.
_wait.SLEEP_GRANULARITY /= 5
_wait.SLEEP_IDLE /= 5
screen.UPDATE_PERIOD /= 5  # type: ignore[misc]

#: Longest wait for something that comes from another thread; reached only by a test that fails.
PATIENCE = 60.0


class Deck:
    """A running dashboard in a test's hands."""

    def __init__(self, app: DashboardApp, pilot: Pilot[None]) -> None:
        self.app = app
        self.pilot = pilot

    @property
    def main(self) -> Dashboard:
        """The main screen, whatever is on top of it."""
        screen = self.app.screen_stack[0]
        assert isinstance(screen, Dashboard)
        return screen

    @property
    def tree(self) -> FleetTree:
        """The tree."""
        return self.main.query_one(FleetTree)

    @property
    def query(self) -> QueryBar:
        """The field of searches and filters."""
        return self.main.query_one(QueryBar)

    @property
    def line(self) -> str:
        """What the job line says."""
        return self.main.query_one(JobLine).text

    @property
    def dialog(self) -> str:
        """The name of the dialog on top, for every page "Page"; "" for none."""
        if self.app.screen is self.main:
            return ""
        return "Page" if isinstance(self.app.screen, Page) else type(self.app.screen).__name__

    @property
    def page(self) -> str:
        """The text of the page on top."""
        return plain_text(self.app.screen.query_one(SectionView).sections)

    @property
    def text(self) -> str:
        """Everything on the terminal."""
        return "\n".join(strip.text.rstrip() for strip in self.app.screen._compositor.render_strips())

    async def press(self, *keys: str) -> None:
        """Press keys one after the other, each once what followed from the one before has happened, look-ups too."""
        for key in keys:
            await self.hit(key)
            if self.is_busy:
                await self.until(lambda: not self.is_busy)

    async def hit(self, *keys: str) -> None:
        """Press keys without waiting for anything that is looked up."""
        await self.pilot.press(*keys)
        await self.pilot.pause()

    @property
    def is_busy(self) -> bool:
        """Whether something is looked up: a plan, a check, what a number of VFs would bring."""
        top = self.app.screen
        return self.main.is_looking_up or (isinstance(top, NumvfsDialog) and top.is_judging)

    async def paste(self, text: str) -> None:
        """Paste a text into what has the focus."""
        assert self.app.focused is not None
        self.app.focused.post_message(events.Paste(text))
        await self.pilot.pause()

    async def until(self, condition: Callable[[], object]) -> None:
        """Let things happen until `condition` holds."""
        end = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < end, f"waited in vain\n{self.text}"
            await self.pilot.pause()
        await self.pilot.pause()


@asynccontextmanager
async def running(
    *hosts: Host, size: tuple[int, int] = (100, 30), follow: bool = False, theme: str = themes.USUAL, reading: Reading = USUAL
) -> AsyncIterator[Deck]:
    """A dashboard over `hosts` that has taken its first snapshots."""
    app = DashboardApp(hosts or (FakeHost(),), follow=follow, interval=30.0, theme=theme, reading=reading)
    async with app.run_test(size=size, notifications=True) as pilot:
        deck = Deck(app, pilot)
        await deck.until(lambda: len(deck.main.fleet.snapshots) == len(app.hosts))
        yield deck
