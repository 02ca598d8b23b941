"""What is the matter with a host's functions: PFs, VFs, groups, drivers, power, tokens. Only what is not as it should be.

Every check is one finding, of one function, or of all that have it in common.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from vfdeck.backend.checks import CanEnable, Check, Severity, Verdict
from vfdeck.backend.checks.numvfs import enable_report
from vfdeck.backend.checks.pci import silent, sriov_registers
from vfdeck.backend.checks.persistence import DRIVERS, PLACES, VFS, Settings
from vfdeck.backend.checks.scene import Scene, named
from vfdeck.backend.evidence import Unread, parameter, text_of
from vfdeck.backend.facts import BRIDGE, blocking_members
from vfdeck.backend.model import Function, Role, TokenState
from vfdeck.backend.vfio import DEVICES
from vfdeck.backend.well_known import by_fingerprint
from vfdeck.backend.wording import listing, programs, token_history

ETHERNET = 0x0200
NVME = 0x0108
#: What the check of all VFs that a PF offers is asked for here: the platform's and the device's own limits.
_LIMITS = frozenset({"A10", "A11", "A12", "A15", "A16"})


@dataclass(slots=True)
class _Fleet:
    """The host's functions, and what is set for its next start."""

    scene: Scene
    settings: Settings | Unread

    @property
    def functions(self) -> list[Function]:
        return list(self.scene.snapshot.functions.values())

    def note(self, question: str, *evidence: str, entry: str, subject: str = "", weight: Severity = Severity.NOTE) -> Check:
        """A finding."""
        return self.scene.check(question, False, *evidence, entry=entry, weight=weight, subject=subject)

    def unknown(self, question: str, *evidence: str, entry: str, subject: str = "", weight: Severity = Severity.NOTE) -> Check:
        """What could not be checked."""
        return self.scene.check(question, None, *evidence, entry=entry, weight=weight, subject=subject)


def of_functions(scene: Scene, found: Settings | Unread) -> Iterator[Check]:
    """Every finding about functions: PF by PF, then what concerns several."""
    fleet = _Fleet(scene, found)
    for pf in scene.snapshot.pfs():
        for look in _PF:
            yield from look(fleet, pf)
    for function in fleet.functions:
        if function.role is not Role.VF:
            yield from _alive(fleet, function)
            yield from _link(fleet, function)
        yield from _override(fleet, function)
    for whole in (_groups, _by_surprise, _foreign_vfs, _classes, _leftovers, _lasting):
        yield from whole(fleet)


# -- a PF ------------------------------------------------------------------------------------------------------------------
def _total(fleet: _Fleet, pf: Function) -> Iterator[Check]:
    """The numbers of VFs: offered, in the hardware, and whether the platform has room for them."""
    scene, total = fleet.scene, pf.sriov.totalvfs if pf.sriov else None
    if total == 0:
        yield fleet.note("Does it offer VFs?", "sriov_totalvfs: 0", entry="A2", subject=pf.bdf, weight=Severity.WARNING)
    space = scene.config(pf.bdf)
    registers = space if isinstance(space, Unread) else sriov_registers(space, pf.bdf)
    if not isinstance(registers, Unread) and total is not None and registers.total > total:
        text = f"TotalVFs of the hardware {registers.total}, sriov_totalvfs {total} on {pf.driver}"
        yield fleet.note("Does it offer all VFs of its hardware?", text, entry="A25", subject=pf.bdf)
    if total:
        for check in enable_report(CanEnable(pf.bdf, total), scene).checks:
            if check.entry in _LIMITS and check.verdict is Verdict.NO:
                yield replace(check, weight=Severity.WARNING)


def _driver(fleet: _Fleet, pf: Function) -> Iterator[Check]:
    """What its driver makes of the VFs."""
    host, present = fleet.scene.snapshot.host, pf.sriov.numvfs if pf.sriov else 0
    if pf.driver == "vfio-pci" and host.enable_sriov is False:
        text = "enable_sriov is N, so their number cannot be changed"
        yield fleet.note("Can its VFs be switched on and off?", text, entry="A8", subject=pf.bdf)
    if pf.driver is None and present:
        text = f"{present} VFs, and no driver that made them"
        yield fleet.note("Has a PF with VFs its driver?", text, entry="G10", subject=pf.bdf, weight=Severity.WARNING)
    if pf.class_code >> 8 == NVME and present:
        text = "whether the secondary controllers have queues and are online is not in sysfs"
        yield fleet.unknown("Were its NVMe VFs given resources?", text, entry="A27", subject=pf.bdf)


