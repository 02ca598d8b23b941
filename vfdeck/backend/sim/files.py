"""Open files of the simulated kernel: what a descriptor stands for, and how long it lives.

A file lives as long as something refers to it: a descriptor, a mapping, or another file that pins it. Its release is what the
kernel calls `->release`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from vfdeck.backend.sim.hardware import Function, Group


@dataclass(slots=True, eq=False)
class File:
    """An open file and the number of references to it."""

    kind = "file"
    refs: int = 0

    @property
    def node(self) -> str:
        """Group number, cdev name, or ""."""
        return ""


@dataclass(slots=True, eq=False)
class GroupFile(File):
    """`/dev/vfio/N`."""

    kind = "group"
    group: Group = field(kw_only=True)
    dead: bool = False  # the group's last function has left vfio

    @property
    def node(self) -> str:
        return self.group.node


@dataclass(slots=True, eq=False)
class ContainerFile(File):
    """`/dev/vfio/vfio`; `iommu` is the type set, None before VFIO_SET_IOMMU."""

    kind = "container"
    groups: list[Group] = field(default_factory=list)
    iommu: int | None = None


@dataclass(slots=True, eq=False)
class IommuFile(File):
    """`/dev/iommu`."""

    kind = "iommufd"


@dataclass(slots=True, eq=False)
class DeviceFile(File):
    """A device, from a group or by its cdev. A cdev file opens nothing until it is bound."""

    function: Function = field(kw_only=True)
    group_file: GroupFile | None = None  # pinned, when it came through a classic container
    through_group: bool = True
    bound: bool = True

    @property
    def kind(self) -> str:  # type: ignore[override]
        """`device` from a group, `cdev` else."""
        return "device" if self.through_group else "cdev"

    @property
    def node(self) -> str:
        if self.through_group or self.function.vfio is None:
            return ""
        return self.function.vfio.name
