"""Plans: the exact steps, whom they touch, and why a change cannot be done."""

from __future__ import annotations

import dataclasses

import pytest

from tests.values import (
    FLEET,
    HELD,
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
)
from vfdeck.backend.acts import CloseAct, FeatureAct, OpenAct, VerifyAct, Write, steps
from vfdeck.backend.changes import (
    BindDriver,
    Change,
    Close,
    Open,
    OpenPath,
    Plan,
    ResetFunction,
    SetAutoprobe,
    SetNumvfs,
    SetToken,
    UnbindDriver,
)
from vfdeck.backend.model import Snapshot, TokenState
from vfdeck.backend.plan import plan
from vfdeck.backend.token import Token

DEV = f"/sys/bus/pci/devices/{PF}"
DRIVERS = "/sys/bus/pci/drivers"
BESIDE_A_USER = snapshot(make_plain(), make_plain("0000:04:00.1"), holders=(make_holder("0000:04:00.1"),))


def writes(change: Change, view: Snapshot) -> list[tuple[str, bytes]]:
    """Paths and data of the writes of a change."""
    return [(act.path, act.data) for act in steps(change, view) if isinstance(act, Write)]


def said(result: Plan) -> str:
    """All warnings as one text."""
    return "\n".join(result.warnings)


class TestSteps:
    def test_first_vfs(self) -> None:
        assert writes(SetNumvfs(PF, 4), snapshot(make_pf())) == [(f"{DEV}/sriov_numvfs", b"4\n")]

    def test_another_number_goes_through_0(self) -> None:
        assert writes(SetNumvfs(PF, 8), FLEET) == [(f"{DEV}/sriov_numvfs", b"0\n"), (f"{DEV}/sriov_numvfs", b"8\n")]

    def test_no_vfs(self) -> None:
        assert writes(SetNumvfs(PF, 0), FLEET) == [(f"{DEV}/sriov_numvfs", b"0\n")]

    def test_bind_a_bound_function(self) -> None:
        assert writes(BindDriver(PF, "vfio-pci"), snapshot(make_pf(driver="igb"))) == [
            (f"{DRIVERS}/igb/unbind", b"0000:03:00.0\n"),
            (f"{DEV}/driver_override", b"vfio-pci\n"),
            (f"{DRIVERS}/vfio-pci/bind", b"0000:03:00.0\n"),
        ]

    def test_bind_an_unbound_function(self) -> None:
        view = snapshot(make_pf(driver=None))
        assert [path for path, _ in writes(BindDriver(PF, "igb"), view)] == [f"{DEV}/driver_override", f"{DRIVERS}/igb/bind"]

    def test_let_the_kernel_choose(self) -> None:
        assert writes(BindDriver(PF, None), snapshot(make_pf())) == [
            (f"{DRIVERS}/vfio-pci/unbind", b"0000:03:00.0\n"),
            (f"{DEV}/driver_override", b"\n"),
            ("/sys/bus/pci/drivers_probe", b"0000:03:00.0\n"),
        ]

    def test_unbind_and_autoprobe(self) -> None:
        assert writes(UnbindDriver(PF), FLEET) == [(f"{DRIVERS}/vfio-pci/unbind", b"0000:03:00.0\n")]
        assert writes(SetAutoprobe(PF, False), FLEET) == [(f"{DEV}/sriov_drivers_autoprobe", b"0\n")]

    def test_token_through_an_open_fd_or_by_opening(self) -> None:
        setting, asking = steps(SetToken(PF, TOKEN), FLEET, frozenset({PF}))
        assert setting == FeatureAct(PF, TOKEN)
        assert asking == VerifyAct(VF, TOKEN, OpenPath.GROUP, "/dev/vfio/20", after=True)
        opened, closed, asking = steps(SetToken(PF, TOKEN), FLEET)
        assert asking == VerifyAct(VF, TOKEN, OpenPath.GROUP, "/dev/vfio/20", after=True)
        assert opened == OpenAct(PF, TOKEN, OpenPath.GROUP, "/dev/vfio/10")
        assert closed == CloseAct(PF, just_opened=True)

    def test_opens(self) -> None:
        view = snapshot(make_plain(cdev="vfio3"), make_pf(noiommu=True))
        assert steps(Open(PLAIN, hold=True, path=OpenPath.CDEV), view) == (
            OpenAct(PLAIN, None, OpenPath.CDEV, "/dev/vfio/devices/vfio3"),
        )
        assert steps(Open(PF, hold=True), view) == (OpenAct(PF, None, OpenPath.GROUP, "/dev/vfio/noiommu-10"),)
        assert steps(Close(PF), view) == (CloseAct(PF, just_opened=False),)

    def test_shell_says_the_same_write(self) -> None:
        shell = [act.shell for act in steps(BindDriver(PF, None), snapshot(make_pf()))]
        assert shell[1:] == [f"echo > {DEV}/driver_override", f"echo {PF} > /sys/bus/pci/drivers_probe"]
        assert Write("/sys/a b", b"x y\n", "").shell == "echo 'x y' > '/sys/a b'"

    @pytest.mark.parametrize(
        "change", [SetToken(PF, TOKEN), Open(PF, TOKEN), Open(VF, TOKEN, path=OpenPath.CDEV)], ids=["set", "group", "cdev"]
    )
    @pytest.mark.parametrize("own", [frozenset[str](), frozenset({PF})], ids=["not held", "held"])
    def test_no_token_in_any_text(self, change: Change, own: frozenset[str]) -> None:
        result = plan(change, FLEET, own)
        texts = repr((result, [(a.text, a.shell) for a in steps(change, FLEET, own)]))
        assert TOKEN.reveal_text() not in texts
        assert TOKEN.reveal().hex() not in texts
        assert TOKEN.fingerprint in texts

    def test_the_plan_shows_the_steps(self) -> None:
        result = plan(SetNumvfs(PF, 8), FLEET)
        assert [(s.text, s.shell) for s in result.steps] == [(a.text, a.shell) for a in steps(SetNumvfs(PF, 8), FLEET)]


