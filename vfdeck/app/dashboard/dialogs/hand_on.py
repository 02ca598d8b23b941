"""Hand a token on: to a new file, or to a program."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from functools import partial

from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.widgets import Input, Static

from vfdeck.app import token_delivery
from vfdeck.app.dashboard.dialogs.base import Dialog
from vfdeck.app.dashboard.feed import aside
from vfdeck.app.dashboard.handed import Handed
from vfdeck.app.failure import Failure
from vfdeck.app.token_delivery import Delivery
from vfdeck.app.unattended import Unattended
from vfdeck.backend.token import Token
from vfdeck.widgets.state import Tone

#: How long to wait for what was given up to end, seconds.
PATIENCE = 3.0
_EXPECTED = "a path such as ~/vf-token, or a command such as pass insert -e vf/nic0"
_BUSY = "… handing it on   Esc gives it up"
_SO = "not handed on"


class HandOnDialog(Dialog[Handed]):
    """Hands a token on there and then, on a thread; answers where it is. Escape gives up what is under way, and then closes."""

    accept = "Hand on"

    def __init__(self, token: Token, what: str, *, simulated: bool) -> None:
        """`what` says how the token stands: in force, not set yet. Of a `simulated` host it is said what is none the less real."""
        super().__init__(f"Hand on token #{token.fingerprint}", what)
        self._token = token
        self._simulated = simulated
        self._under_way: Unattended | None = None
        self._file = Input(placeholder="path", max_length=4096, id="file")
        self._program = Input(placeholder="command", max_length=4096, id="program")
        for field in (self._file, self._program):
            field.cursor_blink = False
        self._said = Static(classes="verdict", markup=False)

    def body(self) -> ComposeResult:
        """A field for each way, and what came of it."""
        yield Static("To a new file, for its owner's eyes", classes="label", markup=False)
        yield self._file
        yield Static("or to a program, on its standard input", classes="label", markup=False)
        yield self._program
        yield self._said
        if self._simulated:
            yield Static("The host is simulated; the file or the program is not.", classes="note gap", markup=False)

    def on_mount(self) -> None:
        """The keys go to the path."""
        self._file.focus()

    def on_unmount(self) -> None:
        """Nothing goes on behind a dashboard that has ended."""
        if self._under_way is not None:
            self._under_way.stop()

    @property
    def is_busy(self) -> bool:
        """Whether the token is being handed on."""
        return self._under_way is not None

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        event.stop()
        self._say("")

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.action_accept()

    def on_key(self, event: events.Key) -> None:
        """The arrows go from one field to the other."""
        if event.key in ("up", "down"):
            event.stop()
            (self._file if event.key == "up" else self._program).focus()

    def action_cancel(self) -> None:
        """Give up what is under way; else close."""
        if self._under_way is None:
            super().action_cancel()
        else:
            self._under_way.stop()

    def action_accept(self) -> None:
        """Hand it on, in the way that was chosen."""
        if self.is_busy:
            return
        path, command = self._file.value.strip(), self._program.value.strip()
        if fault := self._fault(path, command):
            self._say(f"✗ {fault}", Tone.BAD)
            return
        self._under_way = unattended = Unattended()
        self.allow(False)
        self._say(_BUSY)
        if path:
            to: Callable[[], Delivery] = partial(token_delivery.to_file, os.path.expanduser(path), _SO)
        else:
            to = partial(token_delivery.to_command, command, "the command", unattended.run, _SO)
        self.run_worker(self._hand_on(to, unattended))

    def _fault(self, path: str, command: str) -> str:
        """What is wrong with what was typed; "" where nothing is."""
        secret = self._token.reveal_text()
        if any(form in text.lower() for form in (secret, secret.replace("-", "")) for text in (path, command)):
            return "the token itself is in it, where others could read it; a program gets it on its standard input"
        if path and command:
            return "a file and a program: expected one of them, ^u empties a line"
        return "" if path or command else f"nothing typed yet: expected {_EXPECTED}"

    async def _hand_on(self, to: Callable[[], Delivery], unattended: Unattended) -> None:
        """Wait for it, but not for long once it was given up: a file system may never answer."""
        task = asyncio.ensure_future(aside(partial(_deliver, to, self._token), "hand on"))
        while not task.done() and not unattended.is_stopped:
            await asyncio.wait({task}, timeout=0.05)
        if not task.done():
            await asyncio.wait({task}, timeout=PATIENCE)
        self._under_way = None
        self.allow(True)
        if not task.done():
            task.add_done_callback(_take_back_late)
            self._say("! it does not answer; should it ever, what it has done is taken back", Tone.WARN)
            return
        try:
            self.answer(task.result())
        except Failure as failed:
            self._say(f"✗ {failed.line}", Tone.BAD)
        except Exception as error:  # a bug of ours, named by its kind only: it shall not end the dashboard, which knows tokens
            self._say(f"✗ handing it on failed ({type(error).__name__}): whether anybody has it is not known", Tone.BAD)

    def _say(self, text: str, tone: Tone = Tone.DIM) -> None:
        self._said.set_classes(f"verdict {tone}")
        self._said.update(Text(text))
        self.call_after_refresh(self.show_focused)


def _deliver(to: Callable[[], Delivery], token: Token) -> Handed:
    """Hand a token on; not for the screen's own thread. Raises Failure."""
    delivery = to()
    return Handed(token, delivery, delivery.deliver(token))


def _take_back_late(task: asyncio.Task[Handed]) -> None:
    """What was given up was handed on after all."""
    if not task.cancelled() and task.exception() is None:
        background = asyncio.ensure_future(aside(task.result().delivery.withdraw, "take back"))
        _LATE.add(background)
        background.add_done_callback(_LATE.discard)


#: Kept, since the event loop does not.
_LATE: set[asyncio.Future[str]] = set()
