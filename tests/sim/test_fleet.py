"""Hosts of a large fleet: their machines come and go, and nobody can tell."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from vfdeck.backend.changes import SetNumvfs, SetToken
from vfdeck.backend.model import TokenState
from vfdeck.backend.sim import scenario
from vfdeck.backend.sim.fleet import FleetHost
from vfdeck.backend.sim.scenario import Scenario, SimulatedHost
from vfdeck.backend.token import Token

PF = "0000:5e:00.1"


@pytest.fixture
def host() -> Iterator[FleetHost]:
    made = scenario.load_all("fleet", 3)[7]
    assert isinstance(made, FleetHost)
    yield made
    made.close()


def test_a_machine_is_forgotten_and_comes_back_as_it_was(host: FleetHost) -> None:
    first = host.snapshot()
    assert not host.is_kept
    assert first.host.name == host.name
    assert host.snapshot() == first
    assert host.log() == host.log()
    assert not host.is_kept


def test_it_is_the_same_host_as_one_that_is_there(host: FleetHost) -> None:
    there = scenario.load(f"fleet/{host.name}", 3)
    assert isinstance(there, SimulatedHost)
    assert host.snapshot() == there.snapshot()
    there.advance(90)
    host.advance(90)
    assert host.snapshot() == there.snapshot()


def test_what_was_changed_stays(host: FleetHost) -> None:
    assert host.perform(SetToken(PF, Token(bytes(range(16))))).ok
    assert host.is_kept
    assert host.snapshot().tokens[PF].state is TokenState.SET
    assert host.perform(SetNumvfs(PF, 0)).ok
    assert not [f for f in host.snapshot().functions.values() if f.physfn == PF]
    assert not host.jobs()


def test_planning_keeps_nothing(host: FleetHost) -> None:
    assert host.plan(SetNumvfs(PF, 0), host.snapshot()).steps
    assert not host.is_kept


def test_without_a_machine_nothing_changes_and_closing_ends_the_wait(host: FleetHost) -> None:
    assert not host.wait_for_change(0)
    host.close()
    assert not host.wait_for_change(3600)


def test_an_entry_stands_for_so_many_members(monkeypatch: pytest.MonkeyPatch) -> None:
    node = {"host": {"name": "x", "kernel": "6.12"}, "function": [{"bdf": "0000:01:00.0", "numa": 1}, {"bdf": "0000:02:00.0"}]}
    patched = {"0000:02:00.0": {"numa": 2}}
    fleet = {
        "member": [
            {"host": "node", "name": "a", "count": 10, "kernel": "7.0"},
            {"host": "node", "name": "a03", "functions": patched},
            {"host": "node", "name": "b"},
        ]
    }
    monkeypatch.setattr(scenario, "_table", {"hosts/node": node, "some": fleet}.__getitem__)
    members = scenario._members("some")
    assert list(members) == [*(f"a{n:02}" for n in range(1, 11)), "b"]
    assert [table["host"]["kernel"] for table in members.values()].count("7.0") == 9
    assert [entry.get("numa") for entry in members["a03"]["function"]] == [1, 2]
    assert members["b"]["function"] is node["function"]
    assert "numa" not in node["function"][1]


def test_every_kind_of_member_comes_to_life() -> None:
    tables = {str(sorted(t["host"] | {"name": ""})) + str(t["function"]): t for t in scenario._members("fleet").values()}
    assert len(tables) > 8
    for table in tables.values():
        Scenario(table, 0).advance(600)
