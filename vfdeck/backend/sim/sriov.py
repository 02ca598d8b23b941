"""The files that make and remove functions: sriov_numvfs with the texts people write there, remove, rescan.

Order and errnos: drivers/pci/iov.c (sriov_numvfs_store), lib/kstrtox.c; vfio-pci's hook: drivers/vfio/pci/vfio_pci.c.
"""

from __future__ import annotations

import errno
import re

from vfdeck.backend.sim import lifecycle
from vfdeck.backend.sim.drivers import Driver
from vfdeck.backend.sim.hardware import Function, SriovCapability
from vfdeck.backend.sim.machine import Machine, Task, refuse

_NUMBER = re.compile(rb"\+?(?:0[xX](?P<hex>[0-9a-fA-F]+)|0(?P<octal>[0-7]*)|(?P<decimal>[1-9][0-9]*))\n?")


# -- texts (kstrtou16 with base 0, kstrtobool) -----------------------------------------------------------------------------
def parse_number(machine: Machine, data: bytes) -> int:
    """The number in `data`: decimal, 0x hex or 0 octal, an optional plus, one trailing newline."""
    match = _NUMBER.fullmatch(data.split(b"\0", 1)[0])
    if match is None:
        raise refuse(errno.EINVAL)
    digits = match.groupdict()
    if digits["hex"]:
        value = int(digits["hex"], 16)
    elif digits["decimal"]:
        value = int(digits["decimal"])
    else:
        value = int(digits["octal"] or b"0", 8)
    if value > 0xFFFF:
        raise refuse(errno.EINVAL if machine.profile.has("numvfs_overflow") else errno.ERANGE)
    return value


def parse_bool(machine: Machine, data: bytes) -> bool:
    """The truth value in `data`: its first character decides, for `o` the second one."""
    text = data.split(b"\0", 1)[0].lower()
    first, second = text[:1], text[1:2]
    yes, no = b"1y", b"0n"
    if machine.profile.has("bool_tf"):
        yes, no = yes + b"t", no + b"f"
    if machine.profile.has("bool_ed"):
        yes, no = yes + b"e", no + b"d"
    if first and first in yes:
        return True
    if first and first in no:
        return False
    if first == b"o" and second in (b"n", b"f"):
        return second == b"n"
    raise refuse(errno.EINVAL)


# -- sriov_numvfs ----------------------------------------------------------------------------------------------------------
def store_numvfs(machine: Machine, pf: Function, data: bytes) -> Task:
    """Write to sriov_numvfs."""
    capability = pf.sriov
    assert capability is not None
    wanted = parse_number(machine, data)
    if wanted > capability.offered:
        raise refuse(errno.ERANGE)
    yield from machine.lock(pf)
    try:
        if wanted != capability.numvfs:
            yield from _configure(machine, pf, capability, wanted)
    finally:
        pf.locked = False


def _take_rescan_lock(machine: Machine) -> Task:
    if machine.profile.has("rescan_lock"):
        while machine.rescan_locked:
            yield
        machine.rescan_locked = True


def _configure(machine: Machine, pf: Function, capability: SriovCapability, wanted: int) -> Task:
    driver = machine.driver_of(pf)
    if driver is None or not _has_hook(machine, driver):
        machine.info(pf.log_prefix + _no_hook_text(machine, driver))
        raise refuse(errno.ENOENT)
    if wanted and capability.numvfs:
        machine.info(f"{pf.log_prefix}{capability.numvfs} VFs already enabled. Disable before enabling {wanted} VFs")
        raise refuse(errno.EBUSY)
    yield from _take_rescan_lock(machine)  # around the driver's hook, whatever that answers
    try:
        if driver.sriov == "vfio" and not machine.parameters["enable_sriov"]:
            raise refuse(errno.ENOENT)
        if driver.sriov == "simple" and any(vf.assigned for vf in capability.vfs.values()):
            machine.info(f"{pf.log_prefix}Cannot modify SR-IOV while VFs are assigned")
            raise refuse(errno.EPERM)
        if wanted == 0:
            yield from lifecycle.disable(machine, pf)
        else:
            yield from lifecycle.enable(machine, pf, driver, wanted)
    finally:
        machine.rescan_locked = False


def _has_hook(machine: Machine, driver: Driver) -> bool:
    """Whether the driver can change the number of VFs; vfio-pci can from 5.7."""
    return bool(driver.sriov) and (driver.sriov != "vfio" or machine.profile.has("vf_token"))


def _no_hook_text(machine: Machine, driver: Driver | None) -> str:
    if not machine.profile.has("numvfs_texts"):
        return "Driver does not support SRIOV configuration via sysfs"
    if driver is None:
        return "no driver bound to device; cannot configure SR-IOV"
    return "driver does not support SR-IOV configuration via sysfs"


# -- hot removal -----------------------------------------------------------------------------------------------------------
def remove(machine: Machine, function: Function) -> Task:
    """BDF/remove: the function leaves the machine, and before it those VFs of a PF that its driver leaves behind."""
    yield from _take_rescan_lock(machine)
    try:
        yield from machine.lock(function)
        try:
            yield from lifecycle.detach(machine, function)
            if function.sriov is not None and function.sriov.vfs:
                yield from lifecycle.disable(machine, function)
        finally:
            function.locked = False
        machine.uevent("remove", "pci", function)
        machine.leave_group(function)
        del machine.functions[function.bdf]
        if function.vf_index is None:
            machine.removed[function.bdf] = function
    finally:
        machine.rescan_locked = False


def rescan(machine: Machine) -> Task:
    """rescan: functions that were removed are found again, without driver or override."""
    yield from _take_rescan_lock(machine)
    try:
        for bdf, function in list(machine.removed.items()):
            del machine.removed[bdf]
            function.override = None
            machine.add(function)
            machine.uevent("add", "pci", function)
            lifecycle.attach(machine, function)
    finally:
        machine.rescan_locked = False
