"""What others do with VF tokens (DPDK, libvfn), and the cases that a simulated kernel must not get wrong."""

from __future__ import annotations

from uuid import UUID

import pytest

from tests.contract.bed import (
    BLOCKED_AFTER,
    DRIVERS,
    IGB,
    PLAIN,
    U1,
    U2,
    ZERO,
    Bed,
    answer,
    open_device,
    try_open,
)
from tests.contract.ladder import Opening, ready_group
from vfdeck.backend.kernel import VFIO_DEVICE_FEATURE_PROBE
from vfdeck.backend.token_rules import format_argument
from vfdeck.backend.vfio import DEVICES, OpenDevice, Program

NO = "EACCES get_device_fd"


# -- DPDK: the token first, and on any failure the bare name ---------------------------------------------------------------
def dpdk(program: Program, bdf: str, token: UUID) -> tuple[list[str], OpenDevice | None]:
    """Open as DPDK's environment layer does; the answers, and the device."""
    answers: list[str] = []
    opened: list[OpenDevice] = []
    for given in (token, None):
        answers.append(answer(lambda given=given: opened.append(open_device(program, bdf, given))))  # type: ignore[misc]
        if opened:
            return answers, opened[0]
    return answers, None


@pytest.fixture
def vfs(tokens: Bed) -> list[str]:
    """Two VFs of a PF on vfio-pci."""
    return tokens.vfio_pf()


def test_dpdk_a_pf_and_vf_with_one_token(tokens: Bed, vfs: list[str]) -> None:
    assert dpdk(tokens.program("pf"), IGB, U1)[0] == ["OK"]
    assert dpdk(tokens.program("vf"), vfs[0], U1)[0] == ["OK"]


def test_dpdk_b_vf_before_any_pf(tokens: Bed, vfs: list[str]) -> None:
    assert dpdk(tokens.program("vf"), vfs[0], U1)[0] == [NO, NO]


def test_dpdk_c_pf_has_gone(tokens: Bed, vfs: list[str]) -> None:
    pf = tokens.program("pf")
    assert dpdk(pf, IGB, U1)[0] == ["OK"]
    tokens.exit(pf)
    assert dpdk(tokens.program("vf"), vfs[0], U1)[0] == ["OK"]


def test_dpdk_d_plain_function(tokens: Bed) -> None:
    assert tokens.bind(PLAIN) == "OK"
    assert dpdk(tokens.program("plain"), PLAIN, U1)[0] == ["EINVAL get_device_fd", "OK"]


def test_dpdk_e_pf_restarted_with_another_token(tokens: Bed, vfs: list[str]) -> None:
    pf, vf = tokens.program("pf"), tokens.program("vf")
    assert dpdk(pf, IGB, U1)[0] == ["OK"]
    assert dpdk(vf, vfs[0], U1)[0] == ["OK"]
    tokens.exit(pf)
    restarted = tokens.program("pf")
    assert dpdk(restarted, IGB, U2)[0] == [NO, NO]
    assert dpdk(restarted, IGB, U1)[0] == ["OK"]


def test_libvfn_gives_the_token_to_pfs_and_vfs_only(tokens: Bed, vfs: list[str]) -> None:
    """VF: yes, PF: yes, plain: no; that is decided by what is in sysfs."""
    assert tokens.bind(PLAIN) == "OK"
    program = tokens.program("libvfn")
    wants = {bdf: tokens.link(bdf, "physfn") is not None or "sriov_numvfs" in files(tokens, bdf) for bdf in (IGB, vfs[0], PLAIN)}
    assert wants == {IGB: True, vfs[0]: True, PLAIN: False}
    assert [try_open(program, bdf, U1 if token else None) for bdf, token in wants.items()] == ["OK"] * 3
    assert try_open(program, PLAIN, U1) == "EINVAL get_device_fd"


def files(bed: Bed, bdf: str) -> list[str]:
    return bed.kernel.names(f"{DEVICES}/{bdf}")


# -- the ten that must be right --------------------------------------------------------------------------------------------
def test_1_pf_opened_without_a_token(tokens: Bed, vfs: list[str]) -> None:
    open_device(tokens.program("pf"), IGB)
    assert [try_open(tokens.program("vf"), vfs[0], token) for token in (None, U1, U2, ZERO)] == [NO] * 4


def test_2_token_of_an_open_that_failed(tokens: Bed, vfs: list[str]) -> None:
    opening = Opening(tokens.new_kernel("pf"))
    group = opening.open(tokens.group_path(IGB))
    assert answer(opening.kernel.get_device_fd, group, format_argument(IGB, str(U1))) == "EINVAL"
    assert try_open(tokens.program("vf"), vfs[0], U1) == ("OK" if tokens.has("match_first") else NO)


def test_3_pf_while_a_vf_is_open(tokens: Bed, vfs: list[str]) -> None:
    opening, group = ready_group(tokens, IGB)
    assert answer(opening.kernel.get_device_fd, group, format_argument(IGB, str(U1))) == "OK"
    open_device(tokens.program("vf"), vfs[0], U1)
    texts = [format_argument(IGB, str(token) if token else None) for token in (None, U2, U1)]
    assert [answer(opening.kernel.get_device_fd, group, text) for text in texts] == ["EACCES", "EACCES", "OK"]
    opening.close()
    tokens.exit(opening.kernel)
    assert [try_open(tokens.program("pf"), IGB, token) for token in (None, U2, U1)] == [NO, NO, "OK"]


