"""The check of the check: a rule of the simulated kernel is broken on purpose, and the random operations have to find it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator

import pytest

from tests.kernel.differential import SideBySide, explore, minimise, reset
from tests.kernel.test_differential import again, this_kernel
from vfdeck.backend.linux.kernel import LinuxKernel
from vfdeck.backend.model import Role
from vfdeck.backend.sim import sriov
from vfdeck.backend.sim.hardware import Function, SriovCapability
from vfdeck.backend.sim.machine import Machine, Task
from vfdeck.backend.token_rules import Rule, TokenRecord, validate_vf_token

#: So many operations find any of these: some 200 are usual, 539 were seen, and luck has a long tail.
OPERATIONS = 4000
#: How long the list of steps may be made shorter, seconds.
MINIMISE = 40.0


def forget_the_users(patch: pytest.MonkeyPatch) -> None:
    """A PF opens without a token although VFs are in use."""

    def broken(role: Role, record: TokenRecord | None, token: bytes | None) -> Rule:
        return Rule.PF_IDLE if role is Role.PF and token is None else validate_vf_token(role, record, token)

    patch.setattr("vfdeck.backend.sim.vfio.validate_vf_token", broken)


def allow_another_number(patch: pytest.MonkeyPatch) -> None:
    """From one number of VFs to another there is no need for 0 in between."""
    configure = sriov._configure

    def broken(machine: Machine, pf: Function, capability: SriovCapability, wanted: int) -> Task:
        if wanted and capability.numvfs:
            yield from configure(machine, pf, capability, 0)
        yield from configure(machine, pf, capability, wanted)

    patch.setattr(sriov, "_configure", broken)


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    """The hardware as it was found, before and after."""
    reset(LinuxKernel())
    yield
    reset(LinuxKernel())


@pytest.mark.parametrize(("break_rule", "needed"), [(forget_the_users, "open"), (allow_another_number, "sriov_numvfs")])
def test_a_broken_rule_is_found(
    break_rule: Callable[[pytest.MonkeyPatch], None],
    needed: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    break_rule(monkeypatch)
    seed, began = f"{os.environ['VFDECK_SEED']}-{needed}", time.monotonic()
    pair = SideBySide(this_kernel)
    found, played = explore(pair, seed, OPERATIONS, cdev=False)
    reset(LinuxKernel(), [pair.other])
    assert found is not None, f"seed {seed}: nothing found in {played} operations"
    seconds = time.monotonic() - began
    shortest = minimise(found, again, MINIMISE)
    with capsys.disabled():
        print(f"\nseed {seed}: found after {played} operations, {seconds:.0f} s; minimised after {time.monotonic() - began:.0f} s")
        print(shortest)
    # What the broken rule did may show only later, in the answer to another operation.
    assert any(needed in str(step) for step in shortest.steps), f"seed {seed}: another difference\n{shortest}"
