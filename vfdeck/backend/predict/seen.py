"""What a snapshot does not tell of the way to an answer, read before a change: few small files, none that takes a device's lock.

Whether the IOMMU keeps interrupts apart (C12) is not among it: /proc/interrupts is large where there are many processors.
The readings are those of `vfdeck.backend.evidence`, which serve the checks and the explanations too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from vfdeck.backend.acts import DRIVERS, DRIVERS_PROBE
from vfdeck.backend.changes import (
    BindDriver,
    Change,
    Open,
    OpenPath,
    ResetFunction,
    SetAutoprobe,
    SetNumvfs,
    SetToken,
    UnbindDriver,
    VerifyToken,
    target_of,
)
from vfdeck.backend.evidence import (
    NOT_LOOKED,
    TYPE1,
    Rights,
    Unread,
    Window,
    all_off,
    allows,
    bus_range,
    exists,
    interfaces_up,
    known,
    mount_options,
    reserved_regions,
    rights,
    stat_of,
    vf_windows,
)
from vfdeck.backend.kernel import FileStat, Kernel
from vfdeck.backend.model import Function, Role, Snapshot
from vfdeck.backend.vfio import DEVICES
from vfdeck.backend.wording import group_node

#: The node that an open needs beside the group's or the function's own, by path.
BESIDE = {OpenPath.GROUP: "/dev/vfio/vfio", OpenPath.CDEV: "/dev/iommu"}


#: A device may place its VFs otherwise for another number of them (iov.c reads First VF Offset and VF Stride anew).
OF_ANOTHER_NUMBER = Unread("where VFs are is told for the present number only")


@dataclass(frozen=True, slots=True)
class Seen:
    """Every field says for itself where it could not be read, or nobody looked."""

    windows: tuple[Window, ...] | Unread = NOT_LOOKED  # the VFs' address ranges, where there are any
    buses: range | Unread = NOT_LOOKED  # the bus numbers of the bridge above the PF
    off: bool | None = None  # whether the PF's interfaces are switched off; None where that is not known
    resettable: bool | Unread = NOT_LOOKED  # whether the function has a file `reset`, that is a way to be reset
    sysfs: frozenset[str] | Unread = NOT_LOOKED  # of a write: the options of the mount of /sys
    files: tuple[tuple[str, FileStat], ...] = ()  # of a write: those files of the function and its drivers that there are
    node: FileStat | Unread = NOT_LOOKED  # of an open: the group's node, or the function's own
    beside: FileStat | Unread = NOT_LOOKED  # of an open: /dev/vfio/vfio, or /dev/iommu
    rights: Rights | Unread = NOT_LOOKED  # this program's
    type1: bool | Unread = NOT_LOOKED  # whether vfio_iommu_type1 is there
    regions: tuple[str, ...] | Unread = NOT_LOOKED  # the group's reserved ones

    @property
    def node_missing(self) -> bool:
        """Whether the group's or the function's node is known not to be there, as in a container that was not given it."""
        return _missing(self.node)

    @property
    def beside_missing(self) -> bool:
        """Whether the node beside it is known not to be there."""
        return _missing(self.beside)

    def admits(self, node: FileStat | Unread) -> bool | None:
        """Whether mode and owner of a node let this program in; None where that is not known."""
        found, who = known(node), known(self.rights)
        return None if found is None or who is None else allows(found, who)

    def may_write(self, path: str) -> bool | None:
        """Whether mode and owner of a file of sysfs let this program write it; None where that is not known."""
        found, who = dict(self.files).get(path), known(self.rights)
        return None if found is None or who is None else allows(found, who, 0o2)

    @property
    def read_only(self) -> bool:
        """Whether /sys is known to be mounted read-only, as containers have it (A20)."""
        return "ro" in (known(self.sysfs) or ())

    @property
    def tied(self) -> bool:
        """Whether firmware is known to have tied memory to the group (iommu.c, IOMMU_RESV_DIRECT)."""
        return "direct" in (known(self.regions) or ())


def _missing(node: FileStat | Unread) -> bool:
    return isinstance(node, Unread) and node.why.endswith(": ENOENT")


#: Nobody looked.
NOT_SEEN = Seen()


def look_beside(kernel: Kernel, change: Change, snapshot: Snapshot) -> Seen:
    """What bears on this change. Never raises OSError."""
    function = snapshot.functions.get(target_of(change))
    if function is None:
        return NOT_SEEN
    if isinstance(change, (SetNumvfs, BindDriver, UnbindDriver, SetAutoprobe)):
        seen = Seen(sysfs=mount_options(kernel, "/sys"), rights=rights(kernel), files=tuple(_files(kernel, change, function)))
        if not isinstance(change, SetNumvfs) or function.role is not Role.PF or change.count <= 0:
            return seen
        links = known(interfaces_up(kernel, function.bdf))
        return replace(
            seen,
            windows=vf_windows(kernel, function.bdf),
            buses=OF_ANOTHER_NUMBER if function.sriov and function.sriov.vfs else bus_range(kernel, function.bdf),
            off=all_off(links) if links is not None else None,
        )
    if isinstance(change, ResetFunction):
        file = f"{DEVICES}/{function.bdf}/reset"
        files = tuple(_files(kernel, change, function))
        return Seen(sysfs=mount_options(kernel, "/sys"), rights=rights(kernel), files=files, resettable=exists(kernel, file))
    if not isinstance(change, (Open, SetToken, VerifyToken)):
        return NOT_SEEN
    path = change.path if isinstance(change, (Open, VerifyToken)) else OpenPath.GROUP
    without = function.iommu_group is None or function.noiommu
    own = f"/dev/vfio/devices/{function.cdev}" if function.cdev else None
    node = group_node(function) if path is OpenPath.GROUP else own
    return Seen(
        node=stat_of(kernel, node) if node else Unread(f"{function.bdf} has no such node"),
        beside=stat_of(kernel, BESIDE[path]),
        rights=rights(kernel),
        type1=exists(kernel, TYPE1),
        regions=Unread(f"{function.bdf} has no IOMMU group") if without else reserved_regions(kernel, function.iommu_group or 0),
    )


def _files(kernel: Kernel, change: Change, function: Function) -> Iterator[tuple[str, FileStat]]:
    """What the change may write to."""
    names = {
        SetNumvfs: ("sriov_numvfs",),
        SetAutoprobe: ("sriov_drivers_autoprobe",),
        ResetFunction: ("reset",),
        BindDriver: ("driver_override",),
        UnbindDriver: ("driver_override",),
    }[type(change)]
    paths = [f"{DEVICES}/{function.bdf}/{name}" for name in names]
    if isinstance(change, (BindDriver, UnbindDriver)):
        paths += [f"{DRIVERS}/{function.driver}/unbind"] if function.driver else []
    if isinstance(change, BindDriver):
        paths += [f"{DRIVERS}/{change.driver}/bind" if change.driver else DRIVERS_PROBE]
    for path in paths:
        found = stat_of(kernel, path)
        if not isinstance(found, Unread):
            yield path, found
