"""`vfdeck watch`: hosts in plain sentences, a line for each change and nothing ever redrawn: for screen readers, logs and pipes."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from vfdeck.app.commands import following, hosts, output
from vfdeck.backend.model import Function, Job, Snapshot
from vfdeck.backend.report import to_text
from vfdeck.widgets.changed import Difference, differences
from vfdeck.widgets.columns import TREE
from vfdeck.widgets.holder_words import clock
from vfdeck.widgets.state import plural, role_text

VERSION = 1
#: So many VFs of one PF to which the same happened are one line.
MANY = 3


class Change(NamedTuple):
    """What is new of a host: about `functions` (none: the host itself), in words, and as columns with what they said before."""

    functions: tuple[str, ...]
    subject: str
    text: str
    columns: tuple[Difference, ...] = ()


def run(options: argparse.Namespace) -> int:
    """Print what there is, then every change, until interrupted."""
    watched = [hosts.local(options.root)] if options.demo is None else hosts.simulated_fleet(options.demo, options.seed)
    try:
        tell(following.followed(watched), as_json=options.json)  # never ends by itself
    finally:
        for host in watched:
            host.close()
    return 0


def tell(snapshots: Iterable[Snapshot], *, as_json: bool) -> None:
    """Print the first snapshot of each host, and of each later one what is different."""
    known: dict[str, Snapshot] = {}
    for snapshot in snapshots:
        before = known.get(snapshot.host.name)
        known[snapshot.host.name] = snapshot
        if before is None:
            output.write_lines([] if as_json else [*to_text(snapshot), f"{clock(snapshot.taken)} {snapshot.host.name}: watching"])
        else:
            line = _json if as_json else _line
            output.write_lines(line(snapshot, change) for change in changes(before, snapshot))
        sys.stdout.flush()


def _line(snapshot: Snapshot, change: Change) -> str:
    return f"{clock(snapshot.taken)} {snapshot.host.name}: {change.subject}{': ' if change.subject else ''}{change.text}"


def _json(snapshot: Snapshot, change: Change) -> str:
    columns = {each.column: [each.before, each.after] for each in change.columns if each.column != TREE}
    value = {
        "version": VERSION,
        "at": snapshot.taken,
        "host": snapshot.host.name,
        "functions": change.functions,
        "text": change.text,
        "columns": columns,
    }
    return json.dumps(value, separators=(",", ":"))


# -- what is different -----------------------------------------------------------------------------------------------------
def changes(before: Snapshot, after: Snapshot) -> Iterator[Change]:
    """What is different in `after`, in the order of the functions; then what is different of the host."""
    happened: dict[tuple[str, str], list[Function]] = {}
    columns: dict[str, tuple[Difference, ...]] = {}
    for bdf in sorted(before.functions.keys() - after.functions.keys()):
        gone = before.functions[bdf]
        happened.setdefault((gone.physfn or bdf, "gone"), []).append(gone)
    for bdf, different in sorted(differences(before, after).items()):
        function = after.functions[bdf]
        text = "; ".join(_words(each) for each in different)
        columns[text] = different
        happened.setdefault((function.physfn or bdf, text), []).append(function)
    for (_, text), functions in happened.items():
        together = [functions] if len(functions) >= MANY else [[function] for function in functions]
        for about in together:
            yield Change(tuple(f.bdf for f in about), _subject(about), text, columns.get(text, ()))
    yield from _of_the_host(before, after)


def _subject(functions: Sequence[Function]) -> str:
    first, last = functions[0], functions[-1]
    if len(functions) == 1:
        return f"{first.bdf} ({role_text(first)}{f' of {first.physfn}' if first.physfn else ''})"
    return f"{len(functions)} VFs of {first.physfn}, {first.bdf} to {last.bdf}"


def _words(different: Difference) -> str:
    if different.column == TREE:
        return different.after
    now, was = (_spoken(different.column, text) for text in (different.after, different.before))
    return f"{different.column} is now {now}, was {was}"


def _spoken(column: str, text: str) -> str:
    """A cell's text, the state without its letter."""
    return (text[2:] if column == "state" else text) or "none"


def _of_the_host(before: Snapshot, after: Snapshot) -> Iterator[Change]:
    """Problems that came and went, and changes of vfdeck's own that began to wait."""
    for problem in after.problems:
        if problem not in before.problems:
            yield Change((), "problem", f"{problem.path}: {problem.what}")
    for problem in before.problems:
        if problem not in after.problems:
            yield Change((), "no longer a problem", f"{problem.path}: {problem.what}")
    waited = {_waiting(job) for job in before.jobs}
    for job in after.jobs:
        if job.waits_for and _waiting(job) not in waited:
            yield Change((job.target,), job.title, f"waits for {job.waits_for}")
    if after.unseen != before.unseen:
        yield Change((), "", f"{plural(after.unseen, 'program')} cannot be looked at, was {before.unseen}")


def _waiting(job: Job) -> tuple[int, str]:
    return job.number, job.waits_for
