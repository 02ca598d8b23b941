"""Recordings of real kernels play without a difference, and a falsified recording is found out, line by line.

The recordings are the samples beside this file, and those below the folder that the environment variable VFDECK_TRACES names.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vfdeck.backend.replay import Replay, replay_file

Step = dict[str, Any]

SAMPLES = Path(__file__).parent / "samples"
MORE = os.environ.get("VFDECK_TRACES", "")


def traces(folder: Path) -> list[Path]:
    found = sorted(folder.glob("*/*.jsonl"))
    assert found, f"no recordings below {folder}"
    return found


def name_of(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


TRACES = {name_of(path): path for folder in (SAMPLES, *([Path(MORE)] if MORE else [])) for path in traces(folder)}


@pytest.mark.parametrize("path", [pytest.param(path, id=name) for name, path in TRACES.items()])
def test_a_recording_plays_without_difference(path: Path) -> None:
    outcome = replay_file(str(path))
    assert outcome.differences == []
    assert outcome.steps == sum(1 for line in path.read_text().splitlines() if line.strip()) - 1


def test_the_samples_have_every_operation() -> None:
    operations = {json.loads(line)["op"] for path in traces(SAMPLES) for line in path.read_text().splitlines()}
    assert operations == {"host", "write", "wait", "read", "state", "open", "bind_iommufd", "close", "feature"}


@pytest.mark.skipif(not MORE, reason="VFDECK_TRACES names no folder of recordings")
def test_the_samples_are_what_was_recorded() -> None:
    """Those of them that are among the recordings at hand, byte by byte."""
    originals = {name_of(path): path for path in traces(Path(MORE))}
    for path in traces(SAMPLES):
        original = originals.get(name_of(path), path)
        assert path.read_bytes() == original.read_bytes()


# -- falsified recordings --------------------------------------------------------------------------------------------------
CDEV = SAMPLES / "linux-7.3.4" / "cdev-2.jsonl"
DRIVERS = SAMPLES / "linux-7.3.4" / "drivers-2.jsonl"
NOSRIOV = SAMPLES / "linux-6.12.107" / "tokens-nosriov-4.jsonl"
KERNELPF = SAMPLES / "linux-7.3.4" / "kernelpf-1.jsonl"
BLOCKED = SAMPLES / "linux-7.3.4" / "blocked-1.jsonl"


def falsify(source: Path, tmp_path: Path, wanted: Callable[[Step], bool], change: Callable[[Step], None]) -> tuple[int, Replay]:
    """Change the last step that is wanted, in a recording that plays without difference; its line number, and the outcome."""
    assert replay_file(str(source)).differences == []
    steps = [json.loads(line) for line in source.read_text().splitlines()]
    number, step = next((number, step) for number, step in reversed(list(enumerate(steps, 1))) if wanted(step))
    before = json.dumps(step)
    change(step)
    assert json.dumps(step) != before
    target = tmp_path / "falsified.jsonl"
    target.write_text("".join(json.dumps(step) + "\n" for step in steps))
    return number, replay_file(str(target))


def set_field(name: str, value: object) -> Callable[[Step], None]:
    return lambda step: step.update({name: value})


def drop_field(name: str) -> Callable[[Step], None]:
    def change(step: Step) -> None:
        del step[name]

    return change


FALSIFIED: dict[str, tuple[Path, Callable[[Step], bool], Callable[[Step], None], str]] = {
    "an open that was refused": (
        CDEV,
        lambda step: step["op"] == "open" and step["result"] == "EACCES",
        set_field("result", "EINVAL"),
        'result is "EINVAL" in the recording, "EACCES" here',
    ),
    "an open that succeeded": (
        KERNELPF,
        lambda step: step["op"] == "open" and step["result"] == "OK",
        lambda step: step.update(result="EACCES", stage="get_device_fd"),
        'result is "EACCES" in the recording, "OK" here',
    ),
    "a stage": (
        NOSRIOV,
        lambda step: step["op"] == "open" and step.get("stage") == "get_device_fd",
        set_field("stage", "open_group"),
        'stage is "open_group" in the recording, "get_device_fd" here',
    ),
    "a bind": (
        CDEV,
        lambda step: step["op"] == "bind_iommufd" and step["result"] == "EBUSY",
        set_field("result", "OK"),
        'result is "OK" in the recording, "EBUSY" here',
    ),
    "a write": (
        DRIVERS,
        lambda step: step["op"] == "write" and step["result"] == "ERANGE",
        set_field("result", "EINVAL"),
        'result is "EINVAL" in the recording, "ERANGE" here',
    ),
    "a write that waited": (
        BLOCKED,
        lambda step: step["op"] == "write" and step["result"] == "BLOCKED",
        set_field("result", "OK"),
        'result is "OK" in the recording, "BLOCKED" here',
    ),
    "a value that was read": (
        DRIVERS,
        lambda step: step["op"] == "read" and step["result"] == "OK",
        set_field("value", "42\n"),
        'value is "42\\n" in the recording',
    ),
    "a driver": (
        DRIVERS,
        lambda step: step["op"] == "state" and step.get("driver") == "igb",
        set_field("driver", "vfio-pci"),
        'driver is "vfio-pci" in the recording, "igb" here',
    ),
    "the VFs": (
        DRIVERS,
        lambda step: step["op"] == "state" and bool(step.get("virtfns")),
        set_field("virtfns", []),
        "virtfns is [",
    ),
    "a number of VFs": (
        DRIVERS,
        lambda step: step["op"] == "state" and step.get("sriov_numvfs", "0") != "0",
        set_field("sriov_numvfs", "0"),
        'sriov_numvfs is "0" in the recording',
    ),
    "a function that had gone": (
        DRIVERS,
        lambda step: step["op"] == "state" and step["result"] == "ENOENT",
        set_field("result", "OK"),
        'result is "OK" in the recording, "ENOENT" here',
    ),
    "a field that is missing": (
        DRIVERS,
        lambda step: step["op"] == "state" and step["result"] == "OK",
        drop_field("override"),
        "override is null in the recording",
    ),
    "a feature call": (
        CDEV,
        lambda step: step["op"] == "feature" and step["result"] == "ENOTTY",
        set_field("result", "OK"),
        'result is "OK" in the recording, "ENOTTY" here',
    ),
    "a close": (
        CDEV,
        lambda step: step["op"] == "close" and step["result"] == "NOHANDLE",
        set_field("result", "OK"),
        'result is "OK" in the recording, "NOHANDLE" here',
    ),
    "a log line": (
        CDEV,
        lambda step: any("VF token required" in line for line in step.get("log", ())),
        lambda step: step.update(log=[line.replace("required", "needed") for line in step["log"]]),
        "is not caused here",
    ),
    "a log line of another function": (
        KERNELPF,
        lambda step: any("VF token" in line for line in step.get("log", ())),
        lambda step: step.update(log=[line.replace("0000:0", "0000:f") for line in step["log"]]),
        "is not caused here",
    ),
    "a log line too many": (
        KERNELPF,
        lambda step: any("VF token" in line for line in step.get("log", ())),
        lambda step: step.update(log=step["log"] * 2),
        "is not caused here",
    ),
}


@pytest.mark.parametrize("case", FALSIFIED, ids=lambda case: case.replace(" ", "-"))
def test_a_falsified_recording_is_found_out(tmp_path: Path, case: str) -> None:
    source, wanted, change, text = FALSIFIED[case]
    number, outcome = falsify(source, tmp_path, wanted, change)
    assert {difference.line for difference in outcome.differences} == {number}
    assert any(text in difference.what for difference in outcome.differences), outcome.differences
    assert outcome.differing == 1


def test_a_log_line_that_is_missing_proves_nothing(tmp_path: Path) -> None:
    """The kernel's rate limit may have kept it out."""
    _, outcome = falsify(
        KERNELPF,
        tmp_path,
        lambda step: any("VF token" in line for line in step.get("log", ())),
        drop_field("log"),
    )
    assert outcome.differences == []


def test_another_kernel_answers_otherwise(tmp_path: Path) -> None:
    """The release decides: on the first kernels with cdevs, BIND asks for no token."""
    _, outcome = falsify(CDEV, tmp_path, lambda step: step["op"] == "host", set_field("kernel", "6.12.1"))
    assert outcome.differing > 10
