"""How things stand, in a letter, a word and a tone: the words that every widget shares.

A state is never told by colour alone: the letter and the word carry it, the tone repeats it.
"""

from __future__ import annotations

import enum
import re
from dataclasses import replace
from functools import cached_property

from vfdeck.backend.checks.advice import badge
from vfdeck.backend.facts import blocking_members, cdev_unguarded
from vfdeck.backend.model import (
    Certainty,
    Count,
    Function,
    Holder,
    HostFacts,
    Job,
    JobState,
    Role,
    Snapshot,
    TokenKnowledge,
    TokenState,
)
from vfdeck.backend.wording import replaced_by


class Tone(enum.StrEnum):
    """What a piece of text means; widgets turn it into a style through a component class of this name."""

    PLAIN = "plain"
    DIM = "dim"
    STRONG = "strong"
    GOOD = "good"
    BUSY = "busy"
    OWN = "own"
    WARN = "warn"
    BAD = "bad"


class State(enum.Enum):
    """How a function stands: letter, word, tone, and what it means in a sentence."""

    WAITING = ("W", "waiting", Tone.WARN, "a change of it waits in the kernel")
    OPEN = ("O", "open", Tone.OWN, "held open by vfdeck")
    IN_USE = ("U", "in use", Tone.BUSY, "held by another program")
    BUSY = ("B", "busy", Tone.OWN, "a change of it is being made")
    BLOCKED = ("G", "group", Tone.BAD, "on vfio, but another driver holds a member of its IOMMU group: it cannot be opened")
    UNSEEN = ("?", "unseen", Tone.WARN, "on vfio; not all programs could be looked at, so it may be in use")
    READY = ("R", "ready", Tone.GOOD, "on vfio, and nobody holds it")
    DRIVER = ("D", "driver", Tone.PLAIN, "bound to a driver of the host")
    NONE = ("N", "none", Tone.DIM, "no driver is bound to it")

    @property
    def letter(self) -> str:
        """The one letter that stands for it."""
        return self.value[0]

    @property
    def word(self) -> str:
        """The letter's word."""
        return self.value[1]

    @property
    def tone(self) -> Tone:
        """How it is coloured."""
        return self.value[2]

    @property
    def meaning(self) -> str:
        """What it means, in a sentence."""
        return self.value[3]


class Index:
    """Look-ups and sums over one snapshot that rows need often; get it from `index_of`."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.holders: dict[str, list[Holder]] = {}
        for holder in snapshot.holders:
            self.holders.setdefault(holder.bdf, []).append(holder)
        #: changes that are being made, by the function they are about
        self.running: dict[str, Job] = {job.target: job for job in snapshot.jobs if job.state is JobState.RUNNING}
        self._users: dict[str, Count] = {}
        #: what plain words are looked for in, by function, as far as somebody asked
        self.texts: dict[str, str] = {}

    def state(self, function: Function) -> State:
        """How `function` stands."""
        job = self.running.get(function.bdf)
        if job is not None:
            return State.WAITING if job.waits_for or job.advice else State.BUSY
        holders = self.holders.get(function.bdf)
        if holders:
            return State.OPEN if any(h.own for h in holders) else State.IN_USE
        if not function.on_vfio:
            return State.NONE if function.driver is None else State.DRIVER
        if blocking_members(self.snapshot, function.bdf):
            return State.BLOCKED
        return State.UNSEEN if self.snapshot.unseen or self.snapshot.unattributed else State.READY

    def users(self, pf: Function) -> Count:
        """The PF's VFs in use, as `Snapshot.users_of` counts them, without walking all holders of the host."""
        count = self._users.get(pf.bdf)
        if count is None:
            holders = tuple(h for vf in self.snapshot.vfs_of(pf.bdf) for h in self.holders.get(vf.bdf, ()))
            count = self._users[pf.bdf] = replace(self.snapshot, holders=holders).users_of(pf.bdf)
        return count

    @cached_property
    def pfs(self) -> int:
        """How many PFs there are."""
        return sum(1 for f in self.snapshot.functions.values() if f.role is Role.PF)

    @cached_property
    def vfs(self) -> int:
        """How many VFs there are."""
        return sum(1 for f in self.snapshot.functions.values() if f.role is Role.VF)

    @cached_property
    def badge(self) -> str:
        """The most serious of what the kernel itself does not enforce, in two or three words; "" where there is nothing."""
        return badge(self.snapshot)

    @cached_property
    def oddities(self) -> tuple[tuple[str, Tone], ...]:
        """What is not as it should be on the host, in a few words each, the worst first."""
        snapshot, host = self.snapshot, self.snapshot.host
        functions = snapshot.functions
        # a function alone in its group is blocked by nobody
        shared = [bdf for group in snapshot.groups.values() if len(group.members) > 1 for bdf in group.members]
        blocked = sum(1 for bdf in shared if bdf in functions and self.state(functions[bdf]) is State.BLOCKED)
        waiting = sum(1 for job in self.running.values() if job.waits_for or job.advice)
        slow = sum(1 for f in functions.values() if f.link is not None and f.link.degraded)
        unset = sum(1 for known in snapshot.tokens.values() if known.state is TokenState.UNSET)
        found = (
            (bool(snapshot.problems), f"! {plural(len(snapshot.problems), 'problem')}", Tone.BAD),
            (blocked > 0, f"{blocked} blocked by their group", Tone.BAD),
            (waiting > 0, f"{plural(waiting, 'change')} waiting", Tone.WARN),
            (not host.iommu, "no IOMMU", Tone.WARN),
            (host.enable_sriov is False, "vfio-pci makes no VFs (enable_sriov N)", Tone.WARN),
            (not host.privileged, "not privileged: what needs root is refused", Tone.WARN),
            (snapshot.unseen > 0, f"{snapshot.unseen} processes not looked at", Tone.WARN),
            (bool(self.badge), self.badge, Tone.WARN),
            (slow > 0, f"{plural(slow, 'link')} below full speed", Tone.WARN),
            (unset > 0, f"{plural(unset, 'token')} unset", Tone.WARN),
        )
        return tuple((text, tone) for is_so, text, tone in found if is_so)

    @cached_property
    def all_users(self) -> Count:
        """The VFs in use on the whole host."""
        counts = [self.users(pf) for pf in self.snapshot.pfs()]
        worst = next((c.certainty for c in counts if c.certainty is not Certainty.EXACT), Certainty.EXACT)
        return Count(sum(c.value for c in counts), worst)


