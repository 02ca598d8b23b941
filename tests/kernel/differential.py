"""Random operations on two kernels side by side: the first answer that differs, with the fewest steps that lead to it.

The generator knows the state of the simulated machine, so that most operations mean something; the simulation answers first, so
that a write that waits there is given little patience on the other kernel. Same seed, same steps.
"""

from __future__ import annotations

import random
import re
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tests.kernel.forecast import Forecast
from vfdeck.backend.kernel import Blocked, Kernel, Pending
from vfdeck.backend.model import Role
from vfdeck.backend.player import Player, Step
from vfdeck.backend.record import host_line
from vfdeck.backend.replay import machine_of
from vfdeck.backend.sim.hardware import Function
from vfdeck.backend.sim.kernel import SimulatedKernel
from vfdeck.backend.sim.machine import Machine
from vfdeck.backend.vfio import DEVICES

DRIVERS = "/sys/bus/pci/drivers"
ENABLE_SRIOV = "/sys/module/vfio_pci/parameters/enable_sriov"

#: A write that waits on the simulated kernel is given this long on the other one, and one that does not this long.
SHORT, LONG = 1.0, 20.0

#: What native drivers are given to finish what they do after a write has returned, seconds.
SETTLE = 0.5

_NUMBERS = ["0", "1", "2", "3", "8", "9", "4\n", "0x2", "010", "+1", "-1", "", " 1", "1 ", "x", "65535", "65536", "\n", "1\n\n"]
_BOOLS = ["0", "1", "y", "n", "on", "off", "t", "f", "e", "d", "", "x", "2", "true", "oops"]
_OVERRIDES = ["vfio-pci", "vfio-pci\n", "\n", "", "nosuch", "igb", "nvme"]
_ODD = [
    "{b} vf_token=",
    "{b} vf_token={t}x",
    "{b},vf_token={t}",
    "{b}  vf_token={t} ",
    "{b} VF_TOKEN={t}",
    "{b} foo=bar",
    "{b}0",
    " {b}",
]
_ODD += ["{b} vf_token={t} vf_token={t}", "{b}\t", "{b} ", "", "{b} vf_token={t}\n", "{b} vf_token={n}", "{b} vf_token={u}"]
_BUS = re.compile(r"\b[0-9a-f]{4}:[0-9a-f]{2}(?=:)")
_FEATURE_FLAGS = [1 << 17] * 8 + [0, 1 << 16, 1 << 18, 3 << 16, 5 << 16, 6 << 16, 7 << 16, 1 << 19, (1 << 17) | 0xFFFF]


@dataclass
class Difference:
    """Where two kernels part: the steps that lead there, the last of them answered differently."""

    steps: list[Step]
    simulated: Step
    other: Step
    effective: list[Step]  # those of the steps that changed something, and the last one

    def __str__(self) -> str:
        lines = [f"  {number}. {_short(step)}" for number, step in enumerate(self.steps, 1)]
        return "\n".join([*lines, f"  simulated: {self.simulated}", f"  other:     {self.other}"])


def _short(step: Step) -> str:
    return " ".join(f"{key}={value!r}" for key, value in step.items() if key != "patience")


