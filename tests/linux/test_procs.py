"""Who holds what: looks at all processes, again and again, on a fabricated /proc and on this machine's."""

from __future__ import annotations

import dataclasses
import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.linux.fabricated import DEVICE, VF, Proc, numbers, real
from vfdeck.backend.kernel import OpenFile, Process
from vfdeck.backend.linux import holdings
from vfdeck.backend.linux.holdings import Found
from vfdeck.backend.linux.nodes import Nodes, nodes_of
from vfdeck.backend.linux.processes import describe
from vfdeck.backend.linux.procs import YOUNG, ProcessScan, open_files
from vfdeck.backend.token import Token


def test_who(proc: Proc) -> None:
    path = proc.process(42, "evil\x1b[31m\n[red]", {3: DEVICE})
    (path / "cmdline").write_bytes(b"evil\x1b\0--vfio-vf-token\x00" + b"2ab74924-c335-45f4-9b16-8569e5b08258\0")
    (path / "environ").write_bytes(b"HOME=/\0VFTOKEN=00000000-0000-0000-0000-000000000000\0")
    path = proc.process(100, "dpdk) R 1 (", {3: "/dev/vfio/1"})
    (path / "cgroup").write_text(f"0::/docker/{'4f1c2d3e' * 8}\n")
    (path / "stat").write_text("100 (dpdk) R 1 () S 1 1 1 0 -1 4194304 1 0 0 0 1 1 0 0 20 0 1 0 5000 0 0")
    (proc.root / "proc/stat").write_text("cpu 1 2 3\nbtime 1700000000\n")
    user = str(os.getuid())
    evil, dpdk = open_files(str(proc.root)).files
    shown = "evil␛ --vfio-vf-token #aaa435df"
    who = Process(42, "evil␛[31m␊[red]", user, None, shown, tokens=tuple(sorted(("aaa435df", Token(bytes(16)).fingerprint))))
    assert evil == OpenFile(who, "device", "", "", own=True)
    started = 1700000000 + 5000 / os.sysconf("SC_CLK_TCK")
    assert dpdk == OpenFile(
        Process(100, "dpdk) R 1 (", user, started, container="docker 4f1c2d3e4f1c", ticks=5000), "group", "1", "", by_name=True
    )


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
    monkeypatch.setattr("vfdeck.backend.linux.procs.holdings", lambda proc, nodes, reader: holdings.Holdings([("device", "", VF)]))
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

    def _holdings(self, proc: str, nodes: Nodes, reader: object) -> holdings.Holdings:
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


def test_a_zombie_is_not_unseen(proc: Proc) -> None:
    """A real one: it has ended, and its parent has not asked how."""
    child = subprocess.Popen(["/bin/true"])
    try:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        found = holdings.holdings(f"/proc/{child.pid}", nodes_of(str(proc.root)))
        assert (found.found, found.hidden) == ([], False)
    finally:
        child.wait()


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


# -- faults of real processes --------------------------------------------------------------------------------------------
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
