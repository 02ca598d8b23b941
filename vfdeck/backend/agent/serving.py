"""An agent's process: one host on the standard streams until the other side ends. Also what is sent to other hosts (`push.py`)."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress

from vfdeck.backend.agent.server import Server
from vfdeck.backend.agent.service import HostService
from vfdeck.backend.local_host import LocalHost


def serve(host: LocalHost, read_only: bool) -> None:
    """Serve standard streams, and end this process: what waits in the kernel is not waited for."""
    source, sink = os.dup(0), os.dup(1)
    os.dup2(2, 1)  # whatever is printed is no part of the protocol
    reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def wake() -> None:
        with suppress(BlockingIOError):
            os.write(writer, b"!")

    with suppress(BrokenPipeError, ConnectionResetError):
        Server(HostService(host, read_only, wake), source, sink, reader).run()
    host.close()
    sys.stderr.flush()
    os._exit(0)


def main() -> None:
    """The program that is sent. Its command line is a client's, not a person's: ROOT, and `read-only` after it where it is."""
    from vfdeck.backend.linux.kernel import LinuxKernel
    from vfdeck.backend.memory import memory_of

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who asks; without whom this ends
    root, *rest = sys.argv[1:]
    kernel = LinuxKernel(root)
    serve(LocalHost(kernel, memory=memory_of(kernel, os.environ)), "read-only" in rest)
