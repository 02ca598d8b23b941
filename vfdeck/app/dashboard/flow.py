"""From a key to a confirmed change of one function: dialog, plan, confirmation. `batch_flow` does the same for many."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from vfdeck.app.dashboard.actions import Action, its_pf
from vfdeck.app.dashboard.desk import Desk, Target
from vfdeck.app.dashboard.dialogs.autoprobe import AutoprobeDialog
from vfdeck.app.dashboard.dialogs.base import Dialog
from vfdeck.app.dashboard.dialogs.check import CheckDialog, CheckPage, HostPage
from vfdeck.app.dashboard.dialogs.confirm import ConfirmDialog, Consent
from vfdeck.app.dashboard.dialogs.driver import DriverDialog
from vfdeck.app.dashboard.dialogs.numvfs import Judged, NumvfsDialog
from vfdeck.app.dashboard.dialogs.open import OpenDialog
from vfdeck.app.dashboard.dialogs.token import Known, TokenDialog
from vfdeck.app.dashboard.handed import Handed
from vfdeck.app.dashboard.lookup import NoAnswer
from vfdeck.backend.changes import Change, OpenPath, Plan, SetNumvfs, SetToken, target_of
from vfdeck.backend.checks import CanBind, CanEnable, CanOpen, Question, Report, WholeHost
from vfdeck.backend.host import Host
from vfdeck.backend.model import Function, Role, Snapshot
from vfdeck.widgets.state import Tone

#: Hands a confirmed change over; the answer is its number.
Perform = Callable[[Host, Change, Plan], int]


def with_notes(plan: Plan, notes: tuple[str, ...]) -> Plan:
    """The plan with more to consider."""
    return replace(plan, warnings=(*plan.warnings, *notes)) if notes and not plan.impossible else plan


class Flow:
    """Asks, one thing at a time. `confirm` says when consent must be typed: `settings.CONFIRM`."""

    def __init__(self, desk: Desk, perform: Perform, confirm: str = "severe") -> None:
        self._desk = desk
        self._perform = perform
        self._confirm = confirm
        self._is_asking = False

    def begin(self, steps: Callable[[], Awaitable[None]]) -> None:
        """Begin to ask, unless something is being asked: a second key may come before the first dialog."""
        if self._is_asking:
            self._desk.lookup.tell()
            return
        self._is_asking = True
        self._desk.screen.run_worker(self._run(steps), group="flow")

    async def _run(self, steps: Callable[[], Awaitable[None]]) -> None:
        try:
            try:
                with suppress(NoAnswer):
                    await steps()
            finally:
                self._desk.handed.asked()
            await self._take_back()
        finally:
            self._is_asking = False

    async def _take_back(self) -> None:
        """What was handed on for a change that is not made counts for nothing."""
        told = await self._desk.handed.take_back()
        if told:
            self._desk.line.hint(f"Nothing was set: {'; '.join(told)}", Tone.WARN)

    async def change(self, action: Action, target: Target) -> None:
        """Dialog, plan, confirmation; then the change goes to the performer."""
        change = action.change(*target) if action.change is not None else None
        if change is None:
            change = await self.asked(action, [target])
        if change is None:
            return
        plan = await self.agreed(target, change)
        if plan is not None:
            self._perform(self._desk.host_of(target), change, plan)
        elif isinstance(change, SetToken):  # it may have been handed on already
            self._desk.line.hint(f"Nothing was set: token #{change.token.fingerprint} counts for nothing", Tone.WARN)

    async def agreed(self, target: Target, change: Change, notes: tuple[str, ...] = ()) -> Plan | None:
        """The plan of a change once it is confirmed; None where it is not. `notes` are more to consider. Raises NoAnswer."""
        host, bdf = self._desk.host_of(target), target_of(change)
        notes = (*notes, *self.unseen_note(change))

        def make() -> Plan:
            plan = with_notes(host.plan(change, self._desk.latest(target)), notes)
            return replace(plan, title=plan.title.replace(bdf, self._desk.named(host.name, bdf), 1))

        plan = await self.confirmed(f"what it would do to {bdf}", make)
        # the host compares what was confirmed with its own plan, which knows nothing of our notes
        return replace(plan, warnings=tuple(text for text in plan.warnings if text not in notes)) if plan is not None else None

    async def confirmed(
        self,
        what: str,
        make: Callable[[], Plan],
        *,
        first: Plan | None = None,
        fewer: str = "",
        narrow: Callable[[], None] = lambda: None,
    ) -> Plan | None:
        """Ask until what was confirmed is what `make` would do now: programs come and go while a plan is read.

        `first` is what it has made already. `fewer` offers to do it to a part only; `narrow` is called where that is chosen, after
        which `make` is about that part. Raises NoAnswer.
        """
        shown = plan = first if first is not None else await self._desk.lookup.make(what, make)
        while (consent := await self._desk.ask(ConfirmDialog(shown, fewer, self._confirm))) and not plan.impossible:
            if consent is Consent.FEWER:
                fewer = ""
                narrow()
                shown = plan = await self._desk.lookup.make(what, make)
                continue
            now = await self._desk.lookup.make(what, make)
            if now.same_as(plan):
                return now
            plan, shown = now, replace(now, title=f"{now.title} (changed while you read it: look again)")
        return None

    async def asked(self, action: Action, targets: Sequence[Target]) -> Change | None:
        """What the action's dialog answers; whether a token was shown there is kept."""
        dialog = self.dialog(action, targets)
        change = await self._desk.ask(dialog)
        if isinstance(change, SetToken) and isinstance(dialog, TokenDialog):
            (self._desk.tokens.made_unseen if dialog.made_unseen else self._desk.tokens.seen)(change.token)
        return change

    def unseen_note(self, change: Change) -> tuple[str, ...]:
        """What is to be considered where a change sets a token that nobody has seen."""
        if not isinstance(change, SetToken) or not self._desk.tokens.is_unseen(change.token):
            return ()
        return (f"nobody has seen token #{change.token.fingerprint}: only this vfdeck will know it, until it ends",)

    # -- dialogs ------------------------------------------------------------------------------------------------------
    def dialog(self, action: Action, targets: Sequence[Target]) -> Dialog[Change]:
        """The dialog that asks for what an action on these functions needs; it names the first."""
        function, snapshot = first = targets[0]
        dialog: object
        match action.dialog:
            case "token" | "rotate":
                dialog = self._token_dialog(function, snapshot, rotate=action.dialog == "rotate")
            case "numvfs":
                dialog = NumvfsDialog(function, lambda count: self._judged(count, targets))
            case "driver":
                dialog = DriverDialog(function, snapshot)
            case "autoprobe":
                dialog = AutoprobeDialog(function)
            case _:
                dialog = OpenDialog(function, snapshot, self._desk.tokens.of(snapshot.host.name, its_pf(*first).bdf))
        assert isinstance(dialog, Dialog)
        dialog.about(self._desk.named(snapshot.host.name, "").strip(), len(targets))
        return dialog

    def _token_dialog(self, pf: Function, snapshot: Snapshot, *, rotate: bool) -> TokenDialog:
        """The dialog for a token, with those of this session."""
        tokens, handed_on = self._desk.tokens, self._desk.handed
        present = tokens.of(snapshot.host.name, pf.bdf)
        perhaps = tokens.possible(snapshot.host.name, pf.bdf)
        session = [*([Known(present, True)] if present is not None else []), *(Known(token, False) for token in perhaps)]

        def handed(one: Handed) -> None:
            handed_on.add(one)
            if any(one.token == known.token for known in session):
                handed_on.keep(one.token)

        return TokenDialog(pf, snapshot, rotate=rotate, session=session, seen=tokens.seen, handed=handed)

    def _judged(self, count: int, targets: Sequence[Target]) -> list[Judged]:
        """What a number of VFs would bring for each PF; reads files, so not for the screen's own thread."""
        found = []
        for target in targets:
            host, pf, snapshot = self._desk.host_of(target), target.function.bdf, self._desk.latest(target)
            plan = host.plan(SetNumvfs(pf, count), snapshot)
            found.append(Judged(pf, plan, host.check(CanEnable(pf, count), snapshot)))
        return found

    # -- questions ----------------------------------------------------------------------------------------------------
    async def check(self, target: Target) -> None:
        """Ask the host what can be done with a function, and show the answers."""
        function = target.function
        questions: list[Question] = [CanBind(function.bdf), CanOpen(function.bdf)]
        if function.cdev is not None:
            questions.append(CanOpen(function.bdf, OpenPath.CDEV))
        if function.role is Role.PF:
            dialog = CheckDialog(function)
            dialog.about(self._desk.named(target.snapshot.host.name, "").strip())
            count = await self._desk.ask(dialog)
            if count is None:
                return
            questions.insert(0, CanEnable(function.bdf, count))
        host = self._desk.host_of(target)

        def answers() -> list[Report]:
            return [host.check(question, self._desk.latest(target)) for question in questions]

        reports = await self._desk.lookup.make(f"what can be done with {function.bdf}", answers)
        self._desk.screen.app.push_screen(CheckPage(self._desk.named(host.name, function.bdf), reports))

    async def examine(self, name: str) -> None:
        """Ask what is the matter with a whole host, and show the findings."""
        host = self._desk.hosts[name]

        def answer() -> Report | None:
            snapshot = self._desk.snapshot(name)
            return host.check(WholeHost(), snapshot) if snapshot is not None else None

        report = await self._desk.lookup.make(f"what is the matter with {name}", answer)
        if report is not None:
            self._desk.screen.app.push_screen(HostPage(name, report))
