"""The simulated machine's files: sysfs over its objects, and the few of /proc and /dev that are read.

A path leads to a `Node`: an attribute with a reader and a writer (None where the mode lacks it), a directory, or a link. Modes
are the kernel's: an attribute without writer answers EACCES to writing, one without reader to reading.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from vfdeck.backend.model import Role
from vfdeck.backend.sim import binding, host_use, space, sriov
from vfdeck.backend.sim.drivers import Driver
from vfdeck.backend.sim.hardware import Function, Group, SriovCapability
from vfdeck.backend.sim.machine import Machine, Task, refuse

Reader = Callable[[], "str | bytes"]
Writer = Callable[[bytes], "Task | None"]


@dataclass(frozen=True, slots=True)
class Node:
    """What a path leads to; exactly one kind of content is set, but for a directory that is reached by a link."""

    read: Reader | None = None
    plain: int | None = None  # how many bytes a program without CAP_SYS_ADMIN may read; None: all
    private: bool = False  # mode 0600: only root opens it
    write: Writer | None = None
    names: Callable[[], list[str]] | None = None
    link: str | None = None


def resolve(machine: Machine, path: str) -> Node:
    """The node at an absolute path.

    Raises:
        OSError: ENOENT where there is nothing.
    """
    parts = [part for part in path.split("/") if part]
    if parts[:4] == _FUNCTIONS and (node := _function(machine, parts[4:])) is not None:  # most of what is asked for
        return node
    for prefix, handler in _TREES:
        if tuple(parts[: len(prefix)]) == prefix:
            node = handler(machine, parts[len(prefix) :])
            if node is not None:
                return node
    raise refuse(errno.ENOENT)


def _directory(names: Callable[[], list[str]]) -> Node:
    return Node(names=names)


def _constant(text: str) -> Node:
    return Node(read=lambda: text)


# -- functions -------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Attribute:
    """A file of a function: on which functions it exists, what it reads, what writing does."""

    exists: Callable[[Machine, Function], bool]
    read: Callable[[Machine, Function], str | bytes] | None = None
    write: Callable[[Machine, Function, bytes], Task | None] | None = None


def _always(machine: Machine, function: Function) -> bool:
    return True


def _is_pf(machine: Machine, function: Function) -> bool:
    return function.role is Role.PF


def _capability(function: Function) -> SriovCapability:
    assert function.sriov is not None
    return function.sriov


def _uevent(machine: Machine, f: Function) -> str:
    if machine.profile.has("uevent_lock"):
        _wait_for_lock(f, "uevent")
    lines = [f"DRIVER={f.driver}"] if f.driver else []
    subsystem = f"{f.subsystem[0]:04X}:{f.subsystem[1]:04X}"
    lines += [f"PCI_CLASS={f.class_code:X}", f"PCI_ID={f.vendor:04X}:{f.device:04X}", f"PCI_SUBSYS_ID={subsystem}"]
    lines += [f"PCI_SLOT_NAME={f.bdf}", f"MODALIAS={_modalias(f)}"]
    return "\n".join(lines) + "\n"


def _modalias(f: Function) -> str:
    ids = f"v{f.vendor:08X}d{f.device:08X}sv{f.subsystem[0]:08X}sd{f.subsystem[1]:08X}"
    return f"pci:{ids}bc{f.class_code >> 16:02x}sc{f.class_code >> 8 & 0xFF:02x}i{f.class_code & 0xFF:02x}"


def _read_numvfs(machine: Machine, f: Function) -> str:
    _wait_for_lock(f, "sriov_numvfs")
    return f"{_capability(f).numvfs}\n"


def _read_total_msix(machine: Machine, f: Function) -> str:
    _wait_for_lock(f, "sriov_vf_total_msix")
    return "0\n"  # no simulated driver moves vectors between its VFs


def _write_msix_count(machine: Machine, f: Function, data: bytes) -> None:
    if not re.fullmatch(rb"\+?\d+\n?", data):
        raise refuse(errno.EINVAL)
    raise refuse(errno.EOPNOTSUPP)


def _read_override(machine: Machine, f: Function) -> str:
    if machine.profile.has("override_lock"):
        _wait_for_lock(f, "driver_override")
    return f"{f.override or '(null)'}\n"


def _wait_for_lock(f: Function, name: str) -> None:
    """A reader that waits for the device lock gives up at once: whoever has it waits for a program."""
    if f.locked:
        path = f"/sys/bus/pci/devices/{f.bdf}/{name}"
        raise TimeoutError(errno.ETIMEDOUT, "not read: somebody holds the device's lock in the kernel", path)


def _write_autoprobe(machine: Machine, f: Function, data: bytes) -> None:
    _capability(f).autoprobe = sriov.parse_bool(machine, data)


def _write_override(machine: Machine, f: Function, data: bytes) -> None:
    binding.set_override(f, data)


def _read_vpd(machine: Machine, f: Function) -> bytes:
    """What the card says of itself; the kernel waits an eighth of a second for a card that does not (drivers/pci/vpd.c)."""
    if not f.vpd_answers:
        raise refuse(errno.ETIMEDOUT)
    return f.vpd or b""


def _write_reset(machine: Machine, f: Function, data: bytes) -> Task:
    """reset_store: waits for the device lock (pci.c pci_reset_function)."""
    if sriov.parse_number(machine, data) != 1:
        raise refuse(errno.EINVAL)
    yield from machine.lock(f)
    f.locked = False
    if machine.profile.has("reset_log"):
        machine.info(f"{f.log_prefix}resetting")
        machine.info(f"{f.log_prefix}reset done")


def _write_remove(machine: Machine, f: Function, data: bytes) -> Task | None:
    return sriov.remove(machine, f) if sriov.parse_number(machine, data) else None


def _power(machine: Machine, f: Function) -> tuple[str, str, str]:
    """power_state, power/control and power/runtime_status.

    An unused function on vfio-pci sleeps; a PF with VFs does not from 5.19 on. VFs have no power state of their own (seen on 6.12).
    """
    if f.lost:
        return "D3cold", "on", "error"
    if f.vfio is None:
        return ("D0" if f.driver else "unknown"), "on", "active"
    managed = machine.profile.has("pf_runtime_pm")
    needed = f.vfio.open_count > 0 or (managed and f.sriov is not None and bool(f.sriov.vfs))
    asleep = not needed and not machine.parameters["disable_idle_d3"]
    state = "D3hot" if asleep and f.role is not Role.VF else "D0"
    return state, "auto" if managed else "on", "suspended" if asleep and managed else "active"


def _link_part(index: int) -> Attribute:
    return Attribute(lambda m, f: f.link is not None, lambda m, f: f"{(f.link or ('', 0, '', 0))[index]}\n")


_ATTRIBUTES: dict[str, Attribute] = {
    "uevent": Attribute(_always, _uevent),
    "vendor": Attribute(_always, lambda m, f: f"{f.vendor:#06x}\n"),
    "device": Attribute(_always, lambda m, f: f"{f.device:#06x}\n"),
    "class": Attribute(_always, lambda m, f: f"{f.class_code:#08x}\n"),
    "subsystem_vendor": Attribute(_always, lambda m, f: f"{f.subsystem[0]:#06x}\n"),
    "subsystem_device": Attribute(_always, lambda m, f: f"{f.subsystem[1]:#06x}\n"),
    "modalias": Attribute(_always, lambda m, f: _modalias(f) + "\n"),
    "numa_node": Attribute(_always, lambda m, f: f"{f.numa_node}\n"),
    "driver_override": Attribute(_always, _read_override, _write_override),
    "current_link_speed": _link_part(0),
    "current_link_width": _link_part(1),
    "max_link_speed": _link_part(2),
    "max_link_width": _link_part(3),
    "power_state": Attribute(lambda m, f: m.profile.has("power_state"), lambda m, f: f"{_power(m, f)[0]}\n"),
    "resource": Attribute(_always, lambda m, f: space.resource(f)),
    "config": Attribute(_always, lambda m, f: space.config(f), lambda m, f, data: None),
    "secondary_bus_number": Attribute(lambda m, f: f.buses is not None, lambda m, f: f"{(f.buses or (0, 0))[0]}\n"),
    "subordinate_bus_number": Attribute(lambda m, f: f.buses is not None, lambda m, f: f"{(f.buses or (0, 0))[1]}\n"),
    "reset": Attribute(lambda m, f: f.resettable, None, _write_reset),
    "reset_method": Attribute(lambda m, f: f.resettable and m.profile.has("reset_method"), lambda m, f: f"{' '.join(f.resets)}\n"),
    "vpd": Attribute(lambda m, f: f.vpd is not None, _read_vpd),
    "remove": Attribute(lambda m, f: f.role is not Role.VF, None, _write_remove),
    "sriov_totalvfs": Attribute(_is_pf, lambda m, f: f"{_capability(f).offered}\n"),
    "sriov_numvfs": Attribute(_is_pf, _read_numvfs, lambda m, f, data: sriov.store_numvfs(m, f, data)),
    "sriov_offset": Attribute(_is_pf, lambda m, f: f"{_capability(f).offset}\n"),
    "sriov_stride": Attribute(_is_pf, lambda m, f: f"{_capability(f).stride}\n"),
    "sriov_vf_device": Attribute(_is_pf, lambda m, f: f"{_capability(f).vf_device:x}\n"),
    "sriov_vf_total_msix": Attribute(lambda m, f: _is_pf(m, f) and m.profile.has("vf_msix"), _read_total_msix),
    "sriov_vf_msix_count": Attribute(lambda m, f: f.role is Role.VF and m.profile.has("vf_msix"), None, _write_msix_count),
    "sriov_drivers_autoprobe": Attribute(_is_pf, lambda m, f: f"{int(_capability(f).autoprobe)}\n", _write_autoprobe),
}


def _links(machine: Machine, f: Function) -> dict[str, str]:
    """The links in a function's directory."""
    links = {"subsystem": "../../../bus/pci"}
    if f.driver_link:
        links["driver"] = f"../../../bus/pci/drivers/{f.driver_link}"
    if f.group is not None:
        links["iommu_group"] = f"../../../kernel/iommu_groups/{f.group.number}"
    if f.physfn is not None and not f.removing:
        links["physfn"] = f"../{f.physfn.bdf}"
    if f.sriov is not None:
        links |= {f"virtfn{index}": f"../{vf.bdf}" for index, vf in f.sriov.vfs.items()}
    return links


