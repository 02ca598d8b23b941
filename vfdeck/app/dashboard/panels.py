"""The panels beside the tree: what each of them says of what is selected. No Textual in here.

A panel is a function from values to sections; its key and title are those of the action that shows it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from vfdeck.app.dashboard.actions import BY_ID, Action, its_pf
from vfdeck.backend.changes import Open, Outcome
from vfdeck.backend.details import Details, Part
from vfdeck.backend.facts import group_members
from vfdeck.backend.model import Function, Role, Snapshot
from vfdeck.widgets.event_facts import Events, event_sections
from vfdeck.widgets.facts import group_facts, guard_facts, held_facts, row_facts
from vfdeck.widgets.holder_facts import holder_sections
from vfdeck.widgets.open_facts import open_sections
from vfdeck.widgets.rows import RowId
from vfdeck.widgets.sections import Fact, Section
from vfdeck.widgets.shell_facts import Ran, shell_sections
from vfdeck.widgets.state import Tone, index_of, role_text
from vfdeck.widgets.token_facts import token_sections


@dataclass(frozen=True, slots=True)
class Scene:
    """What panels are made from: the selected row with the latest look at its host, and what the screen knows beside.

    `notes` is what the row itself has to say: for whom it stands, and what changed a moment ago.
    """

    row_id: RowId | None = None
    snapshot: Snapshot | None = None
    notes: tuple[Fact, ...] = ()
    details: Details | None = None  # what was looked up of the function
    attempt: Open | Outcome | None = None  # to open it: under way, or what came of the last one
    events: Callable[[], Events] = Events  # what happened to it, its family, or the host
    ran: tuple[Ran, ...] = ()  # what was changed in this run, on any host
    several: bool = False  # whether there are several hosts

    @property
    def function(self) -> Function | None:
        """The selected function; None on a host, and where it is gone."""
        return self.snapshot.functions.get(self.row_id.bdf) if self.snapshot and self.row_id else None


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel. `short` is its title where room is scarce; `split`: its sections may stand in two columns.

    `parts`: what is looked up for it once the cursor rests on a function; `log`: the host's kernel log is.
    `end`: its end is what matters.
    """

    id: str
    short: str
    sections: Callable[[Scene], list[Section]]
    split: bool = False
    parts: frozenset[Part] = frozenset()
    log: bool = False
    end: bool = False

    @property
    def action(self) -> Action:
        """The action that shows it, with its key and title."""
        return BY_ID[f"panel_{self.id}"]


def _device(scene: Scene) -> list[Section]:
    """Everything that is known of the row, after its notes."""
    sections = row_facts(scene.row_id, scene.snapshot, scene.details)
    if scene.notes and sections:
        sections[0] = replace(sections[0], facts=(*scene.notes, *sections[0].facts))
    return sections


def _about(scene: Scene, facts: Callable[[Function, Snapshot, Scene], list[Section]]) -> list[Section]:
    """Sections about a function, under its address; on a host, what to do to see some."""
    function, snapshot = scene.function, scene.snapshot
    if snapshot is None or scene.row_id is None:
        return []
    if function is None:
        text = "gone" if scene.row_id.bdf else "choose a function: this row is a host"
        return [Section(scene.row_id.bdf or snapshot.host.name, (Fact("", text, Tone.DIM),))]
    first, *rest = facts(function, snapshot, scene)
    title = f"{first.title}{role_text(function)} {function.bdf}"
    return [Section(title, (*scene.notes, *first.facts)), *(section for section in rest if section.facts)]


def _token(function: Function, snapshot: Snapshot, scene: Scene) -> list[Section]:
    """A PF's token, for a VF its PF's."""
    pf = its_pf(function, snapshot)
    none = [Fact("", "neither a PF nor a VF: has no token", Tone.DIM)]
    told = token_sections(function, pf, snapshot, scene.details)
    return [Section("Token of ", tuple(guard_facts(function, snapshot) or none)), *told]


def _open(function: Function, snapshot: Snapshot, scene: Scene) -> list[Section]:
    """How far an open would come now, and how far the last one came."""
    head = [] if function.on_vfio else [Fact("driver", function.driver or "none", Tone.WARN)]
    head += group_facts(function, snapshot) if len(group_members(snapshot, function.bdf)) > 1 else []
    return [Section("Opening ", tuple(head)), *open_sections(function, snapshot, scene.details, scene.attempt)]


def _holders(function: Function, snapshot: Snapshot, scene: Scene) -> list[Section]:
    """Who holds it, with what they run; of a PF also who holds its VFs."""
    held = held_facts(function, index_of(snapshot)) or [Fact("held by", "nobody can: it is not on vfio", Tone.DIM)]
    told = holder_sections(function, snapshot)
    # each program has a section of its own
    return [Section("Holders of ", () if snapshot.holders_of(function.bdf) else tuple(held)), *told]


def _events(scene: Scene) -> list[Section]:
    """What happened to the function and its family, or to the host."""
    if scene.row_id is None or scene.snapshot is None:
        return []
    function = scene.function
    about = f"{role_text(function)} {function.bdf}" if function is not None else scene.row_id.bdf or scene.snapshot.host.name
    family = {Role.PF: " and its VFs", Role.VF: " and its PF"}.get(function.role, "") if function is not None else ""
    return event_sections(f"{about}{family}", scene.events())


PANELS: tuple[Panel, ...] = (
    Panel("device", "Dev", _device, split=True, parts=frozenset({Part.RESETS, Part.LASTING, Part.VPD})),
    Panel("token", "Tok", lambda scene: _about(scene, _token), parts=frozenset({Part.LEAKS})),
    Panel("open", "Open", lambda scene: _about(scene, _open), parts=frozenset({Part.OPENING})),
    Panel("holders", "Hold", lambda scene: _about(scene, _holders)),
    Panel("events", "Ev", _events, log=True),
    Panel("shell", "Sh", lambda scene: shell_sections(scene.ran, scene.several), end=True),
)
