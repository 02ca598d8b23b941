"""The group path, rung by rung: the node, the container, the IOMMU, the device; every errno that can be reached."""

from __future__ import annotations

import pytest

from tests.contract.bed import IGB, PLAIN, U1, U2, Bed, answer, open_device, try_open
from tests.contract.ladder import CONTAINER, IOMMUFD, Mode, Opening, open_by, ready_group
from vfdeck.backend.kernel import VFIO_NOIOMMU_IOMMU, VFIO_TYPE1_IOMMU, VFIO_TYPE1v2_IOMMU
from vfdeck.backend.token_rules import format_argument


@pytest.fixture
def plain(bed: Bed) -> tuple[Bed, Opening]:
    """The plain function on vfio-pci, and a program."""
    assert bed.bind(PLAIN) == "OK"
    return bed, Opening(bed.new_kernel("user"))


# -- the node --------------------------------------------------------------------------------------------------------------
def test_there_is_no_node_without_a_vfio_driver(bed: Bed) -> None:
    program = bed.program("user")
    assert try_open(program, PLAIN) == "ENOENT open_group"
    bed.load("pci-stub")
    assert bed.bind(PLAIN, "pci-stub") == "OK"
    assert try_open(program, PLAIN) == "ENOENT open_group"
    assert try_open(program, "0000:05:00.0") == "ENOENT iommu_group"
    assert (bed.unbind(PLAIN), bed.bind(PLAIN)) == ("OK", "OK")
    assert try_open(program, PLAIN) == "OK"


def test_one_open_file_per_group(plain: tuple[Bed, Opening]) -> None:
    bed, opening = plain
    opening.open(bed.group_path(PLAIN))
    assert answer(opening.open, bed.group_path(PLAIN)) == "EBUSY"
    assert try_open(bed.program("other"), PLAIN) == "EBUSY open_group"
    opening.close()
    assert try_open(bed.program("other"), PLAIN) == "OK"


def test_an_open_device_keeps_its_group(plain: tuple[Bed, Opening]) -> None:
    """The group's and the container's descriptors are closed: the group is taken while the device lives, in any release."""
    bed, _ = plain
    opening = open_by(bed, Mode.TYPE1, PLAIN)
    for fd in opening.others:
        opening.kernel.close(fd)
    opening.others = []
    assert try_open(bed.program("other"), PLAIN) == "EBUSY open_group"
    opening.close()
    assert try_open(bed.program("other"), PLAIN) == "OK"


def test_an_iommufd_as_container_keeps_no_group(plain: tuple[Bed, Opening]) -> None:
    bed, _ = plain
    if not Mode.COMPAT_TYPE1.exists(bed):
        pytest.skip("this kernel takes no iommufd as container")
    opening = open_by(bed, Mode.COMPAT_TYPE1, PLAIN)
    for fd in opening.others:
        opening.kernel.close(fd)
    opening.others = []
    assert answer(opening.open, bed.group_path(PLAIN)) == "OK"


def test_group_and_cdev_exclude_each_other(cdevs: Bed) -> None:
    assert cdevs.bind(PLAIN) == "OK"
    one, other = cdevs.program("one"), cdevs.program("other")
    bound = open_device(one, PLAIN, None, "cdev")
    assert try_open(other, PLAIN) == "EBUSY open_group"
    one.close(bound)
    opened = open_device(other, PLAIN)
    assert try_open(one, PLAIN, None, "cdev") == "EBUSY bind_iommufd"
    other.close(opened)
    assert try_open(one, PLAIN, None, "cdev") == "OK"


def test_a_cdev_that_is_not_bound_does_not_exclude_the_group(cdevs: Bed) -> None:
    assert cdevs.bind(PLAIN) == "OK"
    cdevs.new_kernel("idle").open(cdevs.cdev_path(PLAIN))
    assert try_open(cdevs.program("user"), PLAIN) == "OK"


