"""A PF that is taken out of the machine takes its VFs along, whatever its driver does with them."""

from __future__ import annotations

import pytest

from tests.contract.bed import IGB, NVME, SimulatedBed, open_device
from vfdeck.backend.profile import named_profiles
from vfdeck.backend.vfio import DEVICES


@pytest.fixture(params=named_profiles())
def bed(request: pytest.FixtureRequest) -> SimulatedBed:
    """The hardware on every kernel."""
    return SimulatedBed(request.param)


def nobody_is_left(bed: SimulatedBed, pf: str) -> None:
    assert not [bdf for bdf in bed.kernel.names(DEVICES) if bdf.startswith(pf[:7])]
    assert all(f.bdf in bed.machine.functions for group in bed.machine.groups.values() for f in group.functions)


@pytest.mark.parametrize("driver", ["nvme", "pci-pf-stub", None])
def test_with_a_driver_that_leaves_its_vfs(bed: SimulatedBed, driver: str | None) -> None:
    bed.load(driver or "nvme")
    if bed.driver(NVME) is None:
        assert bed.bind(NVME, driver or "nvme") == "OK"
    assert bed.numvfs(NVME, 2) == "OK"
    if driver is None:
        assert bed.unbind(NVME) == "OK"
    bed.must(f"{DEVICES}/{NVME}/remove", "1")
    nobody_is_left(bed, NVME)
    bed.must("/sys/bus/pci/rescan", "1")
    assert bed.virtfns(NVME) == {}
    assert bed.attribute(NVME, "sriov_numvfs") == "0"


def test_with_a_driver_that_frees_them(bed: SimulatedBed) -> None:
    bed.load("igb")
    assert bed.numvfs(IGB, 2) == "OK"
    bed.must(f"{DEVICES}/{IGB}/remove", "1")
    nobody_is_left(bed, IGB)


def test_it_waits_for_the_users_of_those_vfs(bed: SimulatedBed) -> None:
    vf, _ = bed.stub_pf(NVME)
    program = bed.program("user")
    device = open_device(program, vf)
    pending = bed.blocked(f"{DEVICES}/{NVME}/remove", "1")
    assert bed.exists(NVME)
    program.close(device)
    assert bed.finish(pending) == "OK"
    nobody_is_left(bed, NVME)
