"""Which entry is named first for which answer, and what it says."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from tests.values import (
    OTHER,
    PF,
    PLAIN,
    TOKEN,
    VF,
    make_fleet,
    make_holder,
    make_knowledge,
    make_pf,
    make_plain,
    make_vf,
    snapshot,
    vf_address,
    without,
)
from vfdeck.backend.causes import ANY_FILE, TABLE
from vfdeck.backend.changes import BindDriver, Change, Explanation, Open, OpenPath, SetNumvfs, SetToken, UnbindDriver
from vfdeck.backend.explain import explain
from vfdeck.backend.facts import Facts
from vfdeck.backend.kernel import Stage
from vfdeck.backend.model import Snapshot, TokenState
from vfdeck.backend.token import Token


def asked(view: Snapshot, change: Change, stage: Stage, answer: str, **fields: Any) -> list[Explanation]:
    """The explanations of one answer; `answer` is an errno's name, OK or BLOCKED."""
    fields = {"blocked": answer == "BLOCKED", **fields}
    return explain(Facts(view, change, stage, getattr(errno, answer, 0), **fields))


def first(*args: Any, **fields: Any) -> str:
    """The id of the entry named first."""
    return asked(*args, **fields)[0].entry


def numvfs(view: Snapshot, count: int, answer: str, **fields: Any) -> list[Explanation]:
    path = f"/sys/bus/pci/devices/{PF}/sriov_numvfs"
    return asked(view, SetNumvfs(PF, count), Stage.FILE, answer, target=path, **fields)


def bound(view: Snapshot, answer: str, driver: str = "vfio-pci", bdf: str = PF) -> list[Explanation]:
    return asked(view, BindDriver(bdf, driver), Stage.FILE, answer, target=f"/sys/bus/pci/drivers/{driver}/bind")


def unbound(view: Snapshot, answer: str, bdf: str = PF) -> list[Explanation]:
    return asked(view, UnbindDriver(bdf), Stage.FILE, answer, target="/sys/bus/pci/drivers/vfio-pci/unbind")


