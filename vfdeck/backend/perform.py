"""Carrying out changes on a kernel at hand: queued by function, as jobs that say whom they wait for, with every refusal explained.

Changes to one function queue in order; a PF is never opened while a write to its `sriov_numvfs` waits, since some kernels deadlock
over that.
"""

from __future__ import annotations

import dataclasses
import errno
import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import TypedDict

from vfdeck.backend import borrowing, lessons, rotation, verify
from vfdeck.backend.acts import DRIVERS, Act, CloseAct, FeatureAct, OpenAct, VerifyAct, Write, steps
from vfdeck.backend.blast import going
from vfdeck.backend.changes import (
    OPERATION,
    BindDriver,
    Change,
    Close,
    Explanation,
    Open,
    OpenPath,
    Outcome,
    Plan,
    RuledOut,
    SetNumvfs,
    SetToken,
    target_of,
)
from vfdeck.backend.evidence import gather
from vfdeck.backend.explain import diagnose, explain
from vfdeck.backend.facts import Facts
from vfdeck.backend.kernel import Kernel, LogLine, Refusal, Stage, lines_since
from vfdeck.backend.knowledge import TokenWatch
from vfdeck.backend.looks import SharedLook
from vfdeck.backend.model import Certainty, Function, Holder, Job, JobState, Scores, Snapshot
from vfdeck.backend.plan import plan
from vfdeck.backend.predict.seen import look_beside
from vfdeck.backend.text import printable
from vfdeck.backend.token_rules import format_argument
from vfdeck.backend.turns import Taken
from vfdeck.backend.usage.look import look_up
from vfdeck.backend.verify import Verdict
from vfdeck.backend.verify import explain as explain_verdict
from vfdeck.backend.vfio import DEVICES, OpenDevice, Program
from vfdeck.backend.workload import redacted

#: How often a change that waits looks up whom it waits for, seconds.
LOOK_EVERY = 0.5

#: How long quitting waits for a call to come back that opens or closes a device, seconds.
CLOSE_PATIENCE = 0.2


def plan_on(kernel: Kernel, change: Change, snapshot: Snapshot) -> Plan:
    """The plan, with what a snapshot does not tell: what the host uses, what else bears on the answer, and whether the driver that
    is wanted is there at all."""
    usage, seen = look_up(kernel, going(change, snapshot)), look_beside(kernel, change, snapshot)
    planned = plan(change, snapshot, usage=usage, seen=seen)
    if not planned.impossible and isinstance(change, SetToken) and (lenders := rotation.borrows_from(change, snapshot)):
        return _who_lends(kernel, planned, [holder.pid for holder in lenders])
    if not planned.impossible and isinstance(change, BindDriver) and change.driver is not None:
        try:
            kernel.names(f"{DRIVERS}/{change.driver}")
        except OSError:
            reason = f"no driver {printable(change.driver)} is loaded (there is no {DRIVERS}/{printable(change.driver)})"
            return dataclasses.replace(planned, impossible=reason, steps=())
    return planned


def _who_lends(kernel: Kernel, planned: Plan, pids: list[int]) -> Plan:
    """The plan, with what is against duplicating a descriptor of any of these processes, or may be."""
    reasons = [borrowing.forbidden(kernel, pid) for pid in pids]
    if all(reasons):
        return dataclasses.replace(planned, impossible=reasons[0], steps=())
    doubts = [borrowing.doubtful(kernel, pid) for pid, reason in zip(pids, reasons) if not reason]
    return dataclasses.replace(planned, warnings=(*planned.warnings, *doubts[:1])) if all(doubts) else planned


def difference(confirmed: Plan, now: Plan) -> str:
    """In words, what is otherwise now than in the plan that was confirmed."""
    found = [f"new: {warning}" for warning in now.concerns if warning not in confirmed.concerns]
    found += [f"no longer: {warning}" for warning in confirmed.concerns if warning not in now.concerns]
    texts, before = ([step.text for step in made.steps] for made in (now, confirmed))
    if texts != before:
        found.append(f"the steps are now: {', then '.join(texts) or 'none'}")
    if now.severe != confirmed.severe:
        found.append(f"it {now.severe}" if now.severe else f"it no longer {confirmed.severe}")
    answers = [made.predicted.answer if made.predicted else "nothing" for made in (confirmed, now)]
    if answers[0] != answers[1]:
        found.append(f"expected is now {answers[1]}, before {answers[0]}")
    return f"this is not what was confirmed any more: {'; '.join(found) or 'it takes more away'}"


def not_attempted(change: Change, reason: str) -> Outcome:
    why = Explanation("plan", "not attempted", reason, "the kernel was not asked")
    return Outcome(change, target=target_of(change), explanation=why, attempted=False)


