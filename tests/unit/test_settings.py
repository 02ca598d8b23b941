"""The settings file: what it may say, and everything that may be wrong with it."""

from __future__ import annotations

import os
import stat
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfdeck.app import cli, settings
from vfdeck.app.dashboard.actions import ACTIONS, BY_ID
from vfdeck.app.keymap import ready
from vfdeck.app.settings import Settings, understand
from vfdeck.widgets.columns import hideable

ALL = """\
theme = "light"
interval = 5
sort = "users"
filter = "driver:vfio-pci"
hide = ["numa", "link"]
columns = ["token", "numa", "state"]
details = "below"
confirm = "always"
keymap = "vim"
flash = 0.5
mouse = false
[keys]
token = ["f2", "ctrl+k"]
quit = "Q"
"""


def said(text: str) -> list[str]:
    """What is wrong with a text."""
    return [str(fault) for fault in understand(text, "S").faults]


def test_everything_can_be_set() -> None:
    reading = understand(ALL, "S")
    assert reading.faults == ()
    assert reading.settings == Settings(
        theme="light",
        interval=5.0,
        sort="users",
        filter="driver:vfio-pci",
        columns=("token", "numa", "state"),
        hide=("numa", "link"),
        details="below",
        confirm="always",
        keymap="vim",
        flash=0.5,
        mouse=False,
        keys=reading.settings.keys,
    )
    assert reading.settings.keys == ready()["vim"].with_keys({"token": ("f2", "ctrl+k"), "quit": ("Q",)})
    assert reading.settings.hidden == set(hideable()) - {"token", "state"}
    assert reading.lines["flash"] == 10
    assert reading.lines["keys.quit"] == 14
    assert "keys.undo" not in reading.lines


def test_own_keys_go_on_top_of_a_keymap_wherever_it_is_named() -> None:
    reading = understand('keys.undo = "f9"\nkeys.rotate = "u"\nkeymap = "vim"\n', "S")
    assert reading.faults == ()  # the u of vim's undo was given up
    assert reading.settings.keys.changed["undo"] == ("f9",)
    assert reading.settings.keys.changed["unbind"] == ("U",)
    assert said('keymap = "vim"\nkeys.token = "ctrl+f"') == ["S:2: keys.token: ctrl+f moves in the tree (keymap vim)"]
    assert understand("keys.token = 'ctrl+f'", "S").faults == ()


def test_no_setting_lets_a_severe_change_pass_with_a_key() -> None:
    assert settings.CONFIRM[0] == Settings().confirm == "severe"  # the least that can be set
    assert said('confirm = "no"') == ["S:1: confirm: 'no': expected one of severe, loss, always"]


