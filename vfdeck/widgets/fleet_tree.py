"""The fleet tree: host, PF, VF, drawn line by line straight from the snapshots.

There are no node objects. `FleetRows` says which row is where, `cells` what it says, `Painter` draws it. The widget owns nothing
but view state (cursor, folds, marks, search, scroll), all of it by `RowId`, so that it survives every refresh. It emits
`Highlighted`, `Selected` and `Searched`. Whatever may take longer than a key should goes on in slices between other events.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import ClassVar, NamedTuple

from rich.cells import cell_len
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from vfdeck.backend.model import Snapshot
from vfdeck.widgets.cells import SHORT_ADDRESS_BELOW, Cell, Fitted, address, cells, fit, guides, host_line, run_cells, run_name
from vfdeck.widgets.changed import Difference
from vfdeck.widgets.filtering import Query
from vfdeck.widgets.news import News
from vfdeck.widgets.painting import Look, Painter
from vfdeck.widgets.rows import EVERYTHING, Branches, FleetRows, Folds, Row, RowId, View
from vfdeck.widgets.searching import Search
from vfdeck.widgets.state import Tone, index_of

#: Lines above the rows: the columns' titles.
_HEAD = 1
#: Seconds that work may go on before other events have their turn.
_SLICE = 0.006
_OVER = object()
#: Fleets of fewer functions are laid out anew at once.
_SMALL = 2000


class Place(NamedTuple):
    """Where one was: row, folds, scroll."""

    row_id: RowId | None
    folds: Folds
    top: float


class FleetTree(ScrollView, can_focus=True):
    """The tree of a fleet. Give it snapshots with `show`; it answers with `Highlighted`, `Selected` and `Searched`."""

    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "fleet-tree--cursor",
        "fleet-tree--cursor-blurred",
        "fleet-tree--head",
        "fleet-tree--guide",
        "fleet-tree--mark",
        "fleet-tree--match",
        *(f"fleet-tree--{tone}" for tone in Tone),
    }
    DEFAULT_CSS = """
    FleetTree {
        background: $background;
        color: $foreground;
        scrollbar-size-vertical: 1;
        overflow-x: hidden;
        & > .fleet-tree--head { color: $foreground-darken-3; background: $background; }
        & > .fleet-tree--guide { color: $secondary-darken-2; }
        & > .fleet-tree--mark { color: $text-accent; text-style: bold; }
        & > .fleet-tree--match { color: $text-warning; text-style: bold underline; }
        & > .fleet-tree--cursor { background: $primary-muted; text-style: bold; }
        & > .fleet-tree--cursor-blurred { background: $surface; }
        &:ansi > .fleet-tree--cursor { background: ansi_white; color: ansi_black; }
        &:ansi > .fleet-tree--cursor-blurred { background: ansi_bright_black; color: ansi_white; }
        & > .fleet-tree--plain { color: $foreground; }
        & > .fleet-tree--dim { color: $foreground-darken-3; }
        & > .fleet-tree--strong { color: $foreground; text-style: bold; }
        & > .fleet-tree--good { color: $text-success; }
        & > .fleet-tree--busy { color: $text-primary; }
        & > .fleet-tree--own { color: $text-accent; }
        & > .fleet-tree--warn { color: $text-warning; }
        & > .fleet-tree--bad { color: $text-error; text-style: bold; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("home", "jump(0)", "First", show=False),
        Binding("end", "jump(-1)", "Last", show=False),
        Binding("left,h", "fold", "Fold, or go to the parent", show=False),
        Binding("right,l", "unfold", "Unfold, or go to the first below", show=False),
        Binding("enter", "select", "Fold or select", show=False),
        Binding("space", "toggle_fold", "Fold or unfold", show=False),
        Binding("right_square_bracket", "jump_branch(1)", "Next PF", show=False),
        Binding("left_square_bracket", "jump_branch(-1)", "PF before", show=False),
        Binding("right_curly_bracket", "jump_host(1)", "Next host", show=False),
        Binding("left_curly_bracket", "jump_host(-1)", "Host before", show=False),
    ]

    cursor: reactive[int] = reactive(0, repaint=False)

    class Highlighted(Message):
        """The cursor stands on another row."""

        def __init__(self, row_id: RowId | None) -> None:
            super().__init__()
            self.row_id = row_id

        def can_replace(self, message: Message) -> bool:
            """Only the last one counts."""
            return isinstance(message, FleetTree.Highlighted)

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

    class Arranged(Message):
        """Filter or order were applied, which in a large fleet takes a moment."""

    def __init__(self, *, id: str | None = None, flash: float = 0.0) -> None:
        super().__init__(id=id)
        self.rows = FleetRows(())
        self.folds = Folds()
        self.view = EVERYTHING
        self.marks: frozenset[RowId] = frozenset()
        self.search: Search | None = None
        self._news = News(flash)
        self._snapshots: tuple[Snapshot, ...] = ()
        self._cursor_id: RowId | None = None
        self._cursor_parent: RowId | None = None
        self._wanted: RowId | None = None  # what the operator last went to; it may be out of sight for a while
        self._columns: tuple[Fitted, ...] = fit(80)
        self._painter = Painter(self)
        self._work: dict[str, Iterator[object]] = {}

    # -- what is shown ------------------------------------------------------------------------------------------------
    @property
    def row_id(self) -> RowId | None:
        """What the cursor stands on."""
        return self._cursor_id

    @property
    def row(self) -> Row | None:
        """The cursor's row."""
        return self.rows[self.cursor] if len(self.rows) else None

    @property
    def folded(self) -> frozenset[RowId]:
        """The hosts and PFs that are folded."""
        return self.folds.folded

    def changes(self, row_id: RowId | None) -> tuple[Difference, ...]:
        """What a row says otherwise than a moment ago."""
        return self._news.of(row_id) if row_id is not None else ()

    def show(self, snapshots: Sequence[Snapshot]) -> None:
        """Show these snapshots; cursor, folds and marks stay with what they were on."""
        self._news.take(self._snapshots, snapshots)
        self._snapshots = tuple(snapshots)
        self._lay_out()

    def select(self, row_id: RowId) -> None:
        """Put the cursor on `row_id`, unfolding what hides it."""
        parents = set()
        parent = self.rows.parent(row_id)
        while parent is not None:
            parents.add(parent)
            parent = self.rows.parent(parent)
        index = self.rows.find(row_id)
        if parents & self.folded:
            self._fold(replace(self.folds, folded=self.folded - parents))
            index = self.rows.find(row_id)
        if index is not None and self.rows[index].size > 1:
            self._fold(self._with_run(row_id, is_open=True))
            index = self.rows.find(row_id)
        if index is not None:
            self._move_to(index)

    def place(self) -> Place:
        """Where the operator is now, to come back to."""
        return Place(self._wanted or self._cursor_id, self.folds, self.scroll_offset.y)

    def go_back(self, place: Place) -> None:
        """Be where one was before."""
        self._wanted = place.row_id
        self._fold(place.folds)
        self.scroll_to(y=place.top, animate=False, force=True, immediate=True)
        self._scroll_to_cursor()

    def fold_all(self, folded: bool) -> None:
        """One step less to see: runs shut, then PFs, then hosts; or one step more: hosts open, then PFs, then runs."""
        rows = self.rows.foldable()
        hosts = frozenset(r for r in rows if not r.bdf) if len(self._snapshots) > 1 else frozenset()
        pfs = frozenset(r for r in rows if r.bdf)
        if folded:
            steps = [Folds(self.folded), Folds(self.folded | pfs), Folds(self.folded | pfs | hosts)]
        else:
            bare = replace(self.folds, folded=frozenset(r for r in self.folded if r.bdf))
            steps = [bare, replace(bare, folded=frozenset()), Folds(runs_open=True)]
        for step in (one for one in steps if one != self.folds):
            now = FleetRows(self._snapshots, step, self.rows, self.view)
            if len(now) != len(self.rows):
                self.folds = step
                self._take(now)
                return

    def _fold(self, folds: Folds) -> None:
        """Let this be folded from now on."""
        self.folds = folds
        self._lay_out()

    def _lay_out(self, made: Sequence[Branches] = ()) -> None:
        """Lay the rows out again."""
        self._take(FleetRows(self._snapshots, self.folds, self.rows, self.view, made))

    def _take(self, rows: FleetRows) -> None:
        """Show these rows, and find the cursor's place among them."""
        before = self._cursor_id
        self.rows = rows
        self._fit()
        candidates = (self._wanted, self._cursor_id, self._cursor_parent)
        found = (self.rows.find(row_id) for row_id in candidates if row_id is not None)
        index = next((place for place in found if place is not None), None)
        if index is None:
            index = self._first_function() if self._wanted is None else min(self.cursor, len(self.rows) - 1)
        self._place(index)
        self.refresh()
        if self._cursor_id != before:
            self.post_message(self.Highlighted(self._cursor_id))

    def _first_function(self) -> int:
        """Where the cursor starts: on the first PF rather than on its host."""
        return 1 if len(self.rows) > 1 else 0

    def _place(self, index: int) -> None:
        """Let the cursor stand at `index` and remember on what it stands there."""
        if not len(self.rows):
            self.set_reactive(FleetTree.cursor, 0)
            self._cursor_id = self._cursor_parent = None
            return
        index = max(0, min(index, len(self.rows) - 1))
        self._cursor_id = self.rows[index].id
        self._cursor_parent = self.rows.parent(self._cursor_id)
        self.set_reactive(FleetTree.cursor, index)

    # -- moving -------------------------------------------------------------------------------------------------------
    def _move_to(self, index: int) -> None:
        """Move the cursor, repaint the two lines it touches, and scroll it into view."""
        if not len(self.rows):
            return
        before, old_id = self.cursor, self._cursor_id
        self._place(index)
        self._wanted = self._cursor_id
        self._refresh_row(before)
        self._refresh_row(self.cursor)
        self._scroll_to_cursor()
        if self._cursor_id != old_id:
            self.post_message(self.Highlighted(self._cursor_id))

    def _refresh_row(self, index: int) -> None:
        """Repaint one row, where it is in view."""
        line = index - self.scroll_offset.y + _HEAD
        if _HEAD <= line < self.size.height:
            self.refresh(Region(0, line, self.size.width, 1))

    def _scroll_to_cursor(self) -> None:
        """Scroll as little as needed to have the cursor in view."""
        height = max(1, self.size.height - _HEAD)
        top = self.scroll_offset.y
        if self.cursor < top:
            self.scroll_to(y=self.cursor, animate=False, force=True, immediate=True)
        elif self.cursor >= top + height:
            self.scroll_to(y=self.cursor - height + 1, animate=False, force=True, immediate=True)

    def action_move(self, by: int) -> None:
        """Move by rows."""
        self._move_to(self.cursor + by)

    def action_page(self, by: int) -> None:
        """Move by what fits the widget."""
        self._move_to(self.cursor + by * max(1, self.size.height - _HEAD - 1))

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
    def _with_run(self, row_id: RowId, *, is_open: bool) -> Folds:
        """The folds with the run of a VF open or shut."""
        run = self.rows.run(row_id)
        others = self.folds.other_runs - set(run)
        return replace(self.folds, other_runs=others if is_open == self.folds.runs_open else others | set(run))

    def _set_fold(self, row: Row, folded: bool) -> None:
        """Fold or unfold a row; of a VF, its run."""
        if row.depth == 2:
            self._fold(self._with_run(row.id, is_open=not folded))
        else:
            self._fold(replace(self.folds, folded=self.folded | {row.id} if folded else self.folded - {row.id}))
        index = self.rows.find(row.id)
        if index is not None:
            self._move_to(index)

    def action_fold(self) -> None:
        """Fold what is open, or the run that a VF is of; on anything else go to the parent."""
        row = self.row
        if row is None:
            return
        in_open_run = row.depth == 2 and row.size == 1 and len(self.rows.run(row.id)) > 1
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

    # -- filter and order ---------------------------------------------------------------------------------------------
    def apply_view(self, view: View) -> None:
        """Show what a view keeps, in its order. A large fleet is seen as it was until all of it is arranged."""
        self.view = view
        if sum(len(snapshot.functions) for snapshot in self._snapshots) <= _SMALL:
            self._work.pop("view", None)
            self._lay_out()
            self._scroll_to_cursor()
            self.post_message(self.Arranged())
        else:
            self.view = self.rows.view
            self._begin("view", self._arranging(view))

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
        """Show what a query finds and go to the first match from `origin` on; None ends the search."""
        self.search = Search(query) if query is not None and query.text else None
        self._work.pop("search", None)
        if self.search is not None:
            self._begin("search", self._seeking(self.search, origin, 1, here=True))
        self.refresh()

    def find_next(self, step: int) -> None:
        """Go to the next match, or (-1) to the one before."""
        if self.search is not None:
            self._begin("search", self._seeking(self.search, self._cursor_id, step))

    def _seeking(self, search: Search, origin: RowId | None, step: int, *, here: bool = False) -> Iterator[object]:
        """Go to a match as soon as it is found, then find out how many there are."""
        for match in search.seek(self.rows, origin, step, here=here):
            if match is not None:
                self.select(match)
            yield None
        self.refresh()
        number = search.number(self.rows, self._cursor_id) if self._cursor_id else None
        self.post_message(self.Searched(number, search.count(self.rows)))

    def _begin(self, name: str, work: Iterator[object]) -> None:
        """Begin work instead of earlier work of this name: what is done in a moment at once, the rest in slices."""
        self._work[name] = work
        if self._slice(name, work):
            self.run_worker(self._go_on(name, work), group=name, exclusive=True)

    async def _go_on(self, name: str, work: Iterator[object]) -> None:
        """Slice by slice, with everything else having its turn between them (a message to ourselves would not let it)."""
        while self._slice(name, work):
            await asyncio.sleep(0)

    def _slice(self, name: str, work: Iterator[object]) -> bool:
        """One slice; whether there is more to do."""
        end = time.perf_counter() + _SLICE
        while self._work.get(name) is work:
            if next(work, _OVER) is _OVER:
                if self._work.get(name) is work:
                    del self._work[name]
            elif time.perf_counter() > end:
                return True
        return False

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
        self.marks = frozenset()
        self.refresh()

    # -- mouse --------------------------------------------------------------------------------------------------------
    def on_click(self, event: events.Click) -> None:
        """Go to the row clicked on; on its mark, or with a second click, fold or select it."""
        index = event.y - _HEAD + self.scroll_offset.y
        if event.y < _HEAD or not 0 <= index < len(self.rows):
            return
        row = self.rows[index]
        self._move_to(index)
        if row.foldable and event.x < cell_len(guides(row)):
            self._set_fold(row, not row.folded)
        elif event.chain == 2:
            self.action_select()

    # -- drawing ------------------------------------------------------------------------------------------------------
    def on_resize(self, event: events.Resize) -> None:
        """Choose the columns for the new width."""
        self._fit()
        self._scroll_to_cursor()
        self.refresh()

    def _fit(self) -> None:
        """Choose the columns, and say how much there is to scroll."""
        columns = fit(max(1, self.size.width - 1), self.rows.longest)
        if columns != self._columns:
            self._columns = columns
            self._painter.forget()
        self.virtual_size = Size(self.size.width, len(self.rows) + _HEAD)

    def notify_style_update(self) -> None:
        """Forget what was drawn with the old styles."""
        super().notify_style_update()
        self._painter.forget(styles=True)

    def on_focus(self) -> None:
        """Show the cursor as active."""
        self._refresh_row(self.cursor)

    def on_blur(self) -> None:
        """Show the cursor as resting."""
        self._refresh_row(self.cursor)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Repaint when scrolled; the titles stay."""
        super().watch_scroll_y(old_value, new_value)

    def render_line(self, y: int) -> Strip:
        """One line of the widget."""
        width = self.size.width
        if y < _HEAD:
            return self._painter.head(self._columns, self.view.order, width)
        index = y - _HEAD + self.scroll_offset.y
        if not 0 <= index < len(self.rows):
            return Strip.blank(width, self.rich_style)
        row = self.rows[index]
        mood = ("cursor" if self.has_focus else "cursor-blurred") if index == self.cursor else ""
        name, parts = self._said(row)
        return self._painter.row(row, name, parts, self._columns, self._look(row, mood), width)

    def _said(self, row: Row) -> tuple[str, tuple[Cell, ...]]:
        """A row's name and what it says, from its snapshot as it is now."""
        snapshot = self.rows.snapshot(row.id.host)
        if snapshot is None:
            return "", ()
        index = index_of(snapshot)
        function = snapshot.functions.get(row.id.bdf)
        if function is None:
            return "", tuple(host_line(index, len(self._snapshots) == 1))
        if row.size > 1:
            last = snapshot.functions[self.rows.members(row)[-1].bdf]
            return run_name(function, last), run_cells(function, last, row.size, index, self._columns)
        return address(function.bdf, self.size.width - 1 < SHORT_ADDRESS_BELOW), cells(function, index, self._columns)

    def _look(self, row: Row, mood: str) -> Look:
        """How a row is to be seen: cursor, mark, changes, match."""
        changed = frozenset(difference.column for difference in self._news.of(row.id))
        if not self.marks and self.search is None:
            return Look(mood, False, changed)
        members = self.rows.members(row)
        marked = bool(self.marks) and any(member in self.marks for member in members)
        if self.search is None:
            return Look(mood, marked, changed)
        found = any(self.search.is_match(self.rows, member) for member in members)
        return Look(mood, marked, changed, found, self.search.query.words if found else ())
