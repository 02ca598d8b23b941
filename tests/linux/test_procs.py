"""Who holds what, on a fabricated /proc."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from vfdeck.backend.kernel import OpenFile
from vfdeck.backend.linux import procs
from vfdeck.backend.linux.processes import describe
from vfdeck.backend.linux.procs import open_files

DEVICE = "anon_inode:[vfio-device]"
SYSPATH = (
    "pos:\t0\nflags:\t02000002\nmnt_id:\t21\nino:\t66\nvfio-device-syspath: /sys/devices/pci0000:00/0000:00:0a.0/0000:01:10.0\n"
)


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
            (path / "fdinfo" / str(number)).write_text("pos:\t0\n")
        return path

    def node(self, where: str, number: str, device: str = "") -> None:
        path = self.root / "sys/class" / where
        path.mkdir(parents=True)
        (path / "dev").write_text(number)
        if device:
            (path / "device").symlink_to(f"../../../{device}")

    def found(self) -> list[tuple[int, str, str, str]]:
        return [(f.pid, f.kind, f.node, f.bdf) for f in open_files(str(self.root)).files]


@pytest.fixture
def proc(tmp_path: Path) -> Proc:
    return Proc(tmp_path)


def test_kinds_by_path(proc: Proc) -> None:
    texts = ["/dev/vfio/12", "/dev/vfio/noiommu-3", "/dev/vfio/vfio", DEVICE, "/dev/vfio/devices/vfio4", "/dev/iommu"]
    others = ["/dev/null", "socket:[1]", "/tmp/vfio/9", "/home/x/dev/vfio/7", "anon_inode:kvm-vm", "/dev/vfio/12x", "/dev/vfio"]
    proc.process(42, "qemu-system-x86", dict(enumerate(texts + others)))
    assert sorted(proc.found()) == [
        (42, "cdev", "vfio4", ""),
        (42, "container", "", ""),
        (42, "device", "", ""),
        (42, "group", "12", ""),
        (42, "group", "noiommu-3", ""),
        (42, "iommufd", "", ""),
    ]


def test_who(proc: Proc) -> None:
    proc.process(42, "evil\x1b[31m", {3: DEVICE})
    proc.process(100, "dpdk", {3: "/dev/vfio/1"})
    user = str(os.getuid())
    assert open_files(str(proc.root)).files == (
        OpenFile(42, "evil␛[31m", user, "device", "", "", own=True),
        OpenFile(100, "dpdk", user, "group", "1", "", own=False),
    )


def test_the_function_from_fdinfo(proc: Proc) -> None:
    path = proc.process(7, "dpdk", {3: DEVICE, 4: DEVICE, 5: DEVICE})
    (path / "fdinfo/3").write_text(SYSPATH)
    (path / "fdinfo/4").write_bytes(b"\xff\xfe vfio-device-syspath: /sys/devices/../0000:01:10.0\n")
    (path / "fdinfo/5").write_text("vfio-device-syspath: /sys/devices/virtual/mtty\n")
    assert sorted(proc.found()) == [(7, "device", "", ""), (7, "device", "", ""), (7, "device", "", "0000:01:10.0")]


def test_the_device_number_decides(proc: Proc) -> None:
    """Another mount namespace may call a node anything; /dev/null and /dev/zero stand for nodes here."""
    null, zero = os.stat("/dev/null").st_rdev, os.stat("/dev/zero").st_rdev
    proc.node("vfio/33", f"{os.major(null)}:{os.minor(null)}\n")
    proc.node("vfio-dev/vfio5", f"{os.major(zero)}:{os.minor(zero)}\n", "devices/pci0000:00/0000:01:10.2")
    proc.node("vfio/34", "rubbish\n")
    proc.node("vfio-dev/vfio6", "\n")
    proc.process(7, "dpdk", {3: "/dev/null", 4: "/dev/zero", 5: "/dev/full", 6: "/etc/passwd"})
    assert sorted(proc.found()) == [(7, "cdev", "vfio5", "0000:01:10.2"), (7, "group", "33", "")]


def test_mappings_without_a_descriptor(proc: Proc) -> None:
    line = "7f40c1bc5000-7f40c1bc6000 r--s 00000000 00:13 66                         "
    broken = "broken vfio\n1-2 r--s 0 x:y z /dev/vfio/devices/vfio9\n"
    maps = f"55d0-55d1 r-xp 0 08:01 5 /opt/vfio/tool\n{line}{DEVICE}\n{line}{DEVICE}\n{broken}"
    proc.process(7, "dpdk", {}, maps)
    proc.process(8, "dpdk", {}, line.replace("00:13 66", "00:06 9") + "/dev/vfio/devices/vfio4\n")
    proc.process(9, "dpdk", {}, line + "/" + DEVICE + "\n" + line.replace("66", "67") + DEVICE)
    assert proc.found() == [(7, "mapping", "", ""), (8, "mapping", "vfio4", ""), (9, "mapping", "", ""), (9, "mapping", "", "")]


def test_a_mapping_whose_descriptor_is_open_is_no_news(proc: Proc) -> None:
    """The inode tells; a plain file stands for the device's."""
    target = proc.root / "anon_inode:[vfio-device]"
    target.write_text("")
    path = proc.process(7, "dpdk", {})
    (path / "fd" / DEVICE).symlink_to(target)
    (path / "fd/3").symlink_to(DEVICE)
    found = target.stat()
    where = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x} {found.st_ino}"
    (path / "maps").write_text(f"1-2 r--s 0 {where}   {DEVICE}\n")
    assert proc.found() == [(7, "device", "", "")]
    (path / "maps").write_text(f"1-2 r--s 0 {where}1   {DEVICE}\n")
    assert proc.found() == [(7, "device", "", ""), (7, "mapping", "", "")]


