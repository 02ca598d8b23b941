"""What one process holds of vfio, by its descriptors: on a fabricated /proc, and of real processes."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.linux.fabricated import DEVICE, LOCAL, SYSPATH, VF, Proc, deep, mapped, numbers
from vfdeck.backend.linux import holdings, mounts, nodes
from vfdeck.backend.linux.mounts import Mounts
from vfdeck.backend.linux.nodes import Nodes, nodes_of
from vfdeck.backend.linux.procs import open_files
from vfdeck.backend.linux.reads import GuardedReader, Node


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

    def ask(reader: object, path: str, mounts: list[bytes]) -> os.stat_result:
        asked.append(path.rpartition("/")[2])
        return os.stat(path)

    monkeypatch.setattr(holdings, "_node", ask)
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

    def ask(reader: object, path: str, mounts: list[bytes]) -> None:
        pytest.fail(f"{path} is asked")

    monkeypatch.setattr(holdings, "_node", ask)
    assert sorted(proc.found()) == [(7, "cdev", "vfio4", ""), (7, "group", "12", ""), (7, "mapping", "vfio7", "")]


def test_what_fdinfo_tells_needs_no_question(proc: Proc, monkeypatch: pytest.MonkeyPatch) -> None:
    path = proc.process(7, "dpdk", {3: "/dev/vfio/devices/vfio4", 4: "/dev/jail7"})
    (path / "mountinfo").write_text(NFS)
    for fd in (3, 4):
        (path / f"fdinfo/{fd}").write_text(SYSPATH)
    monkeypatch.setattr(holdings, "_node", lambda reader, path, mounts: pytest.fail("asked"))
    assert sorted(proc.found()) == [(7, "cdev", "", VF), (7, "cdev", "vfio4", VF)]


FORGED = {3: "/dev/vfio/12", 4: "/dev/vfio/devices/vfio4", 5: "/dev/vfio/vfio", 6: "/dev/iommu", 7: "/srv/vfio/9"}


def by_name(proc: Proc) -> set[tuple[str, str, bool]]:
    return {(file.kind, file.node, file.by_name) for file in open_files(str(proc.root)).files}


@pytest.mark.parametrize(
    "mount",
    [
        "7 1 0:42 / /dev rw,nosuid,nodev - tmpfs none rw",
        "7 1 0:42 / /dev rw - fuse.sshfs host:/x rw",
        "7 1 0:42 / /dev rw - fuse /dev/fuse rw",
        "7 1 0:42 / /dev rw - fuseblk /dev/sdb1 rw",
        "7 1 0:42 / /dev rw,nodev - nfs4 server:/x rw",
    ],
)
def test_no_node_works_on_such_a_mount(proc: Proc, mount: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anybody may mount these, and call files on them as they like."""
    path = proc.process(7, "evil", FORGED, mapped("/dev/vfio/devices/vfio7", inode="00:2a 9705"))
    (path / "mountinfo").write_text(mount + "\n")

    def ask(reader: object, path: str, mounts: list[bytes]) -> None:
        if "map_files" not in path:
            pytest.fail("asked")
        raise FileNotFoundError

    monkeypatch.setattr(holdings, "_node", ask)
    found = by_name(proc)
    assert found <= {("mapping", "vfio7", True)}
    assert bool(found) == ("nfs" in mount or "tmpfs" in mount)  # of a mapping the file system is told, not the mount


def test_where_the_mount_is_not_known_a_name_is_marked(proc: Proc) -> None:
    proc.process(7, "evil", FORGED, mapped("/dev/vfio/devices/vfio7", inode="00:2a 9705"))
    assert by_name(proc) == {
        ("group", "12", True),
        ("cdev", "vfio4", True),
        ("container", "", True),
        ("iommufd", "", True),
        ("mapping", "vfio7", True),
    }


