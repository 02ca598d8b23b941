"""The vfio ioctls: numbers and structures of the kernel's header include/uapi/linux/vfio.h, named as there.

Every function takes open descriptors of the caller and raises OSError with the kernel's errno. A descriptor that can be none
(negative, or beyond a C int) is EBADF, as the kernel would say.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os

from vfdeck.backend.kernel import VFIO_DEVICE_BIND_FLAG_TOKEN

VFIO_TYPE = ord(";")
VFIO_BASE = 100

VFIO_REGION_INFO_FLAG_MMAP = 1 << 2
#: Regions 0 to 5 of a vfio-pci device are its BARs (VFIO_PCI_BAR0_REGION_INDEX and on).
VFIO_PCI_BARS = 6

# Architectures whose _IOC_NONE is 1 with the direction in bit 29 and up; with all others it is 0.
_DIRECTION_IN_NONE = ("ppc", "powerpc", "mips", "sparc", "alpha")

# A buffer that argsz claims beyond this is not made longer: no kernel structure is.
_LONGEST = 4096

# A bus has 256 functions, those behind its bridges not counted.
_FUNCTIONS_EXPECTED = 256

_MAP_FAILED = ctypes.c_void_p(-1).value


def io_number(kind: int, number: int, machine: str) -> int:
    """`_IO(kind, number)` as include/uapi/asm/ioctl.h of `machine` (uname -m) computes it."""
    none = 1 << 29 if machine.startswith(_DIRECTION_IN_NONE) else 0
    return none | kind << 8 | number


def vfio_number(offset: int, machine: str | None = None) -> int:
    """`_IO(VFIO_TYPE, VFIO_BASE + offset)`, of this machine unless another is named."""
    return io_number(VFIO_TYPE, VFIO_BASE + offset, machine or os.uname().machine)


VFIO_GET_API_VERSION = vfio_number(0)
VFIO_CHECK_EXTENSION = vfio_number(1)
VFIO_SET_IOMMU = vfio_number(2)
VFIO_GROUP_GET_STATUS = vfio_number(3)
VFIO_GROUP_SET_CONTAINER = vfio_number(4)
VFIO_GROUP_UNSET_CONTAINER = vfio_number(5)
VFIO_GROUP_GET_DEVICE_FD = vfio_number(6)
VFIO_DEVICE_GET_INFO = vfio_number(7)
VFIO_DEVICE_GET_REGION_INFO = vfio_number(8)
VFIO_DEVICE_RESET = vfio_number(11)
VFIO_DEVICE_GET_PCI_HOT_RESET_INFO = vfio_number(12)
VFIO_DEVICE_FEATURE = vfio_number(17)
VFIO_DEVICE_BIND_IOMMUFD = vfio_number(18)


class vfio_region_info(ctypes.Structure):  # noqa: N801
    """Argument of VFIO_DEVICE_GET_REGION_INFO: where a region lies in the device's file and what it allows; sizes in bytes."""

    _fields_ = [
        ("argsz", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("index", ctypes.c_uint32),
        ("cap_offset", ctypes.c_uint32),
        ("size", ctypes.c_uint64),
        ("offset", ctypes.c_uint64),
    ]


class vfio_pci_hot_reset_info(ctypes.Structure):  # noqa: N801
    """Argument of VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, without the devices that follow it."""

    _fields_ = [("argsz", ctypes.c_uint32), ("flags", ctypes.c_uint32), ("count", ctypes.c_uint32)]


class vfio_pci_dependent_device(ctypes.Structure):  # noqa: N801
    """One function of a reset domain; the first field is its group's number, or an iommufd's id of it."""

    _fields_ = [
        ("group_id", ctypes.c_uint32),
        ("segment", ctypes.c_uint16),
        ("bus", ctypes.c_uint8),
        ("devfn", ctypes.c_uint8),
    ]


class vfio_device_feature(ctypes.Structure):  # noqa: N801
    """Argument of VFIO_DEVICE_FEATURE, without the data that follow it."""

    _fields_ = [("argsz", ctypes.c_uint32), ("flags", ctypes.c_uint32)]


class vfio_device_bind_iommufd(ctypes.Structure):  # noqa: N801
    """Argument of VFIO_DEVICE_BIND_IOMMUFD; the pointer was added in 6.17 and is read only if argsz covers it."""

    _fields_ = [
        ("argsz", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("iommufd", ctypes.c_int32),
        ("out_devid", ctypes.c_uint32),
        ("token_uuid_ptr", ctypes.c_uint64),
    ]


def _ioctl(fd: int, number: int, argument: bytearray | ctypes.Structure | ctypes.c_int32 | int) -> int:
    """ioctl(2) with a buffer that the kernel may write to, or a plain number; the call's return value."""
    try:
        return fcntl.ioctl(fd, number, argument)
    except (ValueError, OverflowError) as error:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF)) from error


