"""`vfdeck explain` finds entries as people ask for them."""

from __future__ import annotations

import dataclasses
import json

import pytest

from vfdeck.app.cli import main
from vfdeck.backend.catalogue import entries
from vfdeck.backend.checks.advice import data


def test_one_entry_whole(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "d3"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("D3  ")
    assert "{" not in text
    assert all(len(line) <= 100 for line in text.splitlines())


def test_a_fault_is_named_after_its_entry(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "A4.old"]) == 0
    assert capsys.readouterr().out.startswith("A4  ")


def ids(text: str) -> list[str]:
    """The entries that were listed."""
    return [line.split()[0] for line in text.splitlines()]


@pytest.mark.parametrize(("badge", "entry"), [(a["badge"], a["id"]) for a in data()["advice"] if a["badge"]])
def test_the_words_of_the_dashboard_s_badge(badge: str, entry: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever sees it in the header types it as it stands there, in quotes or not."""
    for words in ([badge], badge.split()):
        assert main(["explain", *words]) == 0
        text = capsys.readouterr().out
        assert text.startswith(f"{entry}  ")
        assert f'"{badge}"' in text


def test_a_line_of_the_kernel_s_log(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "vfio-pci 0000:03:10.0: VF token required to access device"]) == 0
    assert ids(capsys.readouterr().out) == ["D1", "D6", "E6"]


@pytest.mark.parametrize(
    ("words", "found", "absent"), [("interrupt remapping", "C12", "D1"), ("Denylist", "B3", "A1"), ("libvirt", "D15", "A1")]
)
def test_words_find_what_they_stand_in(words: str, found: str, absent: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", *words.split()]) == 0
    text = capsys.readouterr().out
    assert found in ids(text)
    assert absent not in ids(text)


def test_what_vfdeck_can_do_about_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "D3"]) == 0
    assert "t in the dashboard (Set the PF's VF token), or vfdeck token set <pf>" in " ".join(capsys.readouterr().out.split())
    assert main(["explain", "B5"]) == 0
    assert "with vfdeck" not in capsys.readouterr().out


def test_commands_for_actions_are_understood() -> None:
    from vfdeck.app.cli import parser
    from vfdeck.app.commands.ways import COMMANDS
    from vfdeck.app.dashboard.actions import BY_ID

    assert COMMANDS.keys() <= BY_ID.keys()
    for command in COMMANDS.values():
        typed = command.format(bdf="0000:03:10.0", pf="0000:03:00.0").replace(" N", " 2").replace("on|off", "on")
        parser().parse_args(typed.split()[1:])


@pytest.mark.parametrize(("told", "name"), [("Permission denied", "EACCES"), ("Device or resource busy", "EBUSY")])
def test_what_a_shell_says_is_an_errno(told: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", *told.split()]) == 0
    by_words = capsys.readouterr().out
    assert main(["explain", name]) == 0
    assert capsys.readouterr().out == by_words


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
        (["D3", "--stage", "sriov_numvfs"], "D3 is no answer at sriov_numvfs"),
        (["--list", "D3"], "--list is the whole catalogue"),
        (["D3", "--json", "--format", "man"], "not allowed with argument --json"),
        (["D3", "--about", "0000:03:00.0"], "--about goes with --bundle"),
        (["D3", "--demo"], "--demo goes with --bundle"),
        (["D3", "--seed", "4"], "--seed goes with --demo"),
        (["--bundle", "--list", "--demo"], "do not go with --bundle"),
    ],
)
def test_what_is_not_there(arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", *arguments]) == 64
    error = capsys.readouterr().err
    assert told in error
    assert "\x1b" not in error


def test_a_file_is_a_place_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "ENOENT", "--stage", "sriov_numvfs"]) == 0
    ids = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert {"A1", "A6", "A7", "A8", "A9"} <= set(ids)
    assert "C1" not in ids


def test_what_the_unknown_entry_tells_one_to_type_is_understood() -> None:
    from vfdeck.app.cli import parser
    from vfdeck.backend.catalogue import entry, fill

    words = {"errno": "EXDEV", "stage": "sriov_numvfs", "bdf": "0000:03:00.0"}
    command = fill(entry("unknown").do[0], words).split(" (")[0].split()
    options = parser().parse_args(command[1:])
    assert (" ".join(options.what), options.stage, options.about, options.bundle) == (
        "EXDEV",
        "sriov_numvfs",
        "0000:03:00.0",
        "report.json",
    )


@pytest.mark.parametrize("form", ["markdown", "man"])
def test_the_whole_catalogue_as_a_document(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "--list", "--format", form]) == 0
    text = capsys.readouterr().out
    headings = [line for line in text.splitlines() if line.startswith(("### ", ".SS "))]
    assert len(headings) == len(entries())
    assert "{" not in text.replace("\\e", "")
    assert "(D3)" in text


def test_roff_takes_text_for_text() -> None:
    from vfdeck.app.commands.documents import man

    found = dataclasses.replace(entries()[0], rule=".so /etc/passwd", why="'x \\fB", check=("a-b",))
    lines = man([found]).splitlines()
    assert "\\&.so /etc/passwd" in lines
    assert "\\&'x \\efB" in lines
    assert "a\\-b" in lines
