"""What an operator does with vfdeck, from binding the PF to removing the VFs, by the host layer on a real kernel."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.kernel.differential import reset
from tests.kernel.neighbour import neighbour
from vfdeck.backend.changes import (
    BindDriver,
    Change,
    Close,
    Open,
    OpenPath,
    Outcome,
    SetNumvfs,
    SetToken,
    UnbindDriver,
)
from vfdeck.backend.kernel import Stage
from vfdeck.backend.linux.kernel import LinuxKernel
from vfdeck.backend.local_host import LocalHost
from vfdeck.backend.model import Certainty, Role, Snapshot, TokenState
from vfdeck.backend.token import Token

PF = "0000:01:00.0"
VFS = ("0000:01:10.0", "0000:01:10.2")
TOKEN, OTHER = Token(bytes(range(16))), Token(bytes(range(16, 32)))

#: What must come to pass, comes to pass within this time under emulation, seconds.
DEADLINE = 60.0
#: So long may a snapshot take while a write waits in the kernel, seconds.
PATIENCE = 10.0

has_cdev = pytest.mark.skipif(not Path("/dev/iommu").exists(), reason="this kernel has no IOMMUFD")


@pytest.fixture
def host() -> Iterator[LocalHost]:
    """This machine, its hardware as it was found."""
    reset(LinuxKernel())
    host = LocalHost(LinuxKernel())
    yield host
    host.close()
    reset(LinuxKernel())


def done(host: LocalHost, change: Change) -> Outcome:
    """Carries out what has to succeed."""
    outcome = host.perform(change)
    assert outcome.ok, outcome
    return outcome


def refused(host: LocalHost, change: Change) -> tuple[str, str, str]:
    """Carries out what has to be refused: errno, stage and entry of the catalogue."""
    outcome = host.perform(change)
    assert not outcome.ok, outcome
    assert outcome.explanation is not None
    assert outcome.explanation.do
    return outcome.errno_name, str(outcome.stage), outcome.explanation.entry


def until(condition: Callable[[], bool], found: Callable[[], object]) -> None:
    """Waits until it holds; `found` is what to show where it never does."""
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, f"it did not come to pass: {found()}"
        time.sleep(0.1)


def in_background(host: LocalHost, change: Change) -> tuple[threading.Thread, list[Outcome]]:
    """Carries out what may wait."""
    outcomes: list[Outcome] = []
    thread = threading.Thread(target=lambda: outcomes.append(host.perform(change)), daemon=True)
    thread.start()
    return thread, outcomes


def look(host: LocalHost) -> Snapshot:
    """A snapshot that may not wait for the kernel."""
    began = time.monotonic()
    seen = host.snapshot()
    assert time.monotonic() - began < PATIENCE
    return seen


def vfs_on(host: LocalHost, pf: str, count: int) -> None:
    """Binds a PF to vfio-pci and turns VFs on, which vfio-pci takes."""
    done(host, BindDriver(pf, "vfio-pci"))
    done(host, SetNumvfs(pf, count))
    seen = host.snapshot()
    vfs = seen.vfs_of(pf)
    assert [vf.driver for vf in vfs] == ["vfio-pci"] * count
    assert seen.tokens[pf].state is TokenState.UNSET


def test_from_binding_to_removal(host: LocalHost) -> None:
    vfs_on(host, PF, 2)
    free, held = VFS
    assert [vf.bdf for vf in host.snapshot().vfs_of(PF)] == list(VFS)
    assert refused(host, Open(free)) == ("EACCES", Stage.GET_DEVICE_FD, "D1")

    done(host, SetToken(PF, TOKEN))
    known = host.snapshot().tokens[PF]
    assert (known.state, known.fingerprint) == (TokenState.SET, TOKEN.fingerprint)
    assert refused(host, Open(free)) == ("EACCES", Stage.GET_DEVICE_FD, "D1")
    assert refused(host, Open(free, OTHER)) == ("EACCES", Stage.GET_DEVICE_FD, "D2")
    done(host, Open(free, TOKEN, hold=True))
    [holder] = host.snapshot().holders_of(free)
    assert (holder.program, holder.own, holder.certainty) == ("vfdeck", True, Certainty.EXACT)

    with neighbour("router-vm", held, TOKEN.reveal_text()) as router:
        assert router.answer == "open"
        seen = host.snapshot()
        [holder] = seen.holders_of(held)
        assert (holder.program, holder.pid, holder.own) == ("router-vm", router.pid, False)
        assert seen.users_of(PF).value == 2

        done(host, Open(PF, TOKEN, hold=True))
        rotated = done(host, SetToken(PF, OTHER))
        assert rotated.done == (f"set token #{OTHER.fingerprint} through the open fd of {PF}",)
        assert refused(host, Open(free, TOKEN)) == ("EACCES", Stage.GET_DEVICE_FD, "D2")
        done(host, Open(free, OTHER))
        assert host.snapshot().users_of(PF).value == 2
        done(host, Close(PF))

        own = host.perform(SetNumvfs(PF, 0))
        assert not own.attempted  # it would wait for vfdeck itself
        assert own.explanation is not None
        assert f"vfdeck itself holds {free}" in own.explanation.rule
        done(host, Close(free))
        thread, outcomes = in_background(host, SetNumvfs(PF, 0))
        whom = f"router-vm ({router.pid}), which holds {held}"
        until(lambda: any(job.waits_for == whom for job in look(host).jobs), lambda: (look(host).jobs, outcomes))
        until(lambda: free not in look(host).functions, lambda: look(host).functions)
        seen = look(host)
        assert [(job.target, job.waits_for) for job in seen.jobs] == [(PF, whom)]
        assert (seen.functions[PF].role, seen.functions[PF].driver) == (Role.PF, "vfio-pci")
        assert [holder.program for holder in seen.holders_of(held)] == ["router-vm"]
        assert outcomes == []
    thread.join(DEADLINE)
    assert outcomes
    assert outcomes[0].ok
    seen = host.snapshot()
    assert seen.jobs == ()
    assert [bdf for bdf in VFS if bdf in seen.functions] == []
    assert seen.vfs_of(PF) == []

    done(host, UnbindDriver(PF))
    assert host.snapshot().tokens[PF].state is TokenState.NONE


def test_a_token_survives_the_vfs_and_ends_with_the_binding(host: LocalHost) -> None:
    vfs_on(host, PF, 1)
    done(host, SetToken(PF, TOKEN))
    done(host, SetNumvfs(PF, 0))
    done(host, SetNumvfs(PF, 1))
    assert host.snapshot().tokens[PF].state is TokenState.SET
    done(host, Open(VFS[0], TOKEN))
    done(host, SetNumvfs(PF, 0))
    done(host, UnbindDriver(PF))
    vfs_on(host, PF, 1)
    assert refused(host, Open(VFS[0], TOKEN))[0] == "EACCES"


def test_a_pf_that_is_asked_for_too_much(host: LocalHost) -> None:
    done(host, BindDriver(PF, "vfio-pci"))
    outcome = host.perform(SetNumvfs(PF, 9))
    assert not outcome.attempted
    assert outcome.explanation is not None
    assert "ERANGE" in outcome.explanation.rule
    done(host, SetNumvfs(PF, 1))
    done(host, SetNumvfs(PF, 2))  # by way of 0
    assert len(host.snapshot().vfs_of(PF)) == 2


def test_one_program_at_a_time_in_a_group(host: LocalHost) -> None:
    vfs_on(host, PF, 1)
    done(host, SetToken(PF, TOKEN))
    with neighbour("firewall-vm", VFS[0], TOKEN.reveal_text()) as firewall:
        assert firewall.answer == "open"
        assert refused(host, Open(VFS[0], TOKEN)) == ("EBUSY", Stage.OPEN_GROUP, "C6")
    done(host, Open(VFS[0], TOKEN))


@has_cdev
def test_the_cdev_path(host: LocalHost) -> None:
    vfs_on(host, PF, 2)
    free, held = VFS
    done(host, SetToken(PF, TOKEN))
    assert host.snapshot().functions[free].cdev is not None
    bare = host.perform(Open(free, path=OpenPath.CDEV))
    token = None if bare.ok else TOKEN
    if bare.ok:  # 6.6 to 6.16: nobody is asked for a token on this path, and one that is given is EINVAL
        assert bare.explanation is not None
        assert bare.explanation.entry == "D17"
        assert refused(host, Open(free, TOKEN, path=OpenPath.CDEV))[:2] == ("EINVAL", Stage.BIND_IOMMUFD)
    else:
        assert (bare.errno_name, bare.stage) == ("EACCES", Stage.BIND_IOMMUFD)
        assert bare.explanation is not None
        assert bare.explanation.do
        assert refused(host, Open(free, OTHER, path=OpenPath.CDEV))[:2] == ("EACCES", Stage.BIND_IOMMUFD)
    done(host, Open(free, token, hold=True, path=OpenPath.CDEV))
    assert [(holder.program, holder.own) for holder in host.snapshot().holders_of(free)] == [("vfdeck", True)]
    assert refused(host, Open(free, TOKEN))[:2] == ("EBUSY", Stage.OPEN_GROUP)
    with neighbour("router-vm", held, TOKEN.reveal_text()) as router:
        assert router.answer == "open"
        assert [holder.program for holder in host.snapshot().holders_of(held)] == ["router-vm"]
        assert refused(host, Open(held, token, path=OpenPath.CDEV))[0] == "EBUSY"
        assert host.snapshot().users_of(PF).value == 2
        done(host, Close(free))
