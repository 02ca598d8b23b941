"""The cdev path: the node, and BIND step by step in the order in which the kernel looks at things."""

from __future__ import annotations

from contextlib import suppress

import pytest

from tests.contract.bed import BLOCKED_AFTER, DRIVERS, IGB, PLAIN, U1, U2, Bed, answer, open_device, try_open
from tests.contract.ladder import CONTAINER, IOMMUFD, Mode, Opening, open_by
from vfdeck.backend.kernel import VFIO_DEVICE_BIND_FLAG_TOKEN, VFIO_DEVICE_FEATURE_SET
from vfdeck.backend.vfio import DEVICES

FLAG = VFIO_DEVICE_BIND_FLAG_TOKEN
UNKNOWN_FLAG = 1 << 1


@pytest.fixture
def plain(cdevs: Bed) -> tuple[Bed, Opening, int, int]:
    """The plain function's node and an iommufd, open in one program."""
    assert cdevs.bind(PLAIN) == "OK"
    opening = Opening(cdevs.new_kernel("user"))
    return cdevs, opening, opening.open(cdevs.cdev_path(PLAIN)), opening.open(IOMMUFD)


@pytest.fixture
def vf(cdevs: Bed) -> tuple[Bed, str]:
    """A VF of a PF whose token is U1."""
    first, _ = cdevs.vfio_pf()
    program = cdevs.program("setter")
    program.set_token(open_device(program, IGB, None, "cdev"), U1.bytes)
    cdevs.exit(program)
    return cdevs, first


# -- the node --------------------------------------------------------------------------------------------------------------
def test_there_are_nodes_or_not(bed: Bed) -> None:
    """The vfio-dev directory came before the nodes, and stays without them where they are not built in."""
    program = bed.program("user")
    assert try_open(program, PLAIN, None, "cdev") == "ENOENT cdev_node"
    assert bed.bind(PLAIN) == "OK"
    assert ("vfio-dev" in bed.kernel.names(f"{DEVICES}/{PLAIN}")) == bed.has("vfio_dev_sysfs")
    if not bed.has("vfio_dev_sysfs"):
        assert try_open(program, PLAIN, None, "cdev") == "ENOENT cdev_node"
    elif not bed.cdev:
        assert try_open(program, PLAIN, None, "cdev") == "ENOENT open_cdev"
    else:
        assert try_open(program, PLAIN, None, "cdev") == "OK"
    assert bed.unbind(PLAIN) == "OK"
    assert try_open(program, PLAIN, None, "cdev") == "ENOENT cdev_node"
    assert try_open(program, "0000:05:00.0", None, "cdev") == "ENOENT cdev_node"


def test_a_node_may_be_opened_many_times(plain: tuple[Bed, Opening, int, int]) -> None:
    bed, opening, _, _ = plain
    path = bed.cdev_path(PLAIN)
    assert [answer(opening.open, path) for _ in range(3)] == ["OK"] * 3
    assert answer(bed.new_kernel("other").open, path) == "OK"


def test_before_bind_everything_else_is_invalid(plain: tuple[Bed, Opening, int, int]) -> None:
    _, opening, device, _ = plain
    assert answer(opening.kernel.feature, device, VFIO_DEVICE_FEATURE_SET, U1.bytes) == "EINVAL"
    assert answer(opening.kernel.map, device) == "EINVAL"


# -- BIND, step by step ----------------------------------------------------------------------------------------------------
def test_step_1_argsz(plain: tuple[Bed, Opening, int, int]) -> None:
    _, opening, device, iommufd = plain
    for argsz in (0, 8, 15):
        assert answer(opening.kernel.bind_iommufd, device, iommufd, argsz=argsz) == "EINVAL"
    assert answer(opening.kernel.bind_iommufd, device, iommufd, argsz=16) == "OK"


def test_a_longer_argument_of_zeros_is_taken(plain: tuple[Bed, Opening, int, int]) -> None:
    _, opening, device, iommufd = plain
    assert answer(opening.kernel.bind_iommufd, device, iommufd, argsz=64) == "OK"


