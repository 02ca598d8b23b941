"""Commands of vfdeck itself in texts that people copy from: each is led to the host that the text is about.

A host says itself by which options it is reached (`HostFacts.reached`); without any a command is about the machine it runs on. The
catalogue and the recipes name commands without them, since they are the same for every host.
"""

from __future__ import annotations

import re

_LOOKING = "tree|holders|doctor|check|recipe|watch|token status|token scan"
_CHANGING = "token set|token rotate|token verify|open|vfs|bind|unbind|autoprobe|reset"
#: A bundle is about a host; the catalogue is about none.
_BUNDLING = r"explain(?=[^`]* --bundle\b)"
_ANY = re.compile(rf"\bvfdeck (?:{_LOOKING}|{_CHANGING}|{_BUNDLING})\b(?! --(?:demo|root)\b)")
_LOOKS = re.compile(rf"\bvfdeck (?:{_LOOKING}|{_BUNDLING})\b(?! --(?:demo|root)\b)")


def led(text: str, reached: str) -> str:
    """The text, its commands with the options by which the host is `reached`.

    What changes something cannot be done to a tree of files (`--root`): such a command is for the machine that the tree is from.
    """
    if not reached:
        return text
    return (_LOOKS if reached.startswith("--root") else _ANY).sub(lambda found: f"{found[0]} {reached}", text)