class TestDecisionTable:
    """The refusing rows of the token judgement: 2, 3, 4, 8, 9 and 12, on both paths."""

    FLEET = snapshot(*make_fleet(2))
    HELD = snapshot(*make_fleet(2), holders=(make_holder(vf_address(PF, 1)),))

    def test_row_2_vf_of_a_pf_that_is_not_on_vfio(self) -> None:
        view = snapshot(*make_fleet(2, driver="igb"))
        found = asked(view, Open(VF, TOKEN), Stage.GET_DEVICE_FD, "EINVAL")[0]
        assert found.entry == "D8"
        assert f"{VF} is a VF of {PF}, which is on igb" in found.why

    def test_row_3_no_token(self) -> None:
        found = asked(self.FLEET, Open(VF), Stage.GET_DEVICE_FD, "EACCES")[0]
        assert found.entry == "D1"
        assert found.title == "VF token required"
        assert f"{VF} is a VF of {PF}, which is on vfio-pci" in found.why
        assert f"readlink /sys/bus/pci/devices/{VF}/physfn" in found.check

    @pytest.mark.parametrize(
        ("state", "fingerprint", "entry"),
        [
            (TokenState.UNKNOWN, "", "D2"),
            (TokenState.UNSET, "", "D3"),
            (TokenState.SET, OTHER.fingerprint, "D2"),
            (TokenState.SET, TOKEN.fingerprint, "D5"),
        ],
    )
    def test_row_4_wrong_token_by_what_is_known(self, state: TokenState, fingerprint: str, entry: str) -> None:
        view = snapshot(*make_fleet(2), tokens=[make_knowledge(state=state, fingerprint=fingerprint)])
        found = asked(view, Open(VF, TOKEN), Stage.GET_DEVICE_FD, "EACCES")
        assert found[0].entry == entry
        assert "D4" in [e.entry for e in found] or fingerprint == OTHER.fingerprint

    def test_row_4_says_when_the_token_was_set(self) -> None:
        view = snapshot(*make_fleet(1), tokens=[make_knowledge(fingerprint=OTHER.fingerprint)])
        why = asked(view, Open(VF, TOKEN), Stage.GET_DEVICE_FD, "EACCES")[0].why
        assert f"#{TOKEN.fingerprint}" in why
        assert f"#{OTHER.fingerprint} was set here at 2025-01-01 12:00 UTC" in why

    @pytest.mark.parametrize("token", [None, TOKEN], ids=["row 8", "row 9"])
    def test_rows_8_and_9_pf_with_vfs_in_use(self, token: Token | None) -> None:
        found = asked(self.HELD, Open(PF, token), Stage.GET_DEVICE_FD, "EACCES")[0]
        assert found.entry == "D6"
        assert "qemu-system-x86 (4242)" in found.why

    def test_setting_a_token_by_opening_while_vfs_are_in_use(self) -> None:
        assert first(self.HELD, SetToken(PF, TOKEN), Stage.GET_DEVICE_FD, "EACCES") == "D7"

    def test_row_12_plain(self) -> None:
        assert first(snapshot(make_plain()), Open(PLAIN, TOKEN), Stage.GET_DEVICE_FD, "EINVAL") == "D9"

    def test_the_same_at_the_bind_from_6_17(self) -> None:
        view = snapshot(*make_fleet(1), host={"kernel": "6.18.3"})
        found = asked(view, Open(VF, path=OpenPath.CDEV), Stage.BIND_IOMMUFD, "EACCES")
        assert [e.entry for e in found][:2] == ["E6", "D1"]
        assert "its VFs open only with its token" in found[0].why

    @pytest.mark.parametrize("line", ["VF token required to access device", "Incorrect VF token provided for device"])
    def test_the_first_explanation_quotes_the_kernel_s_line(self, line: str) -> None:
        """A PF with VFs in use, opened by its node or its group; a VF by its node."""
        log = ("something else", f"vfio-pci {PF}: {line}")
        view = snapshot(*make_fleet(2), holders=(make_holder(vf_address(PF, 1)),), host={"kernel": "6.18.3"})
        assert asked(view, Open(PF, TOKEN), Stage.GET_DEVICE_FD, "EACCES", log=log)[0].log == log[1]
        for bdf in (PF, VF):
            change = Open(bdf, TOKEN, path=OpenPath.CDEV)
            assert asked(view, change, Stage.BIND_IOMMUFD, "EACCES", log=log)[0].log == log[1]

    @pytest.mark.parametrize(("kernel", "entry"), [("6.12.107", "E1"), ("6.17.0", "D8"), ("7.3.4", "D8")])
    def test_row_2_at_the_bind(self, kernel: str, entry: str) -> None:
        view = snapshot(*make_fleet(1, driver="igb"), host={"kernel": kernel})
        assert first(view, Open(VF, TOKEN, path=OpenPath.CDEV), Stage.BIND_IOMMUFD, "EINVAL") == entry

    @pytest.mark.parametrize(("kernel", "entry"), [("5.16.0", "D8"), ("5.18.0", "C16"), ("5.10.1", "C16")])
    def test_variant_drivers_hid_the_pf_for_a_while(self, kernel: str, entry: str) -> None:
        view = snapshot(*make_fleet(1, vf={"driver": "mlx5_vfio_pci"}), host={"kernel": kernel})
        assert first(view, Open(VF, TOKEN), Stage.GET_DEVICE_FD, "EINVAL") == entry


