"""Rotating a token under load: the feature call on a duplicate of the fd that another program has of its PF."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.contract.bed import IGB, IGB_2, U1, U2, ZERO, Bed, answer, open_device, try_open
from vfdeck.backend import borrowing
from vfdeck.backend.changes import Open, Outcome, SetToken, TokenWay, VerifyToken
from vfdeck.backend.kernel import (
    VFIO_DEVICE_FEATURE_PCI_VF_TOKEN,
    VFIO_DEVICE_FEATURE_PROBE,
    VFIO_DEVICE_FEATURE_SET,
    Kernel,
    OpenFile,
)
from vfdeck.backend.local_host import LocalHost
from vfdeck.backend.model import TokenState
from vfdeck.backend.token import Token
from vfdeck.backend.vfio import OpenDevice, Program

IS_PF = VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_PCI_VF_TOKEN | VFIO_DEVICE_FEATURE_PROBE


@dataclass(slots=True)
class Load:
    """A program, in a process of its own, that has a PF and its first VF open with U1; the second VF is free."""

    bed: Bed
    program: Program
    pf: OpenDevice
    vf: OpenDevice
    free: str

    @property
    def kernel(self) -> Kernel:
        """Of the operator."""
        return self.bed.kernel

    def files(self) -> list[OpenFile]:
        """What the program has open."""
        return [file for file in self.kernel.open_files().files if file.process.name == "holder"]

    @property
    def pid(self) -> int:
        """The program's process."""
        return self.files()[0].pid

    def in_force(self) -> set[object]:
        """Which of the tokens opens the VF that is free."""
        return {token for token in (U1, U2, ZERO) if try_open(self.bed.program("user"), self.free, token) == "OK"}


@pytest.fixture
def load(tokens: Bed) -> Load:
    vf, free = tokens.vfio_pf()
    program = Program(tokens.elsewhere("holder"))
    pf = open_device(program, IGB, U1)
    return Load(tokens, program, pf, open_device(program, vf, U1), free)


def test_a_program_s_descriptors_are_known_by_number(load: Load) -> None:
    numbers = {fd for file in load.files() if file.kind == "device" for fd in file.fds}
    assert numbers == {load.pf.fd, load.vf.fd}


def test_a_duplicate_is_the_same_open_file(load: Load) -> None:
    """The feature call tells the PF's from the VF's; a duplicate keeps the PF in use until it is closed."""
    pf, vf = (load.kernel.borrow(load.pid, device.fd) for device in (load.pf, load.vf))
    assert answer(load.kernel.feature, pf, IS_PF) == "OK"
    assert answer(load.kernel.feature, vf, IS_PF) == "ENOTTY"
    load.bed.exit(load.program)
    assert answer(load.kernel.feature, pf, IS_PF) == "OK"
    assert try_open(load.bed.program("user"), IGB) == "EBUSY open_group"
    load.kernel.close(vf)
    load.kernel.close(pf)
    assert try_open(load.bed.program("user"), IGB) == "OK"


def test_what_cannot_be_duplicated(load: Load) -> None:
    pid = load.pid
    assert answer(load.kernel.borrow, pid, 9999) == "EBADF"
    assert answer(load.kernel.borrow, 0, load.pf.fd) == "EINVAL"
    load.bed.exit(load.program)
    assert answer(load.kernel.borrow, pid, load.pf.fd) == "ESRCH"


def test_rotation_under_load(load: Load) -> None:
    """The program goes on with its PF and its VF; whoever opens a VF from now on needs the new token, the program too."""
    assert load.in_force() == {U1}
    borrowing.set_through(load.kernel, load.pid, IGB, U2.bytes)
    assert load.in_force() == {U2}
    assert answer(load.program.kernel.feature, load.pf.fd, IS_PF) == "OK"
    assert answer(load.program.kernel.feature, load.vf.fd, IS_PF) == "ENOTTY"
    bdf = load.vf.bdf
    load.program.close(load.vf)
    assert try_open(load.program, bdf, U1) == "EACCES get_device_fd"
    assert try_open(load.program, bdf, U2) == "OK"
    assert [file for file in load.kernel.open_files().files if file.own] == []


