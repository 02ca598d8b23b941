"""The token judgement: the twelve rows, on both paths, with their log lines; the side effect of row 7; later fds judged again."""

from __future__ import annotations

import pytest

from tests.contract.bed import (
    IGB,
    NOT_SRIOV,
    NOT_VFIO_PF,
    PLAIN,
    U1,
    U2,
    VF_INCORRECT,
    VF_REQUIRED,
    Bed,
    answer,
    open_device,
    try_open,
)
from tests.contract.ladder import CONTAINER, Opening, ready_group
from vfdeck.backend.token_rules import format_argument

STAGE = {"group": "get_device_fd", "cdev": "bind_iommufd"}


@pytest.fixture(params=["group", "cdev"])
def path(request: pytest.FixtureRequest, tokens: Bed) -> str:
    """Each path that judges tokens on this kernel."""
    name: str = request.param
    if name == "cdev" and not (tokens.cdev and tokens.has("cdev_token_works")):
        pytest.skip("this kernel judges no tokens on the cdev path")
    return name


def refused(errno: str, path: str) -> str:
    return f"{errno} {STAGE[path]}"


def token_lines(bed: Bed) -> list[str]:
    """What was logged of tokens since the last look."""
    return [line for line in bed.take_log() if "VF token" in line]


def test_rows_1_and_2_vf_of_a_pf_on_another_driver(tokens: Bed, path: str) -> None:
    vf, _ = tokens.stub_pf()
    tokens.settle()
    token_lines(tokens)
    program = tokens.program("user")
    assert try_open(program, vf, None, path) == "OK"
    assert token_lines(tokens) == []
    assert try_open(program, vf, U1, path) == refused("EINVAL", path)
    assert token_lines(tokens) == [f"vfio-pci {vf}: {NOT_VFIO_PF}"]


def test_rows_3_to_5_vf_of_a_vfio_pf(tokens: Bed, path: str) -> None:
    vf, _ = tokens.vfio_pf()
    program = tokens.program("user")
    assert try_open(program, IGB, U1, path) == "OK"
    tokens.settle()
    token_lines(tokens)
    assert try_open(program, vf, None, path) == refused("EACCES", path)
    assert token_lines(tokens) == [f"vfio-pci {vf}: {VF_REQUIRED}"]
    assert try_open(program, vf, U2, path) == refused("EACCES", path)
    assert token_lines(tokens) == [f"vfio-pci {vf}: {VF_INCORRECT}"]
    assert try_open(program, vf, U1, path) == "OK"
    assert token_lines(tokens) == []


def test_rows_6_and_7_idle_pf(tokens: Bed, path: str) -> None:
    """Without users a PF opens to anybody; a token given becomes its token, none leaves it as it was."""
    vf, _ = tokens.vfio_pf()
    program = tokens.program("user")
    for token in (U1, U2):
        assert try_open(program, IGB, token, path) == "OK"
        assert try_open(program, vf, token, path) == "OK"
        assert try_open(program, IGB, None, path) == "OK"
        assert try_open(program, vf, token, path) == "OK"
    assert try_open(program, vf, U1, path) == refused("EACCES", path)


def test_rows_8_to_10_pf_with_users(tokens: Bed, path: str) -> None:
    vf, _ = tokens.vfio_pf()
    holder, program = tokens.program("holder"), tokens.program("user")
    assert try_open(program, IGB, U1, path) == "OK"
    open_device(holder, vf, U1, path)
    tokens.settle()
    token_lines(tokens)
    assert try_open(program, IGB, None, path) == refused("EACCES", path)
    assert token_lines(tokens) == [f"vfio-pci {IGB}: {VF_REQUIRED}"]
    assert try_open(program, IGB, U2, path) == refused("EACCES", path)
    assert token_lines(tokens) == [f"vfio-pci {IGB}: {VF_INCORRECT}"]
    assert try_open(program, IGB, U1, path) == "OK"
    assert token_lines(tokens) == []
    tokens.exit(holder)
    assert try_open(program, IGB, U2, path) == "OK"


