"""The demo's scenarios: each host comes to life, time passes without a slip, and what is said to be wrong is."""

from __future__ import annotations

import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import Any

import pytest

from tests.sim.fault_table import found_at
from vfdeck.backend import sim
from vfdeck.backend.changes import Outcome
from vfdeck.backend.model import Role
from vfdeck.backend.sim import scenario
from vfdeck.backend.sim.faults import practice
from vfdeck.backend.sim.scenario import SimulatedHost, UnknownScenario

BROKEN: dict[str, Any] = tomllib.loads(files(sim).joinpath("scenarios", "broken.toml").read_text(encoding="utf-8"))


@contextmanager
def opened(name: str, seed: int = 0) -> Iterator[tuple[SimulatedHost, ...]]:
    """The hosts of a scenario."""
    hosts = scenario.load_all(name, seed)
    try:
        yield hosts
    finally:
        for host in hosts:
            host.close()


@pytest.mark.parametrize("name", scenario.names())
def test_time_passes_on_every_host(name: str) -> None:
    with opened(name) as hosts:
        for host in hosts:
            host.advance(600)
            seen = host.snapshot()
            assert seen.problems == ()
            assert seen.host.name == host.name


def test_the_data_centre() -> None:
    with opened("datacentre") as hosts:
        seen = [host.snapshot() for host in hosts]
        assert len({snapshot.host.name for snapshot in seen}) == 12
        assert len({snapshot.host.kernel for snapshot in seen}) > 8
        assert all(any(f.role is Role.PF for f in snapshot.functions.values()) for snapshot in seen)


@pytest.mark.parametrize("member", ["net-01", "sto-02", "spare-01"])
def test_a_member_is_the_same_by_itself(member: str) -> None:
    with opened("datacentre", 7) as hosts, opened(f"datacentre/{member}", 7) as (alone,):
        (among,) = (host for host in hosts if host.name == member)
        assert alone.snapshot() == among.snapshot()
        assert alone.scenario.token("control") == among.scenario.token("control")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("datacentre", "datacentre has 12 hosts; expected one of datacentre/net-01, .* and 6 more"),
        ("datacentre/x", 'there is no host "x" in datacentre; expected one of datacentre/net-01'),
        ("default/x", 'there is no host "x" in default; expected one of default/hv-07'),
        ("atlantis/x", 'there is no scenario "atlantis/x"'),
        ("hosts/spare", 'there is no scenario "hosts/spare"'),
    ],
)
def test_a_name_that_is_none(name: str, message: str) -> None:
    with pytest.raises(UnknownScenario, match=message):
        scenario.load(name)


@pytest.mark.parametrize("ailment", [a for a in BROKEN["ailment"] if "do" in a], ids=lambda ailment: str(ailment["entry"]))
def test_what_is_broken_is_explained(ailment: dict[str, Any]) -> None:
    outcomes: list[Outcome] = []
    with opened("broken") as (host,):
        host.snapshot()
        change = practice.change_of(ailment["do"])
        doing = threading.Thread(target=lambda: outcomes.append(host.perform(change)), daemon=True)
        doing.start()
        doing.join(2.0)  # a change that waits goes on until the host is closed
    doing.join(30.0)
    (outcome,) = outcomes
    assert outcome.explanation is not None
    assert outcome.explanation.entry == ailment["entry"]


@pytest.mark.parametrize("ailment", [a for a in BROKEN["ailment"] if "look" in a], ids=lambda ailment: str(ailment["entry"]))
def test_what_is_broken_is_found(ailment: dict[str, Any]) -> None:
    with opened("broken") as (host,):
        assert ailment["entry"] in found_at(host, ailment["look"])


def test_ten_things_are_broken() -> None:
    assert len({ailment["entry"] for ailment in BROKEN["ailment"]}) == 10
