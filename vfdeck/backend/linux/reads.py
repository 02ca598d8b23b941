"""Questions that may wait in the kernel: for as long as another program's write waits, or for a server that is gone.

Some files of a PCI function are shown under the device's lock, and whoever removes VFs or unbinds a driver holds that lock until
the last user has let go. Seen on 6.1.192: while a write to `sriov_numvfs` waits, reading `uevent` and `driver_override` of the PF
and of the VF that is going waits too, and not even SIGKILL ends it. 6.12.117 and 7.3.4 wait for `sriov_numvfs` alone. Which
kernels take the lock where (uevent_show, driver_override_show, sriov_numvfs_show) depends on backports, so it isn't guessed.

The files of other programs may be on a file system that does not answer any more (see `mounts.py`), and whose they are may change
while somebody asks.

Such questions are put by a process of their own, which is given up when it does not answer in time.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import sys
import threading
import weakref
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import subprocess

#: Seconds that a read may take. Turning VFs on or off holds the lock for a second or two even when nobody is in the way.
PATIENCE = 0.25
# Seconds that the process may take to start.
_START = 10.0
# Reads given up that have not returned; beyond this number no more are begun.
_MOST_STUCK = 16
_LONGEST = 65536
_ERRNO_BYTES = 4

# Takes one path a message on a seqpacket socket, answers with four bytes of errno and the content, ends with the socket. After NUL,
# the numbers of mounts and another NUL stands the path of a file that is not read: the answer is its mode and device number, if
# it is on one of these mounts. What was found at the path is kept by O_PATH meanwhile, so that the answer is about that file.
_PROGRAM = """\
import os
try:
    with open("/proc/self/comm", "w") as comm:
        comm.write("vfdeck-read")
except OSError:
    pass
try:
    os.write(0, b"ready")
    while path := os.read(0, 65536):
        number, data = 0, b""
        try:
            if path[:1] == b"\\0":
                mounts, _, path = path[1:].partition(b"\\0")
                fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
                try:
                    with open(f"/proc/self/fdinfo/{fd}", "rb") as info:
                        on = [line.split()[1] for line in info if line.startswith(b"mnt_id:")]
                    if not on or on[0] not in mounts.split(b","):
                        raise OSError(116, "")  # ESTALE
                    found = os.fstat(fd)
                    data = b"%d %d" % (found.st_mode, found.st_rdev)
                finally:
                    os.close(fd)
                os.write(0, number.to_bytes(4, "little") + data)
                continue
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
            try:
                data = os.read(fd, 65536)
            finally:
                os.close(fd)
        except OSError as error:
            number = error.errno
        os.write(0, number.to_bytes(4, "little") + data)
except OSError:
    pass
os._exit(0)
"""


@dataclass(slots=True)
class _Helper:
    """A process that reads, and our end of its socket."""

    process: subprocess.Popen[bytes]
    socket: socket.socket

    def answers(self, seconds: float) -> bool:
        """Whether it says something (or has ended) within `seconds`."""
        poll = select.poll()
        poll.register(self.socket.fileno(), select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def stop(self) -> None:
        """Let it end, and take note of its end if that is soon."""
        import subprocess

        self.socket.close()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(0.5)


class Node(NamedTuple):
    """What kind of file it is, and the device's number, as stat(2) tells."""

    st_mode: int
    st_rdev: int


class GuardedReader:
    """Reads single attributes, and asks what files are, without ever waiting for long. For any thread; one asks at a time."""

    def __init__(self, patience: float = PATIENCE, why: str = "somebody holds the device's lock in the kernel") -> None:
        self._patience = patience
        self._why = why
        self._lock = threading.Lock()
        self._idle: list[_Helper] = []  # the one that is asked, once it was started
        self._stuck: dict[str, _Helper] = {}  # by path: what shares a lock differs by kernel
        weakref.finalize(self, _dismiss, self._idle, self._stuck).atexit = False  # at exit the sockets close anyway

    def read(self, path: str) -> bytes:
        """The content of a file of at most a page.

        Raises:
            TimeoutError: (ETIMEDOUT) the read has not returned, or an earlier one of the same
                file has not.
            OSError: what the kernel answered, or that no process could be started.
        """
        return self._ask(path, os.fsencode(path))

    def node(self, path: str, mounts: Iterable[bytes]) -> Node:
        """What the file is that a link in /proc leads to, provided that it is on one of these mounts (numbers as in mountinfo).

        Raises:
            TimeoutError: (ETIMEDOUT) as `read`.
            OSError: as `read`; ESTALE where the file is on another mount, which is not asked; E2BIG for too many mounts.
        """
        message = b"\0" + b",".join(mounts) + b"\0" + os.fsencode(path)
        if len(message) > _LONGEST:
            raise OSError(errno.E2BIG, os.strerror(errno.E2BIG), path)
        mode, rdev = self._ask(path, message).split()
        return Node(int(mode), int(rdev))

    def _ask(self, path: str, message: bytes) -> bytes:
        with self._lock:
            if path in self._stuck and not self._freed(path):
                raise self._timed_out(path)
            helper = self._idle[0] if self._idle else self._start()
            try:
                helper.socket.send(message)
                if not helper.answers(self._patience):
                    self._idle.clear()
                    self._stuck[path] = helper
                    raise self._timed_out(path)
                answer = helper.socket.recv(_LONGEST + _ERRNO_BYTES)
            except (BrokenPipeError, ConnectionError):
                answer = b""
            if not answer:  # somebody has killed it
                self._idle.clear()
                helper.stop()
                raise OSError(errno.EINTR, os.strerror(errno.EINTR), path)
        number = int.from_bytes(answer[:_ERRNO_BYTES], "little")
        if number:
            raise OSError(number, os.strerror(number), path)
        return answer[_ERRNO_BYTES:]

    def _timed_out(self, path: str) -> TimeoutError:
        return TimeoutError(errno.ETIMEDOUT, f"not read: {self._why}", path)

    def _freed(self, path: str) -> bool:
        """Whether the read that was stuck on a file has returned meanwhile; its process is then done with."""
        helper = self._stuck[path]
        if not helper.answers(0):
            return False
        helper.stop()
        del self._stuck[path]
        return True

    def _start(self) -> _Helper:
        """Start a process that reads. The lock is held."""
        for path in list(self._stuck):
            self._freed(path)
        if len(self._stuck) >= _MOST_STUCK:
            raise OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
        import subprocess  # on demand: costly, and most looks have nothing to ask

        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                process = subprocess.Popen(
                    [sys.executable, "-I", "-S", "-c", _PROGRAM],
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                    cwd="/",
                )
            except OSError:
                ours.close()
                raise
        helper = _Helper(process, ours)
        if not helper.answers(_START) or not ours.recv(16):
            helper.stop()
            raise OSError(errno.ENOEXEC, "the reading process did not start", sys.executable)
        self._idle.append(helper)
        return helper


def _dismiss(idle: list[_Helper], stuck: dict[str, _Helper]) -> None:
    """End what is idle; leave what is stuck to itself: it ends when its read has returned."""
    for helper in idle:
        helper.stop()
    for helper in stuck.values():
        helper.socket.close()
