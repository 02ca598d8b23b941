"""What keeps a PF from making VFs although it may: its device, its place in the machine, its driver's means.

Order and errnos of the PCI core: drivers/pci/iov.c sriov_enable. Drivers: ice_sriov.c ice_set_per_vf_res (vectors),
bnxt_sriov.c bnxt_sriov_configure (an interface that is down).
"""

from __future__ import annotations

import errno

from vfdeck.backend.model import Role, address_after
from vfdeck.backend.sim.drivers import Driver
from vfdeck.backend.sim.hardware import Function
from vfdeck.backend.sim.machine import Machine, refuse
from vfdeck.backend.sim.space import bridge_above, vf_windows


def granted(machine: Machine, pf: Function, driver: Driver, count: int) -> int:
    """How many of `count` VFs the PF's driver asks the core for; 0 where it quietly does nothing."""
    capability = pf.sriov
    assert capability is not None
    if driver.refuses:
        raise refuse(getattr(errno, driver.refuses))
    if driver.needs_up and not pf.up:
        machine.info(f"{pf.log_prefix}Reject SRIOV config request since if is down!")
        return 0
    return count if capability.grants is None else min(count, capability.grants)


def demand_room(machine: Machine, pf: Function, count: int) -> None:
    """The core's own checks, in its order (sriov_enable).

    Raises:
        OSError: EIO, EINVAL (InitialVFs), ENOMEM (no address range, no bus number), ENODEV, ENOSYS (dependency link).
    """
    capability = pf.sriov
    assert capability is not None
    initial = capability.total if capability.initial is None else capability.initial
    if initial != capability.total:  # less is for devices with VF migration, of which there are none
        raise refuse(errno.EIO)
    windows = vf_windows(pf)
    if any(size and not window for size, window in zip(capability.bars, windows, strict=True)):
        machine.info(f"{pf.log_prefix}not enough MMIO resources for SR-IOV")
        raise refuse(errno.ENOMEM)
    _demand_bus(machine, pf, count)
    if capability.unclaimed:
        machine.info(f"{pf.log_prefix}SR-IOV: IOV BARS not allocated")
        raise refuse(errno.ENOMEM)
    if capability.dependency is not None:
        other = machine.functions.get(capability.dependency)
        if other is None or other.role is not Role.PF:
            raise refuse(errno.ENODEV if other is None else errno.ENOSYS)


def _demand_bus(machine: Machine, pf: Function, count: int) -> None:
    """The last VF's bus must be one that the bridge above owns; a root bus owns all of them here."""
    bridge = bridge_above(machine.functions, pf)
    if bridge is None or bridge.buses is None or pf.sriov is None:
        return
    first, last = bridge.buses
    bus = int(address_after(pf.bdf, pf.sriov.offset + pf.sriov.stride * (count - 1)).split(":")[1], 16)
    if bus > last:
        owned = f"[bus {first:02x}]" if first == last else f"[bus {first:02x}-{last:02x}]"
        machine.info(f"{pf.log_prefix}can't enable {count} VFs (bus {bus:02x} out of range of {owned})")
        raise refuse(errno.ENOMEM)


def demand_vectors(machine: Machine, pf: Function, driver: Driver, count: int) -> None:
    """The driver shares out what interrupt vectors its own queues and helpers left.

    The driver does it when the core has made the VFs, and takes them away again; here they are not made at all.

    Raises:
        OSError: ENOSPC.
    """
    if pf.sriov is None or pf.sriov.vectors is None or not driver.vf_vectors:
        return
    left = pf.sriov.vectors - pf.vectors
    if left < driver.vf_vectors * count:
        each = f"Unable to support minimum of {driver.vf_vectors} MSI-X interrupts per VF for {count} VFs"
        machine.info(f"{pf.log_prefix}Only {left} MSI-X interrupts available for SR-IOV. {each}")
        machine.info(f"{pf.log_prefix}Not enough resources for {count} VFs, err -28. Try with fewer number of VFs")
        raise refuse(errno.ENOSPC)
