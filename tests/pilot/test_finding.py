"""Search, filter, order, folds and what changed, on the live screen."""

from __future__ import annotations

import dataclasses
import time

import pytest

from tests import values
from tests.fake_host import NIC, NVME, FakeHost, small_fleet
from tests.pilot.driving import Deck, running
from vfdeck.app.dashboard.feed import SnapshotReady
from vfdeck.backend.changes import SetToken
from vfdeck.backend.model import Job, JobState, Snapshot, TokenState
from vfdeck.widgets.bars import KeyBar, ViewLine
from vfdeck.widgets.panel_view import PanelView
from vfdeck.widgets.query import QueryBar
from vfdeck.widgets.rows import RowId
from vfdeck.widgets.sections import plain_text

VFS = [values.vf_address(NIC, n) for n in range(8)]


def many() -> Snapshot:
    """A PF with eight VFs, one of them held; so there are a run of five and two VFs before."""
    return values.snapshot(
        *values.make_fleet(8, NIC, device="Ethernet Controller X710"),
        values.make_pf(NVME, device="NVMe SSD", driver="nvme", iommu_group=77),
        host={"name": "fake"},
        holders=(values.make_holder(VFS[2]),),
    )


def view(deck: Deck) -> str:
    """What the line about filter, search and marks says."""
    return deck.main.query_one(ViewLine).text


def facts(deck: Deck) -> str:
    """What the panel says."""
    return plain_text(deck.main.query_one(PanelView).sections)


async def test_vfs_that_are_alike_share_a_row() -> None:
    async with running(FakeHost(many())) as deck:
        assert "▸ VF 3–7" in deck.text
        assert "5 VFs" in deck.text
        assert VFS[5] not in deck.text
        await deck.press("down", "down", "down", "down")
        assert "the first of 5 VFs that are alike" in facts(deck)
        await deck.press("right")
        assert VFS[5] in deck.text
        await deck.press("down", "down", "left")
        assert "▸ VF 3–7" in deck.text
        assert deck.tree.row_id == RowId("fake", VFS[3])
        await deck.press("left")
        assert deck.tree.row_id == RowId("fake", NIC)


async def test_an_open_run_stays_open_through_a_refresh() -> None:
    host = FakeHost(many())
    async with running(host) as deck:
        await deck.press("end", "up", "right", "down", "down")
        assert deck.tree.row_id == RowId("fake", VFS[5])
        host.view = dataclasses.replace(host.view, holders=(*host.view.holders, values.make_holder(VFS[4], 77, "dpdk")))
        await deck.press("r")
        await deck.until(lambda: "dpdk" in deck.text)
        assert deck.tree.row_id == RowId("fake", VFS[5])
        assert VFS[7] in deck.text


async def test_minus_and_plus_go_step_by_step() -> None:
    async with running(FakeHost(many())) as deck:
        rows = [len(deck.tree.rows)]
        for key in ("minus", "minus", "plus", "plus", "plus", "minus"):
            await deck.press(key)
            rows.append(len(deck.tree.rows))
        assert rows == [7, 3, 3, 7, 11, 11, 7]


async def test_a_search_jumps_and_opens_folds_and_escape_returns() -> None:
    async with running(FakeHost(many())) as deck:
        await deck.press("down")
        await deck.press("slash", *"vf", "space")
        await deck.press("backspace", "backspace", "backspace", *VFS[6][5:])
        assert deck.tree.row_id == RowId("fake", VFS[6])
        assert VFS[7] in deck.text
        await deck.press("escape")
        assert deck.tree.row_id == RowId("fake", VFS[0])
        assert "▸ VF 3–7" in deck.text
        assert deck.tree.has_focus
        assert view(deck) == ""


async def test_what_a_search_opened_is_folded_when_it_ends() -> None:
    async with running(FakeHost(many()), FakeHost(dataclasses.replace(many(), host=values.make_host(name="other")))) as deck:
        await deck.press("slash", *VFS[6][5:])
        await deck.press("enter")
        assert VFS[7] in deck.text
        await deck.press("home", "escape")
        assert VFS[7] not in deck.text
        assert len(deck.tree.rows) == 14


async def test_what_the_cursor_stands_in_stays_open_when_a_search_ends() -> None:
    async with running(FakeHost(many())) as deck:
        await deck.press("minus", "slash", *VFS[6][5:])
        await deck.press("enter", "escape")
        assert deck.tree.row_id == RowId("fake", VFS[6])
        assert VFS[7] in deck.text


async def test_what_the_operator_opened_stays_open_when_a_search_ends() -> None:
    async with running(FakeHost(many())) as deck:
        await deck.press("end", "up", "right")  # the run of VF 3 to 7
        await deck.press("slash", *VFS[6][5:])
        await deck.press("enter", "home", "escape")
        assert VFS[7] in deck.text
        await deck.press("end", "up", "left")
        assert VFS[7] not in deck.text
        await deck.press("slash", *VFS[6][5:])
        await deck.press("enter", "left", "right", "home", "escape")  # folded and unfolded by hand
        assert VFS[7] in deck.text


