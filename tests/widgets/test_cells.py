"""What the columns say, and which fit."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import values
from vfdeck.backend.model import Certainty, Job, JobState, Snapshot, TokenState
from vfdeck.widgets.cells import cells
from vfdeck.widgets.columns import TREE, fit, measured
from vfdeck.widgets.holder_words import holders_text
from vfdeck.widgets.state import Index, State, duration, short_name

VF = values.vf_address()


def said(view: Snapshot, bdf: str, width: int = 200) -> dict[str, str]:
    """What a row says, by column."""
    columns = fit(width)
    parts = cells(view.functions[bdf], Index(view), columns)
    return {f.column.id: cell.text for f, cell in zip((f for f in columns if f.column.id != TREE), parts, strict=True)}


@given(st.integers(1, 400), st.integers(0, 3), st.text(max_size=80))
def test_columns_fill_no_more_than_the_width(width: int, vfs: int, name: str) -> None:
    view = values.snapshot(*values.make_fleet(vfs, device=name), holders=(values.make_holder(VF, program=name, vm=name),))
    columns = fit(width, 12, measured(view)) if vfs else fit(width)
    assert columns[0].column.id == TREE
    assert sum(f.width for f in columns) + len(columns) - 1 <= width


def test_columns_by_width() -> None:
    assert [f.column.id for f in fit(38)] == ["tree", "state", "driver"]
    assert [f.column.id for f in fit(78)] == ["tree", "state", "driver", "vfs", "users", "token", "what"]
    assert [f.column.id for f in fit(78, hidden=frozenset({"users", "holder"}))] == [
        "tree",
        "state",
        "driver",
        "vfs",
        "token",
        "what",
    ]
    assert not {"vfs", "what"} & {f.column.id for f in fit(78, hidden=frozenset({"name", "holder", "vfs"}))}
    assert [f.column.id for f in fit(78, order=("what", "token", "holder"))][:3] == ["tree", "token", "what"]
    wide = [f.column.id for f in fit(180, order=("holder", "numa", "state"))]
    assert wide[:5] == ["tree", "holder", "numa", "state", "role"]
    assert sorted(wide) == sorted(f.column.id for f in fit(180))
    assert fit(78, 13)[0].width == fit(78)[0].width + 1
    assert {"role", "group", "numa", "name", "holder"} <= {f.column.id for f in fit(140)}


def test_columns_are_as_wide_as_what_there_is_to_say() -> None:
    device = "Ethernet Controller X710 for 10GbE SFP+ [Twin Port]"
    held = values.make_holder(VF, program="qemu-system-x86", vm="web-01", container="")
    plain = values.make_plain(device="MT2892 Family [ConnectX-6 Dx]", driver="mlx5_core", interfaces=("ens3f0np0",))
    view = values.snapshot(*values.make_fleet(4, device=device, link=None, numa_node=None), plain, holders=(held,))
    needs = measured(view)

    def width(total: int) -> dict[str, int]:
        return {f.column.id: f.width for f in fit(total, 12, needs)}

    assert width(78)["what"] >= len("qemu-s… 4242")
    assert width(90)["what"] >= len("qemu-system-x86 (4242)")
    assert not {"numa", "link"} & set(width(400))
    assert said(view, VF, 400)["holder"] == "qemu-system-x86 (4242), VM web-01"
    for total in range(100, 300):
        widths = width(total)
        if "name" in widths:
            assert widths["name"] >= len("ConnectX-6 Dx")
            assert widths["holder"] >= len("qemu-system-x86 (4242)")
    parts = cells(plain, Index(view), fit(200, 12, needs))
    assert "ConnectX-6 Dx  ens3f0np0" in [part.text for part in parts]


def test_a_row_says_what_is_known() -> None:
    pf, vf = values.make_fleet(1, numa_node=1)
    view = values.snapshot(pf, vf, holders=(values.make_holder(VF),), tokens=[values.make_knowledge(fingerprint="1a2b3c4d")])
    assert said(view, values.PF) == {
        "role": "PF",
        "state": "R ready",
        "driver": "vfio-pci",
        "vfs": "1/8",
        "users": "1",
        "token": "#1a2b3c4d",
        "group": "10",
        "numa": "1",
        "link": "",
        "name": "82576 Gigabit Network Connection",
        "holder": "",
    }
    row = said(view, VF)
    assert (row["role"], row["state"], row["token"], row["holder"]) == ("VF 0", "U in use", "needed", "qemu-system-x86 (4242)")


def test_states() -> None:
    pf, vf = values.make_fleet(1)
    view = values.snapshot(pf, vf)
    assert Index(view).state(vf) is State.READY
    assert Index(dataclasses.replace(view, unseen=3)).state(vf) is State.UNSEEN
    assert Index(dataclasses.replace(view, holders=(values.own_holder(VF),))).state(vf) is State.OPEN
    waiting = Job(1, "remove", VF, JobState.RUNNING, "write", 0.0, "qemu")
    assert Index(dataclasses.replace(view, jobs=(waiting,))).state(vf) is State.WAITING
    assert Index(dataclasses.replace(view, jobs=(dataclasses.replace(waiting, state=JobState.DONE),))).state(vf) is State.READY
    assert Index(view).state(dataclasses.replace(vf, driver=None)) is State.NONE
    assert Index(view).state(dataclasses.replace(vf, driver="iavf")) is State.DRIVER


@pytest.mark.parametrize(("driver", "state"), [("igb", State.BLOCKED), ("pcieport", State.READY), (None, State.READY)])
def test_a_group_is_spoilt_by_a_driver_of_the_host_only(driver: str | None, state: State) -> None:
    mine = values.make_plain("0000:04:00.0", iommu_group=7)
    view = values.snapshot(mine, values.make_plain("0000:04:00.1", iommu_group=7, driver=driver))
    assert Index(view).state(mine) is state


def test_a_bridge_spoils_no_group_before_5_19() -> None:
    mine = values.make_plain("0000:04:00.0", iommu_group=7)
    bridge = values.make_plain("0000:03:00.0", iommu_group=7, driver="shpchp", class_code=0x060400)
    for kernel, state in (("5.18.0", State.READY), ("5.19.0", State.BLOCKED)):
        assert Index(values.snapshot(mine, bridge, host={"kernel": kernel})).state(mine) is state


def test_could_not_check_is_never_no() -> None:
    pf, vf = values.make_fleet(1)
    assert said(values.snapshot(pf, vf, unseen=1), values.PF)["users"] == "≥0"
    assert said(values.snapshot(dataclasses.replace(pf, sriov=None), vf), values.PF)["vfs"] == ""
    unread = values.make_pf(totalvfs=None)
    assert said(values.snapshot(unread), values.PF)["vfs"] == "0/?"
    unknown = values.snapshot(pf, vf, tokens=[values.make_knowledge(state=TokenState.UNKNOWN)])
    assert said(unknown, values.PF)["token"] == "unknown"


@given(
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["device", "group", "own"])), max_size=6),
    st.integers(0, 2),
    st.booleans(),
)
def test_users_are_counted_as_the_snapshot_counts_them(held: list[tuple[int, str]], unseen: int, exact: bool) -> None:
    certainty = Certainty.EXACT if exact else Certainty.INFERRED
    pf, *vfs = values.make_fleet(4)
    vfs[3] = dataclasses.replace(vfs[3], driver="iavf")
    holders = tuple(values.make_holder(vfs[n].bdf, 100 + i, kind=k, certainty=certainty) for i, (n, k) in enumerate(held))
    view = values.snapshot(pf, *vfs, holders=holders, unseen=unseen)
    assert Index(view).users(pf) == view.users_of(pf.bdf)


def test_an_override_that_is_not_the_driver_is_marked() -> None:
    view = values.snapshot(values.make_pf(driver="igb", driver_override="vfio-pci"))
    assert said(view, values.PF)["driver"] == "igb*"


def test_short_names() -> None:
    assert short_name(values.make_plain(device="MT2892 Family [ConnectX-6 Dx]")) == "ConnectX-6 Dx"
    assert short_name(values.make_plain(device="Ethernet Controller X710 for 10GbE SFP+")) == "X710"
    assert short_name(values.make_plain(device="")) == "Intel Corporation"
    assert short_name(values.make_plain(vendor="", device="")) == "8086:10d3"


def test_the_pid_is_never_cut() -> None:
    one, two = values.make_holder(VF), values.make_holder(VF, 77, "dpdk")
    assert holders_text([one]) == "qemu-system-x86 (4242)"
    assert holders_text([one], 12) == "qemu-s… 4242"
    assert holders_text([one], 20) == "qemu-system-x86 4242"
    assert holders_text([values.make_holder(VF, vm="web-01")], 40) == "qemu-system-x86 (4242), VM web-01"
    assert holders_text([one, two]) == "qemu-system-x86 (4242) +1"
    assert holders_text([values.own_holder(VF)], 5) == "vfdeck"
    assert holders_text([]) == ""


def test_durations() -> None:
    assert [duration(s) for s in (-1, 4.9, 61, 3600, 3900, 90000)] == ["0 s", "4 s", "1 min", "1 h", "1 h 5 min", "1 d"]
