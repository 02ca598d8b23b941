"""What was done as shell commands: what was done is a command, what was not is a comment."""

from __future__ import annotations

import dataclasses
import errno
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import values
from vfdeck.app.dashboard.transcript import Transcript
from vfdeck.backend.changes import Outcome, SetNumvfs, Step
from vfdeck.backend.kernel import Stage
from vfdeck.backend.sim import scenario
from vfdeck.backend.text import printable
from vfdeck.widgets.sections import plain_text
from vfdeck.widgets.shell_facts import SHOWN, Ran, copied, plan_lines, ran_lines, script, shell_sections

PF = values.PF
CHANGE = SetNumvfs(PF, 8)
STEPS = (Step("remove the VFs", "echo 0 > /x/sriov_numvfs"), Step("give 8 VFs", "echo 8 > /x/sriov_numvfs"), Step("look", ""))
RAN = Ran("hv-07", "set VFs", STEPS, values.NOON)


def lines(outcome: Outcome | None, failure: str = "") -> list[str]:
    return [text for text, _ in ran_lines(dataclasses.replace(RAN, outcome=outcome, failure=failure))][1:]


def test_what_was_done_is_commands() -> None:
    done = Outcome(CHANGE, target=PF, done=("remove the VFs", "give 8 VFs", "look"), steps=STEPS)
    assert lines(done) == ["echo 0 > /x/sriov_numvfs", "echo 8 > /x/sriov_numvfs", "# look", "# done"]


def test_what_was_refused_and_what_did_not_follow_are_comments() -> None:
    refused = Outcome(CHANGE, errno.EBUSY, Stage.FILE, "/x/sriov_numvfs", ("remove the VFs",), steps=STEPS)
    assert lines(refused) == [
        "echo 0 > /x/sriov_numvfs",
        "# refused: echo 8 > /x/sriov_numvfs",
        "# not done: look",
        "# Refused: EBUSY at file of /x/sriov_numvfs",
    ]


def test_what_still_waits_and_what_was_not_attempted() -> None:
    blocked = Outcome(CHANGE, target=PF, blocked=True, steps=STEPS)
    assert lines(blocked)[:2] == ["# waits still: echo 0 > /x/sriov_numvfs", "# not done: echo 8 > /x/sriov_numvfs"]
    assert all(line.startswith("#") for line in lines(Outcome(CHANGE, attempted=False)))


def test_under_way_and_failures_of_vfdeck_itself_say_so() -> None:
    assert lines(None)[-1] == "# under way"
    assert lines(None, "KeyError")[-1] == "# vfdeck itself failed (KeyError): how far it came is not known"


def test_the_steps_that_were_done_count_not_those_that_were_planned() -> None:
    other = (Step("give 8 VFs", "echo 8 > /x/sriov_numvfs"),)
    assert lines(Outcome(CHANGE, done=("give 8 VFs",), steps=other)) == ["echo 8 > /x/sriov_numvfs", "# done"]


def test_hosts_are_named_where_there_are_several() -> None:
    assert "hv-07" not in next(ran_lines(RAN))[0]
    assert "hv-07" in next(ran_lines(RAN, several=True))[0]


def test_the_panel_has_the_newest_last_and_not_too_many() -> None:
    assert "nothing was changed yet" in plain_text(shell_sections(()))
    many = [dataclasses.replace(RAN, title=f"change {number}") for number in range(SHOWN + 3)]
    said = plain_text(shell_sections(many)).splitlines()
    assert said[0] == "# 3 changes before"
    assert f"change {SHOWN + 2}" in [line for line in said if "change" in line][-1]
    assert not any(line.endswith("change 2") for line in said)


def test_only_so_many_changes_are_kept() -> None:
    kept = Transcript(kept=2)
    for number in range(3):
        kept.begun(number, Ran("h", f"change {number}", STEPS, 0.0))
    kept.done(0, Outcome(CHANGE))
    kept.done(2, Outcome(CHANGE))
    assert [(ran.title, ran.outcome is not None) for ran in kept.ran] == [("change 1", False), ("change 2", True)]


def is_shell(text: str) -> bool:
    """Whether a shell can read it."""
    return subprocess.run(["sh", "-n"], input=text.encode(), capture_output=True).returncode == 0


def test_a_script_says_when_and_where_and_runs() -> None:
    refused = Outcome(CHANGE, errno.EBUSY, Stage.FILE, PF, ("remove the VFs",), steps=STEPS, ended=values.NOON)
    text = script([dataclasses.replace(RAN, outcome=refused)], "What was done", values.NOON)
    assert text.startswith("#!/bin/sh\n# What was done\n# Written by vfdeck on ")
    assert "set VFs, on hv-07" in text
    assert is_shell(text)
    harmless = text.replace("> /x/sriov_numvfs", "")
    ran = subprocess.run(["sh"], input=harmless.encode(), capture_output=True)
    assert (ran.returncode, ran.stdout) == (0, b"0\n")


@given(st.text(max_size=80).map(printable), st.text(max_size=80).map(printable))
def test_no_foreign_text_gets_out_of_its_comment(title: str, said: str) -> None:
    steps = (Step(title, ""), Step(said, f"# {said}"))
    outcome = Outcome(CHANGE, errno.EIO, Stage.FILE, said, (title,), steps=steps)
    body = script([Ran(printable(said), title, steps, values.NOON, outcome)], "x", values.NOON).splitlines()[4:]
    assert all(not line or line.startswith("#") for line in body)


@pytest.mark.parametrize("count", [0, 3])
def test_a_plan_of_a_simulated_host_is_shell(count: int) -> None:
    host = scenario.load("default")
    pf = next(f for f in host.snapshot().functions.values() if f.sriov is not None and f.sriov.numvfs)
    plan = host.plan(SetNumvfs(pf.bdf, count), host.snapshot())
    found = plan_lines(plan.title, plan.steps)
    assert f"echo {count} > /sys/bus/pci/devices/{pf.bdf}/sriov_numvfs" in found
    assert is_shell("\n".join(found))


def test_the_latest_is_everything_that_was_confirmed_together() -> None:
    assert not Transcript().latest
    kept = Transcript()
    one, two = object(), object()
    for number, deed in enumerate((one, two, two)):
        kept.begun(number, Ran("h", f"change {number}", STEPS, 0.0, deed=deed))
    assert [ran.title for ran in kept.latest] == ["change 1", "change 2"]
    outcome = Outcome(CHANGE)
    kept.done(0, outcome)
    assert [ran.title for ran in kept.of(outcome)] == ["change 0"]


def test_what_is_said_of_a_copy() -> None:
    assert copied("# a\necho 0\necho 1").startswith("2 commands sent")
    assert copied("# a").startswith("comments only")