def test_rows_11_and_12_plain_function(tokens: Bed, path: str) -> None:
    assert tokens.bind(PLAIN) == "OK"
    tokens.settle()
    token_lines(tokens)
    program = tokens.program("user")
    assert try_open(program, PLAIN, None, path) == "OK"
    assert token_lines(tokens) == []
    assert try_open(program, PLAIN, U1, path) == refused("EINVAL", path)
    assert token_lines(tokens) == [f"vfio-pci {PLAIN}: {NOT_SRIOV}"]


def test_a_pf_is_known_by_its_capability_not_by_its_vfs(tokens: Bed, path: str) -> None:
    """Row 7 goes for a PF that has no VFs yet, too."""
    assert tokens.bind(IGB) == "OK"
    program = tokens.program("user")
    assert try_open(program, IGB, U1, path) == "OK"
    assert tokens.numvfs(IGB, 1) == "OK"
    (vf,) = tokens.virtfns(IGB).values()
    assert try_open(program, vf, U1, path) == "OK"


def test_idle_vfs_do_not_guard_a_pf(tokens: Bed, path: str) -> None:
    vfs = tokens.vfio_pf(vfs=8)
    assert len(vfs) == 8
    assert try_open(tokens.program("user"), IGB, None, path) == "OK"


def test_the_pfs_of_a_machine_do_not_know_each_others_tokens(tokens: Bed, path: str) -> None:
    from tests.contract.bed import IGB_2

    (vf,), (other,) = tokens.vfio_pf(IGB, 1), tokens.vfio_pf(IGB_2, 1)
    program = tokens.program("user")
    assert try_open(program, IGB, U1, path) == "OK"
    assert try_open(program, IGB_2, U2, path) == "OK"
    opens = {token: [try_open(program, bdf, token, path) for bdf in (vf, other)] for token in (U1, U2)}
    no = refused("EACCES", path)
    assert opens == {U1: ["OK", no], U2: [no, "OK"]}


# -- row 7 happens before the open is done ---------------------------------------------------------------------------------
def test_a_failed_open_of_a_pf_has_set_the_token(tokens: Bed) -> None:
    """From 5.19 the token is judged before the container is looked at, so an open without one sets it all the same."""
    vf, _ = tokens.vfio_pf()
    program = tokens.program("user")
    assert try_open(program, IGB, U1) == "OK"
    opening = Opening(tokens.new_kernel("half-way"))
    group = opening.open(tokens.group_path(IGB))
    assert answer(opening.kernel.get_device_fd, group, format_argument(IGB, str(U2))) == "EINVAL"
    opening.close()
    first = tokens.has("match_first")
    assert [try_open(program, vf, token) for token in (U1, U2)] == (
        ["EACCES get_device_fd", "OK"] if first else ["OK", "EACCES get_device_fd"]
    )


def test_a_failed_open_with_a_container_but_no_iommu_has_set_the_token(tokens: Bed) -> None:
    vf, _ = tokens.vfio_pf()
    opening = Opening(tokens.new_kernel("half-way"))
    group, container = opening.open(tokens.group_path(IGB)), opening.open(CONTAINER)
    opening.kernel.set_container(group, container)
    assert answer(opening.kernel.get_device_fd, group, format_argument(IGB, str(U2))) == "EINVAL"
    opening.close()
    result = "OK" if tokens.has("match_first") else "EACCES get_device_fd"
    assert try_open(tokens.program("user"), vf, U2) == result


def test_a_failed_bind_of_a_pf_has_set_the_token(tokens: Bed) -> None:
    """A file that is no iommufd is found out after the token."""
    if not (tokens.cdev and tokens.has("cdev_token_works")):
        pytest.skip("this kernel judges no tokens on the cdev path")
    vf, _ = tokens.vfio_pf()
    opening = Opening(tokens.new_kernel("half-way"))
    device, no_iommufd = opening.open(tokens.cdev_path(IGB)), opening.open(CONTAINER)
    assert answer(opening.kernel.bind_iommufd, device, no_iommufd, token=U2.bytes) == "EBADFD"
    opening.close()
    assert try_open(tokens.program("user"), vf, U2, "cdev") == "OK"


