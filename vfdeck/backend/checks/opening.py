"""Can this function be opened by this user? The ladder of an open, rung by rung, without climbing it.

The rules: kernel-semantics, section 7; fs/namei.c (modes), group.c, device_cdev.c, iommu.c (viability), vfio_pci_core.c (tokens),
vfio_iommu_type1.c (interrupt remapping, locked memory).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vfdeck.backend.changes import Open, OpenPath
from vfdeck.backend.checks import CanOpen, Check, Report, Severity
from vfdeck.backend.checks.scene import Scene, gone, named, with_function
from vfdeck.backend.checks.users import locked_memory, rights_of, who
from vfdeck.backend.evidence import (
    CAP_SYS_RAWIO,
    INTERRUPTS,
    REFUSING_LSMS,
    TYPE1,
    Rights,
    Unread,
    allows,
    exists,
    interrupts_kept_apart,
    parameter,
    reserved_regions,
    security_modules,
    stat_of,
)
from vfdeck.backend.facts import blocking_members, group_members, guarded
from vfdeck.backend.kernel import Kernel
from vfdeck.backend.model import Certainty, Function, Holder, JobState, Role, Snapshot, TokenState
from vfdeck.backend.wording import group_node, listing, programs, token_history, unseen

CONTAINER, IOMMUFD = "/dev/vfio/vfio", "/dev/iommu"


@dataclass(slots=True)
class _Ask:
    scene: Scene
    function: Function
    path: OpenPath
    user: str
    rights: Rights | Unread

    @property
    def bdf(self) -> str:
        return self.function.bdf

    @property
    def by_cdev(self) -> bool:
        return self.path is OpenPath.CDEV

    @property
    def holders(self) -> list[Holder]:
        """Who holds members of the group."""
        view = self.scene.snapshot
        return [h for member in group_members(view, self.bdf) for h in view.holders_of(member)]

    def check(self, question: str, fine: bool | None, *evidence: str, entry: str, weight: Severity = Severity.ERROR) -> Check:
        return self.scene.check(question, fine, *evidence, entry=entry, weight=weight, subject=self.bdf)


def can_open(question: CanOpen, kernel: Kernel, snapshot: Snapshot) -> Report:
    """All checks for opening a function along a path; nothing is opened, since an open resets the function."""
    snapshot = with_function(kernel, snapshot, question.bdf)
    scene = Scene(kernel, snapshot, Open(question.bdf, path=question.path))
    by = f" by {question.user}" if question.user else ""
    how = "its own node" if question.path is OpenPath.CDEV else "its group"
    title = f"Can {question.bdf} be opened through {how}{by}?"
    function = snapshot.functions.get(question.bdf)
    if function is None:
        return Report(title, (gone(scene, question.bdf),))
    ask = _Ask(scene, function, question.path, question.user, rights_of(kernel, question.user))
    groups = (_nodes, _busy, _viable, _iommu, _token, _memory, _moment)
    return Report(title, tuple(check for group in groups for check in group(ask)))


# -- the nodes -------------------------------------------------------------------------------------------------------------
def _nodes(ask: _Ask) -> Iterator[Check]:
    """The function's or group's node and the one beside it: there, and open to this user."""
    function, entry = ask.function, "E8" if ask.by_cdev else "C1"
    on = f"driver: {function.driver or 'none'}"
    yield ask.check("Is it on a vfio driver?", function.on_vfio, on, entry=entry)
    cdev = f"/dev/vfio/devices/{function.cdev}" if function.cdev else None
    node = cdev if ask.by_cdev else group_node(function)
    if not node:
        why = "this kernel makes no node for it" if ask.by_cdev else "it is in no IOMMU group"
        yield ask.check("Has it a node?", False, why, entry="E8" if ask.by_cdev else "B1")
    elif function.on_vfio:
        yield from _node(ask, node, entry, "E5" if ask.by_cdev else "C2")
    beside = (IOMMUFD, "E4", "E5") if ask.by_cdev else (CONTAINER, "C21", "C2")
    yield from _node(ask, *beside)
    if function.noiommu:
        yield _raw_io(ask)
    yield from _security(ask)


def _node(ask: _Ask, node: str, missing: str, refused: str) -> Iterator[Check]:
    found = stat_of(ask.scene.kernel, node)
    if isinstance(found, Unread):
        absent = found.why.endswith("ENOENT")
        yield ask.check(f"Is {node} there?", False if absent else None, found.why, entry=missing)
        return
    yield ask.check(f"Is {node} there?", True, f"mode {found.mode & 0o7777:04o}, owner {found.uid}:{found.gid}", entry=missing)
    question = f"May the user open {node}?"
    if isinstance(ask.rights, Unread):
        yield ask.check(question, None, ask.rights.why, entry=refused)
        return
    text = f"mode {found.mode & 0o7777:04o}, owner {found.uid}:{found.gid}; {who(ask.user, ask.rights)}"
    listed = ("there is an access control list, which was not read",) if found.acl else ()
    yield ask.check(question, allows(found, ask.rights), text, *listed, entry=refused)


def _raw_io(ask: _Ask) -> Check:
    question = "May the user open without an IOMMU?"
    if isinstance(ask.rights, Unread):
        return ask.check(question, None, ask.rights.why, entry="C5")
    text = "no-IOMMU mode demands CAP_SYS_RAWIO, and protects nothing"
    fine = ask.rights.on_host(CAP_SYS_RAWIO)
    unsure = ("whether vfdeck runs in a user namespace, where it does not count, could not be read",) if fine is None else ()
    return ask.check(question, fine, text, *unsure, entry="C5")


def _security(ask: _Ask) -> Iterator[Check]:
    """What may refuse beside the mode: a security module; nobody but the open itself can ask it."""
    modules = security_modules(ask.scene.kernel)
    if isinstance(modules, Unread):
        yield ask.check("Do security modules allow it?", None, modules.why, entry="C3", weight=Severity.NOTE)
        return
    able = [name for name in modules if name in REFUSING_LSMS]
    text = f"{', '.join(able)} may refuse by rules that only the open itself asks" if able else "none here refuses opens"
    yield ask.check("Do security modules allow it?", None if able else True, text, entry="C3", weight=Severity.NOTE)


# -- who has it ------------------------------------------------------------------------------------------------------------
def _busy(ask: _Ask) -> Iterator[Check]:
    """One opener per group on the group path, one user per device on the cdev path; the two exclude each other."""
    if ask.by_cdev:
        taken, entry = [h for h in ask.holders if h.kind != "cdev" or h.bdf == ask.bdf], "E3"
        entry = "E2" if taken and all(h.kind == "cdev" for h in taken) else "E3"
    else:
        taken = ask.holders
        entry = "C18" if taken and all(h.kind == "cdev" for h in taken) else "C6"
    question = "Is it free?" if ask.by_cdev else "Is its group free?"
    if taken:
        yield ask.check(question, False, f"held by {listing(programs(taken))}", entry=entry)
    elif ask.scene.snapshot.unseen:
        yield ask.check(question, None, f"nobody seen{unseen(ask.scene.snapshot)}", entry="G9")
    else:
        yield ask.check(question, True, "nobody holds it", entry=entry)


def _viable(ask: _Ask) -> Iterator[Check]:
    """No member of the group may be on a driver that does its own DMA; bridges on pcieport never count (C9)."""
    members = [m for m in group_members(ask.scene.snapshot, ask.bdf) if m != ask.bdf]
    blockers = blocking_members(ask.scene.snapshot, ask.bdf)
    company = f"group {ask.function.iommu_group}: {len(members)} other members, none on a driver of its own" if members else "alone"
    text = f"kept from user space by {named(blockers)}" if blockers else company
    yield ask.check("Is its group free of host drivers?", not blockers, text, entry="C8")


# -- the IOMMU -------------------------------------------------------------------------------------------------------------
def _iommu(ask: _Ask) -> Iterator[Check]:
    if ask.function.noiommu or ask.function.iommu_group is None:
        return
    kernel = ask.scene.kernel
    if not ask.by_cdev:
        loaded = exists(kernel, TYPE1)
        fine = None if isinstance(loaded, Unread) else loaded
        text = loaded.why if isinstance(loaded, Unread) else f"{TYPE1} is {'' if loaded else 'not '}there"
        yield ask.check("Is the type 1 IOMMU driver loaded?", fine, text, entry="C13")
    yield _remapping(ask)
    regions = reserved_regions(kernel, ask.function.iommu_group)
    question = "Is it free of memory that firmware tied to it?"
    if isinstance(regions, Unread):
        yield ask.check(question, None, regions.why, entry="C11", weight=Severity.WARNING)
    else:
        text = f"reserved regions: {', '.join(sorted(set(regions))) or 'none'}"
        yield ask.check(question, "direct" not in regions, text, entry="C11", weight=Severity.WARNING)


def _remapping(ask: _Ask) -> Check:
    question = "Does the IOMMU keep interrupts apart?"
    found = interrupts_kept_apart(ask.scene.kernel)
    if isinstance(found, Unread):
        return ask.check(question, None, found.why, entry="C12")
    if found:
        return ask.check(question, True, f"{INTERRUPTS}: chips are called IR-...", entry="C12")
    module = "iommufd" if ask.by_cdev else "vfio_iommu_type1"
    unsafe = parameter(ask.scene.kernel, module, "allow_unsafe_interrupts")
    if unsafe is True:
        text = f"no, but allow_unsafe_interrupts of {module} is Y: whoever holds it can forge interrupts"
        return ask.check(question, True, text, entry="C12")
    text = unsafe.why if isinstance(unsafe, Unread) else f"allow_unsafe_interrupts of {module} is N"
    fine = None if isinstance(unsafe, Unread) else False
    return ask.check(question, fine, f"{INTERRUPTS}: no chip is called IR-...", text, entry="C12")


# -- the token -------------------------------------------------------------------------------------------------------------
def _token(ask: _Ask) -> Iterator[Check]:
    """Whether a token is asked for, and whether there is one that anybody knows."""
    scene, function = ask.scene, ask.function
    if not function.on_vfio or function.role is Role.PLAIN or not scene.has("vf_token"):
        return
    if function.role is Role.PF:
        yield _pf_users(ask)
        return
    question = "Is a token known that opens it?"
    if not guarded(scene.snapshot, ask.bdf):
        yield ask.check("Does it open without a token?", True, "its PF is not on vfio-pci; a token would be an error", entry="D8")
        return
    if ask.by_cdev and not scene.has("cdev_token"):
        text = f"Linux {scene.snapshot.host.kernel} asks for none on this path (by its release): none may be given (E1)"
        yield ask.check("Does the path ask for the token?", False, text, entry="D17", weight=Severity.WARNING)
        return
    if ask.by_cdev and not scene.has("cdev_token_works"):
        text = f"Linux {scene.snapshot.host.kernel} answers every token with E2BIG on this path (by its release)"
        yield ask.check("Can the path take a token?", False, text, entry="E9")
    known = scene.snapshot.tokens.get(function.physfn or "")
    fine = {TokenState.SET: True, TokenState.UNSET: False}.get(known.state if known else TokenState.UNKNOWN)
    yield ask.check(question, fine, "it needs the token of its PF", token_history(known), entry="D1" if fine is None else "D3")


def _pf_users(ask: _Ask) -> Check:
    """A PF with VFs in use wants the token in force (D6)."""
    users = ask.scene.snapshot.users_of(ask.bdf)
    question = "Does it open without the token in force?"
    fine = False if users.value else True if users.certainty is Certainty.EXACT else None
    return ask.check(question, fine, f"VFs in use: {users}{unseen(ask.scene.snapshot)}", entry="D6", weight=Severity.WARNING)


# -- afterwards ------------------------------------------------------------------------------------------------------------
def _memory(ask: _Ask) -> Iterator[Check]:
    """Locked memory is counted when memory is mapped for DMA, after the open: advice only."""
    question, entry = "Is the limit of locked memory out of the way?", "E7" if ask.by_cdev else "F1"
    if ask.user:
        text = "another user's limit shows in /proc/PID/limits of a program of its own"
        yield ask.check(question, None, text, entry=entry, weight=Severity.NOTE)
        return
    limit = locked_memory(ask.scene.kernel)
    if isinstance(limit, Unread):
        yield ask.check(question, None, limit.why, entry=entry, weight=Severity.NOTE)
    elif limit is None:
        yield ask.check(
            question, True, "unlimited for this program, by its limit or CAP_IPC_LOCK", entry=entry, weight=Severity.NOTE
        )
    else:
        text = f"{limit // 1024} KiB for this program; a guest needs all its memory and some more"
        yield ask.check(question, False, text, entry=entry, weight=Severity.NOTE)


def _moment(ask: _Ask) -> Iterator[Check]:
    """A change of its VFs under way answers the first open with EAGAIN, and can hang both on some kernels."""
    scene, view = ask.scene, ask.scene.snapshot
    home = {ask.bdf, ask.function.physfn or ask.bdf}
    running = [job.title for job in view.jobs if job.target in home and job.state is JobState.RUNNING]
    hang = scene.has("pf_runtime_pm") and not (scene.has("vf_own_devset") or scene.has("sriov_active"))
    worse = "; on this kernel both may hang for good" if running and hang and ask.function.role is Role.PF else ""
    text = f"under way: {listing(running)}{worse}" if running else "none of this vfdeck; another program's would not show"
    yield ask.check("Is no change of it under way here?", not running, text, entry="F3")
    if not view.holders_of(ask.bdf):
        under = sum(1 for vf in view.vfs_of(ask.bdf)) if ask.function.role is Role.PF else 0
        text = f"the first open resets {ask.bdf}" + (f" under its {under} VFs" if under else "")
        yield ask.check("Does opening leave it as it is?", False, text, entry="", weight=Severity.NOTE)
