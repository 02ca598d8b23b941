"""A recording made here replays without a difference, and bad input costs one line."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from vfdeck.app.cli import main

STEPS = [
    {"op": "state", "device": "0000:03:00.0"},
    {"op": "open", "device": "0000:03:02.4", "argument": "0000:03:02.4", "handle": "h1"},
    {"op": "write", "path": "/sys/bus/pci/devices/0000:03:00.0/sriov_numvfs", "data": "65536"},
    {"op": "read", "path": "/sys/bus/pci/devices/0000:81:00.0/sriov_totalvfs"},
]


def steps_file(folder: Path, lines: list[str]) -> str:
    path = folder / "steps.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    return str(path)


def test_a_recording_holds_the_answers_and_is_private(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    steps = steps_file(tmp_path, [json.dumps(step) for step in STEPS])
    out = tmp_path / "out.jsonl"
    assert main(["record", str(out), "--demo", "--steps", steps]) == 0
    assert "4 steps recorded" in capsys.readouterr().out
    host, *recorded = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert host["op"] == "host"
    assert [step["result"] for step in recorded] == ["OK", "EACCES", "EINVAL", "OK"]
    assert recorded[1]["log"] == ["vfio-pci 0000:03:02.4: VF token required to access device"]
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert main(["replay", str(out)]) == 0
    assert capsys.readouterr().out == "4 steps, 0 differ\n"


@pytest.mark.parametrize(
    ("lines", "status", "told"),
    [
        (["{"], 65, "steps.jsonl:1: expected a JSON object"),
        (['{"op": "open"}'], 65, "steps.jsonl:1: broken step: missing field 'handle'"),
        (['{"op": "dance"}'], 65, "unknown operation"),
    ],
)
def test_broken_steps(tmp_path: Path, capsys: pytest.CaptureFixture[str], lines: list[str], status: int, told: str) -> None:
    assert main(["record", str(tmp_path / "out"), "--demo", "--steps", steps_file(tmp_path, lines)]) == status
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    out.write_text("precious", encoding="utf-8")
    assert main(["record", str(out), "--demo", "--steps", steps_file(tmp_path, [])]) == 73
    assert out.read_text(encoding="utf-8") == "precious"
    assert main(["record", str(tmp_path / "new"), "--steps", str(tmp_path / "missing")]) == 66
    assert "expected a file of JSON lines" in capsys.readouterr().err
