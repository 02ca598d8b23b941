"""How every command that changes something goes about it: show the plan, ask, do it, tell what came of it."""

from __future__ import annotations

import argparse
import json
import sys
import termios
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from vfdeck.app import failure
from vfdeck.app.commands import hosts, outcomes, output
from vfdeck.app.failure import Failure
from vfdeck.backend.agent.remote_host import RemoteHost
from vfdeck.backend.changes import Change, Outcome, Plan, SetToken, target_of
from vfdeck.backend.host import Host
from vfdeck.backend.local_host import LocalHost
from vfdeck.backend.model import ONLY_LOOKS, Function, Job, Snapshot
from vfdeck.backend.text import printable

#: The exit status where a person was asked, and said no.
DECLINED = 1
VERSION = 1
#: How often it is looked whether a change waits for somebody, seconds.
WAIT_LOOK = 0.2


@contextmanager
def host_of(options: argparse.Namespace) -> Iterator[LocalHost | RemoteHost]:
    """The host that is to be changed, closed afterwards. Raises Failure where only files of one were given."""
    if options.demo is None and options.root != "/":
        raise Failure(failure.USAGE, "--root is for looking only: files are no kernel, and nothing can be opened or set there")
    host = hosts.one(options)
    try:
        yield host
    finally:
        host.close()


