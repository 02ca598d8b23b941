"""What the kernel is expected to answer: rule by rule, with how certain that is, and never an exception."""

from __future__ import annotations

import dataclasses
import errno
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.values import (
    PF,
    make_fleet,
    make_holder,
    make_knowledge,
    make_pf,
    make_plain,
    make_vf,
    own_holder,
    snapshot,
    vf_address,
)
from vfdeck.backend.acts import Write
from vfdeck.backend.changes import (
    BindDriver,
    Change,
    Close,
    Open,
    OpenPath,
    Outcome,
    Prediction,
    SetAutoprobe,
    SetNumvfs,
    SetToken,
    UnbindDriver,
)
from vfdeck.backend.kernel import Stage
from vfdeck.backend.model import Certainty, Job, JobState, Problem, Scores, Snapshot, TokenState
from vfdeck.backend.plan import plan
from vfdeck.backend.predict import predict, predict_act
from vfdeck.backend.predict.ask import Ask
from vfdeck.backend.profile import named_profiles
from vfdeck.backend.token import Token

VF = vf_address(PF, 0)
PLAIN = "0000:04:00.0"
TOKEN = Token.parse("bd8d9d2b-5a5f-4f5a-a211-f591514ba1f3")
OTHER = Token.parse("6b1f2c3d-0000-4000-8000-00000000abcd")
FLEET = snapshot(*make_fleet(4))
HELD = snapshot(*make_fleet(4), holders=(make_holder(VF), make_holder(vf_address(PF, 1), 77, "dpdk")))
EXACT, LIKELY, UNKNOWN = Certainty.EXACT, Certainty.INFERRED, Certainty.UNKNOWN


def told(change: Change, view: Snapshot, own: frozenset[str] = frozenset()) -> tuple[str, Certainty]:
    """The answer foretold, and how certain it is."""
    found = predict(change, view, own)
    assert found is not None
    return found.answer, found.certainty


def job(target: str = PF, **fields: Any) -> Job:
    """A change under way."""
    return Job(1, f"{target}: 4 -> 0 VFs", target, JobState.RUNNING, "", 0.0, **fields)


ELSEWHERE = job("0000:07:00.0", waits_for="qemu (7)")


# -- opens -----------------------------------------------------------------------------------------------------------------
def expected(view: Snapshot, bdf: str, token: Token | None = None, **fields: Any) -> str:
    found = predict(Open(bdf, token, **fields), view)
    assert found is not None
    return str(found)


class TestPrediction:
    def test_vf_without_token(self) -> None:
        assert expected(FLEET, VF) == "EACCES at get_device_fd (VF token required)"

    def test_plan_says_so(self) -> None:
        assert "expected: EACCES at get_device_fd (VF token required)" in plan(Open(VF), FLEET).warnings

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
        assert "EACCES at get_device_fd (The PF's VFs are in use)" in expected(HELD, PF)
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


