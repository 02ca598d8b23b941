"""What the Token panel says of a PF's token: the ways to set one now and whom that touches, who needs it, its history."""

from __future__ import annotations

from collections.abc import Iterator

from vfdeck.backend.changes import TokenWay
from vfdeck.backend.details import Details
from vfdeck.backend.facts import host_has
from vfdeck.backend.leading import led
from vfdeck.backend.model import Function, Role, Snapshot, TokenKnowledge
from vfdeck.backend.need import Need, need
from vfdeck.backend.rotation import WAYS, AnyToken, against, warnings
from vfdeck.backend.wording import token_event
from vfdeck.widgets.holder_words import holders_text
from vfdeck.widgets.sections import Fact, Section
from vfdeck.widgets.state import Tone, duration, index_of, plural, role_text

#: The ways of setting a token: a label, and how it is done.
WAY_WORDS = {
    TokenWay.FEATURE: ("own fd", "by the feature call on the descriptor that vfdeck holds"),
    TokenWay.OPEN: ("open", "by opening the PF with it"),
    TokenWay.BORROWED: ("other fd", "by the feature call on a copy of the descriptor that another program has open"),
    TokenWay.CURRENT: ("old token", "by the feature call on a descriptor that the token in force opens"),
}
#: How a token goes, by `TokenKnowledge.lost_by`.
_ENDS = {"unbound": "the PF was unbound", "rebound": "the PF was bound anew", "rebooted": "the host was started anew"}
#: So many VFs, suspects and leaks are told each.
_ENOUGH = 8


def token_sections(function: Function, pf: Function | None, snapshot: Snapshot, details: Details | None) -> list[Section]:
    """What there is to say of the token of `pf`, the function's own or that of its PF; `details` None: nobody asked."""
    needs = Section("Who needs it", tuple(_needs(function, pf, snapshot)))
    if pf is None or not pf.on_vfio or not host_has(snapshot.host, "vf_token"):
        return [needs]
    knowledge = snapshot.tokens.get(pf.bdf)
    return [
        Section(f"Setting the token of {pf.bdf}", tuple(_setting(pf, snapshot))),
        needs,
        Section("History", tuple(_history(knowledge, snapshot)) if knowledge else ()),
        Section("Who may have set another one", tuple(_suspects(knowledge, snapshot.taken)) if knowledge else ()),
        Section("Tokens in command lines and environments", tuple(_leaks(knowledge, details, snapshot.host.reached))),
    ]


def setting_digest(pf: Function, snapshot: Snapshot) -> Fact | None:
    """Whether a token could be set now, in a line; None where there is none."""
    if not pf.on_vfio or not host_has(snapshot.host, "vf_token"):
        return None
    ways = [WAY_WORDS[way][1] for way in WAYS if not next(against(way, AnyToken(pf.bdf, way), snapshot), "")]
    if not ways:
        return Fact("set it", "not possible now: the Token panel says why", Tone.DIM)
    return Fact("set it", f"possible now, {ways[0]}", Tone.PLAIN)


# -- setting ---------------------------------------------------------------------------------------------------------------
def _setting(pf: Function, snapshot: Snapshot) -> Iterator[Fact]:
    """Each way: possible now and whom it touches, or why not."""
    told: list[str] = []
    for way in WAYS:
        label, how = WAY_WORDS[way]
        reasons = "; ".join(against(way, AnyToken(pf.bdf, way), snapshot))
        if reasons:
            yield Fact(label, f"not now: {reasons}", Tone.DIM)
            continue
        yield Fact(label, f"can be set now, {how}", Tone.GOOD)
        touches = [text for text in warnings(AnyToken(pf.bdf, way), snapshot, frozenset()) if text not in told]
        yield from (Fact(" ", text, Tone.WARN) for text in touches)
        told += touches


# -- who needs it ----------------------------------------------------------------------------------------------------------
def _needs(function: Function, pf: Function | None, snapshot: Snapshot) -> Iterator[Fact]:
    """Of a VF whether it opens only with the token, and why; of a PF that and its VFs, those in use by name."""
    if function.role is not Role.PF:
        yield _need(role_text(function), need(snapshot, function.bdf))
        return
    yield _need("this PF", need(snapshot, function.bdf))
    index = index_of(snapshot)
    guarded = [vf for vf in snapshot.vfs_of(function.bdf) if need(snapshot, vf.bdf).by_group]
    held = [vf for vf in guarded if vf.bdf in index.holders]
    if guarded:
        yield Fact(
            "VFs", f"{plural(len(guarded), 'VF')} on vfio, of which {len(held)} {'is' if len(held) == 1 else 'are'} seen in use"
        )
    for vf in held[:_ENOUGH]:
        yield Fact(role_text(vf), f"{vf.bdf}, held by {holders_text(index.holders[vf.bdf])}", Tone.BUSY)
    if len(held) > _ENOUGH:
        yield Fact("more", f"{plural(len(held) - _ENOUGH, 'VF')} in use; the tree shows them", Tone.DIM)


