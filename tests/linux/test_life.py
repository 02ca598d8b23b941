"""Whether a program lives still: by its number, when it was started, and where the number counts."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from typing import Any, cast

import pytest

from vfdeck.backend.life import Life
from vfdeck.backend.linux.kernel import LinuxKernel


@pytest.fixture
def life() -> Life:
    return Life(LinuxKernel())


def sleeper() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)


def started(pid: int) -> int:
    with open(f"/proc/{pid}/stat", "rb") as file:
        return int(file.read().rpartition(b")")[2].split()[19])


def test_of_this_program(life: Life) -> None:
    assert life.started == started(os.getpid())
    assert life.space == os.readlink("/proc/self/ns/pid")
    up = life.up()
    assert up is not None
    assert up > 0
    assert life.lives(os.getpid(), life.started, life.space) is True


def test_of_one_that_ends(life: Life) -> None:
    program = sleeper()
    when = started(program.pid)
    assert life.lives(program.pid, when, life.space) is True
    assert life.lives(program.pid, when - 1, life.space) is False  # it had the number before
    program.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, program.pid, os.WEXITED | os.WNOWAIT)
    assert life.lives(program.pid, when, life.space) is False  # a zombie
    program.communicate()
    assert life.lives(program.pid, when, life.space) is False


@pytest.mark.parametrize("who", [(None, 1, ""), (1, None, ""), (1, 1, ""), (1, 1, "pid:[1]")])
def test_what_cannot_be_told(life: Life, who: tuple[int | None, int | None, str]) -> None:
    assert life.lives(*who) is None


class Proc:
    """A kernel with these files."""

    def __init__(self, **files: bytes | int) -> None:
        self.files = files

    def read(self, path: str) -> bytes:
        found = self.files.get(path.split("/")[2], errno.ENOENT)
        if isinstance(found, int):
            raise OSError(found, os.strerror(found))
        return found

    def link(self, path: str) -> str:
        return "pid:[7]"


def stat(state: str = "S", threads: int = 1, start: int = 500) -> bytes:
    return f"7 (a) name (b) {state} {'0 ' * 16}{threads} 0 {start} 0\n".encode()


@pytest.mark.parametrize(
    ("files", "lives"),
    [
        ({"7": stat()}, True),
        ({"7": stat(start=501)}, False),
        ({"7": stat("Z")}, False),
        ({"7": stat("Z", threads=2)}, True),  # killed, with a thread that does not come back from the kernel
        ({"7": b"7 (x) S"}, None),
        ({"7": b""}, None),
        ({"7": errno.EACCES}, None),  # hidepid=1
        ({"1": stat()}, False),
        ({}, None),  # hidepid=2: the first program of the system is not seen either
        ({"7": errno.ESRCH, "1": stat()}, False),
    ],
)
def test_of_files(files: dict[str, bytes | int], lives: bool | None) -> None:
    life = Life(cast(Any, Proc(**files)))
    assert (life.started, life.up()) == (None, None)
    assert life.lives(7, 500, "pid:[7]") is lives
