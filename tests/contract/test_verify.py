"""Asking a VF whether a token is the right one, without opening it: the same answers on simulated and real kernels."""

from __future__ import annotations

from uuid import UUID

import pytest

from tests.contract.bed import IGB, U1, U2, Bed, answer, open_device, try_open
from vfdeck.backend import verify
from vfdeck.backend.token_rules import format_argument


def ask(bed: Bed, bdf: str, token: UUID) -> bool | None:
    """By the group."""
    return verify.by_group(bed.kernel, bdf, format_argument(bdf, str(token)), format_argument(bdf, None))


def ask_node(bed: Bed, bdf: str, token: UUID) -> bool:
    """By the function's own node."""
    return verify.by_cdev(bed.kernel, bdf, token.bytes)


@pytest.fixture
def guarded(tokens: Bed) -> Bed:
    """A PF with two VFs whose token is U1."""
    tokens.vfio_pf()
    assert try_open(tokens.program("setter"), IGB, U1) == "OK"
    return tokens


@pytest.fixture
def vf(guarded: Bed) -> str:
    return guarded.virtfns(IGB)[0]


def test_a_group_tells_right_from_wrong(guarded: Bed, vf: str) -> None:
    """Before 5.19 the container is missed first, and nothing is told."""
    tells = guarded.has("match_first")
    assert ask(guarded, vf, U1) is (True if tells else None)
    assert ask(guarded, vf, U2) is (False if tells else None)


def test_the_answer_is_that_of_the_present_token(guarded: Bed, vf: str) -> None:
    if not guarded.has("match_first"):
        pytest.skip("this kernel does not tell by the group")
    assert try_open(guarded.program("another"), IGB, U2) == "OK"
    assert (ask(guarded, vf, U1), ask(guarded, vf, U2)) == (False, True)


def test_nothing_is_left_of_the_question(guarded: Bed, vf: str) -> None:
    """The VF is not in use: its PF opens without a token, and sets another one. The VF opens as before."""
    ask(guarded, vf, U1)
    ask(guarded, vf, U2)
    assert guarded.kernel.open_files().files == ()
    assert try_open(guarded.program("setter"), IGB) == "OK"
    assert try_open(guarded.program("setter"), IGB, U2) == "OK"
    assert try_open(guarded.program("user"), vf, U2) == "OK"


def test_a_right_answer_while_another_vf_is_in_use(guarded: Bed, vf: str) -> None:
    other = guarded.virtfns(IGB)[1]
    program = guarded.program("user")
    device = open_device(program, other, U1)
    assert ask(guarded, vf, U1) is (True if guarded.has("match_first") else None)
    program.close(device)


def test_a_group_that_is_taken_cannot_be_asked(guarded: Bed, vf: str) -> None:
    program = guarded.program("user")
    device = open_device(program, vf, U1)
    assert answer(ask, guarded, vf, U1) == "EBUSY open_group"
    program.close(device)


def test_a_pf_is_never_asked(guarded: Bed, vf: str) -> None:
    """The question would set its token."""
    assert answer(ask, guarded, IGB, U2) == "ENOENT file"
    if guarded.cdev:
        assert answer(ask_node, guarded, IGB, U2) == "ENOENT file"
    assert try_open(guarded.program("user"), vf, U1) == "OK"


def test_a_vf_that_needs_no_token_tells_nothing(tokens: Bed) -> None:
    vf = tokens.stub_pf()[0]
    assert ask(tokens, vf, U1) is None
    if tokens.cdev and tokens.has("cdev_token_works"):
        assert answer(ask_node, tokens, vf, U1) == "EINVAL bind_iommufd"


@pytest.fixture
def node(cdevs: Bed) -> tuple[Bed, str]:
    """A VF, with a node of its own, of a PF whose token is U1."""
    vf, _ = cdevs.vfio_pf()
    assert try_open(cdevs.program("setter"), IGB, U1) == "OK"
    return cdevs, vf


def test_a_node_tells_right_from_wrong(node: tuple[Bed, str]) -> None:
    """6.6 to 6.16 know no token here; 6.17 to 6.18.2 take the pointer for a field they do not know."""
    bed, vf = node
    if not bed.has("cdev_token_works"):
        assert answer(ask_node, bed, vf, U1) == f"{'E2BIG' if bed.has('cdev_token') else 'EINVAL'} bind_iommufd"
        return
    assert (ask_node(bed, vf, U1), ask_node(bed, vf, U2)) == (True, False)
    assert bed.kernel.open_files().files == ()


def test_a_node_tells_also_while_the_vf_is_in_use_through_it(node: tuple[Bed, str]) -> None:
    bed, vf = node
    if not bed.has("cdev_token_works"):
        pytest.skip("this kernel takes no token on the cdev path")
    program = bed.program("user")
    device = open_device(program, vf, U1, "cdev")
    assert (ask_node(bed, vf, U1), ask_node(bed, vf, U2)) == (True, False)
    assert answer(ask, bed, vf, U1) == "EBUSY open_group"
    program.close(device)
    program.close_iommufd()


def test_a_node_whose_group_is_open_cannot_be_asked(node: tuple[Bed, str]) -> None:
    bed, vf = node
    if not bed.has("cdev_token_works"):
        pytest.skip("this kernel takes no token on the cdev path")
    group = bed.kernel.open(bed.group_path(vf))
    assert answer(ask_node, bed, vf, U1) == "EBUSY bind_iommufd"
    bed.kernel.close(group)
