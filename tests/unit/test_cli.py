"""The command line as a shell sees it: output, one-line complaints and exit statuses."""

from __future__ import annotations

import functools
import json
import os
import pty
import signal
import subprocess
import sys
from contextlib import suppress
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest

from tests.fabricate import Fake, build, fleet, with_vfs
from vfdeck import __version__
from vfdeck.app import cli
from vfdeck.backend.replay import Difference, Replay, TraceError

PYTHON = [sys.executable, "-m", "vfdeck"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.getcwd(), "TERM": "xterm-256color"}


def vfdeck(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PYTHON, *arguments],
        env={**ENVIRONMENT, **more},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


def complaint(result: subprocess.CompletedProcess[str], status: int) -> str:
    """The one line on standard error of a command that failed with `status`."""
    assert result.returncode == status, result.stderr
    assert "Traceback" not in result.stderr
    assert result.stderr.startswith("vfdeck: ")
    assert result.stderr.endswith("\n")
    assert result.stderr.count("\n") == 1
    assert result.stderr[:-1].isprintable()
    return result.stderr[8:-1]


@pytest.fixture
def root(tmp_path: Path) -> str:
    pf = with_vfs(Fake("0000:01:00.0", driver="vfio-pci", group=14, totalvfs=8), 8, driver="vfio-pci", group=20)
    return str(build(tmp_path, [pf]))


def test_version() -> None:
    assert vfdeck("--version").stdout == f"vfdeck {__version__}\n"


def test_help_names_every_command() -> None:
    text = vfdeck("--help").stdout
    assert all(f"\n    {command}" in text for command in ("demo", "tree", "replay"))


# -- tree ----------------------------------------------------------------------------------------------------------------


def test_tree(root: str) -> None:
    result = vfdeck("tree", "--root", root)
    assert result.returncode == 0
    lines = result.stdout.splitlines()
    assert lines[1].startswith("  0000:01:00.0  PF  vfio-pci  8 of 8 VFs")
    assert lines[2].startswith("    0000:01:10.0 … 0000:01:11.6  VF 0-7  vfio-pci")
    assert len(vfdeck("tree", "--root", root, "--all").stdout.splitlines()) == len(lines) + 7


def test_root_is_the_same_before_and_after_the_command(root: str) -> None:
    assert vfdeck("--root", root, "tree").stdout == vfdeck("tree", "--root", root).stdout


def test_tree_of_what_is_wanted(root: str) -> None:
    result = vfdeck("tree", "--root", root, "--filter", "role:vf address:10.2")
    assert [line.split()[0] for line in result.stdout.splitlines()[1:3]] == ["0000:01:00.0", "0000:01:10.2"]
    assert "no key drivr (did you mean driver?): there is address" in complaint(
        vfdeck("tree", "--root", root, "--filter", "drivr:x"), 64
    )
    assert "\x1b" not in complaint(vfdeck("tree", "--root", root, "--filter", "drivr\x1b[2J:x role:\x1b"), 64)


def test_a_filter_that_nothing_matches(root: str) -> None:
    result = vfdeck("tree", "--root", root, "--filter", "zzzz")
    assert (result.returncode, result.stderr) == (0, "vfdeck: nothing matches zzzz\n")


def test_a_filtered_json_tells_of_nothing_else() -> None:
    value = json.loads(vfdeck("tree", "--demo", "--json", "--filter", "address:03:00.0").stdout)
    shown = {function["bdf"] for function in value["functions"]}
    assert shown == {"0000:03:00.0"}
    assert {holder["bdf"] for holder in value["holders"]} <= shown
    assert {token["pf"] for token in value["tokens"]} == shown


def test_tree_as_json(root: str) -> None:
    value = json.loads(vfdeck("tree", "--json", "--root", root).stdout)
    assert [len(value[name]) for name in ("functions", "groups", "problems")] == [9, 9, 0]


