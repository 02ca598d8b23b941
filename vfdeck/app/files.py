"""Files that commands make."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from typing import TextIO

from vfdeck.app import failure
from vfdeck.app.failure import Failure
from vfdeck.backend.text import printable


def new_file(path: str) -> TextIO:
    """A file that was not there before, for its owner's eyes, open for writing; a link in its place is not followed.

    Raises Failure: 73 where it exists or cannot be made.
    """
    try:
        return os.fdopen(
            os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600), "w", encoding="utf-8"
        )
    except (OSError, ValueError) as error:
        raise _cannot_make(path, error) from None


def write_new(path: str, text: str) -> None:
    """Write a text to a new file (`new_file`). What could be written in part only is taken away again.

    Raises Failure: 73 where the file exists or cannot be made, 74 where it cannot be written.
    """
    out = new_file(path)
    made = os.fstat(out.fileno())
    try:
        with out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
    except OSError as error:
        with suppress(OSError):
            here = os.stat(path, follow_symlinks=False)
            if (here.st_dev, here.st_ino) == (made.st_dev, made.st_ino):
                os.unlink(path)
        raise Failure(failure.IO, f"{printable(path)}: {error.strerror or 'cannot be written'}; nothing was written") from None


def demand_new(path: str) -> None:
    """Raise Failure where `new_file` surely could not make this one: before anybody is asked for anything."""
    try:
        folder = os.path.dirname(path) or "."
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        os.stat(folder)
        if not os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except (OSError, ValueError) as error:
        raise _cannot_make(path, error) from None


def _cannot_make(path: str, error: OSError | ValueError) -> Failure:
    reason = (error.strerror if isinstance(error, OSError) else None) or "not a path"
    return Failure(failure.CANNOT_CREATE, f"{printable(path)}: {reason}; expected the name of a new file")
