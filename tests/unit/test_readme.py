"""The README says what the program does: keys as in the registry, commands as in the parser, pictures that are there."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from vfdeck.app.cli import parser
from vfdeck.app.dashboard.actions import ACTIONS
from vfdeck.app.keymap import on_the_keyboard

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
HEAD = "| key | what it does |\n|---|---|\n"


def table() -> str:
    """What README has to say of keys: all keys of every action outside the tour."""
    rows = []
    for action in ACTIONS:
        if not action.on_tour:
            keys = ", ".join(f"`{on_the_keyboard(key)}`" for key in action.keys.split(","))
            rows.append(f"| {keys} | {action.title} |\n")
    return HEAD + "".join(rows)


def renewed(text: str) -> str:
    """README with the table of now."""
    before, _, rest = text.partition(HEAD)
    after = rest.splitlines(keepends=True)
    while after and after[0].startswith("|"):
        after.pop(0)
    return before + table() + "".join(after)


def test_the_keys_are_those_of_the_registry() -> None:
    assert HEAD in README
    assert renewed(README) == README, "the keys have changed: `python -m tests.unit.test_readme` renews README.md"


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


if __name__ == "__main__":
    (ROOT / "README.md").write_text(renewed(README), encoding="utf-8")
