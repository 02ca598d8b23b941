"""`vfdeck vfs`, `bind`, `unbind`, `autoprobe` and `reset`: what the dashboard does to a function, for scripts."""

from __future__ import annotations

import argparse

from vfdeck.app import failure
from vfdeck.app.commands import changing, hosts, outcomes
from vfdeck.app.failure import Failure
from vfdeck.backend.changes import BindDriver, Change, ResetFunction, SetAutoprobe, SetNumvfs, UnbindDriver
from vfdeck.backend.text import printable


def run(options: argparse.Namespace) -> int:
    """Plan, ask, do. Raises Failure: 64 for a wrong command line, 66 for a function that is not there."""
    bdf = hosts.address(options.bdf)
    wanted = _change(bdf, options)
    with changing.host_of(options) as host:
        changing.function_of(host.snapshot(), bdf)
        result = changing.change(host, wanted, options)
        if result.outcome is not None:
            changing.tell((*outcomes.outcome_text(result.outcome, result.before), *changing.remark(result.before)), options)
    if options.json:
        changing.report(result, options, {})
    return result.status


def _change(bdf: str, options: argparse.Namespace) -> Change:
    match options.doing:
        case "vfs":
            return SetNumvfs(bdf, options.count)
        case "unbind":
            return UnbindDriver(bdf)
        case "reset":
            return ResetFunction(bdf)
        case "autoprobe":
            return SetAutoprobe(bdf, options.switch == "on")
    if options.driver is not None and "/" in options.driver:  # it becomes part of a path
        raise Failure(failure.USAGE, f"{printable(options.driver)} is no driver's name; expected e.g. vfio-pci")
    return BindDriver(bdf, options.driver)