_indexes: dict[str, Index] = {}


def index_of(snapshot: Snapshot) -> Index:
    """The index of `snapshot`, made once; only that of a host's latest snapshot is kept."""
    index = _indexes.get(snapshot.host.name)
    if index is None or index.snapshot is not snapshot:
        index = _indexes[snapshot.host.name] = Index(snapshot)
    return index


_BRACKETS = re.compile(r"\[([^\[\]]+)\]\s*$")
_FILLER = re.compile(r"^(?:Ethernet (?:Controller|Adapter) |Infiniband controller )|(?: Family)?(?: for .*)?$", re.IGNORECASE)


def short_name(function: Function) -> str:
    """The device's name without what every such name has: `MT2892 Family [ConnectX-6 Dx]` is `ConnectX-6 Dx`."""
    if not function.device:
        return function.name
    bracket = _BRACKETS.search(function.device)
    return bracket[1].strip() if bracket else _FILLER.sub("", function.device).strip() or function.device


def role_text(function: Function) -> str:
    """`PF`, `VF 3`, or `plain`."""
    if function.role is Role.VF and function.vf_index is not None:
        return f"VF {function.vf_index}"
    return str(function.role)


def guard(function: Function, snapshot: Snapshot) -> TokenKnowledge | None:
    """What is known of the token that guards a function: a PF's own, a VF's PF's. None where none does."""
    pf = snapshot.functions.get(function.physfn or "") if function.role is Role.VF else function
    if pf is None or pf.role is not Role.PF:
        return None
    knowledge = snapshot.tokens.get(pf.bdf)
    if knowledge is None and pf.on_vfio and function.role is Role.VF:
        return TokenKnowledge(pf.bdf, TokenState.UNKNOWN)
    return None if knowledge is None or knowledge.state is TokenState.NONE else knowledge


def token_cell(function: Function, snapshot: Snapshot) -> tuple[str, Tone]:
    """The token column: what is known of a PF's token; of a VF, whether it opens only with its PF's, or for nobody."""
    knowledge = guard(function, snapshot)
    if knowledge is None:
        return "", Tone.DIM
    if function.role is Role.VF:
        return ("unset", Tone.WARN) if knowledge.state is TokenState.UNSET else ("needed", Tone.DIM)
    if knowledge.state is TokenState.SET:
        return f"#{knowledge.fingerprint}", Tone.GOOD
    return str(knowledge.state), Tone.WARN


def by_group(host: HostFacts) -> str:
    """` by its group` where a VF's own node asks for no token, so that only that path is guarded (D17); else nothing."""
    return " by its group" if cdev_unguarded(host) else ""


def token_words(knowledge: TokenKnowledge | None, by: str = "") -> tuple[str, Tone]:
    """What is known of a PF's token, with how well, in a sentence; `by` names the path it guards where it does not guard all."""
    if knowledge is None or knowledge.state is TokenState.NONE:
        return "none: not on vfio-pci, so nothing guards its VFs", Tone.DIM
    if knowledge.state is TokenState.SET:
        how = "let an open through" if knowledge.proved else "set by vfdeck"
        unseen = "nobody watched since" if knowledge.earlier else "nothing seen that replaced it"
        sure = ", confirmed by the kernel" if knowledge.confirmed is not None and not knowledge.proved else ""
        return f"{how}, #{knowledge.fingerprint}{sure} (inferred: {unseen})", Tone.GOOD
    if knowledge.state is TokenState.UNSET:
        return f"unset: random, nobody knows it; no VF opens{by} until one is set (inferred: nobody seen that set one)", Tone.WARN
    who = replaced_by(knowledge)
    if knowledge.fingerprint:
        return f"#{knowledge.fingerprint}, possibly replaced since: {who} (inferred)", Tone.WARN
    return "unknown: set before vfdeck looked, never, or by another program since" + (f"; {who}" if who else ""), Tone.WARN


def count_words(count: Count) -> str:
    """A count with its certainty in words."""
    words = {
        Certainty.EXACT: "",
        Certainty.AT_LEAST: " (at least: not all could be looked at)",
        Certainty.INFERRED: " (inferred: told by group, not by device)",
        Certainty.UNKNOWN: " (unknown)",
    }
    return f"{count}{words[count.certainty]}"


def duration(seconds: float) -> str:
    """A time span as a person says it: `4 s`, `3 min`, `2 h 5 min`, `3 d`."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    if whole < 86400:
        hours, minutes = whole // 3600, whole % 3600 // 60
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{whole // 86400} d"


def plural(number: int, word: str) -> str:
    """`1 VF`, `2 VFs`, `10,000 VFs`."""
    return f"{number:,} {word}" if number == 1 else f"{number:,} {word}s"
