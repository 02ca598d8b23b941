"""Who may duplicate another program's descriptors, and what comes of races; on the simulated kernel, where they can be arranged."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.contract.bed import IGB, IGB_2, U1, U2, ZERO, SimulatedBed, answer, open_device, try_open
from vfdeck.backend import borrowing, verify
from vfdeck.backend.changes import SetToken, TokenWay, VerifyToken
from vfdeck.backend.kernel import OpenFile, OpenFiles, Process
from vfdeck.backend.local_host import LocalHost
from vfdeck.backend.model import Certainty, TokenState
from vfdeck.backend.profile import profile
from vfdeck.backend.sim.files import DeviceFile, GroupFile
from vfdeck.backend.sim.hardware import Function, SriovCapability
from vfdeck.backend.sim.kernel import SimulatedKernel
from vfdeck.backend.sim.machine import Machine
from vfdeck.backend.sim.surroundings import CAPABILITIES, Credentials
from vfdeck.backend.token import Token
from vfdeck.backend.token_rules import format_argument
from vfdeck.backend.vfio import OpenDevice, Program

EVERY = frozenset(CAPABILITIES)
ALICE = Credentials(1001, 1001)
TRACER = Credentials(1001, 1001, capabilities=frozenset({"CAP_SYS_PTRACE"}))
LESSER_ROOT = Credentials(0, 0, capabilities=EVERY - {"CAP_SYS_PTRACE"})
WHOLE_ROOT = Credentials(0, 0, capabilities=EVERY)

OLD, NEW = Token(U1.bytes), Token(U2.bytes)


class Load:
    """A program of root's has a PF and one of its two VFs open with U1; another one operates."""

    def __init__(self, release: str = "6.12", operator: Credentials | None = None, holder: Credentials | None = None) -> None:
        self.bed = SimulatedBed(release)
        self.vf, self.free = self.bed.vfio_pf()
        self.kernel = SimulatedKernel(self.bed.machine, "holder")
        self.program = Program(self.kernel)
        self.pf = open_device(self.program, IGB, U1)
        open_device(self.program, self.vf, U1)
        self.kernel.process.credentials = holder or self.kernel.process.credentials
        self.operator = SimulatedKernel(self.bed.machine, "operator", credentials=operator)

    @property
    def pid(self) -> int:
        return self.kernel.process.pid

    def in_force(self, token: UUID) -> bool:
        return token in {t for t in (U1, U2, ZERO) if try_open(self.bed.program("user"), self.free, t) == "OK"}


RIGHTS: list[tuple[Credentials, Credentials, int, str, str]] = [
    (WHOLE_ROOT, Credentials(), 0, "OK", ""),
    (WHOLE_ROOT, ALICE, 2, "OK", ""),
    (WHOLE_ROOT, ALICE, 3, "EPERM", "until the next boot"),
    (ALICE, Credentials(), 0, "EPERM", "(uid 0)"),
    (ALICE, ALICE, 0, "OK", ""),
    (ALICE, ALICE, 1, "EPERM", ""),  # the kernel would let an ancestor, or whom the process named
    (ALICE, ALICE, 2, "EPERM", "kernel.yama.ptrace_scope is 2"),
    (TRACER, Credentials(), 1, "OK", ""),
    (LESSER_ROOT, LESSER_ROOT, 0, "OK", ""),
    (LESSER_ROOT, LESSER_ROOT, 1, "EPERM", ""),
    (LESSER_ROOT, LESSER_ROOT, 2, "EPERM", "has no CAP_SYS_PTRACE"),
    (ALICE, Credentials(), 1, "EPERM", "(uid 0)"),
    (LESSER_ROOT, WHOLE_ROOT, 0, "EPERM", ""),  # the other may more; what its capabilities are is not looked at
]


