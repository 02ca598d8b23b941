"""Which programs carry a VF token where others can read it: in their command line (everybody) or environment (their user and root).

QEMU takes a token in its option `vf-token=`, DPDK in `--vfio-vf-token`; variables like VFTOKEN come from scripts. What is found is
told by its fingerprint only.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from vfdeck.backend import workload
from vfdeck.backend.kernel import Kernel
from vfdeck.backend.well_known import well_known

COMMAND_LINE, ENVIRONMENT = "command line", "environment"


@dataclass(frozen=True, slots=True)
class Leak:
    """A token in a program's command line or environment. `well_known`: everybody knows it (`well_known.toml`)."""

    pid: int
    program: str
    place: str
    fingerprint: str
    well_known: bool
    vm: str = ""
    container: str = ""


@dataclass(frozen=True, slots=True)
class Leaks:
    """What was found. `unseen` counts processes of which something could not be looked at."""

    found: tuple[Leak, ...]
    unseen: int


def leaks(kernel: Kernel) -> Leaks:
    """Look at every process. Never raises; one that ends meanwhile has leaked what was seen until then."""
    try:
        pids = sorted(int(name) for name in kernel.names("/proc") if name.isascii() and name.isdigit())
    except OSError:
        return Leaks((), 1)
    found: list[Leak] = []
    unseen = 0
    for pid in pids:
        texts, hidden = _texts(kernel, pid)
        unseen += hidden
        found += _of_program(kernel, pid, texts)
    return Leaks(tuple(found), unseen)


def _texts(kernel: Kernel, pid: int) -> tuple[dict[str, list[str]], bool]:
    """Arguments and variables, and whether any of them may not be read."""
    texts, hidden = {}, False
    for place, name in ((COMMAND_LINE, "cmdline"), (ENVIRONMENT, "environ")):
        try:
            texts[place] = _read(kernel, pid, name).split("\0")
        except OSError as error:
            hidden |= error.errno not in (errno.ENOENT, errno.ESRCH)
    return texts, hidden


def _of_program(kernel: Kernel, pid: int, texts: dict[str, list[str]]) -> Iterator[Leak]:
    arguments, variables = texts.get(COMMAND_LINE, ()), texts.get(ENVIRONMENT, ())
    carried = {COMMAND_LINE: set(workload.carried(arguments)), ENVIRONMENT: set(workload.carried((), variables))}
    if not any(carried.values()):
        return
    name, cgroup = "", ""
    with suppress(OSError):  # it has just ended
        name, cgroup = _read(kernel, pid, "comm"), _read(kernel, pid, "cgroup")
    who = workload.process(pid, name, arguments=arguments, cgroup=cgroup)
    for place, tokens in carried.items():
        for token in sorted(tokens, key=lambda token: token.fingerprint):
            yield Leak(pid, who.name, place, token.fingerprint, well_known(token) is not None, who.vm, who.container)


def _read(kernel: Kernel, pid: int, name: str) -> str:
    return kernel.read(f"/proc/{pid}/{name}").decode("utf-8", "surrogateescape")
