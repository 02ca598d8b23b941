"""A real terminal: tmux, of 120 columns and 40 rows, with a program in it. Keys go in, the screen comes out."""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

WIDTH, HEIGHT = 120, 40

#: What must appear appears within this time under emulation, seconds.
DEADLINE = 120.0
# Looking costs the only processor of a guest time that the program needs.
_LOOK_EVERY = 0.4

_SETTINGS = """\
set -g status off
set -g remain-on-exit on
set -g default-terminal screen-256color
set -s escape-time 0
"""

# COLUMNS and LINES, where pytest's caller has them, are about another terminal.
_ENVIRONMENT = ("exec", "env", "-u", "COLUMNS", "-u", "LINES", "COLORTERM=truecolor", "TEXTUAL_ANIMATIONS=none")


class Terminal:
    """A terminal with one program. Screens that are kept go to the folder that VFDECK_ARTEFACTS names."""

    def __init__(self, command: Sequence[str], folder: Path) -> None:
        settings = folder / "tmux.conf"
        settings.write_text(_SETTINGS, encoding="ascii")
        self._tmux = ["tmux", "-u", "-S", str(folder / "tmux"), "-f", str(settings)]
        self._artefacts = Path(os.environ.get("VFDECK_ARTEFACTS") or folder)
        self._kept = 0
        size = ("-x", str(WIDTH), "-y", str(HEIGHT))
        self._do("new-session", "-d", *size, shlex.join([*_ENVIRONMENT, *command]))

    def _do(self, *words: str) -> str:
        done = subprocess.run([*self._tmux, *words], check=True, capture_output=True, encoding="utf-8", timeout=60)
        return done.stdout

    def press(self, *keys: str) -> None:
        """Press keys, by tmux's names: `a`, `Enter`, `Down`, `Escape`, `Tab`, `Space`."""
        self._do("send-keys", "--", *keys)

    def paste(self, text: str) -> None:
        """Paste a text, as a terminal does it that knows brackets around pasted text."""
        self._do("set-buffer", "--", text)
        self._do("paste-buffer", "-p", "-d")

    @property
    def screen(self) -> str:
        """What stands on the screen, without colours."""
        return self._do("capture-pane", "-p")

    def wait(self, *texts: str, gone: Sequence[str] = ()) -> str:
        """Wait until every one of `texts` is on the screen and none of `gone`; the screen."""
        end = time.monotonic() + DEADLINE
        while True:
            screen = self.screen
            if all(text in screen for text in texts) and not any(text in screen for text in gone):
                return screen
            assert time.monotonic() < end, f"expected {texts}, and none of {tuple(gone)}, on this screen:\n{screen}"
            time.sleep(_LOOK_EVERY)

    def keep(self, name: str) -> None:
        """Keep the screen as an artefact: as text, and with its colours."""
        self._kept += 1
        stem = f"{self._kept:02}-{name}"
        for ending, options in (("txt", ()), ("ansi", ("-e",))):
            text = self._do("capture-pane", "-p", *options)
            (self._artefacts / f"{stem}.{ending}").write_text(text, encoding="utf-8")

    def status(self) -> int:
        """Wait for the program's end; its exit status."""
        end = time.monotonic() + DEADLINE
        while True:
            dead, status = self._do("display-message", "-p", "#{pane_dead} #{pane_dead_status}").rstrip("\n").split(" ", 1)
            if dead == "1":
                return int(status or 0)
            assert time.monotonic() < end, f"the program has not ended:\n{self.screen}"
            time.sleep(_LOOK_EVERY)

    def close(self) -> None:
        """End the program and the terminal."""
        self._do("kill-server")


@contextmanager
def terminal(command: Sequence[str], folder: Path) -> Iterator[Terminal]:
    """A terminal with a program, ended with the block."""
    opened = Terminal(command, folder)
    try:
        yield opened
    finally:
        opened.close()
