"""`vfdeck history`: what was done to this host, by whom, and what came of it."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator
from typing import Any

from vfdeck.app import failure
from vfdeck.app.commands import hosts, outcomes, output
from vfdeck.app.failure import Failure
from vfdeck.backend.errands import silence
from vfdeck.backend.history import Done, History, read
from vfdeck.backend.journal import NOTE_PATIENCE
from vfdeck.backend.memory import folder_of
from vfdeck.backend.state_folder import StateFolder
from vfdeck.backend.text import printable

VERSION = 1
#: Exit statuses: something is told; nothing was done that fits.
SOME, NONE = 0, 1


def run(options: argparse.Namespace) -> int:
    """Print. Raises Failure: 64 for what is no address or number, 74 or 77 where the trail cannot be read."""
    asked = {hosts.address(text) for text in options.bdfs}
    if options.last is not None and options.last < 1:
        raise Failure(failure.USAGE, f"--last {options.last}: expected a number above 0")
    folder = folder_of(os.environ, os.geteuid())
    if folder is None:
        raise Failure(failure.NO_INPUT, "there is no home directory, and so no history; expected $HOME or $XDG_STATE_HOME")
    found, place = _read(folder), folder.path
    fitting = [one for one in found.changes if (not asked or one.function in asked) and not (options.failed and one.ok)]
    told = fitting[-options.last :] if options.last else fitting
    if options.json:
        report = {"version": VERSION, "folder": printable(place), "damaged": found.damaged, "changes": [*map(_json, told)]}
        output.write(json.dumps(report, indent=1) + "\n")
    else:
        output.write_lines(_lines(told, found, printable(place)))
    return SOME if told else NONE


def _read(folder: StateFolder) -> History:
    found: list[History] = []
    try:
        errand = folder.errands.send(lambda: found.append(read(folder)))
        if folder.errands.wait(errand, NOTE_PATIENCE):
            return found[0]
    except OSError as error:
        status = failure.NO_PERMISSION if isinstance(error, PermissionError) else failure.IO
        raise Failure(status, f"{printable(folder.path)}: {printable(error.strerror or str(error))}") from None
    raise Failure(failure.IO, f"{printable(folder.path)} {silence(folder.errands.late())}")


def _lines(told: list[Done], found: History, place: str) -> Iterator[str]:
    for one in told:
        at = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(one.time))
        more = f" ({one.difference})" if one.difference else ""
        yield from outcomes.wrapped(f"{one.function} {one.what}: {one.result}{more}", f"{at}  {one.user or '?'}  ")
    if not told:
        yield f"nothing that fits: {len(found.changes)} changes are written down in {place}"
    if found.damaged:
        lines = "1 line is" if found.damaged == 1 else f"{found.damaged} lines are"
        yield f"not told: {lines} damaged in {place}"


def _json(one: Done) -> dict[str, Any]:
    return {
        "id": one.id,
        "key": one.key or None,
        "time": one.time,
        "ended": one.ended,
        "user": one.user,
        "host": one.host,
        "pid": one.pid,
        "function": one.function,
        "change": one.change,
        "before": one.before,
        "after": one.after,
        "result": one.result,
        "ok": one.ok,
        "outcome": one.outcome,
    }
