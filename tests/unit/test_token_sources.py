"""Where tokens come from, and where those go that are made: never through a command line, and never into a complaint."""

from __future__ import annotations

import argparse
import io
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.test_cli import complaint, vfdeck
from vfdeck.app import argv, token_delivery, token_sources
from vfdeck.app.cli import main
from vfdeck.app.failure import Failure
from vfdeck.backend.token import Token

SECRET = "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"
TOKEN = Token.parse(SECRET)


def source(**chosen: object) -> argparse.Namespace:
    return argparse.Namespace(**{"token_file": None, "token_stdin": False, "token_command": None, **chosen})


def refusal(**chosen: object) -> Failure:
    with pytest.raises(Failure) as told:
        token_sources.given(source(**chosen))
    assert told.value.line.isprintable()
    assert SECRET[:8] not in told.value.line
    return told.value


def private(path: Path, content: str | bytes, mode: int = 0o600) -> str:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(mode)
    return str(path)


# -- files ---------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "content", [f"{SECRET}\n", SECRET, f"  {SECRET.upper()}\r\nuser: me\n", f"{{{SECRET}}}\n", SECRET.replace("-", "")]
)
def test_a_file(tmp_path: Path, content: str) -> None:
    assert token_sources.given(source(token_file=private(tmp_path / "t", content))) == TOKEN


def test_a_link_and_a_pipe(tmp_path: Path) -> None:
    private(tmp_path / "t", SECRET)
    (tmp_path / "link").symlink_to("t")  # secrets of pods are links
    assert token_sources.given(source(token_file=str(tmp_path / "link"))) == TOKEN
    read, write = os.pipe()
    os.write(write, SECRET.encode())
    os.close(write)
    assert token_sources.given(source(token_file=f"/dev/fd/{read}")) == TOKEN
    os.close(read)


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o622, 0o660])
def test_a_file_that_others_can_read(tmp_path: Path, mode: int) -> None:
    told = refusal(token_file=private(tmp_path / "t", SECRET, mode))
    assert told.status == 77
    assert f"mode {mode:04o}" in told.line


@pytest.mark.parametrize("kind", [stat.S_IFREG | 0o600, stat.S_IFIFO | 0o600])
@pytest.mark.parametrize(
    ("owner", "who", "allowed"), [(0, 0, True), (0, 1000, True), (1000, 1000, True), (1000, 0, False), (7, 1000, False)]
)
def test_whose_file_it_is(kind: int, owner: int, who: int, allowed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: who)
    monkeypatch.delenv("SUDO_UID", raising=False)
    state = os.stat_result((kind, 1, 1, 1, owner, 100, 37, 0, 0, 0))
    if allowed:
        token_sources._demand_private("t", state)
    else:
        with pytest.raises(Failure) as told:
            token_sources._demand_private("t", state)
        assert told.value.status == 77
        assert f"belongs to uid {owner}" in told.value.line


@pytest.mark.parametrize(("who", "caller", "allowed"), [(0, "1000", True), (0, "1001", False), (0, "x", False), (7, "1000", False)])
def test_the_file_of_who_called_sudo(who: int, caller: str, allowed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: who)
    monkeypatch.setenv("SUDO_UID", caller)
    assert (1000 in token_sources._trusted()) is allowed


@pytest.mark.parametrize(("owner", "allowed"), [(0, True), (1000, False)])
def test_only_root_lets_a_group_in(owner: int, allowed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: owner)
    state = os.stat_result((stat.S_IFREG | 0o640, 1, 1, 1, owner, 100, 37, 0, 0, 0))
    if allowed:
        token_sources._demand_private("t", state)
    else:
        with pytest.raises(Failure):
            token_sources._demand_private("t", state)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("", "the first line is empty"),
        (f"\n{SECRET}\n", "the first line is empty"),
        (f"{SECRET}0", "33 hex digits"),
        (f"token={SECRET}", "character 1 is not a hex digit"),
        (b"\xff\xfe\x00\x1b[31m" + SECRET.encode(), "character 1 is not a hex digit"),
        ("f" * 100_000, "hex digits"),
    ],
)
def test_a_file_without_a_token(tmp_path: Path, content: str | bytes, what: str) -> None:
    told = refusal(token_file=private(tmp_path / "t", content))
    assert told.status == 65
    assert what in told.line