IMPOSSIBLE: list[tuple[Change, Snapshot, str]] = [
    (SetNumvfs("0000:09:00.0", 1), FLEET, "not there"),
    (SetNumvfs(VF, 1), FLEET, f"{VF} is a VF of {PF}: only a PF has VFs"),
    (SetNumvfs(PLAIN, 1), snapshot(make_plain()), "neither a PF nor a VF"),
    (SetNumvfs(PF, 4), FLEET, "nothing to do"),
    (SetNumvfs(PF, -1), FLEET, "no number"),
    (SetNumvfs(PF, 70000), snapshot(make_pf(totalvfs=None)), "more than 16 bits hold: the kernel would answer EINVAL"),
    (SetNumvfs(PF, 9), FLEET, "ERANGE"),
    (SetNumvfs(PF, 4), snapshot(make_pf(driver=None)), "no driver: the kernel would answer ENOENT"),
    (SetNumvfs(PF, 4), snapshot(make_pf(), host={"enable_sriov": False}), "enable_sriov is N"),
    (SetNumvfs(PF, 4), snapshot(make_pf(), host={"enable_sriov": None}), "has no enable_sriov"),
    (SetNumvfs(PF, 0), snapshot(*make_fleet(2), holders=(own_holder(VF),)), f"vfdeck itself holds {VF}"),
    (SetNumvfs(PF, 4), snapshot(make_pf(), jobs=(make_job(),)), "under way"),
    (BindDriver(PF, "vfio-pci"), FLEET, "on vfio-pci already"),
    (BindDriver(PF, "../../x"), FLEET, "no name of a driver"),
    (BindDriver(PF, ".."), FLEET, "no name of a driver"),
    (BindDriver(PF, "a\nb"), FLEET, "no name of a driver"),
    (BindDriver(PF, ""), FLEET, "no name of a driver"),
    (BindDriver(PF, "vfio-pci"), snapshot(*make_fleet(2, driver="nvme")), "takes no PF with VFs: the kernel would answer EBUSY"),
    (
        BindDriver(PF, "vfio-pci"),
        snapshot(make_pf(driver="igb", iommu_group=None)),
        "has no IOMMU group: the kernel would",
    ),
    (BindDriver(PF, "vfio-pci"), snapshot(make_pf(driver="igb", class_code=0x060400)), "is a bridge"),
    (BindDriver(PLAIN, "e1000e"), BESIDE_A_USER, "group 40 is held by qemu-system-x86 (4242) on 0000:04:00.1: the kernel would"),
    (BindDriver(PF, "igb"), snapshot(*make_fleet(2), holders=(own_holder(PF),)), "vfdeck itself holds"),
    (BindDriver(PF, "igb"), snapshot(*make_fleet(2), holders=(own_holder(VF),)), "vfdeck itself holds"),
    (UnbindDriver(PF), snapshot(make_pf(driver=None)), "has no driver"),
    (UnbindDriver(VF), snapshot(*make_fleet(2), holders=(own_holder(VF),)), "vfdeck itself holds"),
    (SetToken(VF, TOKEN), FLEET, "only a PF has a token"),
    (SetToken(PF, TOKEN), snapshot(make_pf(driver="igb")), "is on igb: only a PF on vfio-pci"),
    (SetToken(PF, TOKEN), snapshot(make_pf(), host={"kernel": "5.4.0"}), "no VF tokens"),
    (SetToken(PF, TOKEN), HELD, "would only compare"),
    (SetToken(PF, TOKEN), snapshot(make_pf(), holders=(make_holder(PF, kind="group"),)), "taken by qemu-system-x86 (4242)"),
    (SetToken(PF, TOKEN), snapshot(make_pf(iommu_group=None)), "no IOMMU group"),
    (Open("0000:09:00.0"), FLEET, "not there"),
    (Close(PF), FLEET, "does not hold"),
    (SetAutoprobe(VF, True), FLEET, "only a PF"),
    (SetAutoprobe(PF, True), FLEET, "nothing to do"),
]


