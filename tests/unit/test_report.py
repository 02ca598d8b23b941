"""Snapshots as JSON and as text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.fabricate import Fake, build, fleet, with_vfs
from vfdeck.backend.linux.kernel import LinuxKernel
from vfdeck.backend.model import (
    Certainty,
    Function,
    Happened,
    Holder,
    HostFacts,
    Job,
    JobState,
    Problem,
    Role,
    Snapshot,
    Sriov,
    TokenEvent,
    TokenKnowledge,
    TokenState,
)
from vfdeck.backend.report import to_json, to_text
from vfdeck.backend.topology import scan

PF = "0000:01:00.0"
EVENT = TokenEvent(Happened.SET, 1.0, "1a2b3c4d", "alice", "4242-0badcafe", False, "open", 1.2)


def validate(text: str) -> dict[str, Any]:
    schema = json.loads(files("vfdeck.backend").joinpath("schema/tree-v1.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    value: dict[str, Any] = json.loads(text)
    jsonschema.validate(value, schema)
    return value


@pytest.fixture
def busy(tmp_path: Path) -> Snapshot:
    """A PF with eight VFs: the last on a kernel driver, the third held; a plain function; one of everything else."""
    pf = with_vfs(
        Fake(PF, driver="vfio-pci", group=14, totalvfs=8, numa=0), 8, driver="vfio-pci", override="vfio-pci", group=20, cdev=0
    )
    last = replace(pf.vfs[7], driver="igbvf", override=None, cdev=None, nets=("eth5",))
    plain = Fake("0000:04:00.0", device=0x10D3, driver="vfio-pci", group=9, link=("2.5 GT/s PCIe", 1, "5.0 GT/s PCIe", 4))
    build(tmp_path, [replace(pf, vfs=(*pf.vfs[:7], last)), plain])
    names = {(0x8086, 0x10C9): ("Intel Corporation", "82576"), (0x8086, 0x10D3): ("Intel Corporation", "82574L")}
    return replace(
        scan(LinuxKernel(str(tmp_path)), names),
        taken=1.5,
        holders=(Holder("0000:01:10.4", 4242, "qemu-system-x86", "libvirt-qemu", "device", False, Certainty.EXACT),),
        unseen=3,
        tokens={PF: TokenKnowledge(PF, TokenState.SET, "1a2b3c4d", 1.0, events=(EVENT,))},
        jobs=(Job(1, "0 VFs", PF, JobState.RUNNING, "write 0", 1.2, "qemu-system-x86 (4242)"),),
        problems=(Problem("/sys/x", "EIO (Input/output error); expected a decimal number"),),
    )


def test_text(busy: Snapshot) -> None:
    assert list(to_text(busy)) == [
        "fabricated  Linux 6.12.107+deb13-amd64  vfio-pci enable_sriov Y  3 processes could not be looked at",
        "  0000:01:00.0  PF  vfio-pci  8 of 8 VFs  token set #1a2b3c4d  users ≥1  group 14  Intel Corporation 82576  numa 0",
        "    0000:01:10.0 … 0000:01:10.2  VF 0-1  vfio-pci  groups 20-21  numa 0",
        "    0000:01:10.4  VF 2  vfio-pci  held by qemu-system-x86 (4242)  group 22  vfio2  numa 0",
        "    0000:01:10.6 … 0000:01:11.4  VF 3-6  vfio-pci  groups 23-26  numa 0",
        "    0000:01:11.6  VF 7  igbvf  group 27  eth5  numa 0",
        "  0000:04:00.0  plain  vfio-pci  group 9  Intel Corporation 82574L  link 2.5 GT/s PCIe x1",
        "job 1: 0 VFs: running, waiting for qemu-system-x86 (4242)",
        "problem: /sys/x: EIO (Input/output error); expected a decimal number",
    ]


def test_text_with_every_vf(busy: Snapshot) -> None:
    lines = list(to_text(busy, every=True))
    assert sum("  VF " in line for line in lines) == 8
    assert "    0000:01:10.2  VF 1  vfio-pci  group 21  vfio1  numa 0" in lines


def test_text_and_json_of_what_is_wanted(busy: Snapshot) -> None:
    lines = list(to_text(busy, keep=lambda function: function.driver == "igbvf"))
    assert [line.split()[0] for line in lines if line.startswith("  ")] == [PF, "0000:01:11.6"]
    assert list(to_text(busy, keep=lambda _: True)) == list(to_text(busy))
    value = validate(to_json(busy, lambda function: function.driver == "igbvf"))
    assert [function["bdf"] for function in value["functions"]] == ["0000:01:11.6"]


@pytest.mark.parametrize("width", [0, 1, 20, 40, 60, 80, 120, 200])
def test_text_fits_and_keeps_the_address(busy: Snapshot, width: int) -> None:
    lines = [line for line in to_text(busy, width) if not line.startswith("problem")]
    assert all(len(line) <= width for line in lines)
    if width >= 40:
        assert sum(line.startswith("  0000:") for line in lines) == 2
        functions = [line for line in lines if line.strip().startswith("0000:")]
        assert not any(line.endswith("…") for line in functions), "pieces are left out before words are cut"


def test_wide_characters_count_twice() -> None:
    function = Function("0000:00:01.0", Role.PLAIN, 1, 2, 0, vendor="漢字" * 20, driver="vfio-pci")
    host = HostFacts("漢" * 60, "6.1", "", False, True, None, False, False)
    first, second = to_text(Snapshot(host, 0.0, {function.bdf: function}, {}), 60)
    assert first == "漢" * 29 + "…"
    assert second == "  0000:00:01.0  plain  vfio-pci"


def test_nothing_found(tmp_path: Path) -> None:
    lines = list(to_text(scan(LinuxKernel(str(build(tmp_path, []))), {})))
    assert lines[1] == "  no PF, no VF and no function on a vfio driver below /sys/bus/pci/devices"


def test_json_of_everything(busy: Snapshot) -> None:
    value = validate(to_json(busy))
    assert value["version"] == 1
    pf, first = value["functions"][:2]
    assert (pf["ids"], pf["class"], pf["sriov"]["vf_device"], pf["sriov"]["numvfs"]) == ("8086:10c9", "020000", "10ca", 8)
    assert pf["sriov"]["users"] == {"value": 1, "certainty": "at least"}
    assert (first["physfn"], first["vf_index"], first["held_by"]) == (PF, 0, [])
    assert value["functions"][3]["held_by"] == [4242]
    assert value["functions"][-1]["link"]["degraded"] is True
    assert value["tokens"][0]["fingerprint"] == "1a2b3c4d"
    assert value["jobs"][0]["waits_for"] == "qemu-system-x86 (4242)"
    assert value["problems"][0]["path"] == "/sys/x"


@pytest.mark.parametrize("count", [0, 64])
def test_json_of_fleets(tmp_path: Path, count: int) -> None:
    value = validate(to_json(scan(LinuxKernel(str(build(tmp_path, fleet(count)))), {})))
    assert sum(function["role"] == "VF" for function in value["functions"]) == count


def test_json_knows_every_field_of_the_values(busy: Snapshot) -> None:
    """A field that is added to a value must not be forgotten here."""
    value = validate(to_json(busy))
    renamed = {"vendor_id", "device_id", "class_code"}  # told by `ids` and `class`
    untold = {"operation", "final"}  # a key between an agent and its client; of hosts that are lost, of which there is no report
    samples = ((Function, "functions"), (Holder, "holders"), (Job, "jobs"), (TokenKnowledge, "tokens"), (Problem, "problems"))
    for kind, name in samples:
        told = set().union(*(entry.keys() for entry in value[name]))
        assert set(kind.__dataclass_fields__) - renamed - untold <= told, name
    [event] = value["tokens"][0]["events"]
    assert set(TokenEvent.__dataclass_fields__) == set(event)
    assert set(HostFacts.__dataclass_fields__) - {"reached"} == set(value["host"])  # whoever asked has just reached it
    assert set(Sriov.__dataclass_fields__) <= set(value["functions"][0]["sriov"])
    assert set(Snapshot.__dataclass_fields__) <= set(value)


def test_json_is_ascii_and_hostile_names_stay_data(tmp_path: Path) -> None:
    build(tmp_path, [Fake(PF, driver="vfio-pci", files={"driver_override": b'"],"x":[\x1b[2J\xff"'})])
    text = to_json(scan(LinuxKernel(str(tmp_path)), {(0x8086, 0x10C9): ("[red]漢", "x" * 200)}))
    assert text.isascii()
    assert "\x1b" not in text
    function = validate(text)["functions"][0]
    assert (function["vendor"], function["driver_override"]) == ("[red]漢", '"],"x":[␛[2J\\xff"')


def test_a_vf_without_its_pf_stands_on_its_own() -> None:
    lone = Function("0000:01:10.0", Role.VF, 0x8086, 0x10CA, 0x020000, driver="vfio-pci", physfn="0000:01:00.0")
    host = HostFacts("guest", "6.1", "", False, True, None, False, False)

    def lines() -> Iterator[str]:
        return to_text(Snapshot(host, 0.0, {lone.bdf: lone}, {}))

    assert list(lines())[1] == "  0000:01:10.0  VF ?  vfio-pci"
