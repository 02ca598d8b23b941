"""One time line: uevents, what a look finds otherwise, changes under way, and what came of them. No Textual in here."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from vfdeck.backend.changes import Outcome, target_of
from vfdeck.backend.kernel import DEAF, LOST, Uevent
from vfdeck.backend.model import Function, Job, Role, Snapshot
from vfdeck.widgets.event_facts import Entry, Kind
from vfdeck.widgets.happened import MANY, happenings
from vfdeck.widgets.report import verdict
from vfdeck.widgets.rows import RowId
from vfdeck.widgets.state import Tone, plural

#: Events that are kept, the newest of each host; and of all together, for which those give up theirs that have the most.
KEPT, IN_ALL = 2000, 20_000


class Timeline:
    """Keeps the newest events of each host: one where much happens pushes out nothing of the others."""

    def __init__(self, kept: int = KEPT, in_all: int = IN_ALL) -> None:
        self._kept = kept
        self._in_all = in_all
        self._entries: dict[str, deque[Entry]] = {}  # by host
        self._count = 0
        self._former: dict[RowId, set[str]] = {}  # the VFs that each PF has had, and has no more
        self._deaf: set[str] = set()

    def __iter__(self) -> Iterator[Entry]:
        """Everything that is kept, oldest first."""
        return iter(sorted(chain.from_iterable(self._entries.values()), key=lambda entry: entry.time))

    def is_deaf(self, host: str) -> bool:
        """Whether no uevents of a host can be heard."""
        return host in self._deaf

    # -- what happens -------------------------------------------------------------------------------------------------
    def add(self, entry: Entry) -> None:
        """Take in an event."""
        mine = self._entries.setdefault(entry.host, deque())
        mine.append(entry)
        self._count += 1
        if len(mine) > self._kept:
            mine.popleft()
            self._count -= 1
        elif self._count > self._in_all:
            max(self._entries.values(), key=len).popleft()
            self._count -= 1

    def heard(self, host: str, events: Iterable[Uevent]) -> None:
        """Take in uevents; several of the same kind at once are one line."""
        alike: dict[tuple[str, str, str], list[Uevent]] = {}
        for event in events:
            if event.action == DEAF:
                self._deaf.add(host)
            else:
                alike.setdefault((event.action, event.subsystem, event.driver), []).append(event)
        for together in alike.values():
            for some in [together] if len(together) >= MANY else [[event] for event in together]:
                bdfs = tuple(dict.fromkeys(event.bdf for event in some if event.bdf))
                self.add(Entry(some[0].time, Kind.UEVENT, host, bdfs, _uevent_text(some, bdfs), Tone.DIM))

    def looked(self, before: Snapshot | None, after: Snapshot) -> None:
        """Take in what a look found otherwise than the look before."""
        if before is None or before is after or before.never_seen:
            return
        host = after.host.name
        self._part(host, before, after)
        under_way = {job.number: job for job in before.jobs}
        for job in after.jobs:
            self._job(host, under_way.get(job.number), job, after.taken)
        for happening in happenings(before, after):
            text = f"{happening.subject}{': ' if happening.subject else ''}{happening.text}"
            self.add(Entry(after.taken, Kind.SEEN, host, happening.functions, text))

    def _part(self, host: str, before: Snapshot, after: Snapshot) -> None:
        """Keep whose the VFs were that are gone, and forget it of those that are there again: they may be another PF's."""
        there = after.functions.keys()
        for row_id in [row_id for row_id in self._former if row_id.host == host]:
            self._former[row_id] -= there
            if not self._former[row_id]:
                del self._former[row_id]
        for bdf in before.functions.keys() - there:
            if pf := before.functions[bdf].physfn:
                self._former.setdefault(RowId(host, pf), set()).add(bdf)

    def _job(self, host: str, before: Job | None, job: Job, now: float) -> None:
        """A change of vfdeck's that was begun, or has come to its next step or rung."""
        if before is None:
            self.add(Entry(job.started, Kind.JOB, host, (job.target,), f"began: {job.title}", Tone.BUSY))
        elif (before.step, before.stage) != (job.step, job.stage) and (job.step or job.stage):
            stage = f"at {job.stage}" if job.stage else ""
            text = ", ".join(part for part in (job.step, stage) if part)
            self.add(Entry(now, Kind.JOB, host, (job.target,), f"{job.title}: {text}", Tone.BUSY))

    def done(self, host: str, title: str, outcome: Outcome, now: float) -> None:
        """Take in what came of a change; `now` is the host's time as last seen, where the outcome does not tell."""
        text, tone = verdict(outcome, title)
        text = text if title in text else f"{title}: {text}"
        self.add(Entry(outcome.ended or now, Kind.DONE, host, (target_of(outcome.change),), text, tone))

    # -- what is shown ------------------------------------------------------------------------------------------------
    def of(self, row_id: RowId, snapshot: Snapshot | None, more: Sequence[Entry] = ()) -> list[Entry]:
        """The events of a row with `more` (kernel log lines) among them, newest first.

        Of a PF those of its VFs too, of a VF those of its PF too, of a host all.
        """
        family = self._family(row_id, snapshot)
        every = (*more, *self._entries.get(row_id.host, ()))
        mine = [entry for entry in every if entry.host == row_id.host and _is_about(entry, family)]
        return sorted(mine, key=lambda entry: entry.time)[::-1]

    def _family(self, row_id: RowId, snapshot: Snapshot | None) -> frozenset[str]:
        """A function with its PF, or with the VFs that it has or had; nothing for a host."""
        if not row_id.bdf:
            return frozenset()
        function: Function | None = snapshot.functions.get(row_id.bdf) if snapshot is not None else None
        if function is not None and function.role is Role.VF:
            return frozenset({row_id.bdf, function.physfn or row_id.bdf})
        vfs = function.sriov.vfs if function is not None and function.sriov is not None else ()
        return frozenset({row_id.bdf, *vfs, *self._former.get(row_id, ())})


def _is_about(entry: Entry, family: frozenset[str]) -> bool:
    return not family or not family.isdisjoint(entry.bdfs)


def _uevent_text(events: Sequence[Uevent], bdfs: Sequence[str]) -> str:
    """Uevents that differ in what they are about only."""
    first = events[0]
    if first.action == LOST:
        return "events came faster than they were read, and some are missing here"
    driver = f", driver {first.driver}" if first.driver else ""
    names = bdfs or [f"group {event.devpath.rsplit('/', 1)[-1]}" for event in events]
    about = names[0] if len(names) == 1 else f"{plural(len(names), 'function' if bdfs else 'group')}, {names[0]} to {names[-1]}"
    return f"{first.action} {first.subsystem} {about}{driver}"