def _subdirectories(machine: Machine, f: Function) -> dict[str, list[str]]:
    """The directories in a function's directory, with what is in them."""
    found = {"power": ["control", "runtime_status"]}
    driver = machine.driver_of(f)
    if f.vfio is not None and not f.vfio.hidden and machine.profile.has("vfio_dev_sysfs"):
        found["vfio-dev"] = [f.vfio.name]
    if driver is not None and not driver.is_vfio and f.vectors:
        found["msi_irqs"] = [str(number) for number in range(32, 32 + f.vectors)]
    if interface := host_use.interface_of(machine, f):
        found["net"] = [interface]
    if disk := host_use.disk_of(machine, f):
        found["nvme"] = [disk.split("n1")[0]]
        found["block"] = [disk]
    return found


def _function(machine: Machine, parts: list[str]) -> Node | None:
    if not parts:
        return _directory(lambda: list(machine.functions))
    function = machine.functions.get(parts[0])
    if function is None:
        return None
    return _in_function(machine, function, parts[1:])


def _in_function(machine: Machine, f: Function, parts: list[str]) -> Node | None:
    if not parts:
        link = f"../../../devices/{space.place(machine.functions, f)}"
        return Node(names=lambda: _function_names(machine, f), link=link)
    attribute = _ATTRIBUTES.get(parts[0])
    if attribute is not None and len(parts) == 1 and attribute.exists(machine, f):
        return _attribute_node(machine, f, attribute)
    if len(parts) == 1 and parts[0] in (links := _links(machine, f)):
        return Node(link=links[parts[0]])
    inside = _subdirectories(machine, f).get(parts[0])
    if inside is None:
        return None
    if len(parts) == 1:
        return _directory(lambda: inside)
    text = _leaves(machine, f, parts[0]).get("/".join(parts[1:]))
    if text is not None:
        return _constant(text)
    return _directory(list) if len(parts) == 2 and parts[1] in inside else None


