"""Can this PF give N VFs? Every rule that the kernel, the driver and the platform apply, as far as it shows before the write.

The rules and their order: drivers/pci/iov.c sriov_numvfs_store, sriov_enable; vfio_pci.c vfio_pci_sriov_configure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

from vfdeck.backend.changes import SetNumvfs
from vfdeck.backend.checks import CanEnable, Check, Report, Severity
from vfdeck.backend.checks.advice import has_sriov_hook, needs_link
from vfdeck.backend.checks.pci import SriovRegisters, sriov_registers
from vfdeck.backend.checks.scene import Scene, gone, with_function
from vfdeck.backend.evidence import Unread, all_off, bus_range, interfaces_up, parameter, windows
from vfdeck.backend.kernel import Kernel, errno_name
from vfdeck.backend.model import Function, JobState, Role, Snapshot, Sriov, TokenState, is_vfio_driver, routing_id
from vfdeck.backend.predict.writes import LAST_BUS, MOST
from vfdeck.backend.vfio import DEVICES
from vfdeck.backend.wording import listing, programs, role_of, token_history, unseen, vf_address

_VF_BARS = 7  # line of `resource` that holds the first VF BAR


@dataclass(slots=True)
class _Ask:
    """The PF, what it shows of SR-IOV, how many VFs are wanted."""

    scene: Scene
    pf: Function
    sriov: Sriov
    count: int
    registers: SriovRegisters | Unread

    @property
    def path(self) -> str:
        return f"{DEVICES}/{self.pf.bdf}"

    @property
    def vfs(self) -> list[Function]:
        return self.scene.snapshot.vfs_of(self.pf.bdf)


def can_enable(question: CanEnable, kernel: Kernel, snapshot: Snapshot) -> Report:
    """All checks for giving a PF `count` VFs; count 0 asks whether its VFs can be removed."""
    return enable_report(question, Scene(kernel, with_function(kernel, snapshot, question.pf)))


def enable_report(question: CanEnable, scene: Scene) -> Report:
    """The same where a scene is there, of which no file is read again."""
    scene, snapshot = replace(scene, change=SetNumvfs(question.pf, question.count)), scene.snapshot
    title = f"Can {question.pf} give {question.count} VFs?"
    pf = snapshot.functions.get(question.pf)
    if pf is None:
        return Report(title, (gone(scene, question.pf),))
    if pf.sriov is None:
        is_pf = scene.check("Is it a PF?", False, f"{pf.bdf} is {role_of(pf)}", entry="A1", subject=pf.bdf)
        return Report(title, (is_pf,))
    if question.count == pf.sriov.numvfs:
        text = f"{question.count}: the kernel then does nothing, with or without a driver"
        same = scene.check("Is that the number of its VFs already?", True, text, entry="A5", subject=pf.bdf)
        return Report(title, (same,))
    space = scene.config(pf.bdf)
    registers = space if isinstance(space, Unread) else sriov_registers(space, pf.bdf)
    ask = _Ask(scene, pf, pf.sriov, question.count, registers)
    groups = (_asked, _driver, _present, _room, _vectors, _afterwards, _rights) if question.count else (_driver, _present, _rights)
    if question.count > MOST:
        groups = (_number, _driver, _rights)
    return Report(title, tuple(check for group in groups for check in group(ask)))


# -- what may be asked for -------------------------------------------------------------------------------------------------
def _number(ask: _Ask) -> Iterator[Check]:
    """The file takes no larger number; where its VFs would be, and what they would need, is no question then."""
    text = f"{ask.count} is more than {MOST}: {ask.path}/sriov_numvfs takes no such number"
    yield ask.scene.check("Is it a number of VFs?", False, text, entry="A4", subject=ask.pf.bdf)


def _asked(ask: _Ask) -> Iterator[Check]:
    """The totals: the driver's, the hardware's, the firmware's."""
    scene, bdf, total = ask.scene, ask.pf.bdf, ask.sriov.totalvfs
    yield scene.check("Is it a PF?", True, f"{bdf} has sriov_numvfs", entry="A1", subject=bdf)
    question = f"Does it offer {ask.count} VFs?"
    evidence = [f"{ask.path}/sriov_totalvfs: {'could not be read' if total is None else total}"]
    if not isinstance(ask.registers, Unread):
        hardware = ask.registers.total
        lowered = total is not None and hardware > total
        evidence.append(f"TotalVFs of the hardware: {hardware}" + (f"; {ask.pf.driver} lowered it (A25)" if lowered else ""))
    fine = None if total is None else 0 <= ask.count <= total
    yield scene.check(question, fine, *evidence, entry="A2" if total == 0 else "A3", subject=bdf)
    text = "an adapter's own quota of VFs is in its firmware; the vendor's tool shows it, sysfs does not beyond sriov_totalvfs"
    yield scene.check("Does its firmware grant them?", None, text, entry="A2", weight=Severity.NOTE, subject=bdf)


