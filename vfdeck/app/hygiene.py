"""What a process that holds tokens forbids: that its memory is written to disk when it crashes, or read by others of its user."""

from __future__ import annotations

import ctypes
import resource

# include/uapi/linux/prctl.h
_PR_SET_DUMPABLE = 4


def keep_memory_private() -> str:
    """No core dumps of this process, and no look into it for other programs of the same user (prctl(2) PR_SET_DUMPABLE).

    Programs that it starts are dumpable again (execve(2)) and may raise the limit themselves. The files of its directory in /proc
    belong to root from then on, so that another vfdeck of the same user cannot see what this one holds, and says so; of its own
    descriptors and mappings it still sees all (tried as another user than root on 6.1 and 6.18).

    Returns what could not be done, "" where all was.
    """
    undone = []
    try:
        _, hard = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    except (OSError, ValueError):
        undone.append("RLIMIT_CORE")
    try:
        prctl = ctypes.CDLL(None, use_errno=True).prctl
    except (OSError, AttributeError):
        undone.append("PR_SET_DUMPABLE")
    else:
        if prctl(_PR_SET_DUMPABLE, *(ctypes.c_ulong(0),) * 4) != 0:
            undone.append("PR_SET_DUMPABLE")
    return ", ".join(undone)
