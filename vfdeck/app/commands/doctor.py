"""`vfdeck doctor`: what is the matter with this host?"""

from __future__ import annotations

import argparse

from vfdeck.app.commands import hosts, output
from vfdeck.backend.checks import Severity, WholeHost

#: The exit status for the worst finding: notes are no reason to alarm anybody.
STATUS = {Severity.OK: 0, Severity.NOTE: 0, Severity.WARNING: 1, Severity.ERROR: 2}


def run(options: argparse.Namespace) -> int:
    """Print every finding, worst first; the status is 0 without any above a note, 1 with warnings, 2 with errors."""
    host = hosts.local(options.root) if options.demo is None else hosts.simulated(options.demo, options.seed)
    try:
        snapshot = host.snapshot()
        report = host.check(WholeHost(), snapshot)
    finally:
        host.close()
    from vfdeck.app.commands import ways
    from vfdeck.backend.checks import render

    if options.json:
        output.write(render.to_json(report, snapshot))
    else:
        output.write_lines(render.findings_text(report, snapshot, ways=lambda check: ways.of_check(check, snapshot)))
    return STATUS[report.severity]
