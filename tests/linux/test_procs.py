"""Who holds what, on a fabricated /proc."""

from __future__ import annotations

import dataclasses
import errno
import fcntl
import mmap
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vfdeck.backend.kernel import OpenFile, Process
from vfdeck.backend.linux import holdings, mappings, mounts, nodes
from vfdeck.backend.linux.holdings import Found
from vfdeck.backend.linux.nodes import Nodes, nodes_of
from vfdeck.backend.linux.processes import describe
from vfdeck.backend.linux.procs import YOUNG, ProcessScan, open_files

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


@pytest.fixture
def proc(tmp_path: Path) -> Proc:
    return Proc(tmp_path)


def mapped(text: str, offset: int = 0, inode: str = "00:0e 9705") -> str:
    """A line of maps."""
    return f"7f40c1bc5000-7f40c1bc6000 r--s {offset:08x} {inode}                         {text}\n"


def numbers(path: str) -> str:
    """The device number of a real node, which stands for one of vfio's here."""
    found = os.stat(path).st_rdev
    return f"{os.major(found)}:{os.minor(found)}\n"


# -- descriptors ---------------------------------------------------------------------------------------------------------
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
    path = proc.process(42, "evil\x1b[31m\n[red]", {3: DEVICE})
    (path / "cmdline").write_bytes(b"evil\x1b\0--vfio-vf-token\x00" + b"2ab74924-c335-45f4-9b16-8569e5b08258\0")
    path = proc.process(100, "dpdk) R 1 (", {3: "/dev/vfio/1"})
    (path / "cgroup").write_text(f"0::/docker/{'4f1c2d3e' * 8}\n")
    (path / "stat").write_text("100 (dpdk) R 1 () S 1 1 1 0 -1 4194304 1 0 0 0 1 1 0 0 20 0 1 0 5000 0 0")
    (proc.root / "proc/stat").write_text("cpu 1 2 3\nbtime 1700000000\n")
    user = str(os.getuid())
    evil, dpdk = open_files(str(proc.root)).files
    assert evil == OpenFile(
        Process(42, "evil␛[31m␊[red]", user, None, "evil␛ --vfio-vf-token #aaa435df"), "device", "", "", own=True
    )
    started = 1700000000 + 5000 / os.sysconf("SC_CLK_TCK")
    assert dpdk == OpenFile(
        Process(100, "dpdk) R 1 (", user, started, container="docker 4f1c2d3e4f1c"), "group", "1", "", own=False
    )


def test_the_function_from_fdinfo(proc: Proc) -> None:
    path = proc.process(7, "dpdk", {3: DEVICE, 4: DEVICE, 5: DEVICE, 6: DEVICE})
    for fd in (3, 6):
        (path / f"fdinfo/{fd}").write_text(SYSPATH)
    (path / "fdinfo/4").write_bytes(b"\xff\xfe vfio-device-syspath: /sys/devices/../0000:01:10.0\n")
    (path / "fdinfo/5").write_text("vfio-device-syspath: /sys/devices/virtual/mtty\n")
    assert sorted(proc.found()) == [(7, "device", "", ""), (7, "device", "", VF)]


def test_the_device_number_decides(proc: Proc) -> None:
    """Another mount namespace may call a node anything; /dev/full and /dev/kmsg stand for nodes here."""
    proc.node("vfio/33", numbers("/dev/full"))
    proc.node("vfio-dev/vfio5", numbers("/dev/kmsg"), "devices/pci0000:00/0000:01:10.2")
    proc.node("vfio/34", "rubbish\n")
    proc.node("vfio-dev/vfio6", "\n")
    path = proc.process(7, "dpdk", {3: "/dev/full", 4: "/dev/kmsg", 5: "/dev/null", 6: "/etc/passwd"})
    (path / "mountinfo").write_text(LOCAL)
    assert sorted(proc.found()) == [(7, "cdev", "vfio5", "0000:01:10.2"), (7, "group", "33", "")]


