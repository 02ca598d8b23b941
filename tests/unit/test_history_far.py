"""`vfdeck history` of other hosts: what their agents have written down."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest

from tests.agent.test_client import RUN, ssh
from vfdeck.app.cli import main
from vfdeck.backend.audit import AuditTrail
from vfdeck.backend.changes import Outcome, SetAutoprobe
from vfdeck.backend.history import Trail, newest
from vfdeck.backend.linux.kernel import LinuxKernel
from vfdeck.backend.local_host import LocalHost
from vfdeck.backend.memory import Memory
from vfdeck.backend.sim.scenario import load
from vfdeck.backend.state_folder import StateFolder

PF, OTHER = "0000:af:00.0", "0000:03:00.0"


def done(place: Path, user: str, *functions: str) -> StateFolder:
    """A folder with the trail of so many changes."""
    folder = StateFolder(str(place / "vfdeck"))
    trail = AuditTrail(folder, {"user": user, "host": user})
    for bdf in functions:
        with trail.record(SetAutoprobe(bdf, False)) as record:
            record.outcome = Outcome(SetAutoprobe(bdf, False))
    return folder


@pytest.fixture
def hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two hosts: what was done to the second began before all that was done to the first, and is told by its clock."""
    for name in ("hv-1", "hv-2"):
        (tmp_path / name).mkdir()
    done(tmp_path / "hv-2", "bob", PF)
    done(tmp_path / "hv-1", "eva", OTHER, PF)
    ssh(tmp_path, f'case " $* " in *" -- hv-2 "*) host=hv-2;; *) host=hv-1;; esac\nexport XDG_STATE_HOME={tmp_path}/$host\n{RUN}')
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[str], str]:
    status = main(["history", *arguments])
    told = capsys.readouterr()
    return status, [line.partition("UTC  ")[2] or line for line in told.out.splitlines()], told.err


def test_of_one_host(hosts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [f"eva  {OTHER} set autoprobe to False: done", f"eva  {PF} set autoprobe to False: done"]
    assert said(capsys, "--host", "hv-1") == (0, lines, "")
    assert said(capsys, "--host", "hv-1", OTHER) == (0, lines[:1], "")
    nothing = f"nothing that fits: 1 change is written down in {hosts}/hv-2/vfdeck"
    assert said(capsys, "--host", "hv-2", OTHER) == (1, [nothing], "")


def test_of_several_by_time(hosts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    both = ("--host", "hv-1", "--host", "hv-2")
    lines = [f"hv-2  bob  {PF}", f"hv-1  eva  {OTHER}", f"hv-1  eva  {PF}"]
    status, told, _ = said(capsys, *both)
    assert (status, [line.partition(" set")[0] for line in told]) == (0, lines)
    status, told, _ = said(capsys, *both, "--last", "1")
    assert (status, [line.partition(" set")[0] for line in told]) == (0, lines[-1:]), "all fit"
    status, told, _ = said(capsys, *both, OTHER)
    assert told[1:] == [f"hv-2: nothing that fits: 1 change is written down in {hosts}/hv-2/vfdeck"]


def test_as_json(hosts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    schema = json.loads(files("vfdeck.backend").joinpath("schema/history-v1.json").read_text(encoding="utf-8"))
    assert main(["history", "--json", "--host", "hv-2"]) == 0
    one = json.loads(capsys.readouterr().out)
    assert main(["history", "--json", "--host", "hv-1", "--host", "hv-2"]) == 0
    several = json.loads(capsys.readouterr().out)
    for report in (one, *several):
        jsonschema.validate(report, schema)
    assert [report["host"] for report in several] == ["hv-1", "hv-2"]
    assert [len(report["changes"]) for report in several] == [2, 1]
    assert several[1] == one


def test_what_cannot_be_read_is_said_and_counts(hosts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = hosts / "hv-2" / "vfdeck"
    (folder / "audit.jsonl").rename(folder / "aside")
    (folder / "audit.jsonl").mkdir()
    line = f"vfdeck: hv-2: its history cannot be read: {folder}: "
    status, told, error = said(capsys, "--host", "hv-1", "--host", "hv-2")
    assert (status, len(told), error[: len(line)]) == (69, 2, line)
    status, told, error = said(capsys, "--host", "hv-2")
    assert (status, told, error[: len(line)], error.count("\n")) == (69, [], line, 1)


@pytest.mark.parametrize(("longest", "kept", "cut"), [(10**6, 4, False), (0, 0, True)])
def test_the_newest_lines(tmp_path: Path, longest: int, kept: int, cut: bool) -> None:
    folder = done(tmp_path, "eva", OTHER, PF)
    lines, older = newest(folder, longest)
    assert (len(lines), older) == (kept, cut)


def test_what_is_cut_is_the_oldest(tmp_path: Path) -> None:
    folder = done(tmp_path, "eva", OTHER, PF)
    lines = Path(folder.place("audit.jsonl")).read_text().splitlines()
    assert newest(folder, len(lines[-1]) + len(lines[-2])) == (tuple(lines[-2:]), True)
    assert newest(folder, len(lines[-1]) + len(lines[-2]) - 1) == (tuple(lines[-1:]), True)


def test_a_host_without_a_trail(tmp_path: Path) -> None:
    assert load("default").trail(1000) == Trail()
    empty = LocalHost(LinuxKernel(), memory=Memory(LinuxKernel(), {"XDG_STATE_HOME": str(tmp_path)}))
    assert empty.trail(1000) == Trail(f"{tmp_path}/vfdeck")
    empty.close()


def test_a_trail_that_cannot_be_read_is_not_one_without_the_change(tmp_path: Path) -> None:
    host = LocalHost(LinuxKernel(), memory=Memory(LinuxKernel(), {"XDG_STATE_HOME": str(tmp_path)}))
    assert host.done("a-key") is None
    (tmp_path / "vfdeck" / "audit.jsonl").mkdir(parents=True)
    with pytest.raises(OSError, match="is no plain file"):
        host.done("a-key")
    assert host.done_before("a-key") is None
    host.close()
