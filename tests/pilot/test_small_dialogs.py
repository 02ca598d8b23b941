"""Every dialog on the smallest terminal: its buttons are on the screen, and what the keys go to can be seen."""

from __future__ import annotations

import dataclasses

import pytest
from textual.widgets import Button, Input

from tests import values
from tests.fake_host import NIC, FakeHost, small_fleet
from tests.pilot.driving import Deck, running
from vfdeck.app.dashboard.dialogs.base import Dialog, Page
from vfdeck.app.dashboard.dialogs.confirm import ConfirmDialog
from vfdeck.backend.changes import BindDriver, Plan, Step
from vfdeck.backend.model import Snapshot, TokenState
from vfdeck.widgets.sections import Fact, Section
from vfdeck.widgets.token_field import TokenField

SIZES = [(40, 12), (80, 24)]


def quiet() -> Snapshot:
    """A fleet in which a token can be set."""
    return dataclasses.replace(small_fleet(), holders=(), tokens={NIC: values.make_knowledge(NIC, TokenState.UNSET)})


def long_plan(*, severe: str = "") -> Plan:
    """A plan that no small terminal has room for."""
    steps = tuple(Step(f"step {n} of many that are done one after the other", f"echo {n} > /sys/x/{n}") for n in range(20))
    warnings = tuple(f"program {n} loses its VF" for n in range(20))
    return Plan(BindDriver(NIC, "vfio-pci"), "Bind it to vfio-pci, as long as it takes", steps, warnings, True, severe=severe)


async def settled(deck: Deck) -> None:
    """Let a dialog find its height."""
    for _ in range(4):
        await deck.pilot.pause()


def unseen(deck: Deck) -> list[str]:
    """Buttons of the dialog on top that are not wholly on the screen."""
    screen = deck.app.screen
    assert isinstance(screen, Dialog)
    frame = screen.query_one("#dialog").region
    assert screen.region.contains_region(frame)
    buttons = screen.query_one("#buttons").query(Button)
    assert buttons
    return [str(button.label) for button in buttons if not frame.contains_region(button.region) or not button.region.area]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("key", ["t", "v", "b", "o", "w", "question_mark", "p"])
@pytest.mark.parametrize("fleet", [small_fleet(), quiet()], ids=["in use", "quiet"])
async def test_the_buttons_are_on_the_screen(key: str, size: tuple[int, int], fleet: Snapshot) -> None:
    async with running(FakeHost(fleet), size=size) as deck:
        await deck.press(key)
        await settled(deck)
        assert unseen(deck) == []
        focused = deck.app.focused
        if isinstance(focused, Input):
            assert deck.app.screen.query_one("#asked").region.contains_region(focused.region)
            assert focused.region.area > 0


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("severe", ["", "cuts your own connection"])
async def test_so_they_are_under_a_long_plan(size: tuple[int, int], severe: str) -> None:
    async with running(size=size) as deck:
        deck.app.push_screen(ConfirmDialog(long_plan(severe=severe)))
        await settled(deck)
        assert unseen(deck) == []
        if severe:
            field = deck.app.screen.query_one(Input)
            assert field.has_focus
            assert deck.app.screen.query_one("#asked").region.contains_region(field.region)


@pytest.mark.parametrize("size", SIZES)
async def test_and_under_a_long_page(size: tuple[int, int]) -> None:
    async with running(size=size) as deck:
        deck.app.push_screen(Page("A page", [Section("", tuple(Fact("", f"line {n}") for n in range(200)))]))
        await settled(deck)
        assert unseen(deck) == []
        await deck.press("end")
        await settled(deck)
        assert "line 199" in deck.text


@pytest.mark.parametrize("fleet", [small_fleet(), quiet()], ids=["in use", "quiet"])
async def test_a_token_can_be_made_shown_and_set_on_the_smallest_terminal(fleet: Snapshot) -> None:
    async with running(FakeHost(fleet), size=(40, 12)) as deck:
        await deck.press("t", "g")
        await settled(deck)
        assert "nobody has seen this token" in deck.text
        assert unseen(deck) == []
        await deck.press("enter")
        await settled(deck)
        assert "⏎ again sets it unseen" in deck.text
        assert unseen(deck) == []
        await deck.press("ctrl+r")
        await settled(deck)
        field = deck.app.screen.query_one(TokenField)
        assert field.token is not None
        assert field.token.reveal_text() in deck.text


async def test_what_a_key_opens_in_a_small_dialog_is_in_sight() -> None:
    async with running(size=(40, 12)) as deck:
        await deck.press("o", "down", "down")
        await settled(deck)
        await deck.press("x")
        await settled(deck)
        assert "character 1" in deck.text or "✗" in deck.text
        assert unseen(deck) == []


async def test_a_page_key_turns_what_does_not_fit() -> None:
    async with running(size=(40, 12)) as deck:
        await deck.press("o")
        await settled(deck)
        assert "while none of its VFs is in use" not in " ".join(deck.text.split())
        await deck.press("pagedown")
        await settled(deck)
        assert "becomes its" in deck.text
        await deck.press("pageup")
        await settled(deck)
        assert "(•) none" in deck.text


@pytest.mark.parametrize("key", ["", "t", "v", "b", "question_mark", "colon"])
async def test_a_terminal_too_small_says_so_whatever_is_open_and_comes_back(key: str) -> None:
    async with running(size=(80, 24)) as deck:
        if key:
            await deck.press(key)
        before = deck.dialog
        for size in ((39, 12), (40, 11), (20, 4), (1, 1)):
            await deck.pilot.resize_terminal(*size)
            await settled(deck)
            if size[0] >= 20 and size[1] >= 4:
                assert "vfdeck needs a" in " ".join(deck.text.split())
                assert "Cancel" not in deck.text
        await deck.pilot.resize_terminal(80, 24)
        await settled(deck)
        assert deck.dialog == before
        assert "vfdeck needs a" not in deck.text


async def test_nothing_is_agreed_to_where_it_cannot_be_read() -> None:
    host = FakeHost()
    async with running(host, size=(80, 24)) as deck:
        await deck.press("a")
        await deck.until(lambda: deck.dialog == "ConfirmDialog")
        await deck.pilot.resize_terminal(39, 11)
        await deck.until(lambda: "vfdeck needs a" in " ".join(deck.text.split()))
        await deck.press("y", "enter")
        assert deck.dialog == "ConfirmDialog"
        await deck.press("escape")
        assert deck.dialog == ""
        assert host.performed == []
