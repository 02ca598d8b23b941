"""An agent that is installed on this machine: a Unix socket, behind which each connection has an agent of its own."""

from __future__ import annotations

import os
import socket
import stat
from contextlib import suppress

from vfdeck.backend.agent.transports import Fault, Unreached
from vfdeck.backend.text import printable


class Socket:
    """The way to it: a path."""

    def __init__(self, path: str) -> None:
        self._path = path

    def connect(self) -> SocketLink:
        """A connection. Raises Unreached, never waits: a socket of this machine takes a connection or refuses it."""
        ends = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            ends.settimeout(0.0)
            ends.connect(self._path)
        except (OSError, ValueError) as error:
            ends.close()
            raise Unreached(Fault.UNREACHABLE, f"{printable(self._path)}: {self._reason(error)}") from None
        return SocketLink(ends)

    def _reason(self, error: OSError | ValueError) -> str:
        if isinstance(error, PermissionError):
            return f"{error.strerror}: it is for {self._group()}"
        if isinstance(error, FileNotFoundError):
            return f"{error.strerror}: is that the path, and its socket unit started? (`vfdeck agent --units DIR` writes it)"
        if isinstance(error, ConnectionRefusedError):
            return f"{error.strerror}: {'nobody listens there' if self._is_socket() else 'it is no socket'}"
        if isinstance(error, BlockingIOError):
            return "too many wait to be let in"
        return (error.strerror or str(error)) if isinstance(error, OSError) else "not a path"

    def _is_socket(self) -> bool:
        with suppress(OSError):
            return stat.S_ISSOCK(os.stat(self._path).st_mode)
        return True

    def _group(self) -> str:
        """Whom the socket lets in, as far as this user may see it."""
        import grp

        try:
            group = os.stat(self._path).st_gid
        except OSError:
            return "others"
        try:
            return f"members of the group {grp.getgrgid(group).gr_name}"
        except KeyError:
            return f"members of the group {group}"


class SocketLink:
    """A connection to a running agent. `incoming` and `outgoing` are its ends."""

    def __init__(self, ends: socket.socket) -> None:
        self._ends = ends
        self.incoming = self.outgoing = ends.fileno()

    def why(self) -> Unreached:
        """Why it ended, which an agent behind a socket tells to its own journal only."""
        return Unreached(Fault.UNREACHABLE, "the agent behind the socket has ended")

    def close(self) -> None:
        """End it. Never waits; who reads from it sees its end."""
        with suppress(OSError):
            self._ends.shutdown(socket.SHUT_RDWR)

    def __del__(self) -> None:
        self._ends.close()  # not before: its number is not another file's while somebody reads from it
