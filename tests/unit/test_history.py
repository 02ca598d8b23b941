"""`vfdeck history`: what the audit trail tells, whatever state it is in."""

from __future__ import annotations

import json
import typing
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.values import TOKEN
from vfdeck.app.cli import main
from vfdeck.backend.audit import AuditTrail, _change
from vfdeck.backend.changes import Change, Open, Outcome, SetNumvfs, SetToken
from vfdeck.backend.history import WORDS, History, history
from vfdeck.backend.kernel import Stage
from vfdeck.backend.local_host import LocalHost
from vfdeck.backend.memory import Memory, peer_of
from vfdeck.backend.sim.kernel import SimulatedKernel
from vfdeck.backend.sim.scenario import load
from vfdeck.backend.state_folder import StateFolder

PF, OTHER = "0000:af:00.0", "0000:03:00.0"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StateFolder:
    """With three changes: one done, one refused, one of whose end nobody wrote."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    place = StateFolder(str(tmp_path / "vfdeck"))
    states = iter(({"driver": "ice", "numvfs": 0}, {"driver": "ice", "numvfs": 8}, {}, {}, {}, {}))
    trail = AuditTrail(place, {"user": "eva", "host": "here"}, None, lambda bdf: next(states))
    with trail.record(SetNumvfs(OTHER, 8)) as record:
        record.outcome = Outcome(SetNumvfs(OTHER, 8))
    with trail.record(SetToken(PF, TOKEN)) as record:
        record.outcome = Outcome(SetToken(PF, TOKEN), 13, Stage.GET_DEVICE_FD, PF)
    trail._write("1-x", "begun", change=_change(Open(PF)), before={})
    return place


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[str]]:
    status = main(["history", *arguments])
    return status, capsys.readouterr().out.splitlines()


def test_every_kind_of_change_has_words() -> None:
    assert {kind.__name__ for kind in typing.get_args(Change)} == set(WORDS)


def test_a_line_for_each(folder: StateFolder, capsys: pytest.CaptureFixture[str]) -> None:
    status, lines = said(capsys)
    assert status == 0
    assert [line.partition("UTC  ")[2] for line in lines] == [
        f"eva  {OTHER} set VFs to 8: done (numvfs 0 → 8)",
        f"eva  {PF} set token #{TOKEN.fingerprint}: EACCES at get_device_fd",
        f"eva  {PF} open: begun, and no word of its end",
    ]


@pytest.mark.parametrize(
    ("arguments", "number"), [([OTHER], 1), ([PF], 2), (["--failed"], 2), (["--last", "1"], 1), ([OTHER, "--failed"], 0)]
)
def test_choosing(folder: StateFolder, capsys: pytest.CaptureFixture[str], arguments: list[str], number: int) -> None:
    status, lines = said(capsys, *arguments)
    assert status == (0 if number else 1)
    assert len([line for line in lines if "UTC" in line]) == number
    assert number or lines == [f"nothing that fits: 3 changes are written down in {folder.path}"]


def test_json(folder: StateFolder, capsys: pytest.CaptureFixture[str]) -> None:
    status, lines = said(capsys, "--json")
    value = json.loads("\n".join(lines))
    jsonschema.validate(value, json.loads(files("vfdeck.backend").joinpath("schema/history-v1.json").read_text(encoding="utf-8")))
    assert (status, [one["ok"] for one in value["changes"]]) == (0, [True, False, False])


def test_the_older_file_comes_first_and_damage_is_told(folder: StateFolder, capsys: pytest.CaptureFixture[str]) -> None:
    place = Path(folder.place("audit.jsonl"))
    lines = place.read_bytes().splitlines(keepends=True)
    Path(folder.place("audit.jsonl.1")).write_bytes(b"".join(lines[:1]))
    place.write_bytes(b"\xff{garbage\n[]\n" + b"".join(lines[1:]))
    status, told = said(capsys)
    assert status == 0
    assert len(told) == 4
    assert told[0].endswith("done (numvfs 0 → 8)")
    assert told[-1] == f"not told: 2 lines are damaged in {folder.path}"


@pytest.mark.parametrize(
    "line",
    [
        b'{"id": "1", "event": "begun", "time_ns": 1000000000000000000000000000000, "change": {"kind": "Reset", "bdf": "x"}}',
        b'{"id": "1", "event": "begun", "time_ns": -1, "change": {"kind": "Reset", "bdf": "x"}}',
        b'{"id": "1", "event": "begun", "time_ns": 1, "change": {"kind": "Reset", "bdf": "x"}, "before": {"numvfs": NaN}}',
        b'{"id": "1", "event": "begun", "time_ns": 1, "change": {"kind": "Reset", "bdf": "x"}, "before": {"numvfs": 1e999}}',
    ],
)
def test_a_line_that_no_clock_or_reader_of_json_takes_is_counted(line: bytes) -> None:
    assert history([line]) == History((), 1)


def test_an_end_that_tells_nothing_is_counted() -> None:
    begun = b'{"id": "1", "event": "begun", "time_ns": 1, "change": {"kind": "Reset", "bdf": "x"}}'
    found = history([begun, b'{"id": "1", "event": "done", "time_ns": 2, "outcome": {}}'])
    assert [one.result for one in found.changes] == ["begun, and no word of its end"]
    assert found.damaged == 1


@given(
    st.lists(
        st.binary(max_size=80) | st.from_regex(rb'\{"id": "1", "event": "[a-z]{0,5}", "time_ns": [0-9]{1,400}\}', fullmatch=True)
    )
)
def test_any_line_is_read_or_counted(lines: list[bytes]) -> None:
    found = history(lines)
    assert len(found.changes) + found.damaged <= len(lines)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--last", "0"], "--last 0: expected a number above 0"),
        (["nonsense"], '"nonsense" is no PCI address; expected e.g. 0000:03:02.1'),
    ],
)
def test_what_makes_no_sense(folder: StateFolder, capsys: pytest.CaptureFixture[str], arguments: list[str], line: str) -> None:
    assert main(["history", *arguments]) == 64
    assert capsys.readouterr().err == f"vfdeck: {line}\n"


def test_nothing_was_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert said(capsys) == (1, [f"nothing that fits: 0 changes are written down in {tmp_path}/vfdeck"])
    assert list(tmp_path.iterdir()) == []


def test_a_change_of_a_host_is_there_with_what_it_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    kernel = SimulatedKernel(load("default").scenario.machine)
    host = LocalHost(kernel, {}, Memory(kernel, {"XDG_STATE_HOME": str(tmp_path)}))
    count = len(host.snapshot().vfs_of(PF))
    assert host.perform(SetNumvfs(PF, 0)).ok
    _, lines = said(capsys)
    assert " ".join(lines).endswith(f"{PF} set VFs to 0: done (numvfs {count} → 0)")


def test_a_pipe_has_no_peer() -> None:
    with Path("/dev/null").open() as null:
        assert peer_of(null.fileno()) is None
