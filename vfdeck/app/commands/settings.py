"""`vfdeck settings`: what is set and where, an example of the file, and what is wrong with one."""

from __future__ import annotations

import argparse
import os
import sys

from vfdeck.app import failure, settings
from vfdeck.app.argv import without_tokens
from vfdeck.app.dashboard.actions import ACTIONS
from vfdeck.app.failure import Failure
from vfdeck.app.keymap import on_the_keyboard
from vfdeck.backend.text import printable


def run(options: argparse.Namespace) -> int:
    """Print it. The exit status is 65 where something in the file is wrong."""
    if options.example:
        print(settings.example(), end="")
        return 0
    path = options.check or settings.default_path(os.environ)
    reading = settings.read(path, os.geteuid())
    if options.check and not reading.found:
        raise Failure(failure.NO_INPUT, f"{printable(options.check)}: no such file")
    for fault in reading.faults:
        print(f"vfdeck: {fault}", file=sys.stderr)
    if options.check is None:
        _show(reading)
    elif not reading.faults:
        where = printable(reading.path) or "no home"
        print(f"{where}: {'nothing is wrong' if reading.found else 'there is no such file; everything is as usual'}")
    return failure.DATA if reading.faults else 0


def _show(reading: settings.Reading) -> None:
    """Every setting with where it comes from, as TOML."""
    print(f"# {printable(reading.path) or 'no home, so no file'}{'' if reading.found else ' (not there)'}")
    for setting in settings.SCHEMA:
        _line(setting.name, getattr(reading.settings, setting.name), reading.lines.get(setting.name))
    print("\n[keys]")
    for action in ACTIONS:
        keys = tuple(map(on_the_keyboard, reading.settings.keys.keys(action)))
        begun = f"keymap {reading.settings.keymap}" if action.id in reading.settings.keys.changed else "as usual"
        _line(action.id, keys, reading.lines.get(f"keys.{action.id}"), begun)


def _line(name: str, value: object, line: int | None, else_from: str = "as usual") -> None:
    text = without_tokens(printable(f"{name} = {settings.written(value)}"))
    print(f"{text:<40}  # {else_from if line is None else f'line {line}'}")
