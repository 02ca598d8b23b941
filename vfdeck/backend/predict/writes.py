"""What a write to sysfs is expected to answer: per file its rules, in the kernel's order of checks.

Sources: drivers/pci/iov.c (sriov_numvfs_store), drivers/vfio/pci/vfio_pci.c and vfio_pci_core.c (probe, SR-IOV hook),
drivers/base/bus.c and dd.c (bind, unbind), vfio_main.c (vfio_unregister_group_dev, the wait for users).
"""

from __future__ import annotations

import errno
from collections.abc import Sequence

from vfdeck.backend.acts import DRIVERS, Write
from vfdeck.backend.changes import Prediction
from vfdeck.backend.checks.advice import has_sriov_hook, needs_link
from vfdeck.backend.evidence import known
from vfdeck.backend.facts import BRIDGE, HARMLESS, denylisted
from vfdeck.backend.kernel import Stage
from vfdeck.backend.leaving import takes_vfs
from vfdeck.backend.model import Certainty, Function, Holder, Role, is_vfio_driver
from vfdeck.backend.predict.ask import PLAIN_VFIO, Ask, Rule, exact_if, first, no
from vfdeck.backend.predict.seen import OF_ANOTHER_NUMBER
from vfdeck.backend.wording import role_of, vf_address, who_holds

#: The greatest number that sriov_numvfs takes (kstrtou16).
MOST = 0xFFFF

#: The last bus number that there can be.
LAST_BUS = 0xFF


def predict_write(ask: Ask, act: Write) -> Prediction:
    """The expected answer to a write for a function; unknown for a file without rules here."""
    rules = _FILES.get(act.path.rsplit("/", 1)[-1])
    if rules is None:
        return Prediction(0, None, Certainty.UNKNOWN)
    return first(rules, ask, act) or Prediction(0, None, Certainty.INFERRED)


def _file(number: int, act: Write, certainty: Certainty, reason: str) -> Prediction:
    return no(number, Stage.FILE, certainty, reason, act.path)


def _driver_of(act: Write) -> str:
    """The driver whose bind or unbind file it is."""
    return act.path.removeprefix(f"{DRIVERS}/").rsplit("/", 1)[0]


def _number(act: Write) -> int:
    """The number of VFs that the write asks for."""
    return int(act.data)


# -- what every file has in common -------------------------------------------------------------------------------------
def _rights(ask: Ask, act: Write) -> Prediction | None:
    """Files of sysfs belong to root, unless somebody gave them away; in a container they may be mounted read-only (A20)."""
    allowed = ask.seen.may_write(act.path)
    if not (ask.snapshot.host.privileged if allowed is None else allowed):
        why = "vfdeck does not run as root" if allowed is None else "mode and owner of the file keep vfdeck out"
        return _file(errno.EACCES, act, Certainty.INFERRED, why)
    return _file(errno.EROFS, act, Certainty.INFERRED, "/sys is mounted read-only") if ask.seen.read_only else None


def _pf_file(ask: Ask, act: Write) -> Prediction | None:
    if ask.function.role is Role.PF:
        return None
    reason = f"{ask.bdf} is {role_of(ask.function)}: only a PF has VFs"
    return _file(errno.ENOENT, act, exact_if(not ask.doubtful([ask.bdf])), reason)


def _under_way(ask: Ask, _: Write) -> Prediction | None:
    """The function's lock is taken."""
    job = ask.job()
    reason = f"a change of {ask.bdf} is under way ({job.title})" if job else ""
    return Prediction(0, None, Certainty.INFERRED, reason, blocked=True) if job else None


def _certain(_: Ask, __: Write) -> Prediction | None:
    """Nothing is left that could refuse."""
    return Prediction(0, None, Certainty.EXACT)


def _certain_if_unlocked(ask: Ask, _: Write) -> Prediction | None:
    """Nothing is left that could refuse; the write takes the function's lock."""
    return Prediction(0, None, exact_if(ask.quiet([ask.bdf, *(vf.bdf for vf in ask.vfs)])))