class Generator:
    """Makes up operations that fit the state of a simulated machine."""

    def __init__(self, machine: Machine, rng: random.Random, *, cdev: bool) -> None:
        self.machine, self.rng, self.cdev = machine, rng, cdev
        self.tokens = [rng.randbytes(16) for _ in range(3)]
        self.open: dict[str, tuple[str, str]] = {}  # handle -> actor, device
        self.waiting: list[str] = []  # paths whose write waits
        self._handles = 0
        self._native = not machine.drivers.keys().isdisjoint({"igb", "nvme"})
        self._pfs = [f.bdf for f in machine.functions.values() if f.role is Role.PF]
        self._plain = [f.bdf for f in machine.functions.values() if f.role is Role.PLAIN and f.bdf > "0000:00:ff"]

    def next(self) -> Step:
        """One operation. While a write waits, most operations lead towards its end."""
        if self.waiting:
            if self.open and self.rng.random() < 0.5:
                return self._close()
            makers = [self._open, self._state, self._feature, self._numbers]
        else:
            makers = [self._open] * 9 + [self._close] * 5 + [self._feature] * 2 + [self._state] * 2
            makers += [self._bind, self._unbind, self._numvfs, self._numvfs, self._numbers, self._override, self._probe]
            makers += [self._bind_file, self._autoprobe, self._read]
            makers += [self._enable_sriov] if self.rng.random() < 0.2 else []
        return self.rng.choice(makers)()

    # -- what there is -----------------------------------------------------------------------------------------------
    def _function(self) -> str:
        vfs = [f.bdf for f in self.machine.functions.values() if f.role is Role.VF]
        pool = self._pfs + self._plain + vfs * 2
        return self.rng.choice(pool)

    def _present(self, bdf: str) -> Function | None:
        return self.machine.functions.get(bdf)

    def _pf(self) -> str:
        return self.rng.choice([pf for pf in self._pfs if not self._busy(pf)] or self._pfs)

    def _busy(self, bdf: str) -> bool:
        """Whether a write waits for this function: what takes its lock would wait too."""
        function = self._present(bdf)
        return function is not None and function.locked

    def _write(self, path: str, data: str) -> Step:
        if any(path == waiting for waiting in self.waiting):
            return self._state()
        step: Step = {"op": "write", "path": path, "data": data}
        return step | {"settle": SETTLE} if self._native else step

    # -- operations --------------------------------------------------------------------------------------------------
    def _bind(self) -> Step:
        return self._write(f"{DRIVERS}/vfio-pci/bind", self._bindable())

    def _bindable(self) -> str:
        """A function that vfio-pci would take; its override is written first where it lacks one."""
        wanting = [f for f in self.machine.functions.values() if f.driver is None and f.override == "vfio-pci" and not f.locked]
        return self.rng.choice(wanting).bdf if wanting else self._function()

    def _unbind(self) -> Step:
        return self._write(f"{DRIVERS}/{self.rng.choice(['vfio-pci', 'vfio-pci', 'igb', 'nvme'])}/unbind", self._function())

    def _bind_file(self) -> Step:
        return self._write(f"{DRIVERS}/{self.rng.choice(['vfio-pci', 'igb', 'nvme', 'nosuch'])}/bind", self._function())

    def _override(self) -> Step:
        data = self.rng.choice(["vfio-pci"] * 6 + _OVERRIDES)
        return self._write(f"{DEVICES}/{self._function()}/driver_override", data)

    def _probe(self) -> Step:
        return self._write("/sys/bus/pci/drivers_probe", self._function())

    def _numvfs(self) -> Step:
        return self._write(f"{DEVICES}/{self._pf()}/sriov_numvfs", self.rng.choice(["0", "2", "2", "3"]))

    def _numbers(self) -> Step:
        pf = self._pf()
        if self._busy(pf):
            return self._state()
        return self._write(f"{DEVICES}/{pf}/sriov_numvfs", self.rng.choice(_NUMBERS))

    def _autoprobe(self) -> Step:
        return self._write(f"{DEVICES}/{self._pf()}/sriov_drivers_autoprobe", self.rng.choice(_BOOLS))

    def _enable_sriov(self) -> Step:
        return self._write(ENABLE_SRIOV, self.rng.choice(["Y", "N", *_BOOLS]))

    def _read(self) -> Step:
        name = self.rng.choice(["sriov_totalvfs", "driver_override", "sriov_vf_device", "sriov_offset", "vendor", "nosuch"])
        return {"op": "read", "path": f"{DEVICES}/{self._function()}/{name}"}

    def _state(self) -> Step:
        bdf = self._function()
        if self._busy(bdf):  # reading sriov_numvfs would wait, in the reader
            return {"op": "read", "path": f"{DEVICES}/{bdf}/vendor"}
        return {"op": "state", "device": bdf}

    def _open(self) -> Step:
        bdf = self._openable()
        self._handles += 1
        handle, actor = f"h{self._handles}", self.rng.choice("ab")
        self.open[handle] = (actor, bdf)
        if self._busy(bdf):  # a PF opened against a waiting write can deadlock some kernels for good
            return self._state()
        if self.cdev and self.rng.random() < 0.5:
            return self._bind_iommufd(bdf, handle, actor)
        return {"op": "open", "device": bdf, "argument": self._argument(bdf), "handle": handle, "actor": actor}

    def _openable(self) -> str:
        bound = [f.bdf for f in self.machine.vfio_functions() if not f.locked]
        return self.rng.choice(bound) if bound and self.rng.random() < 0.9 else self._function()

    def _right(self, bdf: str) -> bytes:
        """The token in force for a function, where one is; else any."""
        function = self._present(bdf)
        pf = function.physfn or function if function else None
        record = pf.vfio.token if pf is not None and pf.vfio is not None else None
        known = record is not None and record.uuid in self.tokens
        return record.uuid if record is not None and known else self.rng.choice(self.tokens)

    def _argument(self, bdf: str) -> str:
        token = self._right(bdf) if self.rng.random() < 0.6 else self.rng.choice(self.tokens)
        text = _uuid(token)
        kind = self.rng.random()
        if kind < 0.6:
            return f"{bdf} vf_token={text}"
        if kind < 0.85:
            return bdf
        return self.rng.choice(_ODD).format(b=bdf, t=text, n=text.replace("-", ""), u=text.upper())

    def _bind_iommufd(self, bdf: str, handle: str, actor: str) -> Step:
        step: Step = {"op": "bind_iommufd", "device": bdf, "handle": handle, "actor": actor}
        if self.rng.random() < 0.7:
            step["token"] = (self._right(bdf) if self.rng.random() < 0.6 else self.rng.choice(self.tokens)).hex()
        for key, values in (("argsz", [0, 8, 15, 16, 24, 32]), ("flags", [0, 1, 2, 3, 1 << 31]), ("iommufd", [-1, 9999])):
            if self.rng.random() < 0.12:
                step[key] = self.rng.choice(values)
        return step

    def _close(self) -> Step:
        if not self.open:
            return self._open()
        handle = self.rng.choice(list(self.open))
        actor, _ = self.open.pop(handle)
        return {"op": "close", "handle": handle, "actor": actor}

    def _feature(self) -> Step:
        if not self.open:
            return self._open()
        handle = self.rng.choice(list(self.open))
        step: Step = {"op": "feature", "handle": handle, "actor": self.open[handle][0]}
        step |= {"flags": self.rng.choice(_FEATURE_FLAGS), "data": self.rng.choice([*self.tokens, b"", bytes(8)]).hex()}
        return step


