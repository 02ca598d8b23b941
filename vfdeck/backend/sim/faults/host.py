"""A simulated host on which a fault waits to be met."""

from __future__ import annotations

from vfdeck.backend.player import Player
from vfdeck.backend.sim import faults, lifecycle
from vfdeck.backend.sim.faults import Exercise, Table, practice
from vfdeck.backend.sim.kernel import SimulatedKernel
from vfdeck.backend.sim.machine import Machine
from vfdeck.backend.sim.scenario import FAULT, Scenario, SimulatedHost, reached


class SimulatedHands:
    """What happens to a simulated machine beside its kernel's files; satisfies `practice.Hands`."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def load(self, module: str) -> None:
        """See `Hands.load`."""
        self._machine.load_driver(module)
        for function in list(self._machine.functions.values()):
            if function.driver is None:
                lifecycle.attach(self._machine, function)

    def befall(self, bdf: str, values: Table) -> None:
        """See `Hands.befall`."""
        faults.put(self._machine.functions[bdf], values)


class PracticeHost(SimulatedHost):
    """A host at the moment before its fault is met; what led there has happened, and vfdeck saw it."""

    def __init__(self, exercise: Exercise, seed: int = 0, *, realtime: bool = False) -> None:
        scenario = Scenario(faults.base(exercise), seed)
        super().__init__(scenario, realtime=False, credentials=exercise.credentials, reached=reached(FAULT + exercise.name, seed))
        self.exercise = exercise
        machine = scenario.machine
        faults.equip(machine, exercise.machine)
        self.player = Player(lambda name: SimulatedKernel(machine, name, **exercise.programs.get(name, {})))
        practice.prepare(exercise, self, self.player, SimulatedHands(machine))
        machine.realtime = realtime
        self._realtime = realtime


def load(name: str, seed: int = 0, *, realtime: bool = False) -> PracticeHost:
    """The host of the fault of this name.

    Raises:
        UnknownFault: there is none.
    """
    return PracticeHost(faults.exercise(name), seed, realtime=realtime)
