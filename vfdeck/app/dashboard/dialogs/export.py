"""Write to a file what is chosen."""

from __future__ import annotations

import os
from collections.abc import Sequence

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, Static

from vfdeck.app.dashboard.dialogs.base import Dialog
from vfdeck.app.dashboard.exporting import Offer
from vfdeck.app.dashboard.feed import aside
from vfdeck.app.failure import Failure
from vfdeck.backend.text import printable
from vfdeck.widgets.choices import Choice, Option

#: Longest path that Linux takes (PATH_MAX).
_LONGEST = 4095


class ExportDialog(Dialog[str]):
    """Asks what to write and where, and writes it. Answers with what to say of that; a file that cannot be made is no end."""

    accept = "Write"

    def __init__(self, offers: Sequence[Offer]) -> None:
        super().__init__("Export", "to a new file, for your eyes only; no token is written")
        self._offers = {offer.id: offer for offer in offers}
        self._choice = Choice(id="what")
        self._path = Input(id="path", max_length=_LONGEST, select_on_focus=False)
        self._path.cursor_blink = False
        self._verdict = Static(classes="verdict bad", markup=False)
        self._offered = ""  # the name that was filled in
        self._writing = False
        self.fault = ""  # what is said to be wrong

    def body(self) -> ComposeResult:
        """What, where, and what is wrong with it."""
        first = next(offer.id for offer in self._offers.values() if not offer.none)
        with self._choice:
            for offer in self._offers.values():
                title = f"{offer.title}: {offer.none}" if offer.none else offer.title
                yield Option(Content(title), value=offer.id == first, id=offer.id, disabled=bool(offer.none))
        with Vertical(classes="row"):  # a field is kept in sight with what stands beside it
            yield Static("File", classes="label", markup=False)
            yield self._path
            yield self._verdict

    def on_mount(self) -> None:
        """The keys go to the choice."""
        self._fill_in()
        self._choice.focus()

    @property
    def is_writing(self) -> bool:
        """Whether a file is being written."""
        return self._writing

    @property
    def _offer(self) -> Offer:
        return self._offers.get(self._choice.picked) or next(iter(self._offers.values()))

    @on(Choice.Changed)
    def _fill_in(self) -> None:
        """Another name, unless one was typed."""
        if self._path.value == self._offered:
            self._offered = f"vfdeck-{self._offer.name}{next(iter(self._offer.make))}"
            self._path.value = self._offered
        self._judge()

    @on(Input.Changed)
    def _judge(self) -> None:
        """Say what is wrong with the name."""
        self._say(self._offer.fault(self._path.value))

    def _say(self, fault: str) -> None:
        self.fault = fault
        self._verdict.update(Text(f"✗ {fault}" if fault else ""))
        self.call_after_refresh(self.show_focused)

    @on(Input.Submitted)
    def _submitted(self) -> None:
        self.action_accept()

    def action_accept(self) -> None:
        """Write it, unless that is being done."""
        offer, path = self._offer, self._path.value.strip()
        fault = offer.fault(path)
        self._say(fault)
        if not fault and not self._writing:
            self._writing = True
            self.run_worker(self._write(offer, os.path.expanduser(path)), group="export")

    async def _write(self, offer: Offer, path: str) -> None:
        """Close once it is written; where it cannot be, say why and leave everything as it was typed."""
        try:
            said = await aside(lambda: offer.write(path), "export")
        except Failure as failed:
            self._say(failed.line)
        except Exception as error:  # a bug: named by its kind only
            self._say(f"vfdeck itself failed ({type(error).__name__}); this is a bug")
        else:
            self.answer(printable(said, limit=_LONGEST))
        finally:
            self._writing = False
