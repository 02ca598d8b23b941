"""What of the host would go, as sentences, most serious first, and whether it is so serious that consent must be typed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from vfdeck.backend.usage.values import Disk, DiskUse, Fate, Interface, Usage, UseKind
from vfdeck.backend.wording import listing

#: Mount points that matter most come first in a list.
_FIRST = ("/usr", "/var", "/boot", "/home")
#: How a loss begins that could not be looked for.
UNCHECKED = "could not check "
_ON_THE_OTHERS = "it goes on only if its other disks are sound"


def losses(usage: Usage) -> list[str]:
    """What the host loses, most serious first; what could not be checked comes last."""
    return [
        *_own_connection(usage),
        *_root_and_swap(usage),
        *_mounts(usage),
        *_default_routes(usage),
        *_addresses(usage),
        *_built_on(usage),
        *_parts(usage),
        *(f"{UNCHECKED}{what}" for what in usage.unchecked),
    ]


def severe(usage: Usage) -> str:
    """Why consent must be typed: the operator's own connection or the root file system goes; "" otherwise."""
    reasons = []
    session = usage.session
    carrier = usage.interface(session.interface) if session else None
    if carrier is not None and carrier.fate is not Fate.WEAKENED:
        reasons.append("cuts your own connection")
    if any(use.where == "/" and not use.spared for _, use in _uses(usage, UseKind.MOUNT)):
        reasons.append("takes the root file system away")
    return " and ".join(reasons)


def indispensable(usage: Usage) -> bool:
    """Whether the host cannot do without: its operator's connection, a mounted file system or swap goes, and nothing spares it."""
    used = (*_uses(usage, UseKind.MOUNT), *_uses(usage, UseKind.SWAP))
    return bool(severe(usage)) or any(not use.spared for _, use in used)


# -- network -----------------------------------------------------------------------------------------------------------
def _own_connection(usage: Usage) -> Iterator[str]:
    session = usage.session
    carrier = usage.interface(session.interface) if session else None
    if session is None or carrier is None:
        return
    way = f"{'is routed' if session.routed else 'runs'} over {_way(usage, carrier)}"
    end = "you may be cut off" if carrier.fate is Fate.WEAKENED else "you will be cut off"
    if session.open is False:
        past = f"you came by an SSH connection (from {session.peer}) that is over by now"
        yield f"{past}; it {way}: if you still come that way, {end} (B14)"
    else:
        yield f"your own SSH connection (from {session.peer}) {way}: {end} (B14)"


def _way(usage: Usage, carrier: Interface) -> str:
    """An interface, with those of the functions that it stands on and what it keeps."""
    if carrier.bdf:
        return carrier.name
    own = listing(_grounds(usage, carrier))
    if carrier.fate is Fate.WEAKENED:
        return f"{carrier.name}, which loses {own}{_keeps(usage, carrier)}"
    return f"{carrier.name} on {own}"


def _grounds(usage: Usage, carrier: Interface) -> list[str]:
    """The functions' own interfaces below one that is built on them."""
    found: dict[str, Interface] = {}
    todo = [carrier]
    while todo:
        interface = todo.pop()
        if interface.name not in found:
            found[interface.name] = interface
            todo += [below for name in interface.below if (below := usage.interface(name)) is not None]
    return sorted(interface.name for interface in found.values() if interface.bdf)


def _keeps(usage: Usage, carrier: Interface) -> str:
    """` and keeps eno1`: the ways out of an interface, or of the one that it stands on."""
    found: dict[str, Interface] = {}
    todo = [carrier]
    spare: list[str] = []
    while todo:
        interface = todo.pop()
        if interface.name not in found:
            found[interface.name] = interface
            spare += [name for name in interface.spare if name not in spare]
            todo += [below for name in interface.below if (below := usage.interface(name)) is not None]
    return f" and keeps {listing(spare)}" if spare else ""


def _default_routes(usage: Usage) -> Iterator[str]:
    for interface in usage.interfaces:
        if interface.default_route:
            which = " and ".join(interface.default_route)
            if interface.fate is Fate.WEAKENED:
                end = "it may go"
            else:
                end = "another one is left" if interface.other_default else "the host loses its way out"
            yield f"the default route ({which}) runs over {_way(usage, interface)}: {end} (B14)"


