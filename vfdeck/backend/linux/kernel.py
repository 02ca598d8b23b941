"""LinuxKernel: the seam over a real Linux, or over a tree that looks like one.

Each method is one kernel call or a short sequence of them, and refuses with the OSError that the kernel gave. Modules that only
opens, logs or uevents need are imported when first asked for, since a scan needs none of them.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
import time
from typing import TYPE_CHECKING

from vfdeck.backend.kernel import BIND_ARGSZ_TOKEN, Address, FileStat, LogLine, OpenFiles, Pending, UeventSource

if TYPE_CHECKING:
    from vfdeck.backend.linux.klog import KernelLog
    from vfdeck.backend.linux.procs import ProcessScan
    from vfdeck.backend.linux.reads import GuardedReader
    from vfdeck.backend.linux.rooted import Rooted

# Never wait for the other end of a named pipe that stands where a file was expected; sysfs knows no O_NONBLOCK.
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_WRITE = os.O_WRONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_CHUNK = 65536
# An attribute in sysfs is shorter than a page and comes with one read; a read that is shorter than this had it all.
_PAGE = 4096
#: Longest file that is read, in bytes.
LIMIT = 16 << 20

#: Files in sysfs that are, or on some kernels were, shown under the device's lock. Seen on 6.1.192: while a write to
#: `sriov_numvfs` waits for a user, reading `uevent` and `driver_override` of the PF and of the going VF waits with it.
GUARDED = frozenset({"uevent", "driver_override", "sriov_numvfs", "sriov_vf_total_msix", "vf_total_msix"})

#: Vital product data: read from the card itself, in seconds, or never where its firmware hangs.
VPD = "vpd"
#: Seconds that it may take. The kernel gives up by itself after an eighth of a second for every four bytes (pci_vpd_wait).
VPD_PATIENCE = 4.0

#: Files in sysfs whose write takes a device's lock, or waits until the users of a device have let go.
MAY_WAIT = frozenset(
    {
        "bind",
        "unbind",
        "drivers_probe",
        "new_id",
        "remove_id",
        "remove",
        "rescan",
        "dev_rescan",
        "reset",
        "reset_method",
        "reset_subordinate",
        "sriov_numvfs",
        "sriov_vf_msix_count",
        "driver_override",
        "enable",
        "power",
    }
)


class LinuxKernel:
    """What Linux offers this process (see `vfdeck.backend.kernel.Kernel`).

    With a `root` other than `/`, every file is looked for below that directory, links included: a copied sysfs, a fabricated one
    or, in a container, the host's. Such a tree has no uevents, and usually no devices to open (ENOENT).
    """

    simulated = False

    def __init__(self, root: str = "/") -> None:
        root = os.path.abspath(root)
        self.root = root if root.strip("/") else "/"
        self._tree: Rooted | None = None
        if self.root != "/":
            from vfdeck.backend.linux.rooted import Rooted

            self._tree = Rooted(self.root)
        self._log: KernelLog | None = None
        self._reader: GuardedReader | None = None
        self._slow_reader: GuardedReader | None = None
        self._processes: ProcessScan | None = None
        self._maps: dict[int, int] = {}
        self._lock = threading.Lock()

    @property
    def is_tree(self) -> bool:
        """See `Kernel.is_tree`."""
        return self._tree is not None

    @property
    def euid(self) -> int:
        """See `Kernel.euid`."""
        return os.geteuid()

    # -- files -------------------------------------------------------------------------------------------------------
    def read(self, path: str) -> bytes:
        """The whole content of a file. Never waits for long: see `vfdeck.backend.linux.reads`.

        Raises:
            TimeoutError: (ETIMEDOUT) somebody holds the device's lock that the file is shown under; or, of `vpd`, the card is slow.
            OSError: open(2) or read(2) refused, e.g. ENOENT, EACCES, ENODEV for a device that is going; EFBIG above `LIMIT`.
        """
        if self._tree is None and path.startswith("/sys/"):
            name = path.rpartition("/")[2]
            if name in GUARDED:
                return self._guarded().read(path)
            if name == VPD:
                return self._slow().read(path)
        fd = self._open(path, _READ)
        try:
            data = os.read(fd, _CHUNK)
            if not data or (len(data) < _PAGE and path.startswith("/sys/")):
                return data
            return self._rest(fd, data, path)
        finally:
            os.close(fd)

    def _guarded(self) -> GuardedReader:
        with self._lock:
            if self._reader is None:
                from vfdeck.backend.linux.reads import GuardedReader

                self._reader = GuardedReader()
        return self._reader

    def _slow(self) -> GuardedReader:
        """Another one, so that nobody waits for a card who reads something else."""
        with self._lock:
            if self._slow_reader is None:
                from vfdeck.backend.linux.reads import GuardedReader

                self._slow_reader = GuardedReader(VPD_PATIENCE, "the card gives no answer")
        return self._slow_reader

    @staticmethod
    def _rest(fd: int, data: bytes, path: str) -> bytes:
        """Read on to the end of a file whose first part is `data`."""
        parts, length = [data], len(data)
        while data := os.read(fd, _CHUNK):
            parts.append(data)
            length += len(data)
            if length > LIMIT:
                raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), path)
        return b"".join(parts)

    def write(self, path: str, data: bytes) -> Pending:
        """Begin one write(2) of `data`, also if it is empty. Never raises: refusals of open(2) and write(2) are in the result.

        A file of `MAY_WAIT` is written by another process, so that nothing here ever waits for it; other files at once.
        ENOEXEC in the result: that process could not be started.
        """
        from vfdeck.backend.linux.writes import ChildWrite, Finished

        try:
            # in a tree of plain files the new content replaces the old, as it does in sysfs
            fd = self._open(path, _WRITE if self._tree is None else _WRITE | os.O_TRUNC)
        except OSError as error:
            return Finished(path, error)
        try:
            if may_wait(path):
                try:
                    return ChildWrite(path, fd, data)
                except OSError as error:
                    return Finished(path, OSError(errno.ENOEXEC, f"cannot start the writing process: {error}", path))
            os.write(fd, data)
        except OSError as error:
            return Finished(path, OSError(error.errno, error.strerror, path))
        finally:
            os.close(fd)
        return Finished(path, None)

    def names(self, path: str) -> list[str]:
        """Names in a directory, in no particular order. Raises OSError: ENOENT, ENOTDIR, EACCES."""
        try:
            return os.listdir(path) if self._tree is None else self._tree.names(path)
        except ValueError as error:
            raise _no_path(path) from error

    def link(self, path: str) -> str:
        """The text of a symbolic link, as it is. Raises OSError: ENOENT, EACCES, EINVAL where it is no link."""
        try:
            return os.readlink(path if self._tree is None else self._tree.entry(path))
        except ValueError as error:
            raise _no_path(path) from error

    def stat(self, path: str) -> FileStat:
        """stat(2), and whether there is an access control list. Raises OSError: ENOENT, EACCES (a directory above it)."""
        try:
            place = path if self._tree is None else self._tree.file(path)
            found = os.stat(place)
        except ValueError as error:
            raise _no_path(path) from error
        node = (os.major(found.st_rdev), os.minor(found.st_rdev)) if stat.S_ISCHR(found.st_mode) else None
        return FileStat(found.st_mode, found.st_uid, found.st_gid, node, _has_acl(place))

    def binding(self, bdf: str) -> int:
        """See `Kernel.binding`. Raises OSError: ENOENT."""
        path = f"/sys/bus/pci/devices/{bdf}/driver"
        try:
            return os.lstat(path if self._tree is None else self._tree.entry(path)).st_ino
        except ValueError as error:
            raise _no_path(path) from error

    def _open(self, path: str, flags: int) -> int:
        try:
            return os.open(path, flags) if self._tree is None else self._tree.open(path, flags)
        except ValueError as error:  # a NUL or an unencodable character
            raise _no_path(path) from error

    # -- vfio --------------------------------------------------------------------------------------------------------
    def open(self, path: str) -> int:
        """open(2) of a device node for reading and writing, close-on-exec.

        Raises:
            OSError: the kernel's errno; ENODEV for a file that is no character device, as in a copied tree.
        """
        fd = self._open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOCTTY)
        if not stat.S_ISCHR(os.fstat(fd).st_mode):
            os.close(fd)
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV), path)
        return fd

    def dup(self, fd: int) -> int:
        """Another descriptor of the same open file, close-on-exec (F_DUPFD_CLOEXEC). Raises OSError: EBADF, EMFILE."""
        try:
            return os.dup(fd)
        except OverflowError as error:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF)) from error

    def close(self, fd: int) -> None:
        """Close a descriptor. The last close of a device resets it, which takes a while. Raises OSError: EBADF."""
        try:
            os.close(fd)
        except OverflowError as error:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF)) from error

    def borrow(self, pid: int, fd: int) -> int:
        """See `Kernel.borrow`; process numbers of a tree are not this machine's."""
        if self._tree is not None:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP), self.root)
        from vfdeck.backend.linux.borrow import borrow

        return borrow(pid, fd)

    def identify(self, fd: int, pid: int) -> tuple[str, str, str] | None:
        """See `Kernel.identify`; from /proc/self/fd and, for nodes, by their number."""
        from vfdeck.backend.linux.holdings import identify
        from vfdeck.backend.linux.nodes import nodes_of

        return identify(fd, pid, nodes_of(""))

    def set_container(self, group: int, container: int) -> None:
        """VFIO_GROUP_SET_CONTAINER (drivers/vfio/group.c vfio_group_ioctl_set_container); an iommufd will do from 6.2."""
        from vfdeck.backend.linux import vfio

        vfio.set_container(group, container)

    def set_iommu(self, container: int, kind: int) -> None:
        """VFIO_SET_IOMMU (drivers/vfio/container.c vfio_ioctl_set_iommu); `kind` is one of the IOMMU types of the header."""
        from vfdeck.backend.linux import vfio

        vfio.set_iommu(container, kind)

    def get_device_fd(self, group: int, argument: bytes) -> int:
        """VFIO_GROUP_GET_DEVICE_FD (drivers/vfio/group.c vfio_group_ioctl_get_device_fd); `argument` without its NUL."""
        from vfdeck.backend.linux import vfio

        return vfio.get_device_fd(group, argument)

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
        """VFIO_DEVICE_BIND_IOMMUFD (drivers/vfio/device_cdev.c vfio_df_ioctl_bind_iommufd)."""
        from vfdeck.backend.linux import vfio

        vfio.bind_iommufd(cdev, iommufd, token, flags, argsz, beyond)

    def feature(self, device: int, flags: int, data: bytes = b"", argsz: int | None = None) -> None:
        """VFIO_DEVICE_FEATURE (drivers/vfio/vfio_main.c vfio_ioctl_device_feature)."""
        from vfdeck.backend.linux import vfio

        vfio.feature(device, flags, data, argsz)

    def reset_domain(self, device: int) -> tuple[str, ...]:
        """VFIO_DEVICE_GET_PCI_HOT_RESET_INFO (drivers/vfio/pci/vfio_pci_core.c vfio_pci_ioctl_get_pci_hot_reset_info)."""
        from vfdeck.backend.linux import vfio

        return vfio.reset_domain(device)

    def map(self, device: int) -> int:
        """Map a page of a BAR; the handle for `unmap` is its address. Raises OSError: ENODEV where nothing can be mapped."""
        from vfdeck.backend.linux import vfio

        address, length = vfio.map_bar(device)
        with self._lock:
            self._maps[address] = length
        return address

    def unmap(self, mapping: int) -> None:
        """Undo `map`. Raises OSError: EINVAL for a handle that is none of ours."""
        from vfdeck.backend.linux import vfio

        with self._lock:
            length = self._maps.pop(mapping, None)
        if length is None:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        vfio.unmap(mapping, length)

    # -- observation -------------------------------------------------------------------------------------------------
    def open_files(self, late: float = 0.0) -> OpenFiles:
        """Who has what open, from /proc. Never raises: what could not be looked at is counted."""
        with self._lock:
            if self._processes is None:
                from vfdeck.backend.linux.procs import ProcessScan

                self._processes = ProcessScan(self.root)
        return self._processes.look(late)

    def addresses(self) -> list[Address]:
        """See `Kernel.addresses`. Raises OSError: EOPNOTSUPP for a tree, whose files do not tell; ETIMEDOUT, ENOBUFS, EPERM."""
        if self._tree is not None:
            raise OSError(errno.EOPNOTSUPP, "the files of a directory tell no addresses", self.root)
        from vfdeck.backend.linux.addresses import addresses

        return addresses()

    def log(self) -> list[LogLine] | None:
        """The kernel's own lines of /dev/kmsg, oldest first; None where it may not be read."""
        with self._lock:
            if self._log is None:
                from vfdeck.backend.linux.klog import KernelLog

                self._log = KernelLog(lambda: self._open("/dev/kmsg", _READ))
        return self._log.lines()

    def uevents(self) -> UeventSource:
        """The kernel's uevents of PCI and vfio devices; a source with `live` False where they can't be had."""
        from vfdeck.backend.linux.uevents import open_source

        return open_source(self.root)

    def clock(self) -> float:
        """Seconds since the epoch."""
        return time.time()


def may_wait(path: str) -> bool:
    """Whether a write to this file of sysfs may wait in the kernel for something else."""
    name = path.rsplit("/", 1)[-1]
    return path.startswith("/sys/") and (name in MAY_WAIT or name.endswith("_resize"))


def _has_acl(path: str) -> bool:
    """Whether a file has an access control list beyond its mode; no for file systems that know none."""
    try:
        return bool(os.getxattr(path, "system.posix_acl_access"))
    except OSError:
        return False


def _no_path(path: str) -> OSError:
    """The refusal of a text that can name no file."""
    return OSError(errno.ENOENT, os.strerror(errno.ENOENT), path)
