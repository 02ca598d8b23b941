"""The tour on the live screen: what its strip says, when a lesson is done, and how one comes to the next."""

from __future__ import annotations

from typing import Protocol, cast

from vfdeck.app.dashboard.actions import BY_ID
from vfdeck.app.dashboard.desk import Desk
from vfdeck.app.dashboard.dialogs.base import Page
from vfdeck.app.tour import Leaf, Lesson, Lessons, Progress, keyed, lessons
from vfdeck.backend.changes import Outcome
from vfdeck.backend.sim.lab import LabHost
from vfdeck.widgets.bars import Key
from vfdeck.widgets.rows import RowId
from vfdeck.widgets.sections import Fact, Section
from vfdeck.widgets.state import Tone
from vfdeck.widgets.tour_strip import Pieces, Told, TourStrip


class Tour:
    """A tour under way: its lessons, the present one's number from 1, and its host, which is new for each."""

    def __init__(self, number: int = 1, seed: int = 0, *, realtime: bool = False, told: Lessons | None = None) -> None:
        self.lessons = told or lessons()
        self.is_welcome = number == 1
        self._seed, self._realtime = seed, realtime
        self.number = number
        self.host = self._new_host()

    @property
    def total(self) -> int:
        """How many lessons there are."""
        return len(self.lessons.all)

    @property
    def lesson(self) -> Lesson:
        """The present lesson."""
        return self.lessons.all[self.number - 1]

    def go_to(self, number: int) -> LabHost:
        """Another lesson, or the same from its beginning; its host. The one before is closed."""
        self.close()
        self.number, self.is_welcome = number, False
        self.host = self._new_host()
        return self.host

    def close(self) -> None:
        """Done with the present host."""
        self.host.close()

    def _new_host(self) -> LabHost:
        return LabHost(self.lesson.stage, self._seed, realtime=self._realtime)


class Guided(Protocol):
    """The program that shows one lesson after the other."""

    def tell(self, told: Told | None) -> None:
        """What dialogs say from now on, and one that is open."""

    def begin_lesson(self, number: int) -> None:
        """Show a lesson from its beginning."""


