"""The rows of the fleet, against a flattening that a child could write."""

from __future__ import annotations

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from tests import values
from vfdeck.backend.folding import runs, standing_alone
from vfdeck.backend.model import Function, Role, Snapshot
from vfdeck.widgets.alike import likeness
from vfdeck.widgets.branches import EVERYTHING, LEAST_RUN, Branches, View, shown_at_top
from vfdeck.widgets.rows import FleetRows, Folds, Row, RowId
from vfdeck.widgets.sorting import Order
from vfdeck.widgets.state import Index, index_of

NAMES = ("alpha", "beta", "gamma")
DRIVERS = st.sampled_from(["vfio-pci"] * 6 + [None, "iavf"])


@st.composite
def hosts(draw: st.DrawFn, name: str) -> Snapshot:
    """A host with PFs, VFs some of which are alike, vanished or belong nowhere, and plain functions."""
    functions: list[Function] = []
    for bus in range(draw(st.integers(0, 3))):
        bdf = f"0000:{bus + 1:02x}:00.0"
        pf, *vfs = values.make_fleet(draw(st.integers(0, 9)), bdf)
        functions += [pf, *(dataclasses.replace(vf, driver=draw(DRIVERS)) for vf in vfs)]
    for device in range(draw(st.integers(0, 2))):
        functions.append(values.make_plain(f"0000:20:{device:02x}.0", driver=draw(st.sampled_from([None, "igb", "vfio-pci"]))))
    if draw(st.booleans()):
        orphan = values.make_vf("0000:7f:00.0", 1, physfn=draw(st.sampled_from([None, "0000:7f:00.0", "0000:01:00.0"])))
        functions.append(orphan)
    bdfs = [f.bdf for f in functions]
    held: set[str] = draw(st.sets(st.sampled_from(bdfs), max_size=2)) if functions else set()
    view = values.snapshot(*functions, host={"name": name}, holders=tuple(values.make_holder(bdf) for bdf in sorted(held)))
    gone: set[str] = draw(st.sets(st.sampled_from(bdfs), max_size=3)) if functions else set()
    return values.without(view, *gone)


def on_vfio(function: Function, _: Index) -> bool:
    """A filter."""
    return function.on_vfio


VIEWS = [EVERYTHING, View(on_vfio), *(View(None, order) for order in Order), View(on_vfio, Order.STATE)]


@st.composite
def fleets(draw: st.DrawFn) -> tuple[tuple[Snapshot, ...], Folds]:
    """Some hosts, and what is folded; some of that is of functions that are not there."""
    snapshots: tuple[Snapshot, ...] = tuple(draw(hosts(name)) for name in NAMES[: draw(st.integers(0, 3))])
    same = draw(st.booleans())
    if snapshots and same:  # all alike, which chance alone seldom makes
        like = snapshots[0]
        snapshots = tuple(dataclasses.replace(like, host=dataclasses.replace(like.host, name=name)) for name in NAMES)
    known = [RowId("nowhere", "0000:01:00.0")] + [RowId(s.host.name, bdf) for s in snapshots for bdf in ("", *s.functions)]
    ids = st.frozensets(st.sampled_from(known))
    shut = [draw(st.booleans()) for _ in range(4)]
    return snapshots, Folds(draw(ids), shut[0], shut[1], shut[2], draw(ids), shut[3])


def naive(snapshots: tuple[Snapshot, ...], folds: Folds) -> list[Row]:
    """Every row, by walking everything. All three hosts are one row where they are shut and alike: see alike.py and its tests."""
    names = {RowId(snapshot.host.name) for snapshot in snapshots}
    alike = [likeness(Branches(snapshot, EVERYTHING)) for snapshot in snapshots]
    all_shut = all(folds.hosts_open != (name not in folds.others) for name in names)
    all_alike = len(names) == 3 and alike[0] is not None and alike[0] == alike[1] == alike[2]
    if all_shut and all_alike and folds.alike_open == bool(names & folds.alike):
        return [Row(RowId(NAMES[0]), 0, False, False, True, True, 3)]
    rows: list[Row] = []
    for snapshot in snapshots:
        host, children = RowId(snapshot.host.name), under(snapshot)
        placed = {vf.bdf for vfs in children.values() for vf in vfs}
        tops = [f.bdf for f in snapshot.functions.values() if f.bdf not in placed and shown_at_top(f)]
        is_open = folds.hosts_open == (host not in folds.others)
        rows.append(Row(host, 0, False, False, bool(tops), not is_open))
        if not is_open:
            continue
        for bdf in tops:
            last, vfs, row_id = bdf == tops[-1], children.get(bdf, []), RowId(snapshot.host.name, bdf)
            shut = bool(vfs) and folds.pfs_open == (row_id in folds.others)
            rows.append(Row(row_id, 1, last, False, bool(vfs), shut))
            if not shut:
                rows += naive_vfs(snapshot, vfs, last, folds)
    return rows


