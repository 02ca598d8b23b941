"""Taking away what somebody uses: the call waits, and what can be seen meanwhile."""

from __future__ import annotations

import pytest

from tests.contract.bed import (
    BLOCKED_AFTER,
    DRIVERS,
    IGB,
    IGB_2,
    PLAIN,
    U1,
    Bed,
    answer,
    open_device,
    try_open,
)
from tests.contract.ladder import Opening, ready_group
from vfdeck.backend.kernel import VFIO_DEVICE_FEATURE_PROBE, Pending
from vfdeck.backend.token_rules import format_argument
from vfdeck.backend.vfio import DEVICES, OpenDevice, Program

NUMVFS = f"{DEVICES}/{IGB}/sriov_numvfs"
UNBIND = f"{DRIVERS}/vfio-pci/unbind"
WAITING = "No device request channel registered, blocked until released by user"


@pytest.fixture
def vfs(tokens: Bed) -> list[str]:
    """Four VFs of a PF whose token is U1."""
    found = tokens.vfio_pf(vfs=4)
    assert try_open(tokens.program("setter"), IGB, U1) == "OK"
    return found


@pytest.fixture
def holder(tokens: Bed, vfs: list[str]) -> tuple[Program, OpenDevice]:
    """A program that holds VF 1."""
    program = tokens.program("holder")
    return program, open_device(program, vfs[1], U1)


def disabling(bed: Bed) -> Pending:
    return bed.blocked(NUMVFS, "0")


def test_what_is_seen_while_a_vf_is_held(tokens: Bed, vfs: list[str], holder: tuple[Program, OpenDevice]) -> None:
    bed, (program, device) = tokens, holder
    node, cdev_before = bed.link(vfs[1], "iommu_group"), "vfio-dev" in bed.kernel.names(f"{DEVICES}/{vfs[1]}")
    bed.take_log()
    pending = disabling(bed)
    # VFs before it have gone, it has lost its links, later ones are whole
    assert [bed.exists(vf) for vf in vfs] == [False, True, True, True]
    assert bed.virtfns(IGB) == {2: vfs[2], 3: vfs[3]}
    assert (bed.link(vfs[1], "physfn"), bed.driver(vfs[1])) == (None, None)
    assert (bed.link(vfs[2], "physfn"), bed.driver(vfs[2])) == (IGB, "vfio-pci")
    # its directory of vfio goes first where things are hidden first, its group stays
    assert ("vfio-dev" in bed.kernel.names(f"{DEVICES}/{vfs[1]}")) == (cdev_before and not bed.has("hide_first"))
    assert bed.link(vfs[1], "iommu_group") == node
    assert node in bed.kernel.names("/dev/vfio")
    # who reads the number waits as well; on older kernels also who reads the PF's or this VF's uevent or override
    assert answer(bed.read, NUMVFS) == "BLOCKED"
    for name, switch in (("uevent", "uevent_lock"), ("driver_override", "override_lock")):
        waits = "BLOCKED" if bed.has(switch) else "OK"
        assert [answer(bed.attribute, bdf, name) for bdf in (IGB, *vfs[1:3])] == [waits, waits, "OK"], name
    assert [bed.attribute(IGB, f"sriov_{name}") for name in ("totalvfs", "offset", "vf_device")] == ["8", "128", "10ca"]
    assert bed.attribute(vfs[1], "vendor") == "0x8086"
    assert bed.driver(IGB) == "vfio-pci"
    # the holder's descriptor works
    assert answer(program.kernel.feature, device.fd, VFIO_DEVICE_FEATURE_PROBE) == "ENOTTY"
    assert [line for line in bed.take_log() if WAITING in line] == [f"vfio-pci {vfs[1]}: {WAITING}"]
    program.close(device)
    assert bed.finish(pending) == "OK"
    assert bed.virtfns(IGB) == {}
    assert not any(bed.exists(vf) for vf in vfs)
    assert bed.read(NUMVFS) == "0"


