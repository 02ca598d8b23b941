"""What the Open panel says: the ways to open a function rung by rung, foretold and as it went, and what stops it."""

from __future__ import annotations

from collections.abc import Iterator

from vfdeck.backend.changes import Explanation, Open, OpenPath, Outcome
from vfdeck.backend.details import Details
from vfdeck.backend.facts import host_has
from vfdeck.backend.ladder import Ladder, Rung, Standing, climbed, foretell, under_way
from vfdeck.backend.model import Certainty, Function, Snapshot
from vfdeck.backend.predict.seen import NOT_SEEN, Seen
from vfdeck.widgets.report import explain
from vfdeck.widgets.sections import Fact, Section
from vfdeck.widgets.state import Tone, index_of

#: Mark and tone of a rung; what it means is said in words where it is not plain.
_MARKS = {
    Standing.DONE: ("✓", Tone.GOOD),
    Standing.REFUSED: ("✗", Tone.BAD),
    Standing.NOT_REACHED: ("–", Tone.DIM),
    Standing.PASSES: ("○", Tone.PLAIN),
    Standing.STOPS: ("✗", Tone.BAD),
    Standing.UNKNOWN: ("?", Tone.WARN),
    Standing.ASKED: ("…", Tone.OWN),
}
_PATHS = {OpenPath.GROUP: "by its group", OpenPath.CDEV: "by its own node (cdev)"}


def open_sections(
    function: Function, snapshot: Snapshot, details: Details | None, attempt: Open | Outcome | None = None
) -> list[Section]:
    """The panel, whatever came or comes of an `attempt` first. `details` None: nodes and rights were not looked at yet."""
    sections = _attempted(function, snapshot, attempt)
    foretold = [foretell(function, snapshot, path, _seen(details, path)) for path in _paths(function)]
    sections += [_foretold(ladder) for ladder in foretold if ladder.predicted is not None]
    if OpenPath.CDEV not in _paths(function) and function.on_vfio:
        sections.append(Section("By its own node (cdev)", (Fact("", _no_cdev(snapshot), Tone.DIM),)))
    if details is None or details.by_group is None:
        sections.append(Section("", (Fact("", "nodes, rights and modules are still being looked at", Tone.DIM),)))
    return [*sections, *_reasons(foretold, attempt.explanation if isinstance(attempt, Outcome) else None)]


def _paths(function: Function) -> list[OpenPath]:
    return [OpenPath.GROUP, OpenPath.CDEV] if function.cdev else [OpenPath.GROUP]


def _seen(details: Details | None, path: OpenPath) -> Seen:
    found = None if details is None else details.by_group if path is OpenPath.GROUP else details.by_cdev
    return found or NOT_SEEN


def _no_cdev(snapshot: Snapshot) -> str:
    if not host_has(snapshot.host, "cdev"):
        return f"none: Linux {snapshot.host.kernel} has no such nodes (they came with 6.6)"
    return "none: this kernel was built without them, or it is not registered with vfio"


# -- an attempt ------------------------------------------------------------------------------------------------------------
def _attempted(function: Function, snapshot: Snapshot, attempt: Open | Outcome | None) -> list[Section]:
    """The rungs of the attempt that is under way, or came last."""
    if isinstance(attempt, Open):
        if attempt.bdf != function.bdf:
            return []
        ladder = under_way(function, snapshot, attempt.path, index_of(snapshot).running.get(function.bdf))
        return [Section(f"Being opened {_PATHS[attempt.path]}", tuple(_rungs(ladder)))]
    climb = climbed(function, snapshot, attempt) if attempt is not None else None
    if climb is None or attempt is None:
        return []
    given = "with a token" if isinstance(attempt.change, Open) and attempt.change.token else "without a token"
    title = f"The last attempt, {_PATHS[climb.path]}, {given}"
    answer = Fact("", "it opened" if attempt.ok else f"refused: {attempt.answer}", Tone.GOOD if attempt.ok else Tone.BAD)
    foretold = [Fact("", f"not as predicted: {attempt.surprise}", Tone.WARN)] if attempt.surprise else []
    why = explain(climb.explanation) if climb.explanation else []
    return [Section(title, (answer, *_rungs(climb), *foretold)), *why]


# -- foretold --------------------------------------------------------------------------------------------------------------
def _foretold(ladder: Ladder) -> Section:
    """The answer that is expected, and the rungs."""
    expected = ladder.predicted
    stops = expected is not None and expected.stage is not None
    unknown = expected is not None and expected.certainty is Certainty.UNKNOWN
    head = [Fact("", f"expected: {expected}", Tone.WARN if unknown else Tone.BAD if stops else Tone.PLAIN)]
    if ladder.with_token:
        head.append(Fact("", "with the PF's token this rung would let it pass", Tone.GOOD))
    return Section(f"Now, {_PATHS[ladder.path]}, without a token", (*head, *_rungs(ladder)))


def _reasons(ladders: list[Ladder], told: Explanation | None) -> Iterator[Section]:
    """Why the rungs that stop it do so, each reason once, but for the one that was `told` already."""
    reasons = {why.entry: why for ladder in ladders if (why := ladder.explanation)}
    if told is not None and told.entry in reasons:
        del reasons[told.entry]
        yield Section("", (Fact("", f"it would still be refused for the same reason: {told.title} ({told.entry})", Tone.DIM),))
    for why in reasons.values():
        yield from explain(why)


def _rungs(ladder: Ladder) -> list[Fact]:
    return [_rung(rung) for rung in ladder.rungs]


def _rung(rung: Rung) -> Fact:
    mark, tone = _MARKS[rung.standing]
    said = rung.standing in (Standing.ASKED, Standing.REFUSED, Standing.STOPS, Standing.UNKNOWN)
    return Fact("", f"{mark} {rung.text}: {rung.standing.value}" if said else f"{mark} {rung.text}", tone)
