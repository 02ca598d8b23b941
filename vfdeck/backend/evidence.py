"""What tells one cause of a refusal from another, read once through the seam: modes of nodes, rights of this program, BAR windows.

Everything is three-valued: a value, or `Unread` with the reason why it could not be had. Nothing here takes a device's lock but
`driver_override`, which the kernel at hand reads with a time limit. The functions serve the checks before a change as well.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from vfdeck.backend.bdf import is_bdf
from vfdeck.backend.kernel import FileStat, Kernel, errno_name
from vfdeck.backend.text import printable
from vfdeck.backend.vfio import DEVICES

if TYPE_CHECKING:
    from vfdeck.backend.facts import Facts

GROUPS = "/sys/kernel/iommu_groups"
LOCKDOWN = "/sys/kernel/security/lockdown"
LSMS = "/sys/kernel/security/lsm"
STATUS = "/proc/self/status"
MOUNTS = "/proc/self/mountinfo"
TYPE1 = "/sys/module/vfio_iommu_type1"
INTERRUPTS = "/proc/interrupts"
YAMA = "/proc/sys/kernel/yama/ptrace_scope"

#: Bits of CapEff (include/uapi/linux/capability.h).
CAP_DAC_OVERRIDE = 1
CAP_SYS_RAWIO = 17
CAP_SYS_PTRACE = 19
CAP_SYS_ADMIN = 21

#: Security modules that can refuse the open of a node that its mode allows; the others (capability, yama, lockdown, ...) never do.
REFUSING_LSMS = frozenset({"selinux", "apparmor", "smack", "tomoyo", "landlock", "bpf"})

# include/linux/ioport.h
_IO, _MEM = 0x100, 0x200
_UNSET = 0x20000000
_IFF_UP = 0x1  # include/uapi/linux/if.h
#: Lines of `resource` that are the VFs' BARs: after six BARs and the ROM (include/linux/pci.h, PCI_IOV_RESOURCES).
_VF_BARS = slice(7, 13)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Unread:
    """Could not check, and why."""

    why: str


NOT_LOOKED = Unread("vfdeck did not look")


def known(value: T | Unread) -> T | None:
    """The value, or None where it could not be had."""
    return None if isinstance(value, Unread) else value


# -- single readings -------------------------------------------------------------------------------------------------------
def text_of(kernel: Kernel, path: str) -> str | Unread:
    """The content of a small file as one printable line."""
    content = _content(kernel, path)
    return content if isinstance(content, Unread) else printable(content)


def _content(kernel: Kernel, path: str) -> bytes | Unread:
    try:
        return kernel.read(path)
    except OSError as error:
        return Unread(f"{path}: {errno_name(error.errno or 0)}")


def _lines(kernel: Kernel, path: str) -> list[str] | Unread:
    content = _content(kernel, path)
    return content if isinstance(content, Unread) else content.decode("utf-8", "replace").splitlines()


@dataclass(frozen=True, slots=True)
class Window:
    """An address range of a function, as a line of `resource` has it: first and last address, and the kernel's flags."""

    start: int
    end: int
    flags: int

    @property
    def size(self) -> int:
        """Bytes; 0 for a line of zeros."""
        return self.end - self.start + 1 if self.end else 0

    @property
    def present(self) -> bool:
        """Whether the function has such a BAR at all."""
        return bool(self.flags & (_IO | _MEM))

    @property
    def assigned(self) -> bool:
        """Whether the range has an address: neither marked unset nor at 0."""
        return self.present and self.start > 0 and not self.flags & _UNSET


def windows(kernel: Kernel, bdf: str) -> tuple[Window, ...] | Unread:
    """All lines of a function's `resource`: BARs 0 to 5, ROM, the VFs' BARs 7 to 12, from 13 on a bridge's windows.

    Source: pci-sysfs.c resource_show. Ordinary users see the lines as root does.
    """
    path = f"{DEVICES}/{bdf}/resource"
    lines = _lines(kernel, path)
    if isinstance(lines, Unread):
        return lines
    try:
        return tuple(Window(*(int(part, 16) for part in line.split())) for line in lines if line.strip())
    except (ValueError, TypeError):
        return Unread(f"{path}: not three hexadecimal numbers a line")