def test_vfs_go_in_order_and_each_waits(tokens: Bed, vfs: list[str]) -> None:
    first, last = tokens.program("first"), tokens.program("last")
    open_device(first, vfs[0], U1)
    open_device(last, vfs[2], U1)
    pending = disabling(tokens)
    assert [tokens.exists(vf) for vf in vfs] == [True] * 4
    assert list(tokens.virtfns(IGB)) == [1, 2, 3]
    tokens.exit(first)
    assert not pending.wait(BLOCKED_AFTER)
    assert [tokens.exists(vf) for vf in vfs] == [False, False, True, True]
    assert list(tokens.virtfns(IGB)) == [3]
    tokens.exit(last)
    assert tokens.finish(pending) == "OK"


def test_a_mapping_keeps_a_vf_too(tokens: Bed, vfs: list[str]) -> None:
    program = tokens.program("holder")
    device = open_device(program, vfs[0], U1)
    mapping = program.kernel.map(device.fd)
    program.close(device)
    pending = disabling(tokens)
    program.kernel.unmap(mapping)
    assert tokens.finish(pending) == "OK"


def test_the_waiting_is_logged_once(tokens: Bed, vfs: list[str], holder: tuple[Program, OpenDevice]) -> None:
    tokens.take_log()
    pending = disabling(tokens)
    assert not pending.wait(BLOCKED_AFTER)
    tokens.exit(holder[0])
    assert tokens.finish(pending) == "OK"
    assert [line for line in tokens.take_log() if WAITING in line] == [f"vfio-pci {vfs[1]}: {WAITING}"]


# -- opening meanwhile -----------------------------------------------------------------------------------------------------
def test_a_first_open_of_the_pf_meanwhile(tokens: Bed, vfs: list[str], holder: tuple[Program, OpenDevice]) -> None:
    """EAGAIN: the open wants to reset the function and finds its lock taken. A real kernel that may deadlock is not asked."""
    if not tokens.simulated and tokens.has("pf_runtime_pm") and not (tokens.has("vf_own_devset") or tokens.has("sriov_active")):
        pytest.skip("this kernel may deadlock here")
    pending = disabling(tokens)
    program = tokens.program("user")
    assert try_open(program, IGB, U1) == "EAGAIN get_device_fd"
    assert try_open(program, IGB, None) == "EACCES get_device_fd"
    tokens.exit(holder[0])
    assert tokens.finish(pending) == "OK"
    assert try_open(program, IGB, U1) == "OK"


def test_further_descriptors_of_an_open_pf_meanwhile(tokens: Bed, vfs: list[str], holder: tuple[Program, OpenDevice]) -> None:
    """Only the first open resets."""
    opening, group = ready_group(tokens, IGB)
    argument = format_argument(IGB, str(U1))
    opening.kernel.get_device_fd(group, argument)
    pending = disabling(tokens)
    assert answer(opening.kernel.get_device_fd, group, argument) == "OK"
    tokens.exit(holder[0])
    assert tokens.finish(pending) == "OK"


def test_new_descriptors_of_the_vf_meanwhile(tokens: Bed, vfs: list[str]) -> None:
    """Hidden first: ENODEV. Before that they could still be had, and prolonged the wait."""
    opening, group = ready_group(tokens, vfs[0])
    argument = format_argument(vfs[0], str(U1))
    device = opening.kernel.get_device_fd(group, argument)
    pending = disabling(tokens)
    hidden = tokens.has("hide_first")
    assert answer(opening.kernel.get_device_fd, group, argument) == ("ENODEV" if hidden else "OK")
    opening.kernel.close(device)
    if not hidden:
        assert not pending.wait(BLOCKED_AFTER)
    tokens.exit(opening.kernel)
    assert tokens.finish(pending) == "OK"