def test_step_2_a_token_pointer_is_e2big_while_faulty(plain: tuple[Bed, Opening, int, int]) -> None:
    """6.17 to 6.18.2 know the flag, and 16 bytes of the structure only. It comes before flags and numbers."""
    bed, opening, device, _ = plain
    faulty = bed.has("cdev_token") and not bed.has("cdev_token_works")
    expected = "E2BIG" if faulty else "EINVAL"
    for flags in (0, FLAG, UNKNOWN_FLAG):
        assert answer(opening.kernel.bind_iommufd, device, -1, token=U1.bytes, flags=flags) == expected


def test_step_3_iommufd_number_and_flags(plain: tuple[Bed, Opening, int, int]) -> None:
    bed, opening, device, iommufd = plain
    assert answer(opening.kernel.bind_iommufd, device, -1) == "EINVAL"
    for flags in (UNKNOWN_FLAG, 1 << 31, UNKNOWN_FLAG | FLAG):
        assert answer(opening.kernel.bind_iommufd, device, iommufd, flags=flags) == "EINVAL"
    if not bed.has("cdev_token"):
        assert answer(opening.kernel.bind_iommufd, device, iommufd, flags=FLAG) == "EINVAL"


def test_step_4_a_descriptor_from_a_group(cdevs: Bed) -> None:
    assert cdevs.bind(PLAIN) == "OK"
    opening = open_by(cdevs, Mode.TYPE1, PLAIN)
    iommufd = opening.open(IOMMUFD)
    assert answer(opening.kernel.bind_iommufd, opening.device, iommufd) == "EINVAL"


def test_step_5_an_open_group(plain: tuple[Bed, Opening, int, int]) -> None:
    """It comes before the iommufd is looked at, and after its number."""
    bed, opening, device, iommufd = plain
    group = bed.new_kernel("other").open(bed.group_path(PLAIN))
    assert group >= 0
    for fd, expected in ((iommufd, "EBUSY"), (999, "EBUSY"), (-1, "EINVAL")):
        assert answer(opening.kernel.bind_iommufd, device, fd) == expected


def test_step_6_bound_already(plain: tuple[Bed, Opening, int, int]) -> None:
    _, opening, device, iommufd = plain
    opening.kernel.bind_iommufd(device, iommufd)
    assert [answer(opening.kernel.bind_iommufd, device, fd) for fd in (iommufd, 999)] == ["EINVAL", "EINVAL"]


def test_step_7_the_token(vf: tuple[Bed, str]) -> None:
    bed, bdf = vf
    program = bed.program("user")
    answers = {}
    for name, token in (("none", None), ("wrong", U2), ("right", U1)):
        answers[name] = try_open(program, bdf, token, "cdev").removesuffix(" bind_iommufd")
    if bed.has("cdev_token_works"):
        assert answers == {"none": "EACCES", "wrong": "EACCES", "right": "OK"}
    elif bed.has("cdev_token"):
        assert answers == {"none": "EACCES", "wrong": "E2BIG", "right": "E2BIG"}
    else:
        assert answers == {"none": "OK", "wrong": "EINVAL", "right": "EINVAL"}


def test_step_7_flag_and_pointer(vf: tuple[Bed, str]) -> None:
    """Without the flag the pointer is not looked at; with it, it has to lead somewhere."""
    bed, bdf = vf
    if not bed.has("cdev_token"):
        pytest.skip("this kernel knows no token here")
    opening = Opening(bed.new_kernel("user"))
    device, iommufd = opening.open(bed.cdev_path(bdf)), opening.open(IOMMUFD)
    assert answer(opening.kernel.bind_iommufd, device, iommufd, flags=FLAG) == "EFAULT"
    ignored = "EACCES" if bed.has("cdev_token_works") else "E2BIG"
    assert answer(opening.kernel.bind_iommufd, device, iommufd, token=U1.bytes, flags=0) == ignored


