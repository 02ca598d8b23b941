"""`vfdeck holders`: who holds a function, or any of a host's; as text, as JSON, or as changes while they happen."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from vfdeck.app.commands import following, hosts, output
from vfdeck.backend.model import Certainty, Holder, ProblemKind, Role, Snapshot
from vfdeck.backend.report import holder_json
from vfdeck.widgets.holder_words import clock, how, since, where
from vfdeck.widgets.state import count_words, duration, plural, role_text

VERSION = 1

#: Exit statuses: somebody was found; nobody holds it; nobody was seen, but not everything could be looked at (EX_NOPERM).
FOUND, NOBODY, NOT_KNOWN = 0, 1, 77


def run(options: argparse.Namespace) -> int:
    """Look and print. Raises Failure: 64 for what is no address, 66 for a function that is not there."""
    asked = None if options.bdf is None else hosts.address(options.bdf)
    if options.watch:
        return _watch(options, asked)
    looked = hosts.looked_at(options)
    looks = hosts.looks(options, looked, () if asked is None else (asked,))
    several, held, unseen = hosts.are_several(options, looked), False, False

    def found() -> Iterator[_Found]:
        """One host after the other; each is told of before the next is looked at."""
        nonlocal held, unseen
        for _, snapshot in looks:
            about = _about(snapshot, asked)
            one = _Found(snapshot, about, [holder for holder in snapshot.holders if holder.bdf in about])
            held, unseen = held or bool(one.holders), unseen or snapshot.unseen > 0
            yield one

    if options.json:
        output.write_each((json.dumps(_report(asked, *one), indent=1) + "\n" for one in found()), several)
    else:
        output.write_blocks((*([f"{one.snapshot.host.name}:"] if several else []), *_lines(*one)) for one in found())
    if held:
        return FOUND
    return NOT_KNOWN if unseen else NOBODY


#: What tells one hold from another: function, process, and when that started.
_Hold = tuple[str, int, float | None]


class _Found(NamedTuple):
    """Who holds what on a host, of the functions that the question is about."""

    snapshot: Snapshot
    about: set[str]
    holders: list[Holder]


def _about(snapshot: Snapshot, asked: str | None) -> set[str]:
    """The functions that the question is about: all, or one, there or not; a PF stands for its VFs too."""
    if asked is None:
        return set(snapshot.functions)
    function = snapshot.functions.get(asked)
    return {asked, *(function.sriov.vfs if function is not None and function.sriov else ())}


# -- once ----------------------------------------------------------------------------------------------------------------
def _lines(snapshot: Snapshot, about: set[str], found: list[Holder]) -> Iterator[str]:
    """A line for each holder, then the users of the PFs concerned, then what could not be looked at."""
    rows = [_row(snapshot, holder) for holder in found]
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        yield from output.fitted("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    if not found:
        said = "nobody was seen to hold" if snapshot.unseen else "nobody holds"
        yield f"{said} {'anything' if len(about) != 1 else next(iter(about))}"
    for function in snapshot.functions.values():
        if function.bdf in about and function.role is Role.PF and function.sriov and function.sriov.vfs:
            yield f"VFs of {function.bdf} in use: {count_words(snapshot.users_of(function.bdf))}"
    hidden = snapshot.unseen - snapshot.unattributed
    if hidden:
        processes = "process" if hidden == 1 else "processes"
        yield from output.fitted(f"not looked at: {hidden} {processes}; there may be more holders")
    for problem in snapshot.problems:
        if problem.kind is ProblemKind.HOLDERS:
            yield from output.fitted(f"not known: {problem.what} ({problem.path})")


def _row(snapshot: Snapshot, holder: Holder) -> list[str]:
    function = snapshot.functions.get(holder.bdf)
    program = "vfdeck itself" if holder.own else f"{holder.program} ({holder.pid})"
    up = f"up {duration(snapshot.taken - holder.started)}" if holder.started is not None else ""
    role = role_text(function) if function else ""
    return [holder.bdf, role, program, f"user {holder.user or 'unknown'}", ", ".join(where(holder)) or "-", up, how(holder)]


def _report(asked: str | None, snapshot: Snapshot, about: set[str], found: list[Holder]) -> dict[str, Any]:
    """As described by schema/holders-v1.json."""
    counts = {pf.bdf: snapshot.users_of(pf.bdf) for pf in snapshot.pfs() if pf.bdf in about}
    return {
        "version": VERSION,
        "taken": snapshot.taken,
        "host": snapshot.host.name,
        "simulated": snapshot.host.simulated,
        "asked": asked,
        "certainty": _certainty(snapshot, found).value,
        "unseen": snapshot.unseen,
        "unattributed": snapshot.unattributed,
        "holders": [holder_json(holder) for holder in found],
        "users": [{"pf": pf, "value": count.value, "certainty": count.certainty.value} for pf, count in counts.items()],
    }


def _certainty(snapshot: Snapshot, found: list[Holder]) -> Certainty:
    """How certain the list as a whole is: no more than its weakest holder."""
    if snapshot.unseen:
        return Certainty.AT_LEAST
    return Certainty.EXACT if all(holder.certainty is Certainty.EXACT for holder in found) else Certainty.INFERRED


# -- while it happens ----------------------------------------------------------------------------------------------------
def _watch(options: argparse.Namespace, asked: str | None) -> int:
    watched = hosts.watched(options)
    try:
        _tell(following.followed(watched), [host.name for host in watched], asked, options)
    finally:
        for host in watched:
            host.close()
    return 0


def _tell(snapshots: Iterable[Snapshot], names: list[str], asked: str | None, options: argparse.Namespace) -> None:
    """Print of each host who holds what at first, then every change, until interrupted. Raises Failure: 66 where no host has it."""
    known: dict[str, dict[_Hold, Holder]] = {}
    missing: set[str] = set()
    for snapshot in snapshots:
        name, about = snapshot.host.name, _about(snapshot, asked)
        first, before = name not in known, known.get(name, {})
        if first and asked is not None and asked not in snapshot.functions:
            missing.add(name)
            if len(missing) == len(names):
                raise hosts.nowhere(asked, names, hosts.reached(options))
        about |= {bdf for bdf, _, _ in before}  # VFs that went
        now = {(h.bdf, h.pid, h.started): h for h in snapshot.holders if asked is None or h.bdf in about}
        changes = [("gone", holder) for key, holder in before.items() if key not in now]
        changes += [("held" if first else "came", holder) for key, holder in now.items() if key not in before]
        changes += [("changed", holder) for key, holder in now.items() if key in before and _way(before[key]) != _way(holder)]
        on = f" {name}:" if len(names) > 1 else ""
        tell = _json_change if options.json else _change
        lines = (tell(snapshot, change, holder, on) for change, holder in changes)
        output.write_lines(lines if options.json else (part for line in lines for part in output.fitted(line)))
        if first and name not in missing and not options.json:
            output.write_lines([f"{clock(snapshot.taken)}{on}  {_watching(snapshot, len(now))}"])
        sys.stdout.flush()
        known[name] = now


def _way(holder: Holder) -> tuple[str, Certainty]:
    """What may become another while somebody holds a function: first the group is open, then the device."""
    return holder.kind, holder.certainty


def _watching(snapshot: Snapshot, number: int) -> str:
    unseen = f"; {snapshot.unseen} processes could not be looked at" if snapshot.unseen else ""
    return f"{plural(number, 'holder')}{unseen}; waiting for changes"


def _change(snapshot: Snapshot, change: str, holder: Holder, on: str) -> str:
    sign = {"held": "=", "came": "+", "gone": "-", "changed": "~"}[change]
    function = snapshot.functions.get(holder.bdf)
    role = role_text(function) if function else "no longer there"
    program = "vfdeck itself" if holder.own else f"{holder.program} ({holder.pid})"
    held = "" if change == "came" else f", {since(holder, snapshot.taken)}"
    detail = ", ".join((f"user {holder.user or 'unknown'}", *where(holder), how(holder)))
    return f"{clock(snapshot.taken)}{on} {sign} {holder.bdf} {role}  {program}, {detail}{held}"


def _json_change(snapshot: Snapshot, change: str, holder: Holder, _: str) -> str:
    value = {"version": VERSION, "at": snapshot.taken, "host": snapshot.host.name, "change": change, "holder": holder_json(holder)}
    return json.dumps(value, separators=(",", ":"))
