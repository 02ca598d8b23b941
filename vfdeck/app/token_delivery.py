"""Where a token goes that vfdeck made: to a file, to another program, or to the screen.

It goes there before the kernel gets it, so that no token is in force that nobody has.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import shutil
import subprocess
import sys
import termios
from contextlib import suppress
from typing import Protocol

from vfdeck.app import failure
from vfdeck.app.failure import Failure
from vfdeck.app.files import demand_new, new_file
from vfdeck.app.terminal import terminal_kept
from vfdeck.app.token_sources import ended, words
from vfdeck.backend.text import printable
from vfdeck.backend.token import Token


class Delivery(Protocol):
    """One way to hand a token on."""

    def deliver(self, token: Token) -> str:
        """Hand it on; says where it is. Raises Failure where it could not be."""

    def withdraw(self) -> str:
        """It was not set after all; says what became of what was handed on."""


def wanted(options: argparse.Namespace) -> Delivery | None:
    """The delivery that the options name. Raises Failure where it surely cannot be: a file that is there, no such command, no
    terminal to show it on.
    """
    if options.out is not None:
        demand_new(options.out)
        return _File(options.out)
    if options.to_command is not None:
        arguments = words(options.to_command, "--to-command")
        if shutil.which(arguments[0]) is None:
            line = f"cannot run {printable(arguments[0])}: there is no such program, or it may not be run; nothing was set"
            raise Failure(failure.UNAVAILABLE, line)
        return _Command(arguments)
    if options.show:
        if sys.stdout is None or not sys.stdout.isatty():
            raise Failure(failure.USAGE, "--show needs a terminal on standard output; --out and --to-command need none")
        return _Screen()
    return None


class _File:
    def __init__(self, path: str) -> None:
        self._path = path
        self._made: tuple[int, int] | None = None  # device and inode of the file that we made

    def deliver(self, token: Token) -> str:
        with new_file(self._path) as out:
            made = os.fstat(out.fileno())
            self._made = (made.st_dev, made.st_ino)
            try:
                os.write(out.fileno(), token.reveal_text().encode() + b"\n")  # no buffer keeps it
                os.fsync(out.fileno())
            except OSError as error:
                self.withdraw()
                line = f"{printable(self._path)}: {error.strerror}; nothing was set"
                raise Failure(failure.IO, line) from None
        return f"written to {printable(self._path)}, for its owner's eyes"

    def withdraw(self) -> str:
        name = printable(self._path)
        with suppress(OSError):
            here = os.stat(self._path, follow_symlinks=False)
            if (here.st_dev, here.st_ino) == self._made:
                os.unlink(self._path)
                return f"{name} was removed again"
        return f"{name} was not removed: it is not the file that vfdeck made, or it cannot be; its token was not set"


class _Command:
    def __init__(self, arguments: list[str]) -> None:
        self._arguments = arguments

    def deliver(self, token: Token) -> str:
        """Its output goes to standard error: what vfdeck prints itself may be meant for a program."""
        name = printable(self._arguments[0])
        with terminal_kept("nothing was set"):
            try:
                status, unread = _given(self._arguments, token)
            except (OSError, ValueError) as error:
                reason = (error.strerror if isinstance(error, OSError) else None) or "not a command"
                raise Failure(failure.UNAVAILABLE, f"cannot run {name}: {reason}; nothing was set") from None
        if status:
            raise Failure(failure.UNAVAILABLE, f"{name} {ended(status)}; nothing was set")
        if unread:
            raise Failure(failure.UNAVAILABLE, f"{name} ended well without reading the token, so nobody has it; nothing was set")
        return f"handed to {name}"

    def withdraw(self) -> str:
        return f"{printable(self._arguments[0])} was given a token that was not set: forget it there"


def _given(arguments: list[str], token: Token) -> tuple[int, bool]:
    """Run a command with a token on its standard input: how it ended, and whether part of the token was left unread.

    A pipe holds what nobody has read, even after its last reader has gone, as long as one end of ours is open.
    """
    reader, writer = os.pipe2(os.O_CLOEXEC)
    try:
        os.write(writer, token.reveal_text().encode() + b"\n")  # fits into any pipe
        with subprocess.Popen(arguments, stdin=reader, stdout=2) as process:
            os.close(writer)
            writer = -1
            try:
                status = process.wait()
            except BaseException:
                process.kill()
                raise
        return status, _left(reader) > len(b"\n")  # who counts characters leaves the end of the line
    finally:
        os.close(reader)
        if writer >= 0:
            os.close(writer)


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
