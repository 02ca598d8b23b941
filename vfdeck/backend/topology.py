"""What PCI functions a host has, and how they belong together: one look through the seam.

Per function one `uevent` (driver, ids and class in one read), one link to its IOMMU group, and for those that are shown the few
small files that remain. Directories are listed only of functions that no PF has announced as a VF of its own: what a VF has
follows from its driver and class, and listing thousands of them would take longer than all the rest. `sriov_numvfs` and
`sriov_vf_total_msix` are never read: both take the PF's device lock and wait for as long as somebody else's write waits. VFs are
counted by the PF's `virtfnN` links instead.
"""

from __future__ import annotations

import errno
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from vfdeck.backend import pci_ids
from vfdeck.backend.bdf import is_bdf
from vfdeck.backend.kernel import Kernel, errno_name
from vfdeck.backend.model import Function, HostFacts, IommuGroup, Link, Role, Snapshot, Sriov, is_vfio_driver
from vfdeck.backend.reading import Reader
from vfdeck.backend.text import printable

DEVICES = "/sys/bus/pci/devices"
ENABLE_SRIOV = "/sys/module/vfio_pci/parameters/enable_sriov"
NOIOMMU_MODE = "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode"

# nvme0n1, or nvme0c1n1: one of several paths to the disk nvme0n1.
_NAMESPACE = r"(nvme\d+)(?:c\d+)?(n\d+)"
_MODALIAS = re.compile(
    rb"pci:v([0-9A-F]{8})d([0-9A-F]{8})sv([0-9A-F]{8})sd([0-9A-F]{8})bc([0-9A-F]{2})sc([0-9A-F]{2})i([0-9A-F]{2})", re.ASCII
)
_VIRTIO = 0x1AF4
#: What is looked at in a function's directory, where it is there.
_USED = frozenset(
    {"current_link_speed", "driver_override", "iommu_group", "numa_node", "net", "nvme", "block", "physfn", "vfio-dev"}
)
#: What any VF may have, on a vfio driver, on the driver of a disk, and on another one. A miss costs little.
_VF = frozenset({"driver_override", "iommu_group"})
_VF_ON_VFIO = _VF | {"vfio-dev"}
_VF_DISK = _VF | {"nvme", "block"}
_VF_OTHER = _VF | {"net"}
_MASS_STORAGE = 0x01
_CHILDREN = frozenset({"net", "block", "nvme"})

K = TypeVar("K")
V = TypeVar("V")


class _Identity(NamedTuple):
    """What the `uevent` file says, less the address; `fault` is what was wrong with it."""

    #: What the kernel works with: still named while an unbinding waits for users, when the `driver` link has gone already.
    driver: str | None = None
    vendor: int = 0
    device: int = 0
    class_code: int = 0
    subsystem: str = ""
    fault: str = ""


@dataclass(slots=True)
class _Found:
    """A function as far as the first pass sees it. `names` is its directory's listing, empty where that was not needed."""

    bdf: str
    path: str
    names: list[str]
    present: frozenset[str]
    identity: _Identity
    group: int | None
    sriov: Sriov | None = None  # of a PF, without its VFs, which are in `vfs` by index
    vfs: dict[int, str] = field(default_factory=dict)
    is_vf: bool = False
    physfn: str | None = None
    vf_index: int | None = None


def scan(
    kernel: Kernel,
    names: Mapping[pci_ids.Ids, pci_ids.Names] | None = None,
    *,
    also: frozenset[str] = frozenset(),
    before: Snapshot | None = None,
) -> Snapshot:
    """Look at all PCI functions of a host afresh. Never raises: what could not be read is among the problems.

    Shown are PFs, VFs, functions on a vfio driver, those of `also`, and whatever shares an IOMMU group with one of these. Holders,
    tokens and jobs are left empty. Vendor and device names come from `names` where it is given, else from the system's PCI IDs.
    Functions and groups that are as they were `before` are taken from there: in memory once, and soon known to be the same.
    """
    return _Scan(kernel, also).snapshot(names, before)


def kept(old: Mapping[K, V] | None, new: Iterable[tuple[K, V]]) -> dict[K, V]:
    """The new members, each that is as it was taken from the old ones."""
    found, known = {}, old or {}
    for key, value in new:
        before = known.get(key)
        found[key] = value if before is None or before != value else before
    return found


def address_key(bdf: str) -> tuple[int, str]:
    """Sorts addresses by domain, bus, slot and function: a domain has four digits, or more where it needs them."""
    return len(bdf), bdf


