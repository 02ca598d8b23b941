"""The rows of the fleet, against a flattening that a child could write."""

from __future__ import annotations

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from tests import values
from vfdeck.backend.model import Function, Role, Snapshot
from vfdeck.widgets.rows import FleetRows, Row, RowId, shown_at_top

NAMES = ("alpha", "beta", "gamma")


@st.composite
def hosts(draw: st.DrawFn, name: str) -> Snapshot:
    """A host with PFs, VFs some of which vanished or belong nowhere, and plain functions."""
    functions: list[Function] = []
    for bus in range(draw(st.integers(0, 3))):
        bdf = f"0000:{bus + 1:02x}:00.0"
        functions += values.make_fleet(draw(st.integers(0, 4)), bdf)
    for device in range(draw(st.integers(0, 2))):
        functions.append(values.make_plain(f"0000:20:{device:02x}.0", driver=draw(st.sampled_from([None, "igb", "vfio-pci"]))))
    if draw(st.booleans()):
        orphan = values.make_vf("0000:7f:00.0", 1, physfn=draw(st.sampled_from([None, "0000:7f:00.0", "0000:01:00.0"])))
        functions.append(orphan)
    view = values.snapshot(*functions, host={"name": name})
    gone: set[str] = draw(st.sets(st.sampled_from([f.bdf for f in functions]))) if functions else set()
    return values.without(view, *gone)


@st.composite
def fleets(draw: st.DrawFn) -> tuple[tuple[Snapshot, ...], frozenset[RowId]]:
    """Some hosts, and what is folded; some of that is of functions that are not there."""
    snapshots = tuple(draw(hosts(name)) for name in NAMES[: draw(st.integers(0, 3))])
    known = [RowId("nowhere", "0000:01:00.0")] + [RowId(s.host.name, bdf) for s in snapshots for bdf in ("", *s.functions)]
    return snapshots, draw(st.frozensets(st.sampled_from(known)))


def naive(snapshots: tuple[Snapshot, ...], folded: frozenset[RowId]) -> list[Row]:
    """Every row, by walking everything."""
    rows: list[Row] = []
    for snapshot in snapshots:
        host = RowId(snapshot.host.name)
        children: dict[str, list[str]] = {}
        placed: set[str] = set()
        for pf in snapshot.pfs():
            children[pf.bdf] = [v.bdf for v in snapshot.vfs_of(pf.bdf) if v.role is Role.VF and v.physfn == pf.bdf]
            placed.update(children[pf.bdf])
        tops = [f.bdf for f in snapshot.functions.values() if f.bdf not in placed and shown_at_top(f)]
        rows.append(Row(host, 0, False, False, bool(tops), host in folded))
        if host in folded:
            continue
        for bdf in tops:
            last, vfs, row_id = bdf == tops[-1], children.get(bdf, []), RowId(snapshot.host.name, bdf)
            shut = bool(vfs) and row_id in folded
            rows.append(Row(row_id, 1, last, False, bool(vfs), shut))
            if not shut:
                rows += [Row(RowId(snapshot.host.name, vf), 2, vf == vfs[-1], last, False, False) for vf in vfs]
    return rows


@given(fleets())
def test_rows_are_those_of_the_naive_flattening(fleet: tuple[tuple[Snapshot, ...], frozenset[RowId]]) -> None:
    rows, expected = FleetRows(*fleet), naive(*fleet)
    assert list(rows) == expected
    assert len(rows) == len(expected)


@given(fleets())
def test_every_row_is_found_where_it_is(fleet: tuple[tuple[Snapshot, ...], frozenset[RowId]]) -> None:
    rows = FleetRows(*fleet)
    for index, row in enumerate(rows):
        assert rows.find(row.id) == index
        parent = rows.parent(row.id)
        assert (parent is None) == (row.depth == 0)
        if parent is not None:
            assert rows[rows.find(parent) or 0].depth == row.depth - 1


@given(fleets())
def test_what_is_folded_is_found_at_what_it_is_folded_into(fleet: tuple[tuple[Snapshot, ...], frozenset[RowId]]) -> None:
    snapshots, folded = fleet
    rows, unfolded = FleetRows(snapshots, folded), FleetRows(snapshots, ())
    for row in unfolded:
        row_id: RowId | None = row.id
        chain = []
        while row_id is not None:
            chain.append(row_id)
            row_id = rows.parent(row_id)
        shut = [one for one in chain[1:] if one in folded]
        assert rows.find(row.id) == rows.find(shut[-1] if shut else row.id)
        assert rows.find(row.id) is not None


@given(fleets(), fleets())
def test_the_layout_does_not_depend_on_the_one_before(
    before: tuple[tuple[Snapshot, ...], frozenset[RowId]], after: tuple[tuple[Snapshot, ...], frozenset[RowId]]
) -> None:
    assert list(FleetRows(*after, FleetRows(*before))) == list(FleetRows(*after))


def test_a_vanished_function_is_not_found() -> None:
    view = values.snapshot(*values.make_fleet(2))
    vf = values.vf_address(index=1)
    assert FleetRows([view], ()).find(RowId("demo", vf)) is not None
    assert FleetRows([values.without(view, vf)], ()).find(RowId("demo", vf)) is None
    assert FleetRows([view], ()).find(RowId("elsewhere", vf)) is None


def test_a_vf_that_its_pf_does_not_list_still_has_a_row() -> None:
    pf, vf = values.make_fleet(1)
    assert pf.sriov is not None
    view = values.snapshot(dataclasses.replace(pf, sriov=dataclasses.replace(pf.sriov, vfs=())), vf)
    assert [row.depth for row in FleetRows([view], ())] == [0, 1, 1]


def test_a_plain_function_shows_when_it_is_or_shall_be_on_vfio() -> None:
    assert shown_at_top(values.make_plain())
    assert shown_at_top(values.make_plain(driver=None, driver_override="vfio-pci"))
    assert not shown_at_top(values.make_plain(driver="igb"))