def test_the_schema_and_the_settings_are_one() -> None:
    assert [setting.name for setting in settings.SCHEMA] == [field.name for field in fields(Settings)][:-1]
    assert {name: getattr(Settings(), name) for name in settings.BY_NAME} == {s.name: s.usual for s in settings.SCHEMA}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            'theme = "drak"',
            "S:1: theme: 'drak': expected one of dark, light, high-contrast, colour-blind, 16-colours (did you mean dark?)",
        ),
        ("\ninterval = 0", "S:2: interval: 0: expected seconds from 0.2 to 3600"),
        ("interval = true", "S:1: interval: True: expected seconds from 0.2 to 3600"),
        ("interval = nan", "S:1: interval: nan: expected seconds from 0.2 to 3600"),
        ('mouse = "no"', "S:1: mouse: 'no': expected true or false"),
        (
            'hide = ["nmua"]',
            "S:1: hide: 'nmua' is none of COLUMNS (did you mean numa?)",
        ),
        ("columns = ['tree']", "S:1: columns: 'tree' is none of COLUMNS"),
        ('details = "left"', "S:1: details: 'left': expected one of auto, beside, below, hidden"),
        ('keymap = "vi"', f"S:1: keymap: 'vi': expected one of {', '.join(ready())} (did you mean vim?)"),
        ("hide = [[]]", "S:1: hide: [] is none of COLUMNS"),
        ('hide = "numa"', 'S:1: hide: \'numa\': expected a list of columns, such as ["numa", "link"]'),
        ("mouse = [\n1]", "S:1: mouse: expected true or false"),
        ('fliter = ""', "S:1: fliter: no such setting (did you mean filter?); vfdeck settings --example shows all"),
        ("[key]\ntoken = 1", "S:1: key: no such setting (did you mean keys?); vfdeck settings --example shows all"),
        ("keys = 1", 'S:1: keys: expected a table [keys] with lines such as token = ["t"]'),
        ("[keys]\ntokn = 't'", "S:2: keys.tokn: no such action (did you mean token?); vfdeck settings --example lists them"),
        ("[keys]\ntoken = []", 'S:2: keys.token: expected a key, or a list of them such as ["t", "ctrl+t"]'),
        ("keys.token = 'v'", "S:1: keys.token: v is the key of vfs (Set the number of VFs)"),
        ("[keys]\ntoken = 'y'", "S:2: keys.token: y answers questions, and must mean nothing else"),
        ("theme dark", "S:1:7: not TOML: Expected '=' after a key in a key/value pair"),
    ],
)
def test_what_is_wrong_is_named(text: str, fault: str) -> None:
    reading = understand(text, "S")
    assert [str(one) for one in reading.faults] == [fault.replace("COLUMNS", ", ".join(hideable()))]
    assert reading.settings == Settings()


def test_all_faults_at_once_and_the_rest_holds() -> None:
    text = 'theme = "drak"\nnonsense\nmouse = false\n"""\n= 1\n"""\n'
    reading = understand('sort = "x"\nnonsense\nmouse = false\n[keys\ntoken = "q"\n[other]\nz = 1\n', "S")
    assert [(fault.line, fault.key) for fault in reading.faults] == [(1, "sort"), (2, ""), (4, ""), (6, "other")]
    assert reading.settings == Settings(mouse=False)
    assert understand(text, "S").faults  # ends, whatever is never closed


def test_lines_are_told_apart_from_what_looks_like_them() -> None:
    text = 'filter = """\nmouse = 3\n"""\n# mouse = 4\nmouse = 5\n'
    assert [fault.line for fault in understand(text, "S").faults if fault.key == "mouse"] == [5]


@given(st.text(alphabet=st.sampled_from("abmouse=[]\"'\n#.1{} ,\x00é\x1b"), max_size=60))
def test_no_text_breaks_it(text: str) -> None:
    reading = understand(text, "S")
    for fault in reading.faults:
        assert str(fault).isprintable()


def test_foreign_text_and_tokens_are_not_repeated() -> None:
    uuid = "9e3b1d52-7c41-4f0a-8a6e-2f5b8c1d9e07"
    (fault,) = said(f'theme = "{uuid}"')
    assert uuid not in fault
    assert "\x1b" not in "".join(said('"a\\u001b" = 1'))


# -- the example -----------------------------------------------------------------------------------------------------------
def test_the_example_is_what_is_usual() -> None:
    assert understand(settings.example(), "S").faults == ()
    assert understand(settings.example(), "S").settings == Settings()
    opened = "\n".join(line.removeprefix("#") if not line.startswith("# ") else line for line in settings.example().splitlines())
    data = tomllib.loads(opened)
    assert set(data) == {*settings.BY_NAME, "keys"}
    assert set(data["keys"]) == set(BY_ID)
    reading = understand(opened, "S")
    assert reading.faults == ()
    assert all(reading.settings.keys.keys(action) == tuple(action.keys.split(",")) for action in ACTIONS)


