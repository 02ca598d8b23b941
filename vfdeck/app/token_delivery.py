"""Where a token goes that vfdeck made: to a file, to another program, or to the screen.

It goes there before the kernel gets it, so that no token is in force that nobody has.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from contextlib import suppress
from typing import Protocol

from vfdeck.app import failure
from vfdeck.app.failure import Failure
from vfdeck.app.files import new_file
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
    """The delivery that the options name. Raises Failure where there is no terminal to show it on, or no command."""
    if options.out is not None:
        return _File(options.out)
    if options.to_command is not None:
        return _Command(words(options.to_command, "--to-command"))
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
        text = token.reveal_text().encode() + b"\n"
        try:
            done = subprocess.run(self._arguments, input=text, stdout=2, check=False)
        except (OSError, ValueError) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or "not a command"
            raise Failure(failure.UNAVAILABLE, f"cannot run {name}: {reason}; nothing was set") from None
        if done.returncode:
            raise Failure(failure.UNAVAILABLE, f"{name} {ended(done.returncode)}; nothing was set")
        return f"handed to {name}"

    def withdraw(self) -> str:
        return f"{printable(self._arguments[0])} was given a token that was not set: forget it there"


class _Screen:
    def deliver(self, token: Token) -> str:
        sys.stdout.write(f"\n    {token.reveal_text()}\n\n")
        sys.stdout.flush()
        return "shown above, and nowhere else; terminals keep what they showed"

    def withdraw(self) -> str:
        return "the token shown above was not set"
