"""What an open is expected to answer, and when that is certain."""

from __future__ import annotations

import dataclasses
import errno
from typing import Any

import pytest

from tests.values import (
    FLEET,
    HELD,
    OTHER,
    PF,
    PLAIN,
    TOKEN,
    VF,
    make_fleet,
    make_holder,
    make_job,
    make_knowledge,
    make_plain,
    own_holder,
    snapshot,
    vf_address,
)
from vfdeck.backend.changes import (
    Change,
    Open,
    OpenPath,
)
from vfdeck.backend.evidence import Rights, Unread
from vfdeck.backend.kernel import FileStat, Stage
from vfdeck.backend.model import Certainty, Problem, Snapshot, TokenState
from vfdeck.backend.plan import plan
from vfdeck.backend.predict import predict
from vfdeck.backend.predict.seen import Seen
from vfdeck.backend.token import Token

EXACT, LIKELY, UNKNOWN = Certainty.EXACT, Certainty.INFERRED, Certainty.UNKNOWN


def told(change: Change, view: Snapshot, own: frozenset[str] = frozenset()) -> tuple[str, Certainty]:
    """The answer foretold, and how certain it is."""
    found = predict(change, view, own)
    assert found is not None
    return found.answer, found.certainty


def expected(view: Snapshot, bdf: str, token: Token | None = None, **fields: Any) -> str:
    found = predict(Open(bdf, token, **fields), view)
    assert found is not None
    return str(found)


class TestPrediction:
    def test_vf_without_token(self) -> None:
        assert expected(FLEET, VF) == "EACCES at get_device_fd as far as can be seen (VF token required)"

    def test_plan_says_so(self) -> None:
        said = plan(Open(VF), FLEET).warnings
        assert "expected: EACCES at get_device_fd as far as can be seen (VF token required)" in said

    @pytest.mark.parametrize(
        ("state", "fingerprint", "answer", "certainty"),
        [
            (TokenState.SET, TOKEN.fingerprint, 0, Certainty.INFERRED),
            (TokenState.SET, OTHER.fingerprint, errno.EACCES, Certainty.INFERRED),
            (TokenState.UNSET, "", errno.EACCES, Certainty.INFERRED),
            (TokenState.UNKNOWN, "", errno.EACCES, Certainty.UNKNOWN),
        ],
    )
    def test_vf_with_token_by_what_is_known(self, state: TokenState, fingerprint: str, answer: int, certainty: Certainty) -> None:
        view = snapshot(*make_fleet(1), tokens=[make_knowledge(state=state, fingerprint=fingerprint)])
        found = predict(Open(VF, TOKEN), view)
        assert found is not None
        assert (found.errno, found.certainty) == (answer, certainty)

    def test_pf(self) -> None:
        assert "stays as it was" in expected(FLEET, PF)
        assert "becomes the PF's token" in expected(FLEET, PF, TOKEN)
        assert "EACCES at get_device_fd as far as can be seen (The PF's VFs are in use)" in expected(HELD, PF)
        assert "cannot be known" in expected(snapshot(*make_fleet(1), unseen=1), PF)

    @pytest.mark.parametrize(
        ("view", "token", "answer", "stage"),
        [
            (snapshot(make_plain()), TOKEN, "EINVAL", Stage.GET_DEVICE_FD),
            (snapshot(make_plain(driver=None)), None, "ENOENT", Stage.OPEN_GROUP),
            (snapshot(make_plain(iommu_group=None)), None, "ENOENT", Stage.IOMMU_GROUP),
            (snapshot(make_plain(), holders=(make_holder(PLAIN),)), None, "EBUSY", Stage.OPEN_GROUP),
            (snapshot(make_plain(), make_plain("0000:04:00.1", driver="nvme")), None, "EPERM", Stage.SET_CONTAINER),
            (snapshot(make_plain(driver=None), make_plain("0000:04:00.1")), None, "ENODEV", Stage.GET_DEVICE_FD),
            (snapshot(make_plain(), host={"kernel": "5.4.0"}), TOKEN, "ENODEV", Stage.GET_DEVICE_FD),
            (snapshot(make_plain(), host={"privileged": False}), None, "EACCES", Stage.OPEN_GROUP),
        ],
    )
    def test_group_ladder(self, view: Snapshot, token: Token | None, answer: str, stage: Stage) -> None:
        assert expected(view, PLAIN, token).startswith(f"{answer} at {stage}")

    def test_vf_of_a_kernel_pf_takes_no_token(self) -> None:
        view = snapshot(*make_fleet(1, driver="igb"))
        assert expected(view, VF, TOKEN).startswith("EINVAL at get_device_fd")
        assert expected(view, VF).startswith("it opens")

    @pytest.mark.parametrize(
        ("kernel", "token", "answer"),
        [
            ("6.14.0", None, "it opens"),
            ("6.14.0", TOKEN, "EINVAL at bind_iommufd"),
            ("6.17.0", TOKEN, "E2BIG at bind_iommufd"),
            ("6.18.3", None, "EACCES at bind_iommufd"),
        ],
    )
    def test_cdev_ladder(self, kernel: str, token: Token | None, answer: str) -> None:
        view = snapshot(*make_fleet(1, vf={"cdev": "vfio0"}), host={"kernel": kernel})
        assert expected(view, VF, token, path=OpenPath.CDEV).startswith(answer)

    def test_cdev_hole_is_told(self) -> None:
        view = snapshot(*make_fleet(1, vf={"cdev": "vfio0"}), host={"kernel": "6.14.0"})
        assert "asks for no token on this path" in "".join(plan(Open(VF, path=OpenPath.CDEV), view).warnings)

    def test_cdev_in_use(self) -> None:
        view = snapshot(make_plain(cdev="vfio0"), holders=(make_holder(PLAIN, kind="cdev"),))
        assert expected(view, PLAIN, path=OpenPath.CDEV).startswith("EINVAL at bind_iommufd")
        assert expected(view, PLAIN).startswith("EBUSY at open_group")

    def test_a_function_that_is_gone(self) -> None:
        assert predict(Open("0000:09:00.0"), FLEET) is None


