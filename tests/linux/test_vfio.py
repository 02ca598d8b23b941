"""The ioctls: numbers and layouts against the header's, and what reaches the kernel."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from vfdeck.backend.kernel import BIND_ARGSZ_PLAIN, BIND_ARGSZ_TOKEN, VFIO_DEVICE_BIND_FLAG_TOKEN, VFIO_DEVICE_FEATURE_SET
from vfdeck.backend.linux import vfio
from vfdeck.backend.linux.kernel import LinuxKernel

TOKEN = bytes(range(16))


@pytest.mark.parametrize("machine", ["x86_64", "i686", "aarch64", "armv7l", "riscv64", "s390x", "loongarch64"])
@pytest.mark.parametrize(
    ("offset", "number"),
    [
        (0, 0x3B64),
        (1, 0x3B65),
        (2, 0x3B66),
        (3, 0x3B67),
        (4, 0x3B68),
        (6, 0x3B6A),
        (8, 0x3B6C),
        (11, 0x3B6F),
        (17, 0x3B75),
        (18, 0x3B76),
    ],
)
def test_numbers(machine: str, offset: int, number: int) -> None:
    assert vfio.vfio_number(offset, machine) == number


@pytest.mark.parametrize("machine", ["ppc", "ppc64", "ppc64le", "mips", "mips64", "sparc", "sparc64", "alpha"])
def test_numbers_where_none_is_a_direction(machine: str) -> None:
    assert vfio.vfio_number(6, machine) == 0x20003B6A
    assert vfio.vfio_number(18, machine) == 0x20003B76


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the constants are this machine's")
def test_names() -> None:
    assert vfio.VFIO_SET_IOMMU == 0x3B66
    assert vfio.VFIO_GROUP_SET_CONTAINER == 0x3B68
    assert vfio.VFIO_GROUP_GET_DEVICE_FD == 0x3B6A
    assert vfio.VFIO_DEVICE_GET_REGION_INFO == 0x3B6C
    assert vfio.VFIO_DEVICE_FEATURE == 0x3B75
    assert vfio.VFIO_DEVICE_BIND_IOMMUFD == 0x3B76


def test_layouts() -> None:
    assert ctypes.sizeof(vfio.vfio_region_info) == 32
    assert vfio.vfio_region_info.size.offset == 16
    assert (ctypes.sizeof(vfio.vfio_pci_hot_reset_info), ctypes.sizeof(vfio.vfio_pci_dependent_device)) == (12, 8)
    assert vfio.vfio_pci_dependent_device.devfn.offset == 7
    assert vfio.vfio_region_info.offset.offset == 24
    assert ctypes.sizeof(vfio.vfio_device_feature) == 8
    assert ctypes.sizeof(vfio.vfio_device_bind_iommufd) == BIND_ARGSZ_TOKEN
    assert vfio.vfio_device_bind_iommufd.token_uuid_ptr.offset == BIND_ARGSZ_PLAIN


class Calls(list[tuple[int, int, bytes]]):
    """Stands for fcntl.ioctl: notes each call; a bind's token is read through its pointer, as the kernel would."""

    token = b""

    def __call__(self, fd: int, number: int, argument: Any) -> int:
        content = argument.to_bytes(8, "little") if isinstance(argument, int) else bytes(argument)
        if number == vfio.VFIO_DEVICE_BIND_IOMMUFD and (pointer := struct.unpack_from("=Q", content, 16)[0]):
            self.token = ctypes.string_at(pointer, 16)
        self.append((fd, number, content))
        return 77


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    calls = Calls()
    monkeypatch.setattr("fcntl.ioctl", calls)
    return calls


def test_get_device_fd_returns_the_calls_value(calls: Calls) -> None:
    assert LinuxKernel().get_device_fd(5, b"0000:01:10.0 vf_token=x") == 77
    assert calls == [(5, vfio.VFIO_GROUP_GET_DEVICE_FD, b"0000:01:10.0 vf_token=x\0")]


def test_container_by_pointer_and_type_by_value(calls: Calls) -> None:
    LinuxKernel().set_container(5, -1)
    LinuxKernel().set_iommu(6, 8)
    assert calls == [
        (5, vfio.VFIO_GROUP_SET_CONTAINER, struct.pack("=i", -1)),
        (6, vfio.VFIO_SET_IOMMU, (8).to_bytes(8, "little")),
    ]


class Bus:
    """Stands for fcntl.ioctl: a kernel that tells the functions on a bus, as vfio_pci_ioctl_get_pci_hot_reset_info does."""

    def __init__(self, functions: int) -> None:
        self.entries = [struct.pack("=IHBB", 7, 0x10, 0x3B, n % 256) for n in range(functions)]
        self.sizes: list[int] = []

    def __call__(self, _: int, number: int, argument: bytearray) -> int:
        assert number == 0x3B70 or os.uname().machine != "x86_64"
        (argsz,) = struct.unpack_from("=I", argument)
        assert argsz == len(argument)
        self.sizes.append(argsz)
        struct.pack_into("=I", argument, 8, len(self.entries))
        if argsz < 12 + 8 * len(self.entries):
            raise OSError(errno.ENOSPC, "")
        argument[12 : 12 + 8 * len(self.entries)] = b"".join(self.entries)
        return 0


