"""`vfdeck token` where something goes wrong around it: files that are there, readers that have gone, interrupts, silent pipes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from tests.unit.test_cli import ENVIRONMENT, PYTHON
from tests.unit.test_token_commands import BUSY, FREE, VF, control, refused, validate
from vfdeck.app.cli import main
from vfdeck.backend.changes import Outcome
from vfdeck.backend.token import Token

__all__ = ["control"]


def test_a_file_that_is_there_is_found_before_anything_is_asked(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "t").write_text("precious")
    for more in ((), ("--yes",), ("--dry-run",)):
        line = refused(capsys, 73, "token", "rotate", FREE, "--out", str(tmp_path / "t"), "--demo", *more)
        assert "File exists; expected the name of a new file" in line
    line = refused(capsys, 73, "token", "rotate", FREE, "--out", str(tmp_path / "no" / "t"), "--demo")
    assert "No such file or directory" in line
    line = refused(capsys, 69, "token", "rotate", FREE, "--to-command", "/no/such/program", "--demo")
    assert "cannot run /no/such/program" in line


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_a_reader_that_has_gone_loses_nothing(tmp_path: Path, more: tuple[str, ...]) -> None:
    """Standard output breaks when the result is told, not before."""
    out = tmp_path / "t"
    read, write = os.pipe()
    code = (
        "import os, sys\n"
        "from vfdeck.app import cli, token_delivery\n"
        "deliver = token_delivery._File.deliver\n"
        f"token_delivery._File.deliver = lambda *a: (os.close({read}), deliver(*a))[1]\n"
        "sys.exit(cli.main(sys.argv[1:]))\n"
    )
    command = [sys.executable, "-c", code, "token", "rotate", FREE, "--out", str(out), "--yes", "--demo", *more]
    process = subprocess.Popen(
        command, stdout=write, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, env=ENVIRONMENT, pass_fds=[read], text=True
    )
    os.close(read)
    os.close(write)
    told = process.communicate(timeout=60)[1]
    assert process.returncode == 0
    assert f"#{Token.parse(out.read_text()).fingerprint} is the token of {FREE}" in " ".join(told.split())
    assert "Traceback" not in told
    if more:
        assert "standard output" in told
        assert validate(told[told.index("\n{") :], "change-v1.json")["status"] == 0


def test_a_file_is_kept_where_another_pf_may_have_its_token(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The call on a borrowed descriptor succeeded, and the check found another token: it may be a descriptor of another PF."""
    monkeypatch.setattr(
        "vfdeck.backend.sim.scenario.SimulatedHost.perform", lambda host, change, plan=None: Outcome(change, verified=False)
    )
    arguments = ["token", "rotate", BUSY, "--out", str(tmp_path / "t"), "--yes", "--demo"]
    assert main(arguments) == 75
    text = " ".join(capsys.readouterr().out.split())
    name = Token.parse((tmp_path / "t").read_text()).fingerprint
    assert f"#{name} may be in force all the same, on this PF or another one" in text
    assert "keep it: written to" in text
    (tmp_path / "t").unlink()
    assert main([*arguments, "--json"]) == 75
    assert validate(capsys.readouterr().out, "change-v1.json")["token_may_be_in_force"] is True


def on_a_terminal(*arguments: str, until: str, prelude: str = "") -> tuple[int, str, bool]:
    """Run a command on a terminal, interrupt it where it says `until`: status, what it said, whether the terminal echoes."""
    leader, follower = pty.openpty()
    command = [*PYTHON, *arguments]
    process = subprocess.Popen(
        command,
        env=ENVIRONMENT,
        stdin=follower,
        stdout=follower,
        stderr=follower,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(follower, termios.TIOCSCTTY, 0),
    )
    said = ""
    while until not in said:
        said += os.read(leader, 1 << 16).decode()
    os.write(leader, b"\x03")
    status = process.wait(timeout=60)
    echoes = bool(termios.tcgetattr(follower)[3] & termios.ECHO)
    os.close(follower)
    with contextlib.suppress(OSError):  # the end of a terminal is an error
        while more := os.read(leader, 1 << 16).decode():
            said += more
    os.close(leader)
    return status, said, echoes


@pytest.mark.parametrize(
    ("arguments", "until", "line"),
    [
        (("token", "rotate", FREE, "--show"), "Do it?", "interrupted; nothing was done"),
        (("vfs", FREE, "0"), "Do it?", "interrupted; nothing was done"),
        (("token", "verify", VF, "--token-stdin"), "VF token (not shown): ", "interrupted; no token was read"),
        (
            ("token", "verify", VF, "--token-command", "sh -c 'stty -echo; echo unseen >&2; sleep 600'"),
            "unseen\r",
            "interrupted; no token was read",
        ),
        (
            ("token", "rotate", FREE, "--yes", "--to-command", "sh -c 'stty -echo </dev/tty; echo unseen >&2; sleep 600'"),
            "unseen\r",
            "interrupted; nothing was set",
        ),
    ],
)
def test_an_interrupt(arguments: tuple[str, ...], until: str, line: str) -> None:
    status, said, echoes = on_a_terminal(*arguments, "--demo", until=until)
    assert (status, echoes) == (130, True)
    assert said.count(f"vfdeck: {line}") == 1
    assert "Traceback" not in said


def test_a_pipe_without_a_writer(tmp_path: Path, control: str) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo, 0o600)
    command = [*PYTHON, "token", "verify", VF, "--token-file", str(fifo), "--demo"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT, text=True)
    assert process.stderr is not None
    assert process.stderr.readline() == f"waiting for somebody to write a token into {fifo}; Ctrl-C ends it\n"
    fifo.write_text(Path(control).read_text())
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert said.startswith("right: ")


@pytest.mark.parametrize("kind", ["token", "current", "to"])
def test_what_a_slow_command_is_waited_for(kind: str, tmp_path: Path, control: str) -> None:
    """It ends when the test lets it, which is when what it is waited for has been said."""
    gate = tmp_path / "gate"
    os.mkfifo(gate, 0o600)
    slow = f"sh -c 'read _ <{gate}; cat {control}'"
    taking = f"sh -c 'read _ <{gate}; cat >/dev/null'"
    arguments, what = {
        "token": (("verify", VF, "--token-command", slow), "to print a token"),
        "current": (("rotate", FREE, "--yes", "--out", str(tmp_path / "new"), "--current-token-command", slow), "to print a token"),
        "to": (("rotate", FREE, "--yes", "--to-command", taking), "to take the token"),
    }[kind]
    command = [*PYTHON, "token", *arguments, "--demo"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT, text=True)
    assert process.stderr is not None
    assert process.stderr.readline() == f"waiting for sh {what}; Ctrl-C ends it\n"
    gate.write_text("go\n")
    process.communicate(timeout=60)
    assert process.returncode == 0
