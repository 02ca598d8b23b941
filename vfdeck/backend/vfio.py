"""Opening vfio devices, rung by rung: one program's groups, containers, iommufd and devices.

Two ladders lead to an open device. The *group path* opens `/dev/vfio/N`, ties it to a container with a type-1 IOMMU and asks the
group for the device; the *cdev path* (6.6 and later, where configured) opens `/dev/vfio/devices/vfioN` and binds it to an iommufd.
Each refusal is a `Refusal` that carries the rung. This code serves every `Kernel`.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

from vfdeck.backend.kernel import (
    BIND_ARGSZ_TOKEN,
    VFIO_DEVICE_FEATURE_PCI_VF_TOKEN,
    VFIO_DEVICE_FEATURE_SET,
    VFIO_NOIOMMU_IOMMU,
    VFIO_TYPE1_IOMMU,
    Kernel,
    Refusal,
    Stage,
)

DEVICES = "/sys/bus/pci/devices"

T = TypeVar("T")


@dataclass(slots=True)
class OpenDevice:
    """A device fd of this program."""

    bdf: str
    fd: int
    path: str  # "group" or "cdev"
    group: str = ""  # node of the group it came from, for the group path


@dataclass(slots=True)
class _Group:
    fd: int
    container: int
    devices: int = 0


@dataclass(slots=True)
class Program:
    """What one program has open. It keeps one group fd and one container per group while it has a device of that group."""

    kernel: Kernel
    #: told of each rung before it is climbed
    tell: Callable[[Stage], object] = lambda stage: None
    _groups: dict[str, _Group] = field(default_factory=dict)
    _iommufd: int | None = None

    # -- group path --------------------------------------------------------------------------------------------------
    def open_by_group(self, bdf: str, argument: bytes) -> OpenDevice:
        """Open `bdf` with the whole `argument` string for VFIO_GROUP_GET_DEVICE_FD.

        Raises:
            Refusal: with the stage. What was opened on the way is closed again.
        """
        node = self.group_node(bdf)
        group = self._groups.get(node)
        fresh = group is None
        if group is None:
            group = self._open_group(node)
        try:
            fd = self._rung(Stage.GET_DEVICE_FD, bdf, lambda: self.kernel.get_device_fd(group.fd, argument))
        except Refusal:
            if fresh:
                self._close_group(node)
            raise
        group.devices += 1
        return OpenDevice(bdf, fd, "group", node)

    def group_node(self, bdf: str) -> str:
        """The group's node name under /dev/vfio: the number, or `noiommu-N`.

        Raises:
            Refusal: at `iommu_group` when the function is gone or has no group.
        """
        link = f"{DEVICES}/{bdf}/iommu_group"
        number = self._rung(Stage.IOMMU_GROUP, bdf, lambda: self.kernel.link(link)).rsplit("/", 1)[-1]
        with suppress(OSError):
            if self.kernel.read(f"/sys/kernel/iommu_groups/{number}/name").strip() == b"vfio-noiommu":
                return f"noiommu-{number}"
        return number

    def _open_group(self, node: str) -> _Group:
        kernel, path = self.kernel, f"/dev/vfio/{node}"
        kind = VFIO_NOIOMMU_IOMMU if node.startswith("noiommu-") else VFIO_TYPE1_IOMMU
        opened: list[int] = []
        try:
            opened.append(self._rung(Stage.OPEN_GROUP, path, lambda: kernel.open(path)))
            opened.append(self._rung(Stage.OPEN_CONTAINER, "/dev/vfio/vfio", lambda: kernel.open("/dev/vfio/vfio")))
            group, container = opened
            self._rung(Stage.SET_CONTAINER, path, lambda: kernel.set_container(group, container))
            self._rung(Stage.SET_IOMMU, path, lambda: kernel.set_iommu(container, kind))
        except Refusal:
            for fd in opened:
                kernel.close(fd)
            raise
        self._groups[node] = _Group(group, container)
        return self._groups[node]

    def _close_group(self, node: str) -> None:
        group = self._groups.pop(node)
        self.kernel.close(group.fd)
        self.kernel.close(group.container)

    # -- cdev path ---------------------------------------------------------------------------------------------------
    def open_by_cdev(
        self,
        bdf: str,
        token: bytes | None = None,
        *,
        flags: int | None = None,
        argsz: int = BIND_ARGSZ_TOKEN,
        iommufd: int | None = None,
    ) -> OpenDevice:
        """Open `bdf` by its own node and bind it to an iommufd (this program's, unless another number is given).

        Raises:
            Refusal: with the stage.
        """
        kernel, directory = self.kernel, f"{DEVICES}/{bdf}/vfio-dev"
        names = self._rung(Stage.CDEV_NODE, bdf, lambda: kernel.names(directory))
        if not names:
            raise Refusal(errno.ENOENT, Stage.CDEV_NODE, bdf)
        path = f"/dev/vfio/devices/{names[0]}"
        cdev = self._rung(Stage.OPEN_CDEV, path, lambda: kernel.open(path))
        try:
            number = self._own_iommufd() if iommufd is None else iommufd
            self._rung(Stage.BIND_IOMMUFD, bdf, lambda: kernel.bind_iommufd(cdev, number, token=token, flags=flags, argsz=argsz))
        except Refusal:
            kernel.close(cdev)
            raise
        return OpenDevice(bdf, cdev, "cdev")

    def _own_iommufd(self) -> int:
        if self._iommufd is None:
            self._iommufd = self._rung(Stage.OPEN_IOMMU, "/dev/iommu", lambda: self.kernel.open("/dev/iommu"))
        return self._iommufd

    def close_iommufd(self) -> None:
        """Close this program's iommufd, once its devices are closed."""
        if self._iommufd is not None:
            self.kernel.close(self._iommufd)
            self._iommufd = None

    # -- on an open device -------------------------------------------------------------------------------------------
    def set_token(self, device: OpenDevice, token: bytes) -> None:
        """Replace the PF's token through its open fd (VFIO_DEVICE_FEATURE); works with VFs in use too."""
        flags = VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_PCI_VF_TOKEN
        self._rung(Stage.FEATURE, device.bdf, lambda: self.kernel.feature(device.fd, flags, token))

    def close(self, device: OpenDevice) -> None:
        """Close a device fd, and the group and container with the group's last device."""
        self.kernel.close(device.fd)
        group = self._groups.get(device.group)
        if group is not None:
            group.devices -= 1
            if group.devices == 0:
                self._close_group(device.group)

    def _rung(self, stage: Stage, target: str, call: Callable[[], T]) -> T:
        self.tell(stage)
        return rung(stage, target, call)


def rung(stage: Stage, target: str, call: Callable[[], T]) -> T:
    """Make a call and mark its refusal with the stage."""
    try:
        return call()
    except OSError as error:
        raise Refusal(error.errno or 0, stage, target) from error
