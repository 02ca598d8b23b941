"""The judges: single facts of a host that tell causes of a refusal apart, each with the sentence that it gives as evidence.

The snapshot that they look at is from before the refused call; what can have changed since then is left open, not ruled out.
"""

from __future__ import annotations

from collections.abc import Callable

from vfdeck.backend.changes import SetToken
from vfdeck.backend.evidence import CAP_SYS_RAWIO, REFUSING_LSMS, Evidence, Rights, Unread, all_off, allows, sealed
from vfdeck.backend.facts import BRIDGE, Facts, blocking_members, denylisted, guarded
from vfdeck.backend.judging import (
    Judge,
    Verdict,
    both,
    either,
    judge,
    likely,
    maybe,
    no,
    of_function,
    reading,
    unread,
    with_,
    without,
)
from vfdeck.backend.kernel import FileStat
from vfdeck.backend.model import Certainty, Holder, Role, TokenState, is_vfio_driver
from vfdeck.backend.token_rules import ArgumentFault
from vfdeck.backend.wording import argument_fault, vf_address

# -- functions and drivers -------------------------------------------------------------------------------------------
missing = Judge(lambda f: f.function is None, "{bdf} was not there when vfdeck looked.", "{bdf} was there when vfdeck looked.")
is_pf = of_function(lambda f: f.role is Role.PF, "{bdf} is a PF.", "{bdf} is {role}.")
is_vf = of_function(lambda f: f.role is Role.VF, "{bdf} is {role}.", "{bdf} is {role}.")
is_plain = of_function(lambda f: f.role is Role.PLAIN, "{bdf} is {role}.", "{bdf} is {role}.")
not_pf = of_function(lambda f: f.role is not Role.PF, "{bdf} is {role}.", "{bdf} is a PF.")
no_driver = of_function(lambda f: f.driver is None, "{bdf} has no driver.", "{bdf} is on {driver}.")
no_hook = of_function(lambda f: f.driver not in (None, "vfio-pci"), "{bdf} is on {driver}.", "{bdf} is on {driver}.")
on_vfio_pci = of_function(lambda f: f.driver == "vfio-pci", "{bdf} is on vfio-pci.", "{bdf} is on {driver}.")
not_on_vfio = of_function(lambda f: not f.on_vfio, "{bdf} is on {driver}, not on a vfio driver.", "{bdf} is on {driver}.")
no_group = of_function(lambda f: f.iommu_group is None, "{bdf} is in no IOMMU group.", "{bdf} is in IOMMU group {group}.")
is_bridge = of_function(lambda f: f.class_code >> 8 == BRIDGE, "{bdf} is a bridge (class {class}).", "{bdf} is no bridge.")
is_noiommu = of_function(lambda f: f.noiommu, "Group {group} is a no-IOMMU group.", "{bdf} is in no no-IOMMU group.")
on_ixgbe = of_function(lambda f: (f.driver or "").startswith("ixgbe"), "{bdf} is on {driver}.", "{bdf} is on {driver}, not ixgbe.")
host_groups = Judge(
    lambda f: f.snapshot.host.iommu,
    "Other functions of this host are in IOMMU groups.",
    "No function of this host is in an IOMMU group.",
)
iommu_off = both(no_group, no(host_groups))
left_out = both(no_group, host_groups)
to_vfio = Judge(lambda f: is_vfio_driver(f.wanted), "The driver asked for is {wanted}.", "The driver asked for is not of vfio.")
to_kernel = no(to_vfio)
#: It had a driver before; a plan unbinds first, so that is no proof.
had_driver = maybe(no(no_driver))
#: A function with a group and no bridge: what vfio-pci should take.
ordinary = both(to_vfio, no(no_group), no(is_bridge))
has_vfs = Judge(lambda f: f.role is Role.PF and f.present > 0, "{bdf} has {present} VFs.", "{bdf} has no VFs.")
#: vfio-pci refuses a PF with VFs since it knows tokens.
pf_with_vfs = with_("vf_token", both(has_vfs, to_vfio))
is_root = Judge(lambda f: f.snapshot.host.privileged, "vfdeck runs as root.", "vfdeck does not run as root.")


#: The list of newer kernels can be longer than ours.
_listed = likely(
    Judge(
        lambda f: f.function is not None and denylisted(f.function, f.snapshot.host),
        "{bdf} ({ids}) is on the denylist.",
        "{bdf} ({ids}) is not on the denylist that vfdeck knows.",
        "{bdf} ({ids}) is on the denylist from Linux 6.10 on, and in later releases of older series.",
    )
)
_list_on = reading(lambda e: e.disable_denylist, lambda off, _: not off, fails="vfio-pci's disable_denylist is Y.")
on_denylist = both(with_("denylist"), ordinary, _list_on, _listed)


