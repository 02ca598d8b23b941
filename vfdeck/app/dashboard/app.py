"""The dashboard as a program."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
from collections.abc import Iterable, Sequence
from typing import ClassVar

import rich
from rich.segment import Segments
from rich.traceback import Traceback
from textual import constants, events
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.theme import Theme

from vfdeck.app.dashboard import themes
from vfdeck.app.dashboard.actions import BY_ID
from vfdeck.app.dashboard.dialogs.base import Dialog
from vfdeck.app.dashboard.dialogs.leave import LeaveDialog
from vfdeck.app.dashboard.lesson import Lesson
from vfdeck.app.dashboard.palette import ActionProvider
from vfdeck.app.dashboard.screen import Dashboard
from vfdeck.app.dashboard.touring import Tour
from vfdeck.app.settings import USUAL, Reading, default_path, read
from vfdeck.backend.host import Host
from vfdeck.widgets.tour_strip import Told

#: sysexits: used wrongly
EX_USAGE = 64


def _keep_no_log() -> None:
    """Take TEXTUAL_LOG away: the file it names gets every message in clear, keys of a token among them, on simulated hosts too."""
    os.environ.pop("TEXTUAL_LOG", None)
    vars(constants)["LOG_FILE"] = None  # read when Textual was imported; declared final


class DashboardApp(App[None], inherit_bindings=False):
    """Shows hosts. The theme is decided before Textual sets up its colours, and by us alone."""

    TITLE = "vfdeck"
    CSS_PATH = "dashboard.tcss"  # here, as Textual reads no style of a default screen
    ENABLE_COMMAND_PALETTE = True
    COMMANDS = {ActionProvider}  # noqa: RUF012  (as Textual declares it)
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+q", "quit", "Quit", show=False, priority=True),
        Binding("ctrl+c", "copy_or_hint", "Copy", show=False),
        # Textual would else add one that goes before all others, and that no keymap changes
        Binding("ctrl+p", "command_palette", "Palette", id="act.palette", show=False),
        Binding("tab", "app.focus_next", "Next", show=False),
        Binding("shift+tab", "app.focus_previous", "Previous", show=False),
    ]

    def __init__(
        self,
        hosts: Sequence[Host],
        *,
        theme: str = themes.USUAL,
        interval: float = 2.0,
        follow: bool = True,
        lesson: Lesson | None = None,
        tour: Tour | None = None,
        note: str = "",
        reading: Reading = USUAL,
    ) -> None:
        _keep_no_log()
        self.set_reactive(App.theme, themes.textual_name(theme))
        self._lesson_mode = "the first lesson"
        if tour is not None:  # Textual's own first screen cannot be left; that of a mode can
            self.DEFAULT_MODE = self._lesson_mode  # type: ignore[misc]
        super().__init__()
        for name in themes.palettes():
            self.register_theme(themes.theme(name))
        self.hosts = (tour.host,) if tour is not None else tuple(hosts)
        self._interval = interval
        self._follow = follow
        self._lesson = lesson
        self._tour = tour
        self._note = note
        self._reading = reading
        self.set_keymap(reading.settings.keys.textual())
        if tour is not None:
            self.add_mode(self._lesson_mode, self.get_default_screen)
        self.told: Told | None = None  # by the tour
        self.copy_keys = reading.settings.keys.keys(BY_ID["copy"])  # in dialogs, which are no part of the registry
        self.features -= {"devtools"}  # the console gets every message in clear, keys of a token among them

    def get_theme(self, theme_name: str) -> Theme | None:
        """Our themes are known from the start."""
        return themes.theme(theme_name) if theme_name in themes.palettes() else super().get_theme(theme_name)

    def get_default_screen(self) -> Screen[None]:
        """The dashboard."""
        return Dashboard(
            self.hosts,
            interval=self._interval,
            follow=self._follow,
            lesson=self._lesson,
            tour=self._tour,
            note=self._note,
            reading=self._reading,
        )

    def begin_lesson(self, number: int) -> None:
        """Show a lesson of the tour: on a host, and so on a screen, of its own."""
        assert self._tour is not None
        self.hosts = (self._tour.go_to(number),)
        over, self._lesson_mode = self._lesson_mode, f"lesson {number} on {id(self.hosts[0])}"
        self.add_mode(self._lesson_mode, self.get_default_screen)
        self.switch_mode(self._lesson_mode)
        self.remove_mode(over)

    def tell(self, told: Told | None) -> None:
        """See `Guided.tell`."""
        self.told = told
        if isinstance(self.screen, Dialog):
            self.screen.coach(told)

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """None of Textual's own: a screenshot, for one, could hold a token."""
        return ()

    def on_key(self, event: events.Key) -> None:
        """No action for a key that was meant for a field: over a slow line many come at once."""
        if isinstance(self.screen, Dashboard) and self.screen.takes_late(event):
            event.prevent_default()

    async def action_quit(self) -> None:
        """Leave as `q` does, from everywhere; while that is being asked about, leave."""
        dashboard = self.screen_stack[0]
        if isinstance(dashboard, Dashboard) and not isinstance(self.screen, LeaveDialog):
            dashboard.action_act("quit")
        else:
            self.exit()

    def action_copy_or_hint(self) -> None:
        """Copy what is selected with the mouse; there is no other use of ctrl+c here."""
        selection = self.screen.get_selected_text()
        if selection:
            self.copy_to_clipboard(selection)
        else:
            self.notify(f"{self._reading.settings.keys.shown(BY_ID['quit'])} or ctrl+q quits", timeout=3, markup=False)

    def _fatal_error(self) -> None:
        """Show a crash without the values of local variables, which may hold a token."""
        self.bell()
        traceback = Traceback(show_locals=False, width=None, suppress=[rich])
        self._exit_renderables.append(Segments(self.console.render(traceback, self.console.options)))
        self._close_messages_no_wait()


def run(hosts: Sequence[Host], lesson: Lesson | None = None, tour: Tour | None = None, *, theme: str = "") -> int:
    """Run the dashboard on hosts until the operator quits, with a story to begin with if there is one; or a tour on its own hosts.

    The theme is the one that is wanted, else that of the settings, where the terminal can show it; else a line says why not. The
    answer is the exit status. Who made the hosts closes them.
    """
    if not sys.stdin.isatty() or not sys.stdout.isatty():
        print("vfdeck: the dashboard needs a terminal on standard input and output (try vfdeck tree)", file=sys.stderr)
        return EX_USAGE
    reading = read(default_path(os.environ), os.geteuid())
    wanted = theme or reading.settings.theme
    app = DashboardApp(
        hosts,
        theme=themes.choose(wanted, os.environ),
        interval=reading.settings.interval,
        lesson=lesson,
        tour=tour,
        note=themes.why_not(wanted, os.environ) if wanted != themes.USUAL or theme else "",
        reading=reading,
    )
    if os.isatty(0):
        threading.Thread(target=_end_with_terminal, args=(0,), name="terminal", daemon=True).start()
    app.run(mouse=reading.settings.mouse)
    return app.return_code or 0


def _end_with_terminal(fd: int) -> None:
    """End as SIGHUP ends a program, when its terminal is gone.

    One that is not the session's own (`su -c`, a container's) sends no signal, and Textual would read its end again and again.
    """
    hangup = select.poll()
    hangup.register(fd, 0)  # what is told of any file: that it has hung up
    hangup.poll()
    os._exit(128 + signal.SIGHUP)
