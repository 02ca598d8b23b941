"""What an explanation or a prediction may use: the answer with its stage, and what was known of the host at that moment."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field

from vfdeck.backend.changes import BindDriver, Change, Open, SetNumvfs, SetToken, UnbindDriver, VerifyToken, target_of
from vfdeck.backend.evidence import NOTHING, Evidence
from vfdeck.backend.kernel import Stage, errno_name
from vfdeck.backend.model import (
    Certainty,
    Count,
    Function,
    Holder,
    HostFacts,
    Role,
    Snapshot,
    TokenKnowledge,
    TokenState,
    is_vfio_driver,
)
from vfdeck.backend.token import Token

#: PCI's class of bridges between PCI buses, and the first byte of the class of network controllers.
BRIDGE, NETWORK = 0x0604, 0x02
#: Drivers that leave a group to user space although they are bound (kernel: driver_managed_dma). pci-pf-stub is not among them.
HARMLESS = frozenset({"pci-stub", "pcieport"})


@dataclass(frozen=True, slots=True)
class Facts:
    """One answer of a kernel, and what was known when it was given.

    `snapshot` is best the one from before the change: while a removal waits, the VF concerned has lost its `physfn` and `driver`
    links.
    """

    snapshot: Snapshot
    change: Change
    stage: Stage
    errno: int = 0  # 0: success, or a call that has not returned
    target: str = ""  # the path, node or BDF that the refused call was about
    log: tuple[str, ...] = ()  # lines of the kernel log that came with the answer
    blocked: bool = False  # the call is still waiting in the kernel
    got: int | None = None  # after a SetNumvfs that succeeded: the VFs that exist then
    #: the whole string for VFIO_GROUP_GET_DEVICE_FD where the caller made it; it may hold a token
    argument: bytes | None = field(default=None, repr=False)
    own: frozenset[str] = frozenset()  # functions that this program holds open, beside those the snapshot says so of
    evidence: Evidence = NOTHING  # what was read after the refusal; before an answer, nothing

    @property
    def bdf(self) -> str:
        """The function that the change is about."""
        return target_of(self.change)

    @property
    def function(self) -> Function | None:
        """That function, where the snapshot has it."""
        return self.snapshot.functions.get(self.bdf)

    @property
    def role(self) -> Role | None:
        """What it is to SR-IOV; None where it is not there."""
        return self.function.role if self.function else None

    @property
    def driver(self) -> str | None:
        """The driver it is on."""
        return self.function.driver if self.function else None

    @property
    def pf(self) -> Function | None:
        """The PF concerned: the function itself, or the VF's."""
        return pf_of(self.snapshot, self.bdf)

    @property
    def place(self) -> str:
        """Where the answer came from: the stage, or for files the file's name."""
        if self.stage is Stage.FILE and "/" in self.target:
            return self.target.rsplit("/", 1)[-1]
        return self.stage.value

    @property
    def answer(self) -> str:
        """`OK`, `BLOCKED` or the errno's name."""
        if self.errno:
            return errno_name(self.errno)
        return "BLOCKED" if self.blocked else "OK"

    @property
    def token(self) -> Token | None:
        """The token that was given, where the change has one."""
        return self.change.token if isinstance(self.change, (Open, SetToken, VerifyToken)) else None

    @property
    def token_given(self) -> bool:
        """Whether a token was given, in the change or in the caller's own string."""
        return self.token is not None or b"vf_token=" in (self.argument or b"")

    @property
    def knowledge(self) -> TokenKnowledge | None:
        """What is known of the PF's token."""
        return self.snapshot.tokens.get(self.pf.bdf) if self.pf else None

    @property
    def token_state(self) -> TokenState:
        """The same, reduced to its state."""
        return self.knowledge.state if self.knowledge else TokenState.UNKNOWN

    @property
    def users(self) -> Count:
        """The PF's VFs in use."""
        return self.snapshot.users_of(self.pf.bdf) if self.pf else Count(0, Certainty.UNKNOWN)

    @property
    def count(self) -> int | None:
        """The number of VFs asked for."""
        return self.change.count if isinstance(self.change, SetNumvfs) else None

    @property
    def present(self) -> int:
        """The VFs that the PF has."""
        return self.pf.sriov.numvfs if self.pf and self.pf.sriov else 0

    @property
    def total(self) -> int | None:
        """The VFs that the PF offers."""
        return self.pf.sriov.totalvfs if self.pf and self.pf.sriov else None

    @property
    def wanted(self) -> str | None:
        """The driver to bind to."""
        return self.change.driver if isinstance(self.change, BindDriver) else None

    def has(self, switch: str) -> bool:
        """Whether this host's kernel has a switch of the version table."""
        return host_has(self.snapshot.host, switch)

    @property
    def group_holders(self) -> list[Holder]:
        """Who holds a member of the function's IOMMU group, the function included."""
        return [h for member in group_members(self.snapshot, self.bdf) for h in self.snapshot.holders_of(member)]

    @property
    def vf_holders(self) -> list[Holder]:
        """Who holds VFs of the PF."""
        return [h for vf in vfs_of(self.snapshot, self.pf) for h in self.snapshot.holders_of(vf.bdf)]

    @property
    def in_the_way(self) -> list[Holder]:
        """The holders that this change meets."""
        if isinstance(self.change, SetNumvfs):
            return self.vf_holders
        if isinstance(self.change, (BindDriver, UnbindDriver)):
            return self.group_holders if self.place == "bind" else going_holders(self.snapshot, self.bdf)
        return self.vf_holders if self.role is Role.PF and self.answer == "EACCES" else self.group_holders


