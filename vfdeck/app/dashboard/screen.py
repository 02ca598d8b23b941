"""The main screen: owner of the one state, from which everything on it is drawn.

Snapshots come in as messages and become one reactive, `fleet`. Keys name actions of the registry; a change goes dialog, plan,
confirmation, performer, and comes back as a message with its outcome.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Vertical
from textual.reactive import reactive
from textual.screen import ModalScreen, Screen
from textual.widgets import Static

from vfdeck.app.dashboard.actions import ACTIONS, BY_ID, Action, its_pf
from vfdeck.app.dashboard.dialogs.base import Page
from vfdeck.app.dashboard.dialogs.confirm import ConfirmDialog
from vfdeck.app.dashboard.dialogs.driver import DriverDialog
from vfdeck.app.dashboard.dialogs.numvfs import NumvfsDialog
from vfdeck.app.dashboard.dialogs.open import OpenDialog
from vfdeck.app.dashboard.dialogs.token import TokenDialog
from vfdeck.app.dashboard.feed import ChangeBegun, ChangeDone, HostFailed, HostFeed, Performer, SnapshotReady
from vfdeck.app.dashboard.pages import empty_sections, help_sections, problem_sections
from vfdeck.backend.changes import Change, Outcome, Plan, SetToken
from vfdeck.backend.host import Host
from vfdeck.backend.model import Function, Snapshot, TokenState
from vfdeck.backend.token import Token
from vfdeck.widgets.bars import Banner, JobLine, Key, KeyBar
from vfdeck.widgets.facts import FactsPanel
from vfdeck.widgets.fleet_tree import FleetTree
from vfdeck.widgets.report import ReportView, report, verdict
from vfdeck.widgets.rows import RowId
from vfdeck.widgets.section_view import SectionView
from vfdeck.widgets.state import Tone


@dataclass(frozen=True, slots=True)
class Fleet:
    """Everything the screen shows that comes from hosts: their snapshots in the order of the hosts, and failures of the backend."""

    snapshots: tuple[Snapshot, ...] = ()
    failures: tuple[tuple[str, str], ...] = ()

    def with_snapshots(self, fresh: Mapping[str, Snapshot], order: Sequence[str]) -> Fleet:
        """The same with fresh snapshots of some hosts, whose failures are over."""
        known = {s.host.name: s for s in self.snapshots} | dict(fresh)
        return Fleet(tuple(known[name] for name in order if name in known), tuple(f for f in self.failures if f[0] not in fresh))

    def with_failure(self, host: str, what: str) -> Fleet:
        """The same with a failure of one host's backend."""
        return replace(self, failures=(*(f for f in self.failures if f[0] != host), (host, what)))

    def snapshot(self, host: str) -> Snapshot | None:
        """A host's snapshot."""
        return next((s for s in self.snapshots if s.host.name == host), None)


class _Kept(NamedTuple):
    """A token that was set in this session, and when by the monotonic clock."""

    token: Token
    since: float


def _named(snapshot: Snapshot, name: str) -> Snapshot:
    """The snapshot under the name by which its host is known here."""
    return snapshot if snapshot.host.name == name else replace(snapshot, host=replace(snapshot.host, name=name))


