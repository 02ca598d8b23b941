"""Demo scenarios: hosts, programs that come and go, faults and a clock, all from data.

Same scenario, same seed, same second: the same picture. A scenario is one host, or a fleet whose members are hosts of
`scenarios/hosts`, each with a name and, where it says so, a kernel of its own: `datacentre` is the fleet, `datacentre/net-01` a
member. An entry with a `count` stands for so many members; a later entry of the same name replaces one of them. The hosts of a
large fleet are made when they are looked at (`vfdeck.backend.sim.fleet`).

A `[[program]]` that `lets_go` = N has the kernel ask it to, as QEMU does, and closes what is asked for N seconds later. One without
cannot be asked, and lets go when it closes or ends.
"""

from __future__ import annotations

import bisect
import hashlib
import re
import time
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from vfdeck.backend.kernel import errno_name
from vfdeck.backend.local_host import LocalHost
from vfdeck.backend.model import Snapshot
from vfdeck.backend.profile import profile
from vfdeck.backend.sim import host_use, story, vpd
from vfdeck.backend.sim.faults import UnknownFault, equip
from vfdeck.backend.sim.hardware import Function, SriovCapability
from vfdeck.backend.sim.kernel import SimulatedKernel
from vfdeck.backend.sim.machine import Machine
from vfdeck.backend.sim.surroundings import ROOT, Credentials
from vfdeck.backend.token import Token
from vfdeck.backend.token_rules import format_argument
from vfdeck.backend.vfio import DEVICES, OpenDevice, Program

if TYPE_CHECKING:
    from vfdeck.backend.sim.fleet import FleetHost

Table = dict[str, Any]

#: In a program's arguments: the token that the scenario calls so.
_TOKEN = re.compile(r"<token ([a-z]+)>")

#: How often a simulated clock that runs by itself moves on, seconds.
TICK = 0.25


#: How many names a message lists.
LISTED = 6

#: Scenarios of more hosts than this have them made when they are looked at.
FEW = 32

#: What the names of scenarios begin with that are faults to practise on.
FAULT = "fault:"


class UnknownScenario(LookupError):
    """No scenario has this name; the message lists those there are."""


class BrokenScenario(ValueError):
    """A scenario asks for something that the simulated kernel refuses."""


def names() -> dict[str, str]:
    """Scenarios by name, with their titles."""
    return {name: _table(name)["title"] for name in sorted(_names())}


def load(
    name: str = "default", seed: int = 0, *, realtime: bool = False, lives: bool = False, still: bool = False
) -> SimulatedHost:
    """A host as the scenario tells it, at its first second; `fault:A14` is a fault to practise on (`vfdeck.backend.sim.faults`).

    With `realtime` its clock runs by itself, for people; otherwise it moves by `advance` only, for tests and pictures. Where it
    `lives`, its stories are told (`vfdeck.backend.sim.story`); where it is `still`, nothing happens later by itself.

    Raises:
        UnknownScenario: no scenario has this name, or it is a fleet, of which one member has to be named.
    """
    if name.startswith(FAULT):
        return _practice(name.removeprefix(FAULT), seed, realtime=realtime)
    fleet, slash, wanted = name.partition("/")
    if fleet not in _names():
        raise _unknown(name)
    members = _members(fleet)
    if len(members) == 1 and not slash:
        (wanted,) = members
    if wanted not in members:
        wrong = f'there is no host "{wanted}" in {fleet}' if slash else f"{fleet} has {len(members)} hosts"
        raise UnknownScenario(f"{wrong}; expected one of {_listed(f'{fleet}/{member}' for member in members)}")
    table = _stilled(members[wanted]) if still else members[wanted]
    scenario = Scenario(table, seed + list(members).index(wanted), lives=lives)
    return SimulatedHost(scenario, realtime=realtime, reached=reached(name, seed))


def load_all(
    name: str = "default", seed: int = 0, *, realtime: bool = False, lives: bool = False, still: bool = False
) -> tuple[SimulatedHost | FleetHost, ...]:
    """Every host of a scenario, as `load` gives one; of more than `FEW`, each is made when it is needed.

    Where it `lives`, stories are told on its hosts (`vfdeck.backend.sim.story`), unless they are more than `FEW`. Where it is
    `still`, nothing happens that nobody does: programs do no more than they had done at its first second, and let go when asked.

    Raises:
        UnknownScenario: no scenario has this name.
    """
    if name.startswith(FAULT) or "/" in name:
        return (load(name, seed, realtime=realtime, lives=lives, still=still),)
    if name not in _names():
        raise _unknown(name)
    members = {member: _stilled(table) if still else table for member, table in _members(name).items()}
    if len(members) == 1:
        return (load(name, seed, realtime=realtime, lives=lives, still=still),)
    numbered = [(table, seed + n, reached(f"{name}/{member}", seed)) for n, (member, table) in enumerate(members.items())]
    if len(members) > FEW:
        from vfdeck.backend.sim.fleet import FleetHost

        return tuple(FleetHost(table, own, realtime=realtime, reached=by) for table, own, by in numbered)
    return tuple(SimulatedHost(Scenario(table, own, lives=lives), realtime=realtime, reached=by) for table, own, by in numbered)


