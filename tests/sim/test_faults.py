"""Every fault to practise on: it can be met, the kernel answers as it should, and the diagnosis names its entry first."""

from __future__ import annotations

import dataclasses

import pytest

from tests.sim.fault_table import NOT_YET, found_at, missed, missed_on
from vfdeck.app.cli import main
from vfdeck.app.failure import USAGE
from vfdeck.backend.catalogue import entries
from vfdeck.backend.profile import profile
from vfdeck.backend.sim import faults, scenario
from vfdeck.backend.sim.faults import Exercise, UnknownFault, practice
from vfdeck.backend.sim.faults.host import PracticeHost, load

IDS = {entry.id for entry in entries()}
ALL = [faults.exercise(name) for name in faults.names()]
REAL = [fault for fault in ALL if fault.real]

#: The kernels that the faults marked `real` are gone through on in a guest; Debian's have no iommufd.
GUESTS = ("6.1.192", "6.12.107+deb13-amd64", "6.12.95", "7.3.4+deb14-amd64", "7.3.4")


def marked(name: str) -> object:
    """A fault that the diagnosis does not name yet has to stay so, or lose its mark."""
    return pytest.param(name, marks=pytest.mark.xfail(reason=NOT_YET[name], strict=True)) if name in NOT_YET else name


@pytest.mark.parametrize("name", [marked(name) for name in faults.names()])
def test_the_diagnosis_names_the_entry_first(name: str) -> None:
    assert missed(name) == ""


@pytest.mark.parametrize("release", GUESTS)
@pytest.mark.parametrize("fault", REAL, ids=lambda fault: fault.name)
def test_it_does_so_on_every_kernel_that_can_produce_it(fault: Exercise, release: str) -> None:
    if not fault.suits(profile(release)):
        pytest.skip(f"{release} cannot produce it")
    host = PracticeHost(dataclasses.replace(fault, kernel=release))
    assert missed_on(host, host.exercise) == ""
    host.close()


@pytest.mark.parametrize("name", faults.names())
def test_a_fault_is_well_told(name: str) -> None:
    fault = faults.exercise(name)
    assert fault.entry in IDS
    assert fault.story.endswith(".")
    assert fault.advice
    assert sum(bool(way) for way in (fault.do, fault.look, fault.plan)) == 1, "one way to meet it"
    host = load(name)
    assert fault.suits(profile(host.snapshot().host.kernel))
    assert fault.target in host.snapshot().functions
    host.close()


@pytest.mark.parametrize("fault", REAL, ids=lambda fault: fault.name)
def test_what_is_real_needs_nothing_but_the_bed(fault: Exercise) -> None:
    """A fault for real kernels says nothing of a machine, and nothing befalls it that no program does."""
    assert not fault.machine
    assert not fault.vfdeck
    assert not any("fate" in step for step in fault.setup)


@pytest.mark.parametrize("name", ["A8", "A10", "A14", "A17", "C3", "C4", "C12", "C13"])
def test_without_the_cause_there_is_nothing_to_explain(name: str) -> None:
    """The same change on the same hardware succeeds when what is wrong with machine and programs is taken away."""
    fault = faults.exercise(name)
    hardware = {"function": fault.machine["function"]} if "function" in fault.machine else {}
    setup = tuple(step for step in fault.setup if step.get("data") != "N")
    host = PracticeHost(dataclasses.replace(fault, machine=hardware, vfdeck={}, setup=setup))
    outcome = practice.attempt(host.exercise, host)
    assert outcome.ok
    assert outcome.explanation is None
    host.close()


def test_doctor_finds_nothing_of_it_on_the_bare_bed() -> None:
    """But for what goes for every such host."""
    bare = PracticeHost(Exercise("none", "", ""))
    everywhere = {"E7"}
    for fault in ALL:
        if fault.look and fault.entry not in everywhere:
            assert fault.entry not in found_at(bare, fault.look), fault.name
    bare.close()


def test_scenarios_know_the_faults() -> None:
    host = scenario.load("fault:a14")
    assert host.name == "practice"
    host.close()
    with pytest.raises(scenario.UnknownScenario, match="A14"):
        scenario.load("fault:A140")
    with pytest.raises(UnknownFault, match="list"):
        faults.exercise("?")
    with pytest.raises(UnknownFault, match="on; `vfdeck demo --fault list`"):
        faults.exercise("ZZ9")
    with pytest.raises(UnknownFault, match=r"perhaps A14.*; `vfdeck demo --fault list`"):
        faults.exercise("A140")


def test_the_command_line_knows_them_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--fault", "list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == faults.names()
    assert main(["demo", "--fault", "D30"]) == USAGE
    assert capsys.readouterr().err.count("\n") == 1
    assert main(["tree", "--demo", "fault:G1"]) == 0
    assert "0000:01:10.2" in capsys.readouterr().out


def test_a_setup_that_goes_wrong_is_not_passed_over() -> None:
    wrong = Exercise("none", "", "", setup=({"numvfs": 2, "of": "0000:01:00.0"},))
    with pytest.raises(practice.BrokenExercise, match="gives ENOENT, not OK"):
        PracticeHost(wrong)


def test_what_was_done_can_be_taken_back() -> None:
    for fault in REAL:
        if fault.undo:
            host = PracticeHost(fault)
            before = host.scenario.machine.drivers["vfio-pci"].dynamic.copy()
            practice.take_back(fault, host.player)
            assert host.scenario.machine.drivers["vfio-pci"].dynamic < before
            host.close()


def test_as_many_as_the_project_wants() -> None:
    """Of the catalogue's entries at least 90 can be met, and at least 40 on real hardware too."""
    assert len({fault.entry for fault in ALL}) >= 90
    assert len({fault.entry for fault in REAL}) >= 40
