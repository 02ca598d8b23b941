"""Marks, and one action on all that are marked: one dialog, one confirmation, one account of what came of it."""

from __future__ import annotations

import dataclasses
import threading
from typing import Any

import pytest

from tests import values
from tests.fake_host import NIC, NVME, FakeHost, done, refused, small_fleet
from tests.pilot.driving import Deck, running
from tests.pilot.test_finding import VFS, many, view
from vfdeck.app.dashboard.batch import AT_ONCE
from vfdeck.backend.changes import (
    BindDriver,
    Change,
    Close,
    Open,
    Outcome,
    Plan,
    SetAutoprobe,
    SetNumvfs,
    SetToken,
    UnbindDriver,
    target_of,
)
from vfdeck.backend.model import Job, JobState, Snapshot
from vfdeck.backend.token import Token
from vfdeck.widgets.painting import MARK, MARKS_WITHIN
from vfdeck.widgets.rows import RowId

OTHER = "0000:41:00.0"
GOOD = "9e3b1d52-7c41-4f0a-8a6e-2f5b8c1d9e07"


def two_pfs() -> Snapshot:
    """Two PFs on vfio-pci, each with two VFs."""
    return values.snapshot(*values.make_fleet(2, NIC), *values.make_fleet(2, OTHER), host={"name": "fake"})


async def confirm(deck: Deck, host: FakeHost, count: int, key: str = "y") -> list[Change]:
    """Confirm, and wait until that many changes have come back."""
    await deck.until(lambda: deck.dialog == "ConfirmDialog")
    await deck.press(key)
    await deck.until(lambda: len(host.performed) == count and "to go" not in deck.line and "queued" not in deck.line)
    return sorted(host.performed, key=target_of)


async def test_marks_show_are_counted_and_go() -> None:
    async with running(FakeHost(many())) as deck:
        await deck.press("down", "m", "m")
        assert view(deck).startswith("2 marked")
        assert deck.text.count(MARK) == 2
        await deck.press("up", "up", "m")
        assert deck.tree.marks == {RowId("fake", VFS[1])}
        await deck.press("escape")
        assert deck.tree.marks == frozenset()
        assert view(deck) == ""


async def test_marks_that_are_folded_away_show_at_what_they_are_in() -> None:
    async with running(FakeHost(many())) as deck:
        await deck.press("down", "down", "m")
        assert MARKS_WITHIN not in deck.text
        await deck.press("up", "up", "left", "left")  # to the PF's row, which is folded then
        assert deck.text.count(MARKS_WITHIN) == 1
        await deck.press("up", "left")  # the host's
        assert deck.text.count(MARKS_WITHIN) == 1
        await deck.press("right", "escape")
        assert MARKS_WITHIN not in deck.text


async def test_what_is_true_of_several_is_said_once() -> None:
    host = FakeHost(many())
    host.plans = {UnbindDriver: {"warnings": ("expected: no answer for a while",)}}
    async with running(host, size=(120, 40)) as deck:
        await deck.press("down", "down", "m", "m", "m", "u")
        await deck.until(lambda: deck.dialog == "ConfirmDialog")
        assert f"7 functions ({VFS[1]}, {VFS[2]}," in deck.text
        assert deck.text.count("no answer for a while") == 1


async def test_marking_a_run_marks_all_of_it_and_a_host_cannot_be_marked() -> None:
    async with running(FakeHost(many())) as deck:
        await deck.press("end", "up", "m")
        assert view(deck).startswith("5 marked")
        await deck.press("home", "m")
        assert len(deck.tree.marks) == 5


async def test_marks_stay_through_a_refresh_and_a_filter() -> None:
    host = FakeHost(many())
    async with running(host) as deck:
        await deck.press("down", "m", "f", *"held:yes", "enter")
        host.view = values.without(host.view, NVME)
        await deck.press("r")
        await deck.until(lambda: "of 9" in view(deck))
        assert deck.tree.marks == {RowId("fake", VFS[0])}


