"""What came of a change, from where the operator can go on."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events

from vfdeck.app.dashboard.actions import Action
from vfdeck.app.dashboard.dialogs.base import Page
from vfdeck.app.keymap import USUAL, Keymap
from vfdeck.widgets.sections import Section
from vfdeck.widgets.state import Tone


class ResultPage(Page):
    """A result to read. The keys of the actions that it offers do them."""

    def __init__(
        self, title: str, sections: Sequence[Section], tone: Tone, offered: Sequence[Action] = (), keys: Keymap = USUAL
    ) -> None:
        super().__init__(title, sections, label_width=7, tone=tone)
        self._offered = {key: action.id for action in offered for key in keys.keys(action)}
        self.picked = ""

    def on_key(self, event: events.Key) -> None:
        """Go on with an action."""
        if event.key in self._offered:
            event.stop()
            self.picked = self._offered[event.key]
            self.answer(True)
