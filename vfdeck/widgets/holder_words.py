"""A holder in words: who, where it runs, how it holds and how that is known, since when. For panels and for the command line."""

from __future__ import annotations

import time
from collections.abc import Sequence

from vfdeck.backend.model import Holder
from vfdeck.widgets.state import duration

_HOW = {
    "device": "device open",
    "cdev": "cdev open",
    "mapping": "a mapping outlived its fd",
    "group": "group open, no device",
}


def holder_text(holder: Holder) -> str:
    """A holder in a few words."""
    return "vfdeck" if holder.own else f"{holder.program} ({holder.pid})"


def holders_text(holders: Sequence[Holder], width: int = 200) -> str:
    """Some holders in a few words: the first, with its virtual machine where there is room, and how many more.

    Where room is scarce the program is cut, never the pid.
    """
    others = len({(h.own, h.pid) for h in holders}) - 1
    more = f" +{others}" if others > 0 else ""
    for holder in holders[:1]:
        for text in (", ".join((holder_text(holder), *where(holder))), holder_text(holder)):
            if len(text + more) <= width or holder.own:
                return text + more
        tail = f" {holder.pid}{more}"
        room = width - len(tail)
        return (holder.program if len(holder.program) <= room else holder.program[: max(0, room - 1)] + "…") + tail
    return ""


def who(holder: Holder) -> str:
    """Program, pid, user, and the virtual machine or container that it runs (in)."""
    if holder.own:
        return "vfdeck itself"
    return ", ".join((holder_text(holder), f"user {holder.user or 'unknown'}", *where(holder)))


def where(holder: Holder) -> list[str]:
    """Virtual machine and container, as far as there are any."""
    return [part for part in (f"VM {holder.vm}" if holder.vm else "", holder.container) if part]


def how(holder: Holder) -> str:
    """What is open, and how well it is known that it is this function."""
    if holder.by_name:
        return f"perhaps {_HOW.get(holder.kind, holder.kind)} [by a file's name only, not checked]"
    return f"{_HOW.get(holder.kind, holder.kind)} [{holder.certainty}]"


def since(holder: Holder, now: float) -> str:
    """For how long it has held the function, where vfdeck saw it come; else no longer than the program runs."""
    if holder.since is not None:
        return f"for {duration(now - holder.since)}"
    up = f" (up {duration(now - holder.started)})" if holder.started is not None and not holder.own else ""
    return f"since before vfdeck looked{up}"


def clock(moment: float) -> str:
    """The time of day, in this terminal's zone."""
    return time.strftime("%H:%M:%S", time.localtime(moment))
