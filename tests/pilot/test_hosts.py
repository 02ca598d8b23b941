"""Several hosts: the same addresses are on all of them, so everything that is asked or told names the host."""

from __future__ import annotations

from tests.fake_host import NIC, FakeHost, small_fleet
from tests.pilot.driving import Deck, running
from vfdeck.backend.sim.scenario import load
from vfdeck.widgets.rows import RowId

ONE, TWO = RowId("one", NIC), RowId("two", NIC)


def two() -> tuple[FakeHost, FakeHost]:
    return FakeHost(small_fleet("one")), FakeHost(small_fleet("two"))


async def choose(deck: Deck, row: RowId) -> None:
    """Go to a row."""
    deck.tree.select(row)
    await deck.pilot.pause()
    assert deck.tree.row_id == row


async def test_a_dialog_and_a_plan_name_the_host() -> None:
    one, other = two()
    async with running(one, other) as deck:
        await choose(deck, TWO)
        assert f"PF {NIC}  two" in deck.text
        await deck.press("v")
        assert f"{NIC} on two" in deck.text
        await deck.press("0", "enter")
        await deck.until(lambda: deck.dialog == "ConfirmDialog")
        assert f"two {NIC}" in deck.text
        await deck.press("Y")
        await deck.until(lambda: len(other.performed) == 1)
        assert one.performed == []
        assert f"two {NIC}" in deck.line


async def test_a_batch_names_every_host() -> None:
    one, other = two()
    async with running(one, other, size=(100, 50)) as deck:
        for row in (ONE, TWO):
            await choose(deck, row)
            await deck.press("m")
        await deck.press("v", "0", "enter")
        await deck.until(lambda: deck.dialog == "ConfirmDialog")
        assert f"one {NIC}" in deck.text
        assert f"two {NIC}" in deck.text


async def test_one_host_is_not_named() -> None:
    async with running(FakeHost(small_fleet("one"))) as deck:
        await choose(deck, ONE)
        await deck.press("v")
        assert f"{NIC} on one" not in deck.text


async def test_a_host_is_not_marked_and_says_so() -> None:
    async with running(*two()) as deck:
        await deck.press("home", "m")
        assert deck.tree.marks == frozenset()
        assert "cannot be marked" in deck.line


async def test_what_is_the_matter_with_a_host() -> None:
    host = load("broken")
    async with running(host, size=(100, 40)) as deck:
        await deck.press("home", "w")
        await deck.until(lambda: deck.dialog == "Page")
        assert "What is the matter with broken-01? 1 error" in deck.text
        assert "0000:05:00.0" in deck.text
        await deck.press("e")
        await deck.until(lambda: "From the catalogue" in deck.text)