def _leaves(machine: Machine, f: Function, directory: str) -> dict[str, str]:
    """The files in one of those directories."""
    if directory == "power":
        _, control, status = _power(machine, f)
        return {"control": f"{control}\n", "runtime_status": f"{status}\n"}
    if directory == "msi_irqs":
        return dict.fromkeys(_subdirectories(machine, f)["msi_irqs"], "msix\n")
    if directory == "net":
        # An interface that is switched on has a carrier here; flags: IFF_BROADCAST, IFF_MULTICAST, and IFF_UP.
        texts = {"operstate": "up\n", "flags": "0x1003\n"} if f.up else {"operstate": "down\n", "flags": "0x1002\n"}
        return {f"{name}/{file}": text for name in _subdirectories(machine, f)["net"] for file, text in texts.items()}
    return {}


def _function_names(machine: Machine, f: Function) -> list[str]:
    names = [name for name, attribute in _ATTRIBUTES.items() if attribute.exists(machine, f)]
    return [*names, *_links(machine, f), *_subdirectories(machine, f)]


def _attribute_node(machine: Machine, f: Function, attribute: Attribute) -> Node:
    read, write = attribute.read, attribute.write
    return Node(
        plain=64 if read is not None and attribute is _ATTRIBUTES["config"] else None,
        private=attribute is _ATTRIBUTES["vpd"],
        read=None if read is None else lambda: read(machine, f),
        write=None if write is None else lambda data: write(machine, f, data),
    )


