"""What was changed in this run, step by step, the latest last. No Textual in here."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace

from vfdeck.backend.changes import Outcome, Step
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

    def begun(self, number: int, host: str, title: str, steps: tuple[Step, ...], now: float) -> None:
        """A change was handed to the performer, which numbers them; `now` is its host's time as last seen."""
        self._ran[number] = Ran(host, title, steps, now)
        while len(self._ran) > self._kept:
            self._ran.popitem(last=False)

    def done(self, number: int, outcome: Outcome | None, failure: str = "") -> None:
        """It has come back, or vfdeck itself has failed."""
        ran = self._ran.get(number)
        if ran is not None:
            self._ran[number] = replace(ran, outcome=outcome, failure=failure)
