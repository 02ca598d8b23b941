"""A look at the host that several share: changes that wait ask at the same pace whom they wait for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from vfdeck.backend.model import Snapshot


class SharedLook:
    """Looks at most once in `every` seconds; who asks in between, or while one is under way, gets that one."""

    def __init__(self, look: Callable[[], Snapshot], every: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._look = look
        self._every = every
        self._clock = clock
        self._last: tuple[float, Snapshot] | None = None  # when it began, and what was seen
        self._lock = threading.Lock()

    def __call__(self) -> Snapshot:
        """The host, as it was not longer ago than `every` seconds before this was called, or later."""
        asked = self._clock()
        with self._lock:
            if self._last is None or asked - self._last[0] >= self._every:
                began = self._clock()
                self._last = began, self._look()
            return self._last[1]
