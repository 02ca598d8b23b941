"""What no snapshot has of the selected row is looked up once the cursor rests there: on threads, and kept for when one comes back.

Nothing here ever waits for a card: a row is asked for its VPD only when no other one is being asked.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from textual.timer import Timer
from textual.widget import Widget

from vfdeck.app.dashboard.feed import aside
from vfdeck.backend.details import Details, Part
from vfdeck.backend.host import Host
from vfdeck.backend.model import Function, Snapshot
from vfdeck.widgets.rows import RowId

#: Seconds for which the cursor must rest on a row before anything is asked.
REST = 0.25
#: Seconds after which something is looked up again, while it is shown.
AGES = {Part.RESETS: math.inf, Part.VPD: math.inf, Part.LASTING: 60.0, Part.LEAKS: 60.0, Part.OPENING: 10.0}
#: What stays as it is when the function is bound, or gets VFs.
_LASTS = (Part.VPD, Part.LEAKS)
#: Rows that are kept.
_MOST = 64


@dataclass(slots=True)
class _Kept:
    function: Function
    details: Details
    asked: dict[Part, float] = field(default_factory=dict)  # when, by the monotonic clock


@dataclass(frozen=True, slots=True)
class _Wish:
    row_id: RowId
    host: Host
    function: Function
    snapshot: Snapshot
    parts: frozenset[Part]


class Inspector:
    """Looks up details for one screen; `changed` is called when there are new ones, `failed` with what went wrong in vfdeck."""

    def __init__(
        self,
        screen: Widget,
        changed: Callable[[], None],
        failed: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._screen = screen
        self._changed = changed
        self._failed = failed
        self._clock = clock
        self._kept: OrderedDict[RowId, _Kept] = OrderedDict()
        self._wish: _Wish | None = None
        self._timer: Timer | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._slow = False  # a card is being asked

    @property
    def is_busy(self) -> bool:
        """Whether something is being looked up, or will be when the cursor rests a little longer."""
        return self._timer is not None or bool(self._tasks)

    def of(self, row_id: RowId | None) -> Details | None:
        """What is known of a row so far; None where nothing was asked yet."""
        kept = self._kept.get(row_id) if row_id is not None else None
        return kept.details if kept else None

    def want(self, row_id: RowId, host: Host, function: Function, snapshot: Snapshot, parts: Collection[Part]) -> None:
        """These parts are shown: what of them is missing or old is looked up, if the row stays selected for a moment."""
        wish = _Wish(row_id, host, function, snapshot, frozenset(self._due(row_id, function, parts)))
        waits = self._wish
        self._wish = wish if wish.parts else None
        if waits is not None and self._wish is not None and (waits.row_id, waits.parts) == (row_id, wish.parts):
            return
        self.rest()
        if self._wish is not None:
            self._timer = self._screen.set_timer(REST, self._ask)

    def rest(self) -> None:
        """Nothing that could be looked up is shown any more."""
        if self._timer is not None:
            self._timer.stop()
            self._timer = None

    def _due(self, row_id: RowId, function: Function, parts: Collection[Part]) -> list[Part]:
        kept = self._kept.get(row_id)
        if kept is not None and kept.function != function:
            kept.function = function
            kept.asked = {part: at for part, at in kept.asked.items() if part in _LASTS}
        asked = kept.asked if kept is not None else {}
        now = self._clock()
        due = [part for part in parts if part not in asked or now - asked[part] > AGES[part]]
        return [part for part in due if not (part is Part.VPD and self._slow)]

    def _ask(self) -> None:
        """The cursor has rested: ask, the card beside everything else."""
        self._timer, wish, self._wish = None, self._wish, None
        if wish is None:
            return
        kept = self._kept.setdefault(wish.row_id, _Kept(wish.function, Details(wish.function.bdf)))
        self._kept.move_to_end(wish.row_id)
        while len(self._kept) > _MOST:
            self._kept.popitem(last=False)
        kept.asked |= dict.fromkeys(wish.parts, self._clock())
        for parts in (wish.parts - {Part.VPD}, wish.parts & {Part.VPD}):
            if parts:
                task = asyncio.ensure_future(self._look(wish, parts, kept))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _look(self, wish: _Wish, parts: frozenset[Part], kept: _Kept) -> None:
        slow = Part.VPD in parts
        self._slow = self._slow or slow
        try:
            found = await aside(lambda: wish.host.details(wish.function.bdf, parts, wish.snapshot), "inspect")
        except Exception as error:  # a bug of the backend: named by its kind only, as its text might hold what it was given
            self._failed(f"{wish.function.bdf}: vfdeck itself failed ({type(error).__name__}); this is a bug")
            return
        finally:
            self._slow = self._slow and not slow
        kept.details = kept.details.joined(found)
        if self._screen.is_attached:
            self._changed()
