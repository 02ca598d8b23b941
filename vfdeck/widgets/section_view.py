"""A scrolling panel of sections, with the tones' colours.

It draws lines itself, so that other facts cost no layout of the whole screen, and it knows its height for any width, so that
dialogs can be as high as what they say.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from rich.console import ConsoleDimensions
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.cache import LRUCache
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.selection import Selection
from textual.strip import Strip

from vfdeck.widgets.sections import Section, draw
from vfdeck.widgets.state import Tone


class SectionView(ScrollView, can_focus=True):
    """Shows sections; scrolls where they are longer than the panel."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"section-view--title", "section-view--label", *(f"section-view--{t}" for t in Tone)}
    DEFAULT_CSS = """
    SectionView {
        padding: 0 1;
        color: $foreground;
        overflow-x: hidden;
        scrollbar-size-vertical: 1;
        & > .section-view--title { color: $text-primary; text-style: bold; }
        & > .section-view--label { color: $foreground-darken-3; }
        & > .section-view--plain { color: $foreground; }
        & > .section-view--dim { color: $foreground-darken-3; }
        & > .section-view--strong { color: $foreground; text-style: bold; }
        & > .section-view--good { color: $text-success; }
        & > .section-view--busy { color: $text-primary; }
        & > .section-view--own { color: $text-accent; }
        & > .section-view--warn { color: $text-warning; }
        & > .section-view--bad { color: $text-error; text-style: bold; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j", "scroll_down", "Down", id="scroll.down", show=False),
        Binding("k", "scroll_up", "Up", id="scroll.up", show=False),
        Binding("space", "page_down", "Page down", id="scroll.page_down", show=False),
        Binding("pageup", "page_up", "Page up", id="scroll.page_up", show=False),
        Binding("home", "scroll_home", "Top", id="scroll.first", show=False),
        Binding("end", "scroll_end", "Bottom", id="scroll.last", show=False),
    ]

    def __init__(self, sections: Iterable[Section] = (), *, label_width: int = 9, id: str | None = None) -> None:
        super().__init__(id=id)
        self.sections: tuple[Section, ...] = tuple(sections)
        self.columns = 1
        self._label_width = label_width
        self._lines: list[Strip] = []
        self._drawn: object = None
        self._kept: LRUCache[object, list[Strip]] = LRUCache(32)  # of rows that one comes back to
        self._ground: Style | None = None  # the panel's own style, which costs much to ask for in every line

    # -- what is shown ------------------------------------------------------------------------------------------------
    def show(self, sections: Iterable[Section], *, top: bool = False) -> None:
        """Show other sections; with `top` from their beginning."""
        new = tuple(sections)
        if new != self.sections:
            self.sections = new
            self._redraw()
        if top:
            self.scroll_home(animate=False)

    def _redraw(self) -> None:
        """Draw anew; a layout is needed only where the height follows from the content."""
        height, width = self.styles.height, self.scrollable_content_region.width
        self.virtual_size = Size(width, len(self._lines_for(width)))
        self.refresh(layout=height is not None and height.is_auto)

    def _lines_for(self, width: int) -> list[Strip]:
        """The lines for a width, drawn once for each theme."""
        key = (self.sections, width, self.columns, self.app.theme)
        if width > 0 and key != self._drawn:
            self._drawn = key
            known = self._kept.get(key)
            if known is not None:
                self._lines = known
                return known
            console = self.app.console
            options = console.options.update(width=width, height=None, highlight=False, markup=False)
            options.size = ConsoleDimensions(width, 1)
            drawn = console.render_lines(draw(self.sections, self._style_of, self._label_width, self.columns), options)
            self._lines = self._kept[key] = [Strip(line, width) for line in drawn] if self.sections else []
        return self._lines

    def _style_of(self, part: str) -> Style:
        """The style of a tone, of a label or of a title."""
        return self.get_component_rich_style(f"section-view--{part}", partial=True)

    # -- drawing ------------------------------------------------------------------------------------------------------
    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """As high as what there is to say."""
        return len(self._lines_for(width))

    def notify_style_update(self) -> None:
        """Forget the old style."""
        super().notify_style_update()
        self._ground = None

    def on_resize(self, event: events.Resize) -> None:
        """Wrap anew."""
        self._redraw()

    def watch_show_vertical_scrollbar(self) -> None:
        """Wrap anew: the scrollbar takes a column."""
        self._redraw()

    def render_line(self, y: int) -> Strip:
        """One line of the panel."""
        width, index = self.scrollable_content_region.width, y + self.scroll_offset.y
        lines = self._lines_for(width)
        if self._ground is None:
            self._ground = self.rich_style
        if index >= len(lines):
            return Strip.blank(width, self._ground)
        strip = lines[index].adjust_cell_length(width).apply_style(self._ground)
        return self._selected(strip, index).apply_offsets(0, index)

    # -- copying with the mouse ---------------------------------------------------------------------------------------
    def _selected(self, strip: Strip, index: int) -> Strip:
        """The line with what is selected in it shown as such."""
        selection = self.text_selection
        span = selection.get_span(index) if selection is not None else None
        if span is None:
            return strip
        start, end = span[0], strip.cell_length if span[1] == -1 else min(span[1], strip.cell_length)
        if start >= end:
            return strip
        before, inside, after = strip.crop(0, start), strip.crop(start, end), strip.crop(end)
        style = self.screen.get_component_rich_style("screen--selection")
        return Strip.join(
            [before, Strip([segment._replace(style=(segment.style or Style()) + style) for segment in inside]), after]
        )

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """The text that is selected."""
        return selection.extract("\n".join(strip.text.rstrip() for strip in self._lines)), "\n"

    def selection_updated(self, selection: Selection | None) -> None:
        """Show the selection."""
        self.refresh()