@pytest.mark.parametrize(("name", "what"), [("absent", "No such file"), (".", "neither a file nor a pipe"), ("a\0b", "not a path")])
def test_what_is_no_file(tmp_path: Path, name: str, what: str) -> None:
    told = refusal(token_file=str(tmp_path / name))
    assert told.status == 66
    assert what in told.line


@given(st.binary(max_size=80))
@settings(max_examples=200)
def test_whatever_is_in_it_is_not_repeated(content: bytes) -> None:
    line = ""
    try:
        token_sources._parse(content, "t")
    except Failure as told:
        line = told.line
    assert line.isprintable()
    word = content.partition(b"\n")[0].strip().decode("latin-1")
    assert len(word) < 12 or word not in line


@pytest.mark.parametrize("mode", [0o666, 0o622, 0o604])
def test_a_pipe_that_others_may_use(tmp_path: Path, mode: int) -> None:
    """Whoever writes into it first would choose the token, whoever reads it first would have it. Nobody is waited for."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "pipe").chmod(mode)
    told = refusal(token_file=str(tmp_path / "pipe"))
    assert (told.status, f"mode {mode:04o}" in told.line) == (77, True)


# -- commands ------------------------------------------------------------------------------------------------------------
def test_a_command(tmp_path: Path) -> None:
    name = private(tmp_path / "a b", f"{SECRET}\nlogin: me\n")
    assert token_sources.given(source(token_command=f"cat '{name}'")) == TOKEN


def test_a_command_that_prints_much(tmp_path: Path) -> None:
    """Some entries of password stores are long; what has no end is ended."""
    name = private(tmp_path / "t", f"{SECRET}\n" + "note\n" * 10_000)
    assert token_sources.given(source(token_command=f"cat '{name}'")) == TOKEN
    told = refusal(token_command=f"yes {SECRET}")
    assert (told.status, "more than" in told.line) == (65, True)


def test_a_command_knows_no_shell(tmp_path: Path) -> None:
    refusal(token_command=f"cat /dev/null; touch {tmp_path}/made")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("command", "status", "what"),
    [
        ("", 64, "is empty"),
        ("cat 'x", 64, "no closing quotation"),
        ("/no/such/program", 66, "cannot run /no/such/program: No such file"),
        ("false", 66, "false exited with status 1"),
        ("true", 65, "the output of true: the first line is empty"),
        ("sh -c 'kill -9 $$'", 66, "sh was ended by signal 9"),
    ],
)
def test_a_command_that_tells_nothing(command: str, status: int, what: str) -> None:
    told = refusal(token_command=command)
    assert told.status == status
    assert what in told.line


# -- standard input ------------------------------------------------------------------------------------------------------
def test_standard_input() -> None:
    take = "t.given(argparse.Namespace(token_file=None, token_stdin=True, token_command=None))"
    program = f"import argparse; from vfdeck.app import token_sources as t; print({take})"
    for given_, said in ((f"{SECRET}\nrest\n", repr(TOKEN)), ("", ""), ("nonsense", "")):
        done = subprocess.run([sys.executable, "-c", program], input=given_, capture_output=True, encoding="utf-8", check=False)
        assert done.stdout.strip() == said


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_it_is_typed_unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def unseen(prompt: str) -> str:
        asked.append(prompt)
        return SECRET

    monkeypatch.setattr("getpass.getpass", unseen)
    monkeypatch.setattr(sys, "stdin", _Terminal())
    assert token_sources.given(source(token_stdin=True)) == TOKEN
    assert asked == ["VF token (not shown): "]


# -- command lines -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "arguments",
    [
        ["token", "set", "03:00.0", SECRET],
        ["token", "set", "03:00.0", "--token", SECRET],
        ["token", "set", "03:00.0", f"--token={SECRET.upper()}"],
        ["token", "set", "03:00.0", f"--token={SECRET.replace('-', '')}"],
        ["token", "verify", "03:02.1", "--token-command", f"echo {SECRET}"],
        ["token", "verify", "03:02.1", "--token-command", f"echo '{{{SECRET}}}'"],
        ["open", "03:02.1", "--token-file", SECRET],
        ["open", "03:02.1", "--", "dpdk-testpmd", f"--vfio-vf-token={SECRET}"],
        ["open", "03:02.1", "--", "dpdk-testpmd", "--vfio-vf-token", SECRET],
        ["token", "verify", "03:02.1", "--token-command", f"echo/{SECRET}"],
        ["open", "03:02.1", "--token-file", f"{SECRET}."],
        ["open", "03:02.1", "--token-file", f"-{SECRET}"],
        ["nonsense", SECRET],
        ["nonsense", f"token_{SECRET}"],
        ["nonsense", f"x{SECRET.replace('-', '')}"],
        [SECRET],
    ],
)
def test_a_token_in_the_command_line_is_refused(arguments: list[str]) -> None:
    told = vfdeck(*arguments, "--demo") if "--" not in arguments else vfdeck(*arguments)
    assert "everybody on this host can read it" in complaint(told, 64)
    assert not {SECRET, SECRET.upper(), SECRET.replace("-", "")} & {word.strip("'\"{}") for word in told.stderr.split()}
    assert SECRET[:8] not in told.stderr.lower()


@pytest.mark.parametrize(
    "arguments",
    [
        ["token", "verify", "03:02.1", "--token-file", f"/etc/tokens/{SECRET}"],
        ["token", "verify", "03:02.1", "--token-command", f"pass show vm/{SECRET}/token"],
        ["open", "03:02.1", "--", "qemu", "-uuid", SECRET],
        ["tree", "--root", f"/run/media/{SECRET}"],
        ["token", "verify", "03:02.1", f"--token-file=~/tokens/{SECRET}"],
        ["token", "verify", "03:02.1", "--token-file", f"{SECRET}.key"],
        ["token", "verify", "03:02.1", "--token-file", "ab" * 32],
        [],
        ["open", "03:02.1", "--"],
    ],
)
def test_other_uuids_may_stand_there(arguments: list[str]) -> None:
    argv.demand_no_token(arguments)


def test_there_is_no_option_for_a_token() -> None:
    for name in ("--token", "--token-fil", "--tok"):
        assert f"unrecognized arguments: {name}" in complaint(vfdeck("token", "verify", "03:02.1", name, "x", "--demo"), 64)
    for slip in (f"--token{SECRET}", SECRET[:-1], f"{SECRET}0", SECRET[1:]):
        assert SECRET[4:18] not in complaint(vfdeck("token", "verify", "03:02.1", slip), 64)


@pytest.mark.parametrize("slip", [SECRET[:-1], f"{SECRET}0", SECRET[1:]])
@pytest.mark.parametrize("line", [["token", "set"], ["token", "set", "03:00.0", "--token-file"], ["tree", "--root"]])
def test_a_slip_of_the_finger_is_not_repeated(line: list[str], slip: str) -> None:
    told = vfdeck(*line, slip, *([] if line[0] == "tree" else ["--generate"] if line[-1] == "set" else ["--demo"]))
    assert told.returncode
    assert SECRET[4:18] not in told.stderr


# -- where a token goes --------------------------------------------------------------------------------------------------
def delivery(**chosen: object) -> token_delivery.Delivery:
    found = token_delivery.wanted(argparse.Namespace(**{"out": None, "to_command": None, "show": False, **chosen}))
    assert found is not None
    return found


def test_to_a_new_file(tmp_path: Path) -> None:
    path = tmp_path / "t"
    to = delivery(out=str(path))
    assert "written to" in to.deliver(TOKEN)
    assert path.read_text() == f"{SECRET}\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "was removed again" in to.withdraw()
    assert not path.exists()


def test_a_file_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "t").write_text("precious")
    (tmp_path / "link").symlink_to("elsewhere")
    for name in ("t", "link", "no/such/folder"):
        with pytest.raises(Failure) as told:
            delivery(out=str(tmp_path / name)).deliver(TOKEN)
        assert told.value.status == 73
    assert (tmp_path / "t").read_text() == "precious"
    assert not (tmp_path / "elsewhere").exists()


def test_only_the_file_that_was_made_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "t"
    to = delivery(out=str(path))
    to.deliver(TOKEN)
    os.rename(path, tmp_path / "moved")
    path.write_text("somebody else's")
    assert "not removed" in to.withdraw()
    assert path.read_text() == "somebody else's"


def test_a_full_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(Failure) as told:
        delivery(out=str(tmp_path / "t")).deliver(TOKEN)
    assert told.value.status == 74
    assert "nothing was set" in told.value.line
    assert list(tmp_path.iterdir()) == []


def test_to_a_command(tmp_path: Path) -> None:
    to = delivery(to_command=f"tee {tmp_path}/t")
    assert to.deliver(TOKEN) == "handed to tee"
    assert (tmp_path / "t").read_text() == f"{SECRET}\n"
    assert "was not set" in to.withdraw()


@pytest.mark.parametrize("command", ["sh -c 'read token'", "head -c 36", "sha256sum"])
def test_commands_that_take_it(command: str) -> None:
    assert delivery(to_command=command).deliver(TOKEN).startswith("handed to ")


@pytest.mark.parametrize(
    ("command", "what"),
    [
        ("false", "exited with status 1"),
        ("/no/such/program", "cannot run"),
        ("true", "true ended well without reading the token"),
        ("sh -c 'exec <&-'", "without reading the token"),
        ("head -c 20", "without reading the token"),
        ("sh -c 'kill -9 $$'", "was ended by signal 9"),
    ],
)
def test_a_command_that_does_not_take_it(command: str, what: str) -> None:
    with pytest.raises(Failure) as told:
        delivery(to_command=command).deliver(TOKEN)
    assert told.value.status == 69
    assert what in told.value.line
    assert "nothing was set" in told.value.line


def test_the_screen_must_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    with pytest.raises(Failure) as told:
        delivery(show=True)
    assert told.value.status == 64


def test_a_file_that_was_changed_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "t"
    to = delivery(out=str(path))
    to.deliver(TOKEN)
    path.write_text(f"{SECRET[::-1]}\n")
    assert "not removed" in to.withdraw()
    assert path.exists()


@pytest.mark.parametrize(
    ("option", "arguments"),
    [
        ("--out", ["token", "rotate", "0000:03:00.0", "--yes"]),
        ("--token-file", ["token", "set", "0000:03:00.0", "--yes"]),
        ("--token-file", ["token", "verify", "0000:03:02.1"]),
        ("--token-file", ["open", "0000:03:02.1", "--yes"]),
        ("--token-file", ["recipe", "0000:03:02.1"]),
        ("--current-token-file", ["token", "rotate", "0000:03:00.0", "--out", "x"]),
        ("--root", ["holders"]),
        ("--bundle", ["explain", "EIO"]),
        ("--token-command", ["token", "set", "0000:03:00.0"]),
        ("--to-command", ["token", "rotate", "0000:03:00.0", "--yes"]),
        ("--current-token-command", ["token", "rotate", "0000:03:00.0", "--yes", "--out", "x"]),
    ],
)
def test_an_empty_name_is_refused_before_anything_is_asked(
    option: str, arguments: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    place = [] if option == "--root" else ["--demo"]
    assert main([*arguments, option, "", *place]) == 64
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n"), option in said.err, "empty" in said.err) == ("", 1, True, True)
    assert not list(tmp_path.iterdir())
