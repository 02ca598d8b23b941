"""`vfdeck token`: what can be done with VF tokens. Each of it is a module that is imported when it is run."""

from __future__ import annotations

import argparse
import importlib


def run(options: argparse.Namespace) -> int:
    """Do it and return the exit status. Raises Failure."""
    status: int = importlib.import_module(f"vfdeck.app.commands.token_{_MODULES[options.doing]}").run(options)
    return status


#: Setting and rotating differ only in where the token comes from.
_MODULES = {"set": "set", "rotate": "set", "verify": "verify", "status": "status", "scan": "scan"}