EXACT_OPENS: list[tuple[Open, Snapshot, str]] = [
    (Open(VF), FLEET, "EACCES at get_device_fd"),
    (Open(PLAIN, TOKEN), snapshot(make_plain()), "EINVAL at get_device_fd"),
    (Open(VF, TOKEN), snapshot(*make_fleet(1, driver="igb")), "EINVAL at get_device_fd"),
    (Open(PF), HELD, "EACCES at get_device_fd"),
    (Open(PLAIN), snapshot(make_plain(driver="e1000e")), "ENOENT at open_group"),
    (Open(PLAIN), snapshot(make_plain(iommu_group=None)), "ENOENT at iommu_group"),
    (Open(PLAIN), snapshot(make_plain(driver=None), make_plain("0000:04:00.1")), "ENODEV at get_device_fd"),
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


@pytest.mark.parametrize(
    "doubt",
    [
        {"unseen": 3},
        {"unattributed": 1},
        {"jobs": (job(VF),)},
        {"host": {"kernel": "6.1.0-very-odd"}, "holders": (make_holder(VF, kind="cdev"),)},
        {"host": {"kernel": "unreadable"}},
    ],
    ids=["a process unseen", "a device that cannot be told", "a change under way", "a holder", "no release"],
)
def test_doubts_about_a_guarded_vf(doubt: dict[str, Any]) -> None:
    found = predict(Open(VF), snapshot(*make_fleet(2), **doubt))
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
        assert told(Open(VF), view) == (answer, LIKELY if answer == "OK" else EXACT)


# -- writes ----------------------------------------------------------------------------------------------------------------
WRITES: list[tuple[Change, Snapshot, str, Certainty]] = [
    # sriov_numvfs, in the kernel's order
    (SetNumvfs(VF, 1), FLEET, "ENOENT at sriov_numvfs", EXACT),
    (SetNumvfs(PF, 1), snapshot(make_pf(), host={"privileged": False}), "EACCES at sriov_numvfs", LIKELY),
    (SetNumvfs(PF, -1), snapshot(make_pf()), "EINVAL at sriov_numvfs", EXACT),
    (SetNumvfs(PF, 70000), snapshot(make_pf()), "EINVAL at sriov_numvfs", EXACT),
    (SetNumvfs(PF, 70000), snapshot(make_pf(), host={"kernel": "5.10.0"}), "ERANGE at sriov_numvfs", LIKELY),
    (SetNumvfs(PF, 9), snapshot(make_pf()), "ERANGE at sriov_numvfs", EXACT),
    (SetNumvfs(PF, 0), snapshot(make_pf(driver=None)), "OK", EXACT),
    (SetNumvfs(PF, 1), snapshot(make_pf(driver=None)), "ENOENT at sriov_numvfs", EXACT),
    (SetNumvfs(PF, 1), snapshot(make_pf(driver="mlx5_vfio_pci")), "ENOENT at sriov_numvfs", LIKELY),
    (SetNumvfs(PF, 1), snapshot(make_pf(), host={"enable_sriov": None}), "ENOENT at sriov_numvfs", EXACT),
    (SetNumvfs(PF, 1), snapshot(make_pf(), host={"enable_sriov": False}), "ENOENT at sriov_numvfs", EXACT),
    (SetNumvfs(PF, 1), snapshot(make_pf(), host={"enable_sriov": False}, unseen=1), "ENOENT at sriov_numvfs", LIKELY),
    (SetNumvfs(PF, 1), snapshot(make_pf()), "OK", LIKELY),
    (SetNumvfs(PF, 8), FLEET, "OK", LIKELY),
    (SetNumvfs(PF, 9), FLEET, "ERANGE at sriov_numvfs", LIKELY),
    (SetNumvfs(PF, 0), HELD, "BLOCKED", EXACT),
    (SetNumvfs(PF, 8), HELD, "BLOCKED", LIKELY),
    (SetNumvfs(PF, 0), snapshot(*make_fleet(1), holders=(make_holder(VF, kind="group"),)), "OK", LIKELY),
    (SetNumvfs(PF, 0), snapshot(*make_fleet(1, vf={"driver": "igbvf"}), holders=(make_holder(VF),)), "OK", LIKELY),
    (SetNumvfs(PF, 0), snapshot(*make_fleet(1, driver="igb"), holders=(make_holder(VF),)), "BLOCKED", LIKELY),
    (SetNumvfs(PF, 0), snapshot(*make_fleet(1), jobs=(job(),)), "BLOCKED", LIKELY),
    (
        SetNumvfs(PF, 1),
        snapshot(make_pf(), jobs=(job("0000:07:00.0", waits_for="x"),), host={"kernel": "7.3.4"}),
        "BLOCKED",
        LIKELY,
    ),
    # bind
    (BindDriver(PLAIN, "vfio-pci"), snapshot(make_plain(driver=None)), "OK", LIKELY),
    (BindDriver(PF, "vfio-pci"), snapshot(*make_fleet(1, driver=None)), "EBUSY at bind", EXACT),
    (BindDriver(PF, "vfio-pci"), snapshot(*make_fleet(1, driver="igb")), "EBUSY at bind", LIKELY),
    (BindDriver(PF, "vfio-pci"), snapshot(*make_fleet(1, driver=None), host={"kernel": "5.10.0"}), "ENODEV at bind", LIKELY),
    (BindDriver(PLAIN, "vfio-pci"), snapshot(make_plain(driver=None, iommu_group=None)), "EINVAL at bind", EXACT),
    (BindDriver(PLAIN, "vfio-pci"), snapshot(make_plain(driver=None, class_code=0x060400)), "EINVAL at bind", LIKELY),
    (BindDriver(PLAIN, "vfio-pci"), snapshot(make_plain(driver=None, device_id=0x37C8)), "EINVAL at bind", UNKNOWN),
    (BindDriver(PLAIN, "vfio-pci"), snapshot(make_plain(driver="e1000e"), jobs=(job(PLAIN),)), "BLOCKED", LIKELY),
    (BindDriver(PLAIN, None), snapshot(make_plain()), "OK", LIKELY),
    # unbind
    (UnbindDriver(PLAIN), snapshot(make_plain()), "OK", LIKELY),
    (UnbindDriver(VF), HELD, "BLOCKED", EXACT),
    (UnbindDriver(PF), HELD, "BLOCKED", EXACT),
    (UnbindDriver(PF), snapshot(*make_fleet(1, driver="igb"), holders=(make_holder(VF),)), "BLOCKED", UNKNOWN),
    (UnbindDriver(PF), snapshot(*make_fleet(1, driver="igb")), "OK", LIKELY),
    # the rest
    (SetAutoprobe(PF, False), FLEET, "OK", EXACT),
    (SetAutoprobe(PLAIN, False), snapshot(make_plain()), "ENOENT at sriov_drivers_autoprobe", EXACT),
    (SetToken(PF, TOKEN), snapshot(*make_fleet(2), holders=(own_holder(PF), make_holder(VF))), "OK", EXACT),
    (SetToken(PF, TOKEN), FLEET, "OK", LIKELY),
    (Close(VF), FLEET, "OK", EXACT),
]


@pytest.mark.parametrize(("change", "view", "answer", "certainty"), WRITES)
def test_rules(change: Change, view: Snapshot, answer: str, certainty: Certainty) -> None:
    assert told(change, view) == (answer, certainty)


def told_of_write(path: str, data: str, bdf: str, view: Snapshot) -> tuple[str, Certainty]:
    """The same for one write."""
    found = predict_act(Write(path, data.encode(), ""), Ask(view.functions[bdf], view))
    return found.answer, found.certainty


@pytest.mark.parametrize(
    ("wanted", "driver", "override", "told"),
    [
        ("vfio-pci", None, "e1000e", ("ENODEV at bind", EXACT)),
        ("e1000e", None, "vfio-pci", ("ENODEV at bind", LIKELY)),  # it may not be loaded
        ("vfio-pci", None, None, ("ENODEV at bind", LIKELY)),  # its ids may have been told to vfio-pci
        ("e1000e", None, None, ("ENODEV at bind", UNKNOWN)),
        ("vfio-pci", "vfio-pci", "vfio-pci", ("EBUSY at bind", EXACT)),
        ("e1000e", "e1000e", None, ("EBUSY at bind", LIKELY)),
    ],
)
def test_who_may_bind_a_function(wanted: str, driver: str | None, override: str | None, told: tuple[str, Certainty]) -> None:
    view = snapshot(make_plain(driver=driver, driver_override=override))
    assert told_of_write(f"/sys/bus/pci/drivers/{wanted}/bind", PLAIN, PLAIN, view) == told


def test_writes_that_no_change_makes() -> None:
    numvfs = f"/sys/bus/pci/devices/{PF}/sriov_numvfs"
    assert told_of_write(numvfs, "4\n", PF, FLEET) == ("OK", EXACT)  # they are there already
    assert told_of_write(numvfs, "4", PF, snapshot(*make_fleet(4, driver=None))) == ("OK", EXACT)
    assert told_of_write(numvfs, "3", PF, FLEET) == ("EBUSY at sriov_numvfs", EXACT)
    assert told_of_write(numvfs, "3", PF, snapshot(*make_fleet(4, driver="igb"))) == ("EBUSY at sriov_numvfs", LIKELY)
    assert told_of_write("/sys/bus/pci/drivers/igb/unbind", PF, PF, FLEET) == ("ENODEV at unbind", LIKELY)
    assert told_of_write("/sys/bus/pci/drivers/vfio-pci/unbind", PF, PF, snapshot(make_pf(driver=None))) == (
        "ENODEV at unbind",
        EXACT,
    )
    assert told_of_write(f"/sys/bus/pci/devices/{PF}/reset", "1", PF, FLEET) == ("OK", UNKNOWN)  # no rules for this file here


def test_the_words() -> None:
    assert str(predict(SetNumvfs(PF, 0), HELD)).startswith("it waits, then it works (for qemu-system-x86 (4242) on 0000:03:10.0")
    bind = predict(BindDriver(PLAIN, "vfio-pci"), snapshot(make_plain(driver=None, iommu_group=None), host={"iommu": False}))
    assert str(bind) == f"EINVAL at bind ({PLAIN} has no IOMMU group, nor has any function of this host)"
    assert str(predict(SetAutoprobe(PF, False), FLEET)) == "it works"


def test_an_answer_after_a_wait_is_foretold_as_both() -> None:
    """The function's user goes first, then vfio refuses."""
    view = snapshot(make_plain(driver="mlx5_vfio_pci", iommu_group=None), holders=(make_holder(PLAIN),))
    assert told(BindDriver(PLAIN, "vfio-pci"), view) == ("BLOCKED, then EINVAL at bind", LIKELY)


# -- what came of it -------------------------------------------------------------------------------------------------------
def outcome(predicted: Prediction | None, **fields: Any) -> Outcome:
    return Outcome(Open(VF), predicted=predicted, **fields)


REQUIRED = Prediction(errno.EACCES, Stage.GET_DEVICE_FD, EXACT)
WAITS = Prediction(0, None, LIKELY, blocked=True)


@pytest.mark.parametrize(
    ("found", "right", "surprise"),
    [
        (outcome(REQUIRED, errno=errno.EACCES, stage=Stage.GET_DEVICE_FD, target=VF), True, ""),
        (outcome(REQUIRED), False, "expected EACCES at get_device_fd, got OK"),
        (
            outcome(REQUIRED, errno=errno.EACCES, stage=Stage.OPEN_GROUP, target="/dev/vfio/20"),
            False,
            "expected EACCES at get_device_fd, got EACCES at open_group",
        ),
        (outcome(WAITS, waited=True), True, ""),
        (outcome(WAITS, blocked=True), True, ""),
        (outcome(WAITS), False, "expected BLOCKED, got OK"),
        (outcome(Prediction(0, None, LIKELY), waited=True), False, "expected OK, got BLOCKED"),
        (outcome(Prediction(0, None, LIKELY), blocked=True), False, "expected OK, got BLOCKED"),
        (outcome(dataclasses.replace(REQUIRED, certainty=UNKNOWN)), None, ""),
        (outcome(REQUIRED, attempted=False), None, ""),
        (outcome(None), None, ""),
    ],
)
def test_surprise(found: Outcome, right: bool | None, surprise: str) -> None:
    assert (found.as_predicted, found.surprise) == (right, surprise)


def test_scores() -> None:
    scores = Scores().plus(EXACT, True).plus(EXACT, False).plus(LIKELY, True).plus(LIKELY, False).plus(UNKNOWN, True)
    scores = scores.plus(LIKELY, None)
    assert scores == Scores(1, 1, 1, 1, 2)
    assert (scores.right, scores.wrong) == (2, 2)
    assert str(scores) == "exact 1 right, 1 wrong; likely 1 right, 1 wrong; 2 unknown"


# -- never an exception ----------------------------------------------------------------------------------------------------
DRIVERS = st.sampled_from([None, "vfio-pci", "mlx5_vfio_pci", "igb", "pci-stub", "nvidia-vgpu-vfio"])
BDFS = st.sampled_from([PF, VF, vf_address(PF, 1), PLAIN, "0000:04:00.1", "0000:99:00.0"])
TOKENS = st.sampled_from([None, TOKEN, OTHER])
CHANGES: st.SearchStrategy[Change] = st.one_of(
    st.builds(SetNumvfs, BDFS, st.integers(-2, 70000)),
    st.builds(BindDriver, BDFS, st.sampled_from([None, "vfio-pci", "igb", "", "../..", "a\nb"])),
    st.builds(UnbindDriver, BDFS),
    st.builds(SetToken, BDFS, st.sampled_from([TOKEN, OTHER])),
    st.builds(Open, BDFS, TOKENS, st.booleans(), st.sampled_from(OpenPath)),
    st.builds(Close, BDFS),
    st.builds(SetAutoprobe, BDFS, st.booleans()),
)


@st.composite
def hosts(draw: st.DrawFn) -> Snapshot:
    """Any host, also one that cannot be: VFs without PF, groups with strangers, holders of what is gone."""
    group = st.sampled_from([None, 1, 2, 3])
    common: dict[str, st.SearchStrategy[Any]] = {
        "driver": DRIVERS,
        "iommu_group": group,
        "noiommu": st.booleans(),
        "cdev": st.sampled_from([None, "vfio0"]),
    }
    fields: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries({**common, "driver_override": DRIVERS})
    count = draw(st.integers(0, 2))
    functions = [make_plain(**draw(fields)), make_plain("0000:04:00.1", **draw(fields))]
    if draw(st.booleans()):
        functions.append(make_pf(vfs=count, totalvfs=draw(st.sampled_from([None, 0, 8])), **draw(fields)))
    functions += [make_vf(index=index, **draw(fields)) for index in range(draw(st.integers(0, 2)))]
    kinds, certainties = st.sampled_from(["device", "cdev", "mapping", "group"]), st.sampled_from([EXACT, LIKELY])
    held = [
        make_holder(bdf, kind=draw(kinds), own=draw(st.booleans()), certainty=draw(certainties)) for bdf in draw(st.lists(BDFS))
    ]
    release = draw(st.sampled_from([*named_profiles(), "odd"]))
    host = {"kernel": release, "enable_sriov": draw(st.sampled_from([None, True, False])), "privileged": draw(st.booleans())}
    known = [make_knowledge(PF, draw(st.sampled_from(TokenState)), TOKEN.fingerprint)] if draw(st.booleans()) else []
    jobs = tuple(job(draw(BDFS), waits_for=draw(st.sampled_from(["", "x (1)"]))) for _ in range(draw(st.integers(0, 1))))
    return snapshot(*functions, host=host, holders=tuple(held), unseen=draw(st.integers(0, 1)), tokens=known, jobs=jobs)


@given(CHANGES, hosts(), st.frozensets(BDFS))
def test_it_never_fails_and_never_shows_a_token(change: Change, view: Snapshot, own: frozenset[str]) -> None:
    found = predict(change, view, own)
    text = repr((found, plan(change, view, own)))
    assert TOKEN.reveal_text() not in text
    assert OTHER.reveal_text() not in text
    if found is not None:
        assert str(found)
        assert found.certainty in (EXACT, LIKELY, UNKNOWN)
        assert (found.errno == 0) == (found.stage is None)
        assert found.certainty is not EXACT or not (found.errno == errno.EACCES and found.stage is Stage.FILE)
        if found.stage is Stage.GET_DEVICE_FD and found.certainty is EXACT:
            assert not view.unseen  # somebody may come between