async def test_unbind_all_that_are_marked() -> None:
    host = FakeHost(many())
    host.script = done
    async with running(host) as deck:
        await deck.press("down", "m", "m", "end", "m", "u")
        await deck.until(lambda: deck.dialog == "ConfirmDialog")
        assert "Take it from its driver: 3 functions" in deck.text
        for bdf in (VFS[0], VFS[1], NVME):
            assert f"write to {bdf}" in deck.text
        assert await confirm(deck, host, 3) == [UnbindDriver(VFS[0]), UnbindDriver(VFS[1]), UnbindDriver(NVME)]
        await deck.until(lambda: deck.line.startswith("✓ Take it from its driver: 3 functions: 3 done"))
        assert deck.tree.marks == frozenset()
        await deck.press("e")
        assert "✓ UnbindDriver on" in deck.page


async def test_an_action_on_a_folded_run_is_for_all_of_it() -> None:
    host = FakeHost(many())
    async with running(host) as deck:
        await deck.press("end", "up", "b", "down", "enter")
        assert await confirm(deck, host, 5) == [BindDriver(bdf, None) for bdf in VFS[3:]]


async def test_nothing_is_done_without_the_confirmation() -> None:
    host = FakeHost(many())
    async with running(host) as deck:
        await deck.press("end", "up", "u")
        await deck.until(lambda: deck.dialog == "ConfirmDialog")
        await deck.press("escape", "b", "escape")
        assert host.performed == []


async def test_every_pf_gets_its_change_once() -> None:
    host = FakeHost(two_pfs())
    async with running(host) as deck:
        await deck.press("down", "m", "m", "m", "m", "v", "8", "enter")
        assert await confirm(deck, host, 2) == [SetNumvfs(NIC, 8), SetNumvfs(OTHER, 8)]


async def test_what_cannot_be_done_is_left_out_and_told() -> None:
    host = FakeHost(small_fleet())
    async with running(host) as deck:
        await deck.press("down", "m", "end", "m", "o")
        assert "Attempt to open" in deck.text
        await deck.press("enter")
        await deck.until(lambda: deck.dialog == "ConfirmDialog")
        assert f"left out {NVME}" in deck.text
        assert await confirm(deck, host, 1) == [Open(values.vf_address(NIC, 0))]
        assert "1 function left out" in deck.line


async def test_where_nothing_can_be_done_it_says_why() -> None:
    host = FakeHost(many())
    host.plans = {UnbindDriver: {"impossible": "it is gone"}}
    async with running(host) as deck:
        await deck.press("down", "m", "m", "u")
        await deck.until(lambda: deck.dialog == "Page")
        assert f"2 functions ({VFS[0]}, {VFS[1]}): it is gone" in deck.page
        assert host.performed == []
        await deck.press("escape", "escape", "end", "m", "t")
        assert "only a PF on vfio-pci has a token" in deck.line


async def test_what_needs_its_own_confirmation_is_never_done_with_others() -> None:
    host = FakeHost(many())

    def planner(change: Change, _: Snapshot) -> Plan:
        severe = "cuts off your own connection" if target_of(change) == VFS[0] else ""
        return Plan(change, f"unbind {target_of(change)}", severe=severe)

    host.planner = planner
    async with running(host) as deck:
        await deck.press("down", "m", "m", "u")
        await deck.until(lambda: deck.dialog == "ConfirmDialog")
        assert f"left out {VFS[0]}: cuts off your own connection" in " ".join(deck.text.split())
        assert await confirm(deck, host, 1) == [UnbindDriver(VFS[1])]


async def test_what_takes_something_away_needs_its_key() -> None:
    host = FakeHost(many())

    def planner(change: Change, _: Snapshot) -> Plan:
        hard = target_of(change) == VFS[1]
        return Plan(change, "unbind", warnings=("qemu loses it",) if hard else (), destructive=hard)

    host.planner = planner
    async with running(host) as deck:
        await deck.press("down", "m", "m", "u")
        await deck.until(lambda: deck.dialog == "ConfirmDialog")
        assert f"{VFS[1]}: qemu loses it" in deck.text
        await deck.press("y")
        assert host.performed == []
        assert len(await confirm(deck, host, 2, "Y")) == 2


