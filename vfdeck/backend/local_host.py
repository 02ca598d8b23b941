"""A host whose kernel is at hand: scans it, plans and carries out changes, and keeps what the kernel tells nobody.

The same code serves the kernel of this machine and simulated ones. Changes to one function queue in order; a PF is never opened
while a write to its `sriov_numvfs` waits, since some kernels deadlock over that.
"""

from __future__ import annotations

import dataclasses
import errno
import itertools
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TypedDict

from vfdeck.backend.acts import Act, CloseAct, FeatureAct, OpenAct, Write, steps
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
from vfdeck.backend.facts import Facts
from vfdeck.backend.holders import holders
from vfdeck.backend.kernel import Kernel, LogLine, Refusal, Stage
from vfdeck.backend.knowledge import TokenWatch
from vfdeck.backend.model import Certainty, Function, Holder, Job, JobState, Role, Snapshot
from vfdeck.backend.pci_ids import Ids, Names
from vfdeck.backend.plan import plan
from vfdeck.backend.text import printable
from vfdeck.backend.token import Token
from vfdeck.backend.token_rules import format_argument
from vfdeck.backend.topology import scan
from vfdeck.backend.vfio import DEVICES, OpenDevice, Program

#: How often a change that waits looks up whom it waits for, seconds.
LOOK_EVERY = 0.5


