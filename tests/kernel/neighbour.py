"""Another program that holds a function, as a virtual machine or DPDK would: a process of its own with a name of its own.

    echo TOKEN | python -m tests.kernel.neighbour NAME BDF

It opens the function with the token by the group path, says `open` or the refusal, and ends with its standard input.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]


class Neighbour:
    """Such a program, seen from the test that has started it."""

    def __init__(self, name: str, bdf: str, token: str) -> None:
        command = [sys.executable, "-m", "tests.kernel.neighbour", name, bdf]
        self._process = subprocess.Popen(command, cwd=REPO, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{token}\n")
        self.answer = self._process.stdout.readline().strip()

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def end(self) -> None:
        """Let it close and exit."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()


@contextmanager
def neighbour(name: str, bdf: str, token: str) -> Iterator[Neighbour]:
    """A program that holds a function, ended at the latest with the block."""
    program = Neighbour(name, bdf, token)
    try:
        yield program
    finally:
        program.end()


def main(name: str, bdf: str) -> None:
    """Open, say so, hold."""
    from vfdeck.backend.kernel import Refusal
    from vfdeck.backend.linux.kernel import LinuxKernel
    from vfdeck.backend.token_rules import format_argument
    from vfdeck.backend.vfio import Program

    Path("/proc/self/comm").write_text(name, encoding="ascii")
    token = sys.stdin.readline().strip()
    try:
        Program(LinuxKernel()).open_by_group(bdf, format_argument(bdf, token))
    except Refusal as refusal:
        print(refusal, flush=True)
        return
    print("open", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
