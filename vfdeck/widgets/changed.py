"""What is different between two looks at a host, in the words of the fleet tree. No Textual in here."""

from __future__ import annotations

from typing import NamedTuple

from vfdeck.backend.model import Function, Role, Snapshot
from vfdeck.widgets.cells import cells
from vfdeck.widgets.columns import TREE, fit
from vfdeck.widgets.state import Index

#: Every column, wide enough to cut nothing that matters.
_COLUMNS = fit(400)
_IDS = tuple(fitted.column.id for fitted in _COLUMNS if fitted.column.id != TREE)


class Difference(NamedTuple):
    """A column that says something else now. A function that is new has one difference, in the tree's own column."""

    column: str
    before: str
    after: str

    def __str__(self) -> str:
        if self.column == TREE:
            return self.after
        return f"{self.column} {self.before or 'none'} → {self.after or 'none'}"


def differences(before: Snapshot, after: Snapshot) -> dict[str, tuple[Difference, ...]]:
    """What the tree says otherwise of each function than before; functions of which it says the same are left out."""
    old, new = Index(before), Index(after)
    found: dict[str, tuple[Difference, ...]] = {
        bdf: (Difference(TREE, "", "new"),) for bdf in after.functions.keys() - before.functions.keys()
    }
    for bdf in _touched(old, new):
        then, now = before.functions.get(bdf), after.functions.get(bdf)
        if then is not None and now is not None:
            pairs = zip(_IDS, _said(then, old), _said(now, new), strict=True)
            found[bdf] = tuple(Difference(column, a, b) for column, a, b in pairs if a != b)
    return {bdf: different for bdf, different in found.items() if different}


def _touched(old: Index, new: Index) -> set[str]:
    """Functions whose row may say something else: changed themselves or by their holders, changes, token, VFs or group."""
    before, after = old.snapshot, new.snapshot
    found = {bdf for bdf, function in after.functions.items() if before.functions.get(bdf) != function}
    held = set(before.holders) ^ set(after.holders)
    found |= {holder.bdf for holder in held} | (old.running.keys() | new.running.keys())
    tokens = {pf for pf in before.tokens.keys() | after.tokens.keys() if before.tokens.get(pf) != after.tokens.get(pf)}
    found |= tokens | {vf for pf in tokens for vf in _vfs(after.functions.get(pf))}
    gone = before.functions.keys() - after.functions.keys()
    touched = [after.functions.get(bdf) or before.functions.get(bdf) for bdf in found | gone]
    pfs = {f.physfn for f in touched if f is not None and f.role is Role.VF and f.physfn}
    groups = {f.iommu_group for f in touched if f is not None and f.iommu_group is not None}
    members = {bdf for group in groups if group in after.groups for bdf in after.groups[group].members}
    return found | pfs | members


def _vfs(pf: Function | None) -> tuple[str, ...]:
    return pf.sriov.vfs if pf is not None and pf.sriov is not None else ()


def _said(function: Function, index: Index) -> tuple[str, ...]:
    """What a function's row says."""
    return tuple(cell.text for cell in cells(function, index, _COLUMNS))
