"""The fleet tree: host, PF, VF, drawn line by line straight from the snapshots.

There are no node objects. `FleetRows` says which row is where, `cells` what it says; drawn strips are kept by the row's
value, so that a new snapshot repaints only what changed. The widget owns nothing but view state (cursor, folds, scroll),
all of it by `RowId`, so that it survives every refresh. It emits `Highlighted` and `Selected`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.cache import LRUCache
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from vfdeck.backend.model import Function, Snapshot
from vfdeck.widgets.cells import SHORT_ADDRESS_BELOW, TREE, Cell, Fitted, address, cells, fit, guides, host_line
from vfdeck.widgets.rows import FleetRows, Row, RowId
from vfdeck.widgets.state import Tone, index_of

#: Lines above the rows: the columns' titles.
_HEAD = 1


class FleetTree(ScrollView, can_focus=True):
    """The tree of a fleet. Give it snapshots with `show`; it answers with `Highlighted` and `Selected`."""

    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "fleet-tree--cursor",
        "fleet-tree--cursor-blurred",
        "fleet-tree--head",
        "fleet-tree--guide",
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

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.rows = FleetRows((), ())
        self.folded: frozenset[RowId] = frozenset()
        self._snapshots: tuple[Snapshot, ...] = ()
        self._cursor_id: RowId | None = None
        self._cursor_parent: RowId | None = None
        self._columns: tuple[Fitted, ...] = fit(80)
        self._strips: LRUCache[object, Strip] = LRUCache(4096)
        self._styles: dict[tuple[str, str], Style] = {}

    # -- what is shown ------------------------------------------------------------------------------------------------
    @property
    def row_id(self) -> RowId | None:
        """What the cursor stands on."""
        return self._cursor_id

    def show(self, snapshots: Sequence[Snapshot]) -> None:
        """Show these snapshots; cursor and folds stay with what they were on."""
        self._snapshots = tuple(snapshots)
        self._lay_out()

    def select(self, row_id: RowId) -> None:
        """Put the cursor on `row_id`, unfolding what hides it."""
        parents = set()
        parent = self.rows.parent(row_id)
        while parent is not None:
            parents.add(parent)
            parent = self.rows.parent(parent)
        if parents & self.folded:
            self.folded -= parents
            self._lay_out()
        index = self.rows.find(row_id)
        if index is not None:
            self._move_to(index)

    def fold_all(self, folded: bool) -> None:
        """Fold every PF, or unfold everything."""
        self.folded = frozenset(r for r in self.rows.foldable() if r.bdf) if folded else frozenset()
        self._lay_out()

    def _lay_out(self) -> None:
        """Lay the rows out again and find the cursor's place among them."""
        before = self._cursor_id
        self.rows = FleetRows(self._snapshots, self.folded, self.rows)
        self._fit()
        index = self.rows.find(self._cursor_id) if self._cursor_id else None
        if index is None and self._cursor_parent is not None:
            index = self.rows.find(self._cursor_parent)
        if index is None:
            index = self._first_function() if self._cursor_id is None else min(self.cursor, len(self.rows) - 1)
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
            self.scroll_to(y=self.cursor, animate=False)
        elif self.cursor >= top + height:
            self.scroll_to(y=self.cursor - height + 1, animate=False)

    def action_move(self, by: int) -> None:
        """Move by rows."""
        self._move_to(self.cursor + by)

    def action_page(self, by: int) -> None:
        """Move by what fits the widget."""
        self._move_to(self.cursor + by * max(1, self.size.height - _HEAD - 1))

    def action_jump(self, index: int) -> None:
        """Go to the first row (0) or the last (-1)."""
        self._move_to(index if index >= 0 else len(self.rows) - 1)

    # -- folding ------------------------------------------------------------------------------------------------------
    def _set_fold(self, row: Row, folded: bool) -> None:
        """Fold or unfold a row."""
        self.folded = self.folded | {row.id} if folded else self.folded - {row.id}
        self._lay_out()
        self._scroll_to_cursor()

    def _row(self) -> Row | None:
        """The cursor's row."""
        return self.rows[self.cursor] if len(self.rows) else None

    def action_fold(self) -> None:
        """Fold what is open; on anything else go to the parent."""
        row = self._row()
        if row is None:
            return
        if row.foldable and not row.folded:
            self._set_fold(row, True)
        elif (parent := self.rows.parent(row.id)) is not None and (index := self.rows.find(parent)) is not None:
            self._move_to(index)

    def action_unfold(self) -> None:
        """Unfold what is folded; on an open one go to its first child."""
        row = self._row()
        if row is None or not row.foldable:
            return
        if row.folded:
            self._set_fold(row, False)
        else:
            self._move_to(self.cursor + 1)

    def action_toggle_fold(self) -> None:
        """Fold or unfold the row, or its parent's where it has nothing to fold."""
        row = self._row()
        if row is not None and row.foldable:
            self._set_fold(row, not row.folded)
        elif row is not None:
            self.action_fold()

    def action_select(self) -> None:
        """Fold or unfold; select what has nothing to fold."""
        row = self._row()
        if row is not None and row.foldable:
            self._set_fold(row, not row.folded)
        elif row is not None:
            self.post_message(self.Selected(row.id))

    # -- mouse --------------------------------------------------------------------------------------------------------
    def on_click(self, event: events.Click) -> None:
        """Go to the row clicked on; on its mark, or with a second click, fold or select it."""
        index = event.y - _HEAD + self.scroll_offset.y
        if event.y < _HEAD or not 0 <= index < len(self.rows):
            return
        row = self.rows[index]
        on_mark = row.foldable and event.x < cell_len(guides(row))
        self._move_to(index)
        if on_mark or event.chain == 2:
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
            self._strips.clear()
        self.virtual_size = Size(self.size.width, len(self.rows) + _HEAD)

    def notify_style_update(self) -> None:
        """Forget what was drawn with the old styles."""
        super().notify_style_update()
        self._strips.clear()
        self._styles.clear()

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
            return self._head(width)
        index = y - _HEAD + self.scroll_offset.y
        if not 0 <= index < len(self.rows):
            return Strip.blank(width, self.rich_style)
        row = self.rows[index]
        mood = ("cursor" if self.has_focus else "cursor-blurred") if index == self.cursor else ""
        parts = self._parts(row)
        key = (row, parts, mood, width)
        strip = self._strips.get(key)
        if strip is None:
            strip = self._strips[key] = self._draw(row, parts, mood, width)
        return strip

    def _parts(self, row: Row) -> tuple[Cell, ...]:
        """What a row says, from its snapshot as it is now."""
        snapshot = self.rows.snapshot(row.id.host)
        if snapshot is None:
            return ()
        index = index_of(snapshot)
        function: Function | None = snapshot.functions.get(row.id.bdf)
        if function is None:
            return tuple(host_line(index, len(self._snapshots) == 1))
        return cells(row, function, index, self._columns)

    def _style(self, part: str, mood: str = "") -> Style:
        """The style of a part (a tone, `guide`, `head`), on the cursor's ground where the cursor is."""
        style = self._styles.get((part, mood))
        if style is None:
            style = self.rich_style + self.get_component_rich_style(f"fleet-tree--{part}", partial=True)
            if mood:
                style += self.get_component_rich_style(f"fleet-tree--{mood}", partial=True)
            self._styles[part, mood] = style
        return style

    def _head(self, width: int) -> Strip:
        """The columns' titles."""
        style = self._style("head")
        texts = [_padded(f.column.title, f.width, f.column.right) for f in self._columns]
        return Strip([Segment(" ".join(texts), style)]).adjust_cell_length(width, style)

    def _draw(self, row: Row, parts: tuple[Cell, ...], mood: str, width: int) -> Strip:
        """Draw a row; every segment, blanks too, carries its style."""
        plain = self._style(Tone.PLAIN, mood)
        lines = guides(row)
        segments = [Segment(lines, self._style("guide", mood))]
        if row.depth == 0:
            segments += [Segment(cell.text, self._style(cell.tone, mood)) for cell in parts]
            return Strip(segments).adjust_cell_length(width, plain)
        name = address(row.id.bdf, self.size.width - 1 < SHORT_ADDRESS_BELOW)
        first = self._columns[0].width - cell_len(lines)
        segments.append(Segment(_padded(name, first), self._style(Tone.STRONG if row.depth == 1 else Tone.PLAIN, mood)))
        others = (f for f in self._columns if f.column.id != TREE)
        for fitted, cell in zip(others, parts, strict=True):
            segments.append(Segment(" ", plain))
            segments.append(Segment(_padded(cell.text, fitted.width, cell.right), self._style(cell.tone, mood)))
        return Strip(segments).adjust_cell_length(width, plain)


def _padded(text: str, width: int, right: bool = False) -> str:
    """`text` in exactly `width` cells, cut with an ellipsis where it is longer."""
    length = cell_len(text)
    if length > width:
        return set_cell_size(text, max(0, width - 1)) + "…" if width > 0 else ""
    return " " * (width - length) + text if right else text + " " * (width - length)
