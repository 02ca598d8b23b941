"""A host behind an agent: this machine by way of sudo or of a socket, or another one by ssh, where the agent is sent to.

What is lost stays on show: the last picture, with since when and why. A host that could not be reached is tried again later, ever
more seldom; one that refused a login, or shows another key, only when somebody asks (`again`).
"""

from __future__ import annotations

import dataclasses
import errno
import random
import threading
import time
import uuid
from collections import deque
from collections.abc import Collection
from contextlib import suppress
from typing import Any

from vfdeck.backend.acts import as_ours
from vfdeck.backend.agent import push
from vfdeck.backend.agent.advice import advice
from vfdeck.backend.agent.connection import Connection, Lost, Refused
from vfdeck.backend.agent.framing import REPLY
from vfdeck.backend.agent.protocol import DEADLINES, HIGHEST, INTERFACE, LONGEST_WAIT, LOWEST
from vfdeck.backend.agent.service import applied, merged
from vfdeck.backend.agent.transports import ASKED, Fault, Installed, Link, Local, Ssh, Unreached, Way
from vfdeck.backend.agent.unix_socket import Socket, SocketLink
from vfdeck.backend.agent.wire import REPLIES, REQUESTS, Wrong
from vfdeck.backend.changes import AGENT, Change, Explanation, Outcome, Plan, target_of
from vfdeck.backend.checks import Check, Question, Report, Verdict
from vfdeck.backend.details import Details, Part
from vfdeck.backend.history import Trail
from vfdeck.backend.kernel import LOST, LogLine, Uevent
from vfdeck.backend.model import HostFacts, Job, Problem, ProblemKind, Snapshot
from vfdeck.backend.text import printable

#: Seconds on top of the agent's own deadline for a call, and the deadline of a call that has none.
_SLACK, _USUAL = 5.0, 30.0
#: Seconds between tries to reach a host: the first, and the most.
_FIRST, _MOST = 1.0, 60.0
#: Seconds between questions how a change stands: the first, and the most.
_SOON, _LATER = 0.02, 0.5
#: Uevents that are kept for who asks.
_HEARD = 2000

#: So many logins at once: a server, or the one that all of them go through, drops at random what comes beyond ten (MaxStartups).
LOGINS = 8
_logins = threading.BoundedSemaphore(LOGINS)

_NO_PICTURE: tuple[Connection | None, int, dict[str, Any]] = (None, 0, {})
_NO_AGENT = (Lost, Refused, Unreached, Wrong)


def _afresh(fault: Exception) -> Exception:
    """The same without the frames that it went through: kept, they would grow each time it is raised, and hold what was sent."""
    same = type(fault).__new__(type(fault), *fault.args)
    vars(same).update(vars(fault))
    return same


