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
from contextlib import contextmanager
from typing import TypedDict

from vfdeck.backend.acts import DRIVERS, Act, CloseAct, FeatureAct, OpenAct, Write, steps
from vfdeck.backend.changes import (
    BindDriver,
    Change,
    Close,
    Explanation,
    Open,
    OpenPath,
    Outcome,
    Plan,
    SetNumvfs,
    SetToken,
    target_of,
)
from vfdeck.backend.explain import explain
from vfdeck.backend.facts import Facts, guarded, kernel_has
from vfdeck.backend.kernel import Kernel, LogLine, Refusal, Stage, lines_since
from vfdeck.backend.knowledge import TokenWatch
from vfdeck.backend.model import Certainty, Function, Holder, Job, JobState, Role, Snapshot
from vfdeck.backend.plan import plan
from vfdeck.backend.text import printable
from vfdeck.backend.token import Token
from vfdeck.backend.token_rules import format_argument
from vfdeck.backend.vfio import DEVICES, OpenDevice, Program

#: How often a change that waits looks up whom it waits for, seconds.
LOOK_EVERY = 0.5

#: How long quitting waits for a call to come back that opens or closes a device, seconds.
CLOSE_PATIENCE = 0.2

#: The stages that judge a token, with the errnos that come before or from the judgement itself; any other came after it.
_JUDGED = {
    Stage.GET_DEVICE_FD: {errno.EACCES, errno.EINVAL, errno.ENODEV},
    Stage.BIND_IOMMUFD: {errno.EACCES, errno.EBUSY, errno.ENODEV, errno.E2BIG},
}


def plan_on(kernel: Kernel, change: Change, snapshot: Snapshot) -> Plan:
    """The plan, with what a snapshot does not tell: whether the driver that is wanted is there at all."""
    planned = plan(change, snapshot)
    if not planned.impossible and isinstance(change, BindDriver) and change.driver is not None:
        try:
            kernel.names(f"{DRIVERS}/{change.driver}")
        except OSError:
            reason = f"no driver {printable(change.driver)} is loaded (there is no {DRIVERS}/{printable(change.driver)})"
            return dataclasses.replace(planned, impossible=reason)
    return planned