BESIDE_IT = "0000:04:00.1"
#: A member of the group is open here already, so neither the group's node nor a container is asked on the way.
PAIR = snapshot(make_plain(), make_plain(BESIDE_IT), holders=(own_holder(BESIDE_IT),))
SHARED: dict[str, Any] = {"vf": {"iommu_group": 20}}
OURS = (own_holder(vf_address(PF, 1)),)
JUDGED: list[tuple[Open, Snapshot, str]] = [
    (Open(VF), snapshot(*make_fleet(2, **SHARED), holders=OURS), "EACCES at get_device_fd"),
    (Open(PLAIN, TOKEN), PAIR, "EINVAL at get_device_fd"),
    (Open(VF, TOKEN), snapshot(*make_fleet(2, driver="igb", **SHARED), holders=OURS), "EINVAL at get_device_fd"),
    (
        Open(PF),
        snapshot(*make_fleet(1), make_plain(iommu_group=10), holders=(make_holder(VF), own_holder(PLAIN))),
        "EACCES at get_device_fd",
    ),
    (
        Open(PLAIN),
        snapshot(make_plain(driver=None), make_plain(BESIDE_IT), holders=(own_holder(BESIDE_IT),)),
        "ENODEV at get_device_fd",
    ),
]
EXACT_OPENS: list[tuple[Open, Snapshot, str]] = [
    *JUDGED,
    (Open(PLAIN), snapshot(make_plain(driver="e1000e")), "ENOENT at open_group"),
    (Open(PLAIN), snapshot(make_plain(iommu_group=None)), "ENOENT at iommu_group"),
    (Open(PLAIN, path=OpenPath.CDEV), snapshot(make_plain(driver=None)), "ENOENT at cdev_node"),
    (Open(PLAIN, path=OpenPath.CDEV), snapshot(make_plain()), "ENOENT at open_cdev"),
]


@pytest.mark.parametrize(("change", "view", "answer"), EXACT_OPENS)
class TestExactOpens:
    def test_certain_where_nothing_unseen_can_change_it(self, change: Open, view: Snapshot, answer: str) -> None:
        assert told(change, view) == (answer, EXACT)

    def test_a_file_that_could_not_be_read_takes_the_certainty(self, change: Open, view: Snapshot, answer: str) -> None:
        unread = (Problem(f"/sys/bus/pci/devices/{change.bdf}/uevent", "EIO"),)
        assert told(change, dataclasses.replace(view, problems=unread)) == (answer, LIKELY)


