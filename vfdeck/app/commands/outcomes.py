"""Plans and outcomes for those who read lines or JSON: what would be done, what came of it, and the exit status that says so."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from typing import Any

from vfdeck.app import failure
from vfdeck.app.commands import output
from vfdeck.app.commands.ways import of_function
from vfdeck.backend import leading
from vfdeck.backend.changes import (
    BindDriver,
    Change,
    Explanation,
    Open,
    Outcome,
    Plan,
    ResetFunction,
    SetAutoprobe,
    SetNumvfs,
    SetToken,
    UnbindDriver,
    VerifyToken,
    target_of,
)
from vfdeck.backend.model import Snapshot

WIDTH = 100
#: How far a line that goes on is indented at most.
MARGIN = 14
_STATUS = {
    **dict.fromkeys((errno.EACCES, errno.EPERM), failure.NO_PERMISSION),
    **dict.fromkeys((errno.EBUSY, errno.EAGAIN), failure.TRY_AGAIN),
    **dict.fromkeys((errno.ENOENT, errno.ENODEV, errno.ENXIO, errno.ESRCH), failure.UNAVAILABLE),
}


def status(outcome: Outcome) -> int:
    """The exit status: 0 for done, else by what stood in the way."""
    if outcome.ok:
        return 0
    if not outcome.attempted:
        return failure.UNAVAILABLE
    if outcome.blocked:
        return failure.TRY_AGAIN
    return _STATUS.get(outcome.errno, failure.OS)


# -- text ------------------------------------------------------------------------------------------------------------------
def plan_text(plan: Plan) -> Iterator[str]:
    """What would be done: whom it touches first, then every step, then what is expected."""
    yield plan.title
    if plan.impossible:
        yield from wrapped(plan.impossible, "  not possible now: ")
        if not plan.steps:
            return
        yield "  else this would be done:"
    for warning in plan.warnings:
        yield from wrapped(warning, "  ! ")
    for number, step in enumerate(plan.steps, 1):
        yield from wrapped(step.text, f"  {number}. ")
        if step.shell:
            yield from wrapped(step.shell, "     $ ")
    if plan.predicted is not None and not any(warning.startswith("expected: ") for warning in plan.warnings):
        yield from wrapped(f"expected: {plan.predicted}", "  = ")


def outcome_text(outcome: Outcome, before: Snapshot | None = None) -> Iterator[str]:
    """What came of it: the steps that were done, the kernel's no, and why; by what was `before`, vfdeck's ways out."""
    for step in outcome.done:
        yield from wrapped(step, "done: ")
    if outcome.blocked:
        yield from wrapped("the call still waits in the kernel, and cannot be taken back", "waiting: ")
    elif not outcome.attempted:
        yield "not attempted"
    elif outcome.is_unknown:
        yield "not known what came of it"
    elif outcome.errno:
        about = f"{outcome.errno_name} at {outcome.stage or 'an unknown stage'} of {outcome.target or target_of(outcome.change)}"
        yield from wrapped(f"{about} ({os.strerror(outcome.errno)})", "refused: ")
    if outcome.surprise:
        yield from wrapped(outcome.surprise, "not as predicted: ")
    if outcome.explanation is not None:
        yield from explanation_text(outcome.explanation)
        bdf = target_of(outcome.change)
        if before is not None and (function := before.functions.get(bdf)):
            for way in of_function(outcome.explanation.actions, function, before):
                yield from wrapped(way, "  vfdeck   ")
    for other in outcome.alternatives:
        yield from wrapped(f"{other.title}. {other.rule}", f"  or {other.entry}: ")


def explanation_text(why: Explanation) -> Iterator[str]:
    """An entry of the catalogue, filled in for this host."""
    yield from wrapped(why.title, f"{why.entry}: " if why.entry not in ("plan", "unknown", "note") else "")
    texts = [("rule", why.rule), ("why", why.why), *(("for", text) for text in why.evidence_for)]
    texts += [*(("against", text) for text in why.evidence_against), *(("open", text) for text in why.evidence_open)]
    texts += [("check", text) for text in why.check]
    texts += [("do", text) for text in why.do]
    for label, text in texts:
        if text:
            yield from wrapped(text, f"  {label:<8} ")


def wrapped(text: str, first: str = "") -> list[str]:
    """Lines of a width that fits, the first after `first`, the others below the text or at the margin."""
    margin = " " * min(len(first), MARGIN)
    width = min(WIDTH, output.width() or WIDTH)
    return leading.wrapped(text, first, margin, width)


# -- JSON ------------------------------------------------------------------------------------------------------------------
def change_json(change: Change) -> dict[str, Any]:
    """What was asked for; a token by its fingerprint."""
    given = change.token if isinstance(change, SetToken | VerifyToken | Open) else None
    return {
        "kind": _KINDS[type(change)],
        "target": target_of(change),
        "token": given.fingerprint if given is not None else None,
        "way": str(change.way) if isinstance(change, SetToken) and change.way else None,
        "path": str(change.path) if isinstance(change, VerifyToken | Open) else None,
        "value": _value(change),
    }


def _value(change: Change) -> str | int | bool | None:
    match change:
        case SetNumvfs():
            return change.count
        case BindDriver():
            return change.driver
        case SetAutoprobe():
            return change.on
    return None


_KINDS: dict[type, str] = {
    SetToken: "set token",
    VerifyToken: "verify token",
    Open: "open",
    SetNumvfs: "set numvfs",
    BindDriver: "bind",
    UnbindDriver: "unbind",
    SetAutoprobe: "set autoprobe",
    ResetFunction: "reset",
}


def plan_json(plan: Plan) -> dict[str, Any]:
    """As described by schema/change-v1.json."""
    return {
        "title": plan.title,
        "steps": [{"text": step.text, "shell": step.shell} for step in plan.steps],
        "warnings": list(plan.warnings),
        "destructive": plan.destructive,
        "impossible": plan.impossible or None,
        "severe": plan.severe or None,
        "expected": str(plan.predicted) if plan.predicted is not None else None,
    }


def outcome_json(outcome: Outcome) -> dict[str, Any]:
    """As described by schema/change-v1.json."""
    return {
        "ok": outcome.ok,
        "attempted": outcome.attempted,
        "blocked": outcome.blocked,
        "errno": outcome.errno_name if outcome.errno else None,
        "stage": str(outcome.stage) if outcome.stage else None,
        "target": outcome.target,
        "done": list(outcome.done),
        "verified": outcome.verified,
        "explanation": _explanation_json(outcome.explanation) if outcome.explanation is not None else None,
        "alternatives": [_explanation_json(other) for other in outcome.alternatives],
    }


def _explanation_json(why: Explanation) -> dict[str, Any]:
    return {
        "entry": why.entry,
        "title": why.title,
        "rule": why.rule,
        "why": why.why,
        "for": list(why.evidence_for),
        "against": list(why.evidence_against),
        "open": list(why.evidence_open),
        "check": list(why.check),
        "do": list(why.do),
    }
