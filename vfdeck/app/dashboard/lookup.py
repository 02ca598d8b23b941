"""What is looked up before something is asked or shown: plans and checks, which read files and may take a while."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from vfdeck.app.dashboard.feed import aside
from vfdeck.widgets.bars import JobLine
from vfdeck.widgets.state import Tone

#: Seconds after which it is said what is being looked up.
PATIENCE = 0.3

T = TypeVar("T")


class NoAnswer(Exception):
    """A look-up was given up by the operator, or failed, which has been said."""


class Lookup:
    """At most one look-up at a time, on a thread of its own. When it takes long, the line says what it is and how to give it up."""

    def __init__(self, line: JobLine) -> None:
        self._line = line
        self._task: asyncio.Task[object] | None = None
        self._what = ""
        self._given_up = self._is_late = False

    @property
    def is_busy(self) -> bool:
        """Whether something is being looked up."""
        return self._task is not None

    async def make(self, what: str, work: Callable[[], T]) -> T:
        """What `work` answers; `what` says it in the words that follow "looking up". Raises NoAnswer."""
        assert self._task is None, "one look-up at a time"
        task = asyncio.ensure_future(aside(work))
        self._task, self._what = task, what
        self._given_up = self._is_late = False
        telling = asyncio.get_running_loop().call_later(PATIENCE, self._be_late)
        try:
            return await task
        except asyncio.CancelledError:
            if not self._given_up:  # the screen is going away
                raise
            raise NoAnswer from None
        except Exception as error:  # a bug of the backend: named by its kind only, as its text might hold what it was given
            self._line.hint(f"{what}: vfdeck itself failed ({type(error).__name__}); this is a bug", Tone.BAD)
            raise NoAnswer from None
        finally:
            telling.cancel()
            self._task = None
            if self._line.text == self._told:
                self._line.clear_hint()

    @property
    def _told(self) -> str:
        return f"… looking up {self._what}   Esc gives it up"

    def _be_late(self) -> None:
        self._is_late = True
        self.tell()

    def tell(self) -> bool:
        """Say what is being looked up; False where nothing is, or not for long enough to be worth a word."""
        if self._task is None or not self._is_late:
            return False
        self._line.hint(self._told, Tone.DIM)
        return True

    def give_up(self) -> bool:
        """Wait no longer for what is being looked up; False where nothing is."""
        if self._task is None:
            return False
        self._given_up = True
        self._task.cancel()
        return True
