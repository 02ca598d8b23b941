"""Whether a program of this boot lives still: process ids are given anew, so the time when it was started tells."""

from __future__ import annotations

import errno

from vfdeck.backend.kernel import Kernel


class Life:
    """What a kernel tells of programs, and of this one. What cannot be read is None or "", and then nothing is claimed."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self.started = self._started("self")
        try:
            self.space = kernel.link("/proc/self/ns/pid")  # pid:[4026531836]
        except OSError:
            self.space = ""

    def up(self) -> float | None:
        """Seconds since the boot, by the clock that goes on while the host sleeps (proc(5), uptime)."""
        try:
            return float(self._kernel.read("/proc/uptime").split()[0])
        except (OSError, ValueError, IndexError):
            return None

    def lives(self, pid: int | None, started: int | None, space: str) -> bool | None:
        """Whether the program with this id, of this boot and namespace, is the one that was started then; None: can't be told."""
        if pid is None or started is None or not space or space != self.space:
            return None
        try:
            now = _start(self._kernel.read(f"/proc/{pid}/stat"))
        except OSError as error:
            # with hidepid the folders of others are not there either
            return False if error.errno in (errno.ENOENT, errno.ESRCH) and self._sees_all() else None
        return None if now is None else now == (started, True)

    def _sees_all(self) -> bool:
        """Whether the programs of others are in /proc: its first one is root's."""
        try:
            self._kernel.read("/proc/1/stat")
        except OSError:
            return False
        return True

    def _started(self, which: str) -> int | None:
        try:
            found = _start(self._kernel.read(f"/proc/{which}/stat"))
        except OSError:
            return None
        return found[0] if found else None


def _start(stat: bytes) -> tuple[int, bool] | None:
    """When a program was started, clock ticks since the boot, and whether any of its threads lives still (proc(5), stat).

    The name in field 2 may hold anything, up to the last bracket. One that was killed stays with state Z while a thread of its is
    in the kernel: then it is counted with that one.
    """
    fields = stat.rpartition(b")")[2].split()
    if len(fields) < 20 or not fields[17].isdigit() or not fields[19].isdigit():
        return None
    return int(fields[19]), fields[0] not in (b"Z", b"X") or int(fields[17]) > 1
