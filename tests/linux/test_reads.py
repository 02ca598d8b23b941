"""Reads that may wait: a named pipe without a writer stands for a file whose device is locked."""

from __future__ import annotations

import errno
import gc
import os
import time
from pathlib import Path

import pytest

from vfdeck.backend.linux import reads
from vfdeck.backend.linux.kernel import LinuxKernel
from vfdeck.backend.linux.reads import GuardedReader


def waiting(path: Path) -> int:
    """A pipe that has a writer and no content, so that reading it waits; the writer."""
    os.mkfifo(path)
    return os.open(path, os.O_RDWR)


@pytest.fixture
def blocking(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process reads pipes as sysfs is read: it waits."""
    monkeypatch.setattr(reads, "_PROGRAM", reads._PROGRAM.replace(" | os.O_NONBLOCK", ""))


def test_reads_and_refusals(tmp_path: Path) -> None:
    reader = GuardedReader()
    (tmp_path / "uevent").write_bytes(b"DRIVER=igb\xff\n")
    (tmp_path / "empty").write_bytes(b"")
    for _ in range(3):
        assert reader.read(str(tmp_path / "uevent")) == b"DRIVER=igb\xff\n"
    assert reader.read(str(tmp_path / "empty")) == b""
    for name, number in (("missing", errno.ENOENT), ("", errno.EISDIR)):
        with pytest.raises(OSError) as caught:  # noqa: PT011
            reader.read(f"{tmp_path}/{name}")
        assert caught.value.errno == number


@pytest.mark.usefixtures("blocking")
def test_a_read_that_waits_is_given_up(tmp_path: Path) -> None:
    reader = GuardedReader(patience=0.2)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "vendor").write_text("0x8086\n")
    writer = waiting(tmp_path / "a/uevent")
    with pytest.raises(TimeoutError) as caught:
        reader.read(str(tmp_path / "a/uevent"))
    assert caught.value.errno == errno.ETIMEDOUT
    begun = time.monotonic()
    for _ in range(3):  # not tried again
        with pytest.raises(TimeoutError):
            reader.read(str(tmp_path / "a/uevent"))
    assert time.monotonic() - begun < 0.15
    assert reader.read(str(tmp_path / "a/vendor")) == b"0x8086\n"
    assert reader.read(str(tmp_path / "b/vendor")) == b"0x8086\n"
    (tmp_path / "a/uevent").unlink()
    (tmp_path / "a/uevent").write_text("again")
    os.write(writer, b"free")
    deadline = time.monotonic() + 20
    while True:
        try:
            assert reader.read(str(tmp_path / "a/uevent")) == b"again"
            break
        except TimeoutError:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    os.close(writer)


@pytest.mark.usefixtures("blocking")
def test_not_more_and_more_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reads, "_MOST_STUCK", 2)
    reader = GuardedReader(patience=0.1)
    writers = []
    for name in "abcd":
        (tmp_path / name).mkdir()
        writers.append(waiting(tmp_path / name / "uevent"))
        with pytest.raises(TimeoutError):
            reader.read(str(tmp_path / name / "uevent"))
    assert len(reader._stuck) == 2
    for writer in writers:
        os.write(writer, b"x")
        os.close(writer)


def test_a_reader_that_was_killed_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "uevent").write_text("x")
    reader = GuardedReader()
    reader.read(str(tmp_path / "uevent"))
    process = reader._idle[0].process
    process.kill()
    process.wait()
    with pytest.raises(OSError, match="Interrupted"):
        reader.read(str(tmp_path / "uevent"))
    assert reader.read(str(tmp_path / "uevent")) == b"x"


def test_it_ends_with_its_owner(tmp_path: Path) -> None:
    (tmp_path / "uevent").write_text("x")
    reader = GuardedReader()
    reader.read(str(tmp_path / "uevent"))
    process = reader._idle[0].process
    del reader
    gc.collect()
    assert process.wait(20) == 0


def mount_of(fd: int) -> bytes:
    return next(line.split()[1] for line in Path(f"/proc/self/fdinfo/{fd}").read_bytes().splitlines() if line.startswith(b"mnt_id"))


def test_what_a_file_is(tmp_path: Path) -> None:
    reader = GuardedReader()
    with open("/dev/null") as null, open(tmp_path / "file", "w") as file:
        for one in (null, file):
            place, found = f"/proc/{os.getpid()}/fd/{one.fileno()}", os.fstat(one.fileno())
            assert reader.node(place, [b"1", mount_of(one.fileno())]) == (found.st_mode, found.st_rdev)
            with pytest.raises(OSError, match="Stale") as caught:
                reader.node(place, [mount_of(one.fileno()) + b"0", b""])
            assert caught.value.errno == errno.ESTALE
        with pytest.raises(OSError, match="too long"):
            reader.node(place, [b"7" * 9] * 9999)
    with pytest.raises(FileNotFoundError):
        reader.node(place, [b"1"])


def test_a_file_whose_server_does_not_answer_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wait for the file system is played by a pipe that is read."""
    writer = waiting(tmp_path / "server")
    monkeypatch.setattr(reads, "_PROGRAM", reads._PROGRAM.replace("os.fstat(fd)", f"open({str(tmp_path / 'server')!r}).read(1)"))
    reader = GuardedReader(patience=0.1, why="its file system gives no answer")
    with open(tmp_path / "file", "w") as file:
        for _ in range(2):
            with pytest.raises(TimeoutError, match="its file system"):
                reader.node(f"/proc/{os.getpid()}/fd/{file.fileno()}", [mount_of(file.fileno())])
    os.write(writer, b"x")
    os.close(writer)


@pytest.mark.skipif(not os.path.exists("/sys/devices/system/cpu/uevent"), reason="needs a sysfs")
def test_the_kernel_uses_it_for_such_files_only() -> None:
    kernel = LinuxKernel()
    kernel.names("/sys")
    assert kernel._reader is None
    kernel.read("/sys/devices/system/cpu/uevent")
    assert kernel._reader is not None
    with pytest.raises(FileNotFoundError):
        kernel.read("/sys/nothing/driver_override")


def test_what_a_card_says_of_itself_keeps_no_other_read_waiting() -> None:
    class Asked(GuardedReader):
        def read(self, path: str) -> bytes:
            raise TimeoutError(errno.ETIMEDOUT, self._why, path)

    kernel = LinuxKernel()
    kernel._reader, kernel._slow_reader = Asked(), Asked(why="the card gives no answer")
    with pytest.raises(TimeoutError, match="the card gives no answer"):
        kernel.read("/sys/bus/pci/devices/0000:00:00.0/vpd")
    with pytest.raises(TimeoutError, match="somebody holds"):
        kernel.read("/sys/bus/pci/devices/0000:00:00.0/uevent")
