"""The parsers of commands that change something, `recipe` and `watch`. Nothing is imported that `--help` would wait for."""

from __future__ import annotations

import argparse
from typing import Any

from vfdeck.app import reaching

_STATUSES = (
    "The exit status is 0 where it was done, 1 where you said no, 69 where it cannot be done now, 71 where the kernel refused, "
    "75 where somebody else is in the way, 77 where this user or this token may not."
)


def add_token(commands: Any, kind: type[argparse.ArgumentParser]) -> None:
    """The parsers of `vfdeck token`; `kind` is the class of parsers."""
    token = commands.add_parser("token", allow_abbrev=False, help="VF tokens: set, rotate, verify, what is known, where they leak")
    doings = token.add_subparsers(title="what to do", metavar="WHAT", parser_class=kind, required=True, dest="doing")
    _add_set(doings)
    _add_rotate(doings)
    _add_verify(doings)
    _add_status(doings)
    _add_scan(doings)
    token.set_defaults(command="token")


def _add_set(doings: Any) -> None:
    setting = doings.add_parser(
        "set",
        allow_abbrev=False,
        help="set a PF's token",
        description="Whoever opens a VF of the PF from then on must give it. What it touches is shown first, and asked for.",
        epilog=_STATUSES,
    )
    setting.add_argument("pf", metavar="PF", help="a PF's address, e.g. 0000:03:00.0")
    _sources(setting).add_argument("--generate", action="store_true", help="make a random one; say where it goes")
    _deliveries(setting)
    _way(setting)
    _doing(setting)


def _add_rotate(doings: Any) -> None:
    rotating = doings.add_parser(
        "rotate",
        allow_abbrev=False,
        help="replace a PF's token by a random one; what is open goes on",
        description="Made, handed on, and set in the least invasive way there is. Tells who goes on, and who must be told.",
        epilog=_STATUSES,
    )
    rotating.add_argument("pf", metavar="PF", help="a PF's address, e.g. 0000:03:00.0")
    _deliveries(rotating)
    _way(rotating)
    _doing(rotating)
    rotating.set_defaults(generate=True, token_file=None, token_stdin=False, token_command=None)


def _add_verify(doings: Any) -> None:
    verifying = doings.add_parser(
        "verify",
        allow_abbrev=False,
        help="is this token the right one for a VF? Asked without opening it",
        epilog="The exit status is 0 for right, 1 for wrong. Where it could not be told: 69 it cannot be asked now, 71 the kernel "
        "refused, 75 somebody else is in the way, 77 this user may not. 64 to 66: the command line, the token or the function is "
        "none.",
    )
    verifying.add_argument("bdf", metavar="VF", help="a VF's address, e.g. 0000:03:02.1")
    _sources(verifying)
    verifying.add_argument("--path", choices=("group", "cdev"), default="group", help="ask by its group (usual) or its own node")
    _where(verifying)


def _add_status(doings: Any) -> None:
    status = doings.add_parser(
        "status",
        allow_abbrev=False,
        help="what is known of each PF's token, how well, and which VFs need one",
        epilog="The exit status is 0 where every PF's token that guards VFs is known, 1 where one is not.",
    )
    status.add_argument("pfs", metavar="PF", nargs="*", help="these PFs only")
    status.add_argument(
        "--history", action="store_true", help="what vfdecks did to each token since its PF was bound (JSON has it)"
    )
    status.add_argument("--json", action="store_true", help="JSON as described by vfdeck/backend/schema/tokens-v1.json")
    reaching.add(status)
    _place(status)


def _add_scan(doings: Any) -> None:
    leaks = doings.add_parser(
        "scan",
        allow_abbrev=False,
        help="which programs carry a VF token in their command line or environment, by fingerprint",
        epilog="The exit status is 0 where there is none, 1 where there is one, 77 where none was seen but a command line or an "
        "environment could not be read that others may read. One that is kept from the program's own user leaves no such doubt: "
        "whoever may read it could read the program's memory as well. What could not be read is named.",
    )
    leaks.add_argument("--json", action="store_true", help="JSON as described by vfdeck/backend/schema/leaks-v1.json")
    reaching.add(leaks, refused=True)
    _place(leaks)


def add_open(commands: Any) -> None:
    """The parser of `vfdeck open`."""
    opening = commands.add_parser(
        "open",
        allow_abbrev=False,
        help="open a device, tell how far it went, and close it",
        usage="vfdeck open BDF [options] [-- COMMAND...]",
        description="With a COMMAND the device is held open while that runs. Neither the device nor the token is passed on to it.",
        epilog=f"{_STATUSES} With a COMMAND that was run: its own.",
    )
    opening.add_argument("bdf", metavar="BDF", help="a function's address, e.g. 0000:03:02.1")
    opening.add_argument("--path", choices=("group", "cdev"), default="group", help="by its group (usual) or its own node")
    _sources(opening)
    _doing(opening)
    opening.set_defaults(command="open", holding=())