def vf_windows(kernel: Kernel, bdf: str) -> tuple[Window, ...] | Unread:
    """The BARs of a PF's VFs, each with room for all TotalVFs; empty where every line is zero.

    Zeros mean that there is no such BAR, or that the kernel gave it up when it found no room (setup-bus.c reset_resource):
    sysfs does not tell which. VFs without any BAR are not known, so an empty answer speaks for the latter.
    """
    found = windows(kernel, bdf)
    if isinstance(found, Unread):
        return found
    if len(found) < _VF_BARS.stop:
        return Unread(f"{DEVICES}/{bdf}/resource: {len(found)} lines, so none of VFs")
    return tuple(w for w in found[_VF_BARS] if w.present)


def bridge_above(kernel: Kernel, bdf: str) -> str | Unread | None:
    """The bridge that leads to a function's bus, by the function's place below /sys/devices; None for a function on a root bus."""
    path = f"{DEVICES}/{bdf}"
    try:
        above = kernel.link(path).rstrip("/").split("/")[-2:-1]
    except OSError as error:
        return Unread(f"{path}: {errno_name(error.errno or 0)}")
    if above and is_bdf(above[0]):
        return above[0]
    if above and above[0].startswith("pci"):
        return None
    return Unread(f"{path}: the device above it is no PCI bridge")


def bus_range(kernel: Kernel, bdf: str) -> range | Unread:
    """The bus numbers that the bridge above a function owns, as a range of ints (a VF's bus must not be past its last one).

    Source: iov.c sriov_enable compares with `dev->bus->busn_res`; pci-sysfs.c secondary_bus_number, subordinate_bus_number.
    """
    bridge = bridge_above(kernel, bdf)
    if isinstance(bridge, Unread):
        return bridge
    if bridge is None:
        return Unread(f"{bdf} is on a root bus, and no file shows the range of that")
    ends = [text_of(kernel, f"{DEVICES}/{bridge}/{name}_bus_number") for name in ("secondary", "subordinate")]
    if isinstance(ends[0], Unread) or isinstance(ends[1], Unread):
        return next(end for end in ends if isinstance(end, Unread))
    try:
        first, last = (int(str(end)) for end in ends)
    except ValueError:
        return Unread(f"{bridge}: a bus number is no number")
    return range(first, last + 1)


# -- rights ----------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Rights:
    """With what rights a program runs: effective user and groups, capabilities, and what limits them."""

    uid: int
    gids: frozenset[int]
    capabilities: int
    no_new_privs: bool = False
    #: whether ids are mapped, so that capabilities do not reach the host's nodes; None where that could not be read
    user_namespace: bool | None = None

    def may(self, capability: int) -> bool:
        """Whether a capability is in the effective set."""
        return bool(self.capabilities >> capability & 1)

    def on_host(self, capability: int) -> bool | None:
        """Whether a capability counts for the host itself, which it does not in a user namespace (capable()); None: not known."""
        if not self.may(capability):
            return False
        return None if self.user_namespace is None else not self.user_namespace


def rights(kernel: Kernel) -> Rights | Unread:
    """The rights of this very program, from /proc/self/status and uid_map."""
    lines = _lines(kernel, STATUS)
    if isinstance(lines, Unread):
        return lines
    fields = {name: value.split() for name, _, value in (line.partition(":") for line in lines)}
    try:
        uid, gid = int(fields["Uid"][1]), int(fields["Gid"][1])
        gids = frozenset({gid, *(int(text) for text in fields.get("Groups", []))})
        capabilities = int(fields["CapEff"][0], 16)
    except (KeyError, IndexError, ValueError):
        return Unread(f"{STATUS}: no Uid, Gid or CapEff as expected")
    mapped = _lines(kernel, "/proc/self/uid_map")
    namespace = None if isinstance(mapped, Unread) else [line.split() for line in mapped] != [["0", "0", "4294967295"]]
    return Rights(uid, gids, capabilities, fields.get("NoNewPrivs") == ["1"], namespace)


def stat_of(kernel: Kernel, path: str) -> FileStat | Unread:
    """Mode, owner and numbers of a file or node, links followed."""
    try:
        return kernel.stat(path)
    except OSError as error:
        return Unread(f"{path}: {errno_name(error.errno or 0)}")


def allows(node: FileStat, who: Rights, wanted: int = 0o6) -> bool | None:
    """Whether mode and owner let a program open a file (`wanted`: 4 to read, 2 to write, 6 both).

    None where that is not known: what an access list (ACL) says was not read, and in a user namespace CAP_DAC_OVERRIDE reaches
    only files of mapped owners; so too where it could not be read whether this is one. Source: namei.c acl_permission_check,
    generic_permission.
    """
    shift = 6 if who.uid == node.uid else 3 if node.gid in who.gids else 0
    if who.on_host(CAP_DAC_OVERRIDE):
        return True
    granted: bool | None = node.mode >> shift & wanted == wanted
    if node.acl and shift < 6:
        # The group's bits are the most that the list can give to anybody but the owner.
        granted = None if granted or node.mode >> 3 & wanted == wanted else False
    return None if granted is False and who.may(CAP_DAC_OVERRIDE) else granted


