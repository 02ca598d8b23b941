"""What happened between two looks at a host, in sentences: the words of `vfdeck watch` and of the time line. No Textual in here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from vfdeck.backend.model import Function, Job, Role, Snapshot
from vfdeck.widgets.changed import Difference, differences
from vfdeck.widgets.columns import TREE
from vfdeck.widgets.state import plural, role_text

#: So many VFs of one PF to which the same happened are one line.
MANY = 3

#: What columns are called in a sentence, with the verb.
_CALLED = {"vfs": "the number of VFs is", "users": "the number of users is", "group": "the IOMMU group is"}


class Happening(NamedTuple):
    """What is new of a host: about `functions` (none: the host itself), in words, and as columns with what they said before."""

    functions: tuple[str, ...]
    subject: str
    text: str
    columns: tuple[Difference, ...] = ()


def happenings(before: Snapshot, after: Snapshot) -> Iterator[Happening]:
    """What is different in `after`, in the order of the functions; then what is different of the host."""
    if after.away is not None:  # it is the last picture; what it lacks is no news
        if before.away is None:
            yield Happening((), "no connection", after.away.what)
        return
    if before.away is not None:
        yield Happening((), "", "connected again")
        before = replace(before, jobs=after.jobs, problems=after.problems)
    happened: dict[tuple[str, bool, str], list[Function]] = {}  # by PF, whether it is of its VFs, and what
    columns: dict[str, tuple[Difference, ...]] = {}
    for bdf in sorted(before.functions.keys() - after.functions.keys()):
        gone = before.functions[bdf]
        happened.setdefault((gone.physfn or bdf, gone.role is Role.VF, "gone"), []).append(gone)
    for bdf, different in sorted(differences(before, after).items()):
        function = after.functions[bdf]
        text = "; ".join(_words(each) for each in different)
        columns[text] = different
        happened.setdefault((function.physfn or bdf, function.role is Role.VF, text), []).append(function)
    for (_, _, text), functions in happened.items():
        together = [functions] if len(functions) >= MANY else [[function] for function in functions]
        for about in together:
            yield Happening(tuple(f.bdf for f in about), _subject(about), text, columns.get(text, ()))
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
    return f"{_CALLED.get(different.column, f'{different.column} is')} now {now}, was {was}"


def _spoken(column: str, text: str) -> str:
    """A cell's text as one says it: the state without its letter, "2/16" as "2 of 16"."""
    if column == "state":
        text = text[2:]
    elif column == "vfs":
        text = text.replace("/", " of ")
    elif column == "users":
        text = text.replace("≥", "at least ")
    return text or "none"


def _of_the_host(before: Snapshot, after: Snapshot) -> Iterator[Happening]:
    """Problems that came and went, and changes of vfdeck's own that began to wait."""
    for problem in after.problems:
        if problem not in before.problems:
            yield Happening((), "problem", f"{problem.path}: {problem.what}")
    for problem in before.problems:
        if problem not in after.problems:
            yield Happening((), "no longer a problem", f"{problem.path}: {problem.what}")
    still = {_waiting(job) for job in after.jobs}
    for job in before.jobs:
        if job.waits_for and _waiting(job) not in still:
            yield Happening((job.target,), job.title, f"no longer waits for {job.waits_for}")
    waited = {_waiting(job) for job in before.jobs}
    for job in after.jobs:
        if job.waits_for and _waiting(job) not in waited:
            yield Happening((job.target,), job.title, f"waits for {job.waits_for}")
    if after.unseen != before.unseen:
        yield Happening((), "", f"{plural(after.unseen, 'program')} cannot be looked at, was {before.unseen}")


def _waiting(job: Job) -> tuple[int, str]:
    return job.number, job.waits_for
