"""The vfio nodes of a host by device number, and which function stands behind a cdev or behind an address.

The path by which a program opened a node says little: it may be that of another mount namespace, or of a node made elsewhere. The
device number is the node.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field

from vfdeck.backend.bdf import is_bdf
from vfdeck.backend.linux.rooted import Rooted
from vfdeck.backend.text import printable

_RELEASE = re.compile(rb"(\d{1,9})\.(\d{1,9})")

# Up to 6.9 vfio_pci_core_mmap puts the physical address of the BAR into vm_pgoff, which /proc/PID/maps shows as the offset (seen on
# 6.1); later it is the offset within the descriptor, which says nothing of the function (seen on 6.12).
_LAST_WITH_ADDRESSES = (6, 9)
#: No BAR lies below the first MiB; an offset below is one within the descriptor, of a kernel that has later changes.
_LOWEST_BAR = 1 << 20


@dataclass(slots=True)
class Nodes:
    """Kind and name of each node by its device number, and the function of each cdev."""

    tree: Rooted | None  # where the files lie below another directory
    kinds: dict[int, tuple[str, str]] = field(default_factory=dict)
    functions: dict[str, str] = field(default_factory=dict)
    _bars: list[tuple[int, int, str]] | None = None

    def function_at(self, address: int) -> str:
        """The BDF of the function on vfio with a BAR at this physical address; "" where the kernel's maps tell no addresses."""
        if self._bars is None:
            self._bars = _bars(self.tree) if _maps_tell_addresses(self.tree) else []
        if address < _LOWEST_BAR:
            return ""
        return next((bdf for start, end, bdf in self._bars if start <= address <= end), "")


def vfio_present(base: str) -> bool:
    """Whether the kernel has vfio at all, or may have it; without it nobody holds anything.

    `base` is "" or the directory of another root: of a tree that has no classes, or a driver of vfio's, a part is missing.
    """
    tree = Rooted(base) if base else None
    if any(_is_directory(f"/sys/class/{name}", tree) for name in ("vfio", "vfio-dev")):
        return True
    return tree is not None and (not _is_directory("/sys/class", tree) or _is_directory("/sys/bus/pci/drivers/vfio-pci", tree))


def nodes_of(base: str) -> Nodes:
    """The nodes there are now, by their `dev` files in sysfs. Links of a tree are followed within it."""
    nodes = Nodes(Rooted(base) if base else None)
    for name in _names("/sys/class/vfio", nodes.tree):
        _add(nodes, f"/sys/class/vfio/{name}", "group", name)
    for name in _names("/sys/class/vfio-dev", nodes.tree):
        path = f"/sys/class/vfio-dev/{name}"
        _add(nodes, path, "cdev", name)
        try:
            link = f"{path}/device"
            parent = os.path.basename(os.readlink(link if nodes.tree is None else nodes.tree.entry(link)))
        except OSError:
            continue
        if is_bdf(parent):
            nodes.functions[name] = parent
    _add(nodes, "/sys/class/misc/vfio", "container", "")
    _add(nodes, "/sys/class/misc/iommu", "iommufd", "")
    return nodes


def _add(nodes: Nodes, path: str, kind: str, node: str) -> None:
    """Note the device number of a node; one without a readable number has no node."""
    try:
        major, minor = slurp(f"{path}/dev", nodes.tree).split(b":")
        nodes.kinds[os.makedev(int(major), int(minor))] = (kind, printable(node))
    except (OSError, ValueError, OverflowError):
        return


def _maps_tell_addresses(tree: Rooted | None) -> bool:
    try:
        release = _RELEASE.match(slurp("/proc/sys/kernel/osrelease", tree))
    except OSError:
        return False
    return release is not None and (int(release[1]), int(release[2])) <= _LAST_WITH_ADDRESSES


def _bars(tree: Rooted | None) -> list[tuple[int, int, str]]:
    """First and last address of every BAR of the functions in groups that vfio has: the lines of their `resource` files."""
    found = []
    for node in _names("/sys/class/vfio", tree):
        for bdf in _names(f"/sys/kernel/iommu_groups/{node.removeprefix('noiommu-')}/devices", tree):
            try:
                lines = slurp(f"/sys/bus/pci/devices/{bdf}/resource", tree).split(b"\n")[:6]
                ranges = [(int(start, 16), int(end, 16)) for start, end, _ in (line.split() for line in lines if line)]
            except (OSError, ValueError):
                continue
            found += [(start, end, bdf) for start, end in ranges if start and is_bdf(bdf)]
    return found


def _names(path: str, tree: Rooted | None) -> list[str]:
    try:
        return os.listdir(path) if tree is None else tree.names(path)
    except OSError:
        return []


def _is_directory(path: str, tree: Rooted | None) -> bool:
    if tree is None:
        return os.path.isdir(path)
    try:
        return os.path.isdir(tree.directory(path))
    except OSError:
        return False


def slurp(path: str, tree: Rooted | None = None) -> bytes:
    """The whole content of a file of /proc or /sys, or of such a file in a tree. Raises OSError."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
    fd = os.open(path, flags) if tree is None else tree.open(path, flags)
    try:
        parts = []
        while part := os.read(fd, 1 << 18):
            parts.append(part)
        return b"".join(parts)
    finally:
        os.close(fd)
