"""What came of a change: a refusal with its rule, its cause and the way out, or what was done."""

from __future__ import annotations

import os
from collections.abc import Sequence

from vfdeck.backend.changes import Explanation, Outcome, SetToken, VerifyToken, target_of
from vfdeck.backend.model import Snapshot
from vfdeck.backend.rotation import concerned
from vfdeck.widgets.section_view import SectionView
from vfdeck.widgets.sections import Fact, Section
from vfdeck.widgets.state import Tone


def verdict(outcome: Outcome, title: str = "") -> tuple[str, Tone]:
    """The outcome in one line; `title` says what was asked for."""
    about = outcome.target or target_of(outcome.change)
    if outcome.ok and outcome.explanation is not None:
        return f"{outcome.explanation.title}: {title or about}", Tone.WARN
    if outcome.ok:
        return f"Done: {title or about}", Tone.GOOD
    if outcome.blocked:
        return f"Still waiting in the kernel: {about}", Tone.WARN
    if not outcome.attempted:
        reason = outcome.explanation.rule if outcome.explanation is not None else about
        return f"Not attempted: {reason}", Tone.WARN
    if outcome.is_unknown:
        return f"Not known what came of it: {title or about}", Tone.BAD
    stage = f" at {outcome.stage}" if outcome.stage else ""
    return f"Refused: {outcome.errno_name}{stage} of {about}", Tone.BAD


def report(outcome: Outcome, here: Sequence[Section] = ()) -> list[Section]:
    """What there is to say of an outcome beyond its verdict; `here`, after the advice, is what can be done in this program."""
    head: list[Fact] = []
    if outcome.errno and not outcome.is_unknown:
        head.append(Fact("errno", f"{outcome.errno_name} ({outcome.errno}): {os.strerror(outcome.errno)}"))
    if outcome.stage:
        head.append(Fact("stage", f"{outcome.stage} of {outcome.target or target_of(outcome.change)}"))
    head += _in_force(outcome)
    head += _foretold(outcome)
    sections = [Section("", tuple(head))] if head else []
    if outcome.blocked:
        sections.append(
            Section("", (Fact("", "The call goes on in the kernel and cannot be taken back. Quitting does not wait for it."),))
        )
    if outcome.explanation is not None:
        sections += explain(outcome.explanation, here)
    if outcome.done:
        title = "Done" if outcome.ok else "Done before that"
        sections.append(Section(title, tuple(Fact("", f"✓ {step}", Tone.PLAIN) for step in outcome.done)))
    if outcome.alternatives:
        others = tuple(Fact(e.entry, f"{e.title}. {e.rule}", Tone.DIM) for e in outcome.alternatives)
        sections.append(Section("The same answer can also mean", others))
    if outcome.ruled_out:
        out = tuple(Fact(r.entry, f"{r.title}: {r.why}", Tone.DIM) for r in outcome.ruled_out)
        sections.append(Section("Ruled out", out))
    return sections


def _in_force(outcome: Outcome) -> list[Fact]:
    """Whether a token that was set, or asked for, is the one that counts: what the kernel answered for a VF."""
    if not outcome.ok or not isinstance(outcome.change, SetToken | VerifyToken):
        return []
    if outcome.verified is None:
        return [Fact("in force", "not confirmed: no VF could be asked", Tone.WARN)]
    if outcome.verified:
        return [Fact("in force", "confirmed: the kernel was asked", Tone.GOOD)]
    return [Fact("in force", "no: the kernel was asked, and another token counts", Tone.BAD)]


def must_be_told(change: SetToken, snapshot: Snapshot) -> list[Section]:
    """Who goes on with a PF or its VFs, and needs the new token when it is started again; what it was started with."""
    facts = []
    for holder in {h.pid: h for h in concerned(change.pf, snapshot)}.values():
        name = f"VM {holder.vm} ({holder.program} {holder.pid})" if holder.vm else f"{holder.program} ({holder.pid})"
        old = [f"#{one}" for one in holder.tokens if one != change.token.fingerprint]
        carried = f"; it was started with {', '.join(old)}: change how it is started" if old else ""
        facts.append(Fact("", f"{name} goes on; started again it needs the new token{carried}"))
    if snapshot.unseen:
        facts.append(Fact("", f"and perhaps others: {snapshot.unseen} processes could not be looked at", Tone.WARN))
    return [Section("Must be told", tuple(facts))] if facts else []


def _foretold(outcome: Outcome) -> list[Fact]:
    """Whether it came as the plan expected."""
    if outcome.as_predicted is None:
        return []
    if outcome.as_predicted:
        return [Fact("", "as predicted", Tone.DIM)]
    return [Fact("", f"not as predicted: {outcome.surprise}", Tone.WARN)]


def explain(explanation: Explanation, here: Sequence[Section] = ()) -> list[Section]:
    """An entry of the catalogue as sections, `here` after its advice; what is not known is left out."""
    title = explanation.title if explanation.entry == "unknown" else f"{explanation.title} ({explanation.entry})"
    told = any(explanation.log in text for text in explanation.evidence_for)
    log = Fact("kernel", "" if told else explanation.log, Tone.WARN)
    facts = [Fact("rule", explanation.rule, Tone.STRONG), Fact("why", explanation.why), log]
    sections = [Section(title, tuple(f for f in facts if f.value))]
    sections += [*_list("What to do", explanation.do, Tone.GOOD), *here]
    sections += _evidence(explanation)
    sections += _list("How to check", explanation.check, Tone.PLAIN)
    if explanation.mistaken_for:
        sections.append(Section("May be mistaken for", (Fact("", explanation.mistaken_for, Tone.DIM),)))
    return sections


def _evidence(explanation: Explanation) -> list[Section]:
    """What speaks for the entry, what against it, and what could not be checked; each kind is labelled once."""
    kinds = (
        ("for", explanation.evidence_for, Tone.PLAIN),
        ("against", explanation.evidence_against, Tone.WARN),
        ("open", explanation.evidence_open, Tone.DIM),
    )
    facts = [Fact(" " if n else label, text, tone) for label, texts, tone in kinds for n, text in enumerate(texts)]
    return [Section("Evidence", tuple(facts))] if facts else []


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
