"""From options to hosts, for every command that looks at one."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING

from vfdeck.app import failure, reaching
from vfdeck.app.failure import Failure
from vfdeck.backend.bdf import typed
from vfdeck.backend.leading import led
from vfdeck.backend.text import printable
from vfdeck.backend.topology import DEVICES

if TYPE_CHECKING:
    import argparse

    from vfdeck.backend.agent.remote_host import RemoteHost
    from vfdeck.backend.host import Host
    from vfdeck.backend.kernel import Kernel
    from vfdeck.backend.local_host import LocalHost
    from vfdeck.backend.model import Snapshot
    from vfdeck.backend.sim.fleet import FleetHost
    from vfdeck.backend.sim.scenario import SimulatedHost


def reached(options: argparse.Namespace) -> str:
    """The options that lead another command to the hosts that this one looks at."""
    if reaching.is_asked(options):
        return reaching.reached(options)
    if options.demo is not None:
        from vfdeck.backend.sim.scenario import reached as simulated_by

        return simulated_by(options.demo, options.seed)
    return "" if options.root == "/" else f"--root {shlex.quote(options.root)}"


def address(text: str) -> str:
    """A PCI address as the kernel writes it; without a domain it is domain 0000. Raises Failure for what is none."""
    found = typed(text)
    if found is None:
        raise Failure(failure.USAGE, f'"{printable(text, 40)}" is no PCI address; expected e.g. 0000:03:02.1')
    return found


def local(root: str) -> LocalHost:
    """This host, or the tree below `root`. Raises Failure where `root` holds no sysfs."""
    if root != "/":
        _demand_sysfs(root)
    from vfdeck.backend.linux.kernel import LinuxKernel
    from vfdeck.backend.local_host import LocalHost
    from vfdeck.backend.memory import memory_of

    kernel = LinuxKernel(root)
    by = "" if root == "/" else f"--root {shlex.quote(root)}"
    return LocalHost(kernel, memory=memory_of(kernel, os.environ), reached=by)


def _demand_sysfs(root: str) -> None:
    place = root.rstrip("/") + DEVICES
    try:
        os.listdir(place)
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "not a path"
        line = f"{printable(root)} is no root with a sysfs: {printable(place)}: {reason}; expected a directory of PCI functions"
        raise Failure(failure.NO_INPUT, line) from None


def simulated(name: str, seed: int, *, realtime: bool = False) -> SimulatedHost:
    """A host of the demo, at its first second or with a clock that runs. Raises Failure where no scenario has that name."""
    with _known_scenario(name):
        from vfdeck.backend.sim import scenario

        return scenario.load(name, seed, realtime=realtime)


def simulated_fleet(name: str, seed: int, *, still: bool = False) -> tuple[SimulatedHost | FleetHost, ...]:
    """Every host of a scenario, with clocks that run and stories that are told; `still`: where nothing happens by itself.

    Raises Failure where no scenario has that name.
    """
    with _known_scenario(name):
        from vfdeck.backend.sim import scenario

        return scenario.load_all(name, seed, realtime=True, lives=not still, still=still)


def one(options: argparse.Namespace) -> LocalHost | RemoteHost:
    """The host that a command is about: this one, the tree below `--root`, a simulated one, or one behind an agent.

    Raises Failure where no scenario has that name, where `--root` holds no sysfs, and where there is no agent.
    """
    if reaching.is_asked(options):
        return reaching.connected(options)[0]
    return local(options.root) if options.demo is None else simulated(options.demo, options.seed)


def watched(options: argparse.Namespace) -> Sequence[Host]:
    """The hosts that a command looks at again and again. Raises Failure as `looked_at`."""
    if reaching.is_asked(options):
        return reaching.connected(options)
    return [local(options.root)] if options.demo is None else simulated_fleet(options.demo, options.seed)


def looked_at(options: argparse.Namespace) -> Sequence[LocalHost | FleetHost | RemoteHost]:
    """The hosts that a command looks at: this one, the tree below `--root`, all of a scenario at its first second, or those named.

    Raises Failure where no scenario has that name, where `--root` holds no sysfs, and where no host is reached.
    """
    return reaching.connected(options) if reaching.is_asked(options) else near(options)


def are_several(options: argparse.Namespace, looked: Sequence[Host]) -> bool:
    """Whether a command tells of several hosts: also where all but one of those that were named are missing."""
    return len(looked) > 1 or len(options.hosts) > 1


def near(options: argparse.Namespace) -> Sequence[LocalHost | FleetHost]:
    """The same without those behind an agent."""
    if options.demo is None:
        return (local(options.root),)
    with _known_scenario(options.demo):
        from vfdeck.backend.sim import scenario

        return scenario.load_all(options.demo, options.seed)


def looks(options: argparse.Namespace, looked: Sequence[Host], asked: Collection[str] = ()) -> Iterator[tuple[Host, Snapshot]]:
    """A look at each host that has one of the functions asked for, at every host where none is; each is closed behind it.

    The first of them is found before this returns. Raises Failure: 66 where no host has any.
    """
    found = _looks(looked, asked)
    first = next(found, None)
    if first is None:
        raise nowhere(next(iter(asked), ""), [host.name for host in looked], reached(options))
    return chain((first,), found)


def look(host: Host) -> Snapshot:
    """A look at a host. Raises Failure where it was lost on the way: what was seen before is no answer."""
    snapshot = host.snapshot()
    if snapshot.away is not None:
        raise Failure(failure.UNAVAILABLE, f"{host.name}: {snapshot.away.what}")
    return snapshot


def _looks(looked: Sequence[Host], asked: Collection[str]) -> Iterator[tuple[Host, Snapshot]]:
    for host in looked:
        try:
            snapshot = look(host)
            if not asked or any(bdf in snapshot.functions for bdf in asked):
                yield host, snapshot
        finally:
            host.close()


def nowhere(bdf: str, names: Sequence[str], by: str) -> Failure:
    """That no host has the function that was asked for; `by` options that reach them."""
    where = names[0] if len(names) == 1 else f"any of the {len(names)} hosts"
    line = f"{bdf} is no PF, no VF and no function on a vfio driver of {where}; expected an address of `vfdeck tree`"
    return Failure(failure.NO_INPUT, led(line, by))


@contextmanager
def _known_scenario(name: str) -> Iterator[None]:
    from vfdeck.backend.sim import scenario

    try:
        yield
    except scenario.UnknownScenario as unknown:
        raise Failure(failure.USAGE, printable(str(unknown))) from None


def kernels(scenario: str | None, seed: int) -> Callable[[str], Kernel]:
    """What gives each program its kernel: this host's, or a simulated one where a scenario is named."""
    if scenario is None:
        from vfdeck.backend.linux.kernel import LinuxKernel

        return lambda name: LinuxKernel()
    from vfdeck.backend.sim.kernel import SimulatedKernel

    machine = simulated(scenario, seed).scenario.machine
    return lambda name: SimulatedKernel(machine, name)
