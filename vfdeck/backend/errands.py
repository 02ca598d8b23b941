"""Work that may never come back (a home on a file system whose server is gone), done on a thread of its own.

Who needs it done waits as long as it has patience for, and goes on without it; it is done all the same, in its turn, should the
file system answer again.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable


class Errand:
    """One thing to do; see `Errands`."""

    def __init__(self, job: Callable[[], None]) -> None:
        self.job = job
        self.over = threading.Event()
        self.fault: BaseException | None = None


class Errands:
    """Things to do, one after the other. The thread is a daemon, and exists while there is something to do. Any thread may ask."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[Errand] = deque()
        self._since: float | None = None  # when the one that is being done was begun; None: nothing is being done

    def late(self) -> float:
        """For how long the one that is being done has been, seconds; 0.0 where there is none."""
        with self._lock:
            return 0.0 if self._since is None else time.monotonic() - self._since

    def send(self, job: Callable[[], None]) -> Errand:
        """Have it done after what was sent before."""
        errand = Errand(job)
        with self._lock:
            self._waiting.append(errand)
            if self._since is None:
                self._since = time.monotonic()
                threading.Thread(target=self._work, name="errands", daemon=True).start()
        return errand

    def wait(self, errand: Errand, patience: float) -> bool:
        """Whether it was done before `patience` seconds were over.

        What is being done already counts from when it was begun: a file system that is dead costs the patience once, not at every
        errand. What the job raised is raised.
        """
        errand.over.wait(max(0.0, patience - self.late()))
        if errand.fault is not None:
            raise errand.fault
        return errand.over.is_set()

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._since = None
                    return
                errand = self._waiting.popleft()
                self._since = time.monotonic()
            try:
                errand.job()
            except BaseException as fault:  # belongs to whoever waits for it
                errand.fault = fault
            with self._lock:
                self._since = time.monotonic()
            errand.over.set()


#: Times that are told: a text that changes with every look would be news with every look.
_TOLD = ((3600, "1 h"), (600, "10 min"), (60, "1 min"), (10, "10 s"), (1, "1 s"))


def silence(seconds: float) -> str:
    """ "has not answered for more than 10 s", in steps."""
    return f"has not answered for more than {next((words for least, words in _TOLD if seconds >= least), 'a moment')}"
