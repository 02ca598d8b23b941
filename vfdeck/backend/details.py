"""What is looked up of one function when somebody looks at it, since it is too slow or too much for a snapshot.

Every part is asked for by itself, may take a while, and says for itself where it could not be had.
"""

from __future__ import annotations

import enum
from collections.abc import Collection
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

from vfdeck.backend.evidence import Unread
from vfdeck.backend.facts import host_has
from vfdeck.backend.kernel import errno_name
from vfdeck.backend.text import printable
from vfdeck.backend.vfio import DEVICES

if TYPE_CHECKING:  # values only: what looks them up is imported when somebody looks
    from vfdeck.backend.kernel import Kernel
    from vfdeck.backend.lasting import Lasting
    from vfdeck.backend.leaks import Leaks
    from vfdeck.backend.model import Function, HostFacts, Snapshot
    from vfdeck.backend.predict.seen import Seen
    from vfdeck.backend.vpd import Vpd


class Part(enum.Enum):
    """What can be looked up."""

    RESETS = "the ways to reset it"
    LASTING = "what sets it at boot"
    OPENING = "nodes and rights"
    LEAKS = "tokens in command lines"
    VPD = "what the card says of itself"  # seconds, where the card is slow


@dataclass(frozen=True, slots=True)
class Details:
    """What was looked up of a function; None: not looked up yet."""

    bdf: str
    #: names of reset methods in the kernel's order, e.g. ("flr", "bus"); empty where there are none
    resets: tuple[str, ...] | Unread | None = None
    lasting: Lasting | None = None
    by_group: Seen | None = None  # what bears on an open beside the snapshot
    by_cdev: Seen | None = None
    leaks: Leaks | None = None
    vpd: Vpd | NoVpd | Unread | None = None

    def joined(self, more: Details) -> Details:
        """With what was looked up since; what both have is the later one's."""
        values = {field.name: getattr(more, field.name) for field in fields(more)}
        return replace(self, **{name: value for name, value in values.items() if value is not None})


class NoVpd(enum.Enum):
    """The function has no VPD."""

    NONE = "none"


def look_up(kernel: Kernel, function: Function, parts: Collection[Part], snapshot: Snapshot) -> Details:
    """Look up some parts. Never raises OSError."""
    from vfdeck.backend.changes import Open, OpenPath
    from vfdeck.backend.lasting import lasting
    from vfdeck.backend.leaks import leaks
    from vfdeck.backend.predict.seen import look_beside
    from vfdeck.backend.vpd import read_vpd

    found = Details(function.bdf)
    for part in parts:
        if part is Part.RESETS:
            found = replace(found, resets=_resets(kernel, function.bdf, snapshot.host))
        elif part is Part.LASTING:
            found = replace(found, lasting=lasting(kernel, function, snapshot))
        elif part is Part.OPENING:
            by_group, by_cdev = (look_beside(kernel, Open(function.bdf, path=path), snapshot) for path in OpenPath)
            found = replace(found, by_group=by_group, by_cdev=by_cdev)
        elif part is Part.LEAKS:
            found = replace(found, leaks=leaks(kernel))
        elif part is Part.VPD:
            found = replace(found, vpd=read_vpd(kernel, function.bdf) or NoVpd.NONE)
    return found


def _resets(kernel: Kernel, bdf: str, host: HostFacts) -> tuple[str, ...] | Unread:
    """reset_method: the ways to reset the function, in the order in which they are tried (pci.c reset_method_show).

    The file is not there where there is no way (seen on 6.12), nor before 5.15.
    """
    path = f"{DEVICES}/{bdf}/reset_method"
    try:
        return tuple(printable(kernel.read(path)).split())
    except FileNotFoundError:
        if host_has(host, "reset_method"):
            return ()
        return Unread(f"Linux {host.kernel} has no reset_method (it came with 5.15)")
    except OSError as error:
        return Unread(f"{path}: {errno_name(error.errno or 0)}")
