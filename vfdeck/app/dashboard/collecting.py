"""Python's garbage collector and large fleets.

A full collection walks every object there is: for 100,000 VFs a pause of some 300 ms, at any key. Snapshots are values without
cycles, which go when nobody needs them any more, collector or not; so what a large fleet consists of once it was read is put
where the collector does not look. Of what comes later only the young is collected as ever, and all of it when nobody presses a key.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Sequence

from vfdeck.backend.model import Snapshot

#: Fewer functions than this make a pause that nobody notices.
MANY = 10_000
#: Seconds between two full collections, and for how long no key was pressed before one.
OFTEN, CALM = 60.0, 5.0
#: Young collections before a full one that nobody asked for: about never.
NEVER = 1_000_000


class Collecting:
    """Keeps the collector away from a fleet that was read."""

    def __init__(self) -> None:
        self._before: tuple[int, int, int] | None = None  # the thresholds before a fleet was read
        self._pressed = time.monotonic()

    @property
    def is_away(self) -> bool:
        """Whether the collector is kept away."""
        return self._before is not None

    def read(self, snapshots: Sequence[Snapshot]) -> bool:
        """Every host was read; True when from now on `calm` has to be called now and then."""
        if self.is_away or sum(len(snapshot.functions) for snapshot in snapshots) < MANY:
            return False
        self._before = gc.get_threshold()
        gc.freeze()
        gc.set_threshold(*self._before[:2], NEVER)
        return True

    def pressed(self) -> None:
        """A key was pressed."""
        self._pressed = time.monotonic()

    def calm(self) -> None:
        """Collect, unless somebody presses keys."""
        if self.is_away and time.monotonic() - self._pressed > CALM:
            gc.collect()

    def over(self) -> None:
        """The fleet is not needed any more."""
        if self._before is not None:
            gc.set_threshold(*self._before)
            gc.unfreeze()
            self._before = None