def _uuid(token: bytes) -> str:
    digits = token.hex()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


# -- side by side ----------------------------------------------------------------------------------------------------------
class SideBySide:
    """A simulated kernel made from the state of another one, and both played in step."""

    forecast: Forecast | None = None  # where it is set, what vfdeck foretells of the other kernel is scored

    def __init__(self, new_kernel: Callable[[str], Kernel], *, breakage: Callable[[Machine], None] | None = None) -> None:
        self.machine = machine_of(host_line(new_kernel("looker")))
        if breakage is not None:
            breakage(self.machine)
        self.simulated = Player(lambda name: SimulatedKernel(self.machine, name))
        self.other = Player(new_kernel)
        self.waiting: list[str] = []

    def do(self, step: Step) -> tuple[Step, Step]:
        """Both answers to one step, and to the waits that have come to their end with it."""
        told = self.forecast.before(step) if self.forecast else None
        mine = self.simulated.do(step)
        blocked = mine["result"] == "BLOCKED"
        other = self.other.do({**step, "patience": SHORT if blocked else LONG})
        if self.forecast:
            self.forecast.after(told, other)
        if blocked:
            self.waiting.append(step["path"])
        if mine == other and self.waiting:
            return self._waits(mine, other)
        return mine, other

    def _waits(self, mine: Step, other: Step) -> tuple[Step, Step]:
        """Compare the ends of the writes that no longer wait on the simulated kernel."""
        for path in list(self.waiting):
            if all(job.path != path for job in self.machine.jobs):
                self.waiting.remove(path)
                step = {"op": "wait", "path": path}
                mine, other = {**mine, "wait": self.simulated.do(step)}, {**other, "wait": self.other.do(step)}
        return mine, other


class Alone:
    """A simulated kernel with nothing beside it, for `explore`: what vfdeck foretells of it is scored."""

    def __init__(self, machine: Machine, seed: str) -> None:
        self.machine = machine
        self.waiting: list[str] = []
        self._player = Player(lambda name: SimulatedKernel(machine, name))
        self.forecast = Forecast(SimulatedKernel(machine, "vfdeck"), self._player, seed)

    def do(self, step: Step) -> tuple[Step, Step]:
        """The answer, twice."""
        told = self.forecast.before(step)
        answer = self._player.do(step)
        self.forecast.after(told, answer)
        if answer["result"] == "BLOCKED" and step["op"] == "write":
            self.waiting.append(step["path"])
        for path in list(self.waiting):
            if all(job.path != path for job in self.machine.jobs):
                self.waiting.remove(path)
                self._player.do({"op": "wait", "path": path})
        return answer, answer


class _Course:
    """What was played so far."""

    def __init__(self, pair: SideBySide | Alone) -> None:
        self.pair = pair
        self.done: list[Step] = []
        self._effective: list[Step] = []

    def play(self, step: Step) -> Difference | None:
        """Play a step; the difference, if it makes one."""
        self.done.append(step)
        mine, other = self.pair.do(step)
        if mine != other:
            return Difference(self.done, mine, other, [*self._effective, step])
        if mine["result"] in ("OK", "BLOCKED") and step["op"] not in ("read", "state"):
            self._effective.append(step)
        return None


def play(pair: SideBySide, steps: Iterable[Step]) -> Difference | None:
    """The first difference in `steps`."""
    course = _Course(pair)
    return next((found for step in steps if (found := course.play(step))), None)


