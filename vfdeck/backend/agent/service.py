"""What an agent does for its client, in terms of a host. See `vfdeck.varlink` for each method."""

from __future__ import annotations

import os
import pkgutil
import re
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from typing import Any, get_args

from vfdeck import __version__
from vfdeck.backend.agent.operations import Operation, Operations
from vfdeck.backend.agent.protocol import HIGHEST, INTERFACE, LONGEST_WAIT, LOWEST, SERVICE, Refused, invalid
from vfdeck.backend.agent.server import Answer
from vfdeck.backend.agent.wire import PARTS, REPLIES, REQUESTS, Wrong, fits, nanoseconds
from vfdeck.backend.bdf import is_bdf
from vfdeck.backend.changes import Change, Plan
from vfdeck.backend.checks import Question
from vfdeck.backend.details import Part
from vfdeck.backend.local_host import LocalHost
from vfdeck.backend.model import ONLY_LOOKS, Snapshot

_CHANGES: tuple[type, ...] = get_args(Change)
_QUESTIONS: tuple[type, ...] = get_args(Question)
_KEY = re.compile(r"[0-9A-Za-z-]{8,64}")
_DRIVER = re.compile(r"[0-9A-Za-z_.-]{1,64}")
#: Events that are kept for a client that does not ask.
_KEPT = 2000
#: Seconds between two looks for events, at least.
_PAUSE = 0.05
#: Members of a snapshot that have many: only what has changed of them is sent, and all of them in several replies.
BY_KEY = ("functions", "groups", "tokens")
#: The newest of the audit trail, in bytes: some 5,000 changes, and half of what a reply may have in commas.
_TRAIL = 4 << 20
#: Functions, groups and tokens in one reply, of each so many, where a picture goes in several.
_SOME = 256