# -- drivers ---------------------------------------------------------------------------------------------------------------
def _text(data: bytes) -> str:
    """A name written to a bus file: one trailing newline does not count (sysfs_streq)."""
    return data.split(b"\0", 1)[0].decode("utf-8", "replace").removesuffix("\n")


def _drivers(machine: Machine, parts: list[str]) -> Node | None:
    if not parts:
        return _directory(lambda: list(machine.drivers))
    driver = machine.drivers.get(parts[0])
    if driver is None:
        return None
    bound = [f.bdf for f in machine.functions.values() if f.driver_link == driver.name]
    files = _driver_files(machine, driver)
    if len(parts) == 1:
        return _directory(lambda: [*files, *bound])
    if len(parts) == 2 and parts[1] in bound:
        return Node(link=f"../../../../devices/pci{parts[1][:7]}/{parts[1]}")
    return files.get(parts[1]) if len(parts) == 2 else None


def _driver_files(machine: Machine, driver: Driver) -> dict[str, Node]:
    return {
        "bind": Node(write=lambda data: binding.bind(machine, driver, _text(data))),
        "unbind": Node(write=lambda data: binding.unbind(machine, driver, _text(data))),
        "new_id": Node(write=lambda data: binding.new_id(machine, driver, _text(data))),
        "remove_id": Node(write=lambda data: binding.remove_id(driver, _text(data))),
    }


def _bus(machine: Machine, parts: list[str]) -> Node | None:
    if not parts:
        return _directory(lambda: ["devices", "drivers", "drivers_probe", "rescan"])
    if parts == ["drivers_probe"]:
        return Node(write=lambda data: binding.drivers_probe(machine, _text(data)))
    if parts == ["rescan"]:
        return Node(write=lambda data: sriov.rescan(machine) if sriov.parse_number(machine, data) else None)
    return None


# -- groups, classes, modules, proc, dev -----------------------------------------------------------------------------------
def _groups(machine: Machine, parts: list[str]) -> Node | None:
    if not parts:
        return _directory(lambda: [str(number) for number in machine.groups])
    group = machine.groups.get(int(parts[0])) if parts[0].isdecimal() else None
    return None if group is None else _in_group(group, parts[1:])


