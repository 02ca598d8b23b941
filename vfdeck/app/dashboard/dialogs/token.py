"""Set a PF's token: type one or make one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, NamedTuple

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widgets import Button, Static

from vfdeck.app.dashboard.dialogs.base import AnswerLine, Dialog
from vfdeck.app.dashboard.dialogs.hand_on import HandOnDialog
from vfdeck.app.dashboard.handed import Handed
from vfdeck.backend.changes import SetToken
from vfdeck.backend.model import Function, Snapshot
from vfdeck.backend.plan import plan
from vfdeck.backend.rotation import way
from vfdeck.backend.token import Token
from vfdeck.widgets.state import Tone, by_group, plural, short_name, token_words
from vfdeck.widgets.token_facts import WAY_WORDS
from vfdeck.widgets.token_field import TokenField


class Known(NamedTuple):
    """A token of a PF that was set in this session."""

    token: Token
    sure: bool  # it is in force; else it may be


class TokenDialog(Dialog[SetToken]):
    """Asks for the token of a PF. The only place where a token can be read on the screen, and only when asked for."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("g", "generate", "Make one", show=False),
        Binding("ctrl+t", "show_present", "Show the one in force", show=False),
        Binding("ctrl+o", "hand_on", "Hand it on", show=False),
    ]

    def __init__(
        self,
        pf: Function,
        snapshot: Snapshot,
        *,
        rotate: bool = False,
        session: Sequence[Known] = (),
        seen: Callable[[Token], None] = lambda _: None,
        handed: Callable[[Handed], None] = lambda _: None,
    ) -> None:
        """`session`: the tokens of this session that are or may be in force. `seen` is told when one of them was shown, `handed`
        when a token was handed on.
        """
        super().__init__(f"{'Rotate' if rotate else 'Set'} the VF token of {pf.bdf}", f"{short_name(pf)} · PF on {pf.driver}")
        self._pf = pf
        self._rotate = rotate
        self._now = _now(pf, snapshot)
        self._by = by_group(snapshot.host)
        self._field = TokenField()
        self._session = list(session)
        self._seen = seen
        self._handed = handed
        self._is_handing = False
        self._simulated = snapshot.host.simulated
        self._shown = Static(markup=False, id="present")
        self._where = self._answer_line = AnswerLine(classes="verdict good", markup=False)
        self._warned: Token | None = None

    def body(self) -> ComposeResult:
        """What is known, the field, its buttons, and what the token is for."""
        for text, tone in self._now:
            yield Static(Text(text), classes=f"verdict {tone}", markup=False)
        if self._session:
            which = "the one" if any(known.sure for known in self._session) else "the one that may be"
            yield Button(f"Show {which} in force  ^t", id="show_present", compact=True)
            self._shown.display = False
            yield self._shown
        yield Static("New token", classes="label")
        yield self._field
        with Horizontal(classes="row gap"):
            yield Button("Make one  g", id="generate", compact=True)
            yield Button("Show  ^r", id="reveal", compact=True)
            yield Button("Hand on  ^o", id="hand_on", compact=True)
        yield self._where
        if not any(tone is Tone.BAD for _, tone in self._now):  # else there is nothing to hand on, and no room to spare
            yield Static(
                f"Whoever opens a VF of this PF{self._by} from now on must give it. Hand it on before you go on: vfdeck"
                " forgets it when you quit.",
                classes="note gap",
            )

    def buttons(self) -> ComposeResult:
        """Cancel and accept, beside what Enter said."""
        yield self._hint
        yield from super().buttons()

    def on_mount(self) -> None:
        """The keys go to the field, which has a new token already where one is to be rotated."""
        self.allow(False)
        self._field.focus_input()
        if self._rotate:
            self._field.generate()

    @on(TokenField.Changed)
    def _changed(self, event: TokenField.Changed) -> None:
        self.allow(event.token is not None)
        self.hint("")
        self.call_after_refresh(self.show_focused)  # what is said of it may take more lines than before

    @on(TokenField.Submitted)
    def _submitted(self) -> None:
        self.action_accept()

    @on(Button.Pressed, "#generate")
    def _generate(self, event: Button.Pressed) -> None:
        event.stop()
        self.action_generate()

    @on(Button.Pressed, "#show_present")
    def _show_present(self, event: Button.Pressed) -> None:
        event.stop()
        self.action_show_present()

    @on(Button.Pressed, "#reveal")
    def _reveal(self, event: Button.Pressed) -> None:
        event.stop()
        self._field.action_reveal()

    def action_generate(self) -> None:
        """Make a random token."""
        self._field.generate()

    def action_show_present(self) -> None:
        """Show the tokens of this session that are or may be in force, or hide them again."""
        if not self._session:
            self.hint("not set in this session")
            return
        self._shown.display = not self._shown.display
        lines = [f"{known.token.reveal_text()}{'' if known.sure else '  may be in force'}" for known in self._session]
        self._shown.update(Text("\n".join(lines) if self._shown.display else ""))
        for known in self._session:
            self._seen(known.token)

    @on(Button.Pressed, "#hand_on")
    def _hand_on_pressed(self, event: Button.Pressed) -> None:
        event.stop()
        self.action_hand_on()

    def action_hand_on(self) -> None:
        """Hand on the token in the field; where there is none, one of this session."""
        new = self._field.token
        if new is None and self._field.is_empty and self._session:
            known = self._session[0]
            self._session.append(self._session.pop(0))  # the next time another one
            self._ask_where(known.token, "in force" if known.sure else "may be in force")
        elif new is not None:
            self._ask_where(new, "not set yet: taken back if it is not set after all")
        else:
            self._field.demand()

    def _ask_where(self, token: Token, what: str) -> None:
        def done(handed: Handed | None) -> None:
            self._is_handing = False
            if handed is not None:
                self._take_handed(handed)

        if not self._is_handing:  # a second key may come before the dialog
            self._is_handing = True
            self.app.push_screen(HandOnDialog(token, f"{what} · {self._pf.bdf}", simulated=self._simulated), done)

    def _take_handed(self, handed: Handed) -> None:
        """A token was handed on: say where it is."""
        self._handed(handed)
        if handed.token == self._field.token:
            self._field.handed_on()
        else:
            self._seen(handed.token)
        self._where.display = True
        self._where.update(Text(f"#{handed.token.fingerprint} {handed.where}"))
        self.hint("")

    @property
    def made_unseen(self) -> bool:
        """Whether the token that is answered was made here and never shown."""
        return self._field.unseen

    def action_accept(self) -> None:
        """Answer with the token, if it is one; with one that nobody has seen only when asked twice."""
        token = self._field.token
        if token is None:
            self._field.demand()
        elif self._field.unseen and self._warned != token:
            self._warned = token
            self.hint("⏎ again sets it unseen")
        else:
            self.answer(SetToken(self._pf.bdf, token))


def _now(pf: Function, snapshot: Snapshot) -> list[tuple[str, Tone]]:
    """What is known of the present token, and why none can be set now or what VFs in use mean for setting one."""
    words, tone = token_words(snapshot.tokens.get(pf.bdf), by_group(snapshot.host))
    lines = [(f"Now {words}", tone)]
    users = snapshot.users_of(pf.bdf)
    # what the planner says of any token, before one is made and handed on
    change = SetToken(pf.bdf, Token.generate())
    impossible = plan(change, snapshot).impossible
    if impossible:
        return [*lines, (f"✗ Can't be set now: {impossible}", Tone.BAD)]
    if users.value:
        lines.append((f"{plural(users.value, 'VF')} in use: they go on; later opens need the new token", Tone.WARN))
    return [*lines, (f"It is set {WAY_WORDS[way(change, snapshot)][1]}", Tone.DIM)]
