"""Answers as JSON (`schema/checks-v1.json`) and as plain text: a line for each check, its evidence indented below."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from vfdeck.backend.catalogue import entry
from vfdeck.backend.checks import Check, Report, Severity, Verdict, worst_first
from vfdeck.backend.checks.advice import badge
from vfdeck.backend.leading import wrapped
from vfdeck.backend.model import HostFacts, Snapshot

VERSION = 1
#: Columns of text; wide enough for most commands, narrow enough for every terminal.
WIDTH = 80
#: What the marks of an answer's checks mean: of those that were answered, and of those that could not be checked.
_ANSWERED = {"NO": "NO decides", "no": "no does not decide"}
_UNCHECKED = {"??": "?? would decide", "?": "? would not"}
_ANSWERS = {Verdict.YES: "yes", Verdict.NO: "no", Verdict.UNKNOWN: "could not check"}


# -- JSON ------------------------------------------------------------------------------------------------------------------
def to_json(report: Report, snapshot: Snapshot) -> str:
    """A report as one JSON object. Ends with a newline."""
    host: HostFacts = snapshot.host
    value = {
        "version": VERSION,
        "taken": snapshot.taken,
        "host": {"name": host.name, "kernel": host.kernel, "simulated": host.simulated, "badge": badge(snapshot) or None},
        "question": report.question,
        "verdict": report.verdict.value,
        "severity": report.severity.word,
        "checks": [_check(check) for check in report.checks],
    }
    return json.dumps(value, indent=1) + "\n"


def _check(check: Check) -> dict[str, Any]:
    return {
        "question": check.question,
        "verdict": check.verdict.value,
        "severity": check.severity.word,
        "weight": check.weight.word,
        "entry": check.entry or None,
        "subject": check.subject or None,
        "evidence": check.evidence,
        "do": check.do,
        "actions": entry(check.entry).actions if check.entry and check.verdict is Verdict.NO else (),
    }


Ways = Callable[[Check], tuple[str, ...]]


def _no_ways(_: Check) -> tuple[str, ...]:
    return ()


# -- text ------------------------------------------------------------------------------------------------------------------
def answer_text(report: Report, width: int = WIDTH, ways: Ways = _no_ways) -> Iterator[str]:
    """One question's answer: every check, in the order in which the kernel makes them. A no that decides is in capitals.

    `ways` tells how vfdeck itself can help. The last line says what the marks mean, where some do not decide or were not checked.
    """
    yield f"{report.question} {_ANSWERS[report.verdict]}"
    marks = [_mark(check) for check in report.checks]
    for mark, check in zip(marks, report.checks):
        yield from _lines(check, mark, check.question, width, ways)
    if {"no", "??", "?"} & set(marks):
        answered, unchecked = (", ".join(t for mark, t in texts.items() if mark in marks) for texts in (_ANSWERED, _UNCHECKED))
        yield "; ".join(part for part in (answered, unchecked and f"could not check: {unchecked}") if part)


def _mark(check: Check) -> str:
    """A no that decides is in capitals; what could not be checked and would decide has two question marks."""
    decides = check.weight is Severity.ERROR
    return {Verdict.YES: "yes", Verdict.NO: "NO" if decides else "no", Verdict.UNKNOWN: "??" if decides else "?"}[check.verdict]


def findings_text(report: Report, snapshot: Snapshot, width: int = WIDTH, ways: Ways = _no_ways) -> Iterator[str]:
    """What a look at the whole host found, worst first; checks that went well are only counted."""
    host = snapshot.host
    yield f"{host.name}  Linux {host.kernel}  {counted(report)}"
    for check in worst_first(report.checks):
        if check.severity is not Severity.OK:
            subject = f"{check.subject}  " if check.subject else ""
            yield from _lines(check, check.severity.word, f"{subject}{check.question} {_ANSWERS[check.verdict]}", width, ways)


def counted(report: Report) -> str:
    """`1 error, 3 warnings, 10 notes, 24 fine`."""
    counts = [_count(report, severity) for severity in (Severity.ERROR, Severity.WARNING, Severity.NOTE)]
    return f"{', '.join(counts)}, {len(report.of(Severity.OK))} fine"


def _count(report: Report, severity: Severity) -> str:
    number = len(report.of(severity))
    return f"{number} {severity.word}{'' if number == 1 else 's'}"


def _lines(check: Check, mark: str, text: str, width: int, ways: Ways) -> Iterator[str]:
    named = f"  [{check.entry}]" if check.entry and check.verdict is not Verdict.YES else ""
    yield from wrapped(text + named, f"{mark:<9}", " " * 9, width)
    for line in check.evidence:
        yield from wrapped(line, " " * 11, " " * 13, width)
    for line in check.do:
        yield from wrapped(line, " " * 11 + "-> ", " " * 14, width)
    for line in ways(check):
        yield from wrapped(f"with vfdeck: {line}", " " * 11 + "-> ", " " * 14, width)
