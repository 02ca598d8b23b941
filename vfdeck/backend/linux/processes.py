"""Who a process is. The only module that imports psutil, and only when somebody is asked for."""

from __future__ import annotations

from dataclasses import dataclass

from vfdeck.backend.text import printable


@dataclass(frozen=True, slots=True)
class Process:
    """A running process: its name, its user ("" where unknown) and when it was started (seconds since the epoch)."""

    pid: int
    name: str
    user: str
    started: float


def describe(pid: int) -> Process | None:
    """The process `pid` of this machine; None if it is gone, hidden, or psutil is not there. Never raises."""
    try:
        import psutil
    except ImportError:
        return None
    try:
        process = psutil.Process(pid)
        return Process(pid, printable(process.name()), printable(process.username()), process.create_time())
    except (psutil.Error, OSError, ValueError, OverflowError):
        return None
