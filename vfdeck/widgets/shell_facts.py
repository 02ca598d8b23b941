"""What was done, as the shell commands that would do the same: for the Shell panel, for the clipboard, for a script.

Every line is a command or a comment, so that the whole can be given to a shell. No token is ever in one: steps have none. Whatever
is put into a line passes `printable`, wherever it came from: a line feed would make a command of what follows it.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from vfdeck.backend.changes import Outcome, Step
from vfdeck.backend.text import printable
from vfdeck.widgets.holder_words import clock
from vfdeck.widgets.report import verdict
from vfdeck.widgets.sections import Fact, Section
from vfdeck.widgets.state import Tone, plural

#: So many changes are on the panel; an export has them all.
SHOWN = 30
# Longest line: more than any step takes.
_LONGEST = 4096


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
    """A step as a line of shell; a comment where no command can do it, or where it would not be one line."""
    shell = step.shell
    if not shell:
        return comment(step.text)
    return shell if shell == printable(shell, _LONGEST) else comment(f"not a line of shell: {shell}")


def comment(text: str) -> str:
    """A text as a line that a shell ignores."""
    return f"# {printable(text, _LONGEST)}".rstrip()


def plan_lines(title: str, steps: Iterable[Step]) -> list[str]:
    """What would be done, under what it is called."""
    return [comment(title), *map(command, steps)]


def ran_lines(ran: Ran, several: bool = False) -> Iterator[tuple[str, Tone]]:
    """A change line by line: what it is called, its commands, and what came of it. What is not known to be done is a comment.

    `several`: there are several hosts, so that each is named.
    """
    text, tone = ran.said
    yield comment(f"{clock(ran.when)}{f' {ran.host}' if several else ''} {ran.title}"), Tone.STRONG
    outcome = ran.outcome
    count = 0 if outcome is None else len(ran.taken) if outcome.ok else len(outcome.done)
    for step in ran.taken[:count]:
        yield command(step), Tone.PLAIN
    for number, step in enumerate(ran.taken[count:]):
        yield comment(f"{_how(outcome, number)}: {command(step).removeprefix('# ')}"), Tone.DIM
    yield comment(text), tone


def _how(outcome: Outcome | None, number: int) -> str:
    """What is said of a step behind those that were done; `number` counts from there."""
    if outcome is None:
        return "not known to be done"
    if number == 0 and outcome.blocked:
        return "waits still"
    return "refused" if number == 0 and outcome.errno else "not done"


def ran_text(ran: Iterable[Ran], several: bool = False) -> str:
    """Changes as text to be copied."""
    return "\n".join(text for each in ran for text, _ in ran_lines(each, several))


def copied(text: str) -> str:
    """What is said of a text that was sent to the clipboard. Whether the terminal took it, it does not tell."""
    lines = text.splitlines()
    count = sum(not line.startswith("#") for line in lines)
    what = plural(count, "command") if count else "comments only, as no command was done or could do it,"
    return f"{what} sent to your clipboard (OSC 52)"


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
    """A POSIX shell script of what was done, with comments on when, where and what. `why` says in a line what it is.

    Of several hosts each has a part of its own, which does nothing anywhere else.
    """
    of_hosts: dict[str, list[Ran]] = {}
    for each in ran:
        of_hosts.setdefault(each.host, []).append(each)
    day = time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(now))
    head = ["#!/bin/sh", comment(why), f"# Written by vfdeck on {day}. No token is in here.", "set -e"]
    parts = {host: [line for each in several for line in ("", *_scripted(each))] for host, several in of_hosts.items()}
    if len(parts) < 2:
        return "\n".join([*head, *(line for part in parts.values() for line in part)]) + "\n"
    head += ["# Each host has its part, which is done only where uname -n gives the name of the host.", "here=$(uname -n)", "mine="]
    tail = ["", '[ "$mine" ] || { echo "nothing in here is for $here" >&2; exit 1; }']
    return "\n".join([*head, *(line for host, part in parts.items() for line in _guarded(host, part)), *tail]) + "\n"


def _guarded(host: str, part: Sequence[str]) -> Iterator[str]:
    """A part that is done on its host only; who logs in there is no part of the name."""
    yield ""
    yield f'if [ "$here" = {shlex.quote(printable(host.rpartition("@")[2], _LONGEST))} ]; then'
    yield "mine=yes"
    yield from part
    yield "fi"


def _scripted(ran: Ran) -> Iterator[str]:
    """A change with its day and its host."""
    first, *others = (text for text, _ in ran_lines(ran))
    day = time.strftime("%Y-%m-%d", time.localtime(ran.when))
    yield comment(f"{day} {first.removeprefix('# ')}, on {ran.host}")
    yield from others