class TestTheString:
    FLEET = snapshot(*make_fleet(2))

    @pytest.mark.parametrize("rest", [b" vf_token=x", b" foo=bar", b" VF_TOKEN=2d5bb75c-0a54-4b2a-8c0e", b" vf_token={x}"])
    def test_malformed_options(self, rest: bytes) -> None:
        found = asked(self.FLEET, Open(VF), Stage.GET_DEVICE_FD, "EINVAL", argument=VF.encode() + rest)
        assert found[0].entry == "D10"

    def test_duplicate_option_is_named(self) -> None:
        option = b" vf_token=" + TOKEN.reveal_text().encode()
        found = asked(self.FLEET, Open(VF), Stage.GET_DEVICE_FD, "EINVAL", argument=VF.encode() + option + option)[0]
        assert "given twice" in found.why

    @pytest.mark.parametrize("argument", [b"03:10.0", VF.encode() + b"\n", VF.encode() + b",vf_token=", b""])
    def test_name_not_as_the_kernel_spells_it(self, argument: bytes) -> None:
        assert first(self.FLEET, Open(VF), Stage.GET_DEVICE_FD, "ENODEV", argument=argument) == "D11"

    def test_name_of_another_function(self) -> None:
        argument = vf_address(PF, 1).encode()
        assert first(self.FLEET, Open(VF), Stage.GET_DEVICE_FD, "ENODEV", argument=argument) == "C17"

    def test_token_before_5_7(self) -> None:
        view = snapshot(*make_fleet(1), host={"kernel": "5.4.0"})
        assert first(view, Open(VF, TOKEN), Stage.GET_DEVICE_FD, "ENODEV") == "D11"

    def test_function_on_another_driver(self) -> None:
        view = snapshot(*make_fleet(1, vf={"driver": "igbvf"}))
        found = asked(view, Open(VF), Stage.GET_DEVICE_FD, "ENODEV")[0]
        assert found.entry == "C17"
        assert "igbvf" in found.why

    def test_no_container(self) -> None:
        assert first(self.FLEET, Open(VF, TOKEN), Stage.GET_DEVICE_FD, "EINVAL") == "C16"

    def test_the_string_is_in_no_text(self) -> None:
        argument = VF.encode() + b" vf_token=" + TOKEN.reveal_text().encode() + b"x"
        facts = Facts(self.FLEET, Open(VF), Stage.GET_DEVICE_FD, errno.EINVAL, argument=argument)
        assert TOKEN.reveal_text() not in repr(facts) + repr(explain(facts))


class TestNumberOfVfs:
    @pytest.mark.parametrize(
        ("view", "entry"),
        [
            (snapshot(make_pf(), host={"enable_sriov": False}), "A8"),
            (snapshot(make_pf(), host={"enable_sriov": None, "kernel": "5.4.0"}), "A9"),
            (snapshot(make_pf(driver=None)), "A6"),
            (snapshot(make_pf(driver="e1000e")), "A7"),
            (snapshot(make_pf(driver="mlx5_vfio_pci")), "A7"),
            (snapshot(make_plain(PF)), "A1"),
            (snapshot(), "G11"),
        ],
        ids=["switched off", "no parameter", "no driver", "no hook", "variant", "not a PF", "gone"],
    )
    def test_kinds_of_enoent(self, view: Snapshot, entry: str) -> None:
        assert numvfs(view, 4, "ENOENT")[0].entry == entry

    def test_a_vf_is_no_pf(self) -> None:
        view = snapshot(*make_fleet(1))
        path = f"/sys/bus/pci/devices/{VF}/sriov_numvfs"
        found = asked(view, SetNumvfs(VF, 1), Stage.FILE, "ENOENT", target=path)[0]
        assert found.entry == "A1"
        assert f"{VF} is a VF of {PF}" in found.why

    @pytest.mark.parametrize(
        ("count", "answer", "entry"),
        [
            (9, "ERANGE", "A3"),
            (70000, "EINVAL", "A4"),
            (4, "EINVAL", "A24"),
            (4, "EBUSY", "A5"),
            (0, "EBUSY", "A23"),
            (4, "EPERM", "A23"),
            (4, "ENOMEM", "A10"),
            (4, "ENOSPC", "A14"),
            (4, "EIO", "A15"),
            (4, "ENODEV", "A16"),
            (4, "EACCES", "A19"),
            (4, "EROFS", "A20"),
        ],
    )
    def test_other_errnos(self, count: int, answer: str, entry: str) -> None:
        assert numvfs(snapshot(*make_fleet(2)), count, answer)[0].entry == entry

    @pytest.mark.parametrize(("kernel", "entry"), [("5.15.30", "A4"), ("6.12.107", "A3")])
    def test_above_65535_by_kernel(self, kernel: str, entry: str) -> None:
        assert numvfs(snapshot(make_pf(), host={"kernel": kernel}), 70000, "ERANGE")[0].entry == entry

    def test_numbers_are_filled_in(self) -> None:
        found = numvfs(snapshot(*make_fleet(4)), 6, "EBUSY")[0]
        assert f"{PF} has 4 VFs and 6 were asked for" in found.why

    def test_bus_numbers_only_where_the_last_vf_is_on_another_bus(self) -> None:
        near, far = snapshot(make_pf()), snapshot(make_pf(totalvfs=128))
        assert "A11" not in [e.entry for e in numvfs(near, 8, "ENOMEM")]
        found = numvfs(far, 100, "ENOMEM")[0]
        assert found.entry == "A11"
        assert "0000:04:" in found.why

    def test_the_log_orders_what_the_facts_leave_open(self) -> None:
        log = ("igb 0000:03:00.0: SR-IOV: IOV BARS not allocated",)
        found = numvfs(snapshot(make_pf()), 8, "ENOMEM", log=log)
        assert (found[0].entry, found[0].log) == ("A12", log[0])

    def test_fewer_than_asked_for(self) -> None:
        view = snapshot(make_pf())
        assert numvfs(view, 8, "OK", got=7)[0].entry == "A17"
        assert numvfs(view, 8, "OK", got=0)[0].entry == "A18"
        assert numvfs(view, 8, "OK", got=8) == []


