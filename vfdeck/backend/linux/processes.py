"""Who a process is. The only module that imports psutil, and only when somebody is asked for: a holder, never every process."""

from __future__ import annotations

import os

from vfdeck.backend.kernel import Process
from vfdeck.backend.workload import process

#: Bytes that are read of a command line or of a list of control groups.
_READ = 1 << 17


def describe(pid: int, root: str = "/") -> Process | None:
    """The process `pid`; None if it is gone or hidden. Never raises.

    Of a tree that is not this machine's the files are read themselves: user ids have no names there.
    """
    base = root.rstrip("/")
    place = f"{base}/proc/{pid}"
    try:
        if pid < 0:
            return None
        cgroup = _text(f"{place}/cgroup")
        return _of_files(pid, place, base, cgroup) if base else _of_psutil(pid, place, cgroup)
    except (OSError, ValueError, OverflowError):
        return None


def _of_psutil(pid: int, place: str, cgroup: str) -> Process | None:
    try:
        import psutil
    except ImportError:
        return _of_files(pid, place, "", cgroup)
    try:
        found = psutil.Process(pid)
        with found.oneshot():
            arguments = [] if found.status() == psutil.STATUS_ZOMBIE else found.cmdline()
            who, started = (found.name(), found.username()), found.create_time()
            return process(pid, *who, started, arguments, cgroup, _variables(place), _ticks(place))
    except psutil.AccessDenied:  # a part of it is hidden
        return _of_files(pid, place, "", cgroup)
    except psutil.Error:
        return None


def _of_files(pid: int, place: str, base: str, cgroup: str) -> Process:
    arguments = _text(f"{place}/cmdline").split("\0")
    name = _bytes(f"{place}/comm").decode("utf-8", "surrogateescape")
    user, ticks = str(os.stat(place).st_uid), _ticks(place)
    return process(pid, name, user, _started(ticks, base), arguments, cgroup, _variables(place), ticks)


def _variables(place: str) -> list[str]:
    """The environment that it was started with; empty where it may not be read."""
    return _text(f"{place}/environ").split("\0")


def _ticks(place: str) -> int | None:
    """When a process was started, clock ticks since the boot (proc_pid_stat(5), starttime); None where that is not told."""
    try:
        return int(_bytes(f"{place}/stat").rpartition(b")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None


def _started(ticks: int | None, base: str) -> float | None:
    """That moment in seconds since the epoch; None where it or the time of the boot is not told."""
    if ticks is None:
        return None
    try:
        boot = next(int(line.split()[1]) for line in _bytes(f"{base}/proc/stat").splitlines() if line.startswith(b"btime "))
    except (OSError, ValueError, IndexError, StopIteration):
        return None
    return boot + ticks / os.sysconf("SC_CLK_TCK")


def _text(path: str) -> str:
    """A file that may be hidden or gone: "" then."""
    try:
        return _bytes(path).decode("utf-8", "surrogateescape")
    except OSError:
        return ""


def _bytes(path: str) -> bytes:
    """The beginning of a file. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        parts, room = [], _READ
        while room > 0 and (part := os.read(fd, room)):
            parts.append(part)
            room -= len(part)
        return b"".join(parts)
    finally:
        os.close(fd)
