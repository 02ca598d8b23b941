"""Names of vendors and devices, from the system's copy of the PCI ID database.

The file (`pci.ids`, https://pci-ids.ucw.cz) is 1.3 MB of text: a line `8086  Intel Corporation` for each vendor, followed by a
line `<tab>10ca  82576 Virtual Function` for each of its devices. Only the vendors that are asked for are looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from vfdeck.backend.text import printable

#: Vendor id and device id.
Ids = tuple[int, int]
#: Vendor name and device name, "" where not known.
Names = tuple[str, str]

#: Where the packages of the distributions (hwdata, pci.ids, pciutils) put it; the first that can be read is used.
PLACES = (
    "/usr/share/hwdata/pci.ids",
    "/usr/share/misc/pci.ids",
    "/usr/share/pci.ids",
    "/var/lib/pciutils/pci.ids",
    "/usr/local/share/pci.ids",
    "/run/current-system/sw/share/hwdata/pci.ids",
)

_known: dict[Ids, Names] = {}


def lookup(wanted: Iterable[Ids]) -> Mapping[Ids, Names]:
    """Names for at least the ids in `wanted`; the file is read only when one of them is asked for the first time."""
    missing = [ids for ids in wanted if ids not in _known]
    if missing:
        _known.update(search(_database(), missing))
    return _known


def _database() -> bytes:
    """The database, empty where there is none."""
    for place in PLACES:
        try:
            with open(place, "rb") as file:
                return file.read()
        except OSError:
            continue
    return b""


def search(database: bytes, wanted: Iterable[Ids]) -> dict[Ids, Names]:
    """The names of `wanted` in the text of a database."""
    devices: dict[int, set[int]] = {}
    for vendor, device in wanted:
        devices.setdefault(vendor, set()).add(device)
    text = b"\n" + database
    found: dict[Ids, Names] = {}
    for vendor, its_devices in devices.items():
        start, name = _line(text, b"\n%04x  " % vendor, 0, len(text))
        end = re.compile(rb"\n[^\t#\n]").search(text, start + 1)  # the next vendor
        stop = end.start() if end else len(text)
        for device in its_devices:
            found[vendor, device] = (name, _line(text, b"\n\t%04x  " % device, start, stop)[1] if name else "")
    return found


def _line(text: bytes, key: bytes, start: int, stop: int) -> tuple[int, str]:
    """Where the line that begins with `key` is, and what follows the key in it."""
    at = text.find(key, start, stop)
    if at < 0:
        return start, ""
    end = text.find(b"\n", at + len(key))
    return at, printable(text[at + len(key) : end if end >= 0 else len(text)])