def function_of(snapshot: Snapshot, bdf: str) -> Function:
    """The function that was asked for. Raises Failure: 66 where it is not there."""
    if snapshot.away is not None:
        raise Failure(failure.UNAVAILABLE, f"{snapshot.host.name}: {snapshot.away.what}")
    function = snapshot.functions.get(bdf)
    if function is None:
        raise hosts.nowhere(bdf, [snapshot.host.name], snapshot.host.reached)
    return function


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a command: the plan, the outcome (None: it was not begun), and what the host looked like before."""

    plan: Plan
    before: Snapshot
    outcome: Outcome | None = None
    status: int = 0


def change(
    host: Host,
    wanted: Change,
    options: argparse.Namespace,
    first: Callable[[], None] = lambda: None,
    worded: Callable[[Plan], Plan] = lambda plan: plan,
) -> Result:
    """Plan, show, ask, do. `first` is called once it was agreed to, before anything is done; `worded` words a plan as it is shown.

    Nothing is printed but the plan; on standard error where standard output is for JSON. Raises Failure: 130 where the question was
    interrupted.
    """
    before = host.snapshot()
    plan = host.plan(wanted, before)
    tell_first(outcomes.plan_text(worded(plan)), options)
    if plan.impossible:
        return Result(worded(plan), before, status=_why_not(plan))
    if options.dry_run:
        return Result(worded(plan), before)
    _tell_of_no_memory(host)
    if not options.yes:
        demand_somebody()
        while True:
            answer = _asked(plan)
            if not _agrees(plan, answer):
                print(f"nothing was done{_hint(plan, answer)}", file=sys.stderr)
                return Result(worded(plan), before, status=DECLINED)
            before = host.snapshot()
            now = host.plan(wanted, before)
            if now.same_as(plan):
                break
            plan = now  # programs come and go while a plan is read
            tell_first(("This has changed meanwhile:", *outcomes.plan_text(worded(plan))), options)
            if plan.impossible:
                return Result(worded(plan), before, status=_why_not(plan))
    first()
    with _telling_of_waits(host):
        outcome = host.perform(wanted, plan)
    _tell_of_memory(host)
    return Result(worded(plan), before, outcome, outcomes.status(outcome))


def _why_not(plan: Plan) -> int:
    """The exit status for a plan that cannot be carried out: whoever may only look may not later either."""
    return failure.NO_PERMISSION if plan.impossible == ONLY_LOOKS else failure.UNAVAILABLE


def _tell_of_no_memory(host: Host) -> None:
    """Say before anything is done that nothing of it can be written down."""
    problem = host.cannot_remember(make=True) if isinstance(host, (LocalHost, RemoteHost)) else None
    if problem is not None:
        _tell_of_problem(host, f"{problem.path}: {problem.what}; neither the token journal nor the audit trail can be written")


def _tell_of_memory(host: Host) -> None:
    """Say what could not be written into the token journal or the audit trail: this program ends, and forgets it."""
    for problem in host.not_remembered(over=True) if isinstance(host, (LocalHost, RemoteHost)) else ():
        _tell_of_problem(host, f"{problem.path}: {problem.what}")


def _tell_of_problem(host: Host, line: str) -> None:
    whose = f"{host.name}: " if isinstance(host, RemoteHost) else ""
    print(f"vfdeck: {whose}{line}", file=sys.stderr, flush=True)


@contextmanager
def _telling_of_waits(host: Host) -> Iterator[None]:
    """While a change goes on, say on standard error whom it waits for: the kernel may wait without limit."""
    over = threading.Event()
    waiting: list[Job] = []
    teller = threading.Thread(target=_tell_of_waits, args=(host, over, waiting), daemon=True)
    teller.start()
    try:
        yield
    except KeyboardInterrupt:
        output.tell_of_waiting(waiting)
        raise
    finally:
        over.set()
        teller.join()


def _tell_of_waits(host: Host, over: threading.Event, waiting: list[Job]) -> None:
    told = ""
    while not over.wait(WAIT_LOOK):
        waiting[:] = [job for job in host.jobs() if job.waits_for]
        for job in waiting:
            if job.waits_for != told:
                told = job.waits_for
                print(f"waiting for {printable(told)}; Ctrl-C leaves it to the kernel", file=sys.stderr, flush=True)


def tell_first(lines: Iterable[str], options: argparse.Namespace) -> None:
    """Print what a person is to know before anything is done. Raises Failure: 74 where standard output cannot take it."""
    try:
        _tell(lines, options)
    except BrokenPipeError:
        raise
    except OSError as error:
        failure.discard_output()
        raise Failure(failure.IO, f"cannot write to standard output: {error.strerror or error}; nothing was done") from None


def _tell(lines: Iterable[str], options: argparse.Namespace) -> None:
    """Print for a person: on standard error where standard output is for JSON."""
    if options.json:
        print(*lines, sep="\n", file=sys.stderr, flush=True)
    else:
        output.write_lines(lines)
        sys.stdout.flush()


def tell(lines: Iterable[str], options: argparse.Namespace) -> None:
    """Print what came of a change: what was done is done, so where standard output cannot take it, it goes to standard error."""
    told = list(lines)
    with _not_lost("".join(f"{line}\n" for line in told)):
        _tell(told, options)


@contextmanager
def _not_lost(text: str) -> Iterator[None]:
    """Print `text` on standard error where standard output cannot take it."""
    try:
        yield
    except (OSError, Failure) as error:
        if isinstance(error, OSError):
            failure.discard_output()
        reason = (error.strerror if isinstance(error, OSError) else None) or "it is closed"
        line = f"vfdeck: cannot write to standard output: {reason}; what it was to get:"
        with suppress(OSError):
            print(line, text, sep="\n", end="", file=sys.stderr, flush=True)


def report(result: Result, options: argparse.Namespace, more: dict[str, Any]) -> None:
    """Print JSON as described by schema/change-v1.json, with what a command adds."""
    host = result.before.host
    value = {
        "version": VERSION,
        "taken": result.before.taken,
        "host": {"name": host.name, "kernel": host.kernel, "simulated": host.simulated},
        "change": outcomes.change_json(result.plan.change),
        "plan": outcomes.plan_json(result.plan),
        "outcome": outcomes.outcome_json(result.outcome) if result.outcome is not None else None,
        "status": result.status,
        **more,
    }
    text = json.dumps(value, indent=1) + "\n"
    with _not_lost(text):
        output.write(text)
        sys.stdout.flush()


def remark(snapshot: Snapshot) -> list[str]:
    """That what was done to a simulated host goes with it."""
    return ["(simulated: nothing of this outlives the command)"] if snapshot.host.simulated else []


# -- asking ----------------------------------------------------------------------------------------------------------------
def demand_somebody() -> None:
    """Raises Failure where nobody can be asked."""
    if not all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr)):
        line = "there is no terminal to ask at; --yes does it without asking, --dry-run only shows it"
        raise Failure(failure.USAGE, line)


def _wanted(plan: Plan) -> str:
    """What must be typed: more where more is at stake, as in the dashboard."""
    return target_of(plan.change) if plan.severe else "Y" if plan.destructive else "y"


def _asked(plan: Plan) -> str:
    """What the person at the terminal answers. Raises Failure where the question was interrupted, while it is put or later."""
    wanted = _wanted(plan)
    cost = "the old token stops working" if isinstance(plan.change, SetToken) else "it takes something away"
    question = {"y": "Do it? [y/N] ", "Y": f"Do it? [Y (capital) to do it: {cost}] "}
    try:
        _discard_typed()
        text = question.get(wanted, f"This {plan.severe}. Type {wanted} to do it all the same: ")
        print(text, end="", file=sys.stderr, flush=True)
        return sys.stdin.readline().strip()  # "" at the end of input
    except KeyboardInterrupt:
        raise failure.interrupted("nothing was done") from None


def _discard_typed() -> None:
    """What was typed before the question was seen is no answer to it."""
    with suppress(termios.error, OSError, ValueError):
        termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)


def _agrees(plan: Plan, answer: str) -> bool:
    """Whether that is a yes."""
    return answer in ({"y", "Y", "yes"} if _wanted(plan) == "y" else {_wanted(plan)})


def _hint(plan: Plan, answer: str) -> str:
    """What is said to those who may have meant yes."""
    if answer.lower() not in ("y", "yes"):
        return ""
    return "; that wants the address typed" if plan.severe else "; that wants a capital Y"