class TestBlocked:
    HELD = snapshot(*make_fleet(2), holders=(make_holder(VF),))

    def test_removing_vfs_names_the_holder(self) -> None:
        found = numvfs(self.HELD, 0, "BLOCKED")[0]
        assert found.entry == "G1"
        assert f"qemu-system-x86 (4242) on {VF}" in found.why
        assert any("-p 4242" in line for line in found.check)

    def test_nobody_seen_is_not_nobody(self) -> None:
        found = numvfs(snapshot(*make_fleet(2), unseen=3), 0, "BLOCKED")[0]
        assert "nobody that vfdeck could see (3 processes could not be looked at)" in found.why
        assert not any("PIDS" in line or "-p " in line for line in found.check)

    def test_making_vfs(self) -> None:
        assert numvfs(snapshot(make_pf()), 4, "BLOCKED")[0].entry == "A21"

    def test_unbinding(self) -> None:
        assert unbound(self.HELD, "BLOCKED", VF)[0].entry == "B13"
        assert unbound(self.HELD, "BLOCKED", PF)[0].entry == "B16"
        kernel_pf = snapshot(*make_fleet(2, driver="igb"), holders=(make_holder(VF),))
        assert unbound(kernel_pf, "BLOCKED", PF)[0].entry == "G1"


