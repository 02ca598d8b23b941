"""The main screen: owner of the one state, from which everything on it is drawn.

Snapshots come in as messages and become one reactive, `fleet`. Keys name actions of the registry; a change goes dialog, plan,
confirmation, performer, and comes back as a message with its outcome.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import ClassVar

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Vertical
from textual.reactive import reactive
from textual.screen import Screen
from textual.widgets import Static

from vfdeck.app.dashboard.actions import ACTIONS, BY_ID, Action, its_pf
from vfdeck.app.dashboard.batch import Batch, Item, LeftOut, Target, retarget, sort_out, together, told, used_by_host
from vfdeck.app.dashboard.dialogs.base import Dialog, Page
from vfdeck.app.dashboard.dialogs.confirm import ConfirmDialog
from vfdeck.app.dashboard.dialogs.driver import DriverDialog
from vfdeck.app.dashboard.dialogs.numvfs import NumvfsDialog
from vfdeck.app.dashboard.dialogs.open import OpenDialog
from vfdeck.app.dashboard.dialogs.token import TokenDialog
from vfdeck.app.dashboard.feed import ChangeBegun, ChangeDone, HostFailed, HostFeed, Performer, SnapshotReady
from vfdeck.app.dashboard.finding import Finder
from vfdeck.app.dashboard.lesson import Lesson
from vfdeck.app.dashboard.pages import empty_sections, help_sections, problem_sections
from vfdeck.app.dashboard.state import Fleet, SessionTokens, named
from vfdeck.backend.changes import Change, Open, Outcome, Plan, SetToken, target_of
from vfdeck.backend.host import Host
from vfdeck.backend.model import Function, Snapshot
from vfdeck.widgets.bars import Banner, JobLine, Key, KeyBar, ViewLine
from vfdeck.widgets.facts import FactsPanel
from vfdeck.widgets.fleet_tree import FleetTree
from vfdeck.widgets.query import QueryBar
from vfdeck.widgets.report import ReportView, report, verdict
from vfdeck.widgets.rows import RowId
from vfdeck.widgets.section_view import SectionView
from vfdeck.widgets.sections import Fact, Section
from vfdeck.widgets.state import Tone, index_of, plural

#: Seconds for which what changed stands out.
FLASH = 2.0
#: Actions that need a tree.
_OF_THE_TREE = ("details", "fold_all", "unfold_all", "search", "filter", "mark", "sort", "next", "previous")


class Dashboard(Screen[None]):
    """The fleet, the facts, and the keys."""

    AUTO_FOCUS = "#tree"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide")]  # noqa: RUF012  (Textual's own annotation is no ClassVar)
    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(action.keys, f"act('{action.id}')", action.title, id=f"act.{action.id}", show=False) for action in ACTIONS),
        Binding("escape", "back", "Back", show=False),
    ]

    fleet: reactive[Fleet] = reactive(Fleet())

    def __init__(self, hosts: Sequence[Host], *, interval: float = 2.0, follow: bool = True, lesson: Lesson | None = None) -> None:
        super().__init__()
        self._lesson = lesson  # until it has been told
        self._hosts = {host.name: host for host in hosts}
        self._feeds = {host.name: HostFeed(host, self.post_message, interval) for host in hosts}
        self._performer = Performer(self.post_message)
        self._follow = follow
        self._begun: dict[int, tuple[str, Change]] = {}
        self._asking = False
        self._tokens = SessionTokens()
        self._outcome: tuple[Outcome, str] | Batch | None = None
        self._batches: list[Batch] = []
        self._fresh: dict[str, SnapshotReady] = {}
        # kept, not looked for: a message may come when they are not there yet, or no more
        self._banner, self._tree, self._facts = (
            Banner(),
            FleetTree(id="tree", flash=FLASH if follow else 0.0),
            FactsPanel(id="facts"),
        )
        self._last, self._empty = ReportView(id="last"), SectionView(id="empty", label_width=3)
        self._line, self._keys = JobLine(), KeyBar()
        self._query, self._view = QueryBar(), ViewLine()
        self._finder = Finder(self._tree, self._query, self._line, self._keys, self._view, lambda: self.fleet.snapshots)

    def compose(self) -> ComposeResult:
        """Banner, tree and side panel, job line, keys."""
        yield self._banner
        yield Static("vfdeck needs a terminal of at least 40 columns and 12 rows.", id="small", markup=False)
        yield self._view
        with Container(id="body"):
            yield self._tree
            with Vertical(id="side"):
                yield self._facts
                yield self._last
        yield self._empty
        yield self._line
        yield self._query
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
        for message in self._fresh.values():
            self._tokens.check(message)
        fresh = {
            host: self._tokens.shown(host, named(message.snapshot, host), message.begun) for host, message in self._fresh.items()
        }
        self._fresh = {}
        self.fleet = self.fleet.with_snapshots(fresh, list(self._hosts))
        self._go_on()
        if self._lesson is not None:
            lesson, self._lesson = self._lesson, None
            self._tree.select(RowId(next(iter(self._hosts)), lesson.target))
            self.app.push_screen(Page(lesson.title, lesson.sections(), label_width=5))

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
        self._finder.show()
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
        if not self._query.is_open:  # then the line helps with what is typed
            self._line.clear_hint()
        self._show_selection()

    @on(FleetTree.Searched)
    def _searched(self, message: FleetTree.Searched) -> None:
        self._finder.searched(message.number, message.count)

    @on(FleetTree.Arranged)
    def _arranged(self) -> None:
        self._finder.show()

    @on(QueryBar.Changed)
    def _typed(self, message: QueryBar.Changed) -> None:
        self._finder.typed(message.text)

    @on(QueryBar.Accepted)
    def _accepted(self, message: QueryBar.Accepted) -> None:
        self._finder.accept(message.text)

    @on(QueryBar.Cancelled)
    def _cancelled(self) -> None:
        self._finder.cancel()

    @on(QueryBar.Complete)
    def _complete(self, message: QueryBar.Complete) -> None:
        self._finder.complete(message.text)

    @on(QueryBar.Step)
    def _step(self, message: QueryBar.Step) -> None:
        self._finder.step(message.step)

    @on(FleetTree.Selected)
    def _selected(self) -> None:
        self.action_details()

    def _show_selection(self) -> None:
        """Facts and keys of what is selected."""
        row_id = self._tree.row_id
        function, snapshot = self.selected()
        self._facts.show_row(row_id, snapshot, self._notes())
        keys = [
            Key(a.id, a.key, a.label, not self.why_not(a, function, snapshot), pinned=a.id in ("help", "quit"))
            for a in ACTIONS
            if a.in_bar
        ]
        empty = self.has_class("-empty")  # then most keys are not even a matter of another row
        self._keys.show([key for key in keys if key.enabled or not empty])

    def _notes(self) -> list[Fact]:
        """What the row itself has to say: for whom it stands, and what changed a moment ago."""
        row = self._tree.row
        alike = [Fact("", f"the first of {row.size} VFs that are alike", Tone.DIM)] if row is not None and row.size > 1 else []
        changes = "; ".join(str(change) for change in self._tree.changes(self._tree.row_id))
        return [*alike, Fact("changed", changes, Tone.OWN)] if changes else alike

    def why_not(self, action: Action, function: Function | None, snapshot: Snapshot | None) -> str:
        """Why an action is not possible now; "" where it is."""
        if action.id == "result" and self._outcome is None:
            return "nothing was changed yet"
        if action.id in _OF_THE_TREE and self.has_class("-empty"):
            return "there is no function to show"
        if action.id in ("next", "previous") and self._finder.is_empty:
            return "nothing was searched for; / finds"
        if action.many and (targets := self._targets(action)):
            reasons = [action.available(*target) for target in targets]
            return "" if "" in reasons else reasons[0]
        return action.why_not(function, snapshot)

    def _targets(self, action: Action) -> list[Target]:
        """What an action is about where it is about many: everything marked, or the VFs of one row. Each PF comes once."""
        row = self._tree.row
        chosen = sorted(self._tree.marks) or (self._tree.rows.members(row) if row is not None and row.size > 1 else [])
        found: dict[RowId, Target] = {}
        for row_id in chosen:
            snapshot = self.fleet.snapshot(row_id.host)
            function = snapshot.functions.get(row_id.bdf) if snapshot is not None else None
            if snapshot is not None and function is not None:
                target = action.target(function, snapshot)
                found[RowId(row_id.host, target.bdf)] = Target(target, snapshot)
        return list(found.values())

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
        elif self._asking:
            return
        elif action.many and (targets := self._targets(action)):
            self._asking = True
            self._ask_many(action, targets)
        elif function is not None and snapshot is not None:  # a second key may come before the first dialog
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
            wanted = change

            def make() -> Plan:
                return host.plan(wanted, self.fleet.snapshot(host.name) or snapshot)

            plan = await self._confirmed(make(), make)
            if plan is not None:
                self._perform(host, change, plan)
        finally:
            self._asking = False

    async def _confirmed(self, plan: Plan, make: Callable[[], Plan]) -> Plan | None:
        """Ask until what was confirmed is what `make` would do now: programs come and go while a plan is read."""
        shown = plan
        while await self.app.push_screen_wait(ConfirmDialog(shown)) and not plan.impossible:
            now = make()
            if now.same_as(plan):
                return now
            plan, shown = now, replace(now, title=f"{now.title} (changed while you read it: look again)")
        return None

    @work(group="flow")
    async def _ask_many(self, action: Action, targets: list[Target]) -> None:
        """One dialog, one plan of all, one confirmation."""
        try:
            reasons = [(target, action.available(*target)) for target in targets]
            possible = [target for target, reason in reasons if not reason]
            left = [LeftOut(target.function.bdf, reason) for target, reason in reasons if reason]
            answer: Change | None = None
            if action.change is None:
                host = self._hosts[possible[0].snapshot.host.name]
                dialog = self._dialog(action, *possible[0], host)
                dialog.for_many(len(possible))
                answer = await self.app.push_screen_wait(dialog)
                if answer is None:
                    return
            wanted: list[tuple[Target, Change]] = []
            for target in possible:
                change = action.change(*target) if action.change is not None else self._same(answer, possible[0], target)
                if change is None:
                    left.append(LeftOut(target.function.bdf, "no token of its PF was set in this session"))
                else:
                    wanted.append((target, change))
            await self._confirm_many(action.title, wanted, left)
        finally:
            self._asking = False

    async def _confirm_many(self, title: str, wanted: Sequence[tuple[Target, Change]], left: Sequence[LeftOut]) -> None:
        """Show one plan of all that can be done together, and begin once it is confirmed."""
        kept, out = self._sorted(wanted, left)
        if not kept:
            self.app.push_screen(Page(f"{title}: nothing to do", [Section("", told(out))], label_width=2, tone=Tone.WARN))
            return

        def of_all() -> Plan:
            if not kept:
                return Plan(wanted[0][1], title, impossible="; ".join(f"{bdf}: {why}" for bdf, why in out))
            return together(f"{title}: {plural(len(kept), 'function')}", kept, out)

        def make() -> Plan:
            nonlocal kept, out
            kept, out = self._sorted(wanted, left)
            return of_all()

        plan = await self._confirmed(of_all(), make)
        if plan is not None:
            self._tree.clear_marks()
            self._batches.append(Batch(plan.title, deque(kept), out))
            self._go_on()
            self._finder.show()

    def _sorted(self, wanted: Sequence[tuple[Target, Change]], left: Sequence[LeftOut]) -> tuple[list[Item], list[LeftOut]]:
        """The changes that can be made together, planned by the latest look; and all that is left out."""
        items, left = [], list(left)
        for target, change in wanted:
            if len(wanted) > 1 and (of_the_host := used_by_host(change, target)):
                left.append(LeftOut(target.function.bdf, f"{of_the_host} would go: do it by itself"))
                continue
            host = self._hosts[target.snapshot.host.name]
            items.append(Item(host, change, host.plan(change, self.fleet.snapshot(host.name) or target.snapshot)))
        kept, more = sort_out(items)
        return kept, [*left, *more]

    def _same(self, answer: Change | None, first: Target, other: Target) -> Change | None:
        """What was answered for the first target, for another; None where it would need a token that is not there.

        The token set in this session that was chosen for the first is, for a VF of another PF, that PF's.
        """
        assert answer is not None
        change = retarget(answer, other.function.bdf)
        mine, its = (self._tokens.of(t.snapshot.host.name, its_pf(*t).bdf) for t in (first, other))
        if isinstance(change, Open) and change.token is not None and change.token == mine:
            return replace(change, token=its) if its is not None else None
        return change

    def _go_on(self) -> None:
        """Begin what is due of confirmed batches."""
        for batch in self._batches:
            batch.start(lambda item: self._perform(*item), self._is_waiting)

    def _is_waiting(self, item: Item) -> bool:
        """Whether a change waits in the kernel for a program."""
        snapshot = self.fleet.snapshot(item.host.name)
        job = index_of(snapshot).running.get(target_of(item.change)) if snapshot is not None else None
        return job is not None and bool(job.waits_for or job.advice)

    def _dialog(self, action: Action, function: Function, snapshot: Snapshot, host: Host) -> Dialog[Change]:
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
                dialog = OpenDialog(function, snapshot, self._tokens.of(host.name, its_pf(function, snapshot).bdf))
        assert isinstance(dialog, Dialog)
        return dialog

    def _perform(self, host: Host, change: Change, plan: Plan) -> int:
        """Hand a confirmed change to the performer; the answer is its number."""
        number = self._performer.submit(host, change)
        self._begun[number] = (plan.title, change)
        self._show_jobs()
        return number

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
        if message.outcome is not None and message.outcome.ok and isinstance(change, SetToken):
            self._keep_token(message.host, change)
        if batch := next((batch for batch in self._batches if message.number in batch.running), None):
            batch.take(message.number, message.outcome)
            self._show_batch(batch)
            return
        if message.outcome is None:
            self._line.show_last(f"✗ {title}: vfdeck itself failed ({message.failure}); this is a bug", Tone.BAD)
            return
        self._show_outcome(message.outcome, title)

    def _keep_token(self, host: str, change: SetToken) -> None:
        """Keep a token that was set, and show at once that it is."""
        self._tokens.keep(host, change)
        snapshots = tuple(self._tokens.shown(host, s, 0.0) if s.host.name == host else s for s in self.fleet.snapshots)
        self.fleet = replace(self.fleet, snapshots=snapshots)

    def _show_batch(self, batch: Batch) -> None:
        """A line for how a batch stands; when it is over and something was refused, its page."""
        self._go_on()
        text, tone = batch.verdict()
        self._outcome = batch
        self._line.show_last(f"{'…' if not batch.is_over else '✓' if tone is Tone.GOOD else '✗'} {text}   e: more", tone)
        self._show_selection()
        if batch.is_over:
            self._batches.remove(batch)
            if tone is not Tone.GOOD and self.app.screen is self:
                self.action_result()

    def _show_outcome(self, outcome: Outcome, title: str) -> None:
        """A line for every outcome; a refusal opens its explanation, unless a dialog is open already."""
        self._outcome = (outcome, title)
        text, tone = verdict(outcome, title)
        mark = {Tone.GOOD: "✓", Tone.WARN: "!"}.get(tone, "✗")
        self._line.show_last(f"{mark} {text}   e: more", tone)
        self._last.show_outcome(outcome, title)
        self.add_class("-told")
        self._show_selection()
        if tone is not Tone.GOOD and self.app.screen is self:
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
        """From the details, or from the facts, to the tree; there, end the search, then the filter."""
        if self._tree.has_focus:
            self._finder.back()
        self.remove_class("-details")
        self._tree.focus()

    def action_search(self) -> None:
        """Type what to go to."""
        self.remove_class("-details")
        self._finder.start("search")

    def action_filter(self) -> None:
        """Type what to show."""
        self.remove_class("-details")
        self._finder.start("filter")

    def action_mark(self) -> None:
        """Mark the row, or take its mark away."""
        self._tree.toggle_mark()
        self._finder.show()
        self._show_selection()

    def action_sort(self) -> None:
        """Sort by the next thing."""
        self._finder.next_order()

    def action_next_match(self) -> None:
        """To the next match."""
        self._finder.step(1)

    def action_previous_match(self) -> None:
        """To the match before."""
        self._finder.step(-1)

    def on_key(self, event: events.Key) -> None:
        """Say so when a key does nothing here."""
        if event.key not in self.active_bindings:
            name = event.character if event.is_printable and event.character else event.key
            self._line.hint(f"{name} does nothing here; ? lists the keys", Tone.DIM)

    def action_result(self) -> None:
        """What came of the last change."""
        if isinstance(self._outcome, Batch):
            text, tone = self._outcome.verdict()
            self.app.push_screen(Page(text, self._outcome.report(), label_width=7, tone=tone))
        elif self._outcome is not None:
            outcome, title = self._outcome
            text, tone = verdict(outcome, title)
            self.app.push_screen(Page(text, report(outcome), label_width=7, tone=tone))

    def action_problems(self) -> None:
        """What could not be read."""
        sections = problem_sections(self.fleet.snapshots, dict(self.fleet.failures))
        self.app.push_screen(Page("What could not be read", sections, label_width=2))

    def action_fold_all(self) -> None:
        """One step less to see."""
        self._tree.fold_all(True)

    def action_unfold_all(self) -> None:
        """One step more to see."""
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
