"""The simulated drivers: what each takes and how it behaves, from data."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any

from vfdeck.backend.model import is_vfio_driver
from vfdeck.backend.tables import table


@dataclass(slots=True)
class Driver:
    """A driver loaded in a simulated machine. `dynamic` are the ids given through new_id."""

    name: str
    ids: tuple[str, ...] = ()
    sriov: str = ""
    max_vfs: int | None = None
    frees: bool = False
    managed: bool = False
    vf_probe: str = ""
    foreign: str = ""
    late_until: str = ""
    denied: tuple[str, ...] = ()
    denied_later: tuple[str, ...] = ()
    log_on: str = ""
    log_off: str = ""
    net: bool = False
    disk: bool = False
    vf_vectors: int = 0
    needs_up: bool = False
    refuses: str = ""
    dynamic: set[str] = field(default_factory=set)

    @property
    def is_vfio(self) -> bool:
        """Whether it registers its functions with vfio."""
        return is_vfio_driver(self.name)


def load(name: str) -> Driver:
    """A fresh driver by name; a name without data gives a driver that takes nothing by itself and has no SR-IOV hook."""
    entry: dict[str, Any] = {**_data().get(name, {})}
    entry |= {key: tuple(entry[key]) for key in ("ids", "denied", "denied_later") if key in entry}
    return Driver(name, **entry)


@functools.cache
def _data() -> dict[str, dict[str, Any]]:
    return table("vfdeck.backend.sim", "drivers")
