"""What was done as shell commands: what was done is a command, what was not is a comment."""

from __future__ import annotations

import dataclasses
import errno
import os
import shlex
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import values
from vfdeck.app.dashboard.transcript import Transcript
from vfdeck.backend import acts
from vfdeck.backend.changes import BindDriver, Outcome, SetNumvfs, Step
from vfdeck.backend.kernel import Stage
from vfdeck.backend.sim import scenario
from vfdeck.backend.text import printable
from vfdeck.widgets.sections import plain_text
from vfdeck.widgets.shell_facts import SHOWN, Ran, command, copied, plan_lines, ran_lines, ran_text, script, shell_sections

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
    commands = [f"# not known to be done: {text}" for text in ("echo 0 > /x/sriov_numvfs", "echo 8 > /x/sriov_numvfs", "look")]
    assert lines(None) == [*commands, "# under way"]
    assert lines(None, "KeyError")[:-1] == commands
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


def test_of_several_hosts_each_has_a_part_that_is_done_nowhere_else() -> None:
    here = os.uname().nodename
    hosts = ("elsewhere", f"root@{here}", "it's not", here)
    ran = [Ran(host, "t", (Step("s", f"echo {number}"),), values.NOON, Outcome(CHANGE)) for number, host in enumerate(hosts)]
    ran = [*ran, dataclasses.replace(ran[1], outcome=None), dataclasses.replace(ran[0], steps=())]
    text = script(ran, "What was done", values.NOON)
    done = subprocess.run(["sh"], input=text.encode(), capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"1\n3\n", b"")
    done = subprocess.run(["sh"], input=script([ran[0], ran[2]], "x", 0.0).encode(), capture_output=True)
    assert (done.returncode, done.stdout) == (1, b"")
    assert f"nothing in here is for {here}".encode() in done.stderr


#: What a text may hold that comes from a device, a driver or another host: as it came, and passed by nothing.
HOSTILE = st.text(max_size=80) | st.sampled_from(["a\ntouch /tmp/o", "a\r\n$(id)", "`id`'", "x\x0b\x85\u2028y", "# a\nid"])


def is_inert(line: str) -> bool:
    """Whether a line of a script is a comment, or what vfdeck itself puts there."""
    given = "".join(shlex.split(line)[:4]) if line.startswith('if [ "$here" = ') else ""
    own = (
        "",
        "set -e",
        "here=$(uname -n)",
        "mine=",
        "mine=yes",
        "fi",
        '[ "$mine" ] || { echo "nothing in here is for $here" >&2; exit 1; }',
    )
    return line.startswith("#") or line in own or (bool(given) and line.endswith(" ]; then"))


@pytest.mark.parametrize(
    "outcome", [Outcome(CHANGE), Outcome(CHANGE, errno.EIO, Stage.FILE, done=("t",)), None], ids=["done", "refused", "none"]
)
@given(HOSTILE, HOSTILE, HOSTILE)
def test_no_foreign_text_gets_out_of_its_comment(outcome: Outcome | None, title: str, said: str, host: str) -> None:
    steps = (Step(title, ""), Step(said, f"# {said}"))
    if outcome is not None:
        outcome = dataclasses.replace(outcome, target=said, steps=steps)
    ran = [Ran(name, title, steps, values.NOON, outcome, said if outcome is None else "") for name in (host, "other")]
    for text in (script(ran, said, values.NOON), script(ran[:1], said, values.NOON)):
        assert all(is_inert(line) for line in text.splitlines()), text
    told = [*plan_lines(title, steps), *ran_text(ran, several=True).split("\n")]
    assert all(line.startswith("#") and line == printable(line, 5000) for line in told)


@given(HOSTILE)
def test_what_is_not_one_line_is_no_command(shell: str) -> None:
    line = command(Step("s", shell))
    assert line == shell or line.startswith("# ")
    assert line == printable(line, 5000)


@given(HOSTILE)
def test_a_command_of_ours_takes_foreign_text_as_one_word(text: str) -> None:
    """A driver's name comes from whoever asks, a function's from the system."""
    assert all(
        is_shell(command(Step("", act.shell))) for act in acts.steps(BindDriver(PF, text), values.snapshot(values.make_pf(PF)))
    )


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
