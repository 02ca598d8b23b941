"""What a simulated host uses its functions for, and the files that tell of it: interfaces, addresses, routes, mounts, swap, SSH.

Interfaces and disks are there while a function's driver makes them; what stands on them comes and goes with them. When a driver
comes back, addresses and mounts are back as well: a network manager and systemd see to that on a real host.
"""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vfdeck.backend.kernel import Address
from vfdeck.backend.sim.files import DeviceFile, File
from vfdeck.backend.sim.space import place
from vfdeck.backend.sim.surroundings import mounts, status

if TYPE_CHECKING:
    from vfdeck.backend.sim.hardware import Function
    from vfdeck.backend.sim.machine import Machine, ProcessRecord

_ROUTE_UP, _ROUTE_GATEWAY = 0x0001, 0x0002  # include/uapi/linux/route.h
_BLOCK_MAJOR = 259  # BLOCK_EXT_MAJOR


@dataclass(frozen=True, slots=True)
class Upper:
    """An interface that stands on others: of kind `bridge` or `bond`, which are their masters, or `vlan` and the like."""

    name: str
    kind: str
    below: tuple[str, ...]

    @property
    def master(self) -> bool:
        """Whether it stays when what is below goes."""
        return self.kind in ("bridge", "bond", "team")


@dataclass(frozen=True, slots=True)
class Mounted:
    """A mounted file system: its device (`nvme0n1p1`), where, and its type."""

    device: str
    point: str
    fstype: str


@dataclass(slots=True)
class HostUse:
    """The host's own use of its functions, as its configuration has it."""

    addresses: list[Address] = field(default_factory=list)
    gateways: list[tuple[str, str]] = field(default_factory=list)  # interface and gateway of each default route
    uppers: list[Upper] = field(default_factory=list)
    mounts: list[Mounted] = field(default_factory=list)
    swaps: list[str] = field(default_factory=list)  # devices
    connection: str = ""  # SSH_CONNECTION of whoever sits at vfdeck


def configured(table: Mapping[str, Any]) -> HostUse:
    """The use that a scenario tells of."""
    use = HostUse(connection=table.get("operator", {}).get("ssh", ""))
    for entry in table.get("address", ()):
        found = ipaddress.ip_interface(entry["address"])
        use.addresses.append(Address(entry["interface"], str(found.ip), found.network.prefixlen))
    use.gateways = [(entry["interface"], entry["gateway"]) for entry in table.get("default_route", ())]
    use.uppers = [Upper(entry["name"], entry["kind"], tuple(entry["below"])) for entry in table.get("upper", ())]
    use.mounts = [Mounted(entry["device"], entry["point"], entry["type"]) for entry in table.get("mount", ())]
    use.swaps = [entry["device"] for entry in table.get("swap", ())]
    return use


# -- what is there now -------------------------------------------------------------------------------------------------
def interface_of(machine: Machine, function: Function) -> str:
    """The name of the interface that a function's driver makes of it, "" where it makes none."""
    driver = machine.driver_of(function)
    if driver is None or not driver.net or function.detaching:
        return ""
    return function.interface or f"eth{list(machine.functions).index(function.bdf)}"


def disk_of(machine: Machine, function: Function) -> str:
    """The name of the disk that a function's driver makes of it, "" where it makes none."""
    driver = machine.driver_of(function)
    return function.disk if driver is not None and driver.disk and not function.detaching else ""


def interfaces(machine: Machine) -> dict[str, Function | Upper]:
    """The interfaces there are, but `lo`."""
    found: dict[str, Function | Upper] = {}
    for function in machine.functions.values():
        if name := interface_of(machine, function):
            found[name] = function
    for upper in machine.use.uppers:
        if upper.master or all(name in found for name in upper.below):
            found[upper.name] = upper
    return found


def disks(machine: Machine) -> dict[str, Function]:
    """The disks there are."""
    return {name: function for function in machine.functions.values() if (name := disk_of(machine, function))}


