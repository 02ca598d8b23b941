"""What the Device panel says of a function beyond the overview: its group, its card's own words, its resets, the next restart."""

from __future__ import annotations

from collections.abc import Iterator

from vfdeck.backend.checks import Verdict
from vfdeck.backend.details import Details, NoVpd
from vfdeck.backend.evidence import Unread
from vfdeck.backend.facts import blocking_members, group_members
from vfdeck.backend.lasting import Answer
from vfdeck.backend.model import Function, Role, Snapshot
from vfdeck.backend.vpd import Vpd, meaning
from vfdeck.widgets.holder_words import holders_text
from vfdeck.widgets.sections import Fact, Section
from vfdeck.widgets.state import Tone, index_of, role_text, short_name

#: So many members of a group are told; the tree has them all.
_ENOUGH = 8
#: Fields of VPD as a label has room for them.
_LABELS = {"PN": "part", "SN": "serial", "EC": "change", "MN": "maker", "YA": "asset"}
#: How a kernel resets a function, by the names in reset_method (drivers/pci/pci.c, pci_reset_fn_methods).
_RESETS = {
    "flr": "function alone",
    "af_flr": "function alone",
    "pm": "function alone, by its power state",
    "device_specific": "as its model wants it",
    "acpi": "by firmware",
    "bus": "with its whole bus",
    "cxl_bus": "with its whole bus",
}
_LOOKING = Fact("", "looking…", Tone.DIM)


def device_sections(function: Function, snapshot: Snapshot, details: Details | None) -> list[Section]:
    """The sections; without facts where there is nothing to say. `details` None: nobody asked."""
    return [
        Section("Others in its IOMMU group", tuple(_siblings(function, snapshot))),
        Section("Reset", tuple(_resets(details))),
        Section("After a restart of the host", tuple(_lasting(details))),
        Section("What the card says of itself (VPD)", tuple(_vpd(function, details))),
    ]


def _siblings(function: Function, snapshot: Snapshot) -> Iterator[Fact]:
    """The other members of the group: what they are, what they are on, and who holds them."""
    others = [bdf for bdf in group_members(snapshot, function.bdf) if bdf != function.bdf]
    index, blockers = index_of(snapshot), {f.bdf for f in blocking_members(snapshot, function.bdf)}
    for bdf in others[:_ENOUGH]:
        other = snapshot.functions.get(bdf)
        if other is None:
            yield Fact("", f"{bdf}: not read", Tone.DIM)
            continue
        holders = index.holders.get(bdf, [])
        held = f", held by {holders_text(holders)}" if holders else ""
        blocks = ": keeps the group from vfio" if bdf in blockers else ""
        text = f"{bdf} {role_text(other)} {short_name(other)}, on {other.driver or 'no driver'}{blocks}{held}"
        yield Fact("", text, Tone.BAD if blocks else Tone.PLAIN)
    if len(others) > _ENOUGH:
        yield Fact("", f"and {len(others) - _ENOUGH} more", Tone.DIM)


def _resets(details: Details | None) -> Iterator[Fact]:
    """The ways to reset it, in the order in which the kernel tries them."""
    if details is None:
        return
    found = details.resets
    if found is None:
        yield _LOOKING
    elif isinstance(found, Unread):
        yield Fact("", f"the ways to reset it are not told: {found.why}", Tone.DIM)
    elif not found:
        yield Fact("", "none: the kernel cannot reset it", Tone.WARN)
    else:
        for number, name in enumerate(found, 1):
            wide = number == 1 and name in ("bus", "cxl_bus")
            yield Fact(f"{number}. {name}", _RESETS.get(name, "unknown to vfdeck"), Tone.WARN if wide else Tone.PLAIN)


def _lasting(details: Details | None) -> Iterator[Fact]:
    """What comes back by itself."""
    if details is None:
        return
    found = details.lasting
    if found is None:
        yield _LOOKING
        return
    for label, answer in (("token", found.token), ("VFs", found.vfs), ("driver", found.driver)):
        if answer is not None:
            yield from _answer(label, answer)
    if found.token is found.vfs is found.driver is None:
        yield Fact("", "it has no driver, token or VFs that could go", Tone.DIM)


def _answer(label: str, answer: Answer) -> Iterator[Fact]:
    words, tone = {
        Verdict.YES: ("comes back: ", Tone.PLAIN),
        Verdict.NO: ("gone: ", Tone.WARN),
        Verdict.UNKNOWN: ("not known: ", Tone.DIM),
    }[answer.verdict]
    for number, text in enumerate(answer.said):
        yield Fact(" " if number else label, text if number else words + text, tone)


def _vpd(function: Function, details: Details | None) -> Iterator[Fact]:
    """Name, numbers and the maker's own fields. VFs seldom have any: nothing is said of one that has none."""
    if details is None:
        return
    match found := details.vpd:
        case None:
            yield Fact("", "asking the card…", Tone.DIM)
        case NoVpd():
            if function.role is not Role.VF:
                yield Fact("", "nothing: it has no VPD", Tone.DIM)
        case Unread():
            yield Fact("", f"could not read: {found.why}", Tone.WARN)
        case Vpd():
            yield from _words(found)


def _words(vpd: Vpd) -> Iterator[Fact]:
    if vpd.name:
        yield Fact("", vpd.name)
    for keyword, value in vpd.fields:
        label = _LABELS.get(keyword, keyword)
        yield Fact(label, value if label != keyword else f"{value} ({meaning(keyword)})", Tone.PLAIN if value else Tone.DIM)
    if vpd.sound is False:
        yield Fact("", "its checksum is wrong: do not rely on it", Tone.WARN)
    if vpd.broken:
        yield Fact("", f"it does not follow the format: {vpd.broken}", Tone.WARN)
    if not (vpd.name or vpd.fields or vpd.broken):
        yield Fact("", "nothing a person could read", Tone.DIM)