def test_step_7_comes_before_the_iommufd_is_looked_at(vf: tuple[Bed, str]) -> None:
    """So a wrong iommufd tells a right token from a wrong one, without opening anything."""
    bed, bdf = vf
    opening = Opening(bed.new_kernel("user"))
    device, container = opening.open(bed.cdev_path(bdf)), opening.open(CONTAINER)
    if not bed.has("cdev_token_works"):
        expected = "EACCES" if bed.has("cdev_token") else "EBADFD"
        assert answer(opening.kernel.bind_iommufd, device, container) == expected
        return
    tokens = (None, U2.bytes, U1.bytes)
    found = [answer(opening.kernel.bind_iommufd, device, container, token=token) for token in tokens]
    assert found == ["EACCES", "EACCES", "EBADFD"]
    assert answer(opening.kernel.bind_iommufd, device, 999, token=U1.bytes) == "EBADF"


def test_step_8_the_iommufd(plain: tuple[Bed, Opening, int, int]) -> None:
    _, opening, device, iommufd = plain
    others = (999, opening.open(CONTAINER), device)
    assert [answer(opening.kernel.bind_iommufd, device, fd) for fd in others] == ["EBADF", "EBADFD", "EBADFD"]
    assert answer(opening.kernel.bind_iommufd, device, iommufd) == "OK"


def test_step_9_open_through_another_descriptor(plain: tuple[Bed, Opening, int, int]) -> None:
    """EINVAL, not EBUSY; and only after the iommufd was looked at."""
    bed, opening, device, iommufd = plain
    holder = bed.program("holder")
    held = open_device(holder, PLAIN, None, "cdev")
    assert [answer(opening.kernel.bind_iommufd, device, fd) for fd in (iommufd, 999)] == ["EINVAL", "EBADF"]
    holder.close(held)
    assert answer(opening.kernel.bind_iommufd, device, iommufd) == "OK"


def test_a_failed_bind_leaves_the_node_usable(vf: tuple[Bed, str]) -> None:
    bed, bdf = vf
    opening = Opening(bed.new_kernel("user"))
    device, iommufd = opening.open(bed.cdev_path(bdf)), opening.open(IOMMUFD)
    with suppress(OSError):
        opening.kernel.bind_iommufd(device, 999)
    token = U1.bytes if bed.has("cdev_token_works") else None
    if bed.has("cdev_token_works") or not bed.has("cdev_token"):
        assert answer(opening.kernel.bind_iommufd, device, iommufd, token=token) == "OK"


def test_the_pf_s_ladder_on_the_faulty_kernels(cdevs: Bed) -> None:
    """A PF that nobody's VFs guard opens without a token, on every kernel; with one where BIND takes it."""
    assert cdevs.bind(IGB) == "OK"
    program = cdevs.program("user")
    assert try_open(program, IGB, None, "cdev") == "OK"
    works, known = cdevs.has("cdev_token_works"), cdevs.has("cdev_token")
    assert try_open(program, IGB, U1, "cdev") == ("OK" if works else "E2BIG bind_iommufd" if known else "EINVAL bind_iommufd")


# -- going away ------------------------------------------------------------------------------------------------------------
def test_a_node_that_is_only_open_keeps_the_function_as_well(plain: tuple[Bed, Opening, int, int]) -> None:
    """Unbinding waits for every open file, bound or not; meanwhile the node is gone and a bind finds the lock taken."""
    bed, opening, device, iommufd = plain
    path = bed.cdev_path(PLAIN)
    pending = bed.blocked(f"{DRIVERS}/vfio-pci/unbind", PLAIN)
    assert answer(bed.kernel.open, path) in ("ENOENT", "ENODEV")
    assert answer(opening.kernel.bind_iommufd, device, iommufd) == "EAGAIN"
    assert not pending.wait(BLOCKED_AFTER)
    opening.kernel.close(device)
    assert bed.finish(pending) == "OK"
    assert bed.driver(PLAIN) is None
