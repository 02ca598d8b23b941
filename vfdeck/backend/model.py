"""The values that everything speaks: frozen, comparable, without behaviour that needs a kernel.

A function is identified by its PCI address (BDF), e.g. `0000:03:00.0`. All text in here has passed
`vfdeck.backend.text.printable`. "Could not check" is never stored as "no": what is not known is None, or carries a `Certainty`.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field, replace


class Certainty(enum.StrEnum):
    """How well something is known."""

    EXACT = "exact"
    AT_LEAST = "at least"
    INFERRED = "inferred"
    UNKNOWN = "unknown"


class Role(enum.StrEnum):
    """What a function is to SR-IOV: `PF` has a working SR-IOV capability, `VF` belongs to a PF, `plain` is neither."""

    PF = "PF"
    VF = "VF"
    PLAIN = "plain"


class ProblemKind(enum.StrEnum):
    """What is known less well because of a problem."""

    HOST = "host"  # its functions, drivers, groups
    HOLDERS = "holders"  # which program holds what
    MEMORY = "memory"  # what was done before, by this vfdeck and others: the journal of tokens, the audit trail
    LOST = "lost"  # everything: there is no connection to the host, and what is shown is what was seen last
    CONNECTING = "connecting"  # the same, while one is being made


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that could not be read: where, what was wrong, and what was expected."""

    path: str
    what: str
    kind: ProblemKind = ProblemKind.HOST
    final: bool = False  # of a host that is lost: it is not tried again before somebody asks


@dataclass(frozen=True, slots=True)
class Link:
    """A PCIe link: present and greatest speed (as the kernel words it, e.g. `8.0 GT/s PCIe`) and width in lanes."""

    speed: str
    width: int
    max_speed: str
    max_width: int

    @property
    def degraded(self) -> bool:
        """Whether the link runs below what the function could do."""
        return (self.speed, self.width) != (self.max_speed, self.max_width)


@dataclass(frozen=True, slots=True)
class Sriov:
    """A PF's SR-IOV state. Numbers are None where the file could not be read."""

    totalvfs: int | None
    #: BDFs of the VFs that exist, by index, from the `virtfnN` links (reading sriov_numvfs can block)
    vfs: tuple[str, ...]
    autoprobe: bool | None
    offset: int | None
    stride: int | None
    vf_device: int | None

    @property
    def numvfs(self) -> int:
        """The number of VFs that exist now."""
        return len(self.vfs)


@dataclass(frozen=True, slots=True)
class Function:
    """One PCI function as sysfs shows it."""

    bdf: str
    role: Role
    vendor_id: int
    device_id: int
    class_code: int
    subsystem: str = ""  # "8086:1572", "" where unknown
    vendor: str = ""  # names from pci.ids, "" where unknown
    device: str = ""
    driver: str | None = None
    driver_override: str | None = None
    iommu_group: int | None = None
    noiommu: bool = False
    numa_node: int | None = None
    interfaces: tuple[str, ...] = ()
    disks: tuple[str, ...] = ()
    link: Link | None = None
    cdev: str | None = None  # "vfio3": its own node below /dev/vfio/devices, where there is one
    sriov: Sriov | None = None  # of a PF
    physfn: str | None = None  # of a VF: its PF
    vf_index: int | None = None  # of a VF: N of the PF's virtfnN link

    @property
    def name(self) -> str:
        """Vendor and device as a person reads them, else the ids."""
        known = " ".join(part for part in (self.vendor, self.device) if part)
        return known or f"{self.vendor_id:04x}:{self.device_id:04x}"

    @property
    def on_vfio(self) -> bool:
        """Whether a driver of the vfio-pci family is bound."""
        return is_vfio_driver(self.driver)


def is_vfio_driver(driver: str | None) -> bool:
    """Whether this is vfio-pci or a variant of it (`mlx5_vfio_pci`, `hisi_acc_vfio_pci`, `nvgrace_gpu_vfio_pci`, ...)."""
    return driver is not None and driver.replace("_", "-").endswith("vfio-pci")


@dataclass(frozen=True, slots=True)
class IommuGroup:
    """An IOMMU group with all its members, whatever their driver."""

    number: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Holder:
    """A program that holds a function. `certainty` says how well it is known that it is this function, not another of its group."""

    bdf: str
    pid: int
    program: str
    user: str
    kind: str  # "device", "cdev", "mapping", or "group": the group's node only, no device
    own: bool
    certainty: Certainty
    started: float | None = None  # when the program was started, seconds since the epoch
    since: float | None = None  # when vfdeck first saw it hold the function; None: it did so before vfdeck looked
    vm: str = ""  # name of the virtual machine that the program runs
    container: str = ""  # container or pod that it runs in
    command: str = ""  # its command line, each VF token as its fingerprint
    tokens: tuple[str, ...] = ()  # fingerprints of the VF tokens in its command line and, where that may be read, environment
    by_name: bool = False  # a file that has a node's name: whether it is the node could not be checked, and anybody can make one
    #: When it was started, clock ticks since the boot: setting the clock changes nothing of it. With `pid` it tells programs apart.
    ticks: int | None = None


