"""Commands of vfdeck itself in texts that people copy from: each is led to the host that the text is about.

A host says itself by which options it is reached (`HostFacts.reached`); without any a command is about the machine it runs on. The
catalogue and the recipes name commands without them, since they are the same for every host.
"""

from __future__ import annotations

import re
import textwrap

_LOOKING = "tree|holders|doctor|check|recipe|watch|token status|token scan"
_CHANGING = "token set|token rotate|token verify|open|vfs|bind|unbind|autoprobe|reset"
#: A bundle is about a host; the catalogue is about none.
_BUNDLING = r"explain(?=[^`]* --bundle\b)"
_ANY = re.compile(rf"\bvfdeck (?:{_LOOKING}|{_CHANGING}|{_BUNDLING})\b(?! --(?:demo|root|host|sudo|agent)\b)")
_LOOKS = re.compile(rf"\bvfdeck (?:{_LOOKING}|{_BUNDLING})\b(?! --(?:demo|root|host|sudo|agent)\b)")
#: A command with what surely belongs to it: options and what follows them, addresses, paths, and words in capitals.
_WHOLE = re.compile(rf"\bvfdeck (?:{_LOOKING}|{_CHANGING}|explain)(?: (?:--[\w-]+(?: [^\s(-]\S*)?|\S*[:/|<]\S*|[A-Z0-9]+\b))+")
#: Stands for a space at which no line is broken.
_BOUND = "\xa0"


def wrapped(text: str, first: str, margin: str, width: int) -> list[str]:
    """Lines of a width, the first after `first`, the others after `margin`.

    A command stays in one line, even where that is longer: who copies it from two lines runs two.
    """
    bound = _WHOLE.sub(lambda found: found[0].replace(" ", _BOUND), text)
    lines = textwrap.wrap(
        bound, width, initial_indent=first, subsequent_indent=margin, break_long_words=False, break_on_hyphens=False
    )
    return [line.replace(_BOUND, " ") for line in lines]


def led(text: str, reached: str) -> str:
    """The text, its commands with the options by which the host is `reached`.

    What changes something cannot be done to a tree of files (`--root`): such a command is for the machine that the tree is from.
    """
    if not reached:
        return text
    return (_LOOKS if "--root" in reached.split(" ") else _ANY).sub(lambda found: f"{found[0]} {reached}", text)
