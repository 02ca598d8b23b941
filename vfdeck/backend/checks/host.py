"""What is the matter with this host? What no call refuses, and what will be refused, before anybody asks for it.

Of the host as a whole every check is given, of its functions (`functions`) only what is not as it should be.
"""

from __future__ import annotations

from collections.abc import Iterator

from vfdeck.backend.checks import Check, Severity
from vfdeck.backend.checks.advice import advice
from vfdeck.backend.checks.functions import of_functions
from vfdeck.backend.checks.persistence import Settings, module_options, settings
from vfdeck.backend.checks.scene import Scene
from vfdeck.backend.checks.users import locked_memory
from vfdeck.backend.evidence import Unread, exists, interrupts_kept_apart, lockdown, parameter, text_of
from vfdeck.backend.kernel import Kernel, errno_name
from vfdeck.backend.model import Snapshot
from vfdeck.backend.rights import NEEDS, lacks
from vfdeck.backend.text import printable

MODULE = "/sys/module/vfio_pci"
COMMAND_LINE = "/proc/cmdline"
#: The options of vfio-pci that are switches; a change of the others is not told from one that had no effect.
_SWITCHES = ("enable_sriov", "disable_idle_d3", "disable_denylist", "nointxmask", "disable_vga")
#: Who looks whether interrupts are kept apart, and for whom; each has its own switch (vfio_iommu_type1.c, iommufd/device.c).
_TAKERS = {"vfio_iommu_type1": "containers", "iommufd": "opens on the cdev path"}
_TRUE, _FALSE = frozenset("1yYtT"), frozenset("0nNfF")


def doctor(kernel: Kernel, snapshot: Snapshot) -> Iterator[Check]:
    """Every check of a host."""
    scene = Scene(kernel, snapshot)
    found = settings(kernel)
    for group in (_version, _platform, _command_line, _lockdown, _allowed, _observation):
        yield from group(scene)
    yield from _options(scene, found)
    yield from of_functions(scene, found)


def _version(scene: Scene) -> Iterator[Check]:
    """What this kernel does not do."""
    for piece in advice(scene.snapshot):
        yield scene.check(piece.question, False, piece.text, f"told by {piece.basis}", entry=piece.entry, weight=piece.severity)


# -- the platform ----------------------------------------------------------------------------------------------------------
def _platform(scene: Scene) -> Iterator[Check]:
    """IOMMU and interrupt remapping; of no account where there is nothing that could be handed out."""
    host = scene.snapshot.host
    weight = Severity.WARNING if scene.snapshot.functions else Severity.NOTE
    text = "functions have IOMMU groups" if host.iommu else "no function has an IOMMU group: vfio-pci takes none"
    yield scene.check("Is the IOMMU at work?", host.iommu, text, entry="B1", weight=weight)
    if host.noiommu:
        text = "enable_unsafe_noiommu_mode is Y: a device without IOMMU can write to all memory"
        yield scene.check("Is the unsafe no-IOMMU mode off?", False, text, entry="C5", weight=Severity.WARNING)
    if host.iommu:
        yield _interrupts(scene)


def _interrupts(scene: Scene) -> Check:
    """Whether devices can forge interrupts: by the IOMMU, and by the switches of those who look at it before they go on."""
    question, found = "Are devices' interrupts kept apart?", interrupts_kept_apart(scene.kernel)
    switches = {module: parameter(scene.kernel, module, "allow_unsafe_interrupts") for module in _TAKERS}
    waived = [module for module, unsafe in switches.items() if unsafe is True]
    said = [f"allow_unsafe_interrupts of {module} is Y: {_TAKERS[module]} do without" for module in waived]
    if isinstance(found, Unread):
        return scene.check(question, None, found.why, *said, entry="C12", weight=Severity.WARNING)
    text = "the IOMMU remaps interrupts" if found else "no interrupt chip is called IR-...: no remapping"
    weight = Severity.NOTE if found else Severity.WARNING
    do = tuple(f"echo N > /sys/module/{module}/parameters/allow_unsafe_interrupts" for module in waived) if found else None
    return scene.check(question, found and not waived, text, *said, entry="C12", weight=weight, do=do)