@pytest.mark.parametrize(("change", "view", "reason"), IMPOSSIBLE)
def test_impossible(change: Change, view: Snapshot, reason: str) -> None:
    result = plan(change, view)
    assert reason in result.impossible
    assert result.steps == ()


@pytest.mark.parametrize(("change", "view", "reason"), IMPOSSIBLE)
def test_a_look_that_may_be_late_changes_nothing_of_that(change: Change, view: Snapshot, reason: str) -> None:
    assert reason in plan(change, dataclasses.replace(view, late=10.0)).impossible


POSSIBLE: list[tuple[Change, Snapshot]] = [
    (BindDriver(PF, "vfio-pci"), snapshot(*make_fleet(2, driver="igb"))),
    (BindDriver(PF, "vfio-pci"), snapshot(*make_fleet(2, driver="qede"))),
    (BindDriver(PF, "vfio-pci"), snapshot(*make_fleet(2, driver="igb"), host={"kernel": "5.4.0"})),
    (BindDriver(PF, "vfio-pci"), snapshot(make_pf(driver="igb", iommu_group=None), host={"noiommu": True})),
    (SetToken(PF, TOKEN), snapshot(*make_fleet(2), holders=(own_holder(PF), make_holder(VF)))),
    (Open(PF), snapshot(make_pf(driver=None, iommu_group=None), host={"privileged": False})),
    (Open(VF), HELD),
    (Close(VF), snapshot(*make_fleet(1), holders=(own_holder(VF),))),
    (SetNumvfs(PF, 4), snapshot(make_pf(totalvfs=None))),
    (SetNumvfs(PF, 4), snapshot(make_pf(driver="mlx5_vfio_pci"))),
    (SetNumvfs(PF, 9), snapshot(make_pf(), host={"privileged": False})),
    (BindDriver(PLAIN, "vfio-pci"), snapshot(make_plain(driver=None, vendor_id=0x8086, device_id=0x37C8))),
    (SetNumvfs(PF, 4), snapshot(make_pf(driver="igb"), host={"enable_sriov": False})),
]


@pytest.mark.parametrize(("change", "view"), POSSIBLE)
def test_possible(change: Change, view: Snapshot) -> None:
    result = plan(change, view)
    assert result.impossible == ""
    assert result.steps


def test_an_open_beside_a_running_change_where_both_would_hang() -> None:
    jobs = (make_job(),)
    assert "hang" in plan(Open(PF), snapshot(make_pf(), jobs=jobs, host={"kernel": "6.14.0"})).impossible
    fine = plan(Open(PF), snapshot(make_pf(), jobs=jobs, host={"kernel": "7.3.4"}))
    assert not fine.impossible
    assert "expected: EAGAIN at get_device_fd as far as can be seen (a change of 0000:03:00.0 is under way" in said(fine)


