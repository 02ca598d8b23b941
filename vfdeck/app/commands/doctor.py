"""`vfdeck doctor`: what is the matter with this host, or with those of a scenario?"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from vfdeck.app.commands import hosts, output
from vfdeck.backend.checks import Report, Severity, WholeHost
from vfdeck.backend.model import Snapshot

#: The exit status for the worst finding: notes are no reason to alarm anybody.
STATUS = {Severity.OK: 0, Severity.NOTE: 0, Severity.WARNING: 1, Severity.ERROR: 2}


def run(options: argparse.Namespace) -> int:
    """Print every finding, worst first; the status is 0 without any above a note, 1 with warnings, 2 with errors, on any host."""
    from vfdeck.backend.checks import render

    looked, status = hosts.looked_at(options), 0

    def found() -> Iterator[tuple[Snapshot, Report]]:
        """One host after the other; each is told of before the next is looked at."""
        nonlocal status
        for host in looked:
            try:
                snapshot = hosts.look(host)
                report = host.check(WholeHost(), snapshot)
            finally:
                host.close()
            status = max(status, STATUS[report.severity])
            yield snapshot, report

    if options.json:
        output.write_each((render.to_json(report, snapshot) for snapshot, report in found()), hosts.are_several(options, looked))
    else:
        output.write_blocks(_lines(snapshot, report) for snapshot, report in found())
    return status


def _lines(snapshot: Snapshot, report: Report) -> Iterator[str]:
    from vfdeck.app.commands import ways
    from vfdeck.backend.checks import render

    return render.findings_text(report, snapshot, ways=lambda check: ways.of_check(check, snapshot))