def test_a_mount_of_another_namespace_may_be_known_to_process_1(proc: Proc, monkeypatch: pytest.MonkeyPatch) -> None:
    """A descriptor that libvirt opened and handed to a QEMU with a /dev of its own."""
    proc.node("vfio/33", numbers("/dev/full"))
    path = proc.process(7, "qemu", {3: "/dev/full"})
    (path / "mountinfo").write_text("9 1 0:6 / /dev rw - tmpfs tmpfs rw\n")
    assert proc.found() == []
    (proc.root / "proc/1/mountinfo").write_text(LOCAL)
    assert by_name(proc) == {("group", "33", False)}


def test_another_device_under_a_node_s_name(proc: Proc) -> None:
    """In a namespace of one's own /dev/null may be mounted there. A node whose number is not known yet is told by its name."""
    proc.node("vfio/33", numbers("/dev/full"))
    path = proc.process(7, "evil", {3: "/dev/null"})
    (path / "mountinfo").write_text(LOCAL)
    mounts_of, asked = Mounts(str(path)), nodes_of(str(proc.root))
    null = os.stat("/dev/null")
    assert holdings._kind("/dev/vfio/33", mounts_of.nodes(b"7"), asked, lambda: null) == ("", "", False)
    assert holdings._kind("/dev/vfio/34", mounts_of.nodes(b"7"), asked, lambda: null) == ("group", "34", True)


def test_a_descriptor_that_opens_nothing(proc: Proc) -> None:
    """O_PATH needs no right to the node, and does not open it: seen on a real descriptor of a real node."""
    fd = os.open("/dev/full", os.O_PATH)
    node = proc.root / "sys/class/vfio/33"
    node.mkdir()
    (node / "dev").write_text(numbers("/dev/full"))
    try:
        assert holdings.holdings("/proc/self", nodes_of(str(proc.root))).found == []
        assert holdings.identify(fd, os.getpid(), nodes_of(str(proc.root))) is None
    finally:
        os.close(fd)


def test_what_an_own_descriptor_is(proc: Proc, tmp_path: Path) -> None:
    """By its number, not by its name; what is none of vfio's is nothing."""
    proc.node("vfio-dev/vfio5", numbers("/dev/full"), f"devices/pci0000:00/{VF}")
    known = nodes_of(str(proc.root))
    (tmp_path / "plain").write_text("")
    with open("/dev/full") as full, open("/dev/null") as null, open(tmp_path / "plain") as plain:
        assert holdings.identify(full.fileno(), os.getpid(), known) == ("cdev", "vfio5", VF)
        assert holdings.identify(null.fileno(), os.getpid(), known) is None
        assert holdings.identify(plain.fileno(), os.getpid(), known) is None
    with pytest.raises(FileNotFoundError):
        holdings.identify(9999, os.getpid(), known)


FORGER = """mount -t tmpfs {options} none /dev && mkdir -p /dev/vfio/devices && : > /dev/vfio/devices/vfio0 && : > /dev/vfio/4 \\
&& exec 7<>/dev/vfio/devices/vfio0 8<>/dev/vfio/4 && echo ready && read end"""


@pytest.mark.parametrize("options", ["", "-o nodev"])
def test_a_forger(options: str) -> None:
    """An unprivileged user with namespaces of his own, as far as this machine lets him have any."""
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", FORGER.format(options=options)]
    pipe = subprocess.PIPE
    try:
        child = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
    except FileNotFoundError:
        pytest.skip("there is no unshare(1)")
    with child:
        assert child.stdout is not None
        if child.stdout.readline() != "ready\n":
            pytest.skip("this user may make no namespaces")
        known = Nodes(None, {os.makedev(240, 0): ("cdev", "vfio0")}, {"vfio0": VF})
        found = holdings.holdings(f"/proc/{child.pid}", known)
        child.communicate("\n")
    assert (found.found, found.hidden) == ([], False)


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


def test_a_name_with_newlines(proc: Proc) -> None:
    """Of a node, and of the file of a real mapping, which stands escaped in maps."""
    proc.process(7, "a\nb", {3: "/dev/vfio/1\n2", 4: "/dev/vfio/\n/dev/vfio/12", 5: DEVICE + "\n", 6: "/dev/vfio/8"})
    found = [file for file in open_files(str(proc.root)).files if file.pid == 7]
    assert [(file.kind, file.node) for file in found] == [("group", "8")]
    assert "\n" not in found[0].process.name


