"""Who holds a function, in full: each program with what it runs and how it was started; of a PF also who holds its VFs."""

from __future__ import annotations

from collections.abc import Iterator

from vfdeck.backend.model import Function, Role, Snapshot
from vfdeck.widgets.holder_words import how, since, who
from vfdeck.widgets.sections import Fact, Section
from vfdeck.widgets.state import Tone, index_of, plural, role_text

#: So many VFs of a PF are told with their holders; the tree has them all.
_ENOUGH = 8


def holders_section(function: Function, snapshot: Snapshot) -> Section:
    """The section; without facts where there is nothing to say beyond who holds the function itself."""
    return Section("Programs", (*_commands(function, snapshot), *_users(function, snapshot)))


def _commands(function: Function, snapshot: Snapshot) -> Iterator[Fact]:
    """How each program that holds it was started; tokens in it are fingerprints."""
    told = set()
    for holder in index_of(snapshot).holders.get(function.bdf, []):
        if holder.command and not holder.own and holder.pid not in told:
            told.add(holder.pid)
            yield Fact(str(holder.pid), holder.command, Tone.DIM)


def _users(function: Function, snapshot: Snapshot) -> Iterator[Fact]:
    """Of a PF: who holds its VFs."""
    if function.role is not Role.PF:
        return
    holders = index_of(snapshot).holders
    held = [vf for vf in snapshot.vfs_of(function.bdf) if vf.bdf in holders]
    for vf in held[:_ENOUGH]:
        for number, holder in enumerate(holders[vf.bdf]):
            label = role_text(vf) if number == 0 else " "
            yield Fact(label, who(holder), Tone.OWN if holder.own else Tone.BUSY)
            yield Fact(" ", f"{how(holder)}, {since(holder, snapshot.taken)}", Tone.DIM)
    if len(held) > _ENOUGH:
        yield Fact("more", f"{plural(len(held) - _ENOUGH, 'VF')} in use; the tree shows them", Tone.DIM)