def addresses(machine: Machine) -> list[Address]:
    """The addresses of the interfaces there are."""
    present = interfaces(machine)
    return [Address("lo", "127.0.0.1", 8), *(entry for entry in machine.use.addresses if entry.interface in present)]


# -- /sys/class/net, /sys/class/block ----------------------------------------------------------------------------------
#: What a directory holds: the text of a file, a link, or another directory.
Entry = str | tuple[str, str] | dict[str, Any]


def link(text: str) -> tuple[str, str]:
    """A symbolic link."""
    return ("link", text)


def net_entry(machine: Machine, name: str) -> dict[str, Entry] | None:
    """The directory of an interface."""
    present = interfaces(machine)
    if name not in present:
        return None
    itself = present[name]
    found: dict[str, Entry] = {"uevent": f"INTERFACE={name}\n"}
    if isinstance(itself, Upper):
        found["uevent"] = f"DEVTYPE={itself.kind}\nINTERFACE={name}\n"
        found |= {f"lower_{below}": link(f"../{below}") for below in itself.below if below in present}
    else:
        found["device"] = link(f"../../../{itself.bdf}")
    for upper in (upper for upper in machine.use.uppers if name in upper.below and upper.name in present):
        found[f"upper_{upper.name}"] = link(f"../{upper.name}")
        if upper.master:
            found["master"] = link(f"../{upper.name}")
    return found


def block_entry(machine: Machine, name: str) -> dict[str, Entry] | None:
    """The directory of a disk or of a partition that is in use."""
    numbers = block_numbers(machine)
    if name not in numbers:
        return None
    found: dict[str, Entry] = {"dev": f"{numbers[name]}\n", "holders": {}, "slaves": {}}
    if name in disks(machine):
        found |= {part: link(f"{name}/{part}") for part in _partitions(machine, name)}
    else:
        found["partition"] = f"{name.rpartition('p')[2]}\n"
    return found


def block_numbers(machine: Machine) -> dict[str, str]:
    """Disks and partitions with their device numbers."""
    names = [name for disk in disks(machine) for name in (disk, *_partitions(machine, disk))]
    return {name: f"{_BLOCK_MAJOR}:{minor}" for minor, name in enumerate(names)}


def _partitions(machine: Machine, disk: str) -> list[str]:
    used = [*(mount.device for mount in machine.use.mounts), *machine.use.swaps]
    return sorted({name for name in used if name.startswith(f"{disk}p")})


# -- /proc -------------------------------------------------------------------------------------------------------------
def process_files(machine: Machine, process: ProcessRecord) -> dict[str, str]:
    """What /proc/PID holds of a program, as far as it is simulated."""
    return {
        "stat": f"{process.pid} ({process.name}) S {0 if process.pid == 1 else 1} {process.pid} {process.pid} 0\n",
        "comm": f"{process.name}\n",
        "status": status(process.credentials, process.name),
        "cmdline": "".join(f"{argument}\0" for argument in process.arguments),
        "cgroup": process.cgroup,
        "environ": "".join(f"{name}={value}\0" for name, value in process.environment.items()),
        "mountinfo": mounts(process.credentials) + "".join(_mountinfo(machine)),
        "net/dev": "Inter-|   Receive\n face |bytes\n" + "".join(f"{name:>6}: 0 0\n" for name in ("lo", *interfaces(machine))),
        "net/route": "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n" + "".join(_ipv4(machine)),
        "net/ipv6_route": "".join(_ipv6(machine)),
        "net/tcp": "  sl  local_address rem_address   st\n" + "".join(_connections(machine, 4)),
        "net/tcp6": "  sl  local_address rem_address   st\n" + "".join(_connections(machine, 6)),
        **{f"fdinfo/{fd}": _fdinfo(machine, file) for fd, file in process.fds.items()},
    }


