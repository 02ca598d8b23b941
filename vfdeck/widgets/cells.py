"""What each row of the fleet tree says in its columns. No Textual in here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from vfdeck.backend.model import Function, ProblemKind, Role
from vfdeck.widgets.columns import TREE, Fitted, name_text
from vfdeck.widgets.holder_words import holders_text
from vfdeck.widgets.rows import Row
from vfdeck.widgets.state import Index, State, Tone, plural, role_text, short_name, token_cell


class Cell(NamedTuple):
    """A piece of a row: its text, what the text means, and whether it stands right in its column."""

    text: str
    tone: Tone = Tone.PLAIN
    right: bool = False


def address(bdf: str, short: bool) -> str:
    """An address, without the domain 0000 where room is scarce."""
    return bdf[5:] if short and bdf.startswith("0000:") else bdf


def guides(row: Row) -> str:
    """The lines that tie a row to its parent, with the mark of a row that can be folded."""
    mark = ("▸ " if row.folded else "▾ ") if row.foldable else ""
    if row.depth == 0:
        return mark or "  "
    if row.depth == 1:
        return ("└─" if row.last else "├─") + (mark or "─ ")
    return ("  " if row.parent_last else "│ ") + ("└" if row.last else "├") + (mark or "─ ")


def host_line(index: Index, alone: bool) -> list[Cell]:
    """A host's own row, which runs over all columns. Where it is `alone`, the banner has the most of it already."""
    host, away = index.snapshot.host, index.snapshot.away
    if away is not None:
        tone = Tone.WARN if away.kind is ProblemKind.LOST else Tone.DIM
        return [Cell(host.name, Tone.DIM), Cell("  ", Tone.DIM), Cell(away.what, tone)]
    name = Cell(host.name, Tone.STRONG)
    if alone:
        told = (index.badge, f"! {plural(len(index.snapshot.problems), 'problem')}")
        odd = [Cell(text, tone) for text, tone in index.oddities if text not in told]
        return [name, Cell("  ", Tone.DIM), *_between(odd, Cell(" · ", Tone.WARN))]
    sums = f"{host.kernel} · {plural(index.pfs, 'PF')} · {plural(index.vfs, 'VF')} · {index.all_users} in use"
    return [name, Cell("  ", Tone.DIM), *_between([*_odd(index), Cell(sums, Tone.DIM)], Cell(" · "))]


def hosts_line(index: Index, last: str, size: int) -> list[Cell]:
    """The row of hosts that are alike: from which to which, and what is true of each."""
    host = index.snapshot.host
    use = f"{index.all_users} in use" if index.all_users.value else "all free"
    each = f"each {host.kernel} · {plural(index.pfs, 'PF')} · {plural(index.vfs, 'VF')} · {use}"
    told = [Cell(plural(size, "host"), Tone.PLAIN), *_odd(index), Cell(each, Tone.DIM)]
    return [Cell(f"{host.name} … {last}", Tone.STRONG), Cell("  ", Tone.DIM), *_between(told, Cell(" · "))]


def _odd(index: Index) -> list[Cell]:
    """What is out of the ordinary: it comes first, for on a narrow terminal the rest is cut off."""
    return [Cell(*odd) for odd in index.oddities]


def _between(cells: Sequence[Cell], mark: Cell) -> list[Cell]:
    """Cells with a mark between each two."""
    return [one for cell in cells for one in (mark, cell)][1:]


def cells(function: Function, index: Index, columns: tuple[Fitted, ...]) -> tuple[Cell, ...]:
    """What a function's row says in `columns`, the tree column aside."""
    state = index.state(function)
    return tuple(_cell(fitted, function, index, state) for fitted in columns if fitted.column.id != TREE)


def run_cells(first: Function, last: Function, size: int, index: Index, columns: tuple[Fitted, ...]) -> tuple[Cell, ...]:
    """What the row of VFs that are alike says: what all of them say, and from where to where their numbers go."""
    others = [fitted for fitted in columns if fitted.column.id != TREE]
    return tuple(_run_cell(f, cell, first, last, size) for f, cell in zip(others, cells(first, index, columns), strict=True))


