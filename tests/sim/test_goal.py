"""When a fault to practise on counts as mended: never by its refusal, only by what works."""

from __future__ import annotations

import dataclasses

import pytest

from tests import values
from vfdeck.backend.changes import BindDriver, Open, OpenPath, Outcome, SetNumvfs, SetToken, UnbindDriver
from vfdeck.backend.checks import Check, Report, Verdict, WholeHost
from vfdeck.backend.goal import Goal, is_found, is_reached, is_tried
from vfdeck.backend.sim import faults
from vfdeck.backend.sim.faults import practice
from vfdeck.backend.sim.faults.host import load
from vfdeck.backend.token import Token

PF, VF = values.PF, values.vf_address()
TOKEN = Token.generate()


def refused(change: object) -> Goal:
    """A fault that refuses a change."""
    return Goal("D1", change, False, "")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [name for name in faults.names() if faults.exercise(name).do is not None])
def test_the_refusal_of_a_fault_is_an_attempt_and_mends_nothing(name: str) -> None:
    host = load(name)
    try:
        goal = practice.goal_of(host.exercise)
        assert goal is not None
        assert goal.change is not None
        before = host.snapshot()
        outcome = practice.attempt(host.exercise, host)
        assert is_tried(goal, outcome.change, before)
        assert not is_reached(goal, outcome, before)
    finally:
        host.close()


def test_an_open_by_any_way_will_do() -> None:
    view = values.snapshot(*values.make_fleet(2))
    goal = refused(Open(VF))
    assert is_reached(goal, Outcome(Open(VF, TOKEN, True, OpenPath.CDEV)), view)
    assert not is_reached(goal, Outcome(Open(VF, TOKEN), errno=13), view)
    assert not is_reached(goal, Outcome(Open(VF), blocked=True), view)
    assert not is_reached(goal, Outcome(Open(VF), attempted=False), view)
    assert not is_reached(goal, Outcome(Open(PF)), view)
    assert not is_reached(goal, Outcome(UnbindDriver(VF)), view)


def test_a_bind_must_be_to_the_same_driver() -> None:
    view = values.snapshot(*values.make_fleet(1))
    assert is_reached(refused(BindDriver(VF, "vfio-pci")), Outcome(BindDriver(VF, "vfio-pci")), view)
    assert not is_reached(refused(BindDriver(VF, "vfio-pci")), Outcome(BindDriver(VF, None)), view)


@pytest.mark.parametrize(("count", "mended"), [(0, False), (1, False), (2, False), (3, True), (6, True), (7, False)])
def test_fewer_vfs_will_do_if_they_are_more_than_before(count: int, mended: bool) -> None:
    view = values.snapshot(*values.make_fleet(2))
    assert is_reached(refused(SetNumvfs(PF, 6)), Outcome(SetNumvfs(PF, count)), view) is mended


def test_that_vfs_go_is_mended_by_all_of_them_going() -> None:
    view = values.snapshot(*values.make_fleet(2))
    assert is_reached(refused(SetNumvfs(PF, 0)), Outcome(SetNumvfs(PF, 0)), view)
    assert not is_reached(refused(SetNumvfs(PF, 0)), Outcome(SetNumvfs(PF, 1)), view)


def test_a_token_asked_for_on_a_vf_is_its_pfs() -> None:
    view = values.snapshot(*values.make_fleet(2))
    assert is_tried(refused(SetToken(VF, TOKEN)), SetToken(PF, Token.generate()), view)
    assert not is_tried(refused(SetToken(PF, TOKEN)), SetToken("0000:99:00.0", TOKEN), view)


def test_what_the_doctor_finds_is_about_the_function() -> None:
    goal = Goal("D19", None, False, PF)
    check = Check("Is it secret?", Verdict.NO, entry="D19", subject=PF)
    others = (dataclasses.replace(check, subject=VF), dataclasses.replace(check, verdict=Verdict.UNKNOWN))
    assert is_found(goal, Report("", (*others, check)))
    assert not is_found(goal, Report("", others))
    assert is_found(dataclasses.replace(goal, look="host"), Report("", others))
    assert not is_tried(goal, Open(VF), values.snapshot())


def test_a_fault_of_the_doctor_is_found_by_it() -> None:
    host = load("D19")
    try:
        goal = practice.goal_of(host.exercise)
        assert goal is not None
        assert is_found(goal, host.check(WholeHost(), host.snapshot()))
    finally:
        host.close()
