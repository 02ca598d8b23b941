"""The agent, spoken to by somebody else's client: varlinkctl of systemd 257 or later. Skipped where there is none."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from vfdeck.backend.agent import idl

VARLINKCTL = shutil.which("varlinkctl")
pytestmark = pytest.mark.skipif(VARLINKCTL is None, reason="no varlinkctl here (systemd 257 has one)")


@pytest.fixture
def agent(tmp_path: Path) -> str:
    """A program that varlinkctl starts, with the connection as descriptor 3."""
    program = tmp_path / "agent"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m vfdeck agent --demo default\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return str(program)


def asked(*arguments: str) -> subprocess.CompletedProcess[str]:
    assert VARLINKCTL is not None
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.run(
        [VARLINKCTL, *arguments], capture_output=True, text=True, timeout=60, check=False, env=environment, stdin=subprocess.DEVNULL
    )


@pytest.mark.parametrize("text", [idl.text(), idl.SERVICE_TEXT], ids=["ours", "the standard one"])
def test_the_description_is_sound(tmp_path: Path, text: str) -> None:
    file = tmp_path / "description"
    file.write_text(text)
    result = asked("validate-idl", str(file))
    assert (result.returncode, result.stderr) == (0, "")


def test_introspection(agent: str) -> None:
    listed = asked("list-methods", agent)
    assert "io.vfdeck.Agent.Snapshot" in listed.stdout.splitlines(), listed.stderr
    described = asked("introspect", agent, "io.vfdeck.Agent")
    assert (described.returncode, described.stderr) == (0, ""), "it reads what it is told"


def test_calls(agent: str) -> None:
    hello = asked("--json=short", "call", agent, "io.vfdeck.Agent.Hello", '{"protocol_min":1,"protocol_max":1}')
    assert json.loads(hello.stdout)["host"] == "hv-07", hello.stderr
    wrong = asked("call", agent, "io.vfdeck.Agent.Plan", '{"change":{"SetNumvfs":{"pf":"x"}}}')
    assert wrong.returncode != 0
    assert "org.varlink.service.InvalidParameter" in wrong.stderr
