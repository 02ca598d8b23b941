"""From what programs have open to the functions behind it."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import values
from tests.contract.bed import IGB, machine
from tests.values import PF, vf_address
from vfdeck.backend.holders import Arrivals, Held, holders
from vfdeck.backend.kernel import OpenFile, OpenFiles, Process
from vfdeck.backend.local_host import LocalHost
from vfdeck.backend.model import Certainty, Count, Function, Holder
from vfdeck.backend.sim.kernel import SimulatedKernel

VF, OTHER = vf_address(), vf_address(PF, 1)
EXACT, INFERRED = Certainty.EXACT, Certainty.INFERRED
FLEET = {f.bdf: f for f in values.make_fleet(2)}
#: Both VFs in one group, each with a cdev.
SHARED = {f.bdf: f for f in (values.make_pf(vfs=2), *(values.make_vf(index=i, iommu_group=20, cdev=f"vfio{i}") for i in (0, 1)))}


def file(kind: str, node: str = "", bdf: str = "", pid: int = 7, fds: tuple[int, ...] = ()) -> OpenFile:
    return OpenFile(Process(pid, f"program-{pid}", "user", 5.0, "line", "vm", "pod"), kind, node, bdf, fds=fds)


def attributed(functions: dict[str, Function], *files: OpenFile) -> set[tuple[str, str, Certainty]]:
    held = holders(files, functions)
    assert held.unattributed == len(held.problems)
    return {(holder.bdf, holder.kind, holder.certainty) for holder in held.holders}


@pytest.mark.parametrize(
    ("functions", "files", "expected"),
    [
        # the kernel tells
        (FLEET, [file("device", bdf=VF), file("group", "20")], {(VF, "device", EXACT)}),
        (SHARED, [file("device", bdf=VF), file("group", "20")], {(VF, "device", EXACT), (OTHER, "group", INFERRED)}),
        (SHARED, [file("cdev", "vfio1")], {(OTHER, "cdev", EXACT)}),
        (SHARED, [file("cdev", "vfio1", OTHER), file("iommufd")], {(OTHER, "cdev", EXACT)}),
        (SHARED, [file("mapping", "vfio1")], {(OTHER, "mapping", EXACT)}),
        # the group tells
        (FLEET, [file("device"), file("group", "20"), file("container")], {(VF, "device", INFERRED)}),
        (FLEET, [file("device", fds=(5, 6, 7)), file("group", "20")], {(VF, "device", INFERRED)}),
        (FLEET, [file("device"), file("device"), file("group", "20")], {(VF, "device", INFERRED)}),
        (FLEET, [file("device"), file("group", "20"), file("group", "99")], {(VF, "device", INFERRED)}),
        (SHARED, [file("device", fds=(5, 6)), file("group", "20")], {(VF, "device", INFERRED), (OTHER, "device", INFERRED)}),
        (
            FLEET,
            [file("device"), file("group", "20"), file("group", "21")],
            {(VF, "device", INFERRED), (OTHER, "device", INFERRED)},
        ),
        (SHARED, [file("device"), file("group", "20")], {(VF, "device", INFERRED), (OTHER, "device", INFERRED)}),
        (FLEET, [file("group", "20")], {(VF, "group", INFERRED)}),
        (FLEET, [file("mapping"), file("group", "20")], {(VF, "mapping", INFERRED)}),
        # the address of a mapping tells
        (FLEET, [file("mapping", bdf=VF)], {(VF, "mapping", INFERRED)}),
        (FLEET, [file("mapping", bdf=VF), file("device")], {(VF, "device", INFERRED)}),
        (
            SHARED,
            [file("mapping", bdf=VF), file("device"), file("group", "20")],
            {(VF, "device", INFERRED), (OTHER, "group", INFERRED)},
        ),
        (
            FLEET,
            [file("mapping", bdf=VF), file("device"), file("group", "20"), file("group", "21")],
            {(VF, "device", INFERRED), (OTHER, "device", INFERRED)},
        ),
        (
            SHARED,
            [file("mapping", bdf=VF), file("device", fds=(5, 6)), file("group", "20")],
            {(VF, "device", INFERRED), (OTHER, "device", INFERRED)},
        ),
        # one told by the kernel and one not: the group stays the only origin of the latter
        (
            SHARED,
            [file("device", bdf=VF), file("device"), file("group", "20")],
            {(VF, "device", EXACT), (OTHER, "device", INFERRED)},
        ),
        # not ours
        (FLEET, [file("group", "99"), file("device"), file("container"), file("iommufd")], set()),
    ],
)
def test_attribution(functions: dict[str, Function], files: list[OpenFile], expected: set[tuple[str, str, Certainty]]) -> None:
    for order in (files, files[::-1]):
        assert attributed(functions, *order) == expected
        assert holders(order, functions).unattributed == 0


@pytest.mark.parametrize(
    ("files", "told", "place"),
    [
        ([file("device")], "program-7 holds a vfio device; the kernel does not tell which device", "/proc/7/fd"),
        ([file("mapping")], "program-7 keeps a vfio device in use by a mapping; the kernel does not tell", "/proc/7/maps"),
        ([file("mapping", bdf=VF), file("mapping")], "program-7 keeps a vfio device in use", "/proc/7/maps"),
        ([file("device"), file("device", bdf=VF)], "", ""),
    ],
)
def test_what_nothing_tells_is_counted(files: list[OpenFile], told: str, place: str) -> None:
    held = holders(files, FLEET)
    assert held.unattributed == bool(told)
    assert [problem.path for problem in held.problems] == ([place] if place else [])
    assert all(told in problem.what for problem in held.problems)


def test_a_holder_tells_who_and_where() -> None:
    [holder] = holders([file("device", bdf=VF)], FLEET).holders
    assert (holder.pid, holder.program, holder.user, holder.started) == (7, "program-7", "user", 5.0)
    assert (holder.vm, holder.container, holder.command) == ("vm", "pod", "line")


def test_a_noiommu_group_has_a_node_of_its_own() -> None:
    functions = {
        f.bdf: f for f in (values.make_plain(noiommu=True, iommu_group=3), values.make_plain("0000:05:00.0", iommu_group=4))
    }
    assert attributed(functions, file("device"), file("group", "noiommu-3")) == {("0000:04:00.0", "device", INFERRED)}
    assert attributed(functions, file("device"), file("group", "3")) == set()


FILES = st.builds(
    file,
    st.sampled_from(["group", "device", "cdev", "container", "iommufd", "mapping"]),
    st.sampled_from(["", "20", "21", "vfio0", "vfio1", "noiommu-20"]),
    st.sampled_from(["", VF, OTHER, PF, "0000:ff:00.0"]),
    st.integers(1, 3),
)


@given(st.lists(FILES, max_size=12), st.sampled_from([FLEET, SHARED]), st.randoms(use_true_random=False))
def test_any_files_in_any_order(files: list[OpenFile], functions: dict[str, Function], random: object) -> None:
    held = holders(files, functions)
    assert max(Counter((h.bdf, h.pid) for h in held.holders).values(), default=0) <= 1
    assert [(h.bdf, h.pid) for h in held.holders] == sorted((h.bdf, h.pid) for h in held.holders)
    assert holders(files[::-1], functions) == Held(held.holders, tuple(held.problems), held.unattributed) or set(
        holders(files[::-1], functions).problems
    ) == set(held.problems)


# -- users of a PF -------------------------------------------------------------------------------------------------------
def users(*held: Holder, unseen: int = 0) -> Count:
    return values.snapshot(*FLEET.values(), holders=held, unseen=unseen).users_of(PF)


def test_a_vf_counts_once_however_many_hold_it() -> None:
    assert users(values.make_holder(VF), values.make_holder(VF, 8), values.make_holder(OTHER)) == Count(2, EXACT)


def test_a_group_node_is_no_user_and_an_open_cdev_perhaps() -> None:
    assert users(values.make_holder(VF, kind="group", certainty=INFERRED)) == Count(0, EXACT)
    assert users(values.make_holder(VF, kind="cdev")) == Count(1, INFERRED)
    assert users(values.make_holder(VF, kind="cdev"), values.make_holder(VF, 8)) == Count(1, EXACT)
    assert users(values.make_holder(VF, kind="mapping")) == Count(1, EXACT)


def test_what_is_not_known_makes_it_a_lower_bound() -> None:
    assert users(values.make_holder(VF), unseen=1) == Count(1, Certainty.AT_LEAST)


class Kernel(SimulatedKernel):
    """A program of which nothing tells the function, beside two that may not be looked at."""

    def open_files(self, late: float = 0.0) -> OpenFiles:
        return OpenFiles((file("device"),), 2)


def test_a_snapshot_counts_a_device_that_nothing_tells_as_unseen() -> None:
    view = LocalHost(Kernel(machine("6.12.107"))).snapshot()
    assert (view.unseen, view.unattributed) == (3, 1)
    assert ("/proc/7/fd", view.users_of(IGB)) == (view.problems[-1].path, Count(0, Certainty.AT_LEAST))


# -- since when ----------------------------------------------------------------------------------------------------------
def test_since_when_a_holder_has_been_seen() -> None:
    arrivals = Arrivals()
    one, two = values.make_holder(VF), values.make_holder(VF, 8)
    assert [h.since for h in arrivals.mark([one], 100)] == [None]
    assert [h.since for h in arrivals.mark([one, two], 110)] == [None, 110]
    assert [h.since for h in arrivals.mark([two], 120)] == [110]
    assert [h.since for h in arrivals.mark([one, two], 130)] == [130, 110]
    assert [h.since for h in arrivals.mark([one, two], 1130, by=1000)] == [1130, 1110], "the clock was set, and nobody was away"
    assert [h.since for h in arrivals.mark([one, two], 130, by=-1000)] == [130, 110]
    again = values.make_holder(VF, 8, started=125.0)  # the same number, another process
    assert [h.since for h in arrivals.mark([again], 140)] == [140]
