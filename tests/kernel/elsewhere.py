"""Another program, as far as the kernel can tell: a process with a name of its own that makes system calls for a test."""

from __future__ import annotations

import multiprocessing
import os
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, cast

from vfdeck.backend.kernel import Kernel
from vfdeck.backend.linux.kernel import LinuxKernel

_FORK = multiprocessing.get_context("fork")


class Elsewhere:
    """The calls of `Kernel` that open and use devices, made by a process of its own. Made by `start`."""

    simulated = False

    def __init__(self, name: str) -> None:
        self._calls, theirs = _FORK.Pipe()
        self._process = _FORK.Process(target=_serve, args=(name, theirs), daemon=True)
        self._process.start()
        theirs.close()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)

        def call(*args: Any, **kwargs: Any) -> Any:
            self._calls.send((name, args, kwargs))
            answer, error = self._calls.recv()
            if error is not None:
                raise error
            return answer

        return call

    def end(self) -> None:
        """Let the process end: all it has open is closed."""
        self._calls.close()
        self._process.join(60)


def start(name: str) -> Kernel:
    """A program of this name."""
    return cast(Kernel, Elsewhere(name))


def end(kernel: Kernel) -> None:
    """Let a program that `start` made end."""
    assert isinstance(kernel, Elsewhere)
    kernel.end()


def _serve(name: str, calls: Connection) -> None:
    _let_go_of_all_but(calls.fileno())
    Path("/proc/self/comm").write_text(name[:15], encoding="ascii")
    kernel = LinuxKernel()
    while True:
        try:
            method, args, kwargs = calls.recv()
        except EOFError:
            os._exit(0)
        answer, error = None, None
        try:
            answer = getattr(kernel, method)(*args, **kwargs)
        except OSError as refusal:
            error = refusal
        calls.send((answer, error))


def _let_go_of_all_but(kept: int) -> None:
    """What the test has open is inherited: a device would stay in use, and the ends of pipes would keep other programs waiting."""
    for fd in map(int, os.listdir("/proc/self/fd")):
        if fd > 2 and fd != kept:
            with suppress(OSError):  # the listing's own
                os.close(fd)
