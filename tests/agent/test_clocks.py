"""The wall clock is set back or forth by a year while an agent and its client run: nothing that takes time is measured by it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.agent.test_remote_host import PF
from tests.fabricate import Fake, build, with_vfs
from vfdeck.backend.agent import protocol
from vfdeck.backend.agent.connection import Connection, Lost, Refused
from vfdeck.backend.agent.remote_host import RemoteHost
from vfdeck.backend.agent.server import Server
from vfdeck.backend.agent.service import HostService
from vfdeck.backend.agent.transports import Local
from vfdeck.backend.changes import SetAutoprobe
from vfdeck.backend.history import read
from vfdeck.backend.linux.kernel import LinuxKernel
from vfdeck.backend.linux.writes import Finished
from vfdeck.backend.local_host import LocalHost
from vfdeck.backend.memory import Memory
from vfdeck.backend.model import Snapshot
from vfdeck.backend.set_clock import SetClock
from vfdeck.backend.state_folder import StateFolder
from vfdeck.backend.turns import Turns

YEAR = 366 * 86400.0
PATIENCE = 60.0

Jump = Callable[[], None]


@pytest.fixture(params=[YEAR, -YEAR], ids=["forth", "back"])
def jump(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Jump:
    """Sets the wall clock, of agent and client alike."""
    wall, wall_ns, moved = time.time, time.time_ns, [0.0]
    monkeypatch.setattr(time, "time", lambda: wall() + moved[0])
    monkeypatch.setattr(time, "time_ns", lambda: wall_ns() + int(moved[0]) * 10**9)

    def set_it() -> None:
        moved[0] += request.param

    return set_it


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Where the history is."""
    return tmp_path / "state"


@pytest.fixture
def local(tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch) -> LocalHost:
    """What the agent has."""
    pf = Fake(PF, driver="vfio-pci", group=10, totalvfs=8)
    kernel = LinuxKernel(str(build(tmp_path / "tree", [with_vfs(pf, 4, driver="vfio-pci", group=11)])))
    memory = Memory(kernel, {"XDG_STATE_HOME": str(state)})
    monkeypatch.setattr(memory, "_turns", Turns(str(tmp_path / "turns")))
    monkeypatch.setattr("vfdeck.backend.system_log.SystemLog.send", lambda *_: None)
    return LocalHost(kernel, memory=memory)


@pytest.fixture
def host(local: LocalHost, monkeypatch: pytest.MonkeyPatch) -> Iterator[RemoteHost]:
    """The client's: its agent is a thread of this process, so that both have the clock that is set."""
    source, out = os.pipe()
    inward, sink = os.pipe()
    news, writer = os.pipe2(os.O_NONBLOCK)

    def wake() -> None:
        with suppress(BlockingIOError):
            os.write(writer, b"!")

    def serve() -> None:
        with suppress(BrokenPipeError):
            Server(HostService(local, False, wake), source, sink, news).run()
        os.close(sink)

    agent = threading.Thread(target=serve, daemon=True)
    agent.start()
    connection = Connection(inward, out, lambda: os.close(out))
    made = RemoteHost("hv-1", Local())
    monkeypatch.setattr(made, "_connect", lambda asking: connection)
    yield made
    made.close()
    agent.join(PATIENCE)
    assert not agent.is_alive()
    local.close()


def test_looks_events_and_changes_go_on(host: RemoteHost, local: LocalHost, state: Path, jump: Jump) -> None:
    first = host.snapshot()
    woken: list[bool] = []
    waiting = threading.Thread(target=lambda: woken.append(host.wait_for_change(PATIENCE)), daemon=True)
    waiting.start()
    jump()
    seen = host.snapshot()
    assert abs(seen.taken - first.taken) > YEAR / 2, "moments are by the clock as it is now"
    assert (seen.functions, seen.problems) == (first.functions, ())
    assert host.perform(SetAutoprobe(PF, False)).ok
    waiting.join(PATIENCE)
    assert woken == [True]
    jump()
    assert host.perform(SetAutoprobe(PF, True)).ok
    changes = read(StateFolder(str(state / "vfdeck"))).changes
    assert [(one.change["on"], one.result) for one in changes] == [(False, "done"), (True, "done")], "in the order of what was done"
    assert host._connection is not None
    assert host._connection.lost == ""


