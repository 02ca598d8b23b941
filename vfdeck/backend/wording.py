"""Facts as words: what fills the placeholders of the catalogue, and how programs and functions are named in sentences."""

from __future__ import annotations

import stat
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Optional

from vfdeck.backend.evidence import CAP_DAC_OVERRIDE, known
from vfdeck.backend.facts import Facts, blocking_members
from vfdeck.backend.kernel import Stage
from vfdeck.backend.model import (
    Function,
    Happened,
    Holder,
    Role,
    Snapshot,
    TokenEvent,
    TokenKnowledge,
    TokenState,
    address_after,
)
from vfdeck.backend.token_rules import ArgumentFault, judge, parse_argument
from vfdeck.backend.vfio import DEVICES

#: How many names a sentence holds before it says "and N more".
ENOUGH = 4

Word = Callable[[Facts], Optional[str]]


def listing(names: Sequence[str], enough: int = ENOUGH) -> str:
    """`a, b and 3 more`."""
    if len(names) <= enough + 1:
        return ", ".join(names)
    return f"{', '.join(names[:enough])} and {len(names) - enough} more"


def programs(holders: Iterable[Holder]) -> list[str]:
    """Holders by program and pid, each with what it holds: `qemu-system-x86 (4242) on 0000:03:10.0`."""
    held: dict[str, list[str]] = {}
    for holder in holders:
        number = f"{holder.pid}, by a file's name only" if holder.by_name else holder.pid
        who = "vfdeck itself" if holder.own else f"{holder.program} ({number})"
        bdfs = held.setdefault(who, [])
        if holder.bdf not in bdfs:
            bdfs.append(holder.bdf)
    return [f"{who} on {listing(bdfs, 2)}" for who, bdfs in held.items()]


def unseen(snapshot: Snapshot) -> str:
    """` (12 processes could not be looked at)`, or nothing."""
    return f" ({snapshot.unseen} processes could not be looked at)" if snapshot.unseen else ""


def who_holds(snapshot: Snapshot, holders: Iterable[Holder]) -> str:
    """The programs as one phrase, never claiming that there is nobody where not every process could be looked at."""
    return (listing(programs(holders)) or "nobody that vfdeck could see") + unseen(snapshot)


def role_of(function: Function | None) -> str:
    """What a function is to SR-IOV, with its article."""
    if function is None:
        return "not there"
    if function.role is Role.VF:
        return f"a VF of {function.physfn or 'a PF that is not visible'}"
    return "a PF" if function.role is Role.PF else "neither a PF nor a VF"


def token_history(knowledge: TokenKnowledge | None) -> str:
    """What is known of a PF's token, as a sentence."""
    state = knowledge.state if knowledge else TokenState.UNKNOWN
    if state is TokenState.SET and knowledge:
        where = "in an earlier run, or by another vfdeck," if knowledge.earlier else "here"
        how = "let an open through" if knowledge.proved else f"was set {where}"
        confirmed = f", and was right{_at(knowledge.confirmed)}" if knowledge.confirmed not in (None, knowledge.since) else ""
        return f"The PF's token #{knowledge.fingerprint} {how}{_at(knowledge.since)}{confirmed}."
    if state is TokenState.UNSET and knowledge:
        bound = f"The PF was bound{_at(knowledge.since)} and nobody was seen to set a token since"
        return f"{bound}: it is a random one that nobody knows."
    if state is TokenState.NONE:
        return "The PF has no token."
    if knowledge is not None and knowledge.fingerprint:
        return f"The PF's token was #{knowledge.fingerprint}, and may have been replaced since: {replaced_by(knowledge)}."
    return "What the PF's token is, and whether anybody set one, is not known here."


def replaced_by(knowledge: TokenKnowledge) -> str:
    """Who may have replaced a token, and how that was seen, as a clause; "" where nobody is known to have had the chance."""
    if knowledge.begun:
        what = "and has not finished" if knowledge.setting else "and it is not known whether it did"
        return f"another vfdeck began to set #{knowledge.begun}, {what}"
    if not knowledge.suspects:
        return ""
    last = knowledge.suspects[-1]
    same = bool(last.fingerprint) and last.fingerprint == knowledge.fingerprint
    brought = f" and carries {'the same' if same else '#' + last.fingerprint}" if last.fingerprint else ""
    more = f", and {len(knowledge.suspects) - 1} more did" if knowledge.suspects[1:] else ""
    return f"{last.program} ({last.pid}) was seen to hold the PF{brought}{more}"


