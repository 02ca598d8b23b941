"""What was read after a refusal tells causes apart, and every entry says why it is named."""

from __future__ import annotations

import dataclasses
import errno
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.test_explain_table import CASES, FLEET, NUMVFS, PLAIN, TOKEN, VF, facts_of
from tests.values import PF, make_fleet, make_holder, make_knowledge, make_pf, make_plain, snapshot
from vfdeck.backend.causes import ANY_FILE, TABLE
from vfdeck.backend.changes import BindDriver, Change, Open, OpenPath, SetAutoprobe, SetNumvfs, SetToken, UnbindDriver
from vfdeck.backend.evidence import Evidence, Rights, Unread, Window, gather
from vfdeck.backend.explain import Diagnosis, diagnose
from vfdeck.backend.facts import Facts, guarded
from vfdeck.backend.kernel import FileStat, Stage
from vfdeck.backend.model import Certainty, Role, Snapshot, TokenState
from vfdeck.backend.sim import scenario

NODE = "/dev/vfio/20"
ALL_CAPABILITIES = (1 << 41) - 1
ROOT, OPERATOR = Rights(0, frozenset({0}), ALL_CAPABILITIES, False, False), Rights(1000, frozenset({1000, 104}), 0, False, False)
PRIVATE, SHARED = FileStat(0o20600, 0, 0), FileStat(0o20660, 0, 104)
GONE = Unread("/sys/x: ENOENT")


def diagnosed(change: Change, stage: Stage, answer: str, view: Snapshot = FLEET, target: str = NODE, **evidence: Any) -> Diagnosis:
    """The diagnosis of an answer with this evidence."""
    return diagnose(Facts(view, change, stage, getattr(errno, answer), target, evidence=Evidence(**evidence)))


def refused_write(change: Change, name: str, answer: str, view: Snapshot, **evidence: Any) -> Diagnosis:
    """The same for a write to a file of the PF."""
    return diagnosed(change, Stage.FILE, answer, view, f"/sys/bus/pci/devices/{PF}/{name}", **evidence)


def first(found: Diagnosis) -> str:
    return found.explanations[0].entry


def out(found: Diagnosis) -> dict[str, str]:
    """What was ruled out, and why."""
    return {r.entry: r.why for r in found.ruled_out}


class TestEaccesToldApart:
    def opened(self, **evidence: Any) -> Diagnosis:
        return diagnosed(Open(VF, TOKEN), Stage.OPEN_GROUP, "EACCES", **evidence)

    def test_by_mode(self) -> None:
        found = self.opened(node=PRIVATE, rights=OPERATOR, lsms=("apparmor",))
        assert first(found) == "C2"
        said = f"{NODE} has mode 0600, owner 0, group 0; vfdeck runs as uid 1000 without CAP_DAC_OVERRIDE"
        assert said in found.explanations[0].evidence_for[0]
        assert "refuses it already" in out(found)["C3"]

    def test_by_security_module(self) -> None:
        found = self.opened(node=PRIVATE, rights=ROOT, lsms=("lockdown", "capability", "selinux"))
        assert first(found) == "C3"
        assert "Security modules at work: lockdown, capability, selinux." in found.explanations[0].evidence_for
        assert "the mode lets it in" in out(found)["C2"]

    def test_a_group_that_may_is_no_matter_of_the_mode(self) -> None:
        assert first(self.opened(node=SHARED, rights=OPERATOR, lsms=("apparmor",))) == "C3"

    def test_neither_is_unknown_and_not_guessed(self) -> None:
        assert first(self.opened(node=PRIVATE, rights=ROOT, lsms=("capability", "yama"))) == "unknown"

    def test_by_a_mount_without_devices(self) -> None:
        found = self.opened(node=PRIVATE, rights=ROOT, lsms=("selinux",), mount=frozenset({"rw", "nodev"}))
        assert first(found) == "C22"

    def test_an_access_list_leaves_it_open_and_says_so(self) -> None:
        found = self.opened(node=FileStat(0o20660, 0, 0, acl=True), rights=OPERATOR, lsms=())
        assert [e.entry for e in found.explanations] == ["C2"]

    def test_what_could_not_be_read_is_said(self) -> None:
        found = diagnosed(Open(PLAIN), Stage.SET_IOMMU, "EPERM", snapshot(make_plain()), unsafe_interrupts=GONE)
        interrupts = next(e for e in found.explanations if e.entry == "C12")
        assert interrupts.evidence_open == ("Could not check: /sys/x: ENOENT.",)

    def test_a_token_is_no_matter_of_nodes(self) -> None:
        found = diagnosed(Open(VF), Stage.GET_DEVICE_FD, "EACCES", node=PRIVATE, rights=OPERATOR)
        assert first(found) == "D1"
        assert "C2" not in [e.entry for e in found.explanations]