def explore(pair: SideBySide | Alone, seed: str, count: int, *, cdev: bool) -> tuple[Difference | None, int]:
    """Play `count` random operations, stopping at the first difference; how many were played."""
    generator = Generator(pair.machine, random.Random(seed), cdev=cdev)
    course = _Course(pair)
    while len(course.done) < count or pair.waiting:
        generator.waiting = pair.waiting
        if found := course.play(generator.next()):
            return found, len(course.done)
    return None, len(course.done)


def minimise(difference: Difference, again: Callable[[list[Step]], Difference | None], seconds: float) -> Difference:
    """Leave out steps as long as a difference remains; `again` plays a list of steps from a fresh state."""
    until = time.monotonic() + seconds
    best = _guessed(difference, again)
    size = max(1, len(best.steps) // 2)
    while size >= 1 and time.monotonic() < until:
        start, shorter = 0, False
        while start < len(best.steps) - 1 and time.monotonic() < until:
            fewer = best.steps[:start] + best.steps[start + size :]
            found = again(fewer) if fewer else None
            if found is not None and len(found.steps) < len(best.steps):
                best, shorter = found, True
            else:
                start += size
        if not shorter or size > 1:
            size //= 2
    return best


def _guessed(difference: Difference, again: Callable[[list[Step]], Difference | None]) -> Difference:
    """The first that shows a difference: what changed something on the bus concerned, what changed something, everything there."""
    for guess in (_on_its_bus(difference.effective), difference.effective, _on_its_bus(difference.steps)):
        found = again(guess)
        if found is not None:
            return found
    return difference


def _on_its_bus(steps: list[Step]) -> list[Step]:
    """The steps about functions on the bus of the last one (a PF and its VFs), and those about no function."""
    places: dict[str, str] = {}  # handle -> place

    def place(step: Step) -> str:
        named = _BUS.search(f"{step.get('device', '')} {step.get('path', '')} {step.get('data', '')}")
        found = named.group() if named else places.get(step.get("handle", ""), "")
        return places.setdefault(step["handle"], found) if "handle" in step else found

    where = [place(step) for step in steps]
    return [step for step, there in zip(steps, where, strict=True) if there in ("", where[-1])]


# -- a fresh state ---------------------------------------------------------------------------------------------------------
def reset(kernel: Kernel, players: Iterable[Player] = ()) -> None:
    """Bring the hardware back to where it was: nothing open, no VFs, no drivers, no overrides."""
    for player in players:
        player.close_all()
    for bdf in sorted(kernel.names(DEVICES)):
        if bdf < "0000:00:ff":
            continue
        names = _names(kernel, bdf)
        if "virtfn0" in names:
            _remove_vfs(kernel, bdf, bound="driver" in names)
        if "driver" in _names(kernel, bdf):
            driver = kernel.link(f"{DEVICES}/{bdf}/driver").rsplit("/", 1)[-1]
            _finish(kernel.write(f"{DRIVERS}/{driver}/unbind", bdf.encode()))
        _restore(kernel, f"{DEVICES}/{bdf}/driver_override", b"(null)", b"\n")
        if "sriov_totalvfs" in names:
            _restore(kernel, f"{DEVICES}/{bdf}/sriov_drivers_autoprobe", b"1", b"1")
    _restore(kernel, ENABLE_SRIOV, b"Y", b"Y")


def _restore(kernel: Kernel, path: str, wanted: bytes, data: bytes) -> None:
    """Write where something else stands there: a write takes a process of its own, and a tenth of a second in a guest."""
    try:
        found = kernel.read(path).strip()
    except FileNotFoundError:  # a VF that went with its PF's driver
        return
    if found != wanted:
        _finish(kernel.write(path, data))


def _remove_vfs(kernel: Kernel, pf: str, *, bound: bool) -> None:
    """Some drivers leave their VFs behind when they go; a driver that can do nothing else takes those away."""
    if not bound:
        subprocess.run(["modprobe", "pci-pf-stub"], check=True)
        _finish(kernel.write(f"{DEVICES}/{pf}/driver_override", b"pci-pf-stub"))
        _finish(kernel.write(f"{DRIVERS}/pci-pf-stub/bind", pf.encode()))
    _finish(kernel.write(f"{DEVICES}/{pf}/sriov_numvfs", b"0"))


def _names(kernel: Kernel, bdf: str) -> list[str]:
    try:
        return kernel.names(f"{DEVICES}/{bdf}")
    except OSError:
        return []


def _finish(pending: Pending) -> None:
    """Wait for a write of the reset; its refusal (no such file, not bound) is of no interest here, its hanging is."""
    if not pending.wait(30):
        raise Blocked(pending.path)
