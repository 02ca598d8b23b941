"""The life of a token and of the count of users. A PF opened without its token tells whether any VF counts as in use."""

from __future__ import annotations

import pytest

from tests.contract.bed import ENABLE_SRIOV, IGB, U1, U2, Bed, answer, open_device, try_open
from vfdeck.backend.kernel import VFIO_DEVICE_FEATURE_PROBE
from vfdeck.backend.token_rules import format_argument

NO = "EACCES get_device_fd"


def in_use(bed: Bed) -> bool:
    """Whether the PF's count of users is above 0."""
    result = try_open(bed.program("asker"), IGB, None)
    assert result in ("OK", NO)
    return result == NO


@pytest.fixture
def guarded(tokens: Bed) -> tuple[Bed, str, str]:
    """Two VFs of a PF whose token is U1."""
    vf, other = tokens.vfio_pf()
    assert try_open(tokens.program("setter"), IGB, U1) == "OK"
    return tokens, vf, other


# -- the token -------------------------------------------------------------------------------------------------------------
def test_a_fresh_binding_has_a_token_nobody_knows(tokens: Bed) -> None:
    vf, _ = tokens.vfio_pf()
    program = tokens.program("user")
    assert try_open(program, IGB) == "OK"  # opening the PF without one does not help
    assert [try_open(program, vf, token) for token in (None, U1, U2)] == [NO, NO, NO]


def test_the_token_outlives_the_pf_s_opener(guarded: tuple[Bed, str, str]) -> None:
    bed, vf, other = guarded
    assert try_open(bed.program("a"), vf, U1) == "OK"
    killed = bed.program("killed")
    open_device(killed, IGB, U2)
    bed.exit(killed)
    assert [try_open(bed.program("b"), other, token) for token in (U1, U2)] == [NO, "OK"]


def test_the_token_outlives_the_vfs(guarded: tuple[Bed, str, str]) -> None:
    bed, vf, _ = guarded
    assert (bed.numvfs(IGB, 0), bed.numvfs(IGB, 1)) == ("OK", "OK")
    assert try_open(bed.program("a"), vf, U1) == "OK"


def test_the_token_dies_with_the_binding(guarded: tuple[Bed, str, str]) -> None:
    bed, vf, _ = guarded
    assert (bed.unbind(IGB), bed.bind(IGB), bed.numvfs(IGB, 1)) == ("OK", "OK", "OK")
    assert try_open(bed.program("a"), vf, U1) == NO


def test_the_parameter_does_not_touch_the_token(guarded: tuple[Bed, str, str]) -> None:
    bed, vf, _ = guarded
    bed.must(ENABLE_SRIOV, "N")
    assert try_open(bed.program("a"), vf, None) == NO
    assert try_open(bed.program("a"), vf, U1) == "OK"


# -- the users -------------------------------------------------------------------------------------------------------------
def test_the_first_open_counts_and_the_last_close(guarded: tuple[Bed, str, str]) -> None:
    bed, vf, other = guarded
    program = bed.program("user")
    assert not in_use(bed)
    first, second = open_device(program, vf, U1), open_device(program, vf, U1)
    of_other = open_device(program, other, U1)
    for device in (first, second, of_other):
        assert in_use(bed)
        program.close(device)
    assert not in_use(bed)


def test_a_duplicate_keeps_a_user(guarded: tuple[Bed, str, str]) -> None:
    bed, vf, _ = guarded
    program = bed.program("user")
    device = open_device(program, vf, U1)
    copy = program.kernel.dup(device.fd)
    program.kernel.close(device.fd)
    assert in_use(bed)
    assert answer(program.kernel.feature, copy, VFIO_DEVICE_FEATURE_PROBE) == "ENOTTY"
    program.kernel.close(copy)
    assert not in_use(bed)