async def test_refusals_come_on_one_page() -> None:
    host = FakeHost(many())
    host.script = lambda change: refused(change) if target_of(change) == VFS[1] else done(change)
    async with running(host) as deck:
        await deck.press("down", "m", "m", "u")
        await confirm(deck, host, 2)
        await deck.until(lambda: deck.dialog == "Page")
        assert "1 done, 1 not done" in deck.text
        assert "The VF's token is required" in deck.page
        assert "✓ UnbindDriver on" in deck.page


async def test_the_token_of_this_session_is_each_pfs_own() -> None:
    host = FakeHost(two_pfs())
    host.script = done
    async with running(host) as deck:
        await deck.press("t")
        await deck.paste(GOOD)
        await deck.press("enter")
        await confirm(deck, host, 1)
        await deck.until(lambda: deck.line.startswith("✓"))
        await deck.press("down", "m", "end", "m", "o")
        assert "set in this session, #" in deck.text
        await deck.press("enter")
        await deck.until(lambda: deck.dialog == "ConfirmDialog")
        assert "no token of its PF was set in this session" in " ".join(deck.text.split())
        await confirm(deck, host, 2)
        assert host.performed[-1] == Open(values.vf_address(NIC, 0), Token.parse(GOOD))


async def test_one_token_for_several_pfs() -> None:
    host = FakeHost(two_pfs())
    async with running(host) as deck:
        await deck.press("m", "J", "m", "t")
        assert "and 1 more" in deck.text
        await deck.paste(GOOD)
        await deck.press("enter")
        assert await confirm(deck, host, 2) == [SetToken(NIC, Token.parse(GOOD)), SetToken(OTHER, Token.parse(GOOD))]
        assert GOOD not in deck.text


async def test_close_all_that_vfdeck_holds() -> None:
    held = tuple(values.own_holder(bdf) for bdf in VFS[:3])
    host = FakeHost(dataclasses.replace(many(), holders=held))
    async with running(host) as deck:
        await deck.press("down", "m", "m", "m", "c")
        assert await confirm(deck, host, 3) == [Close(bdf) for bdf in VFS[:3]]


class _Slow(FakeHost):
    """Lets every change wait for its own gate; changes that wait show as jobs once told so."""

    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__(snapshot)
        self.gates = {bdf: threading.Event() for bdf in snapshot.functions}

    def perform(self, change: Change, confirmed: Plan | None = None) -> Outcome:
        """Wait for the gate."""
        self.performed.append(change)
        self.gates[target_of(change)].wait()
        return done(change)


async def test_a_few_at_a_time_and_who_waits_holds_nobody_up() -> None:
    host: Any = _Slow(values.snapshot(*values.make_fleet(8, NIC), host={"name": "fake"}))
    async with running(host) as deck:
        await deck.press("down", "u", "y")
        await deck.until(lambda: len(host.performed) == AT_ONCE)
        waiting = target_of(host.performed[0])
        job = Job(1, "unbind", waiting, JobState.RUNNING, "write", values.NOON, "qemu (4242)")
        host.view = dataclasses.replace(host.view, jobs=(job,))
        await deck.press("r")
        await deck.until(lambda: len(host.performed) == AT_ONCE + 1)
        host.view = dataclasses.replace(host.view, jobs=())
        for gate in host.gates.values():
            gate.set()
        await deck.until(lambda: len(host.performed) == 8)
        await deck.until(lambda: "8 done" in deck.line)


@pytest.mark.parametrize("key", ["t", "v", "b", "u", "o"])
async def test_a_second_key_opens_no_second_dialog(key: str) -> None:
    async with running(FakeHost(two_pfs())) as deck:
        await deck.press("m", "J", "m")
        deck.app.simulate_key(key)
        deck.app.simulate_key(key)
        await deck.pilot.pause()
        assert len(deck.app.screen_stack) == 2


# -- marks and filters -----------------------------------------------------------------------------------------------------
async def filtered(deck: Deck) -> None:
    """Mark VFs 1 and 2 and the NVMe PF, then show held functions only: of the three VF 2."""
    await deck.press("down", "down", "m", "m", "end", "m", "f", *"held:yes", "enter")
    await deck.until(lambda: "1 of 10" in view(deck))