def _in_group(group: Group, parts: list[str]) -> Node | None:
    members = {f.bdf: f"../../../../devices/pci{f.bdf[:7]}/{f.bdf}" for f in group.functions}
    named = ["name"] if group.noiommu else []
    if not parts:
        return _directory(lambda: ["devices", "reserved_regions", "type", *named])
    if parts == ["devices"]:
        return _directory(lambda: list(members))
    if parts[0] == "devices" and len(parts) == 2 and parts[1] in members:
        return Node(link=members[parts[1]])
    if parts == ["name"] and group.noiommu:
        return _constant("vfio-noiommu\n")
    if parts == ["reserved_regions"]:
        tied = ["0x000000007d800000 0x000000007fffffff direct"] if any(f.direct_mapped for f in group.functions) else []
        return _constant("\n".join([*tied, "0x00000000fee00000 0x00000000feefffff msi"]) + "\n")
    return _constant("DMA-FQ\n") if parts == ["type"] else None


def _modules(machine: Machine, parts: list[str]) -> Node | None:
    switches = {"disable_denylist": "denylist", "enable_sriov": "vf_token"}
    names = ["disable_idle_d3", *(name for name, switch in switches.items() if machine.profile.has(switch))]
    if parts == ["refcnt"]:  # modules have it, what is built in has not
        return _constant(f"{sum(1 for _ in machine.vfio_functions())}\n")
    if parts == ["parameters"]:
        return _directory(lambda: names)
    if len(parts) != 2 or parts[0] != "parameters" or parts[1] not in names:
        return None
    return _parameter(machine, parts[1], writable=parts[1] != "disable_denylist")


def _parameter(machine: Machine, name: str, *, writable: bool) -> Node:
    def write(data: bytes) -> None:
        machine.parameters[name] = sriov.parse_bool(machine, data)

    return Node(read=lambda: "Y\n" if machine.parameters[name] else "N\n", write=write if writable else None)


def _vfio_module(machine: Machine, parts: list[str]) -> Node | None:
    names = ["enable_unsafe_noiommu_mode"] if machine.profile.noiommu else []
    if parts == ["parameters"]:
        return _directory(lambda: names)
    if len(parts) == 2 and parts[0] == "parameters" and parts[1] in names:
        return _parameter(machine, "noiommu", writable=True)
    return None


def _type1_module(machine: Machine, parts: list[str]) -> Node | None:
    if not machine.around.type1:
        return None
    if not parts:
        return _directory(lambda: ["parameters"])
    if parts == ["parameters"]:
        return _directory(lambda: ["allow_unsafe_interrupts"])
    return _parameter(machine, "unsafe_interrupts", writable=True) if parts == ["parameters", "allow_unsafe_interrupts"] else None


def _proc(machine: Machine, parts: list[str]) -> Node | None:
    texts = {
        "osrelease": machine.profile.release,
        "hostname": machine.hostname,
        "random/boot_id": machine.boot_id,
    }
    text = texts.get("/".join(parts))
    return None if text is None else _constant(text + "\n")


def _interrupts(machine: Machine, parts: list[str]) -> Node | None:
    """/proc/interrupts as far as it tells who keeps interrupts apart: the chip's name begins with IR- (seen on 6.12)."""
    if parts != ["interrupts"]:
        return None
    chip = "IR-PCI-MSIX" if _iommus(machine) and machine.around.interrupt_remapping else "PCI-MSIX"
    counted = [(f.bdf, number) for f in machine.functions.values() for number in range(f.vectors)]
    rows = [f"{24 + row:3}:          0  {chip}-{bdf}{number:4}-edge" for row, (bdf, number) in enumerate(counted)]
    return _constant(
        "\n".join(["           CPU0", f"  0:         42  {chip.removesuffix('PCI-MSIX')}IO-APIC   2-edge", *rows]) + "\n"
    )


def _iommus(machine: Machine) -> list[str]:
    """The IOMMUs there are: one, where any function has a real group."""
    return ["dmar0"] if any(not group.noiommu for group in machine.groups.values()) else []


def _iommu_class(machine: Machine, parts: list[str]) -> Node | None:
    return None if parts else _directory(lambda: _iommus(machine))