#: How a token was set, by `TokenEvent.way`.
WAYS_TAKEN = {
    "open": "by opening the PF",
    "feature": "on an open descriptor of vfdeck's",
    "borrowed": "on another program's descriptor",
    "current": "on a descriptor that the token before it opened",
}


def token_event(event: TokenEvent) -> str:
    """What happened to a token, in words, without the time: `set #1a2b3c4d by alice, by opening the PF`."""
    name = f"#{event.fingerprint}" if event.fingerprint else "the token that was known"
    who = f" by {event.by}" if event.by else ""
    run = "" if event.own else f" in run {event.run} of vfdeck" if event.run else ""
    way = f", {WAYS_TAKEN[event.way]}" if event.way in WAYS_TAKEN else ""
    if event.what is Happened.SET:
        shown = f"; last shown to be in force{_at(event.confirmed)}" if event.confirmed is not None else "; not confirmed"
        return f"set {name}{who}{run}{way}{shown}"
    if event.what is Happened.REFUSED:
        return f"the kernel refused {name}, which was to be set{who}{run}{way}"
    if event.what is Happened.BEGUN:
        return f"began to set {name}{who}{run}{way}; what came of it is not told"
    if event.what is Happened.FOUND:
        return f"{name} was shown to be in force{who}{run}; nobody told that they set it"
    # DOUBTED
    return f"{name} is not in force, or may not be{who and f' (found{who}{run})'}"


def _at(seconds: float | None) -> str:
    return "" if seconds is None else time.strftime(" at %Y-%m-%d %H:%M UTC", time.gmtime(seconds))


def vf_address(pf: Function | None, index: int) -> str | None:
    """Where VF number `index` of a PF sits: routing id of the PF plus offset plus stride for each (PCIe SR-IOV; iov.c)."""
    sriov = pf.sriov if pf else None
    if pf is None or sriov is None or not sriov.offset or sriov.stride is None or index < 0:
        return None
    return address_after(pf.bdf, sriov.offset + sriov.stride * index)


def group_node(function: Function | None) -> str | None:
    """`/dev/vfio/12` or `/dev/vfio/noiommu-0`; None for a function without group."""
    if function is None or function.iommu_group is None:
        return None
    return f"/dev/vfio/{'noiommu-' if function.noiommu else ''}{function.iommu_group}"


def argument_fault(facts: Facts) -> ArgumentFault | None:
    """What is wrong with the string that the caller made, if it made one."""
    return parse_argument(facts.argument, facts.bdf).fault if facts.argument is not None else None


def _fault(facts: Facts) -> str:
    fault = argument_fault(facts)
    if fault is not None:
        return fault.rule
    if facts.token_given and not facts.has("vf_token"):
        return "before Linux 5.7 the name must stand alone, without options"
    return "what is wrong with it is not known"


def _judgement(facts: Facts) -> str:
    """The row of the decision table that refuses here, in words."""
    if facts.role is None:
        return "the function is not there any more"
    is_guarded = facts.pf is not None and facts.pf.on_vfio
    return judge(facts.role, is_guarded, max(facts.users.value, 1), facts.token_given, lambda: False).reason


def _ended(facts: Facts) -> str:
    """How the PF's last token went."""
    by = facts.knowledge.lost_by if facts.knowledge else ""
    return {"rebound": f"{_pf(facts)} was bound anew", "rebooted": "the host was started anew"}.get(
        by, f"{_pf(facts)} left its driver"
    )


def _given(facts: Facts) -> str:
    if facts.token is not None:
        return f"#{facts.token.fingerprint}"
    return "one in the caller's string" if facts.token_given else "none"


def _members(facts: Facts) -> str:
    found = [f"{f.bdf} ({f.driver})" for f in blocking_members(facts.snapshot, facts.bdf)]
    return listing(found) or "a member on a driver that does its own DMA (none seen)"


def _users(facts: Facts) -> str:
    return str(facts.users)


def _pids(facts: Facts) -> str | None:
    return ",".join(dict.fromkeys(str(h.pid) for h in facts.in_the_way if not h.own)) or None


def _enable_sriov(facts: Facts) -> str:
    now = known(facts.evidence.enable_sriov)
    if now is not None:
        return "Y" if now else "N"
    return {True: "Y by now", False: "N", None: "nothing: it is not there"}[facts.snapshot.host.enable_sriov]


def _privilege(facts: Facts) -> str:
    return "as root" if facts.snapshot.host.privileged else "as an ordinary user"


