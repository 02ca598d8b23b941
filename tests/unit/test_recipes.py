"""Recipes: complete, filled in, honest about who can read the token, and never with a token."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests import values
from tests.fabricate import Fake, build, with_vfs
from tests.unit.test_token_commands import validate
from vfdeck.app.cli import main
from vfdeck.backend.recipes import READERS, Recipe, filled, programs, recipes, token_file

VF = values.make_vf(index=1)
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-", re.IGNORECASE)


@pytest.mark.parametrize("recipe", recipes(), ids=lambda recipe: recipe.title)
def test_each_is_whole(recipe: Recipe) -> None:
    assert recipe.seen in READERS
    assert all((recipe.versions, recipe.tried, recipe.sources, recipe.steps, recipe.notes))
    text = repr(filled(recipe, VF, "/run/t"))
    assert not re.findall(r"<(?!hostdev|memtune|hard_limit|/|qemu:)[a-z]+>", text.replace("<qemu:arg>", ""))
    assert not UUID.search(text)
    assert VF.bdf in text or "<bdf>" not in repr(recipe)


def test_every_program_is_there() -> None:
    assert programs() == ("qemu", "dpdk", "spdk", "libvfn", "libvirt")


@pytest.mark.parametrize("recipe", recipes(), ids=lambda recipe: recipe.title)
def test_commands_are_shell(recipe: Recipe) -> None:
    for step in filled(recipe, VF, shlex.quote("/run/a b")).steps:
        if not step.shell.startswith("<qemu:"):
            subprocess.run(["bash", "-n", "-c", step.shell], check=True, timeout=20)


def test_the_configuration_that_the_shell_writes(tmp_path: Path) -> None:
    """What printf makes of it is what QEMU read when it was tried."""
    (tmp_path / "t").write_text("SECRET\n")
    first = filled(recipes()[0], VF, str(tmp_path / "t")).steps[0].shell
    script = first.replace("qemu-system-x86_64 ... -readconfig", "cat")
    told = subprocess.run(["bash", "-c", script], capture_output=True, encoding="utf-8", check=True, timeout=20).stdout
    assert told == f'[device "vf1"]\n driver = "vfio-pci"\n host = "{VF.bdf}"\n vf-token = "SECRET"\n'


def test_what_qemu_is_told_is_json(tmp_path: Path) -> None:
    (tmp_path / "t").write_text("SECRET\n")
    second = filled(recipes()[1], VF, str(tmp_path / "t")).steps[1].shell
    told = subprocess.run(
        ["bash", "-c", second.partition(" | ")[0]], capture_output=True, encoding="utf-8", check=True, timeout=20
    ).stdout
    commands = [json.loads(line) for line in told.splitlines()]
    assert commands[1]["arguments"] == {"driver": "vfio-pci", "host": VF.bdf, "vf-token": "SECRET", "id": "vf1", "bus": "rp0"}


# -- the command ---------------------------------------------------------------------------------------------------------
def test_for_a_vf_of_the_demo(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipe", "03:02.1", "--demo"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("0000:03:02.1  Its PF 0000:03:00.0 is on vfio-pci: it opens with that PF's token only.")
    assert "/run/0000:03:00.0.token" in text
    assert "by EVERYBODY on this host" in text
    assert not UUID.search(text)


def test_one_program_and_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipe", "03:02.1", "qemu", "--token-file", "/run/a b", "--json", "--demo"]) == 0
    value = validate(capsys.readouterr().out, "recipes-v1.json")
    assert {recipe["program"] for recipe in value["recipes"]} == {"qemu"}
    assert "cat '/run/a b'" in value["recipes"][0]["steps"][0]["shell"]
    assert value["token_needed"] is True


def test_a_vf_that_needs_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipe", "03:0a.0", "--demo"]) == 0
    assert "it opens without a token" in capsys.readouterr().out


def test_a_vf_on_another_driver(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pf = with_vfs(Fake("0000:01:00.0", driver="vfio-pci", totalvfs=8), 2, driver="igbvf")
    assert main(["recipe", "01:10.0", "--root", str(build(tmp_path, [pf]))]) == 0
    text = capsys.readouterr().out
    assert "It is on igbvf now: bind it to vfio-pci first" in text
    assert "-readconfig" in text


@pytest.mark.parametrize(
    ("arguments", "status", "what"),
    [
        (("03:00.0",), 64, "is no VF"),
        (("77:00.0",), 66, "no function on a vfio driver of hv-07"),
        (("03:02.1", "xen"), 64, "there is no recipe for xen; expected one of qemu, dpdk"),
    ],
)
def test_what_is_wrong(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], status: int, what: str) -> None:
    assert main(["recipe", *arguments, "--demo"]) == status
    assert what in capsys.readouterr().err


def test_a_new_token_takes_the_place_of_the_old_one() -> None:
    """Else the second rotation would find its file in the way, and the next start an old token."""
    rotations = [step.shell for recipe in recipes() for step in recipe.steps if "token rotate" in step.shell]
    assert len(rotations) == 2
    assert all(shell.endswith("--out <file>.new && mv <file>.new <file>") for shell in rotations)


def test_a_path_that_cannot_be_shown_goes_into_no_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipe", "0000:af:00.1", "--token-file", "/run/a\x1b[2J", "--demo"]) == 64
    assert "expected a path" in capsys.readouterr().err


def test_a_vf_whose_pf_is_not_known() -> None:
    assert token_file(dataclasses.replace(VF, physfn=None)) == "/run/PF.token"


def test_capitals_name_the_same_program(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipe", "03:02.1", "qemu", "--demo"]) == 0
    small = capsys.readouterr().out
    assert main(["recipe", "03:02.1", "QEMU", "--demo"]) == 0
    assert capsys.readouterr().out == small
