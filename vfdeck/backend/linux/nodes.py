"""The vfio nodes of a host by device number, and which function stands behind a cdev or behind an address.

The path by which a program opened a node says little: it may be that of another mount namespace, or of a node made elsewhere. The
device number is the node.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field

from vfdeck.backend.text import printable

BDF = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]")
_RELEASE = re.compile(rb"(\d+)\.(\d+)")

# Up to 6.9 vfio_pci_core_mmap puts the physical address of the BAR into vm_pgoff, which /proc/PID/maps shows as the offset (seen on
# 6.1); later it is the offset within the descriptor, which says nothing of the function (seen on 6.12).
_LAST_WITH_ADDRESSES = (6, 9)
#: No BAR lies below the first MiB; an offset below is one within the descriptor, of a kernel that has later changes.
_LOWEST_BAR = 1 << 20


@dataclass(slots=True)
class Nodes:
    """Kind and name of each node by its device number, and the function of each cdev."""

    base: str  # "" or the directory of another root
    kinds: dict[int, tuple[str, str]] = field(default_factory=dict)
    functions: dict[str, str] = field(default_factory=dict)
    _bars: list[tuple[int, int, str]] | None = None

    def function_at(self, address: int) -> str:
        """The BDF of the function on vfio with a BAR at this physical address; "" where the kernel's maps tell no addresses."""
        if self._bars is None:
            self._bars = _bars(self.base) if _maps_tell_addresses(self.base) else []
        if address < _LOWEST_BAR:
            return ""
        return next((bdf for start, end, bdf in self._bars if start <= address <= end), "")


def vfio_present(base: str) -> bool:
    """Whether the kernel has vfio at all; without it nobody holds anything."""
    return any(os.path.isdir(f"{base}/sys/class/{name}") for name in ("vfio", "vfio-dev"))


def nodes_of(base: str) -> Nodes:
    """The nodes there are now, by their `dev` files in sysfs."""
    nodes = Nodes(base)
    for name in _names(f"{base}/sys/class/vfio"):
        _add(nodes, f"{base}/sys/class/vfio/{name}", "group", name)
    for name in _names(f"{base}/sys/class/vfio-dev"):
        path = f"{base}/sys/class/vfio-dev/{name}"
        _add(nodes, path, "cdev", name)
        try:
            parent = os.path.basename(os.readlink(f"{path}/device"))
        except OSError:
            continue
        if BDF.fullmatch(parent):
            nodes.functions[name] = parent
    _add(nodes, f"{base}/sys/class/misc/vfio", "container", "")
    _add(nodes, f"{base}/sys/class/misc/iommu", "iommufd", "")
    return nodes


def _add(nodes: Nodes, path: str, kind: str, node: str) -> None:
    """Note the device number of a node; one without a readable number has no node."""
    try:
        major, minor = slurp(f"{path}/dev").split(b":")
        nodes.kinds[os.makedev(int(major), int(minor))] = (kind, printable(node))
    except (OSError, ValueError, OverflowError):
        return


def _maps_tell_addresses(base: str) -> bool:
    try:
        release = _RELEASE.match(slurp(f"{base}/proc/sys/kernel/osrelease"))
    except OSError:
        return False
    return release is not None and (int(release[1]), int(release[2])) <= _LAST_WITH_ADDRESSES


def _bars(base: str) -> list[tuple[int, int, str]]:
    """First and last address of every BAR of the functions in groups that vfio has: the lines of their `resource` files."""
    found = []
    for node in _names(f"{base}/sys/class/vfio"):
        for bdf in _names(f"{base}/sys/kernel/iommu_groups/{node.removeprefix('noiommu-')}/devices"):
            try:
                lines = slurp(f"{base}/sys/bus/pci/devices/{bdf}/resource").split(b"\n")[:6]
                ranges = [(int(start, 16), int(end, 16)) for start, end, _ in (line.split() for line in lines if line)]
            except (OSError, ValueError):
                continue
            found += [(start, end, bdf) for start, end in ranges if start and BDF.fullmatch(bdf)]
    return found


def _names(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except OSError:
        return []


def slurp(path: str) -> bytes:
    """The whole content of a file of /proc or /sys. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        parts = []
        while part := os.read(fd, 1 << 18):
            parts.append(part)
        return b"".join(parts)
    finally:
        os.close(fd)
