"""The simulated kernel log: its clock, the rate limit of the token lines, and who may read it."""

from __future__ import annotations

import pytest

from tests.contract.bed import IGB, PLAIN, U1, U2, VF_INCORRECT, VF_REQUIRED, SimulatedBed, try_open
from vfdeck.backend.sim.kernel import SimulatedKernel
from vfdeck.backend.sim.surroundings import node


@pytest.fixture(params=["6.12", "7.3"])
def bed(request: pytest.FixtureRequest) -> SimulatedBed:
    bed = SimulatedBed(request.param)
    bed.vfio_pf(vfs=2)
    assert try_open(bed.program("setter"), IGB, U1) == "OK"
    bed.settle()
    bed.take_log()
    return bed


def site(bed: SimulatedBed) -> str:
    """The function that the kernel names when it tells of lines it left out."""
    return "vfio_pci_core_match_token_uuid" if bed.has("cdev_token") else "vfio_pci_validate_vf_token"


def refuse(bed: SimulatedBed, times: int, token: object = None) -> list[str]:
    vf = bed.virtfns(IGB)[0]
    program = bed.program("guesser")
    for _ in range(times):
        assert try_open(program, vf, U2 if token else None) == "EACCES get_device_fd"
    return bed.take_log()


def test_ten_lines_in_five_seconds(bed: SimulatedBed) -> None:
    vf = bed.virtfns(IGB)[0]
    assert refuse(bed, 13) == [f"vfio-pci {vf}: {VF_REQUIRED}"] * 10
    bed.machine.now += 4.9
    assert refuse(bed, 2) == []
    bed.machine.now += 0.2
    assert refuse(bed, 1) == [f"{site(bed)}: 5 callbacks suppressed", f"vfio-pci {vf}: {VF_REQUIRED}"]
    bed.machine.now += 6
    assert refuse(bed, 1) == [f"vfio-pci {vf}: {VF_REQUIRED}"]


def test_each_message_has_a_limit_of_its_own(bed: SimulatedBed) -> None:
    vf = bed.virtfns(IGB)[0]
    refuse(bed, 12)
    assert refuse(bed, 2, U2) == [f"vfio-pci {vf}: {VF_INCORRECT}"] * 2


def test_the_limit_is_the_machine_s_not_the_function_s(bed: SimulatedBed) -> None:
    refuse(bed, 10)
    other = bed.virtfns(IGB)[1]
    assert try_open(bed.program("user"), other) == "EACCES get_device_fd"
    assert bed.take_log() == []


def test_lines_that_are_not_about_tokens_have_no_limit(bed: SimulatedBed) -> None:
    for _ in range(15):
        assert bed.numvfs(IGB, 4) == "EBUSY"
    assert len([line for line in bed.take_log() if "already enabled" in line]) == 15


def test_lines_carry_the_time_since_boot(bed: SimulatedBed) -> None:
    before = bed.machine.uptime
    bed.machine.now += 42
    refuse(bed, 1)
    lines = bed.kernel.log()
    assert lines is not None
    assert lines[-1].seconds == before + 42
    assert [line.seconds for line in lines] == sorted(line.seconds for line in lines)


def test_only_root_reads_the_log_and_writes_and_opens(bed: SimulatedBed) -> None:
    """File modes: nodes and files are root's; EACCES from open(2) is never about a token."""
    assert bed.bind(PLAIN) == "OK"
    user = SimulatedKernel(bed.machine, "user", "alice", 1000)
    assert user.log() is None
    error = user.write("/sys/bus/pci/drivers_probe", PLAIN.encode()).result()
    assert error is not None
    assert error.errno == 13
    from vfdeck.backend.vfio import Program

    assert try_open(Program(user), PLAIN) == "EACCES open_group"
    assert try_open(Program(user), PLAIN, None, "cdev") == "EACCES open_cdev"
    bed.machine.around.nodes[bed.group_path(PLAIN)] = node(uid=1000)
    assert try_open(Program(user), PLAIN) == "OK"
    assert user.open_files().unseen > 0
