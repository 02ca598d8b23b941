"""`vfdeck token status`: what is known of each PF's token, how well, and which of its VFs need it."""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from collections.abc import Iterator
from typing import Any

from vfdeck.app import failure
from vfdeck.app.commands import hosts, outcomes, output
from vfdeck.app.failure import Failure
from vfdeck.backend.agent.remote_host import RemoteHost
from vfdeck.backend.leading import led
from vfdeck.backend.local_host import LocalHost
from vfdeck.backend.model import Function, ProblemKind, Role, Snapshot, TokenKnowledge, TokenState
from vfdeck.backend.need import Need, need
from vfdeck.backend.report import token_json
from vfdeck.backend.wording import listing, token_event
from vfdeck.widgets.state import by_group, count_words, token_words

VERSION = 1
#: Exit statuses: every token that guards VFs is known here; one is not.
KNOWN, NOT_KNOWN = 0, 1


def run(options: argparse.Namespace) -> int:
    """Print. Raises Failure: 64 for what is no PF, 66 for a function that is not there."""
    asked = list(dict.fromkeys(hosts.address(text) for text in options.pfs))
    looked = hosts.looked_at(options)
    found = [(_with_refusal(snapshot, host), _pfs(snapshot, asked)) for host, snapshot in hosts.looks(options, looked, asked)]
    _demand_pfs(asked, found, [host.name for host in looked], hosts.reached(options))
    found = [one for one in found if one[1] or not asked]
    several, tree = hosts.are_several(options, looked), options.demo is None and options.root != "/"
    if options.json:
        output.write_each([json.dumps(_report(*one), indent=1) + "\n" for one in found], several)
    else:
        output.write_blocks((*([f"{one[0].host.name}:"] if several else []), *_lines(*one, options.history, tree)) for one in found)
    return KNOWN if all(_in_hand(snapshot, pf) for snapshot, pfs in found for pf in pfs) else NOT_KNOWN


def _with_refusal(snapshot: Snapshot, host: object) -> Snapshot:
    """With the problem that nothing can be written into the journal, where that can be seen."""
    refusal = host.cannot_remember(make=False) if isinstance(host, (LocalHost, RemoteHost)) else None
    if refusal is None or any(problem.kind is ProblemKind.MEMORY for problem in snapshot.problems):
        return snapshot
    refusal = dataclasses.replace(refusal, what=f"{refusal.what}; what vfdeck does to tokens cannot be written down")
    return dataclasses.replace(snapshot, problems=(*snapshot.problems, refusal))


def _pfs(snapshot: Snapshot, asked: list[str]) -> list[Function]:
    """Those of the PFs asked for that are here; all where none is asked for."""
    here = (snapshot.functions.get(bdf) for bdf in asked)
    return [pf for pf in here if pf is not None and pf.role is Role.PF] if asked else snapshot.pfs()


def _demand_pfs(asked: list[str], found: list[tuple[Snapshot, list[Function]]], names: list[str], by: str) -> None:
    """Raise Failure where one that was asked for is nowhere a PF."""
    pfs = {pf.bdf for _, here in found for pf in here}
    for bdf in (bdf for bdf in asked if bdf not in pfs):
        function = next((snapshot.functions[bdf] for snapshot, _ in found if bdf in snapshot.functions), None)
        if function is None:
            raise hosts.nowhere(bdf, names, by)
        of = f" of {function.physfn}" if function.physfn else ""
        raise Failure(failure.USAGE, f"{bdf} is no PF but a {function.role}{of}; expected a PF: only they have tokens")


def _in_hand(snapshot: Snapshot, pf: Function) -> bool:
    """Whether its token is known, or guards nothing: no VF of it opens with one only."""
    known = snapshot.tokens.get(pf.bdf)
    if known is not None and known.state in (TokenState.SET, TokenState.NONE):
        return True
    return all(need(snapshot, vf.bdf).by_group is False for vf in snapshot.vfs_of(pf.bdf))


# -- text ------------------------------------------------------------------------------------------------------------------
def _lines(snapshot: Snapshot, pfs: list[Function], whole: bool, tree: bool) -> Iterator[str]:
    if not pfs:
        yield "no PF here: no function has SR-IOV"
    for pf in pfs:
        known = snapshot.tokens.get(pf.bdf)
        yield from outcomes.wrapped(token_words(known, by_group(snapshot.host))[0], f"{pf.bdf}  {pf.driver or 'no driver'}  ")
        if known is not None:
            for text in history(known):
                yield from outcomes.wrapped(text, "  ")
            if whole and tree:
                yield "  the journal of what vfdecks did is not consulted with --root"
            elif whole:
                yield from _events(known)
        if pf.on_vfio:
            yield f"  VFs in use: {count_words(snapshot.users_of(pf.bdf))}"
        if not _in_hand(snapshot, pf):
            yield from _ways_out(snapshot, pf)
        for vfs, about in _alike(snapshot, pf):
            yield from outcomes.wrapped(f"{_asked(about)}: {about.why}", f"  {listing([vf.bdf for vf in vfs], 2)}  ")
    for problem in snapshot.problems:
        if problem.kind is not ProblemKind.HOST:
            yield from outcomes.wrapped(f"{problem.what} ({problem.path})", "not known: ")