@pytest.mark.parametrize(("operator", "holder", "yama", "result", "reason"), RIGHTS)
def test_who_may_and_what_is_said_before(operator: Credentials, holder: Credentials, yama: int, result: str, reason: str) -> None:
    load = Load(operator=operator, holder=holder)
    load.bed.machine.around.ptrace_scope = yama
    assert answer(load.operator.borrow, load.pid, load.pf.fd) == result
    said = borrowing.forbidden(load.operator, load.pid)
    assert reason in said
    assert bool(said) == bool(reason)
    assert bool(borrowing.doubtful(load.operator, load.pid)) == (yama == 1 and not operator.has("CAP_SYS_PTRACE"))


def test_yama_counts_only_where_it_is_active() -> None:
    load = Load(operator=ALICE, holder=ALICE)
    load.bed.machine.around.ptrace_scope = 3
    load.bed.machine.around.security_modules = "capability,apparmor"
    assert answer(load.operator.borrow, load.pid, load.pf.fd) == "OK"
    assert borrowing.forbidden(load.operator, load.pid) == ""


def test_before_5_6() -> None:
    bed = SimulatedBed("5.4")
    assert answer(bed.kernel.borrow, 1000, 3) == "ENOSYS"


def test_a_plan_that_may_not_is_impossible_and_says_why() -> None:
    load = Load(operator=LESSER_ROOT)
    load.bed.machine.around.ptrace_scope = 2
    host = LocalHost(load.operator, {})
    change = SetToken(IGB, NEW, TokenWay.BORROWED)
    planned = host.plan(change, host.snapshot())
    assert "kernel.yama.ptrace_scope is 2" in planned.impossible
    assert planned.steps == ()
    assert not host.perform(change).attempted
    assert load.in_force(U1)


def test_a_plan_that_may_be_refused_says_so_and_the_kernel_decides() -> None:
    """Yama's scope 1: whether vfdeck is an ancestor, or was named by the process, only the kernel knows."""
    load = Load(operator=LESSER_ROOT, holder=LESSER_ROOT)
    load.bed.machine.around.ptrace_scope = 1
    host = LocalHost(load.operator, {})
    change = SetToken(IGB, NEW, TokenWay.BORROWED)
    planned = host.plan(change, host.snapshot())
    assert planned.impossible == ""
    assert "may be refused (EPERM)" in planned.warnings[-1]
    assert host.perform(change).answer == "EPERM at borrow"
    load.bed.machine.around.ptrace_scope = 0
    assert host.perform(change).ok
    assert load.in_force(U2)


def forged(load: Load, kernel: SimulatedKernel, kind: str, node: str, bdf: str = "") -> None:
    """A program of anybody's with a file of that name, which nobody could ask what it is; its number comes first."""
    really = kernel.open_files

    def open_files(late: float = 0.0) -> OpenFiles:
        file = OpenFile(Process(66, "evil", "mallory"), kind, node, bdf, fds=(8,), by_name=True)
        return dataclasses.replace(seen := really(late), files=(file, *seen.files))

    kernel.open_files = open_files  # type: ignore[method-assign]


@pytest.mark.parametrize("release", ["6.12", "7.3"])
@pytest.mark.parametrize("kind", ["group", "cdev"])
def test_nobody_stands_in_the_way_by_a_name(release: str, kind: str) -> None:
    """Neither of an open, nor of a question, nor of the call on the duplicate of somebody else's descriptor."""
    load = Load(release)
    pf = load.operator.link(f"/sys/bus/pci/devices/{IGB}/iommu_group").rpartition("/")[2]
    forged(load, load.operator, kind, pf if kind == "group" else "vfio0", IGB if kind == "cdev" else "")
    host = LocalHost(load.operator, {})
    assert any(h.by_name and h.pid == 66 and h.certainty is Certainty.INFERRED for h in host.snapshot().holders_of(IGB))
    outcome = host.perform(SetToken(IGB, NEW))
    assert (outcome.ok, outcome.verified) == (True, True)
    assert load.in_force(U2)
    load.kernel.exit()
    planned = host.plan(SetToken(IGB, OLD), host.snapshot())
    assert planned.impossible == ""
    assert any("evil (66, by a file's name only) on 0000:01:00.0: anybody" in warning for warning in planned.warnings)
    assert host.perform(SetToken(IGB, OLD)).ok
    assert load.in_force(U1)


