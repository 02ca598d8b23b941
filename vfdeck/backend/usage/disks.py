"""The disks that would go, and what they are used for: mounts, swap, and what is built on them.

A disk's partitions and whatever the kernel built on them (LVM, RAID, encryption, multipath) are found by the `holders` directories
in sysfs; mounts and swap spaces are then matched by device number, and where a file system has a number of its own (btrfs), by the
name of its device. Seen are the mounts of one mount namespace only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from vfdeck.backend.model import Function
from vfdeck.backend.text import printable
from vfdeck.backend.usage.looking import Looker, belonging
from vfdeck.backend.usage.survival import BLOCK, Survival
from vfdeck.backend.usage.values import Disk, DiskUse, UseKind
from vfdeck.backend.wording import listing

BTRFS = "/sys/fs/btrfs"
_OCTAL = re.compile(rb"\\([0-7]{3})")
_PREFIXES = {"LVM": "LVM", "CRYPT": "encrypted", "mpath": "multipath"}


@dataclass(frozen=True, slots=True)
class Mount:
    """A line of mountinfo: device number, where, type, and the device's path as it was given."""

    number: str
    point: str
    fstype: str
    source: str


@dataclass(slots=True)
class _Device:
    """A block device that stands on a going disk."""

    name: str
    number: str
    label: str
    top: bool  # nothing is built on it
    disk: bool  # the disk itself, or a partition of one


