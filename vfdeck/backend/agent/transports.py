"""How an agent is reached: a child process, the same with sudo, or ssh. Each gives two file descriptors that speak Varlink.

The agent is sent over the connection (`push.py`). What ssh, sudo and the host print is foreign text.
"""

from __future__ import annotations

import enum
import errno
import os
import re
import secrets
import select
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

from vfdeck.backend.agent import push
from vfdeck.backend.agent.connection import ready
from vfdeck.backend.text import printable

#: What is given to the system's ssh; all else is up to the user's own configuration.
SSH_OPTIONS = (
    *(
        "-T",
        "-a",
        "-x",
        "-o",
        "BatchMode=yes",
        "-o",
        "ConnectTimeout=10",
        "-o",
        "ServerAliveInterval=5",
        "-o",
        "ServerAliveCountMax=3",
    ),
    *("-o", "ControlMaster=no", "-o", "ClearAllForwardings=yes", "-o", "EscapeChar=none", "-o", "LogLevel=ERROR"),
    *("-o", "RemoteCommand=none"),
)
#: A host as ssh takes it: an alias, a name or an address, with or without a user. Nothing that a shell or ssh would take for more.
_HOST = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}@)?[A-Za-z0-9_:][A-Za-z0-9_.:-]{0,252}")

#: Seconds until the agent's Python must have answered, and bytes that a login shell may print before.
PATIENCE, _CHATTER = 30.0, 1 << 16
#: Seconds for a person to type a password; sudo gives up after 5 minutes by itself.
ASKED = 600.0
#: Bytes of the error output that are kept: the last ones.
_KEPT = 1 << 12


class Fault(enum.Enum):
    """Why there is no agent. What is final is not tried again before somebody asks for it."""

    LOGIN = "the login was refused"
    HOST_KEY = "the host's key is not the one that is known"
    SUDO = "sudo refused it"
    NO_SUDO = "there is no sudo"
    NO_PYTHON = "there is no Python 3.9 or newer"
    PROTOCOL = "what answers is no agent of vfdeck"
    UNREACHABLE = "it can't be reached"

    @property
    def final(self) -> bool:
        """Whether trying again would be of no use, or do harm: servers lock out whoever fails to log in again and again."""
        return self is not Fault.UNREACHABLE


class Unreached(Exception):
    """No agent was reached: the kind of fault, and what was said of it."""

    def __init__(self, fault: Fault, said: str = "") -> None:
        says_it = said and fault is Fault.UNREACHABLE  # what ssh says of that needs no introduction
        super().__init__(said if says_it else f"{fault.value}: {said}" if said else fault.value)
        self.fault = fault


def is_host_name(name: str) -> bool:
    """Whether ssh may be given this as a host."""
    return _HOST.fullmatch(name) is not None


class Way(Protocol):
    """How an agent is started."""

    #: whether it is sent there; else the one that is installed runs
    pushed: bool

    def command(self, packed: push.Packed, marker: str) -> list[str]:
        """The command that starts it, with its streams as the connection."""


class Installed:
    """An agent on this machine, as root, by the one command that the example rule for sudo allows (app/units/vfdeck.sudoers)."""

    pushed = False

    def command(self, packed: push.Packed, marker: str) -> list[str]:
        """The command that starts it."""
        return ["sudo", "-n", "--", sys.executable, "-I", "-m", "vfdeck", "agent"]


class Local:
    """An agent on this machine: a child process, as root by sudo where wanted, which `asks` for a password or must need none."""

    pushed = True

    def __init__(self, sudo: bool = False, asks: bool = False) -> None:
        self.as_root = sudo
        self._sudo = [] if not sudo else ["sudo", "--"] if asks else ["sudo", "-n", "--"]

    def command(self, packed: push.Packed, marker: str) -> list[str]:
        """The command that starts it."""
        return [*self._sudo, *push.boot(sys.executable, packed, marker)]


class Ssh:
    """An agent on another machine. Raises ValueError for what is no host name."""

    pushed = True

    def __init__(self, host: str, sudo: bool = False, program: str = "ssh") -> None:
        if not is_host_name(host):
            raise ValueError(f"{printable(host)}: expected a host as ssh takes it, USER@NAME or NAME")
        self._host, self._sudo, self._program = host, sudo, program

    def command(self, packed: push.Packed, marker: str) -> list[str]:
        """The command that starts it."""
        remote = push.command(packed, marker, "sudo -n -- " if self._sudo else "")
        return [self._program, *SSH_OPTIONS, "--", self._host, remote]


