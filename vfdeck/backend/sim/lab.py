"""A simulated host as a lesson finds it: a host of `scenarios/hosts`, what vfdeck did on it, and what other programs did since.

A stage is a table:

    host      the file in `scenarios/hosts`
    name      what the host calls itself
    kernel    its release
    token     {of = PF, is = NAME}: vfdeck has set this token
    event     what other programs did after that, as in scenarios
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vfdeck.backend.changes import SetToken
from vfdeck.backend.sim.scenario import BrokenScenario, Scenario, SimulatedHost, host_table

KEYS = ("host", "name", "kernel", "token", "event")

#: When other programs have done what they do, seconds.
SETTLED = 60.0


class LabHost(SimulatedHost):
    """A host on its stage. `known` is the token that vfdeck has set, as it would know it had it been there."""

    def __init__(self, stage: Mapping[str, Any], seed: int = 0, *, realtime: bool = False) -> None:
        table = host_table(stage["host"])
        table["host"] = table["host"] | {key: stage[key] for key in ("name", "kernel") if key in stage}
        table["event"] = [event | {"at": 1} for event in stage.get("event", ())]
        scenario = Scenario(table, seed)
        super().__init__(scenario, realtime=False)
        self.known: SetToken | None = None
        if token := stage.get("token"):
            self.snapshot()
            self.known = SetToken(token["of"], scenario.token(token["is"]))
            outcome = self.perform(self.known)
            if not outcome.ok:
                raise BrokenScenario(f"the token of {token['of']} cannot be set: {outcome.answer}")
        self.advance(SETTLED)
        self.snapshot()
        scenario.machine.realtime = self._realtime = realtime

    def act(self, event: Mapping[str, Any]) -> None:
        """Let something happen that is not vfdeck's to do, told as an event of a scenario."""
        with self.scenario.machine.changed:
            self.scenario.happen(dict(event))
