"""`vfdeck history`: what was done to a host, by whom, and what came of it."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from vfdeck.app import failure, reaching
from vfdeck.app.commands import hosts, outcomes, output
from vfdeck.app.failure import Failure
from vfdeck.backend.errands import silence
from vfdeck.backend.history import Done, History, history, read
from vfdeck.backend.journal import NOTE_PATIENCE
from vfdeck.backend.memory import folder_of
from vfdeck.backend.state_folder import StateFolder
from vfdeck.backend.text import printable

VERSION = 1
#: Exit statuses: something is told; nothing was done that fits.
SOME, NONE = 0, 1


@dataclass(frozen=True)
class _Past:
    """What was done to a host, and the folder in which that is written down; "": it is not."""

    host: str
    folder: str
    found: History
    cut: bool = False  # older changes are left out


def run(options: argparse.Namespace) -> int:
    """Print. Raises Failure: 64 for what is no address or number, 69, 74 or 77 where no trail can be read."""
    asked = {hosts.address(text) for text in options.bdfs}
    if options.last is not None and options.last < 1:
        raise Failure(failure.USAGE, f"--last {options.last}: expected a number above 0")
    pasts = _there(options) if reaching.is_asked(options) else [_here()]
    several = len(options.hosts) > 1
    done = [(past, one) for past in pasts for one in past.found.changes]
    fitting = [(past, one) for past, one in done if (not asked or one.function in asked) and not (options.failed and one.ok)]
    if several:
        fitting.sort(key=lambda pair: pair[1].time)
    told = fitting[-options.last :] if options.last else fitting
    if options.json:
        output.write_each((_report(past, [one for where, one in told if where is past]) for past in pasts), several)
    else:
        output.write_lines(_lines(told, several))
        for past in pasts:
            output.write_lines(_notes(past, any(where is past for where, _ in fitting), f"{past.host}: " if several else ""))
    return SOME if told else NONE


def _here() -> _Past:
    folder = folder_of(os.environ, os.geteuid())
    if folder is None:
        raise Failure(failure.NO_INPUT, "there is no home directory, and so no history; expected $HOME or $XDG_STATE_HOME")
    return _Past(os.uname().nodename, printable(folder.path), _read(folder))


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


def _there(options: argparse.Namespace) -> list[_Past]:
    """Of hosts behind agents. One that cannot tell is told of on standard error; raises Failure where none can."""
    found: list[_Past] = []
    why: list[str] = []
    for host in reaching.connected(options):
        trail = host.trail()
        host.close()
        if trail.problem:
            why.append(f"{host.name}: its history cannot be read: {f'{trail.folder}: ' if trail.folder else ''}{trail.problem}")
        else:
            found.append(_Past(host.name, trail.folder, history(line.encode() for line in trail.lines), trail.cut))
    if not found:
        raise Failure(failure.UNAVAILABLE, why[-1])
    for line in why:
        print(f"vfdeck: {line}", file=sys.stderr, flush=True)
    options.missing = options.missing or bool(why)
    return found


def _lines(told: list[tuple[_Past, Done]], several: bool) -> Iterator[str]:
    width = max((len(past.host) for past, _ in told), default=0)
    for past, one in told:
        at = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(one.time))
        where = f"{past.host.ljust(width)}  " if several else ""
        more = f" ({one.difference})" if one.difference else ""
        yield from outcomes.wrapped(f"{one.function} {one.what}: {one.result}{more}", f"{at}  {where}{one.user or '?'}  ")


def _notes(past: _Past, fits: bool, whose: str) -> Iterator[str]:
    """What is not told of a host, and why."""
    if not past.folder:
        yield f"{whose}nothing is written down of what is done there"
    elif not fits:
        count = len(past.found.changes)
        yield f"{whose}nothing that fits: {'1 change is' if count == 1 else f'{count} changes are'} written down in {past.folder}"
    if past.cut:
        yield f"{whose}older changes are not told; `vfdeck history` on the host itself has them, in {past.folder}"
    if past.found.damaged:
        lines = "1 line is" if past.found.damaged == 1 else f"{past.found.damaged} lines are"
        yield f"{whose}not told: {lines} damaged in {past.folder}"


def _report(past: _Past, told: list[Done]) -> str:
    about = {"host": past.host, "folder": past.folder, "cut": past.cut, "damaged": past.found.damaged}
    return json.dumps({"version": VERSION, **about, "changes": [*map(_json, told)]}, indent=1) + "\n"


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
