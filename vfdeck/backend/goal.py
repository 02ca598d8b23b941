"""When a fault to practise on is mended: when what it refused works, or what the doctor found is gone, however it came about."""

from __future__ import annotations

from dataclasses import dataclass

from vfdeck.backend.changes import BindDriver, Change, Outcome, SetNumvfs, SetToken, target_of
from vfdeck.backend.checks import Report, Verdict
from vfdeck.backend.model import Snapshot


@dataclass(frozen=True, slots=True)
class Goal:
    """What a fault keeps from being so."""

    entry: str
    change: Change | None  # what is refused; None where nothing is
    by_others: bool  # it is another program's call that is refused
    look: str  # the BDF, or "host", about which the doctor finds the entry; "" where it does not


def is_tried(goal: Goal, change: Change, before: Snapshot) -> bool:
    """Whether a change is an attempt at what the fault refuses: the same to the same function, by whatever path or token."""
    wanted = goal.change
    if wanted is None or type(change) is not type(wanted):
        return False
    if isinstance(wanted, SetToken):  # asked for on a VF, it is its PF's token
        function = before.functions.get(wanted.pf)
        return target_of(change) in (wanted.pf, function.physfn if function is not None else None)
    if isinstance(wanted, BindDriver) and isinstance(change, BindDriver) and change.driver != wanted.driver:
        return False
    return target_of(change) == target_of(wanted)


def is_reached(goal: Goal, outcome: Outcome, before: Snapshot) -> bool:
    """Whether what the fault refuses works: it was tried, and done, and there is nothing to explain about it.

    Of a number of VFs a part will do that is more than there were `before` the fault was met: often no more can be had.
    """
    change, wanted = outcome.change, goal.change
    if not outcome.ok or outcome.explanation is not None or not is_tried(goal, change, before):
        return False
    if isinstance(change, SetNumvfs) and isinstance(wanted, SetNumvfs) and change.count != wanted.count:
        pf = before.functions.get(wanted.pf)
        first = pf.sriov.numvfs if pf is not None and pf.sriov is not None else 0
        return first < change.count < wanted.count
    return True


def is_found(goal: Goal, report: Report) -> bool:
    """Whether the doctor finds the fault's entry about its function."""
    checks = (c for c in report.checks if c.entry == goal.entry and c.verdict is Verdict.NO)
    return any(goal.look in ("host", c.subject) for c in checks)