async def test_a_second_search_that_is_given_up_leaves_nothing_open() -> None:
    async with running(FakeHost(many())) as deck:
        await deck.press("slash", *VFS[6][5:])
        await deck.press("enter", "home")
        assert VFS[7] in deck.text
        await deck.press("slash", *"nvme", "escape")
        assert VFS[7] not in deck.text
        assert deck.tree.row_id == RowId("fake")


async def test_n_goes_on_and_around() -> None:
    async with running() as deck:
        await deck.press("slash", *"role:vf")
        await deck.press("enter")
        assert deck.tree.row_id == RowId("fake", VFS[0])
        await deck.until(lambda: "1 of 4" in view(deck))
        await deck.press("n", "n", "n")
        assert deck.tree.row_id == RowId("fake", VFS[3])
        await deck.press("n")
        assert deck.tree.row_id == RowId("fake", VFS[0])
        await deck.press("N")
        assert deck.tree.row_id == RowId("fake", VFS[3])
        await deck.until(lambda: "4 of 4" in view(deck))
        await deck.press("escape", "n")
        assert "nothing was searched for" in deck.line


async def test_a_search_for_what_is_not_there_stays_where_one_is() -> None:
    async with running() as deck:
        await deck.press("down", "slash", *"zebra")
        await deck.until(lambda: "no match" in deck.text)
        assert deck.tree.row_id == RowId("fake", VFS[0])
        await deck.press("enter", "up")
        assert deck.tree.row_id == RowId("fake", NIC)


async def test_what_was_found_is_shown() -> None:
    async with running() as deck:
        await deck.press("slash", *"qemu", "enter")
        row = deck.tree.rows.find(RowId("fake", VFS[1]))
        assert row is not None
        strip = deck.tree.render_line(row + 1)
        lit = [s.text for s in strip if s.style and s.style.underline]
        assert lit == ["qemu"]


async def test_arrows_go_on_while_typing() -> None:
    async with running() as deck:
        await deck.press("slash", *"role:vf", "down", "down")
        assert deck.tree.row_id == RowId("fake", VFS[2])
        await deck.press("up", "enter")
        assert deck.tree.row_id == RowId("fake", VFS[1])


async def test_a_filter_leaves_what_it_keeps() -> None:
    async with running(FakeHost(many())) as deck:
        await deck.press("f", *"held:yes")
        await deck.press("enter")
        assert [row.id.bdf for row in deck.tree.rows] == ["", NIC, VFS[2]]
        assert view(deck).startswith("filter held:yes  1 of 10")
        await deck.press("f", "escape")
        assert len(deck.tree.rows) == 3
        await deck.press("escape")
        assert len(deck.tree.rows) == 7
        assert view(deck) == ""


async def test_a_filter_that_is_given_up_changes_nothing() -> None:
    async with running(FakeHost(many())) as deck:
        await deck.press("end", "f", *"held:yes")
        assert len(deck.tree.rows) == 3
        await deck.press("escape")
        assert len(deck.tree.rows) == 7
        assert deck.tree.row_id == RowId("fake", NVME)


async def test_a_filter_that_leaves_nothing_can_be_left() -> None:
    async with running() as deck:
        await deck.press("f", *"zebra", "enter")
        assert len(deck.tree.rows) == 0
        assert "0 of" in view(deck)
        await deck.press("down", "t", "d", "d", "m", "space", "plus")
        await deck.press("escape")
        assert deck.tree.row_id == RowId("fake", NIC)


async def test_the_line_helps_with_a_filter() -> None:
    async with running() as deck:
        await deck.press("f")
        assert "Tab: address:  driver:" in deck.line
        await deck.press(*"dri", "tab", *"v", "tab")
        assert deck.main.query_one(QueryBar).text == "driver:vfio-pci "
        await deck.press(*"x:")
        assert "no key x: there is address" in deck.line
        await deck.press("enter")
        assert deck.main.query_one(QueryBar).is_open
        await deck.press("backspace", "backspace", "enter")
        assert not deck.main.query_one(QueryBar).is_open
        assert deck.main.query_one(KeyBar).display
        assert view(deck).startswith("filter driver:vfio-pci")


async def test_half_a_key_leaves_everything() -> None:
    async with running(FakeHost(many())) as deck:
        await deck.press("f", *"held")
        assert len(deck.tree.rows) == 7
        await deck.press(*":")
        assert len(deck.tree.rows) == 7
        assert "Tab: held:yes  held:no" in deck.line
        await deck.press(*"yes")
        assert len(deck.tree.rows) == 3
        await deck.press("escape", "f", *"vf", "enter")
        assert view(deck).startswith("filter vf  ")


async def test_news_are_filtered_too() -> None:
    host = FakeHost(many())
    async with running(host) as deck:
        await deck.press("f", *"held:yes", "enter")
        host.view = dataclasses.replace(host.view, holders=(*host.view.holders, values.make_holder(VFS[4], 77, "dpdk")))
        await deck.press("r")
        await deck.until(lambda: "2 of 10" in view(deck))
        assert "dpdk" in deck.text


