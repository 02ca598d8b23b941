"""The audit trail: every change that was begun on a real host, by whom, and what came of it. Tokens are in it by fingerprint only.

`audit.jsonl` has two lines for each change, with the same `id`: one before it is made and one with its outcome, so that a crash
loses nothing. At `LONG` bytes the file becomes `audit.jsonl.1`, in place of an older one. No change fails because of its audit.
"""

from __future__ import annotations

import dataclasses
import enum
import itertools
import json
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from vfdeck.backend import journal
from vfdeck.backend.changes import Change, Outcome
from vfdeck.backend.errands import silence
from vfdeck.backend.kernel import errno_name
from vfdeck.backend.model import Problem, ProblemKind
from vfdeck.backend.state_folder import PATIENCE, StateFolder
from vfdeck.backend.text import printable
from vfdeck.backend.token import Token

FILE = "audit.jsonl"
VERSION = 1

#: Length at which a new file is begun, in bytes; a change takes some 800.
LONG = 8 << 20

#: How many lines are kept for later where they cannot be written.
KEPT = 10_000


class Record:
    """One change in the trail; `outcome` is set when there is one."""

    outcome: Outcome


class AuditTrail:
    """The trail of one host. Never raises: see `problems`. Any thread may use it."""

    def __init__(self, folder: StateFolder | None, common: Mapping[str, Any]) -> None:
        """`common` stands in every line: host, boot, who. `folder` None: there is no place to keep it in, which is told."""
        self._folder = folder
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
        number = f"{self._run}-{next(self._numbers)}"
        self._write(number, "begun", change=_change(change))
        record = Record()
        try:
            yield record
        except BaseException as error:
            self._write(number, "failed", fault=type(error).__name__)  # its text might hold what it was given
            raise
        self._write(number, "done", outcome=_outcome(record.outcome))

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
    return value if value is None or isinstance(value, bool | int | float) else printable(repr(value))


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
