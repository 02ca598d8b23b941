"""An agent on a kernel that hangs: only the process that writes waits for a removal of VFs that another program holds."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.kernel.differential import reset
from tests.kernel.neighbour import Neighbour, neighbour
from tests.kernel.test_flow import DEADLINE, PATIENCE, PF, TOKEN, VFS, until
from vfdeck.backend.agent.remote_host import RemoteHost
from vfdeck.backend.agent.transports import Local
from vfdeck.backend.agent.wire import REQUESTS
from vfdeck.backend.changes import BindDriver, Change, Outcome, SetNumvfs, SetToken
from vfdeck.backend.history import read
from vfdeck.backend.linux.kernel import LinuxKernel
from vfdeck.backend.memory import folder_of
from vfdeck.backend.model import Job

REMOVAL = SetNumvfs(PF, 0)
_, HELD = VFS


@pytest.fixture
def hardware() -> Iterator[None]:
    """This machine's, as it was found."""
    reset(LinuxKernel())
    yield
    reset(LinuxKernel())


@contextmanager
def agent() -> Iterator[RemoteHost]:
    """This machine behind an agent."""
    host = RemoteHost("here", Local())
    try:
        yield host
    finally:
        host.close()


def begin(host: RemoteHost, change: Change, holder: Neighbour) -> tuple[threading.Thread, list[Outcome], Job]:
    """Begin what waits for somebody, and come back when the agent says for whom."""
    outcomes: list[Outcome] = []
    thread = threading.Thread(target=lambda: outcomes.append(host.perform(change)), daemon=True)
    thread.start()
    whom = f"router-vm ({holder.pid}), which holds {HELD}"
    until(lambda: any(job.waits_for == whom for job in host.jobs()), lambda: (host.jobs(), outcomes))
    [job] = host.jobs()
    return thread, outcomes, job


def make_ready(host: RemoteHost) -> None:
    """Two VFs with a token, which the agent may be asked for."""
    for change in (BindDriver(PF, "vfio-pci"), SetNumvfs(PF, 2), SetToken(PF, TOKEN)):
        outcome = host.perform(change)
        assert outcome.ok, outcome


def processes(comm: str) -> list[int]:
    """The processes that call themselves so, and have not ended: whether anybody reaps orphans is up to the guest's init."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            name, _, rest = (folder / "stat").read_text().partition("(")[2].rpartition(")")
            if name == comm and rest.split()[0] != "Z":
                found.append(int(folder.name))
        except OSError:  # it has ended
            continue
    return found


def test_a_write_that_hangs_keeps_neither_agent_nor_client(hardware: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))  # a history of its own
    with agent() as host:
        make_ready(host)
        with neighbour("router-vm", HELD, TOKEN.reveal_text()) as router:
            assert router.answer == "open"
            thread, outcomes, job = begin(host, REMOVAL, router)
            assert (job.target, job.step.split()[0]) == (PF, "remove")

            seen = host.snapshot()  # it looks afresh
            assert [(one.target, one.waits_for) for one in seen.jobs] == [(PF, job.waits_for)]
            assert seen.problems == ()
            removal = REQUESTS.encode_one_of(REMOVAL)
            assert host._call("Hello", protocol_min=1, protocol_max=1)["protocol"] == 1
            assert "plan" in host._call("Plan", change=removal)
            assert "checks" in host._call("Check", question={"CanEnable": {"pf": PF, "count": 2}})["report"]
            assert host._call("Details", bdf=PF, parts=["RESETS"])["details"]["bdf"] == PF
            assert host._call("Log")["lines"]
            assert host._call("CannotRemember") == {"problem": None}
            assert host._call("Operation", key=job.operation)["operation"]["over"] is False
            assert host._call("Perform", key=job.operation, change=removal)["operation"]["over"] is False, "once, not twice"
            assert "events" in host._call("Events")
            assert outcomes == []
        thread.join(DEADLINE)
        assert outcomes
        assert outcomes[0].ok
        assert outcomes[0].waited
        assert host.snapshot().vfs_of(PF) == []

        outcome = host.perform(SetNumvfs(PF, 2))
        assert outcome.ok, outcome
        with neighbour("router-vm", HELD, TOKEN.reveal_text()) as router:
            assert router.answer == "open"
            thread, outcomes, _ = begin(host, REMOVAL, router)
            connection = host._connection
            assert connection is not None
            process = connection._close.__self__._process  # type: ignore[attr-defined]
            host.close()
            thread.join(PATIENCE)
            assert outcomes[0].attempted, "whether it was done is not known"
            assert not outcomes[0].ok
            process.wait(PATIENCE)  # although the write is where it was
            assert processes("vfdeck-write") != []

            with agent() as other:
                late = other.perform(REMOVAL)
                assert not late.attempted
                assert late.explanation is not None
                assert "which has ended, waits in the kernel still" in late.explanation.rule
        until(lambda: processes("vfdeck-write") == [], lambda: processes("vfdeck-write"))
        assert not list(Path(f"/sys/bus/pci/devices/{PF}").glob("virtfn*"))
    folder = folder_of(os.environ, os.geteuid())
    assert folder is not None
    results = [one.result for one in read(folder).changes if one.what == "set VFs to 0"]
    assert results == ["done", "begun, and no word of its end", "not attempted"]