def reached(name: str, seed: int) -> str:
    """The options that lead a command of vfdeck to the host, or the hosts, that `load` or `load_all` give for these."""
    return f"--demo {name}{f' --seed {seed}' if seed else ''}"


def _stilled(table: Table) -> Table:
    """The table without what happens after the first second."""
    return table | {"event": [event for event in table.get("event", ()) if not event.get("at")]}


def _practice(name: str, seed: int, *, realtime: bool) -> SimulatedHost:
    from vfdeck.backend.sim.faults.host import load as load_fault

    try:
        return load_fault(name, seed, realtime=realtime)
    except UnknownFault as unknown:
        raise UnknownScenario(str(unknown)) from None


def _unknown(name: str) -> UnknownScenario:
    return UnknownScenario(f'there is no scenario "{name}"; expected one of {_listed(sorted(_names()))}')


def _listed(found: Iterable[str]) -> str:
    """The first dozen."""
    first, rest = (known := list(found))[:LISTED], len(known) - LISTED
    return ", ".join(first) + (f" and {rest} more" if rest > 0 else "")


def _members(name: str) -> dict[str, Table]:
    """The tables of a scenario's hosts by the hosts' names."""
    table = _table(name)
    if "member" not in table:
        return {table["host"]["name"]: table}
    return {each["host"]["name"]: each for entry in table["member"] for each in _entry(entry)}


def _entry(entry: Table) -> Iterator[Table]:
    """The members that an entry stands for: one, or as many as `count` says, with their numbers behind the name."""
    count = entry.get("count")
    if count is None:
        yield _member(entry, entry["name"])
    else:
        yield from (_member(entry, f"{entry['name']}{number:0{len(str(count))}}") for number in range(1, count + 1))


def _member(entry: Table, name: str) -> Table:
    """The table of a fleet's member: a host of `scenarios/hosts` with what the entry says otherwise of it.

    Keys of the entry are the host's, but for `functions`, which holds keys of functions by BDF. What members share exists once.
    """
    table = _table(f"hosts/{entry['host']}")
    otherwise = {key: value for key, value in entry.items() if key not in ("host", "count", "functions")}
    changed = entry.get("functions", {})
    functions = [each | changed.get(each["bdf"], {}) for each in table["function"]] if changed else table.get("function", [])
    return table | {"host": table["host"] | otherwise | {"name": name}, "function": functions}


def host_table(name: str) -> Table:
    """The table of a host of `scenarios/hosts`, to be added to."""
    return dict(_table(f"hosts/{name}"))


def _names() -> Iterator[str]:
    return (
        entry.name.removesuffix(".toml")
        for entry in files(__package__).joinpath("scenarios").iterdir()
        if entry.name.endswith(".toml")
    )


@cache
def _table(name: str) -> Table:
    """A file of the folder; nobody changes what is in it."""
    return tomllib.loads(files(__package__).joinpath("scenarios", f"{name}.toml").read_text(encoding="utf-8"))


@dataclass(slots=True)
class Actor:
    """A program of the scenario, with the devices it has open by BDF."""

    kernel: SimulatedKernel
    program: Program
    devices: dict[str, OpenDevice] = field(default_factory=dict)


