"""`vfdeck tree`: everything known of a host, as text or JSON."""

from __future__ import annotations

import argparse
import gc
import sys
from typing import TYPE_CHECKING

from vfdeck.app import failure
from vfdeck.app.commands import hosts, output
from vfdeck.app.failure import Failure
from vfdeck.backend.text import printable

if TYPE_CHECKING:
    from vfdeck.backend.model import Snapshot
    from vfdeck.backend.report import Keep
    from vfdeck.widgets.filtering import Query


def run(options: argparse.Namespace) -> int:
    """Look once and print. Problems are part of what is printed, so they do not make it fail."""
    gc.disable()  # nothing made here is thrown away before the process ends
    query = _query(options.filter) if options.filter is not None else None
    host = hosts.local(options.root) if options.demo is None else hosts.simulated(options.demo, options.seed)
    try:
        snapshot = host.snapshot()
    finally:
        host.close()
    output.demand()
    from vfdeck.backend import report

    keep = _keep(query, snapshot) if query is not None else None
    if keep is not None and not any(map(keep, snapshot.functions.values())):
        print(f"vfdeck: nothing matches {printable(options.filter)}", file=sys.stderr)
    if options.json:
        output.write(report.to_json(snapshot, keep))
    else:
        output.write_lines(report.to_text(snapshot, output.width(), every=options.all, keep=keep))
    return 0


def _query(text: str) -> Query:
    """What `--filter` asks for, in the language of the dashboard's filter."""
    from vfdeck.widgets.filtering import FilterFault, parse

    try:
        return parse(printable(text))
    except FilterFault as fault:
        raise Failure(failure.USAGE, str(fault)) from None


def _keep(query: Query, snapshot: Snapshot) -> Keep:
    """Whether a function of the snapshot is asked for."""
    from vfdeck.widgets.state import index_of

    index = index_of(snapshot)
    return lambda function: query.test(function, index)