class _Scan:
    def __init__(self, kernel: Kernel, also: frozenset[str]) -> None:
        self.kernel = kernel
        self.also = also
        self.reader = Reader(kernel)
        self.addresses: dict[str, str] = {}  # of all functions, in order, by themselves: each is in memory once
        self.scanned: int | None = None  # how many they are, where they could be listed
        self.identities: dict[bytes, _Identity] = {}
        self.found: dict[str, _Found] = {}
        self.vf_of: dict[str, tuple[str, int]] = {}  # PF and index of the VFs that links lead to
        self.numa: dict[str, int | None] = {}
        self.nodes = frozenset(self.reader.names("/dev/vfio/devices", "a directory"))

    def snapshot(self, names: Mapping[pci_ids.Ids, pci_ids.Names] | None, before: Snapshot | None) -> Snapshot:
        self.addresses = {bdf: bdf for bdf in self._addresses()}
        for bdf in self.addresses:  # a PF comes before its VFs
            self._look(bdf)
        self._join()
        groups = self._groups()
        shown = self._shown(groups)
        noiommu_mode = self._switch(NOIOMMU_MODE)
        noiommu = self._noiommu(noiommu_mode, shown)
        if names is None:
            names = pci_ids.lookup({(f.identity.vendor, f.identity.device) for f in shown})
        functions = ((f.bdf, self._function(f, names, f.group in noiommu)) for f in shown)
        numbers = sorted({f.group for f in shown if f.group is not None})
        return Snapshot(
            host=self._host(noiommu_mode, noiommu),
            taken=self.kernel.clock(),
            functions=kept(before.functions if before else None, functions),
            groups=kept(before.groups if before else None, ((number, IommuGroup(number, groups[number])) for number in numbers)),
            problems=tuple(self.reader.problems),
            scanned=self.scanned,
        )

    # -- first pass: every function, cheaply -------------------------------------------------------------------------
    def _addresses(self) -> list[str]:
        """The addresses of all functions, in order."""
        try:
            names = self.kernel.names(DEVICES)
        except OSError as error:
            what = f"{errno_name(error.errno or 0)} ({error.strerror})"
            self.reader.problem(DEVICES, what, "a directory with one link per PCI function")
            return []
        good = [name for name in names if is_bdf(name)]
        self.scanned = len(good)
        if len(good) < len(names):
            for name in sorted(set(names).difference(good)):
                self.reader.problem(f"{DEVICES}/{name}", "not a PCI address", "a name such as 0000:03:00.0")
        return sorted(good, key=address_key)

    def _look(self, bdf: str) -> None:
        """Note what a function's uevent, group link and directory say. One that has gone meanwhile is left out."""
        path = f"{DEVICES}/{bdf}"
        try:
            identity = self._identity(self.kernel.read(f"{path}/uevent"))
        except OSError as error:
            if not self.reader.failed(f"{path}/uevent", error, "the function's uevent"):
                return
            identity = self._identity_without_lock(path) if error.errno == errno.ETIMEDOUT else _Identity()
        if identity.fault:
            self.reader.problem(f"{path}/uevent", identity.fault, "lines such as PCI_ID=8086:10CA")
        if bdf in self.vf_of and identity.vendor != _VIRTIO:
            names, present = [], _vf_files(identity)
        else:
            names = self.reader.names(path, "the directory of a PCI function")
            present = _USED.intersection(names)
        group = self._group_number(path) if "iommu_group" in present else None
        self.found[bdf] = found = _Found(bdf, path, names, present, identity, group)
        if "sriov_totalvfs" in names:
            self._sriov(found)

    def _identity(self, uevent: bytes) -> _Identity:
        """Parse a uevent file; many functions differ in nothing but the address, so each kind is parsed once."""
        kind = uevent.partition(b"PCI_SLOT_NAME=")[0]
        known = self.identities.get(kind)
        if known is None:
            known = self.identities[kind] = _parse(kind)
        return known

    def _identity_without_lock(self, path: str) -> _Identity:
        """The same from `modalias` and the driver link, which answer while another program's change holds the function's lock.

        Some kernels (seen: 6.1.192) show `uevent` under that lock.
        """
        match = _MODALIAS.match(self.reader.read(f"{path}/modalias", "the function's modalias") or b"")
        if match is None:
            return _Identity()
        vendor, device, *subsystem, base, sub, interface = (int(group, 16) for group in match.groups())
        driver = self.reader.link(f"{path}/driver", "a link to the driver")
        if not driver and self._has_vfio_device(path):  # an unbinding that waits has removed the link already
            driver = "vfio-pci"
        ids = f"{subsystem[0]:04x}:{subsystem[1]:04x}"
        return _Identity(printable(driver) or None, vendor, device, base << 16 | sub << 8 | interface, ids)

    def _has_vfio_device(self, path: str) -> bool:
        return bool(self.reader.names(f"{path}/vfio-dev", "a directory"))

    def _group_number(self, path: str) -> int | None:
        name = self.reader.link(f"{path}/iommu_group", "a link to an IOMMU group")
        if name.isdecimal():
            return int(name)
        if name:
            self.reader.problem(f"{path}/iommu_group", f'a link to "{printable(name, 40)}"', "the number of an IOMMU group")
        return None

    # -- PFs and their VFs -------------------------------------------------------------------------------------------
    def _sriov(self, pf: _Found) -> None:
        """Read a PF's SR-IOV files and note where its VFs are."""
        number, path = self.reader.number, pf.path
        autoprobe = number(f"{path}/sriov_drivers_autoprobe", "0 or 1")
        pf.sriov = Sriov(
            totalvfs=number(f"{path}/sriov_totalvfs"),
            vfs=(),
            autoprobe=None if autoprobe is None else autoprobe != 0,
            offset=number(f"{path}/sriov_offset"),
            stride=number(f"{path}/sriov_stride"),
            vf_device=number(f"{path}/sriov_vf_device", "a hexadecimal number", 16),
        )
        pf.vfs = self._vfs(pf, pf.sriov)
        self.vf_of.update((vf, (pf.bdf, index)) for index, vf in pf.vfs.items())

    def _vfs(self, pf: _Found, sriov: Sriov) -> dict[int, str]:
        """The VFs that a PF's `virtfnN` links lead to, by index.

        PCI puts VFs at equal distances. Where the first and the last link lead where offset and stride say, the links between
        them need not be read.
        """
        links = {int(name[6:]): name for name in pf.names if name.startswith("virtfn") and name[6:].isdecimal()}
        places = dict(zip(links, _vf_addresses(pf.bdf, sriov, links)))

        def follow(index: int) -> str:
            return self.reader.link(f"{pf.path}/{links[index]}", "a link to a VF")

        if not all(follow(index) == places.get(index) for index in _ends(links)):
            places.clear()
        vfs = {index: self.addresses.get(places.get(index, "")) or follow(index) for index in links}
        return {index: vf for index, vf in vfs.items() if vf}

    def _join(self) -> None:
        """Tell each VF its PF.

        While a VF is being removed and waits for its users, both its `physfn` link and the PF's link to it have gone; what is
        left is its address, which follows from the PF's offset and stride.
        """
        parents: dict[pci_ids.Ids, list[_Found]] = defaultdict(list)
        for pf in self.found.values():
            if pf.sriov is not None and pf.sriov.vf_device is not None:
                parents[pf.identity.vendor, pf.sriov.vf_device].append(pf)
        for function in self.found.values():
            if function.bdf in self.vf_of:
                function.is_vf, (function.physfn, function.vf_index) = True, self.vf_of[function.bdf]
            elif function.sriov is None:
                self._adopt(function, parents.get((function.identity.vendor, function.identity.device), ()))

    def _adopt(self, function: _Found, parents: Iterable[_Found]) -> None:
        """Find the PF of a function that no `virtfnN` link leads to, if it is a VF at all."""
        if "physfn" in function.present:
            function.is_vf = True
            function.physfn = self.reader.link(f"{function.path}/physfn", "a link to the PF") or None
        for pf in parents:
            index = _vf_index(pf, function.bdf)
            if index is not None and index not in pf.vfs and function.physfn in (None, pf.bdf):
                function.is_vf, function.physfn, function.vf_index = True, pf.bdf, index
                pf.vfs[index] = function.bdf

    # -- what is shown -----------------------------------------------------------------------------------------------
    def _groups(self) -> dict[int, tuple[str, ...]]:
        """The members of every IOMMU group, in address order."""
        members: dict[int, list[str]] = defaultdict(list)
        for function in self.found.values():
            if function.group is not None:
                members[function.group].append(function.bdf)
        return {number: tuple(bdfs) for number, bdfs in members.items()}

    def _shown(self, groups: Mapping[int, tuple[str, ...]]) -> list[_Found]:
        """PFs, VFs, functions on vfio drivers, those asked for, and their company."""
        shown = {f.bdf for f in self.found.values() if f.sriov or f.is_vf or is_vfio_driver(f.identity.driver)}
        shown |= self.also & self.found.keys()
        for number in {self.found[bdf].group for bdf in shown}:
            if number is not None:
                shown.update(groups[number])
        return [f for f in self.found.values() if f.bdf in shown]

    def _function(self, found: _Found, names: Mapping[pci_ids.Ids, pci_ids.Names], noiommu: bool) -> Function:
        """The second pass: the rest of what is known of one function."""
        identity, present, sriov = found.identity, found.present, found.sriov
        vendor, device = names.get((identity.vendor, identity.device), ("", ""))
        if sriov is not None:
            vfs = tuple(found.vfs[index] for index in sorted(found.vfs))
            sriov = Sriov(sriov.totalvfs, vfs, sriov.autoprobe, sriov.offset, sriov.stride, sriov.vf_device)
        interfaces, disks = self._children(found)
        return Function(
            bdf=found.bdf,
            role=Role.PF if sriov is not None else Role.VF if found.is_vf else Role.PLAIN,
            vendor_id=identity.vendor,
            device_id=identity.device,
            class_code=identity.class_code,
            subsystem=identity.subsystem,
            vendor=vendor,
            device=device,
            driver=identity.driver,
            driver_override=self._override(found.path) if "driver_override" in present else None,
            iommu_group=found.group,
            noiommu=noiommu,
            numa_node=self._numa(found),
            interfaces=interfaces,
            disks=disks,
            link=self._link(found.path) if not found.is_vf and "current_link_speed" in present else None,
            cdev=self._cdev(found.path) if self.nodes and "vfio-dev" in present else None,
            sriov=sriov,
            physfn=found.physfn,
            vf_index=found.vf_index,
        )

    def _override(self, path: str) -> str | None:
        content = self.reader.read(f"{path}/driver_override", "a driver's name or (null)")
        return None if content is None or content in (b"(null)\n", b"\n", b"") else printable(content)

    def _numa(self, found: _Found) -> int | None:
        """The NUMA node; a VF sits where its PF sits."""
        home = self.found.get(found.physfn or "", found)
        if home.bdf not in self.numa:
            node = self.reader.number(f"{home.path}/numa_node") if "numa_node" in home.present else None
            self.numa[home.bdf] = node if node is not None and node >= 0 else None
        return self.numa[home.bdf]

    def _link(self, path: str) -> Link | None:
        speed = self.reader.text(f"{path}/current_link_speed", "a speed such as 8.0 GT/s PCIe")
        width = self.reader.number(f"{path}/current_link_width")
        max_speed = self.reader.text(f"{path}/max_link_speed", "a speed such as 8.0 GT/s PCIe")
        max_width = self.reader.number(f"{path}/max_link_width")
        if not speed or not max_speed or width is None or max_width is None:
            return None
        return Link(speed, width, max_speed, max_width)

    def _cdev(self, path: str) -> str | None:
        """The function's own node. Kernels built without them have the directory all the same."""
        return next((printable(name) for name in self.reader.names(f"{path}/vfio-dev", "a directory") if name in self.nodes), None)

    def _children(self, found: _Found) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The names of a function's network interfaces and of its disks."""
        if found.present.isdisjoint(_CHILDREN) and found.identity.vendor != _VIRTIO:
            return (), ()
        return self._interfaces(found), self._disks(found)

    def _interfaces(self, found: _Found) -> tuple[str, ...]:
        names = [name for place in self._places(found, "net") for name in self.reader.names(place, "network interfaces")]
        return _clean(names) if names else ()

    def _disks(self, found: _Found) -> tuple[str, ...]:
        disks = [name for place in self._places(found, "block") for name in self.reader.names(place, "disks")]
        if "nvme" in found.present:
            for controller in self.reader.names(f"{found.path}/nvme", "NVMe controllers"):
                children = self.reader.names(f"{found.path}/nvme/{controller}", "an NVMe controller")
                matches = (re.fullmatch(_NAMESPACE, child) for child in children)
                disks += ["".join(match.groups()) for match in matches if match]
        return _clean(disks) if disks else ()

    def _places(self, found: _Found, kind: str) -> list[str]:
        """Where a function keeps its interfaces or disks: in its own directory, or in those of its virtio devices."""
        places = [f"{found.path}/{kind}"] if kind in found.present else []
        if found.identity.vendor == _VIRTIO:
            for name in found.names:
                if name.startswith("virtio") and kind in self.reader.names(f"{found.path}/{name}", "a virtio device"):
                    places.append(f"{found.path}/{name}/{kind}")
        return places

    # -- the host ----------------------------------------------------------------------------------------------------
    def _noiommu(self, mode: bool | None, shown: Iterable[_Found]) -> set[int]:
        """The groups that only stand in for a missing IOMMU: the kernel calls them so, and so are their nodes called."""
        nodes = [name[8:] for name in self.reader.names("/dev/vfio", "a directory") if name.startswith("noiommu-")]
        groups = {int(number) for number in nodes if number.isdecimal()}
        if mode:
            for function in shown:
                path = f"/sys/kernel/iommu_groups/{function.group}/name"
                if function.group is not None and self.reader.text(path, "a name") == "vfio-noiommu":
                    groups.add(function.group)
        return groups

    def _switch(self, path: str) -> bool | None:
        """A parameter of a module that is on or off; None where there is none."""
        value = self.reader.text(path, "Y or N")
        if value not in ("", "Y", "N"):
            self.reader.problem(path, f'"{value}"', "Y or N")
        return {"Y": True, "N": False}.get(value)

    def _host(self, noiommu_mode: bool | None, noiommu: set[int]) -> HostFacts:
        text = self.reader.text
        return HostFacts(
            name=text("/proc/sys/kernel/hostname", "the host's name"),
            kernel=text("/proc/sys/kernel/osrelease", "the kernel's release"),
            boot_id=text("/proc/sys/kernel/random/boot_id", "a UUID"),
            simulated=self.kernel.simulated,
            privileged=self.kernel.euid == 0,
            enable_sriov=self._switch(ENABLE_SRIOV),
            cdev=bool(self.nodes),
            iommu=any(f.group is not None and f.group not in noiommu for f in self.found.values()),
            noiommu=noiommu_mode,
        )