class Dashboard(Screen[None]):
    """The fleet, the facts, and the keys."""

    AUTO_FOCUS = "#tree"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide")]  # noqa: RUF012  (Textual's own annotation is no ClassVar)
    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(action.keys, f"act('{action.id}')", action.title, id=f"act.{action.id}", show=False) for action in ACTIONS),
        Binding("escape", "back", "Back", show=False),
    ]

    fleet: reactive[Fleet] = reactive(Fleet())

    def __init__(self, hosts: Sequence[Host], *, interval: float = 2.0, follow: bool = True) -> None:
        super().__init__()
        self._hosts = {host.name: host for host in hosts}
        self._feeds = {host.name: HostFeed(host, self.post_message, interval) for host in hosts}
        self._performer = Performer(self.post_message)
        self._follow = follow
        self._begun: dict[int, tuple[str, Change]] = {}
        self._asking = False
        self._tokens: dict[RowId, _Kept] = {}
        self._outcome: tuple[Outcome, str] | None = None
        self._fresh: dict[str, SnapshotReady] = {}
        # kept, not looked for: a message may come when they are not there yet, or no more
        self._banner, self._tree, self._facts = Banner(), FleetTree(id="tree"), FactsPanel(id="facts")
        self._last, self._empty = ReportView(id="last"), SectionView(id="empty", label_width=3)
        self._line, self._keys = JobLine(), KeyBar()

    def compose(self) -> ComposeResult:
        """Banner, tree and side panel, job line, keys."""
        yield self._banner
        yield Static("vfdeck needs a terminal of at least 40 columns and 12 rows.", id="small", markup=False)
        with Container(id="body"):
            yield self._tree
            with Vertical(id="side"):
                yield self._facts
                yield self._last
        yield self._empty
        yield self._line
        yield self._keys

    def on_mount(self) -> None:
        """Begin to look."""
        self._show_fleet(self.fleet)
        for feed in self._feeds.values():
            feed.start(self._follow)

    def on_unmount(self) -> None:
        """Look no more."""
        for feed in self._feeds.values():
            feed.stop()

    def on_resize(self) -> None:
        """Make do with a low or a tiny terminal."""
        self.set_class(self.size.height < 20, "-low")
        self.set_class(self.size.height < 12 or self.size.width < 40, "-tiny")

    # -- state in ------------------------------------------------------------------------------------------------------
    @on(SnapshotReady)
    def _snapshot_ready(self, message: SnapshotReady) -> None:
        if not self._fresh:
            self.call_later(self._take_in)
        self._fresh[message.host] = message

    def _take_in(self) -> None:
        """Let everything that came since the last time become the state, at once."""
        fresh = {host: _named(message.snapshot, host) for host, message in self._fresh.items()}
        self._tokens = {row: kept for row, kept in self._tokens.items() if not self._replaced(row, kept)}
        self._fresh = {}
        self.fleet = self.fleet.with_snapshots(fresh, list(self._hosts))

    def _replaced(self, row: RowId, kept: _Kept) -> bool:
        """Whether the host says that a PF's token is no more the one that was set; a look from before the setting says nothing."""
        message = self._fresh.get(row.host)
        if message is None or message.begun < kept.since:
            return False
        known = message.snapshot.tokens.get(row.bdf)
        return known is None or known.state is not TokenState.SET or known.fingerprint != kept.token.fingerprint

    @on(HostFailed)
    def _host_failed(self, message: HostFailed) -> None:
        self.fleet = self.fleet.with_failure(message.host, message.what)
        self._line.hint(f"{message.host}: {message.what}", Tone.BAD)

    def watch_fleet(self, fleet: Fleet) -> None:
        """Draw everything anew from the state."""
        if self.is_mounted:
            self._show_fleet(fleet)

    def _show_fleet(self, fleet: Fleet) -> None:
        """Hand the state to the widgets."""
        self._banner.show(fleet.snapshots, any(host.simulated for host in self._hosts.values()))
        self._tree.show(fleet.snapshots)
        empty = bool(fleet.snapshots) and self._tree.rows.empty
        self.set_class(empty, "-empty")
        if empty:
            self._empty.show(empty_sections(fleet.snapshots))
        self._show_jobs()
        self._show_selection()

    def _show_jobs(self) -> None:
        """What runs, and what waits for its turn."""
        self._line.show_jobs(self.fleet.snapshots, [title for title, _ in self._begun.values()])

    # -- selection ----------------------------------------------------------------------------------------------------
    def selected(self) -> tuple[Function | None, Snapshot | None]:
        """The function that the cursor stands on (None on a host), and its host's snapshot."""
        row_id = self._tree.row_id
        snapshot = self.fleet.snapshot(row_id.host) if row_id else None
        return (snapshot.functions.get(row_id.bdf) if snapshot and row_id else None), snapshot

    @on(FleetTree.Highlighted)
    def _highlighted(self) -> None:
        self._line.clear_hint()
        self._show_selection()

    @on(FleetTree.Selected)
    def _selected(self) -> None:
        self.action_details()

    def _show_selection(self) -> None:
        """Facts and keys of what is selected."""
        row_id = self._tree.row_id
        function, snapshot = self.selected()
        self._facts.show_row(row_id, snapshot)
        keys = [
            Key(a.id, a.key, a.label, not self.why_not(a, function, snapshot), pinned=a.id in ("help", "quit"))
            for a in ACTIONS
            if a.in_bar
        ]
        self._keys.show(keys)

    def why_not(self, action: Action, function: Function | None, snapshot: Snapshot | None) -> str:
        """Why an action is not possible now; "" where it is."""
        if action.id == "result" and self._outcome is None:
            return "nothing was changed yet"
        if action.id in ("details", "fold_all", "unfold_all") and self.has_class("-empty"):
            return "there is no function to show"
        return action.why_not(function, snapshot)

    # -- actions ------------------------------------------------------------------------------------------------------
    @on(KeyBar.Pressed)
    def _key_pressed(self, event: KeyBar.Pressed) -> None:
        self.action_act(event.id)

    def action_act(self, action_id: str) -> None:
        """Do an action of the registry, or say in one line why it can't be done now."""
        action = BY_ID[action_id]
        function, snapshot = self.selected()
        reason = self.why_not(action, function, snapshot)
        if reason:
            self._line.hint(f"{action.label}: {reason}")
            return
        self._line.clear_hint()
        if action.command:
            getattr(self, f"action_{action.command}")()
        elif function is not None and snapshot is not None and not self._asking:  # a second key may come before the first dialog
            self._asking = True
            self._ask(action, action.target(function, snapshot), snapshot)

    @work(group="flow")
    async def _ask(self, action: Action, function: Function, snapshot: Snapshot) -> None:
        """Dialog, plan, confirmation; then the change goes to the performer."""
        host = self._hosts[snapshot.host.name]
        try:
            if action.change is not None:
                change: Change | None = action.change(function, snapshot)
            else:
                change = await self.app.push_screen_wait(self._dialog(action, function, snapshot, host))
            if change is None:
                return
            now = self.fleet.snapshot(host.name) or snapshot
            plan = host.plan(change, now)
            if await self.app.push_screen_wait(ConfirmDialog(plan)) and not plan.impossible:
                self._perform(host, change, plan)
        finally:
            self._asking = False

    def _dialog(self, action: Action, function: Function, snapshot: Snapshot, host: Host) -> ModalScreen[Change | None]:
        """The dialog that asks for what an action needs."""
        dialog: object
        match action.dialog:
            case "token":
                dialog = TokenDialog(function, snapshot)
            case "numvfs":
                dialog = NumvfsDialog(function, lambda change: host.plan(change, self.fleet.snapshot(host.name) or snapshot))
            case "driver":
                dialog = DriverDialog(function, snapshot)
            case _:
                kept = self._tokens.get(RowId(host.name, its_pf(function, snapshot).bdf))
                dialog = OpenDialog(function, snapshot, kept.token if kept else None)
        assert isinstance(dialog, ModalScreen)
        return dialog

    def _perform(self, host: Host, change: Change, plan: Plan) -> None:
        """Hand a confirmed change to the performer."""
        number = self._performer.submit(host, change)
        self._begun[number] = (plan.title, change)
        self._show_jobs()

    @on(ChangeBegun)
    def _change_begun(self, message: ChangeBegun) -> None:
        """A change that waits shows among the host's jobs."""
        if message.number in self._begun:
            self._show_jobs()

    @on(ChangeDone)
    def _change_done(self, message: ChangeDone) -> None:
        """Show what came of a change, and look again."""
        title, change = self._begun.pop(message.number, ("", None))
        self._feeds[message.host].look_soon()
        self._show_jobs()
        if message.outcome is None:
            self._line.show_last(f"✗ {title}: vfdeck itself failed ({message.failure}); this is a bug", Tone.BAD)
            return
        if message.outcome.ok and isinstance(change, SetToken):
            self._tokens[RowId(message.host, change.pf)] = _Kept(change.token, time.monotonic())
        self._show_outcome(message.outcome, title)

    def _show_outcome(self, outcome: Outcome, title: str) -> None:
        """A line for every outcome; a refusal opens its explanation, unless a dialog is open already."""
        self._outcome = (outcome, title)
        text, tone = verdict(outcome, title)
        mark = "✓" if outcome.ok else "✗"
        self._line.show_last(f"{mark} {text}   e: more", tone)
        self._last.show_outcome(outcome, title)
        self.add_class("-told")
        self._show_selection()
        if not outcome.ok and self.app.screen is self:
            self.action_result()

    # -- commands -----------------------------------------------------------------------------------------------------
    def action_refresh_now(self) -> None:
        """Look at every host again."""
        for feed in self._feeds.values():
            feed.look_soon()

    def action_details(self) -> None:
        """The facts over the whole screen, or the tree again."""
        full = not self.has_class("-details")
        self.set_class(full, "-details")
        (self._facts if full else self._tree).focus()

    def action_back(self) -> None:
        """From the details, or from the facts, to the tree."""
        self.remove_class("-details")
        self._tree.focus()

    def action_result(self) -> None:
        """What came of the last change."""
        if self._outcome is not None:
            outcome, title = self._outcome
            text, tone = verdict(outcome, title)
            self.app.push_screen(Page(text, report(outcome), label_width=7, tone=tone))

    def action_problems(self) -> None:
        """What could not be read."""
        sections = problem_sections(self.fleet.snapshots, dict(self.fleet.failures))
        self.app.push_screen(Page("What could not be read", sections, label_width=2))

    def action_fold_all(self) -> None:
        """PFs only."""
        self._tree.fold_all(True)

    def action_unfold_all(self) -> None:
        """Everything."""
        self._tree.fold_all(False)

    def action_help(self) -> None:
        """Keys and letters."""
        self.app.push_screen(Page("Keys and letters", help_sections(), label_width=10))

    def action_palette(self) -> None:
        """Find an action by name."""
        self.app.action_command_palette()

    def action_quit(self) -> None:
        """Leave at once."""
        self.app.exit()
