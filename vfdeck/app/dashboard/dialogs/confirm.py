"""The plan of a change, to be confirmed before anything is done."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Static

from vfdeck.app.dashboard.dialogs.base import Dialog
from vfdeck.backend.changes import Plan
from vfdeck.widgets.section_view import SectionView
from vfdeck.widgets.sections import Fact, Section
from vfdeck.widgets.state import Tone


def plan_sections(plan: Plan) -> list[Section]:
    """A plan as sections: why not, what it costs, what is done and how a shell would do it."""
    if plan.impossible:
        return [Section("Not possible now", (Fact("", plan.impossible, Tone.WARN),))]
    sections: list[Section] = []
    if plan.warnings:
        tones = [Tone.BAD if plan.destructive else Tone.WARN, *(Tone.WARN for _ in plan.warnings[1:])]
        touched = tuple(Fact("!", warning, tone) for warning, tone in zip(plan.warnings, tones, strict=True))
        sections.append(Section("What it touches", touched))
    steps: list[Fact] = []
    for number, step in enumerate(plan.steps, 1):
        steps.append(Fact(f"{number}.", step.text))
        steps += [Fact(" ", f"$ {step.shell}", Tone.DIM)] if step.shell else []
    if steps:
        sections.append(Section("What would be done", tuple(steps)))
    return sections


class ConfirmDialog(Dialog[bool]):
    """Shows a plan; answers True when it shall be done.

    What takes something away needs a key of its own (`Y`), and the focus rests on Cancel.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "yes", "Do it", show=False),
        Binding("Y", "surely", "Do it", show=False),
        Binding("n", "cancel", "Cancel", show=False),
        Binding("up", "scroll(-1)", "Up", show=False),
        Binding("down", "scroll(1)", "Down", show=False),
    ]

    def __init__(self, plan: Plan) -> None:
        super().__init__(
            plan.title, "takes something away that is in use or does not come back by itself" if plan.destructive else ""
        )
        self._plan = plan
        self._text = SectionView(plan_sections(plan), label_width=2, id="plan")
        self._text.can_focus = False
        self._hint = Static(id="hint", markup=False)
        if plan.impossible:
            self._cancel.label = "Close  Esc"
        self._accept.label = "Do it  Y" if plan.destructive else "Do it  y"
        self._accept.variant = "error" if plan.destructive else "primary"

    def body(self) -> ComposeResult:
        """The plan."""
        yield self._text

    def buttons(self) -> ComposeResult:
        """Cancel, and do it where it can be done."""
        if self._plan.impossible:
            yield self._cancel
            return
        yield self._hint
        yield self._cancel
        yield self._accept

    def on_mount(self) -> None:
        """Rest on Cancel where something goes away."""
        self.set_class(self._plan.destructive, "-destructive")
        safe = self._plan.destructive or bool(self._plan.impossible)
        (self._cancel if safe else self._accept).focus()

    def action_scroll(self, by: int) -> None:
        """Scroll a plan that is longer than the dialog."""
        self._text.scroll_relative(y=by, animate=False)

    def action_yes(self) -> None:
        """Do it, unless something goes away."""
        if self._plan.impossible:
            return
        if self._plan.destructive:
            self._hint.update("press Y (shift) to do it")
        else:
            self.answer(True)

    def action_surely(self) -> None:
        """Do it, also where something goes away."""
        if not self._plan.impossible:
            self.answer(True)

    def action_enter(self) -> None:
        """Enter presses buttons, and confirms nothing by itself."""

    def action_accept(self) -> None:
        """The button was pressed."""
        self.action_surely()
