"""A fleet of fifty hosts: it comes in bit by bit, each host in a line, and what is odd is found."""

from __future__ import annotations

import threading
from dataclasses import replace

from tests import values
from tests.fake_host import FakeHost
from tests.pilot.driving import PATIENCE, Deck, running
from vfdeck.app.dashboard.app import DashboardApp
from vfdeck.backend.model import Snapshot
from vfdeck.widgets.bars import Banner
from vfdeck.widgets.rows import RowId

PF = "0000:3b:00.0"


def host(number: int, **facts: object) -> FakeHost:
    """A host with a PF and forty VFs."""
    return FakeHost(values.snapshot(*values.make_fleet(40), host={"name": f"h{number:02}", **facts}))


def fleet(odd: int = 30) -> list[FakeHost]:
    """Fifty hosts, one of which has no IOMMU."""
    return [host(number, iommu=number != odd) for number in range(50)]


def banner(deck: Deck) -> str:
    """What the line at the top says."""
    return str(deck.main.query_one(Banner).render())


class Slow(FakeHost):
    """A host that lets itself be looked at only once it is `ready`."""

    def __init__(self, view: Snapshot) -> None:
        super().__init__(view)
        self.ready = threading.Event()

    def snapshot(self) -> Snapshot:
        """The present value, in its own time."""
        self.ready.wait(PATIENCE)
        return super().snapshot()


async def test_hosts_come_in_as_they_are_read() -> None:
    hosts, slow = fleet(), Slow(host(7).view)
    hosts[7] = slow
    app = DashboardApp(hosts, follow=False)
    async with app.run_test(size=(120, 40)) as pilot:
        deck = Deck(app, pilot)
        await deck.until(lambda: len(deck.main.fleet.snapshots) == 49)
        assert "49 of 50 hosts read" in banner(deck)
        assert deck.tree.row_id == RowId("h00")
        slow.ready.set()
        await deck.until(lambda: len(deck.main.fleet.snapshots) == 50)
        assert "50 hosts" in banner(deck)
        assert "hosts read" not in banner(deck)
        assert [row.id.host for row in deck.tree.rows] == [one.name for one in hosts]


async def test_each_host_is_a_line_until_it_is_opened() -> None:
    async with running(*fleet(), size=(120, 40)) as deck:
        assert len(deck.tree.rows) == 50
        await deck.press("down", "right")
        assert len(deck.tree.rows) == 52
        await deck.press("minus", "minus")
        assert len(deck.tree.rows) == 50
        assert deck.tree.row_id == RowId("h01")
        await deck.press("plus")
        assert len(deck.tree.rows) == 100
        await deck.press("plus")
        assert len(deck.tree.rows) == 150
        assert deck.tree.row_id == RowId("h01")


async def test_what_is_odd_comes_first_when_sorted_by_state() -> None:
    async with running(*fleet(odd=30), size=(120, 40)) as deck:
        await deck.press("s", "s", "s")
        await deck.until(lambda: deck.tree.rows[0].id == RowId("h30"))


async def test_only_the_host_that_changed_is_drawn_anew() -> None:
    hosts = fleet()
    async with running(*hosts, size=(120, 40)) as deck:
        before = {one.host.name: one for one in deck.main.fleet.snapshots}
        hosts[4].show(replace(hosts[4].view, taken=hosts[4].view.taken + 9))
        deck.main._feed.look_soon("h04")
        await deck.until(lambda: snapshot(deck, "h04") is not before["h04"])
        assert all(snapshot(deck, name) is one for name, one in before.items() if name != "h04")


def snapshot(deck: Deck, name: str) -> Snapshot | None:
    """A host's latest look."""
    return deck.main.fleet.snapshot(name)
