"""Quit while a change is under way, or while only this vfdeck knows a token?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from vfdeck.app.dashboard.dialogs.base import Dialog
from vfdeck.widgets.section_view import SectionView
from vfdeck.widgets.sections import Section


class LeaveDialog(Dialog[bool]):
    """Says what is at stake and what becomes of it; y quits."""

    accept = "Quit"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y,q", "accept", "Quit", show=False),
        Binding("n", "cancel", "Stay", show=False),
    ]

    def __init__(self, sections: Sequence[Section], title: str = "A change is under way") -> None:
        super().__init__(title)
        self._text = SectionView(tuple(sections), label_width=5, id="page")
        self._cancel.label = "Stay  Esc"
        self._accept.label = "Quit  y"

    def body(self) -> ComposeResult:
        """What is at stake."""
        yield self._text

    def on_mount(self) -> None:
        """The keys scroll the text; Enter presses nothing."""
        self._text.focus()

    def action_enter(self) -> None:
        """Enter presses buttons, and quits nothing by itself."""

    def action_accept(self) -> None:
        """Quit."""
        self.answer(True)
