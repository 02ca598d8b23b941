"""vfio in the simulated kernel: registering functions, groups and containers, opening and closing devices, the feature call.

Ladders and their order: drivers/vfio/group.c, device_cdev.c, vfio_main.c, container.c and pci/vfio_pci_core.c of the kernel.
"""

from __future__ import annotations

import errno

from vfdeck.backend.kernel import (
    VFIO_DEVICE_BIND_FLAG_TOKEN,
    VFIO_DEVICE_FEATURE_GET,
    VFIO_DEVICE_FEATURE_MASK,
    VFIO_DEVICE_FEATURE_PROBE,
    VFIO_DEVICE_FEATURE_SET,
    VFIO_NOIOMMU_IOMMU,
    VFIO_TYPE1_IOMMU,
    VFIO_TYPE1v2_IOMMU,
)
from vfdeck.backend.model import Role
from vfdeck.backend.sim.files import ContainerFile, DeviceFile, File, GroupFile, IommuFile
from vfdeck.backend.sim.hardware import Function, Group, VfioDevice
from vfdeck.backend.sim.machine import Machine, Task, refuse
from vfdeck.backend.sim.surroundings import Credentials
from vfdeck.backend.token_rules import PAGE_SIZE, ArgumentFault, TokenRecord, parse_argument, validate_vf_token

_DEMANDS_MAPPING = (
    "Firmware has requested this device have a 1:1 IOMMU mapping, rejecting configuring the device without a 1:1 mapping. "
    "Contact your platform vendor."
)
_INELIGIBLE = "Device is ineligible for IOMMU domain attach due to platform RMRR requirement.  Contact your platform vendor."


# -- registering (vfio_pci_core_register_device, _unregister_device) -------------------------------------------------------
def register(machine: Machine, function: Function) -> None:
    """A function is bound to a vfio driver: it gets its vfio device, and a PF its token record."""
    index, group = machine.next_vfio_index(), function.group
    prefix = "noiommu-" if group is not None and group.noiommu and machine.profile.has("cdev_noiommu") else ""
    device = VfioDevice(index, f"{prefix}vfio{index}")
    if function.role is Role.PF and machine.profile.has("vf_token"):
        device.token = TokenRecord(machine.random_uuid())
    if function.physfn is not None and function.physfn.sriov is not None and function.physfn.sriov.through_vfio:
        device.guard = function.physfn.vfio
    function.vfio = device
    machine.vfio_indexes.add(index)
    if group is not None and group.vfio_functions == [function]:
        machine.group_uevent("add", group)
    if machine.profile.has("vfio_dev_sysfs"):
        machine.uevent("add", "vfio-dev", function, f"vfio-dev/{device.name}")


def unregister(machine: Machine, function: Function) -> Task:
    """A function leaves its vfio driver: wait until nobody uses it (vfio_unregister_group_dev)."""
    device = function.vfio
    assert device is not None
    if machine.profile.has("hide_first"):
        _hide(machine, function, device)
    _ask(machine, function, device)
    while device.files:
        yield
    if not device.hidden:
        _hide(machine, function, device)
    function.vfio = None
    machine.vfio_indexes.discard(device.index)
    if function.group is not None and not function.group.vfio_functions:
        _remove_group(machine, function.group)


def _ask(machine: Machine, function: Function, device: VfioDevice) -> None:
    """Ask who uses a function to let go, once (vfio_pci_core_request); the kernel asks again every 10 s."""
    if device.files and device.channel is None:
        machine.info(f"{function.log_prefix}No device request channel registered, blocked until released by user")
    elif device.files and device.channel is not None:
        machine.info(f"{function.log_prefix}Relaying device request to user (#0)")
        machine.asked.append((function.bdf, device.channel))


def _remove_group(machine: Machine, group: Group) -> None:
    """The group's last function has left vfio: its open file is good for nothing any more (vfio_device_remove_group)."""
    machine.group_uevent("remove", group)
    if not machine.profile.has("group_dies"):
        return
    _detach(group)
    if group.opened is not None:
        group.opened.dead, group.opened = True, None


def _hide(machine: Machine, function: Function, device: VfioDevice) -> None:
    device.hidden = True
    if machine.profile.has("vfio_dev_sysfs"):
        machine.uevent("remove", "vfio-dev", function, f"vfio-dev/{device.name}")


# -- files -----------------------------------------------------------------------------------------------------------------
def open_group(machine: Machine, group: Group, program: Credentials) -> GroupFile:
    """open(2) of a group's node."""
    if _forbids_noiommu(group, program):
        raise refuse(errno.EPERM)
    if group.cdev_bound or group.opened is not None:
        raise refuse(errno.EBUSY)
    if group.container is not None and not machine.profile.has("dma_owner"):
        raise refuse(errno.EBUSY)  # a device fd of an earlier opener still holds the container
    group.opened = GroupFile(group=group)
    return group.opened


