"""The things a simulated machine is made of: functions, their SR-IOV capability, IOMMU groups, vfio's own records."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vfdeck.backend.model import Role
from vfdeck.backend.token_rules import TokenRecord

if TYPE_CHECKING:
    from vfdeck.backend.sim.files import ContainerFile, GroupFile, IommuFile


@dataclass(slots=True)
class SriovCapability:
    """A PF's capability and what the PCI core keeps with it."""

    total: int  # TotalVFs of the hardware
    offset: int
    stride: int
    vf_device: int
    vf_vendor: int | None = None  # None: the PF's
    driver_max: int | None = None  # what the bound driver reduced the total to
    autoprobe: bool = True
    vfs: dict[int, Function] = field(default_factory=dict)  # by index; a VF being removed is no longer in here
    numvfs: int = 0  # what sriov_numvfs reads: set last when enabling, cleared last when disabling
    through_vfio: bool = False  # enabled by vfio-pci's hook
    initial: int | None = None  # InitialVFs; None: as many as TotalVFs
    bars: tuple[int, ...] = (0x4000, 0, 0, 0x4000)  # size of one VF's BARs, bytes; of 64 bits, so each takes two numbers
    unassigned: frozenset[int] = frozenset()  # VF BARs for which no address range was found
    unclaimed: bool = False  # the ranges were found, but cannot be switched on
    dependency: str | None = None  # BDF that the capability's function dependency link names, where it names another function
    vectors: int | None = None  # MSI-X vectors that PF and VFs share; None: enough for everybody
    grants: int | None = None  # the most that the device lets its driver enable, without lowering the total

    @property
    def offered(self) -> int:
        """What sriov_totalvfs reads."""
        return self.total if self.driver_max is None else min(self.driver_max, self.total)


@dataclass(slots=True)
class VfioDevice:
    """A function registered with vfio. `token` is the PF's record; `guard` is what a VF was linked to when it was bound."""

    index: int  # N of vfioN
    name: str  # of its directory and node
    token: TokenRecord | None = None
    guard: VfioDevice | None = None
    open_count: int = 0
    files: int = 0  # open files, nodes of its own that are not bound among them: what unregistering waits for
    hidden: bool = False  # unregistering: no new fd
    channel: int | None = None  # the program that wants to be asked to let go (VFIO_PCI_REQ_IRQ_INDEX has an eventfd)


@dataclass(slots=True)
class Function:
    """One PCI function."""

    bdf: str
    vendor: int
    device: int
    class_code: int
    subsystem: tuple[int, int] = (0x1AF4, 0x1100)
    sriov: SriovCapability | None = None
    physfn: Function | None = None
    vf_index: int | None = None
    driver: str | None = None
    bindings: int = 0  # the number of its binding to that driver; no other binding on the machine has it
    detaching: bool = False  # the driver's link is gone already, the driver not yet
    override: str | None = None
    group: Group | None = None
    vfio: VfioDevice | None = None
    numa_node: int = -1
    link: tuple[str, int, str, int] | None = None  # speed, width, greatest speed, greatest width
    interface: str = ""
    disk: str = ""
    name: tuple[str, str] = ("", "")  # vendor and device as a person reads them
    header: int = 0  # 0 endpoint, 1 bridge
    resettable: bool = True
    resets: tuple[str, ...] = ("flr",)  # the ways to reset it that the PCI core found; VFs have this one (seen on 6.12)
    vpd: bytes | None = None  # its Vital Product Data; None: it has no such capability
    vpd_answers: bool = True  # whether the card's firmware lets it be read
    enabled: bool = True  # the memory bit of the command register
    isolates: bool = True  # of a PF: whether its VFs get IOMMU groups of their own (ACS)
    direct_mapped: bool = False  # the firmware demands a 1:1 mapping of its memory (RMRR)
    assigned: bool = False  # of a VF: marked as given to a guest, which only Xen does
    removing: bool = False  # a VF whose links to its PF are gone already
    locked: bool = False  # the device lock is held by a call that waits
    buses: tuple[int, int] | None = None  # of a bridge: its secondary and subordinate bus number
    bars: tuple[int, ...] = (0x20000,)  # size of its own BARs, as above
    vectors: int = 0  # interrupts that its own driver takes
    up: bool = True  # whether its network interface is up
    lost: bool = False  # off the bus: every read gives ones

    @property
    def bus(self) -> int:
        """The number of its bus."""
        return int(self.bdf.split(":")[1], 16)

    @property
    def role(self) -> Role:
        """PF by a working capability, VF by its link to one."""
        if self.vf_index is not None:
            return Role.VF
        return Role.PF if self.sriov is not None and self.sriov.total > 0 else Role.PLAIN

    @property
    def driver_link(self) -> str | None:
        """What the driver link says."""
        return None if self.detaching else self.driver

    @property
    def log_prefix(self) -> str:
        """How the kernel begins a line about this function."""
        return f"{self.driver or 'pci'} {self.bdf}: "


@dataclass(slots=True)
class Group:
    """An IOMMU group and what vfio keeps for it."""

    number: int
    functions: list[Function] = field(default_factory=list)
    noiommu: bool = False
    opened: GroupFile | None = None
    container: ContainerFile | IommuFile | None = None
    cdev_bound: int = 0
    foreign_domain: bool = False  # somebody in the kernel took the group out of its default domain

    @property
    def node(self) -> str:
        """The node's name under /dev/vfio."""
        return f"noiommu-{self.number}" if self.noiommu else str(self.number)

    @property
    def vfio_functions(self) -> list[Function]:
        """Members that are registered with vfio."""
        return [f for f in self.functions if f.vfio is not None]