class TestBinding:
    @pytest.mark.parametrize(
        ("view", "answer", "entry"),
        [
            (snapshot(*make_fleet(2, driver="igb")), "EBUSY", "B4"),
            (snapshot(make_pf(driver="igb")), "ENODEV", "B8"),
            (snapshot(*make_fleet(2, driver="igb"), host={"kernel": "5.10.0"}), "ENODEV", "B4"),
            (snapshot(make_pf(driver="igb", iommu_group=None), host={"kernel": "5.10.0", "iommu": False}), "ENODEV", "B1"),
            (snapshot(make_pf(driver="igb", iommu_group=None), host={"iommu": False}), "EINVAL", "B1"),
            (snapshot(make_pf(driver="igb", iommu_group=None)), "EINVAL", "B2"),
            (snapshot(make_pf(driver="igb")), "EINVAL", "B6"),
            (snapshot(make_pf(driver="igb"), host={"kernel": "5.15.30"}), "EINVAL", "B3"),
            (snapshot(make_pf(driver="c6xx", device_id=0x37C8)), "EINVAL", "B3"),
            (snapshot(make_pf(driver="igb", class_code=0x060400)), "EINVAL", "B5"),
            (snapshot(make_pf(driver="igb")), "ENOENT", "B7"),
            (snapshot(), "ENODEV", "G11"),
        ],
    )
    def test_to_vfio(self, view: Snapshot, answer: str, entry: str) -> None:
        assert bound(view, answer)[0].entry == entry

    def test_kernel_driver_into_a_group_in_use(self) -> None:
        view = snapshot(make_pf(), make_plain(iommu_group=10), holders=(make_holder(PLAIN),))
        found = bound(view, "EBUSY", "igb")[0]
        assert found.entry == "B12"
        assert "qemu-system-x86 (4242)" in found.why

    def test_kernel_driver_and_nobody_has_the_group(self) -> None:
        assert bound(snapshot(make_pf()), "EBUSY", "igb")[0].entry == "B11"
        assert bound(snapshot(make_pf(), unseen=1), "EBUSY", "igb")[0].entry == "B12"

    def test_unbind_what_is_not_bound(self) -> None:
        assert unbound(snapshot(make_pf(driver="igb")), "ENODEV")[0].entry == "B23"


class TestGroupPath:
    VIEW = snapshot(*make_fleet(2))

    @pytest.mark.parametrize(
        ("stage", "answer", "entry"),
        [
            (Stage.OPEN_GROUP, "ENOENT", "C1"),
            (Stage.OPEN_GROUP, "EPERM", "C4"),
            (Stage.OPEN_GROUP, "EBUSY", "C6"),
            (Stage.OPEN_GROUP, "ENXIO", "C7"),
            (Stage.OPEN_CONTAINER, "ENOENT", "C21"),
            (Stage.SET_CONTAINER, "EPERM", "C12"),
            (Stage.SET_CONTAINER, "EINVAL", "C15"),
            (Stage.SET_CONTAINER, "EBADFD", "C14"),
            (Stage.SET_CONTAINER, "ENOTTY", "C14"),
            (Stage.SET_CONTAINER, "EBUSY", "C20"),
            (Stage.SET_IOMMU, "EPERM", "C12"),
            (Stage.SET_IOMMU, "ENODEV", "C13"),
            (Stage.SET_IOMMU, "EINVAL", "C15"),
            (Stage.GET_DEVICE_FD, "EAGAIN", "F3"),
            (Stage.FEATURE, "ENOTTY", "D21"),
        ],
    )
    def test_by_stage_and_errno(self, stage: Stage, answer: str, entry: str) -> None:
        assert first(self.VIEW, Open(VF), stage, answer) == entry

    def test_file_mode_or_security_module(self) -> None:
        user = snapshot(*make_fleet(1), host={"privileged": False})
        assert first(user, Open(VF), Stage.OPEN_GROUP, "EACCES", target="/dev/vfio/20") == "C2"
        assert first(self.VIEW, Open(VF), Stage.OPEN_GROUP, "EACCES", target="/dev/vfio/20") == "C3"

    def test_no_iommu_needs_rawio(self) -> None:
        view = snapshot(make_plain(noiommu=True))
        for stage in (Stage.OPEN_GROUP, Stage.SET_CONTAINER, Stage.SET_IOMMU):
            assert first(view, Open(PLAIN), stage, "EPERM") == "C5"

    def test_holder_of_the_group_is_named(self) -> None:
        view = snapshot(make_plain(), holders=(make_holder(PLAIN, 77, "dpdk", kind="group"),))
        found = asked(view, Open(PLAIN), Stage.OPEN_GROUP, "EBUSY", target="/dev/vfio/40")[0]
        assert (found.entry, found.why) == ("C6", f"/dev/vfio/40 is held by dpdk (77) on {PLAIN}.")

    def test_the_other_path_is_in_use(self) -> None:
        view = snapshot(make_plain(), holders=(make_holder(PLAIN, kind="cdev"),))
        assert first(view, Open(PLAIN), Stage.OPEN_GROUP, "EBUSY") == "C18"

    def test_the_member_that_blocks_the_group_is_named_and_bridges_are_not(self) -> None:
        company = make_plain("0000:04:00.1", iommu_group=40, driver="nvme")
        bridge = make_plain("0000:04:01.0", iommu_group=40, driver="pcieport", class_code=0x060400)
        found = asked(snapshot(make_plain(), company, bridge), Open(PLAIN), Stage.SET_CONTAINER, "EPERM")[0]
        assert found.entry == "C8"
        assert "0000:04:00.1 (nvme)" in found.why
        assert "0000:04:01.0" not in found.why

    def test_not_viable_before_5_19(self) -> None:
        company = make_plain("0000:04:00.1", iommu_group=40, driver="nvme")
        view = snapshot(make_plain(), company, host={"kernel": "5.15.30"})
        assert first(view, Open(PLAIN), Stage.GET_DEVICE_FD, "EINVAL") == "C8"

    @pytest.mark.parametrize(("iommu", "entry"), [(False, "B1"), (True, "B2")])
    def test_no_group(self, iommu: bool, entry: str) -> None:
        view = snapshot(make_plain(iommu_group=None), host={"iommu": iommu})
        assert first(view, Open(PLAIN), Stage.IOMMU_GROUP, "ENOENT") == entry

    def test_a_vf_that_has_gone(self) -> None:
        view = without(self.VIEW, VF)
        for stage, answer in ((Stage.IOMMU_GROUP, "ENOENT"), (Stage.OPEN_GROUP, "ENOENT"), (Stage.GET_DEVICE_FD, "ENODEV")):
            assert first(view, Open(VF), stage, answer) == "G11"


