"""By which SSH connection the operator came: from the environment of this program, or of those that started it.

sshd tells the shell SSH_CONNECTION; sudo and su drop it, but the programs above them still have it. Inside tmux, screen or mosh it
may be of a connection that is over by now, so the kernel's list of connections is asked as well.
"""

from __future__ import annotations

from dataclasses import dataclass

from vfdeck.backend.text import printable
from vfdeck.backend.usage.looking import Looker, reason
from vfdeck.backend.usage.routes import IPAddress, address_of, is_established

_VARIABLE = b"SSH_CONNECTION="
_PORT_DIGITS, _PID_DIGITS = 5, 10
#: Programs above this one that are looked at, at most.
_GENERATIONS = 64


@dataclass(frozen=True, slots=True)
class Connection:
    """An SSH connection: where the operator sits, and where sshd was reached."""

    peer: IPAddress
    peer_port: int
    local: IPAddress
    local_port: int


@dataclass(frozen=True, slots=True)
class _Process:
    name: bytes
    parent: int


def connection(looker: Looker) -> tuple[Connection | None, str]:
    """The connection by which the operator came; else None and why that is not known, "" where there surely is none."""
    if looker.kernel.is_tree:
        return None, "files tell nothing of it"
    pid, hidden = "self", ""
    for _ in range(_GENERATIONS):
        try:
            process = _process(looker.kernel.read(f"/proc/{pid}/stat"))
        except OSError as error:
            return None, f"/proc/{pid}/stat: {reason(error)}"
        if process is None:
            return None, f"/proc/{pid}/stat makes no sense"
        try:
            found = _in_environment(looker.kernel.read(f"/proc/{pid}/environ"))
        except OSError as error:
            found = None
            if process.parent > 0:  # not of process 1, which nobody logged in to
                hidden = hidden or f"the environment of {printable(process.name)} ({pid}) cannot be read: {reason(error)}"
        if found is not None:
            parsed = parse(found)
            return parsed, "" if parsed else f'SSH_CONNECTION is "{printable(found, 60)}"'
        if process.parent <= 1:
            return None, hidden
        pid = str(process.parent)
    return None, "too many programs above this one"


def parse(text: bytes) -> Connection | None:
    """The value of SSH_CONNECTION: the client's address and port, the server's address and port."""
    fields = text.decode("ascii", "replace").split()
    if len(fields) != 4:
        return None
    peer, local = address_of(fields[0]), address_of(fields[2])
    ports = [int(port) if port.isdigit() and len(port) <= _PORT_DIGITS else -1 for port in fields[1::2]]
    if peer is None or local is None or not all(0 <= port <= 0xFFFF for port in ports):
        return None
    return Connection(peer, ports[0], local, ports[1])


def is_open(looker: Looker, found: Connection) -> bool | None:
    """Whether the kernel knows the connection as established; None where its lists cannot be read."""
    unknown = False
    for table in ("tcp", "tcp6"):
        lines = looker.lines(f"{looker.proc}/net/{table}", None)
        unknown |= lines is None and table == "tcp"  # without IPv6 there is no tcp6
        if lines and is_established(lines, (found.local, found.local_port), (found.peer, found.peer_port)):
            return True
    return None if unknown else False


def _process(stat: bytes) -> _Process | None:
    """Name and parent from /proc/PID/stat; the name stands in parentheses and may hold anything."""
    head, _, tail = stat.rpartition(b")")
    fields = tail.split()
    if len(fields) < 2 or not fields[1].isdigit() or len(fields[1]) > _PID_DIGITS:
        return None
    return _Process(head.partition(b"(")[2], int(fields[1]))


def _in_environment(environment: bytes) -> bytes | None:
    return next((entry[len(_VARIABLE) :] for entry in environment.split(b"\0") if entry.startswith(_VARIABLE)), None)