@pytest.mark.parametrize(
    ("mount", "seen"),
    [
        ("7 1 0:5 / / rw,relatime shared:2 - tmpfs tmpfs rw", True),
        ("7 1 0:5 / / rw,nodev,relatime - tmpfs tmpfs rw", False),
        ("7 1 0:5 / / rw,relatime - nfs4 server:/x rw", False),
        ("7 1 0:5 / / rw,relatime - fuse.sshfs host:/x rw", False),
        ("7 1 0:5 / / rw,relatime - overlay overlay rw,lowerdir=/nfs", False),
        (f"{'7' * 5000} 1 0:5 / / rw,relatime - tmpfs tmpfs rw", False),
        ("8 1 0:5 / / rw,relatime - tmpfs tmpfs rw", False),
        ("rubbish\n\n- - -", False),
    ],
)
def test_a_node_of_any_name_in_a_program_that_uses_vfio(
    proc: Proc, mount: str, seen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only files of local mounts are asked what they are: others may let a look wait for ever."""
    proc.node("vfio/33", numbers("/dev/null"))
    jail = proc.root / "jail"
    jail.symlink_to("/dev/null")
    path = proc.process(7, "dpdk", {3: DEVICE, 4: str(jail)})
    (path / "mountinfo").write_text(mount + "\n")
    asked = []

    def ask(name: str, directory: int) -> os.stat_result:
        asked.append(name)
        return os.stat(name, dir_fd=directory)

    monkeypatch.setattr(holdings, "_stat", ask)
    assert ((7, "group", "33", "") in proc.found()) == seen
    assert ("4" in asked) == seen


NFS = "7 1 0:42 / /dev rw,relatime - nfs4 server:/x rw\n"


def test_a_file_on_a_foreign_mount_is_never_asked(proc: Proc, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container may have /dev, or a part of it, on a server that does not answer any more: its nodes are told by their paths."""
    proc.node("vfio/33", numbers("/dev/full"))
    texts = {3: "/dev/full", 4: "/dev/vfio/12", 5: "/dev/vfio/devices/vfio4", 6: "/dev/data", 7: "/srv/vfio/9"}
    maps = mapped("/dev/vfio/devices/vfio7", inode="00:2a 9705")
    path = proc.process(7, "dpdk", texts, maps)
    (path / "mountinfo").write_text(NFS)
    (path / "map_files").mkdir()

    def ask(name: str, directory: int | None) -> None:
        pytest.fail(f"{name} is asked")

    monkeypatch.setattr(holdings, "_stat", ask)
    assert sorted(proc.found()) == [(7, "cdev", "vfio4", ""), (7, "group", "12", ""), (7, "mapping", "vfio7", "")]


def test_what_fdinfo_tells_needs_no_question(proc: Proc, monkeypatch: pytest.MonkeyPatch) -> None:
    path = proc.process(7, "dpdk", {3: "/dev/vfio/devices/vfio4", 4: "/dev/jail7"})
    (path / "mountinfo").write_text(NFS)
    for fd in (3, 4):
        (path / f"fdinfo/{fd}").write_text(SYSPATH)
    monkeypatch.setattr(holdings, "_stat", lambda name, directory: pytest.fail("asked"))
    assert sorted(proc.found()) == [(7, "cdev", "", VF), (7, "cdev", "vfio4", VF)]


def test_mounts_are_read_once_for_a_process(proc: Proc, monkeypatch: pytest.MonkeyPatch) -> None:
    path = proc.process(7, "dpdk", dict.fromkeys(range(3, 50), "/dev/vfio/12") | {50: DEVICE, 51: "/etc/passwd"})
    (path / "mountinfo").write_text(LOCAL)
    read, really = [], nodes.slurp

    def slurp(path: str) -> bytes:
        read.append(path)
        return really(path)

    monkeypatch.setattr(mounts, "slurp", slurp)
    assert proc.found()
    assert read == [str(path / "mountinfo")]


def test_a_mount_number_without_end(proc: Proc) -> None:
    path = proc.process(7, "dpdk", {3: "/dev/vfio/12"})
    (path / "fdinfo/3").write_text("mnt_id:\t" + "7" * 5000)
    (path / "mountinfo").write_text("7" * 5000 + LOCAL[1:])
    assert proc.found() == [(7, "group", "12", "")]


def test_links_of_a_tree_stay_within_it(proc: Proc, tmp_path_factory: pytest.TempPathFactory) -> None:
    """An absolute link means the tree's own files, and one that climbs ends at its root, as after chroot(2)."""
    outside = tmp_path_factory.mktemp("outside")
    for name in ("33", "34", "35"):
        (outside / name).mkdir()
        (outside / name / "dev").write_text("1:7\n")  # not to be found
    classes = proc.root / "sys/class/vfio"
    classes.joinpath("33").symlink_to(outside / "33")
    classes.joinpath("34").symlink_to("../" * 40 + str(outside / "34").lstrip("/"))
    classes.joinpath("35").mkdir()
    classes.joinpath("35/dev").symlink_to(outside / "35/dev")
    inside = proc.root / "sys/devices/36"
    inside.mkdir(parents=True)
    inside.joinpath("dev").write_text("9:36\n")
    classes.joinpath("36").symlink_to("/sys/devices/36")
    (outside / "class").mkdir()
    (outside / "class/vfio5").mkdir()
    (proc.root / "sys/class/vfio-dev").symlink_to(outside / "class")
    found = nodes_of(str(proc.root))
    assert found.kinds == {os.makedev(9, 36): ("group", "36")}
    assert found.functions == {}


def test_a_class_outside_of_the_tree_is_none(proc: Proc, tmp_path_factory: pytest.TempPathFactory) -> None:
    proc.process(7, "dpdk", {3: DEVICE})
    (proc.root / "sys/class/vfio").rmdir()
    (proc.root / "sys/class/vfio").symlink_to(tmp_path_factory.mktemp("vfio"))
    assert proc.found() == []


# -- mappings ------------------------------------------------------------------------------------------------------------
def test_mappings_without_a_descriptor(proc: Proc) -> None:
    broken = "broken vfio\n1-2 r--s 0 x:y z /dev/vfio/devices/vfio9x\n" + mapped("/opt/vfio/tool")
    proc.process(7, "dpdk", {}, mapped(DEVICE) + mapped(DEVICE) + broken)
    proc.process(8, "dpdk", {}, mapped("/dev/vfio/devices/vfio4"))
    proc.process(9, "dpdk", {}, mapped("/" + DEVICE).rstrip("\n"))
    proc.process(10, "dpdk", {3: "/dev/vfio/devices/vfio4"}, mapped("/dev/vfio/devices/vfio4"))
    assert proc.found() == [(7, "mapping", "", ""), (8, "mapping", "vfio4", ""), (9, "mapping", "", ""), (10, "cdev", "vfio4", "")]


def test_beside_a_device_descriptor_a_mapping_tells_nothing(proc: Proc) -> None:
    """All of them share one inode: seen on 6.1 and 6.12."""
    proc.process(7, "dpdk", {3: DEVICE}, mapped(DEVICE))
    assert proc.found() == [(7, "device", "", "")]


@pytest.mark.parametrize(
    ("release", "offset", "bdf"),
    [
        ("6.1.0-56-amd64", 0xFE800000, VF),
        ("6.9.12", 0xFE803000, VF),
        ("6.9.12", 0xFE804000, ""),
        ("6.1.0-56-amd64", 0, ""),
        ("6.10.0", 0xFE800000, ""),
        ("rubbish", 0xFE800000, ""),
    ],
)
def test_before_6_10_a_mapping_tells_its_address(proc: Proc, release: str, offset: int, bdf: str) -> None:
    proc.kernel(release)
    proc.function(VF, 26, 0xFE800000)
    proc.function("0000:01:10.2", 27, 0xFE900000)
    proc.process(7, "dpdk", {}, mapped(DEVICE, offset))
    assert proc.found() == [(7, "mapping", "", bdf)]


def test_maps_longer_than_what_is_read_at_once(proc: Proc, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mappings, "_CHUNK", 64)
    proc.process(7, "java", {}, mapped("/usr/lib/x") * 50 + mapped(DEVICE) + mapped("/usr/lib/y") * 50)
    assert proc.found() == [(7, "mapping", "", "")]


@given(lines=st.lists(st.sampled_from([b"a vfio b", b"vf", b"io", b"", b"x" * 40]), max_size=30), chunk=st.integers(1, 50))
@settings(deadline=None, max_examples=50)
def test_lines_are_found_wherever_they_are_cut(tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], chunk: int) -> None:
    path = tmp_path_factory.mktemp("maps") / "maps"
    path.write_bytes(b"\n".join(lines))
    with open(path, "rb") as file, pytest.MonkeyPatch.context() as patch:
        patch.setattr(mappings, "_CHUNK", chunk)
        assert list(mappings._lines_with(file.fileno(), b"vfio")) == [line for line in lines if b"vfio" in line]


