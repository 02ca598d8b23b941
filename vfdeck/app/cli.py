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
from typing import Any, NoReturn, Protocol, cast

from vfdeck import __version__
from vfdeck.app import arguments, argv, failure, reaching
from vfdeck.app.failure import Failure

#: The commands in whose memory tokens may be.
_WITH_TOKENS = frozenset({"dashboard", "demo", "token", "open", "record", "replay", "agent"})


class _Command(Protocol):
    """A module below `vfdeck.app.commands`."""

    def run(self, options: argparse.Namespace) -> int:
        """Do it and return the exit status. Raises Failure."""


class _Parser(argparse.ArgumentParser):
    """Refuses with one line and the exit status that sysexits.h has for it."""

    def error(self, message: str) -> NoReturn:
        from vfdeck.backend.text import printable

        raise Failure(failure.USAGE, f"{printable(argv.without_tokens(message))}; see `{self.prog} --help`")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """What is not known is refused here, where it is known which command's help tells of it.

        For a command that runs another one: what stands after `--` is that one's command line, kept in `holding`.
        """
        holds = self.get_default("holding") is not None
        own, command = argv.split_command(args or ()) if holds else (args, None)
        options, unknown = super().parse_known_args(own, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        if holds:
            options.holding = command
        return options, unknown


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    root = _Parser(
        prog="vfdeck",
        allow_abbrev=False,
        description="A terminal dashboard for SR-IOV: PFs, VFs, who holds them, and the VF tokens that guard them.",
        epilog="Without a command: the dashboard on this host, or on those named. The exit status is that of sysexits.h.",
    )
    root.add_argument("--version", action="version", version=f"vfdeck {__version__}")
    root.add_argument(
        "--root", metavar="DIR", type=arguments.path, default="/", help="read sys, proc and dev below DIR instead of /"
    )
    reaching.add(root, of_command=False)
    _add_theme(root)
    root.set_defaults(command="dashboard")
    commands = root.add_subparsers(title="commands", metavar="COMMAND", parser_class=_Parser)

    demo = commands.add_parser("demo", allow_abbrev=False, help="the dashboard on simulated hardware")
    which = demo.add_mutually_exclusive_group()
    which.add_argument(
        "--scenario",
        metavar="NAME",
        default="default",
        help="which simulated hosts: broken, card, datacentre (or one of its hosts: datacentre/net-01), default or none",
    )
    which.add_argument(
        "--fault", metavar="ID", help='a fault of the catalogue to practise on, e.g. A14; "list" prints all there are'
    )
    which.add_argument(
        "--tour",
        metavar="LESSON",
        nargs="?",
        type=int,
        const=1,
        help="seven short lessons on VF tokens, from this one on (1)",
    )
    demo.add_argument("--seed", metavar="N", type=int, default=0, help="what chance is drawn from (0)")
    demo.add_argument("--still", action="store_true", help="nothing happens by itself: no program comes or goes")
    _add_theme(demo, default=argparse.SUPPRESS)
    demo.set_defaults(command="demo")

    tree = commands.add_parser("tree", allow_abbrev=False, help="print everything known, as text or JSON")
    tree.add_argument("--json", action="store_true", help="JSON as described by vfdeck/backend/schema/tree-v1.json")
    tree.add_argument("--filter", metavar="WORDS", help="only what is meant, e.g. 'driver:vfio-pci held:no'; as in the dashboard")
    tree.add_argument("--all", action="store_true", help="one line for every VF: do not fold VFs that look alike")
    source = tree.add_mutually_exclusive_group()
    source.add_argument(
        "--root",
        metavar="DIR",
        type=arguments.path,
        default=argparse.SUPPRESS,
        help="read sys, proc and dev below DIR instead of /",
    )
    arguments.demo(source, tree)
    reaching.add(tree)
    tree.set_defaults(command="tree")

    holders = commands.add_parser(
        "holders",
        allow_abbrev=False,
        help="who holds which function: program, user, virtual machine, container",
        epilog="The exit status is 0 where somebody was found, 1 where nobody holds it, 77 where nobody was seen but not every "
        "process could be looked at. While watching, a program that has run for a minute without any device is looked at every 10 "
        "seconds.",
    )
    holders.add_argument("bdf", metavar="BDF", nargs="?", help="this function only, e.g. 0000:03:02.1; of a PF: it and its VFs")
    holders.add_argument("--json", action="store_true", help="JSON as described by vfdeck/backend/schema/holders-v1.json")
    holders.add_argument("--watch", action="store_true", help="print changes as they happen, until interrupted")
    place = holders.add_mutually_exclusive_group()
    place.add_argument(
        "--root",
        metavar="DIR",
        type=arguments.path,
        default=argparse.SUPPRESS,
        help="read sys, proc and dev below DIR instead of /",
    )
    arguments.demo(place, holders)
    reaching.add(holders)
    holders.set_defaults(command="holders")

    arguments.add_settings(commands)
    arguments.add_watch(commands)
    arguments.add_history(commands)
    arguments.add_agent(commands)
    arguments.add_function(commands)
    arguments.add_token(commands, _Parser)
    arguments.add_open(commands)
    arguments.add_recipe(commands)

    explain = commands.add_parser(
        "explain",
        allow_abbrev=False,
        help="why the kernel says no: by id, by errno, by stage, by words",
        epilog="The exit status is 0 where something was printed or written, 64 where nothing in the catalogue answers to what was "
        "asked, 73 where the bundle's file cannot be made.",
    )
    explain.add_argument(
        "what", metavar="ID|ERRNO|WORDS", nargs="*", help="an entry (D3), an errno (EACCES), words of a badge or a log line"
    )
    explain.add_argument(
        "--stage", metavar="STAGE", help="only what answers there: a stage (get_device_fd) or a file (sriov_numvfs)"
    )
    explain.add_argument("--list", action="store_true", help="the whole catalogue")
    form = explain.add_mutually_exclusive_group()
    form.add_argument("--json", dest="format", action="store_const", const="json", help="as JSON")
    form.add_argument(
        "--format", choices=("text", "json", "markdown", "man"), help="as text (usual), JSON, Markdown or a manual page"
    )
    explain.add_argument(
        "--bundle", metavar="FILE", type=arguments.path, nargs="?", const="-", help="write what a bug report needs, without secrets"
    )
    explain.add_argument("--about", metavar="BDF", help="with --bundle: the function that was refused")
    arguments.demo(explain, explain, "with --bundle: of a simulated host")
    reaching.add(explain, refused=True)
    explain.set_defaults(command="explain")

    check = commands.add_parser(
        "check",
        allow_abbrev=False,
        help="ask before the kernel is asked: VFs, drivers, opens",
        description="Can this PF give N VFs? Can this function go to a driver? Can it be opened? Nothing is changed or opened.",
        epilog="The marks: yes; NO decides, no does not; ?? could not be checked and would decide, ? would not. The exit status is "
        "0 for yes, 1 for no, 2 where something that decides could not be checked, 64 where no question that can be answered was "
        "asked, 66 where there is no such function.",
    )
    check.add_argument("pf", metavar="PF", nargs="?", help="a PF's address, e.g. 0000:03:00.0: can it give N VFs?")
    check.add_argument("count", metavar="N", nargs="?", type=int, help="how many; 0: can its VFs be removed?")
    check.add_argument("--bind", metavar="BDF", help="can this function go to the driver?")
    check.add_argument("--driver", metavar="NAME", help="with --bind: which driver (vfio-pci)")
    check.add_argument("--open", metavar="BDF", help="can this function be opened?")
    check.add_argument("--path", choices=("group", "cdev"), help="with --open: by its group (usual) or its own node")
    check.add_argument("--user", metavar="NAME", help="with --open: by this user, a name or a number")
    check.set_defaults(command="check")

    doctor = commands.add_parser(
        "doctor",
        allow_abbrev=False,
        help="what is the matter with this host",
        epilog="The exit status is 0 with nothing above a note, 1 with warnings, 2 with errors.",
    )
    doctor.set_defaults(command="doctor")
    for command in (check, doctor):
        command.add_argument("--json", action="store_true", help="JSON as described by vfdeck/backend/schema/checks-v1.json")
        source = command.add_mutually_exclusive_group()
        source.add_argument(
            "--root", metavar="DIR", type=arguments.path, default=argparse.SUPPRESS, help="read sys, proc, dev and etc below DIR"
        )
        arguments.demo(source, command)
        reaching.add(command)

    replay = commands.add_parser("replay", allow_abbrev=False, help="compare recordings of real kernels with the simulated one")
    replay.add_argument("traces", metavar="TRACE", nargs="+", help="a file of JSON lines")
    replay.set_defaults(command="replay")

    record = commands.add_parser("record", allow_abbrev=False, help="do operations and record this kernel's answers to them")
    record.add_argument("out", metavar="FILE", type=arguments.path, help="the recording to make; it holds the tokens of its steps")
    record.add_argument(
        "--steps",
        metavar="FILE",
        type=arguments.path,
        default="-",
        help="operations as JSON lines, or another recording (standard input)",
    )
    arguments.demo(record, record, "on a simulated host instead of this one")
    reaching.add(record, refused=True)
    record.set_defaults(command="record")
    return root


def _add_theme(command: argparse.ArgumentParser, **more: Any) -> None:
    """The option that the dashboard and the demo have; what a theme is called is checked when one of them is run."""
    command.add_argument(
        "--theme", metavar="NAME", help="the colours: dark, light, high-contrast, colour-blind or 16-colours", **more
    )


def main(typed: Sequence[str] | None = None) -> int:
    """Run a command line (the process's own by default) and return the exit status. Never raises, never prints a traceback."""
    try:
        status = _run(typed)
        if sys.stdout is not None:
            sys.stdout.flush()
        return status
    except Failure as reason:
        return complain(reason.status, reason.line)
    except KeyboardInterrupt:
        return failure.INTERRUPTED
    except BrokenPipeError:
        failure.discard_output()
        return failure.BROKEN_PIPE
    except OSError as error:
        failure.discard_output()
        return complain(failure.IO, f"cannot go on: {error.strerror or error}")
    except Exception as error:
        return complain(failure.SOFTWARE, _fault(error))


def _run(typed: Sequence[str] | None) -> int:
    argv.demand_no_token(sys.argv[1:] if typed is None else typed)
    try:
        options = parser().parse_args(typed)
    except SystemExit as stop:  # --help and --version have been printed
        return int(stop.code or 0)
    _settle_seed(options)
    reaching.settle(options)
    if typed is None and options.command in _WITH_TOKENS:  # the process is ours alone
        from vfdeck.app.hygiene import keep_memory_private

        if undone := keep_memory_private():
            complain(0, f"could not keep this program's memory private ({undone}): a crash or a debugger may show tokens")
    command = cast(_Command, importlib.import_module(f"vfdeck.app.commands.{options.command}"))
    return reaching.status(options, command.run(options))


def _settle_seed(options: argparse.Namespace) -> None:
    """Without --seed it is 0. Raises Failure where a seed is given and nothing is simulated."""
    if "demo" not in options:
        return
    if options.demo is None and options.seed is not None:
        raise Failure(failure.USAGE, "--seed goes with --demo")
    options.seed = options.seed or 0


def complain(status: int, line: str) -> int:
    """Tell on standard error why it failed, if anybody still listens there; returns the exit status that it was given.

    A line may repeat what was typed: what may be a token there is hidden.
    """
    with suppress(OSError, ValueError):
        print(f"vfdeck: {argv.without_tokens(line)}", file=sys.stderr, flush=True)
    return status


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
