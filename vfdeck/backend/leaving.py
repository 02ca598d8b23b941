"""What becomes of a PF's VFs when the PF leaves its driver: the driver decides, and sysfs does not show how.

Without its driver's doing the VFs stay, the kernel logs `driver left SR-IOV enabled after remove` (iov.c pci_iov_remove), and
vfio-pci then refuses the PF.
"""

from __future__ import annotations

from vfdeck.backend.facts import host_has
from vfdeck.backend.model import HostFacts, is_vfio_driver

#: Drivers whose remove hook switches SR-IOV off: igb_remove, ixgbe_remove, i40e_remove, ice_remove, bnxt_remove_one, xe_pci_remove.
#: igb was seen to do so on a running kernel. mlx5_core does in newer kernels only, and from which release on is not known.
TAKING = frozenset({"igb", "ixgbe", "i40e", "ice", "bnxt_en", "xe"})

#: Drivers that leave it on: they have the generic hook (pci_sriov_configure_simple) and nothing in their remove. nvme was seen to.
LEAVING = frozenset({"nvme", "pci-pf-stub"})


def takes_vfs(driver: str | None, host: HostFacts) -> bool | None:
    """Whether a driver, as it leaves a PF, removes the PF's VFs, as far as is known; None for a driver that is not known.

    vfio-pci and its variants always do, since they make VFs (5.7; vfio_pci_core.c vfio_pci_core_unregister_device).
    """
    if is_vfio_driver(driver):
        return True if host_has(host, "vf_token") else None
    return True if driver in TAKING else False if driver in LEAVING or driver is None else None
