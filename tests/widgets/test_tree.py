"""The fleet tree as a widget."""

from __future__ import annotations

from textual.app import App, ComposeResult
from textual.message import Message

from tests import values
from tests.fake_host import NIC, NVME, PLAIN, small_fleet
from vfdeck.backend.model import Snapshot
from vfdeck.widgets.fleet_tree import FleetTree
from vfdeck.widgets.rows import RowId


class TreeApp(App[None]):
    """A tree and what it said."""

    def __init__(self, *snapshots: Snapshot) -> None:
        super().__init__()
        self.snapshots = snapshots
        self.said: list[RowId] = []

    def compose(self) -> ComposeResult:
        """The tree."""
        yield FleetTree()

    def on_mount(self) -> None:
        """Show."""
        self.tree_.focus()
        self.tree_.show(self.snapshots)

    @property
    def tree_(self) -> FleetTree:
        """The tree."""
        return self.query_one(FleetTree)

    def on_fleet_tree_selected(self, event: FleetTree.Selected) -> None:
        """Write it down."""
        self.said.append(event.row_id)

    def lines(self) -> list[str]:
        """What is on the screen."""
        return [self.tree_.render_line(y).text.rstrip() for y in range(self.tree_.size.height)]


VFS = [values.vf_address(NIC, n) for n in range(4)]


async def test_it_draws_host_pf_and_vf() -> None:
    app = TreeApp(small_fleet())
    async with app.run_test(size=(100, 12)) as pilot:
        await pilot.pause()
        lines = app.lines()
        assert lines[0].split()[:3] == ["function", "role", "state"]
        assert lines[1].startswith("▾ fake")
        assert lines[2].startswith(f"├─▾ {NIC}")
        assert lines[3].startswith(f"│ ├─ {VFS[0]} VF 0")
        assert lines[6].startswith(f"│ └─ {VFS[3]}")
        assert lines[7].startswith(f"├── {PLAIN}")
        assert "G group" in lines[7]
        assert lines[8].startswith(f"└── {NVME}")


async def test_the_cursor_starts_on_the_first_pf_and_moves() -> None:
    app = TreeApp(small_fleet())
    async with app.run_test(size=(80, 12)) as pilot:
        await pilot.pause()
        assert app.tree_.row_id == RowId("fake", NIC)
        await pilot.press("down", "down")
        assert app.tree_.row_id == RowId("fake", VFS[1])
        await pilot.press("end")
        assert app.tree_.row_id == RowId("fake", NVME)
        await pilot.press("home", "up")
        assert app.tree_.row_id == RowId("fake")


async def test_folding_hides_vfs_and_unfolding_brings_them_back() -> None:
    app = TreeApp(small_fleet())
    async with app.run_test(size=(80, 12)) as pilot:
        await pilot.pause()
        await pilot.press("left")
        assert len(app.tree_.rows) == 4
        await pilot.press("right")
        assert len(app.tree_.rows) == 8
        await pilot.press("enter", "enter", "right", "left")
        assert app.tree_.row_id == RowId("fake", NIC)
        await pilot.press("down", "left", "space")
        assert len(app.tree_.rows) == 4


async def test_enter_on_a_vf_selects_it() -> None:
    app = TreeApp(small_fleet())
    async with app.run_test(size=(80, 12)) as pilot:
        await pilot.pause()
        await pilot.press("down", "enter")
        await pilot.pause()
        assert app.said == [RowId("fake", VFS[0])]


async def test_cursor_and_folds_stay_with_the_function_through_a_refresh() -> None:
    app = TreeApp(small_fleet())
    async with app.run_test(size=(80, 14)) as pilot:
        await pilot.pause()
        await pilot.press("end")
        earlier = values.make_fleet(2, "0000:01:00.0")
        fuller = values.snapshot(*earlier, *small_fleet().functions.values(), host={"name": "fake"})
        app.tree_.show([fuller])
        assert app.tree_.row_id == RowId("fake", NVME)
        app.tree_.select(RowId("fake", NIC))
        await pilot.press("left")
        app.tree_.show([small_fleet()])
        assert not app.tree_.rows.is_open(RowId("fake", NIC))
        assert app.tree_.row_id == RowId("fake", NIC)


async def test_when_a_vf_vanishes_the_cursor_goes_to_its_pf() -> None:
    app = TreeApp(small_fleet())
    async with app.run_test(size=(80, 12)) as pilot:
        await pilot.pause()
        app.tree_.select(RowId("fake", VFS[2]))
        app.tree_.show([values.without(small_fleet(), VFS[2])])
        assert app.tree_.row_id == RowId("fake", NIC)


async def test_selecting_unfolds_what_hides_the_row() -> None:
    app = TreeApp(small_fleet())
    async with app.run_test(size=(80, 12)) as pilot:
        await pilot.pause()
        app.tree_.fold_all(True)
        app.tree_.select(RowId("fake", VFS[3]))
        assert app.tree_.row_id == RowId("fake", VFS[3])


async def test_the_mouse_moves_and_folds() -> None:
    app = TreeApp(small_fleet())
    async with app.run_test(size=(80, 12)) as pilot:
        await pilot.pause()
        await pilot.click(FleetTree, offset=(30, 5))
        assert app.tree_.row_id == RowId("fake", VFS[2])
        await pilot.click(FleetTree, offset=(2, 2))
        assert not app.tree_.rows.is_open(RowId("fake", NIC))
        await pilot.click(FleetTree, offset=(30, 0))
        await pilot.click(FleetTree, offset=(30, 11))
        assert app.tree_.row_id == RowId("fake", NIC)


async def test_a_long_fleet_scrolls_with_the_cursor_and_keeps_its_titles() -> None:
    app = TreeApp(values.snapshot(*values.make_fleet(60, totalvfs=60)))
    async with app.run_test(size=(80, 10)) as pilot:
        await pilot.pause()
        app.tree_.fold_all(False)
        await pilot.press("end")
        await pilot.pause()
        lines = app.lines()
        assert lines[0].startswith("function")
        assert values.vf_address(index=59) in lines[-1]
        await pilot.press("pageup", "home")
        await pilot.pause()
        assert app.lines()[1].startswith("▾ demo")


async def test_every_cell_has_a_style_and_every_line_the_full_width() -> None:
    app = TreeApp(small_fleet(), small_fleet("other"))
    async with app.run_test(size=(93, 24)) as pilot:
        await pilot.pause()
        for y in range(24):
            strip = app.tree_.render_line(y)
            assert strip.cell_length == 93
            assert all(segment.style is not None for segment in strip)


async def test_narrow_addresses_leave_the_domain_out() -> None:
    app = TreeApp(small_fleet())
    async with app.run_test(size=(40, 12)) as pilot:
        await pilot.pause()
        assert app.lines()[2].startswith("├─▾ 3b:00.0  R ready")


async def test_nothing_to_show_is_no_fault() -> None:
    app = TreeApp()
    async with app.run_test(size=(40, 6)) as pilot:
        await pilot.press("down", "left", "right", "enter", "space", "end", "home", "pagedown")
        assert app.tree_.row_id is None
        app.tree_.show([values.snapshot()])
        await pilot.press("down", "left", "right", "enter", "space", "end")
        assert app.tree_.row_id == RowId("demo")


def test_messages_can_be_dropped_for_newer_ones() -> None:
    old, new = FleetTree.Highlighted(RowId("a")), FleetTree.Highlighted(RowId("b"))
    assert old.can_replace(new)
    assert not old.can_replace(Message())
