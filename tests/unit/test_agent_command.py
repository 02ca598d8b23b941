"""`vfdeck agent` as a program: on pipes and on a socket."""

from __future__ import annotations

import argparse
import errno
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fabricate import build, fleet
from vfdeck.app.cli import main
from vfdeck.app.commands import agent
from vfdeck.backend.agent.framing import message
from vfdeck.backend.agent.wire import REPLIES, REQUESTS
from vfdeck.backend.changes import Open, SetToken
from vfdeck.backend.linux.kernel import LinuxKernel
from vfdeck.backend.local_host import LocalHost
from vfdeck.backend.model import Snapshot
from vfdeck.backend.token import Token

PF, VF, OURS = "0000:af:00.0", "0000:af:00.1", "io.vfdeck.Agent"
AGENT = [sys.executable, "-m", "vfdeck", "agent"]


def called(*arguments: str, calls: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], str]:
    """What an agent answers, and what it says beside."""
    done = subprocess.run([*AGENT, *arguments], input=b"".join(map(message, calls)), capture_output=True, timeout=60, check=True)
    return [json.loads(one) for one in done.stdout.split(b"\0")[:-1]], done.stderr.decode()


def test_a_tree_is_told_as_it_is_seen_in_process(tmp_path: Path) -> None:
    build(tmp_path, fleet(4))
    [answer], said = called("--root", str(tmp_path), calls=[{"method": "io.vfdeck.Agent.Snapshot"}])
    seen = REPLIES.decode(Snapshot, answer["parameters"]["snapshot"])
    here = LocalHost(LinuxKernel(str(tmp_path))).snapshot()
    assert seen.functions == here.functions
    assert (seen.groups, seen.tokens, seen.problems) == (here.groups, here.tokens, here.problems)
    assert said == ""


def test_it_ends_with_the_other_side_though_a_removal_waits() -> None:
    change = {"SetNumvfs": {"pf": "0000:03:00.0", "count": 0}}
    calls: list[dict[str, Any]] = [{"method": "io.vfdeck.Agent.Perform", "parameters": {"key": "k-1234567", "change": change}}]
    answers, _ = called("--demo", calls=calls)
    assert answers[0]["parameters"]["operation"]["over"] is False


def test_a_socket_for_this_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "agent"
    with subprocess.Popen([*AGENT, "--demo", "--read-only", "--listen", str(path)], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == f"vfdeck: listening on {path}; Ctrl-C ends it\n"
        assert path.stat().st_mode & 0o777 == 0o600
        for _ in range(2):
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(60)
                connection.connect(str(path))
                connection.sendall(
                    message({"method": "io.vfdeck.Agent.Hello", "parameters": {"protocol_min": 1, "protocol_max": 1}})
                )
                data = b""
                while not data.endswith(b"\0"):
                    data += connection.recv(65536)
                assert json.loads(data[:-1])["parameters"]["read_only"] is True
        assert main(["agent", "--demo", "--listen", str(path)]) == 73  # somebody listens there
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert not path.exists()


@pytest.mark.parametrize(("number", "left"), [(signal.SIGTERM, False), (signal.SIGKILL, True)])
def test_its_socket_goes_with_a_listener_or_gives_way_to_the_next(tmp_path: Path, number: int, left: bool) -> None:
    path = tmp_path / "agent"
    for _ in range(2):
        with subprocess.Popen([*AGENT, "--demo", "--listen", str(path)], stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            assert "listening" in process.stderr.readline()
            process.send_signal(number)
            process.wait(60)
            assert path.exists() == left


@pytest.mark.parametrize("kind", ["file", "missing"])
def test_where_there_can_be_no_socket(tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str) -> None:
    path = tmp_path / "here" if kind == "file" else tmp_path / "none/here"
    if kind == "file":
        path.write_text("kept")
    assert main(["agent", "--listen", str(path)]) == 73
    assert str(path) in capsys.readouterr().err
    assert kind == "missing" or path.read_text() == "kept"


def test_a_terminal_does_not_speak_varlink(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(os, "isatty", lambda fd: True)
    assert main(["agent"]) == 64
    assert "a terminal does not" in capsys.readouterr().err


def test_the_servers_end_imports_little() -> None:
    """It is to be sent to hosts: what costs time is imported by the first call that needs it."""
    code = f"import sys; sys.path.insert(0, {os.getcwd()!r}); import vfdeck.backend.agent.server; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    costly = {"dataclasses", "inspect", "asyncio", "argparse", "uuid", "vfdeck.backend.model", "textual", "rich"}
    assert not set(done.stdout.split()) & costly


def test_a_token_that_it_was_given_is_nowhere(tmp_path: Path) -> None:
    """Neither in what it answers nor in what it says, where it was right, wrong, misplaced or misspelt."""
    token = Token.generate()
    secret = token.reveal_text()
    asked: list[dict[str, Any]] = []
    for number, change in enumerate(
        (SetToken(PF, token), Open(VF, token), Open("0000:af:00.2", token), Open("0000:ff:00.0", token))
    ):
        data = REQUESTS.encode_one_of(change)
        asked += [{"method": f"{OURS}.Plan", "parameters": {"change": data}}]
        asked += [{"method": f"{OURS}.Perform", "parameters": {"key": f"key-{number}-0", "change": data}}]
        asked += [{"method": f"{OURS}.Perform", "parameters": {"key": secret, "change": {"Close": {"bdf": secret}}}}]
        asked += [{"method": f"{OURS}.Plan", "parameters": {"change": {"Open": {"bdf": VF, "token": f"{secret}x"}}}}]
        asked += [{"method": f"{OURS}.Operation", "parameters": {"key": f"key-{number}-0"}}]
    asked += [{"method": f"{OURS}.{name}"} for name in ("Snapshot", "Log", "Events")]
    answers, said = called("--demo", calls=asked)
    assert len(answers) == len(asked)
    left = json.dumps(answers) + said
    assert token.fingerprint in left
    for form in (secret, secret.replace("-", ""), secret.upper()):
        assert form not in left


class Over(Exception):
    """Ends a listener."""


def test_whoever_ends_makes_room_and_a_fault_ends_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stays, begun = threading.Event(), queue.Queue[str]()

    class First:
        def wait(self) -> None:
            stays.wait(20)

    class Ends:
        def wait(self) -> None:
            return

    agents: Iterator[type] = iter([First, Ends, Ends])

    def started(*_: object, **__: object) -> object:
        made = next(agents, None)
        begun.put("" if made is None else made.__name__)
        if made is None:
            raise (OSError(errno.EAGAIN, os.strerror(errno.EAGAIN)) if begun.qsize() < 5 else Over)
        return made()

    path = str(tmp_path / "socket")
    monkeypatch.setattr(agent, "CONNECTIONS", 2)
    monkeypatch.setattr(agent, "_BREATH", 0.0)
    monkeypatch.setattr(subprocess, "Popen", started)

    def come() -> None:
        for _ in range(5):
            while True:
                with socket.socket(socket.AF_UNIX) as client:
                    if client.connect_ex(path) == 0:
                        break

    coming = threading.Thread(target=come, daemon=True)
    coming.start()
    with pytest.raises(Over):
        agent._listen(argparse.Namespace(listen=path, read_only=False, root="/", demo=None))
    stays.set()
    coming.join(20)
    assert list(begun.queue) == ["First", "Ends", "Ends", "", ""]
    assert "nobody could be let in: Resource temporarily unavailable" in capsys.readouterr().err
