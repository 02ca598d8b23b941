"""What a card says of itself: its Vital Product Data (VPD), i.e. product name, part and serial number, as its maker stored them.

The kernel reads it from the card four bytes at a time, which takes milliseconds to seconds, and waits on firmware that may be
broken; it wakes a function that sleeps. So it is read only when somebody asks for one function, never in a scan.
Format: PCI Local Bus Specification 3.0, appendix I. Kernel: drivers/pci/vpd.c (vpd_read, pci_vpd_size, pci_vpd_check_csum).
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import dataclass

from vfdeck.backend.evidence import Unread, text_of
from vfdeck.backend.kernel import Kernel, errno_name
from vfdeck.backend.text import printable
from vfdeck.backend.vfio import DEVICES

# Resource tags: large ones have bit 7 set and two bytes of length, small ones their length in the low three bits.
_LARGE, _NAME, _READ_ONLY, _WRITABLE, _END = 0x80, 0x82, 0x90, 0x91, 0x0F
#: What the two letters of a field mean; V and Y with any other letter are the maker's and the system's own.
KEYWORDS = {
    "PN": "part number",
    "SN": "serial number",
    "EC": "engineering change",
    "MN": "manufacturer",
    "LC": "location",
    "FG": "fabric geography",
    "PG": "PCI geography",
    "YA": "asset tag",
}
#: Fields of bytes that mean nothing to a person: capability pointer, checksum, free space.
_BINARY = frozenset({"CP", "RV", "RW"})
#: Fields that are kept, and the length of their text; foreign data must not flood a panel.
_MOST, _LONGEST = 48, 80


@dataclass(frozen=True, slots=True)
class Vpd:
    """The text in a card's VPD. All of it is what the maker or somebody after him wrote; nothing proves it."""

    name: str = ""
    fields: tuple[tuple[str, str], ...] = ()  # keyword of two letters and value, in the card's order
    sound: bool | None = None  # whether the checksum is right; None: there is none
    broken: str = ""  # where and how it leaves the format; what came before is in the fields


def meaning(keyword: str) -> str:
    """What a field's keyword says, in words."""
    own = {"V": "maker's own", "Y": "system's own"}
    return KEYWORDS.get(keyword) or own.get(keyword[:1], "not in the standard")


def read_vpd(kernel: Kernel, bdf: str) -> Vpd | Unread | None:
    """Ask the card; None where it has no VPD. May take seconds. Never raises OSError."""
    path = f"{DEVICES}/{bdf}/vpd"
    if text_of(kernel, f"{DEVICES}/{bdf}/power_state") == "D3cold":
        return Unread(f"not read, since {bdf} sleeps in D3cold and reading would wake it")
    try:
        data = kernel.read(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        return Unread(f"{path}: {_REASONS.get(error.errno or 0, errno_name(error.errno or 0))}")
    return parse(data)


_REASONS = {
    errno.EACCES: "EACCES, only root may read it",
    errno.EIO: "EIO, the card has no VPD that the kernel understands, or did not answer",
    errno.ETIMEDOUT: "ETIMEDOUT, the card gave no answer in time; its firmware may hang",
}


def parse(data: bytes) -> Vpd:
    """Take VPD apart as far as it follows the format; nothing in it can make this raise, or take long."""
    name, fields, sound, broken = "", list[tuple[str, str]](), None, ""
    for tag, start, length, fault in _resources(data):
        broken = broken or fault
        body = data[start : start + length]
        if tag == _NAME:
            name = name or _text(body)
        elif tag in (_READ_ONLY, _WRITABLE):
            for keyword, at, size in _fields(body):
                value = body[at : at + size]
                if len(value) < size:
                    broken = broken or f"field {keyword} claims {size} bytes, {len(value)} are left"
                if keyword == "RV" and tag == _READ_ONLY and value:
                    sound = sum(data[: start + at + 1]) & 0xFF == 0
                elif keyword not in _BINARY and len(fields) < _MOST:
                    fields.append((keyword, _text(value)))
    return Vpd(name, tuple(fields), sound, broken)


def _resources(data: bytes) -> Iterator[tuple[int, int, int, str]]:
    """Tag, start of the content, its length, and what is wrong with it or what follows ("" for nothing)."""
    at = 0
    while at < len(data):
        tag = data[at]
        if not tag & _LARGE:
            if tag >> 3 == _END:
                return
            if tag in (0x00, 0x7F):
                yield 0, at, 0, f"no tag at byte {at}, but {tag:#04x}"
                return
            start, length = at + 1, tag & 0x07
            tag >>= 3
        elif at + 3 > len(data) or tag == 0xFF:
            yield 0, at, 0, f"no tag at byte {at}, but {tag:#04x}"
            return
        else:
            start, length = at + 3, int.from_bytes(data[at + 1 : at + 3], "little")
        at = start + length
        missing = at - len(data)
        yield tag, start, length, f"{missing} bytes of it are beyond what was read" if missing > 0 else ""
    if not data:
        yield 0, 0, 0, "it is empty"


def _fields(body: bytes) -> Iterator[tuple[str, int, int]]:
    """Keyword, start and length of the fields in a resource."""
    at = 0
    while at + 3 <= len(body):
        keyword, size = printable(body[at : at + 2].decode("latin-1")), body[at + 2]
        yield keyword, at + 3, size
        at += 3 + size


def _text(value: bytes) -> str:
    """Text is padded with NULs or blanks."""
    return printable(value.strip(b"\0 "), _LONGEST)