class TestFiles:
    def test_a_file_that_the_mode_allows_is_a_module_s(self) -> None:
        for rights, entry in ((OPERATOR, "A19"), (ROOT, "C3")):
            evidence = {"node": FileStat(0o100644, 0, 0), "rights": rights, "lsms": ("apparmor",)}
            assert first(refused_write(NUMVFS, "sriov_numvfs", "EACCES", FLEET, **evidence)) == entry

    def test_a_file_without_a_write_bit_refuses_root(self) -> None:
        evidence = {"node": FileStat(0o100444, 0, 0), "rights": ROOT, "lsms": ("apparmor",)}
        assert first(refused_write(NUMVFS, "sriov_totalvfs", "EACCES", FLEET, **evidence)) == "A19"

    def test_lockdown_is_about_raw_access_only(self) -> None:
        for name, entry in (("config", "G8"), ("sriov_numvfs", "A23")):
            assert first(refused_write(NUMVFS, name, "EPERM", FLEET, lockdown="integrity")) == entry
        assert "G8" in out(refused_write(NUMVFS, "sriov_numvfs", "EPERM", FLEET, lockdown="integrity"))

    def test_the_read_only_mount_is_evidence(self) -> None:
        found = refused_write(NUMVFS, "sriov_numvfs", "EROFS", FLEET, mount=frozenset({"ro"}))
        assert "read-only mount" in found.explanations[0].evidence_for[0]


class TestEnomem:
    ROOM, NONE = Window(0xE0000000, 0xE001FFFF, 0x140204), Window(0, 0x1FFFF, 0x20140204)

    def enabled(self, count: int = 100, totalvfs: int = 128, **evidence: Any) -> Diagnosis:
        return refused_write(SetNumvfs(PF, count), "sriov_numvfs", "ENOMEM", snapshot(make_pf(totalvfs=totalvfs)), **evidence)

    def test_no_room(self) -> None:
        found = self.enabled(vf_windows=(self.ROOM, self.NONE), bus_range=range(3, 4))
        assert first(found) == "A10"
        said = f"BARs of the VFs in /sys/bus/pci/devices/{PF}/resource: 1 of 2 have an address."
        assert said in found.explanations[0].evidence_for
        assert "A12" in out(found)

    def test_past_the_bridge(self) -> None:
        found = self.enabled(vf_windows=(self.ROOM,), bus_range=range(3, 4))
        assert first(found) == "A11"
        assert "the bridge above 0000:03:00.0 owns the buses 03 to 03" in found.explanations[0].evidence_for[0]
        assert "1 of 1 have an address, so there is room." in out(found)["A10"]

    def test_room_and_buses(self) -> None:
        found = self.enabled(vf_windows=(self.ROOM,), bus_range=range(3, 5))
        assert first(found) == "A12"
        assert {"A10", "A11"} <= out(found).keys()

    def test_no_bar_to_be_seen_is_one_that_the_kernel_gave_up(self) -> None:
        found = self.enabled(vf_windows=(), bus_range=range(3, 4))
        assert [e.entry for e in found.explanations] == ["A10", "A11"]
        assert "resource: none." in found.explanations[0].evidence_for[0]
        assert "A12" in out(found)

    def test_a_part_that_wants_its_module_loaded_anew(self) -> None:
        view = snapshot(make_pf(driver="ixgbe"))
        evidence: dict[str, Any] = {"vf_windows": (self.ROOM,), "bus_range": range(3, 5)}
        assert first(refused_write(NUMVFS, "sriov_numvfs", "ENOMEM", view, **evidence)) == "A13"
        logged = Facts(view, NUMVFS, Stage.FILE, errno.ENOMEM, "/x/sriov_numvfs", ("SR-IOV: IOV BARS not allocated",))
        assert first(diagnose(dataclasses.replace(logged, evidence=Evidence(**evidence)))) == "A12"