def add_recipe(commands: Any) -> None:
    """The parser of `vfdeck recipe`."""
    recipe = commands.add_parser(
        "recipe",
        allow_abbrev=False,
        help="how to give a VF to QEMU, DPDK, SPDK, libvfn or libvirt without leaking its token",
    )
    recipe.add_argument("bdf", metavar="VF", help="a VF's address, e.g. 0000:03:02.1")
    recipe.add_argument("program", metavar="PROGRAM", nargs="?", help="qemu, dpdk, spdk, libvfn or libvirt only")
    recipe.add_argument("--token-file", metavar="FILE", type=path, help="where the recipes say that the token is (/run/PF.token)")
    recipe.add_argument("--json", action="store_true", help="JSON as described by vfdeck/backend/schema/recipes-v1.json")
    _place(recipe)
    reaching.add(recipe)
    recipe.set_defaults(command="recipe")


def add_function(commands: Any) -> None:
    """The parsers of what is done to a function: `vfs`, `bind`, `unbind`, `autoprobe` and `reset`."""
    vfs = _function(commands, "vfs", "PF", "give a PF so many VFs", "The kernel wants 0 between two numbers.")
    vfs.add_argument("count", metavar="N", type=int, help="how many; 0 removes them")
    bind = _function(commands, "bind", "BDF", "bind a function to a driver", "From a driver that has it, it is taken first.")
    driver = bind.add_mutually_exclusive_group(required=True)
    driver.add_argument("driver", metavar="DRIVER", nargs="?", help="by driver_override, e.g. vfio-pci")
    driver.add_argument("--default", action="store_true", help="clear the override, and let the kernel choose")
    _function(commands, "unbind", "BDF", "take a function from its driver", "")
    _function(commands, "reset", "BDF", "reset a function", "The kernel asks for no token, and tells nobody who uses it.")
    probe = _function(commands, "autoprobe", "PF", "whether new VFs of a PF are offered to drivers", "")
    probe.add_argument("switch", choices=("on", "off"), help="vfio-pci takes VFs of a PF that it has either way")


def _function(commands: Any, name: str, address: str, text: str, more: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        allow_abbrev=False,
        help=text,
        description=f"What it touches is shown first, and asked for. {more}".rstrip(),
        epilog=_STATUSES,
    )
    parser.add_argument("bdf", metavar=address, help="an address, e.g. 0000:03:00.0")
    _doing(parser)
    parser.set_defaults(command="function", doing=name)
    return parser


def add_settings(commands: Any) -> None:
    """The parser of `vfdeck settings`."""
    settings = commands.add_parser(
        "settings",
        allow_abbrev=False,
        help="what is set, and where: theme, keys, filter, order, times",
        description="They stand in $XDG_CONFIG_HOME/vfdeck/settings.toml, usually ~/.config/vfdeck/settings.toml.",
        epilog="The exit status is 0 where nothing is wrong, 65 where something in the file is, 66 where FILE is not there.",
    )
    what = settings.add_mutually_exclusive_group()
    what.add_argument("--example", action="store_true", help="print a whole file with the usual values, as comments")
    what.add_argument("--check", metavar="FILE", nargs="?", const="", help="only tell what is wrong, with FILE or the usual one")
    settings.set_defaults(command="settings")


def add_watch(commands: Any) -> None:
    """The parser of `vfdeck watch`."""
    watch = commands.add_parser(
        "watch",
        allow_abbrev=False,
        help="what changes on a host, in plain sentences: for screen readers and logs",
        description="Prints what there is, then a line for each change, until interrupted. Nothing is ever redrawn.",
    )
    form = watch.add_mutually_exclusive_group()
    form.add_argument("--plain", action="store_true", help="for screen readers: what there is in sentences, too, without columns")
    form.add_argument("--json", action="store_true", help="only the changes, a JSON object on each line")
    _place(watch)
    reaching.add(watch)
    watch.set_defaults(command="watch")


def add_history(commands: Any) -> None:
    """The parser of `vfdeck history`."""
    history = commands.add_parser(
        "history",
        allow_abbrev=False,
        help="what was done to a host with vfdeck: who, when, what, and what came of it",
        description="As the user who runs this wrote it down, or who logs in there (--host); root's holds what was done with sudo. "
        "A host's own log has everybody's: journalctl SYSLOG_IDENTIFIER=vfdeck.",
        epilog="The exit status is 0 where something was done, 1 where nothing was that fits.",
    )
    history.add_argument("bdfs", metavar="BDF", nargs="*", help="done to these functions only, e.g. 0000:03:00.0")
    history.add_argument("--failed", action="store_true", help="only what was not done, or not to its end")
    history.add_argument("--last", metavar="N", type=int, help="only the last N of these")
    history.add_argument("--json", action="store_true", help="JSON as described by vfdeck/backend/schema/history-v1.json")
    reaching.add(history)
    history.set_defaults(command="history")


