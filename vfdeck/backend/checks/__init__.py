"""Questions that can be asked before a change, and the whole host's health: answers of three values, with their evidence.

"Can this PF give N VFs?", "can this function go to vfio-pci?", "can this function be opened by this user?", "what is the matter
with this host?": each is answered by a list of checks. A check's question is asked so that yes means "this is fine"; what could not
be looked at says so and why, and is never taken for a yes or a no.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Union

from vfdeck.backend.changes import OpenPath

if TYPE_CHECKING:
    from vfdeck.backend.kernel import Kernel
    from vfdeck.backend.model import Snapshot


class Verdict(enum.StrEnum):
    """The answer to a check's question."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"  # could not check; the evidence says why


class Severity(enum.IntEnum):
    """How much something weighs. Ordered, so the worst of several is their max."""

    OK = 0
    NOTE = 1  # good to know
    WARNING = 2  # goes, but costs or surprises
    ERROR = 3  # does not go, or is a hole

    @property
    def word(self) -> str:
        """As users read it."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Check:
    """One question and its answer.

    `weight` is what a no would mean; `severity` is what the answer given means.
    """

    question: str
    verdict: Verdict
    evidence: tuple[str, ...] = ()  # what the answer rests on: files and values; why it could not be had
    entry: str = ""  # of the catalogue: what a no leads to, "" where it has none
    weight: Severity = Severity.ERROR
    subject: str = ""  # the BDF or path it is about; "" for the host
    do: tuple[str, ...] = ()  # what helps, least invasive first; empty for a yes

    @property
    def severity(self) -> Severity:
        """A yes weighs nothing, what could not be checked is a note (where a no would weigh anything), a no weighs as it does."""
        if self.verdict is Verdict.YES:
            return Severity.OK
        return self.weight if self.verdict is Verdict.NO else min(Severity.NOTE, self.weight)


@dataclass(frozen=True, slots=True)
class Report:
    """The answer to a question, with the checks that it rests on."""

    question: str
    checks: tuple[Check, ...]

    @property
    def verdict(self) -> Verdict:
        """No where a check that decides says no; unknown where one that decides could not be made; else yes."""
        deciding = {c.verdict for c in self.checks if c.weight is Severity.ERROR}
        return next((v for v in (Verdict.NO, Verdict.UNKNOWN) if v in deciding), Verdict.YES)

    @property
    def severity(self) -> Severity:
        """That of the worst check."""
        return max((check.severity for check in self.checks), default=Severity.OK)

    def of(self, severity: Severity) -> tuple[Check, ...]:
        """The checks of one severity."""
        return tuple(check for check in self.checks if check.severity is severity)


# -- what can be asked -----------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class CanEnable:
    """Can this PF give `count` VFs?"""

    pf: str
    count: int


@dataclass(frozen=True, slots=True)
class CanBind:
    """Can this function go to `driver`?"""

    bdf: str
    driver: str = "vfio-pci"


@dataclass(frozen=True, slots=True)
class CanOpen:
    """Can this function be opened along `path` by `user` (a name or number; "": who asks)?"""

    bdf: str
    path: OpenPath = OpenPath.GROUP
    user: str = ""


@dataclass(frozen=True, slots=True)
class WholeHost:
    """What is the matter with this host?"""


Question = Union[CanEnable, CanBind, CanOpen, WholeHost]


def ask(question: Question, kernel: Kernel, snapshot: Snapshot) -> Report:
    """Answer a question by a snapshot of the host and by what its kernel shows beside; nothing is changed or opened.

    Never raises OSError: what could not be read is in the checks.
    """
    from vfdeck.backend.checks import binding, host, numvfs, opening  # on demand: each question needs one of them

    if isinstance(question, CanEnable):
        return numvfs.can_enable(question, kernel, snapshot)
    if isinstance(question, CanBind):
        return binding.can_bind(question, kernel, snapshot)
    if isinstance(question, CanOpen):
        return opening.can_open(question, kernel, snapshot)
    return Report("What is the matter with this host?", tuple(host.doctor(kernel, snapshot)))


def worst_first(checks: Iterable[Check]) -> list[Check]:
    """The same checks, the heaviest answers first, otherwise in their order."""
    return sorted(checks, key=lambda check: -check.severity)
