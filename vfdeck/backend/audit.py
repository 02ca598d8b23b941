"""The audit trail: every change that was begun on a real host, by whom, and what came of it. Tokens are in it by fingerprint only.

`audit.jsonl` has two lines for each change, with the same `id`: one before it is made and one with its outcome, so that a crash
loses nothing. At `LONG` bytes the file becomes `audit.jsonl.1`, in place of an older one. The host's own log (`system_log.py`) gets
both as well: what stands there the user who made the change cannot take back. No change fails because of its audit.
`backend/history.py` reads it.
"""

from __future__ import annotations

import dataclasses
import enum
import errno
import itertools
import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from vfdeck.backend import journal
from vfdeck.backend.changes import OPERATION, Change, Outcome, target_of
from vfdeck.backend.errands import silence
from vfdeck.backend.kernel import Kernel, errno_name
from vfdeck.backend.model import Problem, ProblemKind
from vfdeck.backend.state_folder import PATIENCE, StateFolder
from vfdeck.backend.system_log import SystemLog
from vfdeck.backend.text import printable
from vfdeck.backend.token import Token
from vfdeck.backend.vfio import DEVICES

FILE = "audit.jsonl"
VERSION = 1

#: Length at which a new file is begun, in bytes; a change takes some 800.
LONG = 8 << 20

#: How many lines are kept for later where they cannot be written.
KEPT = 10_000

#: MESSAGE_ID of the entries in the host's journal: of a change that is begun, and of what came of it (journalctl MESSAGE_ID=...).
BEGUN_ID, OVER_ID = "8d6f0c35b8a14f0bb6a9d1c1f2a7e34b", "f4b1a5f7c2c94d0e9b4b7d3a60e58c12"


class Record:
    """One change in the trail, by its number and the key that an agent has for it; `outcome` is set when there is one."""

    outcome: Outcome

    def __init__(self, number: str, key: str) -> None:
        self.number, self.key = number, key


class AuditTrail:
    """The trail of one host. Never raises: see `problems`. Any thread may use it."""

    def __init__(
        self,
        folder: StateFolder | None,
        common: Mapping[str, Any],
        system_log: SystemLog | None = None,
        state: Callable[[str], dict[str, Any]] = lambda bdf: {},
    ) -> None:
        """A trail in `folder`; None: there is no place to keep it in, which is told.

        `common` stands in every line: host, boot, who. `state` tells what a function is like before and after a change, and must
        not wait; `system_log` None: the host's log is not told.
        """
        self._folder = folder
        self._system_log = system_log
        self._state = state
        self._common = {**common, "pid": os.getpid()}
        self._run = f"{os.getpid()}-{os.urandom(4).hex()}"
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._unwritten: list[bytes] = []
        self._lost = 0
        self._refusal = ""

    @contextmanager
    def record(self, change: Change) -> Iterator[Record]:
        """Around a change: a line before, and one with the outcome, or with the name of the fault where it has none."""
        number, what, key = f"{self._run}-{next(self._numbers)}", _change(change), OPERATION.get()
        before = self._state(target_of(change))
        self._tell(number, what, before)
        self._write(number, "begun", change=what, before=before, **({"key": key} if key else {}))
        record = Record(number, key)
        try:
            yield record
        except BaseException as error:
            fault = type(error).__name__  # its text might hold what it was given
            self._tell(number, what, before, fault=fault)
            self._write(number, "failed", fault=fault)
            raise
        outcome, after = _outcome(record.outcome), self._state(target_of(change))
        self._tell(number, what, before, after, outcome)
        self._write(number, "done", outcome=outcome, after=after)

    def _tell(
        self,
        number: str,
        change: Mapping[str, Any],
        before: Mapping[str, Any],
        after: Mapping[str, Any] | None = None,
        outcome: Mapping[str, Any] | None = None,
        fault: str = "",
    ) -> None:
        """Tell the host's log; whether it listens is not for a change to depend on."""
        if self._system_log is None:
            return
        over = outcome is not None or bool(fault)
        result = fault or ("begun" if outcome is None else result_of(outcome))
        target = change.get("pf") or change.get("bdf")
        user = self._common.get("user")
        fields = {
            "MESSAGE_ID": OVER_ID if over else BEGUN_ID,
            "ERRNO": _number(outcome),
            "VFDECK_ID": number,
            "VFDECK_KEY": OPERATION.get() or None,
            "VFDECK_ACTION": change["kind"],
            "VFDECK_FUNCTION": target,
            "VFDECK_CHANGE": json.dumps(change),
            "VFDECK_RESULT": result,
            "VFDECK_STAGE": outcome["stage"] if outcome else None,
            "VFDECK_BEFORE": json.dumps(before),
            "VFDECK_AFTER": None if after is None else json.dumps(after),
            "VFDECK_TOKEN": change.get("token"),
            "VFDECK_USER": user,
            "VFDECK_LOGIN_UID": self._common.get("login_uid"),
            "VFDECK_SSH": self._common.get("ssh"),
            "OBJECT_PID": self._common.get("peer_pid"),  # journald adds what it knows itself of that process
        }
        self._system_log.send(f"{change['kind']} {target} by {user}: {result}", fields)

    def _write(self, number: str, event: str, **fields: Any) -> None:
        entry = {"v": VERSION, "time_ns": time.time_ns(), "id": number, "event": event, **self._common, **fields}
        with self._lock:
            self._unwritten.append(json.dumps(entry).encode())
            self._lost += len(self._unwritten[:-KEPT])
            del self._unwritten[:-KEPT]
        if self._folder is None:
            self._refusal = "there is no home directory to keep it in"
        else:
            folder = self._folder
            folder.errands.wait(folder.errands.send(lambda: self._flush(folder)), journal.NOTE_PATIENCE)

    def _flush(self, folder: StateFolder) -> None:
        """On the thread that may wait."""
        while True:
            with self._lock:
                if not self._unwritten:
                    self._refusal = ""
                    return
                line = self._unwritten[0]
            try:
                folder.append(FILE, line, PATIENCE, LONG)
            except OSError as error:
                self._refusal = printable(error.strerror or str(error))
                return
            with self._lock:
                if self._unwritten[:1] == [line]:  # else there were too many, and it is counted as lost
                    del self._unwritten[0]

    def problems(self, over: bool = False) -> tuple[Problem, ...]:
        """What is in the way of writing it. `over`: this program ends, and what is not written by now never is."""
        with self._lock:
            waiting = len(self._unwritten)
            if not waiting:
                return ()
            why = self._refusal or silence(self._folder.errands.late() if self._folder else 0.0)
            place = printable(self._folder.place(FILE)) if self._folder else "audit trail"
            if over:
                lines = (
                    "1 line of the audit trail is"
                    if waiting + self._lost == 1
                    else f"{waiting + self._lost} lines of the audit trail are"
                )
                return (Problem(place, f"{why}; {lines} lost", ProblemKind.MEMORY),)
            lost = f", {self._lost} more are lost" if self._lost else ""
            lines = "1 line of the audit trail waits" if waiting == 1 else f"{waiting} lines of the audit trail wait"
            return (Problem(place, f"{why}; {lines} to be written{lost}", ProblemKind.MEMORY),)


