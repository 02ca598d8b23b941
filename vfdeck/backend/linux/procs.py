"""Who holds vfio devices: a scan of /proc.

The kernel keeps no list of users. What it shows are the descriptors and mappings of each process, to those who may look:
`/proc/PID/fd`, `/proc/PID/fdinfo` (from 6.18 with the function's path: vfio_device_show_fdinfo in drivers/vfio/vfio_main.c)
and `/proc/PID/maps`. Not listed anywhere are descriptors in flight over a socket, or held by io_uring or KVM alone.

Standard library only, and few calls for each descriptor: there may be a hundred thousand.
"""

from __future__ import annotations

import os
import re
import stat
from contextlib import suppress
from dataclasses import dataclass, field

from vfdeck.backend.kernel import OpenFile, OpenFiles
from vfdeck.backend.text import printable

_DEVICE = "anon_inode:[vfio-device]"
_PATHS = (
    (re.compile(r"/dev/vfio/((?:noiommu-)?\d+)(?: \(deleted\))?"), "group"),
    (re.compile(r"/dev/vfio/devices/((?:noiommu-)?vfio\d+)(?: \(deleted\))?"), "cdev"),
    (re.compile(r"/dev/vfio/vfio()(?: \(deleted\))?"), "container"),
    (re.compile(r"/dev/iommu()(?: \(deleted\))?"), "iommufd"),
)
_SYSPATH = re.compile(rb"^vfio-device-syspath:.*/([0-9a-f]{4,8}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7])$", re.MULTILINE)
_BDF = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]")

# include/linux/sched.h: a thread of the kernel, which has no files
_PF_KTHREAD = 0x00200000
# include/linux/proc_ns.h: inode of the machine's own process namespace
_FIRST_PID_NAMESPACE = "pid:[4026531836]"


@dataclass(slots=True)
class _Nodes:
    """The vfio nodes that exist: kind and name by device number, and the function of each cdev."""

    kinds: dict[int, tuple[str, str]] = field(default_factory=dict)
    functions: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Process:
    """What was seen of one process. `hidden`: something of it could not be looked at."""

    pid: int
    found: list[tuple[str, str, str]] = field(default_factory=list)  # kind, node, bdf
    inodes: set[tuple[int, int]] = field(default_factory=set)  # of its vfio descriptors
    hidden: bool = False


def open_files(root: str = "/") -> OpenFiles:
    """Who has a group, device, cdev, container or iommufd open, or a device mapped whose descriptor is closed. Never raises.

    `unseen` counts processes that may not be looked at, without the kernel's threads. Where /proc is missing, belongs to a
    container, or hides other people's processes, one more is counted: somebody is there whom nobody can count.
    """
    base = root.rstrip("/")
    if not _vfio_present(base):
        return OpenFiles(())
    try:
        pids = sorted(int(name) for name in os.listdir(f"{base}/proc") if name.isascii() and name.isdigit())
    except OSError:
        return OpenFiles((), unseen=1)
    nodes, own, unseen = _nodes(base), _own_pid(base), int(_confined(base, pids))
    files: list[OpenFile] = []
    for pid in pids:
        process = _look(base, pid, nodes)
        unseen += process.hidden
        if process.found:
            name, user = _who(base, pid)
            files += [OpenFile(pid, name, user, kind, node, bdf, own=pid == own) for kind, node, bdf in process.found]
    return OpenFiles(tuple(files), unseen)


def _look(base: str, pid: int, nodes: _Nodes) -> _Process:
    """Everything of one process; a process that ends meanwhile has what was seen until then."""
    process = _Process(pid)
    proc = f"{base}/proc/{pid}"
    try:
        for fd in os.listdir(f"{proc}/fd"):
            _look_at_fd(proc, fd, nodes, process)
        maps = _slurp(f"{proc}/maps")
    except PermissionError:
        process.hidden = not _holds_nothing(proc)
        return process
    except OSError:
        return process
    if b"vfio" in maps:
        _look_at_maps(maps, nodes, process)
    return process


def _look_at_fd(proc: str, fd: str, nodes: _Nodes, process: _Process) -> None:
    """One descriptor. Raises PermissionError where the process may not be looked at."""
    path = f"{proc}/fd/{fd}"
    try:
        text = os.readlink(path)
    except FileNotFoundError:  # closed meanwhile
        return
    if text != _DEVICE and "vfio" not in text and "iommu" not in text and not text.startswith("/dev/"):
        return
    kind, node = _kind(text, path, nodes)
    if not kind:
        return
    process.found.append((kind, node, _function(proc, fd, kind, node, nodes)))
    if kind in ("device", "cdev"):
        with suppress(OSError):
            inode = os.stat(path)
            process.inodes.add((inode.st_dev, inode.st_ino))


def _kind(text: str, path: str, nodes: _Nodes) -> tuple[str, str]:
    """Kind and node of a descriptor, or two empty texts. The number of the device decides; its path may be another container's."""
    if text == _DEVICE:
        return "device", ""
    try:
        found = os.stat(path)
    except OSError:
        pass
    else:
        if not stat.S_ISCHR(found.st_mode):
            return "", ""
        if found.st_rdev in nodes.kinds:
            return nodes.kinds[found.st_rdev]
    return _kind_by_path(text)


