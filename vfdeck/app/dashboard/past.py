"""What was changed in this run and what would take it back, the latest last."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from vfdeck.backend.changes import Close, Outcome
from vfdeck.backend.undo import Undo, is_needed
from vfdeck.widgets.rows import RowId


class Part(NamedTuple):
    """One change that was made, and its undo."""

    row_id: RowId
    title: str
    undo: Undo


@dataclass(eq=False)
class Deed:
    """What one confirmation did: one change, or those of a batch."""

    title: str
    parts: list[Part] = field(default_factory=list)


class _Pending(NamedTuple):
    deed: Deed
    part: Part
    takes_back: bool


class Past:
    """Keeps the deeds that have something left to take back."""

    def __init__(self) -> None:
        self._deeds: list[Deed] = []
        self._pending: dict[int, _Pending] = {}

    @property
    def latest(self) -> Deed | None:
        """The deed that is taken back next."""
        return self._deeds[-1] if self._deeds else None

    def begun(self, number: int, deed: Deed, part: Part, takes_back: bool = False) -> None:
        """A change of a deed was handed to the performer, or the undo of one."""
        self._pending[number] = _Pending(deed, part, takes_back)

    def done(self, number: int, outcome: Outcome | None) -> None:
        """It has come back. What was made can be taken back; what was not taken back still can."""
        pending = self._pending.pop(number, None)
        if pending is None:
            return
        made = outcome is not None and is_needed(outcome)
        if (outcome is None or not outcome.ok) if pending.takes_back else made:
            pending.deed.parts.append(pending.part)
            if pending.deed not in self._deeds:
                self._deeds.append(pending.deed)

    def closed(self, row_id: RowId) -> None:
        """A function was let go: what opened it has nothing left to take back."""
        for deed in list(self._deeds):
            deed.parts = [part for part in deed.parts if part.row_id != row_id or not isinstance(part.undo.change, Close)]
            if not deed.parts:
                self._deeds.remove(deed)

    def forget(self, deed: Deed) -> list[Part]:
        """The parts of a deed, which is no more among what can be taken back."""
        if deed in self._deeds:
            self._deeds.remove(deed)
        parts, deed.parts = deed.parts, []
        return parts
