"""Which entries of the catalogue can give which answer, per place, each with the judge that says whether it is the one.

The candidates stand in the order in which the kernel checks them, the commoner first where it does not matter. One entry may stand
twice: early where its judge is certain, later where it is only left open.
"""

from __future__ import annotations

from vfdeck.backend import judges as j
from vfdeck.backend.facts import Facts
from vfdeck.backend.judging import Judge, both, either, likely, maybe, no, open_, surely, with_, without, yes

Candidate = tuple[str, Judge]

_TOKEN_REFUSED: tuple[Candidate, ...] = (
    ("D7", j.sets_token),
    ("D6", j.pf_in_use),
    ("D1", j.vf_without_token),
    ("D3", j.never_set),
    ("D2", j.wrong_token),
    ("D4", surely(j.lost)),
    ("D3", j.perhaps_never_set),
    ("D5", j.replaced),
    ("D4", j.lost),
)


def _no_dma_rights(interrupts: Judge) -> tuple[Candidate, ...]:
    blockers = with_("dma_owner", j.has_blockers)
    return (("C5", j.needs_rawio), ("C8", blockers), ("C12", interrupts), ("C11", j.tied_memory))


def _node_eacces(by_mode: str) -> tuple[Candidate, ...]:
    nodev, mode, module = surely(j.nodev), j.node_mode, j.module_keeps_node
    return (("C22", nodev), ("C3", j.root_kept_out), (by_mode, mode), ("C3", module))


_NO_DMA_RIGHTS = _no_dma_rights(j.interrupts)
_NODE_EACCES, _CDEV_EACCES = _node_eacces("C2"), _node_eacces("E5")
_NODE_EPERM: tuple[Candidate, ...] = (("C5", both(j.is_noiommu, j.no_rawio)), ("C4", j.device_list))
_OLD_BIND = "bind_errno"