def _takers(fleet: _Fleet, pf: Function) -> Iterator[Check]:
    """Which drivers its VFs went to."""
    vfs = fleet.scene.snapshot.vfs_of(pf.bdf)
    hosts = sorted({vf.driver for vf in vfs if vf.driver and not vf.on_vfio})
    if not pf.on_vfio and hosts and pf.sriov and pf.sriov.autoprobe:
        text = f"autoprobe is on, and the host's {listing(hosts)} took VFs"
        yield fleet.note("Are its VFs left alone by the host's drivers?", text, entry="A26", subject=pf.bdf)
    faced = [name for vf in vfs for name in vf.interfaces]
    if faced:
        text = f"{listing(faced)}: NetworkManager, networkd and the like may configure them"
        yield fleet.note("Are its VFs no interfaces of the host?", text, entry="G5", subject=pf.bdf)
    captured = [vf for vf in vfs if vf.on_vfio and vf.driver_override == pf.driver]
    if pf.on_vfio and captured:
        text = f"{len(captured)} of {len(vfs)} VFs of {pf.bdf} went to {pf.driver} because their PF is on it: expected"
        weight, subject = Severity.NOTE, captured[0].bdf
        yield fleet.scene.check("Is it clear how it got its driver?", True, text, entry="B17", weight=weight, subject=subject)


def _power(fleet: _Fleet, pf: Function) -> Iterator[Check]:
    """A PF on vfio-pci that sleeps under its VFs: before 5.19, unless disable_idle_d3 (A28)."""
    scene, present = fleet.scene, pf.sriov.numvfs if pf.sriov else 0
    if pf.driver != "vfio-pci" or not present:
        return
    state = text_of(scene.kernel, f"{DEVICES}/{pf.bdf}/power_state")
    idle = parameter(scene.kernel, "vfio_pci", "disable_idle_d3")
    sleeps = not isinstance(state, Unread) and state.startswith("D3")
    may = not scene.has("pf_runtime_pm") and idle is False and not scene.snapshot.holders_of(pf.bdf)
    if sleeps or may:
        reads = "could not be read"
        switch = reads if isinstance(idle, Unread) else "Y" if idle else "N"
        shown = f"power_state: {reads if isinstance(state, Unread) else state}, disable_idle_d3: {switch}"
        yield fleet.note("Is it awake under its VFs?", shown, entry="A28", subject=pf.bdf, weight=Severity.WARNING)


def _token(fleet: _Fleet, pf: Function) -> Iterator[Check]:
    """Whether anybody can open its VFs, and by which token; who could look into them."""
    scene = fleet.scene
    present = pf.sriov.numvfs if pf.sriov else 0
    if not pf.on_vfio or not present or not scene.has("vf_token"):
        return
    known = scene.snapshot.tokens.get(pf.bdf)
    state, question = known.state if known else TokenState.UNKNOWN, "Is a token set, so that its VFs can be opened?"
    if state is TokenState.UNSET:
        yield fleet.note(question, token_history(known), entry="D3", subject=pf.bdf, weight=Severity.WARNING)
    elif state is TokenState.UNKNOWN:
        yield fleet.unknown(question, token_history(known), entry="D3", subject=pf.bdf, weight=Severity.WARNING)
    elif known is not None and (public := by_fingerprint(known.fingerprint)):
        yield fleet.note("Is its token a secret?", public.words, entry=public.entry, subject=pf.bdf, weight=Severity.ERROR)
    yield from _trust(fleet, pf)


def _trust(fleet: _Fleet, pf: Function) -> Iterator[Check]:
    """A PF and its VFs in different hands: a token says who may open, it does not isolate (D22)."""
    snapshot = fleet.scene.snapshot
    over = snapshot.holders_of(pf.bdf)
    others = [h for vf in snapshot.vfs_of(pf.bdf) for h in snapshot.holders_of(vf.bdf) if h.pid not in {o.pid for o in over}]
    if over and others:
        text = f"{listing(programs(over), 2)} can reset, starve and see what {listing(programs(others), 2)} uses"
        yield fleet.note("Are its VFs out of reach of its own user?", text, entry="D22", subject=pf.bdf)


