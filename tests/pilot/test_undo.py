"""z takes back what was done last: planned, confirmed, and told where it can't be."""

from __future__ import annotations

from tests.fake_host import NIC, FakeHost, refused
from tests.pilot.driving import Deck, running
from tests.pilot.test_finding import VFS, many
from vfdeck.backend.changes import BindDriver, SetNumvfs, SetToken, UnbindDriver
from vfdeck.backend.sim.scenario import load


async def done(deck: Deck, host: FakeHost, count: int) -> None:
    """Wait until that many changes were told."""
    await deck.until(lambda: len(host.performed) == count and "under way" not in deck.line and "✓" in deck.line)


async def test_nothing_was_changed_yet() -> None:
    async with running() as deck:
        await deck.press("z")
        assert "nothing was changed here" in deck.line


async def test_the_last_change_is_taken_back_and_then_the_one_before() -> None:
    host = FakeHost()
    async with running(host) as deck:
        await deck.press("v", *"2", "enter", "y")
        await done(deck, host, 1)
        await deck.press("u", "y")
        await done(deck, host, 2)
        assert host.performed == [SetNumvfs(NIC, 2), UnbindDriver(NIC)]
        await deck.press("z")
        assert deck.dialog == "ConfirmDialog"
        assert "not restored: the token" in deck.text
        await deck.press("escape")  # not now
        assert len(host.performed) == 2
        await deck.press("z", "y")
        await done(deck, host, 3)
        await deck.press("z", "y")
        await done(deck, host, 4)
        assert host.performed[2:] == [BindDriver(NIC, None), SetNumvfs(NIC, 4)]
        await deck.press("z")
        assert "nothing was changed here" in deck.line


async def test_what_was_closed_by_hand_is_not_closed_again() -> None:
    async with running(load("default", seed=1)) as deck:
        await deck.press("/", *"af:00.0", "enter")
        await deck.press("a", "y")  # what is there to be taken back before it
        await deck.until(lambda: "✓" in deck.line)
        await deck.press("o", "tab", "tab", "space", "enter", "y")
        await deck.until(lambda: "open" in deck.line and "✓" in deck.line)
        await deck.press("c", "y")
        await deck.until(lambda: "close" in deck.line and "✓" in deck.line)
        await deck.press("z")
        assert deck.dialog == "ConfirmDialog"
        assert "autoprobe" in deck.text


async def test_what_could_not_be_taken_back_still_can() -> None:
    host = FakeHost()
    async with running(host) as deck:
        await deck.press("u", "y")
        await done(deck, host, 1)
        host.script = refused
        await deck.press("z", "y")
        await deck.until(lambda: deck.dialog == "Page")
        await deck.press("escape", "z")
        assert deck.dialog == "ConfirmDialog"


async def test_a_token_nobody_knows_is_said_and_then_the_change_before_is_next() -> None:
    host = FakeHost()
    async with running(host, size=(120, 40)) as deck:
        await deck.press("u", "y")
        await done(deck, host, 1)
        await deck.press("t", "g", "enter", "enter", "y")
        await done(deck, host, 2)
        assert isinstance(host.performed[1], SetToken)
        await deck.press("z")
        assert "is not known here" in deck.line
        await deck.press("z", "y")
        await done(deck, host, 3)
        assert host.performed[2] == BindDriver(NIC, None)


async def test_a_batch_is_taken_back_as_one() -> None:
    host = FakeHost(many())
    async with running(host, size=(120, 40)) as deck:
        await deck.press("down", "m", "m", "u", "y")
        await deck.until(lambda: len(host.performed) == 2 and "2 done" in deck.line)
        assert set(host.performed) == {UnbindDriver(VFS[0]), UnbindDriver(VFS[1])}
        await deck.press("z", "y")
        await deck.until(lambda: len(host.performed) == 4 and deck.line.startswith("✓ Take back") and "2 done" in deck.line)
        assert {change.bdf for change in host.performed[2:] if isinstance(change, BindDriver)} == set(VFS[:2])
        await deck.press("z")
        assert "nothing was changed here" in deck.line


async def test_on_a_host_that_compares_what_was_confirmed() -> None:
    """Notes of the dashboard's own (what will not come back, a token that nobody has seen) are no part of the host's plan."""
    host = load("default", 1)
    async with running(host, size=(120, 40)) as deck:
        await deck.press("T", "enter", "enter", "Y")
        await deck.until(lambda: deck.line[:1] in ("✓", "✗", "!"))
        assert deck.line.startswith("✓"), deck.line
        await deck.press("escape", "plus", "plus", *["down"] * 3, "u", "y")
        await deck.until(lambda: "no driver" in deck.line and deck.line[:1] in ("✓", "✗", "!"))
        assert deck.line.startswith("✓"), deck.line
        await deck.press("z")
        assert "not restored" in deck.text or "Do it" in deck.text
        await deck.press("y")
        await deck.until(lambda: "-> " in deck.line and "no driver ->" in deck.line and deck.line[:1] in ("✓", "✗", "!"))
        assert deck.line.startswith("✓"), deck.line
    host.close()
