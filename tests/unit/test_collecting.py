"""Python's collector keeps away from a large fleet, and comes back."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from tests import values
from vfdeck.app.dashboard import collecting
from vfdeck.app.dashboard.collecting import NEVER, Collecting


@pytest.fixture
def keeper() -> Iterator[Collecting]:
    made = Collecting()
    yield made
    made.over()


def test_a_small_fleet_is_collected_as_ever(keeper: Collecting) -> None:
    before = gc.get_threshold()
    assert not keeper.read([values.snapshot(*values.make_fleet(4))])
    assert gc.get_threshold() == before


def test_a_large_one_is_left_alone_until_it_is_over(keeper: Collecting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collecting, "MANY", 4)
    before = gc.get_threshold()
    fleet = [values.snapshot(*values.make_fleet(4))]
    assert keeper.read(fleet)
    assert not keeper.read(fleet)
    assert gc.get_threshold() == (*before[:2], NEVER)
    assert gc.get_freeze_count() > 0
    keeper.over()
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0


@pytest.mark.parametrize(("away", "idle", "wanted"), [(True, True, True), (True, False, False), (False, True, False)])
def test_it_collects_when_nobody_presses_keys(
    keeper: Collecting, monkeypatch: pytest.MonkeyPatch, away: bool, idle: bool, wanted: bool
) -> None:
    collected: list[bool] = []
    monkeypatch.setattr(collecting, "MANY", 4 if away else 1000)
    monkeypatch.setattr(gc, "collect", lambda: collected.append(True))
    keeper.read([values.snapshot(*values.make_fleet(4))])
    keeper.pressed()
    if idle:
        monkeypatch.setattr(collecting, "CALM", -1.0)
    keeper.calm()
    assert bool(collected) == wanted
