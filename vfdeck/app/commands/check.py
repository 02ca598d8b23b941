"""`vfdeck check`: can this PF give N VFs, can this function go to a driver, can it be opened? Asked before the kernel is."""

from __future__ import annotations

import argparse

from vfdeck.app import failure
from vfdeck.app.commands import hosts, output
from vfdeck.app.failure import Failure
from vfdeck.backend.agent.remote_host import RemoteHost
from vfdeck.backend.changes import OpenPath
from vfdeck.backend.checks import CanBind, CanEnable, CanOpen, Verdict
from vfdeck.backend.evidence import exists
from vfdeck.backend.leading import led
from vfdeck.backend.local_host import LocalHost
from vfdeck.backend.text import printable
from vfdeck.backend.vfio import DEVICES

#: The exit status for each answer.
STATUS = {Verdict.YES: 0, Verdict.NO: 1, Verdict.UNKNOWN: 2}
#: Options that mean something with another one only.
_GO_WITH = {"driver": "bind", "path": "open", "user": "open"}


def run(options: argparse.Namespace) -> int:
    """Print the answer and the checks it rests on; the status is 0 for yes, 1 for no, 2 where it could not be told.

    Raises Failure: 64 where no question, or more than one, was asked, 66 where there is no such function.
    """
    question = _question(options)
    host = hosts.one(options)
    try:
        snapshot = hosts.look(host)
        bdf = question.pf if isinstance(question, CanEnable) else question.bdf
        if bdf not in snapshot.functions and not _may_be_there(host, bdf):
            line = f"{bdf} is no function of {snapshot.host.name}; expected an address as in `vfdeck tree`"
            raise Failure(failure.NO_INPUT, led(line, snapshot.host.reached))
        report = host.check(question, snapshot)
    finally:
        host.close()
    from vfdeck.app.commands import ways
    from vfdeck.backend.checks import render

    if options.json:
        output.write(render.to_json(report, snapshot))
    else:
        output.write_lines(render.answer_text(report, ways=lambda check: ways.of_check(check, snapshot)))
    return STATUS[report.verdict]


def _may_be_there(host: LocalHost | RemoteHost, bdf: str) -> bool:
    """Whether there may be a function that no snapshot has. Behind an agent that is found out by the check itself."""
    return isinstance(host, RemoteHost) or exists(host.kernel, f"{DEVICES}/{bdf}") is not False


def _question(options: argparse.Namespace) -> CanEnable | CanBind | CanOpen:
    asked = [name for name in ("pf", "bind", "open") if getattr(options, name) is not None]
    if len(asked) != 1:
        raise Failure(failure.USAGE, "check what? Expected PF N, --bind BDF or --open BDF, one of them")
    for name, goes_with in _GO_WITH.items():
        if getattr(options, name) is not None and getattr(options, goes_with) is None:
            raise Failure(failure.USAGE, f"--{name} goes with --{goes_with}")
    if options.bind is not None:
        return CanBind(hosts.address(options.bind), _driver("vfio-pci" if options.driver is None else options.driver))
    if options.open is not None:
        return CanOpen(hosts.address(options.open), OpenPath(options.path or "group"), options.user or "")
    if options.count is None:
        raise Failure(failure.USAGE, "how many VFs? Expected PF N, e.g. 0000:03:00.0 8")
    if options.count < 0:
        raise Failure(failure.USAGE, f"{options.count} is no number of VFs; expected 0 or more")
    return CanEnable(hosts.address(options.pf), options.count)


def _driver(name: str) -> str:
    """A name that a driver can have: one of a directory."""
    if name in ("", ".", "..") or "/" in name or not name.isprintable():
        raise Failure(failure.USAGE, f'"{printable(name, 40)}" is no driver\'s name; expected e.g. vfio-pci')
    return name