async def test_a_click_on_a_title_sorts_by_it_and_the_next_one_does_not() -> None:
    async with running(FakeHost(many())) as deck:
        title = deck.text.splitlines()[1].index("users")
        await deck.pilot.click("FleetTree", offset=(title, 0))
        assert deck.line.startswith("sorted by users")
        assert deck.tree.rows[2].id.bdf == VFS[2]
        await deck.pilot.click("FleetTree", offset=(title, 0))
        assert deck.line.startswith("sorted by address")
        assert deck.tree.rows[2].id.bdf == VFS[0]


async def test_a_filter_that_shows_nothing_is_said_to_whoever_acts() -> None:
    async with running(FakeHost(many())) as deck:
        await deck.press("f", *"nowhere", "enter", "o")
        assert deck.line == "Open: there is no row: nothing was read yet, or the filter shows nothing"


async def test_sorting_shows_by_what() -> None:
    async with running(FakeHost(many())) as deck:
        assert "users↓" not in deck.text
        await deck.press("s")
        assert "name" in deck.line
        await deck.press("s")
        assert "users↓" in deck.text or "user↓" in deck.text
        assert deck.tree.rows[2].id.bdf == VFS[2]
        await deck.press("s", "s")
        assert deck.tree.rows[2].id.bdf == VFS[0]


async def test_jumping_by_pf_and_host() -> None:
    async with running(FakeHost(small_fleet("a")), FakeHost(small_fleet("b"))) as deck:
        await deck.press("J", "J")
        assert deck.tree.row_id == RowId("a", NVME)
        await deck.press("right_curly_bracket")
        assert deck.tree.row_id == RowId("b")
        await deck.press("K", "left_curly_bracket")
        assert deck.tree.row_id == RowId("a")


async def test_what_changed_stands_out_until_it_is_old() -> None:
    host = FakeHost(many())
    async with running(host, follow=True) as deck:
        await deck.press("end")
        now = host.view.taken
        bound = dataclasses.replace(host.view.functions[NVME], driver="vfio-pci")
        functions = {**host.view.functions, NVME: bound}
        host.show(dataclasses.replace(host.view, functions=functions, taken=now + 1))
        await deck.until(lambda: "changed: state D driver → R ready; driver nvme → vfio-pci" in facts(deck))
        lit = [s.text.strip() for s in deck.tree.render_line(7) if s.style and s.style.reverse]
        assert lit == ["R ready", "vfio-pci"]
        host.show(dataclasses.replace(host.view, taken=now + 3))
        await deck.until(lambda: "changed" not in facts(deck))
        assert not any(s.style and s.style.reverse for s in deck.tree.render_line(7))


async def test_without_following_nothing_flashes() -> None:
    host = FakeHost(many())
    async with running(host) as deck:
        host.view = dataclasses.replace(host.view, holders=())
        await deck.press("r")
        await deck.until(lambda: "qemu" not in deck.text)
        assert "changed" not in facts(deck)


async def test_a_key_that_does_nothing_says_so() -> None:
    async with running() as deck:
        await deck.press("Q")
        assert deck.line == "Q does nothing here; ? lists the keys"
        await deck.press("down")
        assert "nothing here" not in deck.line


async def test_an_empty_host_offers_only_what_can_be_done() -> None:
    async with running(FakeHost(values.snapshot())) as deck:
        shown = deck.main.query_one(KeyBar).render().plain
        assert "Quit" in shown
        for label in ("Token", "Bind", "Open", "Filter", "Find"):
            assert label not in shown


@pytest.mark.parametrize(("waits_for", "state"), [("qemu (4242)", "W waiting"), ("", "B busy")])
async def test_only_who_waits_is_waiting(waits_for: str, state: str) -> None:
    job = Job(1, "x", NIC, JobState.RUNNING, "writing", values.NOON, waits_for)
    async with running(FakeHost(dataclasses.replace(small_fleet(), jobs=(job,)))) as deck:
        assert state in deck.text


async def test_a_token_that_was_set_is_shown_though_an_older_look_comes_in() -> None:
    host = FakeHost(dataclasses.replace(small_fleet(), tokens={NIC: values.make_knowledge(NIC, TokenState.UNSET)}))
    async with running(host) as deck:
        stale = SnapshotReady(host.name, host.view, time.monotonic())
        await deck.press("t", "g", "enter", "enter")
        await deck.until(lambda: deck.dialog == "ConfirmDialog")
        await deck.press("y")
        await deck.until(lambda: host.performed and deck.line.startswith("✓"))
        change = host.performed[0]
        assert isinstance(change, SetToken)
        await deck.until(lambda: host.looks == 2)
        deck.main.post_message(stale)
        await deck.pilot.pause()
        assert deck.main.fleet.snapshots[0] is not host.view
        assert f"#{change.token.fingerprint}" in deck.tree.render_line(2).text


@pytest.mark.parametrize("size", [(40, 12), (80, 24), (250, 80)])
async def test_everything_works_at_any_size(size: tuple[int, int]) -> None:
    async with running(FakeHost(many()), size=size) as deck:
        await deck.press("slash", *"qemu", "enter", "n", "f", *"held:yes", "enter", "s", "m", "plus", "minus")
        assert deck.tree.size.height >= 3
        assert deck.app.is_running
