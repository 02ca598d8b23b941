"""The plan of a change, to be confirmed before anything is done."""

from __future__ import annotations

import enum
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Button, Input, Static

from vfdeck.app.dashboard.dialogs.base import Dialog
from vfdeck.backend.changes import Plan, target_of
from vfdeck.widgets.section_view import SectionView
from vfdeck.widgets.sections import Fact, Section
from vfdeck.widgets.shell_facts import plan_lines
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
    if plan.predicted is not None and not any(warning.startswith("expected: ") for warning in plan.warnings):
        steps.append(Fact("=", f"expected: {plan.predicted}", Tone.DIM))
    if steps:
        sections.append(Section("What would be done", tuple(steps)))
    return sections


class Consent(enum.Enum):
    """What a plan was answered; None is no."""

    ALL = enum.auto()
    FEWER = enum.auto()  # show the plan for a part of it


class ConfirmDialog(Dialog[Consent]):
    """Shows a plan and asks whether it shall be done. `fewer` offers a smaller one: what a button says for that.

    What takes something away needs a key of its own (`Y`), and the focus rests on Cancel. What cuts off the operator or takes the
    root file system away needs the function's address typed; with `confirm` "loss" also what takes anything away, with "always"
    every plan. Where it is of many functions, that is the address of the first.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "yes", "Do it", show=False),
        Binding("Y", "surely", "Do it", show=False),
        Binding("n", "cancel", "Cancel", show=False),
        Binding("v", "fewer", "Fewer", show=False),
        Binding("up", "scroll(-1)", "Up", show=False),
        Binding("down", "scroll(1)", "Down", show=False),
        Binding("pageup", "turn('page_up')", "Page up", show=False),
        Binding("pagedown", "turn('page_down')", "Page down", show=False),
        Binding("home", "turn('home')", "Top", show=False, priority=True),  # before the field, which moves its cursor
        Binding("end", "turn('end')", "Bottom", show=False, priority=True),
    ]

    def __init__(self, plan: Plan, fewer: str = "", confirm: str = "severe") -> None:
        untold = plan.destructive and not plan.warnings
        super().__init__(plan.title, plan.severe or ("takes something away that does not come back by itself" if untold else ""))
        self._plan = plan
        typed = plan.severe or confirm == "always" or (confirm == "loss" and plan.destructive)
        self._wanted = target_of(plan.change) if typed and not plan.impossible else ""
        key = "" if self._wanted else "  v"  # which the field would take
        self._fewer = Button(f"{fewer}{key}", id="fewer", compact=True) if fewer else None
        self._typed = Input(id="consent", max_length=32, select_on_focus=False)
        self._typed.cursor_blink = False
        self._text = SectionView(plan_sections(plan), label_width=2, id="plan")
        self._text.can_focus = False
        if plan.impossible:
            self._cancel.label = "Close  Esc"
        self._accept.label = "Do it  ⏎" if self._wanted else "Do it  Y" if plan.destructive else "Do it  y ⏎"
        self._accept.variant = "error" if plan.destructive or plan.severe else "primary"

    def body(self) -> ComposeResult:
        """The plan, and a field for what must be typed."""
        yield self._text
        if self._wanted:
            still = " all the same" if self._plan.destructive or self._plan.severe else ""
            yield Static(f"Type {self._wanted} to do it{still}:", classes="label", markup=False)
            yield self._typed

    def buttons(self) -> ComposeResult:
        """Cancel, and do it where it can be done."""
        yield self._hint
        yield self._cancel
        if self._fewer is not None:
            yield self._fewer
        if not self._plan.impossible:
            yield self._accept

    def on_mount(self) -> None:
        """Rest on Cancel where something goes away, on the field where something must be typed."""
        self.set_class(self._plan.destructive or bool(self._plan.severe), "-destructive")
        self.watch(self._text, "show_vertical_scrollbar", self._tell_more)
        if self._wanted:
            self.allow(False)
            self._typed.focus()
            return
        safe = self._plan.destructive or bool(self._plan.impossible)
        (self._cancel if safe else self._accept).focus()

    @property
    def shell(self) -> str:
        """The plan's commands."""
        return "\n".join(plan_lines(self._plan.title, self._plan.steps)) if self._plan.steps else ""

    def _tell_more(self, more: bool) -> None:
        """Say that the plan is longer than what can be seen of it."""
        self._frame.border_subtitle = "↑ ↓ scroll" if more else ""

    @on(Input.Changed)
    def _judge(self) -> None:
        """Whether what was typed is what was asked for."""
        self.allow(self._consents)

    @on(Input.Submitted)
    def _submitted(self) -> None:
        self.action_surely()

    @property
    def _consents(self) -> bool:
        """Whether what had to be typed was typed."""
        return not self._wanted or self._typed.value.strip() == self._wanted

    def action_scroll(self, by: int) -> None:
        """Scroll a plan that is longer than the dialog."""
        self._text.scroll_relative(y=by, animate=False)

    def action_turn(self, where: str) -> None:
        """Scroll it by a page, or to an end."""
        view = self._text
        turns = {
            "page_up": view.scroll_page_up,
            "page_down": view.scroll_page_down,
            "home": view.scroll_home,
            "end": view.scroll_end,
        }
        turns[where](animate=False)

    def action_yes(self) -> None:
        """Do it, unless something goes away."""
        if self._plan.destructive and not self._wanted and not self._plan.impossible:
            self.hint("press Y (shift) to do it")
        else:
            self.action_surely()

    def action_surely(self) -> None:
        """Do it, also where something goes away."""
        if not self._consents:
            self.hint(f"type {self._wanted} first")
        elif not self._plan.impossible:
            self.answer(Consent.ALL)

    @on(Button.Pressed, "#fewer")
    def action_fewer(self) -> None:
        """Show the plan for fewer."""
        if self._fewer is not None:
            self.answer(Consent.FEWER)

    def action_enter(self) -> None:
        """Enter presses buttons, and confirms nothing by itself."""

    def action_accept(self) -> None:
        """The button was pressed."""
        self.action_surely()
