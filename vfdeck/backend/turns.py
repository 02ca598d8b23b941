"""One vfdeck at a time changes a function: a lock file for each, which goes with the process that holds it.

A write that waits in the kernel goes on without the vfdeck that began it (`linux/writes.py`). The process that makes it inherits
the lock, so that nobody opens a PF while its `sriov_numvfs` is being written (some kernels never come back from that).
"""

from __future__ import annotations

import fcntl
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

from vfdeck.backend.text import printable

#: How long to wait for another vfdeck, seconds; most changes are over by then.
PATIENCE = 2.0
_LOOK_EVERY = 0.05

_mine = threading.local()  # `fds`: the descriptors of the locks that the thread has


class Taken(Exception):
    """Somebody else changes the function, and did not finish in time; says who."""


def default_folder(environment: Mapping[str, str], euid: int) -> str | None:
    """`/run/vfdeck` of root; else that of the user's own runtime directory, or None: without one there is no lock."""
    if euid == 0:
        return "/run/vfdeck"
    runtime = environment.get("XDG_RUNTIME_DIR", "")
    return f"{runtime}/vfdeck" if os.path.isabs(runtime) else None


class Turns:
    """The locks of one machine, in a folder for its owner alone. Any thread may ask; one thread has a function's at a time."""

    def __init__(self, folder: str, wait: Callable[[float], None] = time.sleep) -> None:
        self._folder = folder
        self._wait = wait

    @contextmanager
    def turn(self, bdf: str, user: str) -> Iterator[None]:
        """Be the only one who changes `bdf`. Where no lock can be made (a read-only /run), nobody is kept from anything.

        Raises:
            Taken: somebody else has the lock for longer than `PATIENCE`.
        """
        fd = self._taken(bdf)
        if fd is None:
            yield
            return
        try:
            with suppress(OSError):
                os.ftruncate(fd, 0)
                os.pwrite(fd, f"{os.getpid()} {printable(user, 64)}\n".encode(), 0)
            _mine.fds = (*held(), fd)
            yield
        finally:
            _mine.fds = tuple(one for one in held() if one != fd)
            os.close(fd)
            self._forget(bdf)

    def _forget(self, bdf: str) -> None:
        """Take the name from a lock that nobody has: a write that waits still has it, and the next one must not be called by it."""
        with suppress(OSError):
            fd = self._open(bdf)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.ftruncate(fd, 0)
            finally:
                os.close(fd)

    def _taken(self, bdf: str) -> int | None:
        """The descriptor of the lock; None where none can be had (flock(2): ENOLCK). Raises Taken."""
        fd = -1
        try:
            fd = self._open(bdf)
            self._take(fd, bdf)
        except OSError:
            if fd >= 0:
                os.close(fd)
            return None
        except BaseException:
            os.close(fd)
            raise
        return fd

    def _take(self, fd: int, bdf: str) -> None:
        until = time.monotonic() + PATIENCE
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() >= until:
                    raise Taken(_who(fd, bdf)) from None
            self._wait(_LOOK_EVERY)

    def _open(self, bdf: str) -> int:
        """The lock file, of a folder that nobody else may write to."""
        with suppress(FileExistsError):
            os.mkdir(self._folder, 0o700)
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            found = os.fstat(folder)
            if found.st_uid != os.geteuid() or found.st_mode & 0o022:
                raise PermissionError
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
            fd = os.open(f"{bdf}.lock", flags, 0o600, dir_fd=folder)
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                os.close(fd)
                raise PermissionError
            return fd
        finally:
            os.close(folder)


def _who(fd: int, bdf: str) -> str:
    """Who has the lock, as they wrote it down."""
    pid, _, user = os.pread(fd, 256, 0).decode("utf-8", "replace").strip().partition(" ")
    if not pid.isascii() or not pid.isdecimal():
        return f"another vfdeck changes {bdf}"
    if int(pid) == os.getpid():
        return f"a change of {bdf} that this vfdeck began is not over"
    by = f"{f'of {printable(user, 64)} ' if user else ''}(pid {pid})"
    if not os.path.exists(f"/proc/{pid}"):
        return f"a write to {bdf} that a vfdeck {by} began, which has ended, waits in the kernel still"
    return f"another vfdeck {by} changes {bdf}"


def held() -> tuple[int, ...]:
    """The descriptors of the locks that the calling thread has: for a process that it starts to write."""
    found: tuple[int, ...] = getattr(_mine, "fds", ())
    return found
