"""What a simulated device and its place in the machine allow when VFs are made, and what shows of that before."""

from __future__ import annotations

import struct

import pytest

from vfdeck.backend.kernel import errno_name
from vfdeck.backend.profile import profile
from vfdeck.backend.sim.hardware import Function, SriovCapability
from vfdeck.backend.sim.kernel import SimulatedKernel
from vfdeck.backend.sim.machine import Machine
from vfdeck.backend.sim.surroundings import Credentials

DEVICES = "/sys/bus/pci/devices"
PF, PORT = "0000:01:00.0", "0000:00:01.0"


class Bench:
    """A machine with one PF, and a program of root's on it."""

    def __init__(self, release: str = "6.12.107", driver: str = "igb", model: tuple[int, int] = (0x8086, 0x10C9)) -> None:
        self.machine = Machine(profile(release))
        self.machine.load_driver(driver)
        self.capability = SriovCapability(8, 128, 2, 0x10CA)
        self.pf = self.machine.add(Function(PF, *model, 0x020000, sriov=self.capability, interface="eth0"))
        self.kernel = SimulatedKernel(self.machine, "test")
        if driver == "vfio-pci":
            self.must(f"{DEVICES}/{PF}/driver_override", driver)
        self.must("/sys/bus/pci/drivers_probe", PF)
        assert self.pf.driver == driver

    def write(self, path: str, text: str) -> str:
        error = self.kernel.write(path, text.encode()).result()
        return "OK" if error is None else errno_name(error.errno or 0)

    def must(self, path: str, text: str) -> None:
        assert self.write(path, text) == "OK"

    def numvfs(self, count: int) -> str:
        return self.write(f"{DEVICES}/{PF}/sriov_numvfs", str(count))

    def text(self, name: str, bdf: str = PF) -> str:
        return self.kernel.read(f"{DEVICES}/{bdf}/{name}").decode()

    def lines(self, bdf: str = PF) -> list[tuple[int, ...]]:
        return [tuple(int(part, 16) for part in line.split()) for line in self.text("resource", bdf).splitlines()]

    @property
    def logged(self) -> str:
        return "\n".join(line.text for line in self.kernel.log() or [])

    def behind(self, last_bus: int) -> None:
        """Put a bridge above the PF that owns the buses from the PF's to this one."""
        self.machine.add(Function(PORT, 0x8086, 0x3420, 0x060400, header=1, buses=(1, last_bus), link=None))


@pytest.fixture
def bench() -> Bench:
    return Bench()


# -- what shows ------------------------------------------------------------------------------------------------------------
def test_windows_hold_all_vfs_and_each_vf_has_its_part(bench: Bench) -> None:
    assert bench.numvfs(3) == "OK"
    lines = bench.lines()
    assert len(lines) == 13
    for number, (start, end, flags) in enumerate(lines[7:13]):
        assert (end - start + 1 if end else 0) == bench.capability.bars[number] * 8 if number < 4 else end == 0
        assert bool(flags & 0x200) == (number in (0, 3))
    second = bench.lines("0000:01:10.2")
    assert second[0][0] == lines[7][0] + 0x4000
    assert second[3][1] == lines[10][0] + 2 * 0x4000 - 1


def test_a_window_that_was_not_found_is_a_line_of_zeros(bench: Bench) -> None:
    bench.capability.unassigned = frozenset({3})
    assert bench.lines()[10] == (0, 0, 0)
    assert bench.lines()[7][0] > 0


def test_the_capability_stands_in_config_space(bench: Bench) -> None:
    space = bench.kernel.read(f"{DEVICES}/{PF}/config")
    assert len(space) == 4096
    assert struct.unpack_from("<HH", space) == (0x8086, 0x10C9)
    assert struct.unpack_from("<H", space, 0x160) == (0x10,)
    assert struct.unpack_from("<HHH", space, 0x16C) == (8, 8, 0)
    assert struct.unpack_from("<HH", space, 0x174) == (128, 2)
    assert bench.text("sriov_totalvfs") == "7\n"  # igb keeps one, the capability still has eight


def test_a_vf_has_no_ids_of_its_own_in_config_space(bench: Bench) -> None:
    assert bench.numvfs(1) == "OK"
    assert bench.kernel.read(f"{DEVICES}/0000:01:10.0/config")[:4] == b"\xff" * 4
    assert bench.text("vendor", "0000:01:10.0") == "0x8086\n"


def test_an_ordinary_user_reads_the_header_only(bench: Bench) -> None:
    user = SimulatedKernel(bench.machine, "user", "user", credentials=Credentials(1000, 1000))
    assert len(user.read(f"{DEVICES}/{PF}/config")) == 64


def test_a_function_off_the_bus_reads_as_ones(bench: Bench) -> None:
    bench.pf.lost = True
    assert set(bench.kernel.read(f"{DEVICES}/{PF}/config")) == {0xFF}


def test_links_lead_past_the_bridges(bench: Bench) -> None:
    assert bench.kernel.link(f"{DEVICES}/{PF}") == f"../../../devices/pci0000:01/{PF}"
    bench.behind(1)
    assert bench.numvfs(1) == "OK"
    assert bench.kernel.link(f"{DEVICES}/{PF}") == f"../../../devices/pci0000:00/{PORT}/{PF}"
    assert bench.kernel.link(f"{DEVICES}/0000:01:10.0") == f"../../../devices/pci0000:00/{PORT}/0000:01:10.0"
    assert (bench.text("secondary_bus_number", PORT), bench.text("subordinate_bus_number", PORT)) == ("1\n", "1\n")
    assert bench.kernel.read(f"{DEVICES}/{PORT}/config")[0x18:0x1B] == bytes((0, 1, 1))
    assert len(bench.lines(PORT)) == 17


