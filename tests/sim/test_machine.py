"""What the test bed's hardware does not have: groups of several functions, no IOMMU, faults, other drivers, other versions."""

from __future__ import annotations

import errno

import pytest

from tests.contract.bed import (
    DRIVERS,
    IGB,
    IGB_2,
    NVME,
    PLAIN,
    PROBE,
    U1,
    U2,
    SimulatedBed,
    answer,
    open_device,
    try_open,
)
from tests.contract.bed import machine as hardware
from tests.contract.ladder import CONTAINER, Opening, ready_group
from vfdeck.backend.kernel import VFIO_NOIOMMU_IOMMU, VFIO_TYPE1_IOMMU
from vfdeck.backend.profile import named_profiles, parse_version, profile
from vfdeck.backend.sim.hardware import Function, SriovCapability
from vfdeck.backend.sim.machine import Fault, Machine
from vfdeck.backend.token_rules import format_argument
from vfdeck.backend.vfio import DEVICES

ONE, TWO = "0000:05:00.0", "0000:05:00.1"


# -- a group of two functions ----------------------------------------------------------------------------------------------
@pytest.fixture(params=named_profiles())
def pair(request: pytest.FixtureRequest) -> SimulatedBed:
    """Two plain functions in one IOMMU group."""
    made = hardware(request.param)
    first = made.add(Function(ONE, 0x8086, 0x10D3, 0x020000))
    assert first.group is not None
    made.add(Function(TWO, 0x8086, 0x10D3, 0x020000), first.group.number)
    bed = SimulatedBed(request.param, made)
    bed.load("e1000e")
    return bed


def test_a_kernel_driver_makes_a_group_unviable(pair: SimulatedBed) -> None:
    assert pair.driver(TWO) == "e1000e"
    assert (pair.unbind(ONE), pair.bind(ONE)) == ("OK", "OK")
    refused = "EPERM set_container" if pair.has("dma_owner") else "EINVAL get_device_fd"
    program = pair.program("user")
    assert try_open(program, ONE) == refused
    assert pair.unbind(TWO) == "OK"
    assert try_open(program, ONE) == "OK"  # no driver does no harm
    pair.load("pci-stub")
    assert pair.bind(TWO, "pci-stub") == "OK"
    assert try_open(program, ONE) == "OK"  # nor does a stub
    assert (pair.unbind(TWO), pair.bind(TWO)) == ("OK", "OK")
    assert try_open(program, ONE) == "OK"


def test_an_unviable_group_on_the_cdev_path(pair: SimulatedBed) -> None:
    if not pair.cdev:
        pytest.skip("this kernel has no cdev path")
    assert (pair.unbind(ONE), pair.bind(ONE)) == ("OK", "OK")
    assert try_open(pair.program("user"), ONE, None, "cdev") == "EPERM bind_iommufd"


def test_a_kernel_driver_stays_out_of_a_group_in_use(pair: SimulatedBed) -> None:
    """EBUSY from 5.19. Before, the kernel ran into a BUG, which the simulation spares itself."""
    for bdf in (ONE, TWO):
        assert pair.unbind(bdf) == "OK"
    assert pair.bind(ONE) == "OK"
    open_device(pair.program("user"), ONE)
    expected = "EBUSY" if pair.has("dma_owner") else "OK"
    assert pair.write(f"{DRIVERS}/e1000e/bind", TWO) == expected
    if expected == "EBUSY":
        assert pair.write(PROBE, TWO) == "OK"
        assert pair.driver(TWO) is None


def test_one_group_file_opens_every_function_of_the_group(pair: SimulatedBed) -> None:
    for bdf in (ONE, TWO):
        assert (pair.unbind(bdf), pair.bind(bdf)) == ("OK", "OK")
    assert pair.group_path(ONE) == pair.group_path(TWO)
    program = pair.program("user")
    open_device(program, ONE)
    assert try_open(program, TWO) == "OK"
    assert (pair.unbind(PLAIN), pair.bind(PLAIN)) == ("OK", "OK")
    opening, group = ready_group(pair, PLAIN)
    assert answer(opening.kernel.get_device_fd, group, ONE.encode()) == "ENODEV"


