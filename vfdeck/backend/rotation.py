"""Setting and rotating a PF's token: which ways there are now, what is against the others, and whom it touches.

The kernel has two ways (vfio_pci_core.c). Opening the PF with a token sets it while no VF is in use, and compares it otherwise. The
feature call on an open fd of the PF sets it at any time, and asks neither for the old token nor for users; the fd may be a
duplicate of another program's (pidfd_getfd(2)), who goes on and notices nothing. Where nobody has the PF open, the token in force
opens it, which resets it under its VFs. All here is judged by a snapshot.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from vfdeck.backend.changes import OpenPath, SetToken, TokenWay, VerifyToken
from vfdeck.backend.facts import group_members, guarded, host_has, own_opens
from vfdeck.backend.leading import led
from vfdeck.backend.model import Certainty, Function, Holder, Role, Snapshot
from vfdeck.backend.token import Token
from vfdeck.backend.wording import listing, programs, role_of, unseen, who_holds

#: The ways, least invasive first: the feature call resets nothing and touches nobody; an open resets the PF when it is the first,
#: and the last one needs an open while VFs are in use.
WAYS = (TokenWay.FEATURE, TokenWay.OPEN, TokenWay.BORROWED, TokenWay.CURRENT)


@dataclass(frozen=True, slots=True)
class AnyToken:
    """Setting a token, whichever: what can be asked of it here depends on the PF, the way and the token in force only."""

    pf: str
    way: TokenWay | None = None
    current: Token | None = None


# -- which way -----------------------------------------------------------------------------------------------------------
def way(change: SetToken | AnyToken, snapshot: Snapshot, own: frozenset[str] = frozenset()) -> TokenWay:
    """The way that is taken: the one asked for, else the first that nothing seen is against.

    Where there is none: the one that comes closest, a duplicate where another program has the PF open, else an open.
    """
    if change.way is not None:
        return change.way
    possible = (way for way in WAYS if not next(against(way, change, snapshot, own), ""))
    return next(possible, TokenWay.BORROWED if _openers(snapshot, change.pf) else TokenWay.OPEN)


def against(way: TokenWay, change: SetToken | AnyToken, snapshot: Snapshot, own: frozenset[str] = frozenset()) -> Iterator[str]:
    """What is against setting the token of a PF on vfio in this way now. `own`: see `plan`."""
    pf = change.pf
    if way is TokenWay.FEATURE:
        if pf not in own_opens(snapshot, own):
            yield f"vfdeck does not hold {pf}, and the feature call needs an open fd of it"
    elif way is TokenWay.OPEN:
        yield from _against_opening(pf, snapshot)
    elif way is TokenWay.BORROWED:
        yield from _against_borrowing(pf, snapshot)
    elif way is TokenWay.CURRENT:
        taken = next(_group_taken(pf, snapshot), "")
        if taken:
            yield taken
        elif change.current is None:
            yield f"{pf} opens with the token in force, and that one is not given"


def no_way(change: SetToken, snapshot: Snapshot, own: frozenset[str]) -> Iterator[str]:
    """Why the token cannot be set now: what is against the way asked for, or against every way there is."""
    chosen = way(change, snapshot, own)
    reasons = list(against(chosen, change, snapshot, own))
    if reasons and change.way is None:
        others = (other for other in WAYS[1:] if other is not chosen)
        reasons += chain.from_iterable(against(other, change, snapshot, own) for other in others)
    if reasons:
        yield "; ".join(dict.fromkeys(reasons))


def _against_opening(pf: str, view: Snapshot) -> Iterator[str]:
    """Without an fd of the PF the token is set by an open, and only while no VF is in use (vfio_pci_validate_vf_token)."""
    users = [h for vf in view.vfs_of(pf) for h in surely(view.holders_of(vf.bdf))]
    if view.users_of(pf).value:
        yield f"VFs are in use ({listing(programs(users))}), so an open would only compare: set it where {pf} is open already"
    yield from _group_taken(pf, view)


def _group_taken(pf: str, view: Snapshot) -> Iterator[str]:
    if view.functions[pf].iommu_group is None:
        yield f"{pf} has no IOMMU group, so it cannot be opened"
    others = [h for member in group_members(view, pf) for h in surely(view.holders_of(member)) if not h.own]
    if others:
        yield f"the group of {pf} is taken by {who_holds(view, others)}"


def surely(holders: Iterable[Holder]) -> list[Holder]:
    """Without those of whom a file's name alone says so: anybody can make one, and nobody is to be stopped by it."""
    return [holder for holder in holders if not holder.by_name]


def _against_borrowing(pf: str, view: Snapshot) -> Iterator[str]:
    if not _openers(view, pf):
        yield f"no other program is seen to have {pf} open{unseen(view)}"
    elif not lenders(view, pf):
        for holder in _openers(view, pf):
            both = listing([pf, *_other_pfs(view, holder)])
            yield f"cannot tell which of the descriptors of {holder.program} ({holder.pid}) is {pf}: it may have {both} open"


