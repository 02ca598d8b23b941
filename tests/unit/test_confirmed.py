"""What is done is what was confirmed: programs come and go between the question and the answer."""

from __future__ import annotations

import dataclasses

import pytest

from tests.unit.test_local_host import GUARDED, HELD_VF, IDLE, IDLE_VF, TOKEN
from tests.values import PF, VF, make_fleet, make_holder, snapshot
from vfdeck.backend.changes import Change, Open, Outcome, Prediction, SetNumvfs, SetToken, UnbindDriver
from vfdeck.backend.kernel import Stage
from vfdeck.backend.model import Certainty, Snapshot
from vfdeck.backend.perform import difference
from vfdeck.backend.plan import plan
from vfdeck.backend.sim.scenario import SimulatedHost, load

FREE = snapshot(*make_fleet(2))
HELD = snapshot(*make_fleet(2), holders=(make_holder(VF),))


@pytest.fixture
def host() -> SimulatedHost:
    return load("default", 1)


def why(outcome: Outcome) -> str:
    """Why it was not attempted; "" where it was."""
    assert outcome.attempted or outcome.explanation is not None
    return outcome.explanation.why if outcome.explanation is not None and not outcome.attempted else ""


def rule(outcome: Outcome) -> str:
    return outcome.explanation.rule if outcome.explanation else ""


def test_what_is_still_the_same_is_done(host: SimulatedHost) -> None:
    for change in (SetNumvfs(IDLE, 2), SetToken(IDLE, TOKEN), UnbindDriver(IDLE)):
        assert host.perform(change, host.plan(change, host.snapshot())).ok


def test_a_program_that_came_meanwhile_is_told_of_and_nothing_is_done(host: SimulatedHost) -> None:
    change = SetNumvfs(IDLE, 0)
    confirmed = host.plan(change, host.snapshot())
    assert host.perform(SetToken(IDLE, TOKEN)).ok
    actor = next(iter(host.scenario.actors.values()))
    actor.program.open_by_group(IDLE_VF, f"{IDLE_VF} vf_token={TOKEN.reveal_text()}".encode())
    before = host.snapshot()
    outcome = host.perform(change, confirmed)
    assert not outcome.attempted
    assert not outcome.ok
    assert rule(outcome).startswith("this is not what was confirmed any more: new: all ")
    assert f"on {IDLE_VF}" in rule(outcome)
    assert "expected is now BLOCKED, before OK" in rule(outcome)
    assert why(outcome) == "the kernel was not asked"
    assert host.snapshot().functions == before.functions
    assert not host.jobs()


def test_a_plan_of_something_else_is_no_consent(host: SimulatedHost) -> None:
    confirmed = host.plan(SetNumvfs(IDLE, 2), host.snapshot())
    outcome = host.perform(SetNumvfs(IDLE, 0), confirmed)
    assert not outcome.attempted
    assert "the steps are now: remove the VFs" in rule(outcome)


def test_what_has_become_impossible_says_that(host: SimulatedHost) -> None:
    change = UnbindDriver(IDLE)
    confirmed = host.plan(change, host.snapshot())
    assert host.perform(change).ok
    outcome = host.perform(change, confirmed)
    assert rule(outcome) == f"nothing to do: {IDLE} has no driver"


def test_without_a_plan_nothing_is_compared(host: SimulatedHost) -> None:
    assert host.perform(SetNumvfs(IDLE, 0)).ok
    assert HELD_VF in host.snapshot().functions
    assert GUARDED in host.snapshot().functions


@pytest.mark.parametrize(
    ("change", "confirmed", "now", "words"),
    [
        (SetNumvfs(PF, 0), FREE, HELD, "new: the kernel waits, without limit, until qemu-system-x86 (4242)"),
        (SetNumvfs(PF, 0), HELD, FREE, "no longer: the kernel waits, without limit, until qemu-system-x86 (4242)"),
        (SetNumvfs(PF, 3), snapshot(*make_fleet(0)), FREE, "the steps are now: remove the VFs of 0000:03:00.0, then give"),
        (Open(VF), FREE, HELD, "expected is now EBUSY at open_group, before EACCES at get_device_fd"),
    ],
)
def test_the_difference_in_words(change: Change, confirmed: Snapshot, now: Snapshot, words: str) -> None:
    first, second = plan(change, confirmed), plan(change, now)
    assert not first.same_as(second)
    assert words in difference(first, second)


def test_a_driver_that_lets_go_of_more_is_a_difference() -> None:
    planned = plan(SetNumvfs(PF, 0), FREE)
    worse = dataclasses.replace(planned, severe="cuts your own connection")
    assert difference(planned, worse).endswith("any more: it cuts your own connection")
    assert difference(worse, planned).endswith("any more: it no longer cuts your own connection")
    assert difference(dataclasses.replace(planned, destructive=False), planned).endswith("it takes more away")


def test_how_certain_an_answer_is_makes_no_difference() -> None:
    """A look that may be late is less sure than a complete one, and says the same."""
    sure, unsure = (Prediction(13, Stage.GET_DEVICE_FD, certainty) for certainty in (Certainty.EXACT, Certainty.INFERRED))
    planned = plan(SetNumvfs(PF, 0), FREE)
    first, second = (
        dataclasses.replace(planned, predicted=told, warnings=(*planned.warnings, f"expected: {told}")) for told in (sure, unsure)
    )
    assert first.warnings != second.warnings
    assert first.same_as(second)
