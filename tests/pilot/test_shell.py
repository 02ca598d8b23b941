"""The Shell panel on the running dashboard."""

from __future__ import annotations

import dataclasses

from tests.fake_host import NIC, FakeHost, done, refused, small_fleet
from tests.pilot.driving import Deck, running
from tests.pilot.test_panels import panel
from vfdeck.backend.sim import scenario
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


# -- copying ---------------------------------------------------------------------------------------------------------------
async def test_nothing_is_copied_before_anything_was_changed() -> None:
    async with running() as deck:
        await deck.press("C")
        assert "nothing was changed yet" in deck.line
        assert deck.app.clipboard == ""


async def test_a_plan_is_copied_and_not_carried_out() -> None:
    host = FakeHost()
    async with running(host) as deck:
        await deck.press("a", "C")
        assert deck.dialog == "ConfirmDialog"
        assert deck.app.clipboard.splitlines() == [f"# SetAutoprobe on {NIC}", COMMAND]
        assert "1 command sent to your clipboard (OSC 52)" in deck.text
        await deck.press("escape")
        assert not host.performed


async def test_the_last_change_is_copied_and_so_is_what_a_page_shows() -> None:
    host = FakeHost()
    host.script = lambda change: dataclasses.replace(refused(change), done=())
    async with running(host, size=(120, 40)) as deck:
        await deck.press("a", "y")
        await deck.until(lambda: deck.dialog == "Page")
        await deck.press("C")
        assert f"# refused: {COMMAND}" in deck.app.clipboard.splitlines()
        assert "comments only" in deck.text
        await deck.press("escape")
        host.script = done
        await changed(deck)
        await deck.press("C")
        assert deck.app.clipboard.splitlines()[1:] == [COMMAND, "# done"]
        assert "1 command sent" in deck.line


async def test_no_token_is_copied() -> None:
    token = "9e3b1d52-7c41-4f0a-8a6e-2f5b8c1d9e07"
    host = scenario.load("default", seed=1)
    async with running(host, size=(120, 40)) as deck:
        while deck.tree.row_id is None or deck.tree.row_id.bdf != "0000:af:00.0":
            await deck.press("down")
        await deck.press("t")
        await deck.paste(token)
        await deck.press("enter")
        await deck.until(lambda: deck.dialog == "ConfirmDialog")
        await deck.press("C")
        plan = deck.app.clipboard
        await deck.press("y")
        await deck.until(lambda: "✓" in deck.line)
        await deck.press("C")
        assert "vf_token=..." in plan
        assert "vf_token=..." in deck.app.clipboard
        assert token not in plan + deck.app.clipboard
