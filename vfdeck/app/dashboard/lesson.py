"""A fault to practise on: its story, what to try and where; and what is told once it is mended.

Whether it is mended is judged by outcomes alone (`vfdeck.backend.goal`): there is no list of solutions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vfdeck.backend.catalogue import entry, fill
from vfdeck.backend.changes import Outcome
from vfdeck.backend.checks import Report
from vfdeck.backend.goal import Goal, is_found, is_reached, is_tried
from vfdeck.backend.model import Snapshot
from vfdeck.widgets.sections import Fact, Section
from vfdeck.widgets.state import Tone

if TYPE_CHECKING:
    from vfdeck.backend.sim.faults import Exercise

#: So many of the operator's last changes are told as what did it.
_TOLD = 5


@dataclass(frozen=True, slots=True)
class Lesson:
    """A story about one function of the first host. Without a `goal` it ends with the story."""

    name: str  # of the fault, e.g. "A14"
    story: str
    advice: str
    target: str  # BDF on which the cursor begins
    goal: Goal | None = None
    after: str = ""  # the next one's name

    @classmethod
    def of(cls, fault: Exercise) -> Lesson:
        """The story of a fault."""
        from vfdeck.backend.sim.faults.practice import goal_of, next_fault  # a real host needs no simulator

        return cls(fault.name, fault.story, fault.advice, fault.target, goal_of(fault), next_fault(fault.name))

    @property
    def title(self) -> str:
        """What stands above the story."""
        return f"To practise on: {self.name}"

    @property
    def entry(self) -> str:
        """The id of the catalogue's entry that it shows."""
        return self.name.split(".", 1)[0]

    def sections(self) -> list[Section]:
        """The story, as a page shows it."""
        facts = (
            Fact("", self.story),
            Fact("try", self.advice),
            Fact("then", f"compare what vfdeck says with `vfdeck explain {self.entry}`. Nothing here touches real hardware."),
            *self._goal(),
            Fact("?", "shows this again, above the keys."),
        )
        return [Section("", facts)]

    def _goal(self) -> list[Fact]:
        """When it is mended."""
        if self.goal is None:
            return []
        if self.goal.change is None:
            return [Fact("goal", "the doctor finds nothing of it any more; vfdeck tells you when it is so.")]
        if self.goal.by_others:
            return [
                Fact(
                    "goal", "the refused call was another program's: make vfdeck do the same, rightly; it tells you when it works."
                )
            ]
        return [Fact("goal", "make it work; vfdeck tells you when it does.")]


class Practice:
    """How far a lesson has come."""

    def __init__(self, lesson: Lesson) -> None:
        self.lesson = lesson
        self.is_told = False
        self.solved = False
        self._first: Snapshot | None = None
        self._refused: Outcome | None = None
        self._done: list[str] = []
        self._was_found = False  # the doctor found it when this began, so that it can tell when it is gone
        self._looked = False

    def begin(self, snapshot: Snapshot) -> None:
        """The story is told; this is how things stand before anything is done."""
        self.is_told, self._first = True, snapshot

    @property
    def asks_the_doctor(self) -> bool:
        """Whether only the doctor can tell whether it is mended."""
        goal = self.lesson.goal
        return goal is not None and bool(goal.look) and not self.solved and (self._was_found or not self._looked)

    def examined(self, report: Report) -> bool:
        """The doctor's findings are in; True where this is what mended looks like, for the first time."""
        assert self.lesson.goal is not None
        found = is_found(self.lesson.goal, report)
        if not self._looked:
            self._looked, self._was_found = True, found
        elif self._was_found and not found:
            return self._solve()
        return False

    def take(self, outcome: Outcome) -> bool:
        """A change is over; True where with it what was refused works, for the first time."""
        goal, first = self.lesson.goal, self._first
        if outcome.ok:
            self._done += outcome.done
        if goal is None or first is None or goal.change is None:
            return False
        if is_reached(goal, outcome, first):
            return self._solve()
        if is_tried(goal, outcome.change, first):
            self._refused = outcome
        return False

    def _solve(self) -> bool:
        """It is mended; whether that is new."""
        new, self.solved = not self.solved, True
        return new

    @property
    def title(self) -> str:
        """What stands above the page that tells so."""
        return f"Solved: {self.lesson.name}"

    def sections(self) -> list[Section]:
        """What was reached, what there was to learn, what comes next, and what did it."""
        done = self._done[-_TOLD:]
        numbered = tuple(Fact(f"{n}.", text) for n, text in enumerate(done, 1))
        return [
            Section("", (Fact("", self._reached(), Tone.GOOD),)),
            Section("What there was to learn", tuple(self._learned())),
            Section("Next", tuple(self._next())),
            *([Section("What did it, as far as vfdeck did it", numbered)] if numbered else []),
        ]

    def _reached(self) -> str:
        """What is otherwise now."""
        goal, refused = self.lesson.goal, self._refused
        if goal is not None and goal.change is None:
            return "The doctor found it, and finds it no more."
        if refused is not None and refused.ok:
            return "What the kernel took, and did not do as asked, works now."
        if refused is not None and refused.attempted and not refused.blocked:
            return f"What was refused with {refused.answer} works now."
        if refused is not None:
            return "What was held back works now."
        if goal is not None and goal.by_others:
            return "vfdeck made the same change rightly, and it works. The other program's call is still refused."
        return "It works, without having been refused once: to meet the refusal, begin again and do at once what the story says."

    def _learned(self) -> list[Fact]:
        """The entry, as the refusal explained it where it was met."""
        entry_id = self.lesson.entry
        met = self._refused.explanation if self._refused is not None else None
        if met is not None and met.entry == entry_id:
            return [Fact(entry_id, met.title, Tone.STRONG), Fact("rule", met.rule), Fact("why", met.why), self._read()]
        found = entry(entry_id)
        return [Fact(entry_id, fill(found.title, {}), Tone.STRONG), Fact("rule", fill(found.rule, {})), self._read()]

    def _read(self) -> Fact:
        return Fact("read", f"vfdeck explain {self.lesson.entry}")

    def _next(self) -> list[Fact]:
        """How to get the next one."""
        every = Fact("all", "vfdeck demo --fault list")
        return [Fact("then", f"vfdeck demo --fault {self.lesson.after}", Tone.OWN), every] if self.lesson.after else [every]
