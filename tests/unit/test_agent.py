"""The agent, spoken to over pipes as a client does: in this process, on a host of the demo."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import threading
import typing
import uuid
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, cast

import pytest

from tests import values
from tests.values import TOKEN
from vfdeck.app.commands.outcomes import plan_text
from vfdeck.backend.agent import idl, protocol, service
from vfdeck.backend.agent.framing import message
from vfdeck.backend.agent.server import Server
from vfdeck.backend.agent.service import BY_KEY, HostService, applied, delta, merged
from vfdeck.backend.agent.wire import REPLIES, REQUESTS
from vfdeck.backend.changes import Change, Outcome, Plan, SetAutoprobe, SetNumvfs, SetToken
from vfdeck.backend.local_host import LocalHost
from vfdeck.backend.model import ONLY_LOOKS, Function, Snapshot
from vfdeck.backend.sim.kernel import SimulatedKernel
from vfdeck.backend.sim.scenario import load

IDLE, HELD = "0000:af:00.0", "0000:03:00.0"
OURS = "io.vfdeck.Agent"


class Client:
    """The other end of an agent's streams. Every read waits for at most a minute."""

    def __init__(self, host: LocalHost, read_only: bool = False) -> None:
        source, self.out = os.pipe()
        self.inward, sink = os.pipe()
        news, writer = os.pipe2(os.O_NONBLOCK)

        def wake() -> None:
            with suppress(BlockingIOError):
                os.write(writer, b"!")

        self.host = host
        served = Server(HostService(host, read_only, wake), source, sink, news)

        def run() -> None:
            with suppress(BrokenPipeError):
                served.run()
            os.close(sink)

        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()
        self._bytes = b""

    def send(self, method: str, **parameters: Any) -> None:
        method = method if "." in method else f"{OURS}.{method}"
        os.write(self.out, message({"method": method, "parameters": parameters}))

    def receive(self) -> dict[str, Any]:
        while b"\0" not in self._bytes:
            data = os.read(self.inward, 1 << 16)
            if not data:
                raise EOFError
            self._bytes += data
        one, _, self._bytes = self._bytes.partition(b"\0")
        value: dict[str, Any] = json.loads(one)
        return value

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self.send(method, **parameters)
        answer = self.receive()
        assert "error" not in answer, answer
        told: dict[str, Any] = answer["parameters"]
        return told

    def refused(self, method: str, **parameters: Any) -> tuple[str, dict[str, Any]]:
        self.send(method, **parameters)
        answer = self.receive()
        return answer["error"].rpartition(".")[2], answer["parameters"]

    def perform(self, change: Change, **more: Any) -> str:
        key = str(uuid.uuid4())
        self.call("Perform", key=key, change=REQUESTS.encode_one_of(change), **more)
        return key

    def over(self, key: str) -> dict[str, Any]:
        """The operation, when it is over: told by an event."""
        since = 0
        while True:
            operation: dict[str, Any] = self.call("Operation", key=key)["operation"]
            if operation["over"]:
                return operation
            for event in self.call("Events", since=since, wait_ns=10**10)["events"]:
                since = event["number"]


@pytest.fixture
def client() -> Iterator[Client]:
    made = Client(load("default"))
    yield made
    with suppress(OSError):
        os.close(made.out)
    made.host.close()


@pytest.fixture
def reader() -> Iterator[Client]:
    made = Client(load("default"), read_only=True)
    yield made
    os.close(made.out)
    made.host.close()


# -- what is told ----------------------------------------------------------------------------------------------------------
def test_hello(client: Client) -> None:
    told = client.call("Hello", protocol_min=1, protocol_max=7)
    assert (told["protocol"], told["host"], told["simulated"], told["read_only"]) == (1, "hv-07", True, False)
    assert told["features"].items() >= {"iommu": True, "vf_token": True}.items()
    assert client.refused("Hello", protocol_min=2, protocol_max=7) == ("Unsupported", {"protocol_min": 1, "protocol_max": 1})