class TestTheRest:
    def test_enable_sriov_as_it_is_now(self) -> None:
        view = snapshot(make_pf())
        found = refused_write(NUMVFS, "sriov_numvfs", "ENOENT", view, enable_sriov=False)
        assert first(found) == "A8"
        assert "vfio-pci's enable_sriov is N." in found.explanations[0].evidence_for
        assert first(refused_write(NUMVFS, "sriov_numvfs", "ENOENT", view, enable_sriov=True)) == "unknown"

    def test_the_kinds_of_enoent_are_ruled_out_with_a_reason(self) -> None:
        found = refused_write(NUMVFS, "sriov_numvfs", "ENOENT", snapshot(make_pf(driver=None)))
        assert first(found) == "A6"
        assert out(found)["A1"] == f"{PF} is a PF."
        assert out(found)["A8"] == f"{PF} is on no driver."

    @pytest.mark.parametrize(("override", "entries"), [("vfio-pci", ["G11"]), ("igb", ["B8", "G11"])])
    def test_a_bind_that_does_not_match(self, override: str, entries: list[str]) -> None:
        change, path = BindDriver(PF, "vfio-pci"), "/sys/bus/pci/drivers/vfio-pci/bind"
        found = diagnosed(change, Stage.FILE, "ENODEV", snapshot(make_pf(driver="igb")), path, override=override)
        assert [e.entry for e in found.explanations] == entries

    def test_denylist_by_model_and_by_its_switch(self) -> None:
        listed = snapshot(make_plain(vendor_id=0x8086, device_id=0x37C8, driver=None))
        change, path = BindDriver(PLAIN, "vfio-pci"), "/sys/bus/pci/drivers/vfio-pci/bind"
        found = diagnosed(change, Stage.FILE, "EINVAL", listed, path, disable_denylist=False)
        assert first(found) == "B3"
        assert first(diagnosed(change, Stage.FILE, "EINVAL", snapshot(make_plain(driver=None)), path)) == "B6"
        assert "(8086:37c8) is on the denylist" in " ".join(found.explanations[0].evidence_for)
        assert "B3" in out(diagnosed(change, Stage.FILE, "EINVAL", listed, path, disable_denylist=True))

    def test_no_iommu_rights(self) -> None:
        view = snapshot(make_plain(noiommu=True))
        for rights, entry in ((OPERATOR, "C5"), (ROOT, "C4")):
            assert first(diagnosed(Open(PLAIN), Stage.OPEN_GROUP, "EPERM", view, rights=rights)) == entry

    def test_firmware_memory_and_interrupts(self) -> None:
        view = snapshot(make_plain())
        for answer in ("EPERM", "EINVAL"):
            assert first(diagnosed(Open(PLAIN), Stage.SET_IOMMU, answer, view, regions=("direct", "msi"))) == "C11"
        relaxable = diagnosed(Open(PLAIN), Stage.SET_IOMMU, "EPERM", view, regions=("direct-relaxable",), unsafe_interrupts=False)
        assert first(relaxable) == "C12"
        assert "C11" in out(relaxable)
        assert "C12" in out(diagnosed(Open(PLAIN), Stage.SET_IOMMU, "EPERM", view, unsafe_interrupts=True))

    def test_a_node_with_other_numbers(self) -> None:
        node = FileStat(0o20600, 0, 0, (240, 3))
        for answer, numbers, entry in (("ENXIO", (240, 5), "C7"), ("EBUSY", (240, 5), "C7"), ("EBUSY", (240, 3), "C6")):
            assert first(diagnosed(Open(VF), Stage.OPEN_GROUP, answer, node=node, numbers=numbers)) == entry

    def test_a_group_that_is_busy_names_the_holder(self) -> None:
        view = snapshot(make_plain(), holders=(make_holder(PLAIN, 77, "dpdk", kind="group"),))
        found = diagnosed(Open(PLAIN), Stage.OPEN_GROUP, "EBUSY", view)
        assert f"The group is held by dpdk (77) on {PLAIN}." in found.explanations[0].evidence_for

    def test_never_set_gives_the_history(self) -> None:
        view = snapshot(*make_fleet(2), tokens=[make_knowledge(state=TokenState.UNSET)])
        found = diagnosed(Open(VF, TOKEN), Stage.GET_DEVICE_FD, "EACCES", view)
        assert first(found) == "D3"
        assert any(
            "bound at 2025-01-01 12:00 UTC and nobody was seen to set a token" in t for t in found.explanations[0].evidence_for
        )
        assert out(found)["D6"] == f"{VF} is a VF of {PF}."

    def test_a_token_that_went_with_the_binding(self) -> None:
        known = dataclasses.replace(make_knowledge(state=TokenState.UNSET), lost=TOKEN.fingerprint)
        found = diagnosed(Open(VF, TOKEN), Stage.GET_DEVICE_FD, "EACCES", snapshot(*make_fleet(2), tokens=[known]))
        assert first(found) == "D4"
        assert (
            f"The token given (#{TOKEN.fingerprint}) was in force until {PF} left its driver."
            in found.explanations[0].evidence_for[-1]
        )

    def test_without_readings_the_rights_are_the_evidence(self) -> None:
        found = diagnosed(Open(VF), Stage.OPEN_GROUP, "EACCES", snapshot(*make_fleet(1), host={"privileged": False}))
        assert found.explanations[0].evidence_for == ("vfdeck runs as an ordinary user.",)

    def test_links_that_are_down(self) -> None:
        view, path = snapshot(make_pf(driver="bnxt_en")), f"/sys/bus/pci/devices/{PF}/sriov_numvfs"
        found = diagnose(Facts(view, NUMVFS, Stage.FILE, 0, path, got=0, evidence=Evidence(links={"eth0": "down"})))
        assert f"Interfaces of {PF}: eth0 down." in found.explanations[0].evidence_for