def _run_cell(fitted: Fitted, cell: Cell, first: Function, last: Function, size: int) -> Cell:
    """What such a row says in one column."""
    match fitted.column.id:
        case "role":
            return Cell(plural(size, "VF"), Tone.DIM)
        case "group" if first.iommu_group != last.iommu_group:
            return Cell(f"{first.iommu_group}–{last.iommu_group}", Tone.DIM, True)
        case "what" | "name":
            return Cell(_span(first.bdf, last.bdf), Tone.DIM)
        case _:
            return cell


def _span(first: str, last: str) -> str:
    """From one address to another, without repeating what both have: `03:02.2 – .7`, `03:0a.0 – 0b.3`."""
    domain, bus, device, _ = re.split(r"[:.]", first)
    parts = re.split(r"[:.]", last)
    same = [domain == parts[0], bus == parts[1], device == parts[2]]
    rest = last[-2:] if all(same) else last[-4:] if same[0] and same[1] else address(last, same[0])
    return f"{address(first, True)} – {rest}"


def run_name(first: Function, last: Function) -> str:
    """What stands in the tree for VFs that are alike."""
    return f"VF {first.vf_index}–{last.vf_index}"


def _cell(fitted: Fitted, function: Function, index: Index, state: State) -> Cell:
    """What a function's row says in one column."""
    match fitted.column.id:
        case "state":
            return Cell(f"{state.letter} {state.word}", state.tone)
        case "role":
            return Cell(role_text(function), Tone.STRONG if function.role is Role.PF else Tone.DIM)
        case "driver":
            return _driver(function)
        case "token":
            return Cell(*token_cell(function, index.snapshot))
        case "vfs" | "users":
            return _count(fitted.column.id, function, index)
        case "group":
            return Cell("" if function.iommu_group is None else str(function.iommu_group), Tone.DIM, True)
        case "numa":
            node = function.numa_node
            return Cell("" if node is None or node < 0 else str(node), Tone.DIM, True)
        case "link":
            return _link(function)
        case "name":
            return _name(function, fitted.width)
        case _:
            return _holder_or_name(fitted, function, index)


def _driver(function: Function) -> Cell:
    """The driver; marked with `*` where driver_override names another one."""
    override = function.driver_override
    mark = "*" if override and override != function.driver else ""
    return Cell((function.driver or "–") + mark, Tone.DIM if function.driver is None else Tone.PLAIN)


def _count(column: str, function: Function, index: Index) -> Cell:
    """Numbers that only PFs have."""
    if function.sriov is None:
        return Cell("", Tone.DIM, True)
    if column == "users":
        users = index.users(function)
        return Cell(str(users), Tone.BUSY if users.value else Tone.DIM, True)
    total = "?" if function.sriov.totalvfs is None else str(function.sriov.totalvfs)
    return Cell(f"{function.sriov.numvfs}/{total}", Tone.PLAIN if function.sriov.numvfs else Tone.DIM, True)


def _link(function: Function) -> Cell:
    """Speed in GT/s and lanes; what runs below what it could is marked."""
    link = function.link
    if link is None:
        return Cell("", Tone.DIM)
    speed = link.speed.split(" ")[0].removesuffix(".0")
    return Cell(f"{speed}GT x{link.width}{' ↓' if link.degraded else ''}", Tone.WARN if link.degraded else Tone.DIM)


def _name(function: Function, width: int) -> Cell:
    """The device's name, with interfaces and disks where there is room; VFs repeat their PF's, so theirs stands back."""
    full = name_text(function)
    return Cell(full if len(full) <= width else short_name(function), Tone.DIM if function.role is Role.VF else Tone.PLAIN)


def _holder_or_name(fitted: Fitted, function: Function, index: Index) -> Cell:
    """Who holds it; in the shared column a PF or an unused function says its name or interfaces instead."""
    holders = index.holders.get(function.bdf, [])
    if holders:
        return Cell(holders_text(holders, fitted.width), Tone.OWN if any(h.own for h in holders) else Tone.BUSY)
    if fitted.column.id == "holder":
        return Cell("", Tone.DIM)
    if function.role is not Role.VF:
        return Cell(short_name(function), Tone.PLAIN)
    return Cell(" ".join((*function.interfaces, *function.disks)), Tone.DIM)
