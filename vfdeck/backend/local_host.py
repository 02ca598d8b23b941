"""A host whose kernel is at hand: looks at it, and keeps what the kernel tells nobody.

The same code serves the kernel of this machine and simulated ones. What plans and carries out changes is imported when the first
change is asked for: printing a tree needs none of it.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING

from vfdeck.backend.holders import holders
from vfdeck.backend.kernel import Kernel, LogLine, UeventSource
from vfdeck.backend.knowledge import TokenWatch
from vfdeck.backend.model import Job, Snapshot
from vfdeck.backend.pci_ids import Ids, Names
from vfdeck.backend.text import printable
from vfdeck.backend.topology import scan

if TYPE_CHECKING:
    from vfdeck.backend.changes import Change, Outcome, Plan
    from vfdeck.backend.perform import Performer


class LocalHost:
    """Satisfies `Host` over any `Kernel`. `names` gives vendor and device names where the system's database should not be asked."""

    def __init__(self, kernel: Kernel, names: Mapping[Ids, Names] | None = None) -> None:
        self.kernel = kernel
        self.simulated = kernel.simulated
        self.name = _host_name(kernel)
        self._names = names
        self._watch = TokenWatch()
        self._uevents: UeventSource | None = None  # from the first time that somebody waits
        self._performer: Performer | None = None
        self._lock = threading.Lock()
        self._closed = False

    # -- looking -----------------------------------------------------------------------------------------------------
    def snapshot(self) -> Snapshot:
        """See `Host.snapshot`."""
        moment = self._watch.mark()
        seen = scan(self.kernel, self._names)
        opened = self.kernel.open_files()
        held, unattributed = holders((file for file in opened.files if not file.own), seen.functions)
        performer = self._performer
        tokens = self._watch.update(seen.functions.values(), {holder.bdf for holder in held}, seen.taken, moment)
        return dataclasses.replace(
            seen,
            host=dataclasses.replace(seen.host, name=self.name),  # one name while we look, whatever the host calls itself now
            holders=((*performer.own_holders(), *held) if performer else held),
            unseen=opened.unseen,
            tokens=tokens,
            jobs=self.jobs(),
            problems=(*seen.problems, *unattributed),
        )

    def wait_for_change(self, seconds: float) -> bool:
        """See `Host.wait_for_change`."""
        with self._lock:
            if self._closed:
                return False
            if self._uevents is None:
                self._uevents = self.kernel.uevents()
        return bool(self._uevents.wait(seconds)) and not self._closed

    def log(self) -> list[LogLine] | None:
        """See `Host.log`."""
        return self.kernel.log()

    def jobs(self) -> tuple[Job, ...]:
        """See `Host.jobs`."""
        return self._performer.jobs() if self._performer else ()

    # -- changing ----------------------------------------------------------------------------------------------------
    def plan(self, change: Change, snapshot: Snapshot) -> Plan:
        """See `Host.plan`."""
        from vfdeck.backend.perform import plan_on

        return plan_on(self.kernel, change, snapshot)

    def perform(self, change: Change) -> Outcome:
        """See `Host.perform`. What the plan finds impossible is not tried."""
        from vfdeck.backend.perform import Performer

        with self._lock:
            if self._performer is None:
                self._performer = Performer(self.kernel, self.snapshot, self._watch)
        return self._performer.perform(change)

    def close(self) -> None:
        """See `Host.close`."""
        with self._lock:
            self._closed = True
        if self._uevents is not None:
            self._uevents.close()
        if self._performer is not None:
            self._performer.close()


def _host_name(kernel: Kernel) -> str:
    """The host's name, as its kernel tells it."""
    try:
        return printable(kernel.read("/proc/sys/kernel/hostname")) or "this host"
    except OSError:
        return "this host"
