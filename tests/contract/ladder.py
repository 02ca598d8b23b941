"""Opening a function call by call, for the ways that programs other than vfdeck use, and for stopping half-way."""

from __future__ import annotations

import enum
from contextlib import suppress
from dataclasses import dataclass, field
from uuid import UUID

from tests.contract.bed import Bed
from vfdeck.backend.kernel import VFIO_TYPE1_IOMMU, Kernel, VFIO_TYPE1v2_IOMMU
from vfdeck.backend.token_rules import format_argument

CONTAINER = "/dev/vfio/vfio"
IOMMUFD = "/dev/iommu"


class Mode(enum.Enum):
    """The five ways in which the kernel's own selftest opens a device: container, IOMMU type."""

    TYPE1 = (CONTAINER, VFIO_TYPE1_IOMMU)
    TYPE1V2 = (CONTAINER, VFIO_TYPE1v2_IOMMU)
    COMPAT_TYPE1 = (IOMMUFD, VFIO_TYPE1_IOMMU)
    COMPAT_TYPE1V2 = (IOMMUFD, VFIO_TYPE1v2_IOMMU)
    CDEV = (IOMMUFD, 0)

    def exists(self, bed: Bed) -> bool:
        """Whether this kernel has it."""
        if self is Mode.CDEV:
            return bed.cdev
        return self.value[0] == CONTAINER or (bed.iommufd and bed.has("iommufd_container"))


@dataclass
class Opening:
    """What one open has got hold of so far."""

    kernel: Kernel
    device: int = -1
    others: list[int] = field(default_factory=list)

    def open(self, path: str) -> int:
        """Open one more thing."""
        fd = self.kernel.open(path)
        self.others.append(fd)
        return fd

    def close(self) -> None:
        """Close everything, the device first."""
        if self.device >= 0:
            self.kernel.close(self.device)
        for fd in self.others:
            with suppress(OSError):
                self.kernel.close(fd)
        self.device, self.others = -1, []


def open_by(bed: Bed, mode: Mode, bdf: str, token: UUID | None = None, kernel: Kernel | None = None) -> Opening:
    """Open a function in one of the five modes; what had been opened is closed when it fails."""
    opening = Opening(kernel or bed.new_kernel("selftest"))
    path, kind = mode.value
    try:
        if mode is Mode.CDEV:
            iommufd, device = opening.open(path), opening.open(bed.cdev_path(bdf))
            opening.kernel.bind_iommufd(device, iommufd, token=token.bytes if token is not None else None)
            opening.others.remove(device)
            opening.device = device
        else:
            group, container = opening.open(bed.group_path(bdf)), opening.open(path)
            opening.kernel.set_container(group, container)
            opening.kernel.set_iommu(container, kind)
            argument = format_argument(bdf, str(token) if token is not None else None)
            opening.device = opening.kernel.get_device_fd(group, argument)
    except OSError:
        opening.close()
        raise
    return opening


def ready_group(bed: Bed, bdf: str, kernel: Kernel | None = None) -> tuple[Opening, int]:
    """A group with its container and IOMMU, ready to be asked for devices."""
    opening = Opening(kernel or bed.new_kernel("ready"))
    group, container = opening.open(bed.group_path(bdf)), opening.open(CONTAINER)
    opening.kernel.set_container(group, container)
    opening.kernel.set_iommu(container, VFIO_TYPE1_IOMMU)
    return opening, group
