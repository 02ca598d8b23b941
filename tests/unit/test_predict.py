"""What the kernel is expected to answer: rule by rule, with how certain that is, and never an exception."""

from __future__ import annotations

import dataclasses
import errno
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.test_predict_opens import EXACT, LIKELY, UNKNOWN, told
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
    make_pf,
    make_plain,
    make_vf,
    own_holder,
    snapshot,
    vf_address,
)
from vfdeck.backend import leaving
from vfdeck.backend.acts import Write
from vfdeck.backend.changes import (
    BindDriver,
    Change,
    Close,
    Open,
    OpenPath,
    Outcome,
    Prediction,
    ResetFunction,
    SetAutoprobe,
    SetNumvfs,
    SetToken,
    UnbindDriver,
)
from vfdeck.backend.evidence import Unread, Window
from vfdeck.backend.kernel import Stage
from vfdeck.backend.model import Certainty, Function, Scores, Snapshot, Sriov, TokenState
from vfdeck.backend.plan import plan
from vfdeck.backend.predict import predict, predict_act
from vfdeck.backend.predict.ask import Ask
from vfdeck.backend.predict.seen import OF_ANOTHER_NUMBER, Seen
from vfdeck.backend.profile import named_profiles
from vfdeck.backend.sim.drivers import load

# -- writes ----------------------------------------------------------------------------------------------------------------
#: A function on a variant of vfio-pci: the driver is there.
VARIANT = make_plain("0000:0a:00.0", driver="mlx5_vfio_pci", iommu_group=50)

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
    (SetNumvfs(PF, 0), snapshot(*make_fleet(1), jobs=(make_job(),)), "BLOCKED", LIKELY),
    (
        SetNumvfs(PF, 1),
        snapshot(make_pf(), jobs=(make_job("0000:07:00.0", waits_for="x"),), host={"kernel": "7.3.4"}),
        "BLOCKED",
        LIKELY,
    ),
    # bind
    (BindDriver(PLAIN, "vfio-pci"), snapshot(make_plain(driver=None)), "OK", LIKELY),
    (BindDriver(PF, "vfio-pci"), snapshot(*make_fleet(1, driver=None)), "EBUSY at bind", EXACT),
    (BindDriver(PF, "mlx5_vfio_pci"), snapshot(*make_fleet(1, driver=None), VARIANT), "EBUSY at bind", LIKELY),
    (BindDriver(PF, "vfio-pci"), snapshot(*make_fleet(1, driver="igb")), "OK", LIKELY),  # it takes its VFs along
    (BindDriver(PF, "vfio-pci"), snapshot(*make_fleet(1, driver="nvme")), "EBUSY at bind", LIKELY),  # it leaves them
    (BindDriver(PF, "vfio-pci"), snapshot(*make_fleet(1, driver="qede")), "EBUSY at bind", UNKNOWN),
    (BindDriver(PF, "vfio-pci"), snapshot(*make_fleet(1, driver=None), host={"kernel": "5.10.0"}), "ENODEV at bind", LIKELY),
    (BindDriver(PLAIN, "vfio-pci"), snapshot(make_plain(driver=None, iommu_group=None)), "EINVAL at bind", EXACT),
    (BindDriver(PLAIN, "mlx5_vfio_pci"), snapshot(make_plain(driver=None, iommu_group=None), VARIANT), "EINVAL at bind", LIKELY),
    (BindDriver(PLAIN, "vfio-pci"), snapshot(make_plain(driver=None, class_code=0x060400)), "EINVAL at bind", LIKELY),
    (BindDriver(PLAIN, "vfio-pci"), snapshot(make_plain(driver=None, device_id=0x37C8)), "EINVAL at bind", UNKNOWN),
    (BindDriver(PLAIN, "vfio-pci"), snapshot(make_plain(driver="e1000e"), jobs=(make_job(PLAIN),)), "BLOCKED", LIKELY),
    (BindDriver(PLAIN, None), snapshot(make_plain()), "OK", LIKELY),
    # unbind
    (UnbindDriver(PLAIN), snapshot(make_plain()), "OK", LIKELY),
    (UnbindDriver(VF), HELD, "BLOCKED", EXACT),
    (UnbindDriver(PF), HELD, "BLOCKED", EXACT),
    (UnbindDriver(VARIANT.bdf), snapshot(VARIANT, holders=(make_holder(VARIANT.bdf),)), "BLOCKED", LIKELY),
    (UnbindDriver(PF), snapshot(*make_fleet(1, driver="igb"), holders=(make_holder(VF),)), "BLOCKED", LIKELY),
    (UnbindDriver(PF), snapshot(*make_fleet(1, driver="nvme"), holders=(make_holder(VF),)), "OK", LIKELY),
    (UnbindDriver(PF), snapshot(*make_fleet(1, driver="qede"), holders=(make_holder(VF),)), "BLOCKED", UNKNOWN),
    (UnbindDriver(PF), snapshot(*make_fleet(1, driver="igb")), "OK", LIKELY),
    # the rest
    (ResetFunction(VF), HELD, "OK", LIKELY),
    (ResetFunction(PF), snapshot(*make_fleet(1), jobs=(make_job(PF),)), "BLOCKED", LIKELY),
    (SetAutoprobe(PF, False), FLEET, "OK", EXACT),
    (SetAutoprobe(PLAIN, False), snapshot(make_plain()), "ENOENT at sriov_drivers_autoprobe", EXACT),
    (SetToken(PF, TOKEN), snapshot(*make_fleet(2), holders=(own_holder(PF), make_holder(VF))), "OK", EXACT),
    (SetToken(PF, TOKEN), FLEET, "OK", LIKELY),
    (Close(VF), FLEET, "OK", EXACT),
]


