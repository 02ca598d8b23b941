"""A host's network, disks and processes as files below a directory, for tests of `vfdeck.backend.usage`.

host = HostTree(tmp_path)
host.interface("eth0", bdf=NIC)
host.upper("br0", "bridge", "eth0", master=True)
look_up(host.kernel(), [make_plain(NIC)])
"""

from __future__ import annotations

import ipaddress
import os
import sys
from pathlib import Path

from vfdeck.backend.kernel import Address
from vfdeck.backend.linux.kernel import LinuxKernel

SSH = "192.0.2.7 50522 198.51.100.17 22"


class TreeKernel(LinuxKernel):
    """A kernel whose files are those of a tree, but which claims to be this program's own and has addresses."""

    def __init__(self, root: Path, addresses: list[Address] | OSError) -> None:
        super().__init__(str(root))
        self._told = addresses

    @property
    def is_tree(self) -> bool:
        """As if the tree were this machine's."""
        return False

    def addresses(self) -> list[Address]:
        """What the test says."""
        if isinstance(self._told, OSError):
            raise self._told
        return self._told


class HostTree:
    """Makes the files; `addresses` is what the kernel says of addresses."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.addresses: list[Address] | OSError = []
        self.put("proc/swaps", "Filename Type Size Used Priority\n")
        self.put("proc/self/mountinfo", "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n")
        self.put("proc/self/net/dev", "Inter-|\n face |\n    lo: 0 0\n")
        self.put("proc/self/net/route", "Iface\tDestination\n")
        self.put("proc/self/net/tcp", "  sl  local_address rem_address   st\n")
        self.process("self", 4711, "vfdeck", 1)
        (root / "sys/class/net").mkdir(parents=True)
        (root / "sys/class/block").mkdir(parents=True)

    def kernel(self) -> TreeKernel:
        """The kernel of this tree."""
        return TreeKernel(self.root, self.addresses)

    def put(self, path: str, text: str | bytes, *, add: bool = False) -> None:
        """Write a file, or add to it."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        data = text if isinstance(text, bytes) else os.fsencode(text)
        file.write_bytes(file.read_bytes() + data if add else data)

    # -- processes ---------------------------------------------------------------------------------------------------
    def process(self, name: str, pid: int, program: str, parent: int, environment: bytes = b"LANG=C\0") -> None:
        """A process; `name` is that of its directory."""
        self.put(f"proc/{name}/stat", f"{pid} ({program}) S {parent} {pid} {pid} 0 -1\n")
        self.put(f"proc/{name}/environ", environment)

    def session(self, text: str = SSH, *, established: bool = True) -> None:
        """This program was started over SSH, and the connection is still there."""
        self.process("self", 4711, "vfdeck", 1, f"LANG=C\0SSH_CONNECTION={text}\0".encode())
        peer, peer_port, local, local_port = text.split()
        if established:
            ends = f"{_number(local)}:{int(local_port):04X} {_number(peer)}:{int(peer_port):04X}"
            table = "tcp6" if ":" in local else "tcp"
            self.put(f"proc/self/net/{table}", f"   0: {ends} 01 00000000:00000000\n", add=True)

    # -- network -----------------------------------------------------------------------------------------------------
    def interface(self, name: str, bdf: str = "", *, address: str = "") -> Path:
        """An interface of a function, or without `bdf` one without hardware."""
        place = f"sys/devices/pci0000:00/{bdf}/net/{name}" if bdf else f"sys/devices/virtual/net/{name}"
        home = self.root / place
        home.mkdir(parents=True)
        (home / "uevent").write_bytes(os.fsencode(f"INTERFACE={name}\n"))
        (self.root / "sys/class/net" / name).symlink_to(f"../../{place[4:]}")
        if bdf:
            (home / "device").symlink_to(f"../../../{bdf}")
        self.put("proc/self/net/dev", f"{name}: 0 0\n", add=True)
        self.address(name, address)
        return home

    def address(self, name: str, address: str) -> None:
        """Give an interface an address such as 192.0.2.1/24."""
        if address and not isinstance(self.addresses, OSError):
            found = ipaddress.ip_interface(address)
            self.addresses.append(Address(name, str(found.ip), found.network.prefixlen))

    def upper(self, name: str, kind: str, *below: str, master: bool = False, address: str = "") -> None:
        """An interface that stands on others. Of a macvlan the kernel does not tell the kind (seen on 6.12)."""
        if not (self.root / "sys/class/net" / name).exists():
            self.interface(name, address=address)
        home = self.root / "sys/class/net" / name
        (home / "uevent").write_text((f"DEVTYPE={kind}\n" if kind else "") + f"INTERFACE={name}\n")
        for other in below:
            (home / f"lower_{other}").symlink_to(f"../{other}")
            there = self.root / "sys/class/net" / other
            (there / f"upper_{name}").symlink_to(f"../{name}")
            if master:
                (there / "master").symlink_to(f"../{name}")

    def route(self, name: str, network: str = "0.0.0.0/0", *, metric: int = 100, flags: int = 3) -> None:
        """A route of the main table."""
        found = ipaddress.ip_network(network)
        if found.version == 4:
            where, mask = _number(str(found.network_address)), _number(str(found.netmask))
            line = f"{name}\t{where}\t00000000\t{flags:04X}\t0\t0\t{metric}\t{mask}\t0\t0\t0\n"
            self.put("proc/self/net/route", line, add=True)
            return
        where = found.network_address.packed.hex()
        line = f"{where} {found.prefixlen:02x} {'0' * 32} 00 {'0' * 32} {metric:08x} 1 0 {flags:08x} {name:>8}\n"
        path = self.root / "proc/self/net/ipv6_route"
        self.put("proc/self/net/ipv6_route", line, add=path.exists())

    # -- disks -------------------------------------------------------------------------------------------------------
    def disk(self, name: str, bdf: str = "", *, number: str, parts: dict[str, str] | None = None, **files: str) -> None:
        """A disk of a function (or without `bdf` a device built on others), with partitions and their numbers."""
        place = f"sys/devices/pci0000:00/{bdf}/host0/block/{name}" if bdf else f"sys/devices/virtual/block/{name}"
        for part, own in {"": number, **{f"/{part}": own for part, own in (parts or {}).items()}}.items():
            home = self.root / (place + part)
            (home / "holders").mkdir(parents=True)
            (home / "slaves").mkdir()
            (home / "dev").write_text(f"{own}\n")
            if part:
                (home / "partition").write_text("1\n")
            (self.root / "sys/class/block" / home.name).symlink_to(f"../../{place[4:]}{part}")
        for file, text in files.items():
            self.put(f"{place}/{file.replace('__', '/')}", f"{text}\n")

    def built(self, name: str, *below: str, number: str, **files: str) -> None:
        """A device built on others: `dm__name`, `dm__uuid`, `md__level` are its files."""
        self.disk(name, number=number, parts=None, **files)
        for other in below:
            (self.root / "sys/class/block" / other / "holders" / name).symlink_to(f"../../{name}")
            (self.root / "sys/class/block" / name / "slaves" / other).symlink_to(f"../../{other}")

    def mount(self, number: str, point: str, fstype: str = "ext4", source: str = "/dev/root") -> None:
        """A mount."""
        self.put("proc/self/mountinfo", f"30 22 {number} / {point} rw,relatime shared:1 - {fstype} {source} rw\n", add=True)

    def swap(self, path: str, kind: str = "partition") -> None:
        """A swap space."""
        self.put("proc/swaps", f"{path} {kind} 8388604 0 -2\n", add=True)


def _number(address: str) -> str:
    """An address as the kernel prints it in its tables."""
    packed = ipaddress.ip_address(address).packed
    words = (int.from_bytes(packed[at : at + 4], sys.byteorder) for at in range(0, len(packed), 4))
    return "".join(f"{word:08X}" for word in words)
