"""Whom a change touches: what vanishes, who holds it, what the host loses. Sentences, most serious first.

What the host uses functions for comes from `vfdeck.backend.usage`, where somebody looked it up.
"""

from __future__ import annotations

from collections.abc import Iterable

from vfdeck.backend.changes import BindDriver, Change, ResetFunction, SetNumvfs, UnbindDriver, target_of
from vfdeck.backend.facts import NETWORK, blocking_members, vfs_of
from vfdeck.backend.leaving import takes_vfs
from vfdeck.backend.model import Function, Holder, Role, Snapshot, TokenState
from vfdeck.backend.usage.values import Usage
from vfdeck.backend.wording import listing, programs, unseen

#: Nobody looked.
NO_USAGE = Usage()


def going(change: Change, snapshot: Snapshot) -> list[Function]:
    """The functions that a change takes from the host, itself or with their PF: those whose use by the host is to be looked up.

    A reset takes them away for a moment, and whether their drivers find them again is not known.
    """
    function = snapshot.functions.get(target_of(change))
    if function is None or not isinstance(change, (SetNumvfs, BindDriver, UnbindDriver, ResetFunction)):
        return []
    if isinstance(change, SetNumvfs):
        return vfs_of(snapshot, function)
    return [function, *vfs_of(snapshot, function)] if function.driver is not None else []


def settings_lost(vfs: Iterable[Function]) -> list[str]:
    """What was set for VFs through their PF's driver ends with them (G4); only network functions have such settings."""
    if any(vf.class_code >> 16 == NETWORK for vf in vfs):
        return ["MAC addresses, VLANs and other settings of these VFs are lost (G4)"]
    return []


def vanishing_vfs(snapshot: Snapshot, pf: Function, why: str, usage: Usage = NO_USAGE) -> list[str]:
    """All VFs of a PF go: which, and what goes with them."""
    vfs = vfs_of(snapshot, pf)
    if not vfs:
        return []
    lost, users = interfaces_and_disks(vfs, usage), programs(_holders(snapshot, vfs))
    in_use = f"; in use: {listing(users)}" if users else ""
    number = "its one VF vanishes" if len(vfs) == 1 else f"all {len(vfs)} VFs vanish"
    with_them = f", and with {'it' if len(vfs) == 1 else 'them'}: {listing(lost)}" if lost else ""
    return [f"{why}{number} ({listing([vf.bdf for vf in vfs], 2)}){with_them}{in_use}"]


def interfaces_and_disks(functions: Iterable[Function], usage: Usage = NO_USAGE) -> list[str]:
    """The host's interfaces and disks on these functions: those that the snapshot shows, and those that were looked up."""
    found: dict[str, None] = {}
    for function in functions:
        interfaces = (*function.interfaces, *(i.name for i in usage.interfaces if i.bdf == function.bdf))
        disks = (*function.disks, *(disk.name for disk in usage.disks if disk.bdf == function.bdf))
        found |= dict.fromkeys([*(f"interface {name}" for name in interfaces), *(f"disk {name}" for name in disks)])
    return list(found)


#: Before what follows from VFs that may go, or may not.
_PERHAPS = "if its VFs go: "


def leaving_driver(snapshot: Snapshot, function: Function, usage: Usage = NO_USAGE) -> list[str]:
    """What goes when a function leaves its driver."""
    if function.driver is None:
        return []
    lost = interfaces_and_disks([function], usage)
    said = [f"{listing(lost)} of {function.bdf} vanish{'es' if len(lost) == 1 else ''} from the host"] if lost else []
    taken, vfs = takes_vfs(function.driver, snapshot.host), vfs_of(snapshot, function)
    said += _leaving_vfs(snapshot, function, taken, usage) if vfs else []
    if function.role is Role.PF and function.on_vfio and taken:
        said += _token_lost(snapshot, function)
    concerned = [f for f in (function, *(vfs if taken is not False else ())) if f.on_vfio]
    perhaps = _PERHAPS if taken is None and not function.on_vfio else ""
    return said + [perhaps + wait for wait in (waits(snapshot, _holders(snapshot, concerned)) if concerned else [])]


def _leaving_vfs(snapshot: Snapshot, pf: Function, taken: bool | None, usage: Usage) -> list[str]:
    """What becomes of the VFs of a PF that leaves its driver, as far as that is known of the driver."""
    vfs = vfs_of(snapshot, pf)
    if taken is False:
        behind = f"{pf.driver} leaves the {len(vfs)} VFs of {pf.bdf} behind"
        return [f"{behind}: vfio-pci takes no PF with VFs, and other drivers may not"]
    why = f"{pf.driver} {'takes the VFs with it: ' if taken else 'may leave its VFs behind, or take them with it: then '}"
    lost = [] if pf.on_vfio else settings_lost(vfs)
    return [*vanishing_vfs(snapshot, pf, why, usage), *(text if taken else f"{_PERHAPS}{text}" for text in lost)]


def _token_lost(snapshot: Snapshot, function: Function) -> list[str]:
    known = snapshot.tokens.get(function.bdf)
    which = f"its token #{known.fingerprint}" if known and known.state is TokenState.SET else "its token"
    return [f"{which} is lost; bound to vfio-pci again, {function.bdf} gets a random one that nobody knows"]


def reset(snapshot: Snapshot, function: Function, usage: Usage = NO_USAGE) -> list[str]:
    """Who loses what by a reset: whoever uses the function is not asked and not told (pci.c pci_reset_function).

    A PF's reset reaches its VFs: the kernel restores the PF's SR-IOV settings afterwards, and nothing of the VFs.
    """
    vfs = vfs_of(snapshot, function)
    said = []
    for what, concerned in ((f"{function.bdf} is", [function]), (f"its {len(vfs)} VFs are", vfs)):
        users, lost = programs(_holders(snapshot, concerned)), interfaces_and_disks(concerned, usage)
        names = [*users, *lost]
        if names:
            said.append(f"{what} used by {listing(names)}: work under way fails")
    if vfs and not said:
        said.append(f"its {len(vfs)} VFs are reset with it")
    if snapshot.unseen:
        said.append(f"{snapshot.unseen} processes could not be looked at: there may be users")
    return said


def waits(snapshot: Snapshot, holders: Iterable[Holder]) -> list[str]:
    """The kernel waits for holders, for as long as they like."""
    found = programs(holders)
    if found:
        return [f"the kernel waits, without limit, until {listing(found)} let{'s' if len(found) == 1 else ''} go{unseen(snapshot)}"]
    if snapshot.unseen:
        return [f"{snapshot.unseen} processes could not be looked at: there may be holders, and then the kernel waits for them"]
    return []


def company(snapshot: Snapshot, function: Function) -> list[str]:
    """Members of the group whose own drivers will keep it from user space."""
    names = [f"{f.bdf} ({f.driver})" for f in blocking_members(snapshot, function.bdf) if f.bdf != function.bdf]
    return (
        [f"group {function.iommu_group} cannot be used while {listing(names)} {'is' if len(names) == 1 else 'are'} in it"]
        if names
        else []
    )


def _holders(snapshot: Snapshot, functions: Iterable[Function]) -> list[Holder]:
    return [h for f in functions for h in snapshot.holders_of(f.bdf)]