#: Place (a stage, or a file's name) and answer, with the entries that can give it.
TABLE: dict[tuple[str, str], tuple[Candidate, ...]] = {
    ("sriov_numvfs", "ENOENT"): (
        ("G11", j.missing),
        ("A1", j.not_pf),
        ("A9", j.sriov_missing),
        ("A6", j.no_driver),
        ("A7", j.no_hook),
        ("A8", j.sriov_off),
    ),
    ("sriov_numvfs", "ERANGE"): (("A4", without("numvfs_overflow", j.overflow)), ("A3", j.above_total)),
    ("sriov_numvfs", "EINVAL"): (("A4", j.overflow), ("A24", open_)),
    ("sriov_numvfs", "EBUSY"): (("A5", j.another_number), ("A23", maybe(j.to_none)), ("A30", maybe(no(j.to_none)))),
    ("sriov_numvfs", "EAGAIN"): (("A30", yes),),
    ("sriov_numvfs", "EOPNOTSUPP"): (("A24", yes),),
    ("sriov_numvfs", "EPERM"): (("A23", open_), ("A19", maybe(no(j.is_root)))),
    ("sriov_numvfs", "ENOMEM"): (
        ("A10", surely(j.no_room)),
        ("A11", j.past_the_bridge),
        ("A10", j.no_room),
        ("A13", maybe(both(j.on_ixgbe, no(j.no_room)))),
        ("A12", maybe(no(j.no_room))),
    ),
    ("sriov_numvfs", "ENOSPC"): (("A14", yes),),
    ("sriov_numvfs", "EIO"): (("A15", yes),),
    ("sriov_numvfs", "ENODEV"): (("G11", j.missing), ("A16", open_), ("A24", open_)),
    ("sriov_numvfs", "ENOSYS"): (("A16", yes),),
    ("sriov_numvfs", "BLOCKED"): (("G1", j.vfs_held), ("A21", open_)),
    ("sriov_numvfs", "OK"): (("A17", j.got_fewer), ("A18", both(j.got_none, likely(j.link_down)))),
    ("sriov_drivers_autoprobe", "ENOENT"): (("G11", j.missing), ("A1", j.not_pf)),
    ("sriov_drivers_autoprobe", "EINVAL"): (("A29", yes),),
    ("drivers_probe", "ENODEV"): (("G11", yes),),
    ("bind", "ENOENT"): (("B7", yes),),
    ("bind", "ENODEV"): (
        ("G11", j.missing),
        ("B8", j.not_reserved),
        ("B4", without(_OLD_BIND, j.pf_with_vfs)),
        ("B5", without(_OLD_BIND, both(j.is_bridge, j.to_vfio))),
        ("B1", without(_OLD_BIND, both(j.iommu_off, j.to_vfio))),
        ("B2", without(_OLD_BIND, both(j.left_out, j.to_vfio))),
        ("B3", without(_OLD_BIND, j.on_denylist)),
        ("B11", without(_OLD_BIND, j.had_driver)),
        ("B24", maybe(j.to_kernel)),
        ("G11", open_),
    ),
    ("bind", "EBUSY"): (
        ("B4", j.pf_with_vfs),
        ("B12", with_("dma_owner", j.held_by_user)),
        ("B11", j.had_driver),
        ("B12", with_("dma_owner", j.held_since)),
        ("B24", maybe(j.to_kernel)),
    ),
    ("bind", "EINVAL"): (
        ("B5", both(j.is_bridge, j.to_vfio)),
        ("B1", both(j.iommu_off, j.to_vfio)),
        ("B2", both(j.left_out, j.to_vfio)),
        ("B3", j.on_denylist),
        ("B6", with_("coherency", maybe(j.ordinary))),
        ("B24", maybe(j.to_kernel)),
    ),
    ("unbind", "ENODEV"): (("G11", j.missing), ("B23", yes)),
    ("unbind", "ENOENT"): (("G11", j.missing), ("B23", yes)),
    ("unbind", "BLOCKED"): (
        ("B13", j.function_only),
        ("B16", j.vfs_go_too),
        ("G1", j.vfs_left_behind),
        ("B13", j.function_held),
        ("A21", open_),
    ),
    ("iommu_group", "ENOENT"): (("G11", j.missing), ("B1", j.iommu_off), ("B2", j.left_out), ("G11", open_)),
    ("open_group", "ENOENT"): (("G11", j.missing), ("C1", likely(j.not_on_vfio))),
    ("open_group", "EACCES"): _NODE_EACCES,
    ("open_group", "EPERM"): _NODE_EPERM,
    ("open_group", "EBUSY"): (("C7", surely(j.stale)), ("C6", j.group_taken), ("C18", j.cdev_taken)),
    ("open_group", "ENODEV"): (("G11", yes),),
    ("open_group", "ENXIO"): (("C7", likely(j.stale)),),
    ("open_container", "ENOENT"): (("C21", yes),),
    ("open_container", "ENODEV"): (("C21", yes),),
    ("open_container", "EACCES"): _NODE_EACCES,
    ("open_container", "EPERM"): (("C4", j.device_list),),
    ("set_container", "EPERM"): _NO_DMA_RIGHTS,
    ("set_container", "EINVAL"): (("C15", open_), ("C14", without("iommufd_container", open_)), ("C11", j.tied_memory)),
    ("set_container", "EBADF"): (("C14", yes),),
    ("set_container", "EBADFD"): (("C14", yes),),
    ("set_container", "ENOTTY"): (("C14", open_), ("C23", open_)),
    ("set_container", "EBUSY"): (("C20", yes),),
    ("set_container", "ENODEV"): (("G11", yes),),
    ("set_iommu", "EPERM"): (("C5", j.needs_rawio), ("C12", j.interrupts), ("C11", j.tied_memory)),
    ("set_iommu", "ENODEV"): (("C13", likely(either(j.no_type1, j.is_noiommu))),),
    ("set_iommu", "EINVAL"): (("C15", open_), ("C11", j.tied_memory)),
    ("set_iommu", "ENOTTY"): (("C23", yes),),
    ("get_device_fd", "EACCES"): _TOKEN_REFUSED,
    ("get_device_fd", "EINVAL"): (
        ("C8", without("dma_owner", j.has_blockers)),
        ("D10", j.malformed),
        ("D8", with_("vf_token", j.needless_for_vf)),
        ("D9", with_("vf_token", j.needless_for_plain)),
        ("C16", open_),
        ("B6", open_),
    ),
    ("get_device_fd", "ENODEV"): (
        ("G11", j.missing),
        ("D11", j.no_options_yet),
        ("D11", j.misspelt),
        ("C17", j.other_function),
        ("G11", open_),
    ),
    ("get_device_fd", "EPERM"): _NO_DMA_RIGHTS,
    ("get_device_fd", "EBUSY"): (("C20", open_),),
    ("get_device_fd", "EAGAIN"): (("F3", yes),),
    ("get_device_fd", "ENOTTY"): (("C23", yes),),
    ("cdev_node", "ENOENT"): (("G11", j.missing), ("E8", likely(either(j.not_on_vfio, without("cdev"))))),
    ("open_cdev", "ENOENT"): (("G11", j.missing), ("E8", likely(either(j.not_on_vfio, without("cdev"))))),
    ("open_cdev", "ENODEV"): (("G11", yes),),
    ("open_cdev", "ENXIO"): (("C7", likely(j.stale)),),
    ("open_cdev", "EACCES"): _CDEV_EACCES,
    ("open_cdev", "EPERM"): _NODE_EPERM,
    ("open_iommu", "ENOENT"): (("E4", yes),),
    ("open_iommu", "ENODEV"): (("E4", yes),),
    ("open_iommu", "EACCES"): _CDEV_EACCES,
    ("open_iommu", "EPERM"): (("C4", j.device_list),),
    ("bind_iommufd", "EACCES"): (("E6", likely(with_("cdev_token"))), *_TOKEN_REFUSED),
    ("bind_iommufd", "EINVAL"): (
        ("E1", without("cdev_token", j.token_given)),
        ("D8", with_("cdev_token", j.needless_for_vf)),
        ("D9", with_("cdev_token", j.needless_for_plain)),
        ("E2", j.held_elsewhere),
        ("E11", open_),
        ("B6", open_),
    ),
    ("bind_iommufd", "EBUSY"): (("E3", likely(j.group_taken)), ("C20", open_)),
    ("bind_iommufd", "E2BIG"): (("E9", likely(without("cdev_token_works", j.token_given))),),
    ("bind_iommufd", "EBADF"): (("E10", yes),),
    ("bind_iommufd", "EBADFD"): (("E10", yes),),
    ("bind_iommufd", "EFAULT"): (("E10", yes),),
    ("bind_iommufd", "EPERM"): _no_dma_rights(j.interrupts_iommufd),
    ("bind_iommufd", "EAGAIN"): (("F3", yes),),
    ("bind_iommufd", "ENODEV"): (("G11", yes),),
    ("bind_iommufd", "ENOTTY"): (("C23", yes),),
    ("bind_iommufd", "OK"): (("D17", with_("cdev", without("cdev_token", j.vf_without_token))),),
    ("feature", "ENOTTY"): (("D21", yes),),
    ("feature", "EINVAL"): (("D23", yes),),
}

