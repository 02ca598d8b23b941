"""Finding rows in a fleet of any size: a search goes host by host and can be interrupted anywhere. No Textual in here."""

from __future__ import annotations

from collections.abc import Iterator

from vfdeck.widgets.branches import Branches
from vfdeck.widgets.filtering import Query
from vfdeck.widgets.rows import FleetRows, RowId
from vfdeck.widgets.state import index_of

#: So many functions are looked at between two places where a search can be interrupted.
CHUNK = 400


class Search:
    """One query over a fleet. What was found in a host is kept for as long as the host looks the same."""

    def __init__(self, query: Query) -> None:
        self.query = query
        self._found: dict[str, tuple[Branches, list[str]]] = {}

    def found(self, branches: Branches) -> list[str] | None:
        """The functions found in a host, in the order of its rows; None where it was not looked through yet."""
        known = self._found.get(branches.snapshot.host.name)
        return known[1] if known is not None and known[0] is branches else None

    def look(self, branches: Branches) -> Iterator[None]:
        """Look through a host."""
        if self.found(branches) is not None:
            return
        found: list[str] = []
        functions, index, test = branches.snapshot.functions, index_of(branches.snapshot), self.query.test
        everything = (bdf for top, vfs in zip(branches.tops, branches.children, strict=True) for bdf in (top, *vfs))
        for number, bdf in enumerate(everything, 1):
            if test(functions[bdf], index):
                found.append(bdf)
            if number % CHUNK == 0:
                yield
        self._found[branches.snapshot.host.name] = (branches, found)
        yield

    def seek(self, rows: FleetRows, start: RowId | None, step: int, *, here: bool = False) -> Iterator[RowId | None]:
        """Look for the next match after `start` (`step` -1: before it), going around at the ends; then through all the rest.

        Yields None where it can be interrupted, and the match once. `here` lets `start` itself be the match.
        """
        hosts = rows.branches()
        origin = rows.order(start) if start is not None else None
        first = origin[0] if origin else 0
        ring = [hosts[(first + step * n) % len(hosts)] for n in range(len(hosts))] if hosts else []
        target: RowId | None = None
        for turn, branches in enumerate([*ring, *ring[:1]]):
            for _ in self.look(branches):
                yield None
            if target is not None:
                continue
            ahead = self._ordered(rows, branches, step)
            if turn == 0 and origin is not None:
                ahead = [r for r in ahead if _after(rows.order(r), origin, step) or (here and r == start)]
            if ahead:
                target = ahead[0]
                yield target

    def _ordered(self, rows: FleetRows, branches: Branches, step: int) -> list[RowId]:
        """What was found in a host, in the direction of the search."""
        name = branches.snapshot.host.name
        found = [RowId(name, bdf) for bdf in self.found(branches) or ()]
        return found if step > 0 else found[::-1]

    def is_match(self, rows: FleetRows, row_id: RowId) -> bool:
        """Whether a row is a match, as far as its host as it looks now can say."""
        function, snapshot = rows.function(row_id), rows.snapshot(row_id.host)
        return function is not None and snapshot is not None and self.query.test(function, index_of(snapshot))

    def count(self, rows: FleetRows) -> int | None:
        """How many matches there are; None while not every host was looked through."""
        counts = [self.found(branches) for branches in rows.branches()]
        return None if any(found is None for found in counts) else sum(len(found or ()) for found in counts)

    def number(self, rows: FleetRows, row_id: RowId) -> int | None:
        """Which match this is, from 1; None where it is none, or not everything before it was looked through."""
        number = 0
        for branches in rows.branches():
            found = self.found(branches)
            if found is None:
                return None
            if branches.snapshot.host.name == row_id.host:
                return number + found.index(row_id.bdf) + 1 if row_id.bdf in found else None
            number += len(found)
        return None


def _after(order: tuple[int, int, int] | None, origin: tuple[int, int, int], step: int) -> bool:
    """Whether something comes after the origin in the direction of the search."""
    return order is not None and (order > origin if step > 0 else order < origin)
