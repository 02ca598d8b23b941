"""A bundle for a bug report: what a host is like where a refusal could not be explained, as one JSON document without secrets.

What goes in is chosen, not filtered: releases, switches, functions with their drivers, modes of nodes, kinds of holders, lines of
the kernel log that the catalogue knows or that vfio, the PCI core, the IOMMU or a function's driver wrote. Texts that come from
elsewhere (those lines, reasons, releases) pass `scrub` besides. No token ever comes near it: nothing here has one. There are no
command lines, user names, MAC addresses, serial numbers or host names in it.
"""

from __future__ import annotations

import json
import platform
import re
import stat
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from vfdeck import __version__
from vfdeck.backend.bdf import PATTERN
from vfdeck.backend.catalogue import entries
from vfdeck.backend.evidence import (
    CAP_DAC_OVERRIDE,
    CAP_SYS_ADMIN,
    CAP_SYS_RAWIO,
    Unread,
    known,
    lockdown,
    rights,
    security_modules,
    stat_of,
    vf_windows,
)
from vfdeck.backend.facts import group_members, host_has, pf_of
from vfdeck.backend.kernel import FileStat, Kernel
from vfdeck.backend.model import Function, HostFacts, Role, Snapshot
from vfdeck.backend.profile import profile
from vfdeck.backend.text import printable
from vfdeck.backend.wording import group_node

VERSION = 1
#: The last lines of the kernel log about the functions concerned, and the functions, that are told of at most.
LINES, FUNCTIONS = 50, 64

#: Programs that are named; any other name could be a guest's, and so a person's.
_PROGRAMS = ("qemu", "dpdk", "testpmd", "vpp", "spdk", "cloud-hyperviso", "crosvm", "firecracker", "libvirt", "vfdeck")

#: The capabilities that matter for a refusal.
_CAPABILITIES = {"dac_override": CAP_DAC_OVERRIDE, "sys_rawio": CAP_SYS_RAWIO, "sys_admin": CAP_SYS_ADMIN}

#: Who writes lines of the kernel log that are told of, beside the drivers of the functions.
_WRITERS = ("vfio-pci", "vfio_pci", "vfio", "pci", "DMAR", "AMD-Vi", "iommu")

_HEX = "[0-9A-Fa-f]"
_GROUPS = rf"{_HEX}{{1,4}}(?::{_HEX}{{1,4}})*"
_SECRETS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(?i)(vf[-_]token\s*=).*"), r"\1<removed>"),
    (re.compile(rf"{_HEX}{{8}}-?{_HEX}{{4}}-?{_HEX}{{4}}-?{_HEX}{{4}}-?{_HEX}{{12}}"), "<uuid>"),
    # A text may have been cut within one.
    (re.compile(rf"\b{_HEX}{{8}}-[0-9A-Fa-f-]*(?=…?$)|\b{_HEX}[0-9A-Fa-f-]*(?=…$)"), "<uuid>"),
    (re.compile(rf"\b(?:0x)?{_HEX}{{12,}}\b"), "<number>"),
    (re.compile(rf"\b{_HEX}{{2}}(?: {_HEX}{{2}}){{5,}}\b"), "<bytes>"),
    (re.compile(rf"\b{_HEX}{{2}}(?:[:-]{_HEX}{{2}}){{5,19}}\b"), "<address>"),
    (re.compile(rf"\b{_HEX}{{4}}(?::{_HEX}{{4}}){{3,7}}\b"), "<address>"),
    (re.compile(r"\b(?:\d{1,3}\.){3}\d{1,3}\b"), "<address>"),
    (re.compile(rf"\b(?:{_HEX}{{1,4}}:){{7}}{_HEX}{{1,4}}\b|(?:\b{_GROUPS})?::(?:{_GROUPS})?"), "<address>"),
    (re.compile(r"(?i)\b(serial(?: ?(?:number|no\.?|#))?|s/n|sn|wwn|\w*guid|mac)(\s*[:=#]?\s*)\S+"), r"\1\2<removed>"),
    (re.compile(r"(?i)\b(opened by user|by user|task|user|comm)(:?\s+)(\"[^\"]*\"|\([^)]*\)|\S+)"), r"\1\2<removed>"),
    (re.compile(r"(?i)\b(vm|acct|hostname|user|exe)=(\"[^\"]*\"|\S+)"), r"\1=<removed>"),
    (re.compile(r"(renamed from )\S+"), r"\1<removed>"),
    (re.compile(r"(/home/|/root/|/Users/)\S+"), r"\1<removed>"),
)


def scrub(text: str, host: str) -> str:
    """A foreign text without what tells of persons, machines or secrets; `host` is the name that goes too."""
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    names = {host, host.split(".")[0]} - {""}
    for name in sorted(names, key=len, reverse=True):
        text = re.sub(rf"(?i)(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])", "<host>", text)
    return printable(text)


def bundle(kernel: Kernel, snapshot: Snapshot, about: str = "", answer: str = "", stage: str = "") -> dict[str, Any]:
    """The bundle as values for JSON.

    Args:
        kernel: where files and log are looked up.
        snapshot: the host as it is.
        about: the function concerned; its PF, the PF's other VFs and its group's members go in as well. "": all of them.
        answer: the errno that was not explained.
        stage: where it was given.
    """
    shown = _concerned(snapshot, about)
    host = snapshot.host
    body = {
        "bundle": VERSION,
        "vfdeck": __version__,
        "python": platform.python_version(),
        "answer": {"errno": answer, "stage": stage, "about": about},
        "host": {
            "kernel": host.kernel,
            "machine": "" if kernel.simulated else platform.machine(),
            "switches": _switches(host),
            "probed": dict(host.probed),
            "simulated": kernel.simulated,
            "enable_sriov": host.enable_sriov,
            "noiommu": host.noiommu,
            "iommu": host.iommu,
            "cdev": host.cdev,
            **_surroundings(kernel),
        },
        "functions": [_function(kernel, snapshot, function) for function in shown[:FUNCTIONS]],
        "functions_left_out": max(0, len(shown) - FUNCTIONS),
        "processes_unseen": snapshot.unseen,
        "problems": [{"path": p.path, "what": p.what} for p in snapshot.problems if _names_one(p.path, shown)],
        "log": _log(kernel, shown),
    }
    scrubbed: dict[str, Any] = _each_text(body, lambda text: scrub(text, host.name))
    return scrubbed