def test_a_program_that_has_let_go_of_the_pf(load: Load) -> None:
    pid = load.pid
    load.program.close(load.pf)
    with pytest.raises(borrowing.Outdated, match="no descriptor"):
        borrowing.set_through(load.kernel, pid, IGB, U2.bytes)
    assert load.in_force() == {U1}


def test_what_shares_a_device_s_bus(load: Load) -> None:
    """Before fdinfo names a descriptor's function this tells descriptors of PFs apart. Nothing is reset, anybody may ask."""
    assert load.bed.bind(IGB_2) == "OK"
    for bdf, device in ((IGB, load.pf), (IGB_2, open_device(load.program, IGB_2))):
        duplicate = load.kernel.borrow(load.pid, device.fd)
        near = load.kernel.reset_domain(duplicate)
        assert bdf in near
        assert {name[:7] for name in near} == {bdf[:7]}
        load.kernel.close(duplicate)


def test_a_program_with_two_pfs(load: Load) -> None:
    """The call would succeed on either: the right one is found, the other one's token stays."""
    bed = load.bed
    (vf,) = bed.vfio_pf(IGB_2, 1)
    open_device(load.program, IGB_2, U1)
    borrowing.set_through(load.kernel, load.pid, IGB, U2.bytes)
    assert load.in_force() == {U2}
    assert try_open(bed.program("user"), vf, U1) == "OK"
    assert LocalHost(load.kernel, {}).perform(SetToken(IGB_2, Token(ZERO.bytes))).ok
    assert try_open(bed.program("user"), vf, ZERO) == "OK"
    assert load.in_force() == {U2}


def rotated(host: LocalHost, way: TokenWay | None = None) -> Outcome:
    """Set U2."""
    return host.perform(SetToken(IGB, Token(U2.bytes), way))


def test_a_host_rotates_and_asks_whether_it_holds(load: Load) -> None:
    host = LocalHost(load.kernel, {})
    outcome = rotated(host)
    assert (outcome.answer, outcome.explanation) == ("OK", None)
    assert outcome.verified is (True if load.bed.has("match_first") else None)
    assert load.in_force() == {U2}
    known = host.snapshot().tokens[IGB]
    assert (known.state, known.fingerprint) == (TokenState.SET, Token(U2.bytes).fingerprint)
    host.close()


def test_a_way_that_is_asked_for_is_the_only_one(load: Load) -> None:
    host = LocalHost(load.kernel, {})
    for way in (TokenWay.OPEN, TokenWay.FEATURE):
        outcome = rotated(host, way=way)
        assert not outcome.attempted
    assert load.in_force() == {U1}
    assert rotated(host, way=TokenWay.BORROWED).ok
    assert load.in_force() == {U2}
    host.close()


def test_a_host_asks_a_vf(load: Load) -> None:
    """What it believes of the token is confirmed, or withdrawn."""
    host = LocalHost(load.kernel, {})
    assert rotated(host).ok
    if not load.bed.has("match_first"):
        assert not host.perform(VerifyToken(load.free, Token(U2.bytes))).attempted
        return
    right, wrong = (host.perform(VerifyToken(load.free, Token(token.bytes))) for token in (U2, U1))
    assert (right.ok, right.verified, right.explanation) == (True, True, None)
    assert (wrong.ok, wrong.verified) == (True, False)
    assert wrong.explanation is not None
    assert wrong.explanation.title == "Incorrect VF token"
    assert host.snapshot().tokens[IGB].state is TokenState.SET
    borrowing.set_through(load.kernel, load.pid, IGB, U1.bytes)
    assert host.perform(VerifyToken(load.free, Token(U2.bytes))).verified is False
    assert host.snapshot().tokens[IGB].state is TokenState.UNKNOWN
    host.close()


def test_a_vf_that_is_held_and_a_pf_are_not_asked(load: Load) -> None:
    host = LocalHost(load.kernel, {})
    held = host.perform(VerifyToken(load.vf.bdf, Token(U1.bytes)))
    assert not held.attempted
    assert held.explanation is not None
    if load.bed.has("match_first"):
        assert "holder" in held.explanation.rule
    pf = host.perform(VerifyToken(IGB, Token(U2.bytes)))
    assert not pf.attempted
    assert load.in_force() == {U1}
    host.close()


