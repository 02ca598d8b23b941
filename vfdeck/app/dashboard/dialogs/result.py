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
    """A result to read. The keys of the actions that it offers do them; `shell` is what was done, to be copied."""

    def __init__(
        self,
        title: str,
        sections: Sequence[Section],
        tone: Tone,
        offered: Sequence[Action] = (),
        keys: Keymap = USUAL,
        shell: str = "",
    ) -> None:
        super().__init__(title, sections, label_width=7, tone=tone)
        self._shell = shell
        self._offered = {key: action.id for action in offered for key in keys.keys(action)}
        self.picked = ""

    @property
    def shell(self) -> str:
        """What was done."""
        return self._shell

    def on_key(self, event: events.Key) -> None:
        """Go on with an action."""
        if event.key in self._offered:
            event.stop()
            self.picked = self._offered[event.key]
            self.answer(True)