class Performer:
    """Does changes on one kernel. `look` takes a snapshot; `watch` is told what follows for tokens."""

    def __init__(self, kernel: Kernel, look: Callable[[], Snapshot], watch: TokenWatch) -> None:
        self.kernel = kernel
        self.snapshot = look
        self._watch = watch
        self._program = Program(kernel)
        self._devices: dict[str, list[OpenDevice]] = {}
        self._jobs: dict[int, Job] = {}
        self._numbers = itertools.count(1)
        self._state = threading.Lock()  # guards what is above; never held while the kernel works
        self._opening = threading.Lock()  # one open, close or feature call at a time
        self._queues: dict[str, threading.Lock] = {}
        self._closed = threading.Event()

    def jobs(self) -> tuple[Job, ...]:
        """The changes under way."""
        with self._state:
            return tuple(self._jobs.values())

    def own_holders(self) -> tuple[Holder, ...]:
        """What this program holds open itself."""
        with self._state:
            return tuple(
                Holder(bdf, os.getpid(), "vfdeck", "", _kind(devices), True, Certainty.EXACT)
                for bdf, devices in self._devices.items()
            )

    def perform(self, change: Change) -> Outcome:
        """See `Host.perform`. What the plan finds impossible is not tried."""
        with self._queued(change):
            before = self.snapshot()
            planned = plan_on(self.kernel, change, before)
            if planned.impossible:
                why = Explanation("plan", "not attempted", planned.impossible, "the kernel was not asked")
                return Outcome(change, target=target_of(change), explanation=why, attempted=False)
            number = self._begin(planned, before)
            try:
                return self._carry_out(change, before, number)
            finally:
                with self._state:
                    del self._jobs[number]

    @contextmanager
    def _queued(self, change: Change) -> Iterator[None]:
        """One change of a function at a time; closing never waits, for it may be what the others wait for."""
        if isinstance(change, Close):
            yield
            return
        with self._state:
            queue = self._queues.setdefault(target_of(change), threading.Lock())
        with queue:
            yield

    def _begin(self, planned: Plan, snapshot: Snapshot) -> int:
        with self._state:
            number = next(self._numbers)
            target = target_of(planned.change)
            self._jobs[number] = Job(number, planned.title, target, JobState.RUNNING, "", snapshot.taken)
            return number

    def _carry_out(self, change: Change, before: Snapshot, number: int) -> Outcome:
        done: list[str] = []
        log = self.kernel.log() or []
        target = target_of(change)
        try:
            for act in steps(change, before):
                with self._state:
                    self._jobs[number] = dataclasses.replace(self._jobs[number], step=act.text)
                facts = Facts(before, change, Stage.FILE, 0, act.path if isinstance(act, Write) else target, blocked=True)
                if not self._do(act, number, facts):
                    return Outcome(change, target=target, done=tuple(done), blocked=True, **_explained(facts))
                done.append(act.text)
        except OSError as error:
            return self._refused(change, before, error, done, log)
        self._learn(change, before)
        return self._succeeded(change, before, tuple(done))

    def _do(self, act: Act, number: int, if_blocked: Facts) -> bool:
        """Carry out one act; False when we stopped waiting for it. `if_blocked` explains it meanwhile."""
        match act:
            case Write():
                return self._write(act, number, if_blocked)
            case OpenAct():
                self._open(act)
            case FeatureAct():
                self._feature(act.pf, act.token)
            case CloseAct():
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
        error = pending.result()
        if error is not None:
            raise Refusal(error.errno or 0, Stage.FILE, act.path)
        return True

    def _whom_it_waits_for(self, path: str, bdf: str) -> str:
        """The programs that hold one of the function's VFs, or, where it is to leave its driver, the function itself."""
        seen = self.snapshot()
        function = seen.functions.get(bdf)
        about = set(function.sriov.vfs if function and function.sriov else ())
        if not path.endswith("/sriov_numvfs"):
            about.add(bdf)
        holding = [holder for holder in seen.holders if holder.bdf in about]
        names = [f"{holder.program} ({holder.pid}), which holds {holder.bdf}" for holder in holding]
        return "; ".join(dict.fromkeys(names))

    def _open(self, act: OpenAct) -> None:
        with self._opening:
            if act.path is OpenPath.CDEV:
                device = self._program.open_by_cdev(act.bdf, act.token.reveal() if act.token else None)
            else:
                text = act.token.reveal_text() if act.token else None
                device = self._program.open_by_group(act.bdf, format_argument(act.bdf, text))
            with self._state:
                self._devices.setdefault(act.bdf, []).append(device)
            if self._closed.is_set():
                self._close_all()

    def _feature(self, pf: str, token: Token) -> None:
        with self._opening:
            devices = self._devices.get(pf)
            if not devices:
                raise Refusal(errno.EBADF, Stage.FEATURE, pf)
            self._program.set_token(devices[0], token.reveal())

    def _close(self, act: CloseAct) -> None:
        with self._opening:
            with self._state:
                devices = self._devices.pop(act.bdf, [])
                if act.just_opened and devices[:-1]:
                    self._devices[act.bdf] = devices[:-1]
            for device in devices[-1:] if act.just_opened else devices:
                self._program.close(device)

    # -- what follows ------------------------------------------------------------------------------------------------
    def _learn(self, change: Change, before: Snapshot) -> None:
        """What a change that succeeded tells of tokens. A PF that opened with a token has this one: it was set, or was right."""
        now = self.kernel.clock()
        role = _role(before, target_of(change))
        if isinstance(change, SetToken):
            self._watch.set_by_us(change.pf, change.token, now)
        elif isinstance(change, Open) and change.token is not None and role is Role.PF:
            self._watch.set_by_us(change.bdf, change.token, now)
        elif isinstance(change, Open) and change.token is not None and guarded(before, change.bdf):
            self._watch.proved(_pf_of(before, change.bdf), change.token, now)
        elif isinstance(change, BindDriver) and change.driver == "vfio-pci" and role is Role.PF:
            self._watch.bound(change.bdf, now)

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

    def _refused(self, change: Change, before: Snapshot, error: OSError, done: list[str], log: list[LogLine]) -> Outcome:
        stage = error.stage if isinstance(error, Refusal) else Stage.FILE
        target = error.target if isinstance(error, Refusal) else target_of(change)
        self._doubt(change, before, error.errno or 0, stage)
        about = (target_of(change), _pf_of(before, target_of(change)))
        lines = [line.text for line in lines_since(log, self.kernel.log() or [])]
        caused = tuple(line for line in lines if any(bdf in line for bdf in about))
        facts = Facts(before, change, stage, error.errno or 0, target, caused)
        return Outcome(change, error.errno or 0, stage, target, tuple(done), **_explained(facts))

    def _doubt(self, change: Change, before: Snapshot, number: int, stage: Stage) -> None:
        """A refusal that shows that what we knew of a token need not be true any more.

        Either a token that we set is not right now: somebody replaced it. Or an idle PF's open failed after the judgement of the
        token: then the token given was set although the open was refused (kernel: the match has that side effect).
        """
        if not isinstance(change, Open | SetToken) or change.token is None:
            return
        bdf = target_of(change)
        pf = _pf_of(before, bdf)
        judged = stage in _JUDGED and (stage is not Stage.BIND_IOMMUFD or kernel_has(before.host.kernel, "cdev_token"))
        refused = judged and number == errno.EACCES and change.token == self._watch.token(pf)
        late = judged and number not in _JUDGED[stage]
        if refused or (late and _role(before, bdf) is Role.PF):
            self._watch.doubt(pf)

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


def _role(snapshot: Snapshot, bdf: str) -> Role | None:
    function = snapshot.functions.get(bdf)
    return function.role if function else None


def _pf_of(snapshot: Snapshot, bdf: str) -> str:
    """A VF's PF, any other function itself."""
    function = snapshot.functions.get(bdf)
    return function.physfn or bdf if function else bdf


def _kind(devices: list[OpenDevice]) -> str:
    return "cdev" if all(device.path == OpenPath.CDEV for device in devices) else "device"


class _Explained(TypedDict, total=False):
    explanation: Explanation | None
    alternatives: tuple[Explanation, ...]


def _explained(facts: Facts) -> _Explained:
    """The explanation fields of an outcome."""
    found = explain(facts)
    return {"explanation": found[0] if found else None, "alternatives": tuple(found[1:])}