def test_introspection_tells_what_is_there(client: Client) -> None:
    assert OURS in client.call("org.varlink.service.GetInfo")["interfaces"]
    told = client.call("org.varlink.service.GetInterfaceDescription", interface=OURS)["description"]
    assert told == idl.text(), "run python -m vfdeck.backend.agent.idl"
    standard = client.call("org.varlink.service.GetInterfaceDescription", interface="org.varlink.service")["description"]
    assert standard == idl.SERVICE_TEXT
    service = HostService(client.host, False, lambda: None)
    assert {line.split("(")[0].split()[1] for line in told.splitlines() if line.startswith("method ")} == {
        *service.methods,
        "Events",
    }


def test_a_picture_then_nothing_new_then_what_is_otherwise(client: Client) -> None:
    first = client.call("Snapshot")
    seen = REPLIES.decode(Snapshot, first["snapshot"])
    assert seen == client.host.snapshot()
    again = client.call("Snapshot", since=first["generation"])
    assert (again["generation"], again["unchanged"]) == (first["generation"], True)
    assert len(json.dumps(again)) < 100
    client.over(client.perform(SetAutoprobe(IDLE, False)))
    later = client.call("Snapshot", since=first["generation"])
    assert later["generation"] > first["generation"]
    assert set(later["delta"].get("functions", ())) == {IDLE}
    now = REPLIES.decode(Snapshot, applied(first["snapshot"], later["delta"]))
    assert now == client.host.snapshot()
    assert "snapshot" in client.call("Snapshot", since=first["generation"]), "a generation that it does not have any more"


def several(client: Client) -> list[dict[str, Any]]:
    """All replies to a call for a picture that takes more than one."""
    os.write(client.out, message({"method": f"{OURS}.Snapshot", "parameters": {}, "more": True}))
    replies = [client.receive()]
    while replies[-1].get("continues"):
        replies.append(client.receive())
    return replies


