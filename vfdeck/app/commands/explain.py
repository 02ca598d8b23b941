"""`vfdeck explain`: the catalogue of refusals, by id or by errno and stage, as text or JSON."""

from __future__ import annotations

import argparse
import dataclasses
import json
import textwrap
from collections.abc import Iterator

from vfdeck.app import failure
from vfdeck.app.failure import Failure
from vfdeck.backend.catalogue import PLACEHOLDERS, Entry, entries, fill, placeholders
from vfdeck.backend.kernel import Stage, errno_name
from vfdeck.backend.text import printable

WIDTH = 100


def run(options: argparse.Namespace) -> int:
    """Print the entries that were asked for: whole where there is one, a line each where there are more.

    Raises Failure: 64 where nothing in the catalogue answers to what was asked.
    """
    found = _wanted(options)
    if options.json:
        print(json.dumps([{key: fill_all(value) for key, value in dataclasses.asdict(e).items()} for e in found], indent=1))
    elif len(found) == 1:
        print("\n".join(_whole(found[0])))
    else:
        for entry in found:
            print(f"{entry.id:<4} {'/'.join(entry.errnos) or '-':<16} {fill(entry.title, {})}")
    return 0


def _wanted(options: argparse.Namespace) -> list[Entry]:
    asked = _errno(options.what or "").upper()
    if options.stage is not None and options.stage not in set(Stage):
        raise Failure(failure.USAGE, f'there is no stage "{printable(options.stage)}"; expected one of {", ".join(Stage)}')
    known = entries()
    if not asked and not options.list and options.stage is None:
        raise Failure(failure.USAGE, "explain what? Expected an id (D3), an errno (EACCES), --stage or --list")
    found = [entry for entry in known if asked in ("", entry.id, *entry.errnos)]
    found = [entry for entry in found if options.stage is None or options.stage in entry.stages]
    if not found:
        what = f'"{printable(options.what)}"' if options.what else "this stage"
        raise Failure(failure.USAGE, f"the catalogue has nothing on {what}; `vfdeck explain --list` shows all of it")
    return found


def _errno(text: str) -> str:
    """Kernel logs give errnos as numbers (`error -16`): those become names."""
    digits = text.removeprefix("-")
    return errno_name(int(digits)) if digits.isascii() and digits.isdigit() and len(digits) < 5 else text


def fill_all(value: object) -> object:
    """Texts with their placeholders as capitals, lists of them too."""
    if isinstance(value, str):
        return fill(value, {})
    return [fill_all(part) for part in value] if isinstance(value, tuple | list) else value


def _used(entry: Entry) -> frozenset[str]:
    """The words in braces of an entry's texts."""
    return placeholders(" ".join((entry.title, entry.rule, entry.why, *entry.check, *entry.do, entry.mistaken_for, *entry.logs)))


def _whole(entry: Entry) -> Iterator[str]:
    where = " at ".join(part for part in ("/".join(entry.errnos), ", ".join(entry.stages)) if part)
    yield f"{entry.id}  {fill(entry.title, {})}"
    parts: list[tuple[str, tuple[str, ...]]] = [
        ("answer", (where,)),
        ("rule", (entry.rule,)),
        ("why", (entry.why,)),
        ("check", entry.check),
        ("do", entry.do),
        ("mistaken for", (entry.mistaken_for,)),
        ("log line", entry.logs),
        ("kernels", (entry.kernels,)),
        ("sources", ("; ".join(entry.sources),)),
        ("where", tuple(f"<{name}> {meaning}" for name, meaning in PLACEHOLDERS.items() if name in _used(entry))),
    ]
    for name, texts in parts:
        for number, text in enumerate(text for text in texts if text):
            margin = f"  {name if number == 0 else '':<13} "
            bullet = f"{number + 1}. " if name == "do" and len(texts) > 1 else ""
            yield textwrap.fill(
                bullet + fill(text, {}),
                WIDTH,
                initial_indent=margin,
                subsequent_indent=" " * (len(margin) + len(bullet)),
                break_long_words=False,
                break_on_hyphens=False,
            )
