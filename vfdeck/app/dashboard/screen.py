"""The main screen: owner of the one state, from which everything on it is drawn.

Snapshots come in as messages and become one reactive, `fleet`. Keys name actions of the registry; `flow` and `batch_flow` ask what
has to be asked, and `results` keeps what was begun and tells what came of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Vertical
from textual.reactive import reactive
from textual.screen import Screen
from textual.widgets import Static

from vfdeck.app.dashboard import exporting
from vfdeck.app.dashboard.actions import ACTIONS, BY_ID, Action, why_away
from vfdeck.app.dashboard.batch import Batch
from vfdeck.app.dashboard.batch_flow import BatchFlow
from vfdeck.app.dashboard.collecting import OFTEN, Collecting
from vfdeck.app.dashboard.commands import Commands
from vfdeck.app.dashboard.desk import Desk, Target
from vfdeck.app.dashboard.dialogs.base import LEAST, TOO_SMALL
from vfdeck.app.dashboard.exporting import Offer
from vfdeck.app.dashboard.feed import ChangeBegun, ChangeDone, Feed, HostFailed, Performer, SnapshotReady, UeventsHeard, pending
from vfdeck.app.dashboard.finding import Finder
from vfdeck.app.dashboard.flow import Flow
from vfdeck.app.dashboard.inspecting import Inspector
from vfdeck.app.dashboard.kernel_lines import KernelLines
from vfdeck.app.dashboard.lesson import Lesson
from vfdeck.app.dashboard.lookup import Lookup
from vfdeck.app.dashboard.pages import empty_sections
from vfdeck.app.dashboard.panels import Panel, Scene
from vfdeck.app.dashboard.past import Past
from vfdeck.app.dashboard.practising import Practising
from vfdeck.app.dashboard.results import Record, Results
from vfdeck.app.dashboard.side import Side
from vfdeck.app.dashboard.state import Fleet, SessionTokens, named
from vfdeck.app.dashboard.taking_back import TakingBack
from vfdeck.app.dashboard.timeline import Timeline
from vfdeck.app.dashboard.touring import Tour, Touring
from vfdeck.app.dashboard.transcript import Transcript
from vfdeck.app.settings import USUAL, Reading
from vfdeck.backend.host import Host
from vfdeck.backend.model import Function, Snapshot
from vfdeck.widgets.bars import Banner, JobLine, Key, KeyBar, ViewLine
from vfdeck.widgets.event_facts import SHOWN, Events, room
from vfdeck.widgets.fleet_tree import FleetTree
from vfdeck.widgets.host_facts import tried_again
from vfdeck.widgets.panel_view import PanelView
from vfdeck.widgets.query import QueryBar
from vfdeck.widgets.report import ReportView
from vfdeck.widgets.rows import RowId
from vfdeck.widgets.section_view import SectionView
from vfdeck.widgets.sections import Fact
from vfdeck.widgets.state import Tone, plural
from vfdeck.widgets.tabs import TabLine
from vfdeck.widgets.tour_strip import TourStrip

#: Of more hosts than `FEW`, what comes in so many seconds is shown at once.
FEW, GATHER = 16, 0.25
#: Columns from which on the panel stands beside the tree, by what the settings want.
_BESIDE = {"auto": 110, "beside": 80}
#: Actions that need a tree, or what stands beside it.
_OF_THE_TREE = ("fold_all", "unfold_all", "search", "filter", "mark", "sort", "next", "previous")
_OF_THE_SIDE = ("details", "next_panel", "previous_panel", *(action.id for action in ACTIONS if action.panel))


class Body(Container):
    """What holds the tree and the panel. They cover it: what it would draw is never seen, and costs as much as the tree."""

    BLANK = True


class Dashboard(Screen[None]):
    """The fleet, a panel beside or below it, and the keys."""

    AUTO_FOCUS = "#tree"
    BLANK = True  # covered by what is on it, as `Body`
    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(action.keys, f"act('{action.id}')", action.title, id=f"act.{action.id}", show=False) for action in ACTIONS),
        Binding("escape", "back", "Back", id="leave.leave", show=False),
    ]

    fleet: reactive[Fleet] = reactive(Fleet())

    def __init__(
        self,
        hosts: Sequence[Host],
        *,
        interval: float = 2.0,
        follow: bool = True,
        lesson: Lesson | None = None,
        tour: Tour | None = None,
        note: str = "",
        reading: Reading = USUAL,
    ) -> None:
        super().__init__()
        settings = reading.settings
        self.keys = settings.keys
        self._reading = reading
        self._hosts = {host.name: host for host in hosts}
        self._lives = any(getattr(host, "lives", False) for host in hosts)  # which only a simulated one may
        self._feed = Feed(hosts, self.post_message, interval)
        self._collecting = Collecting()
        self._follow = follow
        self._note = note
        self._tokens = SessionTokens()
        self._fresh: dict[str, SnapshotReady] = {}
        self._was_moved = False  # the cursor, by a fresh look and not by the operator
        # kept, not looked for: a message may come when they are not there yet, or no more
        self._banner = Banner(problems_key=self.keys.shown(BY_ID["problems"]))
        self._tree = FleetTree(
            id="tree",
            flash=settings.flash if follow else 0.0,
            hosts_open=len(hosts) <= FEW,
            hidden=settings.hidden,
            order=settings.columns,
        )
        self._tabs, self._panel = TabLine(id="tabs"), PanelView(id="panel")
        self._last, self._empty = ReportView(id="last"), SectionView(id="empty", label_width=3)
        self._line, self._keys = JobLine(), KeyBar()
        self._query, self._view = QueryBar(), ViewLine()
        self._finder = Finder(self._tree, self._query, self._line, self._keys, self._view, self._snapshots, self.keys)
        self._lookup = Lookup(self._line)
        self._desk = Desk(self, self._hosts, self._snapshots, self._tree, self._line, self._lookup, self._tokens, self.keys)
        self._timeline, self._transcript = Timeline(), Transcript()
        self._kernel_lines = KernelLines(self._show_selection)
        self._inspector = Inspector(self, self._show_selection, lambda text: self._line.hint(text, Tone.BAD))
        self._side = Side(self, self.keys, self._tabs, self._panel, self._scene, self._inspect)
        self._practising = Practising(self._desk, lesson)
        past = Past()
        record = Record(past, self._timeline, self._transcript)
        self._results = Results(self._desk, Performer(self.post_message), self._last, record, self._show_token, self._act_on)
        self._strip = TourStrip(id="tour")
        self._touring = Touring(self._desk, self._strip, tour)
        self._flow = Flow(self._desk, self._results.perform, settings.confirm)
        self._batches = BatchFlow(self._desk, self._flow, self._begin_batch)
        self._taking_back = TakingBack(self._desk, self._flow, self._batches, self._results, past)
        self._commands = Commands(
            self._desk,
            self._finder,
            self._results,
            self._practising,
            self._taking_back,
            self._touring,
            self._side,
            self._look_again,
            lambda: self.fleet,
            reading.faults,
            self._offers,
        )

    def compose(self) -> ComposeResult:
        """Banner, tree and side panel, job line, keys."""
        yield self._banner
        yield Static(TOO_SMALL, id="small", markup=False)
        yield self._strip
        yield self._view
        with Body(id="body"):
            yield self._tree
            with Vertical(id="side"):
                yield self._tabs
                yield self._panel
                yield self._last
        yield self._empty
        yield self._line
        yield self._query
        yield self._keys

    def on_mount(self) -> None:
        """Begin to look."""
        self.fleet = self.fleet.with_snapshots(
            {name: picture for name, host in self._hosts.items() if (picture := pending(host)) is not None}, list(self._hosts)
        )
        self._show_fleet(self.fleet)
        self._finder.begin_with(self._reading.settings.sort, self._reading.settings.filter)
        notes = [self._note] if self._note else []
        if self._reading.faults:
            more = f"{plural(len(self._reading.faults), 'fault')} in the settings; {self.keys.shown(BY_ID['problems'])} tells"
            notes.append(more)
        if notes:
            self._line.hint("; ".join(notes), Tone.WARN)
        elif self._lives:
            self._line.hint("Programs come and go by themselves here; vfdeck demo --still has none of that")
        if len(self._hosts) > FEW or self.fleet.snapshots:  # first of all there should be a screen
            self.call_after_refresh(self._feed.start, self._follow)
        else:
            self._feed.start(self._follow)

    def on_unmount(self) -> None:
        """Look no more."""
        self._feed.stop()
        self._collecting.over()

    def on_resize(self) -> None:
        """Make do with a low or a tiny terminal."""
        details = self._reading.settings.details
        self.set_class(self.size.width >= _BESIDE.get(details, self.size.width + 1), "-wide")
        self.set_class(details == "hidden" or self.size.height < 20, "-low")
        self.set_class(details == "below" and self.size.height >= 36, "-high")
        self.set_class(self.size.height < 16, "-flat")
        self.set_class(self.size.width < LEAST[0] or self.size.height < LEAST[1], "-tiny")

    def _look_again(self) -> None:
        """Look at every host again; of those that are lost for good the one that the cursor is at is tried once more.

        Not all of them: servers lock out whoever fails to log in again and again.
        """
        row_id = self._tree.row_id
        again = getattr(self._hosts.get(row_id.host), "again", None) if row_id is not None else None
        if again is not None:
            again()
        self._feed.look_soon()

    # -- state in ------------------------------------------------------------------------------------------------------
    def _snapshots(self) -> Sequence[Snapshot]:
        """The latest look at every host."""
        return self.fleet.snapshots

    @on(SnapshotReady)
    def _snapshot_ready(self, message: SnapshotReady) -> None:
        if not self._fresh:
            if len(self._hosts) > FEW and self.fleet.snapshots:  # they come by the hundred; each time all are summed up
                self.set_timer(GATHER, self._take_in)
            else:
                self.call_later(self._take_in)
        self._fresh[message.host] = message

    def _take_in(self) -> None:
        """Let everything that came since the last time become the state, at once."""
        for message in self._fresh.values():
            self._tokens.check(message)
        fresh = {
            host: self._tokens.shown(host, named(message.snapshot, host), message.since) for host, message in self._fresh.items()
        }
        self._fresh = {}
        known = {snapshot.host.name: snapshot for snapshot in self.fleet.snapshots}
        for host, snapshot in fresh.items():
            self._timeline.looked(known.get(host), snapshot)
        self.fleet = self.fleet.with_snapshots(fresh, list(self._hosts))
        if len(self.fleet.snapshots) == len(self._hosts):
            self._spare_keys()
        self._results.go_on()
        self._practising.looked()
        self._touring.looked()

    def _spare_keys(self) -> None:
        """A large fleet was read: let no key wait for Python's collector."""
        if self._collecting.read(self.fleet.snapshots):
            self.set_interval(OFTEN, self._collecting.calm)

    @on(UeventsHeard)
    def _uevents_heard(self, message: UeventsHeard) -> None:
        self._timeline.heard(message.host, message.events)
        if self._side.chosen.log and self._tree.row_id is not None and self._tree.row_id.host == message.host:
            self._side.show()

    @on(HostFailed)
    def _host_failed(self, message: HostFailed) -> None:
        self.fleet = self.fleet.with_failure(message.host, message.what)
        self._line.hint(f"{message.host}: {message.what}", Tone.BAD)

    @on(ChangeBegun)
    def _change_begun(self) -> None:
        """A change that waits shows among the host's jobs."""
        self._results.show_jobs()
        self._side.show()

    @on(ChangeDone)
    def _change_done(self, message: ChangeDone) -> None:
        """Show what came of a change, and look again."""
        self._feed.look_soon(message.host)
        self._results.done(message)
        self._practising.done(message.outcome)
        self._touring.done(message.outcome)
        self._show_selection()

    def _show_token(self, host: str) -> None:
        """Show at once that a token was set."""
        snapshots = tuple(self._tokens.shown(host, s, 0.0) if s.host.name == host else s for s in self.fleet.snapshots)
        self.fleet = replace(self.fleet, snapshots=snapshots)

    def _begin_batch(self, batch: Batch) -> None:
        """Begin a confirmed batch, whose marks are gone."""
        self._results.begin(batch)
        self._finder.show()
        self._show_selection()

    # -- state out -----------------------------------------------------------------------------------------------------
    def watch_fleet(self, fleet: Fleet) -> None:
        """Draw everything anew from the state."""
        if self.is_mounted:
            self._show_fleet(fleet)

    def _show_fleet(self, fleet: Fleet) -> None:
        """Hand the state to the widgets."""
        hosts = self._hosts.values()
        self._banner.show(fleet.snapshots, any(host.simulated for host in hosts), len(hosts), lives=self._lives)
        place = self._tree.row_id
        self._tree.show(fleet.snapshots)
        self._was_moved = self._tree.row_id != place  # which is told in a message
        empty = bool(fleet.snapshots) and self._tree.rows.empty and not any(s.away for s in fleet.snapshots)
        self.set_class(empty, "-empty")
        if empty:
            self._empty.show(empty_sections(fleet.snapshots, self.keys))
        self._drop_marks()
        self._finder.show()
        self._results.show_jobs()
        self._show_selection()

    def _drop_marks(self) -> None:
        """A function that is gone is marked no more: another may have its address when it is back."""
        gone = self._desk.gone()
        if gone:
            self._tree.unmark(gone)
            names = ", ".join(sorted(row_id.bdf for row_id in gone)[:3])
            more = f" and {len(gone) - 3} more" if len(gone) > 3 else ""
            text = f"{plural(len(gone), 'mark')} dropped: {names}{more} {'is' if len(gone) == 1 else 'are'} gone"
            self._line.hint(text)

    def _show_selection(self) -> None:
        """Panel and keys of what is selected."""
        if self._tree.row_id is not None:
            self._feed.attend(self._tree.row_id.host)
        function, snapshot = self._desk.selected()
        self._side.show()
        keys = [
            Key(a.id, self.keys.shown(a), a.label, not self.why_not(a, function, snapshot), pinned=a.id in ("help", "quit"))
            for a in ACTIONS
            if a.in_bar
        ]
        empty = self.has_class("-empty")  # then most keys are not even a matter of another row
        self._keys.show([key for key in keys if key.enabled or not empty])

    def _scene(self) -> Scene:
        """What the panel is made from."""
        row_id = self._tree.row_id
        attempt = self._results.attempt(row_id) if row_id is not None else None
        snapshot = self._desk.selected()[1]
        return Scene(
            row_id,
            snapshot,
            tuple(self._notes()),
            self._inspector.of(row_id),
            attempt,
            partial(self._events, snapshot),
            self._transcript.ran,
            len(self._hosts) > 1,
        )

    def _events(self, snapshot: Snapshot | None) -> Events:
        """What happened to the row, as far as it could be heard, seen and read."""
        row_id = self._tree.row_id
        if row_id is None:
            return Events()
        entries = self._timeline.of(row_id, snapshot, self._kernel_lines.of(row_id.host))
        deaf = "no uevents can be heard here: what changes is found by looking" if self._timeline.is_deaf(row_id.host) else ""
        notes = tuple(note for note in (deaf, self._kernel_lines.note(row_id.host)) if note)
        return Events(tuple(entries), notes, SHOWN if self._side.is_full else room(*self._panel.size))

    def _offers(self) -> Sequence[Offer]:
        """What can be written to a file."""
        row, row_id = self._tree.row, self._tree.row_id
        host = row_id.host if row_id is not None else ""
        chosen = frozenset(self._tree.rows.members(row)) if row is not None and row.id.bdf else frozenset[RowId]()
        events = (*self._timeline, *self._kernel_lines)
        return exporting.offers(self.fleet.snapshots, host, chosen, self._tree.marks, events, self._transcript.ran)

    def _inspect(self, panel: Panel) -> None:
        """Have looked up what the panel shows of a function beyond its snapshot, if it can be seen."""
        row_id, (function, snapshot) = self._tree.row_id, self._desk.selected()
        is_hidden = self.has_class("-low") and not self._side.is_full
        if row_id is not None and panel.log and not is_hidden:
            self._kernel_lines.want(self._hosts[row_id.host])
        if row_id is None or function is None or snapshot is None or is_hidden:
            self._inspector.rest()
        else:
            self._inspector.want(row_id, self._hosts[row_id.host], function, snapshot, panel.parts)

    @property
    def is_inspecting(self) -> bool:
        """Whether something is being looked up for the panel."""
        return self._inspector.is_busy or self._kernel_lines.is_busy

    def _notes(self) -> list[Fact]:
        """What the row itself has to say: that its host is lost, for whom it stands, and what changed a moment ago."""
        row = self._tree.row
        kind = "VFs" if row is not None and row.id.bdf else "hosts"
        alike = [Fact("", f"the first of {row.size} {kind} that are alike", Tone.DIM)] if row is not None and row.size > 1 else []
        snapshot = self._desk.selected()[1]
        away = snapshot.away if snapshot is not None else None
        key = self.keys.shown(BY_ID["refresh"])
        lost = [Fact("", f"{away.what}{tried_again(away, key)}", Tone.WARN)] if away is not None else []
        changes = "; ".join(str(change) for change in self._tree.changes(self._tree.row_id))
        host = self._tree.row_id.host if self._tree.row_id is not None and self._tree.row_id.bdf else ""
        where = [Fact("host", host)] if host and len(self._desk.hosts) > 1 else []
        return [*where, *lost, *alike, *([Fact("changed", changes, Tone.OWN)] if changes else [])]

    # -- what the widgets say ------------------------------------------------------------------------------------------
    @on(FleetTree.Highlighted)
    def _highlighted(self) -> None:
        self._collecting.pressed()
        moved, self._was_moved = not self._was_moved, False
        if moved and not self._query.is_open and not self._lookup.tell():  # then the line helps with what is typed
            self._line.clear_hint()
        self._show_selection()

    @on(FleetTree.Searched)
    def _searched(self, message: FleetTree.Searched) -> None:
        self._finder.searched(message.number, message.count)

    @on(FleetTree.Sort)
    def _sort(self, message: FleetTree.Sort) -> None:
        self._finder.sort(message.order)

    @on(FleetTree.Arranged)
    def _arranged(self) -> None:
        self._finder.show()

    @on(FleetTree.Selected)
    def _selected(self) -> None:
        self._commands.details()

    @on(QueryBar.Changed)
    def _typed(self, message: QueryBar.Changed) -> None:
        self._collecting.pressed()
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

    @on(TabLine.Pressed)
    def _tab_pressed(self, event: TabLine.Pressed) -> None:
        self._side.choose(event.id)

    @on(KeyBar.Pressed)
    def _key_pressed(self, event: KeyBar.Pressed) -> None:
        self.action_act(event.id)

    def takes_late(self, event: events.Key) -> bool:
        """Whether a key was typed for the field that is open now, and came to another widget as the field was not there yet."""
        if not self._query.is_open or not event.is_printable or event.character is None:  # the field itself lets no character pass
            return False
        self._query.type(event.character)
        return True

    def on_key(self, event: events.Key) -> None:
        """Say so when a key does nothing here."""
        if event.key not in self.active_bindings:
            name = event.character if event.is_printable and event.character else event.key
            self._line.hint(f"{name} does nothing here; {self.keys.shown(BY_ID['help'])} lists the keys", Tone.DIM)

    # -- actions ------------------------------------------------------------------------------------------------------
    def selected(self) -> tuple[Function | None, Snapshot | None]:
        """The function that the cursor stands on (None on a host), and its host's snapshot."""
        return self._desk.selected()

    @property
    def is_touring(self) -> bool:
        """Whether a tour is given."""
        return self._touring.is_on

    @property
    def is_looking_up(self) -> bool:
        """Whether a plan or a check is being made."""
        return self._lookup.is_busy

    def why_not(self, action: Action, function: Function | None, snapshot: Snapshot | None) -> str:
        """Why an action is not possible now; "" where it is."""
        if action.id == "result" and (reason := self._results.why_none):
            return reason
        if action.id == "export" and not self.fleet.snapshots:
            return "nothing was read yet"
        if action.id == "copy" and not self._transcript.ran:
            return "nothing was changed yet"
        if action.id == "undo" and (reason := self._taking_back.why_none):
            return reason
        if action.on_tour:
            return self._touring.why_not(action.id)
        if action.id in (*_OF_THE_TREE, *_OF_THE_SIDE) and self.has_class("-empty"):
            return "there is no function to show"
        if action.id in ("next", "previous") and self._finder.is_empty:
            return f"nothing was searched for; {self.keys.shown(BY_ID['search'])} finds"
        if action.many and (targets := self._desk.targets(action)):
            reasons = [why_away(target.snapshot) or action.available(*target) for target in targets]
            return "" if "" in reasons else reasons[0]
        return action.why_not(function, snapshot)

    def action_act(self, action_id: str) -> None:
        """Do an action of the registry, or say in one line why it can't be done now."""
        self._collecting.pressed()
        action = BY_ID[action_id]
        function, snapshot = self._desk.selected()
        reason = self.why_not(action, function, snapshot)
        if reason:
            self._line.hint(f"{action.label}: {reason}")
            return
        self._line.clear_hint()
        if action.command:
            getattr(self._commands, action.command)()
            self._show_selection()
        elif action.panel:
            self._side.choose(action.panel)
        elif action.many and (targets := self._desk.targets(action)):
            self._flow.begin(partial(self._batches.change, action, targets))
        elif function is None and snapshot is not None and action.looks:
            self._flow.begin(partial(self._flow.examine, snapshot.host.name))
        elif function is not None and snapshot is not None:
            target = Target(action.target(function, snapshot), snapshot)
            self._flow.begin(partial(self._flow.check, target) if action.looks else partial(self._flow.change, action, target))

    def _act_on(self, row_id: RowId, action_id: str) -> None:
        """Go to a row and do an action there."""
        self._tree.select(row_id)
        if self._tree.row_id == row_id:  # else it is gone, or a filter hides it
            self.action_act(action_id)
        else:
            self._line.hint(f"{BY_ID[action_id].label}: {row_id.bdf} is not in sight")

    def action_back(self) -> None:
        """Give up what is being looked up; else from the details, or from the facts, to the tree; there, end search or filter."""
        if not self._lookup.give_up():
            self._commands.back()