# -- the container ---------------------------------------------------------------------------------------------------------
def test_set_container_wants_a_container(plain: tuple[Bed, Opening]) -> None:
    bed, opening = plain
    assert bed.bind(IGB) == "OK"
    group, other = opening.open(bed.group_path(PLAIN)), opening.open(bed.group_path(IGB))

    def tie(fd: int) -> str:
        return answer(opening.kernel.set_container, group, fd)

    negative = "EBADF" if bed.has("container_badfd") else "EINVAL"
    strange = "EBADFD" if bed.has("iommufd_container") else "EINVAL"
    assert [tie(fd) for fd in (-1, -5, 999, other, group)] == [negative, negative, "EBADF", strange, strange]
    assert tie(opening.open(CONTAINER)) == "OK"
    assert tie(opening.open(CONTAINER)) == "EINVAL"
    assert tie(other) == "EINVAL"


def test_set_container_with_an_iommufd(plain: tuple[Bed, Opening]) -> None:
    bed, opening = plain
    if not bed.iommufd or not bed.has("iommufd_container"):
        assert bed.simulated is False or answer(opening.open, IOMMUFD) == "ENOENT"
        return
    group, iommufd = opening.open(bed.group_path(PLAIN)), opening.open(IOMMUFD)
    opening.kernel.set_container(group, iommufd)
    assert answer(opening.kernel.set_container, group, iommufd) == "EINVAL"
    kinds = (VFIO_NOIOMMU_IOMMU, 77, VFIO_TYPE1_IOMMU)
    assert [answer(opening.kernel.set_iommu, iommufd, kind) for kind in kinds] == ["EINVAL", "EINVAL", "OK"]


def test_an_iommufd_as_container_needs_no_iommu_type(plain: tuple[Bed, Opening]) -> None:
    bed, opening = plain
    if not Mode.COMPAT_TYPE1.exists(bed):
        pytest.skip("this kernel takes no iommufd as container")
    group, iommufd = opening.open(bed.group_path(PLAIN)), opening.open(IOMMUFD)
    opening.kernel.set_container(group, iommufd)
    assert answer(opening.kernel.get_device_fd, group, PLAIN.encode()) == "OK"


def test_closing_the_container_s_descriptor_does_not_untie_the_group(plain: tuple[Bed, Opening]) -> None:
    """The group has the container too."""
    bed, _ = plain
    opening, group = ready_group(bed, PLAIN)
    opening.kernel.close(opening.others.pop())
    assert answer(opening.kernel.get_device_fd, group, PLAIN.encode()) == "OK"


def test_closing_the_group_s_descriptor_unties_it(plain: tuple[Bed, Opening]) -> None:
    bed, opening = plain
    group, container = opening.open(bed.group_path(PLAIN)), opening.open(CONTAINER)
    opening.kernel.set_container(group, container)
    opening.kernel.set_iommu(container, VFIO_TYPE1_IOMMU)
    opening.kernel.close(group)
    group = opening.open(bed.group_path(PLAIN))
    assert answer(opening.kernel.get_device_fd, group, PLAIN.encode()) == "EINVAL"
    opening.kernel.set_container(group, container)
    assert answer(opening.kernel.set_iommu, container, VFIO_TYPE1_IOMMU) == "OK"  # the last group took the type along


def test_a_container_takes_several_groups(plain: tuple[Bed, Opening]) -> None:
    bed, opening = plain
    assert bed.bind(IGB) == "OK"
    container = opening.open(CONTAINER)
    groups = {bdf: opening.open(bed.group_path(bdf)) for bdf in (PLAIN, IGB)}
    opening.kernel.set_container(groups[PLAIN], container)
    opening.kernel.set_iommu(container, VFIO_TYPE1v2_IOMMU)
    opening.kernel.set_container(groups[IGB], container)
    for bdf, group in groups.items():
        assert answer(opening.kernel.get_device_fd, group, bdf.encode()) == "OK"


def test_a_group_without_its_last_function_is_dead(plain: tuple[Bed, Opening]) -> None:
    """From 6.1 the open file stays behind; the function's next binding makes a new group."""
    bed, opening = plain
    if not bed.has("container_badfd"):
        pytest.skip("groups live as long as their files here")
    group, container = opening.open(bed.group_path(PLAIN)), opening.open(CONTAINER)
    assert bed.unbind(PLAIN) == "OK"
    assert answer(opening.kernel.set_container, group, container) == "ENODEV"
    assert answer(opening.kernel.get_device_fd, group, PLAIN.encode()) == "ENODEV"
    assert bed.bind(PLAIN) == "OK"
    assert answer(opening.kernel.set_container, group, container) == "ENODEV"
    assert answer(opening.kernel.get_device_fd, group, PLAIN.encode()) == "ENODEV"
    assert try_open(bed.program("other"), PLAIN) == "OK"


