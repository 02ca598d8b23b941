"""The frame that all dialogs share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Generic, TypeVar

from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.message import Message
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Button, Static

from vfdeck.widgets.section_view import SectionView
from vfdeck.widgets.sections import Section
from vfdeck.widgets.shell_facts import copied
from vfdeck.widgets.state import Tone
from vfdeck.widgets.tour_strip import CoachLine, Told

Result = TypeVar("Result")

#: Rows below which a dialog takes the whole height and leaves no gaps; columns below which hints stand in the frame.
LOW, NARROW = 16, 60
#: Columns and rows below which nothing can be read, and what is said then.
LEAST = (40, 12)
TOO_SMALL = f"vfdeck needs a terminal of at least {LEAST[0]} columns and {LEAST[1]} rows."
#: Rows at the top that a tour keeps for what is to be pressed.
COACHED = 4


class _Body(VerticalScroll):
    """What stands between title and buttons. It emits `Resized`, after which other parts of it are in sight than before."""

    class Resized(Message):
        """There are more or fewer rows now."""

    def on_resize(self) -> None:
        """Tell."""
        self.post_message(self.Resized())


class AnswerLine(Static):
    """What came of a key, hidden until then. A dialog has it in sight together with what has the focus."""

    def on_mount(self) -> None:
        """There is nothing to say yet."""
        self.display = False

    def on_show(self) -> None:
        """Tell, once it has its place."""
        self.post_message(_Body.Resized())


class Dialog(ModalScreen[Result | None], Generic[Result]):
    """A titled box with buttons. Escape answers None. Foreign text goes in as `Text`.

    Title and buttons are always on the screen; what stands between them scrolls where there is no room for all of it.

    A key or a message may come before the widgets are there or after they have gone: dialogs keep theirs and never look for them.
    """

    CSS_PATH = "dialogs.tcss"
    AUTO_FOCUS = ""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Cancel", id="leave.leave", show=False),
        Binding("enter", "enter", "Accept", show=False),
        Binding("pageup", "turn_body(-1)", "Up", show=False),
        Binding("pagedown", "turn_body(1)", "Down", show=False),
    ]
    #: what the accepting button says
    accept: ClassVar[str] = "Continue"

    def __init__(self, title: str, subtitle: str = "") -> None:
        super().__init__()
        self._frame = Vertical(id="dialog")
        self._body = _Body(id="asked", can_focus=False)
        self._buttons = Horizontal(id="buttons")
        self._coach = CoachLine()
        self._ready = False
        self._answered = False
        self._answer_line: AnswerLine | None = None
        self._heading = title
        self._title = Static(Text(title), id="title", markup=False)
        self._subtitle = Static(Text(subtitle), id="subtitle", markup=False) if subtitle else None
        self._hint = Static(id="hint", markup=False)
        self._cancel = Button("Cancel  Esc", id="cancel", compact=True)
        self._accept = Button(f"{self.accept}  ⏎", id="accept", variant="primary", compact=True)

    def compose(self) -> ComposeResult:
        """What a tour says, title, body, a line for faults, buttons."""
        yield Static(f"{TOO_SMALL} Esc closes what is open.", id="small", markup=False)
        yield self._coach
        with self._frame:
            yield self._title
            if self._subtitle is not None:
                yield self._subtitle
            with self._body:
                yield from self.body()
            with self._buttons:
                yield from self.buttons()

    def body(self) -> ComposeResult:
        """What stands between title and buttons."""
        return
        yield

    def buttons(self) -> ComposeResult:
        """Cancel and accept."""
        yield self._cancel
        yield self._accept

    def hint(self, text: str) -> None:
        """Say what a key would do: beside the buttons, where there is room."""
        narrow = self.has_class("-narrow")
        self._hint.update("" if narrow else text)
        self._frame.border_subtitle = Text(text) if narrow else ""

    def about(self, host: str, number: int = 1) -> None:
        """Say on which host it is ("": there is but one), and for how many functions, of which the title names the first."""
        named = f"{self._heading} on {host}" if host else self._heading
        self._title.update(Text(f"{named}, and {number - 1} more" if number > 1 else named))

    def on_mount(self) -> None:
        """From now on there is something that keys can act on. Textual calls this beside the subclass's own."""
        self._ready = True
        told = getattr(self.app, "told", None)
        self.coach(told if isinstance(told, Told) else None)

    @property
    def shell(self) -> str:
        """What is shown as shell commands, to be copied; "" where it is none."""
        return ""

    def on_key(self, event: events.Key) -> None:
        """Copy what is shown. Textual calls this beside the subclass's own."""
        if self.shell and event.key in getattr(self.app, "copy_keys", ()):
            event.stop()
            self.app.copy_to_clipboard(self.shell)
            self.hint(copied(self.shell))

    def coach(self, told: Told | None) -> None:
        """Say what a tour wants to be pressed; None: there is no tour."""
        self._coach.show(told)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """No key acts on a dialog that is not on the screen yet, or has been answered."""
        return self._ready and not self._answered

    def allow(self, possible: bool) -> None:
        """Whether the accepting button can be pressed."""
        self._accept.disabled = not possible

    @property
    def _rows(self) -> int:
        """The rows for the dialog itself."""
        return self.size.height - (COACHED if self._coach.display else 0)

    def on_resize(self) -> None:
        """Leave room for title and buttons beside what scrolls: a guess, and once it is laid out what is really left."""
        self.set_class(self.size.height < LOW, "-low")
        self.set_class(self.size.width < NARROW, "-narrow")
        self.set_class(self.size.width < LEAST[0] or self.size.height < LEAST[1], "-tiny")
        self._coach.fit(self.size.height >= LOW)
        for view in self.query(SectionView):
            view.styles.max_height = max(2, self._rows * 94 // 100 - 7)
        self.call_after_refresh(self._fit)

    def _fit(self) -> None:
        """Let what scrolls have the rows that are left."""
        if self._answered:
            return
        rest = self._buttons.virtual_region.bottom - self._body.virtual_region.height
        most = self.size.height if self.has_class("-low") else self._rows * 94 // 100
        room = max(2, most - self._frame.gutter.height - rest)
        self._body.styles.max_height = room
        for view in self.query(SectionView):
            others = self._body.virtual_size.height - view.virtual_region.height
            view.styles.max_height = max(2, room - others)

    @on(_Body.Resized)
    @on(events.DescendantFocus)
    def _keep_in_sight(self) -> None:
        """What the keys go to is in sight, also when it comes into being after the room for it was shared out."""
        self.call_after_refresh(self.show_focused)

    def show_focused(self) -> None:
        """Scroll so far that what has the focus is in sight, and what was said last: from the top, whatever came before."""
        if self.focused is not None and self._body in self.focused.ancestors and not self._answered:
            part = self.focused.parent if self.focused.parent is not self._body else self.focused
            shown = part if isinstance(part, Widget) else self.focused
            self._body.scroll_home(animate=False, immediate=True)
            if shown.virtual_region.bottom > self._body.size.height:
                self._body.scroll_to_widget(shown, animate=False, immediate=True, top=True)
                if self._body.scroll_offset.y < self._body.max_scroll_y:
                    self._body.scroll_relative(y=-1, animate=False, immediate=True)  # what it is called stands above it
            if self._answer_line is not None and self._answer_line.display:
                self._body.scroll_to_widget(self._answer_line, animate=False)

    def action_turn_body(self, by: int) -> None:
        """Scroll what stands between title and buttons by a page."""
        (self._body.scroll_page_down if by > 0 else self._body.scroll_page_up)(animate=False)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Cancel, or accept."""
        event.stop()
        if event.button.id == "cancel":
            self.action_cancel()
        elif event.button.id == "accept":
            self.action_accept()

    def answer(self, result: Result | None) -> None:
        """Close with a result; a second key that comes before the dialog is gone does nothing. Unseen, nothing is agreed to."""
        if not self._answered and (result is None or not self.has_class("-tiny")):
            self._answered = True
            self.dismiss(result)

    def action_cancel(self) -> None:
        """Answer None."""
        self.answer(None)

    def action_enter(self) -> None:
        """Enter, where no button has the focus."""
        self.action_accept()

    def action_accept(self) -> None:
        """Answer with what was asked for."""


class Page(Dialog[bool]):
    """Text to read: sections that scroll. Escape, Enter and q close it; `keys` says what others do."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter,q", "cancel", "Close", show=False)]

    def __init__(
        self, title: str, sections: Sequence[Section], *, label_width: int = 9, tone: Tone = Tone.PLAIN, keys: str = ""
    ) -> None:
        super().__init__(title)
        self._hint.update(f"↑ ↓ scroll   {keys}".rstrip())
        self._title.add_class(str(tone))
        self._text = SectionView(tuple(sections), label_width=label_width, id="page")

    def body(self) -> ComposeResult:
        """The text."""
        yield self._text

    def buttons(self) -> ComposeResult:
        """One to close."""
        yield self._hint
        yield Button("Close  Esc", id="cancel", compact=True)

    def on_mount(self) -> None:
        """Let the keys scroll the text."""
        self._text.focus()
