"""Programs that are run while the terminal belongs to a dashboard: they get none, not for ever, and may be given up."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import threading
import time
from contextlib import suppress
from typing import IO

from vfdeck.app import failure
from vfdeck.app.argv import without_tokens
from vfdeck.app.failure import Failure
from vfdeck.backend.text import printable

#: How long such a program may take, and how long after it was asked to end, seconds.
LIMIT, GRACE = 60.0, 1.0
#: How often it is looked whether it has ended, seconds.
_OFTEN = 0.05
#: Bytes kept of what it printed, and characters shown of its last line.
_KEPT, _SHOWN = 4096, 160
#: Bytes that a pipe holds at most.
_PIPE = 1 << 16


class Unattended:
    """Runs one program at a time, on the caller's thread; `stop`, from any thread, ends it.

    It has no terminal: neither ours, nor a way to ask on it for a passphrase. What it prints is kept to tell why it failed.
    """

    def __init__(self, limit: float = LIMIT) -> None:
        self._limit = limit
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Give it up, and whatever is run later."""
        self._stopped.set()

    @property
    def is_stopped(self) -> bool:
        """Whether it was given up."""
        return self._stopped.is_set()

    def run(self, arguments: list[str], stdin: int) -> tuple[int, str]:
        """The status it ended with, and the last line it printed, fit to be shown. Raises OSError where it cannot be run, Failure
        where it was given up or took too long.
        """
        without = {name: value for name, value in os.environ.items() if name != "GPG_TTY"}  # where pinentry would ask
        with subprocess.Popen(
            arguments,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # no controlling terminal, and a process group to be ended as a whole
            env={**without, "TERM": "dumb"},
            bufsize=0,
        ) as process:
            assert process.stdout is not None
            try:
                said = self._follow(arguments, process, process.stdout)
            except BaseException:
                _end(process)
                raise
        return process.returncode, _last_line(said)

    def _follow(self, arguments: list[str], process: subprocess.Popen[bytes], out: IO[bytes]) -> bytes:
        """What it printed last, once it has ended. What it started may have its output still and goes on."""
        name, until, said, is_open = printable(arguments[0]), time.monotonic() + self._limit, b"", True
        while True:
            over = process.poll() is not None
            if is_open and select.select([out], [], [], 0 if over else _OFTEN)[0]:
                more = os.read(out.fileno(), _PIPE)
                is_open, said = bool(more), (said + more)[-_KEPT:]
            elif not is_open and not over:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_OFTEN)
            if over:
                return said
            if self.is_stopped:
                raise Failure(failure.INTERRUPTED, f"{name} was given up and ended; it may have the token all the same")
            if time.monotonic() > until:
                raise Failure(failure.UNAVAILABLE, f"{name} did not end within {self._limit:g} s and was ended")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a program and what it has started, which may not listen to the first signal although the program does.

    The program is not reaped in between: until then nobody else can have the number of its group.
    """
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    until = time.monotonic() + GRACE
    while time.monotonic() < until and os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        time.sleep(_OFTEN)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):
        process.wait(GRACE)


def _last_line(said: bytes) -> str:
    """The last line that says something, printable and without what may be a token."""
    lines = [line for line in said.decode("utf-8", "surrogateescape").splitlines() if line.strip()]
    return printable(without_tokens(lines[-1].strip()), _SHOWN) if lines else ""