def _waits(ask: Ask, functions: Sequence[Function], certain: bool = True) -> Prediction | None:
    """A function leaves vfio when its last user has let go. The group's node alone is no use of it."""
    leaving = [f.bdf for f in functions if f.on_vfio]
    users = [h for h in ask.holders_of(leaving) if h.kind != "group"]
    if not users:
        return None
    plain = {f.bdf for f in functions if f.driver == PLAIN_VFIO}
    known = certain and any(h.certainty is Certainty.EXACT and h.bdf in plain for h in users)
    return Prediction(0, None, exact_if(known), _until(ask, users), blocked=True)


def _until(ask: Ask, users: list[Holder]) -> str:
    return f"for {who_holds(ask.snapshot, users)} to let go"


# -- sriov_numvfs ------------------------------------------------------------------------------------------------------
def _still(ask: Ask) -> bool:
    """Whether nobody can have the PF's lock, and the VFs that are seen are those that the kernel counts."""
    return ask.quiet({ask.bdf, *(vf.bdf for vf in ask.vfs)})


def _not_a_number(ask: Ask, act: Write) -> Prediction | None:
    if _number(act) < 0:
        return _file(errno.EINVAL, act, Certainty.EXACT, f"{_number(act)} is no number of VFs")
    if _number(act) > MOST:
        reason = f"{_number(act)} is more than 16 bits hold"
        if ask.has("numvfs_overflow"):
            return _file(errno.EINVAL, act, exact_if(ask.sure("numvfs_overflow")), reason)
        return _file(errno.ERANGE, act, Certainty.INFERRED, reason)
    return None


def _above_total(ask: Ask, act: Write) -> Prediction | None:
    total = ask.function.sriov.totalvfs if ask.function.sriov else None
    if total is None or _number(act) <= total:
        return None
    return _file(errno.ERANGE, act, exact_if(not ask.doubtful([ask.bdf])), f"{ask.bdf} offers {total} VFs")


def _same_number(ask: Ask, act: Write) -> Prediction | None:
    """The number that is there already is success, even without a driver."""
    if ask.function.sriov is None or _number(act) != ask.function.sriov.numvfs:
        return None
    return Prediction(0, None, exact_if(_still(ask)), f"{ask.bdf} has {_number(act)} VFs already")


def _no_hook(ask: Ask, act: Write) -> Prediction | None:
    """The kinds of ENOENT that come before the hook is called (A6, A7, A9)."""
    driver, host = ask.function.driver, ask.snapshot.host
    if driver is None:
        return _file(errno.ENOENT, act, exact_if(_still(ask)), f"{ask.bdf} has no driver")
    if driver == "vfio-pci" and host.enable_sriov is None:
        known = _still(ask) and not ask.doubtful(["/sys/module/vfio_pci"])
        return _file(errno.ENOENT, act, exact_if(known), f"vfio-pci of Linux {host.kernel} has no enable_sriov")
    if driver != PLAIN_VFIO and (is_vfio_driver(driver) or has_sriov_hook(driver) is False):
        return _file(errno.ENOENT, act, Certainty.INFERRED, f"{driver} cannot change the number of VFs")
    return None


def _other_number(ask: Ask, act: Write) -> Prediction | None:
    present = len(ask.vfs)
    if not present or not _number(act):
        return None
    reason = f"{ask.bdf} has {present} VFs: they must go first"
    return _file(errno.EBUSY, act, exact_if(ask.function.driver == "vfio-pci" and _still(ask)), reason)


def _rescan_taken(ask: Ask, _: Write) -> Prediction | None:
    """Newer kernels change numbers of VFs one at a time on the whole host (pci_lock_rescan_remove)."""
    running = ask.snapshot.jobs if ask.has("rescan_lock") else ()
    waiting = next((job for job in running if job.waits_for), None)
    reason = f"for another change of this host ({waiting.title})" if waiting else ""
    return Prediction(0, None, Certainty.INFERRED, reason, blocked=True) if waiting else None


def _switched_off(ask: Ask, act: Write) -> Prediction | None:
    """vfio-pci's hook, to enable and to disable (A8)."""
    if ask.function.driver != "vfio-pci" or ask.snapshot.host.enable_sriov is not False:
        return None
    nobody_waits = not ask.has("rescan_lock") or ask.quiet(ask.snapshot.functions)
    return _file(errno.ENOENT, act, exact_if(_still(ask) and nobody_waits), "vfio-pci's enable_sriov is N")


