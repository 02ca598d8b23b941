"""A snapshot as JSON and as plain text, for `vfdeck tree` and whoever wants to read one without a dashboard.

The JSON is described by `schema/tree-v1.json`; a change that breaks readers makes it version 2. No token is ever in either form:
snapshots hold fingerprints only.
"""

from __future__ import annotations

import dataclasses
import json
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from vfdeck.backend.folding import runs, standing_alone
from vfdeck.backend.model import (
    Function,
    Holder,
    HostFacts,
    Job,
    Link,
    Problem,
    Role,
    Snapshot,
    Sriov,
    Suspect,
    TokenEvent,
    TokenKnowledge,
    TokenState,
)

VERSION = 1
#: Whether a function is wanted.
Keep = Callable[[Function], bool]

# -- JSON ----------------------------------------------------------------------------------------------------------------


def to_json(snapshot: Snapshot, keep: Keep | None = None) -> str:
    """The snapshot as one JSON object, a member to a line; of its functions, with holders and tokens, those that `keep` names.

    Ends with a newline.
    """
    holders = _holders_by_function(snapshot)
    shown = {f.bdf for f in snapshot.functions.values() if keep is None or keep(f)}
    members: dict[str, Any] = {
        "version": VERSION,
        "taken": snapshot.taken,
        "host": _host(snapshot.host),
        "scanned": snapshot.scanned,
        "closed": sorted(snapshot.closed),
        "unseen": snapshot.unseen,
        "unattributed": snapshot.unattributed,
        "late": snapshot.late,
        "functions": [_function(snapshot, f, holders) for f in snapshot.functions.values() if f.bdf in shown],
        "groups": {str(group.number): group.members for group in snapshot.groups.values()},
        "holders": [holder_json(holder) for holder in snapshot.holders if keep is None or holder.bdf in shown],
        "tokens": [token_json(token) for token in snapshot.tokens.values() if keep is None or token.pf in shown],
        "jobs": [_job(job) for job in snapshot.jobs],
        "problems": [_problem(problem) for problem in snapshot.problems],
        "scores": dataclasses.asdict(snapshot.scores),
    }
    # one call of the encoder for each list: by far the fastest way, and a line can be cut out of the middle
    encode = json.JSONEncoder(check_circular=False, separators=(",", ":")).encode
    return "{" + ",\n".join(f'"{key}":{encode(value)}' for key, value in members.items()) + "}\n"


def to_lines(snapshot: Snapshot, keep: Keep | None = None) -> str:
    """The functions that `keep` names as JSON, each in a line with its host and when it was looked at."""
    holders = _holders_by_function(snapshot)
    encode = json.JSONEncoder(check_circular=False, separators=(",", ":")).encode
    head = {"version": VERSION, "taken": snapshot.taken, "host": snapshot.host.name}
    shown = (function for function in snapshot.functions.values() if keep is None or keep(function))
    return "".join(f"{encode({**head, **_function(snapshot, function, holders)})}\n" for function in shown)


def _host(host: HostFacts) -> dict[str, Any]:
    return {
        "name": host.name,
        "kernel": host.kernel,
        "boot_id": host.boot_id,
        "simulated": host.simulated,
        "privileged": host.privileged,
        "enable_sriov": host.enable_sriov,
        "cdev": host.cdev,
        "iommu": host.iommu,
        "noiommu": host.noiommu,
        "probed": dict(host.probed),
        "read_only": host.read_only,
        "lacks": [dataclasses.asdict(lack) for lack in host.lacks],
    }


def _function(snapshot: Snapshot, function: Function, holders: dict[str, list[Holder]]) -> dict[str, Any]:
    """A function; what only a PF or only a VF has is there for these only."""
    facts: dict[str, Any] = {
        "bdf": function.bdf,
        "role": function.role.value,
        "ids": f"{function.vendor_id:04x}:{function.device_id:04x}",
        "class": f"{function.class_code:06x}",
        "subsystem": function.subsystem or None,
        "vendor": function.vendor or None,
        "device": function.device or None,
        "driver": function.driver,
        "driver_override": function.driver_override,
        "iommu_group": function.iommu_group,
        "noiommu": function.noiommu,
        "numa_node": function.numa_node,
        "interfaces": function.interfaces,
        "disks": function.disks,
        "cdev": function.cdev,
        "held_by": [holder.pid for holder in holders.get(function.bdf, ())],
    }
    if function.role is not Role.VF:
        facts["link"] = None if function.link is None else _link(function.link)
    else:
        facts["physfn"], facts["vf_index"] = function.physfn, function.vf_index
    if function.sriov is not None:
        facts["sriov"] = _sriov(snapshot, function.bdf, function.sriov)
    return facts


