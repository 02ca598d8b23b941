"""`vfdeck open`: open a device, tell how far it went and why no further, close it; or hold it while another program runs."""

from __future__ import annotations

import argparse
import dataclasses
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from vfdeck.app import failure, token_sources
from vfdeck.app.commands import changing, hosts, outcomes
from vfdeck.app.failure import Failure
from vfdeck.backend.changes import Close, Open, OpenPath, Outcome
from vfdeck.backend.kernel import Stage
from vfdeck.backend.model import Function
from vfdeck.backend.text import printable
from vfdeck.backend.wording import group_node

#: The rungs of both ladders, in the order in which `vfdeck.backend.vfio.Program` climbs them.
LADDERS = {
    OpenPath.GROUP: (
        Stage.IOMMU_GROUP,
        Stage.OPEN_GROUP,
        Stage.OPEN_CONTAINER,
        Stage.SET_CONTAINER,
        Stage.SET_IOMMU,
        Stage.GET_DEVICE_FD,
    ),
    OpenPath.CDEV: (Stage.CDEV_NODE, Stage.OPEN_CDEV, Stage.OPEN_IOMMU, Stage.BIND_IOMMUFD),
}
#: As shells have it: the command is there but cannot be run; it is not there.
CANNOT_RUN, NOT_FOUND = 126, 127


def run(options: argparse.Namespace) -> int:
    """Open it. Raises Failure: 64 for a wrong command line, 66 for a function that is not there, else as `token_sources`."""
    bdf = hosts.address(options.bdf)
    _demand_runnable(options)
    with changing.host_of(options) as host:
        changing.function_of(host.snapshot(), bdf)
        wanted = Open(bdf, token_sources.given(options), hold=bool(options.holding), path=OpenPath(options.path))
        result = changing.change(host, wanted, options)
        status, outcome = result.status, result.outcome
        ended: int | None = None
        if outcome is not None:
            function = result.before.functions.get(bdf)
            changing.tell((*ladder_text(outcome, wanted.path, function), *outcomes.outcome_text(outcome, result.before)), options)
            if outcome.ok and options.holding:
                status = ended = _run_beside(options.holding, options.json)
                changing.tell(outcomes.outcome_text(host.perform(Close(bdf))), options)
            changing.tell(changing.remark(result.before), options)
    if options.json:
        rungs = [{"stage": str(stage), "answer": answer or None} for stage, answer in ladder(outcome, wanted.path)]
        changing.report(dataclasses.replace(result, status=status), options, {"ladder": rungs, "command_status": ended})
    return status


def _demand_runnable(options: argparse.Namespace) -> None:
    """Raise Failure where a command could not be run: better before anything was opened."""
    if options.holding and options.dry_run:
        raise Failure(failure.USAGE, "--dry-run opens nothing: there is nothing to hold while a command runs")
    if options.holding and shutil.which(options.holding[0]) is None:
        there = os.path.exists(options.holding[0])
        reason = "it is no program, or may not be run" if there else "there is no such program"
        line = f"cannot run {printable(options.holding[0])}: {reason}; nothing was opened"
        raise Failure(CANNOT_RUN if there else NOT_FOUND, line)


# -- the ladder ------------------------------------------------------------------------------------------------------------
def ladder(outcome: Outcome | None, path: OpenPath) -> list[tuple[Stage, str]]:
    """Each rung with its answer: `OK`, the errno's name, or "" where it was not reached. None where nothing was opened."""
    if outcome is None or not outcome.attempted:
        return []
    rungs = LADDERS[path]
    stopped = rungs.index(outcome.stage) if outcome.errno and outcome.stage in rungs else len(rungs)
    return [
        (rung, "OK" if number < stopped else outcome.errno_name if number == stopped else "") for number, rung in enumerate(rungs)
    ]


def ladder_text(outcome: Outcome, path: OpenPath, function: Function | None) -> Iterator[str]:
    """The rungs as lines, each with the call that it is."""
    for rung, answer in ladder(outcome, path):
        yield from outcomes.wrapped(_call(rung, function), f"  {rung:<15} {answer or 'not reached':<12} ")


def _call(rung: Stage, function: Function | None) -> str:
    group = group_node(function) or "/dev/vfio/N"
    cdev = f"/dev/vfio/devices/{function.cdev}" if function is not None and function.cdev else "/dev/vfio/devices/vfioN"
    return {
        Stage.IOMMU_GROUP: "readlink iommu_group",
        Stage.OPEN_GROUP: f"open {group}",
        Stage.OPEN_CONTAINER: "open /dev/vfio/vfio",
        Stage.SET_CONTAINER: "ioctl VFIO_GROUP_SET_CONTAINER",
        Stage.SET_IOMMU: "ioctl VFIO_SET_IOMMU",
        Stage.GET_DEVICE_FD: "ioctl VFIO_GROUP_GET_DEVICE_FD: the token is judged here",
        Stage.CDEV_NODE: "list vfio-dev",
        Stage.OPEN_CDEV: f"open {cdev}",
        Stage.OPEN_IOMMU: "open /dev/iommu",
        Stage.BIND_IOMMUFD: "ioctl VFIO_DEVICE_BIND_IOMMUFD: the token is judged here, since 6.17",
    }[rung]


# -- a program meanwhile ---------------------------------------------------------------------------------------------------
def _run_beside(command: list[str], aside: bool) -> int:
    """Run a program while the device is held, and give its exit status. It gets no descriptor of ours and no token.

    `aside`: what it prints goes to standard error, since standard output is for JSON.
    """
    with _relay() as relay:  # before it starts, or a signal in between would leave it alone with nobody
        try:
            process = subprocess.Popen(command, stdout=2 if aside else None)
        except OSError as error:
            line = f"cannot run {printable(command[0])}: {error.strerror}; the device was closed again"
            raise Failure(CANNOT_RUN, line) from None
        relay.to(process)
        status = process.wait()
    return 128 - status if status < 0 else status


class _Relay:
    """Passes signals on to a program, those too that came before it was started."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._early: list[int] = []

    def to(self, process: subprocess.Popen[bytes]) -> None:
        """From now on to this one."""
        self._process = process
        for number in self._early:
            self.pass_on(number, None)

    def give_back(self) -> None:
        """Nothing was started: what came meanwhile is for us after all."""
        if self._process is None:
            for number in self._early:
                signal.raise_signal(number)

    def pass_on(self, number: int, _: FrameType | None) -> None:
        """A signal came."""
        if self._process is None:
            self._early.append(number)
        else:
            self._process.send_signal(number)  # does nothing where it has ended


@contextmanager
def _relay() -> Iterator[_Relay]:
    """While a program runs it decides about signals: an interrupt reaches it from the terminal, others are passed on."""
    relay = _Relay()

    def leave(_: int, __: FrameType | None) -> None:
        """The terminal sent it to the program too."""

    handlers = {signal.SIGINT: leave, signal.SIGQUIT: leave, signal.SIGTERM: relay.pass_on, signal.SIGHUP: relay.pass_on}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield relay
    finally:
        for number, handler in before.items():  # None: it was not Python's, and cannot be given back
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        relay.give_back()
