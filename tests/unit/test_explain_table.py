"""Every row of the table of causes: the entry named first in the facts that are typical for it."""

from __future__ import annotations

import errno

import pytest

from tests.values import PF, PLAIN, TOKEN, VF, make_fleet, make_holder, make_knowledge, make_pf, make_plain, snapshot
from vfdeck.backend.causes import ANY_ANSWER, ANY_FILE, TABLE
from vfdeck.backend.changes import BindDriver, Change, Open, OpenPath, SetAutoprobe, SetNumvfs, UnbindDriver
from vfdeck.backend.explain import diagnose
from vfdeck.backend.facts import Facts
from vfdeck.backend.kernel import Stage
from vfdeck.backend.model import Snapshot, TokenState

STAGES = {stage.value for stage in Stage}

ONE = snapshot(make_pf())
FLEET = snapshot(*make_fleet(2))
HELD = snapshot(*make_fleet(2), holders=(make_holder(VF),))
USER = snapshot(*make_fleet(2), host={"privileged": False})
UNSET = snapshot(*make_fleet(2), tokens=[make_knowledge(state=TokenState.UNSET)])
OLD = snapshot(*make_fleet(2), host={"kernel": "5.4.0", "enable_sriov": None})
NEW = snapshot(*make_fleet(2), host={"kernel": "6.18.3"})
LONE = snapshot(make_plain())
IN_COMPANY = snapshot(make_plain(), make_plain("0000:04:00.1", iommu_group=40, driver="nvme"))
NOIOMMU = snapshot(make_plain(noiommu=True))
KERNEL_PF = snapshot(make_pf(driver="igb"))
GROUPLESS = snapshot(make_plain(iommu_group=None))

NUMVFS, AUTOPROBE = SetNumvfs(PF, 4), SetAutoprobe(PF, on=False)
BIND, UNBIND, TO_IGB = BindDriver(PF, "vfio-pci"), UnbindDriver(PF), BindDriver(PF, "igb")
VF_OPEN, VF_CDEV, PLAIN_OPEN = Open(VF, TOKEN), Open(VF, TOKEN, path=OpenPath.CDEV), Open(PLAIN)