def test_nothing_is_judged_once_a_vf_is_hidden(tokens: Bed, vfs: list[str]) -> None:
    """It has left its group's list, so its name means nothing there, malformed or not. Where nothing is hidden, all is as ever."""
    opening, group = ready_group(tokens, vfs[0])
    opening.kernel.get_device_fd(group, format_argument(vfs[0], str(U1)))
    tokens.settle()
    pending = disabling(tokens)
    tokens.take_log()
    hidden = tokens.has("hide_first")
    answers = [answer(opening.kernel.get_device_fd, group, text) for text in (vfs[0].encode(), f"{vfs[0]} foo".encode())]
    assert answers == (["ENODEV"] * 2 if hidden else ["EACCES", "EINVAL"])
    assert len([line for line in tokens.take_log() if "VF token" in line]) == (0 if hidden else 1)
    tokens.exit(opening.kernel)
    assert tokens.finish(pending) == "OK"


def test_a_pf_that_is_hidden_is_given_no_token(tokens: Bed) -> None:
    if not tokens.has("hide_first"):
        pytest.skip("nothing is hidden before the wait here")
    assert tokens.bind(IGB) == "OK"
    opening, group = ready_group(tokens, IGB)
    opening.kernel.get_device_fd(group, IGB.encode())
    pending = tokens.blocked(UNBIND, IGB)
    assert answer(opening.kernel.get_device_fd, group, format_argument(IGB, str(U1))) == "ENODEV"
    tokens.exit(opening.kernel)
    assert tokens.finish(pending) == "OK"


def test_other_vfs_keep_working(tokens: Bed, vfs: list[str], holder: tuple[Program, OpenDevice]) -> None:
    other = tokens.program("other")
    device = open_device(other, vfs[3], U1)
    pending = disabling(tokens)
    assert answer(other.kernel.feature, device.fd, VFIO_DEVICE_FEATURE_PROBE) == "ENOTTY"
    mapping = other.kernel.map(device.fd)
    other.kernel.unmap(mapping)
    assert try_open(tokens.program("new"), vfs[2], U1) == "OK"
    assert try_open(tokens.program("new"), vfs[2], None) == "EACCES get_device_fd"
    other.close(device)
    tokens.exit(holder[0])
    assert tokens.finish(pending) == "OK"


def test_another_pf_meanwhile(tokens: Bed, vfs: list[str], holder: tuple[Program, OpenDevice]) -> None:
    """Where the writer holds the rescan lock, every other writer waits for it; where it does not, only those of the same PF."""
    assert tokens.bind(IGB_2) == "OK"
    pending = disabling(tokens)
    assert try_open(tokens.program("user"), IGB_2, None) == "OK"
    second = tokens.begin(f"{DEVICES}/{IGB_2}/sriov_numvfs", "1")
    second.wait(BLOCKED_AFTER)
    assert tokens.state(second) == ("BLOCKED" if tokens.has("rescan_lock") else "OK")
    tokens.exit(holder[0])
    assert (tokens.finish(pending), tokens.finish(second)) == ("OK", "OK")
    assert len(tokens.virtfns(IGB_2)) == 1


def test_a_second_writer_waits_for_the_first(tokens: Bed, vfs: list[str], holder: tuple[Program, OpenDevice]) -> None:
    """A number that is none, or too great, is refused without waiting."""
    pending = disabling(tokens)
    assert [tokens.write(NUMVFS, text) for text in ("x", "9")] == ["EINVAL", "ERANGE"]
    second = tokens.blocked(NUMVFS, "2")
    tokens.exit(holder[0])
    assert (tokens.finish(pending), tokens.finish(second)) == ("OK", "OK")
    assert len(tokens.virtfns(IGB)) == 2