def test_a_descriptor_that_is_none_of_vfio_s_gets_no_call() -> None:
    """Its number passed to a file of FUSE between the look and the call: the call would lead to a program, with the token."""
    load = Load()
    load.operator.identify = lambda fd, pid: None  # type: ignore[method-assign]
    load.operator.feature = lambda *_: pytest.fail("called")  # type: ignore[method-assign]
    with pytest.raises(borrowing.Outdated, match="no descriptor"):
        borrowing.set_through(load.operator, load.pid, IGB, U2.bytes)
    assert load.operator.process.fds == {}


def test_lenders_are_asked_in_turn() -> None:
    """The first one has ended since, the next may not be traced: the third one's descriptor will do."""
    load = Load(operator=LESSER_ROOT, holder=LESSER_ROOT)
    kept = SimulatedKernel(load.bed.machine, "guarded", pid=load.pid - 500)
    kept._install(load.kernel._file(load.pf.fd))
    kept.process.credentials = WHOLE_ROOT
    borrowing.set_through_one_of(load.operator, [7, kept.process.pid, load.pid], IGB, U2.bytes)
    assert load.in_force(U2)
    with pytest.raises(borrowing.Outdated, match="process 7 has no descriptor"):
        borrowing.set_through_one_of(load.operator, [7, kept.process.pid], IGB, U1.bytes)
    assert load.in_force(U2)


def test_a_device_that_opens_without_a_container_is_closed_again_and_told() -> None:
    """No kernel does so; if one did, the answer would tell nothing of the token."""
    load = Load()
    opened = DeviceFile(function=load.bed.machine.functions[load.free])
    load.operator.get_device_fd = lambda group, argument: load.operator._install(opened)  # type: ignore[method-assign]
    with pytest.raises(AssertionError, match="without a container"):
        verify.by_group(load.operator, load.free, b"", b"")
    assert load.operator.process.fds == {}


def test_a_refusal_that_nobody_foresaw_changes_nothing() -> None:
    load = Load(operator=LESSER_ROOT, holder=WHOLE_ROOT)
    host = LocalHost(load.operator, {})
    outcome = host.perform(SetToken(IGB, NEW, TokenWay.BORROWED))
    assert outcome.answer == "EPERM at borrow"
    assert outcome.explanation is not None
    assert outcome.explanation.title == "This program may not duplicate the descriptor"
    assert "The token of 0000:01:00.0 is as it was" in outcome.explanation.why
    assert outcome.verified is None
    assert load.in_force(U1)
    assert load.operator.process.fds == {}


class Racing(SimulatedKernel):
    """An operator's kernel where something happens just before a call."""

    def __init__(self, load: Load, **before: Callable[[], object]) -> None:
        super().__init__(load.bed.machine, "operator")
        self.before = before
        self.question = load.bed.group_path(load.free)

    def _now(self, call: str) -> None:
        self.before.pop(call, lambda: None)()

    def borrow(self, pid: int, fd: int) -> int:
        self._now("borrow")
        return super().borrow(pid, fd)

    def open(self, path: str) -> int:
        if path == self.question:
            self._now("open")
        return super().open(path)


def test_of_two_who_rotate_at_once_the_first_is_told() -> None:
    """The second sets another token before the first one asks a VF."""
    load = Load()
    second = SimulatedKernel(load.bed.machine, "second")
    host = LocalHost(Racing(load, open=lambda: borrowing.set_through(second, load.pid, IGB, ZERO.bytes)), {})
    outcome = host.perform(SetToken(IGB, NEW))
    assert outcome.ok
    assert outcome.verified is False
    assert outcome.explanation is not None
    assert outcome.explanation.title == "Set, but another token is in force by now"
    assert host.snapshot().tokens[IGB].state is TokenState.UNKNOWN
    assert load.in_force(ZERO)


