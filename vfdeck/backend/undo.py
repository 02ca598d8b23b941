"""What would take a change back, and what would stay lost: judged by how the host looked before the change.

An undo is a change like any other: it is planned, confirmed and performed by the same rules, and the kernel may refuse it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from vfdeck.backend.changes import (
    BindDriver,
    Change,
    Close,
    Open,
    Outcome,
    SetAutoprobe,
    SetNumvfs,
    SetToken,
    UnbindDriver,
    target_of,
)
from vfdeck.backend.facts import vfs_of
from vfdeck.backend.model import Function, Role, Snapshot
from vfdeck.backend.token import Token


@dataclass(frozen=True, slots=True)
class Undo:
    """How a change is taken back: by `change`, or not, and then `why_not` says why. `lost` does not come back with it."""

    change: Change | None
    why_not: str = ""
    lost: tuple[str, ...] = ()


def undoing(change: Change, before: Snapshot, token: Token | None = None) -> Undo | None:
    """What takes `change` back, which was made on a host that looked like `before`; None where it left nothing to take back.

    `token` is the token of the PF that was in force before, where it is known.
    """
    function = before.functions.get(target_of(change))
    build: Callable[[Any, Function, Snapshot, Token | None], Undo | None] | None = _KINDS.get(type(change))
    return build(change, function, before, token) if build is not None and function is not None else None


def is_needed(outcome: Outcome) -> bool:
    """Whether a change left something that could be taken back: also one that was refused half way."""
    return outcome.attempted and (outcome.ok or bool(outcome.done))


def _numvfs(change: SetNumvfs, function: Function, before: Snapshot, _: Token | None) -> Undo | None:
    count = function.sriov.numvfs if function.sriov is not None else None
    if count is None:
        return None
    return Undo(SetNumvfs(change.pf, count), lost=tuple(_of_vfs(function, before)) if count else ())


def _of_vfs(function: Function, before: Snapshot) -> Iterator[str]:
    """What new VFs have not got of those that were there."""
    placed = [f for f in vfs_of(before, function) if f.driver_override]
    if placed:
        yield f"{len(placed)} of the VFs had a driver_override; the new ones have none"
    yield "what was set for single VFs (MAC addresses, VLANs, trust) is not restored, nor are their users"


def _bind(change: BindDriver, function: Function, before: Snapshot, _: Token | None) -> Undo:
    """Back to the driver of before. Its own bind file takes an override with it, so without one the kernel chooses."""
    if function.driver is None:
        back: Change = UnbindDriver(change.bdf, clear_override=not function.driver_override)
    elif function.driver_override is not None:
        back = BindDriver(change.bdf, function.driver)
    else:
        back = BindDriver(change.bdf, None)
    return Undo(back, lost=tuple(_of_binding(function, before)))


def _unbind(change: UnbindDriver, function: Function, before: Snapshot, _: Token | None) -> Undo | None:
    if function.driver is None:
        return None
    named = function.driver if function.driver_override is not None else None
    return Undo(BindDriver(change.bdf, named), lost=tuple(_of_binding(function, before)))


def _of_binding(function: Function, before: Snapshot) -> Iterator[str]:
    """What a driver had that does not come back with it."""
    override = function.driver_override
    if function.driver is not None and override is None:
        yield f"{function.bdf} was on {function.driver} without a driver_override: the kernel chooses again, and may choose another"
    elif override is not None and override != function.driver:
        yield f"the driver_override was {override}, while {function.driver or 'no driver'} had {function.bdf}; that is not restored"
    if function.role is Role.PF and function.on_vfio:
        yield f"the token of {function.bdf} is gone: bound again, it has a random one that nobody knows"
    if function.sriov is not None and function.sriov.numvfs:
        yield f"its {function.sriov.numvfs} VFs do not come back by themselves, if they went"


def _autoprobe(change: SetAutoprobe, function: Function, _: Snapshot, __: Token | None) -> Undo | None:
    was = function.sriov.autoprobe if function.sriov is not None else None
    return Undo(SetAutoprobe(change.pf, was)) if was is not None else None


def _token(change: SetToken, _: Function, __: Snapshot, token: Token | None) -> Undo:
    if token is None:
        return Undo(None, f"the token that {change.pf} had before is not known here, and the kernel tells it nobody")
    return Undo(SetToken(change.pf, token))


def _open(change: Open, _: Function, __: Snapshot, ___: Token | None) -> Undo | None:
    return Undo(Close(change.bdf)) if change.hold else None


#: An attempt that was closed at once, a question and a close leave nothing to take back: what was let go is opened with `o`.
_KINDS: dict[type, Callable[..., Undo | None]] = {
    SetNumvfs: _numvfs,
    BindDriver: _bind,
    UnbindDriver: _unbind,
    SetAutoprobe: _autoprobe,
    SetToken: _token,
    Open: _open,
}
