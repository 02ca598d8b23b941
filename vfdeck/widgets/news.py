"""What changed a moment ago, and for how long that is still shown. Time is that of the snapshots, so a still clock shows it still.

No Textual in here.
"""

from __future__ import annotations

from collections.abc import Sequence

from vfdeck.backend.model import Snapshot
from vfdeck.widgets.changed import Difference, differences
from vfdeck.widgets.rows import RowId


class News:
    """Remembers what changed for `seconds`; with 0 nothing is ever new."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._news: dict[str, dict[str, tuple[float, tuple[Difference, ...]]]] = {}

    def take(self, before: Sequence[Snapshot], after: Sequence[Snapshot]) -> None:
        """Take in new snapshots: what is different now is new from the moment they were taken, what is old is forgotten."""
        if not self._seconds:
            return
        old = {snapshot.host.name: snapshot for snapshot in before}
        for snapshot in after:
            name, now = snapshot.host.name, snapshot.taken
            known = old.get(name)
            if known is None or known is snapshot or known.never_seen or snapshot.away is not None:
                continue
            fresh = {bdf: kept for bdf, kept in self._news.get(name, {}).items() if 0 <= now - kept[0] < self._seconds}
            fresh |= {bdf: (now, different) for bdf, different in differences(known, snapshot).items()}
            self._news[name] = fresh

    def of(self, row_id: RowId) -> tuple[Difference, ...]:
        """What is new of a function."""
        return self._news.get(row_id.host, {}).get(row_id.bdf, (0.0, ()))[1]
