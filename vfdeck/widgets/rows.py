"""Which rows the fleet tree has: host, PF, VF or run of VFs, without an object for each row.

Every host keeps the number of rows of each of its branches (a PF with its VFs, or a plain function) as a running sum, and the
fleet keeps the running sum over hosts; a row is found by bisection. Only the host whose snapshot or folds changed is laid out
again. What is left out by a filter, and in which order the rest comes, is a `View`. No Textual in here.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import NamedTuple

from vfdeck.backend.model import Function, Snapshot
from vfdeck.widgets.alike import likeness, neighbours
from vfdeck.widgets.branches import EVERYTHING, Branches, View
from vfdeck.widgets.sorting import Order


class RowId(NamedTuple):
    """What a row is about: a function of a host, or with `bdf` "" the host itself. Stays the same through every refresh.

    A row of several VFs or hosts that are alike goes by the first of them.
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
    size: int = 1  # of a folded run: how many VFs or hosts it stands for


@dataclass(frozen=True)
class Folds:
    """What is folded, by address, so that it stays so through every refresh.

    Hosts, PFs and runs of VFs are each open or shut, all but `others`: those that somebody folded or unfolded for themselves.
    A run is among them by any of its VFs. Runs of hosts likewise, with `alike`, by any of their hosts.
    """

    others: frozenset[RowId] = frozenset()
    hosts_open: bool = True
    pfs_open: bool = True
    runs_open: bool = False
    alike: frozenset[RowId] = frozenset()
    alike_open: bool = False

    def of_hosts(self) -> dict[str, _HostFolds]:
        """The folds host by host; hosts in which nothing is otherwise are left out."""
        found: dict[str, set[str]] = {}
        for row_id in self.others:
            found.setdefault(row_id.host, set()).add(row_id.bdf)
        return {name: self._of(frozenset(others)) for name, others in found.items()}

    def _of(self, others: frozenset[str] = frozenset()) -> _HostFolds:
        """Those of a host with these `others`."""
        return _HostFolds(others, self.hosts_open == ("" not in others), self.pfs_open, self.runs_open)

    @property
    def by_default(self) -> _HostFolds:
        """Those of a host in which nothing is otherwise."""
        return self._of()

    def with_row(self, row_id: RowId, *, is_open: bool, of_host: bool) -> Folds:
        """The same with a host (`of_host`) or a PF open or shut."""
        same = is_open == (self.hosts_open if of_host else self.pfs_open)
        return replace(self, others=self.others - {row_id} if same else self.others | {row_id})

    def with_run(self, run: Collection[RowId], *, is_open: bool) -> Folds:
        """The same with a run of VFs, or of hosts, open or shut."""
        if not any(row_id.bdf for row_id in run):
            alike = self.alike.difference(run)
            return replace(self, alike=alike if is_open == self.alike_open else alike.union(run))
        others = self.others.difference(run)
        return replace(self, others=others if is_open == self.runs_open else others.union(run))


class _HostFolds(NamedTuple):
    """What is folded in a host."""

    others: frozenset[str]
    is_open: bool  # the host itself
    pfs_open: bool
    runs_open: bool

    def shows_vfs(self, pf: str) -> bool:
        """Whether a PF is open."""
        return self.pfs_open == (pf not in self.others)


class _Host:
    """The rows of one host with its folds."""

    __slots__ = ("branch_of", "branches", "children", "folds", "rows", "shown", "snapshot", "starts", "tops")

    def __init__(self, branches: Branches, folds: _HostFolds) -> None:
        self.branches, self.folds = branches, folds
        self.snapshot, self.tops, self.children = branches.snapshot, branches.tops, branches.children
        self.branch_of = branches.branch_of
        shut = not (folds.runs_open or folds.others)
        self.shown = branches.runs if shut else [_shown(*one, folds) for one in zip(self.children, branches.runs, strict=True)]
        sizes = (len(starts) if folds.shows_vfs(bdf) else 1 for bdf, starts in zip(self.tops, self.shown, strict=True))
        self.starts = list(accumulate(sizes, initial=1))
        self.rows = 0 if branches.hidden else self.starts[-1] if folds.is_open else 1

    @property
    def likeness(self) -> object | None:
        """What has to be equal of hosts that share a row; None: this one shares none."""
        return self.branches.likeness(likeness)

    def row(self, offset: int) -> Row:
        """The row at `offset` under the host's first."""
        name = self.snapshot.host.name
        if offset == 0:
            return Row(RowId(name), 0, False, False, bool(self.tops), not self.folds.is_open)
        branch = bisect_right(self.starts, offset) - 1
        bdf, vfs, last = self.tops[branch], self.children[branch], branch == len(self.tops) - 1
        inner = offset - self.starts[branch] - 1
        if inner < 0:
            return Row(RowId(name, bdf), 1, last, False, bool(vfs), bool(vfs) and not self.folds.shows_vfs(bdf))
        begin, end = self.shown[branch][inner], self.shown[branch][inner + 1]
        run = self.run(branch, begin)
        foldable = run[1] - run[0] > 1 and begin == run[0]
        return Row(RowId(name, vfs[begin]), 2, end == len(vfs), last, foldable, end - begin > 1, end - begin)

    def tops_at(self, depth: int) -> Sequence[int]:
        """The offsets of the host's own row (`depth` 0), or of the rows right under it (1)."""
        if not self.rows:
            return ()
        return (0,) if depth == 0 else self.starts[:-1] if self.folds.is_open else ()

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
        if branch < 0 or not self.folds.is_open:
            return 0
        if child < 0 or not self.folds.shows_vfs(self.tops[branch]):
            return self.starts[branch]
        return self.starts[branch] + bisect_right(self.shown[branch], child)