def test_a_mapping_keeps_a_user(guarded: tuple[Bed, str, str]) -> None:
    """Also where no descriptor is left in any process."""
    bed, vf, _ = guarded
    program = bed.program("user")
    device = open_device(program, vf, U1)
    mapping = program.kernel.map(device.fd)
    program.close(device)
    assert in_use(bed)
    program.kernel.unmap(mapping)
    assert not in_use(bed)


def test_the_end_of_a_program_ends_its_use(guarded: tuple[Bed, str, str]) -> None:
    bed, vf, other = guarded
    program = bed.program("user")
    program.kernel.map(open_device(program, vf, U1).fd)
    open_device(program, other, U1)
    assert in_use(bed)
    bed.exit(program)
    assert not in_use(bed)


def test_a_failed_open_does_not_count(guarded: tuple[Bed, str, str]) -> None:
    bed, vf, _ = guarded
    program = bed.program("user")
    for token in (None, U2):
        assert try_open(program, vf, token) == NO
    group = program.kernel.open(bed.group_path(vf))
    assert answer(program.kernel.get_device_fd, group, format_argument(vf, str(U1))) == "EINVAL"
    assert not in_use(bed)


def test_an_open_group_is_no_user(guarded: tuple[Bed, str, str]) -> None:
    bed, vf, _ = guarded
    bed.new_kernel("user").open(bed.group_path(vf))
    assert not in_use(bed)


def test_the_pf_s_own_openers_are_no_users(guarded: tuple[Bed, str, str]) -> None:
    bed, vf, _ = guarded
    program = bed.program("user")
    open_device(program, IGB)
    assert try_open(program, IGB) == "OK"
    assert try_open(program, vf, U1) == "OK"


def test_users_are_counted_by_pf(guarded: tuple[Bed, str, str]) -> None:
    from tests.contract.bed import IGB_2

    bed, vf, _ = guarded
    bed.vfio_pf(IGB_2, 1)
    open_device(bed.program("user"), vf, U1)
    assert in_use(bed)
    assert try_open(bed.program("asker"), IGB_2, None) == "OK"


def test_a_vf_on_no_vfio_driver_is_no_user(tokens: Bed) -> None:
    """A VF that was given to a kernel driver neither counts nor is guarded."""
    vf, other = tokens.vfio_pf()
    tokens.load("pci-stub")
    assert tokens.unbind(vf) == "OK"
    assert tokens.bind(vf, "pci-stub") == "OK"
    assert not in_use(tokens)
    assert try_open(tokens.program("user"), vf, None) == "ENOENT open_group"
    assert try_open(tokens.program("user"), other, None) == NO


# -- the cdev path ---------------------------------------------------------------------------------------------------------
def test_both_paths_count_alike(cdevs: Bed) -> None:
    if not cdevs.has("cdev_token_works"):
        pytest.skip("no VF opens with a token on the cdev path of this kernel")
    vf, other = cdevs.vfio_pf()
    program = cdevs.program("user")
    assert try_open(program, IGB, U1) == "OK"
    by_cdev, by_group = open_device(program, vf, U1, "cdev"), open_device(program, other, U1)
    for device in (by_cdev, by_group):
        assert in_use(cdevs)
        program.close(device)
    assert not in_use(cdevs)


def test_a_cdev_that_is_not_bound_is_no_user(cdevs: Bed) -> None:
    vf, _ = cdevs.vfio_pf()
    kernel = cdevs.new_kernel("user")
    kernel.open(cdevs.cdev_path(vf))
    assert not in_use(cdevs)


def test_without_a_token_check_a_bound_vf_is_a_user_all_the_same(cdevs: Bed) -> None:
    """6.6 to 6.16: BIND asks for no token, and the PF is then locked behind one that may be nobody's."""
    if cdevs.has("cdev_token"):
        pytest.skip("this kernel asks for the token")
    vf, _ = cdevs.vfio_pf()
    program = cdevs.program("user")
    device = open_device(program, vf, None, "cdev")
    assert in_use(cdevs)
    assert try_open(cdevs.program("owner"), IGB, U1) == NO
    program.close(device)
    assert try_open(cdevs.program("owner"), IGB, U1) == "OK"