def test_a_vf_that_was_taken_meanwhile_cannot_be_asked() -> None:
    load = Load()
    user = SimulatedKernel(load.bed.machine, "user")
    host = LocalHost(Racing(load, open=lambda: user.open(load.bed.group_path(load.free))), {})
    outcome = host.perform(SetToken(IGB, NEW))
    assert outcome.ok
    assert outcome.verified is None
    assert outcome.explanation is not None
    assert "EBUSY at open_group" in outcome.explanation.why
    assert host.snapshot().tokens[IGB].state is TokenState.SET


def test_a_program_that_ends_meanwhile() -> None:
    load = Load()
    host = LocalHost(Racing(load, borrow=load.kernel.exit), {})
    outcome = host.perform(SetToken(IGB, NEW))
    assert outcome.answer == "ESRCH at borrow"
    assert outcome.explanation is not None
    assert outcome.explanation.title == "The program has ended"
    assert load.in_force(U1)


@pytest.mark.parametrize("release", ["6.12", "7.3"])
def test_a_process_number_that_passes_to_another_program(release: str) -> None:
    """The new program's descriptor of another PF has the same number: the feature call would succeed on it."""
    load = Load(release)
    (vf,) = load.bed.vfio_pf(IGB_2, 1)

    def replace() -> None:
        pid, fds = load.pid, [load.pf.fd]
        load.kernel.exit()
        other = SimulatedKernel(load.bed.machine, "other", pid=pid)
        device = open_device(Program(other), IGB_2, U1)
        for fd in fds:
            other.process.fds[fd] = other.process.fds.pop(device.fd)

    kernel = Racing(load, borrow=replace)
    with pytest.raises(borrowing.Outdated, match=r"in this very moment|no descriptor"):
        borrowing.set_through(kernel, load.pid, IGB, U2.bytes)
    assert try_open(load.bed.program("user"), vf, U1) == "OK"
    assert kernel.process.fds == {}


def test_a_pf_that_was_unbound_since_the_plan_was_made() -> None:
    """It is not on vfio any more: nothing is done."""
    bed = SimulatedBed("6.12")
    bed.vfio_pf()
    host = LocalHost(bed.kernel, {})
    assert host.plan(SetToken(IGB, NEW), host.snapshot()).impossible == ""
    assert bed.unbind(IGB) == "OK"
    outcome = host.perform(SetToken(IGB, NEW))
    assert not outcome.attempted
    assert outcome.explanation is not None
    assert "no driver" in outcome.explanation.rule


def test_several_descriptors_of_one_pf() -> None:
    load = Load()
    load.kernel.dup(load.pf.fd)
    borrowing.set_through(load.operator, load.pid, IGB, U2.bytes)
    assert load.in_force(U2)
    assert load.operator.process.fds == {}


def two_ports(place: str, release: str = "6.12") -> tuple[SimulatedKernel, SimulatedKernel, str]:
    """A program that has both PFs of one card open: itself, an operator, and the address of the first port."""
    made = Machine(profile(release))
    for port in (0, 1):
        capability = SriovCapability(8, 128, 2, 0x10CA)
        made.add(Function(f"{place}:00.{port}", 0x8086, 0x10C9, 0x020000, sriov=capability))
    bed = SimulatedBed(release, made)
    holder = SimulatedKernel(made, "holder")
    for port in (0, 1):
        assert bed.bind(f"{place}:00.{port}") == "OK"
        open_device(Program(holder), f"{place}:00.{port}", U1)
    return holder, SimulatedKernel(made, "operator"), f"{place}:00.0"


@pytest.mark.parametrize("place", ["0000:01", "0000:00"], ids=["one bus", "a root bus, which nobody resets"])
def test_two_pfs_that_nothing_tells_apart(place: str) -> None:
    """Nothing is done; and the plan says so before."""
    holder, operator, pf = two_ports(place)
    with pytest.raises(borrowing.Outdated, match=r"does not tell which descriptor .* and which of .*:00\.1"):
        borrowing.set_through(operator, holder.process.pid, pf, U2.bytes)
    assert operator.process.fds == {}
    outcome = LocalHost(operator, {}).perform(SetToken(pf, NEW))
    assert not outcome.attempted
    assert outcome.explanation is not None
    assert "cannot tell which of the descriptors of holder" in outcome.explanation.rule


