"""The arrows pick the option beside the one that is picked, from the start."""

from __future__ import annotations

import pytest
from textual.app import App, ComposeResult

from vfdeck.widgets.choices import Choice, Option


class _Choices(App[None]):
    """Three options, of which the middle one is picked."""

    def compose(self) -> ComposeResult:
        with Choice():
            yield Option("a", id="a")
            yield Option("b", value=True, id="b")
            yield Option("c", id="c")


@pytest.mark.parametrize(
    ("keys", "picked"), [((), "b"), (("up",), "a"), (("down",), "c"), (("up", "up"), "c"), (("space",), "b"), (("down", "up"), "b")]
)
async def test_the_arrows_begin_at_what_is_picked(keys: tuple[str, ...], picked: str) -> None:
    app = _Choices()
    async with app.run_test() as pilot:
        app.query_one(Choice).focus()
        await pilot.press(*keys)
        assert app.query_one(Choice).picked == picked
