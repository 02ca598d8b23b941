"""The panel beside or below the tree: shows the sections of whatever panel is chosen."""

from __future__ import annotations

from collections.abc import Iterable

from textual import events

from vfdeck.widgets.section_view import SectionView
from vfdeck.widgets.sections import Section


class PanelView(SectionView):
    """Shows a panel. News of what it shows leave the scroll where it is; something else is shown from its top."""

    DEFAULT_CSS = """
    PanelView { scrollbar-gutter: stable; }  /* or a row with a scrollbar would be drawn twice, for each width */
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(label_width=9, id=id)
        self._about: object = None
        self._may_split = False

    def on_resize(self, event: events.Resize) -> None:
        """Wrap anew."""
        self._split()
        super().on_resize(event)

    def show_panel(self, about: object, sections: Iterable[Section], *, split: bool = False, end: bool = False) -> None:
        """Show the sections of a panel; `about` says which panel of what it is, `split` whether it may have two columns.

        With `end` it is shown from its end, and goes on there while nobody scrolls away from it.
        """
        fresh = about != self._about
        sections = tuple(sections)
        follow = end and (fresh or (sections != self.sections and self.is_vertical_scroll_end))
        self._about, self._may_split = about, split
        self._split()
        self.show(sections, top=fresh and not end)
        if follow:
            self.scroll_end(animate=False)

    def _split(self) -> None:
        """Two columns where it is wide and low."""
        self.columns = 2 if self._may_split and self.size.width >= 70 and self.size.height < 16 else 1
