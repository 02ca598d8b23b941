"""What was not read, not seen or only inferred leaves a cause open: it neither proves one nor rules it out."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tests.unit.test_explain_evidence import GONE, OPERATOR, ROOT, diagnosed, first, out, refused_write
from tests.unit.test_explain_table import NUMVFS
from tests.values import PF, PLAIN, TOKEN, VF, make_fleet, make_holder, make_knowledge, make_plain, snapshot
from vfdeck.backend.changes import BindDriver, Change, Open, OpenPath, SetNumvfs, UnbindDriver
from vfdeck.backend.evidence import Rights
from vfdeck.backend.explain import Diagnosis, diagnose
from vfdeck.backend.facts import Facts
from vfdeck.backend.kernel import FileStat, Stage
from vfdeck.backend.model import Certainty, Suspect, TokenState


class TestNoMoreThanIsKnown:
    """What was not read, not seen or only inferred leaves a cause open: it neither proves one nor rules it out."""

    ABROAD, SOMEWHERE = (dataclasses.replace(ROOT, user_namespace=known) for known in (True, None))

    def opened(self, **evidence: Any) -> Diagnosis:
        return diagnosed(Open(VF, TOKEN), Stage.OPEN_GROUP, "EACCES", **evidence)

    @pytest.mark.parametrize(
        ("node", "rights", "said"),
        [
            (FileStat(0o20600, 65534, 65534), ABROAD, "in a user namespace root"),
            (FileStat(0o20600, 65534, 65534), SOMEWHERE, "whether vfdeck runs in a user namespace"),
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

    def test_rights_that_may_not_count_are_no_proof(self) -> None:
        """CAP_SYS_RAWIO and a no-IOMMU group: lacking only where it is sure."""
        view = snapshot(make_plain(noiommu=True), host={"iommu": False, "noiommu": True})
        for rights, proved in ((ROOT, False), (self.SOMEWHERE, False), (self.ABROAD, True), (OPERATOR, True)):
            found = diagnosed(Open(PLAIN), Stage.OPEN_GROUP, "EPERM", view, rights=rights)
            lacking = [e for e in found.explanations if e.entry == "C5" and "vfdeck lacks CAP_SYS_RAWIO." in e.evidence_for]
            assert bool(lacking) is proved

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

    @pytest.mark.parametrize(
        ("remapping", "unsafe", "said"),
        [
            (False, False, "evidence_for"),
            (True, False, "ruled out"),
            (False, True, "ruled out"),
            (GONE, False, "evidence_open"),
            (False, GONE, "evidence_open"),
        ],
    )
    def test_interrupts_by_their_chips_and_by_the_switch(self, remapping: Any, unsafe: Any, said: str) -> None:
        view = snapshot(make_plain())
        found = diagnosed(Open(PLAIN), Stage.SET_IOMMU, "EPERM", view, remapping=remapping, unsafe_interrupts=unsafe)
        named = next((e for e in found.explanations if e.entry == "C12"), None)
        assert ("C12" in out(found)) is (named is None) is (said == "ruled out")
        assert named is None or getattr(named, said)

    def test_a_token_that_nobody_was_seen_to_set(self) -> None:
        view = snapshot(*make_fleet(2), tokens=[make_knowledge(state=TokenState.UNSET)])
        found = diagnosed(Open(VF, TOKEN), Stage.GET_DEVICE_FD, "EACCES", view)
        assert first(found) == "D3"
        assert {"D2", "D5"} <= {e.entry for e in found.explanations}

    def test_a_token_that_somebody_may_have_replaced(self) -> None:
        """It was right once, and the PF was not bound anew since: refused, it was replaced; another one proves nothing."""
        suspects = (Suspect("dpdk-testpmd", 71, 1.0),)
        for last, entries in ((TOKEN.fingerprint, ["D5", "D4"]), ("00000000", ["D2", "D4"])):
            known = dataclasses.replace(make_knowledge(state=TokenState.UNKNOWN, fingerprint=last), suspects=suspects)
            found = diagnosed(Open(VF, TOKEN), Stage.GET_DEVICE_FD, "EACCES", snapshot(*make_fleet(2), tokens=[known]))
            assert [e.entry for e in found.explanations if e.entry in entries] == entries
            assert first(found) == entries[0]
            assert "D3" in out(found)  # one was set
            assert "dpdk-testpmd (71) was seen to hold the PF" in " ".join(
                found.explanations[0].evidence_for + found.explanations[0].evidence_open
            )

    @pytest.mark.parametrize(
        ("how", "said"), [("unbound", "left its driver"), ("rebound", "was bound anew"), ("rebooted", "the host was started anew")]
    )
    def test_how_a_token_ended(self, how: str, said: str) -> None:
        known = dataclasses.replace(make_knowledge(state=TokenState.UNSET), lost=TOKEN.fingerprint, lost_by=how)
        found = diagnosed(Open(VF, TOKEN), Stage.GET_DEVICE_FD, "EACCES", snapshot(*make_fleet(2), tokens=[known]))
        assert first(found) == "D4"
        assert said in " ".join(found.explanations[0].evidence_for)

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