def sealed(node: FileStat) -> bool:
    """Whether a file of sysfs refuses every writer, root too: its mode has no write bit (kernfs_fop_open)."""
    return not node.mode & 0o222


def node_numbers(kernel: Kernel, path: str) -> tuple[int, int] | Unread:
    """Major and minor number that a vfio node should have, from /sys/class (group.c, device_cdev.c: device classes)."""
    directory, _, name = path.rpartition("/")
    classes = {"/dev/vfio": "vfio", "/dev/vfio/devices": "vfio-dev"}
    if directory not in classes or name == "vfio":
        return Unread(f"{path} is no node of a group or a function")
    found = text_of(kernel, f"/sys/class/{classes[directory]}/{name}/dev")
    if isinstance(found, Unread):
        return found
    major, _, minor = found.partition(":")
    try:
        return int(major), int(minor)
    except ValueError:
        return Unread(f"/sys/class/{classes[directory]}/{name}/dev: no two numbers")


# -- the surroundings ------------------------------------------------------------------------------------------------------
def mount_options(kernel: Kernel, path: str) -> frozenset[str] | Unread:
    """The options of the mount that a path is in (`ro`, `nodev`, ...); of its file system too, for one mounted read-only."""
    lines = _lines(kernel, MOUNTS)
    if isinstance(lines, Unread):
        return lines
    best, options = "", frozenset[str]()
    for line in lines:
        left, _, right = line.partition(" - ")
        fields, system = left.split(" "), right.split(" ")
        if len(fields) < 6 or len(system) < 3:
            continue
        point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[4])
        if (path == point or path.startswith(point.rstrip("/") + "/")) and len(point) >= len(best):
            best, options = point, frozenset((*fields[5].split(","), *system[2].split(",")))
    return options if best else Unread(f"{MOUNTS}: nothing is mounted over {path}")


def lockdown(kernel: Kernel) -> str | Unread:
    """The state of the kernel's lockdown: `none`, `integrity` or `confidentiality` (security/lockdown/lockdown.c)."""
    found = text_of(kernel, LOCKDOWN)
    if isinstance(found, Unread):
        return found
    chosen = re.search(r"\[(\w+)\]", found)
    return chosen[1] if chosen else Unread(f"{LOCKDOWN}: no state in brackets")


def security_modules(kernel: Kernel) -> tuple[str, ...] | Unread:
    """The security modules at work, in order."""
    found = text_of(kernel, LSMS)
    return found if isinstance(found, Unread) else tuple(name for name in found.split(",") if name)


def reserved_regions(kernel: Kernel, group: int) -> tuple[str, ...] | Unread:
    """The kinds of a group's reserved regions: `direct` is memory that firmware tied to a device (iommu.c)."""
    lines = _lines(kernel, f"{GROUPS}/{group}/reserved_regions")
    return lines if isinstance(lines, Unread) else tuple(line.split()[-1] for line in lines if line.strip())


def parameter(kernel: Kernel, module: str, name: str) -> bool | Unread:
    """A switch of a module: Y or N."""
    path = f"/sys/module/{module}/parameters/{name}"
    found = text_of(kernel, path)
    if isinstance(found, Unread):
        return found
    return {"Y": True, "N": False}.get(found, Unread(f"{path}: neither Y nor N"))


def interrupts_kept_apart(kernel: Kernel) -> bool | Unread:
    """Whether the IOMMU remaps interrupts: the chips of /proc/interrupts are then called IR-... (x86; seen on 6.12)."""
    try:
        text = kernel.read(INTERRUPTS).decode("utf-8", "replace")
    except OSError as error:
        return Unread(f"{INTERRUPTS}: {errno_name(error.errno or 0)}")
    if re.search(r"\sIR-(PCI|IO)-", text):
        return True
    if re.search(r"\s(PCI-MSIX?|IO-APIC)[\s-]", text):  # the same chips on x86, without
        return False
    return Unread(f"{INTERRUPTS}: no interrupt chip whose name tells it (only x86's do)")


def exists(kernel: Kernel, directory: str) -> bool | Unread:
    """Whether a directory is there."""
    try:
        kernel.names(directory)
    except FileNotFoundError:
        return False
    except OSError as error:
        return Unread(f"{directory}: {errno_name(error.errno or 0)}")
    return True


