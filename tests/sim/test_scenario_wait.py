"""Waiting for a change of a simulated host ends with the host."""

from __future__ import annotations

import threading
import time

import pytest

from vfdeck.backend.local_host import LocalHost
from vfdeck.backend.sim.scenario import load


@pytest.mark.parametrize("realtime", [False, True])
def test_a_closed_host_never_changes(realtime: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0

    def count(self: LocalHost, seconds: float) -> bool:
        nonlocal asked
        asked += 1
        return False

    host = load(realtime=realtime)
    host.close()
    monkeypatch.setattr(LocalHost, "wait_for_change", count)
    began = time.monotonic()
    assert not host.wait_for_change(0.5)
    assert time.monotonic() - began < 0.4
    assert asked <= 1


@pytest.mark.parametrize("realtime", [False, True])
def test_closing_ends_the_wait(realtime: bool) -> None:
    host = load(realtime=realtime)
    answers: list[bool] = []
    waiting = threading.Thread(target=lambda: answers.append(host.wait_for_change(30)))
    waiting.start()
    time.sleep(0.05)
    host.close()
    waiting.join(5)
    assert answers == [False]