class TestBlastRadius:
    def test_vfs_and_what_hangs_on_them(self) -> None:
        fleet = [make_pf(vfs=3, driver="igb"), make_vf(), make_vf(index=1, driver="igbvf", interfaces=("eth1",))]
        view = snapshot(*fleet, make_vf(index=2, driver="nvme", disks=("nvme2n1",)), holders=(make_holder(VF),))
        result = plan(SetNumvfs(PF, 8), view)
        assert result.destructive
        assert result.warnings[0].startswith("3 -> 8 needs 0 in between: all 3 VFs vanish")
        for part in ("interface eth1", "disk nvme2n1", f"qemu-system-x86 (4242) on {VF}"):
            assert part in result.warnings[0]

    def test_the_kernel_waits_for_holders(self) -> None:
        assert "without limit, until qemu-system-x86 (4242)" in said(plan(SetNumvfs(PF, 0), HELD))
        partly = snapshot(*make_fleet(1), unseen=5)
        assert "5 processes could not be looked at" in said(plan(SetNumvfs(PF, 0), partly))

    def test_new_vfs(self) -> None:
        unset = snapshot(make_pf(), tokens=[make_knowledge(state=TokenState.UNSET)])
        result = plan(SetNumvfs(PF, 2), unset)
        assert not result.destructive
        assert "never set" in said(result)
        assert "drivers of the host take" in said(plan(SetNumvfs(PF, 2), snapshot(make_pf(driver="igb"))))

    def test_interfaces_and_disks_of_a_function(self) -> None:
        view = snapshot(make_plain(driver="e1000e", interfaces=("eth0",)))
        result = plan(BindDriver(PLAIN, "vfio-pci"), view)
        assert result.destructive
        assert f"interface eth0 of {PLAIN} vanishes" in said(result)

    def test_unused_function_is_not_destructive(self) -> None:
        assert not plan(BindDriver(PLAIN, "vfio-pci"), snapshot(make_plain(driver="e1000e"))).destructive

    def test_pf_leaves_vfio(self) -> None:
        view = snapshot(*make_fleet(2), tokens=[make_knowledge(fingerprint=TOKEN.fingerprint)])
        text = said(plan(UnbindDriver(PF), view))
        assert "takes the VFs with it: all 2 VFs vanish" in text
        assert f"token #{TOKEN.fingerprint} is lost" in text

    @pytest.mark.parametrize("change", [UnbindDriver(PF), BindDriver(PF, "vfio-pci")])
    @pytest.mark.parametrize(
        ("driver", "words"),
        [
            ("igb", "igb takes the VFs with it: all 2 VFs vanish"),
            ("qede", "qede may leave its VFs behind, or take them with it: then all 2 VFs vanish"),
        ],
    )
    def test_pf_on_its_own_driver_leaves(self, change: Change, driver: str, words: str) -> None:
        view = snapshot(*make_fleet(2, driver=driver), holders=(make_holder(VF),))
        result = plan(change, view)
        assert not result.impossible
        assert result.destructive
        assert words in said(result)
        assert f"in use: qemu-system-x86 (4242) on {VF}" in said(result)
        doubt = "if its VFs go: " if driver == "qede" else ""
        assert f"{doubt}MAC addresses, VLANs and other settings of these VFs are lost (G4)" in result.warnings
        assert f"{doubt}the kernel waits, without limit, until qemu-system-x86 (4242) on {VF} lets go" in result.warnings
        assert ("expected:" in said(result)) == (driver == "qede")  # what cannot be known is said

    def test_pf_on_a_driver_that_leaves_its_vfs_behind(self) -> None:
        view = snapshot(*make_fleet(2, driver="nvme"), holders=(make_holder(VF),))
        text = said(plan(UnbindDriver(PF), view))
        assert f"nvme leaves the 2 VFs of {PF} behind" in text
        assert "vanish" not in text
        assert "until" not in text

    @pytest.mark.parametrize(
        ("change", "view"),
        [
            (UnbindDriver(PLAIN), snapshot(make_plain(), unseen=3)),
            (BindDriver(PLAIN, "e1000e"), snapshot(make_plain(), unseen=3)),
            (UnbindDriver(VF), snapshot(*make_fleet(2), unseen=3)),
            (UnbindDriver(PF), snapshot(*make_fleet(2), unseen=3)),
            (SetNumvfs(PF, 0), snapshot(*make_fleet(2), unseen=3)),
        ],
    )
    def test_who_could_not_be_looked_at_may_hold_it(self, change: Change, view: Snapshot) -> None:
        result = plan(change, view)
        assert result.destructive
        assert "3 processes could not be looked at: there may be holders, and then the kernel waits for them" in said(result)

    def test_nobody_holds_by_vfio_what_is_on_another_driver(self) -> None:
        assert not plan(UnbindDriver(PLAIN), snapshot(make_plain(driver="e1000e"), unseen=3)).destructive

    def test_a_reset_is_felt_by_whoever_uses_the_function_or_its_vfs(self) -> None:
        result = plan(ResetFunction(PF), HELD)
        assert result.destructive
        assert f"its 4 VFs are used by qemu-system-x86 (4242) on {VF}, dpdk" in said(result)
        assert "neither for the token nor the users" in said(result)
        assert "interface eth0" in said(plan(ResetFunction(PLAIN), snapshot(make_plain(driver="e1000e", interfaces=("eth0",)))))
        assert not plan(ResetFunction(VF), snapshot(*make_fleet(1))).destructive
        assert "may be users" in said(plan(ResetFunction(VF), snapshot(*make_fleet(1), unseen=2)))

    def test_company_in_the_group(self) -> None:
        view = snapshot(make_plain(driver="e1000e"), make_plain("0000:04:00.1", driver="snd_hda_intel"))
        assert "group 40 cannot be used while 0000:04:00.1 (snd_hda_intel) is in it" in said(
            plan(BindDriver(PLAIN, "vfio-pci"), view)
        )

    def test_token_replaced_under_users(self) -> None:
        view = snapshot(*make_fleet(2), holders=(own_holder(PF), make_holder(VF)))
        result = plan(SetToken(PF, TOKEN), view)
        assert result.destructive
        assert "VFs in use: 1" in said(result)

    def test_well_known_token(self) -> None:
        known = Token.parse("14d63f20-8445-11ea-8900-1f9ce7d5650d")
        assert "no secret" in said(plan(SetToken(PF, known), FLEET))

    def test_opening_a_pf(self) -> None:
        result = plan(Open(PF, TOKEN), FLEET)
        assert "resets it, under its 4 VFs" in said(result)
        assert "with a token sets it" in said(result)

    def test_not_root(self) -> None:
        text = said(plan(SetNumvfs(PF, 2), snapshot(make_pf(), host={"privileged": False})))
        assert "expected: EACCES at sriov_numvfs as far as can be seen (vfdeck does not run as root)" in text


