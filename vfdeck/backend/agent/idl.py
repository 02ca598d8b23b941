"""The interface description, made from the value classes: `python -m vfdeck.backend.agent.idl` writes `vfdeck.varlink` anew."""

from __future__ import annotations

import enum
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from vfdeck.backend.agent.protocol import INTERFACE, SERVICE
from vfdeck.backend.agent.wire import Shape, called, shapes
from vfdeck.backend.changes import Change, Outcome, Plan
from vfdeck.backend.checks import Question, Report
from vfdeck.backend.details import Details, Part
from vfdeck.backend.history import Trail
from vfdeck.backend.kernel import LogLine, Uevent
from vfdeck.backend.model import Job, Lack, Problem, Snapshot

PLACE = Path(__file__).with_name("vfdeck.varlink")
ROOTS = (Snapshot, Plan, Outcome, Report, Details, LogLine, Uevent, Job, Lack, Problem, Trail)

_HEAD = f"""# The agent of vfdeck, protocol 1. Made by idl.py from the value classes, whose docstrings say more.
#
# A field that has its usual value is left out: every field may be. Times and durations are integers of nanoseconds (NAME_ns). What
# may be of several kinds is an object with exactly one member, called by the kind. An enum's member goes by its name.
interface {INTERFACE}
"""

_METHODS = """
# What this agent is, what it may not (`lacks`), and what its kernel has (`features`, as far as known). Speak a protocol that
# both know, from protocol_min to protocol_max.
method Hello(protocol_min: int, protocol_max: int) -> (
  protocol: int, version: string, host: string, boot_id: string, euid: int, lacks: []Lack, features: [string]bool,
  simulated: bool, tells_all: bool, read_only: bool
)

# The host as it is now, or was at most age_ns ago. With the generation that this connection was given last in `since`: that nothing
# is otherwise (`unchanged`), or what is (`delta`); else all of it: for who takes `more` replies, in several, each with some of the
# functions, groups and tokens, and the last one with all the rest.
method Snapshot(since: ?int, age_ns: ?int) -> (
  generation: int, unchanged: ?bool, taken_ns: ?int, snapshot: ?SnapshotValue, delta: ?Delta
)

# What a change would do, judged by the host as it is now. Nothing is done.
method Plan(change: Change) -> (plan: PlanValue, generation: int)

# The answer to a question, by what can be seen.
method Check(question: Question) -> (report: Report)

# What no picture has of a function; may take seconds.
method Details(bdf: string, parts: []Part) -> (details: DetailsValue)

# The kernel's log; null where it may not be read.
method Log() -> (lines: ?[]LogLine)

# What was done to the host with vfdeck, as the audit trail of the agent's user has it: its newest lines, each an object of JSON.
method History() -> (trail: Trail)

# Why nothing can be written down of what is done here; null where nothing is against it. `make`: make the folder, and try.
method CannotRemember(make: ?bool) -> (problem: ?Problem)

# Begin a change, and answer at once. The same key again tells of the same operation, and begins nothing. With `confirmed`, the plan
# that somebody agreed to, nothing is done where it would be another one now; with `generation` nothing where the host has changed.
method Perform(key: string, change: Change, confirmed: ?PlanValue, generation: ?int) -> (operation: OperationValue)

# What came of a change so far.
method Operation(key: string) -> (operation: OperationValue)

# What has happened after the event of this number, as soon as there is anything, within wait_ns. Another call ends the wait.
# `gap`: so much has happened since that the first of it is forgotten; a snapshot tells what came of it.
method Events(since: ?int, wait_ns: ?int) -> (events: []Event, gap: ?bool)

# `unwritten`: what of this and earlier changes the agent has not written down, where it is over.
type OperationValue (key: string, over: bool, outcome: ?Outcome, fault: ?string, job: ?Job, unwritten: ?[]Problem)

type Event (number: int, uevent: ?Uevent, operation: ?string, changed: ?bool)

# From one snapshot to the next: members with their new values, names of those that have their usual value again, and of functions,
# groups and tokens those that are new or otherwise, and the keys of those that are gone.
type Delta (
  values: ?object, unset: ?[]string,
  functions: ?[string]Function, gone_functions: ?[]string,
  groups: ?[string]IommuGroup, gone_groups: ?[]string,
  tokens: ?[string]TokenKnowledge, gone_tokens: ?[]string
)
"""

