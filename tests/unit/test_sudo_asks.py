"""`--sudo` where sudo wants a password: it asks at the terminal before anything is shown, and vfdeck has no part in it."""

from __future__ import annotations

import fcntl
import os
import pty
import subprocess
import termios
from pathlib import Path

import pytest

from tests.unit.test_cli import ENVIRONMENT, PYTHON

#: A sudo that lets in who knows the word, and asks at the terminal like the real one: its streams are vfdeck's.
SUDO = """#!/bin/sh
printf '%s\\n' "$1" >> "$0.log"
case $1 in -n) echo 'sudo: a password is required' >&2; exit 1;; esac
shift
printf 'the word: ' >/dev/tty
read -r word </dev/tty
[ "$word" = sesame ] || { echo 'sudo: 1 incorrect password attempt' >&2; exit 1; }
exec "$@"
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    sudo = tmp_path / "sudo"
    sudo.write_text(SUDO)
    sudo.chmod(0o755)
    return tmp_path


def typed(path: Path, word: str) -> tuple[int, str]:
    """What `vfdeck tree --sudo` ends with and shows, on a terminal where this word is typed when it is asked for."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [*PYTHON, "tree", "--sudo"],
        env={**ENVIRONMENT, "PATH": f"{path}:/usr/bin:/bin"},
        stdin=follower,
        stdout=follower,
        stderr=follower,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(follower, termios.TIOCSCTTY, 0),
    )
    os.close(follower)
    said = b""
    while True:
        try:
            data = os.read(leader, 4096)
        except OSError:  # everybody has closed the other end
            break
        said += data
        if b"the word: " in said and word:
            os.write(leader, f"{word}\n".encode())
            word = ""
    os.close(leader)
    return process.wait(), said.decode()


def test_who_knows_the_password_is_let_in(path: Path) -> None:
    status, said = typed(path, "sesame")
    assert status == 0
    assert "\nvfdeck" not in said
    assert os.uname().nodename in said
    assert (path / "sudo.log").read_text().splitlines() == ["-n", "-n", "--"], "the example rule, a wider one, a password"


def test_who_does_not_is_told_so(path: Path) -> None:
    status, said = typed(path, "wrong")
    assert status == 69
    assert "sudo refused it: sudo: 1 incorrect password attempt" in said


def test_without_a_terminal_nobody_is_asked(path: Path) -> None:
    environment = {**ENVIRONMENT, "PATH": f"{path}:/usr/bin:/bin"}
    done = subprocess.run(
        [*PYTHON, "tree", "--sudo"], env=environment, capture_output=True, text=True, start_new_session=True, check=False
    )
    assert done.returncode == 69
    assert "sudo refused it" in done.stderr
    assert done.stderr.count("\n") == 1
    assert (path / "sudo.log").read_text().splitlines() == ["-n", "-n"]