class TestNoMoreThanIsKnown:
    """What was not read, not seen or only inferred leaves a cause open: it neither proves one nor rules it out."""

    ABROAD = dataclasses.replace(ROOT, user_namespace=True)

    def opened(self, **evidence: Any) -> Diagnosis:
        return diagnosed(Open(VF, TOKEN), Stage.OPEN_GROUP, "EACCES", **evidence)

    @pytest.mark.parametrize(
        ("node", "rights", "said"),
        [
            (FileStat(0o20600, 65534, 65534), ABROAD, "user namespace"),
            (FileStat(0o20660, 0, 0, acl=True), OPERATOR, "access list"),
        ],
    )
    def test_a_mode_that_does_not_settle_it(self, node: FileStat, rights: Rights, said: str) -> None:
        for root in (True, False):
            view = snapshot(*make_fleet(2), host={"privileged": root})
            found = self.opened(view=view, node=node, rights=rights, lsms=("apparmor",))
            assert [e.entry for e in found.explanations[:2]] == ["C2", "C3"]
            for explanation in found.explanations[:2]:
                assert said in explanation.evidence_open[0]

    def test_a_list_of_modules_that_was_not_read(self) -> None:
        found = self.opened(node=FileStat(0o20666, 0, 0), rights=OPERATOR, lsms=GONE)
        assert first(found) == "C3"
        assert "Could not check: /sys/x: ENOENT." in found.explanations[0].evidence_open

    def test_the_switch_that_counts_is_the_path_s(self) -> None:
        by_cdev, view = Open(PLAIN, path=OpenPath.CDEV), snapshot(make_plain(), host={"kernel": "7.0.0", "cdev": True})
        for type1, iommufd in ((True, False), (False, True)):
            evidence: dict[str, Any] = {"unsafe_interrupts": type1, "unsafe_iommufd": iommufd}
            assert ("C12" in out(diagnosed(Open(PLAIN), Stage.SET_IOMMU, "EPERM", view, **evidence))) is type1
            assert ("C12" in out(diagnosed(by_cdev, Stage.BIND_IOMMUFD, "EPERM", view, **evidence))) is iommufd

    def test_a_token_that_nobody_was_seen_to_set(self) -> None:
        view = snapshot(*make_fleet(2), tokens=[make_knowledge(state=TokenState.UNSET)])
        found = diagnosed(Open(VF, TOKEN), Stage.GET_DEVICE_FD, "EACCES", view)
        assert first(found) == "D3"
        assert {"D2", "D5"} <= {e.entry for e in found.explanations}

    @pytest.mark.parametrize("state", [TokenState.UNSET, TokenState.UNKNOWN])
    def test_no_token_given_says_nothing_of_the_one_in_force(self, state: TokenState) -> None:
        view = snapshot(*make_fleet(2), tokens=[make_knowledge(state=state)])
        found = diagnosed(Open(VF), Stage.GET_DEVICE_FD, "EACCES", view)
        assert [e.entry for e in found.explanations] == ["D1", "D3"]
        assert {out(found)[name] for name in ("D2", "D4", "D5")} == {"No token was given."}

    def test_eperm_is_no_matter_of_a_file_s_mode(self) -> None:
        view = snapshot(*make_fleet(2, driver="igb"), host={"privileged": False})
        found = refused_write(NUMVFS, "sriov_numvfs", "EPERM", view)
        assert [e.entry for e in found.explanations] == ["A23", "A19"]

    def test_holders_that_were_not_seen(self) -> None:
        path = "/sys/bus/pci/drivers/vfio-pci/unbind"
        for driver, entry in (("vfio-pci", "B16"), ("igb", "G1")):
            view = snapshot(*make_fleet(2, driver=driver), unseen=12)
            found = diagnose(Facts(view, UnbindDriver(PF), Stage.FILE, 0, path, blocked=True))
            assert first(found) == entry
            assert "12" in found.explanations[0].evidence_open[0]

    @pytest.mark.parametrize("certainty", list(Certainty))
    def test_a_holder_that_is_inferred_is_no_proof(self, certainty: Certainty) -> None:
        """It is named first all the same, for the function as for its VFs."""
        numvfs, path = SetNumvfs(PF, 0), "/sys/bus/pci/drivers/vfio-pci/unbind"
        cases: list[tuple[str, Change, str, str]] = [
            (VF, numvfs, f"/sys/bus/pci/devices/{PF}/sriov_numvfs", "G1"),
            (VF, UnbindDriver(VF), path, "B13"),
            (PF, UnbindDriver(PF), path, "B13"),
        ]
        for held, change, target, entry in cases:
            view = snapshot(*make_fleet(2), holders=(make_holder(held, certainty=certainty),))
            found = diagnose(Facts(view, change, Stage.FILE, 0, target, blocked=True))
            assert first(found) == entry
            assert bool(found.explanations[0].evidence_open) is (certainty is not Certainty.EXACT)

    def test_a_holder_may_have_come_since(self) -> None:
        view = snapshot(*make_fleet(0))
        found = diagnosed(BindDriver(PF, "igb"), Stage.FILE, "EBUSY", view, "/sys/bus/pci/drivers/igb/bind")
        assert "B12" in {e.entry for e in found.explanations}

    def test_what_older_kernels_do_not_do(self) -> None:
        company = snapshot(make_plain(), make_plain("0000:04:00.1", driver="e1000e"), host={"kernel": "5.15.40"})
        assert "C8" in out(diagnosed(Open(PLAIN), Stage.SET_CONTAINER, "EPERM", company))
        bind, path = BindDriver(PF, "vfio-pci"), "/sys/bus/pci/drivers/vfio-pci/bind"
        for release, refuses in (("5.4.0", False), ("5.10.0", True)):
            view = snapshot(*make_fleet(2, driver=None), host={"kernel": release})
            found = diagnosed(bind, Stage.FILE, "ENODEV", view, path, override="vfio-pci")
            assert ("B4" in {e.entry for e in found.explanations}) is refuses
            assert first(diagnosed(bind, Stage.FILE, "ENODEV", view, path, override="igb")) == "B8"


