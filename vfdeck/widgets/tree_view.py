"""What the fleet tree shows and how it is drawn: line by line, straight from the snapshots.

There are no node objects. `FleetRows` says which row is where, `cells` what it says, `Painter` draws it. The widget owns nothing
but view state (cursor, folds, marks, search, scroll), all of it by `RowId`, so that it survives every refresh. What keys and mouse
do to it is `fleet_tree.FleetTree`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import events
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from vfdeck.backend.model import Snapshot
from vfdeck.widgets.branches import EVERYTHING, Branches
from vfdeck.widgets.cells import Cell, address, cells, host_line, hosts_line, run_cells, run_name
from vfdeck.widgets.changed import Difference
from vfdeck.widgets.columns import NOT_MEASURED, SHORT_ADDRESS_BELOW, Fitted, Needs, fit, measured, together
from vfdeck.widgets.news import News
from vfdeck.widgets.painting import MARK, MARKS_WITHIN, Look, Painter
from vfdeck.widgets.rows import FleetRows, Folds, Row, RowId
from vfdeck.widgets.searching import Search
from vfdeck.widgets.state import Tone, index_of

#: Lines above the rows: the columns' titles.
HEAD = 1


class TreeView(ScrollView, can_focus=True):
    """The rows of a fleet, with a cursor. Emits `Highlighted`."""

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
    TreeView {
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
    cursor: reactive[int] = reactive(0, repaint=False)

    class Highlighted(Message, namespace="fleet_tree"):
        """The cursor stands on another row."""

        def __init__(self, row_id: RowId | None) -> None:
            super().__init__()
            self.row_id = row_id

        def can_replace(self, message: Message) -> bool:
            """Only the last one counts."""
            return isinstance(message, TreeView.Highlighted)

    def __init__(
        self,
        *,
        id: str | None = None,
        flash: float = 0.0,
        hosts_open: bool = True,
        hidden: frozenset[str] = frozenset(),
        order: Sequence[str] = (),
    ) -> None:
        super().__init__(id=id)
        self.folds = Folds(hosts_open=hosts_open)
        self.rows = FleetRows((), self.folds)
        self.view = EVERYTHING
        self.marks: frozenset[RowId] = frozenset()
        self._marks_known = self.marks, self.marks  # and what they are in
        self.search: Search | None = None
        self._news = News(flash)
        self._snapshots: tuple[Snapshot, ...] = ()
        self._cursor_id: RowId | None = None
        self._cursor_parent: RowId | None = None
        self._wanted: RowId | None = None  # what the operator last went to; it may be out of sight for a while
        self._hidden, self._order = hidden, order
        self._columns: tuple[Fitted, ...] = fit(80, hidden=hidden, order=order)
        self._needs: Needs = NOT_MEASURED  # only ever more, so that columns do not dance when programs come and go
        self._painter = Painter(self)

    # -- what is shown ------------------------------------------------------------------------------------------------
    @property
    def row_id(self) -> RowId | None:
        """What the cursor stands on."""
        return self._cursor_id

    @property
    def row(self) -> Row | None:
        """The cursor's row."""
        return self.rows[self.cursor] if len(self.rows) else None

    def changes(self, row_id: RowId | None) -> tuple[Difference, ...]:
        """What a row says otherwise than a moment ago."""
        return self._news.of(row_id) if row_id is not None else ()

    def show(self, snapshots: Sequence[Snapshot]) -> None:
        """Show these snapshots; cursor, folds and marks stay with what they were on."""
        self._news.take(self._snapshots, snapshots)
        known = set(map(id, self._snapshots))
        for snapshot in snapshots:
            if id(snapshot) not in known:
                self._needs = together(self._needs, measured(snapshot))
        self._snapshots = tuple(snapshots)
        self._lay_out()

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
        never_moved = self._wanted is None and self._cursor_id is not None and not self._cursor_id.bdf
        if index is None or never_moved:  # a host may have had nothing to show at first
            index = self._first_function() if self._wanted is None else min(self.cursor, len(self.rows) - 1)
        self._place(index)
        self.refresh()
        if self._cursor_id != before:
            self.post_message(self.Highlighted(self._cursor_id))

    def _first_function(self) -> int:
        """Where the cursor starts: on the first PF rather than on its host."""
        return 1 if len(self.rows) > 1 and self.rows[1].depth == 1 else 0

    def _place(self, index: int) -> None:
        """Let the cursor stand at `index` and remember on what it stands there."""
        if not len(self.rows):
            self.set_reactive(TreeView.cursor, 0)
            self._cursor_id = self._cursor_parent = None
            return
        index = max(0, min(index, len(self.rows) - 1))
        self._cursor_id = self.rows[index].id
        self._cursor_parent = self.rows.parent(self._cursor_id)
        self.set_reactive(TreeView.cursor, index)

    # -- the cursor ---------------------------------------------------------------------------------------------------
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
        line = index - self.scroll_offset.y + HEAD
        if HEAD <= line < self.size.height:
            self.refresh(Region(0, line, self.size.width, 1))

    def _scroll_to_cursor(self) -> None:
        """Scroll as little as needed to have the cursor in view."""
        height = max(1, self.size.height - HEAD)
        top = self.scroll_offset.y
        if self.cursor < top:
            self.scroll_to(y=self.cursor, animate=False, force=True, immediate=True)
        elif self.cursor >= top + height:
            self.scroll_to(y=self.cursor - height + 1, animate=False, force=True, immediate=True)

    # -- drawing ------------------------------------------------------------------------------------------------------
    def on_resize(self, event: events.Resize) -> None:
        """Choose the columns for the new width."""
        self._fit()
        self._scroll_to_cursor()
        self.refresh()

    def _fit(self) -> None:
        """Choose the columns, and say how much there is to scroll."""
        columns = fit(max(1, self.size.width - 1), self.rows.longest, self._needs, self._hidden, self._order)
        if columns != self._columns:
            self._columns = columns
            self._painter.forget()
        self.virtual_size = Size(self.size.width, len(self.rows) + HEAD)

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
        if y < HEAD:
            return self._painter.head(self._columns, self.view.order, width)
        index = y - HEAD + self.scroll_offset.y
        if not 0 <= index < len(self.rows):
            return self._painter.blank(width)
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
        if function is None and row.size > 1:
            return "", tuple(hosts_line(index, self.rows.last(row).host, row.size))
        if function is None:
            return "", tuple(host_line(index, len(self._snapshots) == 1))
        if row.size > 1:
            last = snapshot.functions[self.rows.last(row).bdf]
            return run_name(function, last), run_cells(function, last, row.size, index, self._columns)
        return address(function.bdf, self.size.width - 1 < SHORT_ADDRESS_BELOW), cells(function, index, self._columns)

    def _mark(self, row: Row, members: Sequence[RowId]) -> str:
        """What stands beside a row that is marked, or has marked ones folded in it."""
        if not self.marks:
            return ""
        if any(member in self.marks for member in members):
            return MARK
        return MARKS_WITHIN if row.folded and not self._marked_in.isdisjoint(self.rows.members(row)) else ""

    @property
    def _marked_in(self) -> frozenset[RowId]:
        """The hosts of marked functions, and the PFs of marked VFs."""
        marks, found = self._marks_known
        if marks is not self.marks:
            found = frozenset(one for mark in self.marks for one in (RowId(mark.host), self._pf_of(mark)))
            self._marks_known = self.marks, found
        return found

    def _pf_of(self, row_id: RowId) -> RowId:
        snapshot = self.rows.snapshot(row_id.host)
        function = snapshot.functions.get(row_id.bdf) if snapshot is not None else None
        return RowId(row_id.host, function.physfn or "") if function is not None else RowId(row_id.host)

    def _look(self, row: Row, mood: str) -> Look:
        """How a row is to be seen: cursor, mark, changes, match."""
        changed = frozenset(difference.column for difference in self._news.of(row.id))
        snapshot = self.rows.snapshot(row.id.host)
        look = Look(mood, changed=changed, away=snapshot is not None and snapshot.away is not None)
        if not self.marks and self.search is None:
            return look
        members = self.rows.members(row) if row.id.bdf else []  # hosts are neither marked nor found
        look = look._replace(mark=self._mark(row, members))
        if self.search is None:
            return look
        found = any(self.search.is_match(self.rows, member) for member in members)
        return look._replace(found=found, words=self.search.query.words if found else ())
