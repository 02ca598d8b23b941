"""Keeping tokens out of command lines: everybody on a host can read them in /proc, and shells remember them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from vfdeck.app import failure
from vfdeck.app.failure import Failure

# As `token.Token.parse` reads it.
_UUID = r"[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}"
_WHOLE = re.compile(rf"(?<![0-9a-fA-F]){_UUID}(?![0-9a-fA-F])")
# A part of a path (/etc/tokens/<UUID of a VM>, vm/<UUID>/token, <UUID>.key) is no token: what stands before it, and behind.
_IN_A_PATH = re.compile(r"(?:^|[\s='\"])[/.~][^\s='\"]*$")
_ON_ITS_WAY = re.compile(r"/|\.\w")
# What may have been meant as one, with a slip of the finger.
_LIKE = re.compile(r"[0-9a-fA-F]{6,}[0-9a-fA-F-]{14,}")


def demand_no_token(arguments: Sequence[str]) -> None:
    """Raise Failure where an argument is, or holds, what may be a VF token; the line does not repeat it.

    After `--` stands another program's command line, where UUIDs may mean anything: there only what is given as a token counts.
    """
    own, command = split_command(arguments)
    if any(_stands_in(argument) for argument in own) or _given_to_another(command):
        line = (
            "a UUID stands in the command line, where everybody on this host can read it: if it is a VF token, set another one, "
            "and give it by --token-file, --token-stdin or --token-command"
        )
        raise Failure(failure.USAGE, line)


def _stands_in(argument: str) -> bool:
    for found in _WHOLE.finditer(argument):
        if not (_IN_A_PATH.search(argument, 0, found.start()) or _ON_ITS_WAY.match(argument, found.end())):
            return True
    return False


def _given_to_another(arguments: Sequence[str]) -> bool:
    if not arguments:
        return False
    from vfdeck.backend.workload import tokens_in  # on demand: most command lines end without one

    return any(True for _ in tokens_in(" ".join(arguments)))


def split_command(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """What stands before the first `--`, and the command after it."""
    if "--" not in arguments:
        return list(arguments), []
    at = list(arguments).index("--")
    return list(arguments[:at]), list(arguments[at + 1 :])


def without_tokens(text: str) -> str:
    """A complaint about an argument, for the screen and for logs: what may be a token is not repeated."""
    return _LIKE.sub("(hidden)", text)