def _parse(uevent: bytes) -> _Identity:
    """The identity in the text of a uevent file, with what is wrong there in `fault`."""
    fields = dict(line.partition(b"=")[::2] for line in uevent.split(b"\n"))
    driver = printable(fields[b"DRIVER"]) if b"DRIVER" in fields else None
    try:
        vendor, device = (_hexadecimal(part, 0xFFFF) for part in fields[b"PCI_ID"].split(b":"))
        class_code = _hexadecimal(fields[b"PCI_CLASS"], 0xFFFFFF)
    except KeyError as missing:
        return _Identity(driver, fault=f"no {missing.args[0].decode()} in it")
    except ValueError:
        wrong = printable(b"PCI_CLASS=%s PCI_ID=%s" % (fields.get(b"PCI_CLASS", b""), fields[b"PCI_ID"]), 60)
        return _Identity(driver, fault=f'"{wrong}"')
    return _Identity(driver, vendor, device, class_code, printable(fields.get(b"PCI_SUBSYS_ID", b"")).lower())


def _vf_files(identity: _Identity) -> frozenset[str]:
    """What may be in the directory of a VF with this driver and class."""
    if identity.driver is None:
        return _VF
    if is_vfio_driver(identity.driver):
        return _VF_ON_VFIO
    return _VF_DISK if identity.class_code >> 16 == _MASS_STORAGE else _VF_OTHER