class HostService:
    """One client's view of one host. `wake` is called when there is news, by any thread."""

    def __init__(self, host: LocalHost, read_only: bool, wake: Callable[[], None]) -> None:
        self._host = host
        self._read_only = read_only
        self._wake = wake
        self._operations = Operations(host, lambda key: self._add({"operation": key}))
        self._looking = threading.RLock()  # guards what follows
        self._snapshot: Snapshot | None = None
        self._looked = 0.0  # by the monotonic clock
        self._generation = 0
        self._stale = False  # something has happened since
        self._sent: tuple[int, Snapshot | None] = (0, None)  # what this client knows
        self._events: deque[tuple[int, dict[str, Any]]] = deque(maxlen=_KEPT)
        self._last_number = 0
        self._adding = threading.Lock()  # guards the last two: numbers stand in their order
        self._listener: threading.Thread | None = None
        self._ended = threading.Event()
        self.methods: dict[str, Callable[[dict[str, Any]], Answer]] = {
            "Hello": self._hello,
            "Snapshot": self._picture,
            "Plan": self._plan,
            "Check": self._check,
            "Details": self._details,
            "Log": self._log,
            "History": self._history,
            "CannotRemember": self._cannot_remember,
            "Perform": self._perform,
            "Operation": self._operation,
        }

    def close(self) -> None:
        """Listen to nothing any more. Never waits."""
        self._ended.set()

    def several(self, answer: Answer) -> list[Answer]:
        """See `Service.several`. A picture goes by its functions and groups, with all else in the last reply: see `merged`."""
        seen = answer.get("snapshot")
        if not isinstance(seen, Snapshot):
            return [answer]
        left = {name: iter(getattr(seen, name).items()) for name in BY_KEY}
        most = max(len(getattr(seen, name)) for name in BY_KEY)
        portions: list[Answer] = []
        for _ in range(0, max(most, 1), _SOME):
            portions.append({name: dict(islice(members, _SOME)) for name, members in left.items()})
        last = portions.pop()
        return [*({**answer, "snapshot": portion} for portion in portions), {**answer, "snapshot": replace(seen, **last)}]

    def part(self, value: Any) -> Any:
        """See `Service.part`."""
        return PARTS.encode(value)

    def standard(self, method: str, parameters: dict[str, Any]) -> Answer:
        """See `Service.standard`."""
        if method == "GetInfo":
            _Taken(parameters).end()
            about = {"vendor": "vfdeck", "product": "vfdeck agent", "version": __version__, "url": ""}
            return {**about, "interfaces": [SERVICE, INTERFACE]}
        if method == "GetInterfaceDescription":
            taken = _Taken(parameters)
            name = taken.take("interface", str)
            taken.end()
            if name == SERVICE:
                from vfdeck.backend.agent.idl import SERVICE_TEXT

                return {"description": SERVICE_TEXT}
            if name != INTERFACE:
                raise Refused(f"{SERVICE}.InterfaceNotFound", interface=name)
            return {"description": (pkgutil.get_data("vfdeck.backend.agent", "vfdeck.varlink") or b"").decode()}
        raise Refused(f"{SERVICE}.MethodNotFound", method=method)

    # -- what is there -----------------------------------------------------------------------------------------------
    def _hello(self, parameters: dict[str, Any]) -> Answer:
        taken = _Taken(parameters)
        lowest, highest = taken.take("protocol_min", int), taken.take("protocol_max", int)
        taken.end()
        if highest < LOWEST or lowest > HIGHEST:
            raise Refused("Unsupported", protocol_min=LOWEST, protocol_max=HIGHEST)
        facts = self._look(None).host
        return {
            "protocol": min(highest, HIGHEST),
            "version": __version__,
            "host": self._host.name,
            "boot_id": facts.boot_id,
            "euid": os.geteuid(),
            "lacks": [REPLIES.encode(lack) for lack in facts.lacks],
            "features": {"cdev": facts.cdev, "iommu": facts.iommu, **dict(facts.probed)},
            "simulated": self._host.simulated,
            "tells_all": self._host.tells_all,
            "read_only": self._read_only,
        }

    def _look(self, age: float | None) -> Snapshot:
        """The host, as it was at most `age` seconds ago (None: whenever), if nothing is known to have happened since."""
        with self._looking:
            seen = self._snapshot
            fresh = age is None or (not self._stale and time.monotonic() - self._looked <= age)
            if seen is None or not fresh:
                self._stale, self._looked = False, time.monotonic()
                now = self._host.snapshot()
                if self._read_only:
                    now = replace(now, host=replace(now.host, read_only=True))
                if seen is None or replace(now, taken=seen.taken) != seen:
                    self._generation += 1
                seen = self._snapshot = now
            return seen

    def _picture(self, parameters: dict[str, Any]) -> Answer:
        taken = _Taken(parameters)
        since, age = taken.take("since", int, 0), taken.take("age_ns", int, 0)
        taken.end()
        with self._looking:  # a call that was given up goes on: what it saw and what is sent next must not mix
            seen = self._look(age / 10**9)
            answer: Answer = {"generation": self._generation}
            known, old = self._sent
            if old is not None and since == self._generation == known:
                return {**answer, "unchanged": True, "taken_ns": nanoseconds(seen.taken)}
            self._sent = (self._generation, seen)
            if old is not None and since == known:
                return {**answer, "delta": delta(old, seen)}
            return {**answer, "snapshot": seen}  # encoded when it is sent

    def _plan(self, parameters: dict[str, Any]) -> Answer:
        taken = _Taken(parameters)
        change = _change(taken)
        taken.end()
        with self._looking:
            seen, generation = self._look(0.0), self._generation
        planned = self._host.plan(change, seen)
        if self._read_only:
            planned = replace(planned, impossible=ONLY_LOOKS)
        return {"plan": REPLIES.encode(planned), "generation": generation}

    def _check(self, parameters: dict[str, Any]) -> Answer:
        taken = _Taken(parameters)
        question = taken.value(lambda data: REQUESTS.decode_one_of(_QUESTIONS, data, "question"), "question")
        _demand_sane(question, "question")
        taken.end()
        return {"report": REPLIES.encode(self._host.check(question, self._look(0.0)))}

    def _details(self, parameters: dict[str, Any]) -> Answer:
        taken = _Taken(parameters)
        bdf, parts = taken.take("bdf", str), taken.take("parts", list)
        taken.end()
        if not is_bdf(bdf):
            raise invalid("bdf", "expected an address, e.g. 0000:03:02.1")
        if not all(isinstance(part, str) and part in Part.__members__ for part in parts):
            raise invalid("parts", f"expected some of {', '.join(Part.__members__)}")
        found = self._host.details(bdf, [Part[part] for part in parts], self._look(0.0))
        return {"details": REPLIES.encode(found)}

    def _log(self, parameters: dict[str, Any]) -> Answer:
        _Taken(parameters).end()
        lines = self._host.log()
        return {"lines": None if lines is None else [REPLIES.encode(line) for line in lines]}

    def _history(self, parameters: dict[str, Any]) -> Answer:
        _Taken(parameters).end()
        return {"trail": REPLIES.encode(self._host.trail(_TRAIL))}

    def _cannot_remember(self, parameters: dict[str, Any]) -> Answer:
        taken = _Taken(parameters)
        make = taken.take("make", bool, False)
        taken.end()
        problem = self._host.cannot_remember(make and not self._read_only)
        return {"problem": None if problem is None else REPLIES.encode(problem)}

    # -- changes -----------------------------------------------------------------------------------------------------
    def _perform(self, parameters: dict[str, Any]) -> Answer:
        if self._read_only:
            raise Refused("ReadOnly")
        taken = _Taken(parameters)
        key = taken.take("key", str)
        change = _change(taken)
        confirmed = taken.value(lambda data: REQUESTS.decode(Plan, data, "confirmed", change=change), "confirmed", None)
        generation = taken.take("generation", int, 0)
        taken.end()
        if not _KEY.fullmatch(key):
            raise invalid("key", "expected 8 to 64 letters, digits and hyphens")
        if generation:
            with self._looking:
                self._look(0.0)
                now = self._generation
            if generation != now:
                raise Refused("Conflict", reason=f"the host has changed since: it is generation {now} now")
        return {"operation": self._told(self._operations.begin(key, change, confirmed))}

    def _operation(self, parameters: dict[str, Any]) -> Answer:
        taken = _Taken(parameters)
        key = taken.take("key", str)
        taken.end()
        return {"operation": self._told(self._operations.get(key))}

    def _told(self, operation: Operation) -> dict[str, Any]:
        told: dict[str, Any] = {"key": operation.key, "over": operation.is_over}
        if operation.outcome is not None:
            told["outcome"] = REPLIES.encode(operation.outcome)
        if operation.fault:
            told["fault"] = operation.fault
        if operation.is_over:
            unwritten = [REPLIES.encode(problem) for problem in self._host.not_remembered(over=True)]
            return {**told, "unwritten": unwritten} if unwritten else told
        jobs = [job for job in self._host.jobs() if job.operation == operation.key]
        if jobs:
            told["job"] = REPLIES.encode(jobs[0])
        return told

    # -- events ------------------------------------------------------------------------------------------------------
    def wait(self, parameters: dict[str, Any]) -> tuple[float, Callable[[], Answer | None]]:
        """See `Service.wait`."""
        taken = _Taken(parameters)
        since, longest = taken.take("since", int, 0), taken.take("wait_ns", int, 0)
        taken.end()
        if self._listener is None:
            self._listener = threading.Thread(target=self._listen, name="uevents", daemon=True)
            self._listener.start()

        def look() -> Answer | None:
            with self._adding:
                found = [{"number": number, **event} for number, event in self._events if number > since]
                forgotten = self._last_number - len(self._events)
            if not found:
                return None
            return {"events": found, "gap": True} if since < forgotten else {"events": found}

        return min(max(longest, 0) / 10**9, LONGEST_WAIT), look

    def _listen(self) -> None:
        while not self._ended.is_set():
            begun = time.monotonic()
            changed = self._host.wait_for_change(LONGEST_WAIT)
            if changed:
                self._stale = True
            for event in self._host.heard():
                self._add({"uevent": REPLIES.encode(event)})
            if changed:
                self._add({"changed": True})
            self._ended.wait(max(_PAUSE - (time.monotonic() - begun), 0.0))  # a host may answer at once, and for ever

    def _add(self, event: dict[str, Any]) -> None:
        self._stale = True
        with self._adding:
            self._last_number += 1
            self._events.append((self._last_number, event))
        self._wake()


