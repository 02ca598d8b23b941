"""The host's own log: journald by its native protocol, else syslog (RFC 3164 to /dev/log).

A message is one datagram that is sent without waiting: where nobody reads, it is lost, and the caller is told. Protocol:
systemd's JOURNAL_NATIVE_PROTOCOL; facility LOG_AUTHPRIV, which hosts keep for administrators.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import Any

JOURNAL, SYSLOG = "/run/systemd/journal/socket", "/dev/log"
IDENTIFIER = "vfdeck"

_AUTHPRIV = 10
_NOTICE = 5
#: Longest value, in characters: a datagram has room for a dozen of them.
_LONGEST = 2048


class SystemLog:
    """Where administrators look first. Any thread may use it; nothing raises."""

    def __init__(self, journal: str = JOURNAL, syslog: str = SYSLOG) -> None:
        self._journal, self._syslog = journal, syslog

    def send(self, message: str, fields: Mapping[str, Any]) -> str:
        """Send one entry; "" where it was taken, else why not. `fields` with None are left out; syslog gets the message alone."""
        why = _send(self._journal, _native({"MESSAGE": message, **_COMMON, **fields}))
        if not why:
            return ""
        line = f"<{_AUTHPRIV << 3 | _NOTICE}>{IDENTIFIER}[{os.getpid()}]: {_cut(message)}"
        return _send(self._syslog, line.encode("utf-8", "replace")) and f"neither journald ({why}) nor syslog takes it"


_COMMON: dict[str, Any] = {
    "PRIORITY": _NOTICE,
    "SYSLOG_FACILITY": _AUTHPRIV,
    "SYSLOG_IDENTIFIER": IDENTIFIER,
}


def _native(fields: Mapping[str, Any]) -> bytes:
    """A value with a line feed in it is told by its length (eight bytes, little-endian); so no value can pose as a field."""
    parts = []
    for name, value in fields.items():
        if value is None:
            continue
        data = _cut(str(value)).encode("utf-8", "replace")
        if b"\n" in data:
            parts.append(name.encode() + b"\n" + len(data).to_bytes(8, "little") + data + b"\n")
        else:
            parts.append(name.encode() + b"=" + data + b"\n")
    return b"".join(parts)


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _send(path: str, data: bytes) -> str:
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.setblocking(False)
            sender.sendto(data, path)
    except OSError as error:  # BlockingIOError: its queue is full
        return error.strerror or str(error)
    return ""
