"""Where a token goes that vfdeck made: to a file, to another program, or to the screen.

It goes there before the kernel gets it, so that no token is in force that nobody has.
"""

from __future__ import annotations

import argparse
import errno
import fcntl
import os
import shutil
import subprocess
import sys
import termios
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from vfdeck.app import failure
from vfdeck.app.failure import Failure
from vfdeck.app.files import demand_new, new_file
from vfdeck.app.terminal import terminal_kept, told_of_waiting
from vfdeck.app.token_sources import ended, words
from vfdeck.backend.text import printable
from vfdeck.backend.token import Token


class Delivery(Protocol):
    """One way to hand a token on."""

    def deliver(self, token: Token) -> str:
        """Hand it on; says where it is. Raises Failure where it could not be."""

    def withdraw(self) -> str:
        """It was not set after all; says what became of what was handed on."""


_NOT_SET = "nothing was set"

#: Runs a program with a descriptor as its standard input; the answer is the status it ended with, and the last line of what it
#: printed, where nobody else has seen it. Raises OSError where it cannot be run, Failure where it was given up.
Run = Callable[[list[str], int], tuple[int, str]]


def wanted(options: argparse.Namespace) -> Delivery | None:
    """The delivery that the options name. Raises Failure where it surely cannot be: a file that is there, no such command, no
    terminal to show it on.
    """
    if options.out is not None:
        return to_file(options.out)
    if options.to_command is not None:
        return to_command(options.to_command, "--to-command", _beside_us)
    if options.show:
        if sys.stdout is None or not sys.stdout.isatty():
            raise Failure(failure.USAGE, "--show needs a terminal on standard output; --out and --to-command need none")
        return _Screen()
    return None


def to_file(path: str, so: str = _NOT_SET) -> Delivery:
    """A new file for its owner's eyes. `so` is what it means that a token could not be handed on. Raises Failure where it surely
    cannot be made.
    """
    demand_new(path)
    return _File(path, so)


def to_command(line: str, name: str, run: Run, so: str = _NOT_SET) -> Delivery:
    """The standard input of a program that `run` runs; `name` is what its command line is called in complaints. Raises Failure
    where there is no such program.
    """
    arguments = words(line, name)
    if shutil.which(arguments[0]) is None:
        text = f"cannot run {printable(arguments[0])}: there is no such program, or it may not be run; {so}"
        raise Failure(failure.UNAVAILABLE, text)
    return _Command(arguments, run, so)


class _File:
    def __init__(self, path: str, so: str) -> None:
        self._path = path
        self._name = printable(path)
        self._so = so
        self._made: tuple[int, int] | None = None  # device and inode of the file that we made
        self._token: Token | None = None  # that is in it

    def deliver(self, token: Token) -> str:
        line = _line_of(token)
        try:
            with new_file(self._path) as out:
                made = os.fstat(out.fileno())
                self._made = (made.st_dev, made.st_ino)
                if os.write(out.fileno(), line) != len(line):  # no buffer keeps it
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(out.fileno())
        except OSError as error:  # of close() too: some file systems tell only then
            self.withdraw()
            raise Failure(failure.IO, f"{self._name}: {error.strerror}; {self._so}") from None
        self._token = token
        return f"written to {self._name}, for its owner's eyes"

    def withdraw(self) -> str:
        with suppress(OSError):
            here = os.stat(self._path, follow_symlinks=False)
            if (here.st_dev, here.st_ino) == self._made and self._is_unchanged():
                os.unlink(self._path)
                return f"{self._name} was removed again"
        return f"{self._name} was not removed: it is not the file that vfdeck made, or it cannot be; its token was not set"

    def _is_unchanged(self) -> bool:
        """Whether nobody has written anything else into it."""
        if self._token is None:  # nor have we, or not all of it
            return True
        fd = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            return os.read(fd, 100) == _line_of(self._token)
        finally:
            os.close(fd)


class _Command:
    def __init__(self, arguments: list[str], run: Run, so: str) -> None:
        self._arguments = arguments
        self._run = run
        self._so = so

    def deliver(self, token: Token) -> str:
        name = printable(self._arguments[0])
        try:
            status, said, unread = self._given(token)
        except (OSError, ValueError) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or "not a command"
            raise Failure(failure.UNAVAILABLE, f"cannot run {name}: {reason}; {self._so}") from None
        if status:
            last = f" and said: {said}" if said else ""
            raise Failure(failure.UNAVAILABLE, f"{name} {ended(status)}{last}; {self._so}")
        if unread:
            raise Failure(failure.UNAVAILABLE, f"{name} ended well without reading the token, so nobody has it; {self._so}")
        return f"handed to {name}"

    def withdraw(self) -> str:
        return f"{printable(self._arguments[0])} was given a token that was not set: forget it there"

    def _given(self, token: Token) -> tuple[int, str, bool]:
        """Run the command with a token on its standard input: how it ended, what it said, and whether part of the token was left
        unread. A pipe holds what nobody has read, even after its other readers have gone, as long as one end of ours is open.
        """
        reader, writer = os.pipe2(os.O_CLOEXEC)
        try:
            try:
                os.write(writer, _line_of(token))  # fits into any pipe
            finally:
                os.close(writer)
            status, said = self._run(self._arguments, reader)
            return status, said, _left(reader) > len(b"\n")  # who counts characters leaves the end of the line
        finally:
            os.close(reader)


def _beside_us(arguments: list[str], stdin: int) -> tuple[int, str]:
    """Run a program that may use the terminal. Its output goes to standard error: what vfdeck prints itself may be meant for a
    program.
    """
    waiting = told_of_waiting(f"{printable(arguments[0])} to take the token")
    with terminal_kept(_NOT_SET), waiting, subprocess.Popen(arguments, stdin=stdin, stdout=2) as process:
        try:
            return process.wait(), ""
        except BaseException:
            process.kill()
            raise


def _line_of(token: Token) -> bytes:
    """What is handed on of a token: a line."""
    return token.reveal_text().encode() + b"\n"


def _left(pipe: int) -> int:
    """How many bytes a pipe holds."""
    count = bytearray(4)
    fcntl.ioctl(pipe, termios.FIONREAD, count)
    return int.from_bytes(count, sys.byteorder)


class _Screen:
    def deliver(self, token: Token) -> str:
        sys.stdout.write(f"\n    {token.reveal_text()}\n\n")
        sys.stdout.flush()
        return "shown above, and nowhere else; terminals keep what they showed"

    def withdraw(self) -> str:
        return "the token shown above was not set"
