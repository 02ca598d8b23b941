"""`vfdeck recipe`: how to start programs with a VF and its token, without leaking that as far as they allow."""

from __future__ import annotations

import argparse
import dataclasses
import json
import shlex
from collections.abc import Iterator

from vfdeck.app import failure
from vfdeck.app.commands import changing, hosts, outcomes, output
from vfdeck.app.failure import Failure
from vfdeck.backend import recipes
from vfdeck.backend.facts import cdev_unguarded, guarded
from vfdeck.backend.leading import led
from vfdeck.backend.model import Function, Role, Snapshot
from vfdeck.backend.recipes import READERS, Recipe
from vfdeck.backend.text import printable

VERSION = 1


def run(options: argparse.Namespace) -> int:
    """Print the recipes. Raises Failure: 64 for what is no VF or a program without recipes, 66 for a function that is not there."""
    bdf = hosts.address(options.bdf)
    program = options.program.lower() if options.program is not None else None
    if program is not None and program not in recipes.programs():
        known = ", ".join(recipes.programs())
        raise Failure(failure.USAGE, f"there is no recipe for {printable(options.program, 40)}; expected one of {known}")
    host = hosts.one(options)
    try:
        snapshot = hosts.look(host)
    finally:
        host.close()
    vf = changing.function_of(snapshot, bdf)
    if vf.role is not Role.VF:
        raise Failure(failure.USAGE, f"{bdf} is no VF; expected one: recipes are for those who use VFs")
    file = recipes.token_file(vf) if options.token_file is None else shlex.quote(_showable(options.token_file))
    needed = _needed(snapshot, vf)
    fitting = [recipe for recipe in recipes.recipes() if needed is not False and program in (None, recipe.program)]
    found = [recipes.led(recipes.filled(recipe, vf, file), snapshot.host.reached) for recipe in fitting]
    if options.json:
        value = {
            "version": VERSION,
            "vf": bdf,
            "pf": vf.physfn,
            "token_needed": needed,
            "recipes": [dataclasses.asdict(r) for r in found],
        }
        output.write(json.dumps(value, indent=1) + "\n")
    else:
        output.write_lines(_lines(snapshot, vf, file, found))
    return 0


def _showable(path: str) -> str:
    """A path for a command that is shown. Raises Failure where it would not be the same path any more."""
    if printable(path) != path:
        raise Failure(
            failure.USAGE, f"--token-file {printable(path, 40)} cannot be shown as it is; expected a path of plain characters"
        )
    return path


def _needed(snapshot: Snapshot, vf: Function) -> bool | None:
    """Whether the VF opens with its PF's token only, once it is on a vfio driver; None where its PF is not visible."""
    return guarded(snapshot, vf.bdf) if vf.physfn in snapshot.functions else None


def _lines(snapshot: Snapshot, vf: Function, file: str, found: list[Recipe]) -> Iterator[str]:
    for first, text in zip((f"{vf.bdf}  ", *[" " * 14] * 9), _about(snapshot, vf, file), strict=False):
        yield from outcomes.wrapped(led(text, snapshot.host.reached), first)
    if snapshot.host.simulated:
        yield "(simulated: vfdeck alone knows of this VF, other programs do not)"
    for recipe in found:
        yield ""
        yield from _recipe(recipe)


def _about(snapshot: Snapshot, vf: Function, file: str) -> Iterator[str]:
    """What a VF asks of those who open it."""
    needed, pf = _needed(snapshot, vf), snapshot.functions.get(vf.physfn or "")
    on = pf.driver if pf is not None and pf.driver else "no driver"
    if needed is False:
        yield f"Its PF {vf.physfn} is on {on}: it opens without a token, and one given is an error. Start programs as usual."
        return
    if needed is None:
        yield "Its PF is not visible: whether it needs a token cannot be told. If it does:"
    else:
        yield f"Its PF {vf.physfn} is on {on}: it opens with that PF's token only."
    if not vf.on_vfio:
        yield f"It is on {vf.driver or 'no driver'} now: bind it to vfio-pci first (vfdeck check --bind {vf.bdf})."
    if cdev_unguarded(snapshot.host):
        yield "Through its own node this kernel asks for no token (D17), and one given there is an error."
    yield (
        f"The token is expected in {file} (mode 0600): whoever has it, puts it there. Only where nobody has it, make "
        "another, which every program with a VF of this PF needs from then on:"
    )
    yield f"  vfdeck token rotate {vf.physfn or 'PF'} --out {file}"


def _recipe(recipe: Recipe) -> Iterator[str]:
    yield recipe.title
    yield from outcomes.wrapped(recipe.versions, "  versions  ")
    yield from outcomes.wrapped(f"by {READERS[recipe.seen]}", "  readable  ")
    yield from outcomes.wrapped(recipe.tried, "  tried     ")
    for number, step in enumerate(recipe.steps, 1):
        yield from outcomes.wrapped(step.text, f"  {number}. ")
        for line in step.shell.splitlines():  # never wrapped: it is to be copied
            yield f"     {line}"
    for note in recipe.notes:
        yield from outcomes.wrapped(note, "  - ")
    yield from outcomes.wrapped("; ".join(recipe.sources), "  sources   ")
