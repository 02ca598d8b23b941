"""Which mounts of a process may be asked what their files are, and which can have no nodes that work.

stat(2) of a file on a dead server, or of a FUSE program that has stopped, waits for ever; also where the name is a link in
`/proc/PID/fd` (fs/namei.c complete_walk asks the file system again). `fdinfo` and mountinfo tell where a file is without asking it.

A name alone proves nothing: everybody may make a file `/dev/vfio/4` on a mount of their own.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from vfdeck.backend.linux.nodes import slurp

#: File systems that answer without asking another machine or a program. An overlay asks those below it, of which nothing is told.
_LOCAL = frozenset(b"bcachefs btrfs devtmpfs erofs ext2 ext3 ext4 f2fs ramfs rootfs squashfs tmpfs xfs zfs".split())
#: Written by anybody, and without nodes that work for those who may mount it unasked (fs/super.c alloc_super: SB_I_NODEV).
_FUSE = (b"fuse", b"fuseblk")


@dataclass(slots=True)
class Mounts:
    """The mounts that one process sees; read when first asked for, and once. Numbers stay text: nothing bounds their length.

    An answer is True: local, and nodes work there; False: nodes do not work there (`nodev`, FUSE); None: not known.
    """

    proc: str
    _ids: dict[bytes, bool | None] | None = None
    _devices: dict[bytes, bool | None] = field(default_factory=dict)  # by the device number of the file system
    _local: list[bytes] = field(default_factory=list)  # mounts of file systems that answer by themselves
    _first: Mounts | None = None

    def nodes(self, mount: bytes) -> bool | None:
        """Whether files on the mount of this id may be nodes that work; only where True may they be asked.

        A descriptor that came from another mount namespace is on a mount that is not listed for this process. Numbers of mounts
        are the machine's (fs/namespace.c mnt_alloc_id): the list of process 1 is asked too.
        """
        known = self._read()
        if mount in known or not mount:
            return known.get(mount)
        return self._of_first()._read().get(mount)

    def local(self) -> list[bytes]:
        """The numbers of the mounts, of this process and of process 1, on which any file may be asked what it is."""
        self._read()
        first = self._of_first()
        first._read()
        return [*self._local, *first._local]

    def _of_first(self) -> Mounts:
        if self._first is None:
            self._first = Mounts(f"{os.path.dirname(self.proc)}/1")
        return self._first

    def nodes_on(self, device: str) -> bool | None:
        """The same of the file system with this device number (`0:5`), whatever its mounts forbid."""
        self._read()
        return self._devices.get(device.encode("ascii", "replace"))

    def _read(self) -> dict[bytes, bool | None]:
        """proc_pid_mountinfo(5): id, parent, device number, root, mount point, options, optional fields, `-`, type."""
        if self._ids is not None:
            return self._ids
        self._ids = {}
        try:
            lines = slurp(f"{self.proc}/mountinfo").split(b"\n")
        except OSError:
            return self._ids
        for line in lines:
            before, _, after = line.partition(b" - ")
            fields, kind = before.split(b" "), after.partition(b" ")[0]
            if len(fields) > 5:
                of_type = False if kind.partition(b".")[0] in _FUSE else True if kind in _LOCAL else None
                self._ids[fields[0]] = False if b"nodev" in fields[5].split(b",") else of_type
                self._devices[fields[2]] = of_type
                if of_type:
                    self._local.append(fields[0])
        return self._ids
