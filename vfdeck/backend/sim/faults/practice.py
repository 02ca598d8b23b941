"""Going through a fault on any host: what happened before, then the change or call that is refused, with its explanation.

A step of `setup` is one of

    {bind = BDF, to = DRIVER}              driver_override and the driver's bind file (vfio-pci where `to` is left out)
    {numvfs = N, of = PF}                  a write to sriov_numvfs
    {open = BDF, by = PROGRAM, token = NAME, path = "cdev"}   another program opens a function and keeps it open
    {close = BDF, by = PROGRAM}            and closes it again
    {load = MODULE}                        a driver's module is loaded, and takes what it matches
    {fate = BDF, ...}                      something befalls a function: fields as in the `functions` of a fault's machine
    {kind = CHANGE, ...}                   a change that vfdeck itself makes
    {op = ..., ...}                        an operation in the terms of a recording (`vfdeck.backend.player`)

and may say what it answers (`answer`, "OK" where left out). vfdeck looks at the host before the first step and after each one,
unless the step is `unseen`. Tokens are names: equal names, equal tokens.

`do` is a change that vfdeck makes, `{kind = ...}`, or a call that another tool makes, `{op = ..., as = {kind = ...}}`, where `as`
tells the change that it is part of. Beside the operations of recordings there is `{op = "calls", device, calls, argument}`: the
calls of the group path one by one, in an order that no sane program has. Their words are group, container, attach, type and device;
mistype sets the type on the wrong descriptor. `answer` is what the kernel says.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVar

from vfdeck.backend import changes
from vfdeck.backend.acts import OpenAct, Write, steps
from vfdeck.backend.changes import BindDriver, Change, Open, OpenPath, Outcome, SetAutoprobe, SetNumvfs, SetToken, UnbindDriver
from vfdeck.backend.evidence import gather
from vfdeck.backend.explain import diagnose
from vfdeck.backend.facts import Facts
from vfdeck.backend.goal import Goal
from vfdeck.backend.kernel import VFIO_TYPE1_IOMMU, Blocked, Kernel, Refusal, Stage, lines_since
from vfdeck.backend.local_host import LocalHost
from vfdeck.backend.model import Snapshot
from vfdeck.backend.player import Player
from vfdeck.backend.sim.faults import Exercise, Table, names
from vfdeck.backend.token import Token
from vfdeck.backend.token_rules import format_argument
from vfdeck.backend.vfio import DEVICES, Program

#: How long a write that is to wait is given before it counts as one that does, and any other before something is wrong, seconds.
PATIENCE, LIMIT = 2.0, 60.0


def _patience(step: Table) -> float:
    return PATIENCE if step.get("answer") == "BLOCKED" else LIMIT


#: Tokens that have to be what they are; the documented one is for faults in which the operator has to type the right one.
_SPECIAL = {"nil": "00000000-0000-0000-0000-000000000000", "documented": "14d63f20-8445-11ea-8900-1f9ce7d5650d"}

_CALLER = "qemu-system-x86"

T = TypeVar("T")


class Hands(Protocol):
    """What happens to a host beside its kernel's files."""

    def load(self, module: str) -> None:
        """Load a driver's module; it takes every function that has no driver and matches."""

    def befall(self, bdf: str, values: Table) -> None:
        """Let something befall a function; only on a simulated machine."""


class BrokenExercise(ValueError):
    """A step of a fault's setup was answered otherwise than it says."""


def token(name: str) -> Token:
    """The token that faults call `name`."""
    return Token.parse(_SPECIAL[name]) if name in _SPECIAL else Token(hashlib.sha256(f"fault {name}".encode()).digest()[:16])


def change_of(table: Table) -> Change:
    """The change that a table describes."""
    fields: dict[str, Any] = {key: value for key, value in table.items() if key not in ("kind", "answer", "unseen")}
    if "token" in fields:
        fields["token"] = token(fields["token"])
    if "path" in fields:
        fields["path"] = OpenPath(fields["path"])
    made: Change = getattr(changes, table["kind"])(**fields)
    return made


# -- what happened before --------------------------------------------------------------------------------------------------
def prepare(fault: Exercise, host: LocalHost, player: Player, hands: Hands) -> None:
    """Do what happened before the fault.

    Raises:
        BrokenExercise: a step was not answered as the fault says.
    """
    host.snapshot()
    for step in fault.setup:
        wanted = step.get("answer", "OK")
        answer = _take(step, host, player, hands)
        if answer != wanted:
            told = {key: value for key, value in step.items() if key not in ("token", "argument")}
            raise BrokenExercise(f"{fault.name}: {told} gives {answer}, not {wanted}")
        if not step.get("unseen"):
            host.snapshot()


