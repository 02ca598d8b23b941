"""Lines of the kernel log that name functions, read while they are shown: on a thread, and never waited for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from itertools import chain

from vfdeck.app.dashboard.feed import aside
from vfdeck.backend.bdf import BDF
from vfdeck.backend.host import Host
from vfdeck.backend.workload import redacted
from vfdeck.widgets.event_facts import Entry, Kind

#: Seconds after which a log that is shown is read again.
EVERY = 1.5
#: Lines that are kept, newest.
KEPT = 500


class KernelLines:
    """Keeps the lines of each host whose log was shown; `changed` is called when there are new ones."""

    def __init__(self, changed: Callable[[], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._changed = changed
        self._clock = clock
        self._asked: dict[str, float] = {}  # when, by the monotonic clock
        self._lines: dict[str, tuple[Entry, ...]] = {}
        self._notes: dict[str, str] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    @property
    def is_busy(self) -> bool:
        """Whether a log is being read."""
        return bool(self._tasks)

    def of(self, host: str) -> tuple[Entry, ...]:
        """The lines of a host that name functions, oldest first, as far as they were read."""
        return self._lines.get(host, ())

    def __iter__(self) -> Iterator[Entry]:
        """The lines of all hosts that were read."""
        return chain.from_iterable(self._lines.values())

    def note(self, host: str) -> str:
        """Why there are none; "" where the log was read."""
        return self._notes.get(host, "the kernel log was not read yet")

    def want(self, host: Host) -> None:
        """A host's events are shown: read its log, unless that was done just now or is under way."""
        asked, now = self._asked.get(host.name), self._clock()
        if host.name in self._tasks or (asked is not None and now - asked < EVERY):
            return
        self._asked[host.name] = now
        task = asyncio.ensure_future(self._read(host))
        self._tasks[host.name] = task
        task.add_done_callback(lambda _: self._tasks.pop(host.name, None))

    async def _read(self, host: Host) -> None:
        before = self.of(host.name), self.note(host.name)
        try:
            found = await aside(lambda: _entries(host), "kernel log")
            note = "" if found is not None else "the kernel log may not be read: that needs root, or kernel.dmesg_restrict = 0"
        except Exception as error:  # a bug of the backend, or a lost host: named by its kind only
            found, note = None, f"the kernel log could not be read ({type(error).__name__})"
        self._lines[host.name], self._notes[host.name] = found or (), note
        if before != (self.of(host.name), self.note(host.name)):
            self._changed()


def _entries(host: Host) -> tuple[Entry, ...] | None:
    """The newest lines that name a function; None where the log may not be read. A line of unknown time comes first."""
    lines = host.log()
    if lines is None:
        return None
    named = [(line, tuple(dict.fromkeys(BDF.findall(line.text)))) for line in lines]
    return tuple(
        Entry(line.time or 0.0, Kind.KERNEL, host.name, bdfs, redacted(line.text))  # audit lines hold what programs were given
        for line, bdfs in named
        if bdfs
    )[-KEPT:]