def delta(old: Snapshot, new: Snapshot) -> dict[str, Any]:
    """What makes of one snapshot another, encoded: see `Delta` in vfdeck.varlink."""
    found: dict[str, Any] = {}
    changed: dict[str, Any] = {}
    for name in BY_KEY:
        before, after = getattr(old, name), getattr(new, name)
        changed[name] = {key: one for key, one in after.items() if before.get(key) is not one and before.get(key) != one}
        found[f"gone_{name}"] = [str(key) for key in before if key not in after]
    was, now = REPLIES.encode(replace(old, functions={}, groups={}, tokens={})), REPLIES.encode(replace(new, **changed))
    found |= {name: now.pop(name, {}) for name in BY_KEY}
    found["values"] = {name: value for name, value in now.items() if was.get(name) != value}
    found["unset"] = [name for name in was if name not in now and name not in BY_KEY]
    return {name: value for name, value in found.items() if value}


def applied(old: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """The other one, from the first and a delta."""
    unset = change.get("unset", ())
    new: dict[str, Any] = {name: value for name, value in old.items() if name not in unset}
    new.update(change.get("values", {}))
    for name in BY_KEY:
        gone = set(change.get(f"gone_{name}", ()))
        kept = {key: value for key, value in old.get(name, {}).items() if key not in gone}
        new[name] = dict(sorted({**kept, **change.get(name, {})}.items(), key=_place))
    return new


def merged(answers: list[dict[str, Any]]) -> dict[str, Any]:
    """The one answer, from those that it came in (`HostService.several`).

    Raises AttributeError, KeyError, TypeError or ValueError where they do not fit.
    """
    *first, last = answers
    if not first:
        return last
    members: dict[str, dict[str, Any]] = {name: {} for name in BY_KEY}
    for answer in answers:
        for name, one in members.items():
            one.update(answer.get("snapshot", {}).get(name, {}))
    return {**last, "snapshot": {**last["snapshot"], **{name: one for name, one in members.items() if one}}}


def _place(member: tuple[str, Any]) -> list[tuple[int, str]]:
    """Where an address or a number stands among others: "2" before "10", domain ffff before 10000."""
    return [(len(part), part) for part in member[0].split(":")]


class _Taken:
    """The parameters of a call, taken one by one: what is left over is none of its."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        self._left = dict(parameters)

    def take(self, name: str, kind: type, usual: Any = ...) -> Any:
        value = self._left.pop(name, None)
        if value is None and usual is not ...:
            return usual
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise invalid(name, f"expected {_WORDS[kind]}")
        if isinstance(value, int) and not fits(value):
            raise invalid(name, "expected a number of at most 64 bits")
        return value

    def value(self, decode: Callable[[Any], Any], name: str, usual: Any = ...) -> Any:
        data = self._left.pop(name, None)
        if data is None and usual is not ...:
            return usual
        try:
            return decode(data)
        except Wrong as wrong:
            raise invalid(wrong.place, str(wrong)) from None

    def end(self) -> None:
        if self._left:
            raise invalid(sorted(self._left)[0][:40], "there is no such parameter")


_WORDS = {int: "a number", str: "a text", bool: "true or false", list: "an array"}


def _change(taken: _Taken) -> Change:
    change: Change = taken.value(lambda data: REQUESTS.decode_one_of(_CHANGES, data, "change"), "change")
    _demand_sane(change, "change")
    return change


def _demand_sane(asked: Any, place: str) -> None:
    """Names become parts of paths: they are addresses and drivers, and nothing else. Raises Refused."""
    for name in ("pf", "bdf"):
        if not is_bdf(getattr(asked, name, "0000:00:00.0")):
            raise invalid(f"{place}.{name}", "expected an address, e.g. 0000:03:02.1")
    driver = getattr(asked, "driver", None)
    if driver is not None and not _DRIVER.fullmatch(driver):
        raise invalid(f"{place}.driver", "expected a driver's name")
    if not 0 <= getattr(asked, "count", 0) <= 0xFFFF:
        raise invalid(f"{place}.count", "expected a number of VFs")