@pytest.mark.parametrize(("change", "view", "answer"), JUDGED)
def test_who_has_to_open_the_group_first_may_be_refused_on_the_way(change: Open, view: Snapshot, answer: str) -> None:
    nobody = tuple(holder for holder in view.holders if not holder.own)
    assert told(change, dataclasses.replace(view, holders=nobody)) == (answer, LIKELY)


@pytest.mark.parametrize(("change", "view", "answer"), JUDGED[:4])
def test_a_variant_of_vfio_pci_has_hooks_of_its_own(change: Open, view: Snapshot, answer: str) -> None:
    variant = dataclasses.replace(view.functions[change.bdf], driver="mlx5_vfio_pci")
    view = dataclasses.replace(view, functions={**view.functions, change.bdf: variant})
    assert told(change, view) == (answer, LIKELY)


def test_an_open_by_the_own_node_is_never_certain_to_reach_the_judgement() -> None:
    """Neither that of the function nor /dev/iommu need open: a device cgroup, a security module, a container without the node."""
    fleet = make_fleet(2, vf={"cdev": "vfio0"})
    view = snapshot(*fleet, host={"kernel": "6.18.3"}, holders=(own_holder(vf_address(PF, 1), kind="cdev"),))
    assert told(Open(VF, path=OpenPath.CDEV), view) == ("EACCES at bind_iommufd", LIKELY)


ROOT = Rights(0, frozenset({0}), 0)  # without any capability
NODE, MISSING = FileStat(0o20666, 0, 0), Unread("/dev/x: ENOENT")
#: What was read beside the snapshot, the answer on the group path and on the function's own node.
ON_THE_WAY: list[tuple[Seen, str, str]] = [
    (Seen(beside=NODE, rights=ROOT, type1=True, regions=("msi", "reserved")), "OK", "OK"),
    (Seen(beside=MISSING, type1=False, regions=("direct",)), "ENOENT at open_container", "ENOENT at open_iommu"),
    (Seen(beside=FileStat(0o20600, 7, 0), rights=ROOT), "EACCES at open_container", "EACCES at open_iommu"),
    (Seen(beside=NODE, rights=ROOT, type1=False), "ENODEV at set_iommu", "OK"),
    (Seen(beside=NODE, rights=ROOT, regions=("msi", "direct")), "EINVAL at set_container", "EINVAL at bind_iommufd"),
    (Seen(beside=NODE, rights=ROOT, regions=("direct-relaxable",)), "OK", "OK"),
    (Seen(beside=Unread("/dev/x: EIO"), type1=Unread("no"), regions=Unread("no")), "OK", "OK"),
]


@pytest.mark.parametrize(("seen", "by_group", "by_cdev"), ON_THE_WAY)
def test_what_was_read_beside_the_snapshot_tells_the_rungs_on_the_way(seen: Seen, by_group: str, by_cdev: str) -> None:
    view = snapshot(make_plain(cdev="vfio0"), make_plain(BESIDE_IT), host={"kernel": "6.18.3"})
    for path, answer in ((OpenPath.GROUP, by_group), (OpenPath.CDEV, by_cdev)):
        found = predict(Open(PLAIN, path=path), view, seen=seen)
        assert found is not None
        assert (found.answer, found.certainty) == (answer, LIKELY)


USER = Rights(1001, frozenset({1001}), 0, user_namespace=False)
MINE, THEIRS = FileStat(0o20600, 1001, 0), FileStat(0o20600, 0, 0)