def _fdinfo(machine: Machine, file: File) -> str:
    """/proc/PID/fdinfo/FD; from 6.18 with the function of a vfio device (vfio_main.c vfio_device_show_fdinfo)."""
    text = "pos:\t0\nflags:\t02000002\nmnt_id:\t25\nino:\t1\n"
    if isinstance(file, DeviceFile) and machine.profile.has("fdinfo_syspath"):
        text += f"vfio-device-syspath: /sys/devices/{place(machine.functions, file.function)}\n"
    return text


def environment(machine: Machine) -> dict[str, str]:
    """The environment of the program that the operator runs."""
    return {"SSH_CONNECTION": machine.use.connection} if machine.use.connection else {}


def swaps(machine: Machine) -> str:
    """/proc/swaps."""
    present = [name for name in machine.use.swaps if name in block_numbers(machine)]
    return "Filename Type Size Used Priority\n" + "".join(f"/dev/{name} partition 8388604 0 -2\n" for name in present)


def _mountinfo(machine: Machine) -> Iterator[str]:
    numbers = block_numbers(machine)
    for number, mount in enumerate(machine.use.mounts, 100):
        if mount.device in numbers:
            options = f"rw,relatime shared:{number} - {mount.fstype} /dev/{mount.device} rw"
            yield f"{number} 1 {numbers[mount.device]} / {mount.point} {options}\n"


def _ipv4(machine: Machine) -> Iterator[str]:
    present = interfaces(machine)
    for interface, gateway in machine.use.gateways:
        if interface in present and ":" not in gateway:
            flags = _ROUTE_UP | _ROUTE_GATEWAY
            yield f"{interface}\t00000000\t{_number(gateway)}\t{flags:04X}\t0\t0\t100\t00000000\t0\t0\t0\n"
    for entry in addresses(machine):
        network = ipaddress.ip_interface(f"{entry.address}/{entry.prefix}").network
        if network.version == 4 and entry.interface != "lo":
            where, mask = _number(str(network.network_address)), _number(str(network.netmask))
            yield f"{entry.interface}\t{where}\t00000000\t{_ROUTE_UP:04X}\t0\t0\t100\t{mask}\t0\t0\t0\n"


def _ipv6(machine: Machine) -> Iterator[str]:
    none, present = "0" * 32, interfaces(machine)
    for entry in addresses(machine):
        network = ipaddress.ip_interface(f"{entry.address}/{entry.prefix}").network
        if network.version == 6:
            where = f"{network.network_address.packed.hex()} {network.prefixlen:02x} {none} 00 {none}"
            yield f"{where} 00000100 00000001 00000000 {_ROUTE_UP:08x} {entry.interface:>8}\n"
    for interface, gateway in machine.use.gateways:
        if interface in present and ":" in gateway:
            flags, next_hop = _ROUTE_UP | _ROUTE_GATEWAY, ipaddress.ip_address(gateway).packed.hex()
            yield f"{none} 00 {none} 00 {next_hop} 00000400 00000001 00000000 {flags:08x} {interface:>8}\n"


def _connections(machine: Machine, version: int) -> Iterator[str]:
    """The operator's connection, while its address is there."""
    fields = machine.use.connection.split()
    if len(fields) == 4 and any(entry.address == fields[2] for entry in addresses(machine)):
        peer, local = ipaddress.ip_address(fields[0]), ipaddress.ip_address(fields[2])
        if local.version == version:
            ends = [f"{_number(str(end))}:{int(port):04X}" for end, port in ((local, fields[3]), (peer, fields[1]))]
            yield f"   0: {ends[0]} {ends[1]} 01 00000000:00000000 02:00000000 00000000     0        0 4711 2\n"


def _number(address: str) -> str:
    """An address as the kernel prints it in its tables: words of four bytes as the machine's numbers."""
    packed = ipaddress.ip_address(address).packed
    words = (int.from_bytes(packed[at : at + 4], sys.byteorder) for at in range(0, len(packed), 4))
    return "".join(f"{word:08X}" for word in words)
