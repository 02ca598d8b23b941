"""Why did the kernel say no: from an answer and the facts around it to entries of the catalogue, with the evidence for each.

Attribution goes by stage first, errno second, then by what was known of the host. The kernel log is quoted where it came along;
it can put one of several open causes before the others, and no more than that, since lines may be missing (catalogue D20).
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass

from vfdeck.backend.catalogue import Entry, entry, fill, fillable, placeholders
from vfdeck.backend.causes import candidates
from vfdeck.backend.changes import Explanation, RuledOut
from vfdeck.backend.facts import Facts
from vfdeck.backend.judging import Finding
from vfdeck.backend.leading import led
from vfdeck.backend.wording import words


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What can be behind an answer, likeliest first, and what gives the same answer but not here."""

    explanations: tuple[Explanation, ...] = ()
    ruled_out: tuple[RuledOut, ...] = ()


class _Rank(enum.IntEnum):
    """How much speaks for an entry."""

    PROVED = 0
    LOGGED = 1  # open, and the kernel's log has its line
    OPEN = 2
    UNLIKELY = 3  # open, and something speaks against it
    OUT = 4


def diagnose(facts: Facts) -> Diagnosis:
    """The entries that explain an answer.

    For a refusal or a call that does not return there is always an explanation, if only "unknown". A success is explained where it
    is none (fewer VFs than asked for, an open that the kernel should have guarded); else there is nothing to say.
    """
    known = words(facts)
    found = _heard(facts, known)
    ranks = {name: _rank(entry(name), heard, facts.log) for name, heard in found.items()}
    likeliest_first = sorted(found, key=lambda name: ranks[name])
    explanations = [_explanation(entry(n), known, facts, found[n]) for n in likeliest_first if ranks[n] is not _Rank.OUT]
    if not explanations and facts.answer != "OK":
        explanations = [_explanation(entry("unknown"), known, facts, [])]
    out = [_ruled_out(entry(n), known, found[n]) for n in found if ranks[n] is _Rank.OUT]
    return Diagnosis(tuple(explanations), tuple(o for o in out if o.why) if explanations else ())


def explain(facts: Facts) -> list[Explanation]:
    """The entries that explain an answer, likeliest first; see `diagnose`."""
    return list(diagnose(facts).explanations)


def _heard(facts: Facts, known: dict[str, str]) -> dict[str, list[Finding]]:
    """Each candidate's findings; candidates in the order in which the first of their judges stands that does not rule them out."""
    heard = [(name, judge.hear(facts, lambda text: _sentence(text, known))) for name, judge in candidates(facts)]
    found: dict[str, list[Finding]] = {name: [] for name, finding in heard if finding.verdict is not False}
    for name, finding in heard:
        found.setdefault(name, []).append(finding)
    return found


def _rank(of: Entry, findings: list[Finding], log: tuple[str, ...]) -> _Rank:
    """By the first finding that does not rule the entry out."""
    standing = next((f for f in findings if f.verdict is not False), None)
    if standing is None:
        return _Rank.OUT
    if standing.verdict:
        return _Rank.PROVED
    if _line(of, log):
        return _Rank.LOGGED
    return _Rank.UNLIKELY if standing.speaks_against else _Rank.OPEN


def _line(found: Entry, log: tuple[str, ...]) -> str:
    """The kernel's line for this entry, if it is among those that came along."""
    return next((line for line in log if found.logged(line)), "")


def _explanation(found: Entry, known: dict[str, str], facts: Facts, findings: list[Finding]) -> Explanation:
    prose = {name: "?" for text in (found.title, found.rule, found.why) for name in placeholders(text)} | known
    standing = [f for f in findings if f.verdict is not False]
    log = facts.log
    line = _line(found, log)
    quoted = [f'The kernel log has: "{line}"'] if line else []
    against = _once(text for f in standing if not f.verdict for text in f.speaks_against)
    return Explanation(
        entry=found.id,
        title=fill(found.title, prose),
        rule=fill(found.rule, prose),
        why=fill(found.why, prose),
        check=_led(found.check, known, facts),
        do=_led(found.do, known, facts),
        actions=found.actions if not against else (),  # what speaks against the cause speaks against its cure
        mistaken_for=found.mistaken_for,
        log=line or (" / ".join(log) if found.id == "unknown" else ""),
        evidence_for=_once([*(text for f in standing for text in f.speaks_for), *quoted]),
        evidence_against=against,
        evidence_open=_once(text for f in standing for text in f.unchecked),
    )


def _led(texts: tuple[str, ...], known: dict[str, str], facts: Facts) -> tuple[str, ...]:
    """Advice filled for a host, its commands led there."""
    return tuple(led(text, facts.snapshot.host.reached) for text in fillable(texts, known))


def _ruled_out(found: Entry, known: dict[str, str], findings: list[Finding]) -> RuledOut:
    title = fill(found.title, dict.fromkeys(placeholders(found.title), "?") | known)
    return RuledOut(found.id, title, next((f.speaks_against[0] for f in findings if f.speaks_against), ""))


def _once(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))


def _sentence(text: str, known: dict[str, str]) -> str:
    """A sentence with its words filled; "" where one is not known."""
    return fill(text, known) if placeholders(text) <= known.keys() else ""