async def test_marks_that_a_filter_hides_are_named_before_anything_is_done() -> None:
    host = FakeHost(many())
    host.script = done
    async with running(host) as deck:
        await filtered(deck)
        await deck.press("u")
        await deck.until(lambda: deck.dialog == "ConfirmDialog")
        assert "2 marked rows that the filter hides are among them" in deck.text
        assert "Only 1 in sight  v" in deck.text
        assert await confirm(deck, host, 3) == [UnbindDriver(VFS[1]), UnbindDriver(VFS[2]), UnbindDriver(NVME)]
        await deck.until(lambda: not deck.tree.marks)


async def test_only_what_is_in_sight() -> None:
    host = FakeHost(many())
    host.script = done
    async with running(host) as deck:
        await filtered(deck)
        await deck.press("u", "v")
        await deck.until(lambda: f": {VFS[2]}" in deck.text)
        assert "the filter hides" not in deck.text
        assert "in sight" not in deck.text
        assert host.performed == []
        assert await confirm(deck, host, 1) == [UnbindDriver(VFS[2])]
        await deck.until(lambda: deck.tree.marks == {RowId("fake", VFS[1]), RowId("fake", NVME)})


async def test_without_a_hidden_mark_nothing_is_said_of_it() -> None:
    host = FakeHost(many())
    async with running(host) as deck:
        await deck.press("down", "m", "m", "u")
        await deck.until(lambda: deck.dialog == "ConfirmDialog")
        assert "filter" not in deck.text
        await deck.press("v")
        assert deck.dialog == "ConfirmDialog"


async def test_marks_of_what_is_gone_are_dropped_and_said() -> None:
    host = FakeHost(many())
    async with running(host) as deck:
        await deck.press("down", "m", "end", "m")
        whole, host.view = host.view, values.without(host.view, NVME)
        await deck.press("r")
        await deck.until(lambda: "1 mark dropped" in deck.line)
        assert f"{NVME} is gone" in deck.line
        host.view = whole
        await deck.press("r")
        await deck.until(lambda: NVME in deck.text)
        assert deck.tree.marks == {RowId("fake", VFS[0])}


# -- autoprobe -------------------------------------------------------------------------------------------------------------
def probing(*states: bool | None) -> Snapshot:
    """Two PFs whose autoprobe is this."""
    view = two_pfs()
    functions = dict(view.functions)
    for bdf, state in zip((NIC, OTHER), states, strict=True):
        sriov = functions[bdf].sriov
        assert sriov is not None
        functions[bdf] = dataclasses.replace(functions[bdf], sriov=dataclasses.replace(sriov, autoprobe=state))
    return dataclasses.replace(view, functions=functions)


@pytest.mark.parametrize("states", [(True, False), (False, None), (None, None)])
@pytest.mark.parametrize("on", [True, False])
async def test_autoprobe_that_differs_is_set_and_not_flipped(states: tuple[bool | None, bool | None], on: bool) -> None:
    host = FakeHost(probing(*states))
    async with running(host) as deck:
        await deck.press("m", "J", "m", "a")
        assert deck.dialog == "AutoprobeDialog"
        assert "and 1 more" in deck.text
        await deck.press(*(["enter"] if on else ["down", "enter"]))
        assert await confirm(deck, host, 2) == [SetAutoprobe(NIC, on), SetAutoprobe(OTHER, on)]


@pytest.mark.parametrize("state", [True, False])
async def test_autoprobe_that_is_alike_needs_no_question(state: bool) -> None:
    host = FakeHost(probing(state, state))
    async with running(host) as deck:
        await deck.press("m", "J", "m", "a")
        assert await confirm(deck, host, 2) == [SetAutoprobe(NIC, not state), SetAutoprobe(OTHER, not state)]


async def test_autoprobe_that_could_not_be_read_is_asked_for() -> None:
    host = FakeHost(probing(None, True))
    async with running(host) as deck:
        await deck.press("a")
        assert deck.dialog == "AutoprobeDialog"
        await deck.press("down", "enter")
        assert await confirm(deck, host, 1) == [SetAutoprobe(NIC, False)]