def take_back(fault: Exercise, player: Player) -> None:
    """Do the fault's `undo`, whatever is answered: a machine is left as it was found."""
    for step in fault.undo:
        for operation in _operations(step):
            player.do(operation)


def _take(step: Table, host: LocalHost, player: Player, hands: Hands) -> str:
    if "load" in step:
        hands.load(step["load"])
        return "OK"
    if "fate" in step:
        hands.befall(step["fate"], {key: value for key, value in step.items() if key not in ("fate", "unseen")})
        return "OK"
    if "kind" in step:
        outcome = host.perform(change_of(step))
        why = outcome.explanation.rule if outcome.explanation else ""
        return outcome.errno_name if outcome.attempted else f"not attempted: {why}"
    answer = "OK"
    for operation in _operations(step):
        answer = str(player.do(operation)["result"])
        if answer != "OK":
            break
    return answer


def _operations(step: Table) -> Iterator[Table]:
    """A step in the terms of a recording."""
    if "bind" in step:
        bdf, driver = step["bind"], step.get("to", "vfio-pci")
        yield {"op": "write", "path": f"{DEVICES}/{bdf}/driver_override", "data": f"{driver}\n", "patience": LIMIT}
        yield {"op": "write", "path": f"/sys/bus/pci/drivers/{driver}/bind", "data": bdf, "patience": _patience(step)}
    elif "numvfs" in step:
        path = f"{DEVICES}/{step['of']}/sriov_numvfs"
        yield {"op": "write", "path": path, "data": str(step["numvfs"]), "patience": _patience(step)}
    elif "open" in step:
        bdf, secret = step["open"], token(step["token"]) if "token" in step else None
        common = {"device": bdf, "handle": bdf, "actor": step.get("by", _CALLER)}
        if step.get("path") == "cdev":
            yield {"op": "bind_iommufd", "token": secret.reveal().hex() if secret else None, **common}
        else:
            argument = format_argument(bdf, secret.reveal_text() if secret else None).decode()
            yield {"op": "open", "argument": argument, **common}
    elif "close" in step:
        yield {"op": "close", "handle": step["close"], "actor": step.get("by", _CALLER)}
    else:
        yield {"patience": _patience(step), **step}


# -- the fault itself ------------------------------------------------------------------------------------------------------
def attempt(fault: Exercise, host: LocalHost) -> Outcome:
    """Meet the fault: make its change, or its call; the outcome with its explanation.

    A change that vfdeck's plan holds back, or that would keep vfdeck waiting, is made as a tool without plans makes it.
    """
    step = fault.do
    assert step is not None, f"{fault.name} has nothing to do"
    before = host.snapshot()
    if "kind" not in step:
        change = purpose(step)
        return _explained(host, before, change, lambda: _call(host.kernel, step), step.get("argument"))
    change = change_of(step)
    if step.get("answer") != "BLOCKED" and not host.plan(change, before).impossible:
        return host.perform(change)
    return _explained(host, before, change, lambda: _act(host.kernel, change, before, _patience(step)), None)


def purpose(step: Table) -> Change:
    """The change that a call is part of."""
    if "as" in step:
        return change_of(step["as"])
    if step["op"] == "write":
        *_, directory, name = step["path"].split("/")
        if name == "sriov_numvfs":
            return SetNumvfs(directory, int(step["data"]))
        if name == "sriov_drivers_autoprobe":
            return SetAutoprobe(directory, True)
        return BindDriver(step["data"], directory) if name == "bind" else UnbindDriver(step["data"])
    bdf = step["device"]
    if step["op"] == "feature":
        return SetToken(bdf, token("another"))
    return Open(bdf, path=OpenPath.CDEV if step["op"] == "bind_iommufd" else OpenPath.GROUP)


def goal_of(fault: Exercise) -> Goal | None:
    """The goal of a fault; None where nothing is refused and the doctor finds nothing."""
    step = fault.do
    if step is None:
        return Goal(fault.entry, None, False, fault.look) if fault.look else None
    by_others = "kind" not in step
    change = purpose(step) if by_others else change_of(step)
    return Goal(fault.entry, change, by_others, "")


def next_fault(name: str) -> str:
    """The fault after this one; "" after the last."""
    every = names()
    at = every.index(name) + 1 if name in every else len(every)
    return every[at] if at < len(every) else ""


