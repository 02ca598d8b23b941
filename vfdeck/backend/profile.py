"""What a kernel of a given version does: named switches, from data."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import Any

from vfdeck.backend.tables import table

Version = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Profile:
    """A kernel release and the switches that are on in it; `iommufd` and `noiommu` are build options."""

    release: str
    version: Version
    switches: frozenset[str]
    iommufd: bool = True
    noiommu: bool = True

    def has(self, switch: str) -> bool:
        """Whether a switch is on. KeyError for a name that profiles.toml does not know: a typing slip, never an answer."""
        if switch not in _data()["switches"]:
            raise KeyError(switch)
        return switch in self.switches


def parse_version(release: str) -> Version:
    """(6, 12, 107) of "6.12.107+deb13-amd64".

    Raises:
        ValueError: the text does not begin with two numbers.
    """
    match = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", release)
    if not match:
        raise ValueError(f"not a kernel release: {release!r} (expected e.g. 6.12.107)")
    return int(match[1]), int(match[2]), int(match[3] or 0)


def profile(release: str) -> Profile:
    """The profile of any release, by its version and build."""
    data = _data()
    build: dict[str, Any] = {}
    for entry in data["builds"]:
        if re.search(entry["match"], release):
            build |= {key: value for key, value in entry.items() if key != "match"}
    version = parse_version(build.pop("version", release))
    on = frozenset(name for name, ranges in data["switches"].items() if any(_within(version, text) for text in ranges))
    return Profile(release, version, on, **build)


def named_profiles() -> list[str]:
    """The releases that are tested one by one."""
    return list(_data()["named"])


def _within(version: Version, text: str) -> bool:
    start, _, end = text.partition("..")
    return parse_version(start) <= version and (not end or version < parse_version(end))


@functools.cache
def _data() -> dict[str, Any]:
    return table("vfdeck.backend", "profiles")
