"""Reading through the seam without exceptions: what cannot be read becomes a `Problem`, what has gone is None."""

from __future__ import annotations

import errno

from vfdeck.backend.kernel import Kernel, errno_name
from vfdeck.backend.model import Problem
from vfdeck.backend.text import printable

#: Answers of a function, or a file of it, that went away while it was looked at: the next look will show it.
_GONE = frozenset({errno.ENOENT, errno.ENODEV, errno.ENXIO, errno.ESTALE})


class Reader:
    """Reads files, directories and links of one kernel and collects what went wrong in `problems`.

    Each method takes what was `expected` there, in words, for the problem's text. None, or an empty list, stands for what is gone
    and for what could not be read alike; only the latter leaves a problem.
    """

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.problems: list[Problem] = []

    def problem(self, path: str, what: str, expected: str) -> None:
        """Note that `path` was `what`, where `expected` should have been."""
        self.problems.append(Problem(printable(path), f"{what}; expected {expected}"))

    def failed(self, path: str, error: OSError, expected: str) -> bool:
        """Note the refusal of a read, unless it only says that the thing has gone; True when it was noted."""
        if error.errno in _GONE:
            return False
        self.problem(path, f"{errno_name(error.errno or 0)} ({error.strerror or 'no reason given'})", expected)
        return True

    def read(self, path: str, expected: str) -> bytes | None:
        """The content of a file."""
        try:
            return self.kernel.read(path)
        except OSError as error:
            self.failed(path, error, expected)
            return None

    def names(self, path: str, expected: str) -> list[str]:
        """The names in a directory."""
        try:
            return self.kernel.names(path)
        except OSError as error:
            self.failed(path, error, expected)
            return []

    def link(self, path: str, expected: str) -> str:
        """The last part of what a link points to, "" where it cannot be read."""
        try:
            return self.kernel.link(path).rpartition("/")[2]
        except OSError as error:
            self.failed(path, error, expected)
            return ""

    def text(self, path: str, expected: str) -> str:
        """The content of a file as one printable line."""
        return printable(self.read(path, expected) or b"")

    def number(self, path: str, expected: str = "a decimal number", base: int = 10) -> int | None:
        """The number in a file."""
        content = self.read(path, expected)
        if content is None:
            return None
        try:
            return int(content, base)
        except ValueError:
            self.problem(path, f'"{printable(content, 40)}"', expected)
            return None
