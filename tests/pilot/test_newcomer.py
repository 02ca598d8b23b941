"""The way of a newcomer: from a VF that does not open to one that does, by what the screen says and nothing else.

The keys are written down; each is named on the screen before it is pressed. They are few, so that nobody needs two minutes.
"""

from __future__ import annotations

from tests.pilot.driving import Deck, running
from vfdeck.backend.model import TokenState
from vfdeck.backend.sim import scenario

PF, VF = "0000:af:00.0", "0000:af:00.1"


class Newcomer:
    """Presses only keys that the screen names, and counts them."""

    def __init__(self, deck: Deck) -> None:
        self.deck = deck
        self.pressed = 0

    async def press(self, key: str, named: str) -> None:
        """Press a key of which the screen says `named`."""
        assert named in self.deck.text, f"nothing says {named!r}\n{self.deck.text}"
        self.pressed += 1
        await self.deck.press(key)


async def test_the_way_of_a_newcomer() -> None:
    host = scenario.load()
    async with running(host, size=(120, 40)) as deck:
        someone = Newcomer(deck)
        # a VF that nobody uses: ready, and yet "needed" in the column of tokens
        while deck.tree.row_id is None or deck.tree.row_id.bdf != VF:
            someone.pressed += 1
            await deck.press("down")
        assert "needed" in deck.text
        await someone.press("o", "o Open")
        await someone.press("enter", "Open  ⏎")
        assert "VF token required" in deck.text  # foretold
        await someone.press("y", "Do it  y")
        await deck.until(lambda: deck.dialog == "Page")
        # why, and what to do about it, with its key
        assert "opens only with the PF's token" in deck.text
        assert deck.page.count("Set the PF's VF token") == 1
        await someone.press("t", "t       Set the PF's VF token")
        assert f"Set the VF token of {PF}" in deck.text
        await someone.press("g", "Make one  g")
        await someone.press("ctrl+r", "^r shows it")
        await someone.press("enter", "Continue  ⏎")
        await someone.press("y", "Do it  y")
        await deck.until(lambda: "✓" in deck.line)
        assert host.snapshot().tokens[PF].state is TokenState.SET
        # the same again: this time with the token, which is chosen already
        if deck.dialog:
            await someone.press("escape", "Close  Esc")
        await someone.press("o", "o Open")
        await someone.press("enter", "(•) the one set in this session")
        await someone.press("y", "Do it  y")
        await deck.until(lambda: f"✓ Done: {VF}: open with token" in deck.line)
        assert someone.pressed <= 30, someone.pressed
    host.close()
