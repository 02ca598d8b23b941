"""`vfdeck demo`: the dashboard on simulated hardware, as it is on an ordinary day or with a fault to practise on."""

from __future__ import annotations

import argparse

from vfdeck.app import failure
from vfdeck.app.commands import dashboard, hosts
from vfdeck.app.failure import Failure
from vfdeck.backend.text import printable


def run(options: argparse.Namespace) -> int:
    """Show simulated hosts, or list the faults."""
    if options.still and (options.fault is not None or options.tour is not None):
        raise Failure(failure.USAGE, "--still goes with --scenario: with --fault and --tour nothing happens by itself anyway")
    if options.fault == "list":
        return _list_faults()
    if options.fault is not None:
        return _show_fault(options.fault, options.seed, dashboard.wanted_theme(options))
    theme = dashboard.wanted_theme(options)
    if options.tour is not None:
        return _give_tour(options.tour, options.seed, theme)
    dashboard.demand_terminal("vfdeck tree --demo")
    return dashboard.show(hosts.simulated_fleet(options.scenario, options.seed, still=options.still), theme=theme)


def _list_faults() -> int:
    """A line for each fault."""
    from vfdeck.backend.sim import faults

    for name in faults.names():
        print(f"{name:<8} {faults.exercise(name).story}")
    return 0


def _show_fault(name: str, seed: int, theme: str) -> int:
    """The host on which a fault waits, with its story told first. Raises Failure where there is no such fault."""
    from vfdeck.backend.sim import faults
    from vfdeck.backend.sim.scenario import FAULT

    try:
        fault = faults.exercise(name)
    except faults.UnknownFault as unknown:
        raise Failure(failure.USAGE, printable(str(unknown))) from None
    dashboard.demand_terminal(f"vfdeck tree --demo {FAULT}{fault.name}")
    host = hosts.simulated(FAULT + fault.name, seed, realtime=True)
    from vfdeck.app.dashboard.lesson import Lesson

    return dashboard.show([host], Lesson.of(fault), theme=theme)


def _give_tour(number: int, seed: int, theme: str) -> int:
    """The tour, from a lesson on. Raises Failure where there is no such lesson."""
    from vfdeck.app.tour import lessons

    total = len(lessons().all)
    if not 1 <= number <= total:
        raise Failure(failure.USAGE, f"--tour {number}: there is no such lesson; expected 1 to {total}")
    dashboard.demand_terminal("vfdeck tree --demo")
    return dashboard.show_tour(number, seed, theme)
