"""Which rows the fleet tree has: host, PF, VF, without an object for each row.

Every host keeps the number of rows of each of its branches (a PF with its VFs, or a plain function) as a running sum, and the
fleet keeps the running sum over hosts; a row is found by bisection. Only the host whose snapshot or folds changed is laid out
again. No Textual in here.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

from vfdeck.backend.model import Function, Role, Snapshot, is_vfio_driver


class RowId(NamedTuple):
    """What a row is about: a function of a host, or with `bdf` "" the host itself. Stays the same through every refresh."""

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


def shown_at_top(function: Function) -> bool:
    """Whether a function that is no VF of a shown PF has a row of its own under the host."""
    if function.role is not Role.PLAIN:
        return True
    return function.on_vfio or function.cdev is not None or is_vfio_driver(function.driver_override)


class _Branches:
    """What hangs under a host, whatever is folded: made once for each snapshot."""

    __slots__ = ("branch_of", "children", "longest", "snapshot", "tops")

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        children: dict[str, list[str]] = {}
        taken: set[str] = set()
        for bdf, function in snapshot.functions.items():
            if function.role is Role.PF:
                mine = [v.bdf for v in snapshot.vfs_of(bdf) if v.role is Role.VF and v.physfn == bdf and v.bdf not in taken]
                children[bdf] = list(dict.fromkeys(mine))
                taken.update(mine)
        self.tops = [bdf for bdf, f in snapshot.functions.items() if bdf not in taken and shown_at_top(f)]
        self.children = [children.get(bdf, []) for bdf in self.tops]
        self.branch_of = {bdf: n for n, bdf in enumerate(self.tops)}
        self.longest = max(map(len, snapshot.functions), default=0)


class _Host:
    """The rows of one host with its folds."""

    __slots__ = ("branch_of", "branches", "children", "folded", "snapshot", "starts", "tops")

    def __init__(self, branches: _Branches, folded: frozenset[str]) -> None:
        self.branches = branches
        self.snapshot, self.tops, self.children = branches.snapshot, branches.tops, branches.children
        self.branch_of = branches.branch_of
        self.folded = folded
        sizes = (1 if bdf in folded else 1 + len(vfs) for bdf, vfs in zip(self.tops, self.children, strict=True))
        self.starts = list(accumulate(sizes, initial=1))

    @property
    def rows(self) -> int:
        """How many rows the host has now."""
        return 1 if "" in self.folded else self.starts[-1]

    def row(self, offset: int) -> Row:
        """The row at `offset` under the host's first."""
        name = self.snapshot.host.name
        if offset == 0:
            return Row(RowId(name), 0, False, False, bool(self.tops), "" in self.folded)
        branch = bisect_right(self.starts, offset) - 1
        bdf, vfs, last = self.tops[branch], self.children[branch], branch == len(self.tops) - 1
        inner = offset - self.starts[branch]
        if inner == 0:
            return Row(RowId(name, bdf), 1, last, False, bool(vfs), bool(vfs) and bdf in self.folded)
        return Row(RowId(name, vfs[inner - 1]), 2, inner == len(vfs), last, False, False)

    def find(self, bdf: str) -> int | None:
        """The offset of the row that shows `bdf`, or of what it is folded into; None where the host has no such row."""
        if bdf == "":
            return 0
        branch, inner = self.branch_of.get(bdf), 0
        if branch is None:
            function = self.snapshot.functions.get(bdf)
            branch = self.branch_of.get(function.physfn or "") if function is not None else None
            if branch is None or bdf not in self.children[branch]:
                return None
            inner = self.children[branch].index(bdf) + 1
        if "" in self.folded:
            return 0
        return self.starts[branch] + (0 if self.tops[branch] in self.folded else inner)


class FleetRows:
    """The rows of a fleet. `previous` lends the layout of hosts that have not changed."""

    def __init__(self, snapshots: Sequence[Snapshot], folded: Collection[RowId], previous: FleetRows | None = None) -> None:
        by_host: dict[str, set[str]] = {}
        for row_id in folded:
            by_host.setdefault(row_id.host, set()).add(row_id.bdf)
        old: dict[str, _Host] = previous._by_name if previous else {}
        self._hosts: list[_Host] = []
        for snapshot in snapshots:
            folds = frozenset(by_host.get(snapshot.host.name, ()))
            host = old.get(snapshot.host.name)
            if host is None or host.snapshot is not snapshot:
                host = _Host(_Branches(snapshot), folds)
            elif host.folded != folds:
                host = _Host(host.branches, folds)
            self._hosts.append(host)
        self._by_name: dict[str, _Host] = {host.snapshot.host.name: host for host in self._hosts}
        self._starts = list(accumulate((host.rows for host in self._hosts), initial=0))
        self._start_of = {host.snapshot.host.name: start for host, start in zip(self._hosts, self._starts, strict=False)}

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
        return None if offset is None else self._start_of[row_id.host] + offset

    def parent(self, row_id: RowId) -> RowId | None:
        """The row above in the tree; None for a host."""
        if not row_id.bdf:
            return None
        host = self._by_name.get(row_id.host)
        function = self.function(row_id)
        if host and function and row_id.bdf not in host.branch_of and function.physfn in host.branch_of:
            return RowId(row_id.host, function.physfn)
        return RowId(row_id.host)

    @property
    def longest(self) -> int:
        """Characters of the longest address: 12, or 13 behind a controller that makes domains of its own."""
        return max((host.branches.longest for host in self._hosts), default=0)

    @property
    def empty(self) -> bool:
        """Whether no host has any function to show."""
        return not any(host.tops for host in self._hosts)

    def foldable(self) -> list[RowId]:
        """Every row that can be folded: hosts and PFs with something below."""
        found: list[RowId] = []
        for host in self._hosts:
            name = host.snapshot.host.name
            found += [RowId(name)] if host.tops else []
            found += [RowId(name, bdf) for bdf, vfs in zip(host.tops, host.children, strict=True) if vfs]
        return found
