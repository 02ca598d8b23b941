"""What this kernel does and does not enforce: data of `advice.toml` against the version table, and a badge for a header."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

from vfdeck.backend.checks import Severity
from vfdeck.backend.facts import host_has
from vfdeck.backend.model import Snapshot
from vfdeck.backend.tables import table

BY_VERSION = "by its release; distributions backport"
BY_ANSWER = "by what it showed when it was asked"


@dataclass(frozen=True, slots=True)
class Advice:
    """One thing to know of a kernel."""

    entry: str
    severity: Severity
    question: str
    badge: str
    text: str
    basis: str  # what it was told by


def advice(snapshot: Snapshot) -> list[Advice]:
    """What there is to know of the host's kernel, most serious first."""
    found = [a for table in data()["advice"] if (a := _applies(table, snapshot))]
    return sorted(found, key=lambda a: -a.severity)


def badge(snapshot: Snapshot) -> str:
    """The most serious of it in two or three words, for a header; "" where there is nothing to warn of."""
    return next((a.badge for a in advice(snapshot) if a.badge and a.severity >= Severity.WARNING), "")


def badges() -> dict[str, str]:
    """Every badge there can be, by the entry of the catalogue that tells more."""
    return {table["id"]: table["badge"] for table in data()["advice"] if table["id"] and table["badge"]}


def _applies(table: dict[str, Any], snapshot: Snapshot) -> Advice | None:
    host = snapshot.host
    if not host.kernel:
        return None  # nothing is known of the kernel, so nothing is claimed
    asked = {name for name, _ in host.probed}.issuperset({*table.get("has", ()), *table["lacks"]})
    basis = f"Linux {host.kernel}, {BY_ANSWER if asked else BY_VERSION}"
    if table.get("needs_cdev") and not host.cdev:
        return None  # without nodes there is no such path
    if not all(host_has(host, name) for name in table.get("has", ())):
        return None
    if any(host_has(host, name) for name in table["lacks"]):
        return None
    return Advice(table["id"], Severity[table["severity"].upper()], table["question"], table["badge"], table["text"], basis)


def has_sriov_hook(driver: str) -> bool | None:
    """Whether a kernel driver of PFs can make VFs; None for one that is not known."""
    known = data()["sriov_hook"]
    return True if driver in known["yes"] else False if driver in known["no"] else None


def needs_link(driver: str | None) -> bool:
    """Whether a driver enables nothing while its interface is down, and calls that a success (A18)."""
    return driver in data()["needs_link"]["drivers"]


@functools.cache
def data() -> dict[str, Any]:
    """The tables of advice.toml."""
    return table("vfdeck.backend.checks", "advice")