def _swaps(machine: Machine, parts: list[str]) -> Node | None:
    return _constant(host_use.swaps(machine)) if parts == ["swaps"] else None


def _process(machine: Machine, parts: list[str]) -> Node | None:
    """/proc/PID, as far as it tells what the host is used for, and the list of them."""
    if not parts:
        return _directory(lambda: [str(pid) for pid in machine.processes])
    process = machine.processes.get(int(parts[0])) if parts and parts[0].isdecimal() else None
    text = None if process is None else host_use.process_files(machine, process).get("/".join(parts[1:]))
    return None if text is None else _constant(text)


def _net_class(machine: Machine, parts: list[str]) -> Node | None:
    """/sys/class/net: an interface is a link to its directory, and that directory."""
    if not parts:
        return _directory(lambda: ["lo", *host_use.interfaces(machine)])
    found, itself = host_use.net_entry(machine, parts[0]), host_use.interfaces(machine).get(parts[0])
    home = space.place(machine.functions, itself) if isinstance(itself, Function) else "virtual"
    return None if found is None else _described(found, parts[1:], f"../../devices/{home}/net/{parts[0]}")


def _block_class(machine: Machine, parts: list[str]) -> Node | None:
    """/sys/class/block, likewise."""
    if not parts:
        return _directory(lambda: list(host_use.block_numbers(machine)))
    found = host_use.block_entry(machine, parts[0])
    if found is None:
        return None
    disk, function = next((disk, f) for disk, f in host_use.disks(machine).items() if parts[0].startswith(disk))
    home = f"{space.place(machine.functions, function)}/nvme/{disk.split('n1')[0]}/{disk}"
    return _described(found, parts[1:], f"../../devices/{home}" + ("" if disk == parts[0] else f"/{parts[0]}"))


def _described(entry: host_use.Entry, parts: list[str], itself: str = "") -> Node | None:
    """The node in a directory that is described by its content; `itself`: the link by which it is reached."""
    for part in parts:
        if not isinstance(entry, dict) or part not in entry:
            return None
        entry, itself = entry[part], ""
    if isinstance(entry, str):
        return _constant(entry)
    if isinstance(entry, tuple):
        return Node(link=entry[1])
    return Node(names=lambda: list(entry), link=itself or None)


def _dev_vfio(machine: Machine, parts: list[str]) -> Node | None:
    if not parts:
        groups = sorted({f.group.node for f in machine.vfio_functions() if f.group})
        return _directory(lambda: ["vfio", *(["devices"] if list(cdev_nodes(machine)) else []), *groups])
    return _directory(lambda: list(cdev_nodes(machine))) if parts == ["devices"] else None


def cdev_nodes(machine: Machine) -> Iterator[str]:
    """Names under /dev/vfio/devices."""
    if machine.profile.has("cdev") and machine.profile.iommufd:
        for function in machine.vfio_functions():
            device, group = function.vfio, function.group
            bare = group is not None and group.noiommu and not machine.profile.has("cdev_noiommu")
            if device is not None and not device.hidden and not bare:
                yield device.name


_FUNCTIONS = ["sys", "bus", "pci", "devices"]
_TREES: list[tuple[tuple[str, ...], Callable[[Machine, list[str]], Node | None]]] = [
    (tuple(_FUNCTIONS), _function),
    (("sys", "bus", "pci", "drivers"), _drivers),
    (("sys", "bus", "pci"), _bus),
    (("sys", "kernel", "iommu_groups"), _groups),
    (("sys", "module", "vfio_pci"), _modules),
    (("sys", "module", "vfio"), _vfio_module),
    (("sys", "module", "vfio_iommu_type1"), _type1_module),
    (("sys", "class", "iommu"), _iommu_class),
    (("sys", "class", "net"), _net_class),
    (("sys", "class", "block"), _block_class),
    (("proc", "sys", "kernel"), _proc),
    (("proc",), _swaps),
    (("proc",), _process),
    (("proc",), _interrupts),
    (("dev", "vfio"), _dev_vfio),
]
