"""The simulated machine: its hardware, loaded drivers, groups, programs, clock, log, and the calls that wait.

A call that may wait in the kernel is a generator: it runs until it has to wait for somebody, yields, and is run on when the
machine's state has changed. The one that yields last keeps what it holds, as in the kernel.
"""

from __future__ import annotations

import errno
import itertools
import os
import random
import threading
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field

from vfdeck.backend.kernel import Blocked, Uevent
from vfdeck.backend.profile import Profile
from vfdeck.backend.sim import drivers as driver_data
from vfdeck.backend.sim.drivers import Driver
from vfdeck.backend.sim.files import File
from vfdeck.backend.sim.hardware import Function, Group
from vfdeck.backend.sim.host_use import HostUse
from vfdeck.backend.sim.klog import KernelLog
from vfdeck.backend.sim.surroundings import ROOT, Credentials, Surroundings

#: A call that may wait: yields while it waits, returns when it is done, raises OSError when refused.
Task = Generator[None, None, None]

BOOT_SECONDS = 3600.0  # how long the machine has been up when a simulation begins


def refuse(number: int) -> OSError:
    """The kernel's refusal with this errno."""
    return OSError(number, os.strerror(number))


@dataclass(slots=True)
class Fault:
    """Something that goes wrong once: the errno and the log line (`{bdf}` is filled in)."""

    errno: int
    log: str = ""


