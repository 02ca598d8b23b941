"""Reading, listing, following and writing files, in a tree and on this machine."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vfdeck.backend.kernel import Blocked, Kernel
from vfdeck.backend.linux import rooted
from vfdeck.backend.linux.kernel import LIMIT, LinuxKernel, may_wait
from vfdeck.backend.linux.writes import ChildWrite

DEVICE = "/sys/devices/pci0000:00/0000:01:00.0"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A PF, a link to it as /sys/bus/pci/devices has one, and something secret outside."""
    device = tmp_path / "root" / DEVICE[1:]
    device.mkdir(parents=True)
    (device / "vendor").write_text("0x8086\n")
    bus = tmp_path / "root/sys/bus/pci/devices"
    bus.mkdir(parents=True)
    (bus / "0000:01:00.0").symlink_to("../../../devices/pci0000:00/0000:01:00.0")
    (tmp_path / "secret").write_text("of this machine")
    return tmp_path / "root"


@pytest.fixture(params=["openat2", "walk"])
def kernel(tree: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> LinuxKernel:
    """A LinuxKernel over the tree, also where openat2(2) can't be had."""
    kernel = LinuxKernel(str(tree))
    if request.param == "walk":
        monkeypatch.setattr(kernel._tree, "_libc", None)
    return kernel


def test_is_a_kernel() -> None:
    kernel: Kernel = LinuxKernel()
    assert not kernel.simulated
    assert abs(kernel.clock() - time.time()) < 5


@pytest.mark.parametrize("root", ["/", "//", "/.", "///"])
def test_spellings_of_the_real_root(root: str) -> None:
    assert LinuxKernel(root).root == "/"


def test_reads_names_and_links(kernel: LinuxKernel) -> None:
    for device in (DEVICE, "/sys/bus/pci/devices/0000:01:00.0"):
        assert kernel.read(f"{device}/vendor") == b"0x8086\n"
        assert kernel.names(device) == ["vendor"]
    assert kernel.link("/sys/bus/pci/devices/0000:01:00.0") == "../../../devices/pci0000:00/0000:01:00.0"
    assert sorted(kernel.names("/sys/")) == ["bus", "devices"]
    assert kernel.names("/") == ["sys"]


def test_links_never_leave_the_tree(kernel: LinuxKernel, tree: Path) -> None:
    device = tree / DEVICE[1:]
    secret = tree.parent / "secret"
    (device / "climbs").symlink_to("../" * 40 + str(secret)[1:])
    (device / "absolute").symlink_to(secret)
    (device / "inside").symlink_to(f"{DEVICE}/vendor")
    (device / "up").symlink_to("/sys/..")
    (tree / "sys/outside").symlink_to(tree.parent)
    for name in ("climbs", "absolute"):
        with pytest.raises(FileNotFoundError):
            kernel.read(f"{DEVICE}/{name}")
        assert kernel.link(f"{DEVICE}/{name}").endswith("/secret")
    for path in ("/sys/outside/secret", "/../secret", "/sys/../../secret"):
        with pytest.raises(FileNotFoundError):
            kernel.read(path)
    assert kernel.read(f"{DEVICE}/inside") == b"0x8086\n"
    assert kernel.names(f"{DEVICE}/up") == ["sys"]
    assert kernel.read(f"{DEVICE}/up/sys/devices/pci0000:00/0000:01:00.0/vendor") == b"0x8086\n"
    written = kernel.write(f"{DEVICE}/absolute", b"gone")
    assert isinstance(written.result(), FileNotFoundError)
    assert secret.read_text() == "of this machine"


def test_a_directory_that_is_replaced_is_seen(kernel: LinuxKernel, tree: Path) -> None:
    link = tree / "sys/bus/pci/devices/0000:01:00.0"
    assert kernel.read("/sys/bus/pci/devices/0000:01:00.0/vendor") == b"0x8086\n"
    link.unlink()
    with pytest.raises(FileNotFoundError):
        kernel.read("/sys/bus/pci/devices/0000:01:00.0/vendor")
    link.mkdir()
    (link / "vendor").write_text("0x15b3\n")
    assert kernel.read("/sys/bus/pci/devices/0000:01:00.0/vendor") == b"0x15b3\n"


def test_refusals(kernel: LinuxKernel, tree: Path) -> None:
    device = tree / DEVICE[1:]
    (device / "loop").symlink_to("loop")
    (device / "huge").write_bytes(b"")
    os.truncate(device / "huge", LIMIT + 1)
    os.mkfifo(device / "fifo")
    expected = {
        "missing": errno.ENOENT,
        "vendor/x": errno.ENOTDIR,
        "loop": errno.ELOOP,
        ".": errno.EISDIR,
        "huge": errno.EFBIG,
        "nul\0": errno.ENOENT,
        "\ud800": errno.ENOENT,
    }
    for name, number in expected.items():
        with pytest.raises(OSError) as caught:  # noqa: PT011
            kernel.read(f"{DEVICE}/{name}")
        assert caught.value.errno == number, name
        error = kernel.write(f"{DEVICE}/{name}", b"1").result()
        assert error is None if name == "huge" else error is not None and error.errno in (number, errno.EISDIR), name
    assert kernel.read(f"{DEVICE}/fifo") == b""
    for method in (kernel.names, kernel.link):
        for name in ("missing", "vendor", "nul\0"):
            with pytest.raises(OSError):  # noqa: PT011
                method(f"{DEVICE}/{name}")


def test_long_and_foreign_content(kernel: LinuxKernel, tree: Path) -> None:
    content = bytes(range(256)) * 1000
    (tree / DEVICE[1:] / "config").write_bytes(content)
    (tree / "proc").mkdir()
    (tree / "proc/version").write_bytes(content)
    assert kernel.read(f"{DEVICE}/config") == content
    assert kernel.read("/proc/version") == content


def test_no_root() -> None:
    kernel = LinuxKernel("/nonexistent/root")
    with pytest.raises(FileNotFoundError):
        kernel.names("/sys/bus/pci/devices")
    assert kernel.log() is None
    assert kernel.open_files().files == ()


def test_a_tree_has_no_devices(kernel: LinuxKernel, tree: Path) -> None:
    (tree / "dev/vfio").mkdir(parents=True)
    (tree / "dev/vfio/7").write_text("")
    with pytest.raises(FileNotFoundError):
        kernel.open("/dev/vfio/8")
    with pytest.raises(OSError, match="No such device") as caught:
        kernel.open("/dev/vfio/7")
    assert caught.value.errno == errno.ENODEV


def test_writes(kernel: LinuxKernel, tree: Path) -> None:
    autoprobe = tree / DEVICE[1:] / "sriov_drivers_autoprobe"
    autoprobe.write_text("1000\n")
    pending = kernel.write(f"{DEVICE}/sriov_drivers_autoprobe", b"0")
    assert pending.wait(0)
    assert pending.result() is None
    assert pending.path == f"{DEVICE}/sriov_drivers_autoprobe"
    assert autoprobe.read_text() == "0"
    error = kernel.write(f"{DEVICE}/missing", b"0").result()
    assert error is not None
    assert error.errno == errno.ENOENT


def test_writes_that_may_wait_go_through_a_process(kernel: LinuxKernel, tree: Path) -> None:
    (tree / DEVICE[1:] / "sriov_numvfs").write_text("0\n")
    for data in (b"4", b"", b"\xff\0\n"):
        pending = kernel.write(f"{DEVICE}/sriov_numvfs", data)
        assert isinstance(pending, ChildWrite)
        assert pending.wait(30)
        assert pending.result() is None
        assert (tree / DEVICE[1:] / "sriov_numvfs").read_bytes() == data
    error = kernel.write("/sys/bus/pci/drivers/vfio-pci/bind", b"x").result()
    assert error is not None
    assert error.errno == errno.ENOENT


def test_what_may_wait() -> None:
    assert may_wait("/sys/bus/pci/drivers/igb/unbind")
    assert may_wait(f"{DEVICE}/resource0_resize")
    assert not may_wait("/sys/module/vfio_pci/parameters/enable_sriov")
    assert not may_wait("/proc/bind")


def full_pipe() -> tuple[int, int]:
    """A pipe whose next write waits."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    while True:
        try:
            os.write(writer, bytes(65536))
        except BlockingIOError:
            os.set_blocking(writer, True)
            return reader, writer


def test_a_write_that_waits() -> None:
    reader, writer = full_pipe()
    pending = ChildWrite("/sys/x/sriov_numvfs", writer, b"0")
    os.close(writer)
    begun = time.monotonic()
    assert not pending.wait(0.2)
    assert time.monotonic() - begun < 5
    with pytest.raises(Blocked, match="sriov_numvfs"):
        pending.result()
    assert Path(f"/proc/{pending.pid}/cmdline").read_bytes().endswith(b"\0/sys/x/sriov_numvfs\0")
    os.read(reader, 1 << 20)
    assert pending.wait(30)
    assert pending.result() is None
    os.close(reader)


def test_a_write_that_is_refused_or_killed() -> None:
    fd = os.open("/dev/full", os.O_WRONLY)
    pending = ChildWrite("/dev/full", fd, b"x")
    assert pending.wait(30)
    error = pending.result()
    assert error is not None
    assert (error.errno, error.filename) == (errno.ENOSPC, "/dev/full")
    os.close(fd)

    reader, writer = full_pipe()
    pending = ChildWrite("/sys/y", writer, b"x")
    pending._process.kill()
    assert pending.wait(30)
    error = pending.result()
    assert error is not None
    assert error.errno == errno.EINTR
    os.close(reader)
    os.close(writer)


def test_no_interpreter_to_write(monkeypatch: pytest.MonkeyPatch, kernel: LinuxKernel, tree: Path) -> None:
    (tree / DEVICE[1:] / "reset").write_text("")
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    error = kernel.write(f"{DEVICE}/reset", b"1").result()
    assert error is not None
    assert error.errno == errno.ENOEXEC


def test_quitting_never_waits_for_a_write() -> None:
    """A program that ends while its write waits ends at once, and the writer goes on without it."""
    reader, writer = full_pipe()
    program = (
        "import sys\n"
        "from vfdeck.backend.linux.writes import ChildWrite\n"
        "pending = ChildWrite('/sys/z/unbind', int(sys.argv[1]), b'done')\n"
        "print(pending.pid)\n"
    )
    begun = time.monotonic()
    command = [sys.executable, "-c", program, str(writer)]
    ended = subprocess.run(command, pass_fds=(writer,), capture_output=True, text=True, timeout=60, check=True)
    assert time.monotonic() - begun < 20
    os.close(writer)
    assert Path(f"/proc/{int(ended.stdout)}").is_dir()
    content = b""
    while part := os.read(reader, 1 << 20):
        content += part
    assert content.endswith(b"\0done")
    os.close(reader)


def test_openat2_that_is_not_there(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A number that no kernel knows answers ENOSYS, and the slow way is taken from then on."""
    monkeypatch.setattr(rooted, "_OPENAT2", 100_000)
    kernel = LinuxKernel(str(tree))
    assert kernel.read("/sys/bus/pci/devices/0000:01:00.0/vendor") == b"0x8086\n"
    assert kernel._tree is not None
    assert kernel._tree._libc is None
