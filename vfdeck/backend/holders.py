"""Who holds which function: from what programs have open to the functions behind it, with how certain that is.

The kernel tells the function of a device fd in fdinfo from 6.18 on, of a cdev by its node, and before 6.10 that of a mapping by
its address. Else a device fd is inferred from the group nodes that the same program has open, of whose members it holds one at
least. A device fd without such a group (it came over a socket, or the group was closed) cannot be told. What has a node's name, and
could not be asked whether it is that node, is no evidence of anything: it is listed, and marked.
"""

from __future__ import annotations

import dataclasses
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from vfdeck.backend.kernel import OpenFile
from vfdeck.backend.model import Certainty, Function, Holder, Problem, ProblemKind

#: Better evidence of the same program and function first.
_RANK = {"device": 0, "cdev": 0, "mapping": 1, "group": 2}


class Held(NamedTuple):
    """Holders, and what could not be attributed to any function: one problem for each such program, and their number."""

    holders: tuple[Holder, ...]
    problems: tuple[Problem, ...]
    unattributed: int


def holders(files: Iterable[OpenFile], functions: dict[str, Function]) -> Held:
    """Who holds the functions given."""
    nodes = _Nodes(functions)
    programs: dict[int, list[OpenFile]] = defaultdict(list)
    for file in files:
        programs[file.pid].append(file)
    found: list[Holder] = []
    problems: list[Problem] = []
    for opened in programs.values():
        program = _Program(opened, nodes)
        found += program.holders()
        problems += program.problems()
    found.sort(key=lambda holder: (holder.bdf, holder.pid))
    return Held(tuple(found), tuple(problems), len(problems))


class _Nodes:
    """The functions behind each node."""

    def __init__(self, functions: dict[str, Function]) -> None:
        self.cdevs = {f.cdev: f.bdf for f in functions.values() if f.cdev}
        self.groups: dict[str, list[str]] = defaultdict(list)
        for function in functions.values():
            if function.on_vfio and function.iommu_group is not None:
                node = f"noiommu-{function.iommu_group}" if function.noiommu else str(function.iommu_group)
                self.groups[node].append(function.bdf)


class _Program:
    """What one program has open."""

    def __init__(self, opened: list[OpenFile], nodes: _Nodes) -> None:
        self.opened = opened
        self.nodes = nodes
        self.told = {bdf for file in opened if file.kind in ("device", "mapping") and (bdf := self._told(file))}
        self.by_address = {bdf for file in opened if file.kind == "mapping" and not file.node and (bdf := self._told(file))}
        self.anonymous = sum(len(file.fds) or 1 for file in opened if file.kind == "device" and not file.bdf)
        self.mapped = any(file.kind == "mapping" and not self._told(file) for file in opened)

    def _told(self, file: OpenFile) -> str:
        return file.bdf or self.nodes.cdevs.get(file.node, "") if file.kind != "group" else ""

    def holders(self) -> list[Holder]:
        """One holder for each function, by the best evidence."""
        best: dict[str, Holder] = {}
        for holder in self._candidates():
            known = best.get(holder.bdf)
            if known is None or _order(holder) < _order(known):
                best[holder.bdf] = holder
        return list(best.values())

    def _candidates(self) -> Iterator[Holder]:
        descriptors = any(file.kind == "device" for file in self.opened)
        for file in self.opened:
            bdf = self._told(file)
            if file.kind == "group":
                members = set(self.nodes.groups.get(file.node, ()))
                kind = self._through_group(members)
                # Never exact: a device's descriptor may have come over a socket, or its group may be closed by now.
                for member in members - self.told:
                    yield _holder(file, member, kind, Certainty.INFERRED)
            elif bdf and file.kind == "mapping" and not file.node:
                # by its address, and distributions carry the change of 6.10 in older kernels
                yield _holder(file, bdf, "device" if descriptors else "mapping", Certainty.INFERRED)
            elif bdf:
                yield _holder(file, bdf, file.kind, Certainty.INFERRED if file.by_name else Certainty.EXACT)

    def _through_group(self, members: set[str]) -> str:
        """What holds the members of a group that nothing else tells; those told by addresses have a descriptor each, as assumed."""
        if self.anonymous > len(members & self.by_address):
            return "device"
        return "mapping" if self.mapped else "group"

    def problems(self) -> Iterator[Problem]:
        """A device that is in use, and nothing tells which."""
        attributed = any(file.kind == "group" for file in self.opened) or (self.told and not self.mapped)
        if attributed or not (self.anonymous or self.mapped):
            return
        process = self.opened[0].process
        how, where = ("holds a vfio device", "fd") if self.anonymous else ("keeps a vfio device in use by a mapping", "maps")
        yield Problem(
            f"/proc/{process.pid}/{where}", f"{process.name} {how}; the kernel does not tell which device", ProblemKind.HOLDERS
        )


def _order(holder: Holder) -> tuple[bool, int, bool]:
    return holder.by_name, _RANK.get(holder.kind, 0), holder.certainty is not Certainty.EXACT


def _holder(file: OpenFile, bdf: str, kind: str, certainty: Certainty) -> Holder:
    process = file.process
    return Holder(
        bdf,
        process.pid,
        process.name,
        process.user,
        kind,
        file.own,
        certainty,
        started=process.started,
        vm=process.vm,
        container=process.container,
        command=process.command,
        tokens=process.tokens,
        by_name=file.by_name,
        ticks=process.ticks,
    )


class Arrivals:
    """Since when each holder has been seen, which no kernel tells. Nobody knows it of those that were there at the first look."""

    def __init__(self) -> None:
        self._since: dict[tuple[str, int, float | None], float | None] | None = None  # by function and program
        self._lock = threading.Lock()

    def mark(self, found: Iterable[Holder], now: float, by: float = 0.0) -> tuple[Holder, ...]:
        """The holders of this look, with `since`. One that came back in between was away. `by`: see `SetClock.moved`."""
        present = {(h.bdf, h.pid, h.started if h.ticks is None else h.ticks): h for h in found}
        with self._lock:
            seen = self._since
            if by and seen is not None:
                seen = {key: moment if moment is None else moment + by for key, moment in seen.items()}
            since = self._since = {key: None if seen is None else seen.get(key, now) for key in present}
        return tuple(dataclasses.replace(holder, since=since[key]) for key, holder in present.items())