@pytest.mark.parametrize("some", [1, 5, 1000])
def test_a_picture_in_several_replies(monkeypatch: pytest.MonkeyPatch, client: Client, some: int) -> None:
    monkeypatch.setattr(service, "_SOME", some)
    whole = client.call("Snapshot")
    replies = several(client)
    assert len(replies) == -(-max(len(whole["snapshot"][name]) for name in ("functions", "groups")) // some)
    made = merged([reply["parameters"] for reply in replies])
    assert {**made["snapshot"], "taken_ns": 0} == {**whole["snapshot"], "taken_ns": 0}
    assert list(made["snapshot"]["functions"]) == list(whole["snapshot"]["functions"])
    assert made["generation"] == whole["generation"]
    assert client.call("Snapshot", since=made["generation"])["unchanged"]


def test_a_picture_of_nothing_in_several_replies() -> None:
    empty = Client(load("none"))
    (reply,) = several(empty)
    assert "host" in reply["parameters"]["snapshot"]
    os.close(empty.out)
    empty.host.close()


def test_a_fault_in_one_of_several_replies_is_the_last(monkeypatch: pytest.MonkeyPatch, client: Client) -> None:
    monkeypatch.setattr(service, "_SOME", 1)
    made: list[object] = []

    def part(value: Any) -> Any:
        made.extend([value] * isinstance(value, Function))
        return REPLIES.encode(value) if len(made) < 3 else {"a float": 0.5, "and": float("nan")}

    monkeypatch.setattr(HostService, "part", lambda self, value: part(value))
    *first, last = several(client)
    assert len(first) == 2
    assert last == {"error": f"{OURS}.Failed", "parameters": {"fault": "ValueError"}}
    assert client.call("CannotRemember") == {"problem": None}


def test_functions_that_come_and_go_are_in_the_difference(client: Client) -> None:
    first = client.call("Snapshot")
    client.over(client.perform(SetNumvfs(IDLE, 0)))
    later = client.call("Snapshot", since=first["generation"])
    assert later["delta"]["gone_functions"]
    assert REPLIES.decode(Snapshot, applied(first["snapshot"], later["delta"])) == client.host.snapshot()


def test_a_difference_of_nothing_is_nothing() -> None:
    seen, again = load("broken").snapshot(), load("broken").snapshot()
    assert delta(seen, dataclasses.replace(again, taken=seen.taken)) == {}


@pytest.mark.parametrize(("one", "other"), itertools.permutations(["default", "broken", "card", "none"], 2))
def test_a_difference_makes_one_picture_of_any_other(one: str, other: str) -> None:
    old, new = load(one).snapshot(), load(other).snapshot()
    made, told = applied(REPLIES.encode(old), delta(old, new)), REPLIES.encode(new)
    assert made == {"functions": {}, "groups": {}, "tokens": {}} | told
    assert all(list(made[name]) == list(told.get(name, {})) for name in BY_KEY), "in the order of the host"


def test_what_is_as_it_was_exists_once() -> None:
    """So that a picture costs its memory once, and a difference is quickly found."""
    host = load("default")
    one = HostService(host, False, lambda: None)
    one.methods["Snapshot"]({})
    before = one._snapshot
    host.perform(SetAutoprobe(IDLE, False))
    one.methods["Snapshot"]({})
    after = one._snapshot
    assert before is not None
    assert after is not None
    assert {bdf for bdf in after.functions if after.functions[bdf] is not before.functions[bdf]} == {IDLE}
    assert all(after.groups[number] is group for number, group in before.groups.items())


def test_other_questions(client: Client) -> None:
    change = SetNumvfs(IDLE, 2)
    planned = client.call("Plan", change=REQUESTS.encode_one_of(change))["plan"]
    assert REPLIES.decode(Plan, planned, change=change) == client.host.plan(change, client.host.snapshot())
    assert client.call("Check", question={"CanEnable": {"pf": IDLE, "count": 2}})["report"]["checks"]
    assert client.call("Details", bdf=IDLE, parts=["RESETS"])["details"]["bdf"] == IDLE
    assert client.call("Log")["lines"] == [REPLIES.encode(line) for line in client.host.log() or []]
    assert client.call("CannotRemember") == {"problem": None}


def test_what_is_put_together_keeps_its_order() -> None:
    names = ["0000:03:00.0", "0000:03:00.1", "ffff:00:00.0", "10000:00:00.0"]
    new = {"functions": dict.fromkeys(names[1:], 1), "groups": {"2": 1, "10": 1}}
    made = applied({"functions": {names[0]: 1}, "groups": {"10": 1}}, new)
    assert (list(made["functions"]), list(made["groups"])) == (names, ["2", "10"])


# -- changes ---------------------------------------------------------------------------------------------------------------
def test_the_same_key_does_it_once(client: Client) -> None:
    change = SetToken(IDLE, TOKEN)
    key, asked = str(uuid.uuid4()), REQUESTS.encode_one_of(change)
    for _ in range(3):
        client.call("Perform", key=key, change=asked)
    outcome = REPLIES.decode(Outcome, client.over(key)["outcome"], change=change)
    assert outcome.ok
    assert client.host.snapshot().scores.right == 1
    assert client.refused("Perform", key=key, change=REQUESTS.encode_one_of(SetNumvfs(IDLE, 0)))[0] == "Conflict"


def test_what_was_confirmed_is_what_is_done(client: Client) -> None:
    change = SetNumvfs(IDLE, 0)
    planned = client.call("Plan", change=REQUESTS.encode_one_of(change))["plan"]
    other = {**planned, "destructive": not planned.get("destructive", False)}
    outcome = REPLIES.decode(Outcome, client.over(client.perform(change, confirmed=other))["outcome"], change=change)
    assert not outcome.attempted
    outcome = REPLIES.decode(Outcome, client.over(client.perform(change, confirmed=planned))["outcome"], change=change)
    assert outcome.ok


def test_a_generation_that_is_past(client: Client) -> None:
    now = client.call("Snapshot")["generation"]
    asked = REQUESTS.encode_one_of(SetAutoprobe(IDLE, False))
    client.over(client.perform(SetAutoprobe(IDLE, False), generation=now))
    name, told = client.refused("Perform", key=str(uuid.uuid4()), change=asked, generation=now)
    assert (name, told["reason"]) == ("Conflict", f"the host has changed since: it is generation {now + 1} now")


@pytest.mark.parametrize("kind", typing.get_args(Change))
def test_a_reader_changes_nothing(reader: Client, kind: type) -> None:
    samples = {"pf": IDLE, "bdf": IDLE, "count": 1, "driver": "vfio-pci", "token": TOKEN, "on": True}
    needed = {name: samples[name] for name in (field.name for field in dataclasses.fields(kind)) if name in samples}
    before = reader.host.snapshot()
    asked = REQUESTS.encode_one_of(kind(**needed))
    assert reader.refused("Perform", key=str(uuid.uuid4()), change=asked) == ("ReadOnly", {})
    assert reader.host.snapshot() == before
    assert reader.call("Plan", change=asked)["plan"]["impossible"] == ONLY_LOOKS


def test_what_a_reader_does_not_do_it_tells(reader: Client) -> None:
    change = SetNumvfs(IDLE, 2)
    told = REPLIES.decode(Plan, reader.call("Plan", change=REQUESTS.encode_one_of(change))["plan"], change=change)
    first, second, *steps = plan_text(told)
    assert ONLY_LOOKS in first + second
    assert steps[0] == "  else this would be done:"
    assert any(IDLE in line and line.startswith("  1. ") for line in steps)


def test_a_write_that_waits_is_a_job_and_the_agent_answers() -> None:
    """As a removal of VFs that somebody holds. It does not keep the agent from ending."""
    host = load("default", realtime=True)
    client = Client(host)
    key = client.perform(SetNumvfs(HELD, 0))
    while not (operation := client.call("Operation", key=key)["operation"]).get("job", {}).get("waits_for"):
        client.call("Events", since=0, wait_ns=10**7)
    assert not operation["over"]
    assert HELD in operation["job"]["title"]
    assert operation["job"]["operation"] == key
    queued = client.call("Operation", key=client.perform(SetNumvfs(HELD, 0)))["operation"]
    assert (queued["over"], queued.get("job")) == (False, None), "the job is another's"
    assert client.call("Hello", protocol_min=1, protocol_max=1)["protocol"] == 1
    os.close(client.out)
    client.thread.join(60)
    assert not client.thread.is_alive()
    host.close()


def test_a_wait_for_events_ends_when_another_call_comes(client: Client) -> None:
    client.send("Events", wait_ns=60 * 10**9)
    client.send("Hello", protocol_min=1, protocol_max=1)
    assert client.receive() == {"parameters": {"events": []}}
    assert client.receive()["parameters"]["protocol"] == 1


def test_a_call_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch, client: Client) -> None:
    monkeypatch.setitem(protocol.DEADLINES, "Log", 0.01)
    stuck = threading.Event()
    monkeypatch.setattr(client.host, "log", stuck.wait)
    assert client.refused("Log") == ("Deadline", {"seconds_ns": 10**7})
    assert client.call("Hello", protocol_min=1, protocol_max=1)["protocol"] == 1
    stuck.set()


