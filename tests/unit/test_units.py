"""What an installed agent takes: that systemd takes the units, and that they start what there is."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from vfdeck.app.cli import main, parser
from vfdeck.app.commands.agent import _is_open_to_others

KINDS = ("read", "admin")
ANALYZE = shutil.which("systemd-analyze")
needs_systemd = pytest.mark.skipif(ANALYZE is None, reason="no systemd-analyze here")


@pytest.fixture
def written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    assert main(["agent", "--units", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    told = [line for line in lines if not line.startswith("! ")]  # doubts about where this checkout lies
    assert {path.name for path in tmp_path.iterdir()} == {Path(line).name for line in told[: len(list(tmp_path.iterdir()))]}
    return tmp_path


def values(path: Path, name: str) -> list[str]:
    return [line.partition("=")[2] for line in path.read_text().splitlines() if line.startswith(f"{name}=")]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_started_is_a_command_of_vfdeck(written: Path, kind: str) -> None:
    [start] = values(written / f"vfdeck-{kind}@.service", "ExecStart")
    program = shlex.split(start)
    assert program[:4] == [sys.executable, "-I", "-m", "vfdeck"]
    options = parser().parse_args(program[4:])
    assert (options.command, options.read_only) == ("agent", kind == "read")
    assert "@" not in (written / "vfdeck.sudoers").read_text()
    assert f" {' '.join(program[:5])}\n" in (written / "vfdeck.sudoers").read_text()


def test_a_program_that_others_may_change_is_told_of(tmp_path: Path) -> None:
    """Who may replace what runs as root is root."""
    mine = tmp_path / "python"
    mine.write_text("")
    mine.chmod(0o775)
    assert _is_open_to_others(str(mine))
    mine.chmod(0o755)
    folder = tmp_path / "any"
    folder.mkdir()
    folder.chmod(0o777)
    (folder / "python").write_text("")
    assert _is_open_to_others(str(folder / "python"))


@pytest.mark.parametrize("kind", KINDS)
def test_who_may_connect(written: Path, kind: str) -> None:
    socket = written / f"vfdeck-{kind}.socket"
    [group] = values(socket, "SocketGroup")
    assert values(socket, "SocketMode") == ["0660"]
    assert f"g {group} -" in (written / "vfdeck.sysusers").read_text()


def test_only_who_changes_may_write_sysfs(written: Path) -> None:
    assert [values(written / f"vfdeck-{kind}@.service", "ProtectKernelTunables") for kind in KINDS] == [["yes"], []]


@needs_systemd
def test_systemd_takes_them(written: Path) -> None:
    units = [str(path) for path in written.iterdir() if path.suffix in (".socket", ".service")]
    done = subprocess.run([str(ANALYZE), "verify", "--man=no", *units], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@needs_systemd
@pytest.mark.parametrize("kind", KINDS)
def test_they_are_as_closed_as_they_can_be(written: Path, kind: str) -> None:
    """By systemd's own measure, where 10 is wide open; an agent that has to be root cannot have less than 2."""
    unit = str(written / f"vfdeck-{kind}@.service")
    command = [str(ANALYZE), "security", "--offline=true", "--threshold=40", unit]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-400:]


def test_a_part_that_is_there_already_leaves_the_others_unwritten(tmp_path: Path) -> None:
    (tmp_path / "vfdeck.sysusers").write_text("")
    assert main(["agent", "--units", str(tmp_path)]) == 73
    assert [one.name for one in tmp_path.iterdir()] == ["vfdeck.sysusers"]


def test_what_is_there_is_left_alone(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (written / "vfdeck-admin.socket").read_text()
    assert main(["agent", "--units", str(written)]) == 73
    assert "vfdeck" in capsys.readouterr().err
    assert (written / "vfdeck-admin.socket").read_text() == before
    assert main(["agent", "--units", str(written / "none")]) == 73
    assert "none: no such folder; expected one to write the units to" in capsys.readouterr().err
