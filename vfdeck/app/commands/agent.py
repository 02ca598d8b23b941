"""`vfdeck agent`: one host behind standard streams, or, with --listen, behind a Unix socket; spoken to in Varlink."""

from __future__ import annotations

import argparse
import errno
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from vfdeck.app import failure, units
from vfdeck.app.commands import hosts
from vfdeck.app.failure import Failure
from vfdeck.app.files import demand_new, write_new
from vfdeck.backend.agent.serving import serve
from vfdeck.backend.local_host import LocalHost
from vfdeck.backend.memory import memory_of, peer_of
from vfdeck.backend.text import printable

#: So many connections at once; whoever comes later waits.
CONNECTIONS = 64
#: Seconds until somebody is let in again, where that has failed.
_BREATH = 1.0
#: SD_LISTEN_FDS_START
_FIRST_HANDED_OVER = 3


def run(options: argparse.Namespace) -> int:
    """Serve until the other side ends. Raises Failure: 64 for a terminal, 66, 73 where the socket or a file cannot be made."""
    if options.units is not None:
        return _write_units(options.units)
    if options.listen:
        return _listen(options)
    _take_handed_over()
    if os.isatty(0):
        raise Failure(failure.USAGE, "an agent speaks Varlink on its standard streams, and a terminal does not; see --listen")
    host = _host(options)
    serve(host, options.read_only)
    return 0


def _host(options: argparse.Namespace) -> LocalHost:
    if options.demo is not None:
        return hosts.simulated(options.demo, options.seed, realtime=True)
    host = hosts.local(options.root)
    peer = peer_of(0)
    return host if peer is None else LocalHost(host.kernel, memory=memory_of(host.kernel, os.environ, peer))


