"""Play recordings of real kernels against the simulated kernel and tell every difference.

A recording is a file of JSON objects, one a line: first the host, then one operation with the kernel's answer a line. Each
operation is done on a simulated kernel of the same release, by the same code that works on real ones, and every answer is
compared: result, stage, value and state, and the kernel log lines about tokens (which must have been caused; a rate limit may have
kept a line out of a recording, so a line that only the simulation has proves nothing).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from vfdeck.backend.kernel import Pending, errno_name
from vfdeck.backend.player import BROKEN, Player, Step, fault
from vfdeck.backend.profile import profile
from vfdeck.backend.sim.hardware import Function, SriovCapability
from vfdeck.backend.sim.kernel import SimulatedKernel
from vfdeck.backend.sim.machine import Machine
from vfdeck.backend.text import printable
from vfdeck.backend.vfio import DEVICES

#: What marks the log lines that are compared.
_TOKEN_LINE = "VF token"


class TraceError(ValueError):
    """A line that is no step of a recording: where, what was wrong, and what was expected."""

    def __init__(self, path: str, line: int, what: str) -> None:
        super().__init__(f"{path}:{line}: {what}")
        self.path, self.line, self.what = path, line, what
        self.before: Replay | None = None  # what came of the lines before


@dataclass(frozen=True, slots=True)
class Difference:
    """An answer of the simulation that differs from the recording."""

    line: int
    what: str


@dataclass(slots=True)
class Replay:
    """What came of playing one recording."""

    path: str
    steps: int = 0
    differences: list[Difference] = field(default_factory=list)

    @property
    def differing(self) -> int:
        """How many steps differ."""
        return len({difference.line for difference in self.differences})


def replay_file(path: str) -> Replay:
    """Play the recording in a file.

    Raises:
        OSError: the file can't be read.
        TraceError: a line is no step; it carries what came of the lines before.
    """
    outcome = Replay(path)
    try:
        _play(path, outcome)
    except TraceError as error:
        error.before = outcome
        raise
    return outcome


def _play(path: str, outcome: Replay) -> None:
    steps = _read(path)
    number, host = next(steps, (1, None))
    if host is None or host.get("op") != "host":
        raise TraceError(path, number, 'the first line must be the host ("op": "host")')
    try:
        machine = machine_of(host)
    except BROKEN as error:
        raise TraceError(path, number, f"broken host line: {fault(error)}") from None
    player = Player(lambda name: SimulatedKernel(machine, name))
    for number, step in steps:
        machine.log.take_caused()
        try:
            answer = player.do(step) | {"log": machine.log.take_caused()}
            differences = [Difference(number, text) for text in _compare(step, answer)]
        except BROKEN as error:
            raise TraceError(path, number, f"broken step {printable(step['op'])}: {fault(error)}") from None
        outcome.steps += 1
        outcome.differences += differences


def _read(path: str) -> Iterator[tuple[int, Step]]:
    with Path(path).open(encoding="utf-8", errors="surrogateescape") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                step = json.loads(line)
            except ValueError as error:
                raise TraceError(path, number, f"not JSON: {printable(str(error))}") from None
            if not isinstance(step, dict) or not isinstance(step.get("op"), str):
                raise TraceError(path, number, 'expected a JSON object with "op"')
            yield number, step


# -- comparing -------------------------------------------------------------------------------------------------------------
def _compare(step: Step, answer: Step) -> Iterator[str]:
    inputs = {"op", "path", "data", "patience", "settle", "device", "argument", "handle", "actor", "token", "flags", "argsz"}
    for key in sorted((step.keys() | answer.keys()) - inputs - {"iommufd", "log"}):
        if step.get(key) != answer.get(key):
            yield f"{_name(step)}: {key} is {_show(step.get(key))} in the recording, {_show(answer.get(key))} here"
    caused = answer["log"]
    for text in step.get("log", []):
        if _TOKEN_LINE in text:
            if text in caused:
                caused.remove(text)
            else:
                yield f"{_name(step)}: the log line {_show(text)} is not caused here"


def _name(step: Step) -> str:
    about = step.get("device") or step.get("path") or step.get("handle") or ""
    return printable(f"{step['op']} {about}")


def _show(value: object) -> str:
    return printable(json.dumps(value))


# -- the machine of a recording --------------------------------------------------------------------------------------------
def machine_of(host: Step) -> Machine:
    """The machine that a host line describes.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: the line is broken.
    """
    machine = Machine(profile(host["kernel"]))
    functions: dict[str, Step] = host["functions"]
    for name in {entry["driver"] for entry in functions.values() if entry["driver"]}:
        machine.load_driver(name)
    for bdf, entry in sorted(functions.items()):
        if entry["physfn"] is None:
            _add_function(machine, bdf, entry)
    for bdf, entry in sorted(functions.items()):
        _settle_function(machine, bdf, entry)
    machine.parameters["enable_sriov"] = host["enable_sriov"] == "Y"
    return machine


def _add_function(machine: Machine, bdf: str, entry: Step) -> None:
    """A function with an IOMMU group of its own; functions of one slot on the root bus share theirs."""
    capability = None
    if "sriov_totalvfs" in entry:
        total, offset, stride = (int(entry[key]) for key in ("sriov_totalvfs", "sriov_offset", "sriov_stride"))
        capability = SriovCapability(total, offset, stride, int(entry["sriov_vf_device"], 16))
        capability.autoprobe = entry["sriov_drivers_autoprobe"] == "1"
    function = Function(bdf, int(entry["vendor"], 16), int(entry["device"], 16), int(entry["class"], 16), sriov=capability)
    function.header = 1 if function.class_code >> 8 == 0x0604 else 0
    sibling = machine.functions.get(bdf[:-1] + "0") or next((f for f in machine.functions.values() if f.bdf[:-2] == bdf[:-2]), None)
    shared = sibling.group.number if sibling is not None and sibling.group is not None and bdf.startswith("0000:00:") else None
    machine.add(function, shared)


def _settle_function(machine: Machine, bdf: str, entry: Step) -> None:
    """Bring a function to the state in which the recording found it: driver, override, VFs."""
    kernel = SimulatedKernel(machine, "boot")
    function = machine.functions[bdf]
    if entry["driver"] and function.driver is None:
        function.override = entry["driver"]
        _must(kernel.write(f"/sys/bus/pci/drivers/{entry['driver']}/bind", bdf.encode()))
    function.override = None if entry["override"] == "(null)" else entry["override"]
    if function.sriov is not None:
        if entry["driver"] is None:  # unbound: what is read is the hardware's own number
            function.sriov.total = int(entry["sriov_totalvfs"])
        else:
            function.sriov.driver_max = _driver_max(machine, function, int(entry["sriov_totalvfs"]))
        if entry["virtfns"]:
            _must(kernel.write(f"{DEVICES}/{bdf}/sriov_numvfs", str(len(entry["virtfns"])).encode()))
    kernel.exit()


def _driver_max(machine: Machine, function: Function, read: int) -> int | None:
    """A native driver offers fewer VFs than the hardware has; then the hardware's number is the driver's plus what it keeps."""
    assert function.sriov is not None
    driver = machine.driver_of(function)
    if driver is not None and driver.max_vfs == read:
        function.sriov.total = read + 1  # igb keeps one of the queue pairs of its eight VFs for itself
        return read
    return None


def _must(pending: Pending) -> None:
    error = pending.result()
    if error is not None:
        raise ValueError(f"{pending.path}: {errno_name(error.errno or 0)} while the host was set up")