def _hexadecimal(digits: bytes, greatest: int) -> int:
    number = int(digits, 16)
    if not 0 <= number <= greatest:
        raise ValueError
    return number


def _routing_id(bdf: str) -> tuple[str, int]:
    """Domain, and bus, slot and function as one number."""
    domain, bus, rest = bdf.split(":")
    slot, _, function = rest.partition(".")
    return domain, int(bus, 16) << 8 | int(slot, 16) << 3 | int(function)


def _ends(numbers: Collection[int]) -> set[int]:
    return {min(numbers), max(numbers)} if numbers else set()


def _vf_addresses(pf: str, sriov: Sriov, indexes: Iterable[int]) -> Iterator[str]:
    """Where PCI puts these VFs of a PF; nothing where the PF does not tell its offset and stride."""
    if sriov.offset is None or sriov.stride is None:
        return
    domain, first = _routing_id(pf)
    for index in indexes:
        number = first + sriov.offset + sriov.stride * index
        yield f"{domain}:{number >> 8:02x}:{number >> 3 & 0x1F:02x}.{number & 7}"


def _vf_index(pf: _Found, bdf: str) -> int | None:
    """The index that a VF of `pf` at this address would have, None where no VF of it can be."""
    sriov = pf.sriov
    if sriov is None or not sriov.totalvfs or sriov.offset is None or not sriov.stride:
        return None
    (pf_domain, pf_number), (domain, number) = _routing_id(pf.bdf), _routing_id(bdf)
    index, rest = divmod(number - pf_number - sriov.offset, sriov.stride)
    return index if domain == pf_domain and rest == 0 and 0 <= index < sriov.totalvfs else None


def _clean(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(printable(name) for name in names))
