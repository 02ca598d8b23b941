"""`vfdeck record`: do operations and write a recording of them, with this kernel's answers, for `vfdeck replay`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from typing import TextIO

from vfdeck.app import failure
from vfdeck.app.commands import hosts
from vfdeck.app.failure import Failure
from vfdeck.app.files import new_file
from vfdeck.backend.player import BROKEN, Player, Step, fault
from vfdeck.backend.record import record
from vfdeck.backend.text import printable


def run(options: argparse.Namespace) -> int:
    """Read steps as JSON lines, do each, write it with its answer. The file is made anew, for its owner's eyes: it holds tokens.

    Raises Failure: 65 for a broken step (what came before it has been done and written), 66 where the steps cannot be read, 73
    where the recording exists or cannot be made.
    """
    new_kernel = hosts.kernels(options.demo, options.seed)
    with _steps(options.steps) as lines, new_file(options.out) as out:
        player = Player(new_kernel)
        steps = _Steps(options.steps, lines)
        try:
            count = record(new_kernel("recorder"), player, steps, out)
        except BROKEN as error:
            raise steps.broken(f"broken step: {fault(error)}") from None
        finally:
            player.close_all()
    print(f"{count} steps recorded in {printable(options.out)}")
    return 0


def _steps(path: str) -> TextIO:
    if path == "-":
        return os.fdopen(os.dup(sys.stdin.fileno()), encoding="utf-8")
    try:
        return open(path, encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise Failure(failure.NO_INPUT, f"{printable(path)}: {error.strerror}; expected a file of JSON lines") from None


class _Steps:
    """The steps of a file, one a line; `number` is the line that was read last.

    A host line (that of another recording) and answers that stand there already are left out.
    """

    def __init__(self, path: str, lines: TextIO) -> None:
        self.path, self.lines, self.number = "standard input" if path == "-" else printable(path), lines, 0

    def __iter__(self) -> Iterator[Step]:
        for line in self.lines:
            self.number += 1
            if not line.strip():
                continue
            try:
                step = json.loads(line)
            except ValueError:
                step = None
            if not isinstance(step, dict) or "op" not in step:
                raise self.broken('expected a JSON object with "op"')
            if step["op"] != "host":
                yield {key: value for key, value in step.items() if key not in ("result", "stage", "value", "log")}

    def broken(self, what: str) -> Failure:
        """The fault of the line that was read last."""
        return Failure(failure.DATA, f"{self.path}:{self.number}: {what}")
