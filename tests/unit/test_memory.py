"""The memory of a host: whom it names, and that nobody waits for it for ever."""

from __future__ import annotations

import errno
import os
import pwd
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.unit.test_journal import Dead
from tests.values import TOKEN
from vfdeck.app.cli import main
from vfdeck.backend.changes import SetToken
from vfdeck.backend.local_host import LocalHost
from vfdeck.backend.memory import Memory
from vfdeck.backend.model import ProblemKind
from vfdeck.backend.sim.kernel import SimulatedKernel
from vfdeck.backend.sim.scenario import load

IDLE = "0000:af:00.0"


class Self:
    """A kernel that tells who this process is, and nothing else."""

    simulated = is_tree = False

    def __init__(self, euid: int, loginuid: str) -> None:
        self.euid, self.loginuid = euid, loginuid

    def read(self, path: str) -> bytes:
        if path == "/proc/self/loginuid":
            return self.loginuid.encode()
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))

    def link(self, path: str) -> str:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))


class TestWhereNothingCanBeWritten:
    """It is told before a change and after it, and by whoever only looks; nobody is told that it is remembered."""

    def host(self, tmp_path: Path) -> LocalHost:
        (tmp_path / "state").write_text("in the way")
        kernel = SimulatedKernel(load("default").scenario.machine)
        return LocalHost(kernel, {}, Memory(kernel, {"XDG_STATE_HOME": str(tmp_path / "state")}))

    def test_looking_makes_nothing(self, tmp_path: Path) -> None:
        kernel = SimulatedKernel(load("default").scenario.machine)
        memory = Memory(kernel, {"XDG_STATE_HOME": str(tmp_path / "new/state")})
        assert memory.refusal(make=False) is None
        assert list(tmp_path.iterdir()) == []
        assert memory.refusal(make=True) is None
        assert (tmp_path / "new/state/vfdeck/lock").exists()

    @pytest.mark.parametrize(("make", "why"), [(True, "File exists"), (False, "Not a directory")])
    def test_what_is_in_the_way(self, tmp_path: Path, make: bool, why: str) -> None:
        problem = self.host(tmp_path).cannot_remember(make)
        assert problem is not None
        assert (problem.what, problem.kind) == (why, ProblemKind.MEMORY)
        assert problem.path == str(tmp_path / "state/vfdeck")

    def test_a_command_says_it_before_it_asks_and_that_it_is_lost(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        host = self.host(tmp_path)
        monkeypatch.setattr("vfdeck.app.commands.hosts.simulated", lambda *scenario: host)
        arguments = ["token", "rotate", IDLE, "--out", str(tmp_path / "t"), "--demo"]
        assert main([*arguments, "--dry-run"]) == 0
        assert capsys.readouterr().err == ""
        assert main([*arguments, "--yes"]) == 0
        told = capsys.readouterr().err.splitlines()
        assert "File exists; neither the token journal nor the audit trail can be written" in told[0]
        assert told[-2].endswith("File exists; what happened to tokens is not written down: the next vfdeck will not know it")
        assert told[-1].endswith("File exists; 2 lines of the audit trail are lost")

    def test_status_says_it(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        kernel = SimulatedKernel(load("default").scenario.machine)
        host = LocalHost(kernel, {}, Memory(kernel, {"XDG_STATE_HOME": str(tmp_path / "state")}))
        monkeypatch.setattr("vfdeck.app.commands.hosts.looked_at", lambda *_, **__: (host,))
        monkeypatch.setattr(os, "access", lambda *_, **__: False)
        main(["token", "status", "--demo"])
        assert "what vfdeck does to tokens cannot be written down" in " ".join(capsys.readouterr().out.split())


class TestWho:
    """The kernel's word counts before a variable's, and a variable only where nobody else could have set it."""

    NOBODY = "4294967295"

    @pytest.mark.parametrize(
        ("euid", "loginuid", "sudo_user", "sudo_uid", "who"),
        [
            (0, "1000", "eva", "1001", "adam"),  # logged in as adam, whoever called sudo since
            (0, NOBODY, "eva", "1001", "eva"),
            (0, NOBODY, "eva", "1000", "root"),  # they do not agree
            (0, NOBODY, "eva", "", "root"),
            (0, NOBODY, "eva", "-1", "root"),
            (0, NOBODY, "eva", "9" * 40, "root"),
            (1000, NOBODY, "eva", "1001", "adam"),  # not what sudo was called for
            (0, "", "", "", "root"),
            (0, "77", "", "", "77"),
        ],
    )
    def test_who_is_behind_it(
        self, monkeypatch: pytest.MonkeyPatch, euid: int, loginuid: str, sudo_user: str, sudo_uid: str, who: str
    ) -> None:
        names = {0: "root", 1000: "adam", 1001: "eva"}

        def getpwuid(uid: int) -> SimpleNamespace:
            return SimpleNamespace(pw_name=names[uid], pw_dir="/nowhere")

        monkeypatch.setattr(pwd, "getpwuid", getpwuid)
        environment = {"SUDO_USER": sudo_user, "SUDO_UID": sudo_uid, "HOME": "/nowhere"}
        memory = Memory(cast(Any, Self(euid, loginuid)), environment)
        assert memory.user() == who


@pytest.mark.parametrize("change", [None, SetToken(IDLE, TOKEN)])
def test_a_home_that_does_not_answer_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: SetToken | None
) -> None:
    """Neither a picture nor a change, and both are told; it is all written when it answers."""
    monkeypatch.setattr("vfdeck.backend.memory.StateFolder", Dead)
    kernel = SimulatedKernel(load("default", 1).scenario.machine, "vfdeck")
    memory = Memory(kernel, {"XDG_STATE_HOME": str(tmp_path)})
    folder = memory._folder
    assert isinstance(folder, Dead)
    host = LocalHost(kernel, {}, memory)
    with monkeypatch.context() as patch:
        for name in ("LOOK_PATIENCE", "NOTE_PATIENCE"):
            patch.setattr(f"vfdeck.backend.journal.{name}", 0.0)
        assert change is None or host.perform(change).ok
        host.snapshot()
        assert folder.asked.wait(60.0)
        problems = [p for p in host.snapshot().problems if p.kind is ProblemKind.MEMORY]
    silent = "has not answered for more than a moment; "
    told = [(os.path.basename(problem.path), problem.what.removeprefix(silent)) for problem in problems]
    old = ("tokens.jsonl", "what is known of tokens may be old")
    assert all(problem.what.startswith(silent) for problem in problems)
    assert told == [
        old,
        *([("tokens.jsonl", "what happened to tokens is remembered until this vfdeck ends")] if change else []),
        *([("audit.jsonl", "2 lines of the audit trail wait to be written")] if change else []),
    ]
    folder.answers.set()
    assert folder.errands.wait(folder.errands.send(lambda: None), 60.0)
    seen = host.snapshot()
    assert seen.problems == ()
    assert bool(seen.tokens[IDLE].events) == bool(change)
    assert len(folder.lines("audit.jsonl")) == (2 if change else 0)
    host.close()


def test_a_home_that_does_not_answer_does_not_hold_up_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()

    def silent(_: str) -> bool:
        gate.wait()
        return True

    monkeypatch.setattr("vfdeck.backend.state_folder._roots_alone", silent)
    monkeypatch.setattr("vfdeck.backend.state_folder._home_of", lambda uid: "/the/home/of/root")
    monkeypatch.setattr("vfdeck.backend.memory.NOTE_PATIENCE", 0.01)
    memory = Memory(cast("Any", Self(0, "")), {"HOME": "/net/gone"})
    gate.set()
    assert memory.place == "/the/home/of/root/.local/state/vfdeck"
