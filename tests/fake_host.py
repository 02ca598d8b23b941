"""A host without a kernel: snapshots are values, outcomes are scripted, everything asked of it is written down."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Collection
from typing import Any

from tests import values
from vfdeck.backend.changes import Change, Explanation, Open, Outcome, Plan, SetNumvfs, SetToken, Step, target_of
from vfdeck.backend.checks import Question, Report
from vfdeck.backend.details import Details, Part
from vfdeck.backend.kernel import LogLine, Stage, Uevent
from vfdeck.backend.model import Function, Job, Problem, Snapshot, TokenState

NIC = "0000:3b:00.0"
NVME = "0000:81:00.0"
PLAIN = "0000:5e:00.0"


def small_fleet(name: str = "fake") -> Snapshot:
    """A PF on vfio-pci with four VFs (one held), one on its own driver, and a plain function whose group is not whole."""
    nic = values.make_fleet(4, NIC, device="Ethernet Controller X710 for 10GbE SFP+", numa_node=0)
    nvme = values.make_pf(
        NVME, vendor="Samsung", device="NVMe SSD Controller PM1735", driver="nvme", iommu_group=77, numa_node=1, disks=("nvme0n1",)
    )
    plain = values.make_plain(PLAIN, device="Ethernet Controller I210", iommu_group=40)
    beside = values.make_plain("0000:5e:00.1", driver="igb", interfaces=("eno2",), iommu_group=40)
    return values.snapshot(
        *nic,
        nvme,
        plain,
        beside,
        host={"name": name},
        holders=(values.make_holder(values.vf_address(NIC, 1)),),
        tokens=[values.make_knowledge(NIC, TokenState.UNKNOWN)],
        problems=(Problem("/sys/bus/pci/devices/0000:81:00.0/sriov_stride", "not a number: 'x', expected a whole number"),),
    )


class FakeHost:
    """Answers `snapshot` with a value and `perform` with what `script` gives; `gate` makes performing wait, as a kernel can."""

    tells_all = False

    def __init__(self, view: Snapshot | None = None, *, simulated: bool = True) -> None:
        self.view = view if view is not None else small_fleet()
        self.name = self.view.host.name
        self.simulated = simulated
        self.planned: list[Change] = []
        self.performed: list[Change] = []
        self.confirmed: list[Plan | None] = []
        self.script: Callable[[Change], Outcome] = Outcome
        self.plans: dict[type, dict[str, Any]] = {}
        self.gate = threading.Event()
        self.gate.set()
        self.looks = 0
        self.closed = 0
        self.planner: Callable[[Change, Snapshot], Plan] | None = None
        self.asked: list[Question] = []
        self.checker: Callable[[Question, Snapshot], Report] | None = None
        self.known: dict[str, Details] = {}
        self.looked_up: list[tuple[str, frozenset[Part]]] = []
        self._changed = threading.Event()
        self.events: list[Uevent] = []
        self.lines: list[LogLine] | None = None

    def show(self, view: Snapshot) -> None:
        """Let the host look like this from now on, and wake who waits for changes."""
        self.view = view
        self._changed.set()

    def replace(self, function: Function) -> None:
        """Let one function look like this from now on."""
        self.show(dataclasses.replace(self.view, functions={**self.view.functions, function.bdf: function}))

    def snapshot(self) -> Snapshot:
        """The present value."""
        self.looks += 1
        return self.view

    def plan(self, change: Change, snapshot: Snapshot) -> Plan:
        """One step, and what `plans` adds for changes of this type; or what `planner` says."""
        self.planned.append(change)
        if self.planner is not None:
            return self.planner(change, snapshot)
        words: dict[str, Any] = {
            "title": f"{type(change).__name__} on {target_of(change)}",
            "steps": (Step(f"write to {target_of(change)}", f"echo x > /sys/bus/pci/devices/{target_of(change)}/x"),),
        }
        return Plan(change, **{**words, **self.plans.get(type(change), {})})

    def check(self, question: Question, snapshot: Snapshot) -> Report:
        """What `checker` says; without one no checks at all: whatever is asked is fine."""
        self.asked.append(question)
        return Report(str(question), ()) if self.checker is None else self.checker(question, snapshot)

    def details(self, bdf: str, parts: Collection[Part], snapshot: Snapshot) -> Details:
        """What `known` has of the function, whatever is asked for."""
        self.looked_up.append((bdf, frozenset(parts)))
        return self.known.get(bdf, Details(bdf))

    def perform(self, change: Change, confirmed: Plan | None = None) -> Outcome:
        """The scripted outcome, once the gate is open; a token that was set is known from then on."""
        self.performed.append(change)
        self.confirmed.append(confirmed)
        self.gate.wait()
        outcome = self.script(change)
        if outcome.ok and isinstance(change, SetToken):
            known = values.make_knowledge(change.pf, TokenState.SET, change.token.fingerprint)
            self.show(dataclasses.replace(self.view, tokens={**self.view.tokens, change.pf: known}))
        return outcome

    def wait_for_change(self, seconds: float) -> bool:
        """Wait for `show`."""
        changed = self._changed.wait(seconds)
        self._changed.clear()
        return changed

    def heard(self) -> tuple[Uevent, ...]:
        """What a test put there."""
        taken, self.events = tuple(self.events), []
        return taken

    def jobs(self) -> tuple[Job, ...]:
        """None."""
        return ()

    def log(self) -> list[LogLine] | None:
        """What a test put there; by default it may not be read."""
        return self.lines

    def close(self) -> None:
        """Count it and let go of what waits."""
        self.closed += 1
        self.gate.set()
        self._changed.set()


def refused(change: Change) -> Outcome:
    """The kernel wants a token."""
    bdf = target_of(change)
    why = Explanation(
        entry="D1",
        title="The VF's token is required",
        rule="the PF is on vfio-pci: its VFs open only with its token",
        why=f"{bdf} is a VF of {NIC}, which is on vfio-pci; no token was given",
        check=(f"readlink /sys/bus/pci/devices/{bdf}/physfn/driver", "dmesg | grep 'VF token'"),
        do=(f"open {bdf} with the token of {NIC}", f"or set a token of {NIC} first: t"),
        mistaken_for="missing rights on /dev/vfio/21, which give EACCES one stage earlier",
        log=f"vfio-pci {bdf}: VF token required to access device",
    )
    other = Explanation("B3", "The group node's mode", "open(2) needs read and write rights", "")
    return Outcome(change, 13, Stage.GET_DEVICE_FD, bdf, ("opened /dev/vfio/21", "opened /dev/vfio/vfio"), why, (other,))


def done(change: Change) -> Outcome:
    """It was done."""
    words = {Open: "opened and closed", SetToken: "set the token of", SetNumvfs: "set the VFs of"}
    return Outcome(change, target=target_of(change), done=(f"{words.get(type(change), 'changed')} {target_of(change)}",))
