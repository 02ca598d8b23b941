"""The lookup: what of the host would go with some functions."""

from __future__ import annotations

from collections.abc import Sequence

from vfdeck.backend.kernel import Kernel
from vfdeck.backend.model import Function
from vfdeck.backend.usage.disks import Disks
from vfdeck.backend.usage.looking import Looker
from vfdeck.backend.usage.network import Network
from vfdeck.backend.usage.values import Usage


def look_up(kernel: Kernel, functions: Sequence[Function]) -> Usage:
    """What the host uses these functions for. Never raises: what could not be found out is in `Usage.unchecked`."""
    if not functions:
        return Usage()
    looker = Looker(kernel)
    network = Network(looker)
    interfaces = network.interfaces(functions)
    session = network.session(interfaces) if interfaces else None
    disks = Disks(looker).disks(functions)
    return Usage(interfaces, disks, session, looker.unchecked)
