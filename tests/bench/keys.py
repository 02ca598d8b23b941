"""CPU of the fleet tree's keys in a fleet of 100,000 VFs on 1,000 hosts: `nice .venv/bin/python -m tests.bench.keys [HOSTS] [VFS]`.

Everything between a key and the end of what it sets going counts, and the greatest stretch for which nothing else had its turn.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable

from tests import values
from tests.fake_host import FakeHost
from vfdeck.app.dashboard.app import DashboardApp
from vfdeck.app.dashboard.screen import Dashboard
from vfdeck.app.dashboard.state import Fleet
from vfdeck.backend.model import Snapshot
from vfdeck.widgets.fleet_tree import FleetTree

KEYS = (
    *("down", "down", "pagedown", "end", "home", "down", "down", "down"),
    *("left", "left", "right", "minus", "minus", "plus", "plus", "plus", "minus"),
    *("right_square_bracket", "right_curly_bracket", "left_curly_bracket", "m", "s", "s", "s", "s"),
    *("slash", "h", "o", "s", "t", "minus", "9", "9", "9", "enter", "n", "N", "escape"),
    *("slash", "n", "o", "w", "h", "e", "r", "e", "escape"),
    *("f", "d", "r", "i", "v", "e", "r", "colon", "i", "a", "v", "f", "enter", "down", "end", "escape"),
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


async def _measure(what: str, act: Callable[[], Awaitable[object]], stalls: _Stalls) -> None:
    stalls.worst, begin = 0.0, time.process_time()
    await act()
    print(
        f"{what:24} {(time.process_time() - begin) * 1000:7.1f} ms CPU in all, {stalls.worst * 1000:6.1f} ms at a stretch",
        flush=True,
    )


async def main() -> None:
    """Measure every key, and a refresh of one host and of all."""
    hosts, vfs = (int(sys.argv[1]), int(sys.argv[2])) if len(sys.argv) > 2 else (1000, 99)
    begin = time.process_time()
    snapshots = tuple(snapshot(n, vfs) for n in range(hosts))
    print(f"made {hosts} hosts in {time.process_time() - begin:.1f} s CPU")
    app = DashboardApp([FakeHost()], follow=False)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        screen = app.screen
        assert isinstance(screen, Dashboard)
        tree, stalls = screen.query_one(FleetTree), _Stalls()

        async def show(fleet: tuple[Snapshot, ...]) -> None:
            screen.fleet = Fleet(fleet)
            await settle()

        async def settle() -> None:
            """Wait until no work is left. The pilot's own waiting costs CPU that is none of ours."""
            for _ in range(3):
                await asyncio.sleep(0.005)
            while tree.is_busy:
                await asyncio.sleep(0.001)
            await asyncio.sleep(0.03)

        async def press(key: str) -> None:
            app.simulate_key(key)
            await settle()

        await _measure("first paint", lambda: show(snapshots), stalls)
        await _measure("the same again", lambda: show(snapshots), stalls)
        await _measure("one host anew", lambda: show((snapshot(0, vfs), *snapshots[1:])), stalls)
        watcher = asyncio.create_task(stalls.watch()) if "--stalls" in sys.argv else None
        for key in KEYS:
            await _measure(key, lambda key=key: press(key), stalls)  # type: ignore[misc]
        if watcher is not None:
            watcher.cancel()


if __name__ == "__main__":
    asyncio.run(main())
