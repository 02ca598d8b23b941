"""Which neighbouring VFs are alike: the one rule by which `vfdeck tree` and the dashboard show several VFs in one row.

What differs in anything but its numbers is never in a run. Alone stands who is held, has a change running, is named by a problem,
or has a name of its own (an interface, a disk).
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence

from vfdeck.backend.bdf import BDF
from vfdeck.backend.model import Function, JobState, Snapshot


def standing_alone(snapshot: Snapshot) -> frozenset[str]:
    """The functions of which there is something to say that their neighbours don't share."""
    held = {holder.bdf for holder in snapshot.holders}
    changing = {job.target for job in snapshot.jobs if job.state is JobState.RUNNING}
    odd = {bdf for problem in snapshot.problems for bdf in BDF.findall(f"{problem.path} {problem.what}")}
    return frozenset(held | changing | odd)


def runs(snapshot: Snapshot, vfs: Sequence[Function], alone: Container[str], least: int = 2) -> Iterator[Sequence[Function]]:
    """VFs of one PF, in their order, cut into runs of those that are alike; a run shorter than `least` comes one by one.

    `alone` is `standing_alone(snapshot)`, which serves all PFs of the snapshot.
    """
    begin = 0
    while begin < len(vfs):
        end = _end(snapshot, vfs, begin, alone)
        if end - begin >= least:
            yield vfs[begin:end]
        else:
            yield from (vfs[n : n + 1] for n in range(begin, end))
        begin = end


def _end(snapshot: Snapshot, vfs: Sequence[Function], begin: int, alone: Container[str]) -> int:
    """Where the run that begins at `begin` is over."""
    first, end = vfs[begin], begin + 1
    if not _common(first, alone):
        return end
    likeness, group_step = _likeness(first), None
    while end < len(vfs) and _common(vfs[end], alone) and _likeness(vfs[end]) == likeness:
        before, vf = vfs[end - 1], vfs[end]
        step = _group_step(snapshot, before, vf)
        if vf.vf_index != (before.vf_index or 0) + 1 or step is None or step != (step if group_step is None else group_step):
            break
        group_step, end = step, end + 1
    return end


def _common(vf: Function, alone: Container[str]) -> bool:
    """Whether a VF has nothing that is its own but numbers."""
    return vf.vf_index is not None and not vf.interfaces and not vf.disks and vf.bdf not in alone


def _likeness(vf: Function) -> object:
    """What has to be equal."""
    return (
        vf.driver,
        vf.driver_override,
        vf.noiommu,
        vf.numa_node,
        vf.vendor_id,
        vf.device_id,
        vf.class_code,
        vf.subsystem,
        vf.link,
        vf.cdev is None,
        vf.iommu_group is None,
        vf.physfn,
    )


def _group_step(snapshot: Snapshot, before: Function, vf: Function) -> int | None:
    """How the IOMMU groups of neighbours that are alike go on: 0 in the same one, 1 in groups of their own that follow each other.

    None: in another way. Groups that others share too may be open to one VF and not to the next, so they only go with themselves.
    """
    if vf.iommu_group is None or before.iommu_group is None or vf.iommu_group == before.iommu_group:
        return 0
    both = [snapshot.groups.get(group) for group in (before.iommu_group, vf.iommu_group)]
    single = all(group is None or len(group.members) == 1 for group in both)
    return 1 if single and vf.iommu_group == before.iommu_group + 1 else None