class TestThroughTheHost:
    """What `perform` reads after a refusal, on the simulated kernel."""

    def test_a_refusal_carries_its_evidence(self) -> None:
        host = scenario.load("default", 0)
        try:
            view = host.snapshot()
            vfs = [f.bdf for f in view.functions.values() if f.role is Role.VF and guarded(view, f.bdf)]
            free = next(bdf for bdf in vfs if not view.holders_of(bdf))
            outcome = host.perform(Open(free))
            assert outcome.explanation is not None
            assert outcome.explanation.entry == "D1"
            assert "No token was given." in outcome.explanation.evidence_for
            assert ("D2", "No token was given.") in [(r.entry, r.why) for r in outcome.ruled_out]
        finally:
            host.close()

    def test_the_switch_is_read_after_the_refusal(self) -> None:
        """The snapshot was taken with the switch on; it is turned off behind vfdeck's back."""
        host = scenario.load("default", 0)
        try:
            before = host.snapshot()
            pf = next(f for f in before.pfs() if f.driver == "vfio-pci")
            host.kernel.write("/sys/module/vfio_pci/parameters/enable_sriov", b"N\n").result()
            facts = Facts(before, SetNumvfs(pf.bdf, 1), Stage.FILE, errno.ENOENT, f"/sys/bus/pci/devices/{pf.bdf}/sriov_numvfs")
            assert diagnose(facts).explanations[0].entry == "A8"  # a guess: nothing else is left
            read = diagnose(dataclasses.replace(facts, evidence=gather(host.kernel, facts)))
            assert "vfio-pci's enable_sriov is N." in read.explanations[0].evidence_for
        finally:
            host.close()


