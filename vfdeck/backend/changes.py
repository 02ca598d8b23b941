"""What can be asked of a host, what would be done, and what came of it: values only.

A *change* is an intent. `plan` turns it into a `Plan` (the exact steps and whom they touch) without doing anything; `perform`
carries it out and answers with an `Outcome`, which holds the kernel's refusal and its explanation if there was one.
"""

from __future__ import annotations

import enum
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Union

from vfdeck.backend.kernel import Stage, errno_name
from vfdeck.backend.model import Certainty
from vfdeck.backend.token import Token

#: The key under which somebody else knows the change that is being carried out ("" for none): an agent's operation, of each call.
OPERATION: ContextVar[str] = ContextVar("operation", default="")


@dataclass(frozen=True, slots=True)
class SetNumvfs:
    """Give a PF exactly `count` VFs. From one non-zero number to another the kernel demands 0 in between."""

    pf: str
    count: int


@dataclass(frozen=True, slots=True)
class BindDriver:
    """Bind `bdf` to `driver` through driver_override (None: clear the override and let the kernel choose)."""

    bdf: str
    driver: str | None


@dataclass(frozen=True, slots=True)
class UnbindDriver:
    """Take `bdf` from its driver; `clear_override` clears its driver_override afterwards, which else stays."""

    bdf: str
    clear_override: bool = False


class TokenWay(enum.StrEnum):
    """How a PF's token is set."""

    OPEN = "open"  # by opening the PF with it: only while no VF is in use
    FEATURE = "feature"  # by the feature call on an fd of the PF that this program holds
    BORROWED = "borrowed"  # by the feature call on a duplicate of another program's fd (pidfd_getfd(2))
    CURRENT = "current"  # by the feature call on an fd that the PF's token in force opens, also with VFs in use; it resets the PF


@dataclass(frozen=True, slots=True)
class SetToken:
    """Set a PF's token. `way` None: the least invasive one that is possible now (`vfdeck.backend.rotation`).

    `current` is the token in force, as far as whoever asks knows it: where VFs are in use and nobody has the PF open, no other one
    opens the PF.
    """

    pf: str
    token: Token
    way: TokenWay | None = None
    current: Token | None = None


class OpenPath(enum.StrEnum):
    """Which ladder an open climbs."""

    GROUP = "group"
    CDEV = "cdev"


@dataclass(frozen=True, slots=True)
class VerifyToken:
    """Ask the kernel whether `token` is the right one for the VF `bdf`, without opening the VF (`Outcome.verified`)."""

    bdf: str
    token: Token
    path: OpenPath = OpenPath.GROUP


@dataclass(frozen=True, slots=True)
class Open:
    """Open a device with or without a token; `hold` keeps it open, otherwise it is closed at once."""

    bdf: str
    token: Token | None = None
    hold: bool = False
    path: OpenPath = OpenPath.GROUP


@dataclass(frozen=True, slots=True)
class Close:
    """Close every fd of `bdf` that this program holds."""

    bdf: str


@dataclass(frozen=True, slots=True)
class SetAutoprobe:
    """Whether new VFs of a PF are offered to drivers."""

    pf: str
    on: bool


@dataclass(frozen=True, slots=True)
class ResetFunction:
    """Reset `bdf` by the first method in its `reset_method` (pci-sysfs.c reset_store); it takes no token, whoever uses it."""

    bdf: str


Change = Union[SetNumvfs, BindDriver, UnbindDriver, SetToken, VerifyToken, Open, Close, SetAutoprobe, ResetFunction]


def target_of(change: Change) -> str:
    """The BDF of the function that a change is about."""
    return change.pf if isinstance(change, (SetNumvfs, SetToken, SetAutoprobe)) else change.bdf


@dataclass(frozen=True, slots=True)
class Step:
    """One act of a plan, in words and as the shell command that would do the same ("" where no command can)."""

    text: str
    shell: str


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer that is expected of the kernel; `errno` 0 with `stage` None: success. See `vfdeck.backend.predict`."""

    errno: int
    stage: Stage | None
    certainty: Certainty  # EXACT, INFERRED ("as far as can be seen") or UNKNOWN
    reason: str = ""
    target: str = ""  # at Stage.FILE: the path of the file
    blocked: bool = False  # a call waits in the kernel for other programs before it answers so
    success: str = "it works"  # what success is called
    step: int = 0  # of a change: the number of the act that is expected to answer so
    fewer: bool = False  # success, with fewer VFs than were asked for

    @property
    def place(self) -> str:
        """Where the refusal is expected: the stage, or for files the file's name; "" for success."""
        return _place(self.stage, self.target)

    @property
    def answer(self) -> str:
        """`OK`, `EACCES at get_device_fd`, `BLOCKED`."""
        return FEWER if self.fewer and not self.errno else _answer(self.errno, self.place, self.blocked)

    def __str__(self) -> str:
        """As a clause: `EACCES at get_device_fd (VF token required)`."""
        no = f"{errno_name(self.errno)} at {self.place}" if self.stage else self.success
        answer = f"it waits, then {no}" if self.blocked else no
        doubt = {Certainty.EXACT: "", Certainty.INFERRED: " as far as can be seen"}.get(
            self.certainty, " or success, which cannot be known" if self.stage else " or not, which cannot be known"
        )
        return f"{answer}{doubt}" + (f" ({self.reason})" if self.reason else "")


#: The answer where a write to sriov_numvfs succeeds, and not all VFs are there.
FEWER = "OK, with fewer VFs"