#: What any file in sysfs may answer, after what is special to it.
ANY_FILE: dict[str, tuple[Candidate, ...]] = {
    "EACCES": (("A19", j.file_mode), ("C3", j.module_keeps_file)),
    "EPERM": (("G8", j.in_lockdown), ("A19", maybe(no(j.is_root)))),
    "EROFS": (("A20", likely(j.read_only)),),
    "ENOENT": (("G11", j.missing),),
    "ENODEV": (("G11", j.missing),),
    "BLOCKED": (("A21", open_),),
}

#: What else a place may answer: from 5.14 a bind gives whatever the driver's probe gave.
ANY_ANSWER: dict[str, tuple[Candidate, ...]] = {"bind": (("B24", with_("bind_errno", likely(j.to_kernel))),)}


def candidates(facts: Facts) -> list[Candidate]:
    """The entries that can give this answer at this place, in the order of the table."""
    found = [*TABLE.get((facts.place, facts.answer), ())]
    if facts.stage.value == "file":
        found += ANY_FILE.get(facts.answer, ())
    if not found and facts.errno:
        found += ANY_ANSWER.get(facts.place, ())
    return found


def entry_ids(place: str | None = None) -> set[str]:
    """Every id that the tables can name; with a place those that can be given there."""
    rows = [row for (where, _), row in TABLE.items() if place in (None, where)]
    rows += [row for where, row in ANY_ANSWER.items() if place in (None, where)]
    rows += [row for row in ANY_FILE.values() if place is None]
    return {name for row in rows for name, _ in row}


def places() -> list[str]:
    """Every place that the table has: stages, and names of files."""
    return sorted({place for place, _ in TABLE})