def _kind_by_path(text: str) -> tuple[str, str]:
    for pattern, kind in _PATHS:
        match = pattern.fullmatch(text)
        if match:
            return kind, match[1]
    return "", ""


def _function(proc: str, fd: str, kind: str, node: str, nodes: _Nodes) -> str:
    """The BDF behind a device or cdev descriptor: from fdinfo (6.18), or from sysfs for a cdev; else empty."""
    if kind not in ("device", "cdev"):
        return ""
    try:
        match = _SYSPATH.search(_slurp(f"{proc}/fdinfo/{fd}"))
    except OSError:
        match = None
    return match[1].decode("ascii") if match else nodes.functions.get(node, "")


def _look_at_maps(maps: bytes, nodes: _Nodes, process: _Process) -> None:
    """Mappings of devices that the process holds no descriptor of; the same inode means the same device (before 6.10: any)."""
    for line in maps.split(b"\n"):
        if b"vfio" not in line:
            continue
        fields = line.split(None, 5)
        if len(fields) < 6:
            continue
        text = os.fsdecode(fields[5])
        kind, node = ("device", "") if text.lstrip("/") == _DEVICE else _kind_by_path(text)
        if kind not in ("device", "cdev"):
            continue
        try:
            major, minor = fields[3].split(b":")
            inode = (os.makedev(int(major, 16), int(minor, 16)), int(fields[4]))
        except (ValueError, OverflowError):
            continue
        if inode not in process.inodes:
            process.inodes.add(inode)
            process.found.append(("mapping", node, nodes.functions.get(node, "")))


# -- what there is ---------------------------------------------------------------------------------------------------
def _vfio_present(base: str) -> bool:
    """Whether the kernel has vfio at all; without it nobody holds anything."""
    return any(os.path.isdir(f"{base}/sys/class/{name}") for name in ("vfio", "vfio-dev"))


def _nodes(base: str) -> _Nodes:
    """The nodes by their `dev` files in sysfs."""
    nodes = _Nodes()
    for name in _names(f"{base}/sys/class/vfio"):
        _add(nodes, f"{base}/sys/class/vfio/{name}", "group", name)
    for name in _names(f"{base}/sys/class/vfio-dev"):
        path = f"{base}/sys/class/vfio-dev/{name}"
        _add(nodes, path, "cdev", name)
        try:
            parent = os.path.basename(os.readlink(f"{path}/device"))
        except OSError:
            continue
        if _BDF.fullmatch(parent):
            nodes.functions[name] = parent
    _add(nodes, f"{base}/sys/class/misc/vfio", "container", "")
    _add(nodes, f"{base}/sys/class/misc/iommu", "iommufd", "")
    return nodes


def _add(nodes: _Nodes, path: str, kind: str, node: str) -> None:
    """Note the device number of a node; one without a readable number has no node."""
    try:
        major, minor = _slurp(f"{path}/dev").split(b":")
        nodes.kinds[os.makedev(int(major), int(minor))] = (kind, printable(node))
    except (OSError, ValueError, OverflowError):
        return


def _own_pid(base: str) -> int:
    """This program's number in that /proc."""
    try:
        return int(os.readlink(f"{base}/proc/self"))
    except (OSError, ValueError):
        return -1 if base else os.getpid()


def _confined(base: str, pids: list[int]) -> bool:
    """Whether that /proc shows a part of the machine only: process 1 is hidden (hidepid=), or it is a container's."""
    if 1 not in pids:
        return True
    try:
        return os.readlink(f"{base}/proc/self/ns/pid") != _FIRST_PID_NAMESPACE
    except OSError:
        return False


def _holds_nothing(proc: str) -> bool:
    """Whether a process is a thread of the kernel, or dead and not yet buried (from /proc/PID/stat, which everybody may read)."""
    try:
        fields = _slurp(f"{proc}/stat").rpartition(b")")[2].split()
        return bool(int(fields[6]) & _PF_KTHREAD) or (fields[0] in (b"Z", b"X") and int(fields[17]) <= 1)
    except (OSError, ValueError, IndexError):
        return False


def _who(base: str, pid: int) -> tuple[str, str]:
    """Name and user of a process; of a tree that is not this machine's, what its files say."""
    if not base:
        from vfdeck.backend.linux.processes import describe

        known = describe(pid)
        if known is not None:
            return known.name, known.user
    try:
        return printable(_slurp(f"{base}/proc/{pid}/comm")), str(os.stat(f"{base}/proc/{pid}").st_uid)
    except OSError:
        return "", ""


def _names(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except OSError:
        return []


def _slurp(path: str) -> bytes:
    """The whole content of a file of /proc or /sys. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        parts = []
        while part := os.read(fd, 1 << 18):
            parts.append(part)
        return b"".join(parts)
    finally:
        os.close(fd)
