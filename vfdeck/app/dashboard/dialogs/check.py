"""What can be done with a function: the number to ask about, and the answers with what they rest on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input, Static

from vfdeck.app.dashboard.dialogs.base import Dialog, Page
from vfdeck.app.dashboard.pages import ENTRY_LABELS, entry_sections
from vfdeck.backend.checks import Check, Report, Severity, Verdict, worst_first
from vfdeck.backend.checks.render import counted
from vfdeck.backend.model import Function
from vfdeck.widgets.sections import Fact, Section
from vfdeck.widgets.state import Tone, short_name

_ANSWERS = {Verdict.YES: "yes", Verdict.NO: "no", Verdict.UNKNOWN: "could not check"}
_LEGEND = (("✗", "no, which decides"), ("!", "no, which does not"), ("??", "could not check, would decide"), ("?", "would not"))


def number_fault(text: str) -> str:
    """What is wrong with a number of VFs that was typed; "" where nothing is."""
    if not text:
        return "nothing typed yet: a number of VFs, 0 or more"
    if text.isascii() and text.isdigit():
        return ""
    if text.isascii() and text[1:].isdigit() and text[0] == "-":  # sriov_numvfs_store reads it with kstrtou16
        return "✗ below zero: the kernel would answer EINVAL"
    return "✗ not a number of VFs: digits only"


class CheckDialog(Dialog[int]):
    """Asks about how many VFs; Enter takes all that the PF offers."""

    accept = "Check"

    def __init__(self, pf: Function) -> None:
        super().__init__(f"Check {pf.bdf}", f"{short_name(pf)} · {pf.driver or 'no driver'}")
        total = pf.sriov.totalvfs if pf.sriov is not None else None
        self._number = Input("" if total is None else str(total), max_length=6, id="number")
        self._number.cursor_blink = False
        self._fault = Static(classes="verdict bad", markup=False)

    def body(self) -> ComposeResult:
        """The field."""
        yield Static("How many VFs are wanted? Asking changes nothing.", classes="label", markup=False)
        yield self._number
        yield self._fault

    def on_mount(self) -> None:
        """The keys go to the field, where a digit replaces the number."""
        self._number.focus()

    @on(Input.Changed)
    def _changed(self) -> None:
        self._fault.update("")

    @on(Input.Submitted)
    def _submitted(self) -> None:
        self.action_accept()

    def action_accept(self) -> None:
        """Answer with the number."""
        text = self._number.value.strip()
        if fault := number_fault(text):
            self._fault.update(Text(fault))
        else:
            self.answer(int(text))


def check_sections(report: Report) -> list[Section]:
    """An answer, and every check it rests on, in the order in which the kernel makes them."""
    tone = {Verdict.YES: Tone.GOOD, Verdict.NO: Tone.BAD, Verdict.UNKNOWN: Tone.WARN}[report.verdict]
    sections = [Section(report.question, (Fact("", _ANSWERS[report.verdict], tone),))]
    facts = tuple(fact for check in report.checks for fact in _facts(check))
    return [*sections, Section("", facts)] if facts else sections


def _facts(check: Check) -> Iterable[Fact]:
    mark, tone = _mark(check)
    entry = f"  {check.entry}" if check.entry and check.verdict is not Verdict.YES else ""
    yield Fact(mark, f"{check.question}{entry}", tone)
    yield from (Fact(" ", line, Tone.DIM) for line in check.evidence)
    if check.verdict is not Verdict.YES:
        yield from (Fact("→", line) for line in check.do)


def _mark(check: Check) -> tuple[str, Tone]:
    decides = check.weight is Severity.ERROR
    match check.verdict:
        case Verdict.YES:
            return "✓", Tone.PLAIN
        case Verdict.NO:
            return ("✗", Tone.BAD) if decides else ("!", Tone.WARN)
        case _:
            return ("??", Tone.WARN) if decides else ("?", Tone.DIM)


def first_no(report: Report) -> Check | None:
    """The first check that decides and says no."""
    return next((c for c in report.checks if c.verdict is Verdict.NO and c.weight is Severity.ERROR), None)


class _EntriesPage(Page):
    """Checks to read; e goes on to the entries of the catalogue that they name."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("e", "entries", "Explain", show=False)]

    def __init__(self, title: str, sections: Sequence[Section], checks: Iterable[Check], note: str = "") -> None:
        self._entries = tuple(dict.fromkeys(check.entry for check in worst_first(checks) if check.entry))
        facts = [Fact("", note, Tone.DIM)] if note else []
        facts += [Fact("", f"e explains {', '.join(self._entries)}", Tone.OWN)] if self._entries else []
        foot = [Section("", tuple(facts))] if facts else []
        super().__init__(title, [*sections, *foot], label_width=2, keys="e explain" if self._entries else "")

    def action_entries(self) -> None:
        """The entries of the catalogue."""
        if self._entries:
            self.app.push_screen(Page("From the catalogue", entry_sections(self._entries), label_width=ENTRY_LABELS))


class CheckPage(_EntriesPage):
    """What can be done with a function: answers, and what they rest on."""

    def __init__(self, name: str, reports: Sequence[Report]) -> None:
        checks = [check for report in reports for check in report.checks if check.verdict is not Verdict.YES]
        marks = {_mark(check)[0] for check in checks}
        legend = ", ".join(f"{mark} {meaning}" for mark, meaning in _LEGEND if mark in marks)
        sections = [section for report in reports for section in check_sections(report)]
        super().__init__(f"What can be done with {name}", sections, checks, legend)


class HostPage(_EntriesPage):
    """What is the matter with a host: what `vfdeck doctor` finds, worst first."""

    def __init__(self, name: str, report: Report) -> None:
        found = [check for check in worst_first(report.checks) if check.severity is not Severity.OK]
        sections: list[Section] = []
        for severity in (Severity.ERROR, Severity.WARNING, Severity.NOTE):
            told = tuple(fact for check in found if check.severity is severity for fact in _finding(check))
            sections += [Section(f"{severity.word.capitalize()}s", told)] if told else []
        super().__init__(f"What is the matter with {name}? {counted(report)}", sections, found)


def _finding(check: Check) -> Iterable[Fact]:
    """A check with the function that it is about."""
    first, *rest = _facts(check)
    subject = f"{check.subject}  " if check.subject else ""
    return [replace(first, value=f"{subject}{first.value}"), *rest]
