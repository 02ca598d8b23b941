"""What vfdeck itself can do about an entry of the catalogue, in lines: the dashboard's key, and the command where there is one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from vfdeck.app.dashboard.actions import BY_ID
from vfdeck.backend.catalogue import entry, fill
from vfdeck.backend.checks import Check, Verdict
from vfdeck.backend.facts import group_members
from vfdeck.backend.leading import led
from vfdeck.backend.model import Function, Snapshot

#: The commands that do what an action does; the other actions are the dashboard's alone.
COMMANDS = {
    "token": "vfdeck token set {pf} --generate --out FILE",
    "open": "vfdeck open {bdf}",
    "vfs": "vfdeck vfs {pf} N",
    "bind": "vfdeck bind {bdf} DRIVER",
    "unbind": "vfdeck unbind {bdf}",
    "autoprobe": "vfdeck autoprobe {pf} on|off",
}


def ways(actions: Iterable[str], words: Mapping[str, str]) -> tuple[str, ...]:
    """A line for each action: `o in the dashboard (Attempt to open), or vfdeck open 0000:03:02.1`."""
    told = []
    for action in (BY_ID[name] for name in actions):
        command = f", or {fill(COMMANDS[action.id], words)}" if action.id in COMMANDS else ""
        told.append(f"{action.key} in the dashboard ({action.title}){command}")
    return tuple(told)


def of_function(actions: Iterable[str], function: Function, snapshot: Snapshot) -> tuple[str, ...]:
    """The same for a function of a host: without closing what vfdeck holds, where others hold it."""
    members = group_members(snapshot, function.bdf)
    own = any(holder.own for member in (function.bdf, *members) for holder in snapshot.holders_of(member))
    fitting = (name for name in actions if own or name != "close")
    told = ways(fitting, {"bdf": function.bdf, "pf": function.physfn or function.bdf})
    return tuple(led(way, snapshot.host.reached) for way in told)


def of_check(check: Check, snapshot: Snapshot) -> tuple[str, ...]:
    """The same for a check of a function that was answered with no."""
    function = snapshot.functions.get(check.subject)
    if check.verdict is not Verdict.NO or not check.entry or function is None:
        return ()
    return of_function(entry(check.entry).actions, function, snapshot)
