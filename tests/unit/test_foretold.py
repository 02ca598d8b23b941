"""What was foretold stands beside what came: in the outcome, in the session's count, and on the screen."""

from __future__ import annotations

import dataclasses
import errno

import pytest

from tests.contract.bed import IGB, NVME, machine
from tests.unit.test_local_host import FREE_VF, GUARDED, HELD_VF, IDLE, IDLE_VF, KERNEL_PF, TOKEN, in_thread, wait_for
from tests.values import PF, make_pf, snapshot
from vfdeck.app.dashboard.dialogs.confirm import plan_sections
from vfdeck.backend.changes import (
    BindDriver,
    Change,
    Close,
    Open,
    Outcome,
    Prediction,
    SetAutoprobe,
    SetNumvfs,
    SetToken,
    UnbindDriver,
)
from vfdeck.backend.kernel import OpenFiles, Stage
from vfdeck.backend.local_host import LocalHost
from vfdeck.backend.model import Certainty, Scores
from vfdeck.backend.plan import plan
from vfdeck.backend.sim.kernel import SimulatedKernel
from vfdeck.backend.sim.machine import Fault
from vfdeck.backend.sim.scenario import SimulatedHost, load
from vfdeck.widgets.host_facts import host_facts
from vfdeck.widgets.report import report
from vfdeck.widgets.sections import plain_text


@pytest.fixture
def host() -> SimulatedHost:
    return load("default", 1)


def test_a_session_whose_answers_come_as_foretold(host: SimulatedHost) -> None:
    changes: list[Change] = [
        Open(FREE_VF),
        SetToken(IDLE, TOKEN),
        Open(IDLE_VF, TOKEN, hold=True),
        Open(IDLE_VF, TOKEN),
        Close(IDLE_VF),
        SetNumvfs(IDLE, 0),
        SetNumvfs(IDLE, 2),
        UnbindDriver(IDLE),
        BindDriver(IDLE, "vfio-pci"),
        SetAutoprobe(KERNEL_PF, False),
    ]
    for change in changes:
        outcome = host.perform(change)
        assert outcome.attempted
        assert outcome.as_predicted, (change, outcome.surprise)
    scores = host.snapshot().scores
    assert (scores.right, scores.wrong, scores.unknown) == (len(changes), 0, 0)
    assert f"foretold: {len(changes)} of {len(changes)} answers as predicted" in plain_text(host_facts(host.snapshot()))


def test_what_the_hardware_refuses_was_not_foretold(host: SimulatedHost) -> None:
    host.perform(SetNumvfs(IDLE, 0))
    host.scenario.machine.faults[f"/sys/bus/pci/devices/{IDLE}/sriov_numvfs"] = [Fault(errno.ENOMEM)]
    outcome = host.perform(SetNumvfs(IDLE, 2))
    assert outcome.as_predicted is False
    assert outcome.surprise == "expected OK, got ENOMEM at sriov_numvfs"
    assert "not as predicted: expected OK, got ENOMEM at sriov_numvfs" in plain_text(report(outcome))
    assert host.snapshot().scores == Scores(likely_right=1, likely_wrong=1)


def test_a_change_that_waits_as_foretold() -> None:
    host = load("default", 1, realtime=True)
    thread, found = in_thread(lambda: host.perform(SetNumvfs(GUARDED, 0)))
    wait_for(lambda: any("qemu-system-x86 (4242)" in job.waits_for for job in host.snapshot().jobs))
    for pid, bdf in ((4242, HELD_VF), (4391, "0000:03:02.1")):
        actor = host.scenario.actors[pid]
        actor.program.close(actor.devices.pop(bdf))
    thread.join(20)
    assert (found[0].ok, found[0].answer, found[0].as_predicted) == (True, "BLOCKED", True)


def test_what_is_not_attempted_is_not_counted(host: SimulatedHost) -> None:
    outcome = host.perform(SetNumvfs(FREE_VF, 1))
    assert not outcome.attempted
    assert outcome.as_predicted is None
    assert host.snapshot().scores == Scores()
    assert "foretold" not in plain_text(host_facts(host.snapshot()))


@pytest.mark.parametrize(
    ("driver", "pf", "left"),
    [("igb", IGB, []), ("nvme", NVME, ["0000:03:00.1", "0000:03:00.2"])],
)
def test_a_pf_with_vfs_goes_to_vfio_where_its_driver_takes_them_along(driver: str, pf: str, left: list[str]) -> None:
    hardware = machine("6.12.107")
    for name in ("vfio-pci", driver):
        hardware.load_driver(name)
    host = LocalHost(SimulatedKernel(hardware))
    for change in (BindDriver(pf, driver), SetNumvfs(pf, 2)):
        assert host.perform(change).ok
    outcome = host.perform(BindDriver(pf, "vfio-pci"))
    assert outcome.attempted == (not left)
    if left:
        assert outcome.explanation is not None
        assert f"{pf} has 2 VFs, and vfio-pci takes no PF with VFs" in outcome.explanation.rule
        assert host.perform(UnbindDriver(pf)).as_predicted
    else:
        assert outcome.as_predicted
    assert [vf.bdf for vf in host.snapshot().vfs_of(pf)] == left


class LateKernel(SimulatedKernel):
    """Leaves programs for another look, wherever it may."""

    def open_files(self, late: float = 0.0) -> OpenFiles:
        return dataclasses.replace(super().open_files(late), late=late)


def test_nothing_is_certain_that_rests_on_a_look_that_may_be_late() -> None:
    hardware = machine("6.12.107")
    hardware.load_driver("vfio-pci")
    change = SetNumvfs(IGB, 1)
    for kernel, certainty in ((SimulatedKernel(hardware), Certainty.EXACT), (LateKernel(hardware), Certainty.INFERRED)):
        host = LocalHost(kernel)
        view = host.snapshot()
        predicted = host.plan(change, view).predicted
        assert predicted is not None
        assert (view.late > 0, predicted.answer) == (certainty is Certainty.INFERRED, "ENOENT at sriov_numvfs")
        assert predicted.certainty is certainty


def test_the_report_says_so() -> None:
    required = Prediction(errno.EACCES, Stage.GET_DEVICE_FD, Certainty.EXACT)
    assert "as predicted" not in plain_text(report(Outcome(Open(PF))))
    assert "as predicted" in plain_text(report(Outcome(Open(PF), errno.EACCES, Stage.GET_DEVICE_FD, PF, predicted=required)))
    assert "not as predicted: expected EACCES at get_device_fd, got OK" in plain_text(report(Outcome(Open(PF), predicted=required)))


def test_a_plan_shows_the_answer_once() -> None:
    works = plain_text(plan_sections(plan(SetAutoprobe(PF, False), snapshot(make_pf()))))
    assert works.count("expected: it works") == 1
    refused = plain_text(plan_sections(plan(SetNumvfs(PF, 1), snapshot(make_pf(), host={"privileged": False}))))
    assert refused.count("expected: EACCES at sriov_numvfs") == 1