class Link:
    """A process that leads to a running agent. `incoming` and `outgoing` are its ends of the connection."""

    def __init__(self, way: Way, packed: push.Packed, patience: float = PATIENCE, *, terminal: bool = False) -> None:
        """Start it and wait until its Python runs what was sent, if it is; `terminal`: it may ask there. Raises Unreached."""
        marker = secrets.token_hex(16)
        self._said = bytearray()
        try:
            self._process = subprocess.Popen(
                way.command(packed, marker),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=not terminal,  # Ctrl-C there is not meant for it
            )
        except OSError as error:
            missing = error.filename == "sudo" and error.errno == errno.ENOENT
            said = f"{printable(str(error.filename))}: {error.strerror}" if error.filename else str(error.strerror)
            raise Unreached(Fault.NO_SUDO if missing else Fault.UNREACHABLE, said) from None
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self.outgoing, self.incoming, self._errors = process.stdin.fileno(), process.stdout.fileno(), process.stderr.fileno()
        self._listener = threading.Thread(target=self._listen, name="agent's errors", daemon=True)
        self._listener.start()
        try:
            if way.pushed:
                self._start(marker.encode(), packed.data, time.monotonic() + patience)
            os.set_blocking(self.outgoing, False)
        except Unreached:
            self.close()
            raise

    def _start(self, marker: bytes, data: bytes, deadline: float) -> None:
        line = self._line_with(marker, deadline)
        if line != marker:
            raise Unreached(Fault.NO_PYTHON)
        os.set_blocking(self.outgoing, False)
        rest = memoryview(data)
        while rest:
            if not ready(self.outgoing, select.POLLOUT, deadline):
                raise Unreached(Fault.UNREACHABLE, "it takes nothing any more")
            try:
                rest = rest[os.write(self.outgoing, rest) :]
            except BlockingIOError:
                continue
            except OSError:
                raise self.why() from None

    def _line_with(self, marker: bytes, deadline: float) -> bytes:
        """The line from the marker on; other text may come before it. A byte at a time: what comes after is not ours."""
        seen = bytearray()
        while len(seen) < _CHATTER:
            if not ready(self.incoming, select.POLLIN, deadline):
                raise Unreached(Fault.UNREACHABLE, "nothing answers")
            byte = os.read(self.incoming, 1)
            if not byte:
                raise self.why()
            if byte != b"\n":
                seen += byte
                continue
            begin = seen.rfind(marker)
            if begin >= 0:
                return bytes(seen[begin:])
        raise Unreached(Fault.PROTOCOL, f"it prints more than {_CHATTER} bytes")

    def why(self) -> Unreached:
        """Why it ended, by its exit status and what it said; waits a moment for both."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(2.0)
        self._listener.join(0.5)
        lines = bytes(self._said).decode("utf-8", "replace").strip().splitlines()
        fault, line = classify(self._process.returncode, lines)
        return Unreached(fault, printable(line))

    def _listen(self) -> None:
        with suppress(OSError):
            while data := os.read(self._errors, 4096):
                self._said = (self._said + data)[-_KEPT:]

    def close(self) -> None:
        """End it. Never waits: the agent goes when its input ends, and the process is reaped on a thread.

        The number of its input stays taken, by the null device: a thread that is still writing there writes to nobody else.
        """
        process = self._process
        with suppress(OSError):  # no more descriptors: then its input ends with the process that was told to
            null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
            os.dup2(null, self.outgoing, inheritable=False)
            os.close(null)
        with suppress(OSError):
            process.terminate()
        threading.Thread(target=_reap, args=(process,), name="agent's end", daemon=True).start()


def _reap(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(2.0)
    except subprocess.TimeoutExpired:
        with suppress(OSError):  # sudo is not ours to kill; it ends with the agent, and that with its input
            process.kill()
        process.wait()  # its output is closed with the last thread that reads it


# By whom it is said: ssh ends with 255, and nobody else is asked for a login. What a login shell prints is not meant.
_SAID_BY_SSH = (
    (Fault.HOST_KEY, ("host key verification failed", "remote host identification has changed", "host key is known for")),
    (Fault.LOGIN, ("permission denied", "too many authentication failures", "no supported authentication methods")),
)
_SAID_BY_SUDO = (
    (Fault.NO_SUDO, ("sudo: not found", "sudo: command not found", "command not found: sudo", "unknown command: sudo")),
    (
        Fault.SUDO,
        (
            "a password is required",
            "incorrect password attempt",
            "a terminal is required",
            "is not in the sudoers file",
            "not allowed to execute",
        ),
    ),
)


def classify(status: int | None, lines: Sequence[str]) -> tuple[Fault, str]:
    """What a process that ended before there was an agent means, by its exit status and what it said; and the line that tells it.

    Behind a host that is gone through, the last line is of the outer ssh, which knows nothing of the inner one's reason.
    """
    for fault, signs in _SAID_BY_SSH if status in (255, None) else _SAID_BY_SUDO:
        for line in lines:
            if any(sign in line.lower() for sign in signs):
                return fault, line
    last = lines[-1] if lines else ""
    if status in (126, 127):
        return Fault.NO_PYTHON, last
    return Fault.UNREACHABLE if status in (255, None) or (status or 0) < 0 else Fault.PROTOCOL, last