@dataclass(slots=True, eq=False)
class ProcessRecord:
    """A program: who it is, its descriptors, and the files it has mapped by handle."""

    pid: int
    name: str
    user: str
    credentials: Credentials = ROOT
    environment: dict[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()  # its command line
    cgroup: str = "0::/\n"  # the text of its /proc/PID/cgroup
    started: float | None = None  # seconds since the epoch
    fds: dict[int, File] = field(default_factory=dict)
    maps: dict[int, File] = field(default_factory=dict)

    @property
    def uid(self) -> int:
        """Its user."""
        return self.credentials.uid


class Job:
    """A write that was begun; satisfies `Pending`."""

    def __init__(self, machine: Machine, path: str, task: Task | None = None, error: OSError | None = None) -> None:
        self.path = path
        self._machine = machine
        self._task = task
        self._error = error
        if task is not None:
            self.run_on()

    @property
    def done(self) -> bool:
        """Whether the call has returned."""
        return self._task is None

    def run_on(self) -> None:
        """Run until the end or until the next wait."""
        if self._task is None:
            return
        try:
            next(self._task)
        except StopIteration:
            self._task = None
        except OSError as error:
            self._task, self._error = None, error

    def wait(self, seconds: float) -> bool:
        """True when the call has returned. Real time passes only on a machine that lives in real time."""
        with self._machine.changed:
            if not self.done and self._machine.realtime:
                self._machine.changed.wait_for(lambda: self.done, seconds)
            return self.done

    def result(self) -> OSError | None:
        """None for success, else the refusal; `Blocked` while the call waits."""
        if not self.done:
            raise Blocked(self.path)
        return self._error


class Machine:
    """Everything that is, in one simulated machine."""

    def __init__(self, profile: Profile, hostname: str = "simulated", seed: int = 0, start: float = 1_767_225_600.0) -> None:
        self.profile = profile
        self.hostname = hostname
        self.random = random.Random(seed)
        self.boot_id = self._uuid4_text()
        self.start = start
        self.now = start
        self.realtime = False
        self.changed = threading.Condition(threading.RLock())
        self.functions: dict[str, Function] = {}
        self.groups: dict[int, Group] = {}
        self.drivers: dict[str, Driver] = {}
        self.bindings = itertools.count(1)
        self.parameters: dict[str, bool] = {
            "enable_sriov": True,
            "disable_denylist": False,
            "disable_idle_d3": False,
            "noiommu": False,
            "unsafe_interrupts": False,
        }
        self.log = KernelLog(start - BOOT_SECONDS)
        self.processes: dict[int, ProcessRecord] = {}
        self.jobs: list[Job] = []
        self.asked: list[tuple[str, int]] = []  # functions, and programs that the kernel has asked to let go of them
        self.generation = 0  # grows with every call that may have changed something
        self.faults: dict[str, list[Fault]] = {}
        self.around = Surroundings()
        self.use = HostUse()
        self.vfio_indexes: set[int] = set()  # the N of every vfioN
        self.removed: dict[str, Function] = {}  # taken out by `remove`, found again by `rescan`
        self.rescan_locked = False
        self.listeners: list[Callable[[Uevent], None]] = []
        self.load_driver("vfio-pci")

    # -- clock, log, uevents -----------------------------------------------------------------------------------------
    @property
    def uptime(self) -> float:
        """Seconds since boot, as the log counts them."""
        return BOOT_SECONDS + self.now - self.start

    def info(self, text: str) -> None:
        """Print a kernel log line."""
        self.log.add(self.uptime, text)

    def info_limited(self, text: str, site: str, function: str) -> None:
        """Print a rate-limited kernel log line."""
        self.log.add_limited(self.uptime, text, site, function)

    def uevent(self, action: str, subsystem: str, function: Function, name: str = "") -> None:
        """Tell the listeners of a change."""
        if not self.listeners:
            return
        path = f"/devices/pci{function.bdf[:7]}/{function.bdf}" + (f"/{name}" if name else "")
        driver = function.driver or "" if subsystem == "pci" and action != "unbind" else ""
        self._tell(Uevent(action, subsystem, path, function.bdf, driver, self.now))

    def group_uevent(self, action: str, group: Group) -> None:
        """Tell the listeners that a group has come to vfio or left it: no function is named."""
        self._tell(Uevent(action, "vfio", f"/devices/virtual/vfio/{group.node}", "", "", self.now))

    def _tell(self, event: Uevent) -> None:
        for listener in list(self.listeners):
            listener(event)

    # -- hardware ----------------------------------------------------------------------------------------------------
    def add(self, function: Function, group: int | None = None, *, isolated: bool = True) -> Function:
        """Put a function into the machine; into group `group`, or into one of its own unless `isolated` is False."""
        self.functions[function.bdf] = function
        if group is not None or isolated:
            self.join_group(function, group)
        return function

    def join_group(self, function: Function, number: int | None = None, *, noiommu: bool = False) -> Group:
        """Put a function into a group; the lowest free number where none is given."""
        if number is None:
            number = next(n for n in range(len(self.groups) + 1) if n not in self.groups)
        group = self.groups.setdefault(number, Group(number, noiommu=noiommu))
        group.functions.append(function)
        function.group = group
        return group

    def leave_group(self, function: Function) -> None:
        """Take a function out of its group; an empty group is gone, and its number free again."""
        group = function.group
        if group is not None:
            group.functions.remove(function)
            function.group = None
            if not group.functions:
                del self.groups[group.number]

    def load_driver(self, name: str) -> Driver:
        """Load a driver's module; functions are not offered to it by this."""
        if name not in self.drivers:
            self.drivers[name] = driver_data.load(name)
        return self.drivers[name]

    def driver_of(self, function: Function) -> Driver | None:
        """The driver bound to a function."""
        return self.drivers.get(function.driver) if function.driver else None

    def vfio_functions(self) -> Iterator[Function]:
        """Functions registered with vfio."""
        return (f for f in self.functions.values() if f.vfio is not None)

    def next_vfio_index(self) -> int:
        """The lowest free N of vfioN."""
        return next(n for n in range(len(self.vfio_indexes) + 1) if n not in self.vfio_indexes)

    def random_uuid(self) -> bytes:
        """A random version 4 UUID, from the machine's seed."""
        value = bytearray(self.random.randbytes(16))
        value[6] = value[6] & 0x0F | 0x40
        value[8] = value[8] & 0x3F | 0x80
        return bytes(value)

    def _uuid4_text(self) -> str:
        digits = self.random_uuid().hex()
        return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))

    def take_fault(self, path: str, bdf: str) -> None:
        """Raise the fault that waits for this path, if one does."""
        waiting = self.faults.get(path)
        if waiting:
            fault = waiting.pop(0)
            if fault.log:
                self.info(fault.log.format(bdf=bdf))
            raise refuse(fault.errno)

    # -- calls that wait ---------------------------------------------------------------------------------------------
    def begin(self, path: str, task: Task) -> Job:
        """Begin a call; it is remembered while it waits."""
        job = Job(self, path, task)
        if not job.done:
            self.jobs.append(job)
        self.settle()
        return job

    def settle(self) -> None:
        """Run on the calls that wait, until none gets any further, and wake those who wait for a change."""
        for _ in range(len(self.jobs)):  # one that gets further may let any other go on
            for job in self.jobs:
                job.run_on()
        self.jobs = [job for job in self.jobs if not job.done]
        self.generation += 1
        self.changed.notify_all()

    def lock(self, function: Function) -> Task:
        """Take a function's device lock, waiting for who has it."""
        while function.locked:
            yield
        function.locked = True

    def function_named(self, name: str) -> Function:
        """A function by its BDF.

        Raises:
            OSError: ENODEV where there is none.
        """
        try:
            return self.functions[name]
        except KeyError:
            raise refuse(errno.ENODEV) from None
