"""A container that was not given a node: what is foretold is what comes, and no advice goes against what is seen."""

from __future__ import annotations

import dataclasses
import errno

import pytest

from vfdeck.backend.changes import Open, OpenPath, VerifyToken
from vfdeck.backend.kernel import Stage
from vfdeck.backend.local_host import LocalHost
from vfdeck.backend.sim import scenario
from vfdeck.backend.sim.kernel import SimulatedKernel
from vfdeck.backend.sim.surroundings import ROOT, Container
from vfdeck.backend.token import Token
from vfdeck.backend.wording import group_node

VF = "0000:03:02.2"


def contained(*hidden: str) -> LocalHost:
    machine = scenario.load().scenario.machine
    credentials = dataclasses.replace(ROOT, container=Container(hidden=frozenset(hidden)))
    return LocalHost(SimulatedKernel(machine, credentials=credentials))


@pytest.mark.parametrize(
    "change",
    [VerifyToken(VF, Token.generate(), OpenPath.GROUP), Open(VF, Token.generate()), Open(VF)],
    ids=["verify", "open", "bare"],
)
def test_no_node_of_the_group(change: VerifyToken | Open) -> None:
    whole = scenario.load()
    node = group_node(whole.snapshot().functions[VF])
    assert node
    host = contained(node)
    plan = host.plan(change, host.snapshot())
    assert plan.predicted is not None
    assert (plan.predicted.errno, plan.predicted.stage) == (errno.ENOENT, Stage.OPEN_GROUP)
    outcome = host.perform(change, plan)
    assert (outcome.errno_name, outcome.stage, outcome.surprise) == ("ENOENT", Stage.OPEN_GROUP, "")
    why = outcome.explanation
    assert why is not None
    assert (why.entry, why.evidence_against) == ("C1", (f"{VF} is on vfio-pci.",))
    assert why.actions == ()
    assert why.do[0] == f"Where {VF} is on no vfio driver: bind it to vfio-pci."


def test_where_it_is_the_driver_the_way_out_is_offered() -> None:
    host = scenario.load()
    free = "0000:81:00.0"
    outcome = host.perform(Open(free))
    assert outcome.explanation is not None
    assert (outcome.explanation.entry, outcome.explanation.actions) == ("C1", ("bind",))
    assert outcome.explanation.evidence_against == ()