def lenders(snapshot: Snapshot, pf: str) -> list[Holder]:
    """The programs whose descriptor of `pf` can be told, the surest first: they are asked in turn.

    The kernel names its function, or the program has no other PF on its bus: on an untold descriptor the feature call would
    succeed for any PF, and replace the token of the wrong one.
    """
    sure = [h for h in _openers(snapshot, pf) if h.certainty is Certainty.EXACT or not _other_pfs(snapshot, h)]
    return sorted(sure, key=lambda h: (h.certainty is not Certainty.EXACT, h.pid))


def borrows_from(change: SetToken, snapshot: Snapshot) -> list[Holder]:
    """The programs one of whose descriptors the change duplicates; none where it takes another way, or there are none."""
    return lenders(snapshot, change.pf) if way(change, snapshot) is TokenWay.BORROWED else []


def _openers(snapshot: Snapshot, pf: str) -> list[Holder]:
    """The other programs that have a descriptor of the PF itself; its group's node alone does not count, nor does a mapping."""
    return [h for h in surely(snapshot.holders_of(pf)) if not h.own and h.kind in ("device", "cdev")]


def _other_pfs(snapshot: Snapshot, holder: Holder) -> list[str]:
    """The other PFs on vfio of which the program may have a descriptor that nothing tells apart: those on the same bus."""
    bus = holder.bdf.rpartition(":")[0]
    held = [h for h in snapshot.holders if h.pid == holder.pid and h.certainty is not Certainty.EXACT]
    others = (h.bdf for h in held if h.bdf != holder.bdf and h.bdf.rpartition(":")[0] == bus)
    return [bdf for bdf in others if (f := snapshot.functions.get(bdf)) and f.role is Role.PF and f.on_vfio]


def witness(snapshot: Snapshot, pf: str, own: frozenset[str] = frozenset()) -> Function | None:
    """A VF of the PF that can be asked whether a token is in force, without anybody noticing; None where there is none."""
    return _free(snapshot, pf, own_opens(snapshot, own))


def _free(snapshot: Snapshot, pf: str, own: frozenset[str]) -> Function | None:
    free = (vf for vf in snapshot.vfs_of(pf) if not next(_against_asking(vf, OpenPath.GROUP, snapshot, own), ""))
    return min(free, key=lambda vf: bool(snapshot.holders_of(vf.bdf)), default=None)  # rather one that nobody even may hold


# -- whom it touches -----------------------------------------------------------------------------------------------------
def warnings(change: SetToken | AnyToken, snapshot: Snapshot, own: frozenset[str]) -> Iterator[str]:
    """What it means for others, whichever way is taken."""
    users = snapshot.users_of(change.pf)
    chosen = way(change, snapshot, own)
    if users.value:
        go_on = "Opened again, they" if chosen is TokenWay.CURRENT else "They go on; opened again, they"
        yield f"VFs in use: {users}. {go_on} need the new token"
    yield from _who_must_be_told(change.pf, snapshot)
    if chosen is TokenWay.CURRENT:
        yield f"{change.pf} is opened with its token in force and closed again: both reset it, and VFs in use may fail by it"
    if chosen in (TokenWay.OPEN, TokenWay.CURRENT):
        yield from by_name_only(snapshot, [*group_members(snapshot, change.pf), *(vf.bdf for vf in snapshot.vfs_of(change.pf))])
    if chosen is not TokenWay.OPEN:
        yield "programs that know only the old token are refused from now on"
    vf = witness(snapshot, change.pf, own)
    if vf is not None:
        yield f"{vf.bdf} is asked afterwards whether it is in force: whoever opens that VF in this very moment gets EBUSY"
    elif chosen is not TokenWay.OPEN:
        yield "whether it is in force afterwards cannot be asked: no VF is free to be asked"
    for holder in lenders(snapshot, change.pf)[:1] if chosen is TokenWay.BORROWED else []:
        yield f"{holder.program} ({holder.pid}) has {change.pf} open: the call is made on a duplicate of its fd; it goes on"
        if holder.certainty is not Certainty.EXACT:
            yield "this kernel does not name an fd's function (fdinfo, from 6.18): where its bus leaves a doubt, nothing is done"


def by_name_only(view: Snapshot, bdfs: Iterable[str]) -> Iterator[str]:
    """Who may hold one of these, where a file's name alone says so."""
    doubtful = [h for bdf in dict.fromkeys(bdfs) for h in view.holders_of(bdf) if h.by_name]
    if doubtful:
        yield f"{listing(programs(doubtful))}: anybody can make such a file; if it is the node, EBUSY is to be expected"


