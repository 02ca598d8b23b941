"""`vfdeck explain`: the catalogue of refusals, by id, errno, stage or words; the bundle for a bug report."""

from __future__ import annotations

import argparse
import dataclasses
import errno
import json
import os
import sys
import textwrap
from collections.abc import Iterator

from vfdeck.app import failure
from vfdeck.app.commands import documents, output
from vfdeck.app.failure import Failure
from vfdeck.app.files import new_file
from vfdeck.backend.catalogue import PLACEHOLDERS, Entry, entries, fill, placeholders
from vfdeck.backend.causes import entry_ids, places
from vfdeck.backend.checks.advice import badges
from vfdeck.backend.kernel import Stage, errno_name
from vfdeck.backend.leading import led
from vfdeck.backend.text import printable

WIDTH = 100


def run(options: argparse.Namespace) -> int:
    """Print the entries that were asked for: whole where there is one, a line each where there are more; or make a bundle.

    Raises Failure: 64 where nothing in the catalogue answers to what was asked, 73 where the bundle cannot be made.
    """
    _demand_sense(options)
    if options.bundle is not None:
        return _bundle(options)
    found = _wanted(options)
    if options.format in ("markdown", "man"):
        print({"markdown": documents.markdown, "man": documents.man}[options.format](found), end="")
    elif options.format == "json":
        listed = [{key: fill_all(value) for key, value in dataclasses.asdict(entry).items()} for entry in found]
        output.write(json.dumps(listed, indent=1) + "\n")
    elif len(found) == 1:
        output.write_lines(_whole(found[0]))
    else:
        output.write_lines(f"{entry.id:<4} {'/'.join(entry.errnos) or '-':<16} {fill(entry.title, {})}" for entry in found)
        if sys.stdout.isatty():
            output.write_lines(("", f"`vfdeck explain {found[0].id}` tells all of one"))
    return 0


def _demand_sense(options: argparse.Namespace) -> None:
    """Raise Failure where an option would do nothing beside the others."""
    if options.bundle is None:
        idle = next((name for name in ("about", "demo") if getattr(options, name) is not None), "")
        reason = f"--{idle} goes with --bundle" if idle else ""
    elif options.list or options.format:
        reason = "a bundle is JSON about one answer: --list, --json and --format do not go with --bundle"
    else:
        reason = ""
    if options.list and (options.what or options.stage is not None):
        reason = reason or "--list is the whole catalogue: it goes with no id, errno or --stage"
    if reason:
        raise Failure(failure.USAGE, reason)


def _wanted(options: argparse.Namespace) -> list[Entry]:
    what = " ".join(options.what).strip()
    asked = _errno(what).upper()
    stages = {*Stage, *places()}
    if options.stage is not None and options.stage not in stages:
        known = ", ".join(sorted(stages))
        raise Failure(failure.USAGE, f'there is no stage "{printable(options.stage)}"; expected one of {known}')
    if not asked and not options.list and options.stage is None:
        raise Failure(failure.USAGE, "explain what? Expected an id (D3), an errno (EACCES), words, --stage, --list or --bundle")
    known_ones = _about(asked, what)
    found = [entry for entry in known_ones if options.stage is None or _answers_at(entry, options.stage)]
    if known_ones and not found:
        subject = f"{printable(asked)} is" if asked else "nothing in the catalogue is"
        line = f"{subject} no answer at {options.stage}; `vfdeck explain --stage {options.stage}` shows what is"
        raise Failure(failure.USAGE, line)
    if not found:
        subject = f'"{printable(what)}"'
        raise Failure(failure.USAGE, f"the catalogue has nothing on {subject}; `vfdeck explain --list` shows all of it")
    return found


def _about(asked: str, words: str) -> list[Entry]:
    """By id or errno; else by a badge of the dashboard's header, a line of the kernel's log, or words that an entry has."""
    named = asked.partition(".")[0]  # faults to practise on are named after their entries: A4.old
    found = [entry for entry in entries() if asked == "" or named == entry.id or asked in entry.errnos]
    found = found or [entry for entry in entries() if words.lower() == _badge(entry)]
    found = found or [entry for entry in entries() if entry.logged(words)]
    wanted = words.lower().split()
    return found or [entry for entry in entries() if all(word in _text(entry) for word in wanted)]


def _badge(entry: Entry) -> str:
    """The words of the badge that leads to an entry; "" where none does."""
    return badges().get(entry.id, "").lower()


def _text(entry: Entry) -> str:
    """What words are looked for in."""
    return " ".join((entry.title, entry.rule, entry.why, *entry.logs, _badge(entry))).lower()


def _answers_at(entry: Entry, stage: str) -> bool:
    """Whether an entry belongs to a stage, or, where a file's name is given, can be the answer of that file."""
    return stage in entry.stages or (stage not in set(Stage) and entry.id in entry_ids(stage))


def _bundle(options: argparse.Namespace) -> int:
    """Write what a report of an unexplained answer needs; printed where no file is named."""
    from vfdeck.app.commands import hosts
    from vfdeck.backend.bundle import bundle, to_json

    answer, stage, about = (printable(text or "", 40) for text in (" ".join(options.what), options.stage, options.about))
    host = hosts.local(options.root) if options.demo is None else hosts.simulated(options.demo, options.seed)
    try:
        snapshot = host.snapshot()
        if about and about not in snapshot.functions:
            line = f"there is no function {about} here; expected an address as in `vfdeck tree`"
            raise Failure(failure.USAGE, led(line, snapshot.host.reached))
        text = to_json(bundle(host.kernel, snapshot, about, _errno(answer).upper(), stage))
    finally:
        host.close()
    if options.bundle == "-":
        sys.stdout.write(text)
        return 0
    with new_file(options.bundle) as out:
        out.write(text)
    print(f"{printable(options.bundle)} written; please look through it before you send it.")
    return 0


def _errno(text: str) -> str:
    """An errno as kernel logs give it (`error -16`) or as shells tell it (`Permission denied`) by its name; else the text."""
    told = {os.strerror(number).lower(): errno_name(number) for number in errno.errorcode}
    if text.lower() in told:
        return told[text.lower()]
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
    yield f"{entry.id}  {fill(entry.title, {})}"
    where = tuple(f"<{name}> {meaning}" for name, meaning in PLACEHOLDERS.items() if name in _used(entry))
    badge = badges().get(entry.id, "")
    shown = (f'"{badge}" in the dashboard\'s header',) if badge else ()
    parts = [("Badge", shown), *documents.sections(entry), ("where", where)]
    for name, texts in parts:
        for number, text in enumerate(texts):
            margin = f"  {name.lower() if number == 0 else '':<13} "
            bullet = f"{number + 1}. " if name == "Do" and len(texts) > 1 else ""
            yield textwrap.fill(
                bullet + text,
                min(WIDTH, output.width() or WIDTH),
                initial_indent=margin,
                subsequent_indent=" " * (len(margin) + len(bullet)),
                break_long_words=False,
                break_on_hyphens=False,
            )
