"""The terminal around programs that ask for secrets: as it was, whatever interrupts them."""

from __future__ import annotations

import os
import sys
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from vfdeck.app import failure

#: How long something may take before it is said what is waited for, seconds.
PATIENCE = 0.5


@contextmanager
def terminal_kept(what: str) -> Iterator[None]:
    """While a person is asked, or a program that may ask one: an interrupt leaves the terminal as it was.

    Raises Failure for an interrupt: 130, with `what` became of it.
    """
    with _controlling() as fd:
        before = _settings(fd)
        try:
            yield
        except KeyboardInterrupt:
            if before is not None and fd is not None:
                with suppress(termios.error):
                    termios.tcsetattr(fd, termios.TCSADRAIN, before)
            raise failure.interrupted(what) from None


@contextmanager
def told_of_waiting(what: str) -> Iterator[None]:
    """Where what is done meanwhile takes long, say on standard error what is waited for."""

    def tell() -> None:
        with suppress(OSError, ValueError):
            print(f"waiting for {what}; Ctrl-C ends it", file=sys.stderr, flush=True)

    late = threading.Timer(PATIENCE, tell)
    late.daemon = True
    late.start()
    try:
        yield
    finally:
        late.cancel()
        late.join()


@contextmanager
def _controlling() -> Iterator[int | None]:
    """The terminal that the program was started on; None where there is none."""
    try:
        fd = os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError:
        yield None
        return
    try:
        yield fd
    finally:
        os.close(fd)


def _settings(fd: int | None) -> list[Any] | None:
    if fd is None:
        return None
    try:
        return termios.tcgetattr(fd)
    except termios.error:
        return None
