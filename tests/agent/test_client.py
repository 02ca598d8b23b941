"""The client's side of a connection: how it begins, what is said where it does not, and how it ends."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from vfdeck.backend.agent import push
from vfdeck.backend.agent.connection import REPLIES, Connection, Lost, Refused
from vfdeck.backend.agent.transports import Fault, Link, Local, Ssh, Unreached, classify, is_host_name

#: An agent that echoes, refuses, answers nothing, answers garbage or dies, as it is told.
FAKE = """
import json, os, sys
def main():
    rest = b""
    while True:
        data = os.read(0, 65536)
        if not data:
            return
        rest += data
        while b"\\0" in rest:
            text, rest = rest.split(b"\\0", 1)
            call = json.loads(text)
            name = call["method"]
            if name == "echo":
                answer = {"parameters": call["parameters"]}
            elif name == "refuse":
                answer = {"error": "x.Denied", "parameters": {"errno": 13}}
            elif name == "garbage":
                os.write(1, b"\\xff\\0")
                continue
            elif name == "count":
                for number in range(call["parameters"]["to"]):
                    os.write(1, json.dumps({"parameters": {"number": number}, "continues": True}).encode() + b"\\0")
                answer = {"parameters": {"number": call["parameters"]["to"]}}
            elif name == "die":
                os._exit(3)
            else:
                continue
            os.write(1, json.dumps(answer).encode() + b"\\0")