def host_has(host: HostFacts, switch: str) -> bool:
    """Whether a host's kernel has a switch of `profiles.toml`: as it showed itself when it was asked, else by its release."""
    return dict(host.probed).get(switch, kernel_has(host.kernel, switch))


def cdev_unguarded(host: HostFacts) -> bool:
    """Whether VFs open by their own node without any token: 6.6 to 6.16 with cdevs (D17)."""
    return bool(host.cdev) and host_has(host, "cdev") and not host_has(host, "cdev_token")


def kernel_has(release: str, switch: str) -> bool:
    """Whether a kernel of this release has a switch of `profiles.toml`. An unreadable release counts as the newest."""
    return switch in _switches(release)


@functools.lru_cache(maxsize=64)
def _switches(release: str) -> frozenset[str]:
    from vfdeck.backend.profile import profile  # on demand: it reads a file

    try:
        return profile(release).switches
    except ValueError:
        return profile("999.0").switches


def pf_of(snapshot: Snapshot, bdf: str) -> Function | None:
    """The PF that a function is or belongs to, where the snapshot has it."""
    function = snapshot.functions.get(bdf)
    if function is None or function.role is Role.PF:
        return function
    return snapshot.functions.get(function.physfn or "")


def vfs_of(snapshot: Snapshot, pf: Function | None) -> list[Function]:
    """The VFs of a PF; none where there is no PF."""
    return snapshot.vfs_of(pf.bdf) if pf is not None and pf.role is Role.PF else []


def group_members(snapshot: Snapshot, bdf: str) -> tuple[str, ...]:
    """The BDFs in a function's IOMMU group; the function alone where it has none."""
    function = snapshot.functions.get(bdf)
    group = snapshot.groups.get(function.iommu_group) if function and function.iommu_group is not None else None
    return group.members if group else (bdf,)


def guarded(snapshot: Snapshot, bdf: str) -> bool:
    """Whether a token applies to a function: a PF on vfio, or a VF of one (core.c; 5.15 to 5.17 want the same driver on both)."""
    function, pf = snapshot.functions.get(bdf), pf_of(snapshot, bdf)
    if function is None or pf is None or not is_vfio_driver(pf.driver) or not host_has(snapshot.host, "vf_token"):
        return False
    host = snapshot.host
    any_vfio = host_has(host, "variant_vf_token") or not host_has(host, "core_split")
    return any_vfio or function.driver == pf.driver


def blocking_members(snapshot: Snapshot, bdf: str) -> list[Function]:
    """The members of a function's group whose drivers keep the group from user space."""
    members = [snapshot.functions[name] for name in group_members(snapshot, bdf) if name in snapshot.functions]
    any_bridge = not host_has(snapshot.host, "dma_owner")
    return [f for f in members if not (_harmless(f) or (any_bridge and f.class_code >> 8 == BRIDGE))]


def _harmless(function: Function) -> bool:
    return function.driver is None or function.driver in HARMLESS or function.on_vfio


def denylisted(function: Function, host: HostFacts) -> bool | None:
    """Whether vfio-pci's denylist on this host has this model (vfio_pci.c vfio_pci_dev_in_denylist).

    None: newer kernels have it, and an older one may have it from a stable release. Models that are not known here are none.
    """
    from vfdeck.backend.sim.drivers import load  # on demand: it reads a file

    driver, ids = load("vfio-pci"), f"{function.vendor_id:04x}:{function.device_id:04x}"
    if not host_has(host, "denylist"):
        return False
    if ids in driver.denied_later:
        return True if host_has(host, "denylist_dsa") else None
    return ids in driver.denied


def going_holders(snapshot: Snapshot, bdf: str) -> list[Holder]:
    """Who holds a function, or VFs of it: they go with the driver of their PF (vfio-pci always, others mostly)."""
    vfs = vfs_of(snapshot, snapshot.functions.get(bdf))
    return [h for name in (bdf, *(vf.bdf for vf in vfs)) for h in snapshot.holders_of(name)]


def own_opens(snapshot: Snapshot, own: frozenset[str] = frozenset()) -> frozenset[str]:
    """The functions that this program holds: those of the snapshot, and those it is told of."""
    return own | {h.bdf for h in snapshot.holders if h.own and h.kind != "group"}
