"""Autoprobe on or off, where it can't be told which of the two is meant: several PFs differ, or it could not be read."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.widgets import Static

from vfdeck.app.dashboard.dialogs.base import Dialog
from vfdeck.backend.changes import SetAutoprobe
from vfdeck.backend.model import Function
from vfdeck.widgets.choices import Choice, Option


class AutoprobeDialog(Dialog[SetAutoprobe]):
    """Asks whether drivers shall be offered the new VFs of a PF."""

    def __init__(self, pf: Function) -> None:
        super().__init__(f"Autoprobe of new VFs of {pf.bdf}", "set for all of them, whatever it is now")
        self._pf = pf
        self._choice = Choice(id="choice")

    def body(self) -> ComposeResult:
        """On or off."""
        yield Static("When VFs are turned on", classes="label")
        with self._choice:
            yield Option("on: drivers are offered them at once", value=True, id="on")
            yield Option("off: they stay without a driver", id="off")

    def on_mount(self) -> None:
        """The keys go to the choice."""
        self._choice.focus()

    def action_accept(self) -> None:
        """Answer with the choice."""
        self.answer(SetAutoprobe(self._pf.bdf, self._choice.picked == "on"))
