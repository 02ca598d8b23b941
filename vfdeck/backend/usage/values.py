"""The values: what of the host would go with functions. Names and addresses have passed `vfdeck.backend.text.printable`."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Fate(enum.StrEnum):
    """What becomes of an interface when functions go."""

    GONE = "gone"  # it vanishes: it is the function's own, or a VLAN or the like on top of one that vanishes
    CUT_OFF = "cut off"  # a bridge or bond that stays, and leads nowhere any more
    WEAKENED = "weakened"  # it keeps another way out


@dataclass(frozen=True, slots=True)
class Interface:
    """A network interface that goes, or that is built on one that goes."""

    name: str
    fate: Fate
    bdf: str = ""  # the function's; "" for what is built on top
    kind: str = ""  # "bridge", "bond", "VLAN", ... as the kernel calls it; "" for the function's own
    below: tuple[str, ...] = ()  # of what is built on top: on which of these interfaces
    spare: tuple[str, ...] = ()  # ways out that it keeps
    addresses: tuple[str, ...] = ()  # with prefix length, without those that IPv6 makes for the link alone
    default_route: tuple[str, ...] = ()  # "IPv4", "IPv6": whether it carries a default route
    other_default: bool = False  # whether another interface carries one of the same kind as well


@dataclass(frozen=True, slots=True)
class Session:
    """The SSH connection by which the operator came. `interface` is the one that it uses."""

    peer: str
    interface: str
    routed: bool = False  # by the route to the peer: no interface that matters has the local address
    open: bool | None = True  # whether the kernel knows the connection as established; None: could not check


class UseKind(enum.StrEnum):
    """What a disk is used for."""

    MOUNT = "mount"
    SWAP = "swap"
    PART_OF = "part of"  # a RAID, a volume group or the like, of which no more is known


@dataclass(frozen=True, slots=True)
class DiskUse:
    """One use of a disk: where (mount point, swap space, device on top), and through which device."""

    kind: UseKind
    where: str
    through: str
    spared: bool = False  # other disks carry it as well, and may do without this one


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk that goes, and what it is used for."""

    name: str
    bdf: str
    uses: tuple[DiskUse, ...] = ()


@dataclass(frozen=True, slots=True)
class Usage:
    """What of the host would go with some functions. `unchecked`: what could not be found out, and why, in words."""

    interfaces: tuple[Interface, ...] = ()
    disks: tuple[Disk, ...] = ()
    session: Session | None = None
    unchecked: tuple[str, ...] = ()

    def interface(self, name: str) -> Interface | None:
        """The interface of this name, if it is among those concerned."""
        return next((interface for interface in self.interfaces if interface.name == name), None)
