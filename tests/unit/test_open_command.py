"""`vfdeck open`: the ladder, the explanation, the exit status; and a device held while a program runs that gets nothing of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.unit.test_cli import ENVIRONMENT, PYTHON, complaint, vfdeck
from tests.unit.test_token_commands import FREE, VF, refused, validate
from vfdeck.app.cli import main
from vfdeck.app.commands import open as opening
from vfdeck.backend.changes import Open, OpenPath, Outcome
from vfdeck.backend.kernel import Stage
from vfdeck.backend.sim.scenario import load

#: The open file descriptors of the program that runs while a device is held, and its environment.
PROBE = "import os, json; print(json.dumps([sorted(map(int, os.listdir('/proc/self/fd'))), dict(os.environ)]))"


def test_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["open", VF, "--yes", "--demo"]) == 77
    text = capsys.readouterr().out
    rungs = [line.split()[:2] for line in text.splitlines() if line.startswith("  ") and "ioctl" in line and "$" not in line]
    assert ["set_container", "OK"] in rungs
    assert ["get_device_fd", "EACCES"] in rungs
    assert "D1: VF token required" in text


def test_opened(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["open", FREE, "--yes", "--demo"]) == 0
    text = capsys.readouterr().out
    assert f"done: close {FREE} again" in text
    assert "not reached" not in text


def test_as_json(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    secret = load().scenario.token("control").reveal_text()
    (tmp_path / "t").write_text(secret)
    (tmp_path / "t").chmod(0o600)
    assert main(["open", VF, "--token-file", str(tmp_path / "t"), "--yes", "--demo", "--json"]) == 0
    told = capsys.readouterr()
    value = validate(told.out, "change-v1.json")
    assert [rung["answer"] for rung in value["ladder"]] == ["OK"] * 6
    assert secret not in told.out + told.err
    assert main(["open", VF, "--path", "cdev", "--yes", "--demo", "--json"]) == 0  # this kernel asks for none there
    assert [rung["stage"] for rung in validate(capsys.readouterr().out, "change-v1.json")["ladder"]] == [
        "cdev_node",
        "open_cdev",
        "open_iommu",
        "bind_iommufd",
    ]


def test_shown_only(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["open", FREE, "--dry-run", "--demo"]) == 0
    text = capsys.readouterr().out
    assert "done" not in text
    assert "1. open" in text


@pytest.mark.parametrize(
    ("stage", "answers"),
    [
        (Stage.OPEN_GROUP, ["OK", "EBUSY", "", "", "", ""]),
        (Stage.GET_DEVICE_FD, ["OK", "OK", "OK", "OK", "OK", "EBUSY"]),
    ],
)
def test_the_ladder(stage: Stage, answers: list[str]) -> None:
    outcome = Outcome(Open(VF), 16, stage)
    assert [answer for _, answer in opening.ladder(outcome, OpenPath.GROUP)] == answers
    assert opening.ladder(Outcome(Open(VF), attempted=False), OpenPath.GROUP) == []


@pytest.mark.parametrize(
    ("arguments", "status", "what"),
    [
        (("open", "nonsense"), 64, "is no PCI address"),
        (("open", "0000:77:00.0"), 66, "no function on a vfio driver of hv-07"),
        (("open", VF, "--token-file", "/no/such/file"), 66, "No such file"),
        (("open", VF, "--path", "up"), 64, "invalid choice"),
        (("open", VF, "--dry-run", "--", "true"), 64, "opens nothing"),
        (("open", VF, "--yes", "--", "/no/such/program"), 127, "nothing was opened"),
        (("open", VF, "--yes", "--", "/etc/passwd"), 126, "nothing was opened"),
        (("open", VF, "--tok", "x"), 64, "unrecognized arguments"),
    ],
)
def test_what_is_wrong(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], status: int, what: str) -> None:
    at = arguments.index("--") if "--" in arguments else len(arguments)
    assert what in refused(capsys, status, *arguments[:at], "--demo", *arguments[at:])


# -- held ----------------------------------------------------------------------------------------------------------------
def test_a_program_gets_nothing_of_it(tmp_path: Path) -> None:
    secret = load().scenario.token("control").reveal_text()
    (tmp_path / "t").write_text(secret)
    (tmp_path / "t").chmod(0o600)
    held = vfdeck("open", VF, "--token-file", str(tmp_path / "t"), "--yes", "--demo", "--json", "--", sys.executable, "-c", PROBE)
    assert held.returncode == 0
    (line,) = [line for line in held.stderr.splitlines() if line.startswith("[[")]
    descriptors, environment = json.loads(line)
    assert descriptors[:3] == [0, 1, 2]
    assert len(descriptors) == 4  # the fourth is the listing's own
    assert secret not in json.dumps(environment) + held.stdout + held.stderr
    value = validate(held.stdout, "change-v1.json")
    assert (value["command_status"], value["status"]) == (0, 0)


@pytest.mark.parametrize(("script", "status"), [("exit 7", 7), ("kill -9 $$", 137), ("true", 0)])
def test_its_status_is_passed_on(capfd: pytest.CaptureFixture[str], script: str, status: int) -> None:
    assert main(["open", FREE, "--yes", "--demo", "--", "sh", "-c", script]) == status
    assert f"done: close every fd of {FREE}" in capfd.readouterr().out


def test_its_options_are_its_own(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["open", FREE, "--yes", "--demo", "--", "echo", "--json", "--", "--yes"]) == 0
    assert "--json -- --yes\n" in capfd.readouterr().out


def test_nothing_runs_where_it_was_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["open", VF, "--yes", "--demo", "--", "touch", str(tmp_path / "ran")]) == 77
    assert list(tmp_path.iterdir()) == []


def test_a_signal_reaches_the_program() -> None:
    command = [
        *PYTHON,
        "open",
        FREE,
        "--yes",
        "--demo",
        "--",
        "sh",
        "-c",
        "trap 'exit 42' TERM; echo ready; while :; do sleep 0.1; done",
    ]
    with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, encoding="utf-8", start_new_session=True) as process:
        guard = threading.Timer(60, lambda: os.killpg(process.pid, signal.SIGKILL))  # both, or the pipe stays open
        guard.start()
        assert process.stdout is not None
        for line in process.stdout:
            if line == "ready\n":
                os.kill(process.pid, signal.SIGTERM)
                break
        rest = process.stdout.read()
        guard.cancel()
    assert process.returncode == 42
    assert f"done: close every fd of {FREE}" in rest


def test_a_signal_that_comes_before_the_program_reaches_it_too() -> None:
    with opening._relay() as relay:
        os.kill(os.getpid(), signal.SIGTERM)
        with subprocess.Popen(["sleep", "60"]) as process:
            relay.to(process)
            assert process.wait(timeout=30) == -signal.SIGTERM
            relay.pass_on(signal.SIGTERM, None)  # it has ended: nothing happens


def test_help_tells_of_the_command() -> None:
    assert "[-- COMMAND...]" in vfdeck("open", "--help").stdout
    assert "see `vfdeck open --help`" in complaint(vfdeck("open"), 64)


def test_a_signal_before_a_program_that_cannot_start_is_ours() -> None:
    came: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: came.append(number))
    try:
        with opening._relay():
            signal.raise_signal(signal.SIGTERM)
            assert came == []
        assert came == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_handler_that_was_not_of_python(monkeypatch: pytest.MonkeyPatch) -> None:
    put: list[object] = []
    monkeypatch.setattr(signal, "signal", lambda number, handler: put.append(handler))  # gives None, as there
    with opening._relay():
        put.clear()
    assert put == [signal.SIG_DFL] * 4


def test_what_another_program_holds_is_not_vfdecks_to_close(capsys: pytest.CaptureFixture[str]) -> None:
    main(["open", "0000:03:02.0", "--demo", "--yes", "--", "true"])
    told = capsys.readouterr().out
    assert "C6: The group is open elsewhere" in told
    assert "check    vfdeck holders --demo default 0000:03:02.0" in told
    assert "in the dashboard" not in told
