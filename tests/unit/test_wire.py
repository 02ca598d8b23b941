"""Values there and back: what an agent says of a host is what the host says."""

from __future__ import annotations

import json
import typing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.values import TOKEN, make_fleet, make_pf, snapshot
from vfdeck.backend.agent.framing import message
from vfdeck.backend.agent.wire import PARTS, REPLIES, REQUESTS, Coder, Wrong, nanoseconds, shapes
from vfdeck.backend.changes import Change, Open, OpenPath, Outcome, Plan, SetNumvfs, SetToken, TokenWay
from vfdeck.backend.checks import CanBind, CanEnable, CanOpen, Question, Report, WholeHost
from vfdeck.backend.details import Details, Part
from vfdeck.backend.kernel import LogLine, Uevent
from vfdeck.backend.local_host import LocalHost
from vfdeck.backend.model import Snapshot
from vfdeck.backend.sim import scenario

CHANGES: tuple[type, ...] = typing.get_args(Change)
QUESTIONS: tuple[type, ...] = typing.get_args(Question)
SCENARIOS = ("default", "card", "none", "broken", "datacentre")


def there_and_back(coder: Coder, kind: type, value: Any, **known: Any) -> Any:
    """By way of bytes, as they are on the wire."""
    return coder.decode(kind, json.loads(message(coder.encode(value))[:-1]), "", **known)


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_picture_of_the_demo(name: str) -> None:
    for host in scenario.load_all(name, 0):
        seen = host.snapshot()
        assert there_and_back(REPLIES, Snapshot, seen) == seen
        assert message({"snapshot": seen}, PARTS.encode) == message({"snapshot": REPLIES.encode(seen)})


def test_no_part_is_a_token() -> None:
    with pytest.raises(TypeError, match="a token in a reply"):
        message({"change": SetToken("0000:03:00.0", TOKEN)}, PARTS.encode)
    with pytest.raises(TypeError):
        message({"token": TOKEN}, PARTS.encode)


def test_what_is_wrong_is_told_with_its_whole_place() -> None:
    picture = REPLIES.encode(next(iter(scenario.load_all("default", 0))).snapshot())
    bdf, function = next((bdf, one) for bdf, one in picture["functions"].items() if "sriov" in one)
    function["sriov"]["vfs"] = ["", 1]
    with pytest.raises(Wrong) as caught:
        REPLIES.decode(Snapshot, picture, "snapshot")
    assert caught.value.place == f"snapshot.functions.{bdf}.sriov.vfs"
    assert str(caught.value) == f"{caught.value.place}: expected a text"


@pytest.mark.parametrize("name", ["default", "broken"])
def test_whatever_else_a_host_tells(name: str) -> None:
    for host in scenario.load_all(name, 0):
        assert isinstance(host, LocalHost)
        seen = host.snapshot()
        for function in (*seen.pfs(), *(vf for pf in seen.pfs() for vf in seen.vfs_of(pf.bdf)[:1])):
            changes = (SetNumvfs(function.bdf, 2), SetToken(function.bdf, TOKEN), Open(function.bdf))
            for change in changes:
                planned = host.plan(change, seen)
                assert there_and_back(REPLIES, Plan, planned, change=change) == planned
            details = host.details(function.bdf, tuple(Part), seen)
            assert there_and_back(REPLIES, Details, details) == details
            for question in (CanEnable(function.bdf, 2), CanBind(function.bdf), CanOpen(function.bdf), WholeHost()):
                report = host.check(question, seen)
                assert there_and_back(REPLIES, Report, report) == report
        for line in host.log() or []:
            back = there_and_back(REPLIES, LogLine, line)
            assert (back, back.time) == (line, line.time)
        free = next(bdf for bdf in seen.functions if not seen.holders_of(bdf))
        for change in (Open(free, TOKEN), SetNumvfs("0000:ff:00.0", 1)):
            outcome = host.perform(change)
            back = there_and_back(REPLIES, Outcome, outcome, change=change)
            assert (back, back.steps, back.ended) == (outcome, outcome.steps, outcome.ended)


def test_an_empty_value_is_all_but_empty() -> None:
    assert REPLIES.encode(Uevent("add", "", "", "", "")) == {
        "action": "add",
        "subsystem": "",
        "devpath": "",
        "bdf": "",
        "driver": "",
    }
    assert set(REPLIES.encode(make_pf())) < {field.name for field, _ in shapes(type(make_pf()))} | {"sriov"}
    assert REQUESTS.encode_one_of(Open("0000:03:00.0")) == {"Open": {"bdf": "0000:03:00.0"}}