# -- who makes them --------------------------------------------------------------------------------------------------------
def _driver(ask: _Ask) -> Iterator[Check]:
    """The kinds of ENOENT: no driver, no hook, the hook switched off."""
    scene, pf, host = ask.scene, ask.pf, ask.scene.snapshot.host
    yield scene.check("Has it a driver?", pf.driver is not None, f"driver: {pf.driver or 'none'}", entry="A6", subject=pf.bdf)
    if pf.driver is None:
        return
    question = "Does its driver make VFs?"
    if pf.driver == "vfio-pci":
        path = "/sys/module/vfio_pci/parameters/enable_sriov"
        reads = {True: "Y", False: "N", None: "absent"}[host.enable_sriov]
        entry = "A9" if host.enable_sriov is None else "A8"
        yield scene.check(question, host.enable_sriov is True, f"{path}: {reads}", entry=entry, subject=pf.bdf)
    elif is_vfio_driver(pf.driver):
        yield scene.check(question, False, f"{pf.driver} has no hook; among vfio drivers only vfio-pci", entry="A7", subject=pf.bdf)
    else:
        fine, evidence = _hook(ask, pf.driver)
        yield scene.check(question, fine, evidence, entry="A7", subject=pf.bdf)
    if pf.interfaces or needs_link(pf.driver):
        yield _interface(ask)
    if pf.driver == "ixgbe":
        text = "some parts of the family answer ENOMEM until the module is loaded with max_vfs"
        yield scene.check("Does this part make VFs without max_vfs?", None, text, entry="A13", weight=Severity.NOTE, subject=pf.bdf)


def _hook(ask: _Ask, driver: str) -> tuple[bool | None, str]:
    """Whether a kernel driver can make VFs: sysfs does not show its hook."""
    known = has_sriov_hook(driver)
    if known is None and ask.vfs:
        return True, f"{driver} has {len(ask.vfs)} VFs now"
    text = {True: f"{driver} is known to", False: f"{driver} is known not to", None: f"sysfs does not show whether {driver} does"}
    return known, text[known]


def _interface(ask: _Ask) -> Check:
    """Some drivers call it a success to have enabled nothing while their interface is down (A18); to others it matters less."""
    weight = Severity.ERROR if needs_link(ask.pf.driver) else Severity.NOTE
    question, found = "Is its interface up?", interfaces_up(ask.scene.kernel, ask.pf.bdf)
    if isinstance(found, Unread):
        return ask.scene.check(question, None, found.why, entry="A18", weight=weight, subject=ask.pf.bdf)
    shown = [up.why if isinstance(up, Unread) else f"{name}: {'up' if up else 'down'}" for name, up in found.items()]
    off = all_off(found)
    fine = None if off is None else not off
    return ask.scene.check(question, fine, ", ".join(shown) or "it has none", entry="A18", weight=weight, subject=ask.pf.bdf)


