"""What stands between a program and the simulated kernel, and what the platform lends the kernel.

File modes, capabilities, a container's cgroup and mounts, a security module; interrupt remapping, cache coherency, modules. Every
field says what is so, and the kernel's own rules make refusals of it, for every program and function alike.

Order and errnos: fs/namei.c inode_permission, may_open; security/device_cgroup.c; fs/char_dev.c chrdev_open.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field

from vfdeck.backend.kernel import FileStat

#: Bits of the capabilities that count here (include/uapi/linux/capability.h).
CAPABILITIES = {
    "CAP_DAC_OVERRIDE": 1,
    "CAP_DAC_READ_SEARCH": 2,
    "CAP_IPC_LOCK": 14,
    "CAP_SYS_RAWIO": 17,
    "CAP_SYS_PTRACE": 19,
    "CAP_SYS_ADMIN": 21,
    "CAP_SYSLOG": 34,
}
_EVERY_CAPABILITY = (1 << 41) - 1  # CAP_LAST_CAP is 40, CAP_CHECKPOINT_RESTORE

_READ_AND_WRITE, _WRITE = 0o6, 0o2


def node(mode: int = 0o600, uid: int = 0, gid: int = 0) -> FileStat:
    """Mode and owner of a device node; devtmpfs makes them root's, 0600."""
    return FileStat(stat.S_IFCHR | mode, uid, gid)


#: The nodes for which devtmpfs is asked for another mode (misc devices of vfio and iommufd).
_DEFAULTS = {"/dev/vfio/vfio": node(0o666), "/dev/iommu": node(0o660)}


#: The line of /proc/self/limits that counts here, as systemd sets it for services and sessions.
_LIMITS = (
    "Limit                     Soft Limit           Hard Limit           Units     \n"
    "Max locked memory         8388608              8388608              bytes     \n"
)


def _etc() -> dict[str, str]:
    """What an ordinary server has below /etc, as far as it is looked at."""
    return {
        "/etc/passwd": "root:x:0:0:root:/root:/bin/bash\ndpdk:x:1001:1001::/home/dpdk:/bin/bash\n",
        "/etc/group": "root:x:0:\ndpdk:x:1001:\n",
    }


@dataclass(frozen=True, slots=True)
class Container:
    """What a program in a container has less of than one on the host."""

    devices: frozenset[str] | None = None  # nodes that its device cgroup lists; None: every one
    hidden: frozenset[str] = frozenset()  # nodes that its /dev lacks
    stale: frozenset[str] = frozenset()  # nodes with the numbers of a device that is gone
    read_only: tuple[str, ...] = ()  # directories mounted read-only
    nodev: tuple[str, ...] = ()  # directories mounted without devices


