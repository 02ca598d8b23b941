"""Foreign text through every widget: shown as it is, never obeyed."""

from __future__ import annotations

import pytest
from rich.console import Console
from rich.style import Style
from textual.app import App, ComposeResult

from tests import values
from tests.widgets.hostile import TEXTS, fleet, outcome
from vfdeck.backend.changes import Open
from vfdeck.widgets.bars import Banner, JobLine, Key, KeyBar
from vfdeck.widgets.facts import row_facts
from vfdeck.widgets.fleet_tree import FleetTree
from vfdeck.widgets.host_facts import host_facts
from vfdeck.widgets.panel_view import PanelView
from vfdeck.widgets.report import ReportView
from vfdeck.widgets.rows import RowId
from vfdeck.widgets.sections import Fact, Section, draw
from vfdeck.widgets.state import Tone


class AllWidgets(App[None]):
    """Every widget that shows foreign text."""

    CSS = "FleetTree, PanelView, ReportView { height: 1fr; }"

    def compose(self) -> ComposeResult:
        """All of them."""
        yield Banner()
        yield FleetTree()
        yield PanelView()
        yield ReportView()
        yield JobLine()
        yield KeyBar()


@pytest.mark.parametrize("text", TEXTS)
async def test_every_widget_shows_it_and_lives(text: str) -> None:
    app = AllWidgets()
    view = fleet(text)
    async with app.run_test(size=(200, 60)) as pilot:
        app.query_one(Banner).show([view], True)
        app.query_one(FleetTree).show([view])
        app.query_one(PanelView).show_panel(text, row_facts(RowId(text, values.PF), view))
        app.query_one(ReportView).show_outcome(outcome(Open(values.PF), text))
        app.query_one(JobLine).show_jobs([view])
        app.query_one(KeyBar).show([Key("x", "x", text)])
        await pilot.pause()
        app.query_one(PanelView).show(host_facts(view))
        app.query_one(JobLine).hint(text, Tone.BAD)
        await pilot.pause()
        lines = [strip.text for strip in app.screen._compositor.render_strips()]
        start = text[:20].rstrip()
        assert sum(start in line for line in lines) >= 5
        for strip in app.screen._compositor.render_strips():
            assert not any(segment.style and segment.style.meta.get("@click") for segment in strip)
            assert "\x1b" not in strip.text


@pytest.mark.parametrize("text", TEXTS)
def test_sections_draw_it_literally(text: str) -> None:
    console = Console(width=500, color_system=None)
    with console.capture() as capture:
        console.print(draw([Section(text, (Fact(text, text), Fact("", text)))], lambda _: Style(), label_width=210))
    assert capture.get().count(text) == 4