@judge("{bdf}'s driver_override is {override_now}.", "{bdf}'s driver_override is {override_now}.")
def not_reserved(facts: Facts) -> Verdict:
    """The function is not reserved for the driver that was asked for; before the bind the plan reserves it."""
    now = facts.evidence.override
    return None if isinstance(now, Unread) else now != facts.wanted


# -- the number of VFs -----------------------------------------------------------------------------------------------
def _enable_sriov(facts: Facts) -> bool | None:
    """vfio-pci's parameter, as read after the refusal or else as the snapshot has it."""
    now = facts.evidence.enable_sriov
    return facts.snapshot.host.enable_sriov if isinstance(now, Unread) else now


_no_parameter = Judge(
    lambda f: _enable_sriov(f) is None, "There is no parameter enable_sriov.", "vfio-pci's enable_sriov is {enable_sriov}."
)


@judge("vfio-pci's enable_sriov is N.", "vfio-pci's enable_sriov reads {enable_sriov}.", "vfio-pci's enable_sriov was Y before.")
def _switched_off(facts: Facts) -> Verdict:
    """With Y in the snapshot it may have been changed since; what was read after the refusal is certain."""
    state = _enable_sriov(facts)
    return True if state is False else None if isinstance(facts.evidence.enable_sriov, Unread) and state else False


sriov_missing = both(on_vfio_pci, _no_parameter)
sriov_off = both(on_vfio_pci, _switched_off)
overflow = Judge(
    lambda f: f.count is not None and not 0 <= f.count <= 0xFFFF,
    "{count} does not fit into 16 bits.",
    "{count} is a number of 16 bits.",
)
to_none = Judge(lambda f: f.count == 0, "The VFs were to be removed.", "VFs were to be made, not removed.")
#: As far as the total is known; a driver can have lowered it since.
above_total = likely(
    Judge(lambda f: f.total is not None and (f.count or 0) > f.total, "{pf} offers {total} VFs.", "{pf} offered {total} VFs.")
)


@judge("{pf} has {present} VFs.", "The number of VFs was to be 0.", "{pf} had no VFs, or as many, when vfdeck looked.")
def another_number(facts: Facts) -> Verdict:
    """From one number of VFs to another without 0 in between; VFs can have come since the snapshot."""
    if not facts.count:
        return False
    return True if facts.present and facts.present != facts.count else None


def _past_the_bridge(facts: Facts) -> Verdict:
    """Whether the last VF is on a bus that the bridge above the PF does not own; the PF's own bus it always owns."""
    last, buses = vf_address(facts.pf, (facts.count or 0) - 1), facts.evidence.bus_range
    if last is None:
        return None
    if isinstance(buses, Unread):
        return None if last[:-5] != facts.bdf[:-5] else False
    return int(last.split(":")[1], 16) not in buses


_BUSES = "The last VF would be {last_vf}; the bridge above {pf} owns the buses {buses}."
past_the_bridge = Judge(_past_the_bridge, _BUSES, _BUSES, lambda f: unread(f.evidence.bus_range))


#: A BAR without address is certain. None to be seen at all is as good: every VF has one, so the kernel gave them up (`vf_windows`).
no_room = reading(
    lambda e: e.vf_windows,
    lambda windows, _: not windows or any(not window.assigned for window in windows),
    "BARs of the VFs in {pfdev}/resource: {vf_bars}.",
    "BARs of the VFs in {pfdev}/resource: {vf_bars}, so there is room.",
)
got_fewer = Judge(
    lambda f: f.got is not None and 0 < f.got < (f.count or 0), "{present} VFs exist now.", "{present} VFs exist now."
)
got_none = Judge(lambda f: f.got == 0 and bool(f.count), "No VF exists now.", "{present} VFs exist now.")


def _off(facts: Facts) -> Verdict:
    """The PF's interfaces are switched off."""
    links = facts.evidence.links
    return None if isinstance(links, Unread) else all_off(links) if links else False


def _off_unread(facts: Facts) -> str:
    links = facts.evidence.links
    if isinstance(links, Unread):
        return unread(links)
    mixed = f"Of {', '.join(links)} some are off and some are on." if len(set(links.values())) > 1 else ""
    return next((text for up in links.values() if (text := unread(up))), mixed)


link_down = Judge(_off, "Interfaces of {pf}: {links}.", doubt=_off_unread)