def to_json(body: dict[str, Any]) -> str:
    """The bundle as text."""
    return json.dumps(body, indent=1, ensure_ascii=True) + "\n"


def _each_text(value: Any, change: Callable[[str], str]) -> Any:
    """The same value with every text in it changed; keys are ours."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {key: _each_text(part, change) for key, part in value.items()}
    return [_each_text(part, change) for part in value] if isinstance(value, list) else value


def _switches(host: HostFacts) -> list[str] | str:
    """What vfdeck holds the kernel for: by its release, and by what it showed when it was asked."""
    try:
        names = profile(host.kernel).switches | dict(host.probed).keys()
    except ValueError:
        return "the release could not be understood"
    return sorted(name for name in names if host_has(host, name))


def _surroundings(kernel: Kernel) -> dict[str, Any]:
    """Rights of this program and what else may refuse; a reason stands where something could not be read."""
    who, modules, state = rights(kernel), security_modules(kernel), lockdown(kernel)
    mine: dict[str, Any] = (
        {"unread": who.why}
        if isinstance(who, Unread)
        else {
            "root": who.uid == 0,
            "capabilities": [name for name, number in _CAPABILITIES.items() if who.may(number)],
            "no_new_privs": who.no_new_privs,
            "user_namespace": who.user_namespace,
        }
    )
    return {
        "rights": mine,
        "security_modules": modules.why if isinstance(modules, Unread) else list(modules),
        "lockdown": state.why if isinstance(state, Unread) else state,
    }


def _concerned(snapshot: Snapshot, about: str) -> list[Function]:
    """The function, its PF with all VFs, and the members of its group; without a function every one of the snapshot."""
    if not about:
        return list(snapshot.functions.values())
    pf = pf_of(snapshot, about)
    names = [about, *([pf.bdf] if pf else []), *group_members(snapshot, about)]
    if pf is not None and pf.role is Role.PF:
        names += [vf.bdf for vf in snapshot.vfs_of(pf.bdf)]
    return [snapshot.functions[name] for name in dict.fromkeys(names) if name in snapshot.functions]


def _function(kernel: Kernel, snapshot: Snapshot, f: Function) -> dict[str, Any]:
    """What of a function can matter for a refusal. How many interfaces and disks, not their names."""
    nodes = {"group": group_node(f) or "", "cdev": f"/dev/vfio/devices/{f.cdev}" if f.cdev else ""}
    token = snapshot.tokens.get(f.bdf)
    windows = known(vf_windows(kernel, f.bdf)) if f.role is Role.PF else None
    return {
        "bdf": f.bdf,
        "role": str(f.role),
        "ids": f"{f.vendor_id:04x}:{f.device_id:04x}",
        "class": f"{f.class_code:06x}",
        "driver": f.driver,
        "driver_override": f.driver_override,
        "group": f.iommu_group,
        "noiommu": f.noiommu,
        "physfn": f.physfn,
        "interfaces": len(f.interfaces),
        "disks": len(f.disks),
        "sriov": None
        if f.sriov is None
        else {
            "total": f.sriov.totalvfs,
            "present": f.sriov.numvfs,
            "autoprobe": f.sriov.autoprobe,
            "offset": f.sriov.offset,
            "stride": f.sriov.stride,
            "vf_bars": None if windows is None else [{"size": w.size, "assigned": w.assigned} for w in windows],
        },
        "token": None if token is None else str(token.state),
        "nodes": {kind: _mode(stat_of(kernel, path)) for kind, path in nodes.items() if path},
        "holders": dict(Counter(f"{_program(h.program)} {h.kind}" for h in snapshot.holders_of(f.bdf))),
    }


def _mode(node: FileStat | Unread) -> str:
    if isinstance(node, Unread):
        return node.why
    return f"{stat.S_IMODE(node.mode):04o} {'root' if node.uid == 0 else 'a user'} {'root' if node.gid == 0 else 'a group'}" + (
        " with an access list" if node.acl else ""
    )


def _program(name: str) -> str:
    return next((known for known in _PROGRAMS if name.startswith(known)), "a program")


def _names_one(text: str, functions: Iterable[Function]) -> bool:
    return any(f.bdf in text for f in functions)


def _log(kernel: Kernel, shown: list[Function]) -> list[str] | str:
    """The last lines of the kernel log about these functions that the catalogue or their beginning shows to be of use."""
    lines = kernel.log()
    if lines is None:
        return "the kernel log may not be read"
    writers = "|".join(re.escape(name) for name in {*_WRITERS, *(f.driver for f in shown if f.driver)})
    begins = re.compile(rf"(?:{writers})(?::| {PATTERN}\b)")
    known_ones = [entry for entry in entries() if entry.log]

    def chosen(text: str) -> bool:
        if text.startswith("audit:") or not _names_one(text, shown):
            return False
        return begins.match(text) is not None or any(entry.logged(text) for entry in known_ones)

    # A network driver's lines name the interface after the function.
    return [re.sub(rf"^(\S+ {PATTERN}) [^ :]+:", r"\1 <interface>:", line.text) for line in lines if chosen(line.text)][-LINES:]