def _no_room(ask: Ask, act: Write) -> Prediction | None:
    """Address ranges for the VFs' BARs, then bus numbers (A10, A11; iov.c sriov_enable). What the hardware has is not certain."""
    if not _number(act) or ask.vfs:
        return None
    windows, buses = known(ask.seen.windows), known(ask.seen.buses)
    if windows is not None and not (windows and all(window.assigned for window in windows)):
        return _file(errno.ENOMEM, act, Certainty.INFERRED, "there is no address space for the VFs' registers")
    last = vf_address(ask.function, _number(act) - 1)
    bus = int(last.split(":")[1], 16) if last else None
    if bus is None or (bus <= LAST_BUS and (buses is None or bus < buses.stop)):
        return None
    sure = Certainty.UNKNOWN if ask.seen.buses is OF_ANOTHER_NUMBER else Certainty.INFERRED
    return _file(errno.ENOMEM, act, sure, f"VF {_number(act) - 1} would be on bus {bus:02x}, which is not there")


def _nothing_while_off(ask: Ask, act: Write) -> Prediction | None:
    """Some drivers call it a success to have enabled nothing while their interface is off (A18)."""
    if not _number(act) or not needs_link(ask.function.driver) or not ask.seen.off:
        return None
    reason = f"{ask.function.driver} enables none while its interface is down (A18)"
    return Prediction(0, None, Certainty.INFERRED, reason, success="success, and no VFs", fewer=True)


def _vfs_in_use(ask: Ask, act: Write) -> Prediction | None:
    return None if _number(act) else _waits(ask, ask.vfs, certain=ask.function.driver == "vfio-pci")


# -- bind --------------------------------------------------------------------------------------------------------------
def _probe_error(number: int, ask: Ask, act: Write, certainty: Certainty, reason: str) -> Prediction:
    """From 5.14 the bind file answers with the reason; before, whatever was wrong is ENODEV."""
    if ask.has("bind_errno"):
        known = ask.sure("bind_errno") and _loaded(ask, _driver_of(act))
        return _file(number, act, certainty if known or certainty is Certainty.UNKNOWN else Certainty.INFERRED, reason)
    return _file(errno.ENODEV, act, Certainty.INFERRED, reason)


def _loaded(ask: Ask, driver: str) -> bool:
    """Whether the driver is known to be there at all: a function is on it, or its module's parameter is."""
    here = driver == "vfio-pci" and ask.snapshot.host.enable_sriov is not None
    return here or any(f.driver == driver for f in ask.snapshot.functions.values())


def _reserved(ask: Ask, act: Write) -> Prediction | None:
    """A driver_override decides alone whether a driver takes the function; without one the driver's ids do."""
    override, driver = ask.function.driver_override, _driver_of(act)
    if override is not None and override != driver:
        reason = f"{ask.bdf} is reserved for {override}"
        return _file(errno.ENODEV, act, exact_if(_loaded(ask, driver) and not ask.doubtful([ask.bdf])), reason)
    if override is not None:
        return None
    if is_vfio_driver(driver):
        return _file(errno.ENODEV, act, Certainty.INFERRED, f"{ask.bdf} is not reserved for {driver}, nor known to take its kind")
    if ask.function.driver == driver:
        return None
    return _file(errno.ENODEV, act, Certainty.UNKNOWN, f"whether {driver} takes {ask.bdf} by its ids")


def _bound_already(ask: Ask, act: Write) -> Prediction | None:
    if ask.function.driver is None:
        return None
    known = ask.function.driver_override is not None and ask.quiet([ask.bdf, *(vf.bdf for vf in ask.vfs)])
    return _probe_error(errno.EBUSY, ask, act, exact_if(known), f"{ask.bdf} is on {ask.function.driver}")


def _group_in_use(ask: Ask, act: Write) -> Prediction | None:
    """A kernel driver would do DMA in a group that a program has (iommu_device_use_default_domain)."""
    driver = _driver_of(act)
    if is_vfio_driver(driver) or driver in HARMLESS or not ask.has("dma_owner"):
        return None
    users = [h for h in ask.holders_of(set(ask.members) - {ask.bdf}) if h.kind != "group"]
    if not users:
        return None
    who = who_holds(ask.snapshot, users)
    return _file(errno.EBUSY, act, Certainty.INFERRED, f"group {ask.function.iommu_group} is held by {who}")


