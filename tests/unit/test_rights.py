"""What this program may not do, and that a greyed action says which right is missing."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from typing import Any

import pytest

from tests.values import make_fleet, make_pf, snapshot
from vfdeck.app.dashboard.actions import ACTIONS
from vfdeck.backend.changes import SetNumvfs
from vfdeck.backend.checks import Verdict
from vfdeck.backend.checks.host import doctor
from vfdeck.backend.evidence import CAP_DAC_OVERRIDE, CAP_SYS_ADMIN, CAP_SYS_PTRACE, Rights, Unread
from vfdeck.backend.kernel import FileStat
from vfdeck.backend.local_host import LocalHost
from vfdeck.backend.model import Lack
from vfdeck.backend.plan import plan
from vfdeck.backend.predict.seen import Seen
from vfdeck.backend.rights import CAP_DAC_READ_SEARCH, CAP_SYSLOG, NEEDS, closed, lacks
from vfdeck.backend.sim.kernel import SimulatedKernel
from vfdeck.backend.sim.scenario import load
from vfdeck.backend.sim.surroundings import Credentials

ALL = (1 << 41) - 1
PF = make_pf().bdf


class Status:
    """A kernel that tells of this process, of one parameter and of some files."""

    def __init__(self, capabilities: int, uid: int = 1000, restrict: str = "1", files: dict[str, FileStat] | None = None) -> None:
        ids = "\t".join([str(uid)] * 4)
        self.told = {
            "/proc/self/status": f"Uid:\t{ids}\nGid:\t{ids}\nCapEff:\t{capabilities:016x}\n",
            "/proc/self/uid_map": "0 0 4294967295\n",
            "/proc/sys/kernel/dmesg_restrict": f"{restrict}\n",
        }
        self.files = files or {}

    def read(self, path: str) -> bytes:
        if path in self.told:
            return self.told[path].encode()
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))

    def stat(self, path: str) -> FileStat:
        if path in self.files:
            return self.files[path]
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))


def lacking(kernel: Any) -> dict[str, str]:
    found = lacks(kernel)
    assert not isinstance(found, Unread)
    return {lack.need: lack.right for lack in found}


def bits(*capabilities: int) -> int:
    return sum(1 << one for one in capabilities)


@pytest.mark.parametrize(
    ("kernel", "expected"),
    [
        (Status(ALL, 0), {}),
        (Status(ALL), {}),
        (Status(0, 0), {"holders", "borrow", "log", "config"}),  # root by number alone writes what root owns
        (Status(0), set(NEEDS)),
        (Status(0, restrict="0"), set(NEEDS) - {"log"}),
        (Status(bits(CAP_DAC_OVERRIDE)), {"holders", "borrow", "log", "config"}),
        (Status(bits(CAP_SYS_PTRACE, CAP_DAC_OVERRIDE)), {"log", "config"}),
        (Status(bits(CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH, CAP_SYSLOG)), {"write", "config"}),
        (Status(bits(CAP_SYS_ADMIN)), {"write", "holders", "borrow"}),  # stands in for CAP_SYSLOG
    ],
)
def test_what_is_lacking(kernel: Status, expected: set[str]) -> None:
    assert set(lacking(kernel)) == set(expected)


@pytest.mark.parametrize(
    ("has", "right"),
    [
        ((), "CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH"),
        ((CAP_SYS_PTRACE,), "CAP_DAC_READ_SEARCH"),
        ((CAP_DAC_READ_SEARCH,), "CAP_SYS_PTRACE"),
    ],
)
def test_looking_at_others_takes_two(has: tuple[int, ...], right: str) -> None:
    assert lacking(Status(bits(*has)))["holders"] == right


def test_what_cannot_be_told_is_not_claimed() -> None:
    kernel: Any = Status(0)
    del kernel.told["/proc/self/status"]
    assert isinstance(lacks(kernel), Unread)
    assert closed(kernel, [make_pf()]) == frozenset()


class TestFiles:
    """A file that was given to the user may be written, whatever the user lacks."""

    NUMVFS, PROBE = (f"/sys/bus/pci/devices/{PF}/{name}" for name in ("sriov_numvfs", "sriov_drivers_autoprobe"))

    def kernel(self, capabilities: int = 0) -> Any:
        return Status(capabilities, files={self.NUMVFS: FileStat(0o100664, 0, 1000), self.PROBE: FileStat(0o100644, 0, 0)})

    def test_only_what_is_known_to_be_closed(self) -> None:
        assert closed(self.kernel(), [make_pf()]) == {self.PROBE}
        assert closed(self.kernel(bits(CAP_DAC_OVERRIDE)), [make_pf()]) == frozenset()

    @pytest.mark.parametrize("simulated", [False, True])
    def test_a_greyed_action_names_the_right(self, simulated: bool) -> None:
        view = replace(snapshot(make_pf(), host={"privileged": False, "simulated": simulated}), closed=frozenset({self.PROBE}))
        reasons = {action.id: action.why_not(make_pf(), view) for action in ACTIONS if action.id in ("vfs", "autoprobe")}
        assert reasons["vfs"] == ""
        if simulated:  # one may try, and learn of A19
            assert reasons["autoprobe"] == ""
        else:
            assert f"may not write {PF}/sriov_drivers_autoprobe" in reasons["autoprobe"]
            assert "CAP_DAC_OVERRIDE" in reasons["autoprobe"]

    @pytest.mark.parametrize(("gid", "refused"), [(1000, False), (0, True)])
    def test_the_prediction_goes_by_the_file(self, gid: int, refused: bool) -> None:
        view = snapshot(make_pf(), host={"privileged": False})
        seen = Seen(files=((self.NUMVFS, FileStat(0o100664, 0, gid)),), rights=Rights(1000, frozenset({1000}), 0, False, False))
        made = plan(SetNumvfs(PF, 2), view, seen=seen)
        assert made.predicted is not None
        assert (made.predicted.answer == "EACCES at sriov_numvfs") is refused

    def test_every_file_that_is_written_has_an_action_that_knows(self) -> None:
        view = snapshot(*make_fleet(1))
        pf = view.pfs()[0]
        known = {path.rpartition("/")[2] for action in ACTIONS for path in action.writes(pf)}
        assert known == {"sriov_numvfs", "sriov_drivers_autoprobe", "reset", "driver_override", "unbind"}


def test_the_doctor_tells_what_this_user_may() -> None:
    host = load("default")
    kernel = SimulatedKernel(host.scenario.machine)
    told = {check.question: check for check in doctor(kernel, host.snapshot()) if check.question.startswith("May vfdeck ")}
    assert {check.verdict for check in told.values()} == {Verdict.YES}
    assert len(told) == len(NEEDS)


def test_a_picture_has_it() -> None:
    host = load("default")
    kernel = SimulatedKernel(host.scenario.machine, "vfdeck", "eva", credentials=Credentials(1000, 1000))
    seen = LocalHost(kernel, {}).snapshot()
    assert Lack("borrow", NEEDS["borrow"][0], "CAP_SYS_PTRACE") in seen.host.lacks
    assert {path.rpartition("/")[2] for path in seen.closed} >= {"sriov_numvfs", "unbind"}
