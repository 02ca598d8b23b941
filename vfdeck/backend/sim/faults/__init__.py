"""Faults to practise on: for entries of the catalogue, a machine on which one happens, told as data.

A file for each chapter, a table for each fault, named after its entry (`[A14]`, and `[A4.old]` for a second one). Nothing in here
answers for the kernel: a table says what the machine is like and what programs did on it before, and the simulated kernel refuses
by its rules. A table without `machine` and `vfdeck` is ordinary operations only, and can be gone through on a real kernel with the
same hardware.

Keys of a table:

    story     what the operator sees, in a sentence or two
    try       what to press, or to type, to meet the fault
    target    the function it is about (BDF); the dashboard begins there
    kernel    the release, where bed.toml's is not meant
    has, lacks   switches of profiles.toml that a kernel needs, or must not have, for this fault
    real      a guest with the hardware of bed.toml can produce it
    machine   what is special of the machine: see `base` and `equip`
    vfdeck    who vfdeck is: uid, groups, capabilities, container
    programs  other programs by name: user and uid, where not root
    setup     what happened before, in order: see `vfdeck.backend.sim.faults.practice`
    do        the change, or the call of another tool, that is refused
    look      the BDF, or "host", about which `vfdeck doctor` finds the entry
    plan      the change whose plan warns of the entry
    undo      steps that take back what drivers, overrides and VFs do not show (a real machine is used again)
"""

from __future__ import annotations

import difflib
import functools
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

from vfdeck.backend.profile import Profile
from vfdeck.backend.sim.machine import Machine
from vfdeck.backend.sim.surroundings import Container, Credentials, node

Table = dict[str, Any]

CHAPTERS = "abcdefg"

#: What of a fault's `machine` is told as scenarios tell it: what the host uses its functions for.
USE = ("operator", "address", "default_route", "upper", "mount", "swap")


class UnknownFault(LookupError):
    """There is no fault of this name; the message names those that resemble it, and how to list all."""


@dataclass(frozen=True, slots=True)
class Exercise:
    """A fault to practise on."""

    name: str  # "A14", or "A4.old" for a second one of the same entry
    story: str
    target: str
    advice: str = ""  # what to try
    kernel: str = ""
    has: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    real: bool = False
    machine: Table = field(default_factory=dict)
    vfdeck: Table = field(default_factory=dict)
    programs: dict[str, Table] = field(default_factory=dict)
    setup: tuple[Table, ...] = ()
    do: Table | None = None
    look: str = ""
    undo: tuple[Table, ...] = ()
    plan: Table | None = None

    @property
    def entry(self) -> str:
        """The id of the catalogue's entry that it shows."""
        return self.name.split(".", 1)[0]

    def suits(self, kernel: Profile) -> bool:
        """Whether a kernel can produce it."""
        built = kernel.iommufd or "cdev" not in self.has
        return built and all(map(kernel.has, self.has)) and not any(map(kernel.has, self.lacks))

    @property
    def credentials(self) -> Credentials:
        """Who vfdeck is."""
        table: Table = dict(self.vfdeck)
        inside: Table = {
            key: tuple(value) if key in ("read_only", "nodev") else frozenset(value)
            for key, value in table.pop("container", {}).items()
        }
        if "capabilities" in table:
            table["capabilities"] = frozenset(table["capabilities"])
        table["groups"] = tuple(table.get("groups", ()))
        return Credentials(**table, container=Container(**inside))


def names() -> list[str]:
    """Every fault's name, by chapter and number."""
    return list(_all())


def exercise(name: str) -> Exercise:
    """The fault of this name; an entry's id in small letters does as well.

    Raises:
        UnknownFault: there is none.
    """
    known = {key.lower(): key for key in _all()}
    if name.lower() not in known:
        near = difflib.get_close_matches(name.lower(), known, 5, 0.7)
        perhaps = f"perhaps {', '.join(known[key] for key in near)}; " if near else ""
        raise UnknownFault(f"there is no fault {name!r} to practise on; {perhaps}`vfdeck demo --fault list` shows all")
    return _all()[known[name.lower()]]


@functools.cache
def _all() -> dict[str, Exercise]:
    found = {}
    for letter in CHAPTERS:
        tables = tomllib.loads(files(__package__).joinpath(f"{letter}.toml").read_text(encoding="utf-8"))
        found.update(dict(_exercises(tables)))
    return dict(sorted(found.items(), key=lambda item: (item[0][0], int(item[1].entry[1:]), item[0])))


def _exercises(tables: Table) -> Iterator[tuple[str, Exercise]]:
    """The tables of a chapter; a table of tables holds the second, third, ... fault of an entry beside its first."""
    for name, table in tables.items():
        further = {key: value for key, value in table.items() if isinstance(value, dict) and "story" in value}
        fields: Table = {key: tuple(v) if isinstance(v, list) else v for key, v in table.items() if key not in further}
        fields["advice"] = fields.pop("try", "")
        yield name, Exercise(name, **fields)
        yield from _exercises({f"{name}.{key}": value for key, value in further.items()})


# -- the machine -----------------------------------------------------------------------------------------------------------
def base(fault: Exercise) -> Table:
    """The scenario table of a fault's machine: bed.toml with its own release.

    Of the fault's `machine` this takes `function` (further hardware, told as in scenarios), `groups` (functions of the bed by BDF
    that are in another IOMMU group), `without` (those that are not there), `iommu`, and what the host uses functions for (`USE`).
    """
    table = tomllib.loads(files(__package__).joinpath("bed.toml").read_text(encoding="utf-8"))
    special = fault.machine
    if fault.kernel:
        table["host"]["kernel"] = fault.kernel
    if special.get("iommu") is False:
        table["host"]["iommu"] = False
    table |= {key: special[key] for key in USE if key in special}
    groups = special.get("groups", {})
    own = [function | ({"group": groups[function["bdf"]]} if function["bdf"] in groups else {}) for function in table["function"]]
    own = [function for function in own if function["bdf"] not in special.get("without", ())]
    table["function"] = own + special.get("function", [])
    return table


def equip(machine: Machine, special: Table) -> None:
    """Make the machine what a fault's, or a scenario's, `machine` table says beyond its hardware.

    `functions`, `drivers` and `around` set fields of functions by BDF (`"sriov.grants"` of their capability), of drivers by name,
    and of the surroundings; `parameters` sets module parameters; `foreign` lists groups whose domain is not theirs any more;
    `ungrouped` lists functions that are in no IOMMU group; `nodes` gives nodes a mode and an owner; `files` adds files beside sysfs
    with their text.
    """
    for name, values in special.get("drivers", {}).items():
        put(machine.load_driver(name), values)
    for bdf, values in special.get("functions", {}).items():
        put(machine.functions[bdf], values)
    for bdf in special.get("ungrouped", ()):
        machine.leave_group(machine.functions[bdf])
    for number in special.get("foreign", ()):
        machine.groups[number].foreign_domain = True
    put(machine.around, special.get("around", {}))
    machine.around.files |= special.get("files", {})
    machine.around.nodes |= {path: node(**values) for path, values in special.get("nodes", {}).items()}
    machine.parameters |= special.get("parameters", {})


def put(thing: object, values: Table) -> None:
    """Set fields; a dot leads to a field of a field, and a list takes the type of what was there."""
    for name, value in values.items():
        *path, last = name.split(".")
        owner = functools.reduce(getattr, path, thing)
        before = getattr(owner, last)  # a field that is not there is a slip of the table
        setattr(owner, last, type(before)(value) if isinstance(before, set | frozenset | tuple) else value)