# -- the VFs that are there ------------------------------------------------------------------------------------------------
def _present(ask: _Ask) -> Iterator[Check]:
    """From one number to another the count passes through 0: what goes, and who has to let go."""
    scene, pf, present = ask.scene, ask.pf, ask.sriov.numvfs
    running = [j.title for j in scene.snapshot.jobs if j.target == pf.bdf and j.state is JobState.RUNNING]
    text = f"under way: {listing(running)}" if running else "none of this vfdeck; another program's would not show"
    yield scene.check("Is no other change of it under way here?", not running, text, entry="A21", subject=pf.bdf)
    if ask.count:
        text = f"{present} VFs: they vanish first (0 is written before {ask.count})" if present else "none"
        question = "Are there no VFs in the way?"
        yield scene.check(question, not present, text, entry="A5", weight=Severity.WARNING, subject=pf.bdf)
    if present:
        yield _held(ask)


def _held(ask: _Ask) -> Check:
    """The kernel waits, without limit, for whoever holds a VF that is to go."""
    scene = ask.scene
    question, bdf = "Will their removal wait for nobody?", ask.pf.bdf
    holders = [h for vf in ask.vfs for h in scene.snapshot.holders_of(vf.bdf)]
    if holders:
        return scene.check(question, False, f"held by {listing(programs(holders))}", entry="G1", subject=bdf)
    if scene.snapshot.unseen:
        return scene.check(question, None, f"nobody seen{unseen(scene.snapshot)}", entry="G9", subject=bdf)
    return scene.check(question, True, "nobody holds one", entry="G1", subject=bdf)


# -- room: addresses, bus numbers, what the hardware depends on ------------------------------------------------------------
def _room(ask: _Ask) -> Iterator[Check]:
    yield _capability(ask)
    yield _addresses(ask)
    yield _buses(ask)
    if not isinstance(ask.registers, Unread) and ask.registers.dependency != routing_id(ask.pf.bdf) & 0xFF:
        yield _dependency(ask, ask.registers.dependency)


def _unplaced(ask: _Ask) -> bool:
    """Whether offset or stride is 0, by which no VF has an address. The hardware may set them only with the number of VFs."""
    return ask.sriov.offset == 0 or (ask.sriov.stride == 0 and ask.count > 1)


def _capability(ask: _Ask) -> Check:
    """InitialVFs, offset and stride make sense (A15)."""
    question, bdf, sriov = "Is its SR-IOV capability consistent?", ask.pf.bdf, ask.sriov
    numbers = f"offset {sriov.offset}, stride {sriov.stride}"
    if _unplaced(ask):
        if sriov.numvfs > (1 if sriov.offset else 0):
            return ask.scene.check(question, False, numbers, entry="A15", subject=bdf)
        text = f"{numbers}: they may change with the number of VFs, now {sriov.numvfs}"
        return ask.scene.check(question, None, text, entry="A15", subject=bdf)
    if isinstance(ask.registers, Unread):
        return ask.scene.check(question, None, numbers, f"InitialVFs: {ask.registers.why}", entry="A15", subject=bdf)
    initial, total = ask.registers.initial, ask.registers.total
    shown = f"InitialVFs {initial}, TotalVFs {total}, {numbers}"
    fine = initial <= total if ask.registers.migration else initial == total
    return ask.scene.check(question, fine, shown, entry="A15", subject=bdf)


def _addresses(ask: _Ask) -> Check:
    """Every VF BAR needs a window. It is assigned for all TotalVFs at once, so the number asked for makes no difference (A10)."""
    question, bdf = "Is there address space for the VFs' registers?", ask.pf.bdf
    lines = windows(ask.scene.kernel, bdf)
    if isinstance(lines, Unread):
        return ask.scene.check(question, None, lines.why, entry="A10", subject=bdf)
    found = {number: window for number, window in enumerate(lines[_VF_BARS : _VF_BARS + 6]) if window.present}
    assigned = {number for number, window in found.items() if window.assigned}
    wanted = set(found) | (set() if isinstance(ask.registers, Unread) else ask.registers.bars)
    if len(lines) < _VF_BARS + 6:
        text = f"{ask.path}/resource has {len(lines)} lines: none for VF BARs"
        return ask.scene.check(question, None, text, entry="A10", subject=bdf)
    if not wanted:  # a VF without any registers does not exist, so its window was given up
        return ask.scene.check(question, False, f"{ask.path}/resource: lines 8 to 13 are all zero", entry="A10", subject=bdf)
    shown = tuple(_window(number, assigned, found[number].size if number in found else 0, ask) for number in sorted(wanted))
    fine = wanted <= assigned
    if fine and isinstance(ask.registers, Unread):
        shown += (f"whether there are more VF BARs could not be checked ({ask.registers.why})",)
    return ask.scene.check(question, fine, *shown, entry="A10", subject=bdf)


