"""The demo's fleet in the dashboard, without a terminal: `nice .venv/bin/python -m tests.bench.fleet [SCENARIO]` prints JSON.

CPU seconds until the first screen, until every host was read, and of ten idle seconds after that; bytes of the whole process and
of the snapshots, each value counted once.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys
import time
from collections.abc import Iterable
from pathlib import Path

IDLE = 10.0


def size_of(values: Iterable[object]) -> int:
    """Bytes of values and everything they consist of, what they share counted once."""
    seen: set[int] = set()
    total, waiting = 0, list(values)
    while waiting:
        value = waiting.pop()
        if id(value) in seen or isinstance(value, type):
            continue
        seen.add(id(value))
        total += sys.getsizeof(value)
        if dataclasses.is_dataclass(value):
            waiting += [getattr(value, field.name) for field in dataclasses.fields(value)]
        elif isinstance(value, dict):
            waiting += [*value.keys(), *value.values()]
        elif isinstance(value, (tuple, list, set, frozenset)):
            waiting += value
    return total


def resident() -> int:
    """Bytes of this process that are in memory now."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096


async def main(scenario_name: str) -> dict[str, float]:
    """Begin to show the fleet, wait until all of it was read, and then do nothing."""
    from vfdeck.app.dashboard.app import DashboardApp
    from vfdeck.app.dashboard.screen import Dashboard
    from vfdeck.backend.sim import scenario

    hosts = scenario.load_all(scenario_name, realtime=True)
    app = DashboardApp(hosts)
    async with app.run_test(size=(120, 40)):
        screen = app.screen
        assert isinstance(screen, Dashboard)
        while not screen.fleet.snapshots:  # the rest is read meanwhile and afterwards, and counts as far as it got
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.02)
        first = time.process_time()
        while len(screen.fleet.snapshots) < len(hosts):
            await asyncio.sleep(0.1)
        read = time.process_time()
        # what happens in the demo's first minute is over, and what came late was looked at
        await asyncio.sleep(max(0.0, 50.0 - time.monotonic() + BEGAN))
        begin = time.process_time()
        await asyncio.sleep(IDLE)
        idle = time.process_time() - begin
        process, own = resident(), size_of(screen.fleet.snapshots)
        vfs = sum(len(s.functions) - len(s.pfs()) for s in screen.fleet.snapshots)
    found = {"hosts": float(len(hosts)), "vfs": float(vfs), "first": first, "read": read, "idle": idle / IDLE}
    return found | {"process": float(process), "snapshots": float(own)}


if __name__ == "__main__":
    BEGAN = time.monotonic()
    print(json.dumps(asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "fleet"))))