def add_agent(commands: Any) -> None:
    """The parser of `vfdeck agent`."""
    agent = commands.add_parser(
        "agent",
        allow_abbrev=False,
        help="a host for other programs: Varlink on standard streams, or on a socket",
        description="Described by vfdeck/backend/agent/vfdeck.varlink. It ends when the other side does; what waits in the kernel "
        "then goes on without it.",
        epilog="The exit status is 0 where the other side has ended, 73 where the socket cannot be made.",
    )
    agent.add_argument("--read-only", action="store_true", help="change nothing, whatever is asked for")
    agent.add_argument(
        "--units",
        metavar="DIR",
        help="write systemd units for an agent that is installed, and a sudo rule",
    )
    agent.add_argument("--listen", metavar="PATH", help="make a socket for this user, and start an agent for each connection")
    _place(agent)
    reaching.add(agent, refused=True)
    agent.set_defaults(command="agent")


# -- options that several have -------------------------------------------------------------------------------------------
def path(text: str) -> str:
    """What names a file or directory, as it is: at least something. Raises what argparse takes for a wrong argument."""
    if not text:
        raise argparse.ArgumentTypeError("it is empty; expected a path")
    return text


def demo(place: Any, parser: argparse.ArgumentParser, about: str = "a simulated host instead of this one") -> None:
    """The options `--demo`, with or without a scenario, in a group or a parser, and `--seed`."""
    place.add_argument("--demo", metavar="SCENARIO", type=_scenario, nargs="?", const="default", help=about)
    parser.add_argument("--seed", metavar="N", type=int, default=None, help="with --demo: what chance is drawn from (0)")


def _scenario(text: str) -> str:
    """The name of a simulated host. Raises what argparse takes for a wrong argument: an address that stands behind `--demo`."""
    from vfdeck.backend.bdf import is_bdf

    if is_bdf(text):
        raise argparse.ArgumentTypeError(f"{text} stands where a scenario would; put --demo last, or write --demo default")
    return text


def _sources(parser: argparse.ArgumentParser) -> Any:
    """Where a token comes from; never from the command line itself."""
    source = parser.add_argument_group("the token").add_mutually_exclusive_group()
    source.add_argument("--token-file", metavar="FILE", type=path, help="the first line of a file that nobody else can read")
    source.add_argument("--token-stdin", action="store_true", help="the first line of standard input; typed unseen on a terminal")
    source.add_argument("--token-command", metavar="CMD", help="the first line that a command prints, e.g. 'pass show vf/03'")
    return source


def _deliveries(parser: argparse.ArgumentParser) -> None:
    """Where a token goes that is made here."""
    to = parser.add_argument_group("where a token goes that is made").add_mutually_exclusive_group()
    to.add_argument("--out", metavar="FILE", type=path, help="to a new file, for its owner's eyes")
    to.add_argument("--to-command", metavar="CMD", help="to a command's standard input, e.g. 'pass insert -m vf/03'")
    to.add_argument("--show", action="store_true", help="to the screen, once")


def _way(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--way",
        choices=("open", "feature", "borrowed", "current"),
        help="by opening the PF, by an open fd of vfdeck's own, by a duplicate of another program's, or by opening the PF with the "
        "token in force (the least invasive one)",
    )
    group = parser.add_argument_group("the token in force", "Needed where VFs are in use and no program has the PF open.")
    current = group.add_mutually_exclusive_group()
    current.add_argument("--current-token-file", metavar="FILE", type=path, help="as --token-file of `vfdeck token set`")
    current.add_argument("--current-token-stdin", action="store_true", help="the first line of standard input")
    current.add_argument("--current-token-command", metavar="CMD", help="the first line that CMD prints; run without a shell")


def _doing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--dry-run", action="store_true", help="show what would be done, and stop")
    _where(parser)


def _where(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="JSON as described by vfdeck/backend/schema/change-v1.json")
    reaching.add(parser)
    demo(parser, parser)


def _place(parser: argparse.ArgumentParser) -> None:
    """For commands that only look: at a tree of files, too."""
    place = parser.add_mutually_exclusive_group()
    place.add_argument(
        "--root", metavar="DIR", type=path, default=argparse.SUPPRESS, help="read sys, proc and dev below DIR instead of /"
    )
    demo(place, parser)
