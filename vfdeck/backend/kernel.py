"""The seam: what a kernel offers its users, in the kernel's own terms.

`LinuxKernel` passes these calls to Linux, `SimulatedKernel` answers them from objects. Everything above this module exists
once and serves both. An object of `Kernel` is one program's view of one kernel: the file descriptors it hands out belong to
that program, and closing the program closes them.

Paths are absolute (`/sys/...`, `/dev/vfio/...`, `/proc/sys/kernel/...`). Every refusal is an `OSError` with the kernel's errno.
"""

from __future__ import annotations

import enum
import errno as _errno
import os
from dataclasses import dataclass, field
from typing import Protocol

from vfdeck.backend.text import printable

# struct vfio_device_feature flags, struct vfio_device_bind_iommufd flags and IOMMU types: include/uapi/linux/vfio.h.
VFIO_DEVICE_FEATURE_MASK = 0xFFFF
VFIO_DEVICE_FEATURE_GET = 1 << 16
VFIO_DEVICE_FEATURE_SET = 1 << 17
VFIO_DEVICE_FEATURE_PROBE = 1 << 18
VFIO_DEVICE_FEATURE_PCI_VF_TOKEN = 0
VFIO_DEVICE_BIND_FLAG_TOKEN = 1 << 0
VFIO_TYPE1_IOMMU = 1
VFIO_TYPE1v2_IOMMU = 3
VFIO_NOIOMMU_IOMMU = 8

#: argsz of VFIO_DEVICE_BIND_IOMMUFD before and since the kernel knows a token there (16 and 24 bytes).
BIND_ARGSZ_PLAIN = 16
BIND_ARGSZ_TOKEN = 24


class Stage(enum.StrEnum):
    """The rung of a ladder that gave an answer; names as in the recordings."""

    FILE = "file"  # a read or write of a file in sysfs
    IOMMU_GROUP = "iommu_group"  # the function's iommu_group link
    OPEN_GROUP = "open_group"  # open("/dev/vfio/N")
    OPEN_CONTAINER = "open_container"  # open("/dev/vfio/vfio")
    SET_CONTAINER = "set_container"  # VFIO_GROUP_SET_CONTAINER
    SET_IOMMU = "set_iommu"  # VFIO_SET_IOMMU
    GET_DEVICE_FD = "get_device_fd"  # VFIO_GROUP_GET_DEVICE_FD
    CDEV_NODE = "cdev_node"  # the function's vfio-dev directory
    OPEN_CDEV = "open_cdev"  # open("/dev/vfio/devices/vfioN")
    OPEN_IOMMU = "open_iommu"  # open("/dev/iommu")
    BIND_IOMMUFD = "bind_iommufd"  # VFIO_DEVICE_BIND_IOMMUFD
    FEATURE = "feature"  # VFIO_DEVICE_FEATURE
    BORROW = "borrow"  # pidfd_open(2) and pidfd_getfd(2) of another program's descriptor


class Refusal(OSError):
    """A kernel's no: the errno, the stage that gave it, and what it was about."""

    def __init__(self, errno: int, stage: Stage, target: str) -> None:
        self.target = printable(target)  # names of nodes come from the host's files
        super().__init__(errno, os.strerror(errno), self.target)
        self.stage = stage

    @property
    def name(self) -> str:
        """The errno's name as the kernel spells it."""
        return errno_name(self.errno or 0)

    def __str__(self) -> str:
        return f"{self.name} at {self.stage} of {self.target}"


class Blocked(Exception):
    """The call did not return in the time given; it goes on in the kernel and cannot be taken back."""


def errno_name(number: int) -> str:
    """`EACCES` for 13, and so on; `errno 999` where the platform knows no name."""
    if number == _errno.EOPNOTSUPP:  # for Python ENOTSUP, which Linux does not have
        return "EOPNOTSUPP"
    return _errno.errorcode.get(number, f"errno {number}")


class Pending(Protocol):
    """A `write(2)` that was begun. It may be over at once, or wait in the kernel for another program to let go."""

    path: str

    def wait(self, seconds: float) -> bool:
        """Wait at most `seconds`; True when the call has returned."""

    def result(self) -> OSError | None:
        """None for success, else the refusal. Raises `Blocked` while the call has not returned."""