def test_a_vf_in_its_pf_s_group(pair: SimulatedBed) -> None:
    """Without ACS: PF and VFs share a group, and the token still stands between them."""
    if not pair.has("vf_token"):
        pytest.skip("this kernel has no VF tokens")
    pair.machine.functions[IGB].isolates = False
    (vf,) = pair.vfio_pf(vfs=1)
    assert pair.group_path(vf) == pair.group_path(IGB)
    program = pair.program("user")
    open_device(program, IGB, U1)
    assert [try_open(program, vf, token) for token in (None, U2, U1)] == ["EACCES get_device_fd"] * 2 + ["OK"]
    assert try_open(pair.program("other"), vf, U1) == "EBUSY open_group"


# -- no IOMMU --------------------------------------------------------------------------------------------------------------
@pytest.fixture(params=named_profiles())
def bare(request: pytest.FixtureRequest) -> SimulatedBed:
    """A machine without an IOMMU."""
    made = Machine(profile(request.param))
    made.add(Function(IGB, 0x8086, 0x10C9, 0x020000, sriov=SriovCapability(8, 128, 2, 0x10CA)), isolated=False)
    made.add(Function(PLAIN, 0x8086, 0x10D3, 0x020000), isolated=False)
    return SimulatedBed(request.param, made)


def test_without_an_iommu_nothing_binds(bare: SimulatedBed) -> None:
    bare.take_log()
    assert bare.link(PLAIN, "iommu_group") is None
    assert bare.bind(PLAIN) == ("EINVAL" if bare.has("bind_errno") else "ENODEV")
    failed = f"vfio-pci {PLAIN}: probe with driver vfio-pci failed with error -22"
    if not bare.has("probe_text"):
        failed = f"vfio-pci: probe of {PLAIN} failed with error -22"
    assert bare.take_log() == [failed]