def _resets(fleet: _Fleet, pf: Function) -> Iterator[Check]:
    """A PF that is reset with its whole bus, by the first of its methods, takes along what else is there (G3)."""
    if not pf.sriov or not pf.sriov.numvfs:
        return
    methods = text_of(fleet.scene.kernel, f"{DEVICES}/{pf.bdf}/reset_method")
    if not isinstance(methods, Unread) and methods.split()[:1] in (["bus"], ["cxl_bus"]):
        text = f"reset_method: {methods}: a reset reaches beyond the function"
        yield fleet.note("Is its reset its own?", text, entry="G3", subject=pf.bdf)


_PF: tuple[Callable[[_Fleet, Function], Iterator[Check]], ...] = (_total, _driver, _takers, _power, _token, _resets)


# -- any function ----------------------------------------------------------------------------------------------------------
def _alive(fleet: _Fleet, function: Function) -> Iterator[Check]:
    """Whether it answers at all (F4)."""
    state = text_of(fleet.scene.kernel, f"{DEVICES}/{function.bdf}/power_state")
    question = "Does it answer on the bus?"
    if state == "D3cold":
        on = f" on {function.driver}" if function.driver else ""
        weight = Severity.WARNING if function.driver else Severity.NOTE
        yield fleet.note(question, f"power_state: D3cold{on}", entry="F4", subject=function.bdf, weight=weight)
        return
    space = fleet.scene.config(function.bdf)
    if not isinstance(space, Unread) and silent(space):
        yield fleet.note(question, "its configuration reads all ones", entry="F4", subject=function.bdf, weight=Severity.ERROR)


def _link(fleet: _Fleet, function: Function) -> Iterator[Check]:
    link = function.link
    if link is not None and link.degraded and link.width:
        text = f"{link.speed} x{link.width}, where {link.max_speed} x{link.max_width} could be"
        do = ("Seat the card anew, or choose a slot with more lanes; a link may also save power while idle.",)
        question = "Does its link run at full speed and width?"
        yield fleet.scene.check(question, False, text, weight=Severity.WARNING, subject=function.bdf, do=do)


def _override(fleet: _Fleet, function: Function) -> Iterator[Check]:
    """An override that keeps every other driver away (B9)."""
    override = function.driver_override
    if override and function.driver != override:
        text = f"driver_override: {override}, but it is on {function.driver or 'no driver'}"
        weight = Severity.NOTE if function.driver else Severity.WARNING
        yield fleet.note("Is it on the driver it is reserved for?", text, entry="B9", subject=function.bdf, weight=weight)


# -- several ---------------------------------------------------------------------------------------------------------------
def _groups(fleet: _Fleet) -> Iterator[Check]:
    """Groups that a user of vfio meets: unviable ones, a PF together with VFs, bridges, company."""
    snapshot = fleet.scene.snapshot
    for number, group in snapshot.groups.items():
        members = [snapshot.functions[bdf] for bdf in group.members if bdf in snapshot.functions]
        ends = [f for f in members if f.class_code >> 8 != BRIDGE]
        used = [f for f in ends if f.on_vfio]
        families = {f.physfn or f.bdf for f in ends if f.role is not Role.PLAIN}
        if any(f.role is Role.VF for f in ends) and len(families) < sum(1 for f in ends if f.role is not Role.PLAIN):
            text = f"group {number}: {named(ends[:4])}{' ...' if len(ends) > 4 else ''} reach each other past the IOMMU"
            question, subject = "Is each VF isolated?", next(f.physfn or f.bdf for f in ends if f.role is not Role.PLAIN)
            yield fleet.note(question, text, entry="C10", subject=subject, weight=Severity.WARNING)
        if not used:
            continue
        subject = used[0].bdf
        blockers = blocking_members(snapshot, subject)
        if blockers:
            text = f"group {number}: {named(blockers)} keep {listing([f.bdf for f in used], 2)} from user space"
            question = "Is its group free of host drivers?"
            yield fleet.note(question, text, entry="C8", subject=subject, weight=Severity.WARNING)
        elif len(ends) > 1:
            text = f"group {number}: {len(ends)} functions, {named(ends[:4])}; a guest needs all of them, or the others unused"
            yield fleet.note("Is it alone in its group?", text, entry="F6", subject=subject)
        if len(ends) < len(members) and not blockers:
            bridges = named([f for f in members if f.class_code >> 8 == BRIDGE])
            text = f"group {number}: {bridges}, which never counts, whatever some tools say"
            yield fleet.note("Is its group free of bridges?", text, entry="C9", subject=subject)