class TestCdevPath:
    @pytest.mark.parametrize(
        ("kernel", "token", "answer", "entry"),
        [
            ("6.14.0", TOKEN, "EINVAL", "E1"),
            ("6.14.0", None, "EINVAL", "E11"),
            ("6.17.0", TOKEN, "E2BIG", "E9"),
            ("6.18.3", TOKEN, "EINVAL", "E11"),
            ("6.18.3", TOKEN, "EACCES", "E6"),
            ("6.18.3", None, "EBADFD", "E10"),
            ("6.18.3", None, "EAGAIN", "F3"),
        ],
    )
    def test_bind(self, kernel: str, token: Token | None, answer: str, entry: str) -> None:
        view = snapshot(*make_fleet(1), host={"kernel": kernel})
        assert first(view, Open(VF, token, path=OpenPath.CDEV), Stage.BIND_IOMMUFD, answer) == entry

    def test_second_binder_names_the_first(self) -> None:
        view = snapshot(make_plain(cdev="vfio3"), holders=(make_holder(PLAIN, kind="cdev"),))
        found = asked(view, Open(PLAIN, path=OpenPath.CDEV), Stage.BIND_IOMMUFD, "EINVAL")[0]
        assert found.entry == "E2"
        assert "qemu-system-x86 (4242)" in found.why
        assert "ls -l /proc/*/fd/* 2>/dev/null | grep /dev/vfio/devices/vfio3" in found.check
        assert f"vfdeck holders {PLAIN}" in found.check
        assert found.actions == ("close",)

    def test_a_holder_that_may_be_hidden_is_named_first(self) -> None:
        view = snapshot(make_plain(cdev="vfio3"), unseen=2)
        assert first(view, Open(PLAIN, path=OpenPath.CDEV), Stage.BIND_IOMMUFD, "EINVAL") == "E2"

    def test_group_in_use(self) -> None:
        view = snapshot(make_plain(), holders=(make_holder(PLAIN),))
        assert first(view, Open(PLAIN, path=OpenPath.CDEV), Stage.BIND_IOMMUFD, "EBUSY") == "E3"

    @pytest.mark.parametrize(
        ("stage", "answer", "entry"),
        [
            (Stage.CDEV_NODE, "ENOENT", "E8"),
            (Stage.OPEN_CDEV, "EACCES", "E5"),
            (Stage.OPEN_IOMMU, "ENOENT", "E4"),
            (Stage.OPEN_IOMMU, "EACCES", "E5"),
        ],
    )
    def test_nodes(self, stage: Stage, answer: str, entry: str) -> None:
        view = snapshot(*make_fleet(1), host={"privileged": False})
        assert first(view, Open(VF, path=OpenPath.CDEV), stage, answer) == entry

    @pytest.mark.parametrize(("kernel", "entries"), [("6.14.0", ["D17"]), ("6.18.3", []), ("6.5.0", [])])
    def test_open_that_should_have_been_guarded(self, kernel: str, entries: list[str]) -> None:
        view = snapshot(*make_fleet(1), host={"kernel": kernel})
        found = asked(view, Open(VF, path=OpenPath.CDEV), Stage.BIND_IOMMUFD, "OK")
        assert [e.entry for e in found] == entries


