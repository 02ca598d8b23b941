"""A PF's token: its history, in which ways it could be set now, and whom that would touch. What it is now, `facts` says."""

from __future__ import annotations

from collections.abc import Iterator

from vfdeck.backend.changes import TokenWay
from vfdeck.backend.facts import host_has
from vfdeck.backend.model import Function, Role, Snapshot
from vfdeck.backend.rotation import WAYS, AnyToken, against, warnings
from vfdeck.widgets.sections import Fact, Section
from vfdeck.widgets.state import Tone

#: The ways of setting a token: a label, and how it is done.
WAY_WORDS = {
    TokenWay.FEATURE: ("own fd", "by the feature call on the descriptor that vfdeck holds"),
    TokenWay.OPEN: ("open", "by opening the PF with it"),
    TokenWay.BORROWED: ("other fd", "by the feature call on a duplicate of another program's descriptor"),
}
#: How a token goes, by `TokenKnowledge.lost_by`.
_ENDS = {"unbound": "the PF was unbound", "rebound": "the PF was bound anew", "rebooted": "the host was started anew"}


def token_section(pf: Function, snapshot: Snapshot) -> Section:
    """The section of a PF on vfio-pci; without facts for anything else, and where the kernel knows no tokens."""
    if pf.role is not Role.PF or not pf.on_vfio or not host_has(snapshot.host, "vf_token"):
        return Section("", ())
    return Section("Setting the token", tuple(_facts(pf, snapshot)))


def _facts(pf: Function, snapshot: Snapshot) -> Iterator[Fact]:
    knowledge = snapshot.tokens.get(pf.bdf)
    if knowledge is not None and knowledge.by:
        yield Fact("set by", knowledge.by)
    if knowledge is not None and knowledge.lost:
        yield Fact("before", f"#{knowledge.lost}, until {_ENDS.get(knowledge.lost_by, 'the PF left vfio-pci')}", Tone.DIM)
    possible = False
    for way in WAYS:
        label, how = WAY_WORDS[way]
        reasons = "; ".join(against(way, pf.bdf, snapshot))
        possible = possible or not reasons
        yield Fact(label, f"not now: {reasons}" if reasons else f"can be set now, {how}", Tone.DIM if reasons else Tone.GOOD)
    if possible:
        touched = warnings(AnyToken(pf.bdf), snapshot, frozenset())
        yield from (Fact(" " if number else "touches", text, Tone.WARN) for number, text in enumerate(touched))