def concerned(pf: str, view: Snapshot) -> list[Holder]:
    """The other programs that have the PF or one of its VFs, the PF's first: started again, they need the new token."""
    return [h for f in (pf, *(vf.bdf for vf in view.vfs_of(pf))) for h in surely(view.holders_of(f)) if not h.own]


def _who_must_be_told(pf: str, view: Snapshot) -> Iterator[str]:
    """Who cannot start again before its configuration has the new token."""
    holders = {h.pid: h for h in concerned(pf, view)}
    vms = [f"{h.vm} ({h.program} {h.pid})" for h in holders.values() if h.vm]
    others = [f"{h.program} ({h.pid})" for h in holders.values() if not h.vm]
    if vms:
        vf = next((h.bdf for h in concerned(pf, view) if h.vm and h.bdf != pf), "VF")
        way = led(f"`vfdeck recipe {vf}`", view.host.reached)
        yield f"started again, these machines need the new token ({way} tells how to give it): {listing(vms)}"
    if others:
        yield f"started again, these need the new token: {listing(others)}"


# -- asking --------------------------------------------------------------------------------------------------------------
def cannot_ask(function: Function, path: OpenPath, snapshot: Snapshot, own: frozenset[str]) -> Iterator[str]:
    """Why a VF cannot be asked whether a token is the right one; the first reason names one that can be, where there is one.

    `own`: every function that this program holds.
    """
    pf = function.bdf if function.role is Role.PF else function.physfn
    for number, reason in enumerate(_against_asking(function, path, snapshot, own)):
        vf = _free(snapshot, pf, own) if number == 0 and pf in snapshot.functions else None
        instead = f"; {vf.bdf} is free and can be asked instead: all VFs of {pf} have the same token" if vf is not None else ""
        yield f"{reason}{instead}"


def _against_asking(function: Function, path: OpenPath, snapshot: Snapshot, own: frozenset[str]) -> Iterator[str]:
    bdf, host = function.bdf, snapshot.host
    if function.role is Role.PF:
        yield f"{bdf} is a PF: ask one of its VFs, since the question to itself would set its token while no VF is in use"
    elif function.role is not Role.VF:
        yield f"{bdf} is {role_of(function)}: no token applies to it"
    elif not host_has(host, "vf_token"):
        yield f"Linux {host.kernel} has no VF tokens; they came with 5.7"
    elif not function.on_vfio:
        yield f"{bdf} is on {function.driver or 'no driver'}: only a VF on vfio-pci is asked for a token"
    elif not guarded(snapshot, bdf):
        yield f"{bdf} opens without a token: its PF {function.physfn or ''} is not on vfio-pci"
    elif path is OpenPath.CDEV:
        yield from _cannot_ask_node(function, snapshot)
    else:
        yield from _cannot_ask_group(function, snapshot, own)


def _cannot_ask_group(function: Function, view: Snapshot, own: frozenset[str]) -> Iterator[str]:
    bdf, members = function.bdf, group_members(view, function.bdf)
    if not host_has(view.host, "match_first"):
        yield f"Linux {view.host.kernel} looks at the container before the token (before 5.19): it tells only who opens {bdf}"
    if function.iommu_group is None:
        yield f"{bdf} has no IOMMU group to ask through"
    held = surely(h for member in members for h in view.holders_of(member))
    mine = [member for member in members if member in own]
    if held or mine:
        who = who_holds(view, held) if held else f"vfdeck itself on {listing(mine)}"
        by_node = function.cdev and host_has(view.host, "cdev_token_works") and all(h.kind == "cdev" for h in held)
        instead = "; its own node can be asked" if by_node and not mine else ""
        yield f"could not ask: the group of {bdf} is taken by {who}, and opens once only (EBUSY){instead}"


def _cannot_ask_node(function: Function, view: Snapshot) -> Iterator[str]:
    bdf = function.bdf
    if function.cdev is None:
        yield f"{bdf} has no node of its own below /dev/vfio/devices"
    elif not host_has(view.host, "cdev_token_works"):
        yield f"Linux {view.host.kernel} takes no token on this path (from 6.18.3): ask through the group"
    held = [h for member in group_members(view, bdf) for h in surely(view.holders_of(member)) if h.kind != "cdev"]
    if held:
        yield f"could not ask: the group of {bdf} is open in {who_holds(view, held)}, so its own node answers EBUSY"


def asking_costs(change: VerifyToken, snapshot: Snapshot) -> Iterator[str]:
    """What the question costs others."""
    who = f"{change.bdf} or another of its IOMMU group" if len(group_members(snapshot, change.bdf)) > 1 else change.bdf
    yield f"whoever opens {who} in this very moment gets EBUSY; nothing is opened, reset or counted as in use"
    yield from by_name_only(snapshot, group_members(snapshot, change.bdf))
    if change.path is OpenPath.GROUP:
        yield "the kernel logs a refused open of it (VF token required, or incorrect)"
    else:
        yield "where the token is wrong, the kernel logs a refused open of it"
