"""Standard output that can take nothing: whether anything was done is said all the same."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.unit.test_cli import ENVIRONMENT, PYTHON, complaint

IDLE = "0000:81:00.0"
DOINGS = [("vfs", IDLE, "2"), ("open", "0000:03:02.2"), ("token", "rotate", "0000:03:00.0", "--to-command", "cat")]
#: From the moment that the kernel is asked, standard output is a full device.
LATER = """
import os, sys
from vfdeck.app import cli
from vfdeck.backend.local_host import LocalHost
perform = LocalHost.perform
LocalHost.perform = lambda *a: (os.dup2(os.open("/dev/full", os.O_WRONLY), 1), perform(*a))[1]
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.mark.parametrize("doing", DOINGS, ids=lambda doing: doing[0])
def test_before_anything_is_done(doing: tuple[str, ...]) -> None:
    with open("/dev/full", "w") as full:
        command = [*PYTHON, *doing, "--yes", "--demo"]
        result = subprocess.run(command, env=ENVIRONMENT, stdout=full, stderr=subprocess.PIPE, encoding="utf-8", check=False)
    assert complaint(result, 74).endswith("cannot write to standard output: No space left on device; nothing was done")


@pytest.mark.parametrize("doing", DOINGS, ids=lambda doing: doing[0])
def test_after_it_was_done(doing: tuple[str, ...]) -> None:
    command = [sys.executable, "-c", LATER, *doing, "--yes", "--demo"]
    usual = subprocess.run([*PYTHON, *doing, "--yes", "--demo"], env=ENVIRONMENT, capture_output=True, text=True, check=False)
    result = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert result.returncode == usual.returncode != 74
    assert "vfdeck: cannot write to standard output: No space left on device; what it was to get:\n" in result.stderr
    assert ("done: " if doing[0] != "open" else "refused: ") in result.stderr
