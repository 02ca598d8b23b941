"""The host layer over the demo: what is planned is done, what is refused is explained, and what is known of tokens is never more
than what happened allows."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import cast

import pytest

from vfdeck.backend.changes import (
    BindDriver,
    Change,
    Close,
    Open,
    OpenPath,
    Outcome,
    SetAutoprobe,
    SetNumvfs,
    SetToken,
    UnbindDriver,
)
from vfdeck.backend.kernel import Refusal, Stage
from vfdeck.backend.model import Certainty, TokenState
from vfdeck.backend.sim.kernel import SimulatedKernel
from vfdeck.backend.sim.scenario import SimulatedHost, UnknownScenario, load
from vfdeck.backend.token import Token
from vfdeck.backend.token_rules import format_argument

GUARDED, FREE_VF, HELD_VF = "0000:03:00.0", "0000:03:02.5", "0000:03:02.0"
IDLE, IDLE_VF = "0000:af:00.0", "0000:af:00.1"
KERNEL_PF, PLAIN_VF = "0000:03:00.1", "0000:03:0a.0"
GPU = "0000:c1:00.0"
TOKEN = Token(bytes(range(16)))


@pytest.fixture
def host() -> SimulatedHost:
    return load("default", 1)


def state(host: SimulatedHost, pf: str) -> TokenState:
    return host.snapshot().tokens[pf].state


def entry(outcome: Outcome) -> str:
    return outcome.explanation.entry if outcome.explanation else ""


def test_unknown_scenarios_are_named() -> None:
    with pytest.raises(UnknownScenario, match=r"card, datacentre, default, fleet, none"):
        load("nosuch")


def test_same_seed_same_second_same_picture() -> None:
    one, two = load("default", 5), load("default", 5)
    one.advance(100)
    for _ in range(10):
        two.advance(10)
    assert one.snapshot() == two.snapshot()


def test_programs_come_and_go(host: SimulatedHost) -> None:
    assert host.snapshot().users_of(GUARDED).value == 2
    host.advance(60)
    assert host.snapshot().users_of(GUARDED).value == 3
    assert "qemu-system-x86" in [holder.program for holder in host.snapshot().holders_of("0000:03:02.2")]


def test_refusals_name_their_rule(host: SimulatedHost) -> None:
    expected: list[tuple[Change, str, Stage, str]] = [
        (Open(FREE_VF), "EACCES", Stage.GET_DEVICE_FD, "D1"),
        (Open(FREE_VF, TOKEN), "EACCES", Stage.GET_DEVICE_FD, "D2"),
        (Open(PLAIN_VF.replace(".0", ".1"), TOKEN), "ENOENT", Stage.OPEN_GROUP, "C1"),
        (Open(GPU), "EBUSY", Stage.OPEN_GROUP, "C6"),
    ]
    for change, name, stage, wanted in expected:
        outcome = host.perform(change)
        assert (outcome.errno_name, outcome.stage, entry(outcome)) == (name, stage, wanted), change
        assert outcome.explanation is not None
        assert outcome.explanation.do


def test_a_token_where_none_applies(host: SimulatedHost) -> None:
    host.perform(BindDriver("0000:03:0a.1", "vfio-pci"))
    outcome = host.perform(Open("0000:03:0a.1", TOKEN))
    assert (outcome.errno_name, entry(outcome)) == ("EINVAL", "D8")
    host.scenario.actors[5120].kernel.exit()
    outcome = host.perform(Open(GPU, TOKEN))
    assert (outcome.errno_name, entry(outcome)) == ("EINVAL", "D9")


def test_setting_a_token_makes_vfs_reachable(host: SimulatedHost) -> None:
    assert state(host, IDLE) is TokenState.UNKNOWN
    assert host.perform(Open(IDLE_VF, TOKEN)).errno_name == "EACCES"
    assert host.perform(SetToken(IDLE, TOKEN)).ok
    known = host.snapshot().tokens[IDLE]
    assert (known.state, known.fingerprint) == (TokenState.SET, TOKEN.fingerprint)
    assert host.perform(Open(IDLE_VF, TOKEN, hold=True)).ok
    [holder] = host.snapshot().holders_of(IDLE_VF)
    assert (holder.program, holder.own, holder.certainty) == ("vfdeck", True, Certainty.EXACT)
    assert host.snapshot().users_of(IDLE).value == 1
    assert host.perform(Close(IDLE_VF)).ok
    assert host.snapshot().users_of(IDLE).value == 0


def test_opening_an_idle_pf_with_a_token_sets_it_and_with_vfs_in_use_does_not(host: SimulatedHost) -> None:
    assert host.perform(Open(IDLE, TOKEN)).ok
    assert state(host, IDLE) is TokenState.SET
    assert host.perform(Open(GUARDED, TOKEN)).errno_name in {"EBUSY", "EACCES"}
    assert state(host, GUARDED) is TokenState.UNKNOWN


def test_rotating_through_our_own_open_pf_while_a_vf_is_in_use(host: SimulatedHost) -> None:
    other = Token(bytes(16))
    assert host.perform(Open(IDLE, TOKEN, hold=True)).ok
    assert host.perform(Open(IDLE_VF, TOKEN, hold=True)).ok
    assert host.perform(SetToken(IDLE, other)).ok
    assert host.snapshot().tokens[IDLE].fingerprint == other.fingerprint
    assert host.perform(Open("0000:af:00.2", TOKEN)).errno_name == "EACCES"
    assert host.perform(Open("0000:af:00.2", other)).ok


def test_a_token_somebody_else_replaced_is_no_longer_claimed(host: SimulatedHost) -> None:
    host.perform(SetToken(IDLE, TOKEN))
    record = host.scenario.machine.functions[IDLE].vfio
    assert record is not None
    assert record.token is not None
    record.token.uuid = bytes(16)
    outcome = host.perform(Open(IDLE_VF, TOKEN))
    assert outcome.errno_name == "EACCES"
    assert state(host, IDLE) is TokenState.UNKNOWN


def test_knowledge_ends_with_the_binding(host: SimulatedHost) -> None:
    host.perform(SetToken(IDLE, TOKEN))
    assert host.perform(UnbindDriver(IDLE)).ok
    assert state(host, IDLE) is TokenState.NONE
    assert host.perform(BindDriver(IDLE, "vfio-pci")).ok
    assert state(host, IDLE) is TokenState.UNSET
    assert host.perform(SetNumvfs(IDLE, 2)).ok
    assert entry(host.perform(Open(IDLE_VF))) == "D1"
    assert entry(host.perform(Open(IDLE_VF, TOKEN))) == "D4"


def test_what_the_plan_finds_impossible_is_not_tried(host: SimulatedHost) -> None:
    outcome = host.perform(SetNumvfs(IDLE, 17))
    assert not outcome.ok
    assert not outcome.attempted
    assert outcome.explanation is not None
    assert "ERANGE" in outcome.explanation.rule


def test_the_cdev_hole_is_told_of_on_success(host: SimulatedHost) -> None:
    outcome = host.perform(Open(FREE_VF, path=OpenPath.CDEV))
    assert outcome.ok
    assert entry(outcome) == "D17"


def test_autoprobe(host: SimulatedHost) -> None:
    assert host.perform(SetAutoprobe(KERNEL_PF, False)).ok
    sriov = host.snapshot().functions[KERNEL_PF].sriov
    assert sriov is not None
    assert sriov.autoprobe is False


def in_thread(call: Callable[[], Outcome]) -> tuple[threading.Thread, list[Outcome]]:
    found: list[Outcome] = []
    thread = threading.Thread(target=lambda: found.append(call()), daemon=True)
    thread.start()
    return thread, found


def wait_for(condition: Callable[[], bool]) -> None:
    """Until it holds; the simulated kernel says when something has changed."""
    deadline = threading.Event()
    for _ in range(2000):
        if condition():
            return
        deadline.wait(0.01)
    raise AssertionError("it did not come to pass")


def test_a_change_that_waits_is_a_job_that_names_whom_it_waits_for() -> None:
    host = load("default", 1, realtime=True)
    thread, found = in_thread(lambda: host.perform(SetNumvfs(GUARDED, 0)))
    wait_for(lambda: any("qemu-system-x86 (4242)" in job.waits_for for job in host.snapshot().jobs))
    [job] = host.snapshot().jobs
    assert job.target == GUARDED
    assert host.snapshot().functions[GUARDED].sriov is not None
    for pid, bdf in ((4242, HELD_VF), (4391, "0000:03:02.1")):
        actor = host.scenario.actors[pid]
        actor.program.close(actor.devices.pop(bdf))
    thread.join(20)
    assert found[0].ok
    assert host.snapshot().jobs == ()


def test_closing_never_waits_for_the_kernel() -> None:
    host = load("default", 1, realtime=True)
    thread, found = in_thread(lambda: host.perform(SetNumvfs(GUARDED, 0)))
    wait_for(lambda: bool(host.snapshot().jobs))
    host.close()
    thread.join(20)
    assert found[0].blocked
    assert entry(found[0]) in {"G1", "A21"}


def test_a_token_is_nowhere_in_what_is_shown(host: SimulatedHost) -> None:
    secret = Token.generate()
    outcomes = [
        host.perform(change) for change in (SetToken(IDLE, secret), Open(IDLE_VF, secret, hold=True), Open(FREE_VF, secret))
    ]
    shown = repr((outcomes, host.snapshot(), host.log(), host.plan(SetToken(IDLE, secret), host.snapshot())))
    assert secret.reveal_text() not in shown
    assert secret.reveal().hex() not in shown
    assert repr(secret.reveal()) not in shown


def test_a_pf_that_somebody_else_holds_is_not_said_to_be_unset(host: SimulatedHost) -> None:
    host.perform(UnbindDriver(IDLE))
    host.perform(BindDriver(IDLE, "vfio-pci"))
    assert state(host, IDLE) is TokenState.UNSET
    actor = host.scenario.actors[5120]
    device = actor.program.open_by_group(IDLE, format_argument(IDLE, TOKEN.reveal_text()))
    assert state(host, IDLE) is TokenState.UNKNOWN
    actor.program.close(device)
    assert state(host, IDLE) is TokenState.UNKNOWN


def test_setting_that_fails_after_the_judgement_leaves_no_false_knowledge(host: SimulatedHost) -> None:
    assert host.perform(SetToken(IDLE, TOKEN)).ok
    host.scenario.machine.functions[IDLE].locked = True  # somebody else's change is under way: the open's reset gets EAGAIN
    outcome = host.perform(SetToken(IDLE, Token(bytes(16))))
    assert outcome.errno_name == "EAGAIN"
    assert state(host, IDLE) is TokenState.UNKNOWN


def test_a_cdev_open_on_a_kernel_that_judges_nothing_there_leaves_what_is_known(host: SimulatedHost) -> None:
    assert host.perform(SetToken(IDLE, TOKEN)).ok
    assert host.perform(Open(IDLE, TOKEN, path=OpenPath.CDEV)).errno_name == "EINVAL"
    assert state(host, IDLE) is TokenState.SET


def test_an_older_look_does_not_undo_what_was_done_since(host: SimulatedHost) -> None:
    host.perform(UnbindDriver(IDLE))
    watch = host._watch
    moment, old = watch.mark(), list(host.snapshot().functions.values())
    host.perform(BindDriver(IDLE, "vfio-pci"))
    host.perform(SetToken(IDLE, TOKEN))
    assert watch.update(old, set(), 0.0, moment)[IDLE].state is TokenState.SET


def test_quitting_does_not_wait_for_an_open(host: SimulatedHost) -> None:
    assert host.perform(Open(IDLE, TOKEN, hold=True)).ok
    entered, leave = threading.Event(), threading.Event()
    kernel = cast(SimulatedKernel, host.kernel)
    get_device_fd = kernel.get_device_fd

    def slow(group: int, argument: bytes) -> int:
        entered.set()
        leave.wait(20)
        return get_device_fd(group, argument)

    kernel.get_device_fd = slow  # type: ignore[method-assign]
    thread, found = in_thread(lambda: host.perform(Open(IDLE_VF, TOKEN, hold=True)))
    assert entered.wait(20)
    host.close()
    assert thread.is_alive()
    leave.set()
    thread.join(20)
    assert found[0].ok
    assert not [file for file in host.kernel.open_files().files if file.own]


def test_foreign_names_in_a_refusal_are_printable() -> None:
    assert Refusal(2, Stage.OPEN_GROUP, "/dev/vfio/\x1b]0;x\x07").target.isprintable()