def test_who_may_not_be_looked_at(proc: Proc, monkeypatch: pytest.MonkeyPatch) -> None:
    """Permissions are faked, since tests may run as root: 50 is closed, 51 is a kernel thread, 52 has gone, 53 shows fds only,
    54 has a stat that is none, 55 is a zombie."""
    for pid in (50, 51, 52, 53, 54, 55):
        proc.process(pid, "a) b (c", {3: DEVICE} if pid in (53, 54) else {})
    (proc.root / "proc/51/stat").write_text("51 (kworker) I 2 0 0 0 -1 69238880 0 0")
    (proc.root / "proc/55/stat").write_text("55 (a) b (c) Z 1 1 1 0 -1 4227084 1 0 0 0 1 1 0 0 20 0 1 0")
    (proc.root / "proc/54/stat").write_bytes(b"\xff")
    listdir, slurp = os.listdir, procs._slurp

    def fake_listdir(path: str) -> list[str]:
        if path.endswith(("/50/fd", "/51/fd", "/55/fd")):
            raise PermissionError(13, "no", path)
        if path.endswith("/52/fd"):
            raise ProcessLookupError(3, "gone", path)
        return listdir(path)

    def fake_slurp(path: str) -> bytes:
        if path.endswith(("/53/maps", "/54/maps")):
            raise PermissionError(13, "no", path)
        return slurp(path)

    monkeypatch.setattr("os.listdir", fake_listdir)
    monkeypatch.setattr(procs, "_slurp", fake_slurp)
    result = open_files(str(proc.root))
    assert [f.pid for f in result.files] == [53, 54]
    assert result.unseen == 3


@pytest.mark.parametrize(
    ("spoil", "unseen"),
    [
        (lambda root: None, 0),
        (lambda root: (root / "proc/1").rename(root / "proc/x"), 1),
        (lambda root: (root / "proc").rename(root / "x"), 1),
        (lambda root: (root / "sys/class/vfio").rmdir(), 0),
    ],
)
def test_lower_bounds(proc: Proc, spoil: object, unseen: int) -> None:
    """Hidden processes and a missing /proc leave somebody uncounted; without vfio nobody can hold anything."""
    assert callable(spoil)
    spoil(proc.root)
    assert open_files(str(proc.root)).unseen == unseen


def test_a_containers_proc_is_a_part_of_the_machine(proc: Proc) -> None:
    path = proc.process(42, "vfdeck", {})
    (path / "ns").mkdir()
    (path / "ns/pid").symlink_to("pid:[4026531836]")
    assert open_files(str(proc.root)).unseen == 0
    (path / "ns/pid").unlink()
    (path / "ns/pid").symlink_to("pid:[4026532900]")
    assert open_files(str(proc.root)).unseen == 1


def test_describe() -> None:
    process = describe(os.getpid())
    assert process is not None
    assert process.pid == os.getpid()
    assert process.name
    assert process.user
    assert process.started > 1e9
    assert describe(2**30) is None
    assert describe(-5) is None


def test_this_machine() -> None:
    files = open_files()
    assert files.unseen >= 0
