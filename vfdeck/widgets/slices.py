"""Work that goes on in slices between other events, so that no key waits for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

from textual.widget import Widget

#: Seconds that work may go on before other events have their turn.
_SLICE = 0.004
_OVER = object()


class Slices:
    """The work of a widget, by name; work that begins takes the place of earlier work of its name."""

    def __init__(self, widget: Widget) -> None:
        self._widget = widget
        self._work: dict[str, Iterator[object]] = {}

    def begin(self, name: str, work: Iterator[object]) -> None:
        """Begin work instead of earlier work of this name: what is done in a moment at once, the rest in slices."""
        self._work[name] = work
        if self._slice(name, work):
            self._widget.run_worker(self._go_on(name, work), group=name, exclusive=True)

    @property
    def busy(self) -> bool:
        """Whether there is work left."""
        return bool(self._work)

    def stop(self, name: str) -> None:
        """Let the work of this name end where it is."""
        self._work.pop(name, None)

    async def _go_on(self, name: str, work: Iterator[object]) -> None:
        """Slice by slice, with everything else having its turn between them (a message to ourselves would not let it)."""
        while self._slice(name, work):
            await asyncio.sleep(0)

    def _slice(self, name: str, work: Iterator[object]) -> bool:
        """One slice; whether there is more to do."""
        end = time.perf_counter() + _SLICE
        while self._work.get(name) is work:
            if next(work, _OVER) is _OVER:
                if self._work.get(name) is work:
                    del self._work[name]
            elif time.perf_counter() > end:
                return True
        return False