#: No container at all.
HOST = Container()


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who a program is, and where it runs."""

    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    capabilities: frozenset[str] | None = None  # None: all of them for root, none for others
    container: Container = HOST

    def has(self, capability: str) -> bool:
        """Whether the program has this capability."""
        return self.uid == 0 if self.capabilities is None else capability in self.capabilities


#: A program of root's, outside of containers.
ROOT = Credentials()


@dataclass(slots=True)
class Surroundings:
    """What is around the functions and drivers of a machine. The defaults are those of an ordinary server."""

    nodes: dict[str, FileStat] = field(default_factory=dict)  # mode and owner of nodes, where not the default
    forbidden: set[str] = field(default_factory=set)  # nodes that the security module keeps from every program
    security_modules: str = "lockdown,capability,landlock,yama,apparmor"
    confinement: str = "unconfined\n"  # the security module's profile that programs run under
    ptrace_scope: int = 0  # Yama's: 0 as without Yama (Debian), 1 descendants only (Ubuntu), 2 CAP_SYS_PTRACE only, 3 nobody
    lockdown: str = "none"  # none, integrity or confidentiality
    interrupt_remapping: bool = True  # the IOMMU keeps interrupts apart
    coherent: bool = True  # the IOMMU can enforce cache coherency
    type1: bool = True  # the module vfio_iommu_type1 is loaded
    command_line: str = "quiet"  # the kernel's
    files: dict[str, str] = field(default_factory=_etc)  # other files there are, with their text: /etc and the like

    def node_of(self, path: str) -> FileStat:
        """Mode and owner of a node, whether it exists or not."""
        return self.nodes.get(path) or _DEFAULTS.get(path) or node()

    def may_open(self, program: Credentials, path: str) -> None:
        """What open(2) of a node for reading and writing looks at before the node's driver is asked.

        Raises:
            OSError: ENOENT, EACCES (mount, mode, then security module), EPERM (device cgroup), ENXIO (nothing behind the number).
        """
        container = program.container
        if path in container.hidden:
            raise _refusal(errno.ENOENT)
        if any(path.startswith(f"{place}/") for place in container.nodev):
            raise _refusal(errno.EACCES)
        if not _mode_allows(program, self.node_of(path), _READ_AND_WRITE):
            raise _refusal(errno.EACCES)
        if container.devices is not None and path not in container.devices:
            raise _refusal(errno.EPERM)
        if path in self.forbidden:
            raise _refusal(errno.EACCES)
        if path in container.stale:
            raise _refusal(errno.ENXIO)

    def may_write(self, program: Credentials, path: str) -> None:
        """What open(2) of one of sysfs's files for writing looks at; they are root's, mode 0644 or 0200.

        Raises:
            OSError: EACCES (mode), EROFS (a read-only mount), EPERM (lockdown; drivers/pci/pci-sysfs.c).
        """
        if not _mode_allows(program, node(0o644), _WRITE):
            raise _refusal(errno.EACCES)
        if any(path.startswith(f"{place}/") for place in program.container.read_only):
            raise _refusal(errno.EROFS)
        if self.lockdown != "none" and path.rpartition("/")[2] == "config":
            raise _refusal(errno.EPERM)

    def may_trace(self, program: Credentials, other: Credentials) -> None:
        """What pidfd_getfd(2) looks at: PTRACE_MODE_ATTACH_REALCREDS.

        No simulated program is another's child, and every one can be dumped. Order: kernel/ptrace.c __ptrace_may_access,
        security/commoncap.c cap_ptrace_access_check, security/yama/yama_lsm.c yama_ptrace_access_check.

        Raises:
            OSError: EPERM.
        """
        able = program.has("CAP_SYS_PTRACE")
        same = (program.uid, program.gid) == (other.uid, other.gid) and all(map(program.has, filter(other.has, CAPABILITIES)))
        yama = self.ptrace_scope if "yama" in self.security_modules.split(",") else 0
        if not (able or same) or (yama in (1, 2) and not able) or yama == 3:
            raise _refusal(errno.EPERM)

    def text_of(self, program: Credentials, path: str) -> str | None:
        """The text of a file that stands beside sysfs, as this program sees it; None where there is none."""
        if path in self.files:
            return self.files[path]
        if path.startswith("/sys/bus/"):  # where most of what is read is
            return None
        yama = "yama" in self.security_modules.split(",")
        made: dict[str, Callable[[], str]] = {
            "/proc/self/uid_map": lambda: "         0          0 4294967295\n",
            "/proc/self/attr/current": lambda: self.confinement,
            "/proc/self/status": lambda: status(program, "vfdeck"),
            "/proc/self/limits": lambda: _LIMITS,
            "/proc/self/cgroup": lambda: "0::/\n" if program.container == HOST else "0::/system.slice/docker-4f1c.scope\n",
            "/proc/cmdline": lambda: f"BOOT_IMAGE=/boot/vmlinuz root=/dev/sda1 {self.command_line}\n",
            **({"/proc/sys/kernel/yama/ptrace_scope": lambda: f"{self.ptrace_scope}\n"} if yama else {}),
            "/sys/kernel/security/lsm": lambda: self.security_modules,
            "/sys/kernel/security/lockdown": lambda: _choice(("none", "integrity", "confidentiality"), self.lockdown),
        }
        return made[path]() if path in made else None

    def names_in(self, path: str) -> list[str]:
        """What is in a directory of `files`; nothing where there is no such directory."""
        inside = path.rstrip("/") + "/"
        return sorted({name[len(inside) :].split("/")[0] for name in self.files if name.startswith(inside)})


def _refusal(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def _mode_allows(program: Credentials, file: FileStat, wanted: int) -> bool:
    """acl_permission_check and generic_permission: the first class that applies decides; CAP_DAC_OVERRIDE is asked last."""
    if program.uid == file.uid:
        bits = file.mode >> 6
    elif file.gid in (program.gid, *program.groups):
        bits = file.mode >> 3
    else:
        bits = file.mode
    return bits & wanted == wanted or program.has("CAP_DAC_OVERRIDE")


def status(program: Credentials, name: str) -> str:
    """The lines of /proc/PID/status about what a program may do."""
    if program.capabilities is None:
        effective = _EVERY_CAPABILITY if program.uid == 0 else 0
    else:
        effective = sum(1 << CAPABILITIES[name] for name in program.capabilities)
    lines = [
        f"Name:\t{name}",
        f"Uid:\t{program.uid}\t{program.uid}\t{program.uid}\t{program.uid}",
        f"Gid:\t{program.gid}\t{program.gid}\t{program.gid}\t{program.gid}",
        f"Groups:\t{' '.join(str(group) for group in program.groups)} ",
        f"CapEff:\t{effective:016x}",
        "NoNewPrivs:\t0",
    ]
    return "\n".join(lines) + "\n"


def mounts(program: Credentials) -> str:
    """The lines of /proc/self/mountinfo that every program sees; the root is on a disk whose controller is not simulated."""
    mode = "ro" if "/sys" in program.container.read_only else "rw"
    nodev = ",nodev" if "/dev" in program.container.nodev else ""
    lines = [
        "1 0 8:1 / / rw,relatime - ext4 /dev/sda1 rw",
        f"23 1 0:21 / /sys {mode},nosuid,nodev,noexec,relatime - sysfs sysfs {mode}",
        f"25 1 0:6 / /dev rw,nosuid{nodev},relatime - devtmpfs udev rw",
    ]
    return "\n".join(lines) + "\n"


def _choice(names: tuple[str, ...], chosen: str) -> str:
    return " ".join(f"[{name}]" if name == chosen else name for name in names) + "\n"