def _place(stage: Stage | None, target: str) -> str:
    return target.rsplit("/", 1)[-1] if stage is Stage.FILE and target else str(stage or "")


def _answer(number: int, place: str, blocked: bool) -> str:
    if number:
        return f"{'BLOCKED, then ' if blocked else ''}{errno_name(number)} at {place}"
    return "BLOCKED" if blocked else "OK"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a change would do. `impossible` is the reason where it can't be done now, else ""."""

    change: Change
    title: str
    steps: tuple[Step, ...] = ()
    #: whom it touches and what it costs, most serious first
    warnings: tuple[str, ...] = ()
    #: something that is in use, or that will not come back by itself, goes away
    destructive: bool = False
    impossible: str = ""
    predicted: Prediction | None = None
    #: why consent must be typed, as what the change does ("cuts your own connection"); "" where a key is enough
    severe: str = ""

    def same_as(self, other: Plan) -> bool:
        """Whether both would do the same to the same, with the same answer: who agreed to one has agreed to the other."""
        return self._consent == other._consent

    @property
    def _consent(self) -> tuple[object, ...]:
        answer = self.predicted.answer if self.predicted else ""
        acts = tuple(step.text for step in self.steps)  # the same as shell is made by each host for itself
        return (acts, frozenset(self.concerns), self.destructive, self.impossible, self.severe, answer)

    @property
    def concerns(self) -> tuple[str, ...]:
        """The warnings without the expected answer, whose certainty may change while nothing else does."""
        return tuple(warning for warning in self.warnings if warning != f"expected: {self.predicted}")


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why the kernel said no: an entry of the catalogue, with this host's addresses filled in."""

    entry: str  # stable id, e.g. "D1"; "unknown" where no entry fits
    title: str
    rule: str  # the rule that refused
    why: str  # what on this host made it apply
    check: tuple[str, ...] = ()  # how to see it for oneself
    do: tuple[str, ...] = ()  # what to do, least invasive first
    mistaken_for: str = ""
    log: str = ""  # the kernel's own line, where it could be read
    evidence_for: tuple[str, ...] = ()  # facts of this host that speak for it
    evidence_against: tuple[str, ...] = ()  # facts that make it unlikely, without ruling it out
    evidence_open: tuple[str, ...] = ()  # what could not be checked, and why
    actions: tuple[str, ...] = ()  # what vfdeck can do about it: ids of `vfdeck.app.dashboard.actions`, least invasive first


@dataclass(frozen=True, slots=True)
class RuledOut:
    """An entry that gives the same answer in the same place, but not here."""

    entry: str
    title: str
    why: str  # the fact of this host that rules it out


#: The entry of an explanation by which an agent, or its being lost, kept an answer from coming.
AGENT = "agent"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a change. `errno` 0 is success; `blocked` means that the call is still waiting in the kernel."""

    change: Change
    errno: int = 0
    stage: Stage | None = None
    target: str = ""
    done: tuple[str, ...] = ()  # the steps that were carried out, in words
    explanation: Explanation | None = None  # the likeliest entry
    alternatives: tuple[Explanation, ...] = ()  # what else gives this errno at this stage and is not ruled out
    blocked: bool = False
    attempted: bool = True  # False: the plan found it impossible, so the kernel was not asked; the explanation says why
    ruled_out: tuple[RuledOut, ...] = ()  # what else gives this errno at this stage, but not on this host
    predicted: Prediction | None = None  # what was expected before it was done
    waited: bool = False  # a call of it was seen to wait in the kernel for another program
    #: whether a token was the right one; None: not asked, or it could not be told, and then the explanation says why
    verified: bool | None = None
    #: what it consists of, in order; the first of them are `done`. Empty where it was not attempted
    steps: tuple[Step, ...] = field(default=(), compare=False)
    #: when it was over, in seconds since the epoch by the host's clock; 0: not told
    ended: float = field(default=0.0, compare=False)

    @property
    def ok(self) -> bool:
        """Whether everything that was planned was done."""
        return self.errno == 0 and self.attempted and not self.blocked

    @property
    def is_unknown(self) -> bool:
        """Whether nobody knows what came of it: its agent was lost on the way."""
        return self.attempted and self.explanation is not None and self.explanation.entry == AGENT

    @property
    def errno_name(self) -> str:
        """`OK`, or the errno's name."""
        return errno_name(self.errno) if self.errno else "OK"

    @property
    def answer(self) -> str:
        """`OK`, `EACCES at get_device_fd`, `BLOCKED`: in the terms of a prediction."""
        if not self.errno and isinstance(self.change, SetNumvfs) and self.explanation is not None:
            return FEWER
        return _answer(self.errno, _place(self.stage, self.target) if self.errno else "", self.waited or self.blocked)

    @property
    def as_predicted(self) -> bool | None:
        """Whether it came as expected; None where nothing was foretold, or nothing was done."""
        if self.predicted is None or self.predicted.certainty is Certainty.UNKNOWN or not self.attempted:
            return None
        if self.blocked:  # it was given up before the kernel answered
            return self.predicted.blocked
        return self.answer == self.predicted.answer

    @property
    def surprise(self) -> str:
        """`expected EACCES at get_device_fd, got OK`, where it did not come as expected; else ""."""
        expected = self.predicted.answer if self.predicted is not None else ""
        return f"expected {expected}, got {self.answer}" if self.as_predicted is False else ""
