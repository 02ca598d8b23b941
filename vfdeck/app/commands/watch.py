"""`vfdeck watch`: hosts in plain sentences, a line for each change and nothing ever redrawn: for screen readers, logs and pipes."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable

from vfdeck.app.commands import following, hosts, output
from vfdeck.backend.model import Snapshot
from vfdeck.backend.report import to_text
from vfdeck.widgets.columns import TREE
from vfdeck.widgets.happened import Happening, happenings
from vfdeck.widgets.holder_words import clock

VERSION = 1


def run(options: argparse.Namespace) -> int:
    """Print what there is, then every change, until interrupted."""
    watched = hosts.watched(options)
    try:
        tell(following.followed(watched), as_json=options.json, plain=options.plain)  # never ends by itself
    finally:
        for host in watched:
            host.close()
    return 0


def tell(snapshots: Iterable[Snapshot], *, as_json: bool, plain: bool = False) -> None:
    """Print the first snapshot of each host, and of each later one what is different; `plain`: as it is read out best."""
    known: dict[str, Snapshot] = {}
    for snapshot in snapshots:
        before = known.get(snapshot.host.name)
        known[snapshot.host.name] = snapshot
        if before is None:
            begun = map(spoken, to_text(snapshot)) if plain else to_text(snapshot)
            output.write_lines([] if as_json else [*begun, f"{clock(snapshot.taken)} {snapshot.host.name}: watching"])
        else:
            line = _json if as_json else _line
            output.write_lines(line(snapshot, change) for change in happenings(before, snapshot))
        sys.stdout.flush()


def spoken(line: str) -> str:
    """A line of `to_text` for ears: no columns, no signs that are read as their names."""
    line = re.sub(" {2,}", ", ", line.strip()).replace(" … ", " to ").replace("≥", "at least ")
    return re.sub(r"\b(VF|groups) (\d+)-(\d+)", r"\1 \2 to \3", line)


def _line(snapshot: Snapshot, change: Happening) -> str:
    return f"{clock(snapshot.taken)} {snapshot.host.name}: {change.subject}{': ' if change.subject else ''}{change.text}"


def _json(snapshot: Snapshot, change: Happening) -> str:
    columns = {each.column: [each.before, each.after] for each in change.columns if each.column != TREE}
    value = {
        "version": VERSION,
        "at": snapshot.taken,
        "host": snapshot.host.name,
        "functions": change.functions,
        "text": change.text,
        "columns": columns,
    }
    return json.dumps(value, separators=(",", ":"))
