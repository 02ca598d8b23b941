"""The columns of the fleet tree: which fit a width, and how wide each is by what there is to say in it. No Textual in here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rich.cells import cell_len

from vfdeck.backend.model import Function, Role, Snapshot
from vfdeck.widgets.holder_words import holder_text, holders_text
from vfdeck.widgets.state import index_of, short_name


@dataclass(frozen=True, slots=True)
class Column:
    """A column: the cells that it takes where its content was not measured, and for names the least and the most it may have."""

    id: str
    title: str
    width: int
    right: bool = False
    least: int = 0  # not 0: what stands in it can be cut
    most: int = 0


TREE = "tree"
#: "what" is a name for PFs and a holder for VFs in one column, until there is room for both
_COLUMNS = {
    column.id: column
    for column in (
        Column(TREE, "function", 17),
        Column("role", "role", 6),
        Column("state", "state", 9),
        Column("driver", "driver", 9),
        Column("vfs", "VFs", 6, right=True),
        Column("users", "users", 5, right=True),
        Column("token", "token", 9),
        Column("group", "group", 7, right=True),
        Column("numa", "NUMA", 4, right=True),
        Column("link", "link", 11),
        Column("what", "name/holder", 22, least=12, most=60),
        Column("name", "device", 24, least=18, most=58),
        Column("holder", "holder", 22, least=20, most=64),
    )
}
#: Sets of columns from the fullest to the barest; the first one that fits is taken.
_SETS = (
    ("tree", "role", "state", "driver", "vfs", "users", "token", "group", "numa", "link", "name", "holder"),
    ("tree", "role", "state", "driver", "vfs", "users", "token", "group", "numa", "name", "holder"),
    ("tree", "role", "state", "driver", "vfs", "users", "token", "group", "name", "holder"),
    ("tree", "role", "state", "driver", "vfs", "users", "token", "group", "what"),
    ("tree", "role", "state", "driver", "vfs", "users", "token", "what"),
    ("tree", "state", "driver", "vfs", "users", "token", "what"),
    ("tree", "state", "driver", "vfs", "users", "token"),
    ("tree", "state", "driver", "vfs", "token"),
    ("tree", "state", "driver", "vfs"),
    ("tree", "state", "driver"),
    ("tree", "state"),
)
#: The fullest set in which names may be cut to the least: with more columns than these they must stand in full.
_ESSENTIAL = len(_SETS) - 6
_GAP = 1
#: Cells that the addresses of VFs in one row take: `03:02.2 – 04:0a.3`.
_SPAN = 17
#: Names that are longer than this may be cut for the sake of further columns.
_FAIR = 32
#: Below this width the domain `0000:` is left out of addresses.
SHORT_ADDRESS_BELOW = 50


class Need(NamedTuple):
    """Cells that a column's content takes, and that it would take with all that can be said; 0 for nothing to say."""

    cells: int
    wish: int = 0


Needs = Mapping[str, Need]
NOT_MEASURED: Needs = {}


class Fitted(NamedTuple):
    """A column with the width it got."""

    column: Column
    width: int


# -- what there is to say ---------------------------------------------------------------------------------------------------
def measured(snapshot: Snapshot) -> dict[str, Need]:
    """What a host's rows need. What comes and goes every moment (states, tokens, users) keeps its usual width."""
    drivers: set[str | None] = set()
    vf_names: dict[str, str] = {}  # each once: thousands of VFs are alike
    others: list[Function] = []
    highest = group = node = -1
    for f in snapshot.functions.values():  # one walk, as there may be 100,000 of them
        drivers.add(f.driver)
        if f.iommu_group is not None and f.iommu_group > group:
            group = f.iommu_group
        if f.numa_node is not None and f.numa_node > node:
            node = f.numa_node
        if f.role is not Role.VF:
            others.append(f)
            continue
        if f.vf_index is not None and f.vf_index > highest:
            highest = f.vf_index
        if f.device not in vf_names:
            vf_names[f.device] = short_name(f)
    named = [f.driver or "" for f in others if f.driver_override in (None, f.driver)]
    named += [f"{f.driver}*" for f in others if f.driver_override not in (None, f.driver)]
    totals = [len(str(f.sriov.totalvfs)) for f in others if f.sriov is not None]
    span = _SPAN if highest >= 0 else 0
    digits = len(str(group)) if group >= 0 else 0
    shared = _longest([short_name(f) for f in others])
    return {
        "role": Need(max(6, len(f"VF {highest}"))),
        "driver": Need(max(8, _longest([*(driver or "" for driver in drivers), *named]))),
        "vfs": Need(max(5, 2 * max(totals, default=0) + 1)),
        "group": Need(max(5, 2 * digits + 1) if digits and span else digits),
        "numa": Need(4 if node >= 0 else 0),
        "link": Need(11 if any(f.link is not None for f in others) else 0),
        "what": Need(max(span, shared, _longest([holder_text(h) for h in snapshot.holders]))),
        "name": Need(max(span, shared), max(_longest([name_text(f) for f in others]), _longest(list(vf_names.values())))),
        "holder": Need(*_holders(snapshot)),
    }


