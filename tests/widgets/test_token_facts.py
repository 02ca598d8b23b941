"""What the Token panel says: how a token could be set now, who needs it, what is remembered, who shows it."""

from __future__ import annotations

import pytest

from tests import values
from tests.widgets import hostile
from vfdeck.backend.details import Details
from vfdeck.backend.facts import pf_of
from vfdeck.backend.leaks import COMMAND_LINE, Leak, Leaks, NotRead
from vfdeck.backend.model import Happened, Snapshot, Suspect, TokenEvent, TokenKnowledge, TokenState
from vfdeck.widgets.sections import plain_text
from vfdeck.widgets.token_facts import token_sections

PF, VF, NOON = values.PF, values.VF, values.NOON
HIDDEN = tuple(NotRead(pid, "java", COMMAND_LINE, "EACCES", doubt=True) for pid in (8, 9))
SET = {"state": TokenState.SET, "fingerprint": "1a2b3c4d"}


def view(*holders: object, vfs: int = 2, **knowledge: object) -> Snapshot:
    tokens = [TokenKnowledge(PF, **{**SET, **knowledge})]  # type: ignore[arg-type]
    return values.snapshot(*values.make_fleet(vfs), holders=holders, tokens=tokens)


def text(seen: Snapshot, bdf: str = PF, details: Details | None = None) -> str:
    sections = token_sections(seen.functions[bdf], pf_of(seen, bdf), seen, details)
    return plain_text(section for section in sections if section.facts)


def test_the_ways_and_whom_they_touch() -> None:
    said = text(view())
    assert f"Setting the token of {PF}" in said
    assert "own fd: not now: vfdeck does not hold" in said
    assert "open: can be set now, by opening the PF with it" in said
    assert f"{VF} is asked afterwards" in said
    used = text(view(values.make_holder(VF), values.own_holder(PF)))
    assert "own fd: can be set now" in used
    assert "open: not now: VFs are in use" in used
    assert "VFs in use: 1. They go on" in used
    stuck = text(view(values.make_holder(VF)))
    assert "can be set now" not in stuck
    assert "They go on" not in stuck


def test_a_warning_is_told_once() -> None:
    said = text(view(values.own_holder(PF), values.make_holder(PF, 77, "dpdk")))
    assert said.count("is asked afterwards") == 1


def test_who_needs_it() -> None:
    said = text(view(values.make_holder(VF)))
    assert "this PF: opens only with it: 1 of its VFs in use" in said
    assert "VFs: 2 VFs on vfio, of which 1 is seen in use" in said
    assert f"VF 0: {VF}, held by qemu-system-x86 (4242)" in said
    of_vf = text(view(), VF)
    assert f"VF 0: opens only with it: its PF {PF} is on vfio-pci" in of_vf
    assert f"Setting the token of {PF}" in of_vf


def test_where_there_is_no_token() -> None:
    bare = values.snapshot(*values.make_fleet(1, driver="igb"))
    said = text(bare, VF)
    assert "opens without it: its PF" in said
    assert "Setting" not in said
    old = values.snapshot(*values.make_fleet(1), host={"kernel": "5.4.0"})
    assert "opens without it: Linux 5.4.0 has no VF tokens" in text(old, VF)


def test_what_is_remembered() -> None:
    said = text(
        view(since=NOON, by="alice", earlier=True, confirmed=NOON + 30, begun="00000000", lost="ffffffff", lost_by="rebooted")
    )
    assert "in force: shown 30 s ago" in said
    assert "another vfdeck began to set #00000000" in said
    assert "set: #1a2b3c4d 1 min ago by alice, in an earlier run of vfdeck or another one" in said
    assert "before: #ffffffff, until the host was started anew" in said
    assert "it has not finished" in text(view(begun="00000000", setting=True))
    assert "bound: 1 min ago, with a random token" in text(view(state=TokenState.UNSET, fingerprint="", since=NOON))


def test_what_was_written_down_is_told_the_latest_first() -> None:
    events = tuple(TokenEvent(Happened.SET, NOON + n, f"{n:08x}", "alice", way="open") for n in range(12))
    said = text(view(events=events))
    assert "written: 49 s ago: set #0000000b by alice" in said
    assert said.index("#0000000b") < said.index("#00000004")
    assert "#00000003" not in said
    assert "and 4 more before: vfdeck token status" in said


def test_suspects_with_what_they_carry() -> None:
    suspects = (Suspect("dpdk", 77, NOON, "aaaaaaaa"), *(Suspect("qemu", n, NOON) for n in range(9)))
    said = text(view(suspects=suspects))
    assert "dpdk (77), first seen to hold it 1 min ago, carrying #aaaaaaaa" in said
    assert "and 2 more" in said


def test_leaks() -> None:
    leaks = Leaks((Leak(7, "qemu", COMMAND_LINE, "99999999", True), Leak(8, "dpdk", COMMAND_LINE, "1a2b3c4d", False)), HIDDEN)
    said = text(view(), details=Details(PF, leaks=leaks))
    first, second = said.index("dpdk (8), command line: #1a2b3c4d, which is this PF's last known"), said.index("qemu (7)")
    assert first < second
    assert "#99999999, which stands in public documentation" in said
    assert "at least: 2 processes could not be looked at" in said
    assert "none is seen" in text(view(), details=Details(PF, leaks=Leaks(())))
    assert "none is seen" not in text(view(), details=Details(PF, leaks=Leaks((), HIDDEN[:1])))
    assert "looking…" in text(view(), details=Details(PF))
    assert "command lines and" not in text(view())


@pytest.mark.parametrize("foreign", hostile.TEXTS)
def test_foreign_text_is_shown_as_it_is(foreign: str) -> None:
    leaks = Leaks((Leak(7, foreign, foreign, foreign, True),))
    holder = values.make_holder(VF, program=foreign, vm=foreign)
    seen = view(holder, by=foreign, since=NOON, suspects=(Suspect(foreign, 7, NOON, foreign),))
    assert text(seen, details=Details(PF, leaks=leaks)).count(foreign) >= 6