class Scenario:
    """A machine brought to life from data, and what happens on it as time goes by; its stories only where it `lives`.

    Raises:
        BrokenScenario: the kernel refuses how it begins.
        BrokenStory: an event or a story cannot be told.
    """

    def __init__(self, table: Table, seed: int, *, lives: bool = False) -> None:
        story.check(table)
        self.seed = seed
        self.machine = _machine(table, seed)
        self.names = {_ids(key): (value[0], value[1]) for key, value in table.get("names", {}).items()}
        self._root = SimulatedKernel(self.machine, "systemd", pid=1)
        self.actors = {entry["pid"]: self._start(entry, self.machine.start) for entry in table.get("program", ())}
        for entry in table.get("function", ()):
            self._settle(entry)
        self._events: list[Table] = sorted(table.get("event", ()), key=lambda event: event.get("at", 0))
        self._stories = story.Stories(table.get("story", ()) if lives else (), seed)
        self._programs = {entry["pid"]: entry for told in self._stories.told for entry in told.get("program", ())}
        self._programs |= {entry["pid"]: entry for entry in table.get("program", ())}
        self.advance(0)
        for event in self._stories.first():
            bisect.insort(self._events, event, key=lambda each: each.get("at", 0))
        self.machine.log.lines.clear()

    def advance(self, seconds: float) -> bool:
        """Let time pass; True when something happened."""
        machine = self.machine
        until = machine.now + seconds
        happened = False
        self._answer_requests()
        while self._events and machine.start + self._events[0].get("at", 0) <= until:
            event = self._events.pop(0)
            machine.now = max(machine.now, machine.start + event.get("at", 0))
            if event["do"] == "again":
                self._stories.again(event["story"], self._events)
                continue
            self.happen(event)
            self._answer_requests()
            happened = True
        machine.now = until
        return happened

    def _answer_requests(self) -> None:
        """Programs that the kernel has asked to let go will."""
        machine, asked = self.machine, self.machine.asked
        machine.asked = []
        for bdf, pid in asked:
            at = machine.now - machine.start + self._programs[pid]["lets_go"]
            bisect.insort(self._events, {"do": "close", "program": pid, "bdf": bdf, "at": at}, key=lambda each: each.get("at", 0))

    @property
    def about(self) -> tuple[str, ...]:
        """What its stories are about."""
        return tuple(told["about"] for told in self._stories.told)

    @property
    def is_eventful(self) -> bool:
        """Whether there is anything yet to happen."""
        return bool(self._events)

    def token(self, name: str) -> Token:
        """The token that the scenario calls `name`: the same for the same seed."""
        return Token(hashlib.sha256(f"{self.seed} {name}".encode()).digest()[:16])

    def _start(self, entry: Table, now: float) -> Actor:
        kernel = SimulatedKernel(self.machine, entry["name"], entry.get("user", "root"), entry.get("uid", 0), entry["pid"])
        process = kernel.process
        process.arguments = tuple(_TOKEN.sub(self._revealed, text) for text in entry.get("arguments", ()))
        process.cgroup = f"0::{entry.get('cgroup', '/')}\n"
        process.started = now - 60 * entry.get("minutes", 0)  # it has run for so long when the scenario begins
        return Actor(kernel, Program(kernel))

    def _revealed(self, match: re.Match[str]) -> str:
        return self.token(match[1]).reveal_text()

    def _settle(self, entry: Table) -> None:
        if driver := entry.get("driver"):
            self._bind(entry["bdf"], driver)
        if count := entry.get("numvfs"):
            self._write(f"{DEVICES}/{entry['bdf']}/sriov_numvfs", str(count))

    def _bind(self, bdf: str, driver: str) -> None:
        function = self.machine.functions[bdf]
        if function.driver:
            self._write(f"/sys/bus/pci/drivers/{function.driver}/unbind", bdf)
        if driver == "vfio-pci":
            self._write(f"{DEVICES}/{bdf}/driver_override", driver)
        self._write("/sys/bus/pci/drivers_probe", bdf)

    def _write(self, path: str, text: str) -> None:
        pending = self._root.write(path, text.encode())
        if not pending.wait(0.0):
            return  # it waits for a program, and goes on by itself
        error = pending.result()
        if error is not None:
            raise BrokenScenario(f"{path}: writing {text!r} gives {errno_name(error.errno or 0)}")

    def happen(self, event: Table) -> None:
        """One event. What is refused, or waits, while time goes by is its own affair, as on a real host."""
        try:
            self._do(event)
        except (OSError, BrokenScenario) as error:
            if not event.get("at"):
                raise BrokenScenario(f"{event['do']}: {error}") from error

    def _do(self, event: Table) -> None:
        bdf = event.get("bdf", "")
        match event["do"]:
            case "bind":
                self._bind(bdf, event["driver"])
            case "unbind":
                self._write(f"/sys/bus/pci/drivers/{self.machine.function_named(bdf).driver}/unbind", bdf)
            case "vfs":
                self._write(f"{DEVICES}/{bdf}/sriov_numvfs", str(event["count"]))
            case "start":
                self.actors[event["program"]] = self._start(self._programs[event["program"]] | {"minutes": 0}, self.machine.now)
            case _ if event["program"] in self.actors:
                self._act(self.actors[event["program"]], event)

    def _act(self, actor: Actor, event: Table) -> None:
        """What a program does."""
        match event["do"]:
            case "open":
                actor.devices[event["bdf"]] = self._open(actor, event)
            case "token":  # opening a PF with a token sets it
                actor.program.close(self._open(actor, event))
            case "close":
                device = actor.devices.pop(event["bdf"], None)
                if device is not None:
                    actor.program.close(device)
            case "exit":
                actor.kernel.exit()
                del self.actors[event["program"]]

    def _open(self, actor: Actor, event: Table) -> OpenDevice:
        text = self.token(event["token"]).reveal_text() if "token" in event else None
        opened = actor.program.open_by_group(event["bdf"], format_argument(event["bdf"], text))
        device = self.machine.function_named(event["bdf"]).vfio
        if device is not None and "lets_go" in self._programs[event["program"]]:
            device.channel = event["program"]
        return opened


