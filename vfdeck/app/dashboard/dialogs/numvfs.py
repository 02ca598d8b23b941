"""Set the number of VFs, with what the planner and the checks say of it while it is typed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input, Static

from vfdeck.app.dashboard.dialogs.base import Dialog, Page
from vfdeck.app.dashboard.dialogs.check import first_no, number_fault
from vfdeck.app.dashboard.feed import aside
from vfdeck.app.dashboard.lookup import PATIENCE
from vfdeck.app.dashboard.pages import ENTRY_LABELS, entry_sections
from vfdeck.backend.changes import Plan, SetNumvfs
from vfdeck.backend.checks import Check, Report
from vfdeck.backend.model import Function
from vfdeck.widgets.state import Tone, plural, short_name


@dataclass(frozen=True, slots=True)
class Judged:
    """What a number of VFs would bring for one PF."""

    pf: str
    plan: Plan
    report: Report

    @property
    def check(self) -> Check | None:
        """The first check that says no."""
        return first_no(self.report)


#: What planner and checks of the host say of a number, for every PF. Reads files, so it may take a while.
Judge = Callable[[int], Sequence[Judged]]


class _Number(Input):
    """A field whose dialog may have `e`."""

    def check_consume_key(self, key: str, character: str | None) -> bool:
        """Every key that it would write but this one."""
        return key != "e" and super().check_consume_key(key, character)


class NumvfsDialog(Dialog[SetNumvfs]):
    """Asks for the number of VFs of one PF or of several. What would come of it is the host's to say, as on the page that follows.

    The host is asked on another thread: what it says of a number that is typed no more is dropped.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("e", "entry", "Explain", show=False, priority=True)]

    def __init__(self, pf: Function, judge: Judge) -> None:
        super().__init__(f"Set the number of VFs of {pf.bdf}", f"{short_name(pf)} · {pf.driver or 'no driver'}")
        self._pf = pf
        self._judge = judge
        self._judged: tuple[int, Sequence[Judged]] | None = None  # the last number judged
        self.is_judging = False
        self._round = 0  # of looking up; an earlier one is heard no more
        self._asked: int | None = None  # the number that is looked up
        self._is_late = False  # it takes a while
        self._failed = ""  # why the number that is typed could not be judged
        self._go_on = False  # as soon as the number is judged
        self._number = _Number(placeholder="number", max_length=6, id="number")
        self._number.cursor_blink = False
        self._verdict = Static(id="verdict", markup=False)
        self._reason = Static(id="reason", classes="note", markup=False)
        self._warnings = Static(id="warnings", classes="note", markup=False)

    def body(self) -> ComposeResult:
        """Present and total number, the field, and what the number would bring."""
        sriov = self._pf.sriov
        total = "unknown" if sriov is None or sriov.totalvfs is None else str(sriov.totalvfs)
        yield Static(f"VFs: {sriov.numvfs if sriov else 0} on now, {total} at most", classes="label", markup=False)
        yield self._number
        yield self._verdict
        yield self._reason
        yield self._warnings

    def buttons(self) -> ComposeResult:
        """Cancel and accept, beside what Enter said."""
        yield self._hint
        yield from super().buttons()

    def on_mount(self) -> None:
        """The keys go to the field."""
        self._number.focus()
        self._say("a number", Tone.DIM)

    # -- judging ------------------------------------------------------------------------------------------------------
    @property
    def _count(self) -> int | None:
        """The number that is typed; None where it is none."""
        text = self._number.value.strip()
        return None if number_fault(text) else int(text)

    @on(Input.Changed)
    def _typed(self) -> None:
        self._go_on = False
        self._failed = ""
        self.hint("")
        self._show()
        if self._count is not None and self._now is None and (not self.is_judging or self._is_late):
            self._begin()

    def _begin(self) -> None:
        """Look the number up that is typed; what is looked up by now is waited for no more."""
        self.is_judging = True
        self._round += 1
        self._look_up(self._round)

    @work(group="judge", exclusive=True)
    async def _look_up(self, number_of_round: int) -> None:
        """Ask the host about the number that is typed, and again where it is another one by then."""
        try:
            while (count := self._count) is not None and self._now is None:
                self._asked, self._is_late = count, False
                late = self.set_timer(PATIENCE, self._be_late)
                try:
                    self._judged = count, await aside(lambda count=count: self._judge(count))  # type: ignore[misc]
                except Exception as error:  # a bug of the backend: named by its kind only
                    if count == self._count:
                        self._failed = f"vfdeck itself failed ({type(error).__name__}); this is a bug"
                        break
                finally:
                    late.stop()
        finally:
            if number_of_round == self._round:
                self.is_judging = False
        self._show()
        if self._go_on:
            self.action_accept()

    @property
    def _now(self) -> Sequence[Judged] | None:
        """What was said of the number that is typed; None while nothing was."""
        return self._judged[1] if self._judged is not None and self._judged[0] == self._count else None

    # -- saying -------------------------------------------------------------------------------------------------------
    def _show(self) -> None:
        """Say what the number would bring."""
        text = self._number.value.strip()
        if (fault := number_fault(text)) or self._now is None:
            if text and not fault and self._failed:
                fault = f"✗ {self._failed}"
            waits = "a number" if not text else fault
            self._say(waits, Tone.BAD if text and fault else Tone.DIM)
            self._reason.update("")
            self._warnings.update("")
            return
        able = [judged for judged in self._now if not judged.plan.impossible]
        unable = [judged for judged in self._now if judged.plan.impossible]
        if len(self._now) > 1:
            self._show_many(able, unable)
        elif unable:
            self._say(f"✗ {unable[0].plan.impossible}", Tone.BAD)
        else:
            plan = able[0].plan
            self._say(f"! {plan.title}" if plan.destructive else f"✓ {plan.title}", Tone.WARN if plan.destructive else Tone.GOOD)
        self._reason.update(Text("\n".join(self._reasons())))
        warnings = [(j.pf, w) for j in able for w in j.plan.warnings]
        shown = [w if len(self._now) == 1 or pf in w else f"{pf}: {w}" for pf, w in warnings]
        self._warnings.update(Text("\n".join(f"! {warning}" for warning in shown)))
        self.call_after_refresh(self.show_focused)

    def _show_many(self, able: Sequence[Judged], unable: Sequence[Judged]) -> None:
        """Who can, and who can't and why."""
        all_of_them = len(able) + len(unable)
        if not unable:
            hard = any(judged.plan.destructive for judged in able)
            self._say(f"{'!' if hard else '✓'} all {plural(all_of_them, 'PF')} can", Tone.WARN if hard else Tone.GOOD)
            return
        head = f"! {len(able)} of {all_of_them} PFs can" if able else f"✗ none of {all_of_them} PFs can"
        lines = [f"✗ {judged.pf}: {judged.plan.impossible}" for judged in unable]
        self._say("\n".join([head, *lines]), Tone.WARN if able else Tone.BAD)

    def _reasons(self) -> list[str]:
        """The first check that says no, with its entry of the catalogue and what it rests on; for several PFs each kind once."""
        found: dict[str, Check] = {}
        for judged in self._now or ():
            if judged.check is not None:
                found.setdefault(judged.check.entry or judged.check.question, judged.check)
        lines = []
        for check in found.values():
            answer = f"{check.entry}: {check.question} no" if check.entry else f"{check.question} no"
            lines += [answer, *(f"  {line}" for line in check.evidence[:2])]
        if self._entries:
            lines.append(f"e explains {', '.join(self._entries)}, as `vfdeck explain {self._entries[0]}` does")
        return lines

    @property
    def _entries(self) -> tuple[str, ...]:
        """The entries of the catalogue that say why not."""
        found = (judged.check.entry for judged in self._now or () if judged.check is not None)
        return tuple(dict.fromkeys(entry for entry in found if entry))

    def _be_late(self) -> None:
        """It takes a while, and may take for ever: another number that was typed by now does not wait for it."""
        self._is_late = True
        if self._count is None or self._now is not None:
            return
        if self._count != self._asked:
            self._begin()
        else:
            self._say(f"… looking up what {self._number.value.strip()} VFs would mean", Tone.DIM)

    def _say(self, text: str, tone: Tone) -> None:
        """Say it in one sentence."""
        self._verdict.set_classes(f"verdict {tone}").update(Text(text))

    # -- keys ---------------------------------------------------------------------------------------------------------
    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """`e` explains where there is something to explain."""
        return bool(super().check_action(action, parameters)) and (action != "entry" or bool(self._entries))

    def action_entry(self) -> None:
        """What the catalogue says of it."""
        self.app.push_screen(Page("From the catalogue", entry_sections(self._entries), label_width=ENTRY_LABELS))

    @on(Input.Submitted)
    def _submitted(self) -> None:
        self.action_accept()

    def action_accept(self) -> None:
        """Answer with the number, if something can come of it now; else say why not."""
        text = self._number.value.strip()
        if fault := number_fault(text):
            self._say(fault if text else f"✗ {fault}", Tone.BAD)
        elif (judged := self._now) is None:
            self._go_on = self.is_judging
            if not self.is_judging:
                self.hint(f"{text} was not looked up: nothing is sent")
            elif self._is_late:
                self.hint("goes on once it is looked up")
        elif all(one.plan.impossible for one in judged):
            entry = f": {self._entries[0]}" if self._entries else ""
            self.hint(f"{text} can't be set now{entry}")
        else:
            self.answer(SetNumvfs(self._pf.bdf, int(text)))
