"""Changes that were begun, and what came of them: the line above the keys, the page, the panel beside the tree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from vfdeck.app.dashboard.actions import BY_ID, Action
from vfdeck.app.dashboard.batch import Batch, Item
from vfdeck.app.dashboard.desk import Desk
from vfdeck.app.dashboard.dialogs.result import ResultPage
from vfdeck.app.dashboard.feed import ChangeDone, Performer
from vfdeck.app.dashboard.past import Deed, Part, Past
from vfdeck.app.dashboard.timeline import Timeline
from vfdeck.app.dashboard.tokens_told import TokensTold
from vfdeck.app.dashboard.transcript import Transcript
from vfdeck.backend.changes import Change, Close, Open, Outcome, Plan, SetToken, target_of
from vfdeck.backend.host import Host
from vfdeck.backend.lessons import may_have_set
from vfdeck.backend.model import Job, Snapshot
from vfdeck.backend.rotation import borrows_from
from vfdeck.backend.token import Token
from vfdeck.backend.undo import undoing
from vfdeck.widgets.report import ReportView, must_be_told, report, verdict
from vfdeck.widgets.rows import RowId
from vfdeck.widgets.sections import Fact, Section
from vfdeck.widgets.shell_facts import Ran, ran_text
from vfdeck.widgets.state import Tone, duration, index_of, plural


class Begun(NamedTuple):
    """A change that was handed to the performer."""

    host: str
    change: Change
    title: str
    borrows: bool  # by another program's descriptor, of which the kernel's answer may be about another PF


class Result(NamedTuple):
    """What came of a change."""

    host: str
    outcome: Outcome
    title: str


class Record(NamedTuple):
    """Where what is done is written down."""

    past: Past
    timeline: Timeline
    transcript: Transcript


class Results:
    """Keeps what is under way and what came last. `token_set` is told of hosts, `act` does an action to a row."""

    def __init__(
        self,
        desk: Desk,
        performer: Performer,
        last: ReportView,
        record: Record,
        token_set: Callable[[str], None],
        act: Callable[[RowId, str], None],
    ) -> None:
        self._desk = desk
        self._performer = performer
        self._last = last
        self._past, self._timeline, self._transcript = record
        self._token_set = token_set
        self._act = act
        self._told = TokensTold(desk)
        self._begun: dict[int, Begun] = {}
        self._batches: list[Batch] = []
        self._latest: Result | Batch | None = None
        self._opens: dict[RowId, Outcome] = {}  # the last attempt to open each function

    # -- under way ----------------------------------------------------------------------------------------------------
    def perform(self, host: Host, change: Change, plan: Plan, takes_back: tuple[Deed, Part] | None = None) -> int:
        """Hand a change to the performer; the answer is its number. Only `plan`, which was confirmed, will be done.

        `takes_back` is what it takes back, where it is an undo.
        """
        item = Item(host, change, plan, target_of(change))
        deed, part = takes_back or (Deed(item.title), None)
        self._confirmed(item)
        return self._submit(item, deed, part, plan)

    def _confirmed(self, item: Item) -> None:
        """A change will be begun, now or later."""
        if isinstance(item.change, SetToken):
            self._desk.handed.begun(item.change.token)
            self._desk.tokens.begun(item.host.name, item.change)

    def _submit(self, item: Item, deed: Deed, taken: Part | None, confirmed: Plan | None = None) -> int:
        part = taken or self._part(item)
        number = self._performer.submit(item.host, item.change, confirmed)
        name = item.host.name
        self._begun[number] = Begun(name, item.change, item.title, self._borrows(item))
        self._transcript.begun(number, Ran(name, item.title, item.plan.steps, self._now(name), deed=deed))
        if part is not None:
            self._past.begun(number, deed, part, takes_back=taken is not None)
        self.show_jobs()
        return number

    def _now(self, host: str) -> float:
        """A host's time, as last seen."""
        latest = self._desk.snapshot(host)
        return latest.taken if latest is not None else 0.0

    def _part(self, item: Item) -> Part | None:
        """What would take a change back, by how its host looks before it; None where it leaves nothing to take back."""
        name, bdf = item.host.name, target_of(item.change)
        before = self._desk.snapshot(name)
        undo = undoing(item.change, before, self._desk.tokens.of(name, bdf)) if before is not None else None
        return Part(RowId(name, bdf), item.title, undo) if undo is not None else None

    def _borrows(self, item: Item) -> bool:
        before = self._desk.snapshot(item.host.name)
        return isinstance(item.change, SetToken) and before is not None and bool(borrows_from(item.change, before))

    def begin(self, batch: Batch) -> None:
        """Begin a confirmed batch."""
        for item in batch.waiting:
            self._confirmed(item)
        self._batches.append(batch)
        self.go_on()

    def go_on(self) -> None:
        """Begin what is due of confirmed batches. What was done of one may change the plan of the next: that holds up nothing."""
        for batch in self._batches:
            batch.start(partial(self._submit_of, batch), self._is_waiting)

    def _submit_of(self, batch: Batch, item: Item) -> int:
        return self._submit(item, batch.deed, batch.takes_back.get(RowId(item.host.name, target_of(item.change))))

    def _is_waiting(self, item: Item) -> bool:
        """Whether a change waits in the kernel for a program."""
        snapshot = self._desk.snapshot(item.host.name)
        job = index_of(snapshot).running.get(target_of(item.change)) if snapshot is not None else None
        return job is not None and bool(job.waits_for or job.advice)

    def show_jobs(self) -> None:
        """What runs, and what waits for its turn."""
        self._desk.line.show_jobs(self._desk.snapshots(), [begun.title for begun in self._begun.values()])

    def _jobs(self) -> list[tuple[Snapshot, Job]]:
        """Every job that runs, by the latest look."""
        return [(s, job) for s in self._desk.snapshots() for job in index_of(s).running.values()]

    # -- over ---------------------------------------------------------------------------------------------------------
    def done(self, message: ChangeDone) -> None:
        """Show what came of a change."""
        begun = self._begun.pop(message.number, None)
        self._past.done(message.number, message.outcome)
        self._transcript.done(message.number, message.outcome, message.failure)
        self.show_jobs()
        outcome = message.outcome
        if outcome is not None:
            self._keep_attempt(message.host, outcome)
            if isinstance(outcome.change, Close) and outcome.ok:
                self._past.closed(RowId(message.host, outcome.change.bdf))
            self._timeline.done(message.host, begun.title if begun else "", outcome, self._now(message.host))
        if begun is not None and isinstance(begun.change, SetToken):
            self._token_over(begun, begun.change, outcome)
        if begun is not None and isinstance(begun.change, SetToken) and self._desk.handed.is_useless(begun.change.token):
            self._desk.screen.run_worker(self._take_back_and_show(message, begun, begun.change.token))
        else:
            self._show_done(message, begun)

    def _token_over(self, begun: Begun, change: SetToken, outcome: Outcome | None) -> None:
        """Keep a token that is in force now, or may be: without it nobody could open a VF."""
        in_force = outcome is not None and outcome.ok and outcome.verified is not False
        perhaps = outcome is None or may_have_set(outcome, begun.borrows)
        self._desk.tokens.over(begun.host, change, in_force, perhaps)
        self._desk.handed.over(change.token, in_force or perhaps)
        if in_force:
            self._token_set(begun.host)

    async def _take_back_and_show(self, message: ChangeDone, begun: Begun, token: Token) -> None:
        """Only the token that this was about: any other may be in a dialog that is open."""
        await self._desk.handed.take_back(token)
        self._show_done(message, begun)

    def _show_done(self, message: ChangeDone, begun: Begun | None) -> None:
        if batch := next((batch for batch in self._batches if message.number in batch.running), None):
            batch.take(message.number, message.outcome)
            self._show_batch(batch)
            return
        title = begun.title if begun is not None else ""
        if message.outcome is None:
            self._desk.line.show_last(f"✗ {title}: vfdeck itself failed ({message.failure}); this is a bug", Tone.BAD)
            return
        self._show_outcome(Result(message.host, message.outcome, title))

    def _keep_attempt(self, host: str, outcome: Outcome) -> None:
        """Keep what came of an open. What another change did to the host may have made earlier ones untrue."""
        if isinstance(outcome.change, Open):
            self._opens[RowId(host, outcome.change.bdf)] = outcome
        else:
            self._opens = {row_id: kept for row_id, kept in self._opens.items() if row_id.host != host}

    def attempt(self, row_id: RowId) -> Open | Outcome | None:
        """The open of a function that is under way, else what came of the last one since the host was changed."""
        wanted = (begun.change for begun in self._begun.values() if begun.host == row_id.host)
        running = (change for change in wanted if isinstance(change, Open) and change.bdf == row_id.bdf)
        return next(running, self._opens.get(row_id))

    def _show_batch(self, batch: Batch) -> None:
        """A line for how a batch stands; when it is over and something was refused, its page."""
        self.go_on()
        text, tone = batch.verdict()
        self._latest = batch
        mark = "…" if not batch.is_over else "✓" if tone is Tone.GOOD else "✗"
        self._desk.line.show_last(f"{mark} {text}   e: more", tone)
        if batch.is_over:
            self._batches.remove(batch)
            if tone is not Tone.GOOD and self._desk.is_on_top:
                self._show_latest(batch)

    def _show_outcome(self, result: Result) -> None:
        """A line for every outcome; a refusal opens its explanation, unless a dialog is open already."""
        self._latest = result
        text, tone = verdict(result.outcome, result.title)
        text += self._told.in_line(result.host, result.outcome)
        mark = {Tone.GOOD: "✓", Tone.WARN: "!"}.get(tone, "✗")
        self._desk.line.show_last(f"{mark} {text}   e: more", tone)
        self._last.show_outcome(result.outcome, result.title)
        self._desk.screen.add_class("-told")
        if tone is not Tone.GOOD and self._desk.is_on_top:
            self._show_latest(result)

    @property
    def shell(self) -> str:
        """What was begun last as shell; "" where nothing was."""
        return ran_text(self._transcript.latest, len(self._desk.hosts) > 1)

    # -- pages --------------------------------------------------------------------------------------------------------
    @property
    def why_none(self) -> str:
        """Why there is nothing to explain; "" where there is something."""
        return "" if self._latest is not None or self._begun or self._jobs() else "nothing was changed yet"

    def show(self) -> None:
        """What waits in the kernel now, then what came of the last change."""
        waiting = self._waiting()
        if waiting:
            number = len(self._jobs()) or len(self._begun)
            self._show_latest(self._latest, f"{plural(number, 'change')} under way", waiting)
        elif self._latest is not None:
            self._show_latest(self._latest)

    def _show_latest(self, latest: Result | Batch | None, title: str = "", before: Sequence[Section] = ()) -> None:
        """The page of a result; under another title and after other sections where these come first."""
        sections: list[Section] = []
        text, tone, offered = "", Tone.WARN, list[Action]()
        about = latest if isinstance(latest, Result) else None
        if isinstance(latest, Batch):
            text, tone = latest.verdict()
            about = Result(*latest.refused, latest.title) if latest.refused is not None else None
            here, offered = self._here(about) if about is not None else ([], [])
            sections = [*self._told.of_many(outcome for _, outcome in latest.done), *latest.report(here)]
        elif latest is not None:
            text, tone = verdict(latest.outcome, latest.title)
            here, offered = self._here(latest)
            of_token = self._told.sections(latest.host, latest.outcome)
            sections = [*of_token, *report(latest.outcome, here), *self._must_be_told(latest)]
        if before:
            head = [Section("Before that", (Fact("", text, tone),))] if text else []
            sections, text, tone = [*before, *head, *sections], title, Tone.WARN
        done = self._transcript.of(latest.deed if isinstance(latest, Batch) else latest.outcome) if latest is not None else ()
        page = ResultPage(text, sections, tone, offered, self._desk.keys, ran_text(done, len(self._desk.hosts) > 1))
        row_id = RowId(about.host, target_of(about.outcome.change)) if about is not None else None

        def closed(_: bool | None) -> None:
            if page.picked and row_id is not None:
                self._act(row_id, page.picked)

        self._desk.screen.app.push_screen(page, closed)

    def _must_be_told(self, result: Result) -> list[Section]:
        """Who needs a token that was set."""
        change, snapshot = result.outcome.change, self._desk.snapshot(result.host)
        return must_be_told(change, snapshot) if isinstance(change, SetToken) and result.outcome.ok and snapshot else []

    def _here(self, result: Result) -> tuple[list[Section], list[Action]]:
        """What vfdeck itself can do about a refusal, with the reason where not now; and the actions that are possible."""
        explanation = result.outcome.explanation
        named = [BY_ID[name] for name in explanation.actions if name in BY_ID] if explanation is not None else []
        snapshot = self._desk.snapshot(result.host)
        function = snapshot.functions.get(target_of(result.outcome.change)) if snapshot is not None else None
        facts, possible = [], []
        for action in named:
            reason = action.why_not(function, snapshot) if function is not None else "the function is gone"
            facts.append(
                Fact(self._desk.keys.shown(action), f"{action.title}: not now, {reason}" if reason else action.title, _tone(reason))
            )
            possible += [] if reason else [action]
        return ([Section("Here", tuple(facts))] if facts else []), possible

    def _waiting(self) -> list[Section]:
        """What is under way, a section each: since when, for whom it waits, why, and what helps."""
        jobs = self._jobs()
        sections = []
        for snapshot, job in jobs:
            facts = [Fact("since", duration(snapshot.taken - job.started))]
            facts += [Fact("step", job.step)] if job.step else []
            facts += [Fact("waits", f"for {job.waits_for}", Tone.WARN)] if job.waits_for else []
            labels = ("why", "do", *(" " for _ in job.advice))
            facts += [Fact(label, text) for label, text in zip(labels, job.advice, strict=False)]
            sections.append(Section(job.title, tuple(facts)))
        shown = {(snapshot.host.name, job.target) for snapshot, job in jobs}
        rest = [begun for begun in self._begun.values() if (begun.host, target_of(begun.change)) not in shown]
        text = "under way; nothing is known of it yet"
        return [*sections, *(Section(begun.title, (Fact("", text, Tone.DIM),)) for begun in rest)]

    @property
    def stake(self) -> str:
        """What `at_stake` is about, in a line."""
        return "A change is under way" if self._waiting() or self._batches else "A token would be lost"

    def at_stake(self) -> list[Section]:
        """What quitting now means for what is under way; empty where nothing is."""
        waiting = self._waiting()
        queued = sum(len(batch.waiting) for batch in self._batches)
        if not waiting and not queued:
            return self._told.known_here_only()
        facts = [
            Fact("", "A call that waits in the kernel goes on there and ends when what it waits for lets go."),
            Fact("", "What is done stays done; later steps of such a change, and what has not begun, will not be done.", Tone.WARN),
            Fact("", "What vfdeck itself holds open is closed."),
        ]
        facts += [Fact("", f"Not begun yet: {plural(queued, 'change')}.", Tone.WARN)] if queued else []
        return [*self._told.known_here_only(), Section("If you quit now", tuple(facts)), *waiting]


def _tone(reason: str) -> Tone:
    return Tone.DIM if reason else Tone.OWN
