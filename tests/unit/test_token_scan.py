"""`vfdeck token scan`: tokens where others can read them, and nowhere in what it prints."""

from __future__ import annotations

import errno
import json
import os
from importlib.resources import files
from pathlib import Path
from typing import cast

import jsonschema
import pytest

from tests.fabricate import Fake, build
from vfdeck.app.cli import main
from vfdeck.backend.kernel import Kernel
from vfdeck.backend.leaks import COMMAND_LINE, ENVIRONMENT, Leak, Leaks, leaks
from vfdeck.backend.linux.kernel import LinuxKernel
from vfdeck.backend.sim.kernel import SimulatedKernel
from vfdeck.backend.sim.scenario import load
from vfdeck.backend.token import Token

SECRET = "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"
KNOWN = "2ab74924-c335-45f4-9b16-8569e5b08258"
ONE, TWO = Token.parse(SECRET).fingerprint, Token.parse(KNOWN).fingerprint


@pytest.fixture
def root(tmp_path: Path) -> Path:
    build(tmp_path, [Fake("0000:01:00.0", driver="vfio-pci", totalvfs=8)])
    return tmp_path


def process(root: Path, pid: int, arguments: list[str], variables: list[str], name: str = "qemu") -> Path:
    path = root / f"proc/{pid}"
    path.mkdir()
    (path / "comm").write_text(f"{name}\n")
    (path / "cgroup").write_text("0::/\n")
    (path / "cmdline").write_text("".join(f"{argument}\0" for argument in arguments))
    (path / "environ").write_text("".join(f"{variable}\0" for variable in variables))
    return path


def test_where_tokens_leak(root: Path) -> None:
    process(
        root, 7, ["qemu", "-name", "guest=web", "-device", f"x,vf-token={SECRET}", "-device", f"y,vf-token={SECRET.upper()}"], []
    )
    process(root, 8, ["testpmd", "--vfio-vf-token", KNOWN], [f"VFTOKEN={SECRET}"], "testpmd\x1b[31m")
    process(root, 9, ["qemu", "-uuid", SECRET], [f"CI_JOB_TOKEN={SECRET}", f"ID={SECRET}"])
    (root / "proc/10").mkdir()  # it has just ended
    assert leaks(LinuxKernel(str(root))).found == (
        Leak(7, "qemu", COMMAND_LINE, ONE, False, vm="web"),
        Leak(8, "testpmd␛[31m", COMMAND_LINE, TWO, True),
        Leak(8, "testpmd␛[31m", ENVIRONMENT, ONE, False),
    )


