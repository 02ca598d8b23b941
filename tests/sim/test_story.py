"""Stories: what goes on by itself where a demo lives, the same for the same seed, and nothing where it does not."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from vfdeck.backend.model import Snapshot, TokenState
from vfdeck.backend.sim import scenario
from vfdeck.backend.sim.scenario import Scenario, host_table
from vfdeck.backend.sim.story import BrokenStory, Stories, check

Table = dict[str, Any]


def looks(name: str, seed: int = 0, *, lives: bool = True, minutes: int = 6) -> list[Snapshot]:
    """A host, looked at every five seconds."""
    host = scenario.load(f"datacentre/{name}", seed, lives=lives)
    seen = []
    for _ in range(minutes * 12):
        host.advance(5)
        seen.append(host.snapshot())
    host.close()
    return seen


def pids(seen: list[Snapshot]) -> list[frozenset[int]]:
    """Who held something at each look."""
    return [frozenset(holder.pid for holder in snapshot.holders) for snapshot in seen]


def test_a_machine_comes_and_goes_again_and_again() -> None:
    there = [3301 in held for held in pids(looks("net-01"))]
    starts = sum(now and not before for before, now in zip([False, *there], there, strict=False))
    assert starts >= 3
    assert not there[-1] or not all(there[there.index(True) :])


def test_the_same_seed_tells_the_same() -> None:
    assert looks("net-01", 3) == looks("net-01", 3)
    assert pids(looks("net-01", 3)) != pids(looks("net-01", 4))


def test_a_refused_program_holds_nothing_and_the_kernel_says_why() -> None:
    host = scenario.load("datacentre/net-01", lives=True)
    host.advance(180)
    lines = [line.text for line in host.log() or []]
    assert any("0000:17:01.6" in line and "VF token required" in line for line in lines)
    host.close()


def test_a_token_is_set_and_lost() -> None:
    states = [snapshot.tokens["0000:6b:00.0"].state for snapshot in looks("acc-01")]
    assert TokenState.UNSET in states  # bound anew: a random one again
    assert 2950 in frozenset().union(*pids(looks("acc-01")))  # it opened its VF, so the token was set


def test_a_removal_waits_for_a_machine_that_does_not_let_go() -> None:
    host = scenario.load("datacentre/rdma-01", lives=True)
    waited = 0
    for _ in range(40):
        host.advance(5)
        waiting = bool(host.scenario.machine.jobs)
        waited += waiting
        if waiting:
            assert any(holder.pid == 4120 for holder in host.snapshot().holders)
    assert waited >= 5
    assert len(host.snapshot().vfs_of("0000:5e:00.1")) in (0, 2)
    host.close()


@pytest.mark.parametrize("name", [n for n in scenario.names() if n != "default"])
def test_nothing_of_it_where_a_demo_does_not_live(name: str) -> None:
    for host in scenario.load_all(name)[:20]:
        assert host.scenario.about == ()
        host.close()


def test_an_hour_of_it_is_no_trouble() -> None:
    for host in scenario.load_all("datacentre", 1, lives=True):
        for _ in range(60):
            host.advance(60)
        waits = host.scenario.machine.jobs  # with the PF's device lock, so that some of its files cannot be read
        assert bool(host.snapshot().problems) <= bool(waits)
        host.close()


def test_a_story_without_every_is_told_once() -> None:
    told = Stories([{"about": "once", "begin": 5, "act": [{"do": "exit", "program": 1, "after": 2}]}], 0)
    assert told.first() == [{"do": "exit", "program": 1, "at": 7.0}]


def _story(table: Table) -> Table:
    found: Table = table["story"][0]
    return found


@pytest.mark.parametrize(
    ("slip", "message"),
    [
        (lambda t: _story(t).pop("about"), "story 1: about is missing: expected a sentence"),
        (lambda t: _story(t).update(often=3), 'story 1 has no key "often"; expected some of about, begin, .*'),
        (lambda t: _story(t).update(begin=-1), "story 1: begin = -1: expected seconds, 0 or more"),
        (lambda t: _story(t).update(every=10), "story 1: every = 10: it would begin again before its last act, after 40 s"),
        (lambda t: _story(t).update(act=[]), "story 1 has no act"),
        (lambda t: _story(t)["program"][0].update(pid=2210), "story 1: program 2210 is one of the host's already"),
        (lambda t: _story(t)["act"][1].update(do="grab"), 'story 1, act 2: do = "grab": expected one of bind, unbind, vfs, .*'),
        (lambda t: _story(t)["act"][1].update(program=7), "story 1, act 2: there is no program 7"),
        (lambda t: _story(t)["act"][1].update(bdf="17:01.5"), "story 1, act 2: bdf = '17:01.5': expected a PCI address such as .*"),
        (lambda t: _story(t)["act"][1].pop("bdf"), "story 1, act 2: bdf is missing"),
        (lambda t: _story(t)["act"][1].update(at=3), 'story 1, act 2 has no key "at"; expected some of do, .*'),
        (lambda t: _story(t)["act"][1].update(after="soon"), "story 1, act 2: after = 'soon': expected seconds, 0 or more"),
        (lambda t: t["event"][0].pop("program"), "event 1: program is missing"),
        (lambda t: t["event"][0].update(after=3), 'event 1 has no key "after"; expected some of do, at, .*'),
    ],
)
def test_a_slip_is_named_in_one_line(slip: Callable[[Table], object], message: str) -> None:
    table = copy.deepcopy(host_table("network"))
    slip(table)
    with pytest.raises(BrokenStory, match=f"^network, {message}$") as raised:
        check(table)
    assert "\n" not in str(raised.value)
    with pytest.raises(BrokenStory):
        Scenario(table, 0)


def test_where_it_is_still_nothing_happens_but_what_is_done() -> None:
    for name in ("default", "datacentre"):
        for host in scenario.load_all(name, lives=False, still=True):
            before = host.snapshot()
            host.advance(600)
            after = host.snapshot()
            assert (after.functions, after.holders, after.tokens) == (before.functions, before.holders, before.tokens)
            host.close()
