"""Undo: the last deed of this run is taken back by changes that are planned and confirmed like any other."""

from __future__ import annotations

from vfdeck.app.dashboard.batch_flow import BatchFlow
from vfdeck.app.dashboard.desk import Desk, Target
from vfdeck.app.dashboard.flow import Flow
from vfdeck.app.dashboard.past import Deed, Part, Past
from vfdeck.app.dashboard.results import Results
from vfdeck.backend.changes import Change
from vfdeck.widgets.state import Tone


class TakingBack:
    """Asks for it and begins it."""

    def __init__(self, desk: Desk, flow: Flow, batches: BatchFlow, results: Results, past: Past) -> None:
        self._desk = desk
        self._flow = flow
        self._batches = batches
        self._results = results
        self._past = past

    @property
    def why_none(self) -> str:
        """Why there is nothing to take back; "" where there is something."""
        return "" if self._past.latest is not None else "nothing was changed here that could be taken back"

    def begin(self) -> None:
        """Take the last deed back, or say why it can't be; then the one before it is next."""
        deed = self._past.latest
        if deed is None:
            return
        possible = [(part, target, part.undo.change) for part in deed.parts if part.undo.change and (target := self._target(part))]
        if not possible:
            reasons = dict.fromkeys(part.undo.why_not or f"{part.row_id.bdf} is not there any more" for part in deed.parts)
            self._past.forget(deed)
            self._desk.line.hint(f"Can't be taken back ({deed.title}): {'; '.join(reasons)}", Tone.WARN)
        elif len(deed.parts) == 1:
            self._flow.begin(lambda: self._one(deed, *possible[0]))
        else:
            self._flow.begin(lambda: self._many(deed, possible))

    async def _one(self, deed: Deed, part: Part, target: Target, change: Change) -> None:
        plan = await self._flow.agreed(target, change, _lost([part]))
        if plan is not None:
            self._past.forget(deed)
            self._results.perform(self._desk.host_of(target), change, plan, takes_back=(deed, part))

    async def _many(self, deed: Deed, possible: list[tuple[Part, Target, Change]]) -> None:
        parts = {part.row_id: part for part, _, __ in possible}
        wanted = [(target, change) for _, target, change in possible]
        batch = await self._batches.agreed(f"Take back: {deed.title}", wanted, _lost(list(parts.values())))
        if batch is not None:
            self._past.forget(deed)
            batch.deed, batch.takes_back = deed, parts
            self._results.begin(batch)

    def _target(self, part: Part) -> Target | None:
        """The function as it is now; None where it is gone."""
        snapshot = self._desk.snapshot(part.row_id.host)
        function = snapshot.functions.get(part.row_id.bdf) if snapshot is not None else None
        return Target(function, snapshot) if function is not None and snapshot is not None else None


def _lost(parts: list[Part]) -> tuple[str, ...]:
    """What does not come back, as warnings of the plan."""
    return tuple(dict.fromkeys(f"not restored: {text}" for part in parts for text in part.undo.lost))