def test_the_command(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    schema = json.loads(files("vfdeck.backend").joinpath("schema/leaks-v1.json").read_text(encoding="utf-8"))
    process(root, 1, ["init"], [])
    assert main(["token", "scan", "--root", str(root)]) == 0
    process(root, 7, ["qemu", f"vf-token={SECRET}"], [])
    process(root, 8, ["testpmd", f"--vfio-vf-token={KNOWN}"], [f"VF_TOKEN={KNOWN}"])
    assert main(["token", "scan", "--root", str(root)]) == 1
    text = capsys.readouterr().out
    assert f"#{ONE}  qemu (7)  in its command line, for everybody on this host to read\n" in text
    assert text.count("WELL KNOWN") == 2
    assert main(["token", "scan", "--json", "--root", str(root)]) == 1
    told = capsys.readouterr().out
    jsonschema.validate(json.loads(told), schema)
    assert len(json.loads(told)["leaks"]) == 3
    assert not any(secret in text + told for secret in (SECRET, KNOWN))


def test_what_may_not_be_read_is_counted(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = process(root, 7, ["x"], [])
    (path / "environ").unlink()
    (path / "environ").mkdir()  # unreadable for root too
    assert leaks(LinuxKernel(str(root))).unseen == 1
    assert main(["token", "scan", "--root", str(root)]) == 77
    assert "not read: environment of qemu (7): Is a directory; there may be more" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("number", "uid", "place", "status", "said"),
    [
        (errno.EACCES, os.geteuid(), "environ", 0, "kept from its own user too, so nobody reads it without more privileges"),
        (errno.EPERM, os.geteuid(), "environ", 0, "kept from its own user too"),
        (errno.EACCES, 12345, "environ", 77, "Permission denied; there may be more"),
        (errno.EIO, os.geteuid(), "environ", 77, "Input/output error; there may be more"),
        (errno.EACCES, os.geteuid(), "cmdline", 77, "command line of qemu (7)"),
        (errno.ENOENT, 0, "environ", 0, ""),
        (errno.ESRCH, 0, "environ", 0, ""),
    ],
)
def test_what_leaves_a_doubt(
    root: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    uid: int,
    place: str,
    status: int,
    said: str,
) -> None:
    path = process(root, 7, ["x"], [])
    (path / "status").write_text(f"Name:\tqemu\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\n")
    read = LinuxKernel.read

    def refusing(kernel: LinuxKernel, path: str) -> bytes:
        if path == f"/proc/7/{place}":
            raise OSError(number, os.strerror(number))
        return read(kernel, path)

    monkeypatch.setattr(LinuxKernel, "read", refusing)
    assert main(["token", "scan", "--root", str(root)]) == status
    text = " ".join(capsys.readouterr().out.split())
    assert said in text
    assert ("not read: " in text) is bool(said)
    assert main(["token", "scan", "--json", "--root", str(root)]) == status
    value = json.loads(capsys.readouterr().out)
    jsonschema.validate(value, json.loads(files("vfdeck.backend").joinpath("schema/leaks-v1.json").read_text(encoding="utf-8")))
    assert value["unseen"] == (1 if status else 0)
    assert [(one["pid"], one["program"], one["doubt"]) for one in value["not_read"]] == (
        [(7, "qemu", bool(status))] if said else []
    )


def test_kernel_threads_have_no_environment(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for pid, parent, name in ((2, 0, "kthreadd"), (40, 2, "kworker/0:1"), (41, 1, "real")):
        path = process(root, pid, [], [], name)
        (path / "environ").unlink()
        (path / "environ").mkdir()
        flags = 0x00200000 if parent != 1 else 0x00400000
        (path / "stat").write_text(f"{pid} ({name}) S {parent} 0 0 0 -1 {flags} 0 0")
    assert [one.program for one in leaks(LinuxKernel(str(root))).not_read] == ["real"]
    assert main(["token", "scan", "--root", str(root)]) == 77
    told = capsys.readouterr().out
    assert "environment of real (41)" in told
    assert "kthreadd" not in told
    assert "kworker" not in told


def test_many_that_may_not_be_read_are_one_line(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for pid in range(100, 130):
        path = process(root, pid, ["x"], [])
        (path / "environ").unlink()
        (path / "environ").mkdir()
    assert main(["token", "scan", "--root", str(root)]) == 77
    told = " ".join(capsys.readouterr().out.split())
    line = "not read: environment of qemu (100), qemu (101), qemu (102), qemu (103) and 26 more: Is a directory; there may be more"
    assert told.endswith(line)
    assert told.count("not read") == 1


def test_the_demo_leaks_as_hosts_do() -> None:
    host = load()
    found = leaks(SimulatedKernel(host.scenario.machine)).found
    assert {leak.fingerprint for leak in found} == {host.scenario.token("control").fingerprint}
    assert {(leak.pid, leak.vm) for leak in found} == {(3817, ""), (4242, "web-1"), (4391, "web-2")}
    host.close()


class OneProgram:
    """A kernel with one process."""

    euid = 0

    def __init__(self, **texts: bytes) -> None:
        self.texts = texts

    def names(self, path: str) -> tuple[str, ...]:
        return ("42",)

    def read(self, path: str) -> bytes:
        return self.texts.get(path.rpartition("/")[2], b"")


LATE = b"vf-token=11111111-2222-4333-8444-555555555556"


def looked_at(**texts: bytes) -> Leaks:
    return leaks(cast(Kernel, OneProgram(**texts)))


@pytest.mark.parametrize("length", [131000, 131050, 131072, 3_000_000])
def test_a_token_behind_much_else_is_found(length: int) -> None:
    """A command line may have megabytes."""
    assert [leak.place for leak in looked_at(cmdline=b"qemu\0" + b"x" * length + b"\0" + LATE + b"\0").found] == ["command line"]
    assert [leak.place for leak in looked_at(environ=b"A=" + b"x" * length + b"\0A=" + LATE + b"\0").found] == ["environment"]


@pytest.mark.parametrize("place", ["cmdline", "environ"])
def test_what_is_too_much_to_look_at_leaves_a_doubt(place: str) -> None:
    """A program may hide its token among many words that look like one."""
    result = looked_at(**{place: b"vf-token \0" * 5000 + LATE + b"\0", "comm": b"qemu\n"})
    assert result.unseen == 1
    [one] = result.not_read
    assert (one.pid, one.doubt, "too often" in one.why) == (42, True, True)
    assert looked_at(**{place: b"vf-token \0" * 4000 + LATE + b"\0"}).unseen == 0