"""


def packed(source: str = FAKE) -> push.Packed:
    return push.pack("fake:main", (), (("fake.py", source),))


def connect() -> tuple[Link, Connection]:
    link = Link(Local(), packed())
    return link, Connection(link.incoming, link.outgoing, link.close)


def gone(link: Link) -> bool:
    """Whether the process ended, within some seconds."""
    link._process.wait(10)
    return link._process.returncode is not None


def test_calls_from_many_threads_get_their_own_answers() -> None:
    link, connection = connect()
    answers: dict[int, object] = {}

    def ask(number: int) -> None:
        answers[number] = connection.call("echo", {"number": number, "text": "x" * number * 100}, 20)["number"]

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {number: number for number in range(40)}
    connection.give_up("")
    assert gone(link)


def test_a_refusal_is_told_with_what_it_tells() -> None:
    link, connection = connect()
    with pytest.raises(Refused, match=r"x\.Denied \(errno: 13\)") as refused:
        connection.call("refuse", {}, 20)
    assert refused.value.told == {"errno": 13}
    assert connection.call("echo", {"still": "there"}, 20) == {"still": "there"}
    connection.give_up("")
    assert gone(link)


def test_replies_that_are_several_are_told_together() -> None:
    link, connection = connect()
    assert connection.call_more("count", {"to": 3}, 20) == [{"number": number} for number in range(4)]
    assert connection.call_more("echo", {"one": "only"}, 20) == [{"one": "only"}]
    with pytest.raises(Refused):
        connection.call_more("refuse", {}, 20)
    connection.give_up("")
    assert gone(link)


@pytest.mark.parametrize(("more", "to"), [(False, 1), (True, REPLIES), (True, 10 * REPLIES)])
def test_more_replies_than_were_asked_for_end_the_connection(more: bool, to: int) -> None:
    link, connection = connect()
    with pytest.raises(Lost, match="more replies to a call than were asked for"):
        (connection.call_more if more else connection.call)("count", {"to": to}, 20)
    assert gone(link)


def test_replies_that_are_too_long_together_end_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vfdeck.backend.agent.connection.REPLY", 1 << 14)
    link, connection = connect()
    with pytest.raises(Lost, match="more replies to a call than were asked for"):
        connection.call_more("count", {"to": REPLIES - 1}, 20)
    assert gone(link)


@pytest.mark.parametrize(("method", "why"), [("mute", "no answer for"), ("garbage", "no Varlink"), ("die", "the connection ended")])
def test_a_connection_that_is_lost_says_why_and_leaves_nothing_behind(method: str, why: str) -> None:
    link, connection = connect()
    with pytest.raises(Lost, match=why):
        connection.call(method, {}, 0.2 if method == "mute" else 20)
    assert why in connection.lost
    assert gone(link)
    with pytest.raises(Lost, match=why):
        connection.call("echo", {}, 20)


def test_all_who_wait_are_told() -> None:
    link, connection = connect()
    told: list[str] = []

    def ask() -> None:
        try:
            connection.call("mute", {}, 30)
        except Lost as lost:
            told.append(str(lost))

    threads = [threading.Thread(target=ask) for _ in range(5)]
    for thread in threads:
        thread.start()
    with pytest.raises(Lost):
        connection.call("die", {}, 30)
    for thread in threads:
        thread.join(20)
    assert set(told) == {"the connection ended"}
    assert len(told) == 5
    assert gone(link)


def test_a_request_that_is_too_long_is_not_sent() -> None:
    link, connection = connect()
    with pytest.raises(ValueError, match="more than"):
        connection.call("echo", {"text": "x" * 70000}, 20)
    assert connection.call("echo", {}, 20) == {}
    connection.give_up("")
    assert gone(link)


# -- beginning -------------------------------------------------------------------------------------------------------------
def ssh(tmp_path: Path, script: str) -> str:
    """A command that stands in for ssh."""
    program = tmp_path / "ssh"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return str(program)


RUN = 'for last; do :; done; exec sh -c "$last"'


def test_what_the_login_shell_prints_is_skipped(tmp_path: Path) -> None:
    program = ssh(tmp_path, f"echo Welcome; printf 'no newline '; {RUN}")
    link = Link(Ssh("host", program=program), packed())
    connection = Connection(link.incoming, link.outgoing, link.close)
    assert connection.call("echo", {"a": 1}, 20) == {"a": 1}
    connection.give_up("")
    assert gone(link)


def test_the_name_of_a_host_comes_after_the_end_of_the_options(tmp_path: Path) -> None:
    program = ssh(tmp_path, f'printf "%s\\n" "$@" > {tmp_path}/argv; {RUN}')
    link = Link(Ssh("root@hv-1", program=program), packed())
    link.close()
    assert gone(link)
    words = (tmp_path / "argv").read_text().splitlines()
    assert words[words.index("--") + 1] == "root@hv-1"
    assert "BatchMode=yes" in words
    assert not any("StrictHostKeyChecking" in word for word in words)


@pytest.mark.parametrize(
    ("script", "fault"),
    [
        ("echo 'root@hv: Permission denied (publickey).' >&2; exit 255", Fault.LOGIN),
        ("echo 'Host key verification failed.' >&2; exit 255", Fault.HOST_KEY),
        ("echo 'ssh: connect to host hv port 22: Connection refused' >&2; exit 255", Fault.UNREACHABLE),
        ("echo 'Permission denied (publickey).' >&2; echo 'Connection closed by UNKNOWN port 65535' >&2; exit 255", Fault.LOGIN),
        ("echo 'sudo: a password is required' >&2; exit 1", Fault.SUDO),
        ("echo '/etc/motd: Permission denied' >&2; echo 'bash: line 1: sudo: command not found' >&2; exit 127", Fault.NO_SUDO),
        ("echo 'sh: 1: sudo: not found' >&2; exit 127", Fault.NO_SUDO),
        ("echo 'zsh:1: command not found: sudo' >&2; exit 127", Fault.NO_SUDO),
        ("echo 'rc: /etc/motd: Permission denied' >&2; echo 'sh: not found' >&2; exit 127", Fault.NO_PYTHON),
        ("echo 'sh: not found' >&2; exit 127", Fault.NO_PYTHON),
        ("exit 3", Fault.PROTOCOL),
        ("yes", Fault.PROTOCOL),
        ("cat >/dev/null", Fault.UNREACHABLE),
        ("kill -9 $$", Fault.UNREACHABLE),
    ],
)
def test_why_there_is_no_agent(tmp_path: Path, script: str, fault: Fault) -> None:
    with pytest.raises(Unreached) as unreached:
        Link(Ssh("hv", program=ssh(tmp_path, script)), packed(), patience=1.0 if "cat" in script else 20.0)
    assert unreached.value.fault is fault
    assert fault.final is (fault is not Fault.UNREACHABLE)


def test_no_python_is_told_by_the_host_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(push, "PYTHONS", ("/nowhere/python3",))
    with pytest.raises(Unreached, match=r"no Python 3\.9") as unreached:
        Link(Ssh("hv", program=ssh(tmp_path, RUN)), packed())
    assert unreached.value.fault is Fault.NO_PYTHON


def test_without_ssh(tmp_path: Path) -> None:
    with pytest.raises(Unreached, match="No such file"):
        Link(Ssh("hv", program=str(tmp_path / "absent")), packed())


def test_what_it_says_is_foreign_text(tmp_path: Path) -> None:
    program = ssh(tmp_path, "printf 'evil \\033[31m words' >&2; exit 255")
    with pytest.raises(Unreached) as unreached:
        Link(Ssh("hv", program=program), packed())
    assert "\x1b" not in str(unreached.value)


@pytest.mark.parametrize("name", ["hv-1", "root@hv-1.example.org", "10.0.0.1", "fe80::1", "a_b"])
def test_names_of_hosts(name: str) -> None:
    assert is_host_name(name)


@pytest.mark.parametrize(
    "name", ["", "-oProxyCommand=x", "hv;ls", "a b", "hv\n", "$(x)", "a@b@c", "@hv", "hv`x`", "-", "user@-x", "%h"]
)
def test_what_is_no_name_of_a_host(name: str) -> None:
    assert not is_host_name(name)
    with pytest.raises(ValueError, match="expected a host"):
        Ssh(name)


def test_a_status_of_ssh_without_words() -> None:
    assert classify(255, []) == (Fault.UNREACHABLE, "")
    assert classify(None, []) == (Fault.UNREACHABLE, "")


def test_the_line_that_is_told_is_the_one_that_says_why(tmp_path: Path) -> None:
    """Behind a jump host the last line is of the outer ssh, which knows only that the inner one has ended."""
    said = "echo 'jump: Permission denied (publickey).' >&2; echo 'Connection closed by UNKNOWN port 65535' >&2; exit 255"
    with pytest.raises(Unreached, match=r"^the login was refused: jump: Permission denied \(publickey\)\.$"):
        Link(Ssh("hv", program=ssh(tmp_path, said)), packed())


def test_without_sudo(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unreached, match="there is no sudo") as unreached:
        Link(Local(sudo=True), packed())
    assert unreached.value.fault is Fault.NO_SUDO


def test_the_number_of_a_closed_link_is_nobody_elses(tmp_path: Path) -> None:
    """A thread may still be writing a request there."""
    link = Link(Ssh("hv", program=ssh(tmp_path, RUN)), packed())
    link.close()
    assert os.write(link.outgoing, b"a request") == 9
    assert gone(link)


def test_an_agent_whose_client_was_killed_ends() -> None:
    """What holds its input is the client alone: SIGKILL of it is the end of the input."""
    code = (
        "import sys, time\n"
        "sys.path.insert(0, '.')\n"
        "from tests.agent.test_client import connect\n"
        "link, connection = connect()\n"
        "print(link._process.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as client:
        assert client.stdout is not None
        agent = os.pidfd_open(int(client.stdout.readline()))
        client.kill()
    assert select.select([agent], [], [], 20)[0], "the agent lives on"
    os.close(agent)