def _forbids_noiommu(group: Group, program: Credentials) -> bool:
    """Whether the group stands in for a missing IOMMU, and the program has no right to all memory."""
    return group.noiommu and not program.has("CAP_SYS_RAWIO")


def open_cdev(function: Function, program: Credentials) -> DeviceFile:
    """open(2) of a function's own node: nothing is opened, reset or counted before it is bound."""
    if function.vfio is None or function.vfio.hidden:
        raise refuse(errno.ENODEV)
    if function.group is not None and _forbids_noiommu(function.group, program):
        raise refuse(errno.EPERM)
    function.vfio.files += 1
    return DeviceFile(function=function, through_group=False, bound=False)


def release(machine: Machine, file: File) -> None:
    """The last reference to a file is gone."""
    if isinstance(file, GroupFile) and not file.dead:
        file.group.opened = None
        if isinstance(file.group.container, IommuFile) or not _container_users(file.group):
            _detach(file.group)
    elif isinstance(file, DeviceFile):
        if file.bound:
            _close_device(machine, file)
        if file.function.vfio is not None:
            file.function.vfio.files -= 1
        if file.group_file is not None:
            drop(machine, file.group_file)


def drop(machine: Machine, file: File) -> None:
    """Give up one reference."""
    file.refs -= 1
    if file.refs == 0:
        release(machine, file)


def _container_users(group: Group) -> int:
    return sum(f.vfio.open_count for f in group.vfio_functions if f.vfio)


def _detach(group: Group) -> None:
    container = group.container
    group.container = None
    if isinstance(container, ContainerFile) and group in container.groups:
        container.groups.remove(group)
        if not container.groups:
            container.iommu = None


def _close_device(machine: Machine, file: DeviceFile) -> None:
    """vfio_df_device_last_close for the last user; vfio_pci_core_close_device takes the VF off its PF's count."""
    function = file.function
    device = function.vfio
    assert device is not None
    device.open_count -= 1
    if device.open_count == 0:
        device.channel = None  # vfio_pci_core_close_device puts the eventfd
        record = _guard(machine, function)
        if function.role is Role.VF and record is not None:
            record.users -= 1
    group = function.group
    if group is None:
        return
    if not file.through_group:
        group.cdev_bound -= 1
    elif group.opened is None and not _container_users(group):
        _detach(group)


# -- group path ------------------------------------------------------------------------------------------------------------
def set_container(machine: Machine, file: GroupFile, target: File | None, fd: int, program: Credentials) -> None:
    """VFIO_GROUP_SET_CONTAINER. The group keeps the container, also when the container's descriptor is closed."""
    has, group = machine.profile.has, file.group
    if fd < 0:
        raise refuse(errno.EBADF if has("container_badfd") else errno.EINVAL)
    if target is None:
        raise refuse(errno.EBADF)
    if file.dead:
        raise refuse(errno.ENODEV)
    if group.container is not None:
        raise refuse(errno.EINVAL)
    if isinstance(target, IommuFile) and has("iommufd_container"):
        pass
    elif not isinstance(target, ContainerFile):
        raise refuse(errno.EBADFD if has("iommufd_container") else errno.EINVAL)
    elif any(other.noiommu != group.noiommu for other in target.groups) or _forbids_noiommu(group, program):
        raise refuse(errno.EPERM)
    if has("dma_owner"):
        _claim(machine, group)
    group.container = target
    if isinstance(target, ContainerFile):
        target.groups.append(group)


def _claim(machine: Machine, group: Group) -> None:
    """iommu_group_claim_dma_owner: nobody's driver does DMA, nobody changed the domain, and the firmware demands no mapping."""
    if not viable(machine, group):
        raise refuse(errno.EPERM)
    if group.foreign_domain:
        raise refuse(errno.EBUSY)
    tied = next((f for f in group.functions if f.direct_mapped), None)
    if tied is not None and machine.profile.has("require_direct"):
        machine.info(f"{tied.log_prefix}{_DEMANDS_MAPPING}")
        raise refuse(errno.EINVAL)


def viable(machine: Machine, group: Group) -> bool:
    """Whether no member has a driver that does DMA of its own."""
    drivers = (machine.driver_of(f) for f in group.functions)
    return all(driver is None or driver.managed or driver.is_vfio for driver in drivers)


