"""Pictures of many hosts in little memory: what machines that are alike have in common exists once.

A snapshot's functions and groups take some 60 KB for a hundred VFs, and the machines of a rack have equal ones, down to the
addresses.
"""

from __future__ import annotations

import threading
from dataclasses import replace

from vfdeck.backend.model import Function, IommuGroup, Snapshot

#: Functions of which the values are remembered: those of some dozens of different machines.
LIMIT = 8192

_Key = tuple[tuple[Function, ...], tuple[IommuGroup, ...]]
_Parts = tuple[dict[str, Function], dict[int, IommuGroup]]


class Sharing:
    """Gives equal snapshots the same functions and groups. Safe to use from several threads."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._size = 0
        self._known: dict[_Key, _Parts] = {}  # the one that was used last comes last
        self._lock = threading.Lock()

    def of(self, snapshot: Snapshot) -> Snapshot:
        """An equal snapshot that has what it can have in common with others."""
        if len(snapshot.functions) > self._limit:
            return snapshot
        key = (tuple(snapshot.functions.values()), tuple(snapshot.groups.values()))
        with self._lock:
            parts = self._known.pop(key, None)
            if parts is None:
                parts = snapshot.functions, snapshot.groups
                self._size += len(parts[0])
            self._known[key] = parts
            while self._size > self._limit:
                oldest = next(iter(self._known))
                self._size -= len(self._known.pop(oldest)[0])
        if parts[0] is snapshot.functions:
            return snapshot
        return replace(snapshot, functions=parts[0], groups=parts[1])