def _act(kernel: Kernel, change: Change, before: Snapshot, patience: float) -> None:
    """The acts of a change, one after the other, whatever the plan says of them."""
    program = Program(kernel)
    for act in steps(change, before):
        if isinstance(act, Write):
            _write(kernel, act.path, act.data, patience)
        elif isinstance(act, OpenAct):
            secret = act.token
            if act.path is OpenPath.CDEV:
                program.close(program.open_by_cdev(act.bdf, secret.reveal() if secret else None))
            else:
                program.close(program.open_by_group(act.bdf, format_argument(act.bdf, secret.reveal_text() if secret else None)))


def _call(kernel: Kernel, step: Table) -> None:
    """One call of another tool."""
    program, bdf = Program(kernel), step.get("device", "")
    match step["op"]:
        case "write":
            _write(kernel, step["path"], step["data"].encode(), _patience(step))
        case "open":
            program.close(program.open_by_group(bdf, step["argument"].encode()))
        case "bind_iommufd":
            options = {key: step[key] for key in ("flags", "argsz", "iommufd") if key in step}
            program.close(program.open_by_cdev(bdf, **options))
        case "feature":
            secret = token(step["token"]).reveal_text() if "token" in step else None
            device = program.open_by_group(bdf, format_argument(bdf, secret))
            try:
                _mark(Stage.FEATURE, bdf, lambda: kernel.feature(device.fd, step["flags"], bytes(16)))
            finally:
                program.close(device)
        case "calls":
            _ladder(kernel, program, step)


def _ladder(kernel: Kernel, program: Program, step: Table) -> None:
    """The calls of the group path in the order given; what was opened is closed again."""
    bdf, path = step["device"], f"/dev/vfio/{program.group_node(step['device'])}"
    argument = str(step.get("argument", bdf)).encode()
    fds = {"group": -1, "container": -1, "device": -1}
    makes: dict[str, tuple[Stage, str, Callable[[], int]]] = {
        "group": (Stage.OPEN_GROUP, path, lambda: kernel.open(path)),
        "container": (Stage.OPEN_CONTAINER, "/dev/vfio/vfio", lambda: kernel.open("/dev/vfio/vfio")),
        "device": (Stage.GET_DEVICE_FD, bdf, lambda: kernel.get_device_fd(fds["group"], argument)),
    }
    does: dict[str, tuple[Stage, Callable[[], None]]] = {
        "attach": (Stage.SET_CONTAINER, lambda: kernel.set_container(fds["group"], fds["container"])),
        "type": (Stage.SET_IOMMU, lambda: kernel.set_iommu(fds["container"], VFIO_TYPE1_IOMMU)),
        "mistype": (Stage.SET_IOMMU, lambda: kernel.set_iommu(fds["group"], VFIO_TYPE1_IOMMU)),
    }
    try:
        for name in step["calls"]:
            if name in makes:
                fds[name] = _mark(*makes[name])
            else:
                stage, call = does[name]
                _mark(stage, path, call)
    finally:
        for fd in reversed(fds.values()):
            if fd >= 0:
                kernel.close(fd)


def _write(kernel: Kernel, path: str, data: bytes, patience: float) -> None:
    pending = kernel.write(path, data)
    if not pending.wait(patience):
        raise Blocked(path)
    error = pending.result()
    if error is not None:
        raise Refusal(error.errno or 0, Stage.FILE, path)


def _mark(stage: Stage, target: str, call: Callable[[], T]) -> T:
    try:
        return call()
    except OSError as error:
        raise Refusal(error.errno or 0, stage, target) from error


def _explained(host: LocalHost, before: Snapshot, change: Change, call: Callable[[], None], argument: str | None) -> Outcome:
    """Make a call that is part of a change; what came of it, explained as the change's refusal is."""
    log, given = host.log() or [], argument.encode() if argument else None
    number, stage, target, blocked = 0, Stage.FILE, changes.target_of(change), False
    try:
        call()
    except Refusal as refusal:
        number, stage, target = refusal.errno or 0, refusal.stage, refusal.target
    except Blocked as wait:
        target, blocked = str(wait), True
    function = before.functions.get(changes.target_of(change))
    about = (changes.target_of(change), (function.physfn if function else None) or changes.target_of(change))
    new = tuple(line.text for line in lines_since(log, host.log() or []) if any(bdf in line.text for bdf in about))
    facts = Facts(before, change, stage, number, target, new, blocked, argument=given)
    facts = dataclasses.replace(facts, evidence=gather(host.kernel, facts))
    diagnosis = diagnose(facts)
    found = diagnosis.explanations
    return Outcome(
        change,
        number,
        stage,
        target,
        explanation=found[0] if found else None,
        alternatives=found[1:],
        blocked=blocked,
        ruled_out=diagnosis.ruled_out,
    )
