"""The facts of what the cursor stands on: a function, or a host. No Textual in here."""

from __future__ import annotations

from vfdeck.backend.details import Details
from vfdeck.backend.facts import blocking_members
from vfdeck.backend.model import Function, Role, Snapshot, TokenState
from vfdeck.widgets.device_facts import device_sections
from vfdeck.widgets.holder_facts import users_digest
from vfdeck.widgets.holder_words import how, since, who
from vfdeck.widgets.host_facts import host_facts, problem_facts
from vfdeck.widgets.rows import RowId
from vfdeck.widgets.sections import Fact, Section
from vfdeck.widgets.state import Index, Tone, by_group, count_words, duration, index_of, plural, role_text, token_words
from vfdeck.widgets.token_facts import setting_digest


def row_facts(row_id: RowId | None, snapshot: Snapshot | None, details: Details | None = None) -> list[Section]:
    """The facts of a row as sections."""
    if row_id is None or snapshot is None:
        return []
    function = snapshot.functions.get(row_id.bdf)
    if function is not None:
        return function_facts(function, snapshot, details)
    return host_facts(snapshot) if not row_id.bdf else [Section(row_id.bdf, (Fact("", "gone", Tone.DIM),))]


# -- a function -------------------------------------------------------------------------------------------------------
def function_facts(function: Function, snapshot: Snapshot, details: Details | None = None) -> list[Section]:
    """What is known of one function, most wanted first; of its token and its holders a digest, which have panels of their own."""
    index = index_of(snapshot)
    state = index.state(function)
    head = [
        Fact("", function.name, Tone.STRONG),
        Fact("", f"{state.letter} {state.word}: {state.meaning}", state.tone),
        *_waiting(function, index, snapshot),
    ]
    title = f"{role_text(function)} {function.bdf}"
    sections = [
        Section(title, tuple(head)),
        Section("", tuple(_use(function, index))),
        Section("", tuple(_binding(function, snapshot))),
        Section("", tuple(_hardware(function))),
        Section("Problems", tuple(problem_facts(snapshot, f"/{function.bdf}"))),
        *device_sections(function, snapshot, details),
    ]
    return [section for section in sections if section.facts]


def _waiting(function: Function, index: Index, snapshot: Snapshot) -> list[Fact]:
    """A change that waits in the kernel."""
    job = index.running.get(function.bdf)
    if job is None:
        return []
    waits = f", waits for {job.waits_for}" if job.waits_for else ""
    begun = Fact("", f"{job.title}: {job.step}{waits} ({duration(snapshot.taken - job.started)})", Tone.WARN)
    labels = ("why", "do", *(" " for _ in job.advice))
    return [begun, *(Fact(label, text) for label, text in zip(labels, job.advice, strict=False))]


def _use(function: Function, index: Index) -> list[Fact]:
    """Token, users, VFs and holders."""
    facts = guard_facts(function, index.snapshot)
    if function.sriov is not None:
        sriov = function.sriov
        total = "unknown" if sriov.totalvfs is None else str(sriov.totalvfs)
        facts.append(Fact("VFs", f"{sriov.numvfs} on, of {total}"))
        facts.append(Fact("users", count_words(index.users(function))))
        digests = (users_digest(function, index.snapshot), setting_digest(function, index.snapshot))
        facts += [fact for fact in digests if fact is not None]
    return facts + held_facts(function, index)


def held_facts(function: Function, index: Index) -> list[Fact]:
    """Who holds it, and how that is known."""
    facts: list[Fact] = []
    for holder in index.holders.get(function.bdf, []):
        facts.append(Fact("held by", who(holder), Tone.OWN if holder.own else Tone.BUSY))
        facts.append(Fact(" ", f"{how(holder)}, {since(holder, index.snapshot.taken)}", Tone.DIM))
    if function.on_vfio and function.bdf not in index.holders:
        facts.append(_nobody(index.snapshot))
    return facts


def _nobody(snapshot: Snapshot) -> Fact:
    """Nobody is seen to hold it; whether that is all depends on what could be looked at."""
    hidden = snapshot.unseen - snapshot.unattributed
    unseen = [f"{hidden} process{'es' if hidden > 1 else ''} not looked at"] if hidden else []
    if snapshot.unattributed:
        unseen.append(f"{plural(snapshot.unattributed, 'program')} with a device that the kernel does not tell")
    return Fact("held by", f"unknown: {', '.join(unseen)}", Tone.WARN) if unseen else Fact("held by", "nobody", Tone.DIM)


def guard_facts(function: Function, snapshot: Snapshot) -> list[Fact]:
    """A PF's token, or the PF of a VF and whether its token guards the VF."""
    if function.role is Role.PF:
        return _token(function, snapshot)
    return _guard(function, snapshot) if function.role is Role.VF else []


