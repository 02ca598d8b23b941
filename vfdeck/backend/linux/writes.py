"""Writes that are over at once, and writes that may wait in the kernel until another program lets go.

A write(2) that removes a function waits, without a time limit and beyond the reach of signals, until the last user of the
function has closed it (vfio_unregister_group_dev in drivers/vfio). A process that made such a call cannot even exit. So these
writes are made by a small process of their own, which holds none of vfdeck's device files and outlives vfdeck if it must.
"""

from __future__ import annotations

import errno
import os
import select
import subprocess
import sys
import threading
from contextlib import suppress

from vfdeck.backend import turns
from vfdeck.backend.kernel import Blocked

# Runs in an isolated interpreter: takes the data from standard input, makes one write(2) to the inherited descriptor and
# answers with the errno. The kernel log names the waiting task by its comm, so it is given one that says whose it is.
_PROGRAM = """\
import os, sys
try:
    with open("/proc/self/comm", "w") as comm:
        comm.write("vfdeck-write")
except OSError:
    pass
data = sys.stdin.buffer.read()
try:
    os.write(int(sys.argv[1]), data)
    answer = 0
except OSError as error:
    answer = error.errno
try:
    os.write(1, b"%d\\n" % answer)
except OSError:
    pass
os._exit(0)
"""


class Finished:
    """A write that has returned (a `Pending` that waits for nothing)."""

    def __init__(self, path: str, error: OSError | None) -> None:
        self.path = path
        self._error = error

    def wait(self, seconds: float) -> bool:
        """True at once."""
        return True

    def result(self) -> OSError | None:
        """None for success, else the refusal of open(2) or write(2)."""
        return self._error


class ChildWrite:
    """One write(2) of `data` to the open descriptor `fd`, made by a process of its own (a `Pending`).

    The caller keeps `fd` and may close it as soon as the object exists. Nothing is left to do when the object is dropped while
    the write waits: the process goes on alone and ends with its write.

    Raises:
        OSError: the process could not be started.
    """

    def __init__(self, path: str, fd: int, data: bytes) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._over = False
        self._error: OSError | None = None
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _PROGRAM, str(fd), path],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=(fd, *turns.held()),
            start_new_session=True,
            cwd="/",
        )
        assert self._process.stdin is not None
        with suppress(BrokenPipeError), self._process.stdin as stdin:
            stdin.write(data)

    @property
    def pid(self) -> int:
        """The process that writes; the kernel log names it while it waits."""
        return self._process.pid

    def wait(self, seconds: float) -> bool:
        """Wait at most `seconds`; True when the write has returned. Any number of threads may wait."""
        if self._over:
            return True
        if not self._lock.acquire(timeout=min(max(seconds, 0.0), threading.TIMEOUT_MAX)):
            return self._over
        try:
            return self._over or self._collect(seconds)
        finally:
            self._lock.release()

    def result(self) -> OSError | None:
        """None for success, else the refusal. EINTR: the process was killed before it could answer.

        Raises:
            Blocked: the write has not returned.
        """
        if not self.wait(0):
            raise Blocked(f"the write to {self.path} has not returned (process {self.pid})")
        return self._error

    def _collect(self, seconds: float) -> bool:
        """Wait for the answer and take it; the lock is held."""
        answers = self._process.stdout
        assert answers is not None
        poll = select.poll()
        poll.register(answers.fileno(), select.POLLIN)
        if not poll.poll(min(max(seconds, 0.0), 1e6) * 1000):
            return False
        answer = answers.read(32)
        answers.close()
        self._process.wait()
        number = int(answer) if answer else errno.EINTR
        if number:
            self._error = OSError(number, os.strerror(number), self.path)
        self._over = True
        return True