def _events(known: TokenKnowledge) -> Iterator[str]:
    """What vfdecks did to it since the PF was bound, a line for each."""
    if known.state is not TokenState.NONE and not known.events:
        yield "  no vfdeck has written down that it did anything to this token"
    for event in known.events:
        yield from outcomes.wrapped(token_event(event), f"  {_at(event.time).removeprefix(' at ')}  ")


def history(known: TokenKnowledge) -> Iterator[str]:
    """What else is known of a token: who set it, what became of earlier ones, who may have set another."""
    if known.by or known.earlier:
        by = f"by {known.by}" if known.by else "by a user who is not known"
        yield f"set {by}{_at(known.since)}" + (", in an earlier run of vfdeck or by another one" if known.earlier else "")
    elif known.since is not None:
        yield f"so{_at(known.since).replace(' at ', ' since ')}"
    if known.confirmed is not None:
        yield f"last shown to be in force{_at(known.confirmed)}"
    if known.begun:
        what = "it has not finished" if known.setting else "whether it did is not known"
        yield f"another vfdeck began to set #{known.begun}; {what}"
    for suspect in known.suspects:
        seen = f"{suspect.program} ({suspect.pid}) was seen to hold the PF{_at(suspect.seen)}"
        if suspect.fingerprint and suspect.fingerprint == known.fingerprint:
            yield f"{seen}: it carries the same token, and will have set no other (inferred)"
        else:
            which = f"#{suspect.fingerprint}, which it carries" if suspect.fingerprint else "another one"
            yield f"{seen}: it may have set {which} (inferred)"
    if known.lost:
        how = {"unbound": "was unbound", "rebound": "was bound anew", "rebooted": "was on a host that rebooted since"}
        yield f"#{known.lost} is lost: the PF {how.get(known.lost_by, 'left vfio-pci')}"


def _ways_out(snapshot: Snapshot, pf: Function) -> Iterator[str]:
    """What to do about a token that is not known here."""
    guarded = [vf.bdf for vf in snapshot.vfs_of(pf.bdf) if need(snapshot, vf.bdf).by_group is not False]
    free = next((vf for vf in guarded if not snapshot.holders_of(vf)), "VF")
    yield "  who has a token can ask whether it is this one:"
    yield led(f"    vfdeck token verify {free} --token-file FILE", snapshot.host.reached)
    yield "  where nobody has it, another can be set:"
    yield led(f"    vfdeck token rotate {pf.bdf} --out FILE", snapshot.host.reached)


def _at(seconds: float | None) -> str:
    return "" if seconds is None else time.strftime(" at %Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))


def _alike(snapshot: Snapshot, pf: Function) -> list[tuple[list[Function], Need]]:
    """The VFs of a PF, those together that need a token for the same reason."""
    found: dict[Need, list[Function]] = {}
    for vf in snapshot.vfs_of(pf.bdf):
        found.setdefault(need(snapshot, vf.bdf), []).append(vf)
    return [(vfs, about) for about, vfs in found.items()]


def _asked(about: Need) -> str:
    if about.by_group is None:
        return "not known whether a token is needed"
    if not about.by_group:
        return "no token needed"
    return "token needed by group, not by its own node" if about.by_cdev is False else "token needed"


# -- JSON ------------------------------------------------------------------------------------------------------------------
def _report(snapshot: Snapshot, pfs: list[Function]) -> dict[str, Any]:
    """As described by schema/tokens-v1.json."""
    host = snapshot.host
    return {
        "version": VERSION,
        "taken": snapshot.taken,
        "host": {"name": host.name, "kernel": host.kernel, "simulated": host.simulated},
        "pfs": [_pf_json(snapshot, pf) for pf in pfs],
        "problems": [{"path": problem.path, "what": problem.what, "kind": problem.kind.value} for problem in snapshot.problems],
    }


def _pf_json(snapshot: Snapshot, pf: Function) -> dict[str, Any]:
    known, users = snapshot.tokens.get(pf.bdf), snapshot.users_of(pf.bdf)
    return {
        "pf": pf.bdf,
        "driver": pf.driver,
        "token": token_json(known) if known is not None else None,
        "words": token_words(known, by_group(snapshot.host))[0],
        "users": {"value": users.value, "certainty": users.certainty.value},
        "vfs": [_vf_json(snapshot, vf) for vf in snapshot.vfs_of(pf.bdf)],
    }


def _vf_json(snapshot: Snapshot, vf: Function) -> dict[str, Any]:
    about = need(snapshot, vf.bdf)
    return {
        "bdf": vf.bdf,
        "index": vf.vf_index,
        "needed_by_group": about.by_group,
        "needed_by_cdev": about.by_cdev,
        "why": about.why,
    }
