"""A function's configuration space, read once and parsed: what sysfs shows nowhere else.

Reading `config` wakes a function that sleeps in D3cold, so such a function is not read. Programs without CAP_SYS_ADMIN get its
first 64 bytes, which hold no SR-IOV capability. Layout: include/uapi/linux/pci_regs.h.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from vfdeck.backend.evidence import Unread, text_of
from vfdeck.backend.kernel import Kernel, errno_name
from vfdeck.backend.vfio import DEVICES

_HEADER, _EXTENDED, _WHOLE = 64, 0x100, 4096
_HEADER_TYPE = 0x0E
_SRIOV_ID = 0x0010
_MIGRATION = 0x1  # PCI_SRIOV_CAP_VFM
#: Bytes of the SR-IOV capability that are looked at: up to the end of the VF BARs.
_SRIOV_SIZE = 0x3C


@dataclass(frozen=True, slots=True)
class SriovRegisters:
    """A PF's SR-IOV capability as the hardware has it."""

    initial: int  # InitialVFs
    total: int  # TotalVFs, whatever a driver made of it in sriov_totalvfs
    dependency: int  # slot and function (devfn) that the function dependency link names; its own where it depends on none
    bars: frozenset[int]  # VF BARs that tell a type or an address; one of 32 bits without address tells nothing
    migration: bool = False  # VF Migration Capable: InitialVFs may then be less than TotalVFs


def config(kernel: Kernel, bdf: str) -> bytes | Unread:
    """A function's configuration space, as much of it as may be read."""
    path = f"{DEVICES}/{bdf}"
    if text_of(kernel, f"{path}/power_state") == "D3cold":
        return Unread(f"{path}/config: not read, since {bdf} sleeps in D3cold and reading would wake it")
    try:
        found = kernel.read(f"{path}/config")
    except OSError as error:
        return Unread(f"{path}/config: {errno_name(error.errno or 0)}")
    return found if len(found) >= _HEADER else Unread(f"{path}/config: only {len(found)} bytes of it")


def silent(space: bytes) -> bool:
    """Whether a function does not answer: every byte of its header reads as ones (a VF's ids do so always, the rest does not)."""
    return space[:_HEADER] == b"\xff" * _HEADER


def is_endpoint(space: bytes) -> bool:
    """Whether the header is the ordinary one (type 0), which vfio-pci demands."""
    return space[_HEADER_TYPE] & 0x7F == 0


def sriov_registers(space: bytes, bdf: str) -> SriovRegisters | Unread:
    """The SR-IOV capability in a configuration space."""
    if len(space) < _WHOLE:
        short = f"only {len(space)} bytes may be read without CAP_SYS_ADMIN, and the SR-IOV capability is beyond"
        return Unread(f"{DEVICES}/{bdf}/config: {short}")
    at, seen = _EXTENDED, set[int]()
    while at >= _EXTENDED and at not in seen and at + _SRIOV_SIZE <= len(space):
        seen.add(at)
        (header,) = struct.unpack_from("<I", space, at)
        if header & 0xFFFF == _SRIOV_ID:
            return _parse(space, at)
        at = header >> 20 & 0xFFC
    return Unread(f"{DEVICES}/{bdf}/config: no SR-IOV capability in it")


def _parse(space: bytes, at: int) -> SriovRegisters:
    (abilities,) = struct.unpack_from("<I", space, at + 0x04)
    initial, total, _, dependency = struct.unpack_from("<HHHB", space, at + 0x0C)
    bars = struct.unpack_from("<6I", space, at + 0x24)
    return SriovRegisters(initial, total, dependency, _bars(bars), bool(abilities & _MIGRATION))


def _bars(values: tuple[int, ...]) -> frozenset[int]:
    """The numbers of the BARs there are; one of 64 bits takes the next number too."""
    found, upper = set(), False
    for number, value in enumerate(values):
        if upper:
            upper = False
        elif value:
            found.add(number)
            upper = value & 0x7 == 0x4
    return frozenset(found)
