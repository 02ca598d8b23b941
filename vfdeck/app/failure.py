"""The one way in which a command gives up: a line for a person and an exit status for a script."""

from __future__ import annotations

import os
import sys

#: Exit statuses as in sysexits.h.
USAGE = os.EX_USAGE  # 64: the command line is wrong
DATA = os.EX_DATAERR  # 65: the input is not what it should be
NO_INPUT = os.EX_NOINPUT  # 66: the input is not there
UNAVAILABLE = os.EX_UNAVAILABLE  # 69: what is needed is not there, or cannot be done now
SOFTWARE = os.EX_SOFTWARE  # 70: a fault of ours
OS = os.EX_OSERR  # 71: the kernel refused
CANNOT_CREATE = os.EX_CANTCREAT  # 73: the output file could not be made
IO = os.EX_IOERR  # 74: the output could not be written
TRY_AGAIN = os.EX_TEMPFAIL  # 75: somebody else is in the way for now
NO_PERMISSION = os.EX_NOPERM  # 77: this user, or this token, may not
#: Not in sysexits.h: a comparison found differences; and the customs of shells for SIGINT and SIGPIPE.
DIFFERENT = 1
INTERRUPTED = 128 + 2
BROKEN_PIPE = 128 + 13


class Failure(Exception):
    """Carries the exit status and one printable line: what was wrong, where, and what was expected."""

    def __init__(self, status: int, line: str) -> None:
        super().__init__(line)
        self.status = status
        self.line = line


def interrupted(what: str) -> Failure:
    """Where a person was asked for something, and pressed Ctrl-C; `what` became of it. The line starts anew, behind the ^C."""
    print(file=sys.stderr, flush=True)
    return Failure(INTERRUPTED, f"interrupted; {what}")


def discard_output() -> None:
    """Nobody reads what is left in the buffers: keep the interpreter from trying to write it when it exits."""
    sink = os.open("/dev/null", os.O_WRONLY)
    os.dup2(sink, 1)
    os.close(sink)