@pytest.mark.parametrize(("functions", "calls"), [(1, 1), (2, 1), (256, 1), (300, 2)])
def test_reset_domain(functions: int, calls: int, monkeypatch: pytest.MonkeyPatch) -> None:
    bus = Bus(functions)
    monkeypatch.setattr("fcntl.ioctl", bus)
    found = LinuxKernel().reset_domain(5)
    assert len(found) == functions
    assert found[:2] == ("0010:3b:00.0", "0010:3b:00.1")[:functions]
    assert len(bus.sizes) == calls


def test_reset_domain_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int, __: int, argument: bytearray) -> int:
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))

    monkeypatch.setattr("fcntl.ioctl", refuse)
    with pytest.raises(OSError, match=os.strerror(errno.ENODEV)):
        LinuxKernel().reset_domain(5)


@pytest.mark.parametrize(("argsz", "told", "length"), [(None, 24, 24), (7, 7, 24), (64, 64, 64), (2**31, 2**31, 4096)])
def test_feature_tells_argsz_and_has_memory_for_it(calls: Calls, argsz: int | None, told: int, length: int) -> None:
    LinuxKernel().feature(5, VFIO_DEVICE_FEATURE_SET, TOKEN, argsz)
    [(_, number, content)] = calls
    assert number == vfio.VFIO_DEVICE_FEATURE
    assert content[:24] == struct.pack("=II", told, VFIO_DEVICE_FEATURE_SET) + TOKEN
    assert len(content) == length


@pytest.mark.parametrize(
    ("keywords", "argsz", "flags", "token"),
    [
        ({}, 24, 0, b""),
        ({"token": TOKEN}, 24, VFIO_DEVICE_BIND_FLAG_TOKEN, TOKEN),
        ({"token": TOKEN, "flags": 0}, 24, 0, TOKEN),
        ({"flags": VFIO_DEVICE_BIND_FLAG_TOKEN}, 24, VFIO_DEVICE_BIND_FLAG_TOKEN, b""),
        ({"token": TOKEN, "argsz": BIND_ARGSZ_PLAIN}, 16, VFIO_DEVICE_BIND_FLAG_TOKEN, TOKEN),
        ({"token": b"short", "argsz": 3}, 3, VFIO_DEVICE_BIND_FLAG_TOKEN, b"short" + bytes(11)),
        ({"argsz": 40}, 40, 0, b""),
    ],
)
def test_bind(calls: Calls, keywords: dict[str, Any], argsz: int, flags: int, token: bytes) -> None:
    LinuxKernel().bind_iommufd(5, -2, **keywords)
    [(fd, number, content)] = calls
    assert (fd, number) == (5, vfio.VFIO_DEVICE_BIND_IOMMUFD)
    assert struct.unpack_from("=IIiI", content) == (argsz, flags, -2, 0)
    assert len(content) == max(argsz, 24)
    assert calls.token == token


@pytest.mark.parametrize(
    "call",
    [
        lambda k, fd: k.get_device_fd(fd, b"x"),
        lambda k, fd: k.set_container(fd, 3),
        lambda k, fd: k.set_iommu(fd, 1),
        lambda k, fd: k.bind_iommufd(fd, 3),
        lambda k, fd: k.feature(fd, 0),
        lambda k, fd: k.map(fd),
        lambda k, fd: k.dup(fd),
        lambda k, fd: k.close(fd),
    ],
)
@pytest.mark.parametrize("fd", [-1, -2, 1_000_000, 2**40])
def test_a_descriptor_that_is_none(call: Callable[[LinuxKernel, int], object], fd: int) -> None:
    with pytest.raises(OSError, match="Bad file descriptor") as caught:
        call(LinuxKernel(), fd)
    assert caught.value.errno == errno.EBADF


def links_of_fds() -> list[str]:
    """What the descriptors of this process lead to."""
    links = []
    for number in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):
            links.append(os.readlink(f"/proc/self/fd/{number}"))
    return links


def test_map_takes_the_first_bar_that_can_be_mapped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A memory file stands for the device: its second BAR begins at its second page."""
    page = mmap.PAGESIZE
    fd = os.memfd_create("bars")
    os.truncate(fd, 3 * page)

    def ioctl(_fd: int, number: int, info: Any) -> int:
        assert (number, info.argsz) == (vfio.VFIO_DEVICE_GET_REGION_INFO, 32)
        if info.index == 1:
            info.flags, info.size, info.offset = vfio.VFIO_REGION_INFO_FLAG_MMAP | 3, 2 * page, page
        return 0

    monkeypatch.setattr("fcntl.ioctl", ioctl)
    kernel = LinuxKernel()
    handle = kernel.map(fd)
    os.pwrite(fd, b"second page", page)
    assert ctypes.string_at(handle, 11) == b"second page"
    assert links_of_fds().count("/memfd:bars (deleted)") == 1  # no duplicate holds the device
    kernel.unmap(handle)
    with pytest.raises(OSError, match="Invalid argument"):
        kernel.unmap(handle)
    os.close(fd)


def test_nothing_to_map(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fcntl.ioctl", lambda *_: 0)
    with pytest.raises(OSError, match="No such device") as caught:
        LinuxKernel().map(0)
    assert caught.value.errno == errno.ENODEV