# -- unbinding -------------------------------------------------------------------------------------------------------------
def test_unbinding_a_vf_waits(tokens: Bed, vfs: list[str], holder: tuple[Program, OpenDevice]) -> None:
    bed, program = tokens, holder[0]
    bed.take_log()
    pending = bed.blocked(UNBIND, vfs[1])
    assert (bed.driver(vfs[1]), bed.link(vfs[1], "physfn")) == (None, IGB)
    assert len(bed.virtfns(IGB)) == 4
    assert bed.read(NUMVFS) == "4"
    assert try_open(bed.program("user"), vfs[0], U1) == "OK"
    assert try_open(bed.program("user"), IGB, U1) == "OK"
    assert [line for line in bed.take_log() if WAITING in line] == [f"vfio-pci {vfs[1]}: {WAITING}"]
    bed.exit(program)
    assert bed.finish(pending) == "OK"
    assert bed.driver(vfs[1]) is None
    assert bed.bind(vfs[1]) == "OK"


def test_unbinding_the_pf_takes_its_vfs_and_waits_for_each(tokens: Bed, vfs: list[str], holder: tuple[Program, OpenDevice]) -> None:
    bed, program = tokens, holder[0]
    owner = bed.program("owner")
    pf = open_device(owner, IGB, U1)
    bed.take_log()
    pending = bed.blocked(UNBIND, IGB)
    assert [bed.exists(vf) for vf in vfs] == [False, True, True, True]
    assert bed.driver(IGB) is None
    bed.exit(program)
    assert not pending.wait(BLOCKED_AFTER), "the PF itself is held"
    assert not any(bed.exists(vf) for vf in vfs)
    owner.close(pf)
    assert bed.finish(pending) == "OK"
    assert [line for line in bed.take_log() if WAITING in line] == [f"vfio-pci {bdf}: {WAITING}" for bdf in (vfs[1], IGB)]


def test_unbinding_waits_on_every_kernel(bed: Bed) -> None:
    assert bed.bind(PLAIN) == "OK"
    program = bed.program("holder")
    one, two = open_device(program, PLAIN), open_device(program, PLAIN)
    pending = bed.blocked(UNBIND, PLAIN)
    program.close(one)
    assert not pending.wait(BLOCKED_AFTER)
    program.close(two)
    assert bed.finish(pending) == "OK"
    assert bed.driver(PLAIN) is None


def test_a_group_that_is_only_open_does_not_keep_the_function(bed: Bed) -> None:
    assert bed.bind(PLAIN) == "OK"
    opening = Opening(bed.new_kernel("idle"))
    opening.open(bed.group_path(PLAIN))
    assert bed.unbind(PLAIN) == "OK"


def test_a_group_with_a_container_does_not_keep_the_function_either(bed: Bed) -> None:
    if not bed.has("group_dies"):
        pytest.skip("what happens here was not established")
    assert bed.bind(PLAIN) == "OK"
    opening, _ = ready_group(bed, PLAIN)
    assert bed.unbind(PLAIN) == "OK"
    opening.close()
    assert bed.bind(PLAIN) == "OK"
    assert try_open(bed.program("user"), PLAIN) == "OK"


# -- resetting meanwhile ---------------------------------------------------------------------------------------------------
def test_a_reset_of_the_pf_meanwhile(tokens: Bed, vfs: list[str], holder: tuple[Program, OpenDevice]) -> None:
    """It waits for the device lock that the write of the number has."""
    pending = disabling(tokens)
    resetting = tokens.blocked(f"{DEVICES}/{IGB}/reset", "1")
    tokens.exit(holder[0])
    assert tokens.finish(pending) == "OK"
    assert tokens.finish(resetting) == "OK"


def test_a_reset_of_a_pf_leaves_its_vfs_where_they_are(tokens: Bed, vfs: list[str], holder: tuple[Program, OpenDevice]) -> None:
    assert tokens.write(f"{DEVICES}/{IGB}/reset", "1") == "OK"
    assert tokens.virtfns(IGB) == dict(enumerate(vfs))
    assert try_open(tokens.program("another"), vfs[0], U1) == "OK"
    assert tokens.write(f"{DEVICES}/{vfs[1]}/reset", "1") == "OK"  # in use, and nobody is asked
