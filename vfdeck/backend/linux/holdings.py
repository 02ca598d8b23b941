"""What one process holds of vfio: its descriptors and mappings, as /proc shows them to those who may look.

`/proc/PID/fd` names the files, `/proc/PID/fdinfo` from 6.18 on the function (vfio_device_show_fdinfo in
drivers/vfio/vfio_main.c), and `/proc/PID/maps` the mappings. All descriptors `anon_inode:[vfio-device]` share one inode (checked
on 6.1 and 6.12), so that neither it nor a mapping's inode tells devices apart.

Nothing here asks a file system that may wait: links are read, but followed only to nodes and to local file systems. Few calls for
each descriptor: a host may have several hundred thousand.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field

from vfdeck.backend.linux.mappings import mapped_files
from vfdeck.backend.linux.nodes import Nodes, slurp

_DEVICE = "anon_inode:[vfio-device]"
_PATHS = (
    (re.compile(r"/dev/vfio/((?:noiommu-)?\d+)(?: \(deleted\))?"), "group"),
    (re.compile(r"/dev/vfio/devices/((?:noiommu-)?vfio\d+)(?: \(deleted\))?"), "cdev"),
    (re.compile(r"/dev/vfio/vfio()(?: \(deleted\))?"), "container"),
    (re.compile(r"/dev/iommu()(?: \(deleted\))?"), "iommufd"),
)
_SYSPATH = re.compile(rb"^vfio-device-syspath:.*/([0-9a-f]{4,8}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7])$", re.MULTILINE)
_MOUNT = re.compile(rb"^mnt_id:\s*(\d+)$", re.MULTILINE)
#: File systems that answer stat(2) without asking another machine or a program.
_LOCAL = frozenset(b"bcachefs btrfs devtmpfs erofs ext2 ext3 ext4 f2fs overlay ramfs rootfs squashfs tmpfs xfs zfs".split())

# include/linux/sched.h: a thread of the kernel, which has no files
_PF_KTHREAD = 0x00200000

#: Kind, node and BDF, as in `OpenFile`.
Found = tuple[str, str, str]


@dataclass(slots=True)
class Holdings:
    """What was seen of one process. `hidden`: something of it could not be looked at."""

    found: list[Found] = field(default_factory=list)
    hidden: bool = False

    def add(self, kind: str, node: str, bdf: str) -> None:
        """Note one thing; the same one twice is one."""
        if (kind, node, bdf) not in self.found:
            self.found.append((kind, node, bdf))


def holdings(proc: str, nodes: Nodes) -> Holdings:
    """Everything of the process whose directory in /proc is `proc`; one that ends meanwhile has what was seen until then."""
    held = Holdings()
    try:
        _look_at_descriptors(proc, nodes, held)
        _look_at_maps(proc, nodes, held)
    except PermissionError:
        held.hidden = not _holds_nothing(proc)
    except OSError:  # it has ended
        return held
    return held


# -- descriptors ---------------------------------------------------------------------------------------------------------
def _look_at_descriptors(proc: str, nodes: Nodes, held: Holdings) -> None:
    """Raises PermissionError where the process may not be looked at."""
    directory = os.open(f"{proc}/fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        likely = _likely(directory)
        for fd, text in likely:
            _look_at(proc, directory, fd, text, nodes, held)
        if held.found:
            _look_for_odd_names(proc, directory, {fd for fd, _ in likely}, nodes, held)
    finally:
        os.close(directory)


def _likely(directory: int) -> list[tuple[str, str]]:
    """Descriptors that may be vfio's by their text. The loop that every descriptor of the host goes through."""
    found = []
    readlink = os.readlink
    for fd in os.listdir(directory):
        try:
            text = readlink(fd, dir_fd=directory)
        except FileNotFoundError:  # closed meanwhile
            continue
        first = text[0]  # most are sockets, pipes and event files, and cost one comparison
        if first == "/":
            if text[:5] == "/dev/" or "vfio" in text or "iommu" in text:
                found.append((fd, text))
        elif first == "a" and text == _DEVICE:
            found.append((fd, text))
    return found