def set_iommu(machine: Machine, container: File, kind: int, program: Credentials) -> None:
    """VFIO_SET_IOMMU."""
    if isinstance(container, IommuFile):
        if kind not in (VFIO_TYPE1_IOMMU, VFIO_TYPE1v2_IOMMU):
            raise refuse(errno.EINVAL)
        return
    if not isinstance(container, ContainerFile):
        raise refuse(errno.ENOTTY)
    if not container.groups or container.iommu is not None:
        raise refuse(errno.EINVAL)
    noiommu = container.groups[0].noiommu
    if kind not in ((VFIO_NOIOMMU_IOMMU,) if noiommu else (VFIO_TYPE1_IOMMU, VFIO_TYPE1v2_IOMMU)):
        raise refuse(errno.ENODEV)
    if _forbids_noiommu(container.groups[0], program):
        raise refuse(errno.EPERM)
    if not noiommu:
        _attach_type1(machine, container.groups)
    container.iommu = kind


def _attach_type1(machine: Machine, groups: list[Group]) -> None:
    """vfio_iommu_type1_attach_group: the backend has to be there, interrupts apart, and the IOMMU's driver willing."""
    if not machine.around.type1:
        raise refuse(errno.ENODEV)
    if not (machine.around.interrupt_remapping or machine.parameters["unsafe_interrupts"]):
        option = 'Use the module param "allow_unsafe_interrupts" to enable VFIO IOMMU support on this platform'
        machine.info(f"vfio_iommu_type1_attach_group: No interrupt remapping support.  {option}")
        raise refuse(errno.EPERM)
    tied = next((f for group in groups for f in group.functions if f.direct_mapped), None)
    if tied is not None:
        machine.info(f"{tied.log_prefix}{_INELIGIBLE}")
        raise refuse(errno.EPERM)


def get_device_fd(machine: Machine, group_file: GroupFile, argument: bytes) -> DeviceFile:
    """VFIO_GROUP_GET_DEVICE_FD; the order of the checks changed in 5.19."""
    group, argument = group_file.group, argument.split(b"\0", 1)[0]
    if len(argument) >= PAGE_SIZE:
        raise refuse(errno.EINVAL)
    if group_file.dead:
        raise refuse(errno.ENODEV)
    match_first = machine.profile.has("match_first")
    if not match_first:
        _require_container(machine, group)
    function = _match(machine, group, argument)
    if match_first and group.container is None:
        raise refuse(errno.EINVAL)
    device = function.vfio
    assert device is not None
    if device.open_count == 0:
        if match_first:
            _require_container(machine, group)
        _first_open(machine, function)
    device.open_count += 1
    device.files += 1
    file = DeviceFile(function=function)
    if machine.profile.has("dma_owner") and isinstance(group.container, ContainerFile):
        file.group_file = group_file
        group_file.refs += 1
    return file


def _require_container(machine: Machine, group: Group) -> None:
    container = group.container
    if container is None or (isinstance(container, ContainerFile) and container.iommu is None):
        raise refuse(errno.EINVAL)
    if not machine.profile.has("dma_owner") and not viable(machine, group):
        raise refuse(errno.EINVAL)


def _match(machine: Machine, group: Group, argument: bytes) -> Function:
    """The function that the string names, once its options and token have passed."""
    for function in group.vfio_functions:
        device = function.vfio
        if device is None or device.hidden or not argument.startswith(function.bdf.encode()):
            continue  # what is hidden has left the group's list: it is neither found nor judged
        if not machine.profile.has("vf_token"):
            if argument != function.bdf.encode():
                continue
        else:
            parsed = parse_argument(argument, function.bdf)
            if parsed.fault is ArgumentFault.NO_MATCH:
                continue
            if parsed.fault is not None:
                raise refuse(parsed.fault.errno)
            _judge(machine, function, parsed.token)
        return function
    raise refuse(errno.ENODEV)


def _guard(machine: Machine, function: Function) -> TokenRecord | None:
    """The token record that counts for a function: a PF's own, or that of a VF's PF."""
    device, pf, has = function.vfio, function.physfn, machine.profile.has
    if device is None:
        return None
    if function.role is Role.PF:
        return device.token
    if pf is None and device.guard is None:
        return None
    if has("variant_vf_token"):
        return device.guard.token if device.guard else None
    if pf is None or pf.vfio is None:
        return None
    same = pf.driver == function.driver if has("core_split") else pf.driver == "vfio-pci"
    return pf.vfio.token if same else None


def _judge(machine: Machine, function: Function, token: bytes | None) -> None:
    """The token judgement, with its log line."""
    rule = validate_vf_token(function.role, _guard(machine, function), token)
    if rule.errno:
        caller = "vfio_pci_core_match_token_uuid" if machine.profile.has("cdev_token") else "vfio_pci_validate_vf_token"
        machine.info_limited(f"{function.log_prefix}{rule.log}", f"{caller}:{rule.row}", caller)
        raise refuse(rule.errno)