def under(snapshot: Snapshot) -> dict[str, list[Function]]:
    """The VFs of every PF."""
    return {pf.bdf: [v for v in snapshot.vfs_of(pf.bdf) if v.role is Role.VF and v.physfn == pf.bdf] for pf in snapshot.pfs()}


def naive_vfs(snapshot: Snapshot, vfs: list[Function], parent_last: bool, folds: Folds) -> list[Row]:
    """The rows of a PF's VFs."""
    rows: list[Row] = []
    name = snapshot.host.name
    for run in runs(snapshot, vfs, standing_alone(snapshot), LEAST_RUN):
        touched = any(RowId(name, vf.bdf) in folds.others for vf in run)
        if len(run) == 1 or folds.runs_open != touched:
            for vf in run:
                mark = len(run) > 1 and vf is run[0]
                rows.append(Row(RowId(name, vf.bdf), 2, vf is vfs[-1], parent_last, mark, False))
        else:
            rows.append(Row(RowId(name, run[0].bdf), 2, run[-1] is vfs[-1], parent_last, True, True, len(run)))
    return rows


@given(fleets())
def test_rows_are_those_of_the_naive_flattening(fleet: tuple[tuple[Snapshot, ...], Folds]) -> None:
    rows, expected = FleetRows(*fleet), naive(*fleet)
    assert list(rows) == expected
    assert len(rows) == len(expected)


@given(fleets(), st.sampled_from(VIEWS))
def test_every_row_is_found_where_it_is(fleet: tuple[tuple[Snapshot, ...], Folds], view: View) -> None:
    rows = FleetRows(*fleet, view=view)
    for index, row in enumerate(rows):
        assert rows.find(row.id) == index
        for member in rows.members(row):
            assert rows.find(member) == index
            assert member in rows.run(row.id)
        parent = rows.parent(row.id)
        assert (parent is None) == (row.depth == 0)
        if parent is not None:
            assert rows[rows.find(parent) or 0].depth == row.depth - 1
    orders = [rows.order(row.id) or () for row in rows]
    assert orders == sorted(orders)
    assert all(orders)


@given(fleets())
def test_what_is_folded_is_found_at_what_it_is_folded_into(fleet: tuple[tuple[Snapshot, ...], Folds]) -> None:
    snapshots, folds = fleet
    rows, unfolded = FleetRows(snapshots, folds), FleetRows(snapshots, Folds(runs_open=True))
    for row in unfolded:
        row_id: RowId | None = row.id
        chain = []
        while row_id is not None:
            chain.append(row_id)
            row_id = rows.parent(row_id)
        shut = [one for one in chain[1:] if not rows.is_open(one)]
        found = rows.find(row.id)
        assert found is not None
        if shut:
            assert found == rows.find(shut[-1])
        else:
            assert row.id in rows.members(rows[found])


@given(fleets(), fleets(), st.sampled_from(VIEWS), st.sampled_from(VIEWS))
def test_the_layout_does_not_depend_on_the_one_before(
    before: tuple[tuple[Snapshot, ...], Folds], after: tuple[tuple[Snapshot, ...], Folds], old: View, new: View
) -> None:
    expected = list(FleetRows(*after, view=new))
    assert list(FleetRows(*after, FleetRows(*before, view=old), new)) == expected
    made = [Branches(snapshot, new) for snapshot in after[0]]
    assert list(FleetRows(*after, FleetRows(*before, view=old), new, made)) == expected


@given(fleets())
def test_a_filter_leaves_what_it_keeps_and_the_pfs_above(fleet: tuple[tuple[Snapshot, ...], Folds]) -> None:
    snapshots, _ = fleet
    rows = FleetRows(snapshots, Folds(runs_open=True), view=View(on_vfio))
    shown = [row.id for row in rows if row.depth]
    everything = [row.id for row in FleetRows(snapshots, Folds(runs_open=True)) if row.depth]
    kept = [r for r in everything if (f := rows.function(r)) is not None and f.on_vfio]
    above = {parent for r in kept if (parent := FleetRows(snapshots).parent(r)) is not None}
    assert [r for r in everything if r in kept or r in above] == shown
    assert (rows.matched, rows.total) == (len(kept), len(everything))
    assert {row.id.host for row in rows} == {r.host for r in kept}