def _window(number: int, assigned: set[int], size: int, ask: _Ask) -> str:
    if number not in assigned:
        return f"VF BAR {number}: no address range"
    total = ask.sriov.totalvfs if isinstance(ask.registers, Unread) else ask.registers.total
    each = f", {size // total // 1024} KiB for each of {total} VFs" if total and size >= 1024 * total else ""
    return f"VF BAR {number}: {size // 1024} KiB{each}"


def _buses(ask: _Ask) -> Check:
    """The last VF's bus number must belong to the bridge above (A11)."""
    question, bdf = "Does the bridge above own the VFs' bus numbers?", ask.pf.bdf
    last = vf_address(ask.pf, ask.count - 1)
    if last is None or _unplaced(ask):
        why = "offset or stride is 0" if _unplaced(ask) else "offset or stride could not be read"
        return ask.scene.check(question, None, why, entry="A11", subject=bdf)
    bus, home = (int(name.split(":")[1], 16) for name in (last, bdf))
    if bus > LAST_BUS:
        text = f"VF {ask.count - 1} would be beyond bus {LAST_BUS:02x}, the last there can be"
        return ask.scene.check(question, False, text, entry="A11", subject=bdf)
    shown = f"VF {ask.count - 1} would be {last}, on bus {bus:02x}"
    if bus == home:
        return ask.scene.check(question, True, f"{shown}, where its PF is", entry="A11", subject=bdf)
    owned = bus_range(ask.scene.kernel, bdf)
    if isinstance(owned, Unread):
        return ask.scene.check(question, None, shown, owned.why, entry="A11", subject=bdf)
    shown = f"{shown}; the bridge owns {owned.start:02x} to {owned.stop - 1:02x}"
    return ask.scene.check(question, bus < owned.stop, shown, entry="A11", subject=bdf)


def _dependency(ask: _Ask, devfn: int) -> Check:
    """The function dependency link names another function of the bus, which must be a PF (A16)."""
    bdf = f"{ask.pf.bdf.rsplit(':', 1)[0]}:{devfn >> 3:02x}.{devfn & 7}"
    other = ask.scene.snapshot.functions.get(bdf)
    shown = f"the capability names {bdf}, which is {role_of(other)}"
    fine = other is not None and other.role is Role.PF
    return ask.scene.check("Is the function that its VFs depend on there?", fine, shown, entry="A16", subject=ask.pf.bdf)


# -- what the driver shares out --------------------------------------------------------------------------------------------
def _vectors(ask: _Ask) -> Iterator[Check]:
    """Interrupt vectors: how many are left for VFs shows in no file that can be read without the device's lock."""
    scene, pf, question = ask.scene, ask.pf, "Are there interrupt vectors left for them?"
    if pf.driver is None:
        return
    if pf.on_vfio or pf.driver == "pci-pf-stub":
        yield scene.check(question, True, f"{pf.driver} shares out none", entry="A14", weight=Severity.NOTE, subject=pf.bdf)
        return
    path = f"{ask.path}/msi_irqs"
    try:
        used = f"{path}: {len(scene.kernel.names(path))} taken by {pf.driver} itself"
    except OSError as error:
        used = f"{path}: {errno_name(error.errno or 0)}"
    text = "what is left for VFs only the driver knows (sriov_vf_total_msix is not read: it waits for the device's lock)"
    yield scene.check(question, None, used, text, entry="A14", weight=Severity.NOTE, subject=pf.bdf)