def test_asking_and_reading_agree(tmp_path: Path) -> None:
    """On this machine's own maps: a shared mapping, a private one, one of a name with a newline, one of a deleted file."""
    names = ("a vfio", "vfio private", "vfio new\nline", "vfio deleted")
    opened = []
    for name in names:
        (tmp_path / name).write_bytes(bytes(4 * mmap.PAGESIZE))
        with open(tmp_path / name, "r+b") as file:
            flags = mmap.MAP_PRIVATE if "private" in name else mmap.MAP_SHARED
            opened.append(mmap.mmap(file.fileno(), mmap.PAGESIZE, flags, offset=2 * mmap.PAGESIZE))
    (tmp_path / names[3]).unlink()
    expected = {(str(tmp_path / "a vfio"), 2 * mmap.PAGESIZE), (f"{tmp_path}/vfio deleted (deleted)", 2 * mmap.PAGESIZE)}
    with open("/proc/self/maps", "rb", buffering=0) as maps:
        read, asked = list(mappings._read(maps.fileno(), "vfio")), mappings._asked(maps.fileno())
    assert {(one.text, one.offset) for one in read if "new" not in one.text} == expected
    if asked is None:
        assert tuple(int(part) for part in os.uname().release.split(".")[:2]) < (6, 11)
        return
    told = {one for one in asked if str(tmp_path) in one.text and "\n" not in one.text}
    assert {(one.text, one.offset) for one in told} == expected
    assert told <= set(read)
    assert f"{tmp_path}/vfio new\nline" in {one.text for one in asked}


