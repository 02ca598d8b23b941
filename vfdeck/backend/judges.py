"""Which entry of the catalogue applies: per place and answer the entries that can give it, each with a judge.

A judge says True (these facts make the entry apply), None (they leave it open) or False (they rule it out). The candidates stand
in the order in which the kernel checks them, the commoner first where it does not matter.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain

from vfdeck.backend.changes import SetToken
from vfdeck.backend.facts import BRIDGE, Facts, blocking_members, guarded
from vfdeck.backend.model import Function, Role, TokenState, is_vfio_driver
from vfdeck.backend.token_rules import ArgumentFault
from vfdeck.backend.wording import argument_fault, vf_address

Verdict = bool | None
Judge = Callable[[Facts], Verdict]
Candidate = tuple[str, Judge]


# -- building judges -------------------------------------------------------------------------------------------------
def yes(_: Facts) -> Verdict:
    """The answer alone says so."""
    return True


def open_(_: Facts) -> Verdict:
    """Nothing in the facts speaks for or against it."""
    return None


def maybe(judge: Judge) -> Judge:
    """Possible where the judge says True, ruled out elsewhere."""
    return lambda facts: None if judge(facts) else False


def likely(judge: Judge) -> Judge:
    """True where the judge says so, open elsewhere."""
    return lambda facts: True if judge(facts) else None


def both(*judges: Judge) -> Judge:
    """True where all say True."""
    return lambda facts: all(judge(facts) for judge in judges)


def without(switch: str, judge: Judge = yes) -> Judge:
    """The judge's verdict on kernels that lack a switch; ruled out on the others."""
    return lambda facts: False if facts.has(switch) else judge(facts)


def with_(switch: str, judge: Judge = yes) -> Judge:
    """The judge's verdict on kernels that have a switch; ruled out on the others."""
    return lambda facts: judge(facts) if facts.has(switch) else False


def of_function(test: Callable[[Function], bool]) -> Judge:
    """A test of the function; False where it is not there."""
    return lambda facts: facts.function is not None and test(facts.function)


# -- functions and drivers -------------------------------------------------------------------------------------------
def missing(facts: Facts) -> Verdict:
    """The function is not in the snapshot; one that is may have gone since, but that is for the judges after this one."""
    return facts.function is None


is_pf = of_function(lambda f: f.role is Role.PF)
is_vf = of_function(lambda f: f.role is Role.VF)
is_plain = of_function(lambda f: f.role is Role.PLAIN)
not_pf = of_function(lambda f: f.role is not Role.PF)
no_driver = of_function(lambda f: f.driver is None)
no_hook = of_function(lambda f: f.driver not in (None, "vfio-pci"))
on_vfio_pci = of_function(lambda f: f.driver == "vfio-pci")
not_on_vfio = of_function(lambda f: not f.on_vfio)
no_group = of_function(lambda f: f.iommu_group is None)
is_bridge = of_function(lambda f: f.class_code >> 8 == BRIDGE)
is_noiommu = of_function(lambda f: f.noiommu)
on_ixgbe = of_function(lambda f: (f.driver or "").startswith("ixgbe"))


def has_driver(facts: Facts) -> Verdict:
    """It had a driver before; a plan unbinds first, so that is no proof."""
    return None if facts.driver else False


def iommu_off(facts: Facts) -> Verdict:
    """No function of the host has a group, this one least of all."""
    return bool(no_group(facts)) and not facts.snapshot.host.iommu


def left_out(facts: Facts) -> Verdict:
    """Others have a group, this one has not."""
    return bool(no_group(facts)) and facts.snapshot.host.iommu


def ordinary(facts: Facts) -> Verdict:
    """A function with a group and no bridge: what vfio-pci should take."""
    return None if facts.function and not no_group(facts) and not is_bridge(facts) else False


def to_vfio(facts: Facts) -> Verdict:
    """The change binds to a vfio driver."""
    return is_vfio_driver(facts.wanted)


def pf_with_vfs(facts: Facts) -> Verdict:
    """A PF that has VFs."""
    return facts.role is Role.PF and facts.present > 0


