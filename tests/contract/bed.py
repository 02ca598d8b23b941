"""The test bed: the hardware of the recordings, simulated at any release or real in a guest, behind one interface.

Tests speak to a `Bed` and to the kernels (programs) it makes, and never ask which kind it is, but for what only one kind can
have. A test finds the hardware in its initial state: no VFs, no driver bound, nothing overridden, `enable_sriov` on.
"""

from __future__ import annotations

import errno
import os
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ParamSpec
from uuid import UUID

import pytest

from tests.kernel.elsewhere import end as end_elsewhere
from tests.kernel.elsewhere import start as start_elsewhere
from vfdeck.backend.kernel import Blocked, Kernel, LogLine, Pending, Refusal, errno_name
from vfdeck.backend.linux.kernel import LinuxKernel
from vfdeck.backend.profile import profile
from vfdeck.backend.sim.hardware import Function, SriovCapability
from vfdeck.backend.sim.kernel import SimulatedKernel
from vfdeck.backend.sim.machine import Machine
from vfdeck.backend.token_rules import format_argument
from vfdeck.backend.vfio import DEVICES, OpenDevice, Program

IGB = "0000:01:00.0"
IGB_VFS = tuple(f"0000:01:{0x10 + i // 4:02x}.{i % 4 * 2}" for i in range(8))
IGB_2 = "0000:02:00.0"
NVME = "0000:03:00.0"
NVME_VFS = tuple(f"0000:03:{(i + 1) // 8:02x}.{(i + 1) % 8}" for i in range(8))
PLAIN = "0000:04:00.0"
PFS = (IGB, IGB_2, NVME)

U1 = UUID("bd8d9d2b-5a5f-4f5a-a211-f591514ba1f3")
U2 = UUID("1f2e3d4c-5b6a-4798-8f9e-0d1c2b3a4958")
ZERO = UUID(int=0)

DRIVERS = "/sys/bus/pci/drivers"
PROBE = "/sys/bus/pci/drivers_probe"
ENABLE_SRIOV = "/sys/module/vfio_pci/parameters/enable_sriov"

#: How long a call on real hardware may take before it counts as hung, seconds. VFs are removed at a second each under emulation.
PATIENCE = 60.0
#: How long a call on real hardware is given before it counts as blocked, seconds. Enabling VFs takes less.
BLOCKED_AFTER = 2.0

VF_REQUIRED = "VF token required to access device"
VF_INCORRECT = "Incorrect VF token provided for device"
NOT_VFIO_PF = "VF token incorrectly provided, PF not bound to vfio-pci"
NOT_SRIOV = "VF token incorrectly provided, not a PF or VF"


P = ParamSpec("P")


