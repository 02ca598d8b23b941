"""`vfdeck explain` finds entries as people ask for them."""

from __future__ import annotations

import json

import pytest

from vfdeck.app.cli import main
from vfdeck.backend.catalogue import entries


def test_one_entry_whole(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "d3"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("D3  ")
    assert "{" not in text
    assert all(len(line) <= 100 for line in text.splitlines())


def test_by_errno_and_stage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "EACCES", "--stage", "get_device_fd"]) == 0
    ids = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert {"D1", "D2", "D6"} <= set(ids)
    assert "C2" not in ids


def test_the_whole_catalogue_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "--list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [entry["id"] for entry in listed] == [entry.id for entry in entries()]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "explain what?"),
        (["Z9"], 'nothing on "Z9"'),
        (["--stage", "nowhere"], 'no stage "nowhere"'),
        (["\x1b[31m"], "nothing on"),
    ],
)
def test_what_is_not_there(arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", *arguments]) == 64
    error = capsys.readouterr().err
    assert told in error
    assert "\x1b" not in error
