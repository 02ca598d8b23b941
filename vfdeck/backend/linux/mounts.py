"""Which mounts of a process may be asked what their files are.

stat(2) of a file on a dead server, or of a FUSE program that has stopped, waits for ever; also where the name is a link in
`/proc/PID/fd` (fs/namei.c complete_walk asks the file system again). `fdinfo` and mountinfo tell where a file is without asking it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from vfdeck.backend.linux.nodes import slurp

#: File systems that answer without asking another machine or a program. An overlay asks those below it, of which nothing is told.
_LOCAL = frozenset(b"bcachefs btrfs devtmpfs erofs ext2 ext3 ext4 f2fs ramfs rootfs squashfs tmpfs xfs zfs".split())


@dataclass(slots=True)
class Mounts:
    """The mounts that one process sees; read when first asked for, and once. Numbers stay text: nothing bounds their length."""

    proc: str
    _ids: dict[bytes, bool] | None = None  # whether one is local and may hold nodes
    _devices: dict[bytes, bool] = field(default_factory=dict)  # whether a file system is local, by its device number

    def may_hold_nodes(self, mount: bytes) -> bool:
        """Whether the mount of this id is local and without `nodev`. One that is not listed is not asked."""
        return self._read().get(mount, False)

    def is_local(self, device: str) -> bool:
        """Whether the file system of this device number (`0:5`) is local."""
        self._read()
        return self._devices.get(device.encode("ascii", "replace"), False)

    def _read(self) -> dict[bytes, bool]:
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
            fields, local = before.split(b" "), after.partition(b" ")[0] in _LOCAL
            if len(fields) > 5:
                self._ids[fields[0]] = local and b"nodev" not in fields[5].split(b",")
                self._devices[fields[2]] = local
        return self._ids