@given(fleets(), st.sampled_from(Order))
def test_an_order_changes_nothing_but_the_order(fleet: tuple[tuple[Snapshot, ...], Folds], order: Order) -> None:
    snapshots, _ = fleet
    rows = FleetRows(snapshots, Folds(runs_open=True), view=View(None, order))
    plain = FleetRows(snapshots, Folds(runs_open=True))
    assert sorted(row.id for row in rows) == sorted(row.id for row in plain)
    assert {row.id: rows.parent(row.id) for row in rows} == {row.id: plain.parent(row.id) for row in plain}
    if order is Order.ADDRESS:
        assert list(rows) == list(plain)


@given(fleets(), st.sampled_from([1, -1]), st.sampled_from([0, 1]))
def test_jumping_goes_to_the_nearest_of_its_kind(fleet: tuple[tuple[Snapshot, ...], Folds], step: int, depth: int) -> None:
    rows = FleetRows(*fleet)
    for index in range(len(rows)):
        ahead = range(index + 1, len(rows)) if step > 0 else range(index - 1, -1, -1)
        assert rows.neighbour(index, step, depth) == next((n for n in ahead if rows[n].depth == depth), None)


def test_orders_put_first_what_they_say() -> None:
    quiet = values.make_fleet(4, "0000:01:00.0", device="B card")
    used = values.make_fleet(4, "0000:02:00.0", device="A card")
    ill = values.make_plain("0000:04:00.0", iommu_group=7, device="C card")
    beside = values.make_plain("0000:04:00.1", iommu_group=7, driver="igb")
    holders = (values.make_holder(used[3].bdf),)
    view = values.snapshot(*quiet, *used, ill, beside, holders=holders)

    def tops(order: Order) -> list[str]:
        return [row.id.bdf for row in FleetRows([view], view=View(None, order)) if row.depth == 1]

    assert tops(Order.ADDRESS) == [quiet[0].bdf, used[0].bdf, ill.bdf]
    assert tops(Order.NAME) == [used[0].bdf, quiet[0].bdf, ill.bdf]
    assert tops(Order.USERS) == [used[0].bdf, quiet[0].bdf, ill.bdf]
    assert tops(Order.STATE)[0] == ill.bdf
    rows = FleetRows([view], view=View(None, Order.USERS))
    assert rows[2].id.bdf == used[3].bdf


def test_hosts_are_sorted_too() -> None:
    idle = values.snapshot(*values.make_fleet(2), host={"name": "a"})
    busy = values.snapshot(*values.make_fleet(2), host={"name": "b"}, holders=(values.make_holder(values.vf_address()),))
    assert next(row.id.host for row in FleetRows([idle, busy], view=View(None, Order.USERS))) == "b"
    assert next(row.id.host for row in FleetRows([busy, idle], view=View(None, Order.NAME))) == "a"
    assert next(row.id.host for row in FleetRows([busy, idle])) == "b"


def test_a_vanished_function_is_not_found() -> None:
    view = values.snapshot(*values.make_fleet(2))
    vf = values.vf_address(index=1)
    assert FleetRows([view]).find(RowId("demo", vf)) is not None
    assert FleetRows([values.without(view, vf)]).find(RowId("demo", vf)) is None
    assert FleetRows([view]).find(RowId("elsewhere", vf)) is None


def test_a_vf_that_its_pf_does_not_list_still_has_a_row() -> None:
    pf, vf = values.make_fleet(1)
    assert pf.sriov is not None
    view = values.snapshot(dataclasses.replace(pf, sriov=dataclasses.replace(pf.sriov, vfs=())), vf)
    assert [row.depth for row in FleetRows([view])] == [0, 1, 1]


def test_a_plain_function_shows_when_it_is_or_shall_be_on_vfio() -> None:
    assert shown_at_top(values.make_plain())
    assert shown_at_top(values.make_plain(driver=None, driver_override="vfio-pci"))
    assert not shown_at_top(values.make_plain(driver="igb"))


@given(hosts("one"))
def test_vfs_in_one_row_say_the_same(view: Snapshot) -> None:
    """Whatever a folded row hides, its first VF tells."""
    index = index_of(view)
    rows = FleetRows([view])
    for row in rows:
        said = {
            (index.state(f), f.driver, f.driver_override, f.numa_node, f.interfaces, bool(index.holders.get(f.bdf)))
            for member in rows.members(row)
            if (f := rows.function(member)) is not None
        }
        assert len(said) <= 1
