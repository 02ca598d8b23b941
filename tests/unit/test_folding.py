"""Which neighbouring VFs are alike."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tests import values
from vfdeck.backend.folding import runs, standing_alone
from vfdeck.backend.model import Function, Job, JobState, Link, Problem, Snapshot


def sizes(view: Snapshot, least: int = 2) -> list[int]:
    """How long the runs of the only PF's VFs are."""
    return [len(run) for run in runs(view, view.vfs_of(values.PF), standing_alone(view), least)]


def fleet(**third: Any) -> Snapshot:
    """Eight VFs, the third of which is different."""
    functions = values.make_fleet(8)
    functions[3] = dataclasses.replace(functions[3], **third)
    return values.snapshot(*functions)


def test_vfs_that_are_alike_are_one_run() -> None:
    assert sizes(fleet()) == [8]
    assert sizes(values.snapshot(values.make_pf())) == []


#: For every field of a function that is more than a number: a value that makes a VF deviate.
DEVIATIONS: dict[str, Any] = {
    "vendor_id": 0x15B3,
    "device_id": 0x1,
    "class_code": 0x108,
    "subsystem": "1:2",
    "driver": "iavf",
    "driver_override": None,
    "iommu_group": None,
    "noiommu": True,
    "numa_node": 1,
    "interfaces": ("eth5",),
    "disks": ("sda",),
    "link": Link("8.0 GT/s PCIe", 8, "8.0 GT/s PCIe", 8),
    "cdev": "vfio3",
    "vf_index": None,
}
#: Numbers, what follows from others, and what makes it no VF of the PF.
NOT_COMPARED = {"bdf", "vendor", "device", "sriov", "physfn", "role"}


def test_every_field_is_thought_of() -> None:
    """A field that is added to a function must not be hidden by a fold."""
    assert DEVIATIONS.keys() | NOT_COMPARED == set(Function.__dataclass_fields__)


@pytest.mark.parametrize("field", DEVIATIONS)
def test_a_deviating_vf_is_never_hidden(field: str) -> None:
    assert sizes(fleet(**{field: DEVIATIONS[field]})) == [2, 1, 5]


def test_who_is_held_changed_or_in_trouble_stands_alone() -> None:
    bdf = values.vf_address(index=2)
    job = Job(1, "bind", bdf, JobState.RUNNING, "", 0.0)
    for fields in (
        {"holders": (values.make_holder(bdf),)},
        {"holders": (values.make_holder(bdf, kind="group"),)},
        {"jobs": (job,)},
        {"problems": (Problem(f"/sys/bus/pci/devices/{bdf}/numa_node", "EIO"),)},
    ):
        assert sizes(dataclasses.replace(fleet(), **fields)) == [2, 1, 5]
    assert sizes(dataclasses.replace(fleet(), jobs=(dataclasses.replace(job, state=JobState.DONE),))) == [8]


def test_a_gap_in_the_numbers_ends_a_run() -> None:
    assert sizes(values.without(fleet(), values.vf_address(index=2))) == [2, 5]


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ([20, 21, 22, 23], [4]),
        ([20, 20, 20, 20], [4]),
        ([20, 20, 21, 21], [2, 2]),  # two to a group: what is said of one pair need not hold for the other
        ([20, 21, 30, 31], [2, 2]),
        ([23, 22, 21, 20], [1, 1, 1, 1]),
        ([None, None, None, None], [4]),
    ],
)
def test_groups_go_on_or_are_the_same(groups: list[int | None], expected: list[int]) -> None:
    pf, *vfs = values.make_fleet(4)
    view = values.snapshot(pf, *(dataclasses.replace(vf, iommu_group=g) for vf, g in zip(vfs, groups, strict=True)))
    assert sizes(view) == expected


def test_a_group_that_a_stranger_shares_stands_alone() -> None:
    pf, *vfs = values.make_fleet(4)
    view = values.snapshot(pf, *vfs, values.make_plain(driver="igb", iommu_group=21))
    assert sizes(view) == [1, 1, 2]


def test_short_runs_come_one_by_one() -> None:
    assert sizes(fleet(driver="iavf"), least=3) == [1, 1, 1, 5]
    assert sizes(fleet(), least=9) == [1] * 8