@pytest.mark.parametrize(
    ("release", "vfs", "idle_d3", "state", "status"),
    [
        ("6.12.107", 0, True, "D3hot", "suspended"),
        ("6.12.107", 2, True, "D0", "active"),
        ("6.12.107", 0, False, "D0", "active"),
        ("5.15.30", 2, True, "D3hot", "active"),
    ],
)
def test_power_of_an_idle_pf_on_vfio(release: str, vfs: int, idle_d3: bool, state: str, status: str) -> None:
    bench = Bench(release, "vfio-pci")
    bench.must("/sys/module/vfio_pci/parameters/disable_idle_d3", "N" if idle_d3 else "Y")
    assert bench.numvfs(vfs) == "OK"
    assert bench.text("power_state") == f"{state}\n"
    assert bench.text("power/runtime_status") == f"{status}\n"


def test_what_stat_says_of_files_and_nodes() -> None:
    bench = Bench(driver="vfio-pci")
    stat = bench.kernel.stat
    assert bench.pf.group is not None
    assert stat(f"/dev/vfio/{bench.pf.group.number}").mode & 0o777 == 0o600
    assert stat(f"{DEVICES}/{PF}/sriov_numvfs").mode & 0o777 == 0o644
    assert stat(f"{DEVICES}/{PF}").mode & 0o170000 == 0o040000
    for absent in ("/dev/vfio/999", f"{DEVICES}/0000:09:00.0/config"):
        with pytest.raises(FileNotFoundError):
            stat(absent)


# -- what is refused -------------------------------------------------------------------------------------------------------
def test_no_address_range(bench: Bench) -> None:
    bench.capability.unassigned = frozenset({0})
    assert bench.numvfs(1) == "ENOMEM"
    assert f"igb {PF}: not enough MMIO resources for SR-IOV" in bench.logged
    assert bench.capability.vfs == {}


def test_the_last_vf_is_on_a_bus_that_the_bridge_does_not_own(bench: Bench) -> None:
    bench.capability.offset = 250
    bench.behind(1)
    assert bench.numvfs(4) == "ENOMEM"
    assert f"igb {PF}: can't enable 4 VFs (bus 02 out of range of [bus 01])" in bench.logged
    assert bench.numvfs(3) == "OK"


def test_a_bridge_with_more_buses(bench: Bench) -> None:
    bench.capability.offset = 250
    bench.behind(2)
    assert bench.numvfs(4) == "OK"
    assert "0000:02:00.0" in bench.machine.functions


def test_address_space_is_looked_at_before_bus_numbers(bench: Bench) -> None:
    bench.capability.offset, bench.capability.unassigned = 250, frozenset({0})
    bench.behind(1)
    assert bench.numvfs(4) == "ENOMEM"
    assert "out of range" not in bench.logged


def test_initial_vfs_that_differ(bench: Bench) -> None:
    bench.capability.initial = 6
    assert bench.numvfs(2) == "EIO"


@pytest.mark.parametrize(("other", "answer"), [(None, "ENODEV"), ("plain", "ENOSYS"), ("pf", "OK")])
def test_a_dependency(bench: Bench, other: str | None, answer: str) -> None:
    bench.capability.dependency = "0000:01:00.1"
    if other is not None:
        sriov = SriovCapability(8, 128, 2, 0x10CA) if other == "pf" else None
        bench.machine.add(Function("0000:01:00.1", 0x8086, 0x10C9, 0x020000, sriov=sriov))
    assert bench.numvfs(1) == answer


@pytest.mark.parametrize(("taken", "count", "answer"), [(56, 4, "OK"), (56, 5, "ENOSPC"), (62, 1, "OK"), (63, 1, "ENOSPC")])
def test_a_driver_out_of_vectors(taken: int, count: int, answer: str) -> None:
    bench = Bench(driver="ice", model=(0x8086, 0x1592))
    bench.capability.vectors, bench.pf.vectors = 64, taken
    assert len(bench.kernel.names(f"{DEVICES}/{PF}/msi_irqs")) == taken
    assert bench.numvfs(count) == answer
    assert ("MSI-X interrupts available for SR-IOV" in bench.logged) == (answer == "ENOSPC")


def test_fewer_vfs_than_asked_for(bench: Bench) -> None:
    bench.capability.grants = 3
    assert bench.numvfs(5) == "OK"
    assert len(bench.capability.vfs) == 3
    assert bench.text("sriov_numvfs") == "3\n"
    assert "5 VFs requested; only 3 enabled" in bench.logged


def test_no_vfs_at_all_while_the_interface_is_down() -> None:
    bench = Bench(driver="bnxt_en", model=(0x14E4, 0x1750))
    bench.pf.up = False
    assert bench.text("net/eth0/operstate") == "down\n"
    assert bench.numvfs(4) == "OK"
    assert bench.capability.vfs == {}
    assert "4 VFs requested; only 0 enabled" in bench.logged
    bench.pf.up = True
    assert bench.numvfs(4) == "OK"
    assert len(bench.capability.vfs) == 4