def answer(call: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> str:
    """What a call answers: `OK`, `BLOCKED`, the errno's name, and the stage after it where there is one."""
    try:
        call(*args, **kwargs)
    except Refusal as refusal:
        return f"{refusal.name} {refusal.stage}"
    except (Blocked, TimeoutError):
        return "BLOCKED"
    except OSError as error:
        return errno_name(error.errno or 0)
    return "OK"


class Bed(ABC):
    """The hardware on one kernel."""

    simulated: bool
    iommufd: bool

    def __init__(self, release: str) -> None:
        self.release = release
        self._switches = profile(release)
        self._logged = 0
        self.kernel = self.new_kernel("operator")

    # -- what differs by kernel --------------------------------------------------------------------------------------
    @abstractmethod
    def new_kernel(self, name: str) -> Kernel:
        """A separate program."""

    @abstractmethod
    def elsewhere(self, name: str) -> Kernel:
        """A program in a process of its own, as far as the kernel can tell; its name and number are in the process table."""

    @abstractmethod
    def exit(self, program: Program | Kernel) -> None:
        """End a program: all it has open is closed, all it has mapped unmapped."""

    @abstractmethod
    def load(self, driver: str) -> None:
        """Load a driver's module: it takes at once what has no driver and matches."""

    @abstractmethod
    def settle(self) -> None:
        """Let the log's rate limit forget what was printed so far."""

    # -- asking the kernel -------------------------------------------------------------------------------------------
    def has(self, switch: str) -> bool:
        """Whether this kernel has a switch of profiles.toml."""
        return self._switches.has(switch)

    @property
    def cdev(self) -> bool:
        """Whether functions have nodes of their own."""
        return self.iommufd and self.has("cdev")

    def program(self, name: str) -> Program:
        """A separate program that opens devices."""
        return Program(self.new_kernel(name))

    def begin(self, path: str, data: str | bytes) -> Pending:
        """Begin a write."""
        return self.kernel.write(path, data.encode() if isinstance(data, str) else data)

    def finish(self, pending: Pending) -> str:
        """Wait for a write's answer: a call that takes its time is over then, and one that is blocked says so."""
        pending.wait(PATIENCE)
        return self.state(pending)

    @staticmethod
    def state(pending: Pending) -> str:
        """A write's answer so far."""
        try:
            error = pending.result()
        except Blocked:
            return "BLOCKED"
        return "OK" if error is None else errno_name(error.errno or 0)

    def blocked(self, path: str, data: str) -> Pending:
        """Begin a write that has to block."""
        pending = self.begin(path, data)
        assert not pending.wait(BLOCKED_AFTER), f"{path}: writing {data!r} was {self.state(pending)}, expected it to wait"
        return pending

    def write(self, path: str, data: str | bytes) -> str:
        """Write and wait for the answer."""
        return self.finish(self.begin(path, data))

    def must(self, path: str, data: str) -> None:
        """Write what has to succeed."""
        result = self.write(path, data)
        assert result == "OK", f"{path}: writing {data!r} gives {result}"

    def read(self, path: str) -> str:
        """A file's content without surrounding white space."""
        return self.kernel.read(path).decode().strip()

    def attribute(self, bdf: str, name: str) -> str:
        """A file of a function."""
        return self.read(f"{DEVICES}/{bdf}/{name}")

    def exists(self, bdf: str) -> bool:
        """Whether there is such a function."""
        return bdf in self.kernel.names(DEVICES)

    def link(self, bdf: str, name: str) -> str | None:
        """What a link in a function's directory leads to, None where there is no such link."""
        try:
            return self.kernel.link(f"{DEVICES}/{bdf}/{name}").rpartition("/")[2]
        except OSError as error:
            if error.errno == errno.ENOENT:
                return None
            raise

    def driver(self, bdf: str) -> str | None:
        """The driver that a function is bound to."""
        return self.link(bdf, "driver")

    def lets_go(self, bdf: str) -> bool:
        """Whether a function's driver leaves it by itself, if not at once then soon."""
        return self.driver(bdf) is None

    def virtfns(self, pf: str) -> dict[int, str]:
        """A PF's links to its VFs, by index."""
        names = (name for name in self.kernel.names(f"{DEVICES}/{pf}") if name.startswith("virtfn"))
        found = {int(name[6:]): self.link(pf, name) for name in names}
        return {index: bdf for index, bdf in sorted(found.items()) if bdf is not None}

    def cdev_path(self, bdf: str) -> str:
        """A function's own node."""
        (name,) = self.kernel.names(f"{DEVICES}/{bdf}/vfio-dev")
        return f"/dev/vfio/devices/{name}"

    def group_path(self, bdf: str) -> str:
        """The node of a function's group."""
        return f"/dev/vfio/{self.link(bdf, 'iommu_group')}"

    # -- the log -----------------------------------------------------------------------------------------------------
    def take_log(self) -> list[str]:
        """Lines that were logged since the last call."""
        lines = self.kernel.log()
        assert lines is not None, "the kernel log cannot be read"
        new = self._new_lines(lines)
        return [line.text for line in new]

    def _new_lines(self, lines: list[LogLine]) -> list[LogLine]:
        new, self._logged = lines[self._logged :], len(lines)
        return new

    # -- changing things ---------------------------------------------------------------------------------------------
    def override(self, bdf: str, driver: str) -> None:
        """Set a function's driver_override."""
        self.must(f"{DEVICES}/{bdf}/driver_override", driver or "\n")

    def bind(self, bdf: str, driver: str = "vfio-pci") -> str:
        """Bind a function to a driver by override and the driver's bind file; the answer."""
        self.override(bdf, driver)
        return self.write(f"{DRIVERS}/{driver}/bind", bdf)

    def unbind(self, bdf: str) -> str:
        """Take a function from its driver; the answer."""
        return self.write(f"{DRIVERS}/{self.driver(bdf)}/unbind", bdf)

    def numvfs(self, pf: str, count: int) -> str:
        """Set a PF's number of VFs; the answer."""
        return self.write(f"{DEVICES}/{pf}/sriov_numvfs", str(count))

    def vfio_pf(self, pf: str = IGB, vfs: int = 2) -> list[str]:
        """Bind a PF to vfio-pci and give it VFs, which vfio-pci takes; the VFs."""
        assert self.bind(pf) == "OK"
        assert self.numvfs(pf, vfs) == "OK"
        return list(self.virtfns(pf).values())

    def stub_pf(self, pf: str = IGB, vfs: int = 2) -> list[str]:
        """Put a PF on a kernel driver that does nothing but VFs, and the VFs on vfio-pci; the VFs."""
        self.load("pci-pf-stub")
        assert self.bind(pf, "pci-pf-stub") == "OK"
        assert self.numvfs(pf, vfs) == "OK"
        found = list(self.virtfns(pf).values())
        for vf in found:
            assert self.bind(vf) == "OK"
        return found


def open_device(program: Program, bdf: str, token: UUID | None = None, path: str = "group") -> OpenDevice:
    """Open a function by one of the two paths."""
    if path == "cdev":
        return program.open_by_cdev(bdf, token.bytes if token is not None else None)
    return program.open_by_group(bdf, format_argument(bdf, str(token) if token is not None else None))


def try_open(program: Program, bdf: str, token: UUID | None = None, path: str = "group") -> str:
    """What opening a function answers; it is closed again at once."""
    return answer(lambda: program.close(open_device(program, bdf, token, path)))


# -- simulated -------------------------------------------------------------------------------------------------------------
def _capability(offset: int, stride: int, vf_device: int) -> SriovCapability:
    return SriovCapability(8, offset, stride, vf_device)


def machine(release: str) -> Machine:
    """The hardware of the recordings on a simulated kernel."""
    made = Machine(profile(release))
    for bdf in (IGB, IGB_2):
        made.add(Function(bdf, 0x8086, 0x10C9, 0x020000, sriov=_capability(128, 2, 0x10CA)))
    made.add(Function(NVME, 0x1B36, 0x0010, 0x010802, sriov=_capability(1, 1, 0x0010)))
    made.add(Function(PLAIN, 0x8086, 0x10D3, 0x020000))
    return made


class SimulatedBed(Bed):
    """A simulated machine of some release."""

    simulated = True

    def __init__(self, release: str, hardware: Machine | None = None) -> None:
        self.machine = hardware or machine(release)
        self.iommufd = self.machine.profile.iommufd
        super().__init__(release)

    def new_kernel(self, name: str) -> SimulatedKernel:
        return SimulatedKernel(self.machine, name)

    def elsewhere(self, name: str) -> SimulatedKernel:
        return self.new_kernel(name)

    def exit(self, program: Program | Kernel) -> None:
        kernel = program.kernel if isinstance(program, Program) else program
        assert isinstance(kernel, SimulatedKernel)
        kernel.exit()

    def load(self, driver: str) -> None:
        if driver in self.machine.drivers:
            return
        self.machine.load_driver(driver)
        for bdf, function in list(self.machine.functions.items()):
            if function.driver is None:
                self.write(f"{DRIVERS}/{driver}/bind", bdf)  # refused where it does not match

    def settle(self) -> None:
        self.machine.now += 6.0


# -- real ------------------------------------------------------------------------------------------------------------------
class RealProgram(LinuxKernel):
    """A program of its own within this process: it knows its descriptors and mappings, and can end."""

    def __init__(self) -> None:
        super().__init__()
        self._fds: set[int] = set()
        self._mapped: set[int] = set()

    def _note(self, fd: int) -> int:
        self._fds.add(fd)
        return fd

    def open(self, path: str) -> int:
        return self._note(super().open(path))

    def dup(self, fd: int) -> int:
        return self._note(super().dup(fd))

    def borrow(self, pid: int, fd: int) -> int:
        return self._note(super().borrow(pid, fd))

    def get_device_fd(self, group: int, argument: bytes) -> int:
        return self._note(super().get_device_fd(group, argument))

    def close(self, fd: int) -> None:
        self._fds.discard(fd)
        super().close(fd)

    def map(self, device: int) -> int:
        mapping = super().map(device)
        self._mapped.add(mapping)
        return mapping

    def unmap(self, mapping: int) -> None:
        self._mapped.discard(mapping)
        super().unmap(mapping)

    def exit(self) -> None:
        """Close and unmap everything."""
        for fd in sorted(self._fds, reverse=True):
            self.close(fd)
        for mapping in list(self._mapped):
            self.unmap(mapping)


class RealBed(Bed):
    """The hardware of the guest that this runs in."""

    simulated = False

    def __init__(self) -> None:
        self.iommufd = os.path.exists("/dev/iommu")
        self._programs: list[RealProgram] = []
        self._elsewhere: list[Kernel] = []
        self._begun: list[Pending] = []
        self._loaded: list[str] = []
        self._last: LogLine | None = None
        super().__init__(os.uname().release)

    def new_kernel(self, name: str) -> RealProgram:
        self._programs.append(RealProgram())
        return self._programs[-1]

    def elsewhere(self, name: str) -> Kernel:
        self._elsewhere.append(start_elsewhere(name))
        return self._elsewhere[-1]

    def exit(self, program: Program | Kernel) -> None:
        kernel = program.kernel if isinstance(program, Program) else program
        if isinstance(kernel, RealProgram):
            kernel.exit()
        else:
            self._elsewhere.remove(kernel)
            end_elsewhere(kernel)

    def load(self, driver: str) -> None:
        if os.path.isdir(f"{DRIVERS}/{driver}"):  # built in, or loaded before
            for bdf in (*PFS, PLAIN):
                if self.driver(bdf) is None:
                    answer(_poke, f"{DRIVERS}/{driver}/bind", bdf)
            return
        if subprocess.run(["modprobe", driver]).returncode != 0:
            pytest.skip(f"this kernel has no driver {driver}")
        self._loaded.append(driver)

    def settle(self) -> None:
        time.sleep(5.2)

    def lets_go(self, bdf: str) -> bool:
        until = time.monotonic() + PATIENCE
        while self.driver(bdf) is not None and time.monotonic() < until:
            time.sleep(0.1)
        return super().lets_go(bdf)

    def begin(self, path: str, data: str | bytes) -> Pending:
        pending = super().begin(path, data)
        self._begun.append(pending)
        return pending

    def write(self, path: str, data: str | bytes) -> str:
        """Writes that never wait are made at once: a process for each takes long under emulation."""
        name = path.rpartition("/")[2]
        if name in ("driver_override", "bind") or (name == "sriov_numvfs" and data in ("1", "2", "4", "8")):
            return answer(_poke, path, data)
        return super().write(path, data)

    def _new_lines(self, lines: list[LogLine]) -> list[LogLine]:
        """The log keeps a limited number of lines, so what was seen last is found by its time."""
        last = self._last
        new = lines if last is None else [line for line in lines if line.seconds > last.seconds]
        self._last = lines[-1] if lines else last
        return new

    def reset(self) -> None:
        """Bring the hardware to its initial state."""
        for kernel in list(self._elsewhere):
            self.exit(kernel)
        for program in self._programs:
            program.exit()
        self._programs = [program for program in self._programs if program is self.kernel]
        for pending in self._begun:
            assert pending.wait(PATIENCE), f"the write to {pending.path} is blocked with nothing open"
        self._begun.clear()
        _poke(ENABLE_SRIOV, "Y")
        for bdf in (*PFS, PLAIN):
            self._restore(bdf)
        for driver in reversed(self._loaded):
            subprocess.run(["modprobe", "-r", driver], check=True)
        self._loaded.clear()
        self.take_log()

    def _restore(self, bdf: str) -> None:
        if not self.exists(bdf):
            _poke("/sys/bus/pci/rescan", "1")
        if self.virtfns(bdf) and self.driver(bdf) is None:
            self.load("pci-pf-stub")
            assert self.bind(bdf, "pci-pf-stub") == "OK"
        driver = self.driver(bdf)
        if driver is not None:
            if self.virtfns(bdf):
                _poke(f"{DEVICES}/{bdf}/sriov_numvfs", "0")
            _poke(f"{DRIVERS}/{driver}/unbind", bdf)
        if bdf in PFS:
            _poke(f"{DEVICES}/{bdf}/sriov_drivers_autoprobe", "1")
            assert self.virtfns(bdf) == {}, f"{bdf} still has VFs"
        if self.attribute(bdf, "driver_override") != "(null)":
            _poke(f"{DEVICES}/{bdf}/driver_override", "\n")


def _poke(path: str, data: str | bytes) -> None:
    """Write at once, without a process of its own: for what cannot wait."""
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, data.encode() if isinstance(data, str) else data)
    finally:
        os.close(fd)
