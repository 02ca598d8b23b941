"""What takes a change back: shown by doing both on the simulated kernel, and judged by values."""

from __future__ import annotations

import pytest

from tests.unit.test_local_host import FREE_VF, IDLE, KERNEL_PF
from tests.values import PF, VF, make_fleet, make_pf, make_plain, snapshot
from vfdeck.backend.changes import (
    BindDriver,
    Change,
    Close,
    Open,
    Outcome,
    SetAutoprobe,
    SetNumvfs,
    SetToken,
    UnbindDriver,
    VerifyToken,
    target_of,
)
from vfdeck.backend.kernel import Stage
from vfdeck.backend.model import Snapshot
from vfdeck.backend.sim.scenario import load
from vfdeck.backend.token import Token
from vfdeck.backend.undo import Undo, is_needed, undoing

TOKEN, OLD = Token.generate(), Token.generate()
DRIVERLESS = "0000:03:0a.1"  # a VF of KERNEL_PF


def state(view: Snapshot, bdf: str) -> tuple[object, ...]:
    """What an undo gives back of a function."""
    f = view.functions[bdf]
    return f.driver, f.driver_override, f.sriov.numvfs if f.sriov else None, f.sriov.autoprobe if f.sriov else None


@pytest.mark.parametrize(
    "change",
    [
        SetNumvfs(IDLE, 0),
        SetNumvfs(IDLE, 3),
        SetNumvfs("0000:5e:00.0", 2),  # had none
        BindDriver("0000:81:00.0", "vfio-pci"),  # had its own driver, and no override
        BindDriver(DRIVERLESS, "vfio-pci"),  # had neither
        UnbindDriver("0000:81:00.0"),
        UnbindDriver(FREE_VF),
        SetAutoprobe(KERNEL_PF, False),
    ],
    ids=repr,
)
def test_all_is_as_before_once_it_is_taken_back(change: Change) -> None:
    host = load("default", 1)
    before, bdf = host.snapshot(), target_of(change)
    assert host.perform(change).ok
    assert state(host.snapshot(), bdf) != state(before, bdf)
    undo = undoing(change, before)
    assert undo is not None
    assert undo.change is not None
    outcome = host.perform(undo.change)
    assert outcome.ok, outcome
    assert state(host.snapshot(), bdf) == state(before, bdf)
    host.close()


def test_a_token_goes_back_to_the_one_before_where_that_is_known() -> None:
    view = snapshot(*make_fleet(2))
    assert undoing(SetToken(PF, TOKEN), view, OLD) == Undo(SetToken(PF, OLD))
    unknown = undoing(SetToken(PF, TOKEN), view)
    assert unknown is not None
    assert unknown.change is None
    assert "not known here" in unknown.why_not


def test_what_is_held_is_closed_and_the_rest_leaves_nothing() -> None:
    view = snapshot(*make_fleet(2))
    assert undoing(Open(VF, hold=True), view) == Undo(Close(VF))
    for change in (Open(VF), Close(VF), VerifyToken(VF, TOKEN), SetNumvfs("0000:99:00.0", 1), UnbindDriver(PF)):
        bare = snapshot(make_pf(driver=None)) if change == UnbindDriver(PF) else view
        assert undoing(change, bare) is None


def test_what_does_not_come_back_is_said() -> None:
    fleet = snapshot(*make_fleet(2, vf={"driver_override": "vfio-pci"}))
    said = {type(c): " ".join(u.lost) if (u := undoing(c, fleet)) else "" for c in (SetNumvfs(PF, 0), UnbindDriver(PF))}
    assert "2 of the VFs had a driver_override" in said[SetNumvfs]
    assert "the token of" in said[UnbindDriver]
    assert "its 2 VFs do not come back" in said[UnbindDriver]
    plain = make_plain(driver="igb", driver_override="other")
    strange = undoing(BindDriver(plain.bdf, "vfio-pci"), snapshot(plain))
    assert strange is not None
    assert "the driver_override was other" in strange.lost[0]


@pytest.mark.parametrize(
    ("outcome", "needed"),
    [
        (Outcome(SetNumvfs(PF, 1)), True),
        (Outcome(SetNumvfs(PF, 1), 16, Stage.FILE), False),
        (Outcome(BindDriver(PF, "igb"), 19, Stage.FILE, done=("take it from vfio-pci",)), True),
        (Outcome(SetNumvfs(PF, 1), attempted=False), False),
    ],
)
def test_also_what_was_refused_half_way_can_be_taken_back(outcome: Outcome, needed: bool) -> None:
    assert is_needed(outcome) is needed
