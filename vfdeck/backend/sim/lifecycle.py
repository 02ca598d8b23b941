"""Functions get drivers and lose them, and PFs get VFs and lose them; the two depend on each other.

Order and errnos: drivers/base/dd.c, drivers/pci/pci-driver.c (probe), drivers/pci/iov.c (VFs); vfio-pci's probe and the capture
of VFs: drivers/vfio/pci/vfio_pci_core.c.
"""

from __future__ import annotations

import errno

from vfdeck.backend.model import Role, address_after
from vfdeck.backend.sim import enabling, vfio
from vfdeck.backend.sim.drivers import Driver
from vfdeck.backend.sim.hardware import Function, SriovCapability
from vfdeck.backend.sim.machine import Machine, Task, refuse

_ERRNO_OF = {"ENODEV": errno.ENODEV, "EIO": errno.EIO, "refuse": errno.EINVAL}


# -- matching --------------------------------------------------------------------------------------------------------------
def matches(machine: Machine, driver: Driver, function: Function) -> bool:
    """Whether the driver takes this function (pci_match_device): an override decides alone, otherwise the ids do."""
    if function.override is not None:
        return function.override == driver.name
    return any(i in driver.ids or i in driver.dynamic for i in _ids(function))


def _ids(function: Function) -> tuple[str, str]:
    """By what drivers know it."""
    return f"{function.vendor:04x}:{function.device:04x}", f"class={function.class_code:06x}"


def may_probe(function: Function) -> bool:
    """Whether a VF is offered to drivers at all (pci_device_can_probe): its PF's autoprobe, or an override."""
    pf = function.physfn
    return pf is None or pf.sriov is None or pf.sriov.autoprobe or function.override is not None


# -- probing ---------------------------------------------------------------------------------------------------------------
def probe(machine: Machine, driver: Driver, function: Function) -> None:
    """Offer a function to a driver that matches; afterwards the driver is bound, or was and has let go.

    Raises:
        OSError: the probe's errno.
    """
    if not may_probe(function):
        raise refuse(errno.ENODEV)
    group = function.group
    if group is not None and not (driver.managed or driver.is_vfio) and _dma_owned(machine, function):
        raise refuse(errno.EBUSY)
    error = _vfio_probe_error(machine, driver, function) if driver.is_vfio else _native_probe_error(driver, function)
    if error and driver.late_until and not machine.profile.has(driver.late_until):
        machine.uevent("bind", "pci", function)
        machine.uevent("unbind", "pci", function)
        return
    if error:
        _log_failed_probe(machine, driver, function, error)
        raise refuse(error)
    function.driver = driver.name
    function.bindings = next(machine.bindings)
    if driver.is_vfio:
        vfio.register(machine, function)
    if function.sriov is not None and driver.max_vfs is not None:
        function.sriov.driver_max = driver.max_vfs
    machine.uevent("bind", "pci", function)
    _warn_of_foreign_vf(machine, function)


def _dma_owned(machine: Machine, function: Function) -> bool:
    group = function.group
    return machine.profile.has("dma_owner") and group is not None and (group.container is not None or group.cdev_bound > 0)


def _vfio_probe_error(machine: Machine, driver: Driver, function: Function) -> int:
    """vfio_pci_probe and vfio_pci_core_register_device: no denied function, endpoints only, no PF that has VFs, an IOMMU group."""
    if function.header != 0 or _denied(machine, driver, function):
        return errno.EINVAL
    if function.sriov is not None and function.sriov.vfs and _vfio_with_tokens(machine, driver):
        machine.info(f"vfio-pci {function.bdf}: Cannot bind to PF with SR-IOV enabled")
        return errno.EBUSY
    if function.group is None and not _noiommu_group(machine, function):
        return errno.EINVAL
    noiommu = function.group is not None and function.group.noiommu
    if machine.profile.has("coherency") and not machine.around.coherent and not noiommu:
        return errno.EINVAL
    return 0


def _vfio_with_tokens(machine: Machine, driver: Driver) -> bool:
    """Whether the driver is a vfio driver that looks after a PF's VFs: those before 5.7 know nothing of them."""
    return driver.is_vfio and machine.profile.has("vf_token")


def _denied(machine: Machine, driver: Driver, function: Function) -> bool:
    """vfio_pci_is_denylisted: functions known not to be safe in a user's hands."""
    ids = f"{function.vendor:04x}:{function.device:04x}"
    listed = ids in driver.denied or (ids in driver.denied_later and machine.profile.has("denylist_dsa"))
    if not listed or not machine.profile.has("denylist"):
        return False
    if machine.parameters["disable_denylist"]:
        machine.info(f"vfio-pci {function.bdf}: device denylist disabled - allowing device {ids}.")
        return False
    machine.info(f"vfio-pci {function.bdf}: {ids} exists in vfio-pci device denylist, driver probing disallowed.")
    return True


def _noiommu_group(machine: Machine, function: Function) -> bool:
    """In no-IOMMU mode a function without a group gets one made for it."""
    if not (machine.profile.noiommu and machine.parameters["noiommu"]):
        return False
    machine.join_group(function, noiommu=True)
    machine.info(f"vfio-pci {function.bdf}: Adding kernel taint for vfio-noiommu group on device")
    return True


def _native_probe_error(driver: Driver, function: Function) -> int:
    """What a probe finds out: that the function is a VF, or hardware that only an override or a new id led to the driver."""
    if function.role is Role.VF:
        return _ERRNO_OF.get(driver.vf_probe, 0)
    return 0 if any(i in driver.ids for i in _ids(function)) else _ERRNO_OF.get(driver.foreign, 0)