def test_what_is_under_way_is_as_old_as_it_is(local: LocalHost, jump: Jump, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go = threading.Event(), threading.Event()

    class Waits(Finished):
        """A write that waits."""

        def wait(self, seconds: float) -> bool:
            begun.set()
            return go.wait(min(seconds, PATIENCE))

    monkeypatch.setattr(LinuxKernel, "write", lambda self, path, data: Waits(path, None))
    changing = threading.Thread(target=lambda: local.perform(SetAutoprobe(PF, False)), daemon=True)
    changing.start()
    assert begun.wait(PATIENCE)
    jump()
    seen = local.snapshot()
    [job] = seen.jobs
    assert abs(seen.taken - job.started) < YEAR / 2
    go.set()
    changing.join(PATIENCE)


def test_a_clock_that_is_adjusted_slowly_is_not_set() -> None:
    wall, beside = iter([1000.0, 1010.5, 1020.0, 521.0, 531.0]), iter([0.0, 10.0, 20.0, 21.0, 31.0])
    clock = SetClock(lambda: next(wall), lambda: next(beside))
    assert [clock.moved() for _ in range(4)] == [0.0, 0.0, -500.0, 0.0]


@pytest.fixture
def listening(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Callable[[], None]], None]]:
    """Has something happen every time that the agent begins to wait for a call of its own to be over."""
    listen, then = Server._listen, [lambda: None]

    def listens(self: Server, seconds: float | None, *others: int) -> None:
        if others:
            then[0]()
        listen(self, seconds, *others)

    monkeypatch.setattr(Server, "_listen", listens)
    yield lambda what: then.__setitem__(0, what)
    then[0] = lambda: None


Listening = Callable[[Callable[[], None]], None]


def test_a_call_is_given_no_less_time(
    host: RemoteHost, local: LocalHost, jump: Jump, listening: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, waits = threading.Event(), threading.Semaphore(0)
    monkeypatch.setattr(local, "log", lambda: go.wait(PATIENCE) and None)
    listening(waits.release)
    answers: list[object] = []
    asking = threading.Thread(target=lambda: answers.append(host._call("Log")), daemon=True)
    asking.start()
    assert waits.acquire(timeout=PATIENCE)
    jump()
    another = threading.Thread(target=lambda: host._call("CannotRemember"), daemon=True)
    another.start()  # so that it looks at the clock
    assert waits.acquire(timeout=PATIENCE)
    go.set()
    asking.join(PATIENCE)
    another.join(PATIENCE)
    assert answers == [{"lines": None}]


def test_a_call_is_given_no_more_time(
    host: RemoteHost, local: LocalHost, jump: Jump, listening: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = threading.Event()
    monkeypatch.setattr(local, "log", lambda: go.wait(PATIENCE) and None)
    monkeypatch.setitem(protocol.DEADLINES, "Log", 0.01)
    listening(jump)
    with pytest.raises(Refused, match="Deadline"):
        host._call("Log")
    go.set()


def test_an_agent_that_is_mute_is_given_up(jump: Jump) -> None:
    incoming, answering = os.pipe()
    asked, outgoing = os.pipe()
    connection = Connection(incoming, outgoing, lambda: os.close(answering))
    lost: list[str] = []

    def ask() -> None:
        try:
            connection.call("mute", {}, 0.1)
        except Lost as why:
            lost.append(str(why))

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    assert os.read(asked, 100)  # it waits from now on
    jump()
    asking.join(PATIENCE)
    assert lost == ["no answer for 0.1 s"]


def test_a_look_is_as_old_as_it_is(local: LocalHost, jump: Jump, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[Snapshot] = []
    look = local.snapshot

    def counted() -> Snapshot:
        looks.append(look())
        return looks[-1]

    monkeypatch.setattr(local, "snapshot", counted)
    service = HostService(local, False, lambda: None)
    hour = 3600 * 10**9
    for age, looked in ((hour, 1), (hour, 1), (0, 2)):
        service.methods["Snapshot"]({"age_ns": age})
        assert len(looks) == looked
        jump()
    answer = service.methods["Snapshot"]({"since": 1})
    assert answer["unchanged"], "what the clock says is no news of the host"
    local.close()
