"""Which rows the fleet tree has: host, PF, VF or run of VFs, without an object for each row.

Every host keeps the number of rows of each of its branches (a PF with its VFs, or a plain function) as a running sum, and the
fleet keeps the running sum over hosts; a row is found by bisection. Only the host whose snapshot or folds changed is laid out
again. What is left out by a filter, and in which order the rest comes, is a `View`. No Textual in here.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import NamedTuple

from vfdeck.backend.folding import runs, standing_alone
from vfdeck.backend.model import Function, Role, Snapshot, is_vfio_driver
from vfdeck.widgets.sorting import Order, branch_key, host_key, sorted_vfs
from vfdeck.widgets.state import Index, index_of

#: Fewer VFs than this are not worth a fold: looking into it takes a key, and it saves one line.
LEAST_RUN = 3


class RowId(NamedTuple):
    """What a row is about: a function of a host, or with `bdf` "" the host itself. Stays the same through every refresh.

    A row of several VFs that are alike goes by the first of them.
    """

    host: str
    bdf: str = ""


class Row(NamedTuple):
    """One row: what it is about and how it hangs in the tree."""

    id: RowId
    depth: int  # 0 host, 1 PF or plain function, 2 VF
    last: bool  # the last one under its parent
    parent_last: bool  # its parent is the last one under its own
    foldable: bool
    folded: bool
    size: int = 1  # of a folded run: how many VFs it stands for


#: Whether a function is to be shown.
Keep = Callable[[Function, Index], bool]


@dataclass(frozen=True, eq=False)
class View:
    """What is shown of every host, and in which order. A PF with a VF that is kept stays too."""

    keep: Keep | None = None
    order: Order = Order.ADDRESS


EVERYTHING = View()


@dataclass(frozen=True)
class Folds:
    """What is folded, by address, so that it stays so through every refresh.

    Hosts and PFs are open unless they are in `folded`. Runs of VFs are shut unless `runs_open`; `other_runs` holds the VFs of
    those that are otherwise.
    """

    folded: frozenset[RowId] = frozenset()
    runs_open: bool = False
    other_runs: frozenset[RowId] = frozenset()

    def of_hosts(self) -> dict[str, _HostFolds]:
        """The folds host by host; hosts without any are left out."""
        found: dict[str, tuple[set[str], set[str]]] = {}
        for part, ids in enumerate((self.folded, self.other_runs)):
            for row_id in ids:
                found.setdefault(row_id.host, (set(), set()))[part].add(row_id.bdf)
        return {name: (frozenset(folded), self.runs_open, frozenset(others)) for name, (folded, others) in found.items()}


#: A host's folded rows, whether runs are open, and the VFs whose runs are otherwise.
_HostFolds = tuple[frozenset[str], bool, frozenset[str]]


def shown_at_top(function: Function) -> bool:
    """Whether a function that is no VF of a shown PF has a row of its own under the host."""
    if function.role is not Role.PLAIN:
        return True
    return function.on_vfio or function.cdev is not None or is_vfio_driver(function.driver_override)


class Branches:
    """What hangs under a host in a view, whatever is folded: made once for each snapshot."""

    __slots__ = ("branch_of", "children", "key", "longest", "matched", "runs", "snapshot", "tops", "total", "view")

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


class _Host:
    """The rows of one host with its folds."""

    __slots__ = ("branch_of", "branches", "children", "folded", "folds", "rows", "shown", "snapshot", "starts", "tops")

    def __init__(self, branches: Branches, folds: _HostFolds) -> None:
        self.branches, self.folds = branches, folds
        self.snapshot, self.tops, self.children = branches.snapshot, branches.tops, branches.children
        self.branch_of = branches.branch_of
        self.folded, runs_open, others = folds
        self.shown = [_shown(vfs, starts, runs_open, others) for vfs, starts in zip(self.children, branches.runs, strict=True)]
        sizes = (1 if bdf in self.folded else len(starts) for bdf, starts in zip(self.tops, self.shown, strict=True))
        self.starts = list(accumulate(sizes, initial=1))
        self.rows = 0 if branches.hidden else 1 if "" in self.folded else self.starts[-1]

    def row(self, offset: int) -> Row:
        """The row at `offset` under the host's first."""
        name = self.snapshot.host.name
        if offset == 0:
            return Row(RowId(name), 0, False, False, bool(self.tops), "" in self.folded)
        branch = bisect_right(self.starts, offset) - 1
        bdf, vfs, last = self.tops[branch], self.children[branch], branch == len(self.tops) - 1
        inner = offset - self.starts[branch] - 1
        if inner < 0:
            return Row(RowId(name, bdf), 1, last, False, bool(vfs), bool(vfs) and bdf in self.folded)
        begin, end = self.shown[branch][inner], self.shown[branch][inner + 1]
        run = self.run(branch, begin)
        foldable = run[1] - run[0] > 1 and begin == run[0]
        return Row(RowId(name, vfs[begin]), 2, end == len(vfs), last, foldable, end - begin > 1, end - begin)

    def tops_at(self, depth: int) -> Sequence[int]:
        """The offsets of the host's own row (`depth` 0), or of the rows right under it (1)."""
        if not self.rows:
            return ()
        return (0,) if depth == 0 else () if "" in self.folded else self.starts[:-1]

    def run(self, branch: int, child: int) -> tuple[int, int]:
        """The run that a VF belongs to, as begin and end among its PF's VFs."""
        starts = self.branches.runs[branch]
        at = bisect_right(starts, child) - 1
        return starts[at], starts[at + 1]

    def place(self, bdf: str) -> tuple[int, int] | None:
        """Branch and number among its VFs (-1: the branch's own row); None where the host does not show it."""
        branch = self.branch_of.get(bdf)
        if branch is not None:
            return branch, -1
        function = self.snapshot.functions.get(bdf)
        branch = self.branch_of.get(function.physfn or "") if function is not None else None
        if branch is None or bdf not in self.children[branch]:
            return None
        return branch, self.children[branch].index(bdf)

    def find(self, bdf: str) -> int | None:
        """The offset of the row that shows `bdf`, or of what it is folded into; None where the host has no such row."""
        if not self.rows:
            return None
        place = (-1, -1) if bdf == "" else self.place(bdf)
        if place is None:
            return None
        branch, child = place
        if branch < 0 or "" in self.folded:
            return 0
        if child < 0 or self.tops[branch] in self.folded:
            return self.starts[branch]
        return self.starts[branch] + bisect_right(self.shown[branch], child)