def _machine(table: Table, seed: int) -> Machine:
    host = table["host"]
    start = host["start"]
    assert isinstance(start, datetime)
    machine = Machine(profile(host["kernel"]), host["name"], seed, start.astimezone(UTC).timestamp())
    machine.parameters["enable_sriov"] = host.get("enable_sriov", True)
    for entry in table.get("function", ()):
        machine.add(_function(entry), entry.get("group"), isolated=host.get("iommu", True))
        for name in (entry.get("driver"), *entry.get("vf_drivers", ())):
            if name:
                machine.load_driver(name)
    for name in host.get("modules", ()):
        machine.load_driver(name)
    machine.use = host_use.configured(table)
    equip(machine, table.get("machine", {}))
    return machine


def _function(entry: Table) -> Function:
    vendor, device = _ids(entry["id"])
    capability = None
    if sriov := entry.get("sriov"):
        capability = SriovCapability(sriov["total"], sriov["offset"], sriov["stride"], int(sriov["vf_device"], 16))
        capability.autoprobe = sriov.get("autoprobe", True)
    function = Function(entry["bdf"], vendor, device, int(entry["class"], 16), sriov=capability)
    function.numa_node = entry.get("numa", 0)
    function.interface, function.disk = entry.get("interface", ""), entry.get("disk", "")
    function.isolates = entry.get("isolates", True)
    function.resets = tuple(entry.get("resets", function.resets))
    if data := entry.get("vpd"):
        function.vpd, function.vpd_answers = vpd.encode(**data), data.get("answers", True)
    if link := entry.get("link"):
        function.link = (link[0], link[1], link[2], link[3])
    return function


def _ids(text: str) -> tuple[int, int]:
    vendor, device = (int(part, 16) for part in text.split(":"))
    return vendor, device


class SimulatedHost(LocalHost):
    """A host on a simulated machine; satisfies `Host`. Its machine tells of everything that changes."""

    tells_all = True

    def __init__(self, scenario: Scenario, *, realtime: bool, credentials: Credentials = ROOT, reached: str = "") -> None:
        kernel = SimulatedKernel(scenario.machine, pid=2718, credentials=credentials)
        kernel.process.environment |= host_use.environment(scenario.machine)
        super().__init__(kernel, names=scenario.names, reached=reached)
        self.scenario = scenario
        self._realtime = realtime
        self._moved = time.monotonic()
        self._looked = scenario.machine.generation
        scenario.machine.realtime = realtime

    @property
    def lives(self) -> bool:
        """Whether anything goes on here by itself while somebody looks."""
        return bool(self.stories) or (self._realtime and self.scenario.is_eventful)

    @property
    def stories(self) -> tuple[str, ...]:
        """What goes on here by itself."""
        return self.scenario.about

    def advance(self, seconds: float) -> None:
        """Let time pass on the simulated machine."""
        with self.scenario.machine.changed:
            self.scenario.advance(seconds)

    def wait_for_change(self, seconds: float) -> bool:
        """See `Host.wait_for_change`; in real time the simulated clock moves along."""
        until = time.monotonic() + seconds
        while True:
            remaining = until - time.monotonic()
            changed = super().wait_for_change(max(0.0, min(remaining, TICK)))
            changed = self._move_on() or changed
            if changed or self._closed:
                return not self._closed
            if remaining <= 0:
                return False

    def snapshot(self) -> Snapshot:
        """See `Host.snapshot`."""
        self._looked = self.scenario.machine.generation
        return super().snapshot()

    def _move_on(self) -> bool:
        """Let the clock catch up; whether the machine is otherwise than when it was last looked at."""
        machine = self.scenario.machine
        if self._realtime:
            with machine.changed:
                now = time.monotonic()
                moved, self._moved = now - self._moved, now
                self.scenario.advance(moved)
        return machine.generation != self._looked
