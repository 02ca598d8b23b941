"""What was changed in this run, step by step, the latest last. No Textual in here."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace

from vfdeck.backend.changes import Outcome
from vfdeck.widgets.shell_facts import Ran

#: Changes that are kept.
KEPT = 500


class Transcript:
    """Keeps the newest changes."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._ran: OrderedDict[int, Ran] = OrderedDict()

    @property
    def ran(self) -> tuple[Ran, ...]:
        """Every change, in the order in which they were begun."""
        return tuple(self._ran.values())

    @property
    def latest(self) -> tuple[Ran, ...]:
        """What was begun last: one change, or those that were confirmed together."""
        return self.of(next(reversed(self._ran.values())).deed) if self._ran else ()

    def of(self, what: object) -> tuple[Ran, ...]:
        """The changes of a deed, or the one that an outcome came of."""
        return tuple(ran for ran in self._ran.values() if ran.deed is what or ran.outcome is what)

    def begun(self, number: int, ran: Ran) -> None:
        """A change was handed to the performer, which numbers them."""
        self._ran[number] = ran
        while len(self._ran) > self._kept:
            self._ran.popitem(last=False)

    def done(self, number: int, outcome: Outcome | None, failure: str = "") -> None:
        """It has come back, or vfdeck itself has failed."""
        ran = self._ran.get(number)
        if ran is not None:
            self._ran[number] = replace(ran, outcome=outcome, failure=failure)
