"""Bind a function to a driver."""

from __future__ import annotations

import re

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import Input, Static

from vfdeck.app.dashboard.dialogs.base import Dialog
from vfdeck.backend.changes import BindDriver
from vfdeck.backend.model import Function, Snapshot
from vfdeck.widgets.cells import short_name
from vfdeck.widgets.choices import Choice, Option
from vfdeck.widgets.state import group_blockers, role_text

_NAME = re.compile(r"[A-Za-z0-9_.+-]+")


def name_fault(name: str) -> str:
    """What is wrong with a driver's name; "" where nothing is."""
    if not name:
        return "the driver's name, as under /sys/bus/pci/drivers"
    wrong = next((n for n, char in enumerate(name, 1) if not _NAME.fullmatch(char)), 0)
    return f"✗ character {wrong} cannot be in a driver's name" if wrong else ""


class DriverDialog(Dialog[BindDriver]):
    """Asks which driver a function shall have."""

    def __init__(self, function: Function, snapshot: Snapshot) -> None:
        on_now = f"on {function.driver}" if function.driver else "without a driver"
        super().__init__(f"Bind {function.bdf} to a driver", f"{role_text(function)} · {short_name(function)} · {on_now}")
        self._function = function
        self._snapshot = snapshot

    def body(self) -> ComposeResult:
        """The choices."""
        yield Static("Driver", classes="label")
        with Choice(id="choice"):
            yield Option(Content("vfio-pci: for virtual machines and user programs"), value=True, id="vfio")
            yield Option(Content("the kernel's choice: clear the override and probe again"), id="native")
            yield Option(Content("another one:"), id="other")
        name = Input(placeholder="name of a driver", id="name", max_length=64, disabled=True)
        name.cursor_blink = False
        yield name
        yield Static(id="fault", classes="verdict dim", markup=False)
        others = [b for b in group_blockers(self._function, self._snapshot) if b.bdf != self._function.bdf]
        if others:
            names = ", ".join(f"{b.bdf} ({b.driver})" for b in others)
            text = (
                f"! its IOMMU group {self._function.iommu_group} holds {names} too: it opens only when they are on vfio-pci as well"
            )
            yield Static(Text(text), classes="verdict warn gap", markup=False)

    def on_mount(self) -> None:
        """The keys go to the choices."""
        self.query_one("#choice").focus()

    @on(Choice.Changed)
    def _chosen(self, event: Choice.Changed) -> None:
        other = event.pressed.id == "other"
        field = self.query_one("#name", Input)
        field.disabled = not other
        if other:
            field.focus()
        self._judge()

    @on(Input.Changed)
    def _judge(self) -> None:
        fault = self._fault()
        self.query_one("#fault", Static).set_classes(f"verdict {'bad' if fault.startswith('✗') else 'dim'}").update(Text(fault))
        self.allow(not fault)

    @on(Input.Submitted)
    def _submitted(self) -> None:
        self.action_accept()

    def _choice(self) -> str:
        """The id of the choice made."""
        return self.query_one("#choice", Choice).picked

    def _fault(self) -> str:
        """What keeps the choice from being made."""
        return name_fault(self.query_one("#name", Input).value.strip()) if self._choice() == "other" else ""

    def action_accept(self) -> None:
        """Answer with the driver."""
        if self._fault():
            return
        name = self.query_one("#name", Input).value.strip()
        driver = {"vfio": "vfio-pci", "native": None}.get(self._choice(), name)
        self.answer(BindDriver(self._function.bdf, driver))
