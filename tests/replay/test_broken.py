"""A broken recording is told by file, line and what was expected, and never ends in another exception."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vfdeck.backend.replay import TraceError, replay_file

SAMPLES = Path(__file__).parent / "samples"
NOSRIOV = SAMPLES / "linux-6.12.107" / "tokens-nosriov-4.jsonl"
HOST = NOSRIOV.read_text().splitlines()[0]
FINE = '{"op": "read", "path": "/sys/module/vfio_pci/parameters/enable_sriov", "result": "OK", "value": "N\\n"}'

BROKEN_STEPS = {
    "not JSON": ('{"op": "read", ', "not JSON"),
    "no JSON at all": ("\x1b[31mred", "not JSON"),
    "a list": ("[]", 'expected a JSON object with "op"'),
    "a number": ("42", 'expected a JSON object with "op"'),
    "no op": ('{"path": "/sys"}', 'expected a JSON object with "op"'),
    "op is no text": ('{"op": 3}', 'expected a JSON object with "op"'),
    "an unknown op": ('{"op": "explode", "result": "OK"}', "unknown operation, expected one of write, wait, read, state"),
    "a read without path": ('{"op": "read", "result": "OK"}', "missing field 'path'"),
    "a write without data": ('{"op": "write", "path": "/sys/x", "result": "OK"}', "missing field 'data'"),
    "an open without handle": ('{"op": "open", "device": "0000:01:00.0", "argument": "0000:01:00.0", "result": "OK"}', "handle"),
    "an open without device": ('{"op": "open", "handle": "h", "argument": "", "result": "OK"}', "missing field 'device'"),
    "a close without handle": ('{"op": "close", "result": "OK"}', "missing field 'handle'"),
    "a feature without handle": ('{"op": "feature", "result": "OK"}', "missing field 'handle'"),
    "a wait for nothing": ('{"op": "wait", "path": "/sys/never", "result": "OK"}', "/sys/never"),
    "a token that is no hex": (
        '{"op": "bind_iommufd", "device": "0000:01:00.0", "handle": "h", "token": "xyz", "result": "OK"}',
        "hexadecimal",
    ),
    "a log that is no list": (FINE.replace('"OK"', '"OK", "log": 3'), "broken step read"),
    "a log of something else": (FINE.replace('"OK"', '"OK", "log": [null]'), "broken step read"),
    "the host again": (HOST, "unknown operation"),
}


def write(tmp_path: Path, *lines: str) -> str:
    path = tmp_path / "broken.jsonl"
    path.write_text("".join(line + "\n" for line in lines), errors="surrogateescape")
    return str(path)


@pytest.mark.parametrize("case", BROKEN_STEPS, ids=lambda case: case.replace(" ", "-"))
def test_a_broken_step(tmp_path: Path, case: str) -> None:
    line, text = BROKEN_STEPS[case]
    path = write(tmp_path, HOST, FINE, "", line, FINE)
    with pytest.raises(TraceError) as caught:
        replay_file(path)
    error = caught.value
    assert (error.path, error.line) == (path, 4)
    assert text in error.what
    assert str(error) == f"{path}:4: {error.what}"
    assert str(error).isprintable()


def without(key: str) -> str:
    host = json.loads(HOST)
    del host[key]
    return json.dumps(host)


def with_function(**changes: object) -> str:
    host = json.loads(HOST)
    host["functions"]["0000:01:00.0"].update(changes)
    return json.dumps(host)


BROKEN_HOSTS = {
    "no line at all": ("", "the first line must be the host"),
    "a step first": (FINE, "the first line must be the host"),
    "no kernel": (without("kernel"), "missing field 'kernel'"),
    "no functions": (without("functions"), "missing field 'functions'"),
    "no parameter": (without("enable_sriov"), "missing field 'enable_sriov'"),
    "kernel is no release": (json.dumps(json.loads(HOST) | {"kernel": "new"}), "not a kernel release"),
    "functions is a list": (json.dumps(json.loads(HOST) | {"functions": [1]}), "broken host line"),
    "a vendor that is no number": (with_function(vendor="Intel"), "broken host line"),
    "a vendor of another type": (with_function(vendor=None), "broken host line"),
    "a total that is no number": (with_function(sriov_totalvfs="many"), "broken host line"),
    "VFs without a driver that can": (with_function(virtfns=["0000:01:10.0"]), "while the host was set up"),
}


@pytest.mark.parametrize("case", BROKEN_HOSTS, ids=lambda case: case.replace(" ", "-"))
def test_a_broken_host_line(tmp_path: Path, case: str) -> None:
    line, text = BROKEN_HOSTS[case]
    path = write(tmp_path, line)
    with pytest.raises(TraceError) as caught:
        replay_file(path)
    assert caught.value.line == 1
    assert text in caught.value.what
    assert str(caught.value).isprintable()


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        replay_file(str(tmp_path / "nothing.jsonl"))
    with pytest.raises(OSError, match="directory"):
        replay_file(str(tmp_path))


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "bytes.jsonl"
    path.write_bytes(HOST.encode() + b"\n" + bytes(range(128, 256)) + b"\n")
    with pytest.raises(TraceError) as caught:
        replay_file(str(path))
    assert caught.value.line == 2
    assert str(caught.value).isprintable()


# -- mutations -------------------------------------------------------------------------------------------------------------
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)
#: Values that mean something somewhere in a recording.
MEANINGFUL = st.sampled_from(
    [
        *(
            "",
            "\0",
            "OK",
            "BLOCKED",
            "igb",
            "vfio-pci",
            "0000:01:00.0",
            "0000:01:10.0",
            "/sys",
            "/sys/bus/pci/devices",
            "0",
            "-1",
            "8",
        ),
        *(0, -1, 1, 1 << 17, 1 << 40, 10**30, {}, [], [1], [None], {"op": "host"}, "\udcff", "\x1b[2J", "9" * 5000),
    ]
)


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where there is something to change in a JSON value."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


def samples() -> list[list[str]]:
    """The host line and some steps of every kind from each sample."""
    found = []
    for path in sorted(SAMPLES.glob("*/*.jsonl")):
        lines = path.read_text().splitlines()
        found.append(lines[:1] + lines[1:31])
    return found


BEGINNINGS = samples()


def mutate(line: str, data: st.DataObject) -> str:
    """A line with one value replaced, or one key taken out or added."""
    step = json.loads(line)
    place = data.draw(st.sampled_from(list(places(step))))
    new = data.draw(MEANINGFUL | JSON)
    if not place:
        return json.dumps(new)
    holder = step
    for key in place[:-1]:
        holder = holder[key]
    if data.draw(st.booleans()):
        holder[place[-1]] = new
    else:
        del holder[place[-1]]
    return json.dumps(step)


def play(path: str) -> tuple[list[str], int]:
    """What a replay says, and the line it came to."""
    try:
        outcome = replay_file(path)
    except TraceError as error:
        return [str(error)], error.line
    return [difference.what for difference in outcome.differences], outcome.steps + 1


@settings(max_examples=250)
@given(st.data())
def test_mutations_never_give_another_exception(data: st.DataObject) -> None:
    lines = list(BEGINNINGS[data.draw(st.integers(0, len(BEGINNINGS) - 1))])
    for _ in range(data.draw(st.integers(1, 3))):
        number = data.draw(st.integers(0, len(lines) - 1))
        with suppress(ValueError):
            lines[number] = mutate(lines[number], data)
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        file.write("\n".join(lines))
        file.flush()
        texts, last = play(file.name)
    assert 1 <= last <= len(lines)
    assert all(text.isprintable() for text in texts)
