"""SIGKILL of either side at every step of an operation: nothing is lost, and nothing is done twice.

The processes are real; the kernel is this test, at the other end of a pipe in the place of `sriov_numvfs`: it knows what was
written, and when it is read. Steps are told by the processes themselves (`mortal.py`); nobody waits for a time.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.agent import mortal
from tests.agent.mortal import AGENT, CHANGE, CLIENT, PF, ask, start_agent
from tests.fabricate import Fake, build
from vfdeck.backend.agent.connection import Connection, Refused
from vfdeck.backend.agent.wire import REQUESTS
from vfdeck.backend.history import Done, read
from vfdeck.backend.state_folder import StateFolder

UNTOLD, DONE = "begun, and no word of its end", "done"
#: What the kernel was asked for, and what the history says, of an operation one side of which was killed at this step.
EXPECTED: dict[str, tuple[bytes, str | None]] = {
    "unasked": (b"", None),
    "asked": (b"", None),
    "begun": (b"", None),  # nothing in the history: nothing was done, whatever else is known
    "noted": (b"", UNTOLD),
    "writing": (b"4\n", UNTOLD),
    "written": (b"4\n", UNTOLD),
    "ended": (b"4\n", DONE),
}


class World:
    """A machine: its kernel, its history, and what its processes say."""

    def __init__(self, folder: Path) -> None:
        self.tree, self.state = folder / "tree", folder / "state"
        self.state.mkdir(mode=0o700)
        build(self.tree, [Fake(PF, driver="vfio-pci", group=10, totalvfs=8)])
        [numvfs] = self.tree.glob(f"sys/devices/**/{PF}/sriov_numvfs")
        numvfs.unlink()
        os.mkfifo(numvfs)
        self.kernel = os.open(numvfs, os.O_RDWR | os.O_NONBLOCK)
        self._reader, self.control = os.pipe()
        self._said = os.fdopen(self._reader, "rb")
        self._filled = 0

    @property
    def places(self) -> tuple[str, str]:
        """As arguments."""
        return str(self.tree), str(self.state)

    def be_busy(self) -> None:
        """Whatever is written waits from now on."""
        fcntl.fcntl(self.kernel, fcntl.F_SETPIPE_SZ, 4096)
        self._filled = os.write(self.kernel, b"x" * 65536)

    def do(self, length: int) -> bytes:
        """Go on; what was asked for until now, and, up to so many bytes, what is still to come."""
        found = os.read(self.kernel, self._filled) if self._filled else b""
        assert found == b"x" * self._filled
        self._filled = 0
        os.set_blocking(self.kernel, True)
        asked = os.read(self.kernel, length) if length else b""
        os.set_blocking(self.kernel, False)
        try:
            return asked + os.read(self.kernel, 100)
        except BlockingIOError:
            return asked

    def said(self) -> dict[str, Any]:
        """The next thing that a process says; {} when all have ended."""
        line = self._said.readline()
        return json.loads(line) if line else {}

    def is_quiet(self) -> None:
        """No process is to come any more that says anything."""
        os.close(self.control)

    def history(self) -> tuple[Done, ...]:
        """What is written down."""
        return read(StateFolder(str(self.state / "vfdeck"))).changes

    def close(self) -> None:
        """Let go."""
        os.close(self.kernel)
        self._said.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


@contextmanager
def second_agent(world: World) -> Iterator[Connection]:
    """Another agent on that machine, later."""
    control = os.open(os.devnull, os.O_WRONLY)
    process, connection = start_agent(control, *world.places)
    os.close(control)
    try:
        yield connection
    finally:
        connection.give_up("the test is over")
        assert process.wait(mortal.PATIENCE) == 0


def perform(connection: Connection, key: str) -> dict[str, Any]:
    """The change, by a client that waits for its end."""
    told: dict[str, Any] = ask(connection, "Perform", key=key, change=REQUESTS.encode_one_of(CHANGE))["operation"]
    since = 0
    while not told["over"]:
        for event in ask(connection, "Events", since=since, wait_ns=10**10)["events"]:
            since = event["number"]
        told = ask(connection, "Operation", key=key)["operation"]
    return told


def kill(world: World, victim: str, step: str, key: str) -> None:
    """Have both begin, and kill one of them there. Returns when both have ended."""
    client = subprocess.Popen(
        mortal.command(world.control, *world.places, step, key),
        cwd=mortal.REPO,
        pass_fds=(world.control,),
        stdin=subprocess.DEVNULL,
    )
    world.is_quiet()
    agent = world.said()["agent"]
    assert world.said() == {"at": step}
    os.kill(agent if victim == "agent" else client.pid, signal.SIGKILL)
    last = world.said()
    assert last == ({"fault": "Lost"} if victim == "agent" else {})
    if last:
        assert world.said() == {}, "both have ended"
    client.wait(mortal.PATIENCE)


@pytest.mark.parametrize(("victim", "step"), [("agent", step) for step in AGENT] + [("client", step) for step in (CLIENT, *AGENT)])
def test_nothing_is_lost_and_nothing_done_twice(world: World, victim: str, step: str) -> None:
    key = str(uuid.uuid4())
    written, history = EXPECTED[step]
    if step == "writing":
        world.be_busy()
    kill(world, victim, step, key)
    with second_agent(world) as later:
        if step == "writing":  # and it still is: nobody else may write now
            refused = perform(later, str(uuid.uuid4()))["outcome"]
            assert refused["attempted"] is False
            assert "which has ended, waits in the kernel still" in refused["explanation"]["rule"]
        assert world.do(len(written)) == written
        noted = [one.result for one in world.history() if one.key == key]
        assert noted == ([] if history is None else [history])
        with pytest.raises(Refused) as unknown:
            ask(later, "Operation", key=key)
        told = {"key": key} if history is None else {"key": key, "history": history}
        assert (unknown.value.name, unknown.value.told) == ("io.vfdeck.Agent.NoSuchOperation", told)
        if history is None:
            assert "errno" not in perform(later, key)["outcome"]
        else:
            with pytest.raises(Refused, match=f"another agent began a change under this key: {history}"):
                ask(later, "Perform", key=key, change=REQUESTS.encode_one_of(CHANGE))
    assert world.do(0) == (b"4\n" if history is None else b""), "once, all in all"
    assert len([one for one in world.history() if one.key == key]) == 1


def test_a_client_that_is_told_of_the_end_leaves_nothing_open(world: World) -> None:
    """Killed by nobody: so that the steps above are the steps of something that works."""
    key = str(uuid.uuid4())
    client = subprocess.Popen(
        mortal.command(world.control, *world.places, "", key), cwd=mortal.REPO, pass_fds=(world.control,), stdin=subprocess.DEVNULL
    )
    world.is_quiet()
    assert "agent" in world.said()
    told = world.said()["told"]
    assert told["over"]
    assert "errno" not in told["outcome"]
    assert world.said() == {}
    client.wait(mortal.PATIENCE)
    assert world.do(1) == b"4\n"
    assert [(one.key, one.result) for one in world.history()] == [(key, DONE)]
