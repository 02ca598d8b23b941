"""Keys that come faster than the screen: over a slow line what is typed after `/` comes in one piece, and must mean a text."""

from __future__ import annotations

import pytest
from textual import events

from tests.fake_host import NIC, FakeHost
from tests.pilot.driving import Deck, running


async def burst(deck: Deck, *keys: str) -> None:
    """Keys that are there before the first of them has been dealt with."""
    names = {"/": "slash", ":": "colon"}
    for key in keys:
        deck.app.post_message(events.Key(names.get(key, key), key if len(key) == 1 else None))
    await deck.until(lambda: not deck.is_busy)


@pytest.mark.parametrize("opens", ["/", "f"])
async def test_what_is_typed_after_the_key_that_opens_a_field_goes_into_it(opens: str) -> None:
    host = FakeHost()
    async with running(host) as deck:
        await burst(deck, opens, *"u:atm", "backspace", *"b", "left", *"q")
        await deck.until(lambda: deck.query.text == "u:atqb")
        assert deck.dialog == ""
        assert deck.query.is_open
        assert host.planned == []
        assert not deck.tree.marks
        await deck.press("escape", "end", "m")  # and after it, keys mean again what they say
        assert len(deck.tree.marks) == 1


async def test_what_comes_in_one_piece_is_found() -> None:
    async with running() as deck:
        await deck.press("end")
        await burst(deck, "/", *NIC, "enter")
        await deck.until(lambda: not deck.query.is_open)
        row = deck.tree.row_id
        assert row is not None
        assert row.bdf == NIC
