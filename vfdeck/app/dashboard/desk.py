"""What the parts of the dashboard share, and what the operator's next action is about."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from textual.screen import ModalScreen, Screen

from vfdeck.app.dashboard.actions import Action
from vfdeck.app.dashboard.handed import HandedOn
from vfdeck.app.dashboard.lookup import Lookup
from vfdeck.app.dashboard.state import SessionTokens
from vfdeck.app.keymap import USUAL, Keymap
from vfdeck.backend.host import Host
from vfdeck.backend.model import Function, Snapshot
from vfdeck.widgets.bars import JobLine
from vfdeck.widgets.fleet_tree import FleetTree
from vfdeck.widgets.rows import RowId

Answer = TypeVar("Answer")


class Target(NamedTuple):
    """A function of a host, as it was when it was chosen."""

    function: Function
    snapshot: Snapshot

    @property
    def row_id(self) -> RowId:
        """Its row."""
        return RowId(self.snapshot.host.name, self.function.bdf)


@dataclass(frozen=True, eq=False)
class Desk:
    """The main screen and what is on it. `snapshots` gives the latest look at every host; threads may ask too."""

    screen: Screen[None]
    hosts: Mapping[str, Host]
    snapshots: Callable[[], Sequence[Snapshot]]
    tree: FleetTree
    line: JobLine
    lookup: Lookup
    tokens: SessionTokens
    keys: Keymap = USUAL
    handed: HandedOn = field(default_factory=HandedOn)

    def host_of(self, target: Target) -> Host:
        """Whose function it is."""
        return self.hosts[target.snapshot.host.name]

    def named(self, host: str, text: str) -> str:
        """A text about a function with its host, where there are several: addresses are the same on all of them."""
        return f"{host} {text}" if len(self.hosts) > 1 else text

    def snapshot(self, host: str) -> Snapshot | None:
        """The latest look at a host."""
        return next((s for s in self.snapshots() if s.host.name == host), None)

    def latest(self, target: Target) -> Snapshot:
        """The latest look at a function's host."""
        return self.snapshot(target.snapshot.host.name) or target.snapshot

    @property
    def is_on_top(self) -> bool:
        """Whether nothing is over the main screen."""
        return self.screen.app.screen is self.screen

    async def ask(self, dialog: ModalScreen[Answer]) -> Answer:
        """What a dialog is answered; to be awaited by a worker of the screen."""
        return await self.screen.app.push_screen_wait(dialog)

    # -- what an action is about --------------------------------------------------------------------------------------
    def selected(self) -> tuple[Function | None, Snapshot | None]:
        """The function that the cursor stands on (None on a host), and its host's snapshot."""
        row_id = self.tree.row_id
        snapshot = self.snapshot(row_id.host) if row_id else None
        return (snapshot.functions.get(row_id.bdf) if snapshot and row_id else None), snapshot

    def targets(self, action: Action) -> list[Target]:
        """What an action is about where it is about many: everything marked, or the VFs of one row. Each PF comes once."""
        row = self.tree.row
        of_row = self.tree.rows.members(row) if row is not None and row.size > 1 and row.id.bdf else []
        return self._targets(action, sorted(self.tree.marks) or of_row)

    def marks_in_sight(self) -> frozenset[RowId]:
        """The marks that no filter hides."""
        return frozenset(row_id for row_id in self.tree.marks if self.tree.rows.order(row_id) is not None)

    def visible(self, action: Action) -> tuple[list[Target], int]:
        """What an action is about without marks that a filter hides, and how many marks those are."""
        shown = self.marks_in_sight()
        return self._targets(action, sorted(shown)), len(self.tree.marks) - len(shown)

    def _targets(self, action: Action, chosen: Iterable[RowId]) -> list[Target]:
        found: dict[RowId, Target] = {}
        for row_id in chosen:
            snapshot = self.snapshot(row_id.host)
            function = snapshot.functions.get(row_id.bdf) if snapshot is not None else None
            if snapshot is not None and function is not None:
                target = Target(action.target(function, snapshot), snapshot)
                found[target.row_id] = target
        return list(found.values())

    def gone(self) -> frozenset[RowId]:
        """The marks of functions that are there no more, by the latest look."""
        known = {s.host.name: s.functions for s in self.snapshots()}
        return frozenset(r for r in self.tree.marks if r.host in known and r.bdf not in known[r.host])
