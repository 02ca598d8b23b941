"""What a kernel can do, asked of the kernel where a question costs nothing: distributions backport, so a release proves little.

Some of it shows in files: the parameters of vfio-pci, and what /proc tells of a descriptor of our own. The rest are binds of a
function's own node (VFIO_DEVICE_BIND_IOMMUFD) that cannot succeed, since the number of the iommufd is -1: no device is opened or
reset, nobody is counted as a user. The order of the checks is that of device_cdev.c vfio_df_ioctl_bind_iommufd: size and bytes that
the kernel does not know (E2BIG), then flags and number (EINVAL).

What goes by the release all the same: which vfio drivers a token guards (variant_vf_token, core_split) shows only where VFs of a PF
on another vfio driver are opened; whether an open can hang beside a change of VFs (pf_runtime_pm, sriov_active, vf_own_devset) only
in the hang itself.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping

from vfdeck.backend.kernel import BIND_ARGSZ_TOKEN, Kernel
from vfdeck.backend.model import Snapshot

_SOMETHING = bytes([255]) * 8
_PARAMETERS = "/sys/module/vfio_pci/parameters"


def ask_kernel(kernel: Kernel, snapshot: Snapshot) -> Mapping[str, bool]:
    """Switches of profiles.toml as this kernel shows them, by name; those that could not be asked for are not there.

    One node below /dev/vfio/devices is opened for a moment. Never raises.
    """
    found: dict[str, bool] = {}
    if snapshot.host.enable_sriov is not None:
        found["vf_token"] = True  # the parameter came with the tokens; without it, CONFIG_PCI_IOV may be what lacks
    found |= _by_parameters(kernel)
    node = next((f.cdev for f in snapshot.functions.values() if f.cdev), None)
    if node is None or kernel.is_tree:
        return found
    try:
        cdev = kernel.open(f"/dev/vfio/devices/{node}")
    except OSError:
        return found
    try:
        found |= {"cdev": True, **_about_tokens(kernel, cdev), **_by_fdinfo(kernel, cdev)}
    finally:
        kernel.close(cdev)
    return found


def _by_parameters(kernel: Kernel) -> dict[str, bool]:
    """Whether vfio-pci has a denylist (5.9): its switch came with it, in every build. A copied tree may lack files: no proof."""
    try:
        there = "disable_denylist" in kernel.names(_PARAMETERS)
    except OSError:
        return {}
    return {"denylist": there} if there or not kernel.is_tree else {}


def _by_fdinfo(kernel: Kernel, cdev: int) -> dict[str, bool]:
    """Whether /proc tells the function of a vfio descriptor (6.18), by a descriptor of our own."""
    try:
        return {"fdinfo_syspath": b"vfio-device-syspath:" in kernel.read(f"/proc/self/fdinfo/{cdev}")}
    except OSError:
        return {}


def _about_tokens(kernel: Kernel, cdev: int) -> dict[str, bool]:
    """Whether the bind knows tokens (6.17), and whether it takes them (6.18.3)."""
    beyond = _refusal(kernel, cdev, BIND_ARGSZ_TOKEN + len(_SOMETHING), None, _SOMETHING)
    if beyond == errno.EINVAL:  # it looks at the first fields only, as it did before it knew tokens
        return {"cdev_token": False, "cdev_token_works": False}
    pointer = _refusal(kernel, cdev, BIND_ARGSZ_TOKEN, bytes(16), b"")
    if beyond != errno.E2BIG or pointer not in (errno.E2BIG, errno.EINVAL):
        return {}
    return {"cdev_token": True, "cdev_token_works": pointer == errno.EINVAL}


def _refusal(kernel: Kernel, cdev: int, argsz: int, token: bytes | None, beyond: bytes) -> int:
    try:
        kernel.bind_iommufd(cdev, -1, token=token, flags=0, argsz=argsz, beyond=beyond)
    except OSError as error:
        return error.errno or 0
    return 0
