"""A fault to practise on, on the live screen: when its story is told, and when that it is mended."""

from __future__ import annotations

from vfdeck.app.dashboard.desk import Desk
from vfdeck.app.dashboard.dialogs.base import Page
from vfdeck.app.dashboard.feed import aside
from vfdeck.app.dashboard.lesson import Lesson, Practice
from vfdeck.backend.changes import Outcome
from vfdeck.backend.checks import WholeHost
from vfdeck.widgets.rows import RowId
from vfdeck.widgets.sections import Section
from vfdeck.widgets.state import Tone

#: Width of the labels on its pages.
_LABELS = 5


class Practising:
    """Tells a lesson on the main screen; without one it does nothing. The lesson is about the first host."""

    def __init__(self, desk: Desk, lesson: Lesson | None) -> None:
        self._desk = desk
        self._practice = Practice(lesson) if lesson is not None else None
        self._has_news = False
        self._is_asking = False

    def sections(self) -> list[Section]:
        """The story again, to be read above the keys; nothing without a lesson."""
        if self._practice is None:
            return []
        first, *rest = self._practice.lesson.sections()
        return [Section(self._practice.lesson.title, first.facts), *rest]

    def looked(self) -> None:
        """A look came in: tell the story first; later what is new, and let the doctor say how it stands."""
        practice = self._practice
        if practice is None or not self._desk.snapshots():
            return
        if not practice.is_told:
            practice.begin(self._desk.snapshots()[0])
            self._desk.tree.select(RowId(next(iter(self._desk.hosts)), practice.lesson.target))
            self._desk.screen.app.push_screen(Page(practice.lesson.title, practice.lesson.sections(), label_width=_LABELS))
        if practice.asks_the_doctor and not self._is_asking:
            self._is_asking = True
            self._desk.screen.run_worker(self._ask_the_doctor(practice), group="practice")
        self._tell()

    def done(self, outcome: Outcome | None) -> None:
        """A change is over."""
        if self._practice is not None and outcome is not None and self._practice.take(outcome):
            self._has_news = True
        self._tell()

    async def _ask_the_doctor(self, practice: Practice) -> None:
        """What the doctor finds now, by the latest look."""
        host, snapshot = next(iter(self._desk.hosts.values())), self._desk.snapshots()[0]
        try:
            report = await aside(lambda: host.check(WholeHost(), snapshot))
        except Exception as error:  # a bug of the backend must not end the dashboard; its text might hold what it was given
            self._desk.line.hint(f"the doctor failed: {type(error).__name__}; this is a bug")
            return
        finally:
            self._is_asking = False
        if practice.examined(report):
            self._has_news = True
        self._tell()

    def _tell(self) -> None:
        """Tell that it is mended, once nothing else is being read."""
        practice = self._practice
        if self._has_news and practice is not None and self._desk.is_on_top:
            self._has_news = False
            self._desk.screen.app.push_screen(Page(practice.title, practice.sections(), label_width=_LABELS, tone=Tone.GOOD))
