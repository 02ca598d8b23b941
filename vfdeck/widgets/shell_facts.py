"""What was done, as the shell commands that would do the same: for the Shell panel, for the clipboard, for a script.

Every line is a command or a comment, so that the whole can be given to a shell. No token is ever in one: steps have none.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from vfdeck.backend.changes import Outcome, Step
from vfdeck.widgets.holder_words import clock
from vfdeck.widgets.report import verdict
from vfdeck.widgets.sections import Fact, Section
from vfdeck.widgets.state import Tone, plural

#: So many changes are on the panel; an export has them all.
SHOWN = 30


@dataclass(frozen=True, slots=True)
class Ran:
    """A change that was begun: where, what it is called, its steps as planned, when (host's clock), and what came of it.

    Without `outcome` it is under way; with `failure` vfdeck itself failed, and what was done is not known.
    """

    host: str
    title: str
    steps: tuple[Step, ...]
    time: float
    outcome: Outcome | None = None
    failure: str = ""
    #: what it belongs to: changes that were confirmed together have the same
    deed: object = field(default=None, compare=False, repr=False)

    @property
    def taken(self) -> tuple[Step, ...]:
        """The steps that it consists of: what was planned may have become something else before it was done."""
        return (self.outcome.steps if self.outcome is not None else ()) or self.steps

    @property
    def when(self) -> float:
        """When it was over; while it is under way, when it was begun."""
        return (self.outcome.ended if self.outcome is not None else 0.0) or self.time

    @property
    def said(self) -> tuple[str, Tone]:
        """What came of it in a line."""
        if self.failure:
            return f"vfdeck itself failed ({self.failure}): how far it came is not known", Tone.BAD
        if self.outcome is None:
            return "under way", Tone.BUSY
        text, tone = verdict(self.outcome)
        return ("done" if tone is Tone.GOOD else text), tone


def command(step: Step) -> str:
    """A step as a line of shell; a comment where no command can do it."""
    return step.shell or f"# {step.text}"


def plan_lines(title: str, steps: Iterable[Step]) -> list[str]:
    """What would be done, under what it is called."""
    return [f"# {title}", *map(command, steps)]


def ran_lines(ran: Ran, several: bool = False) -> Iterator[tuple[str, Tone]]:
    """A change line by line: what it is called, its commands, and what came of it. What was not done is a comment.

    `several`: there are several hosts, so that each is named.
    """
    text, tone = ran.said
    yield f"# {clock(ran.when)}{f' {ran.host}' if several else ''} {ran.title}", Tone.STRONG
    outcome = ran.outcome
    count = len(outcome.done) if outcome is not None else len(ran.taken)
    if outcome is not None and outcome.ok:
        count = len(ran.taken)
    for step in ran.taken[:count]:
        yield command(step), Tone.PLAIN
    for number, step in enumerate(ran.taken[count:]):
        how = "refused" if number == 0 and outcome is not None and outcome.errno else "not done"
        how = "waits still" if number == 0 and outcome is not None and outcome.blocked else how
        yield f"# {how}: {command(step).removeprefix('# ')}", Tone.DIM
    yield f"# {text}", tone


def ran_text(ran: Iterable[Ran], several: bool = False) -> str:
    """Changes as text to be copied."""
    return "\n".join(text for each in ran for text, _ in ran_lines(each, several))


def copied(text: str) -> str:
    """What is said of a text that was sent to the clipboard. Whether the terminal took it, it does not tell."""
    lines = text.splitlines()
    count = sum(not line.startswith("#") for line in lines)
    what = plural(count, "command") if count else "comments only, as no command was done or could do it,"
    return f"{what} sent to the terminal's clipboard (OSC 52)"


def shell_sections(ran: Sequence[Ran], several: bool = False) -> list[Section]:
    """What was done in this run, the newest last."""
    if not ran:
        text = "nothing was changed yet; what is done here shows as the shell commands that would do the same"
        return [Section("", (Fact("", text, Tone.DIM),))]
    before = len(ran) - SHOWN
    first = [Section("", (Fact("", f"# {plural(before, 'change')} before", Tone.DIM),))] if before > 0 else []
    changes = (tuple(Fact("", text, tone) for text, tone in ran_lines(each, several)) for each in ran[-SHOWN:])
    return [*first, *(Section("", facts) for facts in changes)]


def script(ran: Iterable[Ran], why: str, now: float) -> str:
    """A POSIX shell script of what was done, with comments on when, where and what. `why` says in a line what it is."""
    day = time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(now))
    head = ["#!/bin/sh", f"# {why}", f"# Written by vfdeck on {day}. No token is in here.", "set -e"]
    return "\n".join([*head, *(line for each in ran for line in ("", *_scripted(each)))]) + "\n"


def _scripted(ran: Ran) -> Iterator[str]:
    """A change with its day and its host."""
    first, *others = (text for text, _ in ran_lines(ran))
    day = time.strftime("%Y-%m-%d", time.localtime(ran.when))
    yield f"# {day} {first.removeprefix('# ')}, on {ran.host}"
    yield from others
