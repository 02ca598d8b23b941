"""Values made by hand for tests: functions, holders and snapshots without any kernel.

`snapshot(*make_fleet(4))` is a host with one PF on vfio-pci and its four VFs; every maker takes the fields of its value as
keywords. Addresses follow the hardware's arithmetic: VF i of a PF has the routing id PF + offset + stride * i.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from vfdeck.backend.model import (
    Certainty,
    Function,
    Holder,
    HostFacts,
    IommuGroup,
    Job,
    JobState,
    Role,
    Snapshot,
    Sriov,
    TokenKnowledge,
    TokenState,
)
from vfdeck.backend.token import Token

PF = "0000:03:00.0"
PLAIN = "0000:04:00.0"
OFFSET, STRIDE = 128, 2
#: 2025-01-01 12:00 UTC
NOON = 1_735_732_800.0
#: Two tokens, which no PF has unless a test says so.
TOKEN = Token.parse("bd8d9d2b-5a5f-4f5a-a211-f591514ba1f3")
OTHER = Token.parse("6b1f2c3d-0000-4000-8000-00000000abcd")


def vf_address(pf: str = PF, index: int = 0, offset: int = OFFSET, stride: int = STRIDE) -> str:
    """The BDF of a PF's VF number `index`."""
    domain, bus, rest = pf.split(":")
    device, function = rest.split(".")
    rid = (int(bus, 16) << 8 | int(device, 16) << 3 | int(function)) + offset + stride * index
    return f"{domain}:{rid >> 8:02x}:{rid >> 3 & 31:02x}.{rid & 7}"


#: The first VF of `PF`.
VF = vf_address()


def make_pf(bdf: str = PF, vfs: int = 0, *, totalvfs: int | None = 8, autoprobe: bool | None = True, **fields: Any) -> Function:
    """A PF, on vfio-pci unless told otherwise, that has `vfs` VFs."""
    names = tuple(vf_address(bdf, index) for index in range(vfs))
    values: dict[str, Any] = {
        "role": Role.PF,
        "vendor_id": 0x8086,
        "device_id": 0x10C9,
        "class_code": 0x020000,
        "vendor": "Intel Corporation",
        "device": "82576 Gigabit Network Connection",
        "driver": "vfio-pci",
        "iommu_group": 10,
        "sriov": Sriov(totalvfs, names, autoprobe, OFFSET, STRIDE, 0x10CA),
    }
    return Function(bdf, **{**values, **fields})


def make_vf(pf: str = PF, index: int = 0, **fields: Any) -> Function:
    """VF number `index` of `pf`, on vfio-pci unless told otherwise, in an IOMMU group of its own."""
    values: dict[str, Any] = {
        "role": Role.VF,
        "vendor_id": 0x8086,
        "device_id": 0x10CA,
        "class_code": 0x020000,
        "vendor": "Intel Corporation",
        "device": "82576 Virtual Function",
        "driver": "vfio-pci",
        "driver_override": "vfio-pci",
        "iommu_group": 20 + index,
        "physfn": pf,
        "vf_index": index,
    }
    return Function(vf_address(pf, index), **{**values, **fields})


def make_plain(bdf: str = PLAIN, **fields: Any) -> Function:
    """A function that is neither PF nor VF, on vfio-pci unless told otherwise."""
    values: dict[str, Any] = {
        "role": Role.PLAIN,
        "vendor_id": 0x8086,
        "device_id": 0x10D3,
        "class_code": 0x020000,
        "vendor": "Intel Corporation",
        "device": "82574L Gigabit Network Connection",
        "driver": "vfio-pci",
        "iommu_group": 40,
    }
    return Function(bdf, **{**values, **fields})


def make_fleet(vfs: int = 4, bdf: str = PF, vf: dict[str, Any] | None = None, **pf: Any) -> list[Function]:
    """A PF with `vfs` VFs; `vf` holds fields for every VF, keywords those of the PF."""
    return [make_pf(bdf, vfs, **pf), *(make_vf(bdf, index, **(vf or {})) for index in range(vfs))]


def make_holder(bdf: str, pid: int = 4242, program: str = "qemu-system-x86", **fields: Any) -> Holder:
    """A program that holds `bdf` open."""
    values: dict[str, Any] = {"user": "root", "kind": "device", "own": False, "certainty": Certainty.EXACT}
    return Holder(bdf, pid, program, **{**values, **fields})


def own_holder(bdf: str, **fields: Any) -> Holder:
    """This very program holding `bdf` open."""
    return make_holder(bdf, 999, "vfdeck", own=True, **fields)


def make_knowledge(
    pf: str = PF, state: TokenState = TokenState.SET, fingerprint: str = "", since: float | None = NOON
) -> TokenKnowledge:
    """What is known of a PF's token."""
    return TokenKnowledge(pf, state, fingerprint, since)


def make_job(target: str = PF, **fields: Any) -> Job:
    """A change that is under way."""
    return Job(1, f"{target}: 4 -> 0 VFs", target, JobState.RUNNING, "", 0.0, **fields)


def make_host(**fields: Any) -> HostFacts:
    """A host's facts: Linux 6.12, enable_sriov on, an IOMMU, root."""
    values: dict[str, Any] = {
        "name": "demo",
        "kernel": "6.12.107+deb13-amd64",
        "boot_id": "5c9b7a2e-0000-4000-8000-000000000001",
        "simulated": True,
        "privileged": True,
        "enable_sriov": True,
        "cdev": False,
        "iommu": True,
    }
    return HostFacts(**{**values, **fields})


def snapshot(*functions: Function, host: dict[str, Any] | None = None, **fields: Any) -> Snapshot:
    """A snapshot of `functions`, with the IOMMU groups that follow from them.

    `host` holds fields of HostFacts; keywords are fields of Snapshot. `tokens` may be an iterable of TokenKnowledge.
    """
    ordered = sorted(functions, key=lambda f: f.bdf)
    groups: dict[int, list[str]] = {}
    for function in ordered:
        if function.iommu_group is not None:
            groups.setdefault(function.iommu_group, []).append(function.bdf)
    tokens = fields.pop("tokens", {})
    known = tokens if isinstance(tokens, dict) else {k.pf: k for k in tokens}
    return Snapshot(
        host=make_host(**(host or {})),
        taken=fields.pop("taken", NOON + 60),
        functions={f.bdf: f for f in ordered},
        groups={number: IommuGroup(number, tuple(members)) for number, members in groups.items()},
        tokens=known,
        scanned=fields.pop("scanned", len(ordered)),
        **fields,
    )


#: A PF with four VFs, all on vfio-pci; the same with two VFs in use.
FLEET = snapshot(*make_fleet(4))
HELD = dataclasses.replace(FLEET, holders=(make_holder(VF), make_holder(vf_address(PF, 1), 77, "dpdk")))


def without(view: Snapshot, *bdfs: str) -> Snapshot:
    """The same snapshot after some functions have vanished."""
    return dataclasses.replace(view, functions={b: f for b, f in view.functions.items() if b not in bdfs})
