"""A fabricated /proc with the classes of vfio, for tests of who holds what."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from vfdeck.backend.linux.procs import open_files

DEVICE = "anon_inode:[vfio-device]"
SYSPATH = (
    "pos:\t0\nflags:\t02000002\nmnt_id:\t21\nino:\t66\nvfio-device-syspath: /sys/devices/pci0000:00/0000:00:0a.0/0000:01:10.0\n"
)
VF = "0000:01:10.0"
#: The mount of every descriptor of `Proc`, on a file system that answers by itself.
LOCAL = "7 1 0:5 / /dev rw,nosuid shared:2 - devtmpfs udev rw\n"


class Proc:
    """A root directory with a /proc and the vfio classes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "sys/class/vfio").mkdir(parents=True)
        self.process(1, "init", {})
        (root / "proc/self").symlink_to("42")
        (root / "proc/uptime").write_text("1 1")

    def process(self, pid: int, comm: str, fds: Mapping[int, str], maps: str = "") -> Path:
        path = self.root / "proc" / str(pid)
        for name in ("fd", "fdinfo"):
            (path / name).mkdir(parents=True)
        (path / "comm").write_text(comm + "\n")
        (path / "stat").write_text(f"{pid} ({comm}) S 1 1 1 0 -1 4194304 1 0 0")
        (path / "maps").write_text(maps)
        for number, text in fds.items():
            (path / "fd" / str(number)).symlink_to(text)
            (path / "fdinfo" / str(number)).write_text("pos:\t0\nmnt_id:\t7\n")
        return path

    def node(self, where: str, number: str, device: str = "") -> None:
        path = self.root / "sys/class" / where
        path.mkdir(parents=True)
        (path / "dev").write_text(number)
        if device:
            (path / "device").symlink_to(f"../../../{device}")

    def kernel(self, release: str) -> None:
        path = self.root / "proc/sys/kernel"
        path.mkdir(parents=True)
        (path / "osrelease").write_text(release + "\n")

    def function(self, bdf: str, group: int, start: int) -> None:
        """A function in a vfio group with one BAR of 16 KiB."""
        self.node(f"vfio/{group}", "1:99")
        device = self.root / "sys/bus/pci/devices" / bdf
        device.mkdir(parents=True)
        nothing = "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
        (device / "resource").write_text(f"0x{start:016x} 0x{start + 0x3FFF:016x} 0x0000000000040200\n" + nothing * 12)
        (self.root / f"sys/kernel/iommu_groups/{group}/devices/{bdf}").mkdir(parents=True)

    def found(self) -> list[tuple[int, str, str, str]]:
        return [(f.pid, f.kind, f.node, f.bdf) for f in open_files(str(self.root)).files]


def mapped(text: str, offset: int = 0, inode: str = "00:0e 9705") -> str:
    """A line of maps."""
    return f"7f40c1bc5000-7f40c1bc6000 r--s {offset:08x} {inode}                         {text}\n"


def numbers(path: str) -> str:
    """The device number of a real node, which stands for one of vfio's here."""
    found = os.stat(path).st_rdev
    return f"{os.major(found)}:{os.minor(found)}\n"


def deep(folder: Path) -> int:
    """A descriptor of a file whose path is longer than a page, which the kernel cannot tell (ENAMETOOLONG)."""
    at = os.open(folder, os.O_RDONLY)
    for _ in range(25):
        os.mkdir("x" * 200, dir_fd=at)
        below = os.open("x" * 200, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    try:
        return os.open("file", os.O_RDWR | os.O_CREAT, dir_fd=at)
    finally:
        os.close(at)


def real(root: Path) -> Path:
    """A root with the real /proc, where /dev/full stands for a group."""
    (root / "proc").symlink_to("/proc")
    node = root / "sys/class/vfio/33"
    node.mkdir(parents=True)
    (node / "dev").write_text(numbers("/dev/full"))
    return root
