"""What came of a change: a refusal with its rule, its cause and the way out, or what was done."""

from __future__ import annotations

import os

from vfdeck.backend.changes import Explanation, Outcome, target_of
from vfdeck.widgets.section_view import SectionView
from vfdeck.widgets.sections import Fact, Section
from vfdeck.widgets.state import Tone


def verdict(outcome: Outcome, title: str = "") -> tuple[str, Tone]:
    """The outcome in one line; `title` says what was asked for."""
    about = outcome.target or target_of(outcome.change)
    if outcome.ok:
        return f"Done: {title or about}", Tone.GOOD
    if outcome.blocked:
        return f"Still waiting in the kernel: {about}", Tone.WARN
    if not outcome.attempted:
        reason = outcome.explanation.rule if outcome.explanation is not None else about
        return f"Not attempted: {reason}", Tone.WARN
    stage = f" at {outcome.stage}" if outcome.stage else ""
    return f"Refused: {outcome.errno_name}{stage} of {about}", Tone.BAD


def report(outcome: Outcome) -> list[Section]:
    """What there is to say of an outcome beyond its verdict."""
    head: list[Fact] = []
    if outcome.errno:
        head.append(Fact("errno", f"{outcome.errno_name} ({outcome.errno}): {os.strerror(outcome.errno)}"))
    if outcome.stage:
        head.append(Fact("stage", f"{outcome.stage} of {outcome.target or target_of(outcome.change)}"))
    sections = [Section("", tuple(head))] if head else []
    if outcome.blocked:
        sections.append(
            Section("", (Fact("", "The call goes on in the kernel and cannot be taken back. Quitting does not wait for it."),))
        )
    if outcome.explanation is not None:
        sections += explain(outcome.explanation)
    if outcome.done:
        title = "Done" if outcome.ok else "Done before that"
        sections.append(Section(title, tuple(Fact("", f"✓ {step}", Tone.PLAIN) for step in outcome.done)))
    if outcome.alternatives:
        others = tuple(Fact(e.entry, f"{e.title}. {e.rule}", Tone.DIM) for e in outcome.alternatives)
        sections.append(Section("The same answer can also mean", others))
    return sections


def explain(explanation: Explanation) -> list[Section]:
    """An entry of the catalogue as sections; what is not known is left out."""
    title = explanation.title if explanation.entry == "unknown" else f"{explanation.title} ({explanation.entry})"
    facts = [Fact("rule", explanation.rule, Tone.STRONG), Fact("why", explanation.why), Fact("kernel", explanation.log, Tone.WARN)]
    sections = [Section(title, tuple(f for f in facts if f.value))]
    sections += _list("What to do", explanation.do, Tone.GOOD)
    sections += _list("How to check", explanation.check, Tone.PLAIN)
    if explanation.mistaken_for:
        sections.append(Section("May be mistaken for", (Fact("", explanation.mistaken_for, Tone.DIM),)))
    return sections


def _list(title: str, lines: tuple[str, ...], tone: Tone) -> list[Section]:
    """Numbered lines under a title; nothing where there are none."""
    if not lines:
        return []
    return [Section(title, tuple(Fact(f"{n}.", line, tone) for n, line in enumerate(lines, 1)))]


class ReportView(SectionView):
    """Shows an outcome."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(label_width=7, id=id)

    def show_outcome(self, outcome: Outcome, title: str = "") -> None:
        """Show another outcome from its beginning."""
        self.show([Section("", (Fact("", *verdict(outcome, title)),)), *report(outcome)], top=True)