def unprivileged(facts: Facts) -> Verdict:
    """vfdeck does not run as root."""
    return not facts.snapshot.host.privileged


def privileged(facts: Facts) -> Verdict:
    """vfdeck runs as root."""
    return facts.snapshot.host.privileged


# -- the number of VFs -----------------------------------------------------------------------------------------------
def sriov_switch(state: bool | None) -> Judge:
    """vfio-pci's enable_sriov is in this state (None: the parameter is not there)."""
    return lambda facts: bool(on_vfio_pci(facts)) and facts.snapshot.host.enable_sriov is state


def sriov_off(facts: Facts) -> Verdict:
    """enable_sriov is N; with Y in the snapshot it may have been changed since."""
    return sriov_switch(False)(facts) or (None if sriov_switch(True)(facts) else False)


def overflow(facts: Facts) -> Verdict:
    """A number that no 16 bits hold."""
    return facts.count is not None and not 0 <= facts.count <= 0xFFFF


def above_total(facts: Facts) -> Verdict:
    """More than the PF offers, as far as that is known; a driver can have lowered the number since."""
    return likely(lambda f: f.total is not None and (f.count or 0) > f.total)(facts)


def another_number(facts: Facts) -> Verdict:
    """From one number of VFs to another without 0 in between; VFs can have come since the snapshot."""
    if not facts.count:
        return False
    return True if facts.present and facts.present != facts.count else None


def to_none(facts: Facts) -> Verdict:
    """The VFs are to be removed."""
    return facts.count == 0


def spills(facts: Facts) -> Verdict:
    """The last VF is on another bus than the PF, so a bridge may not reach it."""
    last = vf_address(facts.pf, (facts.count or 0) - 1)
    return None if last is None or last[:-5] != facts.bdf[:-5] else False


def got_fewer(facts: Facts) -> Verdict:
    """Fewer VFs came than were asked for."""
    return facts.got is not None and 0 < facts.got < (facts.count or 0)


def got_none(facts: Facts) -> Verdict:
    """VFs were asked for and none came."""
    return facts.got == 0 and bool(facts.count)


def vfs_held(facts: Facts) -> Verdict:
    """VFs that are to go are held; with none seen to be held, something else may wait."""
    return (True if facts.vf_holders else None) if facts.present else False


def function_held(facts: Facts) -> Verdict:
    """The function is held by a program that was seen."""
    return True if facts.snapshot.holders_of(facts.bdf) else None


def vfs_go_too(facts: Facts) -> Verdict:
    """A PF on vfio whose VFs are held leaves its driver."""
    return bool(is_pf(facts)) and not not_on_vfio(facts) and bool(facts.vf_holders)


def vfs_left_behind(facts: Facts) -> Verdict:
    """A PF's own driver goes and removes VFs that are held."""
    return bool(is_pf(facts)) and bool(not_on_vfio(facts)) and bool(facts.vf_holders)


# -- groups ----------------------------------------------------------------------------------------------------------
def held_as(facts: Facts) -> set[str]:
    """How members of the group are held."""
    return {h.kind for h in facts.group_holders}


def group_taken(facts: Facts) -> Verdict:
    """Someone has the group's node or a device from it."""
    kinds = held_as(facts)
    return True if kinds - {"cdev"} else (False if kinds else None)


def cdev_taken(facts: Facts) -> Verdict:
    """Someone has a member by its own node."""
    return (True if "cdev" in held_as(facts) else None) if facts.has("cdev") else False


def held_by_user(facts: Facts) -> Verdict:
    """A kernel driver is wanted, and a program has the group, or may where not every process could be looked at."""
    if to_vfio(facts):
        return False
    return bool(facts.group_holders) or (None if facts.snapshot.unseen else False)


def held_elsewhere(facts: Facts) -> Verdict:
    """The function itself is open by its own node, here or elsewhere."""
    return likely(lambda f: any(h.kind == "cdev" for h in f.snapshot.holders_of(f.bdf)) or f.bdf in f.own)(facts)


def has_blockers(facts: Facts) -> Verdict:
    """Members of the group are on drivers of their own."""
    return bool(blocking_members(facts.snapshot, facts.bdf))


