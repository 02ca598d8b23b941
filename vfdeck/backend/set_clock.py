"""By how much a host's wall clock was set: what is remembered by it is moved along, so that its age stays what it is."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

#: What is less is no setting: a clock that is adjusted slowly, and the moment between two readings. Seconds.
LEAST = 2.0


def steady() -> float:
    """Seconds by a clock that nobody sets, and that goes on while the machine sleeps (clock_gettime(2), CLOCK_BOOTTIME)."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class SetClock:
    """Watches a wall clock beside a steady one. Any thread may ask."""

    def __init__(self, wall: Callable[[], float], beside: Callable[[], float] = steady) -> None:
        self._wall, self._beside = wall, beside
        self._lock = threading.Lock()
        self._between = wall() - beside()

    def moved(self) -> float:
        """By how many seconds it was set since this was asked last; 0.0 where it was not."""
        with self._lock:
            between = self._wall() - self._beside()
            by, self._between = between - self._between, between
        return by if abs(by) >= LEAST else 0.0
