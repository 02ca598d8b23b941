"""Write what a kernel shows of its PCI functions to disk: a tree that a `LinuxKernel` with a root reads."""

from __future__ import annotations

import errno
from contextlib import suppress
from pathlib import Path

from vfdeck.backend.kernel import Blocked, Kernel

#: What is copied with all that is in it.
TREES = (
    "/sys/bus/pci/devices",
    "/sys/bus/pci/drivers",
    "/sys/kernel/iommu_groups",
    "/sys/module/vfio_pci/parameters",
    "/sys/module/vfio/parameters",
    "/dev/vfio",
)
FILES = tuple(f"/proc/sys/kernel/{name}" for name in ("hostname", "osrelease", "random/boot_id"))


def dump(kernel: Kernel, directory: Path) -> Path:
    """Copy directories, links and readable files; what only takes writes, or would wait, becomes an empty file."""
    for path in (*TREES, *FILES):
        with suppress(FileNotFoundError):
            _copy(kernel, path, directory)
    return directory


def _copy(kernel: Kernel, path: str, directory: Path) -> None:
    target = directory / path.lstrip("/")
    try:
        names = kernel.names(path)
    except OSError as error:
        if error.errno != errno.ENOTDIR:
            raise
        target.parent.mkdir(parents=True, exist_ok=True)
        _copy_leaf(kernel, path, target)
        return
    target.mkdir(parents=True, exist_ok=True)
    for name in names:
        # a node under /dev is there, and neither read nor listed
        if _is_there(kernel, f"{path}/{name}"):
            _copy(kernel, f"{path}/{name}", directory)
        else:
            (target / name).touch()


def _is_there(kernel: Kernel, path: str) -> bool:
    try:
        kernel.names(path)
    except OSError as error:
        return error.errno != errno.ENOENT
    return True


def _copy_leaf(kernel: Kernel, path: str, target: Path) -> None:
    try:
        target.symlink_to(kernel.link(path))
    except OSError:
        try:
            target.write_bytes(kernel.read(path))
        except (OSError, Blocked):
            target.touch()
