"""The Shell panel on the running dashboard."""

from __future__ import annotations

from tests.fake_host import NIC, FakeHost, done, refused, small_fleet
from tests.pilot.driving import Deck, running
from tests.pilot.test_panels import panel
from vfdeck.widgets.panel_view import PanelView

COMMAND = f"echo x > /sys/bus/pci/devices/{NIC}/x"


async def changed(deck: Deck) -> None:
    """Autoprobe of the first PF."""
    await deck.press("a", "y")
    await deck.until(lambda: "✓" in deck.line)


async def test_a_change_comes_to_the_panel_when_it_begins_and_when_it_is_over() -> None:
    host = FakeHost()
    host.script = done
    host.gate.clear()
    async with running(host, size=(120, 40)) as deck:
        await deck.press("6")
        assert "nothing was changed yet" in panel(deck)
        await deck.press("a", "y")
        await deck.until(lambda: panel(deck).endswith("# under way"))
        assert COMMAND in panel(deck)
        host.gate.set()
        await deck.until(lambda: panel(deck).endswith("# done"))
        await deck.press("down")  # whatever the cursor stands on
        assert COMMAND in panel(deck)


async def test_a_refusal_is_a_comment_and_hosts_are_named() -> None:
    host = FakeHost()
    host.script = refused
    async with running(host, FakeHost(small_fleet("other")), size=(120, 40)) as deck:
        await deck.press("6", "a", "y")
        await deck.until(lambda: deck.dialog == "Page")
        await deck.press("escape")
        assert f"fake SetAutoprobe on fake {NIC}" in panel(deck)
        assert panel(deck).splitlines()[-1].startswith("# Refused: EACCES")


async def test_the_end_is_in_sight_until_somebody_scrolls_away_from_it() -> None:
    host = FakeHost()
    host.script = done
    async with running(host, size=(80, 24)) as deck:
        for _ in range(6):
            await changed(deck)
        await deck.press("6")
        view = deck.main.query_one(PanelView)
        await deck.until(lambda: view.max_scroll_y > 0 and view.is_vertical_scroll_end)
        await changed(deck)
        await deck.until(lambda: panel(deck).count(COMMAND) == 7 and view.is_vertical_scroll_end)
        view.scroll_home(animate=False)
        await changed(deck)
        await deck.until(lambda: panel(deck).count(COMMAND) == 8)
        assert view.scroll_offset.y == 0