def test_the_demo_as_json_keeps_to_the_schema_and_is_the_same_twice() -> None:
    schema = json.loads(files("vfdeck.backend").joinpath("schema/tree-v1.json").read_text(encoding="utf-8"))
    first = vfdeck("tree", "--json", "--demo", "--seed", "7").stdout
    jsonschema.validate(json.loads(first), schema)
    assert json.loads(first)["host"]["simulated"] is True
    assert vfdeck("tree", "--json", "--demo", "--seed", "7").stdout == first


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_locale_that_cannot_write_it(root: str, encoding: str) -> None:
    result = vfdeck("tree", "--root", root, PYTHONIOENCODING=encoding)
    assert result.returncode == 0
    assert "0000:01:10.0 ? 0000:01:11.6" in result.stdout


def test_problems_do_not_make_it_fail(root: str) -> None:
    Path(root, "sys/bus/pci/devices/0000:01:00.0/sriov_stride").write_bytes(b"\x1b[31mred\xff")
    result = vfdeck("tree", "--root", root)
    assert result.returncode == 0
    path = "/sys/bus/pci/devices/0000:01:00.0/sriov_stride"
    assert result.stdout.splitlines()[-1] == f'problem: {path}: "␛[31mred\\xff"; expected a decimal number'
    assert "0000:01:00.0  PF" in result.stdout


def test_a_pipe_that_is_closed_early_is_no_error(tmp_path: Path) -> None:
    build(tmp_path, fleet(600))
    for options in ([], ["--json"]):
        command = [*PYTHON, "tree", "--root", str(tmp_path), *options]
        with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.close()
            assert process.stderr.read() == b""
        assert process.returncode == 141


def test_a_full_disk_is_told(root: str) -> None:
    with open("/dev/full", "w") as full:
        command = [*PYTHON, "tree", "--json", "--root", root]
        result = subprocess.run(command, env=ENVIRONMENT, stdout=full, stderr=subprocess.PIPE, encoding="utf-8", check=False)
    assert "No space left" in complaint(result, 74)


def test_no_standard_output_at_all(root: str) -> None:
    result = subprocess.run(
        ["/bin/sh", "-c", 'exec "$@" >&-', "sh", *PYTHON, "tree", "--root", root],
        env=ENVIRONMENT,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        check=False,
    )
    assert complaint(result, 74) == "there is no standard output to print to"


# -- complaints ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["nonsense"], "invalid choice: 'nonsense'"),
        (["tree", "--jsn"], "unrecognized arguments: --jsn; see `vfdeck tree --help`"),
        (["token", "rotate", "0000:01:00.0", "--jsn"], "unrecognized arguments: --jsn; see `vfdeck token rotate --help`"),
        (["tree", "--js"], "unrecognized arguments: --js"),
        (["demo", "--seed", "x"], "argument --seed: invalid int value: 'x'"),
        (["demo", "--still", "--tour"], "--still goes with --scenario"),
        (["demo", "--still", "--fault", "A14"], "--still goes with --scenario"),
        (
            ["reset", "--demo", "0000:03:0a.1"],
            "0000:03:0a.1 stands where a scenario would; put --demo last, or",
        ),
        (["agent", "--demo", "atlantis", "--listen", "/nowhere/at/all"], 'there is no scenario "atlantis"'),
        (["replay"], "the following arguments are required: TRACE"),
        (["tree", "--root", "/", "--demo"], "not allowed with argument"),
        (["tree", "\x1b[31m\nx"], "unrecognized arguments: ␛[31m␊x"),
        (["tree", "--demo", "atlantis"], 'there is no scenario "atlantis"; expected one of '),
        (["tree", "--demo", "../default"], 'there is no scenario "../default"'),
    ],
)
def test_a_wrong_command_line(arguments: list[str], what: str) -> None:
    assert what in complaint(vfdeck(*arguments), 64)


