"""Looking at hosts again and again, for commands that tell of changes until they are interrupted."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vfdeck.backend.host import Host
    from vfdeck.backend.model import Snapshot

#: Seconds between two looks where nothing tells of a change: opens and closes of devices send no uevent.
INTERVAL = 1.0


def followed(watched: Sequence[Host]) -> Iterator[Snapshot]:
    """Snapshots of hosts as they change, without end: of several the one that has waited longest. Raises what a look raises."""
    if len(watched) == 1:
        while True:
            yield watched[0].snapshot()
            watched[0].wait_for_change(INTERVAL)
    seen = Latest()
    for host in watched:
        threading.Thread(target=_look, args=(host, seen), name=f"watch {host.name}", daemon=True).start()
    yield from iter(seen.take, None)


class Latest:
    """Hands snapshots from the threads that look to the one that tells: of each host the latest, however slowly they are read."""

    def __init__(self) -> None:
        self._there = threading.Condition()
        self._snapshots: dict[str, Snapshot] = {}
        self._fault: BaseException | None = None

    def put(self, snapshot: Snapshot) -> None:
        """In the place of one of the same host that was not taken."""
        with self._there:
            self._snapshots[snapshot.host.name] = snapshot
            self._there.notify()

    def fail(self, fault: BaseException) -> None:
        """A thread cannot go on: `take` raises this."""
        with self._there:
            self._fault = fault
            self._there.notify()

    def take(self) -> Snapshot:
        """The next one, of the host that has waited longest; waits for it. Raises what a thread failed with."""
        with self._there:
            while not self._snapshots and self._fault is None:
                self._there.wait()
            if self._fault is not None:
                raise self._fault
            return self._snapshots.pop(next(iter(self._snapshots)))


def _look(host: Host, seen: Latest) -> None:
    try:
        while True:
            seen.put(host.snapshot())
            host.wait_for_change(INTERVAL)
    except BaseException as fault:  # else nobody would hear of it, and `tell` wait for ever
        seen.fail(fault)
