"""The facts of a host: what is true of all of it, what its kernel does and does not enforce, and what could not be read."""

from __future__ import annotations

from collections.abc import Iterator

from vfdeck.backend.checks import Severity
from vfdeck.backend.checks.advice import advice
from vfdeck.backend.model import ONLY_LOOKS, HostFacts, Problem, ProblemKind, Snapshot
from vfdeck.widgets.sections import Fact, Section
from vfdeck.widgets.state import Tone, index_of, plural


def host_facts(snapshot: Snapshot) -> list[Section]:
    """What is true of a whole host."""
    host, index = snapshot.host, index_of(snapshot)
    if snapshot.never_seen:
        return [Section(host.name, (Fact("", "nothing was seen of it yet", Tone.DIM),))]
    enable = {
        True: "enable_sriov is Y: PFs on vfio-pci may have VFs",
        False: "enable_sriov is N: vfio-pci refuses VFs on its PFs (A8)",
        None: "no enable_sriov: vfio-pci not loaded, or older than 5.7",
    }
    facts = [
        Fact("kernel", host.kernel),
        Fact("hardware", "simulated: nothing here touches a real device", Tone.WARN) if host.simulated else None,
        Fact("changes", f"none: {ONLY_LOOKS}", Tone.WARN) if host.read_only else None,
        Fact("functions", f"{plural(index.pfs, 'PF')}, {plural(index.vfs, 'VF')}, {index.all_users} in use"),
        *_rights(host),
        Fact("IOMMU", "on" if host.iommu else "off: nothing can be opened safely (B1)", _tone(host.iommu)),
        Fact("vfio-pci", enable[host.enable_sriov], Tone.PLAIN if host.enable_sriov else Tone.WARN),
        Fact("cdev", "present" if host.cdev else "none: opens go by group", Tone.PLAIN if host.cdev else Tone.DIM),
        Fact("unseen", f"{snapshot.unseen} processes could not be looked at: counts are at least (G9)", Tone.WARN)
        if snapshot.unseen
        else None,
        _predictions(snapshot),
    ]
    sections = [
        Section(host.name, tuple(fact for fact in facts if fact is not None)),
        Section("What this kernel does and does not enforce", tuple(_advice(snapshot))),
        Section("Problems", tuple(problem_facts(snapshot, ""))),
    ]
    return [section for section in sections if section.facts]


def tried_again(away: Problem, key: str) -> str:
    """A clause on when a host without a connection is tried again, which `key` does at once."""
    if away.kind is not ProblemKind.LOST:
        return ""
    return f"; only {key} tries again" if away.final else f"; tried again within a minute, by {key} at once"


def _rights(host: HostFacts) -> Iterator[Fact]:
    """As whom vfdeck runs, and what it may not do for that."""
    if host.privileged:
        yield Fact("rights", "root's, but not all" if host.lacks else "privileged", _tone(not host.lacks))
    else:
        yield Fact("rights", "not privileged: the kernel refuses what needs root (A19)", Tone.WARN)
    for lack in host.lacks:
        yield Fact("", f"may not {lack.what}: {lack.right}", Tone.WARN)


def _advice(snapshot: Snapshot) -> Iterator[Fact]:
    """Every badge of the host, and what has none: what it means, how it is known, and where to read on."""
    tones = {Severity.ERROR: Tone.BAD, Severity.WARNING: Tone.WARN}
    for piece in advice(snapshot):
        badge = f"{piece.badge}: " if piece.badge else ""
        yield Fact(piece.entry or "note", badge + piece.text, tones.get(piece.severity, Tone.PLAIN))
        read = f"; read on: vfdeck explain {piece.entry}" if piece.entry else ""
        yield Fact(" ", f"known from {piece.basis}{read}", Tone.DIM)


def _predictions(snapshot: Snapshot) -> Fact | None:
    """How many answers of the kernel were foretold rightly in this session."""
    scores = snapshot.scores
    if not scores.right + scores.wrong:
        return None
    text = f"{scores.right} of {plural(scores.right + scores.wrong, 'answer')} as predicted"
    return Fact("foretold", text, Tone.WARN if scores.wrong else Tone.DIM)


def _tone(good: bool) -> Tone:
    """Plain where good, else a warning."""
    return Tone.PLAIN if good else Tone.WARN


def problem_facts(snapshot: Snapshot, part: str) -> list[Fact]:
    """What could not be read, of paths that hold `part`."""
    return [Fact("", f"{p.path}: {p.what}", Tone.BAD) for p in snapshot.problems if part in p.path]