@pytest.mark.parametrize("privileged", [True, False])
@pytest.mark.parametrize(
    ("node", "noiommu", "answer"),
    [
        (MINE, False, "OK"),  # an ordinary user to whom udev gave the node
        (THEIRS, False, "EACCES at open_{}"),
        (MINE, True, "EPERM at open_{}"),
        (THEIRS, True, "EACCES at open_{}"),
    ],
)
def test_who_may_open_the_node(node: FileStat, noiommu: bool, answer: str, privileged: bool) -> None:
    view = snapshot(make_plain(cdev="vfio0", noiommu=noiommu), host={"kernel": "6.18.3", "privileged": privileged})
    for path, rung in ((OpenPath.GROUP, "group"), (OpenPath.CDEV, "cdev")):
        found = predict(Open(PLAIN, path=path), view, seen=Seen(node=node, rights=USER))
        assert found is not None
        assert (found.answer, found.certainty) == (answer.format(rung), LIKELY)


def test_rungs_that_are_climbed_already_are_not_asked_again() -> None:
    seen = Seen(beside=MISSING, type1=False, regions=("direct",))
    found = predict(Open(PLAIN, TOKEN), PAIR, seen=seen)
    assert found is not None
    assert (found.answer, found.certainty) == ("EINVAL at get_device_fd", EXACT)


def test_older_kernels_find_tied_memory_at_the_iommu() -> None:
    found = predict(Open(PLAIN), snapshot(make_plain(), host={"kernel": "6.1.0"}), seen=Seen(regions=("direct",)))
    assert found is not None
    assert found.answer == "EPERM at set_iommu"


@pytest.mark.parametrize(
    "doubt",
    [
        {"unseen": 3},
        {"unattributed": 1},
        {"late": 1.0},
        {"jobs": (make_job(VF),)},
        {"host": {"kernel": "6.1.0-very-odd"}, "holders": (make_holder(VF, kind="cdev"),)},
        {"host": {"kernel": "unreadable"}},
    ],
    ids=["a process unseen", "a device that cannot be told", "a late look", "a change under way", "a holder", "no release"],
)
def test_doubts_about_a_guarded_vf(doubt: dict[str, Any]) -> None:
    doubt = {**doubt, "holders": (*OURS, *doubt.get("holders", ()))}
    found = predict(Open(VF), snapshot(*make_fleet(2, **SHARED), **doubt))
    assert found is not None
    assert found.certainty is LIKELY
    assert found.errno in (errno.EACCES, errno.EBUSY)


def test_who_holds_the_pf_may_have_set_another_token() -> None:
    ours = make_knowledge(fingerprint=TOKEN.fingerprint)
    for held, answer in ((PF, UNKNOWN), (vf_address(PF, 3), LIKELY)):
        view = snapshot(*make_fleet(4), tokens=[ours], holders=(make_holder(held),))
        assert told(Open(VF, TOKEN), view) == ("OK", LIKELY)
        assert told(Open(VF, OTHER), view) == ("EACCES at get_device_fd", answer)


def test_a_group_of_our_own_is_not_opened_again() -> None:
    pair = (make_plain(), make_plain("0000:04:00.1"))
    ours = snapshot(*pair, holders=(own_holder(PLAIN),), host={"privileged": False})
    assert told(Open("0000:04:00.1", TOKEN), ours) == ("EINVAL at get_device_fd", EXACT)
    by_cdev = snapshot(*pair, holders=(own_holder(PLAIN, kind="cdev"),))
    assert told(Open("0000:04:00.1"), by_cdev) == ("EBUSY at open_group", LIKELY)


def test_a_vf_on_another_vfio_driver_than_its_pf() -> None:
    """5.15.0 to 5.15.34 and 5.16, 5.17 ask it for no token; distributions carry the mend."""
    for kernel, answer in (("5.17.0", "OK"), ("5.18.0", "EACCES at get_device_fd")):
        view = snapshot(*make_fleet(1, vf={"driver": "mlx5_vfio_pci"}), host={"kernel": kernel})
        assert told(Open(VF), view) == (answer, LIKELY)


@pytest.mark.parametrize(("kind", "certainty"), [("mapping", UNKNOWN), ("device", LIKELY), ("group", LIKELY)])
def test_a_mapping_does_not_tell_that_the_group_is_open(kind: str, certainty: Certainty) -> None:
    view = snapshot(make_plain(cdev="vfio0"), holders=(make_holder(PLAIN, kind=kind),), host={"kernel": "6.18.3"})
    assert told(Open(PLAIN, path=OpenPath.CDEV), view) == ("EBUSY at bind_iommufd", certainty)