def _command_line(scene: Scene) -> Iterator[Check]:
    """What people put there for vfio, rightly or not."""
    try:
        words = scene.kernel.read(COMMAND_LINE).decode("utf-8", "replace").split()
    except OSError as error:
        why = f"{COMMAND_LINE}: {errno_name(error.errno or 0)}"
        yield scene.check("Is the kernel command line in order?", None, why, weight=Severity.NOTE)
        return
    if "iommu=pt" in words:
        said = "iommu=pt concerns the host's own drivers; devices given to user space are translated all the same"
        yield scene.check("Is the command line free of iommu=pt?", False, said, entry="C19", weight=Severity.NOTE)
    acs = [word for word in words if word.startswith("pcie_acs_override")]
    if acs:
        said = f"{printable(acs[0])}: groups are smaller than the hardware's isolation"
        yield scene.check("Are IOMMU groups those of the hardware?", False, said, entry="C10", weight=Severity.WARNING)


def _lockdown(scene: Scene) -> Iterator[Check]:
    state = lockdown(scene.kernel)
    question = "Is raw access to devices allowed (no lockdown)?"
    if isinstance(state, Unread):
        yield scene.check(question, None, state.why, entry="G8", weight=Severity.NOTE)
    else:
        harm = "" if state == "none" else ": config space and BARs are closed to user space but by vfio, unsigned modules too"
        yield scene.check(question, state == "none", f"lockdown is {state}{harm}", entry="G8", weight=Severity.NOTE)


def _allowed(scene: Scene) -> Iterator[Check]:
    """What this user may; what goes on as it is without it."""
    found = lacks(scene.kernel)
    for need, (what, _) in NEEDS.items():
        question = f"May vfdeck {what}?"
        if isinstance(found, Unread):
            yield scene.check(question, None, found.why, weight=Severity.NOTE)
            continue
        lack = next((lack for lack in found if lack.need == need), None)
        entry = {"write": "A19", "holders": "G9"}.get(need, "") if lack else ""
        yield scene.check(question, lack is None, f"lacks {lack.right}" if lack else "", entry=entry, weight=Severity.NOTE)


# -- what can be seen of it ------------------------------------------------------------------------------------------------
def _observation(scene: Scene) -> Iterator[Check]:
    snapshot = scene.snapshot
    text = f"{snapshot.unseen} could not" if snapshot.unseen else "all could"
    yield scene.check("Could every process be looked at?", not snapshot.unseen, text, entry="G9", weight=Severity.NOTE)
    for problem in snapshot.problems:
        question = "Could everything be read?"
        yield scene.check(question, False, problem.what, weight=Severity.WARNING, subject=problem.path)
    if snapshot.host.cdev:
        limit = locked_memory(scene.kernel)
        text = "iommufd counts locked memory per user, type 1 per process: a limit that did may not do"
        if isinstance(limit, int):
            shown = f"{limit // 1024} KiB for this program"
            yield scene.check("Is locked memory unlimited?", False, shown, text, entry="E7", weight=Severity.NOTE)
        else:
            mine = limit.why if isinstance(limit, Unread) else "this program has no limit"
            shown = f"{mine}; those of other users' programs show in /proc/PID/limits"
            yield scene.check("Is locked memory unlimited?", None, shown, text, entry="E7", weight=Severity.NOTE)


def _options(scene: Scene, found: Settings | Unread) -> Iterator[Check]:
    """Options of modprobe.d that do nothing: vfio-pci is built in, or was loaded before they were written (B21)."""
    if isinstance(found, Unread) or exists(scene.kernel, MODULE + "/parameters") is not True:
        return
    counted = text_of(scene.kernel, f"{MODULE}/refcnt")
    built_in = isinstance(counted, Unread) and counted.why.endswith("ENOENT")  # refused is not absent
    for path, name, value in module_options(found, "vfio_pci"):
        question, said = "Do vfio-pci's options have effect?", f"{printable(path)}: {printable(name)}={printable(value, 60)}"
        if built_in:
            text = f"{said}, but vfio-pci is built into this kernel"
            yield scene.check(question, False, text, entry="B21", weight=Severity.WARNING)
        elif name in _SWITCHES:
            now, wanted = parameter(scene.kernel, "vfio_pci", name), _switch(value)
            if wanted is not None and not isinstance(now, Unread) and now is not wanted:
                text = f"{said}, but it is {'Y' if now else 'N'}: the module was loaded before, or somebody changed it"
                write = f"echo {'Y' if wanted else 'N'} > {MODULE}/parameters/{name}"
                do = (f"{write}, where the file is 0644; or load the module anew",)
                yield scene.check(question, False, text, entry="B21", weight=Severity.WARNING, do=do)


def _switch(value: str) -> bool | None:
    """A switch as kstrtobool reads it; without a value it is on."""
    if not value or value[0] in _TRUE or value[:2].lower() == "on":
        return True
    return False if value[0] in _FALSE or value[:2].lower() == "of" else None
