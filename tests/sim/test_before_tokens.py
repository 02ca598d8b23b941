"""Linux 5.4: vfio-pci has no SR-IOV hook, no feature call, no notifier. VFs that a kernel driver left behind are nothing to it."""

from __future__ import annotations

import pytest

from tests.contract.bed import IGB, NVME, PLAIN, SimulatedBed, answer, open_device
from vfdeck.backend.kernel import VFIO_DEVICE_FEATURE_GET, VFIO_DEVICE_FEATURE_PROBE, VFIO_DEVICE_FEATURE_SET

LEFT = "driver left SR-IOV enabled after remove"


@pytest.fixture
def bed() -> SimulatedBed:
    """A PF on vfio-pci with two VFs that nvme made."""
    made = SimulatedBed("5.4")
    made.load("nvme")
    assert made.numvfs(NVME, 2) == "OK"
    assert made.unbind(NVME) == "OK"
    assert made.bind(NVME) == "OK"
    made.take_log()
    return made


@pytest.mark.parametrize("count", [0, 1, 4])
def test_no_hook_comes_before_vfs_that_exist(bed: SimulatedBed, count: int) -> None:
    assert bed.numvfs(NVME, count) == "ENOENT"
    assert bed.take_log() == [f"vfio-pci {NVME}: Driver does not support SRIOV configuration via sysfs"]
    assert len(bed.virtfns(NVME)) == 2


def test_what_comes_before_the_hook_still_does(bed: SimulatedBed) -> None:
    assert [bed.numvfs(NVME, count) for count in (2, 9)] == ["OK", "ERANGE"]
    assert bed.take_log() == []


def test_vfs_that_exist_come_before_the_parameter() -> None:
    """With a hook the number is judged first, and the hook looks at enable_sriov."""
    bed = SimulatedBed("5.10")
    bed.vfio_pf(IGB, 2)
    bed.must("/sys/module/vfio_pci/parameters/enable_sriov", "N")
    assert [bed.numvfs(IGB, count) for count in (4, 0)] == ["EBUSY", "ENOENT"]


@pytest.mark.parametrize("bdf", [NVME, PLAIN])
def test_there_is_no_feature_call(bed: SimulatedBed, bdf: str) -> None:
    if bdf == PLAIN:
        assert bed.bind(PLAIN) == "OK"
    program = bed.program("user")
    fd = open_device(program, bdf).fd
    for flags in (
        VFIO_DEVICE_FEATURE_SET,
        VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_SET,
        VFIO_DEVICE_FEATURE_PROBE,
        0,
        1 << 31,
    ):
        for argsz in (0, 7, 8, 24):
            assert answer(program.kernel.feature, fd, flags, bytes(16), argsz) == "ENOTTY"


def test_unbinding_vfio_leaves_the_vfs(bed: SimulatedBed) -> None:
    vfs = bed.virtfns(NVME)
    assert bed.unbind(NVME) == "OK"
    assert bed.virtfns(NVME) == vfs
    assert bed.attribute(NVME, "sriov_numvfs") == "2"
    assert bed.take_log() == [f"vfio-pci {NVME}: {LEFT}"]


def test_it_says_so_when_the_last_user_has_gone(bed: SimulatedBed) -> None:
    program = bed.program("user")
    device = open_device(program, NVME)
    pending = bed.blocked("/sys/bus/pci/drivers/vfio-pci/unbind", NVME)
    assert not any(LEFT in line for line in bed.take_log())
    program.close(device)
    assert bed.finish(pending) == "OK"
    assert bed.take_log() == [f"vfio-pci {NVME}: {LEFT}"]


def test_from_5_7_they_go_with_the_pf() -> None:
    bed = SimulatedBed("5.10")
    bed.vfio_pf(IGB, 2)
    assert bed.unbind(IGB) == "OK"
    assert bed.virtfns(IGB) == {}
    assert not any(LEFT in line for line in bed.take_log())


def test_nobody_warns_of_a_vf_on_another_driver(bed: SimulatedBed) -> None:
    (vf, _) = bed.virtfns(NVME).values()
    bed.load("pci-stub")
    bed.take_log()
    assert bed.bind(vf, "pci-stub") == "OK"
    assert bed.take_log() == []
