"""An agent, and a client of one, that stop at a step of an operation and say so: for who kills them there (`test_kill.py`).

    python -m tests.agent.mortal CONTROL TREE STATE STEP            the agent, on standard streams
    python -m tests.agent.mortal CONTROL TREE STATE STEP KEY        a client, which starts such an agent

CONTROL is a descriptor: a line of JSON comes from there for everything that is worth it, and its end with the last of both. TREE is
a root whose kernel is the test: `sriov_numvfs` there is a pipe. What stops never goes on by itself.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, NoReturn
from unittest.mock import patch

from vfdeck.backend import audit, system_log, turns
from vfdeck.backend.agent import operations, serving
from vfdeck.backend.agent.connection import Connection, Lost, Refused
from vfdeck.backend.agent.wire import REQUESTS
from vfdeck.backend.changes import Change, Outcome, Plan, SetNumvfs
from vfdeck.backend.kernel import Pending
from vfdeck.backend.linux import kernel as linux
from vfdeck.backend.local_host import LocalHost
from vfdeck.backend.memory import Memory

PF = "0000:03:00.0"
CHANGE = SetNumvfs(PF, 4)
#: The agent's steps of an operation, in order: it is asked for; begun, and answered; in the history; in the kernel, which does not
#: answer; done; and that it is done is in the history.
AGENT = ("asked", "begun", "noted", "writing", "written", "ended")
#: The client's: before it asks for anything.
CLIENT = "unasked"
PATIENCE = 60.0
REPO = Path(__file__).resolve().parents[2]


def command(control: int, *arguments: str) -> list[str]:
    """The command line of one."""
    return [sys.executable, "-m", "tests.agent.mortal", str(control), *arguments]


class Steps:
    """Where a process stops; `said` goes to the test."""

    def __init__(self, control: int, stop_at: str) -> None:
        self._control, self._stop_at = control, stop_at

    def say(self, **said: Any) -> None:
        """A line for the test."""
        os.write(self._control, json.dumps(said).encode() + b"\n")

    def at(self, step: str) -> None:
        """Stop here for ever, where that was asked for."""
        if step == self._stop_at:
            self.say(at=step)
            threading.Event().wait()


def agent(control: int, tree: str, state: str, stop_at: str) -> None:
    """Serve, and stop there."""
    steps = Steps(control, stop_at)
    write, note, perform, begin = linux.LinuxKernel.write, audit.AuditTrail._write, LocalHost.perform, operations.Operations.begin

    def slow_begin(self: operations.Operations, *asked: Any) -> operations.Operation:
        steps.at("asked")
        return begin(self, *asked)

    def slow_perform(self: LocalHost, change: Change, confirmed: Plan | None = None) -> Outcome:
        steps.at("begun")
        return perform(self, change, confirmed)

    def slow_note(self: audit.AuditTrail, number: str, event: str, **fields: Any) -> None:
        note(self, number, event, **fields)
        steps.at({"begun": "noted", "done": "ended"}[event])

    def slow_write(self: linux.LinuxKernel, path: str, data: bytes) -> Pending:
        pending = write(self, path, data)
        steps.at("writing")
        if stop_at == "written":
            assert pending.wait(PATIENCE)
        steps.at("written")
        return pending

    host_kernel = linux.LinuxKernel(tree)
    memory = Memory(host_kernel, {"XDG_STATE_HOME": state})
    with (
        patch.object(linux, "_WRITE", linux._WRITE & ~os.O_NONBLOCK),  # a pipe waits for nobody otherwise, as a real kernel does
        patch.object(memory, "_turns", turns.Turns(f"{state}/turns")),
        patch.object(system_log.SystemLog, "send", lambda *_: None),
        patch.object(operations.Operations, "begin", slow_begin),
        patch.object(LocalHost, "perform", slow_perform),
        patch.object(audit.AuditTrail, "_write", slow_note),
        patch.object(linux.LinuxKernel, "write", slow_write),
    ):
        serving.serve(LocalHost(host_kernel, memory=memory), False)


def start_agent(control: int, tree: str, state: str, stop_at: str = "") -> tuple[subprocess.Popen[bytes], Connection]:
    """An agent, and a connection to it."""
    process = subprocess.Popen(
        command(control, tree, state, stop_at), cwd=REPO, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=(control,)
    )
    assert process.stdin is not None
    assert process.stdout is not None
    return process, Connection(process.stdout.fileno(), process.stdin.fileno(), process.stdin.close)


def ask(connection: Connection, method: str, **parameters: Any) -> dict[str, Any]:
    """A call of our interface."""
    return connection.call(f"io.vfdeck.Agent.{method}", parameters, PATIENCE)


def client(control: int, tree: str, state: str, stop_at: str, key: str) -> NoReturn:
    """Ask for the change, and wait until it is over; say what it was told."""
    steps = Steps(control, stop_at)
    process, connection = start_agent(control, tree, state, stop_at)
    steps.say(agent=process.pid)
    try:
        ask(connection, "Hello", protocol_min=1, protocol_max=1)
        steps.at(CLIENT)
        told = ask(connection, "Perform", key=key, change=REQUESTS.encode_one_of(CHANGE))["operation"]
        since = 0
        while not told["over"]:
            for event in ask(connection, "Events", since=since, wait_ns=10**10)["events"]:
                since = event["number"]
            told = ask(connection, "Operation", key=key)["operation"]
        steps.say(told=told)
    except (Lost, Refused) as fault:
        steps.say(fault=type(fault).__name__)
    os._exit(0)


if __name__ == "__main__":
    descriptor, *arguments = sys.argv[1:]
    os.set_inheritable(int(descriptor), False)  # it ends with these two processes, not with one that writes
    if len(arguments) == 4:
        client(int(descriptor), *arguments)
    agent(int(descriptor), *arguments)
