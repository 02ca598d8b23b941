"""Who holds which function: from what programs have open to the functions behind it, with how certain that is.

The kernel tells the function of a device fd in fdinfo from 6.18 on. Before that, a device fd is told by the group node that the
same program has open: exact enough for a group with one function on vfio, a guess for larger ones.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from vfdeck.backend.kernel import OpenFile
from vfdeck.backend.model import Certainty, Function, Holder, Problem


def holders(files: Iterable[OpenFile], functions: dict[str, Function]) -> tuple[tuple[Holder, ...], tuple[Problem, ...]]:
    """Holders of the functions given, and what could not be attributed to any of them."""
    by_cdev = {f.cdev: f for f in functions.values() if f.cdev}
    by_group: dict[str, list[Function]] = defaultdict(list)
    for function in functions.values():
        if function.on_vfio and function.iommu_group is not None:
            node = f"noiommu-{function.iommu_group}" if function.noiommu else str(function.iommu_group)
            by_group[node].append(function)
    programs: dict[int, list[OpenFile]] = defaultdict(list)
    for file in files:
        programs[file.pid].append(file)
    found: dict[tuple[str, int], Holder] = {}
    problems: list[Problem] = []
    for opened in programs.values():
        for holder in _of_program(opened, by_cdev, by_group):
            known = found.get((holder.bdf, holder.pid))
            if known is None or (known.certainty is not Certainty.EXACT and holder.certainty is Certainty.EXACT):
                found[holder.bdf, holder.pid] = holder
        problems += _unattributed(opened)
    ordered = sorted(found.values(), key=lambda holder: (holder.bdf, holder.pid))
    return tuple(ordered), tuple(problems)


def _of_program(opened: list[OpenFile], by_cdev: dict[str, Function], by_group: dict[str, list[Function]]) -> Iterator[Holder]:
    anonymous = any(file.kind == "device" and not file.bdf for file in opened)
    told = {file.bdf for file in opened if file.bdf}
    for file in opened:
        if file.bdf:
            yield _holder(file, file.bdf, file.kind, Certainty.EXACT if file.kind == "device" else Certainty.INFERRED)
        elif file.kind in ("cdev", "mapping") and file.node in by_cdev:
            certainty = Certainty.INFERRED if file.kind == "cdev" else Certainty.EXACT
            yield _holder(file, by_cdev[file.node].bdf, file.kind, certainty)
        elif file.kind == "group":
            members = [f for f in by_group.get(file.node, []) if f.bdf not in told]
            for member in members:
                yield _holder(file, member.bdf, "device" if anonymous else "group", Certainty.INFERRED)


def _holder(file: OpenFile, bdf: str, kind: str, certainty: Certainty) -> Holder:
    return Holder(bdf, file.pid, file.program, file.user, kind, file.own, certainty)


def _unattributed(opened: list[OpenFile]) -> Iterator[Problem]:
    """A mapping whose fd is closed keeps a function in use, and nothing tells which."""
    if any(file.kind in ("group", "device") for file in opened):
        return
    for file in opened:
        if file.kind == "mapping" and not file.node and not file.bdf:
            what = f"{file.program} keeps a vfio device in use by a mapping; the kernel does not tell which device"
            yield Problem(f"/proc/{file.pid}/maps", what)
            return
