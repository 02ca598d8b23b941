"""Set a PF's token: type one or make one."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widgets import Button, Static

from vfdeck.app.dashboard.dialogs.base import Dialog
from vfdeck.backend.changes import SetToken
from vfdeck.backend.model import Function, Snapshot
from vfdeck.widgets.state import Tone, index_of, plural, short_name, token_words
from vfdeck.widgets.token_field import TokenField


class TokenDialog(Dialog[SetToken]):
    """Asks for the token of a PF. The only place where a token can be read on the screen, and only when asked for."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("g", "generate", "Make one", show=False)]

    def __init__(self, pf: Function, snapshot: Snapshot) -> None:
        super().__init__(f"Set the VF token of {pf.bdf}", f"{short_name(pf)} · PF on {pf.driver}")
        self._pf = pf
        self._now = _now(pf, snapshot)
        self._field = TokenField()

    def body(self) -> ComposeResult:
        """What is known, the field, its buttons, and what the token is for."""
        for text, tone in self._now:
            yield Static(Text(text), classes=f"verdict {tone}", markup=False)
        yield Static("New token", classes="label")
        yield self._field
        with Horizontal(classes="row gap"):
            yield Button("Make one  g", id="generate", compact=True)
            yield Button("Show  ^r", id="reveal", compact=True)
        yield Static(
            "Whoever opens a VF of this PF from now on must give it. It can be shown here and nowhere else: hand it on before"
            " you go on. vfdeck keeps its fingerprint only.",
            classes="note gap",
        )

    def on_mount(self) -> None:
        """The keys go to the field."""
        self.allow(False)
        self._field.focus_input()

    @on(TokenField.Changed)
    def _changed(self, event: TokenField.Changed) -> None:
        self.allow(event.token is not None)

    @on(TokenField.Submitted)
    def _submitted(self) -> None:
        self.action_accept()

    @on(Button.Pressed, "#generate")
    def _generate(self, event: Button.Pressed) -> None:
        event.stop()
        self.action_generate()

    @on(Button.Pressed, "#reveal")
    def _reveal(self, event: Button.Pressed) -> None:
        event.stop()
        self._field.action_reveal()

    def action_generate(self) -> None:
        """Make a random token."""
        self._field.generate()

    def action_accept(self) -> None:
        """Answer with the token, if it is one."""
        token = self._field.token
        if token is not None:
            self.answer(SetToken(self._pf.bdf, token))


def _now(pf: Function, snapshot: Snapshot) -> list[tuple[str, Tone]]:
    """What is known of the present token, and what VFs in use mean for setting one."""
    words, tone = token_words(snapshot.tokens.get(pf.bdf))
    lines = [(f"Now {words}", tone)]
    index = index_of(snapshot)
    users = index.users(pf)
    if users.value:
        own = any(holder.own for holder in index.holders.get(pf.bdf, []))
        what = "they go on; later opens need the new token" if own else "opening the PF then compares tokens and sets none"
        lines.append((f"{plural(users.value, 'VF')} in use: {what}", Tone.WARN))
    return lines