# -- for every set of facts ------------------------------------------------------------------------------------------------
VIEWS = [view for *_, view, _ in CASES] + [snapshot(host={"kernel": "garbage"}), snapshot(make_pf(totalvfs=None), unseen=3)]
CHANGES: list[Change] = [
    *(SetNumvfs(PF, n) for n in (-1, 0, 4, 70000)),
    *(BindDriver(bdf, driver) for bdf in (PF, VF, PLAIN) for driver in (None, "vfio-pci", "igb")),
    *(Open(bdf, token, path=path) for bdf in (PF, VF, PLAIN) for token in (None, TOKEN) for path in OpenPath),
    UnbindDriver(VF),
    SetToken(PF, TOKEN),
    SetAutoprobe(PF, on=True),
]
PLACES = sorted({place for place, _ in TABLE} | {"driver_override", "config"})
ANSWERS = sorted({answer for _, answer in TABLE} | ANY_FILE.keys() | {"EXDEV", "EMFILE"})
LOGS = ("vfio-pci: VF token required to access device", "not enough MMIO resources for SR-IOV", "noise")

unread = st.just(GONE)
evidences = st.builds(
    Evidence,
    node=unread | st.builds(FileStat, st.integers(0, 0o177777), st.sampled_from([0, 1000]), st.just(0), st.none(), st.booleans()),
    numbers=unread | st.tuples(st.integers(0, 9), st.integers(0, 9)),
    mount=unread | st.frozensets(st.sampled_from(["ro", "rw", "nodev"])),
    rights=unread | st.builds(Rights, st.sampled_from([0, 1000]), st.just(frozenset({0})), st.integers(0, ALL_CAPABILITIES)),
    lsms=unread | st.just(()) | st.just(("apparmor",)),
    lockdown=unread | st.sampled_from(["none", "integrity"]),
    override=unread | st.sampled_from(["", "vfio-pci", "{bdf}"]),
    enable_sriov=unread | st.booleans(),
    disable_denylist=unread | st.booleans(),
    vf_windows=unread | st.lists(st.builds(Window, *[st.integers(0, 1 << 40)] * 3), max_size=6).map(tuple),
    bus_range=unread | st.builds(range, st.integers(0, 255), st.integers(0, 256)),
    regions=unread | st.just(("direct",)) | st.just(()),
    unsafe_interrupts=unread | st.booleans(),
    unsafe_iommufd=unread | st.booleans(),
    type1=unread | st.booleans(),
    links=unread | st.just({"eth0": "down"}),
)


@given(
    view=st.sampled_from(VIEWS),
    change=st.sampled_from(CHANGES),
    place=st.sampled_from(PLACES),
    answer=st.sampled_from(ANSWERS),
    evidence=evidences,
    argument=st.none() | st.binary(max_size=60),
)
def test_any_facts_at_all(
    view: Snapshot, change: Change, place: str, answer: str, evidence: Evidence, argument: bytes | None
) -> None:
    """Never raises; a refusal always has an entry; sentences are whole; nothing is named and ruled out; no token anywhere."""
    base = facts_of(place, answer, change, view)
    facts = Facts(view, change, base.stage, base.errno, base.target, blocked=base.blocked, argument=argument, evidence=evidence)
    found = diagnose(facts)
    assert found.explanations or answer == "OK"
    assert not {e.entry for e in found.explanations} & {r.entry for r in found.ruled_out}
    for e in found.explanations:
        for text in (*e.evidence_for, *e.evidence_against, *e.evidence_open):
            assert text
    assert TOKEN.reveal_text() not in repr(found)
    logged = diagnose(
        Facts(view, change, base.stage, base.errno, base.target, LOGS, base.blocked, argument=argument, evidence=evidence)
    )
    assert {e.entry for e in logged.explanations} == {e.entry for e in found.explanations}  # the log is never needed
