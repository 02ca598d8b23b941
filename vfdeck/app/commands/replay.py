"""`vfdeck replay`: play recordings of real kernels against the simulated one and print every difference."""

from __future__ import annotations

import argparse

from vfdeck.app import failure
from vfdeck.app.cli import complain
from vfdeck.backend.replay import Replay, TraceError, replay_file
from vfdeck.backend.text import printable


def run(options: argparse.Namespace) -> int:
    """Replay each file. A broken one is named and the others still played.

    Returns 0 when nothing differs, 1 when something does; 65 where a recording is broken and 66 where one cannot be read.
    """
    steps = differing = trouble = 0
    for path in options.traces:
        name = printable(path)
        outcome: Replay | None = None
        try:
            outcome = replay_file(path)
        except TraceError as error:
            trouble = complain(failure.DATA, f"{name}:{error.line}: {error.what}; the lines after it were not played")
            outcome = error.before
        except OSError as error:
            trouble = complain(failure.NO_INPUT, f"{name}: {error.strerror or error}; expected a file of JSON lines")
        if outcome is not None:
            steps += outcome.steps
            differing += outcome.differing
            for difference in outcome.differences:
                print(f"{name}:{difference.line}: {difference.what}")
    print(f"{steps} steps, {differing} differ")
    return trouble or (failure.DIFFERENT if differing else 0)