def test_calls_that_hang_are_so_many_and_no_more(monkeypatch: pytest.MonkeyPatch, client: Client) -> None:
    monkeypatch.setitem(protocol.DEADLINES, "Log", 0.01)
    stuck = threading.Event()
    monkeypatch.setattr(client.host, "log", stuck.wait)
    for _ in range(protocol.HANGING):
        assert client.refused("Log")[0] == "Deadline"
    for method, parameters in (("Log", {}), ("Details", {"bdf": IDLE, "parts": []}), ("Perform", {})):
        assert client.refused(method, **parameters) == ("Busy", {"hanging": ["Log"] * protocol.HANGING})
    assert client.refused("Operation", key="12345678")[0] == "NoSuchOperation", "what hangs nowhere is answered"
    assert client.call("Events") == {"events": []}
    stuck.set()
    for thread in threading.enumerate():
        if thread.name == "call Log":
            thread.join()
    assert client.call("Details", bdf=IDLE, parts=[])["details"]["bdf"] == IDLE


def test_changes_under_way_are_so_many_and_no_more(monkeypatch: pytest.MonkeyPatch, client: Client) -> None:
    monkeypatch.setattr("vfdeck.backend.agent.operations.RUNNING", 1)
    go, perform = threading.Event(), client.host.perform
    monkeypatch.setattr(client.host, "perform", lambda *asked: go.wait() and perform(*asked))
    key = client.perform(SetAutoprobe(IDLE, False))
    asked = REQUESTS.encode_one_of(SetAutoprobe(HELD, False))
    assert client.refused("Perform", key="00000000-0002", change=asked) == ("Busy", {"hanging": [IDLE]})
    assert client.call("Perform", key=key, change=REQUESTS.encode_one_of(SetAutoprobe(IDLE, False)))["operation"]["over"] is False
    go.set()
    client.over(key)
    client.over(client.perform(SetAutoprobe(HELD, False)))