def _held(holders: list[Holder]) -> Verdict:
    """Proved only where it is certain that this function is held; another of its group may be, and a holder may be unseen."""
    return True if any(h.certainty is Certainty.EXACT for h in holders) else None


vfs_held = Judge(
    lambda f: _held(f.vf_holders) if f.present else False,
    "VFs of {pf} are held by {holders}.",
    "{pf} has no VFs.",
    "No holder of a VF of {pf} was seen for certain{unseen_too}.",
)
function_held = Judge(
    lambda f: _held(f.snapshot.holders_of(f.bdf)),
    "{bdf} is held by {holders}.",
    doubt="No holder of {bdf} was seen for certain{unseen_too}.",
)
#: The function itself is held as far as vfdeck can see, and no VF of it is.
function_only = Judge(
    lambda f: _held(f.snapshot.holders_of(f.bdf)) if f.snapshot.holders_of(f.bdf) and not f.vf_holders else False,
    "{bdf} is held by {holders}.",
    doubt="As far as vfdeck can see, {bdf} is held by {holders}.",
)
#: A PF on vfio whose VFs are held leaves its driver.
vfs_go_too = both(is_pf, no(not_on_vfio), vfs_held)
#: A PF's own driver goes and removes VFs that are held.
vfs_left_behind = both(is_pf, not_on_vfio, vfs_held)


# -- nodes and files -------------------------------------------------------------------------------------------------
_BOTH, _WRITE = 0o6, 0o2


def _opens(node: FileStat | Unread, facts: Facts, wanted: int) -> Verdict:
    who = facts.evidence.rights
    return None if isinstance(node, Unread) or isinstance(who, Unread) else allows(node, who, wanted)


def _mode_unread(facts: Facts) -> str:
    node, who = facts.evidence.node, facts.evidence.rights
    if isinstance(node, Unread) or isinstance(who, Unread):
        return unread(node) or unread(who)
    if node.acl:
        return "Could not check: what the access list allows was not read."
    if who.user_namespace is None:
        return "Could not check: whether vfdeck runs in a user namespace, where root's rights do not reach every file."
    return "Could not check: in a user namespace root's rights reach only the files of owners that it maps."


def _by_rank(facts: Facts) -> Verdict:
    """Whether vfdeck may, by nothing but being root or not; open where more than that was read."""
    looked = not isinstance(facts.evidence.node, Unread) and not isinstance(facts.evidence.rights, Unread)
    return None if looked else facts.snapshot.host.privileged


def _refuses(wanted: int) -> Judge:
    """Mode and owner of what was refused keep vfdeck out. Where they were not read: likely, unless vfdeck runs as root."""

    def verdict(facts: Facts) -> Verdict:
        node = facts.evidence.node
        if wanted == _WRITE and not isinstance(node, Unread) and sealed(node):
            return True
        allowed = _opens(node, facts, wanted)
        return not allowed if allowed is not None else True if _by_rank(facts) is False else None

    return Judge(verdict, "{access}.", "{access}: the mode lets it in.", _mode_unread)


def _allowed_so_far(facts: Facts) -> Verdict:
    allowed = _opens(facts.evidence.node, facts, _BOTH)
    return allowed if allowed is not None else _by_rank(facts) or None


node_mode, file_mode = _refuses(_BOTH), _refuses(_WRITE)
_LETS_IN, _REFUSES = "{access}: the mode lets it in.", "{access}: the mode refuses it already."
_node_allows = Judge(_allowed_so_far, _LETS_IN, _REFUSES, _mode_unread)
_file_allows = Judge(lambda f: _opens(f.evidence.node, f, _WRITE), _LETS_IN, _REFUSES, _mode_unread)


_module_at_work = reading(
    lambda e: e.lsms,
    lambda modules, _: bool(REFUSING_LSMS.intersection(modules)),
    "Security modules at work: {lsms}.",
    "No security module is at work that could refuse it.",
)
#: What the mode allows and is refused all the same.
module_keeps_node = both(_node_allows, _module_at_work)
module_keeps_file = both(_file_allows, _module_at_work)
#: Root is refused, and the node's mode was not read: a module is likelier than the mode.
root_kept_out = maybe(both(Judge(lambda f: _by_rank(f) is True, "vfdeck runs as root."), _module_at_work))
nodev = reading(lambda e: e.mount, lambda options, _: "nodev" in options, "{target} is in a mount with the option nodev.")
read_only = reading(lambda e: e.mount, lambda options, _: "ro" in options, "{target} is in a read-only mount.")
_lockdown = reading(
    lambda e: e.lockdown, lambda state, _: state != "none", "The kernel's lockdown: {lockdown}.", "The kernel is not in lockdown."
)
_raw_file = Judge(
    lambda f: f.place == "config" or f.place.startswith("resource"), "{path} is raw access.", "{path} is not raw access."
)
#: Of sysfs's files, lockdown forbids config space and BARs (pci-sysfs.c).
in_lockdown = both(_raw_file, _lockdown)
stale = reading(
    lambda e: e.numbers,
    lambda numbers, f: None if isinstance(f.evidence.node, Unread) else f.evidence.node.device != numbers,
    "{target} has other numbers than sysfs gives for it.",
    "{target} has the numbers that sysfs gives for it.",
)


