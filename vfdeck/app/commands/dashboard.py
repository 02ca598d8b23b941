"""`vfdeck` without a command: the dashboard on this host, or on those named."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from vfdeck.app import failure, reaching
from vfdeck.app.commands import hosts, output
from vfdeck.app.failure import Failure
from vfdeck.backend.host import Host
from vfdeck.backend.text import printable
from vfdeck.widgets.nearest import meant_perhaps

if TYPE_CHECKING:
    from vfdeck.app.dashboard.lesson import Lesson


def run(options: argparse.Namespace) -> int:
    """Show the host, the tree below --root, or hosts behind agents, until the person has had enough."""
    demand_terminal("vfdeck tree")
    theme = wanted_theme(options)
    if not reaching.is_asked(options):
        return show([hosts.local(options.root)], theme=theme)
    behind_agents = reaching.made(options)
    reaching.let_sudo_ask(options, behind_agents)
    return show(behind_agents, theme=theme)


def show(shown: Sequence[Host], lesson: Lesson | None = None, *, theme: str = "") -> int:
    """Run the dashboard on hosts, which are closed afterwards, with a story to begin with if there is one."""
    from vfdeck.app.dashboard import run as run_dashboard

    try:
        return run_dashboard(shown, lesson, theme=theme)
    finally:
        left = [job for host in shown for job in host.jobs()]
        for host in shown:
            host.close()
        output.tell_of_waiting(left)


def show_tour(number: int, seed: int, theme: str) -> int:
    """Run the tour from a lesson on, with hosts of its own."""
    from vfdeck.app.dashboard import run as run_dashboard
    from vfdeck.app.dashboard.touring import Tour

    tour = Tour(number, seed, realtime=True)
    try:
        return run_dashboard((), tour=tour, theme=theme)
    finally:
        left = tour.host.jobs()
        tour.close()
        output.tell_of_waiting(left)


def wanted_theme(options: argparse.Namespace) -> str:
    """The theme that was asked for, "" for none. Raises Failure where there is no such theme."""
    from vfdeck.app.dashboard import themes

    wanted: str = options.theme or ""
    if wanted and wanted not in themes.names():
        meant = meant_perhaps(wanted, themes.names())
        raise Failure(failure.USAGE, f"--theme {printable(wanted)}: no such theme; expected {', '.join(themes.names())}{meant}")
    return wanted


def demand_terminal(instead: str) -> None:
    """Raise Failure, naming the command to use `instead`, where no person can see a dashboard and press keys."""
    missing = [
        name
        for name, stream in (("input", sys.stdin), ("output", sys.stdout), ("error", sys.stderr))
        if stream is None or not stream.isatty()
    ]
    if missing:
        reason = f"there is none on standard {', '.join(missing)}"
    elif os.environ.get("TERM", "") == "dumb":
        reason = "TERM is dumb"
    else:
        return
    raise Failure(failure.USAGE, f"the dashboard needs a terminal: {reason}; `{instead}` prints the same facts")