@dataclass(frozen=True, slots=True)
class Process:
    """A running program, as far as it may be shown. Made by `vfdeck.backend.workload.process`, which takes the tokens out."""

    pid: int
    name: str
    user: str = ""  # "" where unknown
    started: float | None = None  # seconds since the epoch
    command: str = ""  # arguments in a line, each VF token as its fingerprint
    vm: str = ""  # name of the virtual machine that it runs
    container: str = ""  # container or pod that it runs in, e.g. "docker 4f1c2d3e5a6b"
    tokens: tuple[str, ...] = ()  # fingerprints of the VF tokens in its command line and, where that may be read, environment
    #: When it was started, clock ticks since the boot: setting the clock changes nothing of it. With `pid` it tells programs apart.
    ticks: int | None = None


@dataclass(frozen=True, slots=True)
class OpenFile:
    """One thing that a program holds open on vfio: a file descriptor, or a mapping whose descriptor may be closed.

    A mapping is listed where it tells more than the program's descriptors: no device is open beside it, or its function is known.
    """

    process: Process
    #: `group`, `device`, `cdev`, `container`, `iommufd` or `mapping`
    kind: str
    #: group number, cdev name (`vfio3`) or ""
    node: str
    #: BDF where the kernel tells it (fdinfo, from 6.18; a cdev's node; before 6.10 the address of a mapping), else ""
    bdf: str
    #: True for descriptors of this very program
    own: bool = False
    #: the numbers that its descriptors have in the program, ascending; empty for a mapping
    fds: tuple[int, ...] = field(default=(), compare=False)
    #: True where its name alone says what it is: it could not be asked, and anybody may give a file of their own such a name
    by_name: bool = False

    @property
    def pid(self) -> int:
        """The program's process id."""
        return self.process.pid


@dataclass(frozen=True, slots=True)
class OpenFiles:
    """Who has what open. `unseen` counts the processes that could not be looked at: with it above 0, numbers are lower bounds."""

    files: tuple[OpenFile, ...]
    unseen: int = 0
    #: above 0: some programs were left for another look; one that opened its first device in so many seconds may be missing
    late: float = 0.0


@dataclass(frozen=True, slots=True)
class FileStat:
    """What stat(2) says of a file or node: who may do what with it."""

    mode: int  # type and permission bits, as st_mode
    uid: int
    gid: int
    device: tuple[int, int] | None = None  # major and minor number of a device node
    acl: bool = False  # an access control list adds to the mode (acl(5)): the group bits are then only its mask