@pytest.mark.parametrize(("change", "view", "answer", "certainty"), WRITES)
def test_rules(change: Change, view: Snapshot, answer: str, certainty: Certainty) -> None:
    assert told(change, view) == (answer, certainty)


@pytest.mark.parametrize(("resettable", "answer"), [(True, "OK"), (False, "ENOENT at reset"), (Unread("no"), "OK")])
def test_a_function_without_a_way_to_reset_it(resettable: bool | Unread, answer: str) -> None:
    found = predict(ResetFunction(VF), FLEET, seen=Seen(resettable=resettable))
    assert found is not None
    assert found.answer == answer


WINDOW, UNSET = Window(0x1000, 0x1FFF, 0x40200), Window(0x0, 0xFFF, 0x20040200)
FAR = Sriov(8, (), True, 384, 2, 0x10CA)  # the VFs are one bus further


@pytest.mark.parametrize(
    ("pf", "seen", "answer"),
    [
        (make_pf(), Seen(windows=(WINDOW, WINDOW), buses=range(3, 4)), "OK"),
        (make_pf(), Seen(windows=(WINDOW, UNSET), buses=range(3, 4)), "ENOMEM at sriov_numvfs"),
        (make_pf(), Seen(windows=()), "ENOMEM at sriov_numvfs"),
        (make_pf(sriov=FAR), Seen(windows=(WINDOW,), buses=range(3, 4)), "ENOMEM at sriov_numvfs"),
        (make_pf(sriov=FAR), Seen(windows=(WINDOW,), buses=range(3, 5)), "OK"),
        (make_pf(sriov=FAR), Seen(windows=Unread("no"), buses=Unread("no")), "OK"),
        (make_pf("0000:ff:00.0", sriov=FAR), Seen(), "ENOMEM at sriov_numvfs"),
        (make_pf(driver="igb"), Seen(windows=(UNSET,)), "ENOMEM at sriov_numvfs"),
    ],
)
def test_room_for_vfs(pf: Function, seen: Seen, answer: str) -> None:
    found = predict(SetNumvfs(pf.bdf, 2), snapshot(pf), seen=seen)
    assert found is not None
    assert (found.answer, found.certainty) == (answer, LIKELY)


@pytest.mark.parametrize("change", [SetNumvfs(PF, 1), BindDriver(PF, "igb"), UnbindDriver(PF), SetAutoprobe(PF, False)])
def test_in_a_container_sysfs_may_be_read_only(change: Change) -> None:
    seen = Seen(sysfs=frozenset({"ro", "nosuid"}))
    for view in (snapshot(make_pf()), snapshot(make_pf(), host={"enable_sriov": False})):
        found = predict(change, view, seen=seen)
        assert found is not None
        assert (found.errno, found.certainty) == (errno.EROFS, LIKELY)


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
    assert told_of_write(f"/sys/bus/pci/devices/{PF}/remove", "1", PF, FLEET) == ("OK", UNKNOWN)  # no rules for this file here


def test_the_words() -> None:
    assert str(predict(SetNumvfs(PF, 0), HELD)).startswith("it waits, then it works (for qemu-system-x86 (4242) on 0000:03:10.0")
    bind = predict(BindDriver(PLAIN, "vfio-pci"), snapshot(make_plain(driver=None, iommu_group=None), host={"iommu": False}))
    assert str(bind) == f"EINVAL at bind ({PLAIN} has no IOMMU group, nor has any function of this host)"
    assert str(predict(SetAutoprobe(PF, False), FLEET)) == "it works"


def test_an_answer_after_a_wait_is_foretold_as_both() -> None:
    """The function's user goes first, then vfio refuses."""
    view = snapshot(make_plain(driver="mlx5_vfio_pci", iommu_group=None), holders=(make_holder(PLAIN),))
    assert told(BindDriver(PLAIN, "vfio-pci"), view) == ("BLOCKED, then EINVAL at bind", LIKELY)


def test_the_simulated_drivers_do_with_their_vfs_what_is_known_of_them() -> None:
    assert {name for name in leaving.TAKING if not load(name).frees} == set()
    assert {name for name in leaving.LEAVING if load(name).frees or not load(name).sriov} == set()


def test_whether_mlx5_takes_its_vfs_along_depends_on_a_release_that_is_not_known() -> None:
    assert leaving.takes_vfs("mlx5_core", FLEET.host) is None


def test_a_bus_beyond_the_last_is_foretold_with_doubt_where_the_present_vfs_may_move() -> None:
    """A device may change offset and stride with the number of VFs."""
    far = Sriov(8, (), True, 384, 0x8000, 0x10CA)
    for buses, certainty in ((range(3, 4), LIKELY), (OF_ANOTHER_NUMBER, UNKNOWN)):
        found = predict(SetNumvfs(PF, 8), snapshot(make_pf(sriov=far)), seen=Seen(windows=(WINDOW,), buses=buses))
        assert found is not None
        assert (found.answer, found.certainty) == ("ENOMEM at sriov_numvfs", certainty)


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
    jobs = tuple(make_job(draw(BDFS), waits_for=draw(st.sampled_from(["", "x (1)"]))) for _ in range(draw(st.integers(0, 1))))
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


@pytest.mark.parametrize(("kernel", "answer"), [("5.10.1", "ENODEV at bind"), ("6.12.107", "EINVAL at bind")])
def test_a_denylisted_model_is_foretold_with_doubt(kernel: str, answer: str) -> None:
    qat = make_plain(driver=None, driver_override="vfio-pci", vendor_id=0x8086, device_id=0x0435)
    told = predict(BindDriver(qat.bdf, "vfio-pci"), snapshot(qat, host={"kernel": kernel}))
    assert told is not None
    assert (told.answer, told.certainty) == (answer, Certainty.UNKNOWN)
