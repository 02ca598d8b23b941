"""`--host`, `--sudo` and `--agent`: every command follows them or says in one line that it does not."""

from __future__ import annotations

import argparse
import errno
import grp
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.agent.test_client import RUN, ssh
from tests.fabricate import Fake, build, with_vfs
from vfdeck.app.cli import main, parser
from vfdeck.app.failure import UNAVAILABLE, USAGE
from vfdeck.backend.text import printable

PF = "0000:03:00.0"
#: Every command at its shortest, and whether it may be about other hosts.
COMMANDS: dict[str, tuple[tuple[str, ...], bool]] = {
    "demo": ((), False),
    "tree": ((), True),
    "holders": ((), True),
    "settings": ((), False),
    "watch": ((), True),
    "history": ((), True),
    "agent": ((), False),
    "vfs": ((PF, "2", "--dry-run"), True),
    "bind": ((PF, "vfio-pci", "--dry-run"), True),
    "unbind": ((PF, "--dry-run"), True),
    "reset": ((PF, "--dry-run"), True),
    "autoprobe": ((PF, "off", "--dry-run"), True),
    "token set": ((PF, "--generate", "--out", "new-token", "--dry-run"), True),
    "token rotate": ((PF, "--out", "new-token", "--dry-run"), True),
    "token verify": ((PF,), True),
    "token status": ((), True),
    "token scan": ((), False),
    "open": ((PF, "--dry-run"), True),
    "recipe": ((PF,), True),
    "explain": (("D3",), False),
    "check": ((PF, "2"), True),
    "doctor": ((), True),
    "replay": (("x",), False),
    "record": (("x",), False),
}


def names(of: argparse.ArgumentParser, first: str = "") -> list[str]:
    """Every command of a parser, by the words that are typed."""
    below = [action for action in of._actions if isinstance(action, argparse._SubParsersAction)]
    if not below:
        return [first]
    return [name for word, each in below[0].choices.items() for name in names(each, f"{first} {word}".strip())]


def test_the_table_has_every_command() -> None:
    assert sorted(COMMANDS) == sorted(names(parser()))