@dataclass(frozen=True, slots=True)
class Count:
    """A number with how well it is known."""

    value: int
    certainty: Certainty

    def __str__(self) -> str:
        if self.certainty is Certainty.UNKNOWN:
            return "?"
        return f"≥{self.value}" if self.certainty is Certainty.AT_LEAST else str(self.value)


class TokenState(enum.StrEnum):
    """What is known of a PF's token. The kernel tells nobody; this is what follows from its state and our own doings."""

    NONE = "none"  # no token record: the PF is not on vfio-pci
    UNSET = "unset"  # bound since we watch, and never set: the random token nobody knows
    SET = "set"  # set by us, or proved right by an open; nothing seen since then that would replace it
    UNKNOWN = "unknown"  # on vfio-pci since before we looked, or perhaps replaced by somebody else


@dataclass(frozen=True, slots=True)
class Suspect:
    """A program that holds or held a PF and so may have set its token: who opens a PF without VFs in use may bring one."""

    program: str
    pid: int
    seen: float  # when it was first seen to hold the PF, seconds since the epoch
    fingerprint: str = ""  # of the one VF token in its command line or environment, which it will have set; it may pretend


class Happened(enum.StrEnum):
    """What happened to a PF's token."""

    SET = "set"  # it was given this token
    REFUSED = "refused"  # the kernel refused this token before it set anything
    BEGUN = "begun"  # somebody began to give it this token: what came of it is not told (yet)
    FOUND = "found"  # this token was shown to be in force; who set it is not known
    DOUBTED = "doubted"  # this one, or whichever was known before, turned out not to be in force, or may not be


@dataclass(frozen=True, slots=True)
class TokenEvent:
    """An event in the life of a PF's token, as a vfdeck wrote it down. Programs other than vfdeck write nothing down."""

    what: Happened
    time: float  # seconds since the epoch
    fingerprint: str = ""  # of the token that it is about; "" where DOUBTED is about none that was known
    by: str = ""  # the user, "" where that is not known
    run: str = ""  # of vfdeck: the same for all that one run did, PID-RANDOM
    own: bool = False  # this run
    way: str = ""  # how it was set: "feature", "open", "borrowed" (`TokenWay`), "" where that is not told
    confirmed: float | None = None  # when it was last shown to be in force; None: never that we know of


@dataclass(frozen=True, slots=True)
class TokenKnowledge:
    """What is known of one PF's token, never the token itself. Whether a VF needs it: `vfdeck.backend.need`."""

    pf: str
    state: TokenState
    fingerprint: str = ""  # with UNKNOWN: of the last one that is known to have been in force, possibly replaced since
    since: float | None = None  # when it was set, or the PF was bound; seconds since the epoch
    proved: bool = False  # not set by us, but shown to be in force by an open that it let through, or asked for
    lost: str = ""  # fingerprint of the token that was in force when the PF was last seen to leave vfio-pci
    lost_by: str = ""  # how that one went: "unbound", "rebound" (while nobody watched) or "rebooted"
    by: str = ""  # the user who set it, where the journal tells
    earlier: bool = False  # by an earlier run of vfdeck or another one: nobody here watched from then until now
    confirmed: float | None = None  # when it was last shown to be in force, seconds since the epoch
    suspects: tuple[Suspect, ...] = ()  # who may have set another one since
    begun: str = ""  # fingerprint of a token that another vfdeck began to set; it is not known whether it did
    setting: bool = False  # that vfdeck lives still, so that it may be about to
    events: tuple[TokenEvent, ...] = ()  # what vfdecks did to the token since the PF was bound, as far as it is told; oldest first


class JobState(enum.StrEnum):
    """Where a change stands."""

    RUNNING = "running"
    DONE = "done"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Job:
    """A change that was begun: its steps so far, and whom it waits for."""

    number: int
    title: str
    target: str
    state: JobState
    step: str
    started: float
    waits_for: str = ""
    advice: tuple[str, ...] = ()  # while it waits: the rule, then what to do
    stage: str = ""  # of an open: the rung (`Stage`) that the kernel is being asked for
    operation: str = ""  # the key under which an agent's client began it


@dataclass(frozen=True, slots=True)
class Scores:
    """How many predictions of answers came true, by certainty. What could not be known is counted, and neither right nor wrong."""

    exact_right: int = 0
    exact_wrong: int = 0
    likely_right: int = 0
    likely_wrong: int = 0
    unknown: int = 0

    @property
    def right(self) -> int:
        """Predictions that came true."""
        return self.exact_right + self.likely_right

    @property
    def wrong(self) -> int:
        """Predictions that did not."""
        return self.exact_wrong + self.likely_wrong

    def plus(self, certainty: Certainty, right: bool | None) -> Scores:
        """With one more prediction; `right` None: it could not be told."""
        if certainty is Certainty.UNKNOWN or right is None:
            return replace(self, unknown=self.unknown + 1)
        if certainty is Certainty.EXACT:
            return replace(self, exact_right=self.exact_right + right, exact_wrong=self.exact_wrong + (not right))
        return replace(self, likely_right=self.likely_right + right, likely_wrong=self.likely_wrong + (not right))

    def __str__(self) -> str:
        exact = f"exact {self.exact_right} right, {self.exact_wrong} wrong"
        return f"{exact}; likely {self.likely_right} right, {self.likely_wrong} wrong; {self.unknown} unknown"