def _token(pf: Function, snapshot: Snapshot) -> list[Fact]:
    """What is known of a PF's token, and what it does not guard."""
    knowledge = snapshot.tokens.get(pf.bdf)
    by = by_group(snapshot.host)
    words, tone = token_words(knowledge, by)
    if knowledge is not None and knowledge.state is TokenState.SET and knowledge.since is not None:
        words += f", {duration(snapshot.taken - knowledge.since)} ago"
        if knowledge.confirmed not in (None, knowledge.since):
            words += f", confirmed {duration(snapshot.taken - (knowledge.confirmed or 0.0))} ago"
    facts = [Fact("token", words, tone)]
    return [*facts, Fact(" ", "the VFs' own nodes (cdev) ask for none (D17)", Tone.WARN)] if by and pf.on_vfio else facts


def _guard(vf: Function, snapshot: Snapshot) -> list[Fact]:
    """A VF's PF and whether its token guards the VF."""
    pf = snapshot.functions.get(vf.physfn or "")
    if pf is None:
        return [Fact("PF", f"{vf.physfn or 'unknown'}, not seen", Tone.WARN)]
    facts = [Fact("PF", f"{pf.bdf} ({pf.driver or 'no driver'})")]
    if pf.on_vfio:
        by = by_group(snapshot.host)
        words, tone = token_words(snapshot.tokens.get(pf.bdf), by)
        facts.append(Fact("token", f"opens{by} only with the PF's, {words}", tone))
        return [*facts, Fact(" ", "its own node (cdev) asks for none (D17)", Tone.WARN)] if by else facts
    return [*facts, Fact("token", "none: opens without one, and a token given is an error", Tone.DIM)]


def _binding(function: Function, snapshot: Snapshot) -> list[Fact]:
    """Driver, override, group, cdev."""
    facts = [Fact("driver", function.driver or "none", Tone.PLAIN if function.driver else Tone.DIM)]
    if function.driver_override:
        odd = function.driver_override != function.driver
        facts.append(Fact("override", function.driver_override, Tone.WARN if odd else Tone.PLAIN))
    facts += group_facts(function, snapshot)
    if function.cdev:
        facts.append(Fact("cdev", f"/dev/vfio/devices/{function.cdev}"))
    if function.sriov is not None:
        probe = {True: "on: drivers are offered new VFs", False: "off: new VFs stay without driver", None: "unknown"}
        if function.on_vfio:
            probe[False] = "off, without effect: new VFs of a PF on vfio-pci go to it"
        facts.append(Fact("autoprobe", probe[function.sriov.autoprobe]))
    return facts


def group_facts(function: Function, snapshot: Snapshot) -> list[Fact]:
    """The IOMMU group with all its members, and who of them is not on vfio."""
    if function.iommu_group is None:
        return [Fact("group", "none: no IOMMU, so vfio-pci cannot open it", Tone.WARN)]
    group = snapshot.groups.get(function.iommu_group)
    others = [bdf for bdf in (group.members if group else ()) if bdf != function.bdf]
    noiommu = ", noiommu mode" if function.noiommu else ""
    if not others:
        return [Fact("group", f"{function.iommu_group}, alone in it{noiommu}")]
    drivers = {bdf: snapshot.functions[bdf].driver or "no driver" for bdf in others if bdf in snapshot.functions}
    members = ", ".join(f"{bdf} ({drivers.get(bdf, 'not read')})" for bdf in others)
    facts = [Fact("group", f"{function.iommu_group}{noiommu}, with {members}")]
    blockers = blocking_members(snapshot, function.bdf)
    if blockers:
        names = ", ".join(f"{b.bdf} ({b.driver})" for b in blockers)
        facts.append(Fact("not vfio", f"{names}: the group cannot be opened", Tone.BAD if function.on_vfio else Tone.WARN))
    return facts


def _hardware(function: Function) -> list[Fact]:
    """Ids, node, link, what the host made of it."""
    facts = [Fact("ids", f"{function.vendor_id:04x}:{function.device_id:04x}, class {function.class_code:06x}")]
    if function.subsystem:
        facts.append(Fact("subsys", function.subsystem))
    node = function.numa_node
    facts.append(Fact("NUMA", "no node given" if node is None or node < 0 else f"node {node}", Tone.PLAIN))
    link = function.link
    if link is not None:
        limit = f", degraded: could do {link.max_speed} x{link.max_width}" if link.degraded else ", the most it can do"
        facts.append(Fact("link", f"{link.speed} x{link.width}{limit}", Tone.WARN if link.degraded else Tone.PLAIN))
    if function.interfaces:
        facts.append(Fact("network", ", ".join(function.interfaces)))
    if function.disks:
        facts.append(Fact("disks", ", ".join(function.disks)))
    sriov = function.sriov
    if sriov is not None:
        numbers = [("offset", sriov.offset), ("stride", sriov.stride)]
        known = [f"{name} {number}" for name, number in numbers if number is not None]
        known += [f"VF id {sriov.vf_device:04x}"] if sriov.vf_device is not None else []
        facts += [Fact("SR-IOV", ", ".join(known))] if known else []
    return facts
