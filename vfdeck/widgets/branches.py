"""What hangs under a host, whatever is folded: its branches (a PF with its VFs, or a plain function), filtered and in order.

What is left out by a filter, and in which order the rest comes, is a `View`. No Textual in here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from vfdeck.backend.folding import runs, standing_alone
from vfdeck.backend.model import Function, Role, Snapshot, is_vfio_driver
from vfdeck.widgets.sorting import Order, branch_key, host_key, sorted_vfs
from vfdeck.widgets.state import Index, index_of

#: Fewer VFs than this are not worth a fold: looking into it takes a key, and it saves one line.
LEAST_RUN = 3


#: Whether a function is to be shown.
Keep = Callable[[Function, Index], bool]


@dataclass(frozen=True, eq=False)
class View:
    """What is shown of every host, and in which order. A PF with a VF that is kept stays too."""

    keep: Keep | None = None
    order: Order = Order.ADDRESS


EVERYTHING = View()


def shown_at_top(function: Function) -> bool:
    """Whether a function that is no VF of a shown PF has a row of its own under the host."""
    if function.role is not Role.PLAIN:
        return True
    return function.on_vfio or function.cdev is not None or is_vfio_driver(function.driver_override)


class Branches:
    """What hangs under a host in a view, whatever is folded: made once for each snapshot."""

    __slots__ = ("_likeness", "branch_of", "children", "key", "longest", "matched", "runs", "snapshot", "tops", "total", "view")

    def __init__(self, snapshot: Snapshot, view: View) -> None:
        self.snapshot, self.view = snapshot, view
        index = index_of(snapshot)
        tops, children = _hanging(snapshot)
        self.total = len(tops) + sum(map(len, children.values()))
        self.matched = self.total
        if view.keep is not None:
            tops, children, self.matched = _kept(tops, children, view.keep, index)
        children = {bdf: sorted_vfs(view.order, vfs, index) for bdf, vfs in children.items()}
        keys = {bdf: branch_key(view.order, snapshot.functions[bdf], children.get(bdf, ()), index) for bdf in tops}
        self.tops = sorted(tops, key=keys.__getitem__) if view.order is not Order.ADDRESS else tops
        self.key = host_key(view.order, index, keys[self.tops[0]] if self.tops else 99)
        self.children = [children.get(bdf, []) for bdf in self.tops]
        self.branch_of = {bdf: n for n, bdf in enumerate(self.tops)}
        alone = standing_alone(snapshot)
        self.runs = [_starts(snapshot, vfs, alone) for vfs in self.children]
        self.longest = max(map(len, snapshot.functions), default=0)
        self._likeness: object | None = self

    def likeness(self, judge: Callable[[Branches], object | None]) -> object | None:
        """What `judge` says of it, which is asked once."""
        if self._likeness is self:
            self._likeness = judge(self)
        return self._likeness

    @property
    def hidden(self) -> bool:
        """Whether the filter leaves nothing of the host."""
        return self.view.keep is not None and not self.tops


def _hanging(snapshot: Snapshot) -> tuple[list[str], dict[str, list[str]]]:
    """The functions right under the host, and the VFs under each PF."""
    children: dict[str, list[str]] = {}
    taken: set[str] = set()
    for bdf, function in snapshot.functions.items():
        if function.role is Role.PF:
            mine = [v.bdf for v in snapshot.vfs_of(bdf) if v.role is Role.VF and v.physfn == bdf and v.bdf not in taken]
            children[bdf] = list(dict.fromkeys(mine))
            taken.update(mine)
    return [bdf for bdf, f in snapshot.functions.items() if bdf not in taken and shown_at_top(f)], children


def _kept(
    tops: Iterable[str], children: dict[str, list[str]], keep: Keep, index: Index
) -> tuple[list[str], dict[str, list[str]], int]:
    """What a filter leaves: functions that are kept, and PFs of such; and how many are kept for themselves."""
    functions = index.snapshot.functions
    left = {bdf: [vf for vf in vfs if keep(functions[vf], index)] for bdf, vfs in children.items()}
    wanted = {bdf for bdf in tops if keep(functions[bdf], index)}
    shown = [bdf for bdf in tops if bdf in wanted or left.get(bdf)]
    return shown, left, len(wanted) + sum(len(left.get(bdf, ())) for bdf in shown)


def _starts(snapshot: Snapshot, vfs: list[str], alone: Collection[str]) -> Sequence[int]:
    """Where each row of a PF's VFs begins among them when all runs are shut; ends with their number."""
    functions = [snapshot.functions[bdf] for bdf in vfs]
    sizes = [len(run) for run in runs(snapshot, functions, alone, LEAST_RUN)]
    return range(len(vfs) + 1) if len(sizes) == len(vfs) else list(accumulate(sizes, initial=0))
