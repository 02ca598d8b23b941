"""Commands that are told to people lead to the host that they are told about."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.fabricate import Fake, build
from vfdeck.app import cli
from vfdeck.app.cli import main
from vfdeck.app.failure import Failure
from vfdeck.backend.catalogue import entries
from vfdeck.backend.leading import led, wrapped
from vfdeck.backend.recipes import recipes
from vfdeck.backend.sim import scenario
from vfdeck.backend.token import Token

HERE = "--demo datacentre/net-01"
#: A command of vfdeck in a text, up to what cannot be part of it.
COMMAND = re.compile(r"vfdeck (?:token \w+|tree|holders|doctor|check|recipe|open|bind|vfs|explain)(?: [-\w:./<>{}]+)*")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("vfdeck holders 0000:03:00.0", f"vfdeck holders {HERE} 0000:03:00.0"),
        (
            "do it: vfdeck token rotate PF --out FILE (at any time)",
            f"do it: vfdeck token rotate {HERE} PF --out FILE (at any time)",
        ),
        ("vfdeck holders X (vfdeck holders, where", f"vfdeck holders {HERE} X (vfdeck holders {HERE}, where"),
        ("`vfdeck recipe` tells", f"`vfdeck recipe {HERE}` tells"),
        ("vfdeck explain D1", "vfdeck explain D1"),
        ("vfdeck explain EIO --bundle r.json", f"vfdeck explain {HERE} EIO --bundle r.json"),
        ("vfdeck explain D1; `vfdeck check --bundle", f"vfdeck explain D1; `vfdeck check {HERE} --bundle"),
        ("vfdeck doctor --demo fault:A2", "vfdeck doctor --demo fault:A2"),
        ("vfdeck opens it; vfdeck demo; vfdeck token", "vfdeck opens it; vfdeck demo; vfdeck token"),
    ],
)
def test_words_that_are_commands(text: str, expected: str) -> None:
    assert led(text, HERE) == expected
    assert led(led(text, HERE), HERE) == expected
    assert led(text, "") == text


def test_a_tree_of_files_is_for_looking() -> None:
    assert led("vfdeck check --bind X", "--root /a") == "vfdeck check --root /a --bind X"
    assert led("vfdeck bind X vfio-pci", "--root /a") == "vfdeck bind X vfio-pci"


def test_every_command_of_the_catalogue_and_the_recipes_can_be_run_as_led() -> None:
    texts = [text for entry in entries() for text in (*entry.check, *entry.do)]
    texts += [text for recipe in recipes() for text in (*(step.shell for step in recipe.steps), *recipe.notes)]
    commands = [found[0] for text in texts for found in COMMAND.finditer(led(text, "--demo")) if "--demo" in found[0]]
    assert len(commands) > 40
    for command in commands:
        filled = re.sub(r"[{<].*?[}>]", "0000:03:00.0", command.replace("{count}", "4").replace("--demo", "--demo default"))
        try:
            options = cli.parser().parse_args(shlex.split(filled)[1:])
        except Failure as wrong:
            pytest.fail(f"{filled}: {wrong.line}")
        assert options.demo == "default"


def test_a_command_is_never_broken() -> None:
    text = "Or let the token in force open it: vfdeck token rotate --demo x 0000:03:00.0 --out NEW (both resets reach its VFs)."
    lines = wrapped(text, "", "  ", 50)
    assert [line for line in lines if "vfdeck" in line] == ["  vfdeck token rotate --demo x 0000:03:00.0 --out NEW"]
    assert " ".join(" ".join(lines).split()) == text
    assert all(len(line) <= 50 for line in lines if "vfdeck" not in line)
    assert wrapped("vfdeck holders and what it tells of them", "", "", 20) == ["vfdeck holders and", "what it tells of", "them"]


def test_hosts_say_how_they_are_reached() -> None:
    for name, seed in (("default", 0), ("default", 7), ("datacentre/net-02", 3), ("fault:A4", 0)):
        host = scenario.load(name, seed)
        expected = f"--demo {name}" + (f" --seed {seed}" if seed else "")
        assert host.snapshot().host.reached == expected.replace("fault:A4", f"fault:{getattr(host, 'exercise', host).name}")
        host.close()
    hosts = scenario.load_all("datacentre", 2)
    for member in hosts[:2]:
        options = member.snapshot().host.reached.split()
        again = scenario.load(options[1], int(options[3]))
        assert again.snapshot().functions == member.snapshot().functions
    fleet = scenario.load_all("fleet")
    assert fleet[5].snapshot().host.reached == f"--demo fleet/{fleet[5].name}"


def told(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The commands that a command tells of."""
    main(arguments)
    shown = capsys.readouterr()
    return COMMAND.findall(" ".join((shown.out + shown.err).split()))


def test_what_commands_tell_of_a_simulated_host(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    wrong = tmp_path / "t"
    wrong.write_text(Token.generate().reveal_text())
    wrong.chmod(0o600)
    place = ["--demo", "datacentre/net-01"]
    for arguments in (
        ["token", "scan"],
        ["token", "verify", "0000:17:01.4", "--token-file", str(wrong)],
        ["open", "0000:17:01.4", "--yes"],
        ["recipe", "0000:17:01.4"],
        ["doctor"],
        ["holders", "0000:ff:00.0"],
        ["token", "status", "0000:ff:00.0"],
    ):
        found = [command for command in told([*arguments, *place], capsys) if not command.startswith("vfdeck explain")]
        assert found, arguments
        assert [command for command in found if HERE not in command] == []


def test_what_commands_tell_of_a_tree(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    build(tmp_path, [Fake("0000:01:00.0", driver="vfio-pci", totalvfs=8)])
    [command] = told(["holders", "0000:ff:00.0", "--root", str(tmp_path)], capsys)
    assert command == f"vfdeck tree --root {tmp_path}"
