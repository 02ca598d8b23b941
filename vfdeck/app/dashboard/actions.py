"""Everything an operator can do: one registry that feeds keys, key bar, palette and help.

An action says when it is possible, and why not where it isn't. No Textual in here, so that the command line and the
documentation can read the same list.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vfdeck.backend.changes import Change, Close, ResetFunction, SetAutoprobe, UnbindDriver
from vfdeck.backend.model import ONLY_LOOKS, Function, Role, Snapshot
from vfdeck.backend.rights import keeps_from, writes_autoprobe, writes_bind, writes_numvfs, writes_reset, writes_unbind
from vfdeck.widgets.state import index_of

Available = Callable[[Function, Snapshot], str]


def itself(function: Function, _: Snapshot) -> Function:
    """The action is about the selected function."""
    return function


def its_pf(function: Function, snapshot: Snapshot) -> Function:
    """The action is about the PF, also where one of its VFs is selected."""
    return snapshot.functions.get(function.physfn or "", function) if function.role is Role.VF else function


def always(_: Function, __: Snapshot) -> str:
    """Possible for every function."""
    return ""


def nothing(_: Function) -> tuple[str, ...]:
    """The action writes no file of sysfs."""
    return ()


@dataclass(frozen=True, slots=True)
class Action:
    """An action: its keys, its words, what it is about, when it is possible and what it asks.

    `dialog` names the dialog that asks for the rest; `change` makes the change where nothing has to be asked; `command` names
    the method of `commands.Commands` where the action is about no function; `panel` is the panel that it shows (`panels.PANELS`);
    what only `looks` changes nothing. `available` answers "" or the reason why not;
    `writes` names the files that this user has to be allowed to write.
    """

    id: str
    keys: str
    label: str
    title: str
    help: str
    target: Callable[[Function, Snapshot], Function] = itself
    available: Available = always
    dialog: str = ""
    change: Callable[[Function, Snapshot], Change | None] | None = None  # None: it has to be asked for
    command: str = ""
    panel: str = ""
    key_name: str = ""
    in_bar: bool = True
    looks: bool = False
    on_tour: bool = False  # there is such a thing only while a tour is given
    many: bool = False  # can be done to all that are marked, or to VFs in one row
    writes: Callable[[Function], tuple[str, ...]] = nothing  # files of sysfs without which it cannot be done

    @property
    def key(self) -> str:
        """The key as it stands on the keyboard."""
        return self.key_name or self.keys.split(",")[0]

    @property
    def is_change(self) -> bool:
        """Whether it ends in a change, which is planned and confirmed before it is made."""
        return not self.command and not self.panel and not self.looks

    def why_not(self, function: Function | None, snapshot: Snapshot | None) -> str:
        """ "" where the action is possible for what is selected, else the reason in one line."""
        if self.command or self.panel:
            return ""
        if snapshot is None:
            return "there is no row: nothing was read yet, or the filter shows nothing"
        if away := why_away(snapshot):
            return away
        if snapshot.host.read_only and self.is_change:
            return f"{snapshot.host.name}: {ONLY_LOOKS}"
        if function is None:
            return "" if self.looks else "choose a function first: this row is a host"
        about = self.target(function, snapshot)
        return self.available(about, snapshot) or self._not_allowed(about, snapshot)

    def _not_allowed(self, function: Function, snapshot: Snapshot) -> str:
        """The right that is missing. On simulated hosts, where nothing is at stake, one may try (and learn of A19)."""
        found = () if snapshot.host.simulated else self.writes(function)
        return next((reason for path in found if (reason := keeps_from(snapshot, path))), "")


def why_away(snapshot: Snapshot) -> str:
    """ "" where there is a connection to the host, or none is needed; else since when and why there is none."""
    away = snapshot.away
    return "" if away is None else f"{snapshot.host.name}: {away.what}"


# -- when is it possible? ---------------------------------------------------------------------------------------------
def _is_pf(function: Function, _: Snapshot) -> str:
    """For PFs."""
    if function.role is Role.PF:
        return ""
    if function.role is Role.VF:
        return f"its PF {function.physfn or ''} was not seen"
    return f"{function.bdf} is neither a PF nor a VF"


def _has_token(function: Function, snapshot: Snapshot) -> str:
    """For PFs on vfio-pci."""
    reason = _is_pf(function, snapshot)
    if reason or function.on_vfio:
        return reason
    return f"{function.bdf} is {_on(function)}; only a PF on vfio-pci has a token"


def _can_have_vfs(function: Function, snapshot: Snapshot) -> str:
    """For PFs whose firmware offers VFs."""
    reason = _is_pf(function, snapshot)
    if not reason and function.sriov is not None and function.sriov.totalvfs == 0:
        return f"{function.bdf} offers no VFs: its total is 0 (often a switch in the firmware)"
    return reason


def _can_open(function: Function, _: Snapshot) -> str:
    """For functions on vfio."""
    return "" if function.on_vfio else f"{function.bdf} is {_on(function)}; bound to vfio-pci it opens"


def _can_unbind(function: Function, _: Snapshot) -> str:
    """For functions that have a driver."""
    return "" if function.driver is not None else f"{function.bdf} has no driver"


def _can_close(function: Function, snapshot: Snapshot) -> str:
    """For functions that vfdeck holds."""
    holders = index_of(snapshot).holders.get(function.bdf, [])
    if any(holder.own for holder in holders):
        return ""
    if holders:
        return f"{function.bdf} is held by {holders[0].program} ({holders[0].pid}), not by vfdeck"
    return f"vfdeck does not hold {function.bdf} open"


def _on(function: Function) -> str:
    """What driver a function is on, for a reason."""
    return f"on {function.driver}" if function.driver else "without a driver"


# -- changes that need no question ------------------------------------------------------------------------------------
def _unbind(function: Function, _: Snapshot) -> Change:
    return UnbindDriver(function.bdf)


def _close(function: Function, _: Snapshot) -> Change:
    return Close(function.bdf)


def _reset(function: Function, _: Snapshot) -> Change:
    return ResetFunction(function.bdf)


def _panel(panel: str, key: str, title: str, help: str) -> Action:
    """The action that shows a panel."""
    return Action(f"panel_{panel}", key, title, f"Panel: {title}", help, panel=panel, in_bar=False)


def _autoprobe(function: Function, _: Snapshot) -> Change | None:
    """The other way round; None where it could not be read how it is."""
    now = function.sriov.autoprobe if function.sriov is not None else None
    return None if now is None else SetAutoprobe(function.bdf, not now)


ACTIONS: tuple[Action, ...] = (
    Action(
        "token",
        "t",
        "Token",
        "Set the PF's VF token",
        "Type or make a UUID that every user of the PF's VFs must know from then on. On a VF: its PF's token.",
        its_pf,
        _has_token,
        dialog="token",
        many=True,
    ),
    Action(
        "rotate",
        "T",
        "Rotate",
        "Make a new VF token",
        "Makes a token and sets it where another was in force: programs that run go on, and need it when they start again.",
        its_pf,
        _has_token,
        dialog="rotate",
        in_bar=False,
    ),
    Action(
        "vfs",
        "v",
        "VFs",
        "Set the number of VFs",
        "Turn VFs on or off; says before what the kernel would do and who would lose a VF.",
        its_pf,
        _can_have_vfs,
        dialog="numvfs",
        writes=writes_numvfs,
        many=True,
    ),
    Action(
        "bind",
        "b",
        "Bind",
        "Bind to a driver",
        "Bind to vfio-pci, to another driver, or give it back to the driver the kernel chooses.",
        dialog="driver",
        writes=writes_bind,
        many=True,
    ),
    Action(
        "unbind",
        "u",
        "Unbind",
        "Take it from its driver",
        "Unbind the driver; the override stays.",
        available=_can_unbind,
        change=_unbind,
        writes=writes_unbind,
        many=True,
    ),
    Action(
        "open",
        "o",
        "Open",
        "Attempt to open",
        "Open the device with or without a token, by group or cdev, and hold it or close it at once; says which rule refused.",
        available=_can_open,
        dialog="open",
        many=True,
    ),
    Action(
        "close",
        "c",
        "Close",
        "Close what vfdeck holds",
        "Close every descriptor of it that vfdeck holds.",
        available=_can_close,
        change=_close,
        many=True,
    ),
    Action(
        "reset",
        "R",
        "Reset",
        "Reset a function",
        "As the kernel does it for a PCI function: whoever uses it, or its VFs, is neither asked nor told.",
        change=_reset,
        writes=writes_reset,
        in_bar=False,
        many=True,
    ),
    Action(
        "undo",
        "z",
        "Undo",
        "Take back the last change",
        "Plans what would take it back and says what would not come back; again for the one before it.",
        command="undo",
        in_bar=False,
    ),
    Action(
        "check",
        "w",
        "Check",
        "Check what can be done",
        "Can a PF give so many VFs, can it go to vfio-pci, can you open it: every rule in the way. On a host: what is the matter.",
        looks=True,
    ),
    Action(
        "search",
        "slash",
        "Find",
        "Find a row",
        "Type a part of a name, an address, a program; ↓ and ↑ go on while typing, n and N after. Takes what a filter takes too.",
        command="search",
        key_name="/",
    ),
    Action(
        "filter",
        "f",
        "Filter",
        "Show only what is wanted",
        "Words, and keys such as driver:vfio-pci token:unset held:yes; Tab completes.",
        command="filter",
    ),
    Action(
        "autoprobe",
        "a",
        "Probe",
        "Turn autoprobe on or off",
        "Whether drivers are offered new VFs of the PF.",
        its_pf,
        _is_pf,
        dialog="autoprobe",
        change=_autoprobe,
        writes=writes_autoprobe,
        many=True,
    ),
    Action("refresh", "r,f5", "Refresh", "Look again", "Read everything afresh.", command="refresh_now", in_bar=False),
    Action("details", "d", "Details", "Details in full", "Show the panel over the whole screen, and back.", command="details"),
    _panel("device", "1", "Device", "What is known of the function or host that the cursor stands on."),
    _panel("token", "2", "Token", "What is known of the PF's token, how it can be set now, and whom that touches."),
    _panel("open", "3", "Open", "What has to be opened on the way to the device, and what is in the way."),
    _panel("holders", "4", "Holders", "Which programs hold it, how that is known, and since when."),
    _panel("events", "5", "Events", "What happened to it and its family: uevents, the kernel's log, changes seen, and your own."),
    _panel("shell", "6", "Shell", "What was done here, as the shell commands that would do the same, the newest last."),
    Action(
        "next_panel",
        "right_square_bracket",
        "Next panel",
        "Next panel",
        "Show the next panel.",
        command="next_panel",
        key_name="]",
        in_bar=False,
    ),
    Action(
        "previous_panel",
        "left_square_bracket",
        "Panel before",
        "Panel before",
        "Show the panel before.",
        command="previous_panel",
        key_name="[",
        in_bar=False,
    ),
    Action(
        "result",
        "e",
        "Result",
        "The last result",
        "Show what waits in the kernel now, and what came of the last change, with the explanation.",
        command="result",
    ),
    Action(
        "copy",
        "C",
        "Copy",
        "Copy as shell",
        "Send the shell commands of the plan or the result that is shown, else of the last change, to the terminal's clipboard.",
        command="copy",
        in_bar=False,
    ),
    Action(
        "export",
        "x",
        "Export",
        "Write to a file",
        "The selected, the marked or all functions, the time line, or what was done: .json, .jsonl, or a script (.sh). No tokens.",
        command="export",
        in_bar=False,
    ),
    Action(
        "problems",
        "p",
        "Problems",
        "What could not be read",
        "List every file that could not be read, and why.",
        command="problems",
        in_bar=False,
    ),
    Action(
        "mark",
        "m",
        "Mark",
        "Mark a row",
        "Mark it, or take its mark away; actions are then done to all that are marked, after one confirmation. Esc ends it.",
        command="mark",
        in_bar=False,
    ),
    Action(
        "sort",
        "s",
        "Sort",
        "Sort by the next thing",
        "By address, name, users, state; the column's title shows it.",
        command="sort",
        in_bar=False,
    ),
    Action("next", "n", "Next", "Next match", "Go to the next row that was found.", command="next_match", in_bar=False),
    Action("previous", "N", "Before", "Match before", "Go to the row found before.", command="previous_match", in_bar=False),
    Action(
        "fold_all",
        "minus",
        "Less",
        "See less",
        "One step less to see: VFs that are alike in one row, then PFs only, then hosts only.",
        command="fold_all",
        key_name="-",
        in_bar=False,
    ),
    Action(
        "unfold_all",
        "plus",
        "More",
        "See more",
        "One step more to see: every PF, its VFs, every single one of them.",
        command="unfold_all",
        key_name="+",
        in_bar=False,
    ),
    Action(
        "tour_next",
        "greater_than_sign",
        "Go on",
        "Tour: next lesson",
        "Go on with the tour (vfdeck demo --tour), or skip the lesson.",
        command="tour_next",
        key_name=">",
        in_bar=False,
        on_tour=True,
    ),
    Action(
        "tour_back",
        "less_than_sign",
        "Back",
        "Tour: lesson before",
        "Begin the lesson again where something was done in it, else the one before.",
        command="tour_back",
        key_name="<",
        in_bar=False,
        on_tour=True,
    ),
    Action(
        "tour_act",
        "exclamation_mark",
        "Help out",
        "Tour: do another's part",
        "Do what a lesson needs somebody else to do.",
        command="tour_act",
        key_name="!",
        in_bar=False,
        on_tour=True,
    ),
    Action(
        "tour_leave",
        "X",
        "Leave tour",
        "Tour: leave it",
        "End the tour; the dashboard stays.",
        command="tour_leave",
        in_bar=False,
        on_tour=True,
    ),
    Action(
        "theme",
        "ctrl+t",
        "Theme",
        "Choose the colours",
        "Dark, light, high contrast, colour-blind safe, or the terminal's own; each is shown as you move.",
        command="theme",
        in_bar=False,
    ),
    Action("help", "question_mark,f1", "Help", "Keys and letters", "This page.", command="help", key_name="?"),
    Action(
        "palette",
        "ctrl+p,colon",
        "Palette",
        "Find an action by name",
        "Type a few letters of what to do.",
        command="palette",
        in_bar=False,
    ),
    Action(
        "quit",
        "q",
        "Quit",
        "Quit",
        "Close what is held and leave. Never waits for the kernel; asks while a change is under way.",
        command="quit",
    ),
)
BY_ID: dict[str, Action] = {action.id: action for action in ACTIONS}
