"""What was read after a refusal tells causes apart, and every entry says why it is named."""

from __future__ import annotations

import dataclasses
import errno
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.test_explain_table import CASES, FLEET, NUMVFS, facts_of
from tests.values import PF, PLAIN, TOKEN, VF, make_fleet, make_holder, make_knowledge, make_pf, make_plain, snapshot
from vfdeck.backend.causes import ANY_FILE, TABLE
from vfdeck.backend.changes import BindDriver, Change, Open, OpenPath, SetAutoprobe, SetNumvfs, SetToken, UnbindDriver
from vfdeck.backend.evidence import Evidence, Rights, Unread, Window, gather
from vfdeck.backend.explain import Diagnosis, diagnose
from vfdeck.backend.facts import Facts, guarded
from vfdeck.backend.kernel import FileStat, Stage
from vfdeck.backend.model import Role, Snapshot, TokenState
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

    @pytest.mark.parametrize(("release", "kind"), [("6.12.0", "evidence_for"), ("6.6.20", "evidence_open"), ("5.4.0", "")])
    def test_denylist_of_newer_kernels(self, release: str, kind: str) -> None:
        """Stable releases took models into older series, and which ones a distribution has is not known."""
        listed = snapshot(make_plain(vendor_id=0x8086, device_id=0x0B25, driver=None), host={"kernel": release})
        change, path = BindDriver(PLAIN, "vfio-pci"), "/sys/bus/pci/drivers/vfio-pci/bind"
        found = diagnosed(change, Stage.FILE, "EINVAL" if kind else "ENODEV", listed, path, disable_denylist=False)
        named = next((e for e in found.explanations if e.entry == "B3"), None)
        assert (named is not None) is bool(kind)
        assert named is None or "(8086:0b25) is on the denylist" in " ".join(getattr(named, kind))

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
        found = diagnose(Facts(view, NUMVFS, Stage.FILE, 0, path, got=0, evidence=Evidence(links={"eth0": False})))
        assert f"Interfaces of {PF}: eth0 down." in found.explanations[0].evidence_for
        cases: list[Any] = [{"eth0": True}, {"eth0": GONE}, {}, GONE]
        for links in cases:
            left = diagnose(Facts(view, NUMVFS, Stage.FILE, 0, path, got=0, evidence=Evidence(links=links))).explanations[0]
            assert not any("Interfaces" in text for text in left.evidence_for)
            assert bool(left.evidence_open) is (links in ({"eth0": GONE}, GONE))


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
    remapping=unread | st.booleans(),
    unsafe_interrupts=unread | st.booleans(),
    unsafe_iommufd=unread | st.booleans(),
    type1=unread | st.booleans(),
    links=unread | st.dictionaries(st.just("eth0"), unread | st.booleans()),
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