def _lacks_rawio(who: Rights, _: Facts) -> Verdict:
    has = who.on_host(CAP_SYS_RAWIO)
    return None if has is None else not has


no_rawio = reading(lambda e: e.rights, _lacks_rawio, "vfdeck lacks CAP_SYS_RAWIO.", "vfdeck has CAP_SYS_RAWIO.")
#: Real and no-IOMMU groups in one container are refused too, so having the capability leaves it open.
needs_rawio = both(is_noiommu, likely(no_rawio))
device_list = Judge(lambda f: None, doubt="Could not check: the cgroup's list of nodes is a program in the kernel.")


# -- groups ----------------------------------------------------------------------------------------------------------
def held_as(facts: Facts) -> set[str]:
    """How members of the group are held."""
    return {h.kind for h in facts.group_holders}


@judge("The group is held by {holders}.", "Only members' own nodes are held.", "No holder of the group was seen{unseen_too}.")
def group_taken(facts: Facts) -> Verdict:
    """Someone has the group's node or a device from it."""
    kinds = held_as(facts)
    return True if kinds - {"cdev"} else (False if kinds else None)


@judge("A member's own node is held by {holders}.", doubt="No holder of a member's own node was seen{unseen_too}.")
def _cdev_taken(facts: Facts) -> Verdict:
    return True if "cdev" in held_as(facts) else None


#: Someone has a member by its own node.
cdev_taken = with_("cdev", _cdev_taken)


_NOBODY = "No holder of the group was seen{unseen_too}."


@judge("The group is held by {holders}.", doubt=_NOBODY)
def _group_held(facts: Facts) -> Verdict:
    return bool(facts.group_holders) or (None if facts.snapshot.unseen else False)


#: A kernel driver is wanted, and a program has the group, or may where not every process could be looked at.
held_by_user = both(to_kernel, _group_held)
#: Where all could be, a holder may have come since.
held_since = both(to_kernel, Judge(lambda f: None, doubt=_NOBODY))


@judge("{bdf} is held by {holders}.", "No program holds {bdf}'s own node.", "No holder of {bdf}'s own node was seen{unseen_too}.")
def _own_node_held(facts: Facts) -> Verdict:
    if any(h.kind == "cdev" for h in facts.snapshot.holders_of(facts.bdf)) or facts.bdf in facts.own:
        return True
    return None if facts.snapshot.unseen else False


#: The function itself is open by its own node, here or elsewhere; a holder can have come since.
held_elsewhere = likely(_own_node_held)
has_blockers = Judge(
    lambda f: bool(blocking_members(f.snapshot, f.bdf)),
    "The group also holds {members}.",
    "No member of the group is on a driver that does its own DMA.",
)
#: Only direct regions tie a device down; "direct-relaxable" ones do not (iommu.c).
tied_memory = reading(
    lambda e: e.regions,
    lambda kinds, _: "direct" in kinds,
    "Group {group} has a direct reserved region.",
    "No reserved region is direct.",
)


def _interrupts(module: str, read: Callable[[Evidence], bool | Unread]) -> Judge:
    """Interrupts are not kept apart, and the module that looks at it does not let that pass."""
    switch = reading(read, lambda unsafe, _: not unsafe, fails=f"{module}'s allow_unsafe_interrupts is Y.")
    apart = reading(
        lambda e: e.remapping,
        lambda remapped, _: not remapped,
        "No interrupt chip in /proc/interrupts is called IR-...: the IOMMU remaps none.",
        "Interrupt chips in /proc/interrupts are called IR-...: the IOMMU remaps them.",
    )
    return both(switch, apart)


#: For containers type 1 looks at it, on the cdev path iommufd does.
interrupts = _interrupts("vfio_iommu_type1", lambda e: e.unsafe_interrupts)
interrupts_iommufd = _interrupts("iommufd", lambda e: e.unsafe_iommufd)
no_type1 = reading(lambda e: e.type1, lambda loaded, _: not loaded, "vfio_iommu_type1 is not there.", "vfio_iommu_type1 is loaded.")

