"""What is looked up once the cursor rests: when it is asked, how often, and what happens to what comes late."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

import pytest
from textual.app import App
from textual.pilot import Pilot

from tests import values
from tests.fake_host import NIC, NVME, FakeHost
from tests.pilot.driving import PATIENCE
from vfdeck.app.dashboard import inspecting
from vfdeck.app.dashboard.inspecting import Inspector
from vfdeck.backend.details import Details, Part
from vfdeck.backend.model import Snapshot
from vfdeck.backend.vpd import Vpd
from vfdeck.widgets.rows import RowId

ALL = (Part.RESETS, Part.OPENING, Part.VPD)


class Bench:
    """An inspector on a bare screen, with a clock of its own."""

    def __init__(self, app: App[None], pilot: Pilot[None], host: FakeHost) -> None:
        self.host, self.pilot = host, pilot
        self.now = 100.0
        self.changes = 0
        self.failures: list[str] = []
        self.inspector = Inspector(app.screen, self._changed, self.failures.append, lambda: self.now)

    def _changed(self) -> None:
        self.changes += 1

    def want(self, bdf: str = NIC, parts: Collection[Part] = ALL) -> None:
        view = self.host.view
        self.inspector.want(RowId(self.host.name, bdf), self.host, view.functions[bdf], view, parts)

    async def rested(self, bdf: str = NIC, parts: Collection[Part] = ALL) -> None:
        self.want(bdf, parts)
        await self.until_quiet()

    async def until_quiet(self) -> None:
        end = time.monotonic() + PATIENCE
        while self.inspector.is_busy:
            assert time.monotonic() < end
            await self.pilot.pause(0.001)

    def of(self, bdf: str = NIC) -> Details | None:
        return self.inspector.of(RowId(self.host.name, bdf))

    @property
    def asked(self) -> list[Part]:
        """All parts asked for, in order."""
        return [part for _, parts in self.host.looked_up for part in sorted(parts, key=ALL.index)]


@asynccontextmanager
async def bench(host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    monkeypatch.setattr(inspecting, "REST", 0.01)
    app = App[None]()
    async with app.run_test() as pilot:
        yield Bench(app, pilot, host)


async def test_it_is_asked_once_and_the_card_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    host = FakeHost()
    host.known[NIC] = Details(NIC, ("flr",), vpd=Vpd("X"))
    async with bench(host, monkeypatch) as on:
        assert on.of() is None
        await on.rested()
        await on.rested()
        assert on.of() == host.known[NIC]
        assert sorted(map(sorted, ([p.name for p in parts] for _, parts in host.looked_up))) == [["OPENING", "RESETS"], ["VPD"]]
        assert on.changes == 2


async def test_rows_that_are_passed_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    host = FakeHost()
    async with bench(host, monkeypatch) as on:
        on.want(NIC)
        await on.rested(NVME)
        assert {bdf for bdf, _ in host.looked_up} == {NVME}
        on.want(NIC)
        on.inspector.rest()
        assert not on.inspector.is_busy


async def test_what_gets_old_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with bench(FakeHost(), monkeypatch) as on:
        await on.rested()
        on.now += 11
        await on.rested()
        assert on.asked.count(Part.OPENING) == 2
        assert on.asked.count(Part.VPD) == on.asked.count(Part.RESETS) == 1


async def test_a_function_that_changed_is_looked_at_again_but_for_its_card(monkeypatch: pytest.MonkeyPatch) -> None:
    host = FakeHost()
    async with bench(host, monkeypatch) as on:
        await on.rested()
        host.replace(values.make_pf(NIC, driver="igb"))
        await on.rested()
        assert on.asked.count(Part.RESETS) == 2
        assert on.asked.count(Part.VPD) == 1


async def test_one_card_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second card is asked when the first has answered; what else there is to know does not wait."""
    host = SlowCards()
    async with bench(host, monkeypatch) as on:
        on.want(NIC)
        while NIC not in host.cards:
            await on.pilot.pause(0.001)
        on.want(NVME)
        while not any(bdf == NVME for bdf, _ in host.looked_up):
            await on.pilot.pause(0.001)
        assert host.cards == [NIC]
        host.gate.set()
        await on.until_quiet()
        await on.rested(NVME)
        assert host.cards == [NIC, NVME]


async def test_a_bug_of_the_backend_is_named_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(FakeHost):
        def details(self, bdf: str, parts: Collection[Part], snapshot: Snapshot) -> Details:
            raise RuntimeError("secret")

    async with bench(Broken(), monkeypatch) as on:
        await on.rested(parts=[Part.RESETS])
        assert on.failures == [f"{NIC}: vfdeck itself failed (RuntimeError); this is a bug"]
        assert on.of() == Details(NIC)


async def test_it_does_not_grow_without_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspecting, "_MOST", 1)
    async with bench(FakeHost(), monkeypatch) as on:
        await on.rested(NIC)
        await on.rested(NVME)
        assert on.of(NIC) is None
        assert on.of(NVME) is not None


class SlowCards(FakeHost):
    """Whose cards answer when the gate opens."""

    def __init__(self) -> None:
        super().__init__()
        self.cards: list[str] = []
        self.gate.clear()

    def details(self, bdf: str, parts: Collection[Part], snapshot: Snapshot) -> Details:
        if Part.VPD in parts:
            self.cards.append(bdf)
            self.gate.wait()
        return super().details(bdf, parts, snapshot)
