"""Where a command gets a token from: a file, standard input, or another program. Never from the command line.

Each takes the first line of what it reads, so that the files and programs of password stores work as they are. What was read is
never part of a complaint.
"""

from __future__ import annotations

import argparse
import os
import select
import shlex
import stat
import subprocess
import sys

from vfdeck.app import failure
from vfdeck.app.failure import Failure
from vfdeck.app.terminal import terminal_kept, told_of_waiting
from vfdeck.backend.text import printable
from vfdeck.backend.token import Token, TokenError

#: Bytes that are read at most: a token's line has 46 of them in its longest spelling.
_ENOUGH = 4096
#: Bytes that a program may print: an entry of a password store may have notes behind its first line.
_MOST = 1 << 16
_NOT_READ = "no token was read"
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def given(options: argparse.Namespace, name: str = "token") -> Token | None:
    """The token that the options `--NAME-file`, `--NAME-stdin` and `--NAME-command` lead to; None where they name no source.

    Raises Failure: 64 for a command line that is none, 65 for what is no token, 66 for a source that cannot be read, 77 for a file
    that others can read.
    """
    file, stdin, command = (getattr(options, f"{name}_{source}") for source in ("file", "stdin", "command"))
    if file is not None:
        return _parse(_from_file(file), printable(file))
    if stdin:
        return _parse(_from_stdin(), "standard input")
    if command is not None:
        arguments = words(command, f"--{name.replace('_', '-')}-command")
        return _parse(_from_command(arguments), f"the output of {printable(arguments[0])}")
    return None


def words(command: str, option: str) -> list[str]:
    """A command line as words; no shell is involved. Raises Failure."""
    try:
        found = shlex.split(command)
    except ValueError as error:
        raise Failure(failure.USAGE, f"{option}: {str(error).lower()}; expected a command as in a shell, without pipes") from None
    if not found:
        raise Failure(failure.USAGE, f"{option} is empty; expected a command such as 'pass show vf/0000:03:00.0'")
    return found


def _parse(content: bytes, where: str) -> Token:
    line = content.partition(b"\n")[0].strip()
    if not line:
        raise Failure(failure.DATA, f"{where}: the first line is empty; expected a UUID")
    try:
        return Token.parse(line.decode("latin-1"))
    except TokenError as error:
        raise Failure(failure.DATA, f"{where}: {error}") from None


def _read(fd: int) -> bytes:
    """What is there up to the end of the first line."""
    content = b""
    while len(content) < _ENOUGH and b"\n" not in content:
        more = os.read(fd, _ENOUGH - len(content))
        if not more:
            break
        content += more
    return content


# -- a file --------------------------------------------------------------------------------------------------------------
def _from_file(path: str) -> bytes:
    """Links are followed (secrets of pods and `<(...)` are links); what was opened is judged, not its name."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK)  # a pipe opens before somebody writes
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "not a path"
        raise Failure(failure.NO_INPUT, f"{printable(path)}: {reason}; expected a file with a token") from None
    try:
        if not _is_unnamed(fd):
            _demand_private(path, os.fstat(fd))
        if stat.S_ISFIFO(os.fstat(fd).st_mode):
            _wait_for_writer(fd, path)
        return _read(fd)
    except OSError as error:
        raise Failure(failure.NO_INPUT, f"{printable(path)}: {error.strerror}; expected a file with a token") from None
    finally:
        os.close(fd)


def _wait_for_writer(fd: int, path: str) -> None:
    """Wait until somebody has written to a pipe; who waits for long is told what for. Raises Failure where it was interrupted."""
    waiting = select.poll()
    waiting.register(fd, select.POLLIN)
    with terminal_kept(_NOT_READ), told_of_waiting(f"somebody to write a token into {printable(path)}"):
        waiting.poll()
    os.set_blocking(fd, True)


def _is_unnamed(fd: int) -> bool:
    """Whether it is a pipe of ours without a name, as of `<(...)`: whose it is was settled when we were given it."""
    try:
        return os.readlink(f"/proc/self/fd/{fd}").startswith("pipe:[")
    except OSError:
        return False


def _trusted() -> set[int]:
    """Whose files may hold a token: ours, root's, and those of the operator who became root by sudo for this one command."""
    mine = {0, os.geteuid()}
    caller = os.environ.get("SUDO_UID", "")
    return mine | {int(caller)} if os.geteuid() == 0 and caller.isascii() and caller.isdigit() and len(caller) < 11 else mine


def _demand_private(path: str, state: os.stat_result) -> None:
    """A secret that others can read is none, and one that others chose neither. A group may be let in by root only, who decides
    who is in it.
    """
    if state.st_uid not in _trusted():
        line = f"{printable(path)} belongs to uid {state.st_uid}, who can choose what is in it; expected your own or root's"
        raise Failure(failure.NO_PERMISSION, line)
    if not stat.S_ISREG(state.st_mode) and not stat.S_ISFIFO(state.st_mode):
        raise Failure(failure.NO_INPUT, f"{printable(path)} is neither a file nor a pipe; expected a file with a token")
    allowed = stat.S_IRGRP if state.st_uid == 0 else 0
    if state.st_mode & _OTHERS & ~allowed:
        mode = stat.S_IMODE(state.st_mode)
        line = f"{printable(path)} has mode {mode:04o}: a token that others can read is no secret; set another one, and chmod 600"
        raise Failure(failure.NO_PERMISSION, line)


# -- standard input ------------------------------------------------------------------------------------------------------
def _from_stdin() -> bytes:
    if sys.stdin is None:
        raise Failure(failure.NO_INPUT, "there is no standard input to read a token from")
    try:
        if sys.stdin.isatty():
            import getpass

            with terminal_kept(_NOT_READ):
                return getpass.getpass("VF token (not shown): ").encode("utf-8", "surrogateescape")
        return _read(sys.stdin.fileno())
    except EOFError:
        return b""
    except OSError as error:
        raise Failure(failure.NO_INPUT, f"standard input: {error.strerror}; expected a token") from None


# -- another program -----------------------------------------------------------------------------------------------------
def _from_command(arguments: list[str]) -> bytes:
    name = printable(arguments[0])
    try:
        with terminal_kept(_NOT_READ), told_of_waiting(f"{name} to print a token"):
            status, content = _output(arguments)
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "not a command"
        raise Failure(failure.NO_INPUT, f"cannot run {name}: {reason}; expected a command that prints a token") from None
    if len(content) > _MOST:
        raise Failure(failure.DATA, f"{name} printed more than {_MOST} bytes; expected a token and little else")
    if status:
        raise Failure(failure.NO_INPUT, f"{name} {ended(status)}; expected it to print a token")
    return content


def _output(arguments: list[str]) -> tuple[int, bytes]:
    """How a program ended, and what it printed; one that prints more than `_MOST` bytes is ended. Raises OSError, ValueError."""
    with subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            content = process.stdout.read(_MOST + 1)
            if len(content) > _MOST:
                process.kill()
            return process.wait(), content
        except BaseException:  # interrupted
            process.kill()
            raise


def ended(status: int) -> str:
    """How a program ended."""
    return f"was ended by signal {-status}" if status < 0 else f"exited with status {status}"
