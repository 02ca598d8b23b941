"""What a lesson wants to have happened, as data: a change with its outcome, and how the host looks.

Nothing in here knows how it came about: which keys were pressed is of no account, only what the kernel answered and what was seen.

A `Wish` is about an outcome; its table says

    change    the kind of change: "Open", "SetToken", ...
    of        the function that it is about (BDF), or a list of them
    answer    the name of the errno, "OK" for success, "refused" for whatever errno
    entry     the id of the catalogue's entry that explains it
    token     whether a token was given
    hold      whether what was opened stays open
    path      the way that was taken: "group" or "cdev"
    count     how many VFs were asked for

A `Sight` is about a snapshot; its table says

    pf        the PF that the following are about
    users     how many of its VFs are in use
    vfs       how many VFs it has
    waits     whether a change of it waits in the kernel for a program
    held      BDFs that another program holds
    own       BDFs that vfdeck holds
    free      BDFs that nobody holds

What a table does not say is of no account.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from vfdeck.backend import changes
from vfdeck.backend.catalogue import entries
from vfdeck.backend.changes import OpenPath, Outcome, target_of
from vfdeck.backend.model import Snapshot

Table = Mapping[str, Any]

KINDS = tuple(kind.__name__ for kind in get_args(changes.Change))
PATHS = tuple(path.value for path in OpenPath)


class WishError(ValueError):
    """A table that is none; one line that says what is wrong and what was expected."""


def _listed(name: str, value: object) -> tuple[str, ...]:
    """A text or a list of texts."""
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list) and value and all(isinstance(each, str) for each in value):
        return tuple(value)
    raise WishError(f"{name} = {value!r}: expected an address or a list of addresses")


def _typed(table: Table, allowed: Mapping[str, type], what: str) -> None:
    """Raise WishError for a key that is not `allowed`, or a value of another type."""
    for name, value in table.items():
        if name not in allowed:
            raise WishError(f'{what} has no key "{name}"; expected some of {", ".join(allowed)}')
        wanted = allowed[name]
        if wanted is not object and type(value) is not wanted:
            raise WishError(f"{name} = {value!r}: expected {_WORDS[wanted]}")


_WORDS = {str: "a text", bool: "true or false", int: "a number"}

_WISH = {
    "change": str,
    "of": object,
    "answer": str,
    "entry": str,
    "token": bool,
    "hold": bool,
    "path": str,
    "count": int,
}
_SIGHT = {"pf": str, "users": int, "vfs": int, "waits": bool, "held": object, "own": object, "free": object}


@dataclass(frozen=True, slots=True)
class Wish:
    """An outcome that is wanted; None, or empty, is of no account."""

    change: str
    of: tuple[str, ...] = ()
    answer: str = ""
    entry: str = ""
    token: bool | None = None
    hold: bool | None = None
    path: str = ""
    count: int | None = None

    @classmethod
    def parse(cls, table: Table) -> Wish:
        """From its table. Raises WishError."""
        _typed(table, _WISH, "a wish")
        kind = table.get("change")
        if kind not in KINDS:
            raise WishError(f'change = "{kind}": expected one of {", ".join(KINDS)}')
        if (path := table.get("path", PATHS[0])) not in PATHS:
            raise WishError(f'path = "{path}": expected one of {", ".join(PATHS)}')
        if (name := table.get("entry")) and name not in (entry.id for entry in entries()):
            raise WishError(f'entry = "{name}": the catalogue has none of this name')
        return cls(**{**table, "of": _listed("of", table["of"]) if "of" in table else ()})

    def is_met(self, outcome: Outcome) -> bool:
        """Whether it came so."""
        change = outcome.change
        if type(change).__name__ != self.change or (self.of and target_of(change) not in self.of):
            return False
        if self.answer and not self._answered(outcome):
            return False
        if self.entry and (outcome.explanation is None or outcome.explanation.entry != self.entry):
            return False
        if self.token is not None and self.token is (getattr(change, "token", None) is None):
            return False
        said = ((self.hold, "hold"), (self.path or None, "path"), (self.count, "count"))
        return all(wanted is None or getattr(change, name, None) == wanted for wanted, name in said)

    def _answered(self, outcome: Outcome) -> bool:
        """Whether the kernel answered so; what was not attempted, or still waits, has no answer."""
        if not outcome.attempted or outcome.blocked:
            return False
        return outcome.errno != 0 if self.answer == "refused" else outcome.errno_name == self.answer


@dataclass(frozen=True, slots=True)
class Sight:
    """A look that is wanted; None, or empty, is of no account."""

    pf: str = ""
    users: int | None = None
    vfs: int | None = None
    waits: bool | None = None
    held: tuple[str, ...] = ()
    own: tuple[str, ...] = ()
    free: tuple[str, ...] = ()

    @classmethod
    def parse(cls, table: Table) -> Sight:
        """From its table. Raises WishError."""
        _typed(table, _SIGHT, "a sight")
        if not table:
            raise WishError("a sight has no keys: everything would do")
        if not table.get("pf") and any(name in table for name in ("users", "vfs", "waits")):
            raise WishError("users, vfs and waits are about a PF: pf is missing")
        return cls(**{**table, **{name: _listed(name, table[name]) for name in ("held", "own", "free") if name in table}})

    def is_met(self, snapshot: Snapshot) -> bool:
        """Whether it looks so."""
        holders = {bdf: snapshot.holders_of(bdf) for bdf in (*self.held, *self.own, *self.free)}
        return (
            self._has_numbers(snapshot)
            and all(any(not holder.own for holder in holders[bdf]) for bdf in self.held)
            and all(any(holder.own for holder in holders[bdf]) for bdf in self.own)
            and not any(holders[bdf] for bdf in self.free)
        )

    def _has_numbers(self, snapshot: Snapshot) -> bool:
        """What it says of the PF."""
        if not self.pf:
            return True
        if self.pf not in snapshot.functions:
            return False
        waits = any(job.target == self.pf and job.waits_for for job in snapshot.jobs)
        return (
            self.users in (None, snapshot.users_of(self.pf).value)
            and self.vfs in (None, len(snapshot.vfs_of(self.pf)))
            and self.waits in (None, waits)
        )
