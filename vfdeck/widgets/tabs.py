"""The line that names the panels and shows which of them is chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.text import Text
from textual import events
from textual.message import Message

from vfdeck.widgets.bars import Line
from vfdeck.widgets.state import Tone


@dataclass(frozen=True, slots=True)
class Tab:
    """A panel's name: the key that shows it, its title, and the title where room is scarce."""

    id: str
    key: str
    title: str
    short: str


def tab_words(tabs: Sequence[Tab], chosen: str, width: int) -> list[str]:
    """What is said of each tab in `width` cells, the chosen one in brackets.

    First the others' titles become short, then all of them, with less between them; then only the chosen one has a title, then
    none has.
    """
    for level in range(5):
        words = [_word(tab, tab.id == chosen, level, first=tab is tabs[0]) for tab in tabs]
        if sum(map(cell_len, words)) <= width:
            break
    return words


def _word(tab: Tab, chosen: bool, level: int, first: bool) -> str:
    """A tab in brackets or blanks; the higher the level, the less of it."""
    titles = (tab.title, tab.title, tab.short, tab.title, "") if chosen else (tab.title, tab.short, tab.short, "", "")
    text = f"{tab.key} {titles[level]}".rstrip()
    if level == 2:
        return ("" if first else " ") + (f"[{text}]" if chosen else text)
    return f"[{text}]" if chosen else f" {text} "


class TabLine(Line):
    """Names the panels in one line of any width; the mouse chooses."""

    DEFAULT_CSS = """
    TabLine { background: $panel; }
    """

    class Pressed(Message):
        """A tab was clicked on."""

        def __init__(self, id: str) -> None:
            super().__init__()
            self.id = id

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._tabs: tuple[Tab, ...] = ()
        self._chosen = ""

    def show(self, tabs: Sequence[Tab], chosen: str) -> None:
        """Show these tabs, one of them chosen."""
        if (tuple(tabs), chosen) != (self._tabs, self._chosen):
            self._tabs, self._chosen = tuple(tabs), chosen
            self.refresh()

    def _words(self) -> list[str]:
        return tab_words(self._tabs, self._chosen, self.content_size.width)

    def render(self) -> Text:
        """The tabs."""
        pieces: list[tuple[str, str]] = []
        for tab, word in zip(self._tabs, self._words(), strict=True):
            end = word.index(tab.key) + len(tab.key)  # the key with what stands before it
            here = tab.id == self._chosen
            pieces += [(word[:end], Tone.STRONG if here else "key"), (word[end:], Tone.STRONG if here else Tone.DIM)]
        return self._text(pieces)

    def on_click(self, event: events.Click) -> None:
        """Tell which tab was clicked on."""
        end = 0
        for tab, word in zip(self._tabs, self._words(), strict=True):
            end += cell_len(word)
            if event.x < end:
                self.post_message(self.Pressed(tab.id))
                return