FORETOLD: list[tuple[Change, Snapshot, str]] = [
    (Open(VF), FLEET, "EACCES at get_device_fd"),
    (SetNumvfs(PF, 4), snapshot(make_pf(driver="mlx5_vfio_pci")), "ENOENT at sriov_numvfs"),
    (SetNumvfs(PF, 0), HELD, "BLOCKED"),
    (SetNumvfs(PF, 8), FLEET, "OK"),
    (BindDriver(PLAIN, "vfio-pci"), snapshot(make_plain(driver="e1000e")), "OK"),
    (UnbindDriver(VF), HELD, "BLOCKED"),
    (SetToken(PF, TOKEN), FLEET, "OK"),
    (SetAutoprobe(PF, False), FLEET, "OK"),
    (Close(VF), snapshot(*make_fleet(1), holders=(own_holder(VF),)), "OK"),
]


@pytest.mark.parametrize(("change", "view", "answer"), FORETOLD)
def test_every_kind_of_plan_foretells_the_answer(change: Change, view: Snapshot, answer: str) -> None:
    result = plan(change, view)
    assert not result.impossible
    assert result.predicted is not None
    assert result.predicted.answer == answer
    assert (f"expected: {result.predicted}" in result.warnings) == bool(result.predicted.errno)


def test_what_cannot_be_known_does_not_make_a_plan_impossible() -> None:
    result = plan(BindDriver(PLAIN, "vfio-pci"), snapshot(make_plain(driver="qat_c62x", vendor_id=0x8086, device_id=0x37C8)))
    assert not result.impossible
    assert "expected: EINVAL at bind or success, which cannot be known (vfio-pci does not take this model" in said(result)
