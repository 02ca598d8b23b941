"""The options that say which hosts, by which way: `--host`, `--sudo`, `--agent`. Who can follow them, and why others cannot."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from vfdeck.app import failure
from vfdeck.app.failure import Failure

if TYPE_CHECKING:
    from vfdeck.backend.agent.remote_host import RemoteHost

#: Commands that look at every host named; the others look at, or change, one.
_SEVERAL = frozenset({"dashboard", "tree", "holders", "doctor", "watch", "history", "token status"})
_ONE = frozenset({"check", "recipe", "function", "open", "token set", "token rotate", "token verify"})
#: Why a command cannot be about another host; what is missing here needs none.
_WHY_NOT = {
    "explain": "the catalogue is the same everywhere, and a bundle is made of files that only a vfdeck on that host can read",
    "token scan": "it reads the command lines of programs, which only a vfdeck on that host can",
    "record": "it does what it records itself: run it on that host",
    "agent": "it is the other end: run it on that host",
}


def add(parser: argparse.ArgumentParser, *, of_command: bool = True, refused: bool = False) -> None:
    """The options. Those of a command stand beside those before it: both count. `refused`: only to say why they cannot be."""
    several = "" if of_command else "; several times for several"
    parser.add_argument(
        "--host",
        metavar="NAME",
        action="append",
        dest="hosts_too" if of_command else "hosts",
        default=argparse.SUPPRESS if of_command else None,
        help=argparse.SUPPRESS if refused else f"a host as ssh knows it, NAME or USER@NAME, instead of this one{several}",
    )
    parser.add_argument(
        "--sudo",
        action="store_true",
        default=argparse.SUPPRESS if of_command else False,
        help=argparse.SUPPRESS if refused else "let what looks and acts run as root, by sudo; this program stays as it is",
    )
    parser.add_argument(
        "--agent",
        metavar="PATH",
        dest="agent",
        default=argparse.SUPPRESS if of_command else None,
        help=argparse.SUPPRESS if refused else "this host by the socket of an agent that is installed, or listens (`vfdeck agent`)",
    )


def settle(options: argparse.Namespace) -> None:
    """Put the options together. Raises Failure for what cannot be, and where the command cannot follow them."""
    named = [*(options.hosts or ()), *getattr(options, "hosts_too", ())]
    options.hosts, options.missing = named, False
    asked = [name for name, given in (("--host", named), ("--sudo", options.sudo), ("--agent", options.agent)) if given]
    if options.agent == "":
        raise Failure(failure.USAGE, "--agent: it is empty; expected the path of a socket")
    if not asked:
        return
    option = asked[0]
    command = f"token {options.doing}" if options.command == "token" else options.command
    if command not in _SEVERAL | _ONE:
        why = f": {_WHY_NOT[command]}" if command in _WHY_NOT else ""
        raise Failure(failure.USAGE, f"{option} does not go with `vfdeck {command}`{why}")
    if getattr(options, "demo", None) is not None:
        raise Failure(failure.USAGE, f"{option} does not go with --demo: simulated hosts are in this program")
    if options.agent and len(asked) > 1:
        raise Failure(failure.USAGE, f"--agent does not go with {asked[0]}: it is another way, to this host alone")
    if not named and options.root != "/":
        raise Failure(failure.USAGE, f"{option} does not go with --root: it is about this machine's own files")
    if named and "holding" in options and options.holding:
        raise Failure(failure.USAGE, "`-- COMMAND` would run on this machine, the device be held on the other: run it on that host")
    _demand_names(named)
    if command in _ONE and len(named) > 1:
        raise Failure(failure.USAGE, f"`vfdeck {_typed(options)}` is about one host; expected --host once, not {len(named)} times")


def _typed(options: argparse.Namespace) -> str:
    """The command as it was typed."""
    return str(options.doing) if options.command == "function" else options.command


def _demand_names(named: Sequence[str]) -> None:
    from vfdeck.backend.agent.transports import is_host_name
    from vfdeck.backend.text import printable

    for number, name in enumerate(named):
        if not is_host_name(name):
            raise Failure(failure.USAGE, f"--host {printable(name, 60)}: no host name; expected NAME or USER@NAME, as ssh takes it")
        if name in named[:number]:
            raise Failure(failure.USAGE, f"--host {name} is there twice")


def is_asked(options: argparse.Namespace) -> bool:
    """Whether hosts behind an agent are meant."""
    return bool(options.hosts or options.sudo or options.agent)


def reached(options: argparse.Namespace, name: str = "") -> str:
    """The options that lead another command to the hosts that are meant; to one of them where it is named."""
    names = [name] if name else options.hosts
    parts = [f"--host {shlex.quote(each)}" for each in names] + (["--sudo"] if options.sudo else [])
    parts += [f"--agent {shlex.quote(options.agent)}"] if options.agent else []
    parts += [f"--root {shlex.quote(options.root)}"] if options.root != "/" else []
    return " ".join(parts)


def made(options: argparse.Namespace) -> list[RemoteHost]:
    """The hosts that are meant, in the order in which they were named, none of them connected yet."""
    from vfdeck.backend.agent.remote_host import RemoteHost
    from vfdeck.backend.agent.transports import Local, Ssh
    from vfdeck.backend.agent.unix_socket import Socket

    if options.agent:
        return [RemoteHost(os.uname().nodename, Socket(options.agent), reached=reached(options))]
    if not options.hosts:
        return [RemoteHost(os.uname().nodename, Local(sudo=True), reached=reached(options))]
    return [RemoteHost(name, Ssh(name, sudo=options.sudo), options.root, reached=reached(options, name)) for name in options.hosts]


def let_sudo_ask(options: argparse.Namespace, hosts: Sequence[RemoteHost]) -> None:
    """Where sudo wants a password here, let it ask at the terminal; nothing else may use that meanwhile. vfdeck never sees it."""
    from vfdeck.backend.agent.transports import Fault, Local

    if not options.sudo or options.hosts:
        return
    for host in hosts:
        if host.reach() and host.fault is Fault.SUDO and _has_terminal():
            host.again()
            host.reach(asking=Local(sudo=True, asks=True))


def _has_terminal() -> bool:
    """Whether there is a terminal for sudo, which does not ask by the standard streams."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def connected(options: argparse.Namespace) -> list[RemoteHost]:
    """Those of the hosts that are reached; of the others a line each on standard error, and the exit status says so in the end.

    Raises Failure where none is reached.
    """
    hosts = made(options)
    let_sudo_ask(options, hosts)
    why: dict[str, str] = {}
    threads = [threading.Thread(target=_connect, args=(host, why), name=f"reach {host.name}", daemon=True) for host in hosts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    missing = [host for host in hosts if why[host.name]]
    for host in missing:
        host.close()
    lines = [f"{host.name}: not reached: {why[host.name]}" for host in missing]
    if len(missing) == len(hosts):
        for line in lines[:-1]:
            print(f"vfdeck: {line}", file=sys.stderr, flush=True)
        raise Failure(failure.UNAVAILABLE, lines[-1])
    for line in lines:
        print(f"vfdeck: {line}", file=sys.stderr, flush=True)
    options.missing = bool(missing)
    return [host for host in hosts if not why[host.name]]


def _connect(host: RemoteHost, why: dict[str, str]) -> None:
    try:
        why[host.name] = host.reach()
    except Exception as error:  # a fault of ours, which must not leave the host without an answer
        why[host.name] = f"internal error: {type(error).__name__}"


def status(options: argparse.Namespace, told: int) -> int:
    """The exit status of a command: a host that is missing in what it told counts for more than that."""
    return failure.UNAVAILABLE if options.missing else told