def _shown(vfs: list[str], starts: Sequence[int], folds: _HostFolds) -> Sequence[int]:
    """Where each row of a PF's VFs begins among them as runs are folded now; ends with their number."""
    if isinstance(starts, range):
        return starts
    if folds.runs_open and not folds.others:
        return range(len(vfs) + 1)
    found = [0]
    for begin, end in pairwise(starts):
        is_open = folds.runs_open == folds.others.isdisjoint(vfs[begin:end])
        found += range(begin + 1, end + 1) if is_open else (end,)
    return found


class _HostRun(NamedTuple):
    """Hosts that are alike, by their numbers in the tree, and whether each has a row of its own."""

    numbers: Sequence[int]
    is_open: bool


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
        none = self.folds.by_default
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
        self._number_of = {host.snapshot.host.name: number for number, host in enumerate(hosts)}
        self._run_of = self._alike_runs()
        self._starts = list(accumulate(map(self._rows_of, range(len(hosts))), initial=0))

    def _alike_runs(self) -> dict[int, _HostRun]:
        """The run of each host that is in one: shut hosts that are alike, with none between them but what a filter hides."""
        found: dict[int, _HostRun] = {}
        shown = [number for number, host in enumerate(self._hosts) if host.rows]
        for run in neighbours([self._hosts[number].likeness if self._hosts[number].rows == 1 else None for number in shown]):
            mine = shown[run.start : run.stop]
            rows = {RowId(self._hosts[number].snapshot.host.name) for number in mine}
            one = _HostRun(mine, self.folds.alike_open == self.folds.alike.isdisjoint(rows))
            found.update(dict.fromkeys(mine, one))
        return found

    def _rows_of(self, number: int) -> int:
        """How many rows a host has: none of its own in a shut run, but for the first."""
        run = self._run_of.get(number)
        return self._hosts[number].rows if run is None or run.is_open or run.numbers[0] == number else 0

    def __len__(self) -> int:
        return self._starts[-1]

    def __getitem__(self, index: int) -> Row:
        if not 0 <= index < len(self):
            raise IndexError(index)
        host = bisect_right(self._starts, index) - 1
        row = self._hosts[host].row(index - self._starts[host])
        run = self._run_of.get(host)
        return row if run is None or run.is_open else row._replace(size=len(run.numbers))

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
        if offset is None:
            return None
        number = self._number_of[row_id.host]
        run = self._run_of.get(number)
        return self._starts[number] + offset if run is None or run.is_open else self._starts[run.numbers[0]]

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
            places = self._hosts[host].tops_at(depth) if self._rows_of(host) else ()
            at = bisect_right(places, index - base) if step > 0 else bisect_left(places, index - base) - 1
            if 0 <= at < len(places):
                return base + places[at]
            host += step
        return None

    def members(self, row: Row) -> list[RowId]:
        """Everything that a row stands for: itself, or the VFs or hosts of a folded run."""
        return self.run(row.id)[: row.size] if row.size > 1 else [row.id]

    def last(self, row: Row) -> RowId:
        """The last of what a row stands for."""
        run = self._run_of.get(self._number_of[row.id.host]) if row.size > 1 and not row.id.bdf else None
        return RowId(self._hosts[run.numbers[-1]].snapshot.host.name) if run is not None else self.members(row)[-1]

    def run(self, row_id: RowId) -> list[RowId]:
        """The VFs, or hosts, that are alike and stand beside each other, this one among them, folded or not; else only itself."""
        if not row_id.bdf:
            run = self._run_of.get(self._number_of.get(row_id.host, -1))
            return [RowId(self._hosts[n].snapshot.host.name) for n in run.numbers] if run is not None else [row_id]
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

    def is_open(self, row_id: RowId) -> bool:
        """Whether a host or a PF shows what is below it; True of everything else."""
        host = self._by_name.get(row_id.host)
        if host is None or (row_id.bdf and row_id.bdf not in host.branch_of):
            return True
        return host.folds.shows_vfs(row_id.bdf) if row_id.bdf else host.folds.is_open

    def is_pf(self, row_id: RowId) -> bool:
        """Whether this is a row right under a host."""
        host = self._by_name.get(row_id.host)
        return host is not None and row_id.bdf in host.branch_of
