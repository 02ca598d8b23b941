"""The files that a process has mapped shared: from 6.11 by asking for them (PROCMAP_QUERY), before by reading all of its maps.

vfio allows shared mappings only (vfio_pci_core_mmap), and few programs have many of these, while their maps may have a million
lines. Asking costs a tenth of reading for an ordinary program, and several times as much for one with very many shared mappings:
then they are read after all. Anybody may have as many as the machine allows, so that reading has an end, too.
"""

from __future__ import annotations

import array
import errno
import fcntl
import os
import struct
from collections.abc import Iterator
from typing import NamedTuple

# include/uapi/linux/fs.h: PROCMAP_QUERY, _IOWR('f', 17, struct procmap_query), and its flags
_QUERY = 0xC0686611
_STRUCT = struct.Struct("=9Q4I2Q")
_SHARED, _COVERING_OR_NEXT, _FILE_BACKED = 0x08, 0x10, 0x20
_NAME_SIZE = 4096  # PATH_MAX

_CHUNK = 1 << 18
#: So many mappings of a process are asked for, and so many bytes of its maps are read, at most.
_MOST_ASKED = 1024
_MOST_READ = 32 << 20


class Mapped(NamedTuple):
    """A mapping: its addresses as in the names of map_files, the offset in the file, its file system's device number, its text."""

    addresses: str
    offset: int
    device: str  # as in mountinfo: "0:5"
    text: str


def mapped_files(proc: str, word: str) -> Iterator[Mapped]:
    """The shared mappings of files whose text holds `word`.

    Raises OSError where the process may not be looked at, or is gone; E2BIG after those that were found, where there are too many.
    """
    fd = os.open(f"{proc}/maps", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        found = _asked(fd)
        yield from (mapped for mapped in (_read(fd, word) if found is None else found) if word in mapped.text)
    finally:
        os.close(fd)


def _asked(fd: int) -> list[Mapped] | None:
    """All shared mappings of files; None where the kernel can't be asked (ENOTTY), has not told all, or reading costs less."""
    name = array.array("B", bytes(_NAME_SIZE))
    flags, place, end = _SHARED | _COVERING_OR_NEXT | _FILE_BACKED, name.buffer_info()[0], 0
    found: list[Mapped] = []
    while len(found) < _MOST_ASKED:
        query = bytearray(_STRUCT.pack(_STRUCT.size, flags, end, 0, 0, 0, 0, 0, 0, 0, 0, _NAME_SIZE, 0, place, 0))
        try:
            fcntl.ioctl(fd, _QUERY, query)
        except OSError as error:
            return found if error.errno == errno.ENOENT else None  # ENOENT: there is no further one
        _, _, _, start, end, _, _, offset, _, major, minor, length, _, _, _ = _STRUCT.unpack(query)
        text = name[: max(0, length - 1)].tobytes().decode("utf-8", "surrogateescape")  # the length counts the NUL
        found.append(Mapped(f"{start:x}-{end:x}", offset, f"{major}:{minor}", text))
    return None


def _read(fd: int, word: str) -> Iterator[Mapped]:
    """The same from the text of maps (proc_pid_maps(5)); lines that make no sense are left out."""
    for line in _lines_with(fd, word.encode()):
        fields = line.split(None, 5)
        if len(fields) < 6 or fields[1][3:4] != b"s":
            continue
        try:
            offset = int(fields[2], 16)
            major, minor = (int(number, 16) for number in fields[3].split(b":"))
        except ValueError:
            continue
        addresses, text = fields[0].decode("ascii", "replace"), fields[5].decode("utf-8", "surrogateescape")
        yield Mapped(addresses, offset, f"{major}:{minor}", text)


def _lines_with(fd: int, word: bytes) -> Iterator[bytes]:
    """The lines of a file that hold `word`, without keeping more of it than a part. Raises OSError: E2BIG where it is too long."""
    rest, length = b"", 0
    while part := os.read(fd, _CHUNK):
        length += len(part)
        if length > _MOST_READ:
            raise OSError(errno.E2BIG, os.strerror(errno.E2BIG))
        part = rest + part
        end = part.rfind(b"\n") + 1
        rest = part[end:]
        if word in part:
            yield from (line for line in part[:end].split(b"\n") if word in line)
    if word in rest:
        yield rest
