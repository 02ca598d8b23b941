"""The panels beside the tree: how one is chosen, and that the choice stays."""

from __future__ import annotations

import dataclasses

import pytest

from tests import values
from tests.fake_host import NIC, FakeHost, small_fleet
from tests.pilot.driving import Deck, running
from vfdeck.app.dashboard.actions import ACTIONS, BY_ID
from vfdeck.app.dashboard.panels import PANELS, Panel, Scene
from vfdeck.backend.model import TokenState
from vfdeck.widgets.panel_view import PanelView
from vfdeck.widgets.rows import RowId
from vfdeck.widgets.sections import plain_text
from vfdeck.widgets.tabs import TabLine


def panel(deck: Deck) -> str:
    """What the panel says."""
    return plain_text(deck.main.query_one(PanelView).sections)


def chosen(deck: Deck) -> str:
    """The tab in brackets."""
    return deck.main.query_one(TabLine).render().plain.partition("[")[2].partition("]")[0]


def named(tab: Panel) -> set[str]:
    """How a panel's tab reads, as there is room."""
    return {f"{tab.action.key} {title}" for title in (tab.action.label, tab.short)}


def test_every_panel_has_the_key_of_its_place() -> None:
    assert [panel.action.key for panel in PANELS] == [str(number) for number, _ in enumerate(PANELS, 1)]
    assert [action.panel for action in ACTIONS if action.panel] == [panel.id for panel in PANELS]


@pytest.mark.parametrize("made", PANELS, ids=lambda panel: panel.id)
def test_every_panel_has_something_to_say_of_everything(made: object) -> None:
    view = FakeHost().view
    for bdf in ("", *view.functions, "0000:00:00.0"):
        assert plain_text(next(p for p in PANELS if p is made).sections(Scene(RowId("fake", bdf), view))) != ""


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (250, 80)])
async def test_numbers_brackets_and_the_mouse_choose(size: tuple[int, int]) -> None:
    async with running(size=size) as deck:
        assert chosen(deck) in named(PANELS[0])
        assert "autoprobe" in panel(deck)
        for tab in PANELS:
            await deck.press(tab.action.key)
            assert chosen(deck) in named(tab)
        await deck.press("right_square_bracket")
        assert chosen(deck) in named(PANELS[0])
        await deck.press("left_square_bracket")
        assert chosen(deck).startswith(PANELS[-1].action.key)
        line = deck.main.query_one(TabLine)
        await deck.pilot.click(TabLine, offset=(line.render().plain.index("2"), 0))
        assert chosen(deck) in named(PANELS[1])
        assert f"Token of PF {NIC}" in panel(deck)
        assert deck.tree.has_focus


async def test_the_choice_survives_moving_and_looking_again() -> None:
    host = FakeHost()
    async with running(host, FakeHost(small_fleet("other"))) as deck:
        await deck.press("2", "down")
        assert panel(deck).startswith("Token of VF 0")
        known = values.make_knowledge(NIC, TokenState.SET, "1a2b3c4d")
        host.show(dataclasses.replace(host.view, tokens={NIC: known}))
        await deck.press("r")
        await deck.until(lambda: "#1a2b3c4d" in panel(deck))
        assert chosen(deck) == "2 Token"
        await deck.press("left_curly_bracket")
        assert "choose a function" in panel(deck)


async def test_details_show_the_chosen_panel_in_full_and_numbers_go_on_choosing() -> None:
    async with running(size=(80, 24)) as deck:
        await deck.press("4", "d")
        assert deck.tree.region.height == 0
        assert f"Holders of PF {NIC}" in deck.text
        assert "[4 Holders]" in deck.text
        await deck.press("2")
        assert f"Token of PF {NIC}" in deck.text
        assert deck.tree.region.height == 0
        await deck.press("escape")
        assert deck.tree.has_focus
        assert chosen(deck) == "2 Token"


async def test_where_no_panel_has_room_its_number_shows_it_in_full() -> None:
    async with running(size=(60, 14)) as deck:
        assert deck.main.query_one("#side").region.height == 0
        await deck.press("2")
        assert f"Token of PF {NIC}" in deck.text
        assert "[2 Token]" not in deck.text  # too low for the line
        await deck.press("escape", "right_square_bracket")
        assert f"Opening PF {NIC}" in deck.text


async def test_without_hardware_there_is_no_panel_to_choose() -> None:
    async with running(FakeHost(values.snapshot())) as deck:
        await deck.press("2")
        assert "there is no function to show" in deck.line
        assert BY_ID["panel_token"].label in deck.line