def _link(link: Link) -> dict[str, Any]:
    return {
        "speed": link.speed,
        "width": link.width,
        "max_speed": link.max_speed,
        "max_width": link.max_width,
        "degraded": link.degraded,
    }


def _sriov(snapshot: Snapshot, pf: str, sriov: Sriov) -> dict[str, Any]:
    users = snapshot.users_of(pf)
    return {
        "totalvfs": sriov.totalvfs,
        "numvfs": sriov.numvfs,
        "vfs": sriov.vfs,
        "autoprobe": sriov.autoprobe,
        "offset": sriov.offset,
        "stride": sriov.stride,
        "vf_device": None if sriov.vf_device is None else f"{sriov.vf_device:04x}",
        "users": {"value": users.value, "certainty": users.certainty.value},
    }


def holder_json(holder: Holder) -> dict[str, Any]:
    """A holder as the schemas describe it."""
    return {
        "bdf": holder.bdf,
        "pid": holder.pid,
        "program": holder.program,
        "user": holder.user,
        "kind": holder.kind,
        "own": holder.own,
        "certainty": holder.certainty.value,
        "by_name": holder.by_name,
        "started": holder.started,
        "ticks": holder.ticks,
        "since": holder.since,
        "vm": holder.vm or None,
        "container": holder.container or None,
        "command": holder.command or None,
        "tokens": list(holder.tokens),
    }


def token_json(token: TokenKnowledge) -> dict[str, Any]:
    """What is known of a PF's token, as in schema/tree-v1.json."""
    return {
        "pf": token.pf,
        "state": token.state.value,
        "fingerprint": token.fingerprint or None,
        "since": token.since,
        "proved": token.proved,
        "lost": token.lost or None,
        "lost_by": token.lost_by or None,
        "by": token.by or None,
        "earlier": token.earlier,
        "confirmed": token.confirmed,
        "suspects": [_suspect(suspect) for suspect in token.suspects],
        "begun": token.begun or None,
        "setting": token.setting,
        "events": [_event(event) for event in token.events],
    }


def _event(event: TokenEvent) -> dict[str, Any]:
    return {
        "what": event.what.value,
        "time": event.time,
        "fingerprint": event.fingerprint or None,
        "by": event.by or None,
        "run": event.run or None,
        "own": event.own,
        "way": event.way or None,
        "confirmed": event.confirmed,
    }


def _suspect(suspect: Suspect) -> dict[str, Any]:
    return {
        "program": suspect.program,
        "pid": suspect.pid,
        "seen": suspect.seen,
        "fingerprint": suspect.fingerprint or None,
    }


def _job(job: Job) -> dict[str, Any]:
    return {
        "number": job.number,
        "title": job.title,
        "target": job.target,
        "state": job.state.value,
        "step": job.step,
        "stage": job.stage or None,
        "started": job.started,
        "waits_for": job.waits_for or None,
        "advice": list(job.advice),
    }


def _problem(problem: Problem) -> dict[str, Any]:
    return {"path": problem.path, "what": problem.what, "kind": problem.kind.value}


# -- text ----------------------------------------------------------------------------------------------------------------


class _Part(NamedTuple):
    """A piece of a line; where a line is too wide, the pieces with the greatest `rank` go first. Rank 0 always stays."""

    rank: int
    text: str


def to_text(snapshot: Snapshot, width: int | None = None, *, every: bool = False, keep: Keep | None = None) -> Iterator[str]:
    """The snapshot as lines: host, its PFs and other functions, their VFs below them, then jobs and problems.

    Lines are at most `width` cells wide (None: as wide as they need). Neighbouring VFs that differ in nothing but numbers share
    one line, unless `every` one is asked for. `keep` names the functions that are wanted; the PFs of such VFs are shown too.
    """
    holders = _holders_by_function(snapshot)
    alone = standing_alone(snapshot)
    yield _fit(0, _host_parts(snapshot), width)
    if not snapshot.functions:
        yield _fit(1, [_Part(0, "no PF, no VF and no function on a vfio driver below /sys/bus/pci/devices")], width)
    for function in snapshot.functions.values():
        if function.role is Role.VF and function.physfn in snapshot.functions:
            continue
        vfs = [vf for vf in snapshot.vfs_of(function.bdf) if keep is None or keep(vf)] if function.role is Role.PF else []
        if keep is None or vfs or keep(function):
            yield _fit(1, _parts(snapshot, [function], holders), width)
            for run in runs(snapshot, vfs, alone, len(vfs) + 1 if every else 2):
                yield _fit(2, _parts(snapshot, run, holders), width)
    for job in snapshot.jobs:
        waits = f", waiting for {job.waits_for}" if job.waits_for else ""
        yield _fit(0, [_Part(0, f"job {job.number}: {job.title}: {job.state}{waits}")], width)
    for problem in snapshot.problems:
        yield _fit(0, [_Part(0, f"problem: {problem.path}: {problem.what}")], None)


