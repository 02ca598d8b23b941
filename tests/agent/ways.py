"""Ways to agents for tests: a child process that serves simulated hardware stands for ssh and what is at its other end."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

from vfdeck.backend.agent import push
from vfdeck.backend.agent.transports import Ssh

#: Takes what is sent, as what is pushed does, and becomes the agent of a simulated host.
_AGENT = (
    "import os,sys\n"
    "os.write(1, sys.argv[2].encode() + b'\\n')\n"
    "n = int(sys.argv[1])\n"
    "while n: n -= len(os.read(0, n)) or sys.exit(76)\n"
    "os.execv(sys.executable, [sys.executable, '-m', 'vfdeck', 'agent', '--demo', *sys.argv[3:]])\n"
)


class Demo(Ssh):
    """Leads to an agent with a scenario, once a shell script has run. `tries` are counted in a file."""

    def __init__(self, folder: Path, before: str = "", scenario: str = "default", options: str = "") -> None:
        super().__init__("hv-1")
        self.before = before
        self._arguments = [scenario, *options.split()]
        self._counted = folder / "tries"

    @property
    def tries(self) -> int:
        """How often a connection was begun."""
        return len(self._counted.read_text().splitlines()) if self._counted.exists() else 0

    def command(self, packed: push.Packed, marker: str) -> list[str]:
        """See `Way.command`."""
        run = shlex.join([sys.executable, "-c", _AGENT, str(len(packed.data)), marker, *self._arguments])
        return ["/bin/sh", "-c", f"echo tried >> {shlex.quote(str(self._counted))}\n{self.before}\nexec {run}"]


class Gate:
    """Keeps a way from going on until it is opened. `wait` is its line of shell."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "gate"
        os.mkfifo(self._path)
        self.wait = f"read go < {shlex.quote(str(self._path))}"

    def open(self) -> None:
        """Let who waits go on; waits until somebody waits."""
        self._path.write_text("go\n")


#: What a login looks like that is refused.
REFUSED = "echo 'root@hv-1: Permission denied (publickey).' >&2; exit 255"
