"""CPU of the dashboard's keys in a fleet of 100,000 VFs on 1,000 hosts: `nice .venv/bin/python -m tests.bench.keys [HOSTS] [VFS]`.

Each key is measured twice: once everything between it and the end of what it sets going, once the greatest stretch of that for
which nothing else had its turn, which is what the next key would have to wait for. The last line is JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from tests import values
from tests.fake_host import FakeHost
from vfdeck.app.dashboard.app import DashboardApp
from vfdeck.app.dashboard.screen import Dashboard
from vfdeck.backend.model import Snapshot
from vfdeck.widgets.fleet_tree import FleetTree

_MOVING = ("down", "down", "pagedown", "end", "home", "down", "down", "down", "up", "pagedown", "pagedown")
_FOLDING = ("left", "left", "right", "minus", "minus", "plus", "plus", "plus", "minus", "minus", "minus")
_JUMPING = ("J", "right_curly_bracket", "left_curly_bracket", "m", "m", "escape")
_SEARCHING = ("slash", *"host-999", "enter", "n", "N", "escape", "slash", *"nowhere", "escape")
_FILTERING = ("f", *"driver", "colon", *"iavf", "enter", "down", "end", "escape")
#: First with all hosts folded, as a large fleet is shown, then with all of them open.
KEYS = (
    *_MOVING,
    *("right", "down", "down", "right", "down", "left", "left", "left"),
    *_JUMPING,
    *_SEARCHING,
    *("plus", *_MOVING, *_FOLDING, "plus", "plus", *_JUMPING),
    *("s", "s", "s", "s"),
    *_SEARCHING,
    *_FILTERING,
)


def snapshot(host: int, vfs: int) -> Snapshot:
    """A host with one PF, every tenth of whose VFs has another driver, and some of which are held."""
    pf, *rest = values.make_fleet(vfs, totalvfs=vfs)
    functions = [pf, *(values.make_vf(index=n, driver="iavf" if n % 10 == 9 else "vfio-pci") for n in range(len(rest)))]
    holders = tuple(values.make_holder(functions[n].bdf, 1000 + n) for n in range(5, vfs, 25))
    return values.snapshot(*functions, host={"name": f"host-{host:03}"}, holders=holders)


class _Stalls:
    """The longest time for which the event loop did not come round."""

    def __init__(self) -> None:
        self.worst = 0.0

    async def watch(self) -> None:
        """Watch until cancelled."""
        while True:
            begin = time.process_time()
            await asyncio.sleep(0)
            self.worst = max(self.worst, time.process_time() - begin)


@dataclass
class Cost:
    """CPU seconds of something done: of all it set going, and the longest stretch of it."""

    what: str
    all: float
    stretch: float = 0.0


class Deck:
    """A dashboard on a fleet, and what is done to it."""

    def __init__(self, hosts: int, vfs: int) -> None:
        self.vfs = vfs
        self.hosts = [FakeHost(snapshot(n, vfs)) for n in range(hosts)]
        self.app = DashboardApp(self.hosts, follow=False)
        self._stalls = _Stalls()

    @property
    def screen(self) -> Dashboard:
        """The dashboard."""
        assert isinstance(self.app.screen_stack[0], Dashboard)
        return self.app.screen_stack[0]

    async def settle(self) -> None:
        """Wait until no work is left. The pilot's own waiting costs CPU that is none of ours."""
        tree = self.screen.query_one(FleetTree)
        for _ in range(3):
            await asyncio.sleep(0.005)
        while tree.is_busy:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.03)

    async def all_read(self) -> None:
        """Wait until every host was looked at."""
        while len(self.screen.fleet.snapshots) < len(self.hosts):
            await asyncio.sleep(0.02)
        await self.settle()

    async def look_again(self) -> None:
        """Let one host be looked at again."""
        self.hosts[0].view = replace(snapshot(0, self.vfs), taken=self.hosts[0].view.taken + 60)
        before = self.screen.fleet
        self.screen._feed.look_soon(self.hosts[0].name)
        while self.screen.fleet is before:
            await asyncio.sleep(0.001)
        await self.settle()

    async def press(self, key: str) -> None:
        """A key, with all it sets going."""
        self.app.simulate_key(key)
        await self.settle()

    async def measure(self, what: str, act: Callable[[], Awaitable[object]]) -> Cost:
        """What it takes."""
        begin = time.process_time()
        await act()
        return Cost(what, time.process_time() - begin)

    async def stretches(self, costs: list[Cost]) -> None:
        """Press the same keys again, and find the longest stretch of each."""
        watcher = asyncio.create_task(self._stalls.watch())
        for cost in costs:
            self._stalls.worst = 0.0
            await self.press(cost.what)
            cost.stretch = self._stalls.worst
        watcher.cancel()


async def main() -> None:
    """Measure every key, and what comes before any."""
    hosts, vfs = (int(sys.argv[1]), int(sys.argv[2])) if len(sys.argv) > 2 else (1000, 99)
    deck = Deck(hosts, vfs)
    async with deck.app.run_test(size=(120, 40)) as pilot:
        read = await deck.measure("all read", deck.all_read)
        look = await deck.measure("one host anew", deck.look_again)
        await pilot.pause()
        keys = [await deck.measure(key, lambda key=key: deck.press(key)) for key in KEYS]  # type: ignore[misc]
        for key in ("minus", "minus", "minus", "home"):  # as at the beginning
            await deck.press(key)
        await deck.stretches(keys)
    for cost in (read, look, *keys):
        stretch = f", {cost.stretch * 1000:6.1f} ms at a stretch" if cost.stretch else ""
        print(f"{cost.what:24} {cost.all * 1000:7.1f} ms CPU in all{stretch}")
    worst = max(keys, key=lambda cost: cost.stretch)
    over = sorted({cost.what for cost in keys if cost.stretch > 0.02})
    figures = {"hosts": hosts, "vfs": hosts * vfs, "keys": len(keys), "worst": worst.stretch, "worst_key": worst.what, "over": over}
    print(json.dumps(figures | {"median": sorted(cost.all for cost in keys)[len(keys) // 2], "one_host": look.all}))


if __name__ == "__main__":
    asyncio.run(main())