def test_no_iommu_mode(bare: SimulatedBed) -> None:
    """Groups are made for it, with names of their own; the token table is the same."""
    bare.must("/sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "1")
    bare.take_log()
    assert bare.bind(PLAIN) == "OK"
    assert f"vfio-pci {PLAIN}: Adding kernel taint for vfio-noiommu group on device" in bare.take_log()
    number = bare.link(PLAIN, "iommu_group")
    assert bare.read(f"/sys/kernel/iommu_groups/{number}/name") == "vfio-noiommu"
    assert f"noiommu-{number}" in bare.kernel.names("/dev/vfio")
    opening = Opening(bare.new_kernel("user"))
    group, container = opening.open(f"/dev/vfio/noiommu-{number}"), opening.open(CONTAINER)
    opening.kernel.set_container(group, container)
    kinds = (VFIO_TYPE1_IOMMU, VFIO_NOIOMMU_IOMMU)
    assert [answer(opening.kernel.set_iommu, container, kind) for kind in kinds] == ["ENODEV", "OK"]
    assert answer(opening.kernel.get_device_fd, group, PLAIN.encode()) == "OK"
    opening.kernel.exit()  # type: ignore[attr-defined]
    assert bare.unbind(PLAIN) == "OK"
    assert bare.link(PLAIN, "iommu_group") is None
    if bare.has("vf_token"):
        vf, _ = bare.vfio_pf()
        program = bare.program("user")
        assert try_open(program, IGB, U1) == "OK"
        assert [try_open(program, vf, token) for token in (None, U2, U1)] == ["EACCES get_device_fd"] * 2 + ["OK"]


def test_the_node_of_a_function_without_iommu(bare: SimulatedBed) -> None:
    """It has one from 7.3, with the prefix; before none, although the directory in sysfs is there."""
    bare.must("/sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "1")
    assert bare.bind(PLAIN) == "OK"
    nodes = bare.kernel.names("/dev/vfio/devices") if "devices" in bare.kernel.names("/dev/vfio") else []
    assert nodes == (["noiommu-vfio0"] if bare.has("cdev_noiommu") else [])


# -- what goes wrong -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("release", ["5.10", "6.12", "7.3"])
def test_an_enable_that_fails_leaves_no_vfs(release: str) -> None:
    bed = SimulatedBed(release)
    path = f"{DEVICES}/{IGB}/sriov_numvfs"
    log = "vfio-pci {bdf}: not enough MMIO resources for SR-IOV"
    bed.machine.faults[path] = [Fault(errno.ENOMEM, log), Fault(errno.EIO)]
    assert bed.bind(IGB) == "OK"
    bed.take_log()
    source = bed.kernel.uevents()
    assert bed.numvfs(IGB, 2) == "ENOMEM"
    assert bed.take_log() == [log.format(bdf=IGB)]
    assert (bed.virtfns(IGB), bed.attribute(IGB, "sriov_numvfs")) == ({}, "0")
    assert bed.numvfs(IGB, 2) == "EIO"
    assert source.wait(0) == []
    assert bed.numvfs(IGB, 2) == "OK"


def test_denylisted_functions() -> None:
    """Intel's QAT of some generations: vfio-pci refuses them, unless told not to."""
    for release, denied in (("5.4", False), ("5.10", True), ("7.3", True)):
        made = hardware(release)
        made.add(Function(ONE, 0x8086, 0x37C8, 0x0B4000))
        bed = SimulatedBed(release, made)
        bed.take_log()
        expected = ("EINVAL" if bed.has("bind_errno") else "ENODEV") if denied else "OK"
        assert bed.bind(ONE) == expected
        line = f"vfio-pci {ONE}: 8086:37c8 exists in vfio-pci device denylist, driver probing disallowed."
        assert (line in bed.take_log()) == denied
        if denied:
            made.parameters["disable_denylist"] = True
            assert bed.bind(ONE) == "OK"
            assert f"vfio-pci {ONE}: device denylist disabled - allowing device 8086:37c8." in bed.take_log()


@pytest.mark.parametrize(("release", "denied"), [("6.1", False), ("6.12", True)])
def test_functions_that_only_newer_kernels_refuse(release: str, denied: bool) -> None:
    made = hardware(release)
    made.add(Function(ONE, 0x8086, 0x0B25, 0x088000))
    assert SimulatedBed(release, made).bind(ONE) == ("EINVAL" if denied else "OK")


def test_bridges_are_refused() -> None:
    made = hardware("6.12")
    made.add(Function(ONE, 0x8086, 0x1234, 0x060400, header=1))
    assert SimulatedBed("6.12", made).bind(ONE) == "EINVAL"


def test_nvme_leaves_its_vfs_and_vfio_then_refuses_it() -> None:
    bed = SimulatedBed("7.3")
    bed.load("nvme")
    assert bed.driver(NVME) == "nvme"
    assert bed.numvfs(NVME, 2) == "OK"
    assert [bed.driver(vf) for vf in bed.virtfns(NVME).values()] == [None, None]  # its probe of VFs fails
    assert bed.unbind(NVME) == "OK"
    assert len(bed.virtfns(NVME)) == 2
    assert bed.bind(NVME) == "EBUSY"


def test_a_variant_driver_guards_its_vfs_by_version() -> None:
    """A VF on another vfio driver than the PF's: unguarded from 5.15 to 5.17, guarded before the split and after the mend."""
    for release, guarded in (("5.10", True), ("5.15", False), ("5.15.40", True), ("5.17", False), ("5.18", True), ("7.3", True)):
        bed = SimulatedBed(release)
        (vf,) = bed.vfio_pf(vfs=1)
        bed.load("mlx5_vfio_pci")
        assert bed.unbind(vf) == "OK"
        assert bed.bind(vf, "mlx5_vfio_pci") == "OK"
        program = bed.program("user")
        assert try_open(program, IGB, U1) == "OK"
        answers = [try_open(program, vf, token) for token in (None, U1)]
        assert answers == (["EACCES get_device_fd", "OK"] if guarded else ["OK", "EINVAL get_device_fd"]), release


def test_removal_of_a_function_in_use_waits_and_holds_the_rescan_lock() -> None:
    for release in ("6.6", "7.3"):
        bed = SimulatedBed(release)
        assert bed.bind(PLAIN) == "OK"
        program = bed.program("user")
        device = open_device(program, PLAIN)
        pending = bed.blocked(f"{DEVICES}/{PLAIN}/remove", "1")
        assert bed.exists(PLAIN)
        assert bed.state(bed.begin("/sys/bus/pci/rescan", "1")) == ("BLOCKED" if bed.has("rescan_lock") else "OK")
        program.close(device)
        assert bed.finish(pending) == "OK"


def test_while_a_number_is_written_rescans_wait() -> None:
    for release in ("5.15", "6.12", "6.12.117", "7.3"):
        bed = SimulatedBed(release)
        (vf,) = bed.vfio_pf(vfs=1)
        program = bed.program("user")
        assert try_open(program, IGB, U1) == "OK"
        device = open_device(program, vf, U1)
        pending = bed.blocked(f"{DEVICES}/{IGB}/sriov_numvfs", "0")
        waits = "BLOCKED" if bed.has("rescan_lock") else "OK"
        assert bed.bind(IGB_2) == "OK"
        others = [bed.begin("/sys/bus/pci/rescan", "1"), bed.begin(f"{DEVICES}/{PLAIN}/remove", "1")]
        assert [bed.state(other) for other in others] == [waits, waits], release
        program.close(device)
        assert [bed.finish(other) for other in (pending, *others)] == ["OK"] * 3


# -- versions --------------------------------------------------------------------------------------------------------------
def test_versions() -> None:
    assert parse_version("6.12.107+deb13-amd64") == (6, 12, 107)
    assert parse_version("7.3") == (7, 3, 0)
    with pytest.raises(ValueError, match="not a kernel release"):
        parse_version("new")
    with pytest.raises(KeyError):
        profile("6.12").has("vf_tokem")
    assert not profile("6.12.107+deb13-amd64").iommufd
    assert profile("6.12.95").iommufd


def test_debian_12_names_its_kernels_by_interface() -> None:
    named = profile("6.1.0-56-amd64")
    assert (named.release, named.version, named.iommufd) == ("6.1.0-56-amd64", (6, 1, 192), False)
    assert named.switches == profile("6.1.192").switches
    assert profile("6.1.0-13-amd64").version == (6, 1, 0)


def test_the_faulty_token_of_bind_ends_with_a_stable_release() -> None:
    faulty = {release: profile(release).has("cdev_token_works") for release in ("6.17", "6.18", "6.18.2", "6.18.3", "6.19", "7.0")}
    assert faulty == {"6.17": False, "6.18": False, "6.18.2": False, "6.18.3": True, "6.19": True, "7.0": True}


def test_the_same_seed_gives_the_same_random_tokens() -> None:
    def token(seed: int) -> bytes:
        made = Machine(profile("7.3"), seed=seed)
        made.add(Function(IGB, 0x8086, 0x10C9, 0x020000, sriov=SriovCapability(8, 128, 2, 0x10CA)))
        assert SimulatedBed("7.3", made).bind(IGB) == "OK"
        record = made.functions[IGB].vfio
        assert record is not None
        assert record.token is not None
        return record.token.uuid

    assert token(1) == token(1) != token(2)
    assert (token(1)[6] >> 4, token(1)[8] >> 6) == (4, 2)  # version 4, variant 1


def test_argument_of_a_function_of_another_group() -> None:
    bed = SimulatedBed("7.3")
    vf, other = bed.vfio_pf()
    opening, group = ready_group(bed, vf)
    assert answer(opening.kernel.get_device_fd, group, format_argument(other, str(U1))) == "ENODEV"