_ERRORS = """
# The other side spoke no Varlink; the connection ends.
error Garbled (why: string)
# No protocol that both know.
error Unsupported (protocol_min: int, protocol_max: int)
# This agent changes nothing.
error ReadOnly ()
# Something is otherwise than the call has it.
error Conflict (reason: string)
# This agent has begun no operation under this key. `history`: another one has, and this is what was written down of it; `unread`:
# whether one has is not known, and why.
error NoSuchOperation (key: string, history: ?string, unread: ?string)
# It takes longer than a call may. It goes on, and nobody will tell what came of it.
error Deadline (seconds_ns: int)
# Nothing was begun: too much hangs that was begun before. `hanging` are calls, or the functions that changes are about.
error Busy (hanging: []string)
# A fault of vfdeck's own.
error Failed (fault: string)
"""

#: The interface that every Varlink service has (varlink.org, "Service").
SERVICE_TEXT = f"""# What a Varlink service tells of itself.
interface {SERVICE}

method GetInfo() -> (vendor: string, product: string, version: string, url: string, interfaces: []string)

method GetInterfaceDescription(interface: string) -> (description: string)

error InterfaceNotFound (interface: string)
error MethodNotFound (method: string)
error MethodNotImplemented (method: string)
error InvalidParameter (parameter: string)
"""


def text() -> str:
    """The whole description."""
    return _HEAD + _METHODS + "".join(f"\n{one}\n" for one in _types()) + _ERRORS


def _types() -> Iterator[str]:
    yield _union("Change", get_args(Change))
    yield _union("Question", get_args(Question))
    done: set[str] = set()
    left: list[type] = [*get_args(Change), *get_args(Question), *ROOTS, Part]
    while left:
        kind = left.pop(0)
        if _name(kind) in done:
            continue
        done.add(_name(kind))
        about = (inspect.getdoc(kind) or "").split("\n")[0]
        if issubclass(kind, enum.Enum):
            yield f"# {about}\ntype {_name(kind)} ({', '.join(kind.__members__)})"
            continue
        if not shapes(kind):  # some parsers know no type without fields
            continue
        fields = ",\n".join(f"  {called(field.name, shape)}: {_optional(shape, kind, field.name)}" for field, shape in shapes(kind))
        yield f"# {about}\ntype {_name(kind)} " + f"(\n{fields}\n)"
        for field, shape in shapes(kind):
            left += _classes(shape)
            if shape.name == "either":
                yield _choice(_choice_name(kind, field.name), shape)


def _union(name: str, kinds: tuple[type, ...]) -> str:
    members = ",\n".join(f"  {kind.__name__}: ?{_name(kind) if shapes(kind) else 'object'}" for kind in kinds)
    return f"# Exactly one of these.\ntype {name} (\n{members}\n)"


def _classes(shape: Shape) -> Iterator[type]:
    if shape.inner:
        for one in shape.inner:
            yield from _classes(one)
    elif shape.name not in _WORDS:
        yield shape.kind


def _choice(name: str, shape: Shape) -> str:
    members = ",\n".join(f"  {one.tag}: {_optional(one)}" for one in shape.inner)
    return f"# Exactly one of these.\ntype {name} (\n{members}\n)"


def _choice_name(kind: type, field: str) -> str:
    """What the kinds of a field are called together: without a name of its own, not every parser finds what they are."""
    return kind.__name__ + "".join(part.capitalize() for part in field.split("_"))


def _optional(shape: Shape, kind: type | None = None, field: str = "") -> str:
    said = _choice_name(kind, field) if kind is not None and shape.name == "either" else _said(shape)
    return said if said.startswith("?") else f"?{said}"


def _said(shape: Shape) -> str:
    if shape.name in _WORDS:
        return _WORDS[shape.name]
    if shape.name == "optional":
        return f"?{_said(shape.inner[0])}"
    if shape.name in ("list", "set"):
        inner = _said(shape.inner[0])
        return "[]object" if inner.startswith("[]") else f"[]{inner}"  # Varlink has no arrays of arrays
    if shape.name == "dict":
        return f"[string]{_said(shape.inner[1])}"
    if shape.name == "row":  # of several kinds: Varlink has no name for that
        kinds = {_said(one) for one in shape.inner}
        return f"[]{kinds.pop()}" if len(kinds) == 1 else "[]object"
    return _name(shape.kind)


def _name(kind: type) -> str:
    """What a class is called here: no type may have a method's name."""
    return f"{kind.__name__}Value" if kind.__name__ in _TAKEN else kind.__name__


_TAKEN = frozenset(re.findall(r"^method (\w+)", _METHODS, re.MULTILINE))


_WORDS = {
    "str": "string",
    "int": "int",
    "bool": "bool",
    "float": "int",
    "range": "[]int",
    "Token": "string",
}

if __name__ == "__main__":
    PLACE.write_text(text(), encoding="utf-8")
