"""One action on many functions: which of them it can be done to, one plan of all, and what came of each."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from vfdeck.app.dashboard.past import Deed, Part
from vfdeck.backend.blast import going
from vfdeck.backend.changes import Change, Outcome, Plan, SetAutoprobe, SetNumvfs, SetToken, target_of
from vfdeck.backend.host import Host
from vfdeck.backend.model import Snapshot
from vfdeck.backend.wording import listing
from vfdeck.widgets.report import report, verdict
from vfdeck.widgets.rows import RowId
from vfdeck.widgets.sections import Fact, Section
from vfdeck.widgets.state import Tone, plural

#: Changes of a batch that are under way at the same time; those that wait in the kernel for a program don't count.
AT_ONCE = 4


class Item(NamedTuple):
    """One change of a batch with its plan."""

    host: Host
    change: Change
    plan: Plan
    name: str  # the function's address, with its host where there are several

    @property
    def title(self) -> str:
        """The plan's, with the name."""
        return self.plan.title.replace(target_of(self.change), self.name, 1)


class LeftOut(NamedTuple):
    """A function that the batch leaves alone, and why."""

    name: str
    why: str


def retarget(change: Change, bdf: str) -> Change:
    """The same change of another function."""
    if isinstance(change, SetNumvfs | SetToken | SetAutoprobe):
        return replace(change, pf=bdf)
    return replace(change, bdf=bdf)


def used_by_host(change: Change, snapshot: Snapshot) -> str:
    """An interface or disk of the host that a change takes away, "" for none.

    Each of several may seem to be spared by the others (a bond, a mirrored disk) and all together not: so no batch takes any.
    """
    return next((name for f in going(change, snapshot) for name in (*f.interfaces, *f.disks)), "")


def sort_out(items: Iterable[Item]) -> tuple[list[Item], list[LeftOut]]:
    """The changes that can be done together. What is impossible is left out, and what needs a confirmation of its own kind."""
    kept: list[Item] = []
    left: list[LeftOut] = []
    for item in items:
        if item.plan.impossible:
            left.append(LeftOut(item.name, item.plan.impossible))
        elif item.plan.severe:
            left.append(LeftOut(item.name, f"{item.plan.severe}: do it by itself"))
        else:
            kept.append(item)
    return kept, left


def told(left: Iterable[LeftOut]) -> tuple[Fact, ...]:
    """What was left out, a line for each reason."""
    return tuple(Fact("", text, Tone.WARN) for text in _left_out(left))


def _left_out(left: Iterable[LeftOut]) -> Iterator[str]:
    return _grouped((name, name.rpartition(" ")[2], why) for name, why in left)


def _grouped(told: Iterable[tuple[str, str, str]]) -> Iterator[str]:
    """Texts about functions (name, address, text), where all that say the same of several are one: `2 functions (a, b): text`."""
    by_text: dict[str, list[tuple[str, str, str]]] = {}
    for one in told:
        by_text.setdefault(one[2].replace(one[1], "it"), []).append(one)
    for text, same in by_text.items():
        names = [name for name, _, __ in same]
        (name, bdf, own), *others = same
        if others:
            yield f"{plural(len(names), 'function')} ({listing(names)}): {text}"
        else:
            yield own.replace(bdf, name, 1) if bdf in own else f"{name}: {own}"


def together(title: str, items: Sequence[Item], left: Sequence[LeftOut]) -> Plan:
    """One plan of all: every warning and every step, by function. There is at least one item."""
    out = (f"left out {text}" for text in _left_out(left))
    warnings = _grouped((item.name, target_of(item.change), text) for item in _by_weight(items) for text in item.plan.warnings)
    steps = [replace(step, text=_about(item, step.text)) for item in _by_weight(items) for step in item.plan.steps]
    destructive = any(item.plan.destructive for item in items)
    return Plan(items[0].change, title, tuple(steps), (*warnings, *out), destructive)


def _by_weight(items: Iterable[Item]) -> list[Item]:
    """Changes that take something away first, so that their warnings stand first."""
    return sorted(items, key=lambda item: not item.plan.destructive)


def _about(item: Item, text: str) -> str:
    """A warning's or a step's words with the function that they are about."""
    bdf = target_of(item.change)
    return text.replace(bdf, item.name, 1) if bdf in text else f"{item.name}: {text}"


@dataclass(eq=False)
class Batch:
    """Changes that were confirmed together."""

    title: str
    waiting: deque[Item]
    left: Sequence[LeftOut] = ()
    running: dict[int, Item] = field(default_factory=dict)
    done: list[tuple[str, Outcome | None]] = field(default_factory=list)
    refused: tuple[str, Outcome] | None = None  # of all refusals that of the first function, with its host
    deed: Deed = field(init=False)
    takes_back: Mapping[RowId, Part] = field(default_factory=dict)  # what it takes back, where it is an undo

    def __post_init__(self) -> None:
        self.deed = Deed(self.title)
        self._places = {item.title: place for place, item in enumerate(self.waiting)}

    def start(self, perform: Callable[[Item], int], is_waiting: Callable[[Item], bool]) -> None:
        """Begin as many as may be under way at the same time."""
        while self.waiting and sum(not is_waiting(item) for item in self.running.values()) < AT_ONCE:
            item = self.waiting.popleft()
            self.running[perform(item)] = item

    def take(self, number: int, outcome: Outcome | None) -> None:
        """One has come back; None where vfdeck itself failed."""
        item = self.running.pop(number)
        self.done.append((item.title, outcome))
        if outcome is not None and not outcome.ok:  # they come back in any order
            refused = (item.host.name, outcome)
            self.refused = min(self.refused or refused, refused, key=lambda each: (each[0], target_of(each[1].change)))

    @property
    def is_over(self) -> bool:
        """Whether all have come back."""
        return not self.waiting and not self.running

    def verdict(self) -> tuple[str, Tone]:
        """How it stands in one line."""
        good = sum(outcome is not None and outcome.ok for _, outcome in self.done)
        bad = len(self.done) - good
        still = len(self.waiting) + len(self.running)
        parts = [f"{good} done", f"{bad} not done" if bad else "", f"{still} to go" if still else ""]
        parts.append(f"{plural(len(self.left), 'function')} left out" if self.left else "")
        return f"{self.title}: {', '.join(part for part in parts if part)}", Tone.BAD if bad else Tone.GOOD

    def report(self, here: Sequence[Section] = ()) -> list[Section]:
        """What came of each: those that were refused first, with the explanation; `here` goes with `refused`, the first."""
        sections: list[Section] = []
        first = self.refused[1] if self.refused is not None else None
        for title, outcome in sorted(self.done, key=lambda each: (each[1] is not first, self._places[each[0]])):
            if outcome is None:
                sections.append(Section(title, (Fact("", "vfdeck itself failed; this is a bug", Tone.BAD),)))
            elif not outcome.ok:
                text, tone = verdict(outcome, title)
                sections += [Section(title, (Fact("", text, tone),)), *report(outcome, here if outcome is first else ())]
        good = [title for title, outcome in self.done if outcome is not None and outcome.ok]
        sections += [Section("Done", tuple(Fact("", f"✓ {title}") for title in good))] if good else []
        return [*sections, Section("Left out", told(self.left))] if self.left else sections