class TestWhatIsNotKnown:
    def test_unknown_says_so_and_what_to_report(self) -> None:
        found = numvfs(snapshot(make_pf()), 4, "EXDEV", log=("a line", "another"))
        assert [e.entry for e in found] == ["unknown"]
        assert "EXDEV at sriov_numvfs" in found[0].title
        assert "report" in found[0].do[0]
        assert found[0].log == "a line / another"

    def test_a_contradiction_is_not_talked_away(self) -> None:
        view = snapshot(*make_fleet(1, driver="igb"))
        assert first(view, Open(VF), Stage.GET_DEVICE_FD, "EACCES") == "unknown"

    def test_success_needs_no_explanation(self) -> None:
        assert asked(snapshot(*make_fleet(1)), Open(VF), Stage.GET_DEVICE_FD, "OK") == []

    def test_the_log_is_never_needed(self) -> None:
        log = ("vfio-pci 0000:03:10.0: Incorrect VF token provided for device",)
        view = snapshot(*make_fleet(1))
        named = [e.entry for e in asked(view, Open(VF), Stage.GET_DEVICE_FD, "EACCES")]
        assert [e.entry for e in asked(view, Open(VF), Stage.GET_DEVICE_FD, "EACCES", log=log)] == named

    def test_the_log_is_quoted_where_it_fits(self) -> None:
        log = ("something else", "vfio-pci 0000:03:10.0: VF token required to access device")
        assert asked(snapshot(*make_fleet(1)), Open(VF), Stage.GET_DEVICE_FD, "EACCES", log=log)[0].log == log[1]


VIEWS = [
    snapshot(),
    snapshot(*make_fleet(2)),
    snapshot(*make_fleet(2, driver=None), host={"kernel": "5.4.0", "enable_sriov": None}),
    snapshot(make_plain(PF, iommu_group=None), make_vf("0000:02:00.0"), host={"kernel": "garbage", "iommu": False}, unseen=2),
]
CHANGES: list[Change] = [SetNumvfs(PF, 4), BindDriver(PF, None), UnbindDriver(PF), SetToken(PF, TOKEN), Open(PF), Open(VF, TOKEN)]


@pytest.mark.parametrize("view", VIEWS, ids=["empty", "fleet", "old", "odd"])
@pytest.mark.parametrize("change", CHANGES, ids=lambda c: type(c).__name__)
def test_every_answer_gets_whole_sentences(view: Snapshot, change: Change) -> None:
    """Whatever comes from wherever: at least one explanation, no hole in a command, no token in any text."""
    places = [*TABLE, *(("driver_override", answer) for answer in ANY_FILE)]
    for place, answer in places:
        stage = Stage(place) if place in {s.value for s in Stage} else Stage.FILE
        target = f"/sys/x/{place}" if stage is Stage.FILE else PF
        found = asked(view, change, stage, answer, target=target)
        assert found or answer == "OK"
        for e in found:
            assert all("{" not in text and "PIDS" not in text for text in (e.title, e.rule, e.why, *e.check, *e.do))
            assert TOKEN.reveal_text() not in repr(e)
