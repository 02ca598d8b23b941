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
from vfdeck.backend.facts import cdev_unguarded
from vfdeck.backend.model import Role, TokenState
from vfdeck.backend.sim import scenario
from vfdeck.backend.sim.faults import practice
from vfdeck.backend.sim.fleet import FleetHost
from vfdeck.backend.sim.scenario import SimulatedHost, UnknownScenario

BROKEN: dict[str, Any] = tomllib.loads(files(sim).joinpath("scenarios", "broken.toml").read_text(encoding="utf-8"))


@contextmanager
def opened(name: str, seed: int = 0) -> Iterator[tuple[SimulatedHost | FleetHost, ...]]:
    """The hosts of a scenario."""
    hosts = scenario.load_all(name, seed)
    try:
        yield hosts
    finally:
        for host in hosts:
            host.close()


@pytest.mark.parametrize("name", [name for name in scenario.names() if name != "fleet"])
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
        assert isinstance(host, SimulatedHost)
        assert ailment["entry"] in found_at(host, ailment["look"])


def test_ten_things_are_broken() -> None:
    assert len({ailment["entry"] for ailment in BROKEN["ailment"]}) == 10


def test_the_fleet() -> None:
    with opened("fleet") as hosts:
        assert len({host.name for host in hosts}) == len(hosts) == 1000
        assert not any(isinstance(host, FleetHost) and host.is_kept for host in hosts)


@pytest.mark.parametrize(("member", "odd"), [("r04-n17", "link"), ("r09-n05", "cdev"), ("r06-n28", "groups"), ("r22-n09", "VFs")])
def test_what_is_odd_in_the_fleet(member: str, odd: str) -> None:
    with opened("fleet") as hosts:
        seen = {host.name: host.snapshot() for host in hosts if host.name in (member, "r01-n01")}
    one, other = seen[member], seen["r01-n01"]
    found = {
        "link": any(pf.link and pf.link.degraded for pf in one.pfs()),
        "cdev": cdev_unguarded(one.host),
        "groups": len(one.groups) != len(other.groups) and len(one.functions) == len(other.functions),
        "VFs": 0 in [pf.sriov.numvfs for pf in one.pfs() if pf.sriov],
    }
    assert {name for name, is_so in found.items() if is_so} == {odd}
    assert not any(pf.link and pf.link.degraded for pf in other.pfs())
    assert not cdev_unguarded(other.host)


def test_a_rack_is_set_up_as_time_goes_by() -> None:
    with opened("fleet") as hosts:
        host = next(host for host in hosts if host.name == "r24-n07")
        before = host.snapshot()
        assert before.tokens["0000:5e:00.0"].state is TokenState.NONE
        assert not host.wait_for_change(0)
        host.advance(60)
        assert host.wait_for_change(0)
        after = host.snapshot()
        assert after.tokens["0000:5e:00.0"].state is TokenState.UNSET
        assert sum(pf.sriov.numvfs for pf in after.pfs() if pf.sriov) == 100
        host.snapshot()  # the one before opened a node, to see what the kernel shows: that is a change too
        assert not host.wait_for_change(0)