# -- what could not be looked at -----------------------------------------------------------------------------------------
def test_who_may_not_be_looked_at(proc: Proc, monkeypatch: pytest.MonkeyPatch) -> None:
    """Permissions are faked, since tests may run as root: 50 is closed, 51 is a kernel thread, 52 has gone, 53 shows fds only,
    54 has a stat that is none, 55 is a zombie, 56 shows numbers but no links."""
    for pid in (50, 51, 52, 53, 54, 55, 56):
        proc.process(pid, "a) b (c", {3: DEVICE} if pid in (53, 54, 56) else {})
    (proc.root / "proc/51/stat").write_text("51 (kworker) I 2 0 0 0 -1 69238880 0 0")
    (proc.root / "proc/55/stat").write_text("55 (a) b (c) Z 1 1 1 0 -1 4227084 1 0 0 0 1 1 0 0 20 0 1 0")
    (proc.root / "proc/54/stat").write_bytes(b"\xff")
    real_open, real_readlink = os.open, os.readlink

    def fake_open(path: str, *args: int, **more: int) -> int:
        if path.endswith(("/50/fd", "/51/fd", "/55/fd", "/53/maps", "/54/maps")):
            raise PermissionError(13, "no", path)
        if path.endswith("/52/fd"):
            raise ProcessLookupError(3, "gone", path)
        return real_open(path, *args, **more)

    def fake_readlink(path: str, *, dir_fd: int | None = None) -> str:
        if dir_fd is not None and real_readlink(f"/proc/self/fd/{dir_fd}").endswith("/56/fd"):
            raise PermissionError(13, "no", path)
        return real_readlink(path, dir_fd=dir_fd)

    monkeypatch.setattr("os.open", fake_open)
    monkeypatch.setattr("os.readlink", fake_readlink)
    result = open_files(str(proc.root))
    assert [f.pid for f in result.files] == [53, 54]
    assert result.unseen == 4


def test_descriptors_that_close_and_processes_that_end_under_the_reader(proc: Proc, monkeypatch: pytest.MonkeyPatch) -> None:
    proc.process(7, "dpdk", {3: "/dev/vfio/1", 4: "/dev/vfio/2"})
    proc.process(8, "dpdk", {3: "/dev/vfio/3", 4: DEVICE})
    real = os.readlink

    def fake(path: str, *, dir_fd: int | None = None) -> str:
        text = real(path, dir_fd=dir_fd)
        if text == "/dev/vfio/1":
            raise FileNotFoundError(2, "closed", path)
        if text == DEVICE:
            raise ProcessLookupError(3, "ended", path)
        return text

    monkeypatch.setattr("os.readlink", fake)
    assert proc.found() == [(7, "group", "2", "")]


def test_a_process_that_is_gone_before_it_is_named_holds_nothing(proc: Proc, monkeypatch: pytest.MonkeyPatch) -> None:
    path = proc.process(7, "dpdk", {3: DEVICE})
    path.rename(proc.root / "gone")
    monkeypatch.setattr("vfdeck.backend.linux.procs.holdings", lambda proc, nodes: holdings.Holdings([("device", "", VF)]))
    (path).mkdir()
    monkeypatch.setattr("vfdeck.backend.linux.processes.describe", lambda pid, root: path.rmdir() if pid == 7 else None)
    assert 7 not in [pid for pid, *_ in proc.found()]


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


