"""Which hosts of a fleet share a row: neighbours that are folded and of which every row would say the same. No Textual in here.

Names, addresses, numbers of IOMMU groups and who holds a function do not count; all else does, so that no host that is otherwise
than its neighbours is ever hidden. Alone stands where a change is under way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from vfdeck.backend.model import Function
from vfdeck.widgets.branches import Branches
from vfdeck.widgets.state import Index, index_of

#: Fewer hosts than this are not worth a fold.
LEAST_HOSTS = 3


def likeness(branches: Branches) -> object | None:
    """What has to be equal of two hosts; None: it stands alone."""
    snapshot = branches.snapshot
    index = index_of(snapshot)
    if index.running or not branches.tops:
        return None
    functions = snapshot.functions
    hanging = zip(branches.tops, branches.children, branches.runs, strict=True)
    of_branches = tuple(
        _of_branch(functions[bdf], [(functions[vfs[begin]], end - begin) for begin, end in pairwise(starts)], index)
        for bdf, vfs, starts in hanging
    )
    problems = tuple((problem.path, problem.what) for problem in snapshot.problems)
    of_host = replace(snapshot.host, name="", boot_id="", reached="")
    return of_host, index.all_users, index.oddities, problems, branches.matched, of_branches


def _of_branch(top: Function, runs: Sequence[tuple[Function, int]], index: Index) -> object:
    """What the rows of a PF with its VFs say, or of another function right under the host. `runs`: a VF for as many like it."""
    known = index.snapshot.tokens.get(top.bdf)
    token = None if known is None else (known.state, known.lost != "", known.proved, bool(known.suspects), bool(known.begun))
    total = top.sriov.totalvfs if top.sriov is not None else None
    own = (top.device, top.driver, top.driver_override, top.link, top.numa_node, top.interfaces, top.disks, total)
    below: dict[object, int] = {}
    for vf, size in runs:
        kind = (vf.driver, vf.driver_override, vf.interfaces, vf.disks, index.state(vf))
        below[kind] = below.get(kind, 0) + size
    return own, index.state(top), token, frozenset(below.items())


def neighbours(likenesses: Sequence[object | None]) -> list[range]:
    """The runs of equal ones among hosts in their order; None is in no run."""
    found, begin = [], 0
    while begin < len(likenesses):
        end = begin + 1
        while likenesses[begin] is not None and end < len(likenesses) and likenesses[end] == likenesses[begin]:
            end += 1
        if end - begin >= LEAST_HOSTS:
            found.append(range(begin, end))
        begin = end
    return found