def _first_open(machine: Machine, function: Function) -> None:
    """vfio_pci_core_enable and _finish_enable: the reset wants the device lock; a VF is counted at the very end."""
    if function.locked:
        raise refuse(errno.EAGAIN)
    if not function.enabled:
        function.enabled = True
        machine.info(f"{function.log_prefix}enabling device (0000 -> 0002)")
    if function.resettable and machine.profile.has("reset_log"):
        machine.info(f"{function.log_prefix}resetting")
        machine.info(f"{function.log_prefix}reset done")
    record = _guard(machine, function)
    if function.role is Role.VF and record is not None:
        record.users += 1


# -- cdev path -------------------------------------------------------------------------------------------------------------
def bind_iommufd(
    machine: Machine,
    file: DeviceFile,
    target: File | None,
    iommufd: int,
    token: bytes | None,
    flags: int,
    argsz: int,
    beyond: bytes = b"",
) -> None:
    """VFIO_DEVICE_BIND_IOMMUFD."""
    function, group = file.function, file.function.group
    _check_bind_argument(machine, token if argsz >= 24 else None, beyond[: max(0, argsz - 24)], flags, argsz, iommufd)
    if file.through_group:
        raise refuse(errno.EINVAL)
    if group is not None and group.opened is not None:
        raise refuse(errno.EBUSY)
    if file.bound:
        raise refuse(errno.EINVAL)
    device = function.vfio
    assert device is not None  # an open file keeps it
    if machine.profile.has("cdev_token"):
        wanted = bool(flags & VFIO_DEVICE_BIND_FLAG_TOKEN)
        if wanted and (token is None or argsz < 24):
            raise refuse(errno.EFAULT)
        _judge(machine, function, token if wanted else None)
    if target is None:
        raise refuse(errno.EBADF)
    if not isinstance(target, IommuFile):
        raise refuse(errno.EBADFD)
    if device.open_count:
        raise refuse(errno.EINVAL)
    if group is not None and not group.noiommu:
        _claim(machine, group)
        if not machine.around.interrupt_remapping:  # iommufd has a parameter of its own for this, which stays N here
            raise refuse(errno.EPERM)
    _first_open(machine, function)
    device.open_count += 1
    file.bound = True
    if group is not None:
        group.cdev_bound += 1


def _check_bind_argument(machine: Machine, token: bytes | None, beyond: bytes, flags: int, argsz: int, iommufd: int) -> None:
    """Size, unknown bytes, flags and number, in this order."""
    has = machine.profile.has
    if argsz < 16:
        raise refuse(errno.EINVAL)
    if has("cdev_token") and (any(beyond) or (token is not None and not has("cdev_token_works"))):
        raise refuse(errno.E2BIG)
    known = VFIO_DEVICE_BIND_FLAG_TOKEN if has("cdev_token") else 0
    if iommufd < 0 or flags & ~known:
        raise refuse(errno.EINVAL)


# -- feature call ----------------------------------------------------------------------------------------------------------
def feature(machine: Machine, file: DeviceFile, flags: int, data: bytes, argsz: int) -> None:
    """VFIO_DEVICE_FEATURE with feature 0, the VF token; no other feature is simulated (ENOTTY). The call came with the tokens."""
    if not machine.profile.has("vf_token"):
        raise refuse(errno.ENOTTY)
    if not file.bound:
        raise refuse(errno.EINVAL)
    get, put, probe = (flags & bit for bit in (VFIO_DEVICE_FEATURE_GET, VFIO_DEVICE_FEATURE_SET, VFIO_DEVICE_FEATURE_PROBE))
    known = VFIO_DEVICE_FEATURE_MASK | VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_PROBE
    if argsz < 8 or flags & ~known or (get and put and not probe):
        raise refuse(errno.EINVAL)
    record = file.function.vfio.token if file.function.vfio else None
    if flags & VFIO_DEVICE_FEATURE_MASK or record is None:
        raise refuse(errno.ENOTTY)
    if get:
        raise refuse(errno.EINVAL)
    if probe:
        return
    if not put or argsz < 24:
        raise refuse(errno.EINVAL)
    if len(data) < 16:
        raise refuse(errno.EFAULT)
    record.uuid = data[:16]


def reset_domain(machine: Machine, file: DeviceFile) -> tuple[str, ...]:
    """VFIO_DEVICE_GET_PCI_HOT_RESET_INFO: everything on the bus, for no hotplug slots are simulated, nor buses behind the bus."""
    if not file.bound:
        raise refuse(errno.EINVAL)
    bus = file.function.bdf[:7]
    if bus.endswith(":00"):  # a root bus: no bridge above it that could reset it
        raise refuse(errno.ENODEV)
    found = [function for function in machine.functions.values() if function.bdf.startswith(f"{bus}:")]
    if any(function.group is None for function in found):
        raise refuse(errno.EPERM)
    return tuple(function.bdf for function in found)