def _need(label: str, found: Need) -> Fact:
    words = {True: "opens only with it", False: "opens without it", None: "cannot be told"}
    tone = {True: Tone.WARN, False: Tone.PLAIN, None: Tone.DIM}[found.by_group]
    return Fact(label, f"{words[found.by_group]}: {found.why}", tone)


# -- history ---------------------------------------------------------------------------------------------------------------
def _history(known: TokenKnowledge, snapshot: Snapshot) -> Iterator[Fact]:
    """What is known to have become of it, the latest first: what follows from what was seen, and what vfdecks wrote down."""
    now = snapshot.taken
    if known.confirmed is not None:
        yield Fact("in force", f"shown {_ago(known.confirmed, now)}")
    if known.begun:
        what = "it has not finished" if known.setting else "whether it did is not known"
        yield Fact("begun", f"another vfdeck began to set #{known.begun}; {what}", Tone.WARN)
    if known.since is not None and known.fingerprint:
        by = f" by {known.by}" if known.by else ""
        by += ", in an earlier run of vfdeck or another one" if known.earlier else ""
        yield Fact("set", f"#{known.fingerprint} {_ago(known.since, now)}{by}")
    elif known.since is not None:
        yield Fact("bound", f"{_ago(known.since, now)}, with a random token that nobody knows")
    for number, event in enumerate(known.events[: -_ENOUGH - 1 : -1]):
        yield Fact(" " if number else "written", f"{_ago(event.time, now)}: {token_event(event)}", Tone.DIM)
    if len(known.events) > _ENOUGH:
        way = led("vfdeck token status --history", snapshot.host.reached)
        yield Fact(" ", f"and {len(known.events) - _ENOUGH} more before: {way}", Tone.DIM)
    if known.lost:
        yield Fact("before", f"#{known.lost}, until {_ENDS.get(known.lost_by, 'the PF left vfio-pci')}", Tone.DIM)


def _ago(moment: float, now: float) -> str:
    return f"{duration(now - moment)} ago"


def _suspects(known: TokenKnowledge, now: float) -> Iterator[Fact]:
    """The programs that hold or held the PF: who opens it while no VF is in use may bring a token."""
    for suspect in known.suspects[:_ENOUGH]:
        which = "the same token" if suspect.fingerprint == known.fingerprint else f"#{suspect.fingerprint}"
        carries = f", carrying {which}" if suspect.fingerprint else ""
        yield Fact("", f"{suspect.program} ({suspect.pid}), first seen to hold it {_ago(suspect.seen, now)}{carries}", Tone.WARN)
    if len(known.suspects) > _ENOUGH:
        yield Fact("", f"and {len(known.suspects) - _ENOUGH} more", Tone.DIM)


# -- leaks -----------------------------------------------------------------------------------------------------------------
def _leaks(known: TokenKnowledge | None, details: Details | None, reached: str) -> Iterator[Fact]:
    """Which programs show a token to others; that of this PF first."""
    if details is None:
        return
    found = details.leaks
    if found is None:
        yield Fact("", "looking…", Tone.DIM)
        return
    mine = known.fingerprint if known else ""
    leaks = sorted(found.found, key=lambda leak: leak.fingerprint != mine)
    for leak in leaks[:_ENOUGH]:
        whose = ", which is this PF's last known" if mine and leak.fingerprint == mine else ""
        public = ", which stands in public documentation" if leak.well_known else ""
        where = f"{leak.program} ({leak.pid}), {leak.place}: #{leak.fingerprint}{whose}{public}"
        yield Fact("", where, Tone.BAD if whose or public else Tone.WARN)
    if len(leaks) > _ENOUGH:
        yield Fact("", f"and {len(leaks) - _ENOUGH} more: {led('vfdeck token scan', reached)}", Tone.DIM)
    if found.unseen:
        yield Fact("at least", f"{found.unseen} process{'es' if found.unseen > 1 else ''} could not be looked at", Tone.WARN)
    elif not leaks:
        yield Fact("", "none is seen", Tone.DIM)