# -- again and again -----------------------------------------------------------------------------------------------------
class Watched:
    """A scan with a clock set by hand, that tells whom it looked at."""

    def __init__(self, proc: Proc, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.looked: list[int] = []
        self.scan = ProcessScan(str(proc.root), lambda: self.now)
        monkeypatch.setattr("vfdeck.backend.linux.procs.holdings", self._holdings)

    def _holdings(self, proc: str, nodes: Nodes) -> holdings.Holdings:
        self.looked.append(int(proc.rpartition("/")[2]))
        return holdings.holdings(proc, nodes)

    def look(self, after: float, late: float) -> set[int]:
        self.now += after
        self.looked.clear()
        self.scan.look(late)
        assert len(set(self.looked)) == len(self.looked)
        return set(self.looked)


def test_the_first_look_is_complete_and_so_is_one_that_may_not_be_late(proc: Proc, monkeypatch: pytest.MonkeyPatch) -> None:
    for pid in range(2, 12):
        proc.process(pid, "x", {})
    watched = Watched(proc, monkeypatch)
    everybody = set(range(1, 12))
    assert watched.look(0, 10) == everybody
    assert watched.look(1, 0) == everybody
    assert watched.look(10, 10) == everybody
    assert len(watched.look(1, 10)) == 2


def test_holders_and_newcomers_are_looked_at_every_time(proc: Proc, monkeypatch: pytest.MonkeyPatch) -> None:
    for pid in range(2, 40):
        proc.process(pid, "x", {3: DEVICE} if pid == 5 else {})
    watched = Watched(proc, monkeypatch)
    watched.look(0, 10)
    path = proc.process(77, "new", {})
    for _ in range(5):
        assert {5, 77} <= watched.look(1, 10)
    (path / "fd/3").symlink_to(DEVICE)
    watched.now += 1
    assert [file.pid for file in watched.scan.look(10).files] == [5, 77]
    (path / "fd/3").unlink()
    watched.look(YOUNG, 100)
    assert not {77} & watched.look(1, 100)


def test_a_look_that_left_somebody_out_says_how_late_it_may_be(proc: Proc) -> None:
    for pid in range(2, 12):
        proc.process(pid, "x", {})
    now = [1000.0]
    scan = ProcessScan(str(proc.root), lambda: now[0])
    told = []
    for after, late in ((0, 10), (1, 10), (0.5, 0), (1, 10), (10, 10)):
        now[0] += after
        told.append(scan.look(late).late)
    assert told == [0, 10, 0, 10, 0]


def test_another_process_of_the_same_number_is_a_new_one(proc: Proc, monkeypatch: pytest.MonkeyPatch) -> None:
    for pid in range(2, 40):
        proc.process(pid, "x", {})
    watched = Watched(proc, monkeypatch)
    watched.look(0, 1000)
    (proc.root / "proc/39").rename(proc.root / "proc/old")
    proc.process(39, "y", {3: DEVICE})
    watched.now += 1
    assert [(file.pid, file.process.name) for file in watched.scan.look(1000).files] == [(39, "y")]


@given(st.lists(st.floats(0.05, 15), min_size=1, max_size=60))
@settings(deadline=None, max_examples=30)
def test_nobody_is_left_out_for_longer_than_allowed(tmp_path_factory: pytest.TempPathFactory, steps: list[float]) -> None:
    proc = Proc(tmp_path_factory.mktemp("root"))
    for pid in range(2, 23):
        proc.process(pid, "x", {})
    with pytest.MonkeyPatch.context() as patch:
        watched = Watched(proc, patch)
        last = dict.fromkeys(watched.look(0, 10), watched.now)
        for step in steps:
            for pid in watched.look(step, 10):
                last[pid] = watched.now
            assert watched.now - min(last.values()) < 10
        assert set(last) == set(range(1, 23))


def test_who_a_process_is_follows_what_it_holds(proc: Proc) -> None:
    path = proc.process(7, "sh", {3: DEVICE})
    scan = ProcessScan(str(proc.root))
    assert [f.process.name for f in scan.look().files] == ["sh"]
    (path / "comm").write_text("qemu\n")
    (path / "fd/4").symlink_to("/dev/vfio/vfio")
    assert {f.process.name for f in scan.look().files} == {"qemu"}


# -- this machine --------------------------------------------------------------------------------------------------------
def test_describe() -> None:
    process = describe(os.getpid())
    assert process is not None
    assert process.pid == os.getpid()
    assert process.name
    assert process.user
    assert process.command
    assert process.started is not None
    assert process.started > 1e9
    assert describe(2**30) is None
    assert describe(-5) is None


def test_both_ways_to_describe_agree() -> None:
    """psutil's, and the files themselves, which serve other roots."""
    one, other = describe(os.getpid()), describe(os.getpid(), "/proc/self/root")
    assert one is not None
    assert other is not None
    assert abs((one.started or 0) - (other.started or 0)) < 2
    assert other.user == str(os.getuid())
    assert dataclasses.replace(one, started=0, user="", name="") == dataclasses.replace(other, started=0, user="", name="")


def test_this_machine() -> None:
    files = open_files()
    assert files.unseen >= 0


def test_own_descriptors_on_this_machine(tmp_path: Path) -> None:
    """The real /proc below a made-up root: /dev/full stands for a group."""
    (tmp_path / "proc").symlink_to("/proc")
    node = tmp_path / "sys/class/vfio/33"
    node.mkdir(parents=True)
    (node / "dev").write_text(numbers("/dev/full"))
    with open("/dev/full"):
        files = [file for file in open_files(str(tmp_path)).files if file.own]
    assert {file.pid for file in files} == {os.getpid()}
    found: Found = ("group", "33", "")
    assert found in {(file.kind, file.node, file.bdf) for file in files}


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


def test_a_path_that_is_too_long_hides_nothing_else(tmp_path: Path) -> None:
    node = tmp_path / "sys/class/vfio/33"
    node.mkdir(parents=True)
    (tmp_path / "proc").symlink_to("/proc")
    (node / "dev").write_text(numbers("/dev/full"))
    fd = deep(tmp_path)
    try:
        with pytest.raises(OSError, match="too long"):
            os.readlink(f"/proc/self/fd/{fd}")
        with open("/dev/full"):
            found = holdings.holdings("/proc/self", nodes_of(str(tmp_path)))
        assert found.found == [("group", "33", "")]
        assert not found.hidden
    finally:
        os.close(fd)
        shutil.rmtree(tmp_path / ("x" * 200))


@pytest.mark.parametrize("gaps", [(), (5,), (4, 6, 8, 9), tuple(range(4, 40)), (3,)])
def test_descriptors_with_and_without_gaps(tmp_path: Path, gaps: tuple[int, ...]) -> None:
    """Of a real process: by their numbers, or where some were closed by listing."""
    script = f"""import os
null = os.open("/dev/null", os.O_RDONLY)
for fd in range(3, 60): os.dup2(null, fd)
for fd in {gaps!r}: os.close(fd)
full = os.open("/dev/full", os.O_RDONLY)
os.dup2(full, 900)
os.close(full)
print(flush=True)
input()"""
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        directory = os.open(f"/proc/{child.pid}/fd", os.O_RDONLY)
        expected = {fd: os.readlink(fd, dir_fd=directory) for fd in os.listdir(directory)}
        assert holdings._links(directory) == expected
        assert "/dev/full" in expected.values()
        os.close(directory)
        child.communicate(b"\n")


def test_what_comes_and_goes_below_hides_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A descriptor that is open all the time, while others are opened in gaps below it and closed again before the look is over."""
    (directory, *low), extra = [os.open("/proc/self/fd", os.O_RDONLY) for _ in range(6)], list[int]()
    full = os.open("/dev/full", os.O_RDONLY)
    high = fcntl.fcntl(full, fcntl.F_DUPFD, 600)
    for fd in (*low, full):
        os.close(fd)
    really, size = os.readlink, os.fstat

    def readlink(path: str, *, dir_fd: int | None = None) -> str:
        if not extra:
            extra.extend(os.open("/dev/null", os.O_RDONLY) for _ in range(20))
        return really(path, dir_fd=dir_fd)

    def fstat(fd: int) -> os.stat_result:
        for opened in extra:
            os.close(opened)
        extra.clear()
        return size(fd)

    monkeypatch.setattr(os, "readlink", readlink)
    monkeypatch.setattr(os, "fstat", fstat)
    found = holdings._links(directory)
    for fd in (directory, high, *extra):
        os.close(fd)
    assert found[str(high)] == "/dev/full"


def test_a_zombie_is_not_unseen(proc: Proc) -> None:
    """A real one: it has ended, and its parent has not asked how."""
    child = subprocess.Popen(["/bin/true"])
    try:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        found = holdings.holdings(f"/proc/{child.pid}", nodes_of(str(proc.root)))
        assert (found.found, found.hidden) == ([], False)
    finally:
        child.wait()


def test_a_name_with_newlines(proc: Proc) -> None:
    """Of a node, and of the file of a real mapping, which stands escaped in maps."""
    proc.process(7, "a\nb", {3: "/dev/vfio/1\n2", 4: "/dev/vfio/\n/dev/vfio/12", 5: DEVICE + "\n", 6: "/dev/vfio/8"})
    found = [file for file in open_files(str(proc.root)).files if file.pid == 7]
    assert [(file.kind, file.node) for file in found] == [("group", "8")]
    assert "\n" not in found[0].process.name


def test_out_of_descriptors_is_not_nobody(proc: Proc, monkeypatch: pytest.MonkeyPatch) -> None:
    proc.process(7, "dpdk", {3: DEVICE})
    real = os.open

    def fake(path: str, *args: int, **more: int) -> int:
        if path.endswith("/7/fd"):
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return real(path, *args, **more)

    monkeypatch.setattr("os.open", fake)
    result = open_files(str(proc.root))
    assert (result.files, result.unseen) == ((), 1)


def test_the_numbers_of_descriptors_are_told(proc: Proc) -> None:
    """One thing found for several descriptors that nothing tells apart, with the number of each: they can be duplicated."""
    path = proc.process(7, "dpdk", {12: DEVICE, 3: "/dev/vfio/5", 9: DEVICE, 20: DEVICE}, "")
    (path / "fdinfo/20").write_text(SYSPATH)
    found = {(f.kind, f.bdf): f.fds for f in open_files(str(proc.root)).files}
    assert found == {("group", ""): (3,), ("device", ""): (9, 12), ("device", VF): (20,)}


# -- faults of real processes --------------------------------------------------------------------------------------------
def real(root: Path) -> Path:
    """A root with the real /proc, where /dev/full stands for a group."""
    (root / "proc").symlink_to("/proc")
    node = root / "sys/class/vfio/33"
    node.mkdir(parents=True)
    (node / "dev").write_text(numbers("/dev/full"))
    return root


def test_processes_that_come_and_go_during_looks(tmp_path: Path) -> None:
    """Each of them holds something for a moment; whoever is told of was there."""
    scan = ProcessScan(str(real(tmp_path)))
    stop, started = threading.Event(), set[int]()

    def churn() -> None:
        while not stop.is_set():
            with open("/dev/full") as full, subprocess.Popen(["/bin/true"], stdin=full) as child:
                started.add(child.pid)

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        told = {file.pid: file for _ in range(15) for file in scan.look().files}
    finally:
        stop.set()
        thread.join()
    assert {file.node for file in told.values()} <= {"33"}
    assert set(told) <= started | {os.getpid()} | {pid for pid in told if told[pid].process.name != "true"}


def test_descriptors_that_close_during_looks(tmp_path: Path) -> None:
    """One stays open, while others beside it open and close all the time: it is found at every look."""
    nodes, stop = nodes_of(str(real(tmp_path))), threading.Event()

    def churn() -> None:
        while not stop.is_set():
            for fd in [os.open("/dev/null", os.O_RDONLY) for _ in range(30)]:
                os.close(fd)

    thread = threading.Thread(target=churn)
    with open("/dev/full"):
        thread.start()
        try:
            found = [holdings.holdings("/proc/self", nodes) for _ in range(50)]
        finally:
            stop.set()
            thread.join()
    assert all(one.found == [("group", "33", "")] and not one.hidden for one in found)


def test_in_a_pid_namespace_others_may_be_there(tmp_path: Path) -> None:
    command = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c"]
    look = f"from vfdeck.backend.linux.procs import open_files; print(open_files({str(real(tmp_path))!r}).unseen)"
    try:
        told = subprocess.run([*command, look], capture_output=True, text=True, check=False, timeout=60)
    except FileNotFoundError:
        pytest.skip("there is no unshare(1)")
    if "unshare" in told.stderr:
        pytest.skip("this user may make no namespaces")
    assert told.stdout.strip() == "1", told.stderr
