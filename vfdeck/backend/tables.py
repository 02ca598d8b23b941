"""Tables of data that lie beside the modules, wherever the package was loaded from: a folder, a zip file, or a host's memory."""

from __future__ import annotations

import json
import pkgutil
from typing import Any


def table(package: str, name: str) -> dict[str, Any]:
    """The file `NAME.toml` of a package, or `NAME.json` where that was sent (`agent/push.py`). Raises FileNotFoundError."""
    try:
        data = pkgutil.get_data(package, f"{name}.toml")
    except FileNotFoundError:  # Python 3.9 has no tomllib, so that the sender made JSON of it
        found: dict[str, Any] = json.loads(pkgutil.get_data(package, f"{name}.json") or b"{}")
        return found
    import tomllib

    return tomllib.loads((data or b"").decode())