def test_events_that_are_forgotten_are_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vfdeck.backend.agent.service._KEPT", 2)
    service = HostService(load("none"), False, lambda: None)
    for key in "abc":
        service._add({"operation": key})
    told = [service.wait({"since": since})[1]() for since in range(4)]
    assert [one and (one.get("gap"), [event["number"] for event in one["events"]]) for one in told] == [
        (True, [2, 3]),
        (None, [2, 3]),
        (None, [3]),
        None,
    ]


def test_a_fault_of_ours_tells_its_kind_only(monkeypatch: pytest.MonkeyPatch, client: Client) -> None:
    def fails() -> None:
        raise RuntimeError(TOKEN.reveal_text())

    monkeypatch.setattr(client.host, "log", fails)
    assert client.refused("Log") == ("Failed", {"fault": "RuntimeError"})


def test_an_answer_that_cannot_be_said_is_a_fault_of_ours(monkeypatch: pytest.MonkeyPatch, client: Client) -> None:
    def fails(*_: Any) -> Any:
        raise KeyError(TOKEN.reveal_text())

    with monkeypatch.context() as patched:
        patched.setattr(HostService, "part", fails)
        assert client.refused("Snapshot") == ("Failed", {"fault": "KeyError"})
    assert client.call("Snapshot")["snapshot"]["functions"]


@pytest.mark.parametrize(("method", "name"), [("Events", "wait_ns"), ("Snapshot", "age_ns")])
def test_a_number_beyond_all_clocks(client: Client, method: str, name: str) -> None:
    told = {"parameter": name, "why": "expected a number of at most 64 bits"}
    assert client.refused(method, **{name: 10**400}) == ("InvalidParameter", told)


def test_a_fault_where_none_is_expected_ends_no_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> Any:
        raise OverflowError("token 1234")

    monkeypatch.setattr(HostService, "wait", fails)
    client = Client(cast(LocalHost, load("default")))
    assert client.refused("Events") == ("Failed", {"fault": "OverflowError"})
    assert client.call("Hello", protocol_min=1, protocol_max=1)["protocol"] == 1


def test_a_call_that_was_given_up_mixes_no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    first = values.snapshot(*values.make_fleet(2))
    other = values.snapshot(
        *(dataclasses.replace(f, driver="other") if f.bdf == values.PF else f for f in first.functions.values())
    )
    seen = iter([first, other, first, first])

    class Host:
        def snapshot(self) -> Snapshot:
            return next(seen)

    service = HostService(cast(LocalHost, Host()), True, lambda: None)
    look, looked, go_on = service._look, threading.Event(), threading.Event()

    def slow(age: float | None) -> Snapshot:
        found = look(age)
        if not looked.is_set():  # the call that is given up
            looked.set()
            go_on.wait(60)
        return found

    monkeypatch.setattr(service, "_look", slow)
    answers: list[dict[str, Any]] = []
    given_up = threading.Thread(target=service._picture, args=({},))
    next_call = threading.Thread(target=lambda: answers.append(service._picture({})))
    given_up.start()
    looked.wait(60)
    next_call.start()
    next_call.join(0.2)  # it is over by then where nothing keeps it
    go_on.set()
    given_up.join(60)
    next_call.join(60)
    then = service._picture({"since": answers[0]["generation"]})
    shown = applied(REPLIES.encode(answers[0]["snapshot"]), then["delta"]) if "delta" in then else then["snapshot"]
    assert "other" not in str(shown), "the host is as at first again"


