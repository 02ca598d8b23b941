"""The command line: what can be typed, and what every command does alike when it fails.

Nothing heavy is imported here. A command's module is imported when the command is run; only the dashboard imports Textual.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn, Protocol, cast

from vfdeck import __version__
from vfdeck.app import failure
from vfdeck.app.failure import Failure

_NO_FILE = "/dev/null"


class _Command(Protocol):
    """A module below `vfdeck.app.commands`."""

    def run(self, options: argparse.Namespace) -> int:
        """Do it and return the exit status. Raises Failure."""


class _Parser(argparse.ArgumentParser):
    """Refuses with one line and the exit status that sysexits.h has for it."""

    def error(self, message: str) -> NoReturn:
        from vfdeck.backend.text import printable

        raise Failure(failure.USAGE, f"{printable(message)}; see `{self.prog} --help`")


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    root = _Parser(
        prog="vfdeck",
        allow_abbrev=False,
        description="A terminal dashboard for SR-IOV: PFs, VFs, who holds them, and the VF tokens that guard them.",
        epilog="Without a command: the dashboard on this host. The exit status is that of sysexits.h.",
    )
    root.add_argument("--version", action="version", version=f"vfdeck {__version__}")
    root.add_argument("--root", metavar="DIR", default="/", help="read sys, proc and dev below DIR instead of /")
    root.set_defaults(command="dashboard")
    commands = root.add_subparsers(title="commands", metavar="COMMAND", parser_class=_Parser)

    demo = commands.add_parser("demo", allow_abbrev=False, help="the dashboard on simulated hardware")
    demo.add_argument("--scenario", metavar="NAME", default="default", help="which simulated host: card, default or none")
    demo.add_argument("--seed", metavar="N", type=int, default=0, help="what chance is drawn from (0)")
    demo.set_defaults(command="demo")

    tree = commands.add_parser("tree", allow_abbrev=False, help="print everything known, as text or JSON")
    tree.add_argument("--json", action="store_true", help="JSON as described by vfdeck/backend/schema/tree-v1.json")
    tree.add_argument("--all", action="store_true", help="one line for every VF: do not fold VFs that look alike")
    source = tree.add_mutually_exclusive_group()
    source.add_argument("--root", metavar="DIR", default=argparse.SUPPRESS, help="read sys, proc and dev below DIR instead of /")
    source.add_argument("--demo", metavar="SCENARIO", nargs="?", const="default", help="a simulated host instead of this one")
    tree.add_argument("--seed", metavar="N", type=int, default=0, help="with --demo: what chance is drawn from (0)")
    tree.set_defaults(command="tree")

    explain = commands.add_parser("explain", allow_abbrev=False, help="why the kernel says no: by id, by errno, by stage")
    explain.add_argument("what", metavar="ID|ERRNO", nargs="?", help="an entry (D3) or an errno (EACCES)")
    explain.add_argument("--stage", metavar="STAGE", help="only what answers there, e.g. get_device_fd")
    explain.add_argument("--list", action="store_true", help="the whole catalogue")
    explain.add_argument("--json", action="store_true", help="as JSON")
    explain.set_defaults(command="explain")

    replay = commands.add_parser("replay", allow_abbrev=False, help="compare recordings of real kernels with the simulated one")
    replay.add_argument("traces", metavar="TRACE", nargs="+", help="a file of JSON lines")
    replay.set_defaults(command="replay")

    record = commands.add_parser("record", allow_abbrev=False, help="do operations and record this kernel's answers to them")
    record.add_argument("out", metavar="FILE", help="the recording to make; it holds the tokens of its steps")
    record.add_argument(
        "--steps", metavar="FILE", default="-", help="operations as JSON lines, or another recording (standard input)"
    )
    record.add_argument("--demo", metavar="SCENARIO", nargs="?", const="default", help="on a simulated host instead of this one")
    record.add_argument("--seed", metavar="N", type=int, default=0, help="with --demo: what chance is drawn from (0)")
    record.set_defaults(command="record")
    return root


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line (the process's own by default) and return the exit status. Never raises, never prints a traceback."""
    try:
        status = _run(arguments)
        if sys.stdout is not None:
            sys.stdout.flush()
        return status
    except Failure as reason:
        return complain(reason.status, reason.line)
    except KeyboardInterrupt:
        return failure.INTERRUPTED
    except BrokenPipeError:
        _discard_output()
        return failure.BROKEN_PIPE
    except OSError as error:
        _discard_output()
        return complain(failure.IO, f"cannot go on: {error.strerror or error}")
    except Exception as error:
        return complain(failure.SOFTWARE, _fault(error))


def _run(arguments: Sequence[str] | None) -> int:
    try:
        options = parser().parse_args(arguments)
    except SystemExit as stop:  # --help and --version have been printed
        return int(stop.code or 0)
    command = cast(_Command, importlib.import_module(f"vfdeck.app.commands.{options.command}"))
    return command.run(options)


def complain(status: int, line: str) -> int:
    """Tell on standard error why it failed, if anybody still listens there; returns the exit status that it was given."""
    with suppress(OSError, ValueError):
        print(f"vfdeck: {line}", file=sys.stderr, flush=True)
    return status


def _discard_output() -> None:
    """Nobody reads what is left in the buffers: keep the interpreter from trying to write it when it exits."""
    sink = os.open(_NO_FILE, os.O_WRONLY)
    os.dup2(sink, 1)
    os.close(sink)


def _fault(error: Exception) -> str:
    """A fault of ours in one line, with the place; VFDECK_TRACEBACK=1 in the environment asks for all of it."""
    if os.environ.get("VFDECK_TRACEBACK"):
        import traceback

        return "".join(traceback.format_exception(error))
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = f"{os.path.basename(place.tb_frame.f_code.co_filename)}:{place.tb_lineno}" if place is not None else "somewhere"
    return f"internal error: {type(error).__name__} at {where}; VFDECK_TRACEBACK=1 shows more. Please report it."