@pytest.fixture
def tree(tmp_path: Path) -> str:
    pf = Fake(PF, driver="vfio-pci", group=10, totalvfs=8)
    return str(build(tmp_path / "tree", [with_vfs(pf, 4, driver="vfio-pci", group=11)]))


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an ssh, the first on PATH; it lets everybody in but for `bad`, and counts."""
    refuse = "echo 'bad: Permission denied (publickey).' >&2; exit 255"
    ssh(tmp_path, f'echo tried >> {tmp_path}/tries\ncase " $* " in *" -- bad "*) {refuse};; esac\n{RUN}')
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


@pytest.mark.parametrize("option", [("--host", "bad"), ("--sudo",), ("--agent", "/x")], ids=lambda option: option[0])
@pytest.mark.parametrize("name", [name for name, (_, follows) in COMMANDS.items() if not follows])
def test_what_cannot_follow_says_so(name: str, option: tuple[str, ...], client: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = COMMANDS[name][0]
    for typed in ((*option, *name.split(), *arguments), (*name.split(), *arguments, *option)):
        assert main(typed) == USAGE
        told = capsys.readouterr()
        assert told.out == ""
        assert told.err.count("\n") == 1
        assert option[0] in told.err
    assert not (client / "tries").exists()


@pytest.mark.parametrize("name", [name for name, (_, follows) in COMMANDS.items() if follows])
def test_what_can_follow_goes_there(name: str, client: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = COMMANDS[name][0]
    for typed in (("--host", "bad", *name.split(), *arguments), (*name.split(), *arguments, "--host", "bad")):
        assert main(typed) == UNAVAILABLE
        told = capsys.readouterr()
        assert told.out == ""
        assert told.err.startswith("vfdeck: bad: not reached: the login was refused: ")
        assert "`ssh bad`" in told.err
        assert told.err.count("\n") == 1
    assert len((client / "tries").read_text().splitlines()) == 2, "one login for each command"


def test_a_tree_there_is_a_tree_here(client: Path, tree: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tree", "--json", "--root", tree]) == 0
    here = json.loads(capsys.readouterr().out)
    assert main(["tree", "--json", "--root", tree, "--host", "hv-1", "--host", "me@hv-2"]) == 0
    there = json.loads(capsys.readouterr().out)
    assert [value["host"]["name"] for value in there] == ["hv-1", "me@hv-2"]
    for value in there:
        assert {**value["host"], "name": ""} == {**here["host"], "name": ""}
        assert value["functions"] == here["functions"]
    assert main(["--host", "hv-1", "tree", "--host", "hv-2", "--root", tree]) == 0, "both places count"
    told = capsys.readouterr().out
    assert told.index("hv-1") < told.index("hv-2")


def test_a_host_that_is_missing_is_said_and_counts(client: Path, tree: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["holders", "--json", "--root", tree, "--host", "hv-1", "--host", "bad"]) == UNAVAILABLE
    told = capsys.readouterr()
    assert [value["host"] for value in json.loads(told.out)] == ["hv-1"], "nothing is said of what nobody saw"
    assert told.err.startswith("vfdeck: bad: not reached: the login was refused")


def test_commands_that_are_told_lead_there(client: Path, tree: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "0000:ff:00.0", "2", "--root", tree, "--host", "hv-1"]) == 1
    assert "Is there such a function?" in capsys.readouterr().out
    assert main(["holders", "0000:ff:00.0", "--root", tree, "--host", "hv-1"]) == 66
    assert f"`vfdeck tree --host hv-1 --root {tree}`" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (("tree", "--host", "a b"), "--host a b: no host name"),
        (("tree", "--host=-oProxyCommand=x"), "no host name"),
        (("tree", "--host", "a\x1b[2J"), "no host name"),
        (("tree", "--host", "a", "--host", "a"), "--host a is there twice"),
        (("tree", "--host", "a", "--demo"), "does not go with --demo"),
        (("vfs", PF, "2", "--host", "a", "--host", "b"), "`vfdeck vfs` is about one host"),
        (("tree", "--sudo", "--root", "/x"), "--sudo does not go with --root"),
        (("tree", "--agent", "/x", "--root", "/x"), "--agent does not go with --root"),
        (("--host", "a", "tree", "--agent", "/x"), "--agent does not go with --host"),
        (("tree", "--agent", "/x", "--sudo"), "--agent does not go with --sudo"),
        (("tree", "--agent="), "--agent: it is empty"),
        (("tree", "--agent", "/x", "--demo"), "--agent does not go with --demo"),
        (("open", PF, "--host", "a", "--", "true"), "would run on this machine"),
    ],
)
def test_what_cannot_be_meant(typed: tuple[str, ...], said: str, client: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(typed) == USAGE
    told = capsys.readouterr()
    assert said in told.err
    assert told.err.rstrip("\n") == printable(told.err.rstrip("\n"))
    assert told.err.count("\n") == 1
    assert not (client / "tries").exists()


def test_the_dashboard_wants_a_terminal_before_it_connects(client: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--host", "bad"]) == USAGE
    assert "terminal" in capsys.readouterr().err
    assert not (client / "tries").exists()


def test_the_socket_of_an_agent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = tmp_path / "agent"
    command = [sys.executable, "-m", "vfdeck", "agent", "--listen", str(place), "--demo"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as agent:
        try:
            assert agent.stderr is not None
            assert "listening" in agent.stderr.readline()
            assert main(["tree", "--json", "--demo"]) == 0
            here = json.loads(capsys.readouterr().out)
            assert main(["--agent", str(place), "tree", "--json"]) == 0
            assert json.loads(capsys.readouterr().out)["functions"] == here["functions"]
            assert main(["autoprobe", PF, "off", "--yes", "--agent", str(place)]) == 0
            assert "done: " in capsys.readouterr().out
        finally:
            agent.terminate()


def test_a_socket_that_lets_nobody_in(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tree", "--agent", str(tmp_path / "none")]) == UNAVAILABLE
    told = capsys.readouterr().err
    assert "none: No such file or directory: is that the path, and its socket unit started?" in told
    assert "ssh" not in told
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(str(tmp_path / "deaf"))
    assert main(["tree", "--agent", str(tmp_path / "deaf")]) == UNAVAILABLE
    assert "deaf: Connection refused: nobody listens there" in capsys.readouterr().err
    assert main(["tree", "--agent", f"/{'x' * 200}"]) == UNAVAILABLE
    assert capsys.readouterr().err.count("\n") == 1


def test_a_socket_that_is_for_others_names_the_group(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(self: socket.socket, address: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    (tmp_path / "door").touch()
    os.chown(tmp_path / "door", -1, os.getegid())
    monkeypatch.setattr(socket.socket, "connect", refused)
    assert main(["tree", "--agent", str(tmp_path / "door")]) == UNAVAILABLE
    assert f"Permission denied: it is for members of the group {grp.getgrgid(os.getegid()).gr_name}" in capsys.readouterr().err