@dataclass(slots=True)
class Disks:
    """The disks of a host, as far as they are asked for."""

    looker: Looker
    _devices: dict[str, dict[str, _Device]] = field(default_factory=dict)  # by disk, by name
    _survival: Survival = field(init=False)

    def disks(self, functions: Iterable[Function]) -> tuple[Disk, ...]:
        """The disks of these functions and what they are used for."""
        hanging = self.looker.by_function(BLOCK)
        owners: dict[str, str] = {}
        for function in functions:
            names = belonging(function.bdf, function.disks, hanging)
            owners |= {name: function.bdf for name in names if not self._is_part(name)}
        if not owners:
            return ()
        functions_going = set(owners.values())
        going = frozenset(name for name in owners if not self._other_paths(name, functions_going, hanging))
        self._survival = Survival(self.looker, going)
        for name in owners:
            self._devices[name] = {}
            self._climb(name, name)
        mounts, swaps = self._mounts(owners), self._swaps(owners)
        return tuple(Disk(printable(name), bdf, self._uses(name, mounts, swaps)) for name, bdf in owners.items())

    def _is_part(self, name: str) -> bool:
        """Whether this is no disk: a partition, which hangs from the function as well, or one path of several to a disk."""
        return bool(self.looker.text(f"{BLOCK}/{name}/partition")) or self.looker.text(f"{BLOCK}/{name}/hidden") == "1"

    @staticmethod
    def _other_paths(name: str, going: set[str], hanging: dict[str, list[str]]) -> bool:
        """Whether an NVMe disk with several paths (nvme0c1n1 of nvme0n1) has one that stays."""
        subsystem, _, namespace = name.rpartition("n")
        path = re.compile(rf"{re.escape(subsystem)}c\d+n{re.escape(namespace)}")
        staying = (other for bdf, names in hanging.items() if bdf not in going for other in names)
        return any(path.fullmatch(other) for other in staying)

    # -- what is built on a disk -------------------------------------------------------------------------------------
    def _climb(self, disk: str, name: str) -> None:
        """Note a device and all that stands on it."""
        known = self._devices[disk]
        if name in known:  # again by another partition, or in a loop, which no kernel makes
            return
        entries = self.looker.names(f"{BLOCK}/{name}")
        partitions = [entry for entry in entries if entry.startswith(name) and entry != name]
        above = self.looker.names(f"{BLOCK}/{name}/holders")
        number = self.looker.text(f"{BLOCK}/{name}/dev")
        known[name] = _Device(name, number, self._label(name), not above and not partitions, disk=name.startswith(disk))
        for partition in partitions:
            self._survival.parents.setdefault(partition, name)
            self._climb(disk, partition)
        for holder in above:
            self._climb(disk, holder)

    def _label(self, name: str) -> str:
        """What a person knows a device by: `vg0-root (LVM)`, `md0 (raid1)`, `nvme0n1p2`."""
        mapped = self.looker.text(f"{BLOCK}/{name}/dm/name")
        if mapped:
            uuid = self.looker.text(f"{BLOCK}/{name}/dm/uuid")
            kind = next((word for prefix, word in _PREFIXES.items() if uuid.startswith(f"{prefix}-")), "")
            return printable(f"{mapped} ({kind})" if kind else mapped)
        level = self.looker.text(f"{BLOCK}/{name}/md/level")
        return printable(f"{name} ({level})" if level else name)

    # -- what they are used for --------------------------------------------------------------------------------------
    def _mounts(self, disks: Iterable[str]) -> list[Mount]:
        which = ", ".join(printable(name) for name in disks)
        lines = self.looker.lines(f"{self.looker.proc}/mountinfo", f"whether {which} is mounted")
        mounts = list(parse_mounts(lines or ()))
        if any(mount.fstype == "zfs" for mount in mounts):
            self.looker.doubt(f"whether {which} belongs to a ZFS pool", "the kernel's files do not tell the disks of a pool")
        return mounts

    def _swaps(self, disks: Iterable[str]) -> list[tuple[str, bool]]:
        which = ", ".join(printable(name) for name in disks)
        try:
            content = self.looker.kernel.read("/proc/swaps")
        except FileNotFoundError:
            if self.looker.kernel.is_tree:  # a kernel without swap has no such file
                self.looker.doubt(f"whether the host swaps to {which}", "there is no /proc/swaps")
            return []
        except OSError as error:
            self.looker.doubt(f"whether the host swaps to {which}", error)
            return []
        return list(parse_swaps(content.split(b"\n")))

    def _uses(self, disk: str, mounts: list[Mount], swaps: list[tuple[str, bool]]) -> tuple[DiskUse, ...]:
        devices = self._devices[disk]
        found: dict[tuple[UseKind, str], DiskUse] = {}
        for mount in mounts:
            device = self._carrier(mount, devices)
            if device is not None:
                use = DiskUse(UseKind.MOUNT, printable(mount.point), device.label, self._spared(mount, device))
                found[use.kind, use.where] = use
        for path, is_file in swaps:
            swap = self._swap_carrier(path, mounts, devices) if is_file else devices.get(self._kernel_name(path))
            if swap is not None:
                use = DiskUse(
                    UseKind.SWAP, printable(path) if is_file else swap.label, swap.label, not self._survival.lost(swap.name)
                )
                found[use.kind, use.where] = use
        used = {use.through for use in found.values()}
        for device in devices.values():
            if device.top and not device.disk and device.label not in used:
                found[UseKind.PART_OF, device.label] = DiskUse(
                    UseKind.PART_OF, device.label, device.label, not self._survival.lost(device.name)
                )
        return tuple(found.values())

    def _carrier(self, mount: Mount, devices: dict[str, _Device]) -> _Device | None:
        """The device of a disk that a mount is on."""
        if not mount.number.startswith("0:"):
            return next((device for device in devices.values() if device.number == mount.number), None)
        return next((devices[name] for name in self._members(mount) if name in devices), None)

    def _swap_carrier(self, path: str, mounts: list[Mount], devices: dict[str, _Device]) -> _Device | None:
        """The device of a disk that a swap file is on: that of the innermost mount above it, the last one where several are."""
        above = [mount for mount in mounts if f"{path}/".startswith(mount.point.rstrip("/") + "/")]
        mount = max(reversed(above), key=lambda mount: len(mount.point), default=None)
        return self._carrier(mount, devices) if mount else None

    def _members(self, mount: Mount) -> list[str]:
        """The devices of a file system without a device number of its own: btrfs lists all of them, others (bcachefs) as source."""
        given = [self._kernel_name(part) for part in mount.source.split(":") if part.startswith("/dev/")]
        if mount.fstype != "btrfs":
            return given
        pools = [self.looker.names(f"{BTRFS}/{pool}/devices") for pool in self.looker.names(BTRFS)]
        found = next((members for members in pools if given and given[0] in members), None)
        if found is None and any(name in devices for devices in self._devices.values() for pool in pools for name in pool):
            self.looker.doubt(f"on which disks {printable(mount.point)} is", f"its device is given as {printable(mount.source)}")
        return given if found is None else found

    def _spared(self, mount: Mount, device: _Device) -> bool:
        """Whether a mounted file system goes on; of one of several devices that is not told, but for those that lose none."""
        members = [] if not mount.number.startswith("0:") else self._members(mount)
        lost = [name for name in members or [device.name] if self._survival.lost(name)]
        if lost and len(lost) < len(members):
            names = (listing([printable(name) for name in some]) for some in (members, lost))
            what = "whether the {} file system of {} goes on without {}".format(printable(mount.fstype, 20), *names)
            self.looker.doubt(what, "that depends on how it keeps its data")
        return not lost

    def _kernel_name(self, path: str) -> str:
        """The kernel's name of a device by its path, such as /dev/nvme0n1p2, /dev/dm-0 or /dev/mapper/vg0-root."""
        name = path.rpartition("/")[2]
        if not path.startswith("/dev/mapper/"):
            return name
        mapped = (other for other in self.looker.names(BLOCK) if other.startswith("dm-"))
        return next((other for other in mapped if self.looker.text(f"{BLOCK}/{other}/dm/name") == name), name)


def parse_mounts(lines: Iterable[bytes]) -> Iterator[Mount]:
    """The mounts of /proc/PID/mountinfo (show_mountinfo, fs/proc_namespace.c). Lines that make no sense are left out."""
    for line in lines:
        fields = line.split(b" ")
        if b"-" not in fields[6:]:
            continue
        after = fields.index(b"-", 6)
        if len(fields) > after + 2:
            number, point, fstype, source = fields[2], fields[4], fields[after + 1], fields[after + 2]
            yield Mount(_plain(number), _plain(point), _plain(fstype), _plain(source))


def parse_swaps(lines: Iterable[bytes]) -> Iterator[tuple[str, bool]]:
    """Path and whether it is a file of each line of /proc/swaps (swap_show, mm/swapfile.c)."""
    for line in lines:
        fields = line.split()
        if len(fields) >= 5 and fields[0].startswith(b"/"):
            yield _plain(fields[0]), fields[1] == b"file"


def _plain(field: bytes) -> str:
    """A field in which blanks and backslashes stand as octal numbers."""
    return _OCTAL.sub(lambda match: bytes((int(match[1], 8) & 0xFF,)), field).decode("utf-8", "surrogateescape")
