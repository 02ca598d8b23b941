"""What the Holders panel says of each program, and of those that could not be looked at."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tests import values
from tests.widgets import hostile
from vfdeck.backend.model import Certainty, Snapshot
from vfdeck.widgets.holder_facts import holder_sections
from vfdeck.widgets.sections import plain_text

PF, VF = values.PF, values.VF


def text(view: Snapshot, bdf: str = VF) -> str:
    return plain_text(s for s in holder_sections(view.functions[bdf], view) if s.facts)


def held(*holders: object, **fields: object) -> Snapshot:
    return values.snapshot(*values.make_fleet(2), holders=holders, **fields)  # type: ignore[arg-type]


def test_a_machine_in_full() -> None:
    holder = values.make_holder(
        VF, vm="web-1", container="docker 4f1c", started=values.NOON - 7200, since=values.NOON, command="qemu -device #1a2b3c4d"
    )
    said = text(held(holder))
    for expected in (
        "qemu-system-x86 (4242), VM web-1, docker 4f1c",
        "user: root",
        "machine: web-1",
        "runs in: docker 4f1c",
        "holds: device open [exact], group 20",
        "held: for 1 min, from ",
        "command: qemu -device #1a2b3c4d",
        f"hurts: a reset of {VF} or of its PF {PF}: the device forgets what it was doing",
        "the kernel asks it to let go and waits until it has",
        "a new token: nothing now; what it opens later needs the new one",
    ):
        assert expected in said


def test_one_program_is_told_once() -> None:
    said = text(held(values.make_holder(VF), values.make_holder(VF, kind="mapping", certainty=Certainty.INFERRED)))
    assert said.count("user: root") == 1
    assert "a mapping outlived its fd [inferred]" in said


def test_vfdeck_itself_and_a_group_alone() -> None:
    said = text(held(values.own_holder(VF), values.make_holder(VF, 7, "dpdk", kind="group")))
    assert "vfdeck itself\nholds: device open" in said
    assert "no device of it is seen to be open" in said


def test_an_unguarded_function_has_no_token_to_lose() -> None:
    view = values.snapshot(*values.make_fleet(1, driver="igb"), holders=(values.make_holder(VF),))
    assert "a new token" not in text(view)


def test_the_others_of_its_group() -> None:
    functions = [values.make_plain(f"0000:04:00.{n}", iommu_group=7, driver="vfio-pci") for n in (0, 1)]
    view = values.snapshot(*functions, holders=(values.make_holder("0000:04:00.0"),))
    assert "it has the whole group: 1 other function of it cannot be opened" in text(view, "0000:04:00.0")


def test_a_pf_tells_who_holds_its_vfs() -> None:
    said = text(held(values.make_holder(VF)), PF)
    assert "in use: 1" in said
    assert "VF 0: qemu-system-x86 (4242), user root" in said
    many = values.make_fleet(12)
    view = values.snapshot(*many, holders=tuple(values.make_holder(f.bdf) for f in many[1:]))
    assert "more: 4 VFs in use; the tree shows them" in text(view, PF)


def test_what_could_not_be_looked_at_is_said() -> None:
    said = text(held(unseen=3, unattributed=1))
    assert "at least: 2 processes could not be looked at" in said
    assert "1 program with a device open that this kernel does not tell" in said
    assert "at least: 1 program with" in text(held(unseen=1, unattributed=1))
    assert "in the last 10 s may be missing" in text(dataclasses.replace(held(), late=10.0))
    assert "may hold it too" not in text(held())


@pytest.mark.parametrize("foreign", hostile.TEXTS)
def test_foreign_text_is_shown_as_it_is(foreign: str) -> None:
    fields: dict[str, Any] = {
        "program": foreign,
        "user": foreign,
        "vm": foreign,
        "container": foreign,
        "command": foreign,
        "kind": foreign,
    }
    assert text(held(values.make_holder(VF, **fields))).count(foreign) >= 6