# -- the IOMMU -------------------------------------------------------------------------------------------------------------
def test_set_iommu(plain: tuple[Bed, Opening]) -> None:
    bed, opening = plain
    group, container = opening.open(bed.group_path(PLAIN)), opening.open(CONTAINER)

    def choose(kind: int) -> str:
        return answer(opening.kernel.set_iommu, container, kind)

    assert choose(VFIO_TYPE1_IOMMU) == "EINVAL"  # no group yet
    opening.kernel.set_container(group, container)
    kinds = (77, VFIO_NOIOMMU_IOMMU, VFIO_TYPE1v2_IOMMU, VFIO_TYPE1_IOMMU, 77)
    assert [choose(kind) for kind in kinds] == ["ENODEV", "ENODEV", "OK", "EINVAL", "EINVAL"]


# -- the device ------------------------------------------------------------------------------------------------------------
GIVEN = {"no token": None, "wrong": U2, "right": U1}


def ask_all(bed: Bed, bdf: str, *, container: bool, iommu: bool) -> dict[str, str]:
    """What GET_DEVICE_FD answers on a fresh group, made ready so far."""
    opening = Opening(bed.new_kernel("asker"))
    group, fd = opening.open(bed.group_path(bdf)), opening.open(CONTAINER)
    if container:
        opening.kernel.set_container(group, fd)
    if iommu:
        opening.kernel.set_iommu(fd, VFIO_TYPE1_IOMMU)
    texts = {name: format_argument(bdf, str(token) if token else None) for name, token in GIVEN.items()}
    texts |= {"unknown": b"0000:00:00.0", "malformed": f"{bdf} foo".encode(), "too long": b"x" * 5000}
    found = {name: answer(opening.kernel.get_device_fd, group, text) for name, text in texts.items()}
    opening.close()
    return found


JUDGED = {"no token": "EACCES", "wrong": "EACCES", "unknown": "ENODEV", "malformed": "EINVAL", "too long": "EINVAL"}


def test_order_of_the_checks(tokens: Bed) -> None:
    """From 5.19 name and token come first, before that the container; the string's bounds always come first."""
    vf, _ = tokens.vfio_pf()
    assert try_open(tokens.program("setter"), IGB, U1) == "OK"
    unready = JUDGED | {"right": "EINVAL"} if tokens.has("match_first") else dict.fromkeys((*JUDGED, "right"), "EINVAL")
    assert ask_all(tokens, vf, container=False, iommu=False) == unready
    assert ask_all(tokens, vf, container=True, iommu=False) == unready
    assert ask_all(tokens, vf, container=True, iommu=True) == JUDGED | {"right": "OK"}


def test_order_of_the_checks_before_tokens(bed: Bed) -> None:
    if bed.has("vf_token"):
        pytest.skip("this kernel has VF tokens")
    assert bed.bind(PLAIN) == "OK"
    every = dict.fromkeys((*JUDGED, "right"), "EINVAL")
    assert ask_all(bed, PLAIN, container=False, iommu=False) == every
    no_match = dict.fromkeys(("wrong", "right", "unknown", "malformed"), "ENODEV")
    assert ask_all(bed, PLAIN, container=True, iommu=True) == {"no token": "OK", "too long": "EINVAL"} | no_match


def test_a_function_that_is_open_needs_no_iommu_again(plain: tuple[Bed, Opening]) -> None:
    """The container is what counts, for the second fd as well."""
    bed, _ = plain
    opening, group = ready_group(bed, PLAIN)
    for _ in range(3):
        assert answer(opening.kernel.get_device_fd, group, PLAIN.encode()) == "OK"


def test_no_log_line_but_for_tokens(plain: tuple[Bed, Opening]) -> None:
    bed, opening = plain
    bed.take_log()
    group = opening.open(bed.group_path(PLAIN))
    for text in (PLAIN.encode(), b"0000:00:00.0", b"x" * 5000):
        assert answer(opening.kernel.get_device_fd, group, text) != "OK"
    assert answer(opening.kernel.set_container, group, -1) != "OK"
    assert [line for line in bed.take_log() if "vfio" in line] == []