class Touring:
    """Tells a lesson on the main screen; without a tour it does nothing."""

    def __init__(self, desk: Desk, strip: TourStrip, tour: Tour | None) -> None:
        self._desk = desk
        self._strip = strip
        self._tour = tour
        self._progress = Progress(tour.lesson) if tour is not None else None
        self._is_begun = False
        self._was_tried = False  # something was done, so that the lesson is not as it was at its beginning

    @property
    def is_on(self) -> bool:
        """Whether there is a tour."""
        return self._tour is not None

    # -- what happens --------------------------------------------------------------------------------------------------
    def looked(self) -> None:
        """A look came in."""
        tour, progress = self._tour, self._progress
        if tour is None or progress is None or not self._desk.snapshots():
            return
        if not self._is_begun:
            self._is_begun = True
            self._begin(tour)
        progress.look(self._desk.snapshots()[0])
        self._show()

    def _begin(self, tour: Tour) -> None:
        if tour.host.known is not None:
            self._desk.tokens.keep(tour.host.name, tour.host.known)
        self._desk.tree.unfold()
        self._desk.tree.select(RowId(tour.host.name, tour.lesson.target))
        if tour.is_welcome:
            self._read(tour.lessons.welcome)

    def done(self, outcome: Outcome | None) -> None:
        """A change is over."""
        if self._progress is not None and outcome is not None:
            self._was_tried = True
            self._progress.take(outcome)
            self._show()

    # -- what is said --------------------------------------------------------------------------------------------------
    def sections(self) -> list[Section]:
        """The lesson's story, to be read above the keys; nothing without a tour."""
        tour, progress = self._tour, self._progress
        if tour is None or progress is None:
            return []
        facts = [Fact("", text) for text in progress.lesson.story]
        if progress.is_done:
            facts.append(Fact("", self._plain(progress.lesson.done), Tone.GOOD))
        else:
            facts += [Fact("now", self._plain(progress.step.text)), Fact("press", self._plain(progress.step.press), Tone.STRONG)]
        return [Section(f"Tour {tour.number} of {tour.total}: {progress.lesson.title}", tuple(facts))]

    def _show(self) -> None:
        """Say how it stands."""
        told = self._told()
        self._strip.show(told)
        self._app.tell(told)

    def _told(self) -> Told | None:
        tour, progress = self._tour, self._progress
        if tour is None or progress is None:
            return None
        keys = (
            self._key("tour_back", "again" if self._was_tried else "back", self._was_tried or tour.number > 1),
            self._key("tour_next", "go on" if progress.is_done else "skip"),
            self._key("tour_leave", "leave"),
        )
        about = (tour.number, tour.total, progress.lesson.title)
        if progress.is_done:
            text, short = self._pieces(progress.lesson.done), self._pieces("Done. {help} tells what was seen; {tour_next} goes on.")
            over = self._pieces("Done. When you have read this, Esc, then {tour_next} goes on.")
            return Told(*about, text, self._pieces(self._onward(tour)), short, over, keys, Tone.GOOD)
        press = over = self._pieces(progress.step.press)
        if progress.step.act is not None:  # whose key does nothing while a page is read
            over = (("Esc", True), (" closes this page; then ", False), *press)
        if progress.hint:
            hint = self._pieces(progress.hint)
            return Told(*about, hint, press, hint, hint, keys, Tone.WARN)
        return Told(*about, self._pieces(progress.step.text), press, press, over, keys)

    def _onward(self, tour: Tour) -> str:
        """What comes next."""
        if tour.number == tour.total:
            return "{tour_next} ends the tour"
        return f"{{tour_next}} goes on to lesson {tour.number + 1}: {tour.lessons.all[tour.number].title}"

    def _read(self, leaf: Leaf) -> None:
        """A page of the tour."""
        sections = [Section("", (Fact("", self._plain(text)),)) for text in leaf.text]
        if leaf.next:
            sections.append(Section("What next", tuple(Fact("·", text) for text in leaf.next)))
        self._desk.screen.app.push_screen(Page(leaf.title, sections, label_width=1, tone=Tone.GOOD))

    # -- what is pressed -----------------------------------------------------------------------------------------------
    def why_not(self, action: str) -> str:
        """Why a key of the tour does nothing now; "" where it does something."""
        if self._tour is None or self._progress is None:
            return "there is no tour here; vfdeck demo --tour begins one"
        if action == "tour_back" and self._tour.number == 1 and not self._was_tried:
            return "this is the beginning"
        if action == "tour_act" and (self._progress.is_done or self._progress.step.act is None):
            return "nobody else is needed now"
        return ""

    def next(self) -> None:
        """To the next lesson; after the last one to the end."""
        tour = self._tour
        assert tour is not None
        if tour.number < tour.total:
            self._go_to(tour.number + 1)
        else:
            self.leave()
            self._read(tour.lessons.end)

    def back(self) -> None:
        """To the beginning of this lesson; from there to the one before."""
        tour = self._tour
        assert tour is not None
        self._go_to(tour.number if self._was_tried else tour.number - 1)

    def act(self) -> None:
        """Do the part of somebody else."""
        tour, progress = self._tour, self._progress
        assert tour is not None
        assert progress is not None
        assert progress.step.act is not None
        tour.host.act(progress.step.act)

    def leave(self) -> None:
        """No tour any more: the host stays as it is."""
        self._tour = self._progress = None
        self._show()

    def _go_to(self, number: int) -> None:
        self._app.begin_lesson(number)

    @property
    def _app(self) -> Guided:
        return cast(Guided, self._desk.screen.app)

    # -- keys as they are here ----------------------------------------------------------------------------------------
    def _name(self, action: str) -> str:
        return self._desk.keys.shown(BY_ID[action])

    def _pieces(self, text: str) -> Pieces:
        return tuple(keyed(text, self._name))

    def _plain(self, text: str) -> str:
        return "".join(piece for piece, _ in keyed(text, self._name))

    def _key(self, action: str, label: str, enabled: bool = True) -> Key:
        return Key(action, self._name(action), label, enabled)
