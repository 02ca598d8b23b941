"""What a simulated function shows of itself to PCI: its configuration space, its address ranges, its place below the bridges.

Layouts: include/uapi/linux/pci_regs.h; drivers/pci/pci-sysfs.c (resource_show, pci_read_config); drivers/pci/iov.c. Checked against
igb and nvme on 6.12: a VF's vendor and device read as ones, the windows of the VF BARs hold all VFs, one behind the other.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping

from vfdeck.backend.model import Role, routing_id
from vfdeck.backend.sim.hardware import Function

#: Lines of `resource`: the BARs, the ROM, the VF BARs, and on bridges their windows.
BARS, VF_BARS, ENDPOINT_LINES, BRIDGE_LINES = 0, 7, 13, 17

#: IORESOURCE_MEM, SIZEALIGN, MEM_64 and the BAR's own type bits (64 bit memory), as igb's VF BARs show them.
_FLAGS = 0x140204
_TYPE_64 = 0x4  # the bits of a BAR that say 64 bit memory; they stand there with or without an address
_AER, _SRIOV = 0x100, 0x160  # where the extended capabilities are, as on igb
_EXTENDED, _CONVENTIONAL = 4096, 256

Range = tuple[int, int]


# -- places ----------------------------------------------------------------------------------------------------------------
def bridge_above(functions: Mapping[str, Function], function: Function) -> Function | None:
    """The bridge that a function is behind; None on a root bus. VFs are behind the bridge of their PF, whatever their bus."""
    home = function.physfn or function
    behind = (f for f in functions.values() if f.buses and f.buses[0] == home.bus and f.bdf[:4] == home.bdf[:4])
    return next(behind, None)


def place(functions: Mapping[str, Function], function: Function) -> str:
    """A function's directory below /sys/devices: the root bus, every bridge on the way, the function."""
    above = bridge_above(functions, function)
    return f"pci{function.bdf[:7]}/{function.bdf}" if above is None else f"{place(functions, above)}/{function.bdf}"


# -- address ranges --------------------------------------------------------------------------------------------------------
def _ranges(base: int, sizes: tuple[int, ...]) -> Iterator[Range | None]:
    """BARs of these sizes one behind the other; None where there is no BAR."""
    for size in sizes:
        yield (base, base + size - 1) if size else None
        base += size


def _base(function: Function) -> int:
    """Where a function's ranges begin: far above the machine's memory, apart from every other function's."""
    return 0x38_0000_0000 + (int(function.bdf[:4], 16) << 48) + (routing_id(function.bdf) << 32)


def vf_windows(pf: Function) -> tuple[Range | None, ...]:
    """The range of each VF BAR, with room for all VFs; None where there is no such BAR, or no room was found for it."""
    capability = pf.sriov
    if capability is None:
        return ()
    windows = _ranges(_base(pf) + (1 << 31), tuple(size * capability.total for size in capability.bars))
    return tuple(None if number in capability.unassigned else window for number, window in enumerate(windows))


def resource(function: Function) -> str:
    """The file `resource`: start, end and flags of every range, zeros where there is none."""
    rows: list[Range | None] = [None] * (BRIDGE_LINES if function.buses else ENDPOINT_LINES)
    own = _slices(function) if function.role is Role.VF else tuple(_ranges(_base(function), function.bars))
    for first, ranges in ((BARS, own), (VF_BARS, vf_windows(function))):
        rows[first : first + len(ranges)] = ranges
    return "".join(f"{_row(row)}\n" for row in rows)


def _slices(vf: Function) -> tuple[Range | None, ...]:
    """A VF's BARs: its part of each window of its PF (pci_iov_add_virtfn)."""
    pf, index = vf.physfn, vf.vf_index or 0
    sizes = pf.sriov.bars if pf and pf.sriov else ()
    windows = vf_windows(pf) if pf else ()
    return tuple(
        (window[0] + size * index, window[0] + size * (index + 1) - 1) if window else None
        for size, window in zip(sizes, windows, strict=True)
    )


def _row(found: Range | None) -> str:
    start, end, flags = (*found, _FLAGS) if found else (0, 0, 0)
    return f"0x{start:016x} 0x{end:016x} 0x{flags:016x}"


# -- configuration space ---------------------------------------------------------------------------------------------------
def config(function: Function) -> bytes:
    """The file `config`: the header, and on PCI Express functions the extended capabilities of a PF."""
    express = function.link is not None or function.role is not Role.PLAIN
    size = _EXTENDED if express else _CONVENTIONAL
    if function.lost:
        return b"\xff" * size
    is_vf = function.role is Role.VF
    vendor, device = (0xFFFF, 0xFFFF) if is_vf else (function.vendor, function.device)
    command = 0x0002 if function.enabled else 0
    space = bytearray(size)
    struct.pack_into("<HHHHI", space, 0, vendor, device, command, 0x0010, function.class_code << 8 | 1)
    space[0x0E] = function.header
    if function.buses:
        space[0x18:0x1B] = bytes((function.bus, *function.buses))
    else:
        struct.pack_into("<HH", space, 0x2C, *function.subsystem)
        if not is_vf:
            _put_bars(space, 0x10, _ranges(_base(function), function.bars))
    if function.sriov is not None:
        _put_sriov(space, function)
    return bytes(space)


def _put_bars(space: bytearray, offset: int, ranges: Iterator[Range | None]) -> None:
    for number, found in enumerate(ranges):
        if found is not None:
            struct.pack_into("<Q", space, offset + 4 * number, found[0] | _TYPE_64)


def _put_sriov(space: bytearray, pf: Function) -> None:
    """The SR-IOV capability behind one for error reporting. A VF BAR tells its type also where it has no address."""
    capability = pf.sriov
    assert capability is not None
    initial = capability.total if capability.initial is None else capability.initial
    depends_on = capability.dependency or pf.bdf
    struct.pack_into("<HH", space, _AER, 0x0001, 1 | _SRIOV << 4)
    struct.pack_into("<HH", space, _SRIOV, 0x0010, 1)
    numbers = (initial, capability.total, capability.numvfs, routing_id(depends_on) & 0xFF)
    struct.pack_into("<HHHH", space, _SRIOV + 0x0C, *numbers)
    struct.pack_into("<HHHH", space, _SRIOV + 0x14, capability.offset, capability.stride, 0, capability.vf_device)
    for number, (size, window) in enumerate(zip(capability.bars, vf_windows(pf), strict=True)):
        if size:
            struct.pack_into("<Q", space, _SRIOV + 0x24 + 4 * number, (window[0] if window else 0) | _TYPE_64)