class LocalHost:
    """Satisfies `Host` over any `Kernel`. `names` gives vendor and device names where the system's database should not be asked."""

    def __init__(self, kernel: Kernel, names: Mapping[Ids, Names] | None = None) -> None:
        self.kernel = kernel
        self.simulated = kernel.simulated
        self._names = names
        self._program = Program(kernel)
        self._devices: dict[str, list[OpenDevice]] = {}
        self._watch = TokenWatch()
        self._jobs: dict[int, Job] = {}
        self._numbers = itertools.count(1)
        self._state = threading.RLock()  # guards everything above
        self._queues: dict[str, threading.Lock] = {}
        self._uevents = kernel.uevents()
        self._closed = threading.Event()
        self.name = scan_name(kernel)

    # -- looking -----------------------------------------------------------------------------------------------------
    def snapshot(self) -> Snapshot:
        """See `Host.snapshot`."""
        seen = scan(self.kernel, self._names)
        opened = self.kernel.open_files()
        held, unattributed = holders((file for file in opened.files if not file.own), seen.functions)
        with self._state:
            tokens = self._watch.update(seen.functions.values(), seen.taken)
            return dataclasses.replace(
                seen,
                holders=(*self._own_holders(), *held),
                unseen=opened.unseen,
                tokens=tokens,
                jobs=tuple(self._jobs.values()),
                problems=(*seen.problems, *unattributed),
            )

    def _own_holders(self) -> Iterator[Holder]:
        for bdf, devices in self._devices.items():
            kind = "cdev" if all(device.path == OpenPath.CDEV for device in devices) else "device"
            yield Holder(bdf, os.getpid(), "vfdeck", "", kind, True, Certainty.EXACT)

    def wait_for_change(self, seconds: float) -> bool:
        """See `Host.wait_for_change`."""
        return bool(self._uevents.wait(seconds)) and not self._closed.is_set()

    def log(self) -> list[LogLine] | None:
        """See `Host.log`."""
        return self.kernel.log()

    def plan(self, change: Change, snapshot: Snapshot) -> Plan:
        """See `Host.plan`."""
        return plan(change, snapshot)

    # -- changing ----------------------------------------------------------------------------------------------------
    def perform(self, change: Change) -> Outcome:
        """See `Host.perform`. What the plan finds impossible is not tried."""
        with self._queued(change):
            before = self.snapshot()
            planned = plan(change, before)
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
        marker = self._log_marker()
        target = target_of(change)
        try:
            for act in steps(change, before):
                with self._state:
                    self._jobs[number] = dataclasses.replace(self._jobs[number], step=act.text)
                if not self._do(act, number):
                    facts = Facts(before, change, Stage.FILE, 0, act.path if isinstance(act, Write) else target, blocked=True)
                    return Outcome(change, target=target, done=tuple(done), blocked=True, **_explained(facts))
                done.append(act.text)
        except OSError as error:
            return self._refused(change, before, error, done, marker)
        self._learn(change, before)
        return self._succeeded(change, before, tuple(done))

    def _do(self, act: Act, number: int) -> bool:
        """Carry out one act; False when we stopped waiting for it."""
        match act:
            case Write():
                return self._write(act, number)
            case OpenAct():
                self._open(act)
            case FeatureAct():
                self._feature(act.pf, act.token)
            case CloseAct():
                self._close(act)
        return True

    def _write(self, act: Write, number: int) -> bool:
        pending = self.kernel.write(act.path, act.data)
        while not pending.wait(LOOK_EVERY):
            if self._closed.is_set():
                return False
            whom = self._whom_it_waits_for(self._jobs[number].target)
            with self._state:
                self._jobs[number] = dataclasses.replace(self._jobs[number], waits_for=whom)
        error = pending.result()
        if error is not None:
            raise Refusal(error.errno or 0, Stage.FILE, act.path)
        return True

    def _whom_it_waits_for(self, bdf: str) -> str:
        """The programs that hold the function or one of its VFs."""
        seen = self.snapshot()
        function = seen.functions.get(bdf)
        about = {bdf, *(function.sriov.vfs if function and function.sriov else ())}
        # A VF that is being removed has lost its link to the PF already, but not its holder.
        about |= {f.bdf for f in seen.functions.values() if f.role is Role.PLAIN and f.driver_override == "vfio-pci"}
        holding = [holder for holder in seen.holders if holder.bdf in about]
        names = [f"{holder.program} ({holder.pid}), which holds {holder.bdf}" for holder in holding]
        return "; ".join(dict.fromkeys(names))

    def _open(self, act: OpenAct) -> None:
        with self._state:
            if act.path is OpenPath.CDEV:
                device = self._program.open_by_cdev(act.bdf, act.token.reveal() if act.token else None)
            else:
                text = act.token.reveal_text() if act.token else None
                device = self._program.open_by_group(act.bdf, format_argument(act.bdf, text))
            self._devices.setdefault(act.bdf, []).append(device)

    def _feature(self, pf: str, token: Token) -> None:
        with self._state:
            devices = self._devices.get(pf)
            if not devices:
                raise Refusal(errno.EBADF, Stage.FEATURE, pf)
            self._program.set_token(devices[0], token.reveal())

    def _close(self, act: CloseAct) -> None:
        with self._state:
            devices = self._devices.get(act.bdf, [])
            for device in devices[-1:] if act.just_opened else list(devices):
                devices.remove(device)
                self._program.close(device)
            if not devices:
                self._devices.pop(act.bdf, None)

    # -- what follows ------------------------------------------------------------------------------------------------
    def _learn(self, change: Change, before: Snapshot) -> None:
        """What a change that succeeded tells of tokens."""
        now = self.kernel.clock()
        with self._state:
            if isinstance(change, SetToken):
                self._watch.set_by_us(change.pf, change.token, now)
            elif isinstance(change, Open) and change.token is not None and self._sets_token(change, before):
                self._watch.set_by_us(change.bdf, change.token, now)
            elif isinstance(change, BindDriver) and change.driver == "vfio-pci" and self._role(change.bdf, before) is Role.PF:
                self._watch.bound(change.bdf, now)

    def _sets_token(self, change: Open, before: Snapshot) -> bool:
        """Opening an idle PF with a token sets it; with VFs in use the token was only checked."""
        return self._role(change.bdf, before) is Role.PF and before.users_of(change.bdf).value == 0

    def _role(self, bdf: str, snapshot: Snapshot) -> Role | None:
        function: Function | None = snapshot.functions.get(bdf)
        return function.role if function else None

    def _succeeded(self, change: Change, before: Snapshot, done: tuple[str, ...]) -> Outcome:
        """Success has something to explain too: fewer VFs than asked for, an open that no token guarded."""
        facts: Facts | None = None
        if isinstance(change, SetNumvfs):
            function = self.snapshot().functions.get(change.pf)
            if function is not None and function.sriov is not None and function.sriov.numvfs != change.count:
                facts = Facts(before, change, Stage.FILE, 0, f"{DEVICES}/{change.pf}/sriov_numvfs", got=function.sriov.numvfs)
        elif isinstance(change, Open) and change.path is OpenPath.CDEV:
            facts = Facts(before, change, Stage.BIND_IOMMUFD, 0, change.bdf)
        return Outcome(change, target=target_of(change), done=done, **(_explained(facts) if facts else {}))

    def _refused(self, change: Change, before: Snapshot, error: OSError, done: list[str], marker: float) -> Outcome:
        stage = error.stage if isinstance(error, Refusal) else Stage.FILE
        target = error.target if isinstance(error, Refusal) else target_of(change)
        self._doubt(change, before, error)
        log = tuple(line.text for line in self.kernel.log() or () if line.seconds >= marker)
        facts = Facts(before, change, stage, error.errno or 0, target, log)
        return Outcome(change, error.errno or 0, stage, target, tuple(done), **_explained(facts))

    def _doubt(self, change: Change, before: Snapshot, error: OSError) -> None:
        """A refusal that shows that what we knew of a token is no longer true."""
        if not isinstance(change, Open) or change.token is None:
            return
        function = before.functions.get(change.bdf)
        pf = function.physfn if function is not None and function.role is Role.VF else change.bdf
        with self._state:
            ours = self._watch.token(pf or "")
            refused = error.errno == errno.EACCES and change.token == ours
            # An open of an idle PF that fails after the judgement has set the token all the same.
            half_done = self._role(change.bdf, before) is Role.PF and error.errno not in (errno.EACCES, errno.EINVAL, errno.ENODEV)
            if pf and (refused or half_done):
                self._watch.doubt(pf)

    def _log_marker(self) -> float:
        """The time of the newest line in the kernel log, to tell the new ones from the old."""
        lines = self.kernel.log()
        return lines[-1].seconds + 1e-6 if lines else 0.0

    def close(self) -> None:
        """See `Host.close`."""
        self._closed.set()
        self._uevents.close()
        with self._state:
            for bdf in list(self._devices):
                self._close(CloseAct(bdf, just_opened=False))


class _Explained(TypedDict, total=False):
    explanation: Explanation | None
    alternatives: tuple[Explanation, ...]


def _explained(facts: Facts) -> _Explained:
    """The explanation fields of an outcome."""
    found = explain(facts)
    return {"explanation": found[0] if found else None, "alternatives": tuple(found[1:])}


def scan_name(kernel: Kernel) -> str:
    """The host's name, as its kernel tells it."""
    try:
        return printable(kernel.read("/proc/sys/kernel/hostname")) or "this host"
    except OSError:
        return "this host"