def test_a_refused_open_of_a_pf_sets_nothing(tokens: Bed) -> None:
    vf, other = tokens.vfio_pf()
    holder, program = tokens.program("holder"), tokens.program("user")
    assert try_open(program, IGB, U1) == "OK"
    open_device(holder, vf, U1)
    assert try_open(program, IGB, U2) == "EACCES get_device_fd"
    assert [try_open(program, other, token) for token in (U1, U2)] == ["OK", "EACCES get_device_fd"]


# -- every further fd is judged --------------------------------------------------------------------------------------------
def test_every_further_fd_is_judged_again(tokens: Bed) -> None:
    """Also on a group and device that are open already."""
    vf, other = tokens.vfio_pf()
    opening, group = ready_group(tokens, IGB)
    kernel = opening.kernel

    def again(bdf: str, group: int) -> list[str]:
        texts = [format_argument(bdf, str(token) if token else None) for token in (None, U2, U1)]
        return [answer(kernel.get_device_fd, group, text) for text in texts]

    kernel.get_device_fd(group, format_argument(IGB, str(U1)))
    holder = tokens.program("holder")
    open_device(holder, vf, U1)
    assert again(IGB, group) == ["EACCES", "EACCES", "OK"]
    of_vf, vf_group = ready_group(tokens, other, kernel)
    assert again(other, vf_group) == ["EACCES", "EACCES", "OK"]
    assert again(other, vf_group) == ["EACCES", "EACCES", "OK"]
    of_vf.close()


def test_a_second_binder_is_judged_before_it_is_told_of_the_first(tokens: Bed) -> None:
    if not (tokens.cdev and tokens.has("cdev_token_works")):
        pytest.skip("this kernel judges no tokens on the cdev path")
    vf, _ = tokens.vfio_pf()
    program, second = tokens.program("user"), tokens.program("second")
    assert try_open(program, IGB, U1, "cdev") == "OK"
    open_device(program, vf, U1, "cdev")
    answers = [try_open(second, vf, token, "cdev") for token in (None, U2, U1)]
    assert answers == ["EACCES bind_iommufd", "EACCES bind_iommufd", "EINVAL bind_iommufd"]


# -- the log's rate limit --------------------------------------------------------------------------------------------------
def test_ten_lines_in_five_seconds_and_a_word_of_the_rest(tokens: Bed) -> None:
    """Each message of the kernel's code has a limit of its own, for the whole machine."""
    vf, other = tokens.vfio_pf()
    opening, group = ready_group(tokens, vf)
    _, other_group = ready_group(tokens, other, opening.kernel)
    tokens.settle()
    tokens.take_log()

    def refuse(bdf: str, group: int, token: object, times: int) -> None:
        text = format_argument(bdf, str(token) if token else None)
        assert [answer(opening.kernel.get_device_fd, group, text) for _ in range(times)] == ["EACCES"] * times

    refuse(vf, group, None, 12)
    refuse(other, other_group, None, 1)
    refuse(vf, group, U2, 1)
    required, wrong = f"vfio-pci {vf}: {VF_REQUIRED}", f"vfio-pci {vf}: {VF_INCORRECT}"
    assert [line for line in tokens.take_log() if "VF token" in line or "suppressed" in line] == [required] * 10 + [wrong]
    tokens.settle()
    refuse(vf, group, None, 1)
    site = "vfio_pci_core_match_token_uuid" if tokens.has("cdev_token") else "vfio_pci_validate_vf_token"
    lines = [line for line in tokens.take_log() if "VF token" in line or "suppressed" in line]
    assert lines == [f"{site}: 3 callbacks suppressed", required]