@dataclass(frozen=True, slots=True)
class Lack:
    """Something that vfdeck may not do on a host, and the right that it would take."""

    need: str  # "write", "holders", "borrow", "log", "config": see `vfdeck.backend.rights`
    what: str  # in words: "see what other users' programs hold"
    right: str  # "CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH"


#: Why nothing is changed through an agent that is `read_only`.
ONLY_LOOKS = "the agent there only looks (read-only)"


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What is true of the whole host."""

    name: str
    kernel: str  # release, e.g. "6.12.107+deb13-amd64"
    boot_id: str
    simulated: bool
    privileged: bool
    enable_sriov: bool | None  # /sys/module/vfio_pci/parameters/enable_sriov; None where absent
    cdev: bool  # whether any function has a node under /dev/vfio/devices
    iommu: bool  # whether any function has an IOMMU group
    noiommu: bool | None = None  # /sys/module/vfio/parameters/enable_unsafe_noiommu_mode; None where absent
    probed: tuple[tuple[str, bool], ...] = ()  # switches of profiles.toml as the kernel showed them, whatever its release says
    lacks: tuple[Lack, ...] = ()  # what vfdeck is known not to be allowed
    read_only: bool = False  # whether the agent that looks there changes nothing, whoever asks
    reached: str = ""  # the options that lead a command of vfdeck to it, as typed in a shell; "" where it is this machine


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything known of one host at one moment."""

    host: HostFacts
    taken: float  # seconds since the epoch, by the host's clock
    functions: dict[str, Function]  # by BDF, in address order
    groups: dict[int, IommuGroup]
    holders: tuple[Holder, ...] = ()
    unseen: int = 0  # processes of which it is not known, or not fully, what they hold: all else about holders is "at least"
    unattributed: int = 0  # those among them that were looked at: they hold a device of which the kernel does not tell the function
    late: float = 0.0  # a program that opened its first device in so many seconds before `taken` may be missing among the holders
    tokens: dict[str, TokenKnowledge] = field(default_factory=dict)
    jobs: tuple[Job, ...] = ()
    problems: tuple[Problem, ...] = ()
    scores: Scores = Scores()  # of this session's predictions
    closed: frozenset[str] = frozenset()  # files of sysfs that vfdeck is known not to be allowed to write
    scanned: int | None = None  # PCI functions that were looked at, those among them that are not of interest; None: not known

    @property
    def away(self) -> Problem | None:
        """Why there is no connection to the host, since when; None where there is one, or none is needed."""
        return next((p for p in self.problems if p.kind in (ProblemKind.LOST, ProblemKind.CONNECTING)), None)

    @property
    def never_seen(self) -> bool:
        """Whether the host was never reached: nothing is known of it."""
        return self.away is not None and not self.functions and not self.host.kernel

    def pfs(self) -> list[Function]:
        """PFs in address order."""
        return [f for f in self.functions.values() if f.role is Role.PF]

    def vfs_of(self, pf: str) -> list[Function]:
        """The VFs of a PF, by index; those that vanished during the scan are left out."""
        sriov = self.functions[pf].sriov
        return [self.functions[bdf] for bdf in (sriov.vfs if sriov else ()) if bdf in self.functions]

    def holders_of(self, bdf: str) -> list[Holder]:
        """Who holds a function, those included of whom a name alone says so."""
        return [h for h in self.holders if h.bdf == bdf]

    def users_of(self, pf: str) -> Count:
        """The PF's VFs in use, counted as the kernel counts them: a VF on a vfio driver counts once, however many hold it.

        A cdev that is open need not be bound, and only then counts: such a VF is inferred. One of which a name alone says that it
        is in use is not counted, and may be one more.
        """
        vfs = {vf.bdf for vf in self.vfs_of(pf) if vf.on_vfio}
        users = [h for h in self.holders if h.bdf in vfs and h.kind != "group"]
        held = {h.bdf for h in users if not h.by_name}
        inferred = held != {h.bdf for h in users if h.certainty is Certainty.EXACT and h.kind != "cdev"}
        if self.unseen or any(h.bdf not in held for h in users):
            return Count(len(held), Certainty.AT_LEAST)
        return Count(len(held), Certainty.INFERRED if inferred else Certainty.EXACT)


def routing_id(bdf: str) -> int:
    """Bus, device and function of a BDF as the one number that PCI routes by; without the domain."""
    _, bus, rest = bdf.split(":")
    device, function = rest.split(".")
    return int(bus, 16) << 8 | int(device, 16) << 3 | int(function)


def address_after(bdf: str, routing_ids: int) -> str:
    """The BDF `routing_ids` routing ids after another; the bus may overflow into the next ones."""
    number = routing_id(bdf) + routing_ids
    return f"{bdf.split(':')[0]}:{number >> 8:02x}:{number >> 3 & 0x1F:02x}.{number & 7}"