# -- tokens ----------------------------------------------------------------------------------------------------------
token_given = Judge(lambda f: f.token_given, "A token was given: {given}.", "No token was given.")
_guarded = Judge(lambda f: guarded(f.snapshot, f.bdf), "{pf} is on {pf_driver}.", "{pf} is on {pf_driver}: no token applies.")
_unguarded = Judge(
    lambda f: not guarded(f.snapshot, f.bdf), "{pf} is on {pf_driver}.", "{pf} is on {pf_driver}, so a token applies."
)
_guarded_vf = both(is_vf, _guarded)
vf_with_token = both(_guarded_vf, token_given)
vf_without_token = both(_guarded_vf, no(token_given))
#: A token for a VF whose PF is not on vfio-pci.
needless_for_vf = both(is_vf, _unguarded, token_given)
needless_for_plain = both(is_plain, token_given)


def _is_the_one_set(facts: Facts) -> bool | None:
    """Whether the token given is the one that was set here; None where that cannot be said.

    Somebody may have replaced that one since: the token was right before then, or it is the new one.
    """
    if facts.token is None or facts.knowledge is None or not facts.knowledge.fingerprint:
        return None
    same = facts.knowledge.fingerprint == facts.token.fingerprint
    return same if same or facts.token_state is TokenState.SET else None


@judge("{token}", "{token}", "{token}")
def _differs(facts: Facts) -> Verdict:
    same = _is_the_one_set(facts)
    return None if same is None else not same


_same = Judge(_is_the_one_set, "{token}", "{token}", "{token}")
_nobody_seen = Judge(lambda f: f.token_state is TokenState.UNSET, "{token}", "{token}")
_nothing_known = Judge(
    lambda f: f.token_state is TokenState.UNKNOWN and not (f.knowledge and f.knowledge.fingerprint), "{token}", "{token}"
)


@judge("The token given ({given}) was in force until {ended}. {token}", "{token}", "{token}")
def _was_right_before(facts: Facts) -> Verdict:
    if facts.token is not None and facts.knowledge is not None and facts.knowledge.lost == facts.token.fingerprint:
        return True
    return False if _is_the_one_set(facts) is False else None


#: The token differs from the one set here; with nothing known it may.
wrong_token = both(vf_with_token, _differs)
#: The PF's token is the random one as far as vfdeck can see: a program can have set one between two looks, so it is no proof.
never_set = maybe(both(_guarded_vf, _nobody_seen))
#: It may be, since nothing is known of it.
perhaps_never_set = maybe(both(_guarded_vf, _nothing_known))
#: The token was right when it was set here.
replaced = both(vf_with_token, _same)
#: The token may have been right before the PF was bound anew.
lost = both(vf_with_token, _was_right_before)
_sets = Judge(lambda f: isinstance(f.change, SetToken), "The open was to set the token.", "The open was not to set a token.")


@judge("VFs in use: {users}, by {holders}.", doubt="No VF of {pf} was seen in use{unseen_too}.")
def _users(facts: Facts) -> Verdict:
    return True if facts.users.value and facts.users.certainty is not Certainty.UNKNOWN else None


#: The PF opens only with its token now.
pf_in_use = both(is_pf, _users)
#: The open was to set the PF's token.
sets_token = both(is_pf, _sets, _users)
#: A token in the string on a kernel that knows none.
no_options_yet = without("vf_token", token_given)


def _other_name(facts: Facts) -> str | None:
    """The name that the caller's string begins with, where it is not the function's."""
    if argument_fault(facts) is not ArgumentFault.NO_MATCH:
        return None
    return (facts.argument or b"").split(b" ", 1)[0].decode("ascii", "replace")


_names_another = Judge(lambda f: _other_name(f) in f.snapshot.functions, "The string names another function.")
#: The string does not begin with the function's name, nor with that of another one.
misspelt = Judge(
    lambda f: _other_name(f) is not None and not _names_another(f),
    "The name is not spelt as the kernel spells it.",
    "The name is spelt as the kernel spells it.",
)


@judge("Of the string given: {fault}.", "The string given is well formed.")
def malformed(facts: Facts) -> Verdict:
    """The options of the string are wrong."""
    fault = argument_fault(facts)
    return fault is not None and fault is not ArgumentFault.NO_MATCH


#: The function is on no vfio driver, or the string names one that is not in the group.
other_function = likely(either(not_on_vfio, _names_another))
