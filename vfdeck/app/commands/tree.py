"""`vfdeck tree`: everything known of a host, or of all hosts of a scenario, as text or JSON."""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from vfdeck.app import failure
from vfdeck.app.commands import hosts, output
from vfdeck.app.failure import Failure
from vfdeck.backend.text import printable

if TYPE_CHECKING:
    from vfdeck.backend.host import Host
    from vfdeck.backend.model import Snapshot
    from vfdeck.backend.report import Keep
    from vfdeck.widgets.filtering import Query


def run(options: argparse.Namespace) -> int:
    """Look once and print; of several hosts those on which something matches. Problems are printed, so they do not make it fail."""
    query = _query(options.filter) if options.filter is not None else None
    looked = hosts.looked_at(options)
    output.demand()
    from vfdeck.backend import report

    several = hosts.are_several(options, looked)
    if not several:
        gc.disable()  # nothing made here is thrown away before the process ends
    shown = _shown(looked, query, several)
    if options.json:
        output.write_each((report.to_json(snapshot, keep) for snapshot, keep in shown), several)
    else:
        output.write_blocks(report.to_text(snapshot, output.width(), every=options.all, keep=keep) for snapshot, keep in shown)
    return 0


def _shown(looked: Sequence[Host], query: Query | None, several: bool) -> Iterator[tuple[Snapshot, Keep | None]]:
    """One host after the other, each told of before the next is looked at; of several, those on which something matches."""
    none = True
    for host in looked:
        try:
            snapshot = hosts.look(host)
        finally:
            host.close()
        keep = _keep(query, snapshot) if query is not None else None
        matches = _matches(snapshot, keep)
        none = none and not matches
        if matches or not several:
            yield snapshot, keep
    if none and query is not None:
        print(f"vfdeck: nothing matches {printable(query.text)}", file=sys.stderr)


def _matches(snapshot: Snapshot, keep: Keep | None) -> bool:
    return keep is None or any(map(keep, snapshot.functions.values()))


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
