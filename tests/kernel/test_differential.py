"""The simulated kernel against this one: random operations side by side, stopped at the first answer that differs.

What vfdeck foretells of this kernel's answers is scored along the way: never "exact" and wrong. A fresh seed a run, printed;
VFDECK_SEED plays one again, VFDECK_OPERATIONS says how many operations, VFDECK_FORETOLD that one in so many is foretold.
"""

from __future__ import annotations

import functools
import os
import secrets
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.kernel.differential import Difference, SideBySide, explore, minimise, play, reset
from tests.kernel.forecast import Forecast
from vfdeck.backend.linux.kernel import LinuxKernel
from vfdeck.backend.model import Scores
from vfdeck.backend.player import Step

SEED = os.environ.get("VFDECK_SEED") or secrets.token_hex(4)
OPERATIONS = int(os.environ.get("VFDECK_OPERATIONS", "2000"))
#: So many operations from one fresh state; then everything is set back.
ROUND = 250
#: One operation in so many is foretold: looking at the whole host takes long on an emulated processor.
SHARE = int(os.environ.get("VFDECK_FORETOLD", "3"))
#: How long a difference may be made smaller, seconds.
MINIMISE = 120.0


def this_kernel(name: str) -> LinuxKernel:
    """This machine's kernel, for any program."""
    return LinuxKernel()


@pytest.fixture
def clean() -> Iterator[None]:
    """The hardware as it was found, before and after."""
    reset(LinuxKernel())
    yield
    reset(LinuxKernel())


@pytest.fixture
def native_drivers() -> Iterator[None]:
    """igb and nvme are loaded."""
    for module in ("igb", "nvme"):
        subprocess.run(["modprobe", module], check=True)
    yield
    reset(LinuxKernel())
    for module in ("igb", "nvme"):
        subprocess.run(["modprobe", "-r", module], check=True)


def nothing_bound() -> None:
    """The state to start from: no driver."""


def probed() -> None:
    """The state to start from: the PFs on drivers of their own."""
    kernel = LinuxKernel()
    for bdf in ("0000:01:00.0", "0000:02:00.0", "0000:03:00.0"):
        kernel.write("/sys/bus/pci/drivers_probe", bdf.encode()).wait(10)


def again(steps: list[Step], start: Callable[[], None] = nothing_bound) -> Difference | None:
    """Play steps from a fresh state."""
    reset(LinuxKernel())
    start()
    pair = SideBySide(this_kernel)
    found = play(pair, steps)
    reset(LinuxKernel(), [pair.other])
    return found


def run(name: str, operations: int, start: Callable[[], None] = nothing_bound) -> None:
    """Rounds of random operations; fails with the smallest list of steps that shows a difference."""
    cdev = Path("/dev/iommu").exists()
    scores = Scores()
    for number in range(0, operations, ROUND):
        seed = f"{SEED}-{name}-{number}"
        start()
        pair = SideBySide(this_kernel)
        forecast = pair.forecast = Forecast(LinuxKernel(), pair.other, seed, SHARE, scores)
        found, played = explore(pair, seed, ROUND, cdev=cdev)
        scores = forecast.scores
        reset(LinuxKernel(), [pair.other])
        print(f"seed {seed}: {played} operations; foretold so far: {scores}", flush=True)
        for story in forecast.missed:
            print("  likely, and not so:", *(line.strip() for line in story.splitlines()[:2]), flush=True)
        if found is not None:
            shortest = minimise(found, functools.partial(again, start=start), MINIMISE)
            pytest.fail(f"VFDECK_SEED={SEED}, round {seed}: the answers differ\n{shortest}")
        wrong = "\n".join(forecast.wrong)
        assert not forecast.wrong, f"VFDECK_SEED={SEED}, round {seed}: foretold as exact, and wrong\n{wrong}"


@pytest.mark.usefixtures("clean")
def test_random_operations() -> None:
    run("vfio", OPERATIONS)


@pytest.mark.usefixtures("native_drivers")
def test_random_operations_beside_native_drivers() -> None:
    run("native", OPERATIONS // 4, probed)
