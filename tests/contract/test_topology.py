"""The scan of a host's functions: the same from the simulated kernel, from its files on disk, and from a real kernel."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.contract.bed import ENABLE_SRIOV, IGB, IGB_2, IGB_VFS, NVME, NVME_VFS, PFS, PLAIN, U1, Bed, open_device, try_open
from tests.contract.dump import dump
from vfdeck.backend.linux.kernel import LinuxKernel
from vfdeck.backend.model import Role, Snapshot
from vfdeck.backend.topology import scan
from vfdeck.backend.vfio import DEVICES


def look(bed: Bed) -> Snapshot:
    """A scan in which everything could be read."""
    snapshot = scan(bed.kernel, {})
    assert snapshot.problems == ()
    return snapshot


# -- what is found, on every kernel ----------------------------------------------------------------------------------------
def test_the_hardware(bed: Bed) -> None:
    assert bed.bind(PLAIN) == "OK"
    snapshot = look(bed)
    assert [pf.bdf for pf in snapshot.pfs()] == list(PFS)
    assert set(snapshot.functions) >= {*PFS, PLAIN}
    for bdf, ids in {IGB: (0x8086, 0x10C9, 0x020000), NVME: (0x1B36, 0x0010, 0x010802), PLAIN: (0x8086, 0x10D3, 0x020000)}.items():
        function = snapshot.functions[bdf]
        assert (function.vendor_id, function.device_id, function.class_code) == ids
    igb, plain = snapshot.functions[IGB], snapshot.functions[PLAIN]
    assert igb.sriov is not None
    assert (igb.sriov.totalvfs, igb.sriov.vfs, igb.sriov.autoprobe) == (8, (), True)
    assert (igb.sriov.offset, igb.sriov.stride, igb.sriov.vf_device) == (128, 2, 0x10CA)
    assert (igb.role, igb.driver, igb.on_vfio, igb.driver_override) == (Role.PF, None, False, None)
    assert (plain.role, plain.driver, plain.on_vfio, plain.driver_override) == (Role.PLAIN, "vfio-pci", True, "vfio-pci")
    groups = {bdf: snapshot.functions[bdf].iommu_group for bdf in (*PFS, PLAIN)}
    assert len(set(groups.values())) == 4
    for bdf, group in groups.items():
        assert group is not None
        assert snapshot.groups[group].members == (bdf,)
    assert (plain.cdev is not None) == bed.cdev  # whatever its vfio-dev directory says


def test_the_host(bed: Bed) -> None:
    assert bed.bind(PLAIN) == "OK"
    host = look(bed).host
    assert (host.kernel, host.simulated, host.privileged, host.iommu) == (bed.release, bed.simulated, True, True)
    assert host.enable_sriov is (True if bed.has("vf_token") else None)
    assert host.cdev == bed.cdev
    if bed.has("vf_token"):
        bed.must(ENABLE_SRIOV, "N")
        assert look(bed).host.enable_sriov is False


def test_vfs(tokens: Bed) -> None:
    tokens.vfio_pf(IGB, 8)
    tokens.vfio_pf(NVME, 2)
    snapshot = look(tokens)
    assert list(snapshot.functions) == sorted(snapshot.functions)
    for pf, vfs in ((IGB, IGB_VFS), (NVME, NVME_VFS[:2]), (IGB_2, ())):
        sriov = snapshot.functions[pf].sriov
        assert sriov is not None
        assert (sriov.vfs, sriov.numvfs) == (vfs, len(vfs))
        for index, vf in enumerate(snapshot.vfs_of(pf)):
            assert (vf.role, vf.physfn, vf.vf_index, vf.driver, vf.driver_override) == (Role.VF, pf, index, "vfio-pci", "vfio-pci")
    groups = {snapshot.functions[bdf].iommu_group for bdf in (*IGB_VFS, *NVME_VFS[:2], IGB, NVME)}
    assert len(groups) == 12
    assert tokens.numvfs(NVME, 0) == "OK"
    assert not any(bdf in look(tokens).functions for bdf in NVME_VFS)


def test_a_native_driver(tokens: Bed) -> None:
    tokens.load("igb")
    snapshot = look(tokens)
    igb = snapshot.functions[IGB]
    assert igb.sriov is not None
    assert (igb.driver, igb.on_vfio, igb.sriov.totalvfs) == ("igb", False, 7)
    assert len(igb.interfaces) == 1


def test_a_scan_does_not_wait_for_a_removal(tokens: Bed) -> None:
    """The VF that is held has lost its links to the PF, and is known for a VF of it all the same."""
    vfs = tokens.vfio_pf(vfs=3)
    holder = tokens.program("holder")
    assert try_open(holder, IGB, U1) == "OK"
    open_device(holder, vfs[1], U1)
    pending = tokens.blocked(f"{DEVICES}/{IGB}/sriov_numvfs", "0")
    if tokens.has("uevent_lock"):  # what waits for the lock is not read, and said to be missing
        snapshot = scan(tokens.kernel, {})
        missing = {problem.path for problem in snapshot.problems}
        assert missing >= {f"{DEVICES}/{IGB}/uevent", f"{DEVICES}/{IGB}/driver_override", f"{DEVICES}/{vfs[1]}/uevent"}
        assert snapshot.functions[vfs[2]].physfn == IGB
    else:
        snapshot = scan(tokens.kernel, {})
        assert [vf.bdf for vf in snapshot.vfs_of(IGB)] == vfs[1:]
        held = snapshot.functions[vfs[1]]
        assert (held.role, held.physfn, held.vf_index, held.driver) == (Role.VF, IGB, 1, "vfio-pci")
    tokens.exit(holder)
    assert tokens.finish(pending) == "OK"
    assert look(tokens).vfs_of(IGB) == []


# -- the same from files on disk -------------------------------------------------------------------------------------------
def initial(bed: Bed) -> None:
    """Nothing bound."""


def everything(bed: Bed) -> None:
    """All kinds of functions on vfio-pci."""
    assert bed.bind(PLAIN) == "OK"
    if bed.has("vf_token"):
        bed.vfio_pf(IGB, 8)
        bed.vfio_pf(NVME, 3)


def native(bed: Bed) -> None:
    """Native drivers, one of them with VFs on vfio-pci and one without."""
    for driver in ("igb", "nvme", "e1000e"):
        bed.load(driver)
    assert bed.numvfs(IGB, 4) == "OK"
    assert bed.bind(bed.virtfns(IGB)[2]) == "OK"
    bed.must(f"{DEVICES}/{NVME}/sriov_drivers_autoprobe", "0")


def removal(bed: Bed) -> None:
    """A VF held while its PF's VFs are being taken away."""
    if bed.has("vf_token"):
        vfs = bed.vfio_pf(IGB, 3)
        holder = bed.program("holder")
        assert try_open(holder, IGB, U1) == "OK"
        open_device(holder, vfs[1], U1)
        bed.blocked(f"{DEVICES}/{IGB}/sriov_numvfs", "0")


@pytest.mark.parametrize("prepare", [initial, everything, native, removal], ids=lambda prepare: prepare.__name__)
def test_a_copy_on_disk_scans_alike(bed: Bed, tmp_path: Path, prepare: Callable[[Bed], None]) -> None:
    if not bed.simulated:
        pytest.skip("copies are made of simulated kernels only")
    prepare(bed)
    original = scan(bed.kernel, {})
    if original.problems:
        assert prepare is removal
        assert bed.has("override_lock")
        return  # files on disk never make a reader wait
    copy = scan(LinuxKernel(str(dump(bed.kernel, tmp_path))), {})
    host = replace(copy.host, simulated=True, privileged=True)
    assert replace(copy, host=host, taken=original.taken) == original


def test_a_copy_on_disk_has_no_devices(bed: Bed, tmp_path: Path) -> None:
    if not bed.simulated:
        pytest.skip("copies are made of simulated kernels only")
    everything(bed)
    kernel = LinuxKernel(str(dump(bed.kernel, tmp_path)))
    for path in (bed.group_path(PLAIN), "/dev/vfio/vfio"):
        with pytest.raises(OSError) as caught:  # noqa: PT011
            kernel.open(path)
        assert caught.value.errno == errno.ENODEV
