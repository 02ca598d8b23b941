"""Orders of the fleet's rows. No Textual in here."""

from __future__ import annotations

import enum
from collections.abc import Sequence

from vfdeck.backend.model import Function, Role
from vfdeck.widgets.state import Index, State, short_name

#: What wants attention comes first.
_URGENCY = {
    state: rank
    for rank, state in enumerate(
        (
            State.WAITING,
            State.BLOCKED,
            State.UNSEEN,
            State.BUSY,
            State.OPEN,
            State.IN_USE,
            State.READY,
            State.DRIVER,
            State.NONE,
        )
    )
}
#: Where a host comes of which something is odd.
_ODD = _URGENCY[State.UNSEEN]


class Order(enum.Enum):
    """By what rows are sorted: a word, the columns that show it, and what it means. Equal ones keep the order of addresses."""

    ADDRESS = ("address", ("tree",), "hosts as given, functions by address")
    NAME = ("name", ("name", "what"), "hosts by name, PFs by device; VFs by number")
    USERS = ("users", ("users",), "most VFs in use first")
    STATE = ("state", ("state",), "what waits, is blocked or odd first")

    @property
    def word(self) -> str:
        """What it is called."""
        return str(self.value[0])

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that show it, the best one first."""
        return tuple(self.value[1])

    @property
    def meaning(self) -> str:
        """What it means, in a few words."""
        return str(self.value[2])

    @property
    def next(self) -> Order:
        """The one after it; after the last the first."""
        orders = list(Order)
        return orders[(orders.index(self) + 1) % len(orders)]


def sorted_vfs(order: Order, vfs: list[str], index: Index) -> list[str]:
    """A PF's VFs in this order; they come by number."""
    functions = index.snapshot.functions
    if order is Order.USERS:
        return sorted(vfs, key=lambda bdf: bdf not in index.holders)
    if order is Order.STATE:
        return sorted(vfs, key=lambda bdf: _URGENCY[index.state(functions[bdf])])
    return vfs


def branch_key(order: Order, function: Function, vfs: Sequence[str], index: Index) -> int | str:
    """By what a PF with its (sorted) VFs, or another function under a host, is sorted."""
    if order is Order.NAME:
        return short_name(function).casefold()
    if order is Order.USERS:
        return -index.users(function).value if function.role is Role.PF else -(function.bdf in index.holders)
    if order is Order.STATE:
        first = [index.snapshot.functions[bdf] for bdf in vfs[:1]]
        return min(_URGENCY[index.state(one)] for one in (function, *first))
    return 0


def host_key(order: Order, index: Index, first: int | str) -> int | str:
    """By what a host is sorted; `first` is the key of its first branch."""
    if order is Order.NAME:
        return index.snapshot.host.name.casefold()
    if order is Order.USERS:
        return -index.all_users.value
    if order is Order.STATE:  # a host that is not as it should be comes before what is in use on all of them
        return min(int(first), _ODD) if index.oddities else first
    return 0
