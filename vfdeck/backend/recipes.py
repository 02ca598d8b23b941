"""How to give a VF with its token to the programs that take one: data (`recipes.toml`), filled in for one VF of one host."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, replace
from typing import Any

from vfdeck.backend.leading import led as lead
from vfdeck.backend.model import Function
from vfdeck.backend.tables import table
from vfdeck.backend.wording import group_node

#: Who can read the token while the program runs, by the word that `recipes.toml` has for it.
READERS = {
    "root": "root, and whoever may trace the program",
    "user": "root, and every program of the same user",
    "everybody": "EVERYBODY on this host",
}
_WORD = re.compile(r"<(bdf|pf|file|group|cdev|id)>")


@dataclass(frozen=True, slots=True)
class RecipeStep:
    """What to do, and the command for it ("" where there is none)."""

    text: str
    shell: str


@dataclass(frozen=True, slots=True)
class Recipe:
    """One way to start one program with a VF."""

    program: str
    title: str
    versions: str
    seen: str  # a key of READERS
    tried: str
    steps: tuple[RecipeStep, ...]
    notes: tuple[str, ...]
    sources: tuple[str, ...]


@functools.cache
def recipes() -> tuple[Recipe, ...]:
    """All there are, those of a program together."""
    found = table("vfdeck.backend", "recipes")
    return tuple(_recipe(entry) for entry in found["recipe"])


def _recipe(entry: dict[str, Any]) -> Recipe:
    steps = tuple(RecipeStep(step["text"], step["shell"].strip()) for step in entry["step"])
    plain = {name: entry[name] for name in ("program", "title", "versions", "seen", "tried")}
    return Recipe(**plain, steps=steps, notes=tuple(entry["also"]["notes"]), sources=tuple(entry["also"]["sources"]))


def programs() -> tuple[str, ...]:
    """The programs that there are recipes for."""
    return tuple(dict.fromkeys(recipe.program for recipe in recipes()))


def token_file(vf: Function) -> str:
    """Where the recipes say that the token of a VF's PF is, unless told otherwise."""
    return f"/run/{vf.physfn or 'PF'}.token"


def filled(recipe: Recipe, vf: Function, file: str) -> Recipe:
    """A recipe for this VF, with its token in `file`, which goes into commands and so must be quoted for a shell."""
    words = {
        "bdf": vf.bdf,
        "pf": vf.physfn or "PF",
        "file": file,
        "group": group_node(vf) or "/dev/vfio/N",
        "cdev": f"/dev/vfio/devices/{vf.cdev}" if vf.cdev else "/dev/vfio/devices/vfioN",
        "id": f"vf{vf.vf_index}" if vf.vf_index is not None else "vf0",
    }

    def fill(text: str) -> str:
        return _WORD.sub(lambda found: words[found[1]], text)

    return replace(
        recipe,
        steps=tuple(RecipeStep(fill(step.text), fill(step.shell)) for step in recipe.steps),
        notes=tuple(fill(note) for note in recipe.notes),
    )


def led(recipe: Recipe, reached: str) -> Recipe:
    """A recipe whose commands of vfdeck are led to the host that is `reached` so."""
    steps = tuple(replace(step, text=lead(step.text, reached), shell=lead(step.shell, reached)) for step in recipe.steps)
    return replace(recipe, steps=steps, notes=tuple(lead(note, reached) for note in recipe.notes))
