"""Set the number of VFs, with what the kernel would do said while typing."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.widgets import Input, Static

from vfdeck.app.dashboard.dialogs.base import Dialog
from vfdeck.backend.changes import Plan, SetNumvfs
from vfdeck.backend.model import Function, Snapshot
from vfdeck.widgets.cells import short_name
from vfdeck.widgets.state import Tone, holder_text, index_of, plural

#: What the host's planner says of a number.
Preview = Callable[[SetNumvfs], Plan]


class Foresight(NamedTuple):
    """What a number would bring; `number` is None where the text is no number to send."""

    number: int | None
    text: str
    tone: Tone


def foresee(text: str, pf: Function, snapshot: Snapshot) -> Foresight:
    """What the kernel would do with this number of VFs."""
    sriov = pf.sriov
    now, total = (sriov.numvfs, sriov.totalvfs) if sriov else (0, None)
    limit = "" if total is None else f" from 0 to {total}"
    if not text.strip():
        return Foresight(None, f"a number{limit}", Tone.DIM)
    if not text.strip().isascii() or not text.strip().isdigit():
        return Foresight(None, f"✗ not a number{limit}", Tone.BAD)
    count = int(text)
    if count > 65535:
        return Foresight(None, "✗ the kernel reads 16 bits here: at most 65535 (EINVAL)", Tone.BAD)
    if total is not None and count > total:
        return Foresight(count, f"! the kernel would refuse with ERANGE: the PF offers {plural(total, 'VF')}", Tone.WARN)
    if count == now:
        return Foresight(count, f"nothing would change: {plural(now, 'VF')} are on already", Tone.DIM)
    return _change(count, now, pf, snapshot)


def _change(count: int, now: int, pf: Function, snapshot: Snapshot) -> Foresight:
    """What a number would bring that the kernel may accept."""
    if pf.driver is None:
        return Foresight(count, "! the kernel would refuse with ENOENT: the PF has no driver that could make VFs", Tone.WARN)
    if count and pf.on_vfio and snapshot.host.enable_sriov is False:
        return Foresight(count, "! vfio-pci would refuse with ENOENT, since its parameter enable_sriov is N", Tone.WARN)
    if not now:
        probe = "drivers are offered them" if pf.sriov and pf.sriov.autoprobe else "they stay without a driver"
        return Foresight(count, f"✓ makes {plural(count, 'VF')}; {probe}", Tone.GOOD)
    held = _held(pf, snapshot)
    price = f"; waits until {held} let go" if held else ""
    if count == 0:
        return Foresight(count, f"! removes all {plural(now, 'VF')}{price}", Tone.WARN)
    return Foresight(count, f"! from {now} to {count} only by way of 0: removes all {plural(now, 'VF')} first{price}", Tone.WARN)


def _held(pf: Function, snapshot: Snapshot) -> str:
    """Who holds VFs of the PF."""
    index = index_of(snapshot)
    holders = [h for vf in snapshot.vfs_of(pf.bdf) for h in index.holders.get(vf.bdf, [])]
    names = list(dict.fromkeys(holder_text(h) for h in holders))
    return names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "") if names else ""


def _planned(plan: Plan, seen: Foresight) -> str:
    """What the planner knows beyond our words."""
    if plan.impossible or seen.tone is Tone.WARN:
        return plan.impossible
    return plan.warnings[0] if plan.warnings else ""


class NumvfsDialog(Dialog[SetNumvfs]):
    """Asks for the number of VFs of a PF."""

    def __init__(self, pf: Function, snapshot: Snapshot, preview: Preview) -> None:
        super().__init__(f"Set the number of VFs of {pf.bdf}", f"{short_name(pf)} · {pf.driver or 'no driver'}")
        self._pf = pf
        self._snapshot = snapshot
        self._preview = preview
        self._count: int | None = None

    def body(self) -> ComposeResult:
        """Present and total number, the field, and what the number would bring."""
        sriov = self._pf.sriov
        total = "unknown" if sriov is None or sriov.totalvfs is None else str(sriov.totalvfs)
        yield Static(f"VFs: {sriov.numvfs if sriov else 0} on now, {total} at most", classes="label", markup=False)
        number = Input(placeholder="number", max_length=6, id="number")
        number.cursor_blink = False
        yield number
        yield Static(id="foresight", classes="verdict dim", markup=False)
        yield Static(id="planned", classes="note", markup=False)

    def on_mount(self) -> None:
        """The keys go to the field."""
        self.query_one("#number").focus()
        self._judge("")

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        self._judge(event.value)

    @on(Input.Submitted)
    def _submitted(self) -> None:
        self.action_accept()

    def _judge(self, text: str) -> None:
        """Say what the number would bring, in our words and in the planner's."""
        seen = foresee(text, self._pf, self._snapshot)
        self._count = seen.number
        self.query_one("#foresight", Static).set_classes(f"verdict {seen.tone}").update(Text(seen.text))
        plan = self._preview(SetNumvfs(self._pf.bdf, seen.number)) if seen.number is not None else None
        self.query_one("#planned", Static).update(Text(_planned(plan, seen) if plan else ""))
        self.allow(seen.number is not None)

    def action_accept(self) -> None:
        """Answer with the number, if it is one."""
        if self._count is not None:
            self.answer(SetNumvfs(self._pf.bdf, self._count))
