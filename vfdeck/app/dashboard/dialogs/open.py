"""Attempt to open a device."""

from __future__ import annotations

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import Static

from vfdeck.app.dashboard.dialogs.base import Dialog
from vfdeck.backend.changes import Open, OpenPath
from vfdeck.backend.facts import cdev_unguarded
from vfdeck.backend.model import Function, Role, Snapshot
from vfdeck.backend.token import Token
from vfdeck.widgets.choices import Choice, Option, Tick
from vfdeck.widgets.state import by_group, role_text, short_name
from vfdeck.widgets.token_field import TokenField


class OpenDialog(Dialog[Open]):
    """Asks how to open a device: which token, which path, and whether to hold it. `known` is the token this session set."""

    accept = "Open"

    def __init__(self, function: Function, snapshot: Snapshot, known: Token | None) -> None:
        super().__init__(f"Attempt to open {function.bdf}", f"{role_text(function)} · {short_name(function)} · {function.driver}")
        self._function = function
        self._snapshot = snapshot
        self._known = known
        self._choice = Choice(id="token")
        self._field = TokenField()
        self._path = Choice(id="path")
        self._rule = Static(classes="note gap", markup=False)
        self._hold = Tick("hold it open (else it is closed at once)", id="hold")

    def body(self) -> ComposeResult:
        """Token, path, hold."""
        yield Static("Token", classes="label")
        with self._choice:
            yield Option("none", value=self._known is None, id="without")
            if self._known is not None:
                yield Option(Content(f"the one set in this session, #{self._known.fingerprint}"), value=True, id="session")
            yield Option("another one:", id="typed")
        yield self._field
        yield Static("Path", classes="label")
        with self._path:
            group = self._function.iommu_group
            node = f"/dev/vfio/{'noiommu-' if self._function.noiommu else ''}{'?' if group is None else group}"
            yield Option(Content(f"group  {node}"), value=True, id="group")
            cdev = self._function.cdev
            text = f"cdev   /dev/vfio/devices/{cdev}" if cdev else "cdev   this function has none"
            yield Option(Content(text), id="cdev", disabled=cdev is None)
        yield self._hold
        yield self._rule

    def on_mount(self) -> None:
        """The keys go to the choice of a token; its field appears when wanted."""
        self._field.display = False
        self._choice.focus()
        self._say_rule()

    def _pf(self) -> Function | None:
        """The PF whose token guards the function."""
        if self._function.role is Role.VF:
            return self._snapshot.functions.get(self._function.physfn or "")
        return self._function if self._function.role is Role.PF else None

    def _expect(self) -> str:
        """What the rules ask for here."""
        pf = self._pf()
        if pf is None:
            return "Neither PF nor VF: opens without a token, and a token given is an error."
        if self._function.role is Role.PF:
            return "A PF opens without a token while none of its VFs is in use. A token given then becomes its token."
        if pf.on_vfio and self._path.picked == "cdev" and cdev_unguarded(self._snapshot.host):
            return (
                f"Its PF {pf.bdf} is on {pf.driver}, but this kernel asks for no token on this path (D17); one given is an error."
            )
        if pf.on_vfio:
            return f"Its PF {pf.bdf} is on {pf.driver}:{by_group(self._snapshot.host)} the kernel asks for that PF's token."
        return f"Its PF {pf.bdf} is not on vfio-pci: opens without a token, and a token given is an error."

    @on(Choice.Changed, "#token")
    def _chosen(self) -> None:
        self._field.display = self._choice.picked == "typed"
        if self._field.display:
            self._field.focus_input()
        self._judge()

    @on(Choice.Changed, "#path")
    def _say_rule(self) -> None:
        """What is asked for depends on the path."""
        self._rule.update(Text(self._expect()))

    @on(TokenField.Changed)
    def _judge(self) -> None:
        self.allow(self._choice.picked != "typed" or self._field.token is not None)

    @on(TokenField.Submitted)
    def _submitted(self) -> None:
        self.action_accept()

    def action_accept(self) -> None:
        """Answer with the attempt."""
        choice = self._choice.picked
        if choice == "typed" and self._field.token is None:
            self._field.demand()
            return
        token = {"session": self._known, "typed": self._field.token}.get(choice)
        way = OpenPath.CDEV if self._path.picked == "cdev" else OpenPath.GROUP
        self.answer(Open(self._function.bdf, token, self._hold.value, way))
