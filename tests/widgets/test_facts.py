"""The facts panel's words."""

from __future__ import annotations

import dataclasses

import pytest

from tests import values
from vfdeck.backend.catalogue import entry
from vfdeck.backend.checks.advice import advice, badge, badges
from vfdeck.backend.details import Details
from vfdeck.backend.model import Certainty, Job, JobState, Link, Problem, Snapshot, Sriov, TokenState
from vfdeck.backend.vpd import Vpd
from vfdeck.widgets.facts import function_facts, row_facts
from vfdeck.widgets.rows import RowId
from vfdeck.widgets.sections import plain_text

VF = values.vf_address()


def facts(view: Snapshot, bdf: str = values.PF) -> str:
    """The facts of a function as text."""
    return plain_text(function_facts(view.functions[bdf], view))


def test_a_pf() -> None:
    link = Link("8.0 GT/s PCIe", 8, "16.0 GT/s PCIe", 16)
    fleet = values.make_fleet(2, numa_node=1, interfaces=("eno1",), subsystem="8086:0001", link=link, cdev="vfio3")
    text = facts(values.snapshot(*fleet, tokens=[values.make_knowledge(fingerprint="1a2b3c4d", since=values.NOON)]))
    for expected in (
        f"PF {values.PF}",
        "Intel Corporation 82576 Gigabit Network Connection",
        "R ready: on vfio, and nobody holds it",
        "token: set by vfdeck, #1a2b3c4d (inferred: nothing seen that replaced it), 1 min ago",
        "VFs: 2 on, of 8",
        "users: 0",
        "held by: nobody",
        "driver: vfio-pci",
        "group: 10, alone in it",
        "cdev: /dev/vfio/devices/vfio3",
        "autoprobe: on",
        "ids: 8086:10c9, class 020000",
        "subsys: 8086:0001",
        "NUMA: node 1",
        "link: 8.0 GT/s PCIe x8, degraded: could do 16.0 GT/s PCIe x16",
        "network: eno1",
        "SR-IOV: offset 128, stride 2, VF id 10ca",
    ):
        assert expected in text


def test_a_vf_tells_its_pf_and_whether_a_token_guards_it() -> None:
    guarded = facts(values.snapshot(*values.make_fleet(1), tokens=[values.make_knowledge(state=TokenState.UNSET)]), VF)
    assert f"PF: {values.PF} (vfio-pci)" in guarded
    assert "token: opens only with the PF's, unset: random, nobody knows it" in guarded
    free = facts(values.snapshot(*values.make_fleet(1, driver="igb")), VF)
    assert "token: none: opens without one, and a token given is an error" in free
    lost = facts(values.snapshot(values.make_vf()), VF)
    assert f"PF: {values.PF}, not seen" in lost


def test_a_token_guards_only_the_group_where_the_kernel_asks_none_on_the_other_path() -> None:
    def said(kernel: str, cdev: bool, bdf: str) -> str:
        tokens = [values.make_knowledge(state=TokenState.UNSET)]
        return facts(values.snapshot(*values.make_fleet(1), host={"kernel": kernel, "cdev": cdev}, tokens=tokens), bdf)

    assert "no VF opens by its group until one is set" in said("6.12.107", True, values.PF)
    assert "the VFs' own nodes (cdev) ask for none (D17)" in said("6.12.107", True, values.PF)
    assert "token: opens by its group only with the PF's, unset" in said("6.12.107", True, VF)
    assert "its own node (cdev) asks for none (D17)" in said("6.12.107", True, VF)
    for kernel, cdev in (("6.12.107", False), ("6.18.0", True), ("5.10.0", False)):
        for bdf in (values.PF, VF):
            assert "no VF opens until one is set" in said(kernel, cdev, bdf)
            assert "D17" not in said(kernel, cdev, bdf)


def test_the_group_names_who_is_not_on_vfio() -> None:
    mine = values.make_plain("0000:04:00.0", iommu_group=7)
    text = facts(values.snapshot(mine, values.make_plain("0000:04:00.1", iommu_group=7, driver="igb")), mine.bdf)
    assert "group: 7, with 0000:04:00.1 (igb)" in text
    assert "not vfio: 0000:04:00.1 (igb): the group cannot be opened" in text
    assert "group: none: no IOMMU" in facts(values.snapshot(values.make_plain(iommu_group=None)), "0000:04:00.0")


def test_holders_say_who_they_are_and_how_they_were_told() -> None:
    holders = (
        values.make_holder(VF, kind="group", certainty=Certainty.INFERRED, vm="web-1", started=values.NOON - 7200),
        values.make_holder(VF, 77, "dpdk", kind="mapping", user="", container="docker 4f1c2d3e5a6b", since=values.NOON),
        values.own_holder(VF),
    )
    text = facts(values.snapshot(*values.make_fleet(1), holders=holders), VF)
    for expected in (
        "held by: qemu-system-x86 (4242), user root, VM web-1",
        "group open, no device [inferred], since before vfdeck looked (up 2 h 1 min)",
        "held by: dpdk (77), user unknown, docker 4f1c2d3e5a6b",
        "a mapping outlived its fd [exact], for 1 min",
        "held by: vfdeck itself",
        "device open [exact], since before vfdeck looked",
    ):
        assert expected in text