# -- what makes no sense ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("method", "parameters", "error", "told"),
    [
        ("Fly", {}, "MethodNotFound", {"method": "Fly"}),
        ("org.example.Fly", {}, "InterfaceNotFound", {"interface": "org.example"}),
        ("org.varlink.service.Fly", {}, "MethodNotFound", {"method": "Fly"}),
        ("Log", {"loud": True}, "InvalidParameter", {"parameter": "loud", "why": "there is no such parameter"}),
        ("Hello", {}, "InvalidParameter", {"parameter": "protocol_min", "why": "expected a number"}),
        ("Snapshot", {"since": "x"}, "InvalidParameter", {"parameter": "since", "why": "expected a number"}),
        (
            "Events",
            {"wait_ns": 10**400},
            "InvalidParameter",
            {"parameter": "wait_ns", "why": "expected a number of at most 64 bits"},
        ),
        (
            "Plan",
            {"change": {"SetNumvfs": {"pf": IDLE, "count": 10**40}}},
            "InvalidParameter",
            {"parameter": "change.SetNumvfs.count"},
        ),
        ("Details", {"bdf": "../x", "parts": []}, "InvalidParameter", {"parameter": "bdf"}),
        ("Details", {"bdf": IDLE, "parts": ["ALL"]}, "InvalidParameter", {"parameter": "parts"}),
        ("Plan", {"change": {"Fly": {}}}, "InvalidParameter", {"parameter": "change"}),
        ("Plan", {"change": {"SetNumvfs": {"pf": "../../x", "count": 1}}}, "InvalidParameter", {"parameter": "change.pf"}),
        ("Plan", {"change": {"SetNumvfs": {"pf": IDLE, "count": -1}}}, "InvalidParameter", {"parameter": "change.count"}),
        ("Plan", {"change": {"BindDriver": {"bdf": IDLE, "driver": "../x"}}}, "InvalidParameter", {"parameter": "change.driver"}),
        ("Perform", {"key": "a b", "change": {"Close": {"bdf": IDLE}}}, "InvalidParameter", {"parameter": "key"}),
        ("Operation", {"key": "12345678"}, "NoSuchOperation", {"key": "12345678"}),
    ],
)
def test_calls_that_are_refused(client: Client, method: str, parameters: Any, error: str, told: dict[str, Any]) -> None:
    name, found = client.refused(method, **parameters)
    assert (name, {key: found[key] for key in told}) == (error, told)
    assert client.call("Hello", protocol_min=1, protocol_max=1)["protocol"] == 1


@pytest.mark.parametrize("data", [b"GET / HTTP/1.0\r\n\r\n\0", b"x" * 70_000, b"[]\0"])
def test_what_is_no_message_ends_the_connection(client: Client, data: bytes) -> None:
    os.write(client.out, data[:65_000])
    with suppress(BrokenPipeError):
        os.write(client.out, data[65_000:])
    answer = client.receive()
    assert answer["error"] == f"{OURS}.Garbled"
    with pytest.raises(EOFError):
        client.receive()


@pytest.mark.parametrize("call", [{}, {"method": 3}, {"method": "x", "more": 1}, {"method": "x", "extra": 1}, {"upgrade": True}])
def test_a_call_of_another_shape(client: Client, call: dict[str, Any]) -> None:
    os.write(client.out, message(call))
    assert client.receive()["error"].startswith("org.varlink.service.")


