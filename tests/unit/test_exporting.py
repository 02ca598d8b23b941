"""What is written to files: complete, readable by machines, without tokens, and never over what is there."""

from __future__ import annotations

import errno
import io
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from tests import values
from tests.fake_host import NIC, small_fleet
from vfdeck.app import failure, files
from vfdeck.app.dashboard import exporting
from vfdeck.app.dashboard.exporting import Offer
from vfdeck.app.failure import Failure
from vfdeck.backend.changes import Outcome, SetNumvfs, Step
from vfdeck.widgets.event_facts import Entry, Kind
from vfdeck.widgets.rows import RowId
from vfdeck.widgets.shell_facts import Ran

HERE, OTHER = small_fleet("here"), small_fleet("other")
VF = values.vf_address(NIC, 0)
ENTRY = Entry(values.NOON, Kind.KERNEL, "here", (NIC,), "a line")
RAN = Ran(
    "here", "set VFs", (Step("none", "echo 0 > /x"), Step("look", "")), values.NOON, Outcome(SetNumvfs(NIC, 0), ended=values.NOON)
)


def offers(selected: frozenset[RowId] = frozenset(), marked: frozenset[RowId] = frozenset()) -> dict[str, Offer]:
    return {o.id: o for o in exporting.offers((HERE, OTHER), "here", selected, marked, [ENTRY], [RAN])}


def functions(text: str) -> list[tuple[str, str]]:
    """Host and address of each function in lines of JSON."""
    return [(line["host"], line["bdf"]) for line in map(json.loads, text.splitlines())]


def test_what_is_selected_what_is_marked_and_all() -> None:
    one = RowId("here", VF)
    found = offers(frozenset({one}), frozenset({one, RowId("other", NIC)}))
    assert functions(found["selected"].make[".jsonl"]()) == [("here", VF)]
    assert sorted(functions(found["marked"].make[".jsonl"]())) == [("here", VF), ("other", NIC)]
    assert len(functions(found["all"].make[".jsonl"]())) == len(HERE.functions) + len(OTHER.functions)
    assert "1 function" in found["selected"].title
    assert {host for host, _ in functions(offers()["selected"].make[".jsonl"]())} == {"here"}


def test_json_is_as_vfdeck_tree_prints_it_of_several_hosts_an_array() -> None:
    alone = json.loads(offers(frozenset({RowId("here", VF)}))["selected"].make[".json"]())
    assert [function["bdf"] for function in alone["functions"]] == [VF]
    both = json.loads(offers()["all"].make[".json"]())
    assert [each["host"]["name"] for each in both] == ["here", "other"]


def test_events_and_changes() -> None:
    found = offers()
    (event,) = json.loads(found["events"].make[".json"]())
    assert event == {"version": 1, "time": values.NOON, "host": "here", "kind": "kernel", "functions": [NIC], "text": "a line"}
    assert json.loads(found["events"].make[".jsonl"]()) == event
    (change,) = json.loads(found["shell"].make[".json"]())
    assert [step["shell"] for step in change["steps"]] == ["echo 0 > /x", "# look"]
    assert change["answer"] == "OK"
    assert found["shell"].make[".sh"]().startswith("#!/bin/sh\n")


@pytest.mark.parametrize(
    ("offer", "path", "said"),
    [
        ("all", "x.sh", "expected a name that ends in .json or .jsonl; this one ends in .sh"),
        ("events", "x", "this one ends in nothing"),
        ("shell", "x.txt", ".sh or .json or .jsonl"),
        ("all", "  ", "expected the name of a new file"),
        ("marked", "x.json", "nothing is marked"),
        ("all", "x.json", ""),
        ("shell", "/a/b.sh", ""),
    ],
)
def test_names_of_files(offer: str, path: str, said: str) -> None:
    fault = offers()[offer].fault(path)
    assert said in fault
    assert bool(said) == bool(fault)


def test_what_is_not_there_says_so() -> None:
    empty = {o.id: o for o in exporting.offers((HERE,), "here", frozenset(), frozenset(), [], [])}
    assert empty["events"].fault("x.json") == "nothing has happened yet"
    assert empty["shell"].fault("x.sh") == "nothing was changed yet"


def test_a_file_is_new_and_for_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    said = offers()["events"].write(str(path))
    assert said == f"1 line written to {path}, for its owner's eyes"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(Failure, match="File exists"):
        offers()["events"].write(str(path))


def test_no_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "x.json").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Failure) as failed:
        offers()["events"].write(str(tmp_path / "x.json"))
    assert failed.value.status == failure.CANNOT_CREATE
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("path", ["/nowhere/x.json", "a\0b.json", "/proc/x.json"])
def test_a_bad_path_is_one_line(path: str) -> None:
    with pytest.raises(Failure) as failed:
        offers()["events"].write(path)
    assert "\n" not in failed.value.line
    assert "expected the name of a new file" in failed.value.line


class _Full(io.StringIO):
    """A file on a full disk."""

    def __init__(self, fd: int) -> None:
        super().__init__()
        self._fd = fd

    def fileno(self) -> int:
        return self._fd

    def flush(self) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def close(self) -> None:
        os.close(self._fd)


def test_what_could_be_written_in_part_only_is_taken_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.json"
    new = files.new_file

    def full(name: str) -> Any:
        with new(name) as out:
            return _Full(os.dup(out.fileno()))

    monkeypatch.setattr(files, "new_file", full)
    with pytest.raises(Failure) as failed:
        files.write_new(str(path), "text")
    assert (failed.value.status, failed.value.line) == (failure.IO, f"{path}: No space left on device; nothing was written")
    assert not path.exists()
