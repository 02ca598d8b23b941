"""What one process holds of vfio by its mappings."""

from __future__ import annotations

import fcntl
import mmap
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.linux.fabricated import DEVICE, VF, Proc, mapped
from vfdeck.backend.linux import mappings
from vfdeck.backend.linux.procs import open_files


def test_mappings_without_a_descriptor(proc: Proc) -> None:
    broken = "broken vfio\n1-2 r--s 0 x:y z /dev/vfio/devices/vfio9x\n" + mapped("/opt/vfio/tool")
    proc.process(7, "dpdk", {}, mapped(DEVICE) + mapped(DEVICE) + broken)
    proc.process(8, "dpdk", {}, mapped("/dev/vfio/devices/vfio4"))
    proc.process(9, "dpdk", {}, mapped(DEVICE).rstrip("\n"))
    proc.process(10, "dpdk", {3: "/dev/vfio/devices/vfio4"}, mapped("/dev/vfio/devices/vfio4"))
    assert proc.found() == [(7, "mapping", "", ""), (8, "mapping", "vfio4", ""), (9, "mapping", "", ""), (10, "cdev", "vfio4", "")]


def test_a_file_of_that_name_is_no_device(proc: Proc) -> None:
    """Anybody may have such a file in the root of a mount namespace of their own, and map it at any offset."""
    proc.kernel("6.1.0")
    proc.function(VF, 26, 0xFE800000)
    proc.process(7, "forger", {}, mapped("/" + DEVICE, 0xFE800000))
    assert proc.found() == []


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


def test_very_many_mappings_are_read_instead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anybody may have them by the thousand, and each question takes microseconds of root's time."""
    (tmp_path / "file").write_bytes(bytes(mmap.PAGESIZE))
    (tmp_path / "a vfio").write_bytes(bytes(mmap.PAGESIZE))
    asked, really = [], fcntl.ioctl

    def ask(fd: int, number: int, query: bytearray) -> None:
        asked.append(number)
        really(fd, number, query)

    monkeypatch.setattr(fcntl, "ioctl", ask)
    monkeypatch.setattr(mappings, "_MOST_ASKED", 20)
    with open(tmp_path / "file", "r+b") as file, open(tmp_path / "a vfio", "r+b") as other:
        kept = [mmap.mmap(one.fileno(), mmap.PAGESIZE) for one in (*[file] * 30, other, *[file] * 30)]
        found = list(mappings.mapped_files("/proc/self", "a vfio"))
    assert len(kept) == 61
    assert [one.text for one in found] == [str(tmp_path / "a vfio")]
    assert len(asked) <= 20


def test_maps_without_end_leave_a_doubt(proc: Proc, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mappings, "_CHUNK", 256)
    monkeypatch.setattr(mappings, "_MOST_READ", 1000)
    proc.process(7, "java", {}, mapped("/dev/vfio/devices/vfio4") + mapped("/usr/lib/x") * 50)
    assert proc.found() == [(7, "mapping", "vfio4", "")]
    assert open_files(str(proc.root)).unseen == 1


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
