"""The tour's strip under the banner: which lesson it is, what to do now, and how to get on. It never takes more than five lines."""

from __future__ import annotations

from dataclasses import dataclass, replace

from rich.cells import cell_len
from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical

from vfdeck.widgets.bars import Key, KeyBar, Line
from vfdeck.widgets.state import Tone

#: A text in pieces, with whether a piece is a key.
Pieces = tuple[tuple[str, bool], ...]

#: Columns and rows of the terminal below which only the most urgent is said.
NARROW, LOW = 70, 20


@dataclass(frozen=True, slots=True)
class Told:
    """What the strip says."""

    number: int
    total: int
    title: str
    text: Pieces
    press: Pieces
    short: Pieces  # instead of both, where there is no room
    over: Pieces  # while a dialog or a page is over it
    keys: tuple[Key, ...]
    tone: Tone = Tone.PLAIN


class _Head(Line):
    """Where the tour has come to."""

    def __init__(self) -> None:
        super().__init__()
        self.told: Told | None = None

    def render(self) -> Text:
        """Number and title."""
        told = self.told
        if told is None:
            return Text()
        done, rest = "●" * told.number, "○" * (told.total - told.number)
        wide = self.app.size.width >= NARROW
        dots = [(done, Tone.OWN), (f"{rest}  ", Tone.DIM)] if wide else []
        mark = "✓ " if told.tone is Tone.GOOD else ""
        return self._text(
            [
                (f"Tour {told.number} of {told.total}  ", Tone.STRONG),
                *dots,
                (f"{mark}{told.title}", Tone.GOOD if told.tone is Tone.GOOD else Tone.STRONG),
            ]
        )


class _Body(Line):
    """What to do, and why."""

    DEFAULT_CSS = """
    _Body { height: auto; max-height: 4; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.told: Told | None = None

    def render(self) -> Text:
        """The text and what to press; where there is no room, only the most urgent."""
        told, text = self.told, Text()
        if told is None:
            return text
        if self.app.size.width < NARROW or self.app.size.height < LOW:
            return self._add(text, told.short, told.tone)
        self._add(text, told.text, told.tone)
        text.append("\n")
        return self._add(text, told.press, Tone.STRONG)

    def _add(self, text: Text, pieces: Pieces, tone: Tone) -> Text:
        for piece, is_key in pieces:
            text.append(piece, self._style("key" if is_key else tone))
        return text


class TourStrip(Vertical):
    """Shows what it is `told`; without a tour it is not there."""

    DEFAULT_CSS = """
    TourStrip {
        height: auto; max-height: 5; padding: 0 1; background: $panel; display: none;
        & > Horizontal { height: 1; }
        & _Head { width: 1fr; }
        & KeyBar { padding: 0; width: auto; }
    }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._head, self._body, self._keys = _Head(), _Body(), KeyBar()
        self._told: Told | None = None

    def compose(self) -> ComposeResult:
        """A line with the keys, and the text."""
        with Horizontal():
            yield self._head
            yield self._keys
        yield self._body

    @property
    def told(self) -> Told | None:
        """What it says."""
        return self._told

    def on_resize(self) -> None:
        """Keys without words, where these would leave no room for the title."""
        if self._told is not None:
            self._show_keys(self._told.keys)

    def _show_keys(self, keys: tuple[Key, ...]) -> None:
        shown = tuple(replace(key, label="") for key in keys) if self.app.size.width < NARROW else keys
        self._keys.show(shown)
        self._keys.styles.width = sum(cell_len(key.key) + cell_len(key.label) + 3 for key in shown)

    def show(self, told: Told | None) -> None:
        """Say this; None: there is no tour any more."""
        if told == self._told:
            return
        self._told = self._head.told = self._body.told = told
        self.display = told is not None
        if told is not None:
            self._show_keys(told.keys)
        self._head.refresh()
        self._body.refresh(layout=True)


class CoachLine(Line):
    """What the strip says, above a dialog: what is to be pressed next."""

    DEFAULT_CSS = """
    CoachLine { dock: top; margin-top: 1; height: auto; max-height: 3; padding: 0 1; background: $panel; display: none; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._told: Told | None = None
        self._fits = True

    def show(self, told: Told | None) -> None:
        """Say this; None: there is no tour."""
        self._told = told
        self._settle()

    def fit(self, fits: bool) -> None:
        """Whether there is room for it."""
        self._fits = fits
        self._settle()

    def _settle(self) -> None:
        self.display = self._told is not None and self._fits
        self.refresh(layout=True)

    def render(self) -> Text:
        """Number and title, and what to press."""
        told, text = self._told, Text()
        if told is not None:
            text.append(f"Tour {told.number} of {told.total}  ", self._style(Tone.STRONG))
            for piece, is_key in told.over:
                text.append(piece, self._style("key" if is_key else told.tone))
        return text
