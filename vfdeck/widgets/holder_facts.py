"""What the Holders panel says: each program with what it runs, how it holds the function, and what would hurt it."""

from __future__ import annotations

from collections.abc import Iterator

from vfdeck.backend.facts import group_members, guarded
from vfdeck.backend.model import Function, Holder, Role, Snapshot
from vfdeck.widgets.holder_words import clock, holder_text, how, since, where, who
from vfdeck.widgets.sections import Fact, Section
from vfdeck.widgets.state import Tone, count_words, index_of, plural, role_text

#: So many VFs of a PF are told with their holders; the tree has them all.
_ENOUGH = 8
#: So many programs are named in a digest.
_FEW = 3


def holder_sections(function: Function, snapshot: Snapshot) -> list[Section]:
    """A section for each program that holds the function; of a PF also who holds its VFs; last, what could not be looked at."""
    held: dict[int, list[Holder]] = {}
    for holder in index_of(snapshot).holders.get(function.bdf, []):
        held.setdefault(-1 if holder.own else holder.pid, []).append(holder)
    programs = [Section(_title(holders[0]), tuple(_program(holders, function, snapshot))) for holders in held.values()]
    return [*programs, Section("Who holds its VFs", tuple(_users(function, snapshot))), Section("", tuple(_unseen(snapshot)))]


def _title(holder: Holder) -> str:
    return "vfdeck itself" if holder.own else ", ".join((holder_text(holder), *where(holder)))


def _program(holders: list[Holder], function: Function, snapshot: Snapshot) -> Iterator[Fact]:
    """A program that may hold the function in several ways."""
    first = holders[0]
    if not first.own:
        yield Fact("user", first.user or "unknown")
        yield from (Fact("machine", first.vm) for _ in range(bool(first.vm)))
        yield from (Fact("runs in", first.container) for _ in range(bool(first.container)))
    for number, holder in enumerate(holders):
        yield Fact(" " if number else "holds", f"{how(holder)}{_through(holder, function)}", Tone.OWN if first.own else Tone.BUSY)
    yield Fact("held", _moment(first, snapshot.taken))
    if first.command and not first.own:
        yield Fact("command", first.command, Tone.DIM)
    hurts = _hurts(holders, function, snapshot)
    yield from (Fact(" " if number else "hurts", text, Tone.PLAIN) for number, text in enumerate(hurts))


def _through(holder: Holder, function: Function) -> str:
    """The node that it went through, where that follows from how it holds it."""
    if holder.kind == "cdev" and function.cdev:
        return f", by /dev/vfio/devices/{function.cdev}"
    if holder.kind in ("device", "group") and function.iommu_group is not None:
        return f", group {function.iommu_group}"
    return ""


def _moment(holder: Holder, now: float) -> str:
    """Since when, as a span and as a time of day."""
    at = holder.since if holder.since is not None else None
    return f"{since(holder, now)}, from {clock(at)}" if at is not None else since(holder, now)


def _hurts(holders: list[Holder], function: Function, snapshot: Snapshot) -> Iterator[str]:
    """What others may do that it would feel, and what it keeps others from."""
    only_group = all(holder.kind == "group" for holder in holders)
    pf = function.physfn if function.role is Role.VF else None
    if only_group:
        yield f"nothing done to {function.bdf} yet: no device of it is seen to be open"
    else:
        yield f"a reset of {function.bdf}{f' or of its PF {pf}' if pf else ''}: the device forgets what it was doing"
    gone = f"taking it from its driver{', or 0 VFs for ' + pf if pf else ''}"
    yield f"{gone}: the kernel asks it to let go and waits until it has, however long; ending the program ends the wait"
    if guarded(snapshot, function.bdf):
        yield "a new token: nothing now; what it opens later needs the new one"
    others = [bdf for bdf in group_members(snapshot, function.bdf) if bdf != function.bdf]
    if others and any(holder.kind != "cdev" for holder in holders):
        yield f"it has the whole group: {plural(len(others), 'other function')} of it cannot be opened by anybody else (EBUSY)"


def users_digest(pf: Function, snapshot: Snapshot) -> Fact | None:
    """The programs that hold VFs of a PF, in a line; None where nobody is seen to."""
    holders = index_of(snapshot).holders
    names = list(dict.fromkeys(holder_text(holder) for vf in snapshot.vfs_of(pf.bdf) for holder in holders.get(vf.bdf, ())))
    more = f" and {len(names) - _FEW} more" if len(names) > _FEW else ""
    return Fact("used by", f"{', '.join(names[:_FEW])}{more}", Tone.BUSY) if names else None


def _users(function: Function, snapshot: Snapshot) -> Iterator[Fact]:
    """Of a PF: how many of its VFs are in use, and who holds them."""
    if function.role is not Role.PF:
        return
    index = index_of(snapshot)
    held = [vf for vf in snapshot.vfs_of(function.bdf) if vf.bdf in index.holders]
    yield Fact("in use", count_words(index.users(function)), Tone.PLAIN if held else Tone.DIM)
    for vf in held[:_ENOUGH]:
        for number, holder in enumerate(index.holders[vf.bdf]):
            label = role_text(vf) if number == 0 else " "
            yield Fact(label, who(holder), Tone.OWN if holder.own else Tone.BUSY)
            yield Fact(" ", f"{how(holder)}, {since(holder, snapshot.taken)}", Tone.DIM)
    if len(held) > _ENOUGH:
        yield Fact("more", f"{plural(len(held) - _ENOUGH, 'VF')} in use; the tree shows them", Tone.DIM)


def _unseen(snapshot: Snapshot) -> Iterator[Fact]:
    """Why there may be more holders than these."""
    hidden = snapshot.unseen - snapshot.unattributed
    if hidden > 0:
        word = "process" if hidden == 1 else "processes"
        yield Fact("at least", f"{hidden} {word} could not be looked at and may hold it too (G9)", Tone.WARN)
    if snapshot.unattributed:
        text = f"{plural(snapshot.unattributed, 'program')} with a device open that this kernel does not tell may hold it too"
        yield Fact("at least" if hidden <= 0 else " ", text, Tone.WARN)
    if snapshot.late:
        yield Fact("", f"who opened its first device in the last {snapshot.late:g} s may be missing", Tone.DIM)