def _shown(vfs: list[str], starts: Sequence[int], runs_open: bool, others: frozenset[str]) -> Sequence[int]:
    """Where each row of a PF's VFs begins among them as runs are folded now; ends with their number."""
    if isinstance(starts, range) or not (runs_open or others):
        return starts
    found = [0]
    for begin, end in pairwise(starts):
        is_open = runs_open != (bool(others) and not others.isdisjoint(vfs[begin:end]))
        found += range(begin + 1, end + 1) if is_open else (end,)
    return found


class FleetRows:
    """The rows of a fleet. `previous` lends the layout of hosts that have not changed, `made` branches that were made before."""

    def __init__(
        self,
        snapshots: Sequence[Snapshot],
        folds: Folds | None = None,
        previous: FleetRows | None = None,
        view: View = EVERYTHING,
        made: Iterable[Branches] = (),
    ) -> None:
        self.view, self.folds = view, folds or Folds()
        by_host = self.folds.of_hosts()
        none: _HostFolds = (frozenset(), self.folds.runs_open, frozenset())
        old: dict[str, _Host] = previous._by_name if previous else {}
        ready = {branches.snapshot.host.name: branches for branches in made}
        hosts: list[_Host] = []
        for snapshot in snapshots:
            name = snapshot.host.name
            mine, host = by_host.get(name, none), old.get(name)
            known = ready.get(name) or (host.branches if host else None)
            if known is None or known.snapshot is not snapshot or known.view is not view:
                host = _Host(Branches(snapshot, view), mine)
            elif host is None or host.branches is not known or host.folds != mine:
                host = _Host(known, mine)
            hosts.append(host)
        if view.order is not Order.ADDRESS:
            hosts.sort(key=lambda host: host.branches.key)
        self._hosts = hosts
        self._by_name: dict[str, _Host] = {host.snapshot.host.name: host for host in hosts}
        self._starts = list(accumulate((host.rows for host in hosts), initial=0))
        self._number_of = {host.snapshot.host.name: number for number, host in enumerate(hosts)}

    def __len__(self) -> int:
        return self._starts[-1]

    def __getitem__(self, index: int) -> Row:
        if not 0 <= index < len(self):
            raise IndexError(index)
        host = bisect_right(self._starts, index) - 1
        return self._hosts[host].row(index - self._starts[host])

    def __iter__(self) -> Iterator[Row]:
        return (self[index] for index in range(len(self)))

    def snapshot(self, host: str) -> Snapshot | None:
        """The snapshot of a host on the screen."""
        found = self._by_name.get(host)
        return found.snapshot if found else None

    def function(self, row_id: RowId) -> Function | None:
        """The function a row is about; None for a host's own row or where it is gone."""
        snapshot = self.snapshot(row_id.host)
        return snapshot.functions.get(row_id.bdf) if snapshot else None

    def find(self, row_id: RowId) -> int | None:
        """Where `row_id` is shown (or what it is folded into); None where it is gone."""
        host = self._by_name.get(row_id.host)
        offset = host.find(row_id.bdf) if host else None
        return None if offset is None else self._starts[self._number_of[row_id.host]] + offset

    def parent(self, row_id: RowId) -> RowId | None:
        """The row above in the tree; None for a host."""
        if not row_id.bdf:
            return None
        host = self._by_name.get(row_id.host)
        function = self.function(row_id)
        if host and function and row_id.bdf not in host.branch_of and function.physfn in host.branch_of:
            return RowId(row_id.host, function.physfn)
        return RowId(row_id.host)

    def neighbour(self, index: int, step: int, depth: int) -> int | None:
        """The nearest row after `index` (`step` -1: before it) that is a host's (`depth` 0), or right under one (1)."""
        host = bisect_right(self._starts, index) - 1
        while 0 <= host < len(self._hosts):
            base = self._starts[host]
            places = self._hosts[host].tops_at(depth)
            at = bisect_right(places, index - base) if step > 0 else bisect_left(places, index - base) - 1
            if 0 <= at < len(places):
                return base + places[at]
            host += step
        return None

    def members(self, row: Row) -> list[RowId]:
        """Everything that a row stands for: itself, or the VFs of a folded run."""
        return self.run(row.id)[: row.size] if row.size > 1 else [row.id]

    def run(self, row_id: RowId) -> list[RowId]:
        """The VFs that are alike and stand beside each other, this one among them, folded or not; of anything else only itself."""
        host = self._by_name.get(row_id.host)
        place = host.place(row_id.bdf) if host else None
        if host is None or place is None or place[1] < 0:
            return [row_id]
        begin, end = host.run(*place)
        return [RowId(row_id.host, bdf) for bdf in host.children[place[0]][begin:end]]

    def order(self, row_id: RowId) -> tuple[int, int, int] | None:
        """Where something stands in the tree, whatever is folded: host, branch, VF; None where it is not shown."""
        host = self._by_name.get(row_id.host)
        place = ((-1, -1) if not row_id.bdf else host.place(row_id.bdf)) if host else None
        return None if place is None else (self._number_of[row_id.host], *place)

    def branches(self) -> list[Branches]:
        """What hangs under each host, in the order of the tree."""
        return [host.branches for host in self._hosts]

    @property
    def longest(self) -> int:
        """Characters of the longest address: 12, or 13 behind a controller that makes domains of its own."""
        return max((host.branches.longest for host in self._hosts), default=0)

    @property
    def empty(self) -> bool:
        """Whether no host has any function to show, whatever the filter."""
        return not any(host.branches.total for host in self._hosts)

    @property
    def matched(self) -> int:
        """How many functions the filter keeps."""
        return sum(host.branches.matched for host in self._hosts)

    @property
    def total(self) -> int:
        """How many functions there would be without a filter."""
        return sum(host.branches.total for host in self._hosts)

    def foldable(self) -> list[RowId]:
        """Every row that can be folded: hosts and PFs with something below."""
        found: list[RowId] = []
        for host in self._hosts:
            name = host.snapshot.host.name
            found += [RowId(name)] if host.tops else []
            found += [RowId(name, bdf) for bdf, vfs in zip(host.tops, host.children, strict=True) if vfs]
        return found