def test_a_device_that_the_kernel_does_not_tell_may_be_this_one() -> None:
    text = facts(values.snapshot(*values.make_fleet(1), unseen=2, unattributed=1), VF)
    assert "held by: unknown: 1 process not looked at, 1 program with a device that the kernel does not tell" in text


def test_what_could_not_be_checked_is_unknown() -> None:
    text = facts(values.snapshot(*values.make_fleet(1), unseen=2))
    assert "held by: unknown: 2 processes not looked at" in text
    assert "users: ≥0 (at least: not all could be looked at)" in text
    unread = dataclasses.replace(values.make_pf(), sriov=Sriov(None, (), None, None, None, None))
    text = facts(values.snapshot(unread))
    assert "VFs: 0 on, of unknown" in text
    assert "autoprobe: unknown" in text


def test_a_waiting_change_tells_whom_it_waits_for() -> None:
    job = Job(1, "0 VFs", values.PF, JobState.RUNNING, "writing sriov_numvfs", values.NOON, "qemu-system-x86 (4242)")
    text = facts(values.snapshot(*values.make_fleet(1), jobs=(job,)))
    assert "0 VFs: writing sriov_numvfs, waits for qemu-system-x86 (4242) (1 min)" in text


def test_a_host() -> None:
    problem = Problem("/sys/x", "no such file")
    view = values.snapshot(*values.make_fleet(1), host={"enable_sriov": False, "privileged": False}, problems=(problem,), unseen=1)
    text = plain_text(row_facts(RowId("demo"), view))
    for expected in ("kernel: 6.12.107", "simulated", "1 PF, 1 VF", "not privileged", "enable_sriov is N", "/sys/x: no such file"):
        assert expected in text


def test_a_hosts_badges_are_told_with_what_they_mean_and_where_to_read_on() -> None:
    def said(kernel: str, **host: object) -> str:
        return plain_text(row_facts(RowId("demo"), values.snapshot(*values.make_fleet(1), host={"kernel": kernel, **host})))

    view = values.snapshot(*values.make_fleet(1), host={"kernel": "6.12.107", "cdev": True})
    shown = badge(view)
    assert shown
    text = said("6.12.107", cdev=True)
    assert f"D17: {shown}: From 6.6 to 6.16 VFs open through /dev/vfio/devices without a token" in text
    assert "read on: vfdeck explain D17" in text
    assert "D17" not in said("6.12.107", cdev=False)
    for piece in advice(view):
        assert piece.text in text
    assert "What this kernel" not in said("")


@pytest.mark.parametrize("text", list(badges()))
def test_every_badge_leads_to_an_entry_of_the_catalogue(text: str) -> None:
    assert entry(text).title


def test_what_panels_of_their_own_tell_in_full_is_told_in_a_line() -> None:
    fleet = values.make_fleet(12, totalvfs=16)
    free = facts(values.snapshot(*fleet))
    assert "set it: possible now, by opening the PF with it" in free
    assert "used by" not in free
    holders = tuple(values.make_holder(values.vf_address(index=n), 5000 + n) for n in range(5))
    used = facts(values.snapshot(*fleet, holders=holders))
    assert "used by: qemu-system-x86 (5000), qemu-system-x86 (5001), qemu-system-x86 (5002) and 2 more" in used
    assert "set it: not possible now: the Token panel says why" in used
    for view, bdf in (
        (values.snapshot(*values.make_fleet(1, driver="igb")), values.PF),
        (values.snapshot(*values.make_fleet(1)), VF),
        (values.snapshot(*values.make_fleet(1), host={"kernel": "5.4.0", "probed": ()}), values.PF),
    ):
        assert "set it" not in facts(view, bdf)


def test_what_was_looked_up_is_told_after_the_rest() -> None:
    view = values.snapshot(*values.make_fleet(1))
    found = Details(values.PF, resets=("flr",), vpd=Vpd("X710"))
    text = plain_text(row_facts(RowId("demo", values.PF), view, found))
    assert text.index("SR-IOV: offset") < text.index("1. flr: function alone") < text.index("X710")


def test_nothing_and_gone() -> None:
    assert row_facts(None, None) == []
    assert plain_text(row_facts(RowId("demo", "0000:00:00.0"), values.snapshot())) == "0000:00:00.0\ngone"


def test_problems_of_the_function_are_its_facts() -> None:
    problem = Problem(f"/sys/bus/pci/devices/{values.PF}/sriov_stride", "not a number")
    view = values.snapshot(*values.make_fleet(1), problems=(problem,))
    assert "not a number" in facts(view)
    assert "not a number" not in facts(view, VF)