def _host_parts(snapshot: Snapshot) -> list[_Part]:
    host = snapshot.host
    switch = {True: "Y", False: "N", None: "absent (vfio-pci is not loaded, or older than 5.7)"}[host.enable_sriov]
    parts = [
        _Part(0, host.name or "(unnamed host)"),
        _Part(0, f"Linux {host.kernel}" if host.kernel else "kernel unknown"),
        _Part(1, f"vfio-pci enable_sriov {switch}"),
        _Part(2, "" if host.iommu else "no IOMMU"),
        _Part(2, "no-IOMMU mode on" if host.noiommu else ""),
        _Part(1, "simulated" if host.simulated else ""),
        _Part(1, f"{snapshot.unseen} processes could not be looked at" if snapshot.unseen else ""),
    ]
    return [part for part in parts if part.text]


def _parts(snapshot: Snapshot, functions: Sequence[Function], holders: dict[str, list[Holder]]) -> list[_Part]:
    """The line of one function, or of several VFs that look alike."""
    first, last = functions[0], functions[-1]
    override = f"override {first.driver_override}" if first.driver_override not in (None, first.driver) else ""
    parts = [
        _Part(0, first.bdf if first is last else f"{first.bdf} … {last.bdf}"),
        _Part(0, _role(functions)),
        _Part(1, first.driver or "no driver"),
        *_pf_parts(snapshot, first),
        _Part(2, _held(holders.get(first.bdf, []))),
        _Part(3, override),
        _Part(4, _span("group", first.iommu_group, last.iommu_group) + (" (no IOMMU)" if first.noiommu else "")),
        _Part(5, " ".join(first.interfaces + first.disks) if first is last else ""),
        _Part(6, first.name if first.role is not Role.VF else ""),
        _Part(7, f"link {first.link.speed} x{first.link.width}" if first.link and first.link.degraded else ""),
        _Part(8, first.cdev or "" if first is last else ""),
        _Part(9, f"numa {first.numa_node}" if first.numa_node is not None else ""),
    ]
    return [part for part in parts if part.text]


def _pf_parts(snapshot: Snapshot, function: Function) -> list[_Part]:
    if function.sriov is None:
        return []
    total = "?" if function.sriov.totalvfs is None else function.sriov.totalvfs
    parts = [_Part(1, f"{function.sriov.numvfs} of {total} VFs")]
    token = snapshot.tokens.get(function.bdf)
    if token is not None and token.state is not TokenState.NONE:
        which = f"#{token.fingerprint}" if token.state is TokenState.SET else f"(was #{token.fingerprint})"
        fingerprint = f" {which}" if token.fingerprint else ""
        parts.append(_Part(2, f"token {token.state}{fingerprint}"))
        parts.append(_Part(2, f"users {snapshot.users_of(function.bdf)}"))
    return parts


def _role(functions: Sequence[Function]) -> str:
    first, last = functions[0], functions[-1]
    if first.role is not Role.VF:
        return first.role.value
    if first is not last:
        return f"VF {first.vf_index}-{last.vf_index}"
    return "VF ?" if first.vf_index is None else f"VF {first.vf_index}"


def _held(holders: list[Holder]) -> str:
    return "held by " + ", ".join(f"{holder.program} ({holder.pid})" for holder in holders) if holders else ""


def _span(word: str, first: int | None, last: int | None) -> str:
    if first is None or last is None:
        return ""
    return f"{word} {first}" if first == last else f"{word}s {first}-{last}"


def _holders_by_function(snapshot: Snapshot) -> dict[str, list[Holder]]:
    holders: dict[str, list[Holder]] = {}
    for holder in snapshot.holders:
        holders.setdefault(holder.bdf, []).append(holder)
    return holders


def _fit(depth: int, parts: list[_Part], width: int | None) -> str:
    """Join the parts to a line, leaving out the less important ones where it would get wider than `width`."""
    rank = max(part.rank for part in parts)
    line = _join(depth, parts, rank)
    while width is not None and rank > 0 and _cells(line) > width:
        rank -= 1
        line = _join(depth, parts, rank)
    return line if width is None else _cut(line, width)


def _join(depth: int, parts: list[_Part], rank: int) -> str:
    return "  " * depth + "  ".join(part.text for part in parts if part.rank <= rank)


def _cells(text: str) -> int:
    """How many columns of a terminal a text takes."""
    return len(text) if text.isascii() else sum(map(_cell, text))


def _cell(char: str) -> int:
    if unicodedata.category(char) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _cut(line: str, width: int) -> str:
    if _cells(line) <= width:
        return line
    kept, room = "", width - 1
    for char in line:
        room -= _cell(char)
        if room < 0:
            break
        kept += char
    return kept + "…" if width > 0 else ""
