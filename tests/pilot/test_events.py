"""The Events panel on the running dashboard: uevents, the kernel's log, what looks find, and what was done here."""

from __future__ import annotations

import dataclasses

from tests import values
from tests.fake_host import NIC, FakeHost, done
from tests.pilot.driving import Deck, running
from tests.pilot.test_panels import panel
from vfdeck.backend.kernel import LogLine, Uevent
from vfdeck.backend.sim import scenario

VF = values.vf_address(NIC, 0)


async def test_what_happens_comes_to_the_panel_from_everywhere() -> None:
    host = FakeHost()
    host.script = done
    host.lines = [
        LogLine(1.0, f"vfio-pci {VF}: VF token required to access device", time=host.view.taken - 5),
        LogLine(2.0, "usb 1-1: new device", time=host.view.taken - 4),
    ]
    host.events = [Uevent("change", "pci", "/devices/x", NIC, "", host.view.taken + 1)]
    async with running(host, size=(120, 40), follow=True) as deck:
        await deck.press("5")
        await deck.until(lambda: "kernel: vfio-pci" in panel(deck))
        host.show(host.view)  # somebody waits, and hears
        await deck.until(lambda: f"uevent: change pci {NIC}" in panel(deck))
        await deck.press("a", "y")
        await deck.until(lambda: f"vfdeck: Done: SetAutoprobe on {NIC}" in panel(deck))
        pf = host.view.functions[NIC]
        host.replace(dataclasses.replace(pf, driver=None))
        await deck.until(lambda: "driver is now" in panel(deck))
        assert "usb" not in panel(deck)
        assert "may not be read" not in panel(deck)
        assert f"PF {NIC} and its VFs" in deck.text


async def test_a_log_that_may_not_be_read_is_said_and_one_that_is_hidden_is_not_read() -> None:
    host = FakeHost()
    asked = []
    host.log = lambda: asked.append(1)  # type: ignore[method-assign]
    async with running(host) as deck:
        await deck.press("down", "up")
        assert not asked
        await deck.press("5")
        await deck.until(lambda: "the kernel log may not be read" in panel(deck))
        assert "nothing has happened" in panel(deck)
        assert len(asked) == 1


async def test_a_log_whose_reading_fails_ends_nothing_and_tells_no_token() -> None:
    token = "9e3b1d52-7c41-4f0a-8a6e-2f5b8c1d9e07"
    host = FakeHost()

    def fail() -> list[LogLine]:
        raise RuntimeError(token)

    host.log = fail  # type: ignore[method-assign]
    async with running(host) as deck:
        await deck.press("5")
        await deck.until(lambda: "could not be read (RuntimeError)" in panel(deck))
        assert token not in deck.text


async def test_a_token_in_the_log_is_hidden() -> None:
    token = "9e3b1d52-7c41-4f0a-8a6e-2f5b8c1d9e07"
    host = FakeHost()
    host.lines = [LogLine(1.0, f"audit: qemu -device vfio-pci,host={VF},vf-token={token}", time=host.view.taken)]
    async with running(host) as deck:
        await deck.press("5")
        await deck.until(lambda: "audit: qemu" in panel(deck))
        assert token not in panel(deck)


async def test_the_demo_tells_of_vfs_that_come() -> None:
    host = scenario.load("default", seed=1)
    host.advance(20)

    def is_there(deck: Deck, *words: str) -> bool:
        return all(word in panel(deck) for word in words)

    async with running(host, size=(120, 40), follow=True) as deck:
        while deck.tree.row_id is None or deck.tree.row_id.bdf != "0000:af:00.0":
            await deck.press("down")
        await deck.press("v", "0", "enter")
        await deck.until(lambda: deck.dialog == "ConfirmDialog")
        await deck.press("Y")
        await deck.until(lambda: "✓" in deck.line)
        await deck.press("5")
        await deck.until(lambda: is_there(deck, "vfdeck: Done", "uevent: remove pci", "VFs of 0000:af:00.0"))