def _by_surprise(fleet: _Fleet) -> Iterator[Check]:
    """Functions of one model on vfio-pci, some by an override and some without: ids= or new_id took them all (B10)."""
    models: dict[tuple[int, int], list[Function]] = defaultdict(list)
    for function in fleet.functions:
        if function.driver == "vfio-pci" and function.role is not Role.VF:
            models[function.vendor_id, function.device_id].append(function)
    for same in models.values():
        stray = [f.bdf for f in same if not f.driver_override]
        if stray and len(same) > len(stray):
            text = f"{listing(stray)} on vfio-pci without a driver_override, {len(same) - len(stray)} of the same model with one"
            yield fleet.note("Was each function bound on purpose?", text, entry="B10", subject=stray[0], weight=Severity.WARNING)


def _foreign_vfs(fleet: _Fleet) -> Iterator[Check]:
    """VFs on a driver of the host under a PF that a program in user space may drive (B18)."""
    snapshot = fleet.scene.snapshot
    for pf in snapshot.pfs():
        foreign = [vf for vf in snapshot.vfs_of(pf.bdf) if vf.driver and not vf.on_vfio] if pf.on_vfio else []
        if foreign:
            text = f"{named(foreign[:3])}{' ...' if len(foreign) > 3 else ''} while {pf.bdf} is on {pf.driver}"
            question = "Are the host's VFs under a PF of the host?"
            yield fleet.note(question, text, entry="B18", subject=foreign[0].bdf, weight=Severity.WARNING)


def _classes(fleet: _Fleet) -> Iterator[Check]:
    """PFs that many tools do not list (G7)."""
    odd = [pf for pf in fleet.scene.snapshot.pfs() if pf.class_code >> 8 != ETHERNET]
    if odd:
        text = ", ".join(f"{pf.bdf} (class {pf.class_code:06x})" for pf in odd[:4]) + (" ..." if len(odd) > 4 else "")
        yield fleet.note("Do tools that look for network cards see every PF?", text, entry="G7", subject=odd[0].bdf)


def _leftovers(fleet: _Fleet) -> Iterator[Check]:
    """Functions in use by a mapping alone: no descriptor is left that would show it (G2)."""
    kinds: dict[tuple[str, int], set[str]] = defaultdict(set)
    for holder in fleet.scene.snapshot.holders:
        kinds[holder.bdf, holder.pid].add(holder.kind)
    for (bdf, pid), held in kinds.items():
        if held == {"mapping"}:
            text = f"pid {pid} holds it by a mapping, with no descriptor open"
            yield fleet.note("Is every user of it visible as a descriptor?", text, entry="G2", subject=bdf)


# -- the next start --------------------------------------------------------------------------------------------------------
def _lasting(fleet: _Fleet) -> Iterator[Check]:
    """Whether anything makes VFs and bindings again after a restart (G6, B20): a finding for all that nothing names."""
    pfs = [pf for pf in fleet.scene.snapshot.pfs() if pf.sriov and pf.sriov.numvfs]
    bound = [f for f in fleet.functions if f.on_vfio and f.role is not Role.VF]
    for functions, what, entry, question in (
        (pfs, VFS, "G6", "Is anything set to make its VFs again?"),
        (bound, DRIVERS, "B20", "Is anything set to bind it again?"),
    ):
        if isinstance(fleet.settings, Unread):
            left, shown = functions, [fleet.settings.why]
        else:
            left = [f for f in functions if not _named(fleet.settings, f, what)]
            shown = [f"{path} may mean it, but does not name it" for path in fleet.settings.general(what)[:3]]
            shown += fleet.settings.unread[:3]
        if not left:
            continue
        whom = listing([f.bdf for f in left])
        if shown:
            yield fleet.unknown(question, whom, *shown, entry=entry, subject=left[0].bdf)
        else:
            text = f"no file below /etc of {PLACES} names {whom}"
            yield fleet.note(question, text, entry=entry, subject=left[0].bdf)


def _named(found: Settings, function: Function, what: re.Pattern[str]) -> bool:
    """Whether a file speaks of this function: by address, interface or model."""
    ids = f"{function.vendor_id:04x}:{function.device_id:04x}"
    return bool(found.speaking_of(function.bdf, what, *function.interfaces, ids))
