"""What can be asked of a host, what would be done, and what came of it: values only.

A *change* is an intent. `plan` turns it into a `Plan` (the exact steps and whom they touch) without doing anything; `perform`
carries it out and answers with an `Outcome`, which holds the kernel's refusal and its explanation if there was one.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from vfdeck.backend.kernel import Stage, errno_name
from vfdeck.backend.token import Token


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
    """Take `bdf` from its driver."""

    bdf: str


@dataclass(frozen=True, slots=True)
class SetToken:
    """Set a PF's token: through our own open fd of it (the feature call), else by opening the PF with the token."""

    pf: str
    token: Token


class OpenPath(enum.StrEnum):
    """Which ladder an open climbs."""

    GROUP = "group"
    CDEV = "cdev"


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


Change = SetNumvfs | BindDriver | UnbindDriver | SetToken | Open | Close | SetAutoprobe


def target_of(change: Change) -> str:
    """The BDF of the function that a change is about."""
    return change.pf if isinstance(change, SetNumvfs | SetToken | SetAutoprobe) else change.bdf


@dataclass(frozen=True, slots=True)
class Step:
    """One act of a plan, in words and as the shell command that would do the same ("" where no command can)."""

    text: str
    shell: str


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


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a change. `errno` 0 is success; `blocked` means that the call is still waiting in the kernel."""

    change: Change
    errno: int = 0
    stage: Stage | None = None
    target: str = ""
    done: tuple[str, ...] = ()  # the steps that were carried out, in words
    explanation: Explanation | None = None  # the likeliest entry
    alternatives: tuple[Explanation, ...] = ()  # what else gives this errno at this stage
    blocked: bool = False
    attempted: bool = True  # False: the plan found it impossible, so the kernel was not asked; the explanation says why

    @property
    def ok(self) -> bool:
        """Whether everything that was planned was done."""
        return self.errno == 0 and self.attempted and not self.blocked

    @property
    def errno_name(self) -> str:
        """`OK`, or the errno's name."""
        return errno_name(self.errno) if self.errno else "OK"
