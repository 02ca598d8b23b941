"""One look that serves several."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from tests import values
from vfdeck.backend import perform
from vfdeck.backend.changes import SetNumvfs
from vfdeck.backend.looks import SharedLook
from vfdeck.backend.model import Snapshot
from vfdeck.backend.sim.scenario import load


class Looks:
    """Counts looks, by a clock that is set by hand; each takes `length` seconds."""

    def __init__(self, length: float = 0.0) -> None:
        self.now, self.number, self.length = 100.0, 0, length
        self.shared = SharedLook(self._look, 0.5, lambda: self.now)

    def _look(self) -> Snapshot:
        self.number += 1
        self.now += self.length
        return values.snapshot(values.make_pf())


def test_who_asks_soon_gets_the_same() -> None:
    looks = Looks()
    first = looks.shared()
    looks.now += 0.4
    assert looks.shared() is first
    looks.now += 0.1
    assert looks.shared() is not first
    assert looks.number == 2


def test_a_look_is_as_old_as_its_beginning() -> None:
    looks = Looks(length=0.6)
    looks.shared()
    looks.shared()
    assert looks.number == 2


def test_a_look_that_failed_is_none() -> None:
    failing: Iterator[OSError | Snapshot] = iter([OSError(5, "no"), values.snapshot()])

    def look() -> Snapshot:
        found = next(failing)
        if isinstance(found, OSError):
            raise found
        return found

    shared = SharedLook(look, 0.5, lambda: 1.0)
    with pytest.raises(OSError, match="no"):
        shared()
    assert shared() is not None


def test_those_who_ask_during_a_look_wait_for_it() -> None:
    began, go = threading.Event(), threading.Event()
    looked = []

    def look() -> Snapshot:
        looked.append(1)
        began.set()
        assert go.wait(10)
        return values.snapshot()

    shared = SharedLook(look, 0.5, lambda: 1.0)
    found: list[Snapshot] = []
    threads = [threading.Thread(target=lambda: found.append(shared())) for _ in range(5)]
    for thread in threads:
        thread.start()
    assert began.wait(10)
    go.set()
    for thread in threads:
        thread.join(10)
    assert len(looked) == 1
    assert all(one is found[0] for one in found)


def test_changes_that_wait_share_their_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ask whom they wait for; the host is looked at once for that."""
    monkeypatch.setattr(perform, "LOOK_EVERY", 1000.0)
    host = load("default", 1)
    doer = perform.Performer(host.kernel, host.snapshot, host._watch)
    looked = []

    def look() -> Snapshot:
        looked.append(1)
        return host.snapshot()

    doer.look_while_waiting = SharedLook(look, perform.LOOK_EVERY)
    pf = next(function for function in host.snapshot().pfs() if function.on_vfio)
    path = SetNumvfs(pf.bdf, 0)
    for _ in range(3):
        doer._whom_it_waits_for(f"/sys/bus/pci/devices/{path.pf}/sriov_numvfs", path.pf)
    assert len(looked) == 1
    host.close()