# -- what becomes of them --------------------------------------------------------------------------------------------------
def _afterwards(ask: _Ask) -> Iterator[Check]:
    """Who takes the new VFs, whether they will be isolated, and whether anybody can open them."""
    scene, pf = ask.scene, ask.pf
    yield _takers(ask)
    yield _isolation(ask)
    if pf.driver != "vfio-pci":
        return
    asleep = parameter(scene.kernel, "vfio_pci", "disable_idle_d3")
    if not scene.has("pf_runtime_pm"):
        fine = None if isinstance(asleep, Unread) else asleep
        shown = asleep.why if isinstance(asleep, Unread) else f"disable_idle_d3: {'Y' if asleep else 'N'}"
        question = "Will the PF stay awake under its VFs?"
        yield scene.check(question, fine, shown, entry="A28", weight=Severity.WARNING, subject=pf.bdf)
    known = scene.snapshot.tokens.get(pf.bdf)
    fine = {TokenState.SET: True, TokenState.UNSET: False}.get(known.state if known else TokenState.UNKNOWN)
    question = "Is a token set, so that the VFs can be opened?"
    yield scene.check(question, fine, token_history(known), entry="D3", weight=Severity.WARNING, subject=pf.bdf)


def _takers(ask: _Ask) -> Check:
    """Autoprobe, and the capture by a vfio PF (A26, B17)."""
    question, pf = "Are new VFs left alone by the host's drivers?", ask.pf
    if pf.on_vfio and ask.scene.has("vf_token"):
        text = f"{pf.driver} captures them (B17)"
        return ask.scene.check(question, True, text, entry="A26", weight=Severity.NOTE, subject=pf.bdf)
    autoprobe = ask.sriov.autoprobe
    shown = {True: "1: a driver that matches takes them at once", False: "0", None: "could not be read"}[autoprobe]
    fine = None if autoprobe is None else not autoprobe
    text = f"{ask.path}/sriov_drivers_autoprobe: {shown}"
    return ask.scene.check(question, fine, text, entry="A26", weight=Severity.NOTE, subject=pf.bdf)


def _isolation(ask: _Ask) -> Check:
    """IOMMU groups of the VFs: told by those there are, else not before they exist (C10)."""
    question, pf, weight = "Do its VFs get IOMMU groups of their own?", ask.pf, Severity.WARNING
    if pf.iommu_group is None:
        whole = "" if ask.scene.snapshot.host.iommu else ": this host has no IOMMU at work"
        entry = "B2" if ask.scene.snapshot.host.iommu else "B1"
        return ask.scene.check(question, False, f"the PF itself has none{whole}", entry=entry, weight=weight, subject=pf.bdf)
    if not ask.vfs:
        text = "a VF's group shows only when the VF is there"
        return ask.scene.check(question, None, text, entry="C10", weight=weight, subject=pf.bdf)
    groups = Counter(function.iommu_group for function in (pf, *ask.vfs))
    shared = [vf for vf in ask.vfs if vf.iommu_group is not None and groups[vf.iommu_group] > 1]
    without = [vf.bdf for vf in ask.vfs if vf.iommu_group is None]
    if shared:
        text = ", ".join(f"{vf.bdf} in group {vf.iommu_group}" for vf in shared[:2]) + (" ..." if len(shared) > 2 else "")
        return ask.scene.check(question, False, f"{text}, with the PF or other VFs", entry="C10", weight=weight, subject=pf.bdf)
    if without:
        text = f"{listing(without, 2)} in no group that shows"
        return ask.scene.check(question, None, text, entry="C10", weight=weight, subject=pf.bdf)
    return ask.scene.check(question, True, f"the {len(ask.vfs)} there are have them", entry="C10", weight=weight, subject=pf.bdf)


# -- rights ----------------------------------------------------------------------------------------------------------------
def _rights(ask: _Ask) -> Iterator[Check]:
    yield ask.scene.may_write(f"{ask.path}/sriov_numvfs")
    yield from ask.scene.expected(SetNumvfs(ask.pf.bdf, ask.count))
