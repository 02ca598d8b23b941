"""Hosts of a large fleet: each machine is made when somebody looks at it, and forgotten while nothing happens on it.

A machine of a hundred VFs takes some 100 KB and a few milliseconds to make. As a scenario always makes the same one, a machine on
which nobody changed anything need not be kept: it comes back as it was.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from vfdeck.backend.sim.scenario import Scenario, SimulatedHost, Table

if TYPE_CHECKING:
    from vfdeck.backend.changes import Change, Outcome, Plan
    from vfdeck.backend.checks import Question, Report
    from vfdeck.backend.details import Details, Part
    from vfdeck.backend.kernel import Kernel, LogLine, Uevent
    from vfdeck.backend.model import Job, Snapshot, TokenKnowledge


class FleetHost:
    """A host whose machine may be there or not; satisfies `Host`."""

    simulated = True
    tells_all = True

    def __init__(self, table: Table, seed: int, *, realtime: bool, reached: str = "") -> None:
        self.name: str = table["host"]["name"]
        self._table, self._seed, self._realtime, self._reached = table, seed, realtime, reached
        self._began, self._advanced = time.monotonic(), 0.0
        self._kept: SimulatedHost | None = None  # once something was changed, or where something is to happen
        self._tokens: dict[str, TokenKnowledge] | None = None
        self._lock = threading.Lock()
        self._closed = threading.Event()

    @contextmanager
    def _host(self) -> Iterator[SimulatedHost]:
        """The host at this moment, which is forgotten afterwards unless something happens on it."""
        with self._lock:
            host = self._kept
            if host is None:
                host = SimulatedHost(Scenario(self._table, self._seed), realtime=self._realtime, reached=self._reached)
                if host.scenario.is_eventful:
                    self._kept = host
                host.advance(time.monotonic() - self._began if self._realtime else self._advanced)
        yield host

    def keep(self) -> SimulatedHost:
        """The host, with a machine that stays from now on."""
        with self._host() as host, self._lock:
            self._kept = self._kept or host
            return self._kept

    @property
    def is_kept(self) -> bool:
        """Whether its machine stays."""
        return self._kept is not None

    @property
    def scenario(self) -> Scenario:
        """The scenario, which stays."""
        return self.keep().scenario

    @property
    def kernel(self) -> Kernel:
        """Its kernel; the machine stays from then on."""
        return self.keep().kernel

    def advance(self, seconds: float) -> None:
        """Let time pass on the simulated machine."""
        self._advanced += seconds
        if self._kept is not None:
            self._kept.advance(seconds)

    def snapshot(self) -> Snapshot:
        """See `Host.snapshot`."""
        with self._host() as host:
            seen = host.snapshot()
        if self._kept is None:
            # a machine on which nothing happened: of its tokens is known what was known at first, and since then
            self._tokens = self._tokens if self._tokens is not None else seen.tokens
            seen = replace(seen, tokens=self._tokens)
        return seen

    def plan(self, change: Change, snapshot: Snapshot) -> Plan:
        """See `Host.plan`."""
        with self._host() as host:
            return host.plan(change, snapshot)

    def check(self, question: Question, snapshot: Snapshot) -> Report:
        """See `Host.check`."""
        with self._host() as host:
            return host.check(question, snapshot)

    def details(self, bdf: str, parts: Collection[Part], snapshot: Snapshot) -> Details:
        """See `Host.details`."""
        with self._host() as host:
            return host.details(bdf, parts, snapshot)

    def perform(self, change: Change, confirmed: Plan | None = None) -> Outcome:
        """See `Host.perform`; from now on the machine is kept."""
        return self.keep().perform(change, confirmed)

    def wait_for_change(self, seconds: float) -> bool:
        """See `Host.wait_for_change`: nothing changes on a machine that is not kept."""
        if self._kept is not None:
            return self._kept.wait_for_change(seconds)
        if seconds > 0:
            self._closed.wait(seconds)
        return False

    def heard(self) -> tuple[Uevent, ...]:
        """See `Host.heard`."""
        return self._kept.heard() if self._kept is not None else ()

    def jobs(self) -> tuple[Job, ...]:
        """See `Host.jobs`."""
        return self._kept.jobs() if self._kept is not None else ()

    def log(self) -> list[LogLine] | None:
        """See `Host.log`."""
        with self._host() as host:
            return host.log()

    def close(self) -> None:
        """See `Host.close`."""
        self._closed.set()
        if self._kept is not None:
            self._kept.close()