# -- all of it -------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Evidence:
    """What was read after a refusal; every field says for itself when it could not be."""

    node: FileStat | Unread = NOT_LOOKED  # the node or file that was refused
    numbers: tuple[int, int] | Unread = NOT_LOOKED  # major and minor number that sysfs gives for that node
    mount: frozenset[str] | Unread = NOT_LOOKED  # the options of the mount it is in
    rights: Rights | Unread = NOT_LOOKED
    lsms: tuple[str, ...] | Unread = NOT_LOOKED
    lockdown: str | Unread = NOT_LOOKED
    override: str | Unread = NOT_LOOKED  # driver_override of the function now, "" for none
    enable_sriov: bool | Unread = NOT_LOOKED  # vfio-pci's switch now
    disable_denylist: bool | Unread = NOT_LOOKED
    vf_windows: tuple[Window, ...] | Unread = NOT_LOOKED  # of the PF
    bus_range: range | Unread = NOT_LOOKED  # of the bridge above the PF
    regions: tuple[str, ...] | Unread = NOT_LOOKED  # the group's reserved ones
    remapping: bool | Unread = NOT_LOOKED  # whether the IOMMU keeps interrupts apart
    unsafe_interrupts: bool | Unread = NOT_LOOKED  # type 1's switch, which counts for containers
    unsafe_iommufd: bool | Unread = NOT_LOOKED  # iommufd's switch, which counts on the cdev path
    type1: bool | Unread = NOT_LOOKED  # whether vfio_iommu_type1 is there
    links: dict[str, bool | Unread] | Unread = field(default=NOT_LOOKED)  # which interfaces of the PF are switched on


#: What is known before anything was refused.
NOTHING = Evidence()


def gather(kernel: Kernel, facts: Facts) -> Evidence:
    """Look at what may tell the causes of a refusal apart. Some twenty small reads; never raises OSError."""
    bdf, pf = facts.bdf, facts.pf.bdf if facts.pf else facts.bdf
    path = facts.target if facts.target.startswith("/") else ""
    group = facts.function.iommu_group if facts.function else None
    no_path = Unread("the refused call was about no file")
    override = text_of(kernel, f"{DEVICES}/{bdf}/driver_override")
    return Evidence(
        node=stat_of(kernel, path) if path else no_path,
        numbers=node_numbers(kernel, path) if path else no_path,
        mount=mount_options(kernel, path) if path else no_path,
        rights=rights(kernel),
        lsms=security_modules(kernel),
        lockdown=lockdown(kernel),
        override="" if override == "(null)" else override,
        enable_sriov=parameter(kernel, "vfio_pci", "enable_sriov"),
        disable_denylist=parameter(kernel, "vfio_pci", "disable_denylist"),
        vf_windows=vf_windows(kernel, pf),
        bus_range=bus_range(kernel, pf),
        regions=Unread("the function has no group") if group is None else reserved_regions(kernel, group),
        remapping=interrupts_kept_apart(kernel),
        unsafe_interrupts=parameter(kernel, "vfio_iommu_type1", "allow_unsafe_interrupts"),
        unsafe_iommufd=parameter(kernel, "iommufd", "allow_unsafe_interrupts"),
        type1=exists(kernel, TYPE1),
        links=interfaces_up(kernel, pf),
    )


def interfaces_up(kernel: Kernel, bdf: str) -> dict[str, bool | Unread] | Unread:
    """Which of a function's network interfaces are switched on, cable or not: what drivers ask by netif_running.

    By `flags` (IFF_UP); `operstate` tells of the carrier too.
    """
    path = f"{DEVICES}/{bdf}/net"
    try:
        names = kernel.names(path)
    except OSError as error:
        return Unread(f"{path}: {errno_name(error.errno or 0)}")
    return {printable(name): _switched_on(kernel, f"{path}/{name}/flags") for name in sorted(names)}


def all_off(links: dict[str, bool | Unread]) -> bool | None:
    """Whether a function's interfaces are off: all of them, or none. Where some are, it is not known which one its driver means.

    The interfaces of VFs that a switch represents stand in the same folder as the PF's own.
    """
    states = set(links.values())
    return next(iter(states)) is False if len(states) == 1 and isinstance(next(iter(states)), bool) else None


def _switched_on(kernel: Kernel, path: str) -> bool | Unread:
    flags = text_of(kernel, path)
    try:
        return flags if isinstance(flags, Unread) else bool(int(flags, 16) & _IFF_UP)
    except ValueError:
        return Unread(f"{path}: no hexadecimal number")
