"""Files that commands make."""

from __future__ import annotations

import os
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
        reason = (error.strerror if isinstance(error, OSError) else None) or "not a path"
        raise Failure(failure.CANNOT_CREATE, f"{printable(path)}: {reason}; expected the name of a new file") from None
