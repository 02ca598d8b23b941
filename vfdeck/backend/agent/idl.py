"""The interface description, made from the value classes: `python -m vfdeck.backend.agent.idl` writes `vfdeck.varlink` anew."""

from __future__ import annotations

import enum
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from vfdeck.backend.agent.protocol import INTERFACE
from vfdeck.backend.agent.wire import Shape, called, shapes
from vfdeck.backend.changes import Change, Outcome, Plan
from vfdeck.backend.checks import Question, Report
from vfdeck.backend.details import Details, Part
from vfdeck.backend.kernel import LogLine, Uevent
from vfdeck.backend.model import Job, Lack, Problem, Snapshot

PLACE = Path(__file__).with_name("vfdeck.varlink")
ROOTS = (Snapshot, Plan, Outcome, Report, Details, LogLine, Uevent, Job, Lack, Problem)

_HEAD = f"""# The agent of vfdeck, protocol 1. Made by idl.py from the value classes, whose docstrings say more.
#
# A field that has its usual value is left out: every field may be. Times and durations are integers of nanoseconds (NAME_ns). What
# may be of several kinds is an object with exactly one member, called by the kind. An enum's member goes by its name.
interface {INTERFACE}
"""

_METHODS = """
# What this agent is, and what it may. Speak a protocol that both know, from protocol_min to protocol_max.
method Hello(protocol_min: int, protocol_max: int) -> (
  protocol: int, version: string, host: string, boot_id: string, euid: int, lacks: []Lack, simulated: bool, tells_all: bool,
  read_only: bool
)

# The host as it is now, or was at most age_ns ago. With the generation that this connection was given last in `since`: that nothing
# is otherwise (`unchanged`), or what is (`delta`); else all of it.
method Snapshot(since: ?int, age_ns: ?int) -> (
  generation: int, unchanged: ?bool, taken_ns: ?int, snapshot: ?Snapshot, delta: ?Delta
)

# What a change would do, judged by the host as it is now. Nothing is done.
method Plan(change: Change) -> (plan: Plan, generation: int)

# The answer to a question, by what can be seen.
method Check(question: Question) -> (report: Report)

# What no picture has of a function; may take seconds.
method Details(bdf: string, parts: []Part) -> (details: Details)

# The kernel's log; null where it may not be read.
method Log() -> (lines: ?[]LogLine)

# Why nothing can be written down of what is done here; null where nothing is against it. `make`: make the folder, and try.
method CannotRemember(make: ?bool) -> (problem: ?Problem)

# Begin a change, and answer at once. The same key again tells of the same operation, and begins nothing. With `confirmed`, the plan
# that somebody agreed to, nothing is done where it would be another one now; with `generation` nothing where the host has changed.
method Perform(key: string, change: Change, confirmed: ?Plan, generation: ?int) -> (operation: Operation)

# What came of a change so far.
method Operation(key: string) -> (operation: Operation)

# What has happened after the event of this number, as soon as there is anything, within wait_ns. Another call ends the wait.
method Events(since: ?int, wait_ns: ?int) -> (events: []Event)

type Operation (key: string, over: bool, outcome: ?Outcome, fault: ?string, job: ?Job)

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
# No operation is known by this key. Another agent may have begun it: `vfdeck history` of that host tells.
error NoSuchOperation (key: string)
# It takes longer than a call may. It goes on, and nobody will tell what came of it.
error Deadline (seconds_ns: int)
# A fault of vfdeck's own.
error Failed (fault: string)
"""


def text() -> str:
    """The whole description."""
    return _HEAD + _METHODS + "".join(f"\n{one}\n" for one in _types()) + _ERRORS


def _types() -> Iterator[str]:
    yield _union("Change", tuple(_name(kind) for kind in get_args(Change)))
    yield _union("Question", tuple(_name(kind) for kind in get_args(Question)))
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
        fields = ",\n".join(f"  {called(field.name, shape)}: {_optional(shape)}" for field, shape in shapes(kind))
        yield f"# {about}\ntype {_name(kind)} (\n{fields}\n)"
        for _, shape in shapes(kind):
            left += _classes(shape)


def _union(name: str, kinds: tuple[str, ...]) -> str:
    members = ",\n".join(f"  {kind}: ?{kind}" for kind in kinds)
    return f"# Exactly one of these.\ntype {name} (\n{members}\n)"


def _classes(shape: Shape) -> Iterator[type]:
    if shape.inner:
        for one in shape.inner:
            yield from _classes(one)
    elif shape.name not in _WORDS:
        yield shape.kind


def _optional(shape: Shape) -> str:
    said = _said(shape)
    return said if said.startswith("?") else f"?{said}"


def _said(shape: Shape) -> str:
    if shape.name in _WORDS:
        return _WORDS[shape.name]
    if shape.name == "optional":
        return f"?{_said(shape.inner[0])}"
    if shape.name in ("list", "set"):
        return f"[]{_said(shape.inner[0])}"
    if shape.name == "dict":
        return f"[string]{_said(shape.inner[1])}"
    if shape.name == "row":  # of several kinds: Varlink has no name for that
        kinds = {_said(one) for one in shape.inner}
        return f"[]{kinds.pop()}" if len(kinds) == 1 else "[]object"
    if shape.name == "either":
        members = ", ".join(f"{one.tag}: ?{_said(one)}" for one in shape.inner)
        return f"({members})"
    return _name(shape.kind)


def _name(kind: type) -> str:
    return kind.__name__


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
