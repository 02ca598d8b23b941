"""What a host remembers from run to run: the token journal and the audit trail, for the machine that this program runs on.

Simulated hosts and trees of files (`--root`) have none: what is done there is not done to this machine.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from vfdeck.backend.digest import sha256
from vfdeck.backend.errands import Errands, silence
from vfdeck.backend.journal import NOTE_PATIENCE, Journal
from vfdeck.backend.kernel import Kernel
from vfdeck.backend.life import Life
from vfdeck.backend.model import Problem, ProblemKind
from vfdeck.backend.state_folder import StateFolder, default_path
from vfdeck.backend.text import printable
from vfdeck.backend.turns import Turns, default_folder

if TYPE_CHECKING:
    from vfdeck.backend.audit import AuditTrail
    from vfdeck.backend.history import Done, Trail

# /proc/self/loginuid of a process of nobody's session: (uid_t) -1
_NOBODY = 0xFFFFFFFF
_HOMELESS = "there is no home directory to keep it in"


@dataclass(frozen=True)
class Peer:
    """The process that connected to a socket, and whom it ran as."""

    pid: int
    uid: int


class Memory:
    """Journal and audit trail of the machine, in the state directory that the environment names."""

    def __init__(self, kernel: Kernel, environment: Mapping[str, str], peer: Peer | None = None) -> None:
        """`peer`: who asks for everything that is done, where that is another process (an agent's)."""
        self._kernel = kernel
        self._folder = folder_of(environment, kernel.euid)
        self._uid = kernel.euid
        self._peer = peer
        self._ssh = printable(environment.get("SSH_CONNECTION", ""), 128)
        self._login = _login(kernel, "self" if peer is None else str(peer.pid))
        self._sudo = _sudo(environment) if kernel.euid == 0 else ""
        self._boot = _text(kernel, "/proc/sys/kernel/random/boot_id")
        self._host = _text(kernel, "/proc/sys/kernel/hostname")
        folder = None if kernel.simulated else default_folder(environment, kernel.euid)
        self._turns = Turns(folder) if folder else None
        self.journal = Journal(self._folder, self._boot, _machine(kernel) or self._host, self.user, Life(kernel))

    @property
    def place(self) -> str:
        """The path of the folder; "" where there is none."""
        return "" if self._folder is None else self._folder.path

    def audit(self) -> AuditTrail:
        """A new audit trail; imported for the first change."""
        from vfdeck.backend.audit import AuditTrail, state_of
        from vfdeck.backend.system_log import SystemLog

        who = {"uid": self._uid, "login_uid": self._login, "sudo_user": self._sudo or None, "user": self.user()}
        who |= {"ssh": self._ssh} if self._ssh else {}
        who |= {"peer_uid": self._peer.uid, "peer_pid": self._peer.pid} if self._peer else {}
        log = None if self._kernel.simulated else SystemLog()
        return AuditTrail(self._folder, {"host": self._host, "boot": self._boot, **who}, log, partial(state_of, self._kernel))

    def turn(self, bdf: str) -> AbstractContextManager[None]:
        """Be the only vfdeck on this machine that changes a function. Raises `turns.Taken`."""
        return self._turns.turn(bdf, self.user()) if self._turns is not None else nullcontext()

    def refusal(self, make: bool) -> Problem | None:
        """Why neither can be written; None where nothing seen is against it. `make`: make the folder and try; else only look."""
        folder = self._folder
        if folder is None:
            return Problem("state folder", _HOMELESS, ProblemKind.MEMORY)
        why = ""
        try:
            if not folder.errands.wait(folder.errands.send(folder.make if make else folder.demand_writable), NOTE_PATIENCE):
                why = silence(folder.errands.late())
        except OSError as error:
            why = printable(error.strerror or str(error))
        return Problem(printable(folder.path), why, ProblemKind.MEMORY) if why else None

    def done(self, key: str) -> Done | None:
        """The change that any agent has begun under this key; None where none has. Raises OSError where that cannot be told."""
        from vfdeck.backend.history import of_key

        folder = self._folder
        if folder is None:
            raise FileNotFoundError(errno.ENOENT, _HOMELESS)
        found: list[Done | None] = []
        if not folder.errands.wait(folder.errands.send(lambda: found.append(of_key(folder, key))), NOTE_PATIENCE):
            raise TimeoutError(errno.ETIMEDOUT, silence(folder.errands.late()))
        return found[0]

    def trail(self, longest: int) -> Trail:
        """What was done, as it is written down: the newest lines, of so many bytes at the most."""
        from vfdeck.backend.history import Trail, newest

        folder = self._folder
        if folder is None:
            return Trail(problem=_HOMELESS)
        place = printable(folder.path)
        found: list[Trail] = []
        try:
            errand = folder.errands.send(lambda: found.append(Trail(place, *newest(folder, longest))))
            if folder.errands.wait(errand, NOTE_PATIENCE):
                return found[0]
            return Trail(place, problem=silence(folder.errands.late()))
        except OSError as error:
            return Trail(place, problem=printable(error.strerror or str(error)))

    def user(self) -> str:
        """The name of who is behind it, else the number: who logged in, else who called sudo or an agent, else whom it runs as.

        The kernel keeps the first; who called sudo is a variable, which anybody may set who may set variables.
        """
        if self._login is None and self._peer is None and self._sudo:
            return self._sudo
        uid = self._login if self._login is not None else self._peer.uid if self._peer is not None else self._uid
        return _name(uid) or str(uid)


def memory_of(kernel: Kernel, environment: Mapping[str, str], peer: Peer | None = None) -> Memory | None:
    """The memory of the machine that a kernel is of; None where nothing is kept. `peer`: see `Memory`."""
    return None if kernel.simulated or kernel.is_tree else Memory(kernel, environment, peer)


def peer_of(fd: int) -> Peer | None:
    """Who is at the other end of a Unix socket, as the kernel tells it (SO_PEERCRED, unix(7)); None where `fd` is none."""
    try:
        with socket.socket(fileno=os.dup(fd)) as connection:
            if connection.family != socket.AF_UNIX:
                return None
            pid, uid, _ = struct.unpack("=iII", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    except OSError:
        return None
    return Peer(pid, uid)


def folder_of(environment: Mapping[str, str], euid: int) -> StateFolder | None:
    """The state folder; None without a home.

    Root looks whose the home in the environment is, which may lie on a server that is gone: where that does not answer in time, it
    is not taken for root's, and root's own counts.
    """
    found: list[str | None] = []
    errands = Errands()
    job = errands.send(lambda: found.append(default_path(environment, euid)))
    if not errands.wait(job, NOTE_PATIENCE):
        found.append(default_path({}, euid))
    return None if found[0] is None else StateFolder(found[0])


def _sudo(environment: Mapping[str, str]) -> str:
    """Who called sudo, where its two variables agree on that."""
    uid, name = environment.get("SUDO_UID", ""), printable(environment.get("SUDO_USER", ""), 64)
    return name if uid.isascii() and uid.isdecimal() and len(uid) < 12 and _name(int(uid)) == name else ""


def _name(uid: int) -> str:
    """As the user database has it, "" where it has none."""
    import pwd

    try:
        return printable(pwd.getpwuid(uid).pw_name, 64)
    except (KeyError, OverflowError):
        return ""


def _login(kernel: Kernel, process: str) -> int | None:
    """The user who logged in, whatever they have become since; None where nobody did, or nobody tells."""
    with suppress(ValueError):
        number = int(_text(kernel, f"/proc/{process}/loginuid"))
        return None if number == _NOBODY else number
    return None


def _machine(kernel: Kernel) -> str:
    """A number of this machine that does not tell its machine-id (machine-id(5) asks for that); "" without one."""
    identity = _text(kernel, "/etc/machine-id")
    return sha256(b"vfdeck machine\0" + identity.encode()).hexdigest()[:16] if identity else ""


def _text(kernel: Kernel, path: str) -> str:
    try:
        return printable(kernel.read(path).strip(), 128)
    except OSError:
        return ""
