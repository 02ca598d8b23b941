"""Printing what a command has to say."""

from __future__ import annotations

import json
import os
import re
import sys
import textwrap
from collections.abc import Iterable

from vfdeck.app import failure
from vfdeck.app.failure import Failure
from vfdeck.backend.model import Job
from vfdeck.backend.text import printable

#: Stands for a space at which no line is broken.
_BOUND = "\xa0"


def demand() -> None:
    """Raise Failure where there is nowhere to print to."""
    if sys.stdout is None:
        raise Failure(failure.IO, "there is no standard output to print to")


def width() -> int | None:
    """The terminal's width in cells; None where standard output is none, so that nothing is cut from what goes to a file."""
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or None
    except (OSError, ValueError, AttributeError):
        return None


def fitted(line: str, margin: str = "    ") -> list[str]:
    """A line that goes on below itself where the terminal is too narrow for it: at words, and never within what stands between two
    or more spaces unless that alone is too long.
    """
    room = width()
    if room is None or len(line) <= room:
        return [line]
    parts = re.sub(r"(?<=\S) (?=\S)", _BOUND, line)
    kept = textwrap.wrap(parts, room, subsequent_indent=margin, break_long_words=False, break_on_hyphens=False)
    if any(len(one) > room for one in kept):
        kept = textwrap.wrap(line, room, subsequent_indent=margin, break_long_words=False, break_on_hyphens=False)
    return [one.replace(_BOUND, " ") for one in kept]


def write(text: str) -> None:
    """Print JSON, in ASCII whatever the locale can write. Raises Failure where there is nowhere to print to."""
    demand()
    sys.stdout.write(re.sub(r"[^\x00-\x7f]", lambda found: json.dumps(found[0], ensure_ascii=True)[1:-1], text))


def write_lines(lines: Iterable[str]) -> None:
    """Print lines; where the locale has no way to write a character, a question mark stands for it."""
    demand()
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="replace")
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def write_each(parts: Iterable[str], several: bool) -> None:
    """Print what was said of each host, as it comes, as JSON: one host's object as it is, those of several hosts in an array."""
    if not several:
        write("".join(parts))
        return
    write("[")
    for number, part in enumerate(parts):
        write(f"{',' if number else ''}\n{part.rstrip()}")
    write("\n]\n")


def write_blocks(blocks: Iterable[Iterable[str]]) -> None:
    """Print what was said of each host as lines, as it comes, with an empty line between two hosts."""
    for number, block in enumerate(blocks):
        write_lines(("", *block) if number else block)


def tell_of_waiting(jobs: Iterable[Job]) -> None:
    """Say on standard error what goes on in the kernel after vfdeck has ended."""
    for job in jobs:
        print(f"vfdeck: {printable(job.title)}: still waits in the kernel ({job.step})", file=sys.stderr)
        print(
            "        That step goes on without vfdeck and cannot be taken back; steps after it will not be done.", file=sys.stderr
        )