#: Place, answer, what was asked of which host, and the entry that is the cause then.
CASES: list[tuple[str, str, Change, Snapshot, str]] = [
    ("sriov_numvfs", "ENOENT", NUMVFS, snapshot(make_pf(), host={"enable_sriov": False}), "A8"),
    ("sriov_numvfs", "ENOENT", NUMVFS, OLD, "A9"),
    ("sriov_numvfs", "ERANGE", SetNumvfs(PF, 9), ONE, "A3"),
    ("sriov_numvfs", "EINVAL", SetNumvfs(PF, 70000), ONE, "A4"),
    ("sriov_numvfs", "EBUSY", NUMVFS, FLEET, "A5"),
    ("sriov_numvfs", "EBUSY", SetNumvfs(PF, 0), FLEET, "A23"),
    ("sriov_numvfs", "EAGAIN", NUMVFS, KERNEL_PF, "A30"),
    ("sriov_numvfs", "EOPNOTSUPP", NUMVFS, KERNEL_PF, "A24"),
    ("sriov_numvfs", "EPERM", NUMVFS, USER, "A23"),
    ("sriov_numvfs", "ENOMEM", NUMVFS, ONE, "A10"),
    ("sriov_numvfs", "ENOSPC", NUMVFS, KERNEL_PF, "A14"),
    ("sriov_numvfs", "EIO", NUMVFS, ONE, "A15"),
    ("sriov_numvfs", "ENODEV", NUMVFS, ONE, "A16"),
    ("sriov_numvfs", "ENODEV", NUMVFS, LONE, "G11"),
    ("sriov_numvfs", "ENOSYS", NUMVFS, ONE, "A16"),
    ("sriov_numvfs", "BLOCKED", SetNumvfs(PF, 0), HELD, "G1"),
    ("sriov_numvfs", "BLOCKED", NUMVFS, ONE, "A21"),
    ("sriov_drivers_autoprobe", "ENOENT", SetAutoprobe(PLAIN, on=True), LONE, "A1"),
    ("sriov_drivers_autoprobe", "EINVAL", AUTOPROBE, ONE, "A29"),
    ("drivers_probe", "ENODEV", BindDriver(PF, None), LONE, "G11"),
    ("bind", "ENOENT", BIND, KERNEL_PF, "B7"),
    ("bind", "ENODEV", BIND, KERNEL_PF, "B8"),
    ("bind", "EBUSY", BIND, snapshot(*make_fleet(2, driver="igb")), "B4"),
    ("bind", "EINVAL", BindDriver(PLAIN, "vfio-pci"), GROUPLESS, "B2"),
    ("unbind", "ENODEV", UNBIND, FLEET, "B23"),
    ("unbind", "ENOENT", UNBIND, LONE, "G11"),
    ("unbind", "BLOCKED", UnbindDriver(VF), HELD, "B13"),
    ("iommu_group", "ENOENT", PLAIN_OPEN, GROUPLESS, "B2"),
    ("open_group", "ENOENT", PLAIN_OPEN, snapshot(make_plain(driver="e1000e")), "C1"),
    ("open_group", "EACCES", VF_OPEN, USER, "C2"),
    ("open_group", "EPERM", PLAIN_OPEN, NOIOMMU, "C5"),
    ("open_group", "EPERM", VF_OPEN, FLEET, "C4"),
    ("open_group", "EBUSY", PLAIN_OPEN, snapshot(make_plain(), holders=(make_holder(PLAIN),)), "C6"),
    ("open_group", "ENODEV", VF_OPEN, FLEET, "G11"),
    ("open_group", "ENXIO", VF_OPEN, FLEET, "C7"),
    ("open_container", "ENOENT", VF_OPEN, FLEET, "C21"),
    ("open_container", "ENODEV", VF_OPEN, FLEET, "C21"),
    ("open_container", "EACCES", VF_OPEN, FLEET, "C3"),
    ("open_container", "EPERM", VF_OPEN, FLEET, "C4"),
    ("set_container", "EPERM", PLAIN_OPEN, IN_COMPANY, "C8"),
    ("set_container", "EINVAL", VF_OPEN, FLEET, "C15"),
    ("set_container", "EBADF", VF_OPEN, FLEET, "C14"),
    ("set_container", "EBADFD", VF_OPEN, FLEET, "C14"),
    ("set_container", "ENOTTY", VF_OPEN, FLEET, "C14"),
    ("set_container", "EBUSY", VF_OPEN, FLEET, "C20"),
    ("set_container", "ENODEV", VF_OPEN, FLEET, "G11"),
    ("set_iommu", "EPERM", VF_OPEN, FLEET, "C12"),
    ("set_iommu", "ENODEV", VF_OPEN, FLEET, "C13"),
    ("set_iommu", "EINVAL", VF_OPEN, FLEET, "C15"),
    ("set_iommu", "ENOTTY", VF_OPEN, FLEET, "C23"),
    ("get_device_fd", "EACCES", Open(VF), FLEET, "D1"),
    ("get_device_fd", "EACCES", VF_OPEN, UNSET, "D3"),
    ("get_device_fd", "EACCES", Open(PF), HELD, "D6"),
    ("get_device_fd", "EINVAL", Open(PLAIN, TOKEN), LONE, "D9"),
    ("get_device_fd", "ENODEV", PLAIN_OPEN, snapshot(make_plain(driver="e1000e")), "C17"),
    ("get_device_fd", "EPERM", PLAIN_OPEN, IN_COMPANY, "C8"),
    ("get_device_fd", "EBUSY", VF_OPEN, FLEET, "C20"),
    ("get_device_fd", "EAGAIN", VF_OPEN, FLEET, "F3"),
    ("get_device_fd", "ENOTTY", VF_OPEN, FLEET, "C23"),
    ("cdev_node", "ENOENT", VF_CDEV, snapshot(*make_fleet(1), host={"kernel": "6.1.0"}), "E8"),
    ("open_cdev", "ENOENT", VF_CDEV, FLEET, "E8"),
    ("open_cdev", "ENODEV", VF_CDEV, FLEET, "G11"),
    ("open_cdev", "ENXIO", VF_CDEV, FLEET, "C7"),
    ("open_cdev", "EACCES", VF_CDEV, USER, "E5"),
    ("open_cdev", "EPERM", VF_CDEV, FLEET, "C4"),
    ("open_iommu", "ENOENT", VF_CDEV, FLEET, "E4"),
    ("open_iommu", "ENODEV", VF_CDEV, FLEET, "E4"),
    ("open_iommu", "EACCES", VF_CDEV, USER, "E5"),
    ("open_iommu", "EPERM", VF_CDEV, FLEET, "C4"),
    ("bind_iommufd", "EACCES", VF_CDEV, NEW, "E6"),
    ("bind_iommufd", "EINVAL", VF_CDEV, FLEET, "E1"),
    ("bind_iommufd", "EBUSY", VF_CDEV, snapshot(*make_fleet(1), holders=(make_holder(VF),)), "E3"),
    ("bind_iommufd", "E2BIG", VF_CDEV, snapshot(*make_fleet(1), host={"kernel": "6.17.0"}), "E9"),
    ("bind_iommufd", "EBADF", VF_CDEV, NEW, "E10"),
    ("bind_iommufd", "EBADFD", VF_CDEV, NEW, "E10"),
    ("bind_iommufd", "EFAULT", VF_CDEV, NEW, "E10"),
    ("bind_iommufd", "EPERM", Open(PLAIN, path=OpenPath.CDEV), IN_COMPANY, "C8"),
    ("bind_iommufd", "EAGAIN", VF_CDEV, NEW, "F3"),
    ("bind_iommufd", "ENODEV", VF_CDEV, NEW, "G11"),
    ("bind_iommufd", "ENOTTY", VF_CDEV, NEW, "C23"),
    ("bind_iommufd", "OK", Open(VF, path=OpenPath.CDEV), FLEET, "D17"),
    ("feature", "ENOTTY", VF_OPEN, FLEET, "D21"),
    ("feature", "EINVAL", Open(PF), FLEET, "D23"),
    # any file, and what else a place may answer
    ("driver_override", "EACCES", BIND, USER, "A19"),
    ("driver_override", "EPERM", BIND, USER, "A19"),
    ("driver_override", "EROFS", BIND, FLEET, "A20"),
    ("driver_override", "ENOENT", BIND, LONE, "G11"),
    ("driver_override", "ENODEV", BIND, LONE, "G11"),
    ("driver_override", "BLOCKED", BIND, FLEET, "A21"),
    ("bind", "EIO", TO_IGB, KERNEL_PF, "B24"),
    ("bind", "ENODEV", BIND, snapshot(*make_fleet(2, driver="igb"), host={"kernel": "5.10.0"}), "B4"),
]


