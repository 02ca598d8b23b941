"""The fleet tree as it is used: keys and mouse, folding, filter, search, marks. What it shows and draws is `tree_view.TreeView`.

It emits `Highlighted`, `Selected` and `Searched`. Whatever may take longer than a key should goes on in slices between other
events.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import ClassVar, NamedTuple

from rich.cells import cell_len
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message

from vfdeck.widgets.branches import Branches, View
from vfdeck.widgets.cells import guides
from vfdeck.widgets.filtering import Query
from vfdeck.widgets.rows import FleetRows, Folds, Row, RowId
from vfdeck.widgets.searching import Search
from vfdeck.widgets.slices import Slices
from vfdeck.widgets.sorting import Order
from vfdeck.widgets.tree_view import HEAD, TreeView

#: Fleets of fewer functions are laid out anew at once.
_SMALL = 2000


class Place(NamedTuple):
    """Where one was: row, folds, what a search had opened of them, scroll."""

    row_id: RowId | None
    folds: Folds
    opened: frozenset[RowId]
    top: float


class FleetTree(TreeView):
    """The tree of a fleet. Give it snapshots with `show`; it answers with `Highlighted`, `Selected` and `Searched`."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", id="move.up", show=False),
        Binding("down,j", "move(1)", "Down", id="move.down", show=False),
        Binding("pageup", "page(-1)", "Page up", id="move.page_up", show=False),
        Binding("pagedown", "page(1)", "Page down", id="move.page_down", show=False),
        Binding("home,g", "jump(0)", "First", id="move.first", show=False),
        Binding("end,G", "jump(-1)", "Last", id="move.last", show=False),
        Binding("left,h", "fold", "Fold, or go to the parent", id="move.left", show=False),
        Binding("right,l", "unfold", "Unfold, or go to the first below", id="move.right", show=False),
        Binding("enter", "select", "Fold or select", id="move.select", show=False),
        Binding("space", "toggle_fold", "Fold or unfold", id="move.toggle", show=False),
        Binding("J", "jump_branch(1)", "Next PF", id="move.next_pf", show=False),
        Binding("K", "jump_branch(-1)", "PF before", id="move.previous_pf", show=False),
        Binding("right_curly_bracket", "jump_host(1)", "Next host", id="move.next_host", show=False),
        Binding("left_curly_bracket", "jump_host(-1)", "Host before", id="move.previous_host", show=False),
    ]

    class Selected(Message):
        """Enter or a second click on a row that has nothing to fold."""

        def __init__(self, row_id: RowId) -> None:
            super().__init__()
            self.row_id = row_id

    class Searched(Message):
        """A search got on, or is over: `number` of `count` matches is the cursor's, each None where it is not known yet."""

        def __init__(self, number: int | None, count: int | None) -> None:
            super().__init__()
            self.number = number
            self.count = count

    class Sort(Message):
        """A column's title was clicked on: rows are to be sorted by it."""

        def __init__(self, order: Order) -> None:
            super().__init__()
            self.order = order

    class Arranged(Message):
        """Filter or order were applied, which in a large fleet takes a moment."""

    def __init__(
        self,
        *,
        id: str | None = None,
        flash: float = 0.0,
        hosts_open: bool = True,
        hidden: frozenset[str] = frozenset(),
        order: Sequence[str] = (),
    ) -> None:
        super().__init__(id=id, flash=flash, hosts_open=hosts_open, hidden=hidden, order=order)
        self._slices = Slices(self)
        self._opened: frozenset[RowId] = frozenset()  # what the search unfolded: hosts, PFs, and a VF of each run

    @property
    def is_busy(self) -> bool:
        """Whether a search, a filter or an order is still being worked on."""
        return self._slices.busy

    # -- moving -------------------------------------------------------------------------------------------------------
    def action_move(self, by: int) -> None:
        """Move by rows."""
        self._move_to(self.cursor + by)

    def action_page(self, by: int) -> None:
        """Move by what fits the widget."""
        self._move_to(self.cursor + by * max(1, self.size.height - HEAD - 1))

    def action_jump(self, index: int) -> None:
        """Go to the first row (0) or the last (-1)."""
        self._move_to(index if index >= 0 else len(self.rows) - 1)

    def action_jump_branch(self, step: int) -> None:
        """Go to the next PF (or function right under a host), or to the one before."""
        index = self.rows.neighbour(self.cursor, step, 1)
        self._move_to(self.cursor if index is None else index)

    def action_jump_host(self, step: int) -> None:
        """Go to the next host, or to the one before."""
        index = self.rows.neighbour(self.cursor, step, 0)
        self._move_to(self.cursor if index is None else index)

    # -- folding ------------------------------------------------------------------------------------------------------
    def _fold_again(self) -> None:
        """Fold what the search opened and the operator has not touched since, but for what the cursor stands in."""
        opened, self._opened = self._opened, frozenset()
        here = self._cursor_id
        kept = self._parents(here) | set(self.rows.run(here)) if here is not None else frozenset()
        folds = self.folds
        for row_id in opened - kept:
            run = self.rows.run(row_id)
            if len(run) > 1 and kept.isdisjoint(run):
                folds = folds.with_run(run, is_open=False)
            elif len(run) == 1:
                folds = folds.with_row(row_id, is_open=False, of_host=not row_id.bdf)
        if folds != self.folds:
            self._fold(folds)
            self._scroll_to_cursor()

    def _set_fold(self, row: Row, folded: bool) -> None:
        """Fold or unfold a row; of a VF, or of a host that shares a row or is shut, its run. It is the operator's then."""
        self._opened -= {row.id, *self.rows.run(row.id)}
        if row.depth == 2 or row.size > 1 or (row.folded and folded):
            self._fold(self.folds.with_run(self.rows.run(row.id), is_open=not folded))
        else:
            self._fold(self.folds.with_row(row.id, is_open=not folded, of_host=row.depth == 0))
        index = self.rows.find(row.id)
        if index is not None:
            self._move_to(index)

    def action_fold(self) -> None:
        """Fold what is open, or the run that a VF or a shut host is of; on anything else go to the parent."""
        row = self.row
        if row is None:
            return
        in_open_run = row.size == 1 and len(self.rows.run(row.id)) > 1
        if in_open_run or (row.foldable and not row.folded):
            self._set_fold(row, True)
        elif (parent := self.rows.parent(row.id)) is not None and (index := self.rows.find(parent)) is not None:
            self._move_to(index)

    def action_unfold(self) -> None:
        """Unfold what is folded; on an open one go to its first child."""
        row = self.row
        if row is None or not row.foldable:
            return
        if row.folded:
            self._set_fold(row, False)
        elif row.depth < 2:
            self._move_to(self.cursor + 1)

    def action_toggle_fold(self) -> None:
        """Fold or unfold the row, or its parent's where it has nothing to fold."""
        row = self.row
        if row is not None and row.foldable:
            self._set_fold(row, not row.folded)
        elif row is not None:
            self.action_fold()

    def action_select(self) -> None:
        """Fold or unfold; select a VF, and what has nothing to fold."""
        row = self.row
        if row is None:
            return
        if row.folded or (row.foldable and row.depth < 2):
            self._set_fold(row, not row.folded)
        else:
            self.post_message(self.Selected(row.id))

    def select(self, row_id: RowId) -> frozenset[RowId]:
        """Put the cursor on `row_id`, unfolding what hides it; the answer is what was unfolded."""
        opened = frozenset(parent for parent in self._parents(row_id) if not self.rows.is_open(parent))
        if opened:
            folds = self.folds
            for parent in opened:
                folds = folds.with_row(parent, is_open=True, of_host=not parent.bdf)
            self._fold(folds)
        index = self.rows.find(row_id)
        if index is not None and self.rows[index].size > 1:
            opened |= {row_id}
            self._fold(self.folds.with_run(self.rows.run(row_id), is_open=True))
            index = self.rows.find(row_id)
        if index is not None:
            self._move_to(index)
        return opened

    def _parents(self, row_id: RowId) -> frozenset[RowId]:
        """Everything that a row hangs under."""
        parents = set()
        parent = self.rows.parent(row_id)
        while parent is not None:
            parents.add(parent)
            parent = self.rows.parent(parent)
        return frozenset(parents)

    def place(self) -> Place:
        """Where the operator is now, to come back to."""
        return Place(self._wanted or self._cursor_id, self.folds, self._opened, self.scroll_offset.y)

    def go_back(self, place: Place) -> None:
        """Be where one was before; what a search that is over had opened is folded."""
        self._wanted = place.row_id
        self._opened = place.opened
        self._fold(place.folds)
        if self.search is None:
            self._fold_again()
        self.scroll_to(y=place.top, animate=False, force=True, immediate=True)
        self._scroll_to_cursor()

    def fold_all(self, folded: bool) -> None:
        """One step less to see: runs shut, then PFs, hosts, and runs of hosts; or one step more, the other way."""
        folds = self.folds
        hosts = frozenset(r for r in folds.others if not r.bdf)
        pfs = frozenset(r for r in folds.others if r.bdf and self.rows.is_pf(r))
        if folded:
            many = len(self._snapshots) > 1
            steps = [
                replace(folds, others=hosts | pfs, runs_open=False),
                replace(folds, others=hosts, pfs_open=False, runs_open=False),
                Folds(hosts_open=not many, pfs_open=False, alike_open=True),
                Folds(hosts_open=not many, pfs_open=False),
            ]
        else:
            steps = [
                replace(folds, alike=frozenset(), alike_open=True),
                replace(folds, others=folds.others - hosts, hosts_open=True),
                replace(folds, others=folds.others - hosts - pfs, hosts_open=True, pfs_open=True),
                Folds(runs_open=True, alike_open=True),
            ]
        for step in (one for one in steps if one != self.folds):
            now = FleetRows(self._snapshots, step, self.rows, self.view)
            if len(now) < len(self.rows) if folded else len(now) > len(self.rows):
                self.folds, self._opened = step, frozenset()
                self._take(now)
                return

    def unfold(self) -> None:
        """Everything there is to see."""
        self.folds, self._opened = Folds(runs_open=True), frozenset()
        self._take(FleetRows(self._snapshots, self.folds, self.rows, self.view))

    # -- filter and order ---------------------------------------------------------------------------------------------
    def apply_view(self, view: View) -> None:
        """Show what a view keeps, in its order. A large fleet is seen as it was until all of it is arranged."""
        self.view = view
        if sum(len(snapshot.functions) for snapshot in self._snapshots) <= _SMALL:
            self._slices.stop("view")
            self._lay_out()
            self._scroll_to_cursor()
            self.post_message(self.Arranged())
        else:
            self.view = self.rows.view
            self._slices.begin("view", self._arranging(view))

    def _arranging(self, view: View) -> Iterator[object]:
        """Make all branches anew, a host at a time; what came meanwhile is made with the last step."""
        made = []
        for snapshot in self._snapshots:
            made.append(Branches(snapshot, view))
            yield None
        self.view = view
        self._lay_out(made)
        self._scroll_to_cursor()
        self.post_message(self.Arranged())

    # -- search -------------------------------------------------------------------------------------------------------
    def find(self, query: Query | None, origin: RowId | None) -> None:
        """Show what a query finds and go to the first match from `origin` on; None ends the search and folds what it opened."""
        self.search = Search(query) if query is not None and query.text else None
        self._slices.stop("search")
        if self.search is not None:
            self._slices.begin("search", self._seeking(self.search, origin, 1, here=True))
        else:
            self._fold_again()
        self.refresh()

    def find_next(self, step: int) -> None:
        """Go to the next match, or (-1) to the one before."""
        if self.search is not None:
            self._slices.begin("search", self._seeking(self.search, self._cursor_id, step))

    def _seeking(self, search: Search, origin: RowId | None, step: int, *, here: bool = False) -> Iterator[object]:
        """Go to a match as soon as it is found, then find out how many there are."""
        for match in search.seek(self.rows, origin, step, here=here):
            if match is not None:
                self._opened |= self.select(match)
            yield None
        self.refresh()
        number = search.number(self.rows, self._cursor_id) if self._cursor_id else None
        self.post_message(self.Searched(number, search.count(self.rows)))

    # -- marks --------------------------------------------------------------------------------------------------------
    def toggle_mark(self) -> None:
        """Mark the cursor's row, or take its mark away; of a folded run, all its VFs."""
        row = self.row
        if row is None or not row.id.bdf:
            return
        members = frozenset(self.rows.members(row))
        self.marks = self.marks - members if members <= self.marks else self.marks | members
        self._refresh_row(self.cursor)
        self._move_to(self.cursor + 1)

    def clear_marks(self) -> None:
        """Take all marks away."""
        self.unmark(self.marks)

    def unmark(self, rows: frozenset[RowId]) -> None:
        """Take some marks away."""
        self.marks -= rows
        self.refresh()

    def _order_at(self, x: int) -> Order | None:
        """What the column at `x` sorts by; the one that is sorted by already leads back to addresses."""
        end = 0
        for fitted in self._columns:
            end += fitted.width + 1
            if x < end:
                order = next((one for one in Order if fitted.column.id in one.columns), None)
                return Order.ADDRESS if order is self.view.order else order
        return None

    # -- mouse --------------------------------------------------------------------------------------------------------
    def on_click(self, event: events.Click) -> None:
        """Go to the row clicked on; on its mark, or with a second click, fold or select it. A column's title sorts by it."""
        if event.y < HEAD:
            order = self._order_at(event.x)
            if order is not None:
                self.post_message(self.Sort(order))
            return
        index = event.y - HEAD + self.scroll_offset.y
        if not 0 <= index < len(self.rows):
            return
        row = self.rows[index]
        self._move_to(index)
        if row.foldable and event.x < cell_len(guides(row)):
            self._set_fold(row, not row.folded)
        elif event.chain == 2:
            self.action_select()
