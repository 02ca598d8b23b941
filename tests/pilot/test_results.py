"""What is under way and what came of it: explained first while it waits, and asked about before one leaves."""

from __future__ import annotations

import dataclasses

import pytest

from tests import values
from tests.fake_host import NIC, NVME, FakeHost, done, refused, small_fleet
from tests.pilot.driving import Deck, running
from vfdeck.app.dashboard.actions import BY_ID
from vfdeck.app.dashboard.batch import AT_ONCE
from vfdeck.backend.catalogue import entries
from vfdeck.backend.changes import Change, Outcome
from vfdeck.backend.model import Job, JobState, Snapshot
from vfdeck.widgets.rows import RowId

VF = values.vf_address(NIC, 0)
JOB = Job(
    1, f"{NIC}: 4 -> 0 VFs", NIC, JobState.RUNNING, "write 0", values.NOON, "qemu-system-x86 (4242)", ("it waits", "stop qemu")
)


def waiting() -> Snapshot:
    """A fleet on whose PF a change waits for a program."""
    return dataclasses.replace(small_fleet(), jobs=(JOB,))


async def begin(deck: Deck, host: FakeHost) -> None:
    """Begin a change that does not come back."""
    host.gate.clear()
    await deck.press("u", "y")
    await deck.until(lambda: host.performed)


def naming(*actions: str) -> FakeHost:
    """A host that refuses, and whose explanation names actions."""
    host = FakeHost()

    def script(change: Change) -> Outcome:
        outcome = refused(change)
        assert outcome.explanation is not None
        return dataclasses.replace(outcome, explanation=dataclasses.replace(outcome.explanation, actions=actions))

    host.script = script
    return host


# -- what to do, by its keys -----------------------------------------------------------------------------------------------
async def test_an_explanation_names_the_keys_and_greys_what_is_not_possible() -> None:
    host = naming("token", "vfs", "close", "no-such-action")
    async with running(host) as deck:
        await deck.press("down", "o", "enter", "y")
        await deck.until(lambda: deck.dialog == "Page")
        page = deck.page
        assert page.index("What to do") < page.index("Here") < page.index("How to check")
        assert "t: Set the PF's VF token\n" in page
        assert "v: Set the number of VFs\n" in page
        assert f"c: Close what vfdeck holds: not now, vfdeck does not hold {VF} open" in page
        assert "no-such-action" not in page


async def test_the_keys_of_an_explanation_work_in_it() -> None:
    host = naming("token", "close")
    async with running(host) as deck:
        await deck.press("down", "o", "enter", "y")
        await deck.until(lambda: deck.dialog == "Page")
        await deck.press("c", "v")  # not possible, and not offered
        assert deck.dialog == "Page"
        await deck.press("escape", "end", "e")  # the cursor is elsewhere by now
        assert deck.tree.row_id == RowId("fake", NVME)
        await deck.press("t")
        assert deck.dialog == "TokenDialog"
        assert f"Set the VF token of {NIC}" in deck.text
        await deck.press("escape")
        assert deck.tree.row_id == RowId("fake", VF)


async def test_without_actions_there_is_no_such_section() -> None:
    host = FakeHost()
    host.script = refused
    async with running(host) as deck:
        await deck.press("down", "o", "enter", "y")
        await deck.until(lambda: deck.dialog == "Page")
        assert "Here" not in deck.page


def test_the_catalogue_names_actions_of_the_registry_only() -> None:
    for entry in entries():
        assert set(getattr(entry, "actions", ())) <= set(BY_ID), entry.id


def test_no_action_that_may_be_offered_has_a_key_by_which_a_page_is_read() -> None:
    keys = {key for action in BY_ID.values() if action.is_change for key in action.keys.split(",")}
    assert not keys & {"j", "k", "q", "space", "enter", "escape", "up", "down", "home", "end", "pageup", "pagedown"}


# -- while a change waits --------------------------------------------------------------------------------------------------
async def test_the_change_that_waits_is_explained_before_the_one_that_is_over() -> None:
    host = FakeHost()
    host.script = done
    async with running(host) as deck:
        await deck.press("a", "y")
        await deck.until(lambda: deck.line.startswith("✓"))
        host.view = waiting()
        await deck.press("r")
        await deck.until(lambda: "waiting for qemu" in deck.line)
        await deck.press("e")
        page = deck.page
        for words in ("4 -> 0 VFs", "since: 1 min", "waits: for qemu-system-x86 (4242)", "why: it waits", "do: stop qemu"):
            assert words in page
        assert page.index("4 -> 0 VFs") < page.index("Before that") < page.index("Done: SetAutoprobe")
        assert "1 change under way" in deck.text


async def test_what_waits_can_be_explained_before_anything_is_over() -> None:
    host = FakeHost()
    async with running(host) as deck:
        await begin(deck, host)
        await deck.press("e")
        assert "UnbindDriver on" in deck.page
        assert "nothing is known of it yet" in deck.page
        host.gate.set()


# -- leaving ---------------------------------------------------------------------------------------------------------------
async def test_leaving_while_a_change_waits_is_asked_about_once() -> None:
    host = FakeHost()
    async with running(host) as deck:
        await begin(deck, host)
        host.view = waiting()
        await deck.press("r")
        await deck.until(lambda: "waiting for qemu" in deck.line)
        for stay in ("escape", "n"):
            await deck.press("q")
            assert deck.dialog == "LeaveDialog"
            for words in ("goes on there", "What is done stays done", "qemu-system-x86 (4242)"):
                assert words in " ".join(deck.text.split()).replace(" │ │ ", " ")
            await deck.press("enter")
            assert deck.dialog == "LeaveDialog"
            await deck.press(stay)
            assert deck.dialog == ""
        await deck.press("q")
        await deck.press("y")
        await deck.until(lambda: not deck.app.is_running)
    host.gate.set()


@pytest.mark.parametrize("size", [(80, 24), (40, 12)])
async def test_the_question_has_room_on_every_terminal(size: tuple[int, int]) -> None:
    async with running(FakeHost(waiting()), size=size) as deck:
        await deck.press("q")
        await deck.until(lambda: "Quit  y" in deck.text)
        assert "Stay  Esc" in deck.text


async def test_leaving_at_once_where_nothing_waits() -> None:
    async with running() as deck:
        await deck.press("q")
        await deck.until(lambda: not deck.app.is_running)


async def test_ctrl_q_asks_too_and_leaves_the_second_time() -> None:
    async with running(FakeHost(waiting())) as deck:
        await deck.press("t", "ctrl+q")
        assert deck.dialog == "LeaveDialog"
        await deck.press("ctrl+q")
        await deck.until(lambda: not deck.app.is_running)


async def test_what_has_not_begun_is_named() -> None:
    host = FakeHost(values.snapshot(*values.make_fleet(8, NIC), host={"name": "fake"}))
    async with running(host) as deck:
        host.gate.clear()
        await deck.press("down", "u", "y")
        await deck.until(lambda: len(host.performed) == AT_ONCE)
        await deck.press("q")
        assert f"Not begun yet: {8 - AT_ONCE} changes" in deck.page
        await deck.press("escape")
        host.gate.set()
