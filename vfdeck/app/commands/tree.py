"""`vfdeck tree`: everything known of a host, as text or JSON."""

from __future__ import annotations

import argparse
import gc
import os
import sys

from vfdeck.app import failure
from vfdeck.app.commands import hosts
from vfdeck.app.failure import Failure


def run(options: argparse.Namespace) -> int:
    """Look once and print. Problems are part of what is printed, so they do not make it fail."""
    gc.disable()  # nothing made here is thrown away before the process ends
    host = hosts.local(options.root) if options.demo is None else hosts.simulated(options.demo, options.seed)
    try:
        snapshot = host.snapshot()
    finally:
        host.close()
    if sys.stdout is None:
        raise Failure(failure.IO, "there is no standard output to print to")
    from vfdeck.backend import report

    if options.json:
        sys.stdout.write(report.to_json(snapshot))
    else:
        _lenient()
        sys.stdout.writelines(f"{line}\n" for line in report.to_text(snapshot, _width(), every=options.all))
    return 0


def _width() -> int | None:
    """The terminal's width in cells; None where standard output is none, so that nothing is cut from what goes to a file."""
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or None
    except (OSError, ValueError):
        return None


def _lenient() -> None:
    """Where the locale has no way to write a character, a question mark stands for it."""
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="replace")
