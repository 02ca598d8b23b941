"""The kernel log, read from /dev/kmsg (Documentation/ABI/testing/dev-kmsg)."""

from __future__ import annotations

import errno
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from vfdeck.backend.kernel import LogLine
from vfdeck.backend.text import printable
from vfdeck.backend.workload import redacted

#: Lines that are kept, newest.
KEPT = 2000
# The longest record that devkmsg_read hands out is below this (CONSOLE_EXT_LOG_MAX and PRINTK_MESSAGE_MAX of kernel/printk).
_RECORD = 16384


class KernelLog:
    """The newest lines of the kernel log. The device is opened once, and each call reads only what came since the last.

    `opener` opens the device for reading without waiting and raises OSError.
    """

    def __init__(self, opener: Callable[[], int], kept: int = KEPT) -> None:
        self._opener = opener
        self._fd: int | None = None
        self._lines: deque[LogLine] = deque(maxlen=kept)
        self._lock = threading.Lock()

    def lines(self) -> list[LogLine] | None:
        """Lines of the kernel itself, oldest first; None where the log may not be read (dmesg_restrict) or is not there."""
        with self._lock:
            try:
                if self._fd is None:
                    self._fd = self._opener()
                    weakref.finalize(self, os.close, self._fd)
                records = _records(self._fd)
                # as dmesg -T: the log's clock stands still while the machine sleeps, so lines from before that seem later
                self._lines.extend(_parse(records, time.time() - time.monotonic()))
            except OSError:
                return None
            return list(self._lines)


def _records(fd: int) -> bytes:
    """What can be read now. A reader that was overtaken by the ring buffer is told so once (EPIPE) and goes on."""
    parts: list[bytes] = []
    while True:
        try:
            part = os.read(fd, _RECORD)
        except OSError as error:
            if error.errno == errno.EPIPE:
                continue
            if error.errno == errno.EAGAIN:
                break
            raise
        if not part:
            break
        parts.append(part)
    return b"".join(parts)


def _parse(data: bytes, boot: float) -> list[LogLine]:
    """Records to lines. Only the kernel's own (facility 0) count: programs may write here too, but under other facilities.

    `boot` is when the machine started, in seconds since the epoch.

    Audit lines hold what programs were given: tokens are hidden before a line is cut, as half of one is not known for a token.

    A record is `PRIORITY,SEQUENCE,MICROSECONDS,FLAGS[,...];TEXT`; lines that begin with a space are its properties.
    """
    lines = []
    for line in data.split(b"\n"):
        head, semicolon, text = line.partition(b";")
        if not semicolon or line.startswith(b" "):
            continue
        fields = head.split(b",")
        with suppress(ValueError, IndexError):
            if int(fields[0]) >> 3 == 0:
                seconds = int(fields[2]) / 1e6
                lines.append(LogLine(seconds, printable(redacted(text.decode("utf-8", "surrogateescape"))), boot + seconds))
    return lines