def _holders(snapshot: Snapshot) -> tuple[int, int]:
    """Cells of the longest holder in a few words, and in all that are said of holders."""
    held = index_of(snapshot).holders.values()
    return _longest([holder_text(h) for h in snapshot.holders]), _longest([holders_text(holders) for holders in held])


def _longest(texts: list[str]) -> int:
    """Cells of the longest text."""
    return max(map(cell_len, texts), default=0)


def name_text(function: Function) -> str:
    """A function's name with what the host made of it: interfaces, disks."""
    return "  ".join(part for part in (short_name(function), " ".join((*function.interfaces, *function.disks))) if part)


def together(some: Needs, others: Needs) -> dict[str, Need]:
    """What serves both."""
    none = Need(0)
    pairs = ((name, some.get(name, none), others.get(name, none)) for name in some.keys() | others.keys())
    return {name: Need(max(a.cells, b.cells), max(a.wish, b.wish)) for name, a, b in pairs}


# -- what fits --------------------------------------------------------------------------------------------------------------
def hideable() -> tuple[str, ...]:
    """The columns that can be left out: all but the tree; "what" is gone once both of its parts are."""
    return tuple(name for name in _SETS[0] if name != TREE)


def fit(
    width: int,
    longest: int = 12,
    needs: Needs = NOT_MEASURED,
    hidden: frozenset[str] = frozenset(),
    order: Sequence[str] = (),
) -> tuple[Fitted, ...]:
    """The columns for `width` cells, with one cell between them; what is left over goes to names and holders.

    `longest` is the length of the longest address. Columns that have nothing to say are left out, and those that are
    `hidden`. After the tree, the columns in `order` come first.
    """
    tree = 5 + (7 if width < SHORT_ADDRESS_BELOW and longest <= 12 else max(12, longest))
    unseen = hidden | {"what"} if hidden >= {"name", "holder"} else hidden
    for number, names in enumerate(_SETS):
        shown = [name for name in names if name not in unseen]
        shown.sort(key=lambda name: _place(name, order))  # stable: what is not in `order` stays as it is
        columns = [_COLUMNS[name] for name in shown if needs.get(name, Need(1)).cells or _COLUMNS[name].least]
        widths = [tree if c.id == TREE else _least(c, needs, fair=number < _ESSENTIAL) for c in columns]
        spare = width - sum(widths) - _GAP * (len(columns) - 1)
        if spare >= 0:
            return tuple(Fitted(c, w) for c, w in zip(columns, _spread(columns, widths, spare, needs), strict=True))
    return (Fitted(_COLUMNS[TREE], max(1, width)),)


def _place(name: str, order: Sequence[str]) -> int:
    """Where a column stands: the tree first of all; "what" where the first of its parts does."""
    parts = ("name", "holder") if name == "what" else (name,)
    return -1 if name == TREE else min((order.index(part) for part in parts if part in order), default=len(order))


def _least(column: Column, needs: Needs, *, fair: bool) -> int:
    """What a column must have; with `fair` room for what is there to say, unless that is long."""
    need = needs.get(column.id)
    if not column.least:
        return max(need.cells if need is not None else column.width, cell_len(column.title))
    if not fair:
        return column.least
    return max(column.least, min(_FAIR, need.cells if need is not None else column.width))


def _spread(columns: list[Column], widths: list[int], spare: int, needs: Needs) -> list[int]:
    """Hand `spare` cells to names and holders: first for what they need, then for all that can be said, the rest to the last."""
    elastic = [n for n, column in enumerate(columns) if column.least]
    for part in (0, 1):
        targets = {n: min(columns[n].most, needs.get(columns[n].id, Need(columns[n].most))[part]) for n in elastic}
        while spare > 0 and (short := [n for n in elastic if widths[n] < targets[n]]):
            for n in short[:spare]:
                widths[n], spare = widths[n] + 1, spare - 1
    if elastic:
        widths[elastic[-1]] += min(spare, max(0, columns[elastic[-1]].most - widths[elastic[-1]]))
    return widths
