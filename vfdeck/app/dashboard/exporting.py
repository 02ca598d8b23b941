"""What can be written to a file: functions, the time line, what was done; as JSON, as lines of JSON, as a script.

No Textual in here, and no token in what is written: snapshots have fingerprints, steps have none.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import PurePath
from typing import Any

from vfdeck.app.files import write_new
from vfdeck.backend import report
from vfdeck.backend.model import Function, Snapshot
from vfdeck.widgets.event_facts import Entry
from vfdeck.widgets.rows import RowId
from vfdeck.widgets.shell_facts import Ran, command, script
from vfdeck.widgets.state import plural

VERSION = 1
JSON, LINES, SHELL = ".json", ".jsonl", ".sh"


@dataclass(frozen=True, slots=True)
class Offer:
    """Something to be written: how it is called in the dialog and in file names, and what each ending makes of it.

    `make` answers the whole content; nothing of the screen is touched, so any thread may ask for it. `none`: why it is not there.
    """

    id: str
    title: str
    name: str
    make: dict[str, Callable[[], str]]
    none: str = ""

    def fault(self, path: str) -> str:
        """What is wrong with the name of a file, in a line; "" where nothing is that can be seen of it."""
        if self.none:
            return self.none
        if not path.strip():
            return "expected the name of a new file"
        ending = PurePath(path).suffix
        if ending not in self.make:
            wanted = " or ".join(self.make)
            return f"expected a name that ends in {wanted}; this one ends in {ending or 'nothing'}"
        return ""

    def write(self, path: str) -> str:
        """Write it to a new file, and say so. Raises Failure where that cannot be."""
        text = self.make[PurePath(path).suffix]()
        write_new(path, text)
        return f"{plural(text.count(chr(10)), 'line')} written to {path}, for its owner's eyes"


def offers(
    snapshots: Sequence[Snapshot],
    host: str,
    selected: frozenset[RowId],
    marked: frozenset[RowId],
    entries: Iterable[Entry],
    ran: Sequence[Ran],
) -> tuple[Offer, ...]:
    """What can be written now. `selected` is what the cursor stands on; empty: it stands on `host`."""
    here = [snapshot for snapshot in snapshots if snapshot.host.name == host]
    number = sum(len(snapshot.functions) for snapshot in snapshots)
    title = f"the selected: {plural(len(selected), 'function')}" if selected else f"all functions of {host}"
    return (
        functions("selected", title, here, selected or None),
        functions("marked", f"the marked: {plural(len(marked), 'function')}" if marked else "the marked", snapshots, marked),
        functions("all", f"all {plural(number, 'function')}", snapshots),
        events(sorted(entries, key=lambda entry: entry.time)),
        done(ran),
    )


# -- functions --------------------------------------------------------------------------------------------------------
def functions(id: str, title: str, snapshots: Sequence[Snapshot], wanted: frozenset[RowId] | None = None) -> Offer:
    """Functions of some hosts: those that are `wanted`, or all."""

    def parts() -> Iterator[tuple[Snapshot, report.Keep | None]]:
        for snapshot in snapshots:
            names = frozenset(row_id.bdf for row_id in wanted or () if row_id.host == snapshot.host.name)
            if wanted is None:
                yield snapshot, None
            elif names:
                yield snapshot, partial(_is_among, names)

    def as_json() -> str:
        found = [report.to_json(snapshot, keep) for snapshot, keep in parts()]
        return found[0] if len(found) == 1 else f"[\n{','.join(found)}]\n"

    def as_lines() -> str:
        return "".join(report.to_lines(snapshot, keep) for snapshot, keep in parts())

    none = "" if wanted is None or wanted else "nothing is marked"
    return Offer(id, title, "functions", {JSON: as_json, LINES: as_lines}, none)


def _is_among(names: frozenset[str], function: Function) -> bool:
    return function.bdf in names


# -- what happened ----------------------------------------------------------------------------------------------------
def events(entries: Sequence[Entry]) -> Offer:
    """The time line."""

    def values() -> list[dict[str, Any]]:
        return [
            {"version": VERSION, "time": e.time, "host": e.host, "kind": e.kind.value, "functions": list(e.bdfs), "text": e.text}
            for e in entries
        ]

    title = f"the time line of all hosts ({plural(len(entries), 'event')})"
    return Offer("events", title, "events", _of(values), "" if entries else "nothing has happened yet")


def done(ran: Sequence[Ran]) -> Offer:
    """What was changed in this run."""

    def values() -> list[dict[str, Any]]:
        return [_change(each) for each in ran]

    def as_script() -> str:
        return script(ran, "What was done with vfdeck; what was refused or did not follow is a comment", time.time())

    title = f"what was done here ({plural(len(ran), 'change')})"
    return Offer("shell", title, "changes", {SHELL: as_script, **_of(values)}, "" if ran else "nothing was changed yet")


def _change(ran: Ran) -> dict[str, Any]:
    steps = [{"text": step.text, "shell": command(step)} for step in ran.taken]
    outcome = ran.outcome
    return {
        "version": VERSION,
        "time": ran.when,
        "host": ran.host,
        "title": ran.title,
        "steps": steps,
        "done": list(outcome.done) if outcome is not None else None,
        "attempted": outcome.attempted if outcome is not None else None,
        "answer": outcome.answer if outcome is not None else None,
        "said": ran.said[0],
    }


def _of(values: Callable[[], Iterable[dict[str, Any]]]) -> dict[str, Callable[[], str]]:
    """Values as JSON: one array, or an object to a line."""
    encode = json.JSONEncoder(separators=(",", ":")).encode
    return {
        JSON: lambda: "[\n" + ",\n".join(map(encode, values())) + "\n]\n",
        LINES: lambda: "".join(f"{encode(value)}\n" for value in values()),
    }