def set_container(group: int, container: int) -> None:
    """VFIO_GROUP_SET_CONTAINER: the kernel reads the container's descriptor through a pointer to an s32."""
    _ioctl(group, VFIO_GROUP_SET_CONTAINER, ctypes.c_int32(container))


def set_iommu(container: int, kind: int) -> None:
    """VFIO_SET_IOMMU: the type goes by value."""
    _ioctl(container, VFIO_SET_IOMMU, kind)


def get_device_fd(group: int, argument: bytes) -> int:
    """VFIO_GROUP_GET_DEVICE_FD with the string `argument`; the new descriptor, which the kernel made close-on-exec."""
    return _ioctl(group, VFIO_GROUP_GET_DEVICE_FD, bytearray(argument + b"\0"))


def bind_iommufd(cdev: int, iommufd: int, token: bytes | None, flags: int | None, argsz: int, beyond: bytes = b"") -> None:
    """VFIO_DEVICE_BIND_IOMMUFD. `argsz` is told to the kernel as given; the memory behind it is never shorter than that.

    A token is passed by pointer; the kernel reads 16 bytes there, so a shorter one is padded with zeros.
    """
    secret = ctypes.create_string_buffer(token, max(len(token), 16)) if token is not None else None
    if flags is None:
        flags = VFIO_DEVICE_BIND_FLAG_TOKEN if secret is not None else 0
    pointer = ctypes.addressof(secret) if secret is not None else 0
    _ioctl(cdev, VFIO_DEVICE_BIND_IOMMUFD, _padded(vfio_device_bind_iommufd(argsz, flags, iommufd, 0, pointer), argsz, beyond))


def feature(device: int, flags: int, data: bytes, argsz: int | None) -> None:
    """VFIO_DEVICE_FEATURE. `argsz` is 8 plus the length of `data` unless given, and told to the kernel as given."""
    header = vfio_device_feature(8 + len(data) if argsz is None else argsz, flags)
    _ioctl(device, VFIO_DEVICE_FEATURE, _padded(header, header.argsz, data))


def reset_domain(device: int) -> tuple[str, ...]:
    """VFIO_DEVICE_GET_PCI_HOT_RESET_INFO: the BDFs of the functions in the device's slot or on its bus."""
    room = _FUNCTIONS_EXPECTED
    while True:
        header, one = ctypes.sizeof(vfio_pci_hot_reset_info), ctypes.sizeof(vfio_pci_dependent_device)
        buffer = bytearray(bytes(vfio_pci_hot_reset_info(argsz=header + room * one)).ljust(header + room * one, b"\0"))
        try:
            _ioctl(device, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, buffer)
        except OSError as error:
            needed = vfio_pci_hot_reset_info.from_buffer_copy(buffer).count
            if error.errno != errno.ENOSPC or needed <= room:
                raise
            room = needed  # functions may come meanwhile: asked until it fits
            continue
        count = vfio_pci_hot_reset_info.from_buffer_copy(buffer).count
        found = (vfio_pci_dependent_device * count).from_buffer_copy(buffer, header)
        return tuple(f"{f.segment:04x}:{f.bus:02x}:{f.devfn >> 3:02x}.{f.devfn & 7}" for f in found)


def _padded(structure: ctypes.Structure, argsz: int, data: bytes = b"") -> bytearray:
    """A structure and its data in memory that is at least `argsz` long, within reason."""
    buffer = bytearray(bytes(structure) + data)
    return buffer.ljust(min(argsz, _LONGEST), b"\0")


def map_bar(device: int) -> tuple[int, int]:
    """Map the first page of the first BAR that can be mapped, for reading; nothing is read. Its address and length in bytes.

    The module `mmap` is no use here: it keeps a duplicate of the descriptor, which would hold the device as well.

    Raises:
        OSError: of the device (EINVAL: a cdev that is not bound), or ENODEV where no BAR can be mapped.
    """
    for index in range(VFIO_PCI_BARS):
        info = vfio_region_info(argsz=ctypes.sizeof(vfio_region_info), index=index)
        _ioctl(device, VFIO_DEVICE_GET_REGION_INFO, info)
        if info.flags & VFIO_REGION_INFO_FLAG_MMAP and info.size:
            length = min(info.size, mmap.PAGESIZE)
            return _map(device, length, info.offset), length
    raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))


def _map(fd: int, length: int, offset: int) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    call = getattr(libc, "mmap64", libc.mmap)
    call.restype = ctypes.c_void_p
    call.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_int64]
    address = call(None, length, mmap.PROT_READ, mmap.MAP_SHARED, fd, offset)
    if address is None or address == _MAP_FAILED:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int(address)


def unmap(address: int, length: int) -> None:
    """munmap(2) of what `map_bar` returned."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.munmap(ctypes.c_void_p(address), ctypes.c_size_t(length)):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
