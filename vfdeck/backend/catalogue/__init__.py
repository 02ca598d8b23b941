"""The catalogue of refusals as data: one file per chapter, one table per entry, read when first asked for.

An entry has a stable id (`D3`), the rule that refuses, its cause, how to check it and what to do. Its texts hold words in braces
(`{bdf}`, `{holders}`) that `vfdeck.backend.explain` fills with a host's facts; without facts they stand in angle
brackets (`<bdf>`, `<holders>`), as in a manual. What was not checked against a kernel's source,
a recording or a running kernel says "not verified" in its `sources`; `correction` says where the survey it came from was wrong.
"""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

CHAPTERS = {
    "A": "turning VFs on and off",
    "B": "binding drivers",
    "C": "group and IOMMU",
    "D": "tokens",
    "E": "cdev and iommufd",
    "F": "after the open",
    "G": "teardown and surroundings",
}

#: Every word that may stand in braces, and what it is filled with.
PLACEHOLDERS = {
    "bdf": "the function that the change was about",
    "dev": "its directory in sysfs",
    "role": "what it is to SR-IOV: a PF, a VF of another, neither",
    "ids": "its vendor and device id",
    "class": "its class code",
    "driver": "the driver it is on",
    "override": "its driver_override",
    "wanted": "the driver it was to be bound to",
    "interfaces": "its network interfaces",
    "disks": "its disks",
    "group": "the number of its IOMMU group",
    "node": "the group's node",
    "cdev": "the function's own node",
    "members": "the members of the group that are on a driver of their own",
    "pf": "its PF, or itself where it is one",
    "pfdev": "the PF's directory in sysfs",
    "pf_driver": "the driver the PF is on",
    "total": "the VFs that the PF offers",
    "present": "the VFs that exist",
    "count": "the VFs asked for",
    "last_vf": "the address of the last of them",
    "enable_sriov": "vfio-pci's parameter",
    "users": "the PF's VFs in use",
    "holders": "the programs in the way, by name and pid",
    "pids": "their pids",
    "unseen": "the processes that could not be looked at",
    "token": "what is known of the PF's token",
    "ended": "how the PF's last token ended",
    "given": "the token given, by fingerprint, or none",
    "judgement": "the rule of the token judgement",
    "fault": "what is wrong with the string given",
    "access": "mode and owner of what was refused, and vfdeck's rights",
    "override_now": "its driver_override after the refusal",
    "vf_bars": "how many BARs of the VFs have an address",
    "buses": "the buses that the bridge above the PF owns",
    "links": "the PF's network interfaces, up or down",
    "lsms": "the security modules at work",
    "lockdown": "the state of the kernel's lockdown",
    "unseen_too": "in brackets, the processes that could not be looked at",
    "kernel": "the kernel's release",
    "privilege": "as root or as an ordinary user",
    "path": "the file that was written",
    "target": "what the refused call was about",
    "stage": "the stage that refused",
    "errno": "the errno's name",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """A refusal that the kernel, a driver or the surroundings may give. Texts may hold placeholders."""

    id: str
    title: str
    stages: tuple[str, ...]  # values of kernel.Stage; empty where no call is refused
    errnos: tuple[str, ...]  # errno names; also "OK" (success that is none) and "BLOCKED" (a call that does not return)
    rule: str
    why: str
    check: tuple[str, ...]
    do: tuple[str, ...]  # least invasive first
    actions: tuple[str, ...] = ()  # what vfdeck itself can do about it: ids of the dashboard's actions, least invasive first
    kernels: str = "all"
    log: str = ""  # the kernel's wording without its prefix; "" where nothing is logged
    other_logs: tuple[str, ...] = ()  # further wordings: of other cases, or of older kernels
    mistaken_for: str = ""
    sources: tuple[str, ...] = ()
    correction: str = ""  # where the survey's entry was wrong or short

    @property
    def chapter(self) -> str:
        """What chapter the entry is in, in words."""
        return CHAPTERS.get(self.id[0], "")

    @property
    def logs(self) -> tuple[str, ...]:
        """Every wording."""
        return (self.log, *self.other_logs) if self.log else ()

    def logged(self, line: str) -> bool:
        """Whether `line` is one that the kernel logs for this."""
        return any(re.search(_pattern(wording), line) for wording in self.logs)


def _pattern(wording: str) -> str:
    """A regular expression for a wording, with anything in place of its placeholders."""
    return "".join(re.escape(text) + (".*" if name else "") for text, name, _, _ in string.Formatter().parse(wording))


def fill(text: str, values: Mapping[str, str]) -> str:
    """Fill the placeholders; those without a value stand in angle brackets, as in a manual."""
    return text.format_map({name: values.get(name, f"<{name}>") for name in PLACEHOLDERS})


def fillable(texts: tuple[str, ...], values: Mapping[str, str]) -> tuple[str, ...]:
    """The texts whose words are all known, filled: a command with a hole in it helps nobody."""
    return tuple(fill(text, values) for text in texts if placeholders(text) <= values.keys())


def placeholders(text: str) -> frozenset[str]:
    """The names in braces."""
    return frozenset(name for _, name, _, _ in string.Formatter().parse(text) if name)


def entry(entry_id: str) -> Entry:
    """The entry of this id.

    Raises:
        KeyError: there is none.
    """
    return _chapter(entry_id[:1].lower())[entry_id]


def entries() -> list[Entry]:
    """All entries but "unknown", by chapter and number."""
    return [found for letter in CHAPTERS for found in _chapter(letter.lower()).values()]


@cache
def _chapter(letter: str) -> dict[str, Entry]:
    """The entries of the file whose name begins with `letter`, by number."""
    from vfdeck.backend.tables import table  # on demand: the command line's --help needs no catalogue

    name = "unknown" if letter == "u" else letter
    tables = table("vfdeck.backend.catalogue", name) if name == "unknown" or name.upper() in CHAPTERS else {}
    found = [_entry(entry_id, table) for entry_id, table in tables.items()]
    return {e.id: e for e in sorted(found, key=lambda e: int(re.sub(r"\D", "", e.id) or 0))}


def _entry(entry_id: str, table: dict[str, str | list[str]]) -> Entry:
    """An entry from its table; lists become tuples."""
    fields = {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
    return Entry(entry_id, **fields)  # type: ignore[arg-type]  # the schema test checks every field