def test_one_way_is_answered_by_nothing(client: Client) -> None:
    os.write(client.out, message({"method": f"{OURS}.Log", "oneway": True}))
    assert client.call("Hello", protocol_min=1, protocol_max=1)["protocol"] == 1


@pytest.mark.parametrize("method", ["Hello", "Snapshot"])
def test_a_look_that_never_ends_keeps_no_agent_whose_client_is_gone(monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    host, begun, over = load("default"), threading.Event(), threading.Event()

    def stuck() -> Snapshot:
        begun.set()
        over.wait(60)
        raise OSError("never")

    monkeypatch.setattr(host, "snapshot", stuck)
    client = Client(host)
    client.send(method, **({"protocol_min": 1, "protocol_max": 1} if method == "Hello" else {}))
    assert begun.wait(30)
    os.close(client.out)
    client.thread.join(30)
    over.set()
    assert not client.thread.is_alive()


def test_what_was_asked_before_the_end_is_answered(client: Client) -> None:
    client.send("Hello", protocol_min=1, protocol_max=1)
    client.send("Log")
    os.close(client.out)
    assert client.receive()["parameters"]["protocol"] == 1
    assert "lines" in client.receive()["parameters"]
    with pytest.raises(EOFError):
        client.receive()


def test_a_host_whose_memory_is_real_has_the_key_in_its_trail(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from vfdeck.backend.history import read
    from vfdeck.backend.memory import Memory
    from vfdeck.backend.state_folder import StateFolder

    kernel = SimulatedKernel(load("default").scenario.machine)
    client = Client(LocalHost(kernel, {}, Memory(kernel, {"XDG_STATE_HOME": str(tmp_path)})))
    key = client.perform(SetAutoprobe(IDLE, False))
    client.over(key)
    assert [one.key for one in read(StateFolder(str(tmp_path / "vfdeck"))).changes] == [key]
    os.close(client.out)


def test_what_is_not_written_down_is_told_with_the_outcome(tmp_path: Any) -> None:
    from vfdeck.backend.memory import Memory

    (tmp_path / "state").write_text("no folder")
    kernel = SimulatedKernel(load("default").scenario.machine)
    client = Client(LocalHost(kernel, {}, Memory(kernel, {"XDG_STATE_HOME": str(tmp_path / "state")})))
    *_, problem = client.over(client.perform(SetAutoprobe(IDLE, False)))["unwritten"]
    assert problem["what"] == "File exists; 2 lines of the audit trail are lost"
    os.close(client.out)


def test_two_agents_with_one_key_at_the_same_instant_do_it_once(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both find nothing of the key in the history, and both begin; whoever is first in the trail does it."""
    from vfdeck.backend.history import read
    from vfdeck.backend.memory import Memory
    from vfdeck.backend.state_folder import StateFolder

    done, both = Memory.done, threading.Barrier(2, timeout=20)
    looks = itertools.count()

    def together(memory: Memory, key: str) -> Any:
        found = done(memory, key)
        if next(looks) < 2:
            both.wait()
        return found

    monkeypatch.setattr(Memory, "done", together)
    kernels = [SimulatedKernel(load("default").scenario.machine) for _ in range(2)]
    hosts = [LocalHost(kernel, {}, Memory(kernel, {"XDG_STATE_HOME": str(tmp_path)})) for kernel in kernels]
    clients = [Client(host) for host in hosts]
    key = "the-same-key-for-both"
    for client in clients:
        client.send("Perform", key=key, change=REQUESTS.encode_one_of(SetAutoprobe(IDLE, False)))
    for client in clients:
        assert "error" not in client.receive()
    tried = [client.over(key)["outcome"].get("attempted", True) for client in clients]
    assert sorted(tried) == [False, True]
    trail = read(StateFolder(str(tmp_path / "vfdeck"))).changes
    assert [bool(one.outcome and one.outcome["attempted"]) for one in trail] == [True, False], "who came first"
    assert [kernel.read(f"/sys/bus/pci/devices/{IDLE}/sriov_drivers_autoprobe") for kernel in kernels].count(b"0\n") == 1
    for client in clients:
        os.close(client.out)
