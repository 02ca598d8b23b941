"""A host whose kernel is at hand: looks at it, and keeps what the kernel tells nobody.

The same code serves the kernel of this machine and simulated ones. What plans and carries out changes is imported when the first
change is asked for: printing a tree needs none of it.
"""

from __future__ import annotations

import dataclasses
import errno
import threading
from collections import deque
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING

from vfdeck.backend.holders import Arrivals, holders
from vfdeck.backend.kernel import DEAF, LOST, Kernel, LogLine, Uevent, UeventSource
from vfdeck.backend.knowledge import TokenWatch
from vfdeck.backend.model import Job, Lack, Problem, Scores, Snapshot
from vfdeck.backend.pci_ids import Ids, Names
from vfdeck.backend.probes import ask_kernel
from vfdeck.backend.set_clock import SetClock
from vfdeck.backend.text import printable
from vfdeck.backend.topology import kept, scan

if TYPE_CHECKING:
    from vfdeck.backend.audit import AuditTrail
    from vfdeck.backend.changes import Change, Outcome, Plan
    from vfdeck.backend.checks import Question, Report
    from vfdeck.backend.details import Details, Part
    from vfdeck.backend.history import Done, Trail
    from vfdeck.backend.memory import Memory
    from vfdeck.backend.perform import Performer


#: By how many seconds a picture may miss a program that has long been running when it opens its first device (`Kernel.open_files`),
#: and by how many a change may, before it is made and while it waits.
LATE, LATE_FOR_CHANGES = 10.0, 1.0
#: Uevents that are kept for who asks what was heard.
HEARD = 2000