def _refused_by_vfio(ask: Ask, act: Write) -> Prediction | None:
    """What keeps a function from vfio-pci and its variants (B5, B3, B4, B1, B2), in the order of vfio_pci_probe.

    A variant's probe does things of its own first, so what it answers is never certain.
    """
    driver, function, host = _driver_of(act), ask.function, ask.snapshot.host
    plain = driver == PLAIN_VFIO
    if not is_vfio_driver(driver):
        return None
    if driver == "vfio-pci" and denylisted(function, host) is not False:
        reason = f"{driver} does not take this model unless its disable_denylist is on"
        return _file(errno.EINVAL if ask.has("bind_errno") else errno.ENODEV, act, Certainty.UNKNOWN, reason)
    if function.class_code >> 8 == BRIDGE:
        return _probe_error(errno.EINVAL, ask, act, Certainty.INFERRED, f"{ask.bdf} is a bridge, which {driver} does not take")
    if ask.vfs and ask.has("vf_token"):
        known = plain and ask.sure("vf_token") and _still(ask)
        reason = f"{ask.bdf} has {len(ask.vfs)} VFs, and {driver} takes no PF with VFs"
        if ask.left:
            reason = f"{driver} takes no PF with VFs, and whether {ask.left} takes its {len(ask.vfs)} VFs along is not known"
            return _probe_error(errno.EBUSY, ask, act, Certainty.UNKNOWN, reason)
        return _probe_error(errno.EBUSY, ask, act, exact_if(known), reason)
    if function.iommu_group is None and not host.noiommu:
        whole = "" if host.iommu else ", nor has any function of this host"
        known = plain and not ask.doubtful([ask.bdf, "/sys/module/vfio/"])
        return _probe_error(errno.EINVAL, ask, act, exact_if(known), f"{ask.bdf} has no IOMMU group{whole}")
    return None


# -- unbind ------------------------------------------------------------------------------------------------------------
def _not_bound_to_it(ask: Ask, act: Write) -> Prediction | None:
    driver = _driver_of(act)
    if ask.function.driver == driver:
        return None
    return _file(errno.ENODEV, act, exact_if(_loaded(ask, driver) and not ask.doubtful([ask.bdf])), f"{ask.bdf} is not on {driver}")


def _users_of_it(ask: Ask, _: Write) -> Prediction | None:
    """Some drivers take a PF's VFs along as they leave it (`vfdeck.backend.leaving`); each of them waits for its users."""
    driver, taken = ask.function.driver, takes_vfs(ask.function.driver, ask.snapshot.host)
    ours, theirs = _waits(ask, [ask.function]), _waits(ask, ask.vfs, certain=driver == PLAIN_VFIO and ask.sure("vf_token"))
    if ours or theirs is None or taken:
        return ours or theirs
    if taken is False:
        return None
    reason = f"{theirs.reason}, if {driver} takes its VFs along"
    return Prediction(0, None, Certainty.UNKNOWN, reason, blocked=True)


# -- reset -------------------------------------------------------------------------------------------------------------
def _no_way_to_reset(ask: Ask, act: Write) -> Prediction | None:
    """The file is there where a method is (pci-sysfs.c pci_dev_reset_attr_is_visible)."""
    if ask.seen.resettable is not False:
        return None
    return _file(errno.ENOENT, act, Certainty.EXACT, f"the kernel knows no way to reset {ask.bdf}: it has no file `reset`")


_FILES: dict[str, tuple[Rule[Write], ...]] = {
    "sriov_numvfs": (
        _pf_file,
        _rights,
        _not_a_number,
        _above_total,
        _under_way,
        _same_number,
        _no_hook,
        _other_number,
        _rescan_taken,
        _switched_off,
        _no_room,
        _vfs_in_use,
        _nothing_while_off,
    ),
    "sriov_drivers_autoprobe": (_pf_file, _rights, _certain),
    "driver_override": (_rights, _under_way, _certain_if_unlocked),
    "drivers_probe": (_rights, _under_way),
    "bind": (_rights, _reserved, _under_way, _bound_already, _group_in_use, _refused_by_vfio),
    "reset": (_no_way_to_reset, _rights, _under_way),
    "unbind": (_rights, _not_bound_to_it, _under_way, _users_of_it),
}

#: The files that have rules here, by name.
FILES: frozenset[str] = frozenset(_FILES)
