"""One whole flow with the keyboard alone, and the same with the mouse alone: a token is set, an open is refused, read, closed."""

from __future__ import annotations

from typing import Any

from tests import values
from tests.fake_host import NIC, FakeHost, refused
from tests.pilot.driving import Deck, running
from tests.pilot.test_flows import confirm
from vfdeck.backend.changes import Open, SetToken
from vfdeck.backend.model import Snapshot

VF = values.vf_address(NIC, 0)
SIZE = (120, 40)


def free() -> Snapshot:
    """A PF with VFs that nobody holds."""
    return values.snapshot(*values.make_fleet(2, NIC))


async def click(deck: Deck, text: str, nth: int = 0) -> None:
    """Click on the middle of a text that is on the screen."""
    found = [(line.index(text) + len(text) // 2, y) for y, line in enumerate(deck.text.split("\n")) if text in line]
    assert len(found) > nth, f"{text} is not on the screen\n{deck.text}"
    await deck.pilot.click(offset=found[nth])
    await deck.pilot.pause()


async def test_with_the_keyboard() -> None:
    host = FakeHost(free())
    async with running(host, size=SIZE) as deck:
        await deck.press("down", "t", "g", "ctrl+r", "enter")
        change: Any = await confirm(deck, host)
        assert isinstance(change, SetToken)
        await deck.until(lambda: not deck.is_busy and deck.dialog in ("", "Page"))
        await deck.press("escape")
        host.script = refused
        await deck.press("plus", "plus", "o")
        await deck.until(lambda: deck.dialog == "OpenDialog")
        await deck.press("home", "enter")
        assert isinstance(await confirm(deck, host), Open)
        await deck.until(lambda: deck.dialog == "Page")
        assert "EACCES" in deck.page
        await deck.press("escape")
        assert deck.dialog == ""


async def test_with_the_mouse() -> None:
    host = FakeHost(free())
    async with running(host, size=SIZE) as deck:
        await click(deck, VF)
        assert deck.tree.row_id is not None
        assert deck.tree.row_id.bdf == VF
        await click(deck, "t Token")
        await deck.until(lambda: deck.dialog == "TokenDialog")
        await click(deck, "Make one")
        await click(deck, "Show")
        await click(deck, "Continue")
        await deck.until(lambda: deck.dialog == "ConfirmDialog")
        await click(deck, "Do it")
        await deck.until(lambda: host.performed)
        assert isinstance(host.performed[-1], SetToken)
        await deck.until(lambda: deck.dialog == "")
        host.script = refused
        await click(deck, "o Open")
        await deck.until(lambda: deck.dialog == "OpenDialog")
        await click(deck, "none")
        await click(deck, "Open  ⏎")
        await deck.until(lambda: deck.dialog == "ConfirmDialog")
        await click(deck, "Do it")
        await deck.until(lambda: deck.dialog == "Page")
        assert isinstance(host.performed[-1], Open)
        assert "EACCES" in deck.page
        await click(deck, "Close  Esc")
        assert deck.dialog == ""
