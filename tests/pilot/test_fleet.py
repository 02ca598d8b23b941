"""A fleet of fifty hosts: it comes in bit by bit, each host in a line, and what is odd is found."""

from __future__ import annotations

import threading
from dataclasses import replace

from tests import values
from tests.fake_host import FakeHost, done
from tests.pilot.driving import PATIENCE, Deck, running
from vfdeck.app.dashboard.app import DashboardApp
from vfdeck.backend.model import Snapshot
from vfdeck.backend.sim import scenario
from vfdeck.widgets.bars import Banner
from vfdeck.widgets.panel_view import PanelView
from vfdeck.widgets.rows import RowId
from vfdeck.widgets.sections import plain_text

PF = values.PF


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
        assert [row.id.host for row in deck.tree.rows] == ["h00", "h30", "h31"]
        assert [member.host for row in deck.tree.rows for member in deck.tree.rows.members(row)] == [one.name for one in hosts]


async def test_hosts_that_are_alike_share_a_line_until_it_is_opened() -> None:
    async with running(*fleet(), size=(120, 40)) as deck:
        assert "▸ h00 … h29  30 hosts · each 6.12.107+deb13-amd64 · 1 PF · 40 VFs · all free" in deck.text
        assert "▸ h30  " in deck.text
        assert "no IOMMU" in deck.text
        assert "▸ h31 … h49  19 hosts" in deck.text
        assert len(deck.tree.rows) == 3
        await deck.press("right")
        assert len(deck.tree.rows) == 32
        assert deck.tree.row_id == RowId("h00")
        await deck.press("down", "right")
        assert len(deck.tree.rows) == 34
        await deck.press("left", "left")
        assert len(deck.tree.rows) == 3
        assert deck.tree.row_id == RowId("h00")
        await deck.press("enter")
        assert len(deck.tree.rows) == 32


async def test_one_step_after_the_other_shows_more_and_less() -> None:
    async with running(*fleet(), size=(120, 40)) as deck:
        seen = [len(deck.tree.rows)]
        for key in ("plus", "plus", "plus", "plus", "minus", "minus", "minus", "minus", "minus"):
            await deck.press(key)
            seen.append(len(deck.tree.rows))
        assert seen == [3, 50, 150, 2100, 2100, 150, 100, 50, 3, 3]


async def test_a_host_that_becomes_otherwise_leaves_the_line_at_once() -> None:
    hosts = fleet()
    async with running(*hosts, size=(120, 40)) as deck:
        held = (values.make_holder(values.vf_address(PF, 7)),)
        hosts[4].show(replace(hosts[4].view, holders=held))
        deck.main._feed.look_soon("h04")
        await deck.until(lambda: len(deck.tree.rows) == 5)
        assert [row.id.host for row in deck.tree.rows] == ["h00", "h04", "h05", "h30", "h31"]
        assert "▸ h00 … h03  4 hosts" in deck.text


async def test_what_is_searched_for_comes_out_of_the_line() -> None:
    async with running(*fleet(), size=(120, 40)) as deck:
        await deck.press("slash", *"h12", "enter")
        await deck.until(lambda: deck.tree.row_id is not None and deck.tree.row_id.host == "h12")
        assert deck.tree.row is not None
        assert deck.tree.row.size == 1


async def test_a_line_of_many_hosts_says_so_beside_it_and_no_change_is_about_it() -> None:
    async with running(*fleet(), size=(120, 40)) as deck:
        assert "the first of 30 hosts that are alike" in plain_text(deck.main.query_one(PanelView).sections)
        await deck.press("m")
        assert not deck.tree.marks
        await deck.press("home", "t")
        assert deck.dialog == ""


async def test_a_stuck_change_shows_on_its_host_and_the_others_stay_usable() -> None:
    stuck, others = scenario.load("default", seed=1), [host(number) for number in range(20)]
    for one in others:
        one.script = done
    async with running(stuck, *others, size=(120, 40)) as deck:
        deck.tree.select(RowId(stuck.name, "0000:03:00.0"))
        await deck.press("v", "0", "enter")
        await deck.until(lambda: deck.dialog == "ConfirmDialog")
        await deck.press("Y")
        await deck.until(lambda: any(job.waits_for for job in stuck.snapshot().jobs))
        await deck.press("r")
        await deck.until(lambda: "1 change waiting" in deck.text)
        line = next(line for line in deck.text.splitlines() if "1 change waiting" in line)
        assert stuck.name in line
        assert "▸ h00 … h19  20 hosts" in deck.text
        deck.tree.select(RowId("h05", PF))
        await deck.press("t")
        await deck.paste("9e3b1d52-7c41-4f0a-8a6e-2f5b8c1d9e07")
        await deck.press("enter")
        await deck.until(lambda: deck.dialog == "ConfirmDialog")
        await deck.press("y")
        await deck.until(lambda: "Done: SetToken on h05" in deck.text)
        assert deck.line.startswith(f"◔ {stuck.name} 0000:03:00.0: 8 -> 0 VFs")
        assert any(job.waits_for for job in stuck.snapshot().jobs)
        assert "1 change waiting" in deck.text


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