class RemoteHost:
    """Satisfies `Host` by way of an agent. `root` is the tree that it looks at there."""

    simulated = False
    tells_all = False

    def __init__(self, name: str, way: Way | Socket, root: str = "/", read_only: bool = False, reached: str = "") -> None:
        self.name = name
        self._way = way
        self._arguments = (root, "read-only") if read_only else (root,)
        self._reached = reached
        self._connecting = threading.Lock()
        self._looking = threading.Lock()  # guards the next two: deltas are from one picture to the next
        self._picture: tuple[Connection | None, int, dict[str, Any]] = _NO_PICTURE  # whose, its generation, and as it was sent
        self._since = 0  # bytes that had come from it when it last sent a whole picture
        self._snapshot: Snapshot | None = None
        self._connection: Connection | None = None
        self._fault: Exception | None = None  # why the last try failed
        self._final = False  # it is not tried again before somebody asks
        self._pause = 0.0
        self._next_try = 0.0  # by the monotonic clock
        self._last_event: tuple[Connection | None, int] = (None, 0)  # whose, and its number
        self._missed = False  # the agent has forgotten events before it could tell them
        self._heard: deque[Uevent] = deque(maxlen=_HEARD)
        self._jobs: dict[str, Job] = {}  # by operation
        self._unwritten: tuple[Problem, ...] = ()
        self._closed = threading.Event()

    # -- the connection ----------------------------------------------------------------------------------------------
    def again(self) -> None:
        """Somebody asks for another try, whatever was in the way."""
        self._final, self._next_try, self._pause = False, 0.0, 0.0

    def reach(self, asking: Way | None = None) -> str:
        """Connect where that is due, and wait for it; "" where the agent answers, else why there is none and what to do.

        `asking`: a way that may ask at the terminal, which is free.
        """
        try:
            self._agent(asking)
        except _NO_AGENT as fault:
            return self._worded(fault)
        return ""

    def pending(self) -> Snapshot | None:
        """What there is to show while the next look connects first; None where it does not. Never waits."""
        connection = self._connection
        if self._closed.is_set() or (connection is not None and not connection.lost) or not self._is_due():
            return None
        before = f" (the last time: {self._fault})" if self._fault is not None else ""
        return self._without_agent(ProblemKind.CONNECTING, "", f"connecting …{before}")

    def _is_due(self) -> bool:
        """Whether another try is due, where there is no connection."""
        return self._fault is None or not (self._final or time.monotonic() < self._next_try)

    @property
    def fault(self) -> Fault | None:
        """Why the last try to reach it failed, where no agent answered."""
        return self._fault.fault if isinstance(self._fault, Unreached) else None

    def _agent(self, asking: Way | None = None) -> Connection:
        """The connection, made anew where that is due. Raises Unreached, Lost and Refused."""
        with self._connecting:
            if self._closed.is_set():
                raise Lost("it was closed")
            connection = self._connection
            if connection is not None and not connection.lost:
                return connection
            if self._fault is not None and not self._is_due():
                raise _afresh(self._fault)
            try:
                self._connection = self._connect(asking)
            except (Unreached, Lost, Refused) as fault:
                self._fault = _afresh(fault)
                self._final = isinstance(fault, Refused) or (isinstance(fault, Unreached) and fault.fault.final)
                self._pause = min(max(self._pause * 2, _FIRST), _MOST)
                self._next_try = time.monotonic() + random.uniform(_FIRST, max(self._pause, _FIRST))
                raise
            self._fault, self._pause = None, 0.0
            return self._connection

    def _connect(self, asking: Way | None) -> Connection:
        if asking is None and isinstance(self._way, Local) and self._way.as_root and self._arguments == ("/",):
            # The rule that allows no more comes first: sudo tells the administrator of what it does not allow.
            with suppress(Unreached):
                return self._greeted(Link(Installed(), self._packed))
        return self._greeted(self._link(asking))

    def _greeted(self, link: Link | SocketLink) -> Connection:
        connection = Connection(link.incoming, link.outgoing, link.close)
        try:
            connection.call(f"{INTERFACE}.Hello", {"protocol_min": LOWEST, "protocol_max": HIGHEST}, _USUAL + _SLACK)
        except Lost as lost:
            if connection.garbled:
                raise Unreached(Fault.PROTOCOL, str(lost)) from None
            raise link.why() from None
        except Refused:
            connection.give_up("it speaks another protocol")
            raise
        if self._closed.is_set():
            connection.give_up("it was closed")
        return connection

    @property
    def _packed(self) -> push.Packed:
        return push.pack("vfdeck.backend.agent.serving:main", self._arguments)

    def _link(self, asking: Way | None) -> Link | SocketLink:
        if asking is not None:
            return Link(asking, self._packed, ASKED, terminal=True)
        if isinstance(self._way, Socket):
            return self._way.connect()
        with _logins:
            return Link(self._way, self._packed)

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self._on(self._agent(), method, **parameters)

    def _on(self, connection: Connection, method: str, **parameters: Any) -> dict[str, Any]:
        given = {name: value for name, value in parameters.items() if value is not None}
        return connection.call(f"{INTERFACE}.{method}", given, DEADLINES.get(method, _USUAL) + _SLACK)

    # -- looking -----------------------------------------------------------------------------------------------------
    def snapshot(self) -> Snapshot:
        """See `Host.snapshot`. Of a host that is lost: the last picture, with a problem that says so."""
        with self._looking:
            try:
                seen = self._look()
            except _NO_AGENT as fault:
                return self._lost_since(fault)
            self._snapshot = dataclasses.replace(seen, host=dataclasses.replace(seen.host, name=self.name, reached=self._reached))
            return self._snapshot

    def _look(self) -> Snapshot:
        connection = self._agent()
        whose, generation, known = self._picture
        mine = whose is connection
        if self._missed:  # something that nobody will tell: all of it, from the beginning
            self._missed = mine = False
        if connection.received - self._since > REPLY:  # what deltas add up to is bounded, whatever they hold
            mine = False
        wanted = {"since": generation} if mine else {}
        answers = connection.call_more(f"{INTERFACE}.Snapshot", wanted, DEADLINES["Snapshot"] + _SLACK)
        self._picture = _NO_PICTURE  # if this one is wrong, the next look asks for all of it
        try:
            answer = merged(answers)
            if answer.get("unchanged") is True and mine:
                new = {**known, "taken_ns": answer.get("taken_ns")}
            elif "delta" in answer and mine:
                new = applied(known, answer["delta"])
            else:
                self._since = connection.received
                new = answer.get("snapshot", {})
        except (KeyError, TypeError, ValueError, AttributeError):
            raise Wrong("snapshot", "its parts do not fit") from None
        seen: Snapshot = REPLIES.decode(Snapshot, new, "snapshot")
        generation = answer.get("generation", 0)
        self._picture = (connection, generation if isinstance(generation, int) else 0, new)
        return seen

    def _lost_since(self, fault: Exception) -> Snapshot:
        return self._without_agent(ProblemKind.LOST, "not reached: ", self._worded(fault))

    def _worded(self, fault: Exception) -> str:
        what_to_do = advice(fault, self.name if isinstance(self._way, Ssh) else "")
        said = str(fault).rstrip(".")
        return f"{said}; {what_to_do}" if what_to_do else said

    def _without_agent(self, kind: ProblemKind, never: str, why: str) -> Snapshot:
        """The last picture with a problem that says since when and why; for a host that was `never` reached, nothing but that."""
        last, final = self._snapshot, self._final and kind is ProblemKind.LOST
        if last is None:
            facts = HostFacts(self.name, "", "", False, False, None, False, False, reached=self._reached)
            return Snapshot(facts, time.time(), {}, {}, problems=(Problem(self.name, never + why, kind, final),))
        since = time.strftime("%H:%M:%S UTC", time.gmtime(last.taken))
        problem = Problem(self.name, f"lost, last seen at {since}: {why}", kind, final)
        return dataclasses.replace(last, jobs=(), problems=(problem, *last.problems))

    def wait_for_change(self, seconds: float) -> bool:
        """See `Host.wait_for_change`."""
        if seconds <= 0:
            return False
        deadline = time.monotonic() + seconds
        while not self._closed.is_set():
            left = min(deadline - time.monotonic(), LONGEST_WAIT)
            connection = self._connection
            if left <= 0:
                return False
            if connection is None or connection.lost:
                self._closed.wait(left)
                return False
            try:
                begun = time.monotonic()
                whose, last = self._last_event
                parameters = {"since": last if whose is connection else 0, "wait_ns": int(left * 10**9)}
                if self._take(connection, connection.call(f"{INTERFACE}.Events", parameters, left + _USUAL)):
                    return True
                self._closed.wait(max(0.05 - (time.monotonic() - begun), 0.0))  # another call ended the wait
            except _NO_AGENT:
                return True  # it is lost, which is a change
        return False

    def _take(self, connection: Connection, answer: dict[str, Any]) -> bool:
        """Take what was heard. Whether there was something. Raises Wrong."""
        events = answer.get("events", [])
        if not isinstance(events, list):
            raise Wrong("events", "expected an array")
        if answer.get("gap") is True:
            self._missed = True
            self._heard.append(Uevent(LOST, "", "", "", "", time.time()))
        for event in events:
            if not isinstance(event, dict) or not isinstance(event.get("number"), int):
                raise Wrong("events", "expected objects with numbers")
            whose, last = self._last_event
            self._last_event = (connection, max(last if whose is connection else 0, event["number"]))
            if "uevent" in event:
                self._heard.append(REPLIES.decode(Uevent, event["uevent"], "uevent"))
        return bool(events)

    def heard(self) -> tuple[Uevent, ...]:
        """See `Host.heard`."""
        return tuple(self._heard.popleft() for _ in range(len(self._heard)))

    def log(self) -> list[LogLine] | None:
        """See `Host.log`."""
        try:
            lines = self._call("Log").get("lines")
            return None if lines is None else [REPLIES.decode(LogLine, line, "lines") for line in lines]
        except _NO_AGENT:
            return None

    def check(self, question: Question, snapshot: Snapshot) -> Report:
        """See `Host.check`. Where there is no agent, that it could not be checked is the answer."""
        try:
            answer = self._call("Check", question=REQUESTS.encode_one_of(question))
            report: Report = REPLIES.decode(Report, answer.get("report"), "report")
        except _NO_AGENT as fault:
            return Report(f"{self.name}?", (Check("Can the host be asked?", Verdict.UNKNOWN, (str(fault),)),))
        return report

    def details(self, bdf: str, parts: Collection[Part], snapshot: Snapshot) -> Details:
        """See `Host.details`. Nothing where there is no agent."""
        try:
            answer = self._call("Details", bdf=bdf, parts=[part.name for part in parts])
            found: Details = REPLIES.decode(Details, answer.get("details"), "details")
        except _NO_AGENT:
            return Details(bdf)
        return found

    def trail(self) -> Trail:
        """What was done there, as the agent's user has it written down."""
        try:
            found: Trail = REPLIES.decode(Trail, self._call("History").get("trail"), "trail")
        except _NO_AGENT as fault:
            return Trail(problem=str(fault))
        return found

    def cannot_remember(self, make: bool) -> Problem | None:
        """See `LocalHost.cannot_remember`; that there is no agent is told by all else."""
        try:
            problem = self._call("CannotRemember", make=make).get("problem")
            return None if problem is None else REPLIES.decode(Problem, problem, "problem")
        except _NO_AGENT:
            return None

    def not_remembered(self, over: bool = False) -> tuple[Problem, ...]:
        """See `LocalHost.not_remembered`: as the agent told at the end of the last change. It ends with this program."""
        return self._unwritten

    # -- changing ----------------------------------------------------------------------------------------------------
    def plan(self, change: Change, snapshot: Snapshot) -> Plan:
        """See `Host.plan`. It is judged by what the agent sees now."""
        try:
            answer = self._call("Plan", change=REQUESTS.encode_one_of(change))
            plan: Plan = REPLIES.decode(Plan, answer.get("plan"), "plan", change=change)
        except _NO_AGENT as fault:
            return Plan(change, f"a change of {target_of(change)}", impossible=f"{self.name}: {fault}")
        return dataclasses.replace(plan, steps=as_ours(plan.steps, change, snapshot))

    def perform(self, change: Change, confirmed: Plan | None = None) -> Outcome:
        """See `Host.perform`. Where the connection is lost meanwhile, and nobody knows what came of it, the outcome says so."""
        key, before = str(uuid.uuid4()), self._snapshot
        try:
            connection = self._agent()
        except _NO_AGENT as fault:
            why = f"nothing was sent: {fault}"
            return self._untold(change, False, "the host is not reached", why, errno.ENOTCONN)
        try:
            agreed = None if confirmed is None else REQUESTS.encode(confirmed)
            self._on(connection, "Perform", key=key, change=REQUESTS.encode_one_of(change), confirmed=agreed)
            outcome = self._wait_for(connection, key, change)
            return dataclasses.replace(outcome, steps=as_ours(outcome.steps, change, before))
        except Refused as refused:
            return self._untold(change, False, "the agent refused it", f"nothing was done: {refused}", errno.EPERM)
        except (Lost, Wrong) as fault:
            why = f"{fault}; {self._found_out(key)}"
            return self._untold(change, True, "lost on the way", why, errno.ENOTCONN)
        finally:
            self._jobs.pop(key, None)

    def _found_out(self, key: str) -> str:
        """What another agent finds in the host's history of a change whose own agent is lost; a clause."""
        try:
            self._call("Operation", key=key)
        except Refused as refused:
            if refused.name == f"{INTERFACE}.NoSuchOperation":
                noted, unread = refused.told.get("history"), refused.told.get("unread")
                said = f"says: {printable(noted)}" if isinstance(noted, str) else "has nothing of it, so it was hardly begun"
                if isinstance(unread, str):
                    said = f"cannot tell whether it was done ({printable(unread)})"
                return f"the history there {said}; look at the host afresh"
        except (Lost, Unreached):
            pass
        return f"whether it was done is not known: look at the host afresh, and at `vfdeck history {self._reached}`"

    def _wait_for(self, connection: Connection, key: str, change: Change) -> Outcome:
        pause = _SOON
        while True:
            told = self._on(connection, "Operation", key=key).get("operation")
            if not isinstance(told, dict):
                raise Wrong("operation", "expected an object")
            if told.get("over"):
                unwritten = told.get("unwritten", [])
                if not isinstance(unwritten, list):
                    raise Wrong("operation.unwritten", "expected an array")
                self._unwritten = tuple(REPLIES.decode(Problem, one, "operation.unwritten") for one in unwritten)
            if "outcome" in told:
                outcome: Outcome = REPLIES.decode(Outcome, told["outcome"], "outcome", change=change)
                return outcome
            if told.get("over"):
                raise Wrong("operation", f"the agent itself failed ({printable(str(told.get('fault')))})")
            if "job" in told:
                self._jobs[key] = REPLIES.decode(Job, told["job"], "job")
            if self._closed.wait(pause):
                raise Lost("it was closed")
            pause = min(pause * 2, _LATER)

    def _untold(self, change: Change, attempted: bool, title: str, why: str, number: int) -> Outcome:
        said = Explanation(AGENT, title, "a change is made by the host's agent, and told by it", f"{self.name}: {why}")
        return Outcome(change, number, target=target_of(change), explanation=said, attempted=attempted)

    def jobs(self) -> tuple[Job, ...]:
        """See `Host.jobs`: as the agent last told them."""
        return tuple(self._jobs.copy().values())

    def close(self) -> None:
        """See `Host.close`. Never waits: the agent ends with its connection."""
        self._closed.set()
        connection = self._connection
        if connection is not None:
            connection.give_up("it was closed")