def _take_handed_over() -> None:
    """Descriptor 3, where a connection was handed over so (sd_listen_fds(3), as `varlinkctl` does), stands for the streams."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or os.environ.get("LISTEN_FDS") != "1":
        return
    for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        os.environ.pop(name, None)
    try:
        os.dup2(_FIRST_HANDED_OVER, 0)
        os.dup2(_FIRST_HANDED_OVER, 1)
        os.close(_FIRST_HANDED_OVER)
    except OSError as error:
        raise Failure(failure.USAGE, f"LISTEN_FDS tells of descriptor 3: {error.strerror}; expected a connection") from None


# -- an installed agent ------------------------------------------------------------------------------------------------------
def _write_units(folder: str) -> int:
    """Write what an installed agent takes, for this very program, and say where it belongs."""
    program = f"{sys.executable} -I -m vfdeck"
    if not program.isascii() or len(program.split()) != 4:
        raise Failure(failure.UNAVAILABLE, f"{printable(sys.executable)}: no path for a unit; expected one without blanks")
    from importlib.resources import files  # 2 MiB, which no agent that serves needs

    if not os.path.isdir(folder):
        raise Failure(failure.CANNOT_CREATE, f"{printable(folder)}: no such folder; expected one to write the units to")
    made = {one.name: one.read_text(encoding="utf-8") for one in files(units).iterdir() if one.name.startswith("vfdeck")}
    for name in made:
        demand_new(os.path.join(folder, name))
    for doubt in _doubts():
        print(f"! {printable(doubt)}", flush=True)
    for name, text in sorted(made.items()):
        write_new(os.path.join(folder, name), text.replace("@VFDECK@", program))
    print("\n".join(os.path.join(printable(folder), name) for name in sorted(made)))
    print(_NEXT, end="")
    return 0


def _doubts() -> Iterator[str]:
    """Why this very program should not be what the units run."""
    ask = [sys.executable, "-I", "-c", "import vfdeck; print(vfdeck.__path__[0])"]  # as the units do: not what PYTHONPATH leads to
    asked = subprocess.run(ask, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if asked.returncode:
        yield f"{sys.executable} -I has no vfdeck, and that is what the units run; install vfdeck there first"
    for path in (os.path.realpath(sys.executable), *asked.stdout.splitlines()):
        if _is_open_to_others(path):
            yield f"{path} can be changed by others than root, who would be root by this; install vfdeck as root first"
        if path.startswith(("/tmp/", "/var/tmp/")):
            yield f"{path} is not there for the units, which have a /tmp of their own"


def _is_open_to_others(path: str) -> bool:
    """Whether somebody else than root may replace a file: it, or a folder on the way to it."""
    while True:
        found = os.stat(path)
        loose = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not (stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX)
        if found.st_uid != 0 or loose:
            return True
        if path == "/":
            return False
        path = os.path.dirname(path)


_NEXT = """
vfdeck.sysusers  to /etc/sysusers.d/vfdeck.conf, then systemd-sysusers
*.socket, *.service  to /etc/systemd/system, then systemctl enable --now vfdeck-read.socket vfdeck-admin.socket
vfdeck.sudoers  to /etc/sudoers.d/vfdeck, mode 0440, only where there is no systemd; check it first with visudo -cf
The group vfdeck may look, vfdeck-admin may change.
"""


# -- a socket --------------------------------------------------------------------------------------------------------------
def _listen(options: argparse.Namespace) -> int:
    """An agent for each connection, with the socket as its standard streams, as systemd does it with Accept=yes."""
    looked_at = hosts.local(options.root) if options.demo is None else hosts.simulated(options.demo, options.seed)
    looked_at.close()  # what is wrong with it is told here, and not to the first who comes
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # as Ctrl-C does: the socket goes with its listener
    command = [sys.executable, "-P", "-m", "vfdeck", "agent"]  # -P: nothing is imported from where somebody stands
    command += ["--read-only"] if options.read_only else []
    command += ["--root", options.root] if options.root != "/" else []
    command += [] if options.demo is None else ["--demo", options.demo, "--seed", str(options.seed)]
    room = threading.BoundedSemaphore(CONNECTIONS)
    with _bound(options.listen) as listening, _gone_at_the_end(options.listen):
        print(f"vfdeck: listening on {printable(options.listen)}; Ctrl-C ends it", file=sys.stderr, flush=True)
        while True:
            room.acquire()
            try:
                connection, _ = listening.accept()
                with connection:
                    agent = subprocess.Popen(command, stdin=connection.fileno(), stdout=connection.fileno())
            except OSError as error:  # too many processes or files: who is there stays, who comes tries again
                room.release()
                print(f"vfdeck: nobody could be let in: {error.strerror}", file=sys.stderr, flush=True)
                time.sleep(_BREATH)
                continue
            threading.Thread(target=_see_off, args=(agent, room), name="agent's end", daemon=True).start()


def _see_off(agent: subprocess.Popen[bytes], room: threading.BoundedSemaphore) -> None:
    agent.wait()
    room.release()


def _bound(path: str) -> socket.socket:
    """A socket for this user alone. One that nobody listens at any more gives way; nothing else does."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    before = os.umask(0o177)
    try:
        if _is_dead(path):
            os.unlink(path)
        listening.bind(path)
        listening.listen()
    except (OSError, ValueError) as error:
        listening.close()
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise Failure(failure.CANNOT_CREATE, f"{printable(path)}: {printable(reason)}; expected a path for a new socket") from None
    finally:
        os.umask(before)
    return listening


@contextmanager
def _gone_at_the_end(path: str) -> Iterator[None]:
    """Take the socket's file away at the end, if it is still the same."""
    made = os.lstat(path)
    try:
        yield
    finally:
        with suppress(OSError):
            here = os.lstat(path)
            if (here.st_dev, here.st_ino) == (made.st_dev, made.st_ino):
                os.unlink(path)


def _is_dead(path: str) -> bool:
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            return False
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as trying:
            trying.connect(path)
    except OSError as error:
        return error.errno == errno.ECONNREFUSED
    return False
