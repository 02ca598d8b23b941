"""Pages made from values: help from the registry, problems, results, and what is said where there is no hardware."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from vfdeck.app.commands.documents import sections as entry_parts
from vfdeck.app.dashboard.actions import ACTIONS, BY_ID
from vfdeck.app.keymap import USUAL, Keymap, on_the_keyboard
from vfdeck.backend.catalogue import entry, fill
from vfdeck.backend.host import Host
from vfdeck.backend.model import Snapshot
from vfdeck.widgets.filtering import KEYS
from vfdeck.widgets.sections import Fact, Section
from vfdeck.widgets.state import State, Tone, plural

_TREE_KEYS = (
    ("↑ ↓ j k", "move; PgUp PgDn in greater steps, Home End g G to the first and the last"),
    ("← →", "fold and unfold; ← on a VF folds it with those like it, then goes to its PF"),
    ("Enter", "fold or unfold; on a VF its details in full"),
    ("Space", "fold or unfold"),
    ("J K { }", "to the next PF, the PF before; to the host before, the next host"),
    ("Tab", "to the panel and back, to scroll it"),
)

_MOVES = {
    "up": "up",
    "down": "down",
    "left": "fold",
    "right": "unfold",
    "page_up": "a page up",
    "page_down": "a page down",
    "first": "to the first",
    "last": "to the last",
    "leave": "leave a dialog, as Esc does",
}

#: How to have a demo that does not live.
STILL = "vfdeck demo --still begins one in which nothing happens but what you do"

#: Width of the labels of a catalogue's entry.
ENTRY_LABELS = len("Mistaken for")

_FILTER_WORDS = (
    Fact("word", "in an address, a name, a driver, a state, a program that holds it"),
    Fact("key:a,b", "a or b; * stands for anything, users:>2 for more than two"),
    Fact("-word", "the opposite; several words must all hold"),
)


def help_sections(on_tour: bool = False, keys: Keymap = USUAL) -> list[Section]:
    """Keys, from the registry, and the letters of states."""
    changes = tuple(Fact(keys.shown(a), f"{a.title}. {a.help}") for a in ACTIONS if a.is_change)
    panels = tuple(Fact(keys.shown(a), f"{a.title}. {a.help}") for a in ACTIONS if a.panel)
    others = tuple(
        Fact(keys.shown(a), f"{a.title}. {a.help}") for a in ACTIONS if not a.is_change and not a.panel and a.on_tour <= on_tour
    )
    states = tuple(Fact(f"{s.letter} {s.word}", s.meaning, s.tone) for s in State)
    return [
        Section("Changes: each is planned and confirmed before it is done", changes),
        Section("Moving in the tree", (*(Fact(key, text) for key, text in _TREE_KEYS), *_more_moves(keys))),
        Section("Panels: what stands beside or below the tree", panels),
        Section("Everything else", others),
        Section("States", states),
        Section(
            "Tokens",
            (
                Fact("#1a2b3c4d", "set by vfdeck; the fingerprint tells tokens apart and gives nothing away", Tone.GOOD),
                Fact("unset", "the kernel's random token, which nobody knows", Tone.WARN),
                Fact("unknown", "set before vfdeck looked, never, or by another program since", Tone.WARN),
                Fact("needed", "a VF that opens only with its PF's token; unset: with one that nobody knows", Tone.DIM),
            ),
        ),
        Section("Filters and searches", (*_FILTER_WORDS, *(Fact(f"{key}:", about) for key, about in KEYS.items()))),
        Section(
            "Numbers",
            (
                Fact("≥3", "at least 3: not every process could be looked at"),
                Fact("driver*", "driver_override names another driver"),
            ),
        ),
    ]


def _more_moves(keys: Keymap) -> Iterator[Fact]:
    """What a ready-made keymap adds."""
    if keys.moves:
        yield Fact("", f"and with the keymap {keys.name}, which the settings chose:")
    for move, more in keys.moves.items():
        yield Fact("", f"{' '.join(map(on_the_keyboard, more))}  {_MOVES[move]}", Tone.DIM)


def life_sections(hosts: Iterable[Host]) -> list[Section]:
    """What goes on by itself on the hosts of a demo, each story once with its hosts; nothing where there is none."""
    where: dict[str, list[str]] = {}
    hosts = tuple(hosts)
    for host in hosts:
        for story in getattr(host, "stories", ()):  # which only a simulated one has
            where.setdefault(story, []).append(host.name)
    facts = [Fact("", f"{', '.join(names)}: {story}") for story, names in where.items()]
    others = [host.name for host in hosts if getattr(host, "lives", False) and not getattr(host, "stories", ())]
    facts += [Fact("", f"{', '.join(others)}: programs open and close VFs in the first minutes")] if others else []
    facts += [Fact("", STILL, Tone.DIM)] if facts else []
    return [Section("This demo lives: what goes on by itself", tuple(facts))] if facts else []


def entry_sections(ids: Iterable[str]) -> list[Section]:
    """Entries of the catalogue, as `vfdeck explain` shows them."""
    sections: list[Section] = []
    for found in map(entry, ids):
        facts = [
            Fact(name if number == 0 else " ", f"{number + 1}. {text}" if name == "Do" and len(texts) > 1 else text)
            for name, texts in entry_parts(found)
            for number, text in enumerate(texts)
        ]
        sections.append(Section(f"{found.id}  {fill(found.title, {})}", tuple(facts)))
    return sections


def problem_sections(snapshots: Sequence[Snapshot], failures: dict[str, str]) -> list[Section]:
    """What could not be read, by host."""
    sections = [Section(host, (Fact("", what, Tone.BAD),)) for host, what in failures.items()]
    for snapshot in snapshots:
        facts = [line for p in snapshot.problems for line in (Fact("", p.path, Tone.STRONG), Fact(" ", p.what, Tone.BAD))]
        if snapshot.unseen:
            text = f"{snapshot.unseen} processes could not be looked at, so numbers of users are lower bounds (needs root)"
            facts.append(Fact("", text, Tone.WARN))
        if facts:
            sections.append(Section(snapshot.host.name, tuple(facts)))
    return sections or [Section("", (Fact("", "Nothing: everything could be read.", Tone.GOOD),))]


def empty_sections(snapshots: Sequence[Snapshot], keys: Keymap = USUAL) -> list[Section]:
    """What is said where there is nothing to show: what was looked for, and how to see vfdeck at work."""
    names = ", ".join(snapshot.host.name for snapshot in snapshots)
    counts = [snapshot.scanned for snapshot in snapshots]
    seen = sum(count or 0 for count in counts)
    looked = (
        ("sriov_totalvfs", "physical functions (PFs)"),
        ("physfn", "virtual functions (VFs)"),
        ("driver", "vfio-pci and its kin"),
    )
    if None in counts:
        found = (
            "but not every host's PCI functions could be listed."
            if len(counts) > 1
            else "but its PCI functions could not be listed."
        )
    else:
        found = f"and found none of them among {plural(seen, 'PCI function')}." if seen else "and found no PCI function at all."
    sections = [
        Section(f"No SR-IOV hardware on {names}", (Fact("", "vfdeck looked for", Tone.DIM),)),
        Section("", (Fact("", "in /sys/bus/pci/devices/*/"), *(Fact("", f"  {file:<16}{what}") for file, what in looked))),
        Section("", (Fact("", found, Tone.DIM),)),
        Section(
            "If there should be some",
            (
                Fact("1.", "Is SR-IOV on in the firmware setup, and in the card's own settings?"),
                Fact("2.", "Is this a virtual machine? VFs look like plain functions to a guest."),
                Fact("3.", f"Could a file not be read? {keys.shown(BY_ID['problems'])} lists the problems."),
            ),
        ),
        Section(
            "To see vfdeck at work",
            (
                Fact("", "  vfdeck demo", Tone.GOOD),
                Fact("", f"shows a simulated fleet; {keys.shown(BY_ID['quit'])} leaves this one.", Tone.DIM),
            ),
        ),
    ]
    problems = problem_sections(snapshots, {}) if any(s.problems for s in snapshots) else []
    return [*sections, *problems]