def test_4_a_mapping_is_a_user(tokens: Bed, vfs: list[str]) -> None:
    pf, vf = tokens.program("pf"), tokens.program("vf")
    assert try_open(pf, IGB, U1) == "OK"
    device = open_device(vf, vfs[0], U1)
    mapping = vf.kernel.map(device.fd)
    vf.close(device)
    assert try_open(pf, IGB) == NO
    vf.kernel.unmap(mapping)
    assert try_open(pf, IGB) == "OK"


def test_5_rotation_with_a_vf_open(tokens: Bed, vfs: list[str]) -> None:
    pf, vf = tokens.program("pf"), tokens.program("vf")
    device = open_device(pf, IGB, U1)
    old = open_device(vf, vfs[0], U1)
    pf.set_token(device, U2.bytes)
    assert [try_open(tokens.program("next"), vfs[1], token) for token in (U1, U2)] == [NO, "OK"]
    assert answer(vf.kernel.feature, old.fd, VFIO_DEVICE_FEATURE_PROBE) == "ENOTTY"
    assert answer(vf.kernel.unmap, vf.kernel.map(old.fd)) == "OK"


def test_6_how_long_a_token_lives(tokens: Bed, vfs: list[str]) -> None:
    program = tokens.program("user")
    assert try_open(program, IGB, U1) == "OK"
    assert (tokens.numvfs(IGB, 0), tokens.numvfs(IGB, 1)) == ("OK", "OK")
    assert try_open(program, vfs[0], U1) == "OK"
    assert (tokens.unbind(IGB), tokens.bind(IGB), tokens.numvfs(IGB, 1)) == ("OK", "OK", "OK")
    assert try_open(program, vfs[0], U1) == NO


def test_7_a_bind_that_asks_for_no_token(cdevs: Bed) -> None:
    """6.6 to 6.16: the VF opens, counts, and the PF is shut."""
    if cdevs.has("cdev_token"):
        pytest.skip("this kernel asks for the token")
    vf, _ = cdevs.vfio_pf()
    open_device(cdevs.program("vf"), vf, None, "cdev")
    pf = cdevs.program("pf")
    assert [try_open(pf, IGB, token) for token in (None, U1)] == [NO, NO]
    assert try_open(pf, IGB, None, "cdev") == "OK"  # BIND asks nobody


def test_8_disabling_while_a_vf_is_open(tokens: Bed, vfs: list[str]) -> None:
    program = tokens.program("vf")
    assert try_open(program, IGB, U1) == "OK"
    first, second = open_device(program, vfs[0], U1), open_device(program, vfs[1], U1)
    pending = tokens.blocked(f"{DEVICES}/{IGB}/sriov_numvfs", "0")
    assert (list(tokens.virtfns(IGB)), tokens.link(vfs[0], "physfn")) == ([1], None)
    program.close(first)
    assert not pending.wait(BLOCKED_AFTER)
    assert (list(tokens.virtfns(IGB)), tokens.exists(vfs[0]), tokens.exists(vfs[1])) == ([], False, True)
    program.close(second)
    assert tokens.finish(pending) == "OK"
    assert not tokens.exists(vfs[1])


def test_9_autoprobe_off(tokens: Bed) -> None:
    """A vfio PF's VFs go to vfio-pci all the same; igb's stay free, and open without a token once they are bound by override."""
    autoprobe = f"{DEVICES}/{IGB}/sriov_drivers_autoprobe"
    tokens.must(autoprobe, "0")
    vf, _ = tokens.vfio_pf()
    assert tokens.driver(vf) == "vfio-pci"
    assert tokens.unbind(IGB) == "OK"
    tokens.override(IGB, "")
    tokens.load("igb")
    assert tokens.driver(IGB) == "igb" or tokens.write(f"{DRIVERS}/igb/bind", IGB) == "OK"
    assert tokens.numvfs(IGB, 1) == "OK"
    assert tokens.driver(vf) is None
    assert tokens.write(f"{DRIVERS}/vfio-pci/bind", vf) == "ENODEV"
    assert tokens.bind(vf) == "OK"
    program = tokens.program("user")
    assert [try_open(program, vf, token) for token in (None, U1)] == ["OK", "EINVAL get_device_fd"]


def test_10_the_same_number_without_a_driver(tokens: Bed) -> None:
    tokens.load("pci-pf-stub")
    assert tokens.bind(IGB, "pci-pf-stub") == "OK"
    assert (tokens.numvfs(IGB, 2), tokens.unbind(IGB)) == ("OK", "OK")
    assert [tokens.numvfs(IGB, count) for count in (2, 1, 0)] == ["OK", "ENOENT", "ENOENT"]
    assert tokens.bind(IGB, "pci-pf-stub") == "OK"
    assert tokens.numvfs(IGB, 0) == "OK"
