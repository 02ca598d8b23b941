"""Faults on a real kernel: those of `vfdeck.backend.sim.faults` that need nothing but this hardware, met by the host layer.

The first entry that the diagnosis names has to be the true cause, as on the simulated kernel.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

from tests.kernel.differential import reset
from tests.kernel.elsewhere import Elsewhere, start
from tests.sim.fault_table import missed_on
from vfdeck.backend.facts import kernel_has
from vfdeck.backend.kernel import Kernel
from vfdeck.backend.linux.kernel import LinuxKernel
from vfdeck.backend.local_host import LocalHost
from vfdeck.backend.player import Player
from vfdeck.backend.sim import faults
from vfdeck.backend.sim.faults import practice

RELEASE = os.uname().release
NODES = os.path.exists("/dev/iommu")  # Debian's kernels have neither this nor functions' own nodes

REAL = [name for name in faults.names() if faults.exercise(name).real]


class Hands:
    """What happens to this machine beside its kernel's files; satisfies `practice.Hands`."""

    def __init__(self) -> None:
        self.loaded: list[str] = []

    def load(self, module: str) -> None:
        """See `practice.Hands.load`."""
        if not os.path.isdir(f"/sys/bus/pci/drivers/{module}"):
            if subprocess.run(["modprobe", module], capture_output=True).returncode != 0:
                pytest.skip(f"this kernel has no module {module}")
            self.loaded.append(module)

    def befall(self, bdf: str, values: faults.Table) -> None:
        """See `practice.Hands.befall`."""
        raise AssertionError("nothing but programs can be at fault on a real machine")

    def unload(self) -> None:
        """Remove the modules again."""
        for module in reversed(self.loaded):
            subprocess.run(["modprobe", "-r", module], check=True)


class Others:
    """The other programs of a fault: the first one is whoever writes to files, and is nobody's."""

    def __init__(self) -> None:
        self._started: list[Elsewhere] = []

    def __call__(self, name: str) -> Kernel:
        if name == "recorder":
            return LinuxKernel()
        program = start(name)
        assert isinstance(program, Elsewhere)
        self._started.append(program)
        return program

    def end(self) -> None:
        """End them all."""
        for program in self._started:
            program.end()


@pytest.fixture
def hands() -> Iterator[Hands]:
    """The hardware as it was found, before and after."""
    reset(LinuxKernel())
    hands = Hands()
    yield hands
    reset(LinuxKernel())
    hands.unload()


def fits(fault: faults.Exercise) -> bool:
    """Whether this kernel can show a fault."""
    switches = all(kernel_has(RELEASE, switch) for switch in fault.has)
    return switches and not any(kernel_has(RELEASE, switch) for switch in fault.lacks)


@pytest.mark.parametrize("name", REAL)
def test_the_diagnosis_names_the_entry_first(name: str, hands: Hands) -> None:
    fault = faults.exercise(name)
    if not fits(fault):
        pytest.skip(f"Linux {RELEASE} cannot show {name}")
    if "cdev" in fault.has and not NODES:
        pytest.skip("this kernel has no nodes of functions")
    others = Others()
    host, player = LocalHost(LinuxKernel()), Player(others)
    try:
        practice.prepare(fault, host, player, hands)
        assert missed_on(host, fault) == ""
    finally:
        host.close()
        practice.take_back(fault, player)
        others.end()
