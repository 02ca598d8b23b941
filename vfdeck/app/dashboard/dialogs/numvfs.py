"""Set the number of VFs, with what the planner says of it while typing."""

from __future__ import annotations

from collections.abc import Callable

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.widgets import Input, Static

from vfdeck.app.dashboard.dialogs.base import Dialog
from vfdeck.backend.changes import Plan, SetNumvfs
from vfdeck.backend.model import Function
from vfdeck.widgets.state import Tone, short_name

#: What the host's planner says of a number.
Preview = Callable[[SetNumvfs], Plan]


class NumvfsDialog(Dialog[SetNumvfs]):
    """Asks for the number of VFs of a PF. What would come of it is the planner's to say, here as on the page that follows."""

    def __init__(self, pf: Function, preview: Preview) -> None:
        super().__init__(f"Set the number of VFs of {pf.bdf}", f"{short_name(pf)} · {pf.driver or 'no driver'}")
        self._pf = pf
        self._preview = preview
        self._number = Input(placeholder="number", max_length=6, id="number")
        self._number.cursor_blink = False
        self._verdict = Static(id="verdict", markup=False)
        self._warnings = Static(id="warnings", classes="note", markup=False)

    def body(self) -> ComposeResult:
        """Present and total number, the field, and what the number would bring."""
        sriov = self._pf.sriov
        total = "unknown" if sriov is None or sriov.totalvfs is None else str(sriov.totalvfs)
        yield Static(f"VFs: {sriov.numvfs if sriov else 0} on now, {total} at most", classes="label", markup=False)
        yield self._number
        yield self._verdict
        yield self._warnings

    def on_mount(self) -> None:
        """The keys go to the field."""
        self._number.focus()
        self._judge()

    def on_resize(self) -> None:
        """On a low terminal the buttons matter more than warnings, which the next page shows again."""
        self._warnings.styles.max_height = max(1, self.size.height * 94 // 100 - 12)

    @on(Input.Changed)
    def _judge(self) -> SetNumvfs | None:
        """Say what the number would bring; the answer is what may be asked of the host."""
        text = self._number.value.strip()
        number = int(text) if text.isascii() and text.isdigit() else None
        change = None if number is None else SetNumvfs(self._pf.bdf, number)
        plan = None if change is None else self._preview(change)
        if plan is None:
            self._say("✗ not a number" if text else "a number", Tone.BAD if text else Tone.DIM)
        elif plan.impossible:
            self._say(f"✗ {plan.impossible}", Tone.BAD)
        elif plan.destructive:
            self._say(f"! {plan.title}", Tone.WARN)
        else:
            self._say(f"✓ {plan.title}", Tone.GOOD)
        self._warnings.update(Text("\n".join(f"! {warning}" for warning in plan.warnings) if plan else ""))
        possible = plan is not None and not plan.impossible
        self.allow(possible)
        return change if possible else None

    def _say(self, text: str, tone: Tone) -> None:
        """Say it in one sentence."""
        self._verdict.set_classes(f"verdict {tone}").update(Text(text))

    @on(Input.Submitted)
    def _submitted(self) -> None:
        self.action_accept()

    def action_accept(self) -> None:
        """Answer with the number, if something can come of it now."""
        change = self._judge()
        if change is not None:
            self.answer(change)