def test_the_numbers_of_descriptors_are_told(proc: Proc) -> None:
    """One thing found for several descriptors that nothing tells apart, with the number of each: they can be duplicated."""
    path = proc.process(7, "dpdk", {12: DEVICE, 3: "/dev/vfio/5", 9: DEVICE, 20: DEVICE}, "")
    (path / "fdinfo/20").write_text(SYSPATH)
    found = {(f.kind, f.bdf): f.fds for f in open_files(str(proc.root)).files}
    assert found == {("group", ""): (3,), ("device", ""): (9, 12), ("device", VF): (20,)}


SWAPPED = """import os, sys
near, far = (os.open(sys.argv[n], os.O_RDWR | os.O_CREAT) for n in (1, 2))
os.dup2(near, 99)
print(flush=True)
while os.read(0, 1):
    os.dup2(far, 99)
    print(flush=True)
"""


def test_another_file_that_is_put_in_the_place_of_the_one_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look at its mount and the question what it is: the other one may be on a mount that never answers."""
    far = Path("/dev/shm")
    if not far.is_dir() or os.stat(far).st_dev == os.stat(tmp_path).st_dev:
        pytest.skip("needs two file systems")
    (tmp_path / "vfio").mkdir()
    other, pipe = far / f"vfdeck-test-{os.getpid()}", subprocess.PIPE
    command = [sys.executable, "-c", SWAPPED, str(tmp_path / "vfio/12"), str(other)]
    really, refused = holdings._fdinfo, list[tuple[str, int | None]]()
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, bufsize=0) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdout.readline()

        def judged(path: str) -> holdings._Info:
            info = really(path)
            if path.endswith("/99"):
                child.stdin.write(b"x")  # type: ignore[union-attr]
                child.stdout.readline()  # type: ignore[union-attr]
            return info

        class Asked(GuardedReader):
            def node(self, path: str, mounts: Iterable[bytes]) -> Node:
                try:
                    return super().node(path, mounts)
                except OSError as error:
                    refused.append((os.path.basename(path), error.errno))
                    raise

        monkeypatch.setattr(holdings, "_fdinfo", judged)
        monkeypatch.setattr(Mounts, "nodes", lambda self, mount: True)
        try:
            found = holdings.holdings(f"/proc/{child.pid}", Nodes(None), Asked())
        finally:
            other.unlink()
            child.kill()
    assert found.found == []
    assert refused == [("99", errno.ESTALE)]


def test_a_question_without_an_answer_is_given_up(proc: Proc, monkeypatch: pytest.MonkeyPatch) -> None:
    """What its name says is told as such; of what has another name, that something was not seen."""
    for pid, text in ((7, "/dev/vfio/12"), (8, "/dev/jail")):
        (proc.process(pid, "qemu", {3: text}) / "mountinfo").write_text(LOCAL)

    def ask(reader: object, path: str, mounts: list[bytes]) -> None:
        raise TimeoutError

    monkeypatch.setattr(holdings, "_node", ask)
    result = open_files(str(proc.root))
    assert [(file.pid, file.kind, file.by_name) for file in result.files] == [(7, "group", True)]
    assert result.unseen == 1  # process 8


def test_a_burden_has_an_end(proc: Proc, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program may have a million files that look like nodes: some are asked, and that not everything was seen is told."""
    monkeypatch.setattr(holdings, "_MOST_QUESTIONS", 10)
    monkeypatch.setattr(holdings, "_MOST_FOUND", 5)
    asked = []

    def ask(reader: object, path: str, mounts: list[bytes]) -> Node:
        asked.append(path)
        return Node(0o100600, 0)

    monkeypatch.setattr(holdings, "_node", ask)
    path = proc.process(7, "evil", {fd: f"/dev/vfio/{fd}" for fd in range(3, 40)})
    (path / "mountinfo").write_text(LOCAL)
    result = open_files(str(proc.root))
    assert (len(asked), len(result.files), result.unseen) == (10, 5, 1)
    assert all(file.by_name for file in result.files)
