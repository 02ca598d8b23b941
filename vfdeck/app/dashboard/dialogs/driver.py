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
from vfdeck.backend.facts import blocking_members
from vfdeck.backend.model import Function, Snapshot
from vfdeck.widgets.choices import Choice, Option
from vfdeck.widgets.state import role_text, short_name

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
        self._choice = Choice(id="choice")
        self._driver = Input(placeholder="name of a driver", id="name", max_length=64, disabled=True)
        self._driver.cursor_blink = False
        self._fault_line = Static(id="fault", classes="verdict dim", markup=False)

    def body(self) -> ComposeResult:
        """The choices."""
        yield Static("Driver", classes="label")
        with self._choice:
            yield Option(Content("vfio-pci: for virtual machines and user programs"), value=True, id="vfio")
            yield Option(Content("the kernel's choice: clear the override and probe again"), id="native")
            yield Option(Content("another one:"), id="other")
        yield self._driver
        yield self._fault_line
        others = [b for b in blocking_members(self._snapshot, self._function.bdf) if b.bdf != self._function.bdf]
        if others:
            names = ", ".join(f"{b.bdf} ({b.driver})" for b in others)
            text = (
                f"! its IOMMU group {self._function.iommu_group} holds {names} too: it opens only when they are on vfio-pci as well"
            )
            yield Static(Text(text), classes="verdict warn gap", markup=False)

    def on_mount(self) -> None:
        """The keys go to the choices."""
        self._choice.focus()

    @on(Choice.Changed)
    def _chosen(self, event: Choice.Changed) -> None:
        other = event.pressed.id == "other"
        self._driver.disabled = not other
        if other:
            self._driver.focus()
        self._judge()

    @on(Input.Changed)
    def _judge(self) -> None:
        fault = self._fault()
        self._fault_line.set_classes(f"verdict {'bad' if fault.startswith('✗') else 'dim'}").update(Text(fault))
        self.allow(not fault)

    @on(Input.Submitted)
    def _submitted(self) -> None:
        self.action_accept()

    def _fault(self) -> str:
        """What keeps the choice from being made."""
        return name_fault(self._driver.value.strip()) if self._choice.picked == "other" else ""

    def action_accept(self) -> None:
        """Answer with the driver."""
        if self._fault():
            return
        driver = {"vfio": "vfio-pci", "native": None}.get(self._choice.picked, self._driver.value.strip())
        self.answer(BindDriver(self._function.bdf, driver))
