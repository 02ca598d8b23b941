"""The line in which a search or a filter is typed."""

from __future__ import annotations

from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, Static


class QueryBar(Horizontal):
    """A label, a field, and what came of it. Enter accepts, Escape cancels, Tab completes; what is typed is told at once."""

    DEFAULT_CSS = """
    QueryBar {
        height: 1;
        display: none;
        layout: horizontal;
        background: $panel;
        & > Static { width: auto; padding: 0 1; color: $text-accent; text-style: bold; }
        & > #told { width: 12; text-align: right; color: $foreground-darken-3; text-style: none; }
        & > Input { width: 1fr; height: 1; border: none; padding: 0; background: $panel; }
        & > Input:focus { border: none; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Cancel", id="leave.leave", show=False),
        Binding("tab", "complete", "Complete", show=False, priority=True),
        Binding("down", "step(1)", "Next", show=False),
        Binding("up", "step(-1)", "Before", show=False),
    ]

    class Changed(Message):
        """Something was typed."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Accepted(Message):
        """Enter."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Cancelled(Message):
        """Escape, or something else has the keys now."""

    class Complete(Message):
        """Tab."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Step(Message):
        """Down or up: to the next match, or to the one before."""

        def __init__(self, step: int) -> None:
            super().__init__()
            self.step = step

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._label = Static("", markup=False)
        self._input = Input(max_length=200, select_on_focus=False)
        self._input.cursor_blink = False
        self._result = Static("", id="told", markup=False)
        self._told = ""
        self._open = False

    def compose(self) -> ComposeResult:
        """Label, field, result."""
        yield self._label
        yield self._input
        yield self._result

    @property
    def is_open(self) -> bool:
        """Whether something is being typed."""
        return self._open

    @property
    def text(self) -> str:
        """What is typed."""
        return self._input.value

    def open(self, label: str, text: str = "") -> None:
        """Let something be typed."""
        self._label.update(Content(label))
        self._open = self.display = True
        self.put(text)
        self.screen.set_focus(self._input)  # now, as keys may be on their way already

    def type(self, text: str) -> None:
        """Type something that was on its way before the field had the focus."""
        self._input.insert_text_at_cursor(text)

    def tell(self, result: str) -> None:
        """Say what came of it so far, in at most 12 cells."""
        self._result.update(Content(result), layout=False)

    def put(self, text: str) -> None:
        """Let this be what is typed."""
        self._told = text
        self._input.value = text
        self._input.cursor_position = len(text)

    def close(self) -> None:
        """Let nothing be typed any more."""
        self._open = self.display = False

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        event.stop()
        if self.is_open and event.value != self._told:
            self._told = event.value
            self.post_message(self.Changed(event.value))

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if self.is_open:
            self.post_message(self.Accepted(event.value))

    def on_descendant_blur(self, event: events.DescendantBlur) -> None:
        """What was begun is over when the mouse goes elsewhere; a dialog on top is none of our business."""
        if self.is_open and self.app.focused is not None and self.app.focused is not self._input:
            self.post_message(self.Cancelled())

    def action_cancel(self) -> None:
        """Escape."""
        self.post_message(self.Cancelled())

    def action_complete(self) -> None:
        """Tab."""
        self.post_message(self.Complete(self._input.value))

    def action_step(self, step: int) -> None:
        """Down or up."""
        self.post_message(self.Step(step))
