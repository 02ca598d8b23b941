"""Choose the colours: each theme is seen while it is gone through."""

from __future__ import annotations

import os

from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import RadioSet, Static

from vfdeck.app.dashboard import themes
from vfdeck.app.dashboard.dialogs.base import Dialog
from vfdeck.widgets.choices import Choice, Option


class ThemeDialog(Dialog[str]):
    """Shows each theme as soon as it is gone to. Answers with the one that is kept; Escape brings the one before back."""

    accept = "Keep"

    def __init__(self, now: str) -> None:
        super().__init__("Theme", "seen at once; Esc brings back what was")
        self._before = now
        self._choice = Choice(id="choice")

    def body(self) -> ComposeResult:
        """Every theme that this terminal can show."""
        can = themes.usable(os.environ)
        wide = max(map(len, can))
        yield Static()
        with self._choice:
            for number, name in enumerate(can):
                picked = name == self._before or (number == 0 and self._before not in can)
                yield Option(Content(f"{name:<{wide}}  {themes.about(name)}"), value=picked, name=name)
        if len(can) == 1:
            term = os.environ.get("TERM", "")
            yield Static(f"The others need more than 16 colours; TERM is {term!a}.", classes="note", markup=False)

    def on_mount(self) -> None:
        """The keys go to the choice."""
        self._choice.focus()

    def on_radio_set_changed(self, event: RadioSet.Changed) -> None:
        """Show it."""
        event.stop()
        self._show(event.pressed.name or self._before)

    def _show(self, name: str) -> None:
        """Let everything have the colours of a theme."""
        self.app.theme = themes.textual_name(name)

    def action_cancel(self) -> None:
        """Everything as it was before."""
        self._show(self._before)
        self.answer(None)

    def action_accept(self) -> None:
        """Keep what is seen."""
        pressed = self._choice.pressed_button
        self.answer((pressed.name if pressed is not None else None) or self._before)
