"""One vfdeck at a time changes a function: real lock files, and real processes that have them."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.fabricate import build, fleet
from vfdeck.backend import turns
from vfdeck.backend.changes import SetNumvfs
from vfdeck.backend.linux.writes import ChildWrite
from vfdeck.backend.local_host import LocalHost
from vfdeck.backend.memory import Memory
from vfdeck.backend.sim.kernel import SimulatedKernel
from vfdeck.backend.sim.scenario import load
from vfdeck.backend.turns import Taken, Turns, default_folder, held

PF, OTHER = "0000:af:00.0", "0000:03:00.0"

# takes the lock, says so, and keeps it until its input ends
HOLDER = (
    "import sys; from vfdeck.backend.turns import Turns\n"
    "with Turns(sys.argv[1]).turn(sys.argv[2], 'alice'):\n"
    "    print('taken', flush=True); sys.stdin.read()\n"
)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "PATIENCE", 0.0)


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return str(tmp_path / "vfdeck")


class Holder:
    """Another vfdeck that changes a function."""

    def __init__(self, folder: str, bdf: str) -> None:
        arguments = [sys.executable, "-c", HOLDER, folder, bdf]
        self.process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "taken\n"

    def __enter__(self) -> Holder:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.communicate("")


def test_who_has_it_is_told_and_others_are_free(folder: str, impatient: None) -> None:
    with Holder(folder, PF) as holder:
        with pytest.raises(Taken) as taken, Turns(folder).turn(PF, "eva"):
            pass
        assert str(taken.value) == f"another vfdeck of alice (pid {holder.process.pid}) changes {PF}"
        with Turns(folder).turn(OTHER, "eva"):
            pass
    with Turns(folder).turn(PF, "eva"):
        pass
    assert turns.held() == ()


def test_a_name_goes_with_its_holder(folder: str, impatient: None) -> None:
    """Else the next one is called by it, until that one has written its own."""
    with Holder(folder, PF):
        pass
    with open(f"{folder}/{PF}.lock", "rb") as lock:
        assert lock.read() == b""
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(Taken) as taken, Turns(folder).turn(PF, "eva"):
            pass
    assert str(taken.value) == f"another vfdeck changes {PF}"


def test_it_waits_until_it_is_free(folder: str) -> None:
    holder = Holder(folder, PF)
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        holder.process.communicate("")

    with Turns(folder, wait).turn(PF, "eva"):
        assert len(waits) == 1


def test_it_goes_with_a_process_that_is_killed(folder: str, impatient: None) -> None:
    holder = Holder(folder, PF)
    holder.process.kill()
    holder.process.communicate()
    with Turns(folder).turn(PF, "eva"):
        pass


def test_a_write_that_waits_keeps_it_when_its_vfdeck_has_ended(folder: str, impatient: None) -> None:
    """As a write to sriov_numvfs does that waits for a VF's user: here it waits for a pipe to be read."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    full = 0
    while True:
        try:
            full += os.write(writer, bytes(4096))
        except BlockingIOError:
            break
    os.set_blocking(writer, True)
    with Turns(folder).turn(PF, "eva"):
        pending = ChildWrite("/sys/x/sriov_numvfs", writer, b"0")
    with pytest.raises(Taken, match=f"^a change of {PF} that this vfdeck began is not over$"), Turns(folder).turn(PF, "eva"):
        pass
    while full > 0:
        full -= len(os.read(reader, full))
    assert pending.wait(60.0)
    with Turns(folder).turn(PF, "eva"):
        pass
    for fd in (reader, writer):
        os.close(fd)


def test_the_one_who_began_it_has_ended(folder: str, impatient: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with Turns(folder).turn(PF, "eva"):
        monkeypatch.setattr(os.path, "exists", lambda path: False)
        monkeypatch.setattr(os, "getpid", lambda: 0)
        with pytest.raises(Taken, match=rf"a write to {PF} that a vfdeck of eva \(pid \d+\) began, which has ended, waits"):
            Turns(folder)._take(Turns(folder)._open(PF), PF)


def test_a_change_is_not_attempted(tmp_path: Path, folder: str, impatient: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vfdeck.backend.memory.default_folder", lambda *_: folder)
    kernel = SimulatedKernel(load("default").scenario.machine)
    memory = Memory(kernel, {"XDG_STATE_HOME": str(tmp_path)})
    memory._turns = Turns(folder)
    host = LocalHost(kernel, {}, memory)
    before = len(host.snapshot().vfs_of(PF))
    with Holder(folder, PF):
        outcome = host.perform(SetNumvfs(PF, 0))
    assert not outcome.attempted
    assert outcome.explanation is not None
    assert "another vfdeck of alice" in outcome.explanation.rule
    assert len(host.snapshot().vfs_of(PF)) == before > 0
    assert host.perform(SetNumvfs(PF, 0)).ok


@pytest.mark.parametrize("wrong", ["open", "link", "file"])
def test_a_folder_in_which_others_have_a_say_is_not_used(tmp_path: Path, folder: str, wrong: str) -> None:
    """Nobody is kept from work by it, and nothing is written there."""
    place = Path(folder)
    if wrong == "open":
        place.mkdir()
        place.chmod(0o777)
    elif wrong == "link":
        (tmp_path / "other").mkdir()
        place.symlink_to(tmp_path / "other")
    else:
        place.touch()
    with Turns(folder).turn(PF, "eva"):
        assert turns.held() == ()
    assert list(tmp_path.rglob("*.lock")) == []


def test_a_lock_that_is_no_file(folder: str) -> None:
    Path(folder).mkdir(mode=0o700)
    os.mkfifo(f"{folder}/{PF}.lock")
    with Turns(folder).turn(PF, "eva"):
        assert turns.held() == ()


@pytest.mark.parametrize(
    ("euid", "environment", "place"),
    [
        (0, {"XDG_RUNTIME_DIR": "/tmp"}, "/run/vfdeck"),
        (1000, {"XDG_RUNTIME_DIR": "/run/user/1000"}, "/run/user/1000/vfdeck"),
        (1000, {"XDG_RUNTIME_DIR": "here"}, None),
        (1000, {}, None),
    ],
)
def test_where_they_are(euid: int, environment: dict[str, str], place: str | None) -> None:
    assert default_folder(environment, euid) == place


def test_neither_a_tree_nor_a_simulated_host_has_any(tmp_path: Path) -> None:
    build(tmp_path, fleet(1))
    kernel: Any = SimulatedKernel(load("default").scenario.machine)
    assert Memory(kernel, {})._turns is None


def test_where_no_lock_is_to_be_had_nobody_is_kept_from_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(fd: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    before = len(os.listdir("/proc/self/fd"))
    with Turns(str(tmp_path / "locks")).turn("0000:03:00.0", "alice"):
        assert held() == ()
    assert len(os.listdir("/proc/self/fd")) == before