def test_a_descriptor_that_came_without_its_group() -> None:
    """Handed over by another program: the groups that are open tell nothing of it."""
    holder, operator, pf = two_ports("0000:01")
    for fd, file in list(holder.process.fds.items()):
        if isinstance(file, GroupFile) or (isinstance(file, DeviceFile) and file.function.bdf != pf):
            del holder.process.fds[fd]  # the program that handed it over keeps those
    with pytest.raises(borrowing.Outdated, match="does not tell"):
        borrowing.set_through(operator, holder.process.pid, pf, U2.bytes)


def test_two_pfs_that_fdinfo_tells_apart() -> None:
    holder, operator, pf = two_ports("0000:01", "7.3")
    borrowing.set_through(operator, holder.process.pid, pf, U2.bytes)
    records = [f.vfio.token.uuid for f in operator.machine.functions.values() if f.vfio and f.vfio.token]
    assert records == [U2.bytes, U1.bytes]


def test_one_of_two_pfs_on_a_root_bus_that_is_alone_open() -> None:
    """Its group tells, where nothing else does."""
    holder, operator, pf = two_ports("0000:00")
    holder.exit()
    other = SimulatedKernel(operator.machine, "other")
    open_device(Program(other), pf, U1)
    borrowing.set_through(operator, other.process.pid, pf, U2.bytes)
    assert next(f.vfio.token.uuid for f in operator.machine.functions.values() if f.vfio and f.vfio.token) == U2.bytes


def test_a_node_that_is_open_but_not_bound_lends_nothing() -> None:
    """The feature call needs a device that is open; a cdev is only when it is bound."""
    bed = SimulatedBed("7.3")
    bed.vfio_pf()
    holder = SimulatedKernel(bed.machine, "holder")
    holder.open(bed.cdev_path(IGB))
    with pytest.raises(borrowing.Outdated, match="no descriptor"):
        borrowing.set_through(bed.kernel, holder.process.pid, IGB, U2.bytes)


def test_a_bound_node_lends_itself() -> None:
    bed = SimulatedBed("7.3")
    vf, _ = bed.vfio_pf()
    holder = SimulatedKernel(bed.machine, "holder")
    device: OpenDevice = open_device(Program(holder), IGB, U1, "cdev")
    outcome = LocalHost(bed.kernel, {}).perform(SetToken(IGB, NEW))
    assert (outcome.ok, outcome.verified) == (True, True)
    assert device.fd in holder.process.fds
    assert try_open(bed.program("user"), vf, U2) == "OK"


def test_a_question_does_not_reset_or_count() -> None:
    """The first open would be counted and, from 6.14, its reset logged."""
    load = Load("7.3")
    load.bed.take_log()
    record = load.bed.machine.functions[IGB].vfio
    assert record is not None
    assert record.token is not None
    users = record.token.users
    host = LocalHost(load.operator, {})
    assert host.perform(VerifyToken(load.free, OLD)).verified is True
    assert record.token.users == users
    assert not any("reset" in line for line in load.bed.take_log())


@given(
    st.sampled_from(["5.19", "6.1", "6.12", "7.3"]),
    st.lists(st.sampled_from([U1, U2, ZERO]), max_size=4),
    st.sampled_from([U1, U2, ZERO]),
    st.booleans(),
)
def test_the_kernel_s_word_is_what_an_open_would_show(release: str, in_turn: list[UUID], asked: UUID, held: bool) -> None:
    """Whatever was set, with VFs in use or not: the question is answered as an open of the VF would be."""
    bed = SimulatedBed(release)
    vf, other = bed.vfio_pf()
    for token in in_turn:
        assert try_open(bed.program("setter"), IGB, token) == "OK"
    if held and in_turn:
        open_device(bed.program("user"), other, in_turn[-1])
    told = verify.by_group(bed.kernel, vf, format_argument(vf, str(asked)), format_argument(vf, None))
    assert told is (try_open(bed.program("user"), vf, asked) == "OK")
    assert told is (in_turn[-1:] == [asked])