@pytest.mark.parametrize(
    "change", [SetToken("0000:03:00.0", TOKEN, TokenWay.CURRENT, TOKEN), Open("0000:03:00.0", TOKEN, True, OpenPath.CDEV)]
)
def test_a_token_goes_one_way(change: SetToken | Open) -> None:
    data = REQUESTS.encode_one_of(change)
    assert TOKEN.reveal_text() in json.dumps(data)
    assert REQUESTS.decode_one_of(CHANGES, data) == change
    with pytest.raises(TypeError, match="a token in a reply"):
        REPLIES.encode(change)
    for told, kind in ((Plan(change, "x"), Plan), (Outcome(change), Outcome)):
        assert TOKEN.reveal_text() not in json.dumps(REPLIES.encode(told)), kind


def test_every_kind_of_request() -> None:
    for kind in (*CHANGES, *QUESTIONS):
        assert shapes(kind) is not None
    for question in (CanEnable("a", 2), CanBind("b"), CanOpen("c", OpenPath.CDEV, "eva"), WholeHost()):
        assert REQUESTS.decode_one_of(QUESTIONS, REQUESTS.encode_one_of(question)) == question


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ({}, "change: expected an object with one member, which says the kind"),
        ([], "change: expected an object with one member, which says the kind"),
        ({"Format": {}}, "change: expected one of SetNumvfs, BindDriver,"),
        ({"SetNumvfs": 3}, "change.SetNumvfs: expected an object"),
        ({"SetNumvfs": {"pf": "x"}}, "change.SetNumvfs: count is missing"),
        ({"SetNumvfs": {"pf": "x", "count": "8"}}, "change.SetNumvfs.count: expected a number"),
        ({"SetNumvfs": {"pf": "x", "count": True}}, "change.SetNumvfs.count: expected a number"),
        ({"SetNumvfs": {"pf": "x", "count": 1.0}}, "change.SetNumvfs.count: expected a number"),
        ({"SetNumvfs": {"pf": "x", "count": 1, "force": True}}, "change.SetNumvfs: there is no force in it"),
        ({"Open": {"bdf": "x", "path": "group"}}, "change.Open.path: expected one of GROUP, CDEV"),
        ({"Open": {"bdf": "x", "token": "secret-thing"}}, "change.Open.token: "),
    ],
)
def test_a_request_that_makes_no_sense(data: Any, why: str) -> None:
    with pytest.raises(Wrong) as wrong:
        REQUESTS.decode_one_of(CHANGES, data, "change")
    assert str(wrong.value).startswith(why)
    assert "secret-thing" not in str(wrong.value)


def test_a_newer_agent_may_say_more_and_nothing_that_acts_on_a_terminal() -> None:
    data = REPLIES.encode(Uevent("add\x1b[2J", "", "", "", "")) | {"mood": "good"}
    assert REPLIES.decode(Uevent, data).action == "add␛[2J"


def test_what_has_lines_keeps_them() -> None:
    assert REPLIES.decode(Uevent, REPLIES.encode(Uevent("a \n b\u202e", "", "", "", ""))).action == "a \n b\\u202e"


@given(st.floats(0, 4e9), st.integers(0, 10**7))
def test_times_come_back(seconds: float, micros: int) -> None:
    """As exactly as a number of nanoseconds can say it: what is farther than a second from 0 has fewer digits than that."""
    assert abs(nanoseconds(seconds) / 10**9 - seconds) <= 5e-10
    for exact in (1_700_000_000 + seconds, micros / 10**6):
        assert nanoseconds(exact) / 10**9 == exact


_ANY: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["bdf", "pf", "count", "token", "x"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.sampled_from([kind.__name__ for kind in CHANGES]), _ANY)
def test_any_json_is_a_change_or_wrong(kind: str, data: Any) -> None:
    try:
        change = REQUESTS.decode_one_of(CHANGES, {kind: data}, "change")
    except Wrong:
        return
    assert REQUESTS.decode_one_of(CHANGES, REQUESTS.encode_one_of(change)) == change


def test_a_fleet_of_values() -> None:
    seen = snapshot(*make_fleet(64))
    assert there_and_back(REPLIES, Snapshot, seen) == seen
