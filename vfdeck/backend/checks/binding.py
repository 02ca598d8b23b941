"""Can this function go to this driver? What the driver, the group and the platform say, and what goes away with the old driver.

The rules: drivers/base/bus.c bind_store, pci-driver.c pci_match_device, vfio_pci.c vfio_pci_probe, vfio_pci_core.c
vfio_pci_core_register_device, iommu.c iommu_device_use_default_domain.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vfdeck.backend import blast
from vfdeck.backend.acts import DRIVERS
from vfdeck.backend.changes import BindDriver
from vfdeck.backend.checks import CanBind, Check, Report, Severity
from vfdeck.backend.checks.pci import config, is_endpoint
from vfdeck.backend.checks.scene import Scene, gone, named, with_function
from vfdeck.backend.evidence import Unread, exists, parameter
from vfdeck.backend.facts import BRIDGE, blocking_members, denylisted, going_holders, group_members
from vfdeck.backend.kernel import Kernel
from vfdeck.backend.model import Function, Role, Snapshot, is_vfio_driver
from vfdeck.backend.usage.look import look_up
from vfdeck.backend.usage.said import UNCHECKED, indispensable, losses
from vfdeck.backend.vfio import DEVICES
from vfdeck.backend.wording import listing, programs, unseen


@dataclass(slots=True)
class _Ask:
    scene: Scene
    function: Function
    driver: str

    @property
    def bdf(self) -> str:
        return self.function.bdf

    def check(self, question: str, fine: bool | None, *evidence: str, entry: str, weight: Severity = Severity.ERROR) -> Check:
        return self.scene.check(question, fine, *evidence, entry=entry, weight=weight, subject=self.bdf)


def can_bind(question: CanBind, kernel: Kernel, snapshot: Snapshot) -> Report:
    """All checks for binding a function to a driver through its driver_override."""
    snapshot = with_function(kernel, snapshot, question.bdf)
    scene = Scene(kernel, snapshot, BindDriver(question.bdf, question.driver))
    title = f"Can {question.bdf} go to {question.driver}?"
    function = snapshot.functions.get(question.bdf)
    if function is None:
        return Report(title, (gone(scene, question.bdf),))
    ask = _Ask(scene, function, question.driver)
    to_vfio = is_vfio_driver(question.driver)
    groups = (_loaded, _vfio_takes, _company, _leaving, _rights) if to_vfio else (_loaded, _owned, _foreign, _leaving, _rights)
    return Report(title, tuple(check for group in groups for check in group(ask)))


def _loaded(ask: _Ask) -> Iterator[Check]:
    function, path = ask.function, f"{DRIVERS}/{ask.driver}"
    yield ask.check(
        f"Is there anything to do, or is it on {ask.driver} already?",
        function.driver != ask.driver,
        f"driver: {function.driver or 'none'}",
        entry="B11",
        weight=Severity.NOTE,
    )
    there = exists(ask.scene.kernel, path)
    evidence = there.why if isinstance(there, Unread) else f"{path} is {'' if there else 'not '}there"
    yield ask.check(f"Is {ask.driver} loaded?", None if isinstance(there, Unread) else there, evidence, entry="B7")


# -- to vfio ---------------------------------------------------------------------------------------------------------------
def _vfio_takes(ask: _Ask) -> Iterator[Check]:
    """What vfio-pci refuses: a bridge, a denied model, a PF with VFs, a function without IOMMU group."""
    scene, function = ask.scene, ask.function
    yield _header(ask)
    yield _denied(ask)
    if function.role is Role.PF and scene.has("vf_token"):
        present = function.sriov.numvfs if function.sriov else 0
        yield ask.check("Has it no VFs?", not present, f"{present} VFs", entry="B4")
    yield _group(ask)
    if function.role is Role.PF:
        text = "the token it then gets is a random one that nobody knows, until one is set"
        yield ask.check("Will its VFs be open to somebody?", False, text, entry="D3", weight=Severity.NOTE)


def _header(ask: _Ask) -> Check:
    question = "Is it an ordinary function, no bridge?"
    space = config(ask.scene.kernel, ask.bdf)
    if not isinstance(space, Unread):
        return ask.check(question, is_endpoint(space), f"header type {space[0x0E] & 0x7F}", entry="B5")
    fine = ask.function.class_code >> 8 != BRIDGE
    return ask.check(question, fine, f"class {ask.function.class_code:06x}", space.why, entry="B5")


def _denied(ask: _Ask) -> Check:
    """The denylist, and the parameter that switches it off."""
    scene, function = ask.scene, ask.function
    ids, question = f"{function.vendor_id:04x}:{function.device_id:04x}", "Is its model off vfio-pci's denylist?"
    listed = denylisted(function, scene.snapshot.host)
    if listed is False:
        return ask.check(question, True, f"{ids} is not on the list that vfdeck knows", entry="B3")
    off = parameter(scene.kernel, "vfio_pci", "disable_denylist")
    if off is True:
        on = "is" if listed else "may be"
        return ask.check(question, True, f"{ids} {on} on it, but disable_denylist is Y", entry="B3")
    shown = off.why if isinstance(off, Unread) else "disable_denylist is N"
    if listed is None:
        text = f"{ids} is on it from Linux 6.10 on, and in later releases of older series; {shown}"
        return ask.check(question, None, text, entry="B3")
    return ask.check(question, False, f"{ids} is on it; {shown}", entry="B3")


def _group(ask: _Ask) -> Check:
    function, host = ask.function, ask.scene.snapshot.host
    question = "Has it an IOMMU group?"
    if function.iommu_group is not None:
        return ask.check(question, True, f"group {function.iommu_group}", entry="B1")
    if host.noiommu:
        text = "no, but the unsafe no-IOMMU mode is on: vfio-pci takes it, and nothing protects the host's memory"
        return ask.check(question, True, text, entry="B1")
    others = "others of this host have one" if host.iommu else "nor has any other function"
    return ask.check(question, False, f"no {DEVICES}/{ask.bdf}/iommu_group; {others}", entry="B2" if host.iommu else "B1")


def _company(ask: _Ask) -> Iterator[Check]:
    """Whether the group can be used once the function is on vfio-pci: bridges never count."""
    if ask.function.iommu_group is None:
        return
    others = [f for f in blocking_members(ask.scene.snapshot, ask.bdf) if f.bdf != ask.bdf]
    question = "Will its group be usable then?"
    text = f"group {ask.function.iommu_group} also holds {named(others)}" if others else "no other member is on a driver of its own"
    yield ask.check(question, not others, text, entry="C8", weight=Severity.WARNING)


# -- to a driver of the host -----------------------------------------------------------------------------------------------
def _owned(ask: _Ask) -> Iterator[Check]:
    """A driver that does its own DMA is not let into a group that a vfio user owns."""
    scene, snapshot = ask.scene, ask.scene.snapshot
    others = [h for m in group_members(snapshot, ask.bdf) if m != ask.bdf for h in snapshot.holders_of(m)]
    question = "Is its group free of vfio users?"
    if others:
        grave = "" if scene.has("dma_owner") else "; on this kernel the bind would be a kernel BUG, never try it"
        yield ask.check(question, False, f"held by {listing(programs(others))}{grave}", entry="B12")
    elif snapshot.unseen and len(group_members(snapshot, ask.bdf)) > 1:
        yield ask.check(question, None, f"nobody seen{unseen(snapshot)}", entry="G9")
    else:
        yield ask.check(question, True, "nobody else's", entry="B12")


def _foreign(ask: _Ask) -> Iterator[Check]:
    """What a driver of the host is to the function; whether it serves the model only its probe tells."""
    text = f"driver_override offers any function to {ask.driver}; whether its probe takes this one shows when it is tried"
    yield ask.check(f"Does {ask.driver} serve this model?", None, text, entry="B8", weight=Severity.NOTE)
    pf = ask.scene.snapshot.functions.get(ask.function.physfn or "")
    if pf is not None and pf.on_vfio:
        text = f"{pf.bdf} is on {pf.driver}: its user sees and changes what the VF does"
        yield ask.check("Is its PF the host's own?", False, text, entry="B18", weight=Severity.WARNING)


# -- what goes -------------------------------------------------------------------------------------------------------------
def _leaving(ask: _Ask) -> Iterator[Check]:
    """What the host loses with the present driver, and whom the kernel waits for."""
    function, snapshot, bdf = ask.function, ask.scene.snapshot, ask.bdf
    if function.driver is None or function.driver == ask.driver:
        return
    yield from _used(ask)
    if function.role is Role.PF and function.on_vfio and function.sriov and function.sriov.numvfs:
        text = f"{function.driver} takes its {function.sriov.numvfs} VFs with it"
        yield ask.check("Do its VFs stay?", False, text, entry="B16", weight=Severity.WARNING)
    if function.on_vfio or function.role is Role.PF:
        holders = going_holders(snapshot, bdf)
        fine = False if holders else None if snapshot.unseen else True
        text = f"held by {listing(programs(holders))}" if holders else f"nobody seen{unseen(snapshot)}"
        yield ask.check("Will the kernel wait for nobody?", fine, text, entry="B13")


def _used(ask: _Ask) -> Iterator[Check]:
    """What the host uses it for. An interface or a disk that goes is a remark; what the host cannot do without decides."""
    going = blast.going(BindDriver(ask.bdf, ask.driver), ask.scene.snapshot)
    usage = look_up(ask.scene.kernel, going)
    names, said = blast.interfaces_and_disks([ask.function], usage), losses(usage)
    entry = "B15" if ask.function.disks else "B14"
    text = f"{listing(names)} will vanish" if names else "none"
    question = "Is it free of interfaces and disks of the host?"
    if indispensable(usage):
        yield ask.check(question, False, text, *said, entry=entry)
        return
    sure = [sentence for sentence in said if not sentence.startswith(UNCHECKED)]
    yield ask.check(question, not (names or sure), text, *sure, entry=entry, weight=Severity.WARNING)
    if usage.unchecked:
        yield ask.check("Can the host do without them?", None, *said[len(sure) :], entry=entry)


def _rights(ask: _Ask) -> Iterator[Check]:
    function, path = ask.function, f"{DEVICES}/{ask.bdf}"
    override = function.driver_override
    text = f"driver_override: {override or 'not set'}"
    fine = override in (None, ask.driver)
    question = "Is it reserved for no other driver?"
    yield ask.check(question, fine, text + ("" if fine else "; it is overwritten"), entry="B9", weight=Severity.NOTE)
    yield ask.scene.may_write(f"{path}/driver_override")
    if function.driver not in (None, ask.driver):
        yield ask.scene.may_write(f"{DRIVERS}/{function.driver}/unbind")
    if exists(ask.scene.kernel, f"{DRIVERS}/{ask.driver}") is True:
        yield ask.scene.may_write(f"{DRIVERS}/{ask.driver}/bind")
    if is_vfio_driver(ask.driver):
        text = "no file shows whether the platform's IOMMU keeps caches coherent, as vfio demands; most do"
        yield ask.check("Is its IOMMU cache coherent?", None, text, entry="B6", weight=Severity.NOTE)
    if function.driver != ask.driver:
        yield from ask.scene.expected(BindDriver(ask.bdf, ask.driver))
