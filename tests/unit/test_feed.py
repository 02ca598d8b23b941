"""Few threads look at many hosts: when something changed, never twice at once, and none waits for one that hangs."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.fake_host import FakeHost, small_fleet
from vfdeck.app.dashboard import feed
from vfdeck.app.dashboard.feed import Feed, HostFailed, SnapshotReady
from vfdeck.backend.model import Snapshot

PATIENCE = 10.0


class Host(FakeHost):
    """A host that tells of all that changes; `held` makes looking wait."""

    tells_all = True

    def __init__(self, name: str) -> None:
        super().__init__(small_fleet(name))
        self.held = threading.Event()
        self.held.set()
        self.at_once = 0
        self.most_at_once = 0

    def snapshot(self) -> Snapshot:
        """The present value, once it may be looked at."""
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.held.wait(PATIENCE)
        self.at_once -= 1
        return super().snapshot()


class Heard:
    """What a feed says."""

    def __init__(self) -> None:
        self.messages: queue.Queue[object] = queue.Queue()

    def names(self, number: int) -> list[str]:
        """The hosts of so many snapshots."""
        found = [self.messages.get(timeout=PATIENCE) for _ in range(number)]
        assert all(isinstance(message, SnapshotReady) for message in found)
        return [message.host for message in found if isinstance(message, SnapshotReady)]


@contextmanager
def following(hosts: list[Host], interval: float = 3600.0, *, follow: bool = True) -> Iterator[tuple[Feed, Heard]]:
    """A feed at work."""
    heard = Heard()
    made = Feed(hosts, heard.messages.put, interval)
    made.start(follow)
    try:
        yield made, heard
    finally:
        made.stop()
        for host in hosts:
            host.held.set()
            host.close()


def hosts(number: int) -> list[Host]:
    """So many hosts."""
    return [Host(f"h{n:02}") for n in range(number)]


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "TICK", 0.02)


def test_every_host_is_looked_at_first_the_one_that_somebody_is_at() -> None:
    fleet = hosts(50)
    with following(fleet) as (_, heard):
        names = heard.names(50)
    assert names[0] == "h00"
    assert sorted(names) == [host.name for host in fleet]


def test_only_what_changed_is_looked_at_again() -> None:
    fleet = hosts(50)
    with following(fleet) as (_, heard):
        heard.names(50)
        fleet[30].show(small_fleet("h30"))
        fleet[0].show(small_fleet("h00"))
        assert set(heard.names(2)) == {"h30", "h00"}
        assert heard.messages.empty()
    assert sum(host.looks for host in fleet) == 52


def test_a_host_that_hangs_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "SLOW", 0.02)
    fleet = hosts(20)
    stuck = fleet[3:9]  # more than are looked at at once
    for host in stuck:
        host.held.clear()
    with following(fleet) as (_, heard):
        assert len(set(heard.names(14))) == 14
        assert heard.messages.empty()
        for host in stuck:
            host.held.set()
        assert set(heard.names(6)) == {host.name for host in stuck}


def test_a_host_is_never_looked_at_twice_at_once_and_no_wish_is_lost() -> None:
    fleet = hosts(2)
    fleet[0].held.clear()
    with following(fleet, follow=False) as (made, heard):
        assert heard.names(1) == ["h01"]
        for _ in range(5):
            made.look_soon("h00")
        made.look_soon("h01")
        assert heard.names(1) == ["h01"]  # though the one that somebody is at is wanted too
        fleet[0].held.set()
        assert heard.names(2) == ["h00", "h00"]
    assert fleet[0].most_at_once == 1


def test_one_that_does_not_tell_is_looked_at_every_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "SUMMING", 3600.0)
    fleet = hosts(3)
    fleet[2].tells_all = False
    with following(fleet, interval=0.05) as (_, heard):
        heard.names(3)
        assert heard.names(2) == ["h02", "h02"]


def test_the_one_that_somebody_is_at_is_looked_at_for_its_clock() -> None:
    fleet = hosts(3)
    with following(fleet, interval=0.01) as (made, heard):
        heard.names(3)
        made.attend("h01")
        made.attend("nowhere")
        while heard.names(1) != ["h01"]:
            pass
        assert heard.names(2) == ["h01", "h01"]


def test_one_with_a_change_under_way_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "SUMMING", 3600.0)
    fleet = hosts(3)
    monkeypatch.setattr(fleet[1], "jobs", lambda: ("a job",))
    with following(fleet, interval=0.05) as (_, heard):
        heard.names(3)
        assert heard.names(2) == ["h01", "h01"]


def test_what_fails_is_said_and_the_rest_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    fleet = hosts(3)

    def broken(seconds: float = 0.0) -> bool:
        raise RuntimeError("token 1234")

    monkeypatch.setattr(fleet[1], "snapshot", broken)
    monkeypatch.setattr(fleet[2], "wait_for_change", broken)
    with following(fleet, interval=0.05, follow=True) as (_, heard):
        found = [heard.messages.get(timeout=PATIENCE) for _ in range(6)]
    said = {message.host: message.what for message in found if isinstance(message, HostFailed)}
    assert said == {"h01": "RuntimeError while looking", "h02": "RuntimeError while waiting for changes"}
    assert {message.host for message in found if isinstance(message, SnapshotReady)} == {"h00", "h02"}


def test_after_the_end_nothing_is_said() -> None:
    fleet = hosts(1)
    with following(fleet) as (made, heard):
        heard.names(1)
        made.stop()
        made.look_soon()
        assert heard.messages.empty()


def test_equal_hosts_share_what_is_equal() -> None:
    with following(hosts(2), follow=False) as (_, heard):
        one, other = (heard.messages.get(timeout=PATIENCE) for _ in range(2))
    assert isinstance(one, SnapshotReady)
    assert isinstance(other, SnapshotReady)
    assert one.snapshot.functions is other.snapshot.functions