@dataclass(frozen=True, slots=True)
class Address:
    """An IP address of a network interface: `192.0.2.10` or `2001:db8::10`, and the length of its network's prefix in bits."""

    interface: str
    address: str
    prefix: int


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line of the kernel log. `seconds` is time since boot; `text` has passed `vfdeck.backend.text.printable`.

    `time` is seconds since the epoch, by the host's clock; None where it is not known.
    """

    seconds: float
    text: str
    time: float | None = field(default=None, compare=False)


#: `Uevent.action` when events came faster than they were read and some are lost: look at everything afresh.
LOST = "lost"
#: `Uevent.action` where none can be heard: only looking tells.
DEAF = "deaf"


@dataclass(frozen=True, slots=True)
class Uevent:
    """A uevent of the kernel: action, subsystem and device path, and the BDF when the path holds one.

    `time` is when it was heard, in seconds since the epoch by the host's clock. `LOST` and `DEAF` tell of other events.
    """

    action: str
    subsystem: str
    devpath: str
    bdf: str
    driver: str
    time: float = field(default=0.0, compare=False)


class UeventSource(Protocol):
    """Live changes. `wait` returns what came within `seconds` (possibly nothing); `live` is False where only polling is left."""

    live: bool

    def wait(self, seconds: float) -> list[Uevent]:
        """Uevents that arrived; returns early with the first one."""

    def close(self) -> None:
        """Stop listening."""


class Kernel(Protocol):
    """One program's view of a kernel. Methods raise OSError with the kernel's errno."""

    #: True where nothing here touches real hardware
    simulated: bool

    @property
    def is_tree(self) -> bool:
        """True for files below a directory (`--root`): `/proc/self` is not this program there, and process 1 sees the host."""

    @property
    def euid(self) -> int:
        """The effective user id of this program."""

    # -- files -------------------------------------------------------------------------------------------------------
    def read(self, path: str) -> bytes:
        """The whole content of a file.

        Files that the kernel shows under a device's lock (`sriov_numvfs`; on some kernels `uevent` and `driver_override`) are a
        TimeoutError (ETIMEDOUT) while somebody has the lock, which is for as long as a write waits: never read them to count VFs.
        """

    def write(self, path: str, data: bytes) -> Pending:
        """Begin one `write(2)` of `data`; errors of `open(2)` and `write(2)` alike are in the result."""

    def names(self, path: str) -> list[str]:
        """Names in a directory, in no particular order."""

    def link(self, path: str) -> str:
        """The text of a symbolic link."""

    def stat(self, path: str) -> FileStat:
        """Type, permissions and owner of a file or device node, without opening it; a link is followed."""

    def binding(self, bdf: str) -> int:
        """A number that belongs to this binding of a function to its driver: no other one of the same boot has it.

        It is the inode number of the `driver` link, which the kernel makes anew for every binding and never gives twice between two
        boots (drivers/base/dd.c driver_sysfs_add, fs/kernfs/dir.c kernfs_new_node). ENOENT: no driver.
        """

    # -- vfio --------------------------------------------------------------------------------------------------------
    def open(self, path: str) -> int:
        """`open(2)` of a vfio or iommu node for reading and writing; a file descriptor of this program."""

    def dup(self, fd: int) -> int:
        """Another descriptor of the same open file."""

    def close(self, fd: int) -> None:
        """Close a descriptor."""

    def borrow(self, pid: int, fd: int) -> int:
        """A descriptor of this program for the open file behind `fd` of process `pid` (pidfd_open(2), pidfd_getfd(2)).

        Raises:
            OSError: EPERM where the process may not be traced (PTRACE_MODE_ATTACH_REALCREDS: its user, CAP_SYS_PTRACE, Yama),
                ESRCH (it has ended), EBADF (it has no such descriptor), ENOSYS (before 5.6), EOPNOTSUPP (files of a tree).
        """

    def identify(self, fd: int, pid: int) -> tuple[str, str, str] | None:
        """Kind, node and BDF, as in `OpenFile`, of a descriptor of this program that it borrowed of process `pid`.

        None for what is not surely vfio's: no call of vfio's belongs on it, for it may lead to a program instead of the kernel.
        """

    def set_container(self, group: int, container: int) -> None:
        """VFIO_GROUP_SET_CONTAINER; `container` may be an iommufd from 6.2."""

    def set_iommu(self, container: int, kind: int) -> None:
        """VFIO_SET_IOMMU."""

    def get_device_fd(self, group: int, argument: bytes) -> int:
        """VFIO_GROUP_GET_DEVICE_FD with the whole argument string, without its NUL."""

    def bind_iommufd(
        self,
        cdev: int,
        iommufd: int,
        *,
        token: bytes | None = None,
        flags: int | None = None,
        argsz: int = BIND_ARGSZ_TOKEN,
        beyond: bytes = b"",
    ) -> None:
        """VFIO_DEVICE_BIND_IOMMUFD. `flags` is VFIO_DEVICE_BIND_FLAG_TOKEN with a token and 0 without, unless given.

        `beyond` is what stands behind the fields that this program knows; a kernel that looks so far answers E2BIG.
        """

    def feature(self, device: int, flags: int, data: bytes = b"", argsz: int | None = None) -> None:
        """VFIO_DEVICE_FEATURE; `argsz` is 8 plus the length of `data` unless given."""

    def reset_domain(self, device: int) -> tuple[str, ...]:
        """The functions that a reset of an open device's slot or bus would reset, itself among them; nothing is reset.

        VFIO_DEVICE_GET_PCI_HOT_RESET_INFO. Raises OSError: ENODEV where neither slot nor bus can be reset (a root bus), EPERM where
        one of the functions has no IOMMU group, EINVAL for a cdev that is not bound.
        """

    def map(self, device: int) -> int:
        """Map a BAR of an open device; a handle for `unmap`. The mapping keeps the device in use after its fd is closed."""

    def unmap(self, mapping: int) -> None:
        """Undo `map`."""

    # -- observation -------------------------------------------------------------------------------------------------
    def open_files(self, late: float = 0.0) -> OpenFiles:
        """Who has what open, as far as this program may look.

        With `late` above 0 some programs may be left for another look, so that one that opens its first device is missed for up to
        that many seconds; programs that hold something, and new ones, are looked at every time. 0: look at every program now.
        """

    def addresses(self) -> list[Address]:
        """The IP addresses of the network interfaces of this program's network namespace; never waits for long (ETIMEDOUT)."""

    def log(self) -> list[LogLine] | None:
        """The kernel log, oldest first; None where it may not be read."""

    def uevents(self) -> UeventSource:
        """A source of live changes."""

    def clock(self) -> float:
        """Seconds since the epoch, by this kernel's clock."""


def lines_since(before: list[LogLine], after: list[LogLine]) -> list[LogLine]:
    """The lines of `after`, a log looked at later, that were not there `before`; all of them where it turned over meanwhile."""
    if after[: len(before)] == before:
        return after[len(before) :]
    return after[after.index(before[-1]) + 1 :] if before[-1] in after else after