def facts_of(place: str, answer: str, change: Change, view: Snapshot) -> Facts:
    """The facts of an answer; `place` is a stage or the name of a file."""
    stage = Stage(place) if place in STAGES else Stage.FILE
    target = PF if stage is not Stage.FILE else f"/sys/bus/pci/x/{place}"
    return Facts(view, change, stage, getattr(errno, answer, 0), target, blocked=answer == "BLOCKED")


@pytest.mark.parametrize(("place", "answer", "change", "view", "entry"), CASES, ids=[f"{c[0]}-{c[1]}-{c[4]}" for c in CASES])
def test_first_named(place: str, answer: str, change: Change, view: Snapshot, entry: str) -> None:
    found = diagnose(facts_of(place, answer, change, view))
    assert found.explanations[0].entry == entry
    assert not {e.entry for e in found.explanations} & {r.entry for r in found.ruled_out}


@pytest.mark.parametrize(("got", "entry"), [(3, "A17"), (0, "A18")])
def test_a_success_that_is_none(got: int, entry: str) -> None:
    facts = Facts(KERNEL_PF, NUMVFS, Stage.FILE, 0, f"/sys/bus/pci/devices/{PF}/sriov_numvfs", got=got)
    assert diagnose(facts).explanations[0].entry == entry


def test_every_row_has_a_case() -> None:
    tried = {(place, answer) for place, answer, *_ in CASES} | {("sriov_numvfs", "OK")}
    assert not TABLE.keys() - tried
    assert not {("driver_override", answer) for answer in ANY_FILE} - tried
    assert not ANY_ANSWER.keys() - {place for place, *_ in CASES}


def test_every_entry_that_is_ruled_out_says_why() -> None:
    """In all of these cases; an entry that drops out without a word is one whose judge has nothing to say."""
    for place, answer, change, view, _ in CASES:
        facts = facts_of(place, answer, change, view)
        for out in diagnose(facts).ruled_out:
            assert out.title
            assert out.why.endswith(".")
            assert "{" not in out.why + out.title
