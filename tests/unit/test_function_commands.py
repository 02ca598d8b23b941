"""`vfdeck vfs`, `bind`, `unbind`, `reset` and `autoprobe`."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import jsonschema
import pytest

from vfdeck.app import failure
from vfdeck.app.cli import main
from vfdeck.app.commands import hosts
from vfdeck.backend.changes import Change, Outcome
from vfdeck.backend.sim.scenario import SimulatedHost, load

FREE, HELD, DENIED, QAT = "0000:5e:00.0", "0000:03:00.0", "0000:4b:00.0", "0000:af:00.0"
SCHEMA = json.loads(files("vfdeck.backend").joinpath("schema", "change-v1.json").read_text(encoding="utf-8"))


@pytest.fixture
def keep(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], SimulatedHost]:
    """Makes a simulated host that outlives the command."""

    def made(name: str) -> SimulatedHost:
        host = load(name)
        monkeypatch.setattr(host, "close", lambda: None)
        monkeypatch.setattr(hosts, "simulated", lambda *_, **__: host)
        return host

    return made


def test_each_does_what_it_says(keep: Callable[[str], SimulatedHost]) -> None:
    host = keep("default")
    assert main(["vfs", FREE, "3", "--demo", "--yes"]) == 0
    function = host.snapshot().functions[FREE]
    assert function.sriov is not None
    assert len(function.sriov.vfs) == 3
    assert main(["autoprobe", FREE, "off", "--demo", "--yes"]) == 0
    function = host.snapshot().functions[FREE]
    assert function.sriov is not None
    assert function.sriov.autoprobe is False
    assert main(["unbind", QAT, "--demo", "--yes"]) == 0
    assert host.snapshot().functions[QAT].driver is None
    assert main(["bind", QAT, "vfio-pci", "--demo", "--yes"]) == 0
    assert host.snapshot().functions[QAT].driver == "vfio-pci"
    assert main(["reset", QAT, "--demo", "--yes"]) == 0
    assert main(["bind", QAT, "--default", "--demo", "--yes"]) == 0
    assert host.snapshot().functions[QAT].driver_override is None


def test_a_dry_run_does_nothing(keep: Callable[[str], SimulatedHost], capsys: pytest.CaptureFixture[str]) -> None:
    host = keep("default")
    before = host.snapshot().functions
    assert main(["vfs", HELD, "0", "--demo", "--dry-run"]) == 0
    assert "qemu-system-x86 (4242)" in capsys.readouterr().out
    assert host.snapshot().functions == before


def test_a_refusal_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bind", DENIED, "vfio-pci", "--demo", "broken", "--yes"]) == failure.OS
    told = capsys.readouterr().out
    assert "refused: EINVAL at file" in told
    assert "B3: " in told


@pytest.mark.parametrize(
    ("words", "value"),
    [
        (["vfs", FREE, "2"], 2),
        (["bind", QAT, "vfio-pci"], "vfio-pci"),
        (["bind", QAT, "--default"], None),
        (["unbind", QAT], None),
        (["autoprobe", FREE, "on"], True),
    ],
)
def test_json(words: list[str], value: object, capsys: pytest.CaptureFixture[str]) -> None:
    main([*words, "--demo", "--dry-run", "--json"])
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    jsonschema.validate(report, SCHEMA)
    assert report["change"]["value"] == value


@pytest.mark.parametrize(
    ("words", "status", "line"),
    [
        (["vfs", FREE, "many", "--demo"], failure.USAGE, "invalid int value: 'many'"),
        (["vfs", "0000:00:00.0", "1", "--demo", "--yes"], failure.NO_INPUT, "0000:00:00.0 is no PF, no VF"),
        (["bind", QAT, "--demo", "--yes"], failure.USAGE, "one of the arguments DRIVER --default is required"),
        (["bind", QAT, "../x", "--demo", "--yes"], failure.USAGE, "../x is no driver's name"),
        (["autoprobe", FREE, "maybe", "--demo"], failure.USAGE, "invalid choice: 'maybe'"),
        (["unbind", QAT, "--root", "/tmp"], failure.USAGE, "--root"),
        (["unbind", QAT, "--demo"], failure.USAGE, "there is no terminal to ask at"),
    ],
)
def test_bad_input(words: list[str], status: int, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == status
    told = capsys.readouterr().err
    assert line in told
    assert told.count("\n") == 1


def test_interrupted_it_tells_what_goes_on(
    keep: Callable[[str], SimulatedHost], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C is pressed once it is known whom the change waits for."""
    host = keep("default")
    perform = host.perform

    def interrupted(change: Change, *rest: Any) -> Outcome:
        threading.Thread(target=perform, args=(change, *rest), daemon=True).start()
        while not any(job.waits_for for job in host.jobs()):
            told.wait(0.01)
        told.wait(30)
        raise KeyboardInterrupt

    told, speak = threading.Event(), print

    def tell(*words: Any, **how: Any) -> None:
        speak(*words, **how)
        told.set()

    monkeypatch.setattr(host, "perform", interrupted)
    monkeypatch.setattr("builtins.print", tell)
    assert main(["vfs", HELD, "0", "--demo", "--yes"]) == failure.INTERRUPTED
    said = capsys.readouterr().err
    assert "waiting for qemu-system-x86 (4242)" in said
    assert f"{HELD}: 8 -> 0 VFs: still waits in the kernel" in said
    SimulatedHost.close(host)
