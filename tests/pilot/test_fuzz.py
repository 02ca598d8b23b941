"""Ten thousand random keys: nothing crashes, and nothing is done to hardware that was not confirmed."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from tests.pilot.driving import running
from vfdeck.app.dashboard import exporting
from vfdeck.app.dashboard.actions import ACTIONS
from vfdeck.app.dashboard.batch import Batch
from vfdeck.app.dashboard.batch_flow import BatchFlow
from vfdeck.app.dashboard.dialogs.confirm import ConfirmDialog, Consent
from vfdeck.app.dashboard.flow import Flow
from vfdeck.backend.changes import Change, Outcome, Plan
from vfdeck.backend.sim.scenario import SimulatedHost, load

KEYS_A_RUN = 1_000
RUNS = 10

#: Keys that leave: pressed by everybody once, and the run would be over.
_LEAVING = {"q", "ctrl+q"}
_KEYS = [
    *(key for action in ACTIONS for key in action.keys.split(",") if key not in _LEAVING),
    *("up", "down", "left", "right", "home", "end", "pageup", "pagedown", "space", "tab", "shift+tab", "backspace", "delete"),
    *("enter", "escape", "y", "Y", "g", "ctrl+r", "ctrl+c", "ctrl+a", "0", "1", "2", "4", "9", "x", "colon", "at", "ö", "f12"),
    *(["down", "enter", "escape", "y"] * 4),
]


class Watched:
    """A host that counts what is done to it."""

    def __init__(self, host: SimulatedHost) -> None:
        self._host = host
        self.performed: list[Change] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._host, name)

    def perform(self, change: Change, confirmed: Plan | None = None) -> Outcome:
        """Count, and do it."""
        self.performed.append(change)
        return self._host.perform(change, confirmed)


class Consents:
    """What was agreed to, seen at the dialog and where its answer is used."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.allowed: Counter[Change] = Counter()
        self.given = 0
        dismiss, confirmed, together = ConfirmDialog.dismiss, Flow.confirmed, BatchFlow._confirm

        def noted(dialog: ConfirmDialog, result: Consent | None = None) -> Any:
            self.given += result is Consent.ALL
            return dismiss(dialog, result)

        async def single(flow: Flow, *args: Any, **more: Any) -> Plan | None:
            before = self.given
            plan = await confirmed(flow, *args, **more)
            if plan is not None:
                assert self.given > before, f"{plan.title} was not asked for"
                self.allowed[plan.change] += 1
            return plan

        async def many(flow: BatchFlow, *args: Any) -> Batch | None:
            batch = await together(flow, *args)
            if batch is not None:
                self.allowed.subtract([batch.waiting[0].change])  # which the plan of all stands under
                self.allowed.update(item.change for item in batch.waiting)
            return batch

        monkeypatch.setattr(ConfirmDialog, "dismiss", noted)
        monkeypatch.setattr(Flow, "confirmed", single)
        monkeypatch.setattr(BatchFlow, "_confirm", many)


@pytest.mark.parametrize("seed", range(RUNS))
async def test_random_keys(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "write_new", lambda path, text: None)  # wherever that would be
    chance = random.Random(seed)
    consents = Consents(monkeypatch)
    host = Watched(load("broken" if seed % 2 else "default", seed))
    pressed: list[str] = []
    async with running(host, size=chance.choice([(80, 24), (120, 40), (40, 12)])) as deck:
        while len(pressed) < KEYS_A_RUN:
            keys = chance.choices(_KEYS, k=chance.randint(1, 8))
            pressed += keys
            await deck.hit(*keys)
            assert Counter(host.performed) <= consents.allowed, pressed[-40:]
    host.close()
