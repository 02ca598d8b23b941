"""What a host remembers from run to run: the token journal and the audit trail, for the machine that this program runs on.

Simulated hosts and trees of files (`--root`) have none: what is done there is not done to this machine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from vfdeck.backend.errands import silence
from vfdeck.backend.journal import NOTE_PATIENCE, Journal
from vfdeck.backend.kernel import Kernel
from vfdeck.backend.life import Life
from vfdeck.backend.model import Problem, ProblemKind
from vfdeck.backend.state_folder import StateFolder, default_path
from vfdeck.backend.text import printable

if TYPE_CHECKING:
    from vfdeck.backend.audit import AuditTrail

# /proc/self/loginuid of a process of nobody's session: (uid_t) -1
_NOBODY = 0xFFFFFFFF


class Memory:
    """Journal and audit trail of the machine, in the state directory that the environment names."""

    def __init__(self, kernel: Kernel, environment: Mapping[str, str]) -> None:
        place = default_path(environment, kernel.euid)
        self._folder = None if place is None else StateFolder(place)
        self._uid = kernel.euid
        self._login = _login(kernel)
        self._sudo = _sudo(environment) if kernel.euid == 0 else ""
        self._boot = _text(kernel, "/proc/sys/kernel/random/boot_id")
        self._host = _text(kernel, "/proc/sys/kernel/hostname")
        self.journal = Journal(self._folder, self._boot, _machine(kernel) or self._host, self._user, Life(kernel))

    def audit(self) -> AuditTrail:
        """A new audit trail; imported for the first change."""
        from vfdeck.backend.audit import AuditTrail

        who = {"uid": self._uid, "login_uid": self._login, "sudo_user": self._sudo or None, "user": self._user()}
        return AuditTrail(self._folder, {"host": self._host, "boot": self._boot, **who})

    def refusal(self, make: bool) -> Problem | None:
        """Why neither can be written; None where nothing seen is against it. `make`: make the folder and try; else only look."""
        folder = self._folder
        if folder is None:
            return Problem("state folder", "there is no home directory to keep it in", ProblemKind.MEMORY)
        why = ""
        try:
            if not folder.errands.wait(folder.errands.send(folder.make if make else folder.demand_writable), NOTE_PATIENCE):
                why = silence(folder.errands.late())
        except OSError as error:
            why = printable(error.strerror or str(error))
        return Problem(printable(folder.path), why, ProblemKind.MEMORY) if why else None

    def _user(self) -> str:
        """The name of who is behind this process, else the number: who logged in, else who called sudo, else whom it runs as.

        The kernel keeps the first; the second is a variable, which anybody may set who may set variables.
        """
        if self._login is None and self._sudo:
            return self._sudo
        uid = self._uid if self._login is None else self._login
        return _name(uid) or str(uid)


def memory_of(kernel: Kernel, environment: Mapping[str, str]) -> Memory | None:
    """The memory of the machine that a kernel is of; None where nothing is kept."""
    return None if kernel.simulated or kernel.is_tree else Memory(kernel, environment)


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


def _login(kernel: Kernel) -> int | None:
    """The user who logged in, whatever they have become since; None where nobody did, or nobody tells."""
    with suppress(ValueError):
        number = int(_text(kernel, "/proc/self/loginuid"))
        return None if number == _NOBODY else number
    return None


def _machine(kernel: Kernel) -> str:
    """A number of this machine that does not tell its machine-id (machine-id(5) asks for that); "" without one."""
    identity = _text(kernel, "/etc/machine-id")
    return hashlib.sha256(b"vfdeck machine\0" + identity.encode()).hexdigest()[:16] if identity else ""


def _text(kernel: Kernel, path: str) -> str:
    try:
        return printable(kernel.read(path).strip(), 128)
    except OSError:
        return ""
