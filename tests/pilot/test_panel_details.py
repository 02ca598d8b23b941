"""What the panels say of a demo host: looked up once the cursor rests, and an open told rung by rung."""

from __future__ import annotations

from tests.fake_host import NIC, FakeHost, refused
from tests.pilot.driving import Deck, running
from vfdeck.backend.changes import Open
from vfdeck.backend.details import Details, Part
from vfdeck.backend.sim.scenario import load
from vfdeck.backend.vpd import Vpd
from vfdeck.widgets.panel_view import PanelView
from vfdeck.widgets.sections import plain_text


def panel(deck: Deck) -> str:
    """What the panel says."""
    return plain_text(deck.main.query_one(PanelView).sections)


async def settled(deck: Deck) -> str:
    """The panel, once what it needs was looked up."""
    await deck.until(lambda: not deck.main.is_inspecting)
    return panel(deck)


async def test_the_device_panel_of_a_demo_host() -> None:
    async with running(load("default"), size=(120, 40)) as deck:
        said = await settled(deck)
        for expected in (
            "X710 10GbE Controller",
            "serial: 3CFDFE9E1A40",
            "1. flr: function alone",
            "driverctl binds it to vfio-pci",
        ):
            assert expected in said


async def test_each_panel_asks_for_what_it_shows() -> None:
    host = FakeHost()
    host.known[NIC] = Details(NIC, vpd=Vpd("the card"))
    async with running(host, size=(120, 40)) as deck:
        assert "the card" in await settled(deck)
        assert {part for _, parts in host.looked_up for part in parts} == {Part.RESETS, Part.LASTING, Part.VPD}
        await deck.press("3")
        await settled(deck)
        assert (NIC, frozenset({Part.OPENING})) in host.looked_up
        await deck.press("2")
        await settled(deck)
        assert (NIC, frozenset({Part.LEAKS})) in host.looked_up
        count = len(host.looked_up)
        await deck.press("4", "1")
        await settled(deck)
        assert len(host.looked_up) == count


async def test_nothing_is_asked_where_no_panel_is_seen() -> None:
    host = FakeHost()
    async with running(host, size=(60, 14)) as deck:
        await deck.press("down", "down")
        assert not deck.main.is_inspecting
        await deck.press("1")
        await settled(deck)
        assert host.looked_up


async def test_a_host_that_cannot_tell_is_a_bug_and_the_panel_goes_on() -> None:
    class Broken(FakeHost):
        def details(self, *_: object) -> Details:
            raise RuntimeError

    async with running(Broken(), size=(120, 40)) as deck:
        assert "driver: vfio-pci" in await settled(deck)
        assert "this is a bug" in deck.line


async def test_an_attempt_is_told_until_something_else_is_changed() -> None:
    host = FakeHost()
    host.script = lambda change: refused(change) if isinstance(change, Open) else type(refused(change))(change)
    async with running(host, size=(120, 40)) as deck:
        await deck.press("3")
        assert "The last attempt" not in panel(deck)
        await deck.press("o", "enter")
        await deck.until(lambda: deck.dialog == "ConfirmDialog")
        await deck.press("y")
        await deck.until(lambda: deck.dialog == "Page")
        await deck.press("escape")
        await deck.until(lambda: "The last attempt" in panel(deck))
        assert "✗ get the device from the group, which judges a token: refused" in panel(deck)
        await deck.press("a")
        await deck.until(lambda: deck.dialog == "ConfirmDialog")
        await deck.press("y")
        await deck.until(lambda: "The last attempt" not in panel(deck))