def _addresses(usage: Usage) -> Iterator[str]:
    gone = [f"{text} ({i.name})" for i in usage.interfaces if i.fate is Fate.GONE for text in i.addresses]
    if gone:
        yield f"{'this address goes' if len(gone) == 1 else f'{len(gone)} addresses go'}: {listing(gone)}"
    cut = [f"{text} ({i.name})" for i in usage.interfaces if i.fate is Fate.CUT_OFF for text in i.addresses]
    if cut:
        yield f"{'this address is' if len(cut) == 1 else f'{len(cut)} addresses are'} cut off: {listing(cut)}"


def _built_on(usage: Usage) -> Iterator[str]:
    """What stands on the interfaces: first what stays without a way out, then what is weakened, then what vanishes as well."""
    above = [interface for interface in usage.interfaces if not interface.bdf]
    for interface in (i for i in above if i.fate is Fate.CUT_OFF):
        gone = [name for name in interface.below if (below := usage.interface(name)) is not None and below.fate is Fate.GONE]
        what = f"loses {listing(gone)} and" if gone else f"on {listing(interface.below)}"
        yield f"{_named(interface)} {what} leads nowhere then"
    for interface in (i for i in above if i.fate is Fate.WEAKENED and i.spare):
        yield f"{_named(interface)} loses {listing(interface.below)} and keeps {listing(interface.spare)}"
    gone = [_named(interface) for interface in above if interface.fate is Fate.GONE]
    if gone:
        yield f"what is built on {'it' if _ones(usage) == 1 else 'them'} vanishes too: {listing(gone)}"


def _ones(usage: Usage) -> int:
    return sum(1 for interface in usage.interfaces if interface.bdf)


def _named(interface: Interface) -> str:
    return f"{interface.kind} {interface.name}" if interface.kind else interface.name


# -- disks -------------------------------------------------------------------------------------------------------------
def _uses(usage: Usage, kind: UseKind) -> list[tuple[Disk, DiskUse]]:
    return [(disk, use) for disk in usage.disks for use in disk.uses if use.kind is kind]


def _place(disk: Disk, use: DiskUse) -> str:
    """`nvme0n1p2`, or `vg0-root (LVM) on nvme0n1`."""
    return use.through if use.through.startswith(disk.name) else f"{use.through} on {disk.name}"


def _root_and_swap(usage: Usage) -> Iterator[str]:
    for disk, use in _uses(usage, UseKind.MOUNT):
        if use.where == "/" and use.spared:
            yield f"the root file system is on {use.through}, which loses {disk.name}: {_ON_THE_OTHERS} (B15)"
        elif use.where == "/":
            yield f"the root file system is on {_place(disk, use)}: the host cannot go on without it (B15)"
    for disk, use in _uses(usage, UseKind.SWAP):
        where = "" if use.where == use.through else f" in {use.where}"
        yield f"the host swaps to {_place(disk, use)}{where}: programs whose memory is there are killed (B15)"


def _mounts(usage: Usage) -> Iterator[str]:
    """The other mounts, by what they are on."""
    places: dict[tuple[str, bool], list[str]] = {}
    for disk, use in _uses(usage, UseKind.MOUNT):
        if use.where != "/":
            on = f"{use.through}, which loses {disk.name}" if use.spared else _place(disk, use)
            places.setdefault((on, use.spared), []).append(use.where)
    for (on, spared), points in places.items():
        end = _ON_THE_OTHERS if spared else "what is not written yet is lost, and programs fail"
        yield f"mounted: {listing(sorted(points, key=_importance))} from {on}: {end} (B15)"


def _importance(point: str) -> tuple[int, int, str]:
    first = next((number for number, prefix in enumerate(_FIRST) if point == prefix), len(_FIRST))
    return first, point.count("/"), point


def _parts(usage: Usage) -> Iterator[str]:
    found = [(disk, use) for disk, use in _uses(usage, UseKind.PART_OF)]
    whole, spared = ([_place(*pair) for pair in found if pair[1].spared is kind] for kind in (False, True))
    if whole:
        yield f"{_what(whole)} {'is' if len(whole) == 1 else 'are'} built on it, and may be in use: {listing(whole)} (B15)"
    if spared:
        yield f"{_what(spared)} lose{'s' if len(spared) == 1 else ''} a disk: {listing(spared)} (B15)"


def _what(names: Iterable[str]) -> str:
    count = len(list(names))
    return "one device" if count == 1 else f"{count} devices"