def test_a_root_that_holds_no_sysfs(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for root, reason in (
        (tmp_path, "No such file"),
        (tmp_path / "file", "Not a directory"),
        (tmp_path / "a\x1b[2J", "No such file"),
    ):
        line = complaint(vfdeck("tree", "--root", str(root)), 66)
        assert "is no root with a sysfs: " in line
        assert "/sys/bus/pci/devices: " + reason in line
        assert line.endswith("; expected a directory of PCI functions")


@pytest.mark.parametrize("command", [[], ["demo"], ["--root", "/"]])
def test_the_dashboard_needs_a_terminal(command: list[str]) -> None:
    line = complaint(vfdeck(*command), 64)
    instead = "vfdeck tree --demo" if command == ["demo"] else "vfdeck tree"
    assert (
        line == f"the dashboard needs a terminal: there is none on standard input, output, error; `{instead}` prints the same facts"
    )


def test_a_dumb_terminal_is_none() -> None:
    leader, follower = pty.openpty()
    command, environment = [*PYTHON, "demo"], {**ENVIRONMENT, "TERM": "dumb"}
    status = subprocess.run(
        command, env=environment, stdin=follower, stdout=follower, stderr=follower, timeout=60, check=False
    ).returncode
    said = os.read(leader, 4096)
    os.close(leader)
    os.close(follower)
    assert status == 64
    assert said == b"vfdeck: the dashboard needs a terminal: TERM is dumb; `vfdeck tree --demo` prints the same facts\r\n"


def test_an_interrupt_is_quiet(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "trace")
    command = [*PYTHON, "replay", str(tmp_path / "trace")]
    # Whoever starts the tests in the background has SIGINT ignored, and so would the command have.
    heed = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=heed)
    output: tuple[bytes, bytes] | None = None
    with open(tmp_path / "trace", "wb"):  # returns when the command has opened it, too
        for _ in range(20):  # a signal that comes between the open and the read is noticed with the next one
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                output = process.communicate(timeout=3)
                break
    assert output == (b"", b"")
    assert process.returncode == 130


def test_a_fault_of_ours_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(_: object) -> int:
        raise RuntimeError("what is in here may be secret")

    monkeypatch.setattr(cli, "_run", broken)
    assert cli.main([]) == 70
    line = capsys.readouterr().err
    assert line.startswith("vfdeck: internal error: RuntimeError at test_cli.py:")
    assert "secret" not in line
    assert line.count("\n") == 1


# -- replay --------------------------------------------------------------------------------------------------------------


def _outcome(path: str) -> Replay:
    if "broken" in path:
        raise TraceError(path, 3, "not JSON")
    if "absent" in path:
        raise FileNotFoundError(2, "No such file or directory", path)
    return Replay(path, 10, [Difference(4, "open: EACCES here"), Difference(4, "open: stage")] if "off" in path else [])


@pytest.mark.parametrize(
    ("traces", "status", "output", "errors"),
    [
        (["good"], 0, "10 steps, 0 differ\n", ""),
        (["off"], 1, "off:4: open: EACCES here\noff:4: open: stage\n10 steps, 1 differ\n", ""),
        (["good", "off"], 1, "off:4: open: EACCES here\noff:4: open: stage\n20 steps, 1 differ\n", ""),
        (["broken", "good"], 65, "10 steps, 0 differ\n", "vfdeck: broken:3: not JSON; the lines after it were not played\n"),
        (["absent"], 66, "0 steps, 0 differ\n", "vfdeck: absent: No such file or directory; expected a file of JSON lines\n"),
    ],
)
def test_replay(
    traces: list[str], status: int, output: str, errors: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("vfdeck.app.commands.replay.replay_file", _outcome)
    assert cli.main(["replay", *traces]) == status
    assert capsys.readouterr() == (output, errors)


def test_replay_shows_what_came_before_a_broken_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    host = {"op": "host", "kernel": "6.12.107", "enable_sriov": "Y", "functions": {}}
    wrong = {"op": "state", "device": "0000:01:00.0", "result": "OK"}
    trace = tmp_path / "trace"
    trace.write_text(f"{json.dumps(host)}\n{json.dumps(wrong)}\n{{\n", encoding="utf-8")
    assert cli.main(["replay", str(trace)]) == 65
    output = capsys.readouterr().out
    assert f"{trace}:2: state 0000:01:00.0" in output
    assert output.endswith("1 steps, 1 differ\n")


def test_replay_of_a_broken_file(tmp_path: Path) -> None:
    trace = tmp_path / "bro\x1bken"
    trace.write_text("{\n")
    result = vfdeck("replay", str(trace))
    assert "bro␛ken:1: not JSON" in complaint(result, 65)
    assert result.stdout == "0 steps, 0 differ\n"
