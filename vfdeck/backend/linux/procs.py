"""Who holds vfio devices: a scan of /proc.

The kernel keeps no list of users. What it shows are the descriptors and mappings of each process, to those who may look. Not listed
anywhere are descriptors in flight over a socket, or held by io_uring or KVM alone.

A whole scan costs some microseconds for every descriptor of the host, almost all of it in the kernel. Nothing in /proc tells that
a process has opened something since the last look (the times of its `fd` directory do not change). So a scan that may be late
looks every time at processes that are new, that hold something or that may not be looked at, and at the others in turns: a share
each time, so that each of them is looked at again within the time allowed.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from vfdeck.backend.kernel import OpenFile, OpenFiles, Process
from vfdeck.backend.linux.holdings import Holdings, asker, holdings
from vfdeck.backend.linux.nodes import Nodes, nodes_of, vfio_present

#: Programs open their devices soon after they were started: for so long, in seconds, a new one is looked at every time.
YOUNG = 60.0

# include/linux/proc_ns.h: inode of the machine's own process namespace
_FIRST_PID_NAMESPACE = "pid:[4026531836]"


@dataclass(slots=True)
class _Known:
    """A process as it was when it was last looked at. `inode` is its directory's: with another one it counts as another process."""

    pid: int
    inode: int
    born: float  # when it was first seen, by the monotonic clock
    looked: float = -math.inf
    held: Holdings = field(default_factory=Holdings)
    process: Process | None = None  # who it is, of holders


class ProcessScan:
    """Looks at the processes of one root again and again. Safe to use from several threads; looks never overlap."""

    def __init__(self, root: str = "/", clock: Callable[[], float] = time.monotonic) -> None:
        self._base = root.rstrip("/")
        self._clock = clock
        self._known: dict[int, _Known] = {}
        self._last: float | None = None  # when the last look began
        self._reader = asker()
        self._lock = threading.Lock()

    def look(self, late: float = 0.0) -> OpenFiles:
        """Who has a group, device, cdev, container or iommufd open, or a device mapped. Never raises. See `Kernel.open_files`.

        `unseen` counts processes that may not be looked at, without the kernel's threads. Where /proc is missing, belongs to a
        container, or hides other people's processes, one more is counted: somebody is there whom nobody can count.
        """
        with self._lock:
            if not vfio_present(self._base):
                return OpenFiles(())
            try:
                pids = [int(name) for name in os.listdir(f"{self._base}/proc") if name.isascii() and name.isdigit()]
            except OSError:
                return OpenFiles((), unseen=1)
            nodes, now = nodes_of(self._base), self._clock()
            self._known = {known.pid: known for known in self._present(sorted(pids), now)}
            for known in self._due(now, late):
                self._look_at(known, nodes, now)
            self._last = now
            unseen = int(_confined(self._base, pids)) + sum(known.held.hidden for known in self._known.values())
            complete = all(known.looked == now for known in self._known.values())
            return OpenFiles(tuple(self._files()), unseen, 0.0 if complete else late)

    def _present(self, pids: list[int], now: float) -> Iterator[_Known]:
        """The processes there are, with what is remembered of them."""
        for pid in pids:
            try:
                inode = os.stat(f"{self._base}/proc/{pid}").st_ino
            except OSError:
                continue
            known = self._known.get(pid)
            if known is None or known.inode != inode:
                known = _Known(pid, inode, -math.inf if self._last is None else now)
            yield known

    def _due(self, now: float, late: float) -> list[_Known]:
        """Whom to look at now: everybody who may have changed unseen, and the share of the others whose turn it is."""
        elapsed = math.inf if self._last is None else now - self._last
        if late <= 0 or elapsed >= late:
            return list(self._known.values())
        due: list[_Known] = []
        others: list[_Known] = []
        for known in self._known.values():
            at_once = known.held.found or known.held.hidden or now - known.born < YOUNG or now - known.looked >= late
            (due if at_once else others).append(known)
        others.sort(key=lambda known: known.looked)
        return due + others[: math.ceil(len(others) * elapsed / late)]

    def _look_at(self, known: _Known, nodes: Nodes, now: float) -> None:
        held = holdings(f"{self._base}/proc/{known.pid}", nodes, self._reader)
        if held.found != known.held.found:
            known.process = None  # a program that has become another one by exec(2) has other files
        known.held, known.looked = held, now
        if held.found and known.process is None:
            known.process = self._who(known)

    def _who(self, known: _Known) -> Process | None:
        from vfdeck.backend.linux.processes import describe

        process = describe(known.pid, self._base or "/")
        if process is None and os.path.exists(f"{self._base}/proc/{known.pid}"):
            return Process(known.pid, "")
        return process

    def _files(self) -> Iterator[OpenFile]:
        """What was found; a process that was gone before it could be named holds nothing any more."""
        own = _own_pid(self._base)
        for known in self._known.values():
            if known.process is not None:
                for found in known.held.found:
                    fds = tuple(sorted(known.held.fds.get(found, ())))
                    by_name = found in known.held.named
                    yield OpenFile(known.process, *found, own=known.pid == own, fds=fds, by_name=by_name)


def open_files(root: str = "/") -> OpenFiles:
    """One complete look at the processes of a root. Never raises."""
    return ProcessScan(root).look()


def _own_pid(base: str) -> int:
    """This program's number in that /proc."""
    try:
        return int(os.readlink(f"{base}/proc/self"))
    except (OSError, ValueError):
        return -1 if base else os.getpid()


def _confined(base: str, pids: list[int]) -> bool:
    """Whether that /proc shows a part of the machine only: process 1 is hidden (hidepid=), or it is a container's."""
    if 1 not in pids:
        return True
    try:
        return os.readlink(f"{base}/proc/self/ns/pid") != _FIRST_PID_NAMESPACE
    except OSError:
        return False
