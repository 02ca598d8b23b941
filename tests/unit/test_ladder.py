"""The ladder of an open: where it would stop, and where it did."""

from __future__ import annotations

import dataclasses
import errno
from typing import Any

import pytest

from tests import values
from vfdeck.backend import ladder
from vfdeck.backend.changes import Close, Open, OpenPath, Outcome
from vfdeck.backend.evidence import Unread
from vfdeck.backend.kernel import Stage
from vfdeck.backend.ladder import Ladder, Standing, climbed, foretell, under_way
from vfdeck.backend.model import Job, JobState, Snapshot, TokenState
from vfdeck.backend.predict.seen import NOT_SEEN
from vfdeck.backend.sim.scenario import load

VF, PF = values.VF, values.PF
GROUP, CDEV = OpenPath.GROUP, OpenPath.CDEV
GUARDED = values.snapshot(*values.make_fleet(1), tokens=[values.make_knowledge(state=TokenState.SET, fingerprint="1a2b3c4d")])


def standings(found: Ladder) -> list[str]:
    return [rung.standing.name for rung in found.rungs]


def told(view: Snapshot, bdf: str = VF, path: OpenPath = GROUP) -> Ladder:
    return foretell(view.functions[bdf], view, path)


def test_a_guarded_vf_stops_for_want_of_a_token() -> None:
    found = told(GUARDED)
    assert standings(found) == ["PASSES"] * 5 + ["STOPS"]
    assert found.with_token
    assert found.explanation is not None
    assert found.explanation.entry == "D1"


def test_an_unguarded_vf_passes() -> None:
    found = told(values.snapshot(*values.make_fleet(1, driver="igb")))
    assert standings(found) == ["PASSES"] * 6
    assert found.explanation is None
    assert not found.with_token


def test_a_group_that_somebody_has_stops_at_its_node() -> None:
    found = told(dataclasses.replace(GUARDED, holders=(values.make_holder(VF),)))
    assert standings(found) == ["PASSES", "STOPS", *["NOT_REACHED"] * 4]
    assert not found.with_token


def test_a_missing_node_beside_it() -> None:
    seen = dataclasses.replace(NOT_SEEN, beside=Unread("/dev/vfio/vfio: ENOENT"))
    found = foretell(GUARDED.functions[VF], GUARDED, GROUP, seen)
    assert standings(found) == ["PASSES", "PASSES", "STOPS", *["NOT_REACHED"] * 3]


def test_no_cdev() -> None:
    assert standings(told(GUARDED, path=CDEV))[-1] == "NOT_REACHED"


def test_who_cannot_be_told_is_not_told() -> None:
    found = told(dataclasses.replace(values.snapshot(*values.make_fleet(1)), unseen=3), PF)
    assert standings(found) == ["PASSES"] * 5 + ["UNKNOWN"]


@pytest.mark.parametrize(("stage", "number"), [(stage, n) for n, stage in enumerate(ladder.STAGES[GROUP])])
def test_an_attempt_that_was_refused(stage: Stage, number: int) -> None:
    found = climbed(GUARDED.functions[VF], GUARDED, Outcome(Open(VF), errno.EACCES, stage, VF))
    assert found is not None
    assert standings(found) == ["DONE"] * number + ["REFUSED"] + ["NOT_REACHED"] * (5 - number)


def test_an_attempt_that_came_through() -> None:
    found = climbed(GUARDED.functions[VF], GUARDED, Outcome(Open(VF, path=CDEV)))
    assert found is not None
    assert set(standings(found)) == {"DONE"}


def test_what_was_no_attempt_to_open_it_has_no_ladder() -> None:
    function = GUARDED.functions[VF]
    for outcome in (
        Outcome(Close(VF)),
        Outcome(Open(PF)),
        Outcome(Open(VF), attempted=False),
        Outcome(Open(VF), errno.EBUSY, Stage.FEATURE),
    ):
        assert climbed(function, GUARDED, outcome) is None


def test_one_that_is_under_way() -> None:
    assert set(standings(under_way(GUARDED.functions[VF], GUARDED, GROUP))) == {"NOT_REACHED"}
    job = Job(1, "open", VF, JobState.RUNNING, "", values.NOON, stage=Stage.OPEN_CDEV)
    assert standings(under_way(GUARDED.functions[VF], GUARDED, CDEV, job)) == ["DONE", "ASKED", "NOT_REACHED", "NOT_REACHED"]


def test_the_rungs_are_told_while_they_are_climbed() -> None:
    """The jobs of the host, at each call that the open makes of the kernel."""
    host = load("default")
    bdf = next(f.bdf for f in host.snapshot().functions.values() if f.on_vfio and not host.snapshot().holders_of(f.bdf))
    told: list[str] = []
    kernel = host.kernel

    class Watched:
        def __getattr__(self, name: str) -> Any:
            if name in ("link", "open", "set_container", "set_iommu", "get_device_fd"):
                told.extend(job.stage for job in host.jobs() if job.stage not in told)
            return getattr(kernel, name)

    host.kernel = Watched()
    host.perform(Open(bdf))
    host.close()
    assert [stage for stage in told if stage] == [str(stage) for stage in ladder.STAGES[GROUP]]


@pytest.mark.parametrize("path", list(OpenPath))
def test_what_is_foretold_is_what_the_simulated_kernel_does(path: OpenPath) -> None:
    """Every function of a host, opened without a token: the rung that stops it is the one that was foretold."""
    host = load("default")
    for bdf in list(host.snapshot().functions):
        view = host.snapshot()
        before = foretell(view.functions[bdf], view, path)
        outcome = host.perform(Open(bdf, path=path))
        after = climbed(view.functions[bdf], view, outcome)
        if after is None:
            assert not outcome.attempted
            continue
        stops = [rung.stage for rung in before.rungs if rung.standing in (Standing.STOPS, Standing.UNKNOWN)]
        refused = [rung.stage for rung in after.rungs if rung.standing is Standing.REFUSED]
        assert stops == refused or (not refused and before.rungs[-1].standing is Standing.UNKNOWN), bdf
    host.close()
