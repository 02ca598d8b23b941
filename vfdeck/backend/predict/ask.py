"""What a rule of prediction is asked: which call on which function, and how far the snapshot can be trusted about it.

Certainty follows one principle. *Exact* is an answer that nothing outside the snapshot can change, provided that the snapshot is
current and that the kernel's own rules decide: root is confined by nothing (device cgroup, security module, read-only sysfs), and
what the hardware answers is not asked. So success is exact only where the hardware has no say. A rule that rests on a kernel *not*
having something is never exact, since distributions backport; nor is one about a function for which a call may be waiting in the
kernel unseen, one about a driver with hooks of its own (of the vfio-pci family: any but vfio-pci itself), or one that comes after
rungs of a ladder which a device cgroup, a missing module or the platform can refuse.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Optional, TypeVar

from vfdeck.backend.acts import Act
from vfdeck.backend.changes import Prediction
from vfdeck.backend.facts import group_members, host_has, vfs_of
from vfdeck.backend.kernel import Stage
from vfdeck.backend.model import Certainty, Function, Holder, Job, JobState, Snapshot, TokenState
from vfdeck.backend.predict.seen import NOT_SEEN, Seen
from vfdeck.backend.profile import parse_version
from vfdeck.backend.token import Token

#: The one driver of the family whose hooks are vfio-pci-core's, as far as rules go: what it answers can be foretold exactly.
PLAIN_VFIO = "vfio-pci"

A = TypeVar("A", bound=Act)


@dataclass(frozen=True, slots=True)
class Ask:
    """A call that is about to be made for `function`.

    `own`: the functions that this program holds open; `seen`: what was read beside the snapshot; `left`: the driver that an act
    before this one took from the function, where it is not known whether its VFs went along (`vfdeck.backend.leaving`).
    """

    function: Function
    snapshot: Snapshot
    own: frozenset[str] = frozenset()
    seen: Seen = NOT_SEEN
    left: str = ""

    @property
    def bdf(self) -> str:
        """The function's address."""
        return self.function.bdf

    @property
    def vfs(self) -> list[Function]:
        """The VFs of the function, if it is a PF."""
        return vfs_of(self.snapshot, self.function)

    @property
    def pf(self) -> Function | None:
        """Of a VF its PF, where that is seen."""
        return self.snapshot.functions.get(self.function.physfn or "")

    @property
    def members(self) -> tuple[str, ...]:
        """The function's IOMMU group."""
        return group_members(self.snapshot, self.bdf)

    @property
    def group_holders(self) -> list[Holder]:
        """Who holds members of the group."""
        return self.holders_of(self.members)

    def holders_of(self, bdfs: Iterable[str]) -> list[Holder]:
        """Who holds any of these functions, without those of whom a file's name alone says so: no refusal follows from it."""
        wanted = frozenset(bdfs)
        return [h for h in self.snapshot.holders if h.bdf in wanted and not h.by_name]

    def has(self, switch: str) -> bool:
        """Whether this kernel has a switch of `profiles.toml`."""
        return host_has(self.snapshot.host, switch)

    def sure(self, *switches: str) -> bool:
        """Whether the kernel is known to have all these: its release can be read, and what came to Linux stays."""
        return _readable(self.snapshot.host.kernel) and all(self.has(switch) for switch in switches)

    def job(self) -> Job | None:
        """A change of the function that is under way."""
        running = (job for job in self.snapshot.jobs if job.target == self.bdf and job.state is JobState.RUNNING)
        return next(running, None)

    def doubtful(self, bdfs: Iterable[str]) -> bool:
        """Whether something about these functions, or below these paths, could not be read."""
        names = tuple(bdfs)
        return any(name in problem.path for problem in self.snapshot.problems for name in names)

    def quiet(self, bdfs: Iterable[str]) -> bool:
        """Whether no call can be waiting in the kernel that concerns these functions: calls wait for holders only."""
        names = frozenset(bdfs)
        busy = any(job.target in names for job in self.snapshot.jobs)
        missed = self.snapshot.unseen or self.snapshot.unattributed or self.snapshot.late
        return not (missed or busy or self.doubtful(names) or any(h.bdf in names for h in self.snapshot.holders))

    def token_matches(self, token: Token | None) -> bool | None:
        """Whether the token given is the one in force, as far as is known here. Another holder of the PF may have set another."""
        pf = self.function.physfn or self.bdf
        known = self.snapshot.tokens.get(pf)
        if known is None or token is None or known.state not in (TokenState.SET, TokenState.UNSET):
            return None
        if known.state is TokenState.SET and known.fingerprint == token.fingerprint:
            return True
        return None if any(not h.own for h in self.holders_of([pf])) else False


@functools.lru_cache(maxsize=64)
def _readable(release: str) -> bool:
    try:
        parse_version(release)
    except ValueError:
        return False
    return True


def exact_if(sure: bool) -> Certainty:
    """Exact where nothing else can be, else inferred."""
    return Certainty.EXACT if sure else Certainty.INFERRED


def no(number: int, stage: Stage, certainty: Certainty, reason: str = "", target: str = "") -> Prediction:
    """A refusal."""
    return Prediction(number, stage, certainty, reason, target)


def surely_no_vfio(functions: Iterable[Function]) -> bool:
    """Whether, by their names, none of the drivers registers functions with vfio: some outside the vfio-pci family do."""
    return all("vfio" not in (f.driver or "") for f in functions)


#: A rule: the answer, where it is the one that decides; None leaves it to the rules after it.
Rule = Callable[[Ask, A], Optional[Prediction]]


def first(rules: Iterable[Rule[A]], ask: Ask, act: A) -> Prediction | None:
    """The first answer that a rule gives, in the kernel's order of checks."""
    return next((found for rule in rules if (found := rule(ask, act)) is not None), None)
