"""An attempt to open a function, rung by rung: where it would stop now and why, or where it did.

The rungs are those of `vfdeck.backend.vfio`, in the order in which they are climbed; the expected answer is the predictor's.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from vfdeck.backend.changes import Explanation, Open, OpenPath, Outcome, Prediction
from vfdeck.backend.explain import explain
from vfdeck.backend.facts import Facts, host_has, own_opens
from vfdeck.backend.kernel import Stage
from vfdeck.backend.model import Certainty, Function, Job, Snapshot
from vfdeck.backend.need import need
from vfdeck.backend.predict import predict
from vfdeck.backend.predict.seen import NOT_SEEN, Seen
from vfdeck.backend.token_rules import Rule
from vfdeck.backend.wording import group_node

#: The rungs of both ladders (`vfio.Program.open_by_group`, `open_by_cdev`).
STAGES: dict[OpenPath, tuple[Stage, ...]] = {
    OpenPath.GROUP: (
        Stage.IOMMU_GROUP,
        Stage.OPEN_GROUP,
        Stage.OPEN_CONTAINER,
        Stage.SET_CONTAINER,
        Stage.SET_IOMMU,
        Stage.GET_DEVICE_FD,
    ),
    OpenPath.CDEV: (Stage.CDEV_NODE, Stage.OPEN_CDEV, Stage.OPEN_IOMMU, Stage.BIND_IOMMUFD),
}
#: What each rung asks of the kernel.
_WORDS = {
    Stage.IOMMU_GROUP: "find its IOMMU group{group}",
    Stage.OPEN_GROUP: "open the group's node{node}",
    Stage.OPEN_CONTAINER: "open /dev/vfio/vfio for a container",
    Stage.SET_CONTAINER: "tie the group to the container",
    Stage.SET_IOMMU: "give the container its IOMMU",
    Stage.GET_DEVICE_FD: "get the device from the group{judged}",
    Stage.CDEV_NODE: "find its own node{cdev}",
    Stage.OPEN_CDEV: "open its own node",
    Stage.OPEN_IOMMU: "open /dev/iommu",
    Stage.BIND_IOMMUFD: "bind it to the iommufd{judged}",
}


class Standing(enum.Enum):
    """What is known of a rung."""

    DONE = "done"  # of an attempt: climbed
    REFUSED = "refused"
    NOT_REACHED = "not reached"
    PASSES = "nothing seen against it"  # as foretold
    STOPS = "would be refused"
    UNKNOWN = "cannot be known"  # as foretold: it passes, or is refused
    ASKED = "the kernel is being asked"


@dataclass(frozen=True, slots=True)
class Rung:
    """A rung and how it stands."""

    stage: str
    text: str
    standing: Standing


@dataclass(frozen=True, slots=True)
class Ladder:
    """A climb, foretold or done. `explanation` is that of the refusal, of the rung that stops it."""

    path: OpenPath
    rungs: tuple[Rung, ...]
    predicted: Prediction | None = None
    explanation: Explanation | None = None
    with_token: bool = False  # of one foretold without a token: with the token in force that rung would let it pass


def foretell(function: Function, snapshot: Snapshot, path: OpenPath, seen: Seen = NOT_SEEN) -> Ladder:
    """What an open without a token would go through now, judged by the snapshot and what was `seen` beside it."""
    change = Open(function.bdf, path=path)
    own = own_opens(snapshot)
    told = predict(change, snapshot, own, seen)
    standings = _foretold(path, told)
    why = None
    if told is not None and told.stage is not None:
        why = next(iter(explain(Facts(snapshot, change, told.stage, told.errno, own=own))), None)
    return Ladder(path, _rungs(function, snapshot, path, standings), told, why, _token_helps(function, snapshot, path, told))


def climbed(function: Function, snapshot: Snapshot, outcome: Outcome) -> Ladder | None:
    """What came of an attempt; None where nothing was attempted, or it was no open."""
    change = outcome.change
    if not isinstance(change, Open) or change.bdf != function.bdf or not outcome.attempted:
        return None
    stages = STAGES[change.path]
    if outcome.errno and outcome.stage not in stages:
        return None
    if not outcome.errno:
        standings = [Standing.DONE] * len(stages)
    else:
        standings = _split(stages, outcome.stage, Standing.DONE, Standing.REFUSED)
    return Ladder(change.path, _rungs(function, snapshot, change.path, standings), outcome.predicted, outcome.explanation)


def under_way(function: Function, snapshot: Snapshot, path: OpenPath, job: Job | None = None) -> Ladder:
    """An attempt of which no answer is there yet: as far as its job tells, if it has begun."""
    stages = STAGES[path]
    at = next((stage for stage in stages if job is not None and job.stage == stage), None)
    standings = [Standing.NOT_REACHED] * len(stages) if at is None else _split(stages, at, Standing.DONE, Standing.ASKED)
    return Ladder(path, _rungs(function, snapshot, path, standings))


def _foretold(path: OpenPath, told: Prediction | None) -> list[Standing]:
    stages = STAGES[path]
    if told is None or told.stage not in stages:
        return [Standing.PASSES] * len(stages)
    unknown = told.certainty is Certainty.UNKNOWN
    return _split(stages, told.stage, Standing.PASSES, Standing.UNKNOWN if unknown else Standing.STOPS)


def _split(stages: tuple[Stage, ...], at: Stage | None, before: Standing, there: Standing) -> list[Standing]:
    """Standings below a stage, at it, and above it."""
    number = stages.index(at) if at is not None else len(stages)
    return [before] * number + [there] + [Standing.NOT_REACHED] * (len(stages) - number - 1)


def _rungs(function: Function, snapshot: Snapshot, path: OpenPath, standings: list[Standing]) -> tuple[Rung, ...]:
    node = group_node(function)
    judges = host_has(snapshot.host, "vf_token" if path is OpenPath.GROUP else "cdev_token")
    values = {
        "judged": ", which judges a token" if judges else ", which knows no tokens on this kernel",
        "group": f" ({function.iommu_group})" if function.iommu_group is not None else "",
        "node": f" {node}" if node else "",
        "cdev": f" (/dev/vfio/devices/{function.cdev})" if function.cdev else "",
    }
    pairs = zip(STAGES[path], standings)
    return tuple(Rung(str(stage), _WORDS[stage].format(**values), standing) for stage, standing in pairs)


def _token_helps(function: Function, snapshot: Snapshot, path: OpenPath, told: Prediction | None) -> bool:
    """Whether the refusal is the judgement's, for want of a token."""
    judges = Stage.GET_DEVICE_FD if path is OpenPath.GROUP else Stage.BIND_IOMMUFD
    if told is None or told.stage is not judges or told.errno != Rule.VF_TOKEN_REQUIRED.errno:
        return False
    wanted = need(snapshot, function.bdf)
    return (wanted.by_group if path is OpenPath.GROUP else wanted.by_cdev) is True