def _log_failed_probe(machine: Machine, driver: Driver, function: Function, error: int) -> None:
    if error == errno.ENODEV:
        return
    if machine.profile.has("probe_text"):
        machine.info(f"{driver.name} {function.bdf}: probe with driver {driver.name} failed with error -{error}")
    else:
        machine.info(f"{driver.name}: probe of {function.bdf} failed with error -{error}")


def _warn_of_foreign_vf(machine: Machine, function: Function) -> None:
    """vfio-pci's notifier: a VF of a vfio PF that goes to another driver is only warned of."""
    pf = function.physfn
    if pf is None or pf.vfio is None or pf.driver is None or function.driver == pf.driver or not machine.profile.has("vf_token"):
        return
    owner = f"driver {pf.driver}" if machine.profile.has("core_split") else "vfio-pci"
    machine.info(f"{pf.log_prefix}VF {function.bdf} bound to driver {function.driver} while PF bound to {owner}")


def attach(machine: Machine, function: Function) -> None:
    """Offer a function to every driver until one takes it (device_attach); failed probes are not told to the caller."""
    if function.driver is not None:
        return
    for driver in machine.drivers.values():
        if matches(machine, driver, function):
            try:
                probe(machine, driver, function)
            except OSError:
                continue
            return


def detach(machine: Machine, function: Function) -> Task:
    """Take a function from its driver (device_release_driver, with the lock held)."""
    driver = machine.driver_of(function)
    if driver is None:
        return
    function.detaching = True
    pf_state = function.sriov
    if pf_state is not None and pf_state.numvfs and (_vfio_with_tokens(machine, driver) or driver.frees):
        if driver.log_off:
            machine.info(f"{function.log_prefix}{driver.log_off}")
        yield from disable(machine, function)
    if function.vfio is not None:
        yield from vfio.unregister(machine, function)
    if pf_state is not None and pf_state.numvfs:
        machine.info(f"{function.log_prefix}driver left SR-IOV enabled after remove")
    function.driver, function.detaching = None, False
    if function.group is not None and function.group.noiommu:
        machine.leave_group(function)
    if pf_state is not None:
        pf_state.driver_max = None
    machine.uevent("unbind", "pci", function)


# -- VFs come and go -------------------------------------------------------------------------------------------------------
def enable(machine: Machine, pf: Function, driver: Driver, count: int) -> Task:
    """Make `count` VFs, or as many as the driver asks for, one after the other; each is captured, then offered to drivers.

    Raises:
        OSError: what the core or the driver lacks for so many (`enabling`).
    """
    capability = pf.sriov
    assert capability is not None
    machine.take_fault(f"/sys/bus/pci/devices/{pf.bdf}/sriov_numvfs", pf.bdf)
    granted = enabling.granted(machine, pf, driver, count)
    if granted:
        if driver.log_on:
            machine.info(pf.log_prefix + driver.log_on.format(n=granted))
        enabling.demand_room(machine, pf, granted)
        enabling.demand_vectors(machine, pf, driver, granted)
        capability.through_vfio = driver.sriov == "vfio"
        for index in range(granted):
            _add_vf(machine, pf, capability, index)
        capability.numvfs = granted
        machine.uevent("change", "pci", pf)
    if granted < count:
        machine.info(f"{pf.log_prefix}{count} VFs requested; only {granted} enabled")
    yield from ()


def _add_vf(machine: Machine, pf: Function, capability: SriovCapability, index: int) -> None:
    """pci_iov_add_virtfn: the function, its group, capture, its links, its driver."""
    vf = Function(
        address_after(pf.bdf, capability.offset + capability.stride * index),
        capability.vf_vendor or pf.vendor,
        capability.vf_device,
        pf.class_code,
        pf.subsystem,
        physfn=pf,
        vf_index=index,
        numa_node=pf.numa_node,
        name=(pf.name[0], ""),
        enabled=False,
    )
    machine.add(vf, isolated=False)
    kind = f"[{vf.vendor:04x}:{vf.device:04x}] type 00 class {vf.class_code:#08x}"
    machine.info(f"pci {vf.bdf}: {kind} PCIe Endpoint")
    _join_group(machine, pf, vf)
    machine.uevent("add", "pci", vf)
    if capability.through_vfio and pf.vfio is not None:
        vf.override = pf.driver
        machine.info(f"{pf.log_prefix}Captured SR-IOV VF {vf.bdf} driver_override")
    capability.vfs[index] = vf
    machine.uevent("change", "pci", vf)
    attach(machine, vf)


def _join_group(machine: Machine, pf: Function, vf: Function) -> None:
    """A VF gets a group of its own, unless nothing isolates it from its PF; without an IOMMU it gets none."""
    if pf.group is None or pf.group.noiommu:
        return
    group = machine.join_group(vf, None if pf.isolates else pf.group.number)
    machine.info(f"pci {vf.bdf}: Adding to iommu group {group.number}")


def disable(machine: Machine, pf: Function) -> Task:
    """Take every VF away, VF 0 first; each waits for its users (sriov_del_vfs). The number is cleared last."""
    capability = pf.sriov
    assert capability is not None
    for index in sorted(capability.vfs):
        yield from _remove_vf(machine, capability.vfs.pop(index))
    capability.numvfs, capability.through_vfio = 0, False


def _remove_vf(machine: Machine, vf: Function) -> Task:
    """pci_iov_remove_virtfn: the links go first, then the driver, then the function."""
    vf.removing = True
    yield from machine.lock(vf)
    yield from detach(machine, vf)
    machine.uevent("remove", "pci", vf)
    machine.leave_group(vf)
    del machine.functions[vf.bdf]
