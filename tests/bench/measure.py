"""Running commands and measuring what they cost."""

from __future__ import annotations

import os
import resource
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Cost:
    """What one run of a command took."""

    wall: float  # seconds
    cpu: float  # seconds, user and system
    memory: int  # greatest resident size, bytes


def run(command: Sequence[str]) -> Cost:
    """Run a command to its end with its output thrown away.

    Raises:
        RuntimeError: it failed; with the end of what it said.
    """
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stderr.close()
    if process.returncode:
        raise RuntimeError(f"{command[0]} exits {process.returncode}: {said[-200:].decode(errors='replace').strip()}")
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def alternate(commands: Sequence[Sequence[str]], rounds: int) -> list[Cost]:
    """Run commands in turns, so that a busy machine is busy for all of them; the median of each figure per command.

    One round more, which is not counted, warms the caches.
    """
    costs = [[run(command) for command in commands] for _ in range(rounds + 1)][1:]
    return [
        Cost(median(c.wall for c in row), median(c.cpu for c in row), max(c.memory for c in row))
        for row in zip(*costs, strict=True)
    ]


def memory_floor() -> int:
    """The least memory that can be told of a child: Linux counts the parent's pages until the child has become its program."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
