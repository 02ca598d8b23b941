"""A token that was made, set, and never shown: nobody has it but this vfdeck."""

from __future__ import annotations

from tests.fake_host import NIC, FakeHost, done
from tests.pilot.driving import Deck, running
from vfdeck.backend.changes import SetToken
from vfdeck.backend.token import Token
from vfdeck.widgets.token_field import TokenField


async def set_unseen(deck: Deck, host: FakeHost) -> Token:
    """Make and set a token without a look at it; the answer is the token."""
    host.script = done
    await deck.press("T", "enter", "enter")
    await deck.until(lambda: deck.dialog == "ConfirmDialog")
    said = " ".join(deck.text.replace("│", " ").split())
    assert "only this vfdeck will know it" in said
    await deck.press("y")
    await deck.until(lambda: deck.line.startswith("✓"))
    change = host.performed[-1]
    assert isinstance(change, SetToken)
    return change.token


async def test_quitting_asks_and_names_the_pf() -> None:
    host = FakeHost()
    async with running(host) as deck:
        token = await set_unseen(deck, host)
        assert f"only this vfdeck knows #{token.fingerprint}" in deck.line
        await deck.press("e")
        assert f"Only this vfdeck knows #{token.fingerprint}" in deck.page
        assert "On the PF, t and then ^t shows it" in deck.page
        await deck.press("escape", "q")
        assert deck.dialog == "LeaveDialog"
        assert "A token would be lost" in deck.text
        assert f"#{token.fingerprint} of {NIC}" in deck.page
        assert token.reveal_text() not in deck.text
        await deck.press("y")
        await deck.until(lambda: not deck.app.is_running)


async def test_once_shown_it_is_no_more_at_stake() -> None:
    host = FakeHost()
    async with running(host) as deck:
        token = await set_unseen(deck, host)
        await deck.press("t")
        assert token.reveal_text() not in deck.text
        await deck.press("ctrl+t")
        assert token.reveal_text() in deck.text
        await deck.press("ctrl+t")
        assert token.reveal_text() not in deck.text
        await deck.press("escape", "q")
        await deck.until(lambda: not deck.app.is_running)


async def test_a_token_that_was_shown_before_is_not_at_stake() -> None:
    host = FakeHost()
    host.script = done
    async with running(host) as deck:
        await deck.press("T", "ctrl+r", "enter")
        await deck.until(lambda: deck.dialog == "ConfirmDialog")
        assert "only this vfdeck" not in deck.text
        await deck.press("y")
        await deck.until(lambda: deck.line.startswith("✓"))
        assert "only this vfdeck" not in deck.line
        await deck.press("q")
        await deck.until(lambda: not deck.app.is_running)


async def test_without_a_token_of_this_session_there_is_none_to_show() -> None:
    async with running(FakeHost()) as deck:
        await deck.press("t", "ctrl+t")
        assert "not set in this session" in deck.text


async def test_typing_does_not_replace_a_token_that_was_made() -> None:
    async with running(FakeHost()) as deck:
        await deck.press("T", "ctrl+r")
        field = deck.app.screen.query_one(TokenField)
        token = field.token
        assert token is not None
        await deck.press("a", "x", "7")
        assert field.token == token
        assert "g makes another" in deck.text
        await deck.press("g")
        assert field.token not in (None, token)
        await deck.press("ctrl+u", "a")
        assert field.token is None