def _look_at(proc: str, directory: int, fd: str, text: str, nodes: Nodes, held: Holdings) -> None:
    if text == _DEVICE:
        held.add("device", "", _told(proc, fd))
        return
    kind, node = "", ""
    if text.startswith("/dev/"):
        kind, node = _kind(text, _stat(fd, directory), nodes)
    elif text.startswith("/") and _is_local(proc, fd, {}):
        kind, node = _kind("", _stat(fd, directory), nodes)
    if kind == "cdev":
        held.add(kind, node, _told(proc, fd) or nodes.functions.get(node, ""))
    elif kind:
        held.add(kind, node, "")


def _look_for_odd_names(proc: str, directory: int, seen: set[str], nodes: Nodes, held: Holdings) -> None:
    """In a program that uses vfio: nodes that were made or mounted under any other name."""
    mounts: dict[int, bool] = {}
    for fd in os.listdir(directory):
        if fd in seen:
            continue
        try:
            text = os.readlink(fd, dir_fd=directory)
        except FileNotFoundError:
            continue
        if text.startswith("/") and _is_local(proc, fd, mounts):
            kind, node = _kind("", _stat(fd, directory), nodes)
            if kind:
                held.add(kind, node, nodes.functions.get(node, "") if kind == "cdev" else "")


def _stat(name: str, directory: int | None) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=directory)
    except OSError:
        return None


def _kind(text: str, found: os.stat_result | None, nodes: Nodes) -> tuple[str, str]:
    """Kind and node, or two empty texts. The number of the device decides; its path is asked where that is not to be had."""
    if found is not None:
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


def _told(proc: str, fd: str) -> str:
    """The BDF that fdinfo tells, "" where it tells none."""
    try:
        match = _SYSPATH.search(slurp(f"{proc}/fdinfo/{fd}"))
    except OSError:
        return ""
    return match[1].decode("ascii") if match else ""


def _is_local(proc: str, fd: str, mounts: dict[int, bool]) -> bool:
    """Whether a descriptor's file is on a mount that may be asked and may hold nodes; `mounts` remembers the process's mounts."""
    if not mounts:
        mounts.update(_mounts(proc))
        mounts[-1] = False  # read, even where there are none
    try:
        match = _MOUNT.search(slurp(f"{proc}/fdinfo/{fd}"))
    except OSError:
        return False
    return match is not None and mounts.get(int(match[1]), False)


def _mounts(proc: str) -> Iterator[tuple[int, bool]]:
    """The mounts that a process sees: id, and whether it is local and without `nodev` (proc_pid_mountinfo(5))."""
    try:
        lines = slurp(f"{proc}/mountinfo").split(b"\n")
    except OSError:
        return
    for line in lines:
        before, _, after = line.partition(b" - ")
        fields, kind = before.split(b" "), after.partition(b" ")[0]
        if len(fields) > 5 and fields[0].isdigit():
            yield int(fields[0]), kind in _LOCAL and b"nodev" not in fields[5].split(b",")


# -- mappings ------------------------------------------------------------------------------------------------------------
def _look_at_maps(proc: str, nodes: Nodes, held: Holdings) -> None:
    """Mapped devices: those whose function is told, and those that no descriptor of the process can be the origin of.

    A mapping keeps its device in use after the descriptor is closed. Raises PermissionError where the process may not be looked at.
    """
    anonymous = any(kind == "device" for kind, _, _ in held.found)
    cdevs = {node for kind, node, _ in held.found if kind == "cdev"}
    for mapped in mapped_files(proc, "vfio"):
        if mapped.text.lstrip("/") == _DEVICE:
            bdf = nodes.function_at(mapped.offset)
            if bdf or not anonymous:
                held.add("mapping", "", bdf)
        elif mapped.text.startswith("/dev/"):
            # map_files shows the mapped file itself, to those with CAP_CHECKPOINT_RESTORE
            kind, node = _kind(mapped.text, _stat(f"{proc}/map_files/{mapped.addresses}", None), nodes)
            if kind == "cdev" and node not in cdevs:
                held.add("mapping", node, nodes.functions.get(node, ""))


def _holds_nothing(proc: str) -> bool:
    """Whether a process is a thread of the kernel, or dead and not yet buried (from /proc/PID/stat, which everybody may read)."""
    try:
        fields = slurp(f"{proc}/stat").rpartition(b")")[2].split()
        return bool(int(fields[6]) & _PF_KTHREAD) or (fields[0] in (b"Z", b"X") and int(fields[17]) <= 1)
    except (OSError, ValueError, IndexError):
        return False
