"""Rotation with VFs in use and nobody on the PF: what is planned and foretold, and what comes of failures on the way."""

from __future__ import annotations

import pytest

from tests.contract.bed import IGB, U1, U2, ZERO, SimulatedBed, open_device, try_open
from vfdeck.backend import lessons
from vfdeck.backend.changes import Open, SetToken, TokenWay
from vfdeck.backend.kernel import Stage
from vfdeck.backend.local_host import LocalHost
from vfdeck.backend.model import TokenState
from vfdeck.backend.sim.kernel import SimulatedKernel
from vfdeck.backend.token import Token
from vfdeck.backend.vfio import Program

OLD, NEW, OTHER = Token(U1.bytes), Token(U2.bytes), Token(ZERO.bytes)
_UUIDS = {OLD: U1, NEW: U2, OTHER: ZERO}


class Left:
    """U1 is in force, a program holds the first VF, and nobody the PF."""

    def __init__(self, release: str = "7.3") -> None:
        self.bed = SimulatedBed(release)
        self.vf, self.free = self.bed.vfio_pf()
        assert try_open(self.bed.program("setter"), IGB, U1) == "OK"
        open_device(Program(SimulatedKernel(self.bed.machine, "holder")), self.vf, U1)
        self.kernel = SimulatedKernel(self.bed.machine, "operator")
        self.host = LocalHost(self.kernel, {})

    def in_force(self, token: Token) -> bool:
        return try_open(self.bed.program("user"), self.free, _UUIDS[token]) == "OK"


def test_the_plan_says_what_it_costs() -> None:
    left = Left()
    plan = left.host.plan(SetToken(IGB, NEW, current=OLD), left.host.snapshot())
    assert (plan.impossible, plan.destructive) == ("", True)
    assert [step.text.split(" ", 1)[0] for step in plan.steps] == ["open", "set", "close", "ask"]
    assert f"with token #{OLD.fingerprint}" in plan.steps[0].text
    assert f"set token #{NEW.fingerprint} through the open fd of {IGB}" in plan.steps[1].text
    said = "\n".join(plan.warnings)
    assert "both reset it, and VFs in use may fail by it" in said
    assert "They go on" not in said
    assert all(token.reveal_text() not in repr(plan) for token in (OLD, NEW))


def test_it_is_the_last_resort() -> None:
    """Free VFs: an open sets; somebody has the PF open: a duplicate of that fd."""
    left = Left()
    open_device(Program(SimulatedKernel(left.bed.machine, "lender")), IGB, U1)
    plan = left.host.plan(SetToken(IGB, NEW, current=OLD), left.host.snapshot())
    assert "through a duplicate of the fd that lender" in plan.steps[0].text
    assert not left.host.perform(SetToken(IGB, NEW, TokenWay.CURRENT, OLD)).attempted  # its group is taken
    idle = SimulatedBed("7.3")
    idle.vfio_pf()
    host = LocalHost(idle.kernel, {})
    plan = host.plan(SetToken(IGB, NEW, current=OLD), host.snapshot())
    assert plan.steps[0].text == f"open {IGB} through its group, with token #{NEW.fingerprint}"


def test_a_wrong_token_changes_nothing_and_is_not_believed_any_more() -> None:
    left = Left()
    assert left.host.perform(SetToken(IGB, NEW, current=OLD)).ok  # NEW is remembered now
    bed = left.bed
    program = bed.program("somebody")
    device = open_device(program, IGB, U2)
    program.set_token(device, ZERO.bytes)
    program.close(device)
    outcome = left.host.perform(SetToken(IGB, OLD))
    assert outcome.answer == "EACCES at get_device_fd"
    assert not lessons.may_have_set(outcome)
    assert left.host.snapshot().tokens[IGB].state is TokenState.UNKNOWN
    assert left.in_force(OTHER)
    assert left.kernel.process.fds == {}


@pytest.mark.parametrize("number", [22, 25])
def test_a_call_that_fails_leaves_nothing_open(number: int) -> None:
    left = Left()

    def refuse(*_: object) -> None:
        raise OSError(number, "no")

    left.kernel.feature = refuse  # type: ignore[method-assign, assignment]
    outcome = left.host.perform(SetToken(IGB, NEW, current=OLD))
    assert (outcome.errno, outcome.stage, outcome.attempted) == (number, Stage.FEATURE, True)
    assert not lessons.may_have_set(outcome)
    assert left.kernel.process.fds == {}
    assert left.in_force(OLD)


def test_a_device_that_is_held_stays_open() -> None:
    """What this program had open before is not what the change opened."""
    left = Left()
    assert left.host.perform(Open(IGB, OLD, hold=True)).ok
    assert left.host.perform(SetToken(IGB, NEW, current=OLD)).ok  # through the fd that it has
    assert any(file.own and file.kind == "device" for file in left.kernel.open_files().files)
    assert left.in_force(NEW)