# -- the file --------------------------------------------------------------------------------------------------------------
def test_where_it_is() -> None:
    assert settings.default_path({"XDG_CONFIG_HOME": "/c", "HOME": "/h"}) == "/c/vfdeck/settings.toml"
    assert settings.default_path({"XDG_CONFIG_HOME": "c", "HOME": "/h"}) == "/h/.config/vfdeck/settings.toml"
    assert settings.default_path({}) == ""


def test_a_file_that_is_not_there_is_no_fault(tmp_path: Path) -> None:
    reading = settings.read(str(tmp_path / "none"), 1000)
    assert (reading.settings, reading.faults, reading.found) == (Settings(), (), False)


def test_what_is_no_such_file(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_bytes(b"\xff")
    assert "is no UTF-8 text (byte 1)" in str(settings.read(str(file), 1000).faults[0])
    file.write_bytes(b"#" * (settings.LONGEST + 1))
    assert "is longer than 64 KiB" in str(settings.read(str(file), 1000).faults[0])
    assert "not read" in str(settings.read(str(tmp_path), 1000).faults[0])
    os.mkfifo(tmp_path / "pipe")
    assert "is no plain file" in str(settings.read(str(tmp_path / "pipe"), 1000).faults[0])


def test_root_follows_nobody_else(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("mouse = false\n")
    file.chmod(0o666)
    assert settings.read(str(file), 1000).settings.mouse is False
    reading = settings.read(str(file), 0)
    assert reading.settings == Settings()
    assert "others can write to it" in str(reading.faults[0])
    if os.geteuid() == 0:
        file.chmod(0o644)
        assert settings.read(str(file), 0).settings.mouse is False
        os.chown(file, 65534, -1)
        assert settings.read(str(file), 0).faults
    assert stat.S_ISREG(file.stat().st_mode)


# -- the command -----------------------------------------------------------------------------------------------------------
@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "vfdeck").mkdir()
    path = tmp_path / "vfdeck" / "settings.toml"
    path.touch(0o600)
    return path


def test_the_command_tells_what_comes_from_where(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text('\ntheme = "light"\nmuose = true\n[keys]\nquit = ["Q", "?"]\nvfs = "ctrl+v"\n')
    assert cli.main(["settings"]) == 65
    out, err = capsys.readouterr()
    assert out.splitlines()[:3] == [
        f"# {file}",
        'theme = "light"'.ljust(40) + "  # line 2",
        "interval = 2.0".ljust(40) + "  # as usual",
    ]
    assert 'vfs = ["ctrl+v"]'.ljust(40) + "  # line 6" in out.splitlines()
    assert 'quit = ["q"]'.ljust(40) + "  # as usual" in out.splitlines()
    assert "muose: no such setting (did you mean mouse?)" in err
    assert "keys.quit: ? is the key of help" in err
    assert set(tomllib.loads(out)) == {*settings.BY_NAME, "keys"}


def test_the_command_tells_which_keys_a_keymap_brought(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text('keymap = "htop"\n[keys]\nquit = "Q"\n')
    assert cli.main(["settings"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert 'keymap = "htop"'.ljust(40) + "  # line 1" in out
    assert 'quit = ["Q"]'.ljust(40) + "  # line 3" in out
    assert 'sort = ["f6", "s"]'.ljust(40) + "  # keymap htop" in out
    assert 'token = ["t"]'.ljust(40) + "  # as usual" in out


def test_checking_says_nothing_is_wrong(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["settings", "--check"]) == 0
    assert capsys.readouterr().out == f"{file}: nothing is wrong\n"
    file.write_text("x = 1")
    assert cli.main(["settings", "--check", str(file)]) == 65
    assert capsys.readouterr().err.startswith(f"vfdeck: {file}:1: x: no such setting")
    file.unlink()
    assert cli.main(["settings", "--check"]) == 0
    assert "there is no such file" in capsys.readouterr().out
    assert cli.main(["settings", "--check", str(file)]) == 66


def test_the_command_prints_the_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["settings", "--example"]) == 0
    assert capsys.readouterr().out == settings.example()
