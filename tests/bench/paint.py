"""Start the demo without a terminal, and print the CPU seconds that this process took until its first screen was complete."""

from __future__ import annotations

import asyncio
import time


async def main() -> None:
    from vfdeck.app.dashboard.app import DashboardApp
    from vfdeck.backend.sim import scenario

    app = DashboardApp([scenario.load()])
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        print(time.process_time())


asyncio.run(main())