def _access(facts: Facts) -> str:
    """The mode and owner of what was refused, and with what rights vfdeck came; the latter alone where nothing was read."""
    node, who = known(facts.evidence.node), known(facts.evidence.rights)
    if node is None or who is None:
        return f"vfdeck runs {_privilege(facts)}"
    listed = " and an access list" if node.acl else ""
    mode = f"{facts.target} has mode {stat.S_IMODE(node.mode):04o}, owner {node.uid}, group {node.gid}{listed}"
    able = "with" if who.may(CAP_DAC_OVERRIDE) else "without"
    return f"{mode}; vfdeck runs as uid {who.uid} {able} CAP_DAC_OVERRIDE{' in a user namespace' if who.user_namespace else ''}"


def _vf_bars(facts: Facts) -> str | None:
    """How many of the VFs' BARs have an address."""
    windows = known(facts.evidence.vf_windows)
    if windows is None:
        return None
    return f"{sum(window.assigned for window in windows)} of {len(windows)} have an address" if windows else "none"


def _buses(facts: Facts) -> str | None:
    buses = known(facts.evidence.bus_range)
    return None if buses is None else f"{buses.start:02x} to {buses.stop - 1:02x}"


def _links(facts: Facts) -> str | None:
    said = {True: "up", False: "down", None: "unknown"}
    return ", ".join(f"{name} {said[known(up)]}" for name, up in (known(facts.evidence.links) or {}).items()) or None


def _override_now(facts: Facts) -> str | None:
    override = known(facts.evidence.override)
    return None if override is None else override or "not set"


def _pf(facts: Facts) -> str:
    return facts.pf.bdf if facts.pf else facts.bdf


def _function(read: Callable[[Function], str | None]) -> Word:
    """A word about the function, where it is there."""
    return lambda facts: read(facts.function) if facts.function else None


#: What each placeholder is filled with; None where it is not known.
WORDS: dict[str, Word] = {
    "bdf": lambda f: f.bdf,
    "dev": lambda f: f"{DEVICES}/{f.bdf}",
    "role": lambda f: role_of(f.function),
    "ids": _function(lambda f: f"{f.vendor_id:04x}:{f.device_id:04x}"),
    "class": _function(lambda f: f"{f.class_code:06x}"),
    "driver": lambda f: f.driver or "no driver",
    "override": lambda f: (f.function.driver_override if f.function else None) or "not set",
    "wanted": lambda f: f.wanted,
    "interfaces": _function(lambda f: ", ".join(f.interfaces) or None),
    "disks": _function(lambda f: ", ".join(f.disks) or None),
    "group": _function(lambda f: None if f.iommu_group is None else str(f.iommu_group)),
    "node": lambda f: group_node(f.function),
    "cdev": _function(lambda f: f.cdev and f"/dev/vfio/devices/{f.cdev}"),
    "members": _members,
    "pf": _pf,
    "pfdev": lambda f: f"{DEVICES}/{_pf(f)}",
    "pf_driver": lambda f: (f.pf.driver if f.pf else None) or "no driver",
    "total": lambda f: None if f.total is None else str(f.total),
    "present": lambda f: str(f.present if f.got is None else f.got),
    "count": lambda f: None if f.count is None else str(f.count),
    "last_vf": lambda f: vf_address(f.pf, (f.count or 0) - 1),
    "enable_sriov": _enable_sriov,
    "users": _users,
    "holders": lambda f: who_holds(f.snapshot, f.in_the_way),
    "pids": _pids,
    "unseen": lambda f: str(f.snapshot.unseen),
    "token": lambda f: token_history(f.knowledge),
    "ended": _ended,
    "given": _given,
    "judgement": _judgement,
    "fault": _fault,
    "access": _access,
    "override_now": _override_now,
    "vf_bars": _vf_bars,
    "buses": _buses,
    "links": _links,
    "lsms": lambda f: ", ".join(known(f.evidence.lsms) or ()) or None,
    "lockdown": lambda f: known(f.evidence.lockdown),
    "unseen_too": lambda f: unseen(f.snapshot),
    "kernel": lambda f: f.snapshot.host.kernel or "of unknown release",
    "privilege": _privilege,
    "path": lambda f: f.target if f.stage is Stage.FILE and f.target else None,
    "target": lambda f: f.target or f.bdf,
    "stage": lambda f: f.place,
    "errno": lambda f: f.answer,
}


def words(facts: Facts) -> dict[str, str]:
    """The placeholders that these facts fill."""
    found = {name: word(facts) for name, word in WORDS.items()}
    return {name: text for name, text in found.items() if text is not None}
