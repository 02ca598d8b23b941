"""The dashboard ends with its terminal, also with one that is not its session's own and so sends no signal."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys

import pytest


@pytest.mark.parametrize("command", [("demo",), ("demo", "--tour")], ids=" ".join)
def test_a_terminal_that_is_gone_ends_it(command: tuple[str, ...]) -> None:
    leader, follower = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color"}
    program = [sys.executable, "-m", "vfdeck", *command]
    with subprocess.Popen(
        program, stdin=follower, stdout=follower, stderr=follower, env=environment, start_new_session=True
    ) as running:
        os.close(follower)
        seen = b""
        while b"\x1b[?1049h" not in seen:  # it has the screen
            seen += os.read(leader, 1 << 16)
        os.close(leader)
        try:
            assert running.wait(60) == 128 + signal.SIGHUP
        finally:
            running.kill()
