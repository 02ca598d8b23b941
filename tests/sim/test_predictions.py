"""What vfdeck foretells of a kernel's answers, scored over random operations on every named release: never "exact" and wrong.

A fresh seed a run, printed; VFDECK_SEED plays one again, VFDECK_OPERATIONS says how many operations for each release.
"""

from __future__ import annotations

import os
import random
import secrets
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.contract.bed import machine
from tests.kernel.differential import Alone, explore
from vfdeck.backend.changes import Outcome
from vfdeck.backend.model import Certainty
from vfdeck.backend.player import Step
from vfdeck.backend.predict import opens, writes
from vfdeck.backend.profile import named_profiles
from vfdeck.backend.sim import faults
from vfdeck.backend.sim.faults import practice
from vfdeck.backend.sim.faults.host import load
from vfdeck.backend.sim.machine import Machine
from vfdeck.backend.sim.surroundings import Surroundings

SEED = os.environ.get("VFDECK_SEED") or secrets.token_hex(4)
OPERATIONS = int(os.environ.get("VFDECK_OPERATIONS", "300"))

#: Puts a trouble there (True), or takes it away.
Trouble = Callable[[Machine, bool], None]


class Troubled(Alone):
    """A machine where a trouble comes and goes between operations."""

    def __init__(self, hardware: Machine, seed: str, trouble: Trouble) -> None:
        super().__init__(hardware, seed)
        self._rng, self._put, self._there = random.Random(f"trouble {seed}"), trouble, False

    def do(self, step: Step) -> tuple[Step, Step]:
        """The answer, twice."""
        if self._rng.random() < 0.1:
            self._there = not self._there
        self._put(self.machine, self._there)
        return super().do(step)


class _Below(set[str]):
    """Every path in a directory."""

    def __contains__(self, path: object) -> bool:
        return str(path).startswith(next(iter(self)))


def run(release: str, drivers: tuple[str, ...], operations: int, seed: str = SEED, trouble: str = "") -> Alone:
    """Random operations on one machine; prints the score."""
    hardware = machine(release)
    for driver in ("vfio-pci", *drivers):
        hardware.load_driver(driver)
    seed = f"{seed}-{release}-{'-'.join(drivers)}"
    alone = Troubled(hardware, seed, TROUBLES[trouble]) if trouble else Alone(hardware, seed)
    explore(alone, seed, operations, cdev=hardware.profile.has("cdev"))
    print(f"seed {seed}: {alone.forecast.scores}")
    return alone


@pytest.mark.parametrize("release", named_profiles())
@pytest.mark.parametrize("drivers", [(), ("igb", "igbvf", "nvme", "e1000e")], ids=["vfio", "native"])
def test_exact_is_never_wrong(release: str, drivers: tuple[str, ...]) -> None:
    forecast = run(release, drivers, OPERATIONS).forecast
    assert not forecast.wrong, f"VFDECK_SEED={SEED}\n" + "\n".join(forecast.wrong)
    scores = forecast.scores
    assert scores.right + scores.wrong >= OPERATIONS // 10  # enough was foretold
    assert scores.likely_wrong * 5 <= scores.right, "\n".join(forecast.missed)


def _around(**fields: object) -> Trouble:
    """Something around the functions that is otherwise than usual."""

    def put(hardware: Machine, there: bool) -> None:
        usual = Surroundings()
        for name, value in fields.items():
            setattr(hardware.around, name, value if there else getattr(usual, name))

    return put


def _claimed(hardware: Machine, there: bool) -> None:
    """Somebody in the kernel took the groups out of their default domains."""
    for group in hardware.groups.values():
        group.foreign_domain = there


def _tied(hardware: Machine, there: bool) -> None:
    """The firmware keeps memory of every function for itself."""
    for function in hardware.functions.values():
        function.direct_mapped = there


def _cramped(hardware: Machine, there: bool) -> None:
    """No address space for VFs."""
    for function in hardware.functions.values():
        if function.sriov is not None:
            function.sriov.unassigned = frozenset({0, 3}) if there else frozenset()