# -- tokens ----------------------------------------------------------------------------------------------------------
def token_given(facts: Facts) -> Verdict:
    """A token was given."""
    return facts.token_given


def vf_with_token(facts: Facts) -> Verdict:
    """A guarded VF, and a token was given."""
    return facts.role is Role.VF and facts.token_given and guarded(facts.snapshot, facts.bdf)


def vf_without_token(facts: Facts) -> Verdict:
    """A guarded VF, and no token was given."""
    return facts.role is Role.VF and not facts.token_given and guarded(facts.snapshot, facts.bdf)


def vf_unguarded(facts: Facts) -> Verdict:
    """A VF whose PF is not on vfio-pci."""
    return facts.role is Role.VF and not guarded(facts.snapshot, facts.bdf)


def _known(facts: Facts) -> Verdict:
    """Whether the token given is the one that was set here; None where that cannot be said."""
    if facts.token is None or facts.knowledge is None or facts.token_state is not TokenState.SET:
        return None
    return facts.knowledge.fingerprint == facts.token.fingerprint


def wrong_token(facts: Facts) -> Verdict:
    """The token differs from the one set here; with nothing known it may."""
    if not vf_with_token(facts) or facts.token_state is TokenState.UNSET:
        return False
    known = _known(facts)
    return None if known is None else not known


def never_set(facts: Facts) -> Verdict:
    """The PF's token is still the random one."""
    if facts.token_state is TokenState.UNSET and facts.role is Role.VF:
        return True if vf_with_token(facts) else None
    return None if vf_with_token(facts) and facts.token_state is TokenState.UNKNOWN else False


def replaced(facts: Facts) -> Verdict:
    """The token was right when it was set here."""
    if not vf_with_token(facts) or facts.token_state is TokenState.UNSET:
        return False
    return _known(facts)


def lost(facts: Facts) -> Verdict:
    """The token may have been right before the PF was bound anew."""
    return None if vf_with_token(facts) and _known(facts) is not False else False


def sets_token(facts: Facts) -> Verdict:
    """The open was to set the PF's token."""
    return facts.role is Role.PF and isinstance(facts.change, SetToken)


def no_options_yet(facts: Facts) -> Verdict:
    """A token in the string on a kernel that knows none."""
    return facts.token_given and not facts.has("vf_token")


def misspelt(facts: Facts) -> Verdict:
    """The string does not begin with the function's name, nor with that of another one."""
    if argument_fault(facts) is not ArgumentFault.NO_MATCH:
        return False
    name = (facts.argument or b"").split(b" ", 1)[0].decode("ascii", "replace")
    return name not in facts.snapshot.functions


def malformed(facts: Facts) -> Verdict:
    """The options of the string are wrong."""
    fault = argument_fault(facts)
    return fault is not None and fault is not ArgumentFault.NO_MATCH


def other_function(facts: Facts) -> Verdict:
    """The function is on no vfio driver, or the string names one that is not in the group."""
    return True if not_on_vfio(facts) or argument_fault(facts) is ArgumentFault.NO_MATCH else None


# -- the table -------------------------------------------------------------------------------------------------------
_TOKEN_REFUSED: tuple[Candidate, ...] = (
    ("D7", sets_token),
    ("D6", is_pf),
    ("D1", vf_without_token),
    ("D2", wrong_token),
    ("D3", never_set),
    ("D5", replaced),
    ("D4", lost),
)
_NO_DMA_RIGHTS: tuple[Candidate, ...] = (("C5", is_noiommu), ("C8", has_blockers), ("C12", open_))
_NODE_EACCES: tuple[Candidate, ...] = (("C2", likely(unprivileged)), ("C3", likely(privileged)))
_CDEV_EACCES: tuple[Candidate, ...] = (("E5", likely(unprivileged)), ("C3", likely(privileged)))
_NODE_EPERM: tuple[Candidate, ...] = (("C5", is_noiommu), ("C4", open_))
_OLD_BIND = "bind_errno"

