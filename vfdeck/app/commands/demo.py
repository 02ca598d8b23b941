"""`vfdeck demo`: the dashboard on simulated hardware."""

from __future__ import annotations

import argparse

from vfdeck.app.commands import dashboard, hosts


def run(options: argparse.Namespace) -> int:
    """Show a simulated host."""
    dashboard.demand_terminal("vfdeck tree --demo")
    return dashboard.show(hosts.simulated(options.scenario, options.seed, realtime=True))
