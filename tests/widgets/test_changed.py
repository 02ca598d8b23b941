"""What is different between two looks, and for how long it is news."""

from __future__ import annotations

import dataclasses

from tests import values
from tests.fake_host import NIC, NVME, small_fleet
from vfdeck.backend.model import Job, JobState, Snapshot, TokenState
from vfdeck.widgets.changed import differences
from vfdeck.widgets.news import News
from vfdeck.widgets.rows import RowId

VF = values.vf_address(NIC, 0)
HELD = values.vf_address(NIC, 1)


def said(before: Snapshot, after: Snapshot) -> dict[str, list[str]]:
    """The differences in words."""
    return {bdf: [str(one) for one in different] for bdf, different in differences(before, after).items()}


def with_function(view: Snapshot, bdf: str, later: float = 1.0, **fields: object) -> Snapshot:
    """The snapshot with another function, a little later."""
    function = dataclasses.replace(view.functions[bdf], **fields)  # type: ignore[arg-type]
    return dataclasses.replace(view, functions={**view.functions, bdf: function}, taken=view.taken + later)


def test_the_same_is_no_news() -> None:
    assert said(small_fleet(), small_fleet()) == {}


def test_a_driver_that_changed() -> None:
    view = small_fleet()
    after = with_function(view, NVME, driver="vfio-pci")
    assert said(view, after) == {NVME: ["state D driver → R ready", "driver nvme → vfio-pci"]}


def test_a_holder_that_went_changes_the_pf_too() -> None:
    view = small_fleet()
    after = dataclasses.replace(view, holders=())
    assert said(view, after) == {
        HELD: ["state U in use → R ready", "holder qemu-system-x86 (4242) → none"],
        NIC: ["users 1 → 0"],
    }


def test_a_token_changes_the_vfs_too() -> None:
    view = small_fleet()
    after = dataclasses.replace(view, tokens={NIC: values.make_knowledge(NIC, TokenState.UNSET)})
    found = said(view, after)
    assert found[NIC] == ["token unknown → unset"]
    assert found[VF] == ["token needed → unset"]


def test_a_change_under_way_and_a_new_vf() -> None:
    view = small_fleet()
    job = Job(1, "x", VF, JobState.RUNNING, "", 0.0)
    assert said(view, dataclasses.replace(view, jobs=(job,))) == {VF: ["state R ready → B busy"]}
    before = values.without(view, VF)
    assert said(before, view)[VF] == ["new"]
    assert NIC not in said(view, before) or "vfs" in said(view, before)[NIC][0]


def test_a_spoilt_group_changes_its_other_members() -> None:
    mine = values.make_plain("0000:04:00.0", iommu_group=7)
    view = values.snapshot(mine, values.make_plain("0000:04:00.1", iommu_group=7))
    after = with_function(view, "0000:04:00.1", driver="igb")
    assert said(view, after)[mine.bdf] == ["state R ready → G group"]


def test_news_grow_old_by_the_clock_of_the_host() -> None:
    news, row = News(2.0), RowId("fake", NVME)
    view = small_fleet()
    changed = with_function(view, NVME, driver=None)
    news.take([], [view])
    assert news.of(row) == ()
    news.take([view], [changed])
    assert [str(one) for one in news.of(row)] == ["state D driver → N none", "driver nvme → –"]
    same = dataclasses.replace(changed, taken=changed.taken + 1.0)
    news.take([changed], [same])
    assert news.of(row)
    later = dataclasses.replace(same, taken=same.taken + 1.0)
    news.take([same], [later])
    assert news.of(row) == ()


def test_news_end_where_the_clock_of_the_host_is_set_back() -> None:
    news, view = News(2.0), small_fleet()
    changed = with_function(view, NVME, driver=None)
    news.take([view], [changed])
    news.take([changed], [dataclasses.replace(changed, taken=changed.taken - 366 * 86400.0)])
    assert news.of(RowId("fake", NVME)) == ()


def test_where_nothing_shall_be_news_nothing_is() -> None:
    news = News(0.0)
    news.take([small_fleet()], [with_function(small_fleet(), NVME, driver=None)])
    assert news.of(RowId("fake", NVME)) == ()