TROUBLES: dict[str, Trouble] = {
    "no module for containers": _around(type1=False),
    "interrupts are not kept apart": _around(interrupt_remapping=False),
    "a security module keeps the container": _around(forbidden={"/dev/vfio/vfio"}),
    "a security module keeps the iommufd": _around(forbidden={"/dev/iommu"}),
    "a security module keeps the nodes": _around(forbidden=_Below({"/dev/vfio/"})),
    "groups in use by the kernel": _claimed,
    "memory tied by firmware": _tied,
    "no address space": _cramped,
}


@pytest.mark.parametrize("release", ["5.15.30", "6.1.0", "6.14.0", "7.3"])
@pytest.mark.parametrize("trouble", TROUBLES)
def test_exact_is_never_wrong_whatever_is_around(release: str, trouble: str) -> None:
    """What is around comes and goes, as no snapshot shows."""
    alone = run(release, (), OPERATIONS, trouble=trouble)
    assert not alone.forecast.wrong, f"VFDECK_SEED={SEED}\n" + "\n".join(alone.forecast.wrong)


def foretold(name: str) -> Outcome:
    """A fault is met; the outcome holds what the plan had expected of the change, where vfdeck makes such a change."""
    host = load(name)
    try:
        step, before = host.exercise.do or {}, host.snapshot()
        planned = host.plan(practice.change_of(step), before) if "kind" in step else None
        outcome = practice.attempt(host.exercise, host)
        return outcome if planned is None else replace(outcome, predicted=planned.predicted)
    finally:
        host.close()


@pytest.mark.parametrize("name", [name for name in faults.names() if faults.exercise(name).do])
def test_exact_is_never_wrong_about_a_fault(name: str) -> None:
    outcome = foretold(name)
    exact = outcome.predicted is not None and outcome.predicted.certainty is Certainty.EXACT
    assert not exact or outcome.as_predicted, outcome.surprise


SHOWS = ["A7", "A10", "A11", "A18", "A20", "C2", "C5", "C11", "C11.old", "C13", "C21", "E4", "E5"]


@pytest.mark.parametrize("name", SHOWS)
def test_what_shows_beside_the_snapshot_is_foretold(name: str) -> None:
    outcome = foretold(name)
    assert outcome.predicted is not None
    assert outcome.predicted.certainty is Certainty.INFERRED
    assert outcome.answer != "OK"
    assert outcome.as_predicted, outcome.surprise


BREAKAGES = {
    "a VF needs no token": (opens, "guarded", lambda snapshot, bdf: False),
    "a number above the total is taken": (writes, "_above_total", lambda ask, act: None),
    "a removal never waits": (writes, "_vfs_in_use", lambda ask, act: None),
}


def wrong() -> int:
    """How many predictions were wrong in runs that are always the same."""
    return sum(run("7.3", (), 500, seed).forecast.scores.wrong for seed in ("one", "two", "three"))


@pytest.mark.parametrize("broken", BREAKAGES)
def test_a_broken_rule_shows_in_the_score(monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    """The score can fail: each of these rules is needed."""
    before = wrong()
    module, name, instead = BREAKAGES[broken]
    monkeypatch.setattr(module, name, instead)
    if module is writes:  # its rules are in the table by now
        table = {file: tuple(_other(rule, name, instead) for rule in rules) for file, rules in writes._FILES.items()}
        monkeypatch.setattr(writes, "_FILES", table)
    assert wrong() > before


def test_that_an_open_always_reaches_the_judgement_shows_in_the_score(monkeypatch: pytest.MonkeyPatch) -> None:
    def exact_and_wrong() -> int:
        return len(run("6.1.0", (), 500, "two", "a security module keeps the nodes").forecast.wrong)

    assert not exact_and_wrong()
    monkeypatch.setattr(opens, "_reached", lambda ask, act: True)
    assert exact_and_wrong()


def _other(rule: object, name: str, instead: object) -> object:
    return instead if getattr(rule, "__name__", "") == name else rule
