"""The README says what the program does: keys as in the registry, commands as in the parser, pictures that are there."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from vfdeck.app.cli import parser
from vfdeck.app.dashboard.actions import ACTIONS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_keys_are_those_of_the_registry() -> None:
    rows = re.findall(r"^\| `(\S+)` \| (.+?) \|$", README.partition("## Keys")[2].partition("\n## ")[0], re.MULTILINE)
    assert rows == [(action.key, action.title) for action in ACTIONS if action.in_bar]


def test_every_command_is_told() -> None:
    [commands] = [a for a in parser()._actions if isinstance(a, argparse._SubParsersAction)]
    told = set(re.findall(r"^\| `vfdeck (\w+)", README, re.MULTILINE))
    assert told == set(commands.choices)


def test_pictures_and_links_exist() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_every_target_that_is_told_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"`make\s([a-z-]+)|^    make ([a-z-]+)", README, re.MULTILINE)
    assert targets
    assert {
        target for pair in targets for target in pair if target and not re.search(rf"^{target}:", makefile, re.MULTILINE)
    } == set()
