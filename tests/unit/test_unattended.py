"""Programs that get a token and no terminal: how they fail, and that they end."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from vfdeck.app import token_delivery
from vfdeck.app.failure import Failure
from vfdeck.app.unattended import Unattended
from vfdeck.backend.token import Token

SECRET = "9e3b1d52-7c41-4f0a-8a6e-2f5b8c1d9e07"
TOKEN = Token.parse(SECRET)


def handed(command: str, limit: float = 20.0) -> str:
    """What is told where a token is handed to a command."""
    return token_delivery.to_command(command, "the command", Unattended(limit).run).deliver(TOKEN)


def test_it_gets_the_token_and_its_output_goes_nowhere(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert handed(f"tee {tmp_path}/t") == "handed to tee"
    assert (tmp_path / "t").read_text() == f"{SECRET}\n"
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("command", "what"),
    [
        ("false", "false exited with status 1; nothing was set"),
        ("true", "without reading the token"),
        ("sh -c 'echo no key >&2; exit 3'", "sh exited with status 3 and said: no key"),
        ("sh -c 'cat; exit 1'", "said: (hidden)"),
        ("sh -c 'printf \"\\033[31mred\\n\\n\"; exit 1'", "said: ␛[31mred"),
        ("sh -c 'exec >&-; read x; exit 4'", "exited with status 4"),
        ("sh -c 'head -c 300000 /dev/zero | tr \"\\0\" y; echo; echo end; exit 1'", "said: end"),
        ("/no/such/program", "there is no such program"),
        ("'unclosed", "expected a command"),
    ],
)
def test_why_it_was_not_taken(command: str, what: str) -> None:
    with pytest.raises(Failure) as told:
        handed(command)
    assert what in told.value.line
    assert SECRET not in told.value.line


def test_it_has_no_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPG_TTY", "/dev/pts/0")
    seen = tmp_path / "seen"
    handed(f"sh -c 'read x; (: </dev/tty) 2>/dev/null && echo tty >{seen} || echo none $GPG_TTY >{seen}'")
    assert seen.read_text() == "none\n"


def test_it_ends_when_its_time_is_over() -> None:
    with pytest.raises(Failure, match="sleep did not end within"):
        handed("sleep 1000", 0.1)


def test_what_ignores_the_first_signal_ends_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vfdeck.app.unattended.GRACE", 0.1)
    with pytest.raises(Failure, match="did not end within"):
        handed("sh -c 'trap \"\" TERM; while :; do sleep 1; done'", 0.3)


def test_what_it_started_ends_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program ends at the first signal, and what it started ignores that. It has the fifo open for as long as it lives."""
    monkeypatch.setattr("vfdeck.app.unattended.GRACE", 20.0)  # not waited for: the program itself ends at once
    os.mkfifo(tmp_path / "alive")
    fifo = os.open(tmp_path / "alive", os.O_RDONLY | os.O_NONBLOCK)
    unattended = Unattended()
    script = tmp_path / "program"
    script.write_text(f"#!/bin/sh\n(trap '' TERM; exec sleep 1000) >{tmp_path}/alive &\necho begun >{tmp_path}/alive\nwait\n")
    script.chmod(0o700)
    to = token_delivery.to_command(str(script), "it", unattended.run)
    told: list[str] = []
    thread = threading.Thread(target=_collect, args=(to.deliver, told))
    thread.start()
    try:
        assert select.select([fifo], [], [], 20)[0]
        assert os.read(fifo, 100) == b"begun\n"
        unattended.stop()
        thread.join(20)
        assert "given up" in told[0]
        assert select.select([fifo], [], [], 20)[0]
        assert os.read(fifo, 100) == b""  # nobody has it any more
    finally:
        os.close(fifo)


def test_it_can_be_given_up_and_is_gone_then(tmp_path: Path) -> None:
    unattended = Unattended()
    os.mkfifo(tmp_path / "begun")
    to = token_delivery.to_command(f"sh -c 'echo $$ >{tmp_path}/begun; exec sleep 1000'", "it", unattended.run)
    told: list[str] = []
    thread = threading.Thread(target=_collect, args=(to.deliver, told))
    thread.start()
    pid = int((tmp_path / "begun").read_text())
    unattended.stop()
    thread.join(20)
    assert "given up" in told[0]
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_what_it_leaves_behind_holds_up_nothing() -> None:
    assert handed("sh -c 'read x; sleep 5 & exit 0'") == "handed to sh"


def _collect(deliver: Callable[[Token], str], told: list[str]) -> None:
    try:
        told.append(deliver(TOKEN))
    except Failure as failed:
        told.append(failed.line)