class Performer:
    """Does changes on one kernel.

    `look` takes a snapshot, `watch` is told what follows for tokens, `turn` keeps other vfdecks away.
    """

    def __init__(
        self,
        kernel: Kernel,
        look: Callable[[], Snapshot],
        watch: TokenWatch,
        turn: Callable[[str], AbstractContextManager[None]] | None = None,
    ) -> None:
        self.kernel = kernel
        self.snapshot = look
        self.look_while_waiting = SharedLook(look, LOOK_EVERY)
        self._watch = watch
        self._turn = turn or (lambda bdf: nullcontext())
        self._program = Program(kernel, self._climbs)
        self._climber = 0  # the job that opens something now
        self._devices: dict[str, list[OpenDevice]] = {}
        self._jobs: dict[int, Job] = {}
        self._numbers = itertools.count(1)
        self._state = threading.Lock()  # guards what is above; never held while the kernel works
        self._opening = threading.Lock()  # one open, close or feature call at a time
        self._queues: dict[str, threading.Lock] = {}
        self._closed = threading.Event()
        self._waited: set[int] = set()  # the jobs that were seen to wait for somebody
        self._scores = Scores()

    @property
    def scores(self) -> Scores:
        """How well answers were foretold so far."""
        with self._state:
            return self._scores

    def jobs(self) -> tuple[Job, ...]:
        """The changes under way."""
        with self._state:
            return tuple(self._jobs.values())

    def clock_was_set(self, by: float) -> None:
        """The wall clock was set by so many seconds: what is under way was begun so much later by it."""
        with self._state:
            self._jobs = {number: dataclasses.replace(job, started=job.started + by) for number, job in self._jobs.items()}

    def own_holders(self) -> tuple[Holder, ...]:
        """What this program holds open itself."""
        with self._state:
            return tuple(
                Holder(bdf, os.getpid(), "vfdeck", "", _kind(devices), True, Certainty.EXACT)
                for bdf, devices in self._devices.items()
            )

    def perform(self, change: Change, confirmed: Plan | None = None) -> Outcome:
        """See `Host.perform`. What the plan finds impossible is not tried, nor what is no longer what was confirmed."""
        try:
            outcome = self._in_turn(change, confirmed)
        except Taken as taken:
            outcome = not_attempted(change, f"{taken}; try again when that is over")
        return dataclasses.replace(outcome, ended=self.kernel.clock())

    def _in_turn(self, change: Change, confirmed: Plan | None) -> Outcome:
        with self._queued(change):
            before = self.snapshot()
            planned = plan_on(self.kernel, change, before)
            if planned.impossible:
                return not_attempted(change, planned.impossible)
            if confirmed is not None and not planned.same_as(confirmed):
                return not_attempted(change, difference(confirmed, planned))
            number = self._begin(planned, before)
            try:
                return self._compared(self._carry_out(change, before, number), planned, number)
            finally:
                with self._state:
                    del self._jobs[number]
                    self._waited.discard(number)

    def _compared(self, outcome: Outcome, planned: Plan, number: int) -> Outcome:
        """The outcome beside what was expected; counted."""
        compared = dataclasses.replace(
            outcome, predicted=planned.predicted, waited=number in self._waited, steps=planned.steps if outcome.attempted else ()
        )
        if planned.predicted is not None:
            with self._state:
                self._scores = self._scores.plus(planned.predicted.certainty, compared.as_predicted)
        return compared

    @contextmanager
    def _queued(self, change: Change) -> Iterator[None]:
        """One change of a function at a time; closing never waits, for it may be what the others wait for. Raises Taken."""
        if isinstance(change, Close):
            yield
            return
        with self._state:
            queue = self._queues.setdefault(target_of(change), threading.Lock())
        with queue, self._turn(target_of(change)):
            yield

    def _begin(self, planned: Plan, snapshot: Snapshot) -> int:
        with self._state:
            number = next(self._numbers)
            target = target_of(planned.change)
            self._jobs[number] = Job(number, planned.title, target, JobState.RUNNING, "", snapshot.taken, operation=OPERATION.get())
            return number

    def _carry_out(self, change: Change, before: Snapshot, number: int) -> Outcome:
        done: list[str] = []
        answer = Verdict()
        log = self.kernel.log() or []
        target = target_of(change)
        lessons.about_to(self._watch, change, before, self.kernel.clock())
        acts = steps(change, before)
        try:
            for act in acts:
                with self._state:
                    self._jobs[number] = dataclasses.replace(self._jobs[number], step=act.text)
                facts = Facts(before, change, Stage.FILE, 0, act.path if isinstance(act, Write) else target, blocked=True)
                if isinstance(act, VerifyAct):
                    answer = self._ask(act)
                elif not self._do(act, number, facts):
                    return Outcome(change, target=target, done=tuple(done), blocked=True, **_explained(facts))
                done.append(act.text)
        except OSError as error:
            self._close_what_it_opened(acts, len(done))
            return self._refused(change, before, error, done, log, acts[len(done)])
        except borrowing.Outdated as outdated:
            lessons.refusal(self._watch, change, before, 0, Stage.BORROW, self.kernel.clock())
            why = Explanation("plan", "outdated, nothing was done", str(outdated), "what was planned fits no more")
            return Outcome(change, target=target_of(change), explanation=why, attempted=False)
        lessons.success(self._watch, change, before, self.kernel.clock())
        lessons.asked(self._watch, change, before, answer.right, self.kernel.clock())
        outcome = self._succeeded(change, before, tuple(done))
        said = outcome.explanation or explain_verdict(change, before, answer)
        return dataclasses.replace(outcome, verified=answer.right, explanation=said)

    def _close_what_it_opened(self, acts: tuple[Act, ...], done: int) -> None:
        """A change that was refused leaves nothing open that it meant to close."""
        opened = any(isinstance(act, OpenAct) for act in acts[:done])
        for act in acts[done + 1 :]:
            if opened and isinstance(act, CloseAct) and act.just_opened:
                with suppress(OSError):  # what it was refused for is told
                    self._close(act)

    def _do(self, act: Act, number: int, if_blocked: Facts) -> bool:
        """Carry out one act; False when we stopped waiting for it. `if_blocked` explains it meanwhile."""
        if isinstance(act, Write):
            return self._write(act, number, if_blocked)
        if isinstance(act, OpenAct):
            self._open(act, number)
        elif isinstance(act, FeatureAct):
            self._feature(act)
        elif isinstance(act, CloseAct):
            self._close(act)
        return True

    def _write(self, act: Write, number: int, if_blocked: Facts) -> bool:
        pending = self.kernel.write(act.path, act.data)
        began = time.monotonic()
        advice: tuple[str, ...] = ()
        while not pending.wait(LOOK_EVERY):
            # A simulated kernel without a clock of its own does not wait; looking again at once would be of no use.
            if self._closed.wait(max(0.0, began + LOOK_EVERY - time.monotonic())):
                return False
            began = time.monotonic()
            if not advice:
                advice = next(((why.rule, *why.do) for why in explain(if_blocked)), ())
            whom = self._whom_it_waits_for(act.path, self._jobs[number].target)
            with self._state:
                self._jobs[number] = dataclasses.replace(self._jobs[number], waits_for=whom, advice=advice)
                self._waited |= {number} if whom else set()
        error = pending.result()
        if error is not None:
            raise Refusal(error.errno or 0, Stage.FILE, act.path)
        return True

    def _whom_it_waits_for(self, path: str, bdf: str) -> str:
        """The programs that hold one of the function's VFs, or, where it is to leave its driver, the function itself."""
        seen = self.look_while_waiting()
        function = seen.functions.get(bdf)
        about = set(function.sriov.vfs if function and function.sriov else ())
        if not path.endswith("/sriov_numvfs"):
            about.add(bdf)
        holding = [holder for holder in seen.holders if holder.bdf in about]
        names = [f"{holder.program} ({holder.pid}), which holds {holder.bdf}" for holder in holding]
        return "; ".join(dict.fromkeys(names))

    def _climbs(self, stage: Stage) -> None:
        """A rung of an open is begun."""
        with self._state:
            if job := self._jobs.get(self._climber):
                self._jobs[job.number] = dataclasses.replace(job, stage=str(stage))

    def _open(self, act: OpenAct, number: int) -> None:
        with self._opening:
            self._climber = number
            if act.path is OpenPath.CDEV:
                device = self._program.open_by_cdev(act.bdf, act.token.reveal() if act.token else None)
            else:
                text = act.token.reveal_text() if act.token else None
                device = self._program.open_by_group(act.bdf, format_argument(act.bdf, text))
            with self._state:
                self._devices.setdefault(act.bdf, []).append(device)
            if self._closed.is_set():
                self._close_all()

    def _feature(self, act: FeatureAct) -> None:
        with self._opening:
            if act.lenders:
                borrowing.set_through_one_of(self.kernel, [pid for pid, _ in act.lenders], act.pf, act.token.reveal())
                return
            devices = self._devices.get(act.pf)
            if not devices:
                raise Refusal(errno.EBADF, Stage.FEATURE, act.pf)
            self._program.set_token(devices[0], act.token.reveal())

    def _ask(self, act: VerifyAct) -> Verdict:
        """Ask a VF whether a token is right. After a token was set, an answer that cannot be had is no failure."""
        try:
            with self._opening:
                if act.path is OpenPath.CDEV:
                    return Verdict(verify.by_cdev(self.kernel, act.bdf, act.token.reveal()))
                argument = format_argument(act.bdf, act.token.reveal_text())
                return Verdict(verify.by_group(self.kernel, act.bdf, argument, format_argument(act.bdf, None)))
        except Refusal as refusal:
            if not act.after:
                raise
            return Verdict(None, str(refusal))

    def _close(self, act: CloseAct) -> None:
        with self._opening:
            with self._state:
                devices = self._devices.pop(act.bdf, [])
                if act.just_opened and devices[:-1]:
                    self._devices[act.bdf] = devices[:-1]
            for device in devices[-1:] if act.just_opened else devices:
                self._program.close(device)

    # -- what follows ------------------------------------------------------------------------------------------------
    def _succeeded(self, change: Change, before: Snapshot, done: tuple[str, ...]) -> Outcome:
        """Success has something to explain too: fewer VFs than asked for, an open that no token guarded."""
        facts: Facts | None = None
        if isinstance(change, SetNumvfs):
            function = self.snapshot().functions.get(change.pf)
            if function is not None and function.sriov is not None and function.sriov.numvfs != change.count:
                facts = Facts(before, change, Stage.FILE, 0, f"{DEVICES}/{change.pf}/sriov_numvfs", got=function.sriov.numvfs)
        elif isinstance(change, BindDriver) and change.driver is None:
            function = self.snapshot().functions.get(change.bdf)
            if function is not None and function.driver is None:
                return Outcome(change, target=change.bdf, done=done, explanation=_nobody_took(function))
        elif isinstance(change, Open) and change.path is OpenPath.CDEV:
            facts = Facts(before, change, Stage.BIND_IOMMUFD, 0, change.bdf)
        return Outcome(change, target=target_of(change), done=done, **(_explained(facts) if facts else {}))

    def _refused(self, change: Change, before: Snapshot, error: OSError, done: list[str], log: list[LogLine], act: Act) -> Outcome:
        stage = error.stage if isinstance(error, Refusal) else Stage.FILE
        target = error.target if isinstance(error, Refusal) else target_of(change)
        about_this: Change = change
        if isinstance(change, SetToken) and isinstance(act, OpenAct) and act.token is change.current is not None:
            about_this = given = Open(act.bdf, act.token, path=act.path)
            lessons.opening_refused(self._watch, change, given, before, error.errno or 0, stage, self.kernel.clock())
        else:
            lessons.refusal(self._watch, change, before, error.errno or 0, stage, self.kernel.clock(), done)
        about = (target_of(change), lessons.pf_of(before, target_of(change)))
        lines = [redacted(line.text) for line in lines_since(log, self.kernel.log() or [])]  # anybody may write into that log
        caused = tuple(line for line in lines if any(bdf in line for bdf in about))
        facts = Facts(before, about_this, stage, error.errno or 0, target, caused)
        facts = dataclasses.replace(facts, evidence=gather(self.kernel, facts))
        if stage is Stage.BORROW:
            why = borrowing.explain(target, error.errno or 0)
            return Outcome(change, error.errno or 0, stage, target, tuple(done), explanation=why)
        return Outcome(change, error.errno or 0, stage, target, tuple(done), **_explained(facts))

    def close(self) -> None:
        """Close everything that is held, and wait for nothing any more.

        An open that is still in the kernel keeps its own lock; it closes what it opened when it comes back.
        """
        self._closed.set()
        if self._opening.acquire(timeout=CLOSE_PATIENCE):
            try:
                self._close_all()
            finally:
                self._opening.release()

    def _close_all(self) -> None:
        with self._state:
            devices = [device for opened in self._devices.values() for device in opened]
            self._devices.clear()
        for device in devices:
            self._program.close(device)
        self._program.close_iommufd()


def _nobody_took(function: Function) -> Explanation:
    """The kernel says OK to drivers_probe whether or not a driver takes the function."""
    ids = f"{function.vendor_id:04x}:{function.device_id:04x}"
    return Explanation(
        "note",
        "Done, but no driver took it",
        "drivers_probe succeeds even where no driver takes the function.",
        f"No driver that is loaded takes {function.bdf} ({ids}) by itself, or its probe failed.",
        do=("Load the module of the driver that it is meant for, then try again.", "Or bind it to a driver by name."),
    )


def _kind(devices: list[OpenDevice]) -> str:
    return "cdev" if all(device.path == OpenPath.CDEV for device in devices) else "device"


class _Explained(TypedDict, total=False):
    explanation: Explanation | None
    alternatives: tuple[Explanation, ...]
    ruled_out: tuple[RuledOut, ...]


def _explained(facts: Facts) -> _Explained:
    """The explanation fields of an outcome."""
    found = diagnose(facts)
    first, rest = next(iter(found.explanations), None), found.explanations[1:]
    return {"explanation": first, "alternatives": rest, "ruled_out": found.ruled_out}
