"""VFIO_DEVICE_FEATURE with the VF token: who may ask what, in which order things are checked, and what SET does."""

from __future__ import annotations

import itertools

import pytest

from tests.contract.bed import IGB, PLAIN, U1, U2, Bed, answer, open_device, try_open
from vfdeck.backend.kernel import (
    VFIO_DEVICE_FEATURE_GET,
    VFIO_DEVICE_FEATURE_PROBE,
    VFIO_DEVICE_FEATURE_SET,
    Kernel,
)
from vfdeck.backend.vfio import OpenDevice, Program

BITS = {"GET": VFIO_DEVICE_FEATURE_GET, "SET": VFIO_DEVICE_FEATURE_SET, "PROBE": VFIO_DEVICE_FEATURE_PROBE}
UNKNOWN_BITS = (1 << 19, 1 << 31)

#: What each combination of flags answers on a PF, and on what has no token of its own (argsz 24).
TABLE = {
    (): ("EINVAL", "ENOTTY"),
    ("GET",): ("EINVAL", "ENOTTY"),
    ("SET",): ("OK", "ENOTTY"),
    ("PROBE",): ("OK", "ENOTTY"),
    ("GET", "SET"): ("EINVAL", "EINVAL"),
    ("GET", "PROBE"): ("EINVAL", "ENOTTY"),
    ("SET", "PROBE"): ("OK", "ENOTTY"),
    ("GET", "SET", "PROBE"): ("EINVAL", "ENOTTY"),
}


@pytest.fixture(params=["group", "cdev"])
def path(request: pytest.FixtureRequest, tokens: Bed) -> str:
    """Each path to an open device; the answers do not depend on it."""
    name: str = request.param
    if name == "cdev" and not tokens.cdev:
        pytest.skip("this kernel has no cdev path")
    return name


@pytest.fixture
def devices(tokens: Bed, path: str) -> tuple[Kernel, Program, list[OpenDevice]]:
    """A PF, a VF of it and a plain function, open; the PF's token is U1."""
    vf, _ = tokens.vfio_pf()
    assert tokens.bind(PLAIN) == "OK"
    program = tokens.program("user")
    pf = open_device(program, IGB, None, path)
    program.set_token(pf, U1.bytes)
    token = U1 if path == "group" or tokens.has("cdev_token_works") else None
    if path == "cdev" and tokens.has("cdev_token") and not tokens.has("cdev_token_works"):
        pytest.skip("no VF of a vfio PF opens on the cdev path of this kernel")
    return program.kernel, program, [pf, open_device(program, vf, token, path), open_device(program, PLAIN, None, path)]


def test_table(tokens: Bed, devices: tuple[Kernel, Program, list[OpenDevice]]) -> None:
    kernel, _, opened = devices

    def ask(device: OpenDevice, flags: int) -> str:
        return answer(kernel.feature, device.fd, flags, U2.bytes)

    found = {}
    for names in itertools.chain.from_iterable(itertools.combinations(BITS, n) for n in range(4)):
        flags = sum(BITS[name] for name in names)
        pf, vf, plain = (ask(device, flags) for device in opened)
        assert vf == plain
        found[names] = (pf, vf)
        for bit in UNKNOWN_BITS:
            assert [ask(device, flags | bit) for device in opened] == ["EINVAL"] * 3
    assert found == TABLE


def test_sizes(tokens: Bed, devices: tuple[Kernel, Program, list[OpenDevice]]) -> None:
    kernel, _, (pf, vf, plain) = devices

    def ask(device: OpenDevice, argsz: int) -> str:
        return answer(kernel.feature, device.fd, VFIO_DEVICE_FEATURE_SET, U2.bytes + bytes(64), argsz)

    sizes = (0, 7, 8, 16, 23, 24, 25, 64)
    expected = ["EINVAL"] * 5 + ["OK"] * 3
    assert [ask(pf, argsz) for argsz in sizes] == expected
    for device in (vf, plain):
        assert [ask(device, argsz) for argsz in sizes] == ["EINVAL"] * 2 + ["ENOTTY"] * 6


def test_probe_needs_no_data(tokens: Bed, devices: tuple[Kernel, Program, list[OpenDevice]]) -> None:
    kernel, _, (pf, vf, _) = devices
    flags = VFIO_DEVICE_FEATURE_PROBE | VFIO_DEVICE_FEATURE_SET
    assert answer(kernel.feature, pf.fd, flags) == "OK"
    assert answer(kernel.feature, vf.fd, flags) == "ENOTTY"


def test_set_is_never_refused_nor_logged(tokens: Bed) -> None:
    """Not with a VF open, not for want of the old token: open VFs go on, new opens need the new token."""
    vf, other = tokens.vfio_pf()
    holder, program = tokens.program("holder"), tokens.program("user")
    pf = open_device(holder, IGB, U1)
    held = open_device(program, vf, U1)
    tokens.settle()
    tokens.take_log()
    holder.set_token(pf, U2.bytes)
    assert [line for line in tokens.take_log() if "oken" in line] == []
    assert answer(program.kernel.feature, held.fd, VFIO_DEVICE_FEATURE_PROBE) == "ENOTTY"  # the old fd lives
    assert [try_open(program, other, token) for token in (U1, U2)] == ["EACCES get_device_fd", "OK"]
    assert try_open(holder, IGB, U2) == "OK"


def test_set_works_on_a_duplicate(tokens: Bed) -> None:
    """Whoever has any descriptor of the PF can rotate its token."""
    vf, _ = tokens.vfio_pf()
    holder = tokens.program("holder")
    pf = open_device(holder, IGB, U1)
    copy = holder.kernel.dup(pf.fd)
    holder.kernel.close(pf.fd)
    holder.kernel.feature(copy, VFIO_DEVICE_FEATURE_SET, U2.bytes)
    assert try_open(tokens.program("user"), vf, U2) == "OK"


def test_a_cdev_that_is_not_bound(cdevs: Bed) -> None:
    """The bind comes before everything that the call itself checks."""
    assert cdevs.bind(IGB) == "OK"
    kernel = cdevs.new_kernel("user")
    cdev = kernel.open(cdevs.cdev_path(IGB))
    for flags in (VFIO_DEVICE_FEATURE_SET, VFIO_DEVICE_FEATURE_PROBE, 0):
        assert answer(kernel.feature, cdev, flags, U1.bytes) == "EINVAL"


def test_what_is_no_device(tokens: Bed) -> None:
    assert tokens.bind(IGB) == "OK"
    kernel = tokens.new_kernel("user")
    group = kernel.open(tokens.group_path(IGB))
    assert answer(kernel.feature, group, VFIO_DEVICE_FEATURE_SET, U1.bytes) == "ENOTTY"
    assert answer(kernel.feature, 999, VFIO_DEVICE_FEATURE_SET, U1.bytes) == "EBADF"
    assert answer(kernel.get_device_fd, 999, b"x") == "EBADF"
