"""How a row of the fleet tree becomes a line on the screen. Drawn lines are kept by what they say, so that only news are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.cache import LRUCache
from textual.strip import Strip
from textual.widget import Widget

from vfdeck.widgets.cells import Cell, guides
from vfdeck.widgets.columns import TREE, Fitted
from vfdeck.widgets.rows import Row
from vfdeck.widgets.sorting import Order
from vfdeck.widgets.state import Tone

#: Beside a row that is marked.
MARK = "●"
#: Beside a folded row that has marked ones in it.
MARKS_WITHIN = "○"


class Look(NamedTuple):
    """What is to be seen of a row beside what it says."""

    mood: str = ""  # "cursor", "cursor-blurred" or ""
    mark: str = ""
    changed: frozenset[str] = frozenset()  # columns that say something else since a moment
    found: bool = False  # a match of the search
    words: tuple[str, ...] = ()  # what to show as found, in small letters
    away: bool = False  # it was seen when there was a connection to its host


class Painter:
    """Draws lines in the styles of a widget's component classes `fleet-tree--…`."""

    def __init__(self, widget: Widget) -> None:
        self._widget = widget
        self._strips: LRUCache[object, Strip] = LRUCache(4096)
        self._styles: dict[tuple[str, str], Style] = {}

    def forget(self, *, styles: bool = False) -> None:
        """Draw everything anew from now on: other columns, or other colours."""
        self._strips.clear()
        if styles:
            self._styles.clear()

    def _style(self, part: str, mood: str = "") -> Style:
        """The style of a part (a tone, `guide`, `head`), on the cursor's ground where the cursor is."""
        style = self._styles.get((part, mood))
        if style is None:
            widget = self._widget
            style = widget.rich_style + widget.get_component_rich_style(f"fleet-tree--{part}", partial=True)
            if mood:
                style += widget.get_component_rich_style(f"fleet-tree--{mood}", partial=True)
            self._styles[part, mood] = style
        return style

    def blank(self, width: int) -> Strip:
        """A line without a row."""
        return Strip.blank(width, self._style(Tone.PLAIN))

    def head(self, columns: Sequence[Fitted], order: Order, width: int) -> Strip:
        """The columns' titles; the one that rows are sorted by has an arrow, which falls to the first where it is not shown."""
        style = self._style("head")
        shown = [f.column.id for f in columns]
        sorted_by = next((c for c in order.columns if c in shown), TREE) if order is not Order.ADDRESS else ""
        texts = []
        for fitted in columns:
            title = fitted.column.title
            if fitted.column.id == sorted_by:
                title = f"by {order.word} ↓" if sorted_by == TREE else f"{title[: fitted.width - 1]}↓"
            texts.append(padded(title, fitted.width, fitted.column.right))
        return Strip([Segment(" ".join(texts), style)]).adjust_cell_length(width, style)

    def row(self, row: Row, name: str, parts: tuple[Cell, ...], columns: tuple[Fitted, ...], look: Look, width: int) -> Strip:
        """A row's line."""
        key = (row, name, parts, look, width)
        strip = self._strips.get(key)
        if strip is None:
            strip = self._strips[key] = self._draw(row, name, parts, columns, look, width)
        return strip

    def _draw(self, row: Row, name: str, parts: tuple[Cell, ...], columns: tuple[Fitted, ...], look: Look, width: int) -> Strip:
        """Draw a row; every segment, blanks too, carries its style."""
        mood = look.mood
        plain = self._style(Tone.PLAIN, mood)
        lines = guides(row)
        segments = [Segment(lines[:-1], self._style("guide", mood))]
        segments.append(Segment(look.mark, self._style("mark", mood)) if look.mark else Segment(" ", plain))
        if row.depth == 0:
            strip = Strip([*segments, *(Segment(cell.text, self._style(cell.tone, mood)) for cell in parts)])
            if strip.cell_length > width - 1:  # the last cell is the scroll bar's
                strip = Strip([*strip.crop(0, width - 2), Segment("…", plain)])
            return self._found(strip, look, 0, 0).adjust_cell_length(width, plain)
        first = columns[0].width - cell_len(lines)
        tone = Tone.DIM if look.away else Tone.STRONG if row.depth == 1 else Tone.PLAIN
        segments.append(Segment(padded(name, first), self._changed(self._style(tone, mood), TREE in look.changed)))
        others = (f for f in columns if f.column.id != TREE)
        for fitted, cell in zip(others, parts, strict=True):
            segments.append(Segment(" ", plain))
            style = self._changed(self._style(Tone.DIM if look.away else cell.tone, mood), fitted.column.id in look.changed)
            segments.append(Segment(padded(cell.text, fitted.width, cell.right), style))
        strip = self._found(Strip(segments), look, cell_len(lines), cell_len(lines) + min(first, cell_len(name)))
        return strip.adjust_cell_length(width, plain)

    def _changed(self, style: Style, changed: bool) -> Style:
        """What changed stands in reverse."""
        return style + Style(reverse=True) if changed else style

    def _found(self, strip: Strip, look: Look, start: int, end: int) -> Strip:
        """Show the words that were looked for; where none is to be seen, the name (cells `start` to `end`) stands for them."""
        if not look.found:
            return strip
        text = strip.text
        low = text.lower() if len(text.lower()) == len(text) else text
        spans: list[tuple[int, int]] = []
        for word in look.words:
            at = low.find(word)
            while at >= 0 and word:
                spans.append((cell_len(text[:at]), cell_len(text[: at + len(word)])))
                at = low.find(word, at + len(word))
        style = self._widget.get_component_rich_style("fleet-tree--match", partial=True)
        for begin, stop in spans or ([(start, end)] if end > start else []):
            before, inside, after = strip.divide([begin, stop, strip.cell_length])
            lit = Strip([Segment(segment.text, (segment.style or Style()) + style) for segment in inside])
            strip = Strip.join([before, lit, after])
        return strip


def padded(text: str, width: int, right: bool = False) -> str:
    """`text` in exactly `width` cells, cut with an ellipsis where it is longer."""
    length = cell_len(text)
    if length > width:
        return set_cell_size(text, max(0, width - 1)) + "…" if width > 0 else ""
    return " " * (width - length) + text if right else text + " " * (width - length)
