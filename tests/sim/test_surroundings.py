"""What stands between a program and the simulated kernel: modes, capabilities, containers, security modules, the platform."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.contract.bed import PLAIN, SimulatedBed, answer, open_device, try_open
from vfdeck.backend.kernel import FileStat
from vfdeck.backend.profile import profile
from vfdeck.backend.sim.kernel import SimulatedKernel
from vfdeck.backend.sim.machine import Machine
from vfdeck.backend.sim.surroundings import Container, Credentials, Surroundings, node
from vfdeck.backend.vfio import Program

NODE = "/dev/vfio/7"
UNSAFE = "/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts"


def opened(who: Credentials, around: Surroundings) -> str:
    return answer(around.may_open, who, NODE)


@pytest.mark.parametrize(
    ("mode", "who", "result"),
    [
        (node(0o600), Credentials(0), "OK"),
        (node(0o600), Credentials(0, capabilities=frozenset()), "OK"),  # root owns it
        (node(0o600, 1000), Credentials(0, capabilities=frozenset()), "EACCES"),
        (node(0o600), Credentials(1000), "EACCES"),
        (node(0o600), Credentials(1000, capabilities=frozenset({"CAP_DAC_OVERRIDE"})), "OK"),
        (node(0o600, 1000), Credentials(1000), "OK"),
        (node(0o060, 1000, 36), Credentials(1000, groups=(36,)), "EACCES"),  # the owner's bits decide, whatever the group's say
        (node(0o660, 0, 36), Credentials(1000, groups=(36,)), "OK"),
        (node(0o640, 0, 36), Credentials(1000, gid=36), "EACCES"),  # it is opened for writing too
        (node(0o666), Credentials(1000), "OK"),
    ],
)
def test_modes_and_owners(mode: FileStat, who: Credentials, result: str) -> None:
    assert opened(who, Surroundings(nodes={NODE: mode})) == result


def test_what_is_asked_first() -> None:
    """The node, its mount, its mode, the cgroup, the security module, and last what is behind its number."""
    around = Surroundings(forbidden={NODE})
    box = Container(devices=frozenset(), hidden=frozenset({NODE}), stale=frozenset({NODE}), nodev=("/dev",))
    user = Credentials(1000, container=box)
    assert opened(user, around) == "ENOENT"
    user = replace(user, container=replace(user.container, hidden=frozenset()))
    assert opened(user, around) == "EACCES"
    user = replace(user, uid=0)
    assert opened(user, around) == "EACCES"  # nodev goes for root as well
    user = replace(user, container=replace(user.container, nodev=()))
    assert opened(replace(user, uid=1000), around) == "EACCES"
    assert opened(user, around) == "EPERM"
    user = replace(user, container=replace(user.container, devices=None))
    assert opened(user, around) == "EACCES"
    assert opened(user, Surroundings()) == "ENXIO"


def test_writes_to_sysfs() -> None:
    around = Surroundings()
    container = Credentials(container=Container(read_only=("/sys",)))
    assert answer(around.may_write, Credentials(), "/sys/bus/pci/rescan") == "OK"
    assert answer(around.may_write, Credentials(1000), "/sys/bus/pci/rescan") == "EACCES"
    assert answer(around.may_write, container, "/sys/bus/pci/rescan") == "EROFS"
    assert answer(Surroundings(lockdown="integrity").may_write, Credentials(), f"/sys/bus/pci/devices/{PLAIN}/config") == "EPERM"


@pytest.fixture
def bed() -> SimulatedBed:
    bed = SimulatedBed("6.12")
    assert bed.bind(PLAIN) == "OK"
    return bed


def test_interrupts_that_are_not_remapped(bed: SimulatedBed) -> None:
    bed.machine.around.interrupt_remapping = False
    program = bed.program("user")
    assert try_open(program, PLAIN) == "EPERM set_iommu"
    assert try_open(program, PLAIN, None, "cdev") == "EPERM bind_iommufd"
    assert any("No interrupt remapping support" in line for line in bed.take_log())
    bed.must(UNSAFE, "Y")
    assert try_open(program, PLAIN) == "OK"


@pytest.mark.parametrize(
    ("release", "result"), [("5.15", "EPERM set_iommu"), ("6.1", "EPERM set_iommu"), ("6.12", "EINVAL set_container")]
)
def test_memory_that_firmware_tied_to_a_function(release: str, result: str) -> None:
    bed = SimulatedBed(release)
    assert bed.bind(PLAIN) == "OK"
    bed.machine.functions[PLAIN].direct_mapped = True
    assert try_open(bed.program("user"), PLAIN) == result
    group = bed.link(PLAIN, "iommu_group")
    assert "direct" in bed.read(f"/sys/kernel/iommu_groups/{group}/reserved_regions")


def test_a_domain_that_is_not_the_groups_own(bed: SimulatedBed) -> None:
    group = bed.machine.functions[PLAIN].group
    assert group is not None
    group.foreign_domain = True
    assert try_open(bed.program("user"), PLAIN) == "EBUSY set_container"
    assert try_open(bed.program("user"), PLAIN, None, "cdev") == "EBUSY bind_iommufd"


def test_no_iommu_needs_the_right_to_all_memory() -> None:
    machine = Machine(profile("7.3"))
    bed = SimulatedBed("7.3", machine)
    from vfdeck.backend.sim.hardware import Function

    machine.add(Function(PLAIN, 0x8086, 0x10D3, 0x020000), isolated=False)
    machine.parameters["noiommu"] = True
    assert bed.bind(PLAIN) == "OK"
    (name,) = bed.kernel.names(f"/sys/bus/pci/devices/{PLAIN}/vfio-dev")
    for path in ("/dev/vfio/noiommu-0", f"/dev/vfio/devices/{name}"):
        machine.around.nodes[path] = node(0o666)
    user = Program(SimulatedKernel(machine, "user", uid=1000))
    assert try_open(user, PLAIN) == "EPERM open_group"
    assert try_open(user, PLAIN, None, "cdev") == "EPERM open_cdev"
    raw = Credentials(1000, capabilities=frozenset({"CAP_SYS_RAWIO"}))
    assert open_device(Program(SimulatedKernel(machine, "raw", credentials=raw)), PLAIN).fd > 0


def test_files_beside_sysfs_hide_nothing() -> None:
    machine = Machine(profile("6.12"))
    kernel = SimulatedKernel(machine)
    machine.around.files = {"/etc/modprobe.d/vfio.conf": "options vfio-pci ids=8086:10c9\n", "/sys/bus/pci/extra": "1\n"}
    assert kernel.names("/etc/modprobe.d") == ["vfio.conf"]
    assert kernel.read("/etc/modprobe.d/vfio.conf").startswith(b"options")
    assert {"devices", "drivers", "extra"} <= set(kernel.names("/sys/bus/pci"))
    with pytest.raises(FileNotFoundError):
        kernel.names("/etc/udev")