def test_an_own_descriptor_is_preferred(tokens: Bed) -> None:
    vf, free = tokens.vfio_pf()
    host = LocalHost(tokens.kernel, {})
    for change in (Open(IGB, Token(U1.bytes), hold=True), Open(vf, Token(U1.bytes), hold=True)):
        assert host.perform(change).ok
    outcome = rotated(host)
    assert outcome.ok
    assert "through the open fd" in outcome.done[0]
    assert outcome.verified is (True if tokens.has("match_first") else None)
    assert try_open(tokens.program("user"), free, U2) == "OK"
    host.close()


# -- nobody has the PF open, and VFs are in use ---------------------------------------------------------------------------
@pytest.fixture
def left(load: Load) -> Load:
    """The program keeps its VF, and has let go of the PF."""
    load.program.close(load.pf)
    return load


def test_who_knows_the_token_may_open_the_pf_and_replace_it(left: Load) -> None:
    """The open only compares; the call on its descriptor replaces; and the token stays when the PF is closed."""
    program = left.bed.program("setter")
    assert try_open(program, IGB) == "EACCES get_device_fd"
    assert try_open(program, IGB, U2) == "EACCES get_device_fd"
    device = open_device(program, IGB, U1)
    assert left.in_force() == {U1}
    program.set_token(device, U2.bytes)
    assert left.in_force() == {U2}
    program.close(device)
    assert left.in_force() == {U2}
    assert try_open(program, IGB, U1) == "EACCES get_device_fd"
    assert try_open(program, IGB, U2) == "OK"
    assert answer(left.program.kernel.feature, left.vf.fd, IS_PF) == "ENOTTY"  # the VF is open as it was


def test_what_a_borrowed_descriptor_is(load: Load) -> None:
    """The kernel's own word, before any call is made on it."""
    tells = load.bed.has("fdinfo_syspath")
    for device in (load.pf, load.vf):
        duplicate = load.kernel.borrow(load.pid, device.fd)
        assert load.kernel.identify(duplicate, load.pid) == ("device", "", device.bdf if tells else "")
        load.kernel.close(duplicate)
    group = next(file for file in load.files() if file.kind == "group")
    assert not group.by_name
    duplicate = load.kernel.borrow(load.pid, group.fds[0])
    assert load.kernel.identify(duplicate, load.pid) == ("group", group.node, "")
    load.kernel.close(duplicate)


def current(host: LocalHost, token: Token | None) -> Outcome:
    """Set U2, with a token that is to be in force."""
    return host.perform(SetToken(IGB, Token(U2.bytes), current=token))


def test_a_host_rotates_with_the_token_in_force(left: Load) -> None:
    host = LocalHost(left.kernel, {})
    refused = current(host, None)
    assert not refused.attempted
    assert refused.explanation is not None
    assert "opens with the token in force, and that one is not given" in refused.explanation.rule
    wrong = current(host, Token(ZERO.bytes))
    assert wrong.answer == "EACCES at get_device_fd"
    assert wrong.explanation is not None
    assert left.in_force() == {U1}
    outcome = current(host, Token(U1.bytes))
    assert (outcome.answer, outcome.explanation) == ("OK", None)
    assert outcome.verified is (True if left.bed.has("match_first") else None)
    assert left.in_force() == {U2}
    known = host.snapshot().tokens[IGB]
    assert (known.state, known.fingerprint) == (TokenState.SET, Token(U2.bytes).fingerprint)
    assert [file for file in left.kernel.open_files().files if file.own] == []
    host.close()


def test_a_host_remembers_the_token_that_it_set(left: Load) -> None:
    host = LocalHost(left.kernel, {})
    assert current(host, Token(U1.bytes)).ok
    assert host.perform(SetToken(IGB, Token(U1.bytes))).ok
    assert left.in_force() == {U1}
    host.close()