def state_of(kernel: Kernel, bdf: str) -> dict[str, Any]:
    """What a change may change of a function: its driver, and of a PF the number of its VFs. Never waits: links are looked at."""
    place = f"{DEVICES}/{bdf}"
    state: dict[str, Any] = {}
    try:
        names = kernel.names(place)
    except OSError:
        return {"present": False}
    if "sriov_totalvfs" in names:
        state["numvfs"] = sum(name.startswith("virtfn") for name in names)
    if "driver" not in names:
        return {"driver": None, **state}
    with suppress(OSError):
        state["driver"] = printable(kernel.link(f"{place}/driver").rpartition("/")[2])
    return state


def result_of(outcome: Mapping[str, Any]) -> str:
    """`done`, `EACCES at get_device_fd`, `not attempted`, `still waits`: of an outcome as it stands in the trail."""
    if outcome.get("ok"):
        return "done"
    if outcome.get("blocked"):
        return "still waits"
    if not outcome.get("attempted", True):
        return "not attempted"
    return f"{outcome.get('errno')} at {outcome.get('stage')}"


def _number(outcome: Mapping[str, Any] | None) -> int | None:
    name = outcome.get("errno") if outcome else None
    return getattr(errno, str(name), None) if name else None


def _change(change: Change) -> dict[str, Any]:
    """The kind of a change and its fields; of a token the fingerprint."""
    fields = {field.name: _plain(getattr(change, field.name)) for field in dataclasses.fields(change)}
    return {"kind": type(change).__name__, **fields}


def _plain(value: object) -> object:
    if isinstance(value, Token):
        return f"#{value.fingerprint}"
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, str):
        return printable(value)
    return value if value is None or isinstance(value, (bool, int, float)) else printable(repr(value))


def _outcome(outcome: Outcome) -> dict[str, Any]:
    return {
        "ok": outcome.ok,
        "attempted": outcome.attempted,
        "blocked": outcome.blocked,
        "errno": errno_name(outcome.errno) if outcome.errno else None,
        "stage": None if outcome.stage is None else outcome.stage.value,
        "target": printable(outcome.target),
        "done": [printable(step) for step in outcome.done],
        "verified": outcome.verified,
        "explanation": None if outcome.explanation is None else outcome.explanation.entry,
    }