class LocalHost:
    """Satisfies `Host` over any `Kernel`. `names` gives vendor and device names where the system's database should not be asked.

    What happens to tokens goes into the journal of the `memory`, and every change into its audit trail; without it nothing is
    remembered beyond this run. `reached` are the options that lead a command of vfdeck here (`HostFacts.reached`).
    """

    tells_all = False  # a program opens and closes devices, and nobody is told

    def __init__(
        self, kernel: Kernel, names: Mapping[Ids, Names] | None = None, memory: Memory | None = None, reached: str = ""
    ) -> None:
        self.kernel = kernel
        self.simulated = kernel.simulated
        self.name = _host_name(kernel)
        self._names = names
        self._memory = memory
        self._reached = reached
        self._audit: AuditTrail | None = None  # from the first change
        self._watch = TokenWatch(memory.journal if memory else None, self._binding)
        self._arrivals = Arrivals()
        self._uevents: UeventSource | None = None  # from the first time that somebody waits
        self._heard: deque[Uevent] = deque()
        self._performer: Performer | None = None
        self._probed: tuple[tuple[str, bool], ...] | None = None  # from the first look that has a node to ask at
        self._set_clock = None if kernel.simulated else SetClock(kernel.clock)  # a simulated one goes as its story wants it
        self._seen: Snapshot | None = None  # the last picture
        self._lock = threading.Lock()
        self._closed = False

    # -- looking -----------------------------------------------------------------------------------------------------
    def snapshot(self) -> Snapshot:
        """See `Host.snapshot`. The first look is complete; later ones may miss a holder for up to `LATE` seconds."""
        return self._look(LATE)

    def _look(self, late: float) -> Snapshot:
        moment = self._watch.mark()
        by = self._set_clock.moved() if self._set_clock is not None else 0.0
        before = self._seen
        seen = scan(self.kernel, self._names, before=before)
        opened = self.kernel.open_files(late)
        held, unattributed, uncounted = holders((file for file in opened.files if not file.own), seen.functions)
        performer = self._performer
        if by and performer:
            performer.clock_was_set(by)
        tokens = self._watch.update(seen.functions.values(), held, seen.taken, moment)
        self._seen = dataclasses.replace(
            seen,
            # one name while we look, whatever the host calls itself now
            host=dataclasses.replace(seen.host, name=self.name, probed=self._probe(seen), reached=self._reached, lacks=self._lacks),
            closed=self._closed_files(seen),
            holders=self._arrivals.mark((*performer.own_holders(), *held) if performer else held, seen.taken, by),
            unseen=opened.unseen + uncounted,
            unattributed=uncounted,
            late=opened.late,
            tokens=kept(before.tokens if before else None, tokens.items()),
            jobs=self.jobs(),
            scores=performer.scores if performer else Scores(),
            problems=(*seen.problems, *unattributed, *self.not_remembered()),
        )
        return self._seen

    def _binding(self, pf: str) -> int | None:
        try:
            return self.kernel.binding(pf)
        except OSError:
            return None

    def not_remembered(self, over: bool = False) -> Iterator[Problem]:
        """What is in the way of the journal and the audit trail. `over`: this program ends, and forgets what it could not write."""
        if self._memory is not None:
            yield from self._memory.journal.problems(over)
        if self._audit is not None:
            yield from self._audit.problems(over)

    def cannot_remember(self, make: bool) -> Problem | None:
        """Why nothing that is done to this machine can be written down; None where it can, or need not be. See `Memory.refusal`."""
        return self._memory.refusal(make) if self._memory is not None else None

    def _closed_files(self, seen: Snapshot) -> frozenset[str]:
        if not any(lack.need == "write" for lack in self._lacks):
            return frozenset()
        from vfdeck.backend.rights import closed

        return closed(self.kernel, seen.functions.values())

    @cached_property
    def _lacks(self) -> tuple[Lack, ...]:
        """What this program may not do: asked once, for nobody gains rights while they run."""
        from vfdeck.backend.rights import lacks

        found = () if self.kernel.is_tree else lacks(self.kernel)
        return found if isinstance(found, tuple) else ()

    def _probe(self, seen: Snapshot) -> tuple[tuple[str, bool], ...]:
        """What the kernel shows of itself: asked once, at the first look at a host with nodes; it does not change while we look."""
        if self._probed is None:
            probed = tuple(sorted(ask_kernel(self.kernel, seen).items()))
            if not seen.host.cdev:
                return probed
            self._probed = probed
        return self._probed

    def wait_for_change(self, seconds: float) -> bool:
        """See `Host.wait_for_change`."""
        with self._lock:
            if self._closed:
                return False
            if self._uevents is None:
                self._uevents = self.kernel.uevents()
                if not self._uevents.live:
                    self._heard.append(Uevent(DEAF, "", "", "", "", self.kernel.clock()))
        events = self._uevents.wait(seconds)
        self._heard.extend(events)
        while len(self._heard) > HEARD:  # the newest are the ones that are kept
            lost = self._heard.popleft()
            self._heard[0] = Uevent(LOST, "", "", "", "", lost.time)
        return bool(events) and not self._closed

    def heard(self) -> tuple[Uevent, ...]:
        """See `Host.heard`."""
        taken = []
        with suppress(IndexError):
            while True:
                taken.append(self._heard.popleft())
        return tuple(taken)

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

        return plan_on(self.kernel, self._with_current(change), snapshot)

    def _with_current(self, change: Change) -> Change:
        """The change, with the token in force where this run has set it: nobody has to tell it again."""
        from vfdeck.backend.changes import SetToken

        if isinstance(change, SetToken) and change.current is None:
            return dataclasses.replace(change, current=self._watch.token(change.pf))
        return change

    def check(self, question: Question, snapshot: Snapshot) -> Report:
        """See `Host.check`."""
        from vfdeck.backend.checks import ask

        return ask(question, self.kernel, snapshot)

    def details(self, bdf: str, parts: Collection[Part], snapshot: Snapshot) -> Details:
        """See `Host.details`. A function that the snapshot does not have has none."""
        from vfdeck.backend.details import Details, look_up

        function = snapshot.functions.get(bdf)
        return look_up(self.kernel, function, parts, snapshot) if function is not None else Details(bdf)

    def perform(self, change: Change, confirmed: Plan | None = None) -> Outcome:
        """See `Host.perform`. What the plan finds impossible is not tried."""
        from vfdeck.backend.perform import Performer, not_attempted

        with self._lock:
            change = self._with_current(change)
            if self._performer is None:
                turn = self._memory.turn if self._memory else None
                self._performer = Performer(self.kernel, lambda: self._look(LATE_FOR_CHANGES), self._watch, turn)
                self._audit = self._memory.audit() if self._memory else None
        if self._audit is None:
            return self._performer.perform(change, confirmed)
        with self._audit.record(change) as record:
            first = (
                self.done_before(record.key) if record.key else None
            )  # the trail has an order, also for two agents at the same instant
            if first is not None and first.id != record.number:
                record.outcome = not_attempted(change, f"another agent began a change under this key: {first.result}")
            else:
                record.outcome = self._performer.perform(change, confirmed)
        return record.outcome

    def done(self, key: str) -> Done | None:
        """The change that an agent has begun under this key, of the history. Raises OSError where that cannot be read."""
        if self._memory is None:
            raise FileNotFoundError(errno.ENOENT, "nothing is written down of what is done there")
        return self._memory.done(key)

    def done_before(self, key: str) -> Done | None:
        """The same as far as is known: no change fails because of its history."""
        try:
            return self.done(key)
        except OSError:
            return None

    def trail(self, longest: int) -> Trail:
        """What was done to this machine, as it is written down: the newest lines, of so many bytes at the most."""
        from vfdeck.backend.history import Trail

        return self._memory.trail(longest) if self._memory is not None else Trail()

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
