"""What the kernel's own selftests check of VF tokens and of the cdev path, in our words.

tools/testing/selftests/vfio: vfio_pci_sriov_uapi_test.c (three cases, three tokens, five ways to open: 45 runs) and
vfio_iommufd_setup_test.c. The selftest asserts success or failure only; the errnos are the kernel's rules.
"""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import pytest

from tests.contract.bed import IGB, PLAIN, U1, U2, Bed, answer
from tests.contract.ladder import IOMMUFD, Mode, Opening, open_by
from vfdeck.backend.kernel import VFIO_DEVICE_FEATURE_SET

TOKENS = {"U1": U1, "U2": U2, "none": None}


def pf_with_token(bed: Bed, mode: Mode) -> Opening:
    """The PF opened with U1. Where BIND takes no token, the PF's fd gives it."""
    if mode is Mode.CDEV and not bed.has("cdev_token_works"):
        pf = open_by(bed, mode, IGB)
        pf.kernel.feature(pf.device, VFIO_DEVICE_FEATURE_SET, U1.bytes)
        return pf
    return open_by(bed, mode, IGB, U1)


def init_token_match(bed: Bed, mode: Mode) -> None:
    """The PF stays open with U1."""
    pf_with_token(bed, mode)


def pf_early_close(bed: Bed, mode: Mode) -> None:
    """The PF was opened with U1 and closed."""
    pf_with_token(bed, mode).close()


def override_token(bed: Bed, mode: Mode) -> None:
    """The PF was opened with U1 and given U2 through its fd."""
    pf = pf_with_token(bed, mode)
    pf.kernel.feature(pf.device, VFIO_DEVICE_FEATURE_SET, U2.bytes)


CASES: dict[Callable[[Bed, Mode], None], dict[str, str]] = {
    init_token_match: {"U1": "OK", "U2": "EACCES", "none": "EACCES"},
    pf_early_close: {"U1": "OK", "U2": "EACCES", "none": "EACCES"},
    override_token: {"U1": "EACCES", "U2": "OK", "none": "EACCES"},
}


def expected(bed: Bed, mode: Mode, answers: dict[str, str]) -> dict[str, str]:
    """The table's row, as far as this kernel's BIND knows tokens."""
    if mode is not Mode.CDEV or bed.has("cdev_token_works"):
        return answers
    if bed.has("cdev_token"):
        return {"U1": "E2BIG", "U2": "E2BIG", "none": "EACCES"}
    return {"U1": "EINVAL", "U2": "EINVAL", "none": "OK"}


@pytest.mark.parametrize("mode", Mode, ids=lambda mode: mode.name.lower())
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_sriov_uapi(tokens: Bed, case: Callable[[Bed, Mode], None], mode: Mode) -> None:
    bed = tokens
    if not mode.exists(bed):
        pytest.skip(f"this kernel has no {mode.name}")
    (vf,) = bed.vfio_pf(vfs=1)
    assert bed.driver(vf) == "vfio-pci"
    case(bed, mode)

    def run(token: UUID | None) -> str:
        return answer(lambda: open_by(bed, mode, vf, token).close())

    assert {name: run(token) for name, token in TOKENS.items()} == expected(bed, mode, CASES[case])


def test_sriov_uapi_without_tokens(bed: Bed) -> None:
    if bed.has("vf_token"):
        pytest.skip("this kernel has VF tokens")
    assert bed.bind(IGB) == "OK"
    assert bed.numvfs(IGB, 1) == "ENOENT"
    assert answer(open_by, bed, Mode.TYPE1, IGB, U1) == "ENODEV"
    assert answer(open_by, bed, Mode.TYPE1, IGB) == "OK"


# -- vfio_iommufd_setup_test.c ---------------------------------------------------------------------------------------------
@pytest.fixture
def cdev(cdevs: Bed) -> tuple[Bed, Opening, int]:
    """An open node of the plain function, not bound."""
    assert cdevs.bind(PLAIN) == "OK"
    opening = Opening(cdevs.new_kernel("setup"))
    return cdevs, opening, opening.open(cdevs.cdev_path(PLAIN))


def test_bind(cdev: tuple[Bed, Opening, int]) -> None:
    _, opening, device = cdev
    iommufd = opening.open(IOMMUFD)
    assert answer(opening.kernel.bind_iommufd, device, iommufd) == "OK"
    assert answer(opening.kernel.map, device) == "OK"


def test_nothing_works_before_bind(cdev: tuple[Bed, Opening, int]) -> None:
    _, opening, device = cdev
    assert answer(opening.kernel.map, device) == "EINVAL"
    assert answer(opening.kernel.feature, device, VFIO_DEVICE_FEATURE_SET, U1.bytes) == "EINVAL"


def test_bind_to_a_bad_iommufd(cdev: tuple[Bed, Opening, int]) -> None:
    _, opening, device = cdev
    assert answer(opening.kernel.bind_iommufd, device, -2) == "EINVAL"


def test_bind_twice(cdev: tuple[Bed, Opening, int]) -> None:
    _, opening, device = cdev
    iommufd = opening.open(IOMMUFD)
    opening.kernel.bind_iommufd(device, iommufd)
    assert answer(opening.kernel.bind_iommufd, device, iommufd) == "EINVAL"


def test_first_bind_of_a_vf_needs_the_token(cdevs: Bed) -> None:
    (vf,) = cdevs.vfio_pf(vfs=1)
    pf = pf_with_token(cdevs, Mode.CDEV)
    token_asked = cdevs.has("cdev_token")
    assert answer(lambda: open_by(cdevs, Mode.CDEV, vf).close()) == ("EACCES" if token_asked else "OK")
    pf.close()
