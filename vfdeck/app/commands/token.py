"""`vfdeck token scan`: which programs carry a VF token where others can read it."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Iterator

from vfdeck.app.commands import hosts, output
from vfdeck.backend.leaks import COMMAND_LINE, Leak, Leaks, leaks

VERSION = 1
#: Exit statuses: none was found; one was; none was seen, but not everything could be looked at (EX_NOPERM).
NONE, FOUND, NOT_KNOWN = 0, 1, 77


def run(options: argparse.Namespace) -> int:
    """Look at every process once and print."""
    host = hosts.local(options.root) if options.demo is None else hosts.simulated(options.demo, options.seed)
    try:
        seen = leaks(host.kernel)
    finally:
        host.close()
    if options.json:
        entries = [
            {key: value or None if key in ("vm", "container") else value for key, value in entry.items()}
            for entry in _entries(seen)
        ]
        output.write(json.dumps({"version": VERSION, "host": host.name, "unseen": seen.unseen, "leaks": entries}, indent=1) + "\n")
    else:
        output.write_lines(_lines(seen))
    return FOUND if seen.found else NOT_KNOWN if seen.unseen else NONE


def _entries(seen: Leaks) -> Iterator[dict[str, object]]:
    return (dataclasses.asdict(leak) for leak in seen.found)


def _lines(seen: Leaks) -> Iterator[str]:
    for leak in seen.found:
        yield _line(leak)
    if not seen.found:
        yield "no VF token in any command line or environment that could be read"
    else:
        yield "Rotate what should be secret, and pass it in another way: whoever runs programs here can read command lines."
    if seen.unseen:
        yield f"not looked at: {seen.unseen} {'process' if seen.unseen == 1 else 'processes'}; there may be more"


def _line(leak: Leak) -> str:
    readers = "everybody on this host" if leak.place == COMMAND_LINE else "its user and root"
    where = "".join(f", {part}" for part in (f"VM {leak.vm}" if leak.vm else "", leak.container) if part)
    known = "  WELL KNOWN: it stands in public documentation" if leak.well_known else ""
    return f"#{leak.fingerprint}  {leak.program} ({leak.pid}){where}  in its {leak.place}, for {readers} to read{known}"
