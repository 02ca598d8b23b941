"""Which way a token can be set now, why not the others, whom it touches, and which VFs can be asked about a token."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.values import PF, make_fleet, make_holder, make_pf, make_plain, make_vf, own_holder, snapshot, vf_address
from vfdeck.backend import rotation
from vfdeck.backend.acts import FeatureAct, OpenAct, VerifyAct, steps
from vfdeck.backend.changes import OpenPath, SetToken, TokenWay, VerifyToken
from vfdeck.backend.model import Certainty, Function, Holder, Snapshot
from vfdeck.backend.plan import plan
from vfdeck.backend.predict import predict
from vfdeck.backend.token import Token

TOKEN = Token(bytes(range(16)))
VF, OTHER_VF = vf_address(PF, 0), vf_address(PF, 1)
OTHER_PF, OTHER_PORT = "0000:05:00.0", "0000:03:00.1"
INFERRED = Certainty.INFERRED


def view(*holders: Holder, **host: object) -> Snapshot:
    """A PF with two VFs, and these holders."""
    others = (make_pf(OTHER_PORT, iommu_group=12), make_pf(OTHER_PF, iommu_group=11), make_plain())
    return snapshot(*make_fleet(2), *others, holders=holders, host=host)


WAYS: list[tuple[Snapshot, TokenWay]] = [
    (view(), TokenWay.OPEN),
    (view(own_holder(PF)), TokenWay.FEATURE),
    (view(own_holder(PF), make_holder(VF)), TokenWay.FEATURE),
    (view(make_holder(PF)), TokenWay.BORROWED),
    (view(make_holder(PF, kind="cdev")), TokenWay.BORROWED),
    (view(make_holder(PF, certainty=INFERRED), make_holder(VF)), TokenWay.BORROWED),
    (view(make_holder(PF, certainty=INFERRED), make_holder(OTHER_PF, certainty=INFERRED)), TokenWay.BORROWED),
    (view(make_holder(PF, certainty=INFERRED), make_holder(OTHER_PORT)), TokenWay.BORROWED),
]


@pytest.mark.parametrize(("seen", "way"), WAYS)
def test_the_least_invasive_way_that_is_possible(seen: Snapshot, way: TokenWay) -> None:
    change = SetToken(PF, TOKEN)
    assert rotation.way(change, seen) is way
    assert plan(change, seen).impossible == ""
    first = steps(change, seen)[0]
    assert isinstance(first, OpenAct if way is TokenWay.OPEN else FeatureAct)
    assert (isinstance(first, FeatureAct) and [pid for pid, _ in first.lenders] == [4242]) is (way is TokenWay.BORROWED)


NO_WAY: list[tuple[SetToken, Snapshot, list[str]]] = [
    (SetToken(PF, TOKEN), view(make_holder(VF)), ["VFs are in use (qemu-system-x86 (4242)", "no other program is seen to have"]),
    (SetToken(PF, TOKEN), view(make_holder(PF, kind="group")), ["the group of", "is taken by qemu-system-x86 (4242)"]),
    (SetToken(PF, TOKEN, TokenWay.FEATURE), view(), ["vfdeck does not hold"]),
    (SetToken(PF, TOKEN, TokenWay.BORROWED), view(), ["no other program is seen to have"]),
    (SetToken(PF, TOKEN, TokenWay.OPEN), view(make_holder(PF)), ["is taken by"]),
    (SetToken(PF, TOKEN, TokenWay.BORROWED), view(own_holder(PF)), ["no other program"]),
    (
        SetToken(PF, TOKEN),
        view(make_holder(PF, certainty=INFERRED), make_holder(OTHER_PORT, certainty=INFERRED)),
        ["cannot tell which of the descriptors of qemu-system-x86 (4242) is", OTHER_PORT, "is taken by"],
    ),
]


@pytest.mark.parametrize(("change", "seen", "texts"), NO_WAY)
def test_what_is_against_every_way_is_said(change: SetToken, seen: Snapshot, texts: list[str]) -> None:
    result = plan(change, seen)
    for text in texts:
        assert text in result.impossible
    assert result.steps == ()


def test_processes_that_were_not_seen_are_told() -> None:
    seen = snapshot(*make_fleet(2), holders=(make_holder(VF),), unseen=3)
    assert (
        "no other program is seen to have 0000:03:00.0 open (3 processes could not be looked at)"
        in plan(SetToken(PF, TOKEN), seen).impossible
    )


def test_a_descriptor_that_the_kernel_tells_beats_a_guess() -> None:
    both = view(make_holder(PF, 7, certainty=INFERRED), make_holder(OTHER_PORT, 9), make_holder(PF, 9))
    assert [holder.pid for holder in rotation.lenders(both, PF)] == [9, 7]
    guess = view(make_holder(PF, 7, certainty=INFERRED), make_holder(VF, 7, certainty=INFERRED))
    assert [holder.pid for holder in rotation.lenders(guess, PF)] == [7]  # a VF's descriptor answers the probe otherwise
    several = view(make_holder(PF, 7, certainty=INFERRED), make_holder(PF, 9), make_holder(PF, 8))
    assert [holder.pid for holder in rotation.lenders(several, PF)] == [8, 9, 7]


def test_a_plan_names_who_goes_on_and_who_must_be_told() -> None:
    vm = make_holder(VF, 5, vm="web1")
    result = plan(SetToken(PF, TOKEN), view(make_holder(PF, 7, "dpdk-testpmd", certainty=INFERRED), vm))
    said = "\n".join(result.warnings)
    assert "VFs in use: 1. They go on; opened again, they need the new token" in said
    assert f"these machines need the new token (`vfdeck recipe {VF}` tells how to give it): web1 (qemu-system-x86 5)" in said
    assert "started again, these need the new token: dpdk-testpmd (7)" in said
    assert "dpdk-testpmd (7) has 0000:03:00.0 open: the call is made on a duplicate of its fd; it goes on" in said
    assert "this kernel does not name an fd's function" in said
    assert result.steps[0].text.endswith("through a duplicate of the fd that dpdk-testpmd (7) has of 0000:03:00.0")
    assert "pidfd_getfd" in result.steps[0].shell


def test_what_cannot_be_asked_afterwards_is_said() -> None:
    free = plan(SetToken(PF, TOKEN), view(make_holder(PF), make_holder(VF)))
    assert [step.text for step in free.steps][1] == (
        f"ask of {OTHER_VF}, through its group, whether token #{TOKEN.fingerprint} is the right one"
    )
    taken = plan(SetToken(PF, TOKEN), view(make_holder(PF), make_holder(VF), make_holder(OTHER_VF)))
    assert len(taken.steps) == 1
    assert "whether it is in force afterwards cannot be asked: no VF is free to be asked" in taken.warnings


def test_the_answer_to_a_duplicate_is_never_foretold_as_certain() -> None:
    told = predict(SetToken(PF, TOKEN), view(make_holder(PF)))
    assert told is not None
    assert (told.answer, told.certainty) == ("OK", INFERRED)


NOT_ASKED: list[tuple[Function, OpenPath, Snapshot, str]] = [
    (make_pf(), OpenPath.GROUP, view(), "would set its token"),
    (make_pf(), OpenPath.CDEV, view(), "would set its token"),
    (make_plain(), OpenPath.GROUP, view(), "no token applies"),
    (make_vf(), OpenPath.GROUP, view(kernel="5.4.0"), "no VF tokens"),
    (make_vf(), OpenPath.GROUP, view(kernel="5.15.0"), "looks at the container before the token"),
    (make_vf(driver=None), OpenPath.GROUP, snapshot(*make_fleet(2, vf={"driver": None})), "on no driver: only a VF on vfio-pci"),
    (make_vf(), OpenPath.GROUP, snapshot(*make_fleet(2, driver="igb")), "opens without a token"),
    (make_vf(iommu_group=None), OpenPath.GROUP, snapshot(*make_fleet(2, vf={"iommu_group": None})), "no IOMMU group to ask"),
    (
        make_vf(),
        OpenPath.GROUP,
        view(make_holder(VF)),
        "the group of 0000:03:10.0 is taken by qemu-system-x86 (4242)",
    ),
    (make_vf(), OpenPath.GROUP, view(own_holder(VF)), "vfdeck itself"),
    (make_vf(), OpenPath.CDEV, view(), "no node of its own"),
    (make_vf(cdev="vfio1"), OpenPath.CDEV, view(kernel="6.12.0"), "takes no token on this path"),
    (make_vf(cdev="vfio1"), OpenPath.CDEV, view(make_holder(VF), kernel="7.3.0"), "is open in qemu-system-x86 (4242)"),
]


@pytest.mark.parametrize(("function", "path", "seen", "reason"), NOT_ASKED)
def test_why_a_function_cannot_be_asked(function: Function, path: OpenPath, seen: Snapshot, reason: str) -> None:
    own = frozenset(h.bdf for h in seen.holders if h.own)
    reasons = "; ".join(rotation.cannot_ask(function, path, seen, own))
    assert reason in reasons


@pytest.mark.parametrize("path", OpenPath)
def test_a_vf_can_be_asked(path: OpenPath) -> None:
    seen = snapshot(*make_fleet(2, vf={"cdev": "vfio1"}), host={"kernel": "7.3.0", "cdev": True})
    change = VerifyToken(VF, TOKEN, path)
    result = plan(change, seen)
    assert result.impossible == ""
    assert not result.destructive
    assert "EBUSY" in result.warnings[0]
    node = "/dev/vfio/devices/vfio1" if path is OpenPath.CDEV else "/dev/vfio/20"
    assert steps(change, seen) == (VerifyAct(VF, TOKEN, path, node),)
    assert result.predicted is not None
    assert result.predicted.answer == "OK"


def test_a_cdev_that_is_in_use_by_its_node_can_be_asked() -> None:
    held = make_holder(VF, kind="cdev")
    seen = snapshot(*make_fleet(2, vf={"cdev": "vfio1"}), holders=(held,), host={"kernel": "7.3.0", "cdev": True})
    assert plan(VerifyToken(VF, TOKEN, OpenPath.CDEV), seen).impossible == ""
    assert "its own node can be asked" in plan(VerifyToken(VF, TOKEN), seen).impossible


def test_an_ordinary_user_is_told_what_to_expect() -> None:
    told = predict(VerifyToken(VF, TOKEN), view(privileged=False))
    assert told is not None
    assert told.answer == "EACCES at open_group"


HOLDERS = st.builds(
    make_holder,
    st.sampled_from([PF, VF, OTHER_VF, OTHER_PF, OTHER_PORT]),
    st.sampled_from([7, 9]),
    kind=st.sampled_from(["device", "cdev", "group", "mapping"]),
    own=st.booleans(),
    certainty=st.sampled_from([Certainty.EXACT, Certainty.INFERRED]),
)


@given(st.lists(HOLDERS, max_size=5), st.sampled_from([None, *TokenWay]), st.sampled_from(["5.10.0", "6.1.0", "6.12.0", "7.3.0"]))
def test_plan_and_steps_agree(holders: list[Holder], way: TokenWay | None, kernel: str) -> None:
    """A plan is possible exactly where nothing is against its way; it never asks a PF, nor a VF that is held; no token is shown."""
    seen, change = view(*holders, kernel=kernel), SetToken(PF, TOKEN, way)
    result = plan(change, seen)
    chosen = rotation.way(change, seen)
    assert way in (None, chosen)
    assert bool(result.impossible) == any(rotation.against(chosen, change, seen))
    assert TOKEN.reveal_text() not in repr(result)
    for act in steps(change, seen):
        if isinstance(act, VerifyAct):
            assert act.bdf in (VF, OTHER_VF)
            assert not seen.holders_of(act.bdf)
        for pid, _ in act.lenders if isinstance(act, FeatureAct) else ():
            assert any(h.bdf == PF and h.pid == pid and not h.own and not h.by_name for h in holders)
