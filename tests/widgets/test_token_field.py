"""The field for tokens: what it says, and what it keeps to itself."""

from __future__ import annotations

import pytest
from textual import events
from textual.app import App, ComposeResult
from textual.widgets import Input

from vfdeck.backend.token import Token
from vfdeck.widgets.state import Tone
from vfdeck.widgets.token_field import TokenField, judge

GOOD = "9e3b1d52-7c41-4f0a-8a6e-2f5b8c1d9e07"


@pytest.mark.parametrize(
    ("text", "said", "tone"),
    [
        ("", "32 hex digits", Tone.DIM),
        ("9e3b", "4 hex digits, expected 32", Tone.BAD),
        ("{9e3b1d52-7c41-4f0a-8a6e-2f5b8c1d9e07", "the } that closes it is missing", Tone.BAD),
        ("9e3bx", "character 5 is not a hex digit", Tone.BAD),
        (GOOD.replace("-", "") + "a", "33 hex digits", Tone.BAD),
        ("9e3b1d527-c41-4f0a-8a6e-2f5b8c1d9e07", "hyphens belong after digits", Tone.BAD),
        (GOOD, "✓ a UUID · fingerprint #", Tone.GOOD),
        (GOOD.upper(), "read as lower case 8-4-4-4-12", Tone.GOOD),
        ("{" + GOOD + "}", "read as lower case", Tone.GOOD),
        (GOOD.replace("-", ""), "read as lower case", Tone.GOOD),
        ("00000000-0000-0000-0000-000000000000", "the nil UUID", Tone.WARN),
        ("11111111-1111-1111-1111-111111111111", "soon guessed", Tone.WARN),
        ("14d63f20-8445-11ea-8900-1f9ce7d5650d", "everybody knows it", Tone.WARN),
    ],
)
def test_what_is_typed_is_judged(text: str, said: str, tone: Tone) -> None:
    verdict = judge(text)
    assert said in verdict.text
    assert verdict.tone is tone
    assert (verdict.token is not None) == (tone in (Tone.GOOD, Tone.WARN))


def test_a_verdict_never_repeats_what_was_typed() -> None:
    for text in (GOOD, GOOD.upper(), GOOD[:20], GOOD + "[red]"):
        assert text not in judge(text).text


class FieldApp(App[None]):
    """A token field and what it said."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens: list[Token | None] = []
        self.copied: list[str] = []
        self.inputs = 0

    def compose(self) -> ComposeResult:
        """The field."""
        yield TokenField()

    def on_mount(self) -> None:
        """The keys go to it."""
        self.query_one(TokenField).focus_input()

    def on_token_field_changed(self, event: TokenField.Changed) -> None:
        """Write it down."""
        self.tokens.append(event.token)

    def on_input_changed(self) -> None:
        """The text must not come this far."""
        self.inputs += 1

    def on_input_submitted(self) -> None:
        """The text must not come this far."""
        self.inputs += 1

    def copy_to_clipboard(self, text: str) -> None:
        """Write it down."""
        self.copied.append(text)


async def test_typing_hides_the_token_until_it_is_asked_for() -> None:
    app = FieldApp()
    async with app.run_test() as pilot:
        app.query_one(Input).post_message(events.Paste(GOOD))
        await pilot.press("9", "backspace", "enter")
        await pilot.pause()
        field = app.query_one(TokenField)
        assert app.tokens[-1] == Token.parse(GOOD)
        assert None in app.tokens[1:]
        assert not field.revealed
        assert GOOD not in app.export_screenshot()
        assert "•" * len(GOOD) in app.export_screenshot()
        await pilot.press("ctrl+r")
        await pilot.pause()
        assert field.revealed
        assert GOOD in app.export_screenshot()
        await pilot.press("ctrl+r")
        await pilot.pause()
        assert GOOD not in app.export_screenshot()
        assert app.inputs == 0


async def test_messages_print_without_the_token() -> None:
    app = FieldApp()
    said: list[str] = []
    async with app.run_test(message_hook=lambda message: said.append(repr(message))) as pilot:
        app.query_one(Input).value = GOOD
        await pilot.press("enter")
        app.set_focus(None)
        await pilot.pause()
    for kind in ("Changed", "Submitted", "Blurred"):
        assert any(kind in text for text in said)
    assert not any(GOOD in text for text in said)


async def test_g_makes_a_token() -> None:
    app = FieldApp()
    async with app.run_test() as pilot:
        await pilot.press("g")
        await pilot.pause()
        first = app.query_one(TokenField).token
        await pilot.press("g")
        await pilot.pause()
        second = app.query_one(TokenField).token
        assert first is not None
        assert second is not None
        assert first != second
        assert not app.query_one(TokenField).revealed


async def test_nothing_goes_to_the_clipboard() -> None:
    app = FieldApp()
    async with app.run_test() as pilot:
        await pilot.press("g", "ctrl+a", "home", "shift+end", "ctrl+c", "ctrl+x")
        await pilot.pause()
        assert app.copied == []
        assert app.query_one(Input).value == ""