#: Place (a stage, or a file's name) and answer, with the entries that can give it.
TABLE: dict[tuple[str, str], tuple[Candidate, ...]] = {
    ("sriov_numvfs", "ENOENT"): (
        ("G11", missing),
        ("A1", not_pf),
        ("A9", sriov_switch(None)),
        ("A6", no_driver),
        ("A7", no_hook),
        ("A8", sriov_off),
    ),
    ("sriov_numvfs", "ERANGE"): (("A4", without("numvfs_overflow", overflow)), ("A3", above_total)),
    ("sriov_numvfs", "EINVAL"): (("A4", overflow), ("A24", open_)),
    ("sriov_numvfs", "EBUSY"): (("A5", another_number), ("A23", maybe(to_none))),
    ("sriov_numvfs", "EPERM"): (("A19", unprivileged), ("A23", open_)),
    ("sriov_numvfs", "ENOMEM"): (("A11", spills), ("A10", open_), ("A12", open_), ("A13", maybe(on_ixgbe))),
    ("sriov_numvfs", "ENOSPC"): (("A14", yes),),
    ("sriov_numvfs", "EIO"): (("A15", yes),),
    ("sriov_numvfs", "ENODEV"): (("G11", missing), ("A16", open_)),
    ("sriov_numvfs", "ENOSYS"): (("A16", yes),),
    ("sriov_numvfs", "BLOCKED"): (("G1", vfs_held), ("A21", open_)),
    ("sriov_numvfs", "OK"): (("A17", got_fewer), ("A18", got_none)),
    ("sriov_drivers_autoprobe", "ENOENT"): (("G11", missing), ("A1", not_pf)),
    ("sriov_drivers_autoprobe", "EINVAL"): (("A29", yes),),
    ("bind", "ENOENT"): (("B7", yes),),
    ("bind", "ENODEV"): (
        ("G11", missing),
        ("B4", without(_OLD_BIND, both(pf_with_vfs, to_vfio))),
        ("B5", without(_OLD_BIND, both(is_bridge, to_vfio))),
        ("B1", without(_OLD_BIND, both(iommu_off, to_vfio))),
        ("B2", without(_OLD_BIND, both(left_out, to_vfio))),
        ("B8", open_),
        ("B11", without(_OLD_BIND, has_driver)),
    ),
    ("bind", "EBUSY"): (("B4", both(pf_with_vfs, to_vfio)), ("B12", with_("dma_owner", held_by_user)), ("B11", has_driver)),
    ("bind", "EINVAL"): (("B5", is_bridge), ("B1", iommu_off), ("B2", left_out), ("B3", ordinary), ("B6", ordinary)),
    ("unbind", "ENODEV"): (("G11", missing), ("B23", yes)),
    ("unbind", "ENOENT"): (("G11", missing), ("B23", yes)),
    ("unbind", "BLOCKED"): (("B16", vfs_go_too), ("G1", vfs_left_behind), ("B13", function_held), ("A21", open_)),
    ("iommu_group", "ENOENT"): (("G11", missing), ("B1", iommu_off), ("B2", left_out), ("G11", open_)),
    ("open_group", "ENOENT"): (("G11", missing), ("C1", yes)),
    ("open_group", "EACCES"): _NODE_EACCES,
    ("open_group", "EPERM"): _NODE_EPERM,
    ("open_group", "EBUSY"): (("C6", group_taken), ("C18", cdev_taken)),
    ("open_group", "ENODEV"): (("G11", yes),),
    ("open_group", "ENXIO"): (("C7", yes),),
    ("open_container", "ENOENT"): (("C21", yes),),
    ("open_container", "ENODEV"): (("C21", yes),),
    ("open_container", "EACCES"): _NODE_EACCES,
    ("open_container", "EPERM"): (("C4", yes),),
    ("set_container", "EPERM"): _NO_DMA_RIGHTS,
    ("set_container", "EINVAL"): (("C15", open_), ("C14", without("iommufd_container", open_)), ("C11", open_)),
    ("set_container", "EBADF"): (("C14", yes),),
    ("set_container", "EBADFD"): (("C14", yes),),
    ("set_container", "ENOTTY"): (("C14", yes),),
    ("set_container", "EBUSY"): (("C20", yes),),
    ("set_container", "ENODEV"): (("G11", yes),),
    ("set_iommu", "EPERM"): (("C5", is_noiommu), ("C12", open_), ("C11", open_)),
    ("set_iommu", "ENODEV"): (("C13", yes),),
    ("set_iommu", "EINVAL"): (("C15", yes),),
    ("get_device_fd", "EACCES"): _TOKEN_REFUSED,
    ("get_device_fd", "EINVAL"): (
        ("D10", malformed),
        ("C8", without("dma_owner", has_blockers)),
        ("D8", with_("vf_token", both(vf_unguarded, token_given))),
        ("D9", with_("vf_token", both(is_plain, token_given))),
        ("C16", open_),
        ("B6", open_),
    ),
    ("get_device_fd", "ENODEV"): (
        ("G11", missing),
        ("D11", no_options_yet),
        ("D11", misspelt),
        ("C17", other_function),
        ("G11", open_),
    ),
    ("get_device_fd", "EPERM"): _NO_DMA_RIGHTS,
    ("get_device_fd", "EBUSY"): (("C20", open_),),
    ("get_device_fd", "EAGAIN"): (("F3", yes),),
    ("cdev_node", "ENOENT"): (("G11", missing), ("E8", yes)),
    ("open_cdev", "ENOENT"): (("G11", missing), ("E8", yes)),
    ("open_cdev", "ENODEV"): (("G11", yes),),
    ("open_cdev", "ENXIO"): (("C7", yes),),
    ("open_cdev", "EACCES"): _CDEV_EACCES,
    ("open_cdev", "EPERM"): _NODE_EPERM,
    ("open_iommu", "ENOENT"): (("E4", yes),),
    ("open_iommu", "ENODEV"): (("E4", yes),),
    ("open_iommu", "EACCES"): _CDEV_EACCES,
    ("open_iommu", "EPERM"): (("C4", yes),),
    ("bind_iommufd", "EACCES"): (("E6", yes), *_TOKEN_REFUSED),
    ("bind_iommufd", "EINVAL"): (
        ("E1", without("cdev_token", token_given)),
        ("D8", with_("cdev_token", both(vf_unguarded, token_given))),
        ("D9", with_("cdev_token", both(is_plain, token_given))),
        ("E2", held_elsewhere),
        ("E11", open_),
        ("B6", open_),
    ),
    ("bind_iommufd", "EBUSY"): (("E3", likely(group_taken)), ("C20", open_)),
    ("bind_iommufd", "E2BIG"): (("E9", yes),),
    ("bind_iommufd", "EBADF"): (("E10", yes),),
    ("bind_iommufd", "EBADFD"): (("E10", yes),),
    ("bind_iommufd", "EFAULT"): (("E10", yes),),
    ("bind_iommufd", "EPERM"): _NO_DMA_RIGHTS,
    ("bind_iommufd", "EAGAIN"): (("F3", yes),),
    ("bind_iommufd", "ENODEV"): (("G11", yes),),
    ("bind_iommufd", "OK"): (("D17", with_("cdev", without("cdev_token", vf_without_token))),),
    ("feature", "ENOTTY"): (("D21", yes),),
    ("feature", "EINVAL"): (("D23", yes),),
}

#: What any file in sysfs may answer, after what is special to it.
ANY_FILE: dict[str, tuple[Candidate, ...]] = {
    "EACCES": (("A19", yes),),
    "EPERM": (("A19", unprivileged), ("G8", open_)),
    "EROFS": (("A20", yes),),
    "ENOENT": (("G11", missing),),
    "ENODEV": (("G11", missing),),
    "BLOCKED": (("A21", open_),),
}


def candidates(facts: Facts) -> list[Candidate]:
    """The entries that can give this answer at this place, each once by its first judge that does not rule it out."""
    from_file = ANY_FILE.get(facts.answer, ()) if facts.stage.value == "file" else ()
    return list(chain(TABLE.get((facts.place, facts.answer), ()), from_file))


def entry_ids() -> set[str]:
    """Every id that the tables can name."""
    return {name for row in chain(TABLE.values(), ANY_FILE.values()) for name, _ in row}
