"""Foreign text as bad as it comes, after it has passed the backend's border."""

from __future__ import annotations

import dataclasses
from typing import Any

from tests import values
from vfdeck.backend.changes import Change, Explanation, Outcome
from vfdeck.backend.kernel import Stage
from vfdeck.backend.model import Job, JobState, Problem, Snapshot
from vfdeck.backend.text import printable

RAW = (
    "[red]x",
    "[/x]",
    "[@click=app.quit]x[/]",
    "eth0 [",
    "eth0 [/",
    "\x1b]0;x\x07",
    "\x1b[31mx",
    "a\tb\nc",
    "‮x",
    "\udc80x",
    "$error [$error]x",
    "x" * 300,
    "x" * 10_000,
    "漢字" * 40,  # two columns each
    "e\u0301\u0327" * 40,  # marks that take no column of their own
    "\u0301\u0327x",  # and none before them to stand on
    "مرحبا" * 10,
    "\u202eabc\u2066def",
    "\x9b31m\x1b[2J\x1b]8;;http://x\x1b\\y",
    "👩\u200d👩\u200d👧 🇩🇪 ☠\ufe0f",
)
TEXTS = tuple(printable(raw) for raw in RAW)


def fleet(text: str) -> Snapshot:
    """A fleet in which everything that comes from elsewhere is `text`."""
    names: dict[str, Any] = {"vendor": text, "device": text, "driver": text, "driver_override": text, "interfaces": (text,)}
    names |= {"disks": (text,), "subsystem": text, "cdev": text}
    functions = values.make_fleet(2, vf=names, **{**names, "driver": "vfio-pci"})
    holder = values.make_holder(functions[1].bdf, program=text, user=text, kind=text)
    job = Job(1, text, values.PF, JobState.RUNNING, text, values.NOON, text)
    view = values.snapshot(*functions, host={"name": text, "kernel": text}, holders=(holder,), jobs=(job,))
    return dataclasses.replace(view, problems=(Problem(f"/{values.PF}/{text}", text),))


def outcome(change: Change, text: str) -> Outcome:
    """A refusal in which every word is `text`."""
    why = Explanation(text, text, text, text, (text,), (text,), text, text)
    return Outcome(change, 22, Stage.GET_DEVICE_FD, text, (text,), why, (why,))
