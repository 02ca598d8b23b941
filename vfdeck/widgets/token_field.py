"""The field in which a token is typed or made.

What is typed is judged with every key, naming length, character and position of the first fault, and never repeated. The
field hides its content unless it is told to show it, and gives nothing to the clipboard.
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Input, Static

from vfdeck.backend.token import Token, TokenError
from vfdeck.backend.well_known import NIL, is_guessable, well_known
from vfdeck.widgets.state import Tone

#: What the field takes, and what is said of a token that was made and never shown.
EXPECTED = "a UUID of 32 hex digits; g makes a random one"
KEPT = "! a token that was made stays; g makes another, ⌫ removes it"
UNSEEN = "! nobody has seen this token; ^r shows it"


class Verdict(NamedTuple):
    """What is to be said of a typed token; `token` is None where it is none."""

    token: Token | None
    text: str
    tone: Tone


def judge(text: str) -> Verdict:
    """What is to be said of `text` as a token."""
    if not text.strip():
        return Verdict(None, EXPECTED, Tone.DIM)
    try:
        token = Token.parse(text)
    except TokenError as error:
        return Verdict(None, f"✗ {error}", Tone.BAD)
    known = well_known(token)
    if known is not None and known.entry == NIL:
        return Verdict(token, "! the nil UUID: DPDK takes it for “no token”, and it is everybody's first guess", Tone.WARN)
    if known is not None:
        return Verdict(token, "! this value stands in public documentation: everybody knows it, so it guards nothing", Tone.WARN)
    if is_guessable(token):
        return Verdict(token, "! a few digits over and over: soon guessed, so it guards nothing", Tone.WARN)
    read = "" if text == token.reveal_text() else ", read as lower case 8-4-4-4-12"
    return Verdict(token, f"✓ a UUID{read} · fingerprint #{token.fingerprint}", Tone.GOOD)


class _SecretInput(Input):
    """An input that gives nothing to the clipboard; `g`, which no UUID holds, asks for a fresh token.

    What is typed does not replace a token that was made: it may have been shown and handed on.
    """

    ALLOW_SELECT = False
    made: Token | None = None

    class Changed(Input.Changed, namespace="input"):
        """The text is another one; it does not print."""

        __repr__ = Message.__repr__

    class Submitted(Input.Submitted, namespace="input"):
        """Enter was pressed; the text does not print."""

        __repr__ = Message.__repr__

    class Blurred(Input.Blurred, namespace="input"):
        """The focus went away; the text does not print."""

        __repr__ = Message.__repr__

    class Kept(Message):
        """Something was typed that would have replaced a token that was made."""

    class Wanted(Message):
        """A fresh token is wanted."""

    def action_copy(self) -> None:
        """A token does not go to the clipboard."""

    def action_cut(self) -> None:
        """A token does not go to the clipboard; what is selected is removed."""
        self.delete_selection()

    async def _on_key(self, event: events.Key) -> None:
        if event.key in ("g", "G"):
            event.stop()
            event.prevent_default()
            self.post_message(self.Wanted())
            return
        if event.is_printable and self.made is not None and self.value == self.made.reveal_text():
            event.stop()
            event.prevent_default()
            self.post_message(self.Kept())
            return
        await super()._on_key(event)


class TokenField(Vertical):
    """An input for a token with its verdict below. Emits `Changed` with the token, or None."""

    DEFAULT_CSS = """
    TokenField {
        height: auto;
        & > Input { border: none; height: 1; padding: 0 1; background: $panel; }
        & > Input:focus { border: none; background: $primary-muted; }
        & > Static { height: auto; margin: 0 0 0 1; }
        & > .dim { color: $foreground-darken-3; }
        & > .good { color: $text-success; }
        & > .warn { color: $text-warning; }
        & > .bad { color: $text-error; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+r", "reveal", "Show or hide", show=False)]

    class Changed(Message):
        """Another token is in the field, or none."""

        def __init__(self, token: Token | None) -> None:
            super().__init__()
            self.token = token

    class Submitted(Message):
        """Enter was pressed in the field."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.token: Token | None = None
        self._input = _SecretInput(password=True, placeholder="xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx", max_length=200)
        self._input.cursor_blink = False
        self._verdict = Static(markup=False, classes="dim")
        self._made: Token | None = None
        self._unseen = Static(UNSEEN, markup=False, classes="warn")

    def compose(self) -> ComposeResult:
        """The input and its verdict."""
        yield self._input
        yield self._verdict
        yield self._unseen

    def on_mount(self) -> None:
        """Say what is expected."""
        self._judge("")

    @property
    def revealed(self) -> bool:
        """Whether the token can be read on the screen."""
        return not self._input.password

    @property
    def is_empty(self) -> bool:
        """Whether nothing is typed or made."""
        return not self._input.value.strip()

    @property
    def unseen(self) -> bool:
        """Whether the token was made here and never shown, so that nobody can know it."""
        return self.token is not None and self.token == self._made

    def action_reveal(self) -> None:
        """Show the token, or hide it again."""
        self._input.password = not self._input.password
        if self.revealed:
            self.handed_on()

    def handed_on(self) -> None:
        """Somebody has the token now."""
        self._made = None
        self._unseen.display = False

    def demand(self) -> None:
        """A token is needed: say what is expected where there is nothing yet; a fault is named already."""
        if not self._input.value.strip():
            self._say(f"✗ nothing typed yet: {EXPECTED}", Tone.BAD)

    def generate(self) -> None:
        """Put a fresh random token into the field."""
        token = Token.generate()
        self._made = None if self.revealed else token
        self._input.made = token
        self._input.value = token.reveal_text()
        self._input.cursor_position = len(self._input.value)
        self._input.focus()

    def focus_input(self) -> None:
        """Let the keys go to the field."""
        self._input.focus()

    def _judge(self, text: str) -> None:
        """Say what is to be said, and tell the token."""
        verdict = judge(text)
        self.token = verdict.token
        self._say(verdict.text, verdict.tone)
        self._unseen.display = self.unseen
        self.post_message(self.Changed(verdict.token))

    def _say(self, text: str, tone: Tone) -> None:
        """Say it below the input."""
        self._verdict.set_classes(str(tone))
        self._verdict.update(Text(text))

    def on_input_changed(self, event: Input.Changed) -> None:
        """Judge what is typed; the message with the text goes no further."""
        event.stop()
        self._judge(event.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Pass Enter on without the text."""
        event.stop()
        self.post_message(self.Submitted())

    @on(_SecretInput.Kept)
    def _keep(self, event: _SecretInput.Kept) -> None:
        """Say how a made token is replaced."""
        event.stop()
        self._say(KEPT, Tone.WARN)

    @on(_SecretInput.Wanted)
    def _make(self, event: _SecretInput.Wanted) -> None:
        """Make a token."""
        event.stop()
        self.generate()
