"""Why did the kernel say no: from an answer and the facts around it to entries of the catalogue.

Attribution goes by stage first, errno second, then by what was known of the host. The kernel log is quoted where it came along;
it can put one of several open causes before the others, and no more than that, since lines may be missing (catalogue D20).
"""

from __future__ import annotations

from vfdeck.backend.catalogue import Entry, entry, fill, placeholders
from vfdeck.backend.changes import Explanation
from vfdeck.backend.facts import Facts
from vfdeck.backend.judges import candidates
from vfdeck.backend.wording import words


def explain(facts: Facts) -> list[Explanation]:
    """The entries that explain an answer, likeliest first.

    For a refusal or a call that does not return there is always one, if only "unknown". A success is explained where it is none
    (fewer VFs than asked for, an open that the kernel should have guarded); else the list is empty.
    """
    found = ranked(facts)
    if not found and facts.answer != "OK":
        found = [entry("unknown")]
    known = words(facts)
    return [_explanation(e, known, facts.log) for e in found]


def ranked(facts: Facts) -> list[Entry]:
    """The entries that the facts do not rule out: those they prove first, then those the log speaks for, then the rest."""
    rank: dict[str, int] = {}
    for name, judge in candidates(facts):
        verdict = judge(facts)
        if verdict is not False and name not in rank:
            rank[name] = 0 if verdict else 1 if _line(entry(name), facts.log) else 2
    return [entry(name) for name in sorted(rank, key=lambda name: rank[name])]


def _line(found: Entry, log: tuple[str, ...]) -> str:
    """The kernel's line for this entry, if it is among those that came along."""
    return next((line for line in log if found.logged(line)), "")


def _explanation(found: Entry, known: dict[str, str], log: tuple[str, ...]) -> Explanation:
    prose = {name: "?" for text in (found.title, found.rule, found.why) for name in placeholders(text)} | known
    return Explanation(
        entry=found.id,
        title=fill(found.title, prose),
        rule=fill(found.rule, prose),
        why=fill(found.why, prose),
        check=_fillable(found.check, known),
        do=_fillable(found.do, known),
        mistaken_for=found.mistaken_for,
        log=_line(found, log) or (" / ".join(log) if found.id == "unknown" else ""),
    )


def _fillable(texts: tuple[str, ...], known: dict[str, str]) -> tuple[str, ...]:
    """The lines whose words are all known, filled: a command with a hole in it helps nobody."""
    return tuple(fill(text, known) for text in texts if placeholders(text) <= known.keys())
