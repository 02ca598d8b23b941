"""Printing what a command has to say."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from vfdeck.app import failure
from vfdeck.app.failure import Failure


def demand() -> None:
    """Raise Failure where there is nowhere to print to."""
    if sys.stdout is None:
        raise Failure(failure.IO, "there is no standard output to print to")


def write(text: str) -> None:
    """Print a text as it is. Raises Failure where there is nowhere to print to."""
    demand()
    sys.stdout.write(text)


def write_lines(lines: Iterable[str]) -> None:
    """Print lines; where the locale has no way to write a character, a question mark stands for it."""
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="replace")
    write("".join(f"{line}\n" for line in lines))
