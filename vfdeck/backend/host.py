"""The only door from the user interface: a host, whatever its kernel and wherever it is."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from vfdeck.backend.changes import Change, Outcome, Plan
from vfdeck.backend.checks import Question, Report
from vfdeck.backend.details import Details, Part
from vfdeck.backend.kernel import LogLine, Uevent
from vfdeck.backend.model import Job, Snapshot


class Host(Protocol):
    """A host. Every method may be called from any thread; `snapshot` and `perform` may take long and belong on one of their own."""

    name: str
    simulated: bool
    tells_all: bool  # whether `wait_for_change` hears of every change; else somebody has to look every now and then

    def snapshot(self) -> Snapshot:
        """Look at everything afresh. Never raises: what could not be read is in `Snapshot.problems`."""

    def plan(self, change: Change, snapshot: Snapshot) -> Plan:
        """What `change` would do, judged by `snapshot`; nothing is done."""

    def check(self, question: Question, snapshot: Snapshot) -> Report:
        """Answer a question before anything is changed, by `snapshot` and what the host shows beside; may take a while."""

    def details(self, bdf: str, parts: Collection[Part], snapshot: Snapshot) -> Details:
        """Look up what no snapshot has of a function; may take seconds (`Part.VPD`), and nothing is changed."""

    def perform(self, change: Change, confirmed: Plan | None = None) -> Outcome:
        """Carry out a change and wait for it, however long; a change that waits is among the snapshot's jobs meanwhile.

        `confirmed` is the plan that somebody agreed to: where the change would now do something else (`Plan.same_as`), nothing is
        done, and the outcome says what is otherwise.
        """

    def wait_for_change(self, seconds: float) -> bool:
        """Wait until something changed (True) or the time is over (False); with 0 seconds never wait."""

    def heard(self) -> tuple[Uevent, ...]:
        """The uevents that `wait_for_change` met since this was asked last, oldest first, each once; never waits.

        Only so many are kept; `LOST` stands for those that are missing, `DEAF` says once that none can be heard.
        """

    def jobs(self) -> tuple[Job, ...]:
        """The changes under way; never waits."""

    def log(self) -> list[LogLine] | None:
        """The kernel log, oldest first; None where it may not be read."""

    def close(self) -> None:
        """Close what is held open and stop. Never waits for the kernel."""
