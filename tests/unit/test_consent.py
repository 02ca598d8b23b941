"""What counts as a yes at the terminal, and what was typed too early."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

from tests.values import PF
from vfdeck.app.commands import changing
from vfdeck.backend.changes import Plan, SetNumvfs

QAT = "0000:af:00.0"


def test_what_was_typed_before_the_question_is_no_answer() -> None:
    leader, follower = pty.openpty()
    line = [sys.executable, "-m", "vfdeck", "autoprobe", QAT, "off", "--demo"]
    os.write(leader, b"y\n")  # while the program starts
    running = subprocess.Popen(line, stdin=follower, stdout=follower, stderr=follower)
    os.close(follower)
    said = b""
    while b"Do it?" not in said:
        said += os.read(leader, 4096)
    os.write(leader, b"n\n")
    assert running.wait(60) == changing.DECLINED
    os.close(leader)


@pytest.mark.parametrize(
    ("plan", "answer", "agrees", "hint"),
    [
        ({}, "y", True, ""),
        ({}, "yes", True, ""),
        ({}, "", False, ""),
        ({}, "n", False, ""),
        ({"destructive": True}, "Y", True, ""),
        ({"destructive": True}, "y", False, "capital Y"),
        ({"destructive": True}, "n", False, ""),
        ({"severe": "cuts you off"}, PF, True, ""),
        ({"severe": "cuts you off"}, "Y", False, "the address typed"),
        ({"severe": "cuts you off"}, "no", False, ""),
    ],
)
def test_what_counts_as_yes(plan: dict[str, object], answer: str, agrees: bool, hint: str) -> None:
    planned = Plan(SetNumvfs(PF, 0), "title", **plan)  # type: ignore[arg-type]
    assert changing._agrees(planned, answer) is agrees
    if not agrees:
        said = changing._hint(planned, answer)
        assert hint in said
        assert bool(hint) is bool(said)
