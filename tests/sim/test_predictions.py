"""What vfdeck foretells of a kernel's answers, scored over random operations on every named release: never "exact" and wrong.

A fresh seed a run, printed; VFDECK_SEED plays one again, VFDECK_OPERATIONS says how many operations for each release.
"""

from __future__ import annotations

import os
import secrets

import pytest

from tests.contract.bed import machine
from tests.kernel.differential import Alone, explore
from vfdeck.backend.predict import opens, writes
from vfdeck.backend.profile import named_profiles

SEED = os.environ.get("VFDECK_SEED") or secrets.token_hex(4)
OPERATIONS = int(os.environ.get("VFDECK_OPERATIONS", "300"))


def run(release: str, drivers: tuple[str, ...], operations: int, seed: str = SEED) -> Alone:
    """Random operations on one machine; prints the score."""
    hardware = machine(release)
    for driver in ("vfio-pci", *drivers):
        hardware.load_driver(driver)
    seed = f"{seed}-{release}-{'-'.join(drivers)}"
    alone = Alone(hardware, seed)
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


def _other(rule: object, name: str, instead: object) -> object:
    return instead if getattr(rule, "__name__", "") == name else rule
