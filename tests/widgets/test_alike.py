"""Hosts that share a row of the tree: only those of which every row would say the same."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tests import values
from vfdeck.backend.model import Job, JobState, Problem, Snapshot, TokenState
from vfdeck.widgets.branches import View
from vfdeck.widgets.rows import FleetRows, Folds, RowId
from vfdeck.widgets.sorting import Order
from vfdeck.widgets.state import Index

PF = "0000:3b:00.0"
SHUT = Folds(hosts_open=False)


def host(number: int, **facts: Any) -> Snapshot:
    """A host with a PF and four VFs."""
    tokens = [values.make_knowledge(PF, TokenState.UNKNOWN)]
    return values.snapshot(*values.make_fleet(4, PF), host={"name": f"h{number}"}, tokens=tokens, **facts)


def changed(snapshot: Snapshot, bdf: str, **facts: Any) -> Snapshot:
    """The same with a function that is otherwise."""
    function = dataclasses.replace(snapshot.functions[bdf], **facts)
    return dataclasses.replace(snapshot, functions={**snapshot.functions, bdf: function})


def of(view: FleetRows) -> list[tuple[str, int]]:
    """The rows as the first host and how many they stand for."""
    return [(row.id.host, row.size) for row in view]


def fleet(third: Snapshot) -> list[Snapshot]:
    """Seven hosts of which the fourth is this one."""
    return [*map(host, range(3)), third, *map(host, range(4, 7))]


def test_equal_ones_share_a_row() -> None:
    rows = FleetRows(fleet(host(3)), SHUT)
    assert of(rows) == [("h0", 7)]
    assert rows.members(rows[0]) == [RowId(f"h{n}") for n in range(7)]
    assert [rows.find(RowId(f"h{n}", PF)) for n in range(7)] == [0] * 7


def test_two_are_too_few_to_fold() -> None:
    assert of(FleetRows([host(0), host(1)], SHUT)) == [("h0", 1), ("h1", 1)]


VF = values.vf_address(PF, 2)
JOB = Job(1, "reset", VF, JobState.RUNNING, "writing", values.NOON)


@pytest.mark.parametrize(
    "odd",
    [
        host(3, holders=(values.make_holder(VF),)),
        host(3, problems=(Problem("/x", "odd"),)),
        host(3, unseen=2),
        host(3, jobs=(JOB,)),
        changed(host(3), VF, driver=None),
        changed(host(3), VF, driver_override="nvme"),
        changed(host(3), VF, interfaces=("eth9",)),
        changed(host(3), PF, driver="ixgbe"),
        changed(host(3), PF, numa_node=1),
        dataclasses.replace(host(3), tokens={PF: values.make_knowledge(PF, TokenState.SET, "12345678")}),
        dataclasses.replace(host(3), host=dataclasses.replace(host(3).host, kernel="5.4")),
        dataclasses.replace(host(3), host=dataclasses.replace(host(3).host, iommu=False)),
        dataclasses.replace(host(3), host=dataclasses.replace(host(3).host, cdev=not host(3).host.cdev)),
        values.snapshot(*values.make_fleet(3, PF), host={"name": "h3"}),
        values.snapshot(host={"name": "h3"}),
    ],
)
def test_one_that_is_otherwise_is_never_hidden(odd: Snapshot) -> None:
    assert of(FleetRows(fleet(odd), SHUT)) == [("h0", 3), ("h3", 1), ("h4", 3)]


def test_an_open_one_stands_between_them() -> None:
    folds = SHUT.with_row(RowId("h3"), is_open=True, of_host=True)
    rows = FleetRows(fleet(host(3)), folds)
    assert of(rows)[:3] == [("h0", 3), ("h3", 1), ("h3", 1)]
    assert of(rows)[-1] == ("h4", 3)
    assert rows.neighbour(0, 1, 0) == 1
    assert rows.neighbour(len(rows) - 1, -1, 0) == 1
    assert rows.find(RowId("h6")) == len(rows) - 1


def test_a_run_is_opened_and_shut_by_any_of_its_hosts() -> None:
    snapshots = fleet(host(3))
    run = FleetRows(snapshots, SHUT).run(RowId("h5"))
    opened = SHUT.with_run(run, is_open=True)
    assert of(FleetRows(snapshots, opened)) == [(f"h{n}", 1) for n in range(7)]
    shut = opened.with_run(FleetRows(snapshots, opened).run(RowId("h1")), is_open=False)
    assert of(FleetRows(snapshots, shut)) == [("h0", 7)]


def test_what_a_filter_hides_parts_nobody() -> None:
    def keep(function: Any, index: Index) -> bool:
        return index.snapshot.host.name != "h3"

    rows = FleetRows(fleet(host(3, unseen=1)), SHUT, view=View(keep))
    assert of(rows) == [("h0", 6)]
    assert rows.find(RowId("h3")) is None
    assert [member.host for member in rows.members(rows[0])] == ["h0", "h1", "h2", "h4", "h5", "h6"]


def test_sorting_brings_them_together() -> None:
    rows = FleetRows(fleet(host(3, problems=(Problem("/x", "odd"),))), SHUT, view=View(order=Order.STATE))
    assert of(rows) == [("h3", 1), ("h0", 6)]
