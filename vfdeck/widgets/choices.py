"""Choices and ticks that say their state with a mark, not with a colour, and leave Enter to the dialog."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Checkbox, RadioButton, RadioSet

_MARK_CSS = """
    {name} {{
        background: transparent; border: none; padding: 0; width: 1fr;
        & > .toggle--button {{ color: $foreground-darken-3; background: transparent; text-style: none; }}
        &.-on > .toggle--button {{ color: $text-success; background: transparent; text-style: bold; }}
    }}
"""


class Option(RadioButton):
    """One choice: `(•)` or `( )`."""

    DEFAULT_CSS = _MARK_CSS.format(name="Option")

    @property
    def _button(self) -> Content:
        return Content.assemble(("(•)" if self.value else "( )", self.get_visual_style("toggle--button")))


class Tick(Checkbox, inherit_bindings=False):
    """Something to tick with Space: `[x]` or `[ ]`."""

    DEFAULT_CSS = _MARK_CSS.format(name="Tick")
    BINDINGS: ClassVar[list[BindingType]] = [Binding("space", "toggle_button", "Tick", show=False)]

    @property
    def _button(self) -> Content:
        return Content.assemble(("[x]" if self.value else "[ ]", self.get_visual_style("toggle--button")))


class Choice(RadioSet, inherit_bindings=False):
    """A set of options of which the arrows pick one."""

    DEFAULT_CSS = """
    Choice {
        border: none; background: transparent; padding: 0; width: 1fr; height: auto;
        &:focus { border: none; background-tint: transparent; }
        & > Option > .toggle--button { color: $foreground-darken-3; background: transparent; }
        & > Option.-on > .toggle--button { color: $text-success; background: transparent; text-style: bold; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,right", "pick(1)", "Next", show=False),
        Binding("up,left", "pick(-1)", "Previous", show=False),
        Binding("space", "pick(0)", "Pick", show=False),
    ]

    def on_mount(self) -> None:
        """Once Textual has begun at the first option, go to the one that is picked."""
        self.call_next(self._begin_at_picked)

    def _begin_at_picked(self) -> None:
        if self.pressed_index >= 0:
            self._selected = self.pressed_index

    def action_pick(self, by: int) -> None:
        """Go to the next or the previous option, and pick it."""
        self._begin_at_picked()
        if by:
            (self.action_next_button if by > 0 else self.action_previous_button)()
        if self._selected is not None:
            button = self.children[self._selected]
            if isinstance(button, RadioButton) and not button.value:
                button.value = True

    @property
    def picked(self) -> str:
        """The id of the picked option; "" where none is."""
        button = self.pressed_button
        return (button.id or "") if button is not None else ""
