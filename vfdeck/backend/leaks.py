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
from vfdeck.backend.text import printable
from vfdeck.backend.well_known import well_known

# include/linux/sched.h
_PF_KTHREAD = 0x00200000

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
class NotRead:
    """What of a program could not be looked at, and why. `doubt`: a token may stand there for somebody to read.

    An environment that is kept from the program's own user leaves none: the kernel shows it to those only who could read the
    program's memory as well (ptrace_may_access: more privileges, or a program that does not want to be looked at).
    """

    pid: int
    program: str
    place: str
    why: str
    doubt: bool


@dataclass(frozen=True, slots=True)
class Leaks:
    """What was found, and what could not be looked at."""

    found: tuple[Leak, ...]
    not_read: tuple[NotRead, ...] = ()

    @property
    def unseen(self) -> int:
        """How many processes leave a doubt."""
        return len({one.pid for one in self.not_read if one.doubt})


def leaks(kernel: Kernel) -> Leaks:
    """Look at every process. Never raises; one that ends meanwhile has leaked what was seen until then."""
    try:
        pids = sorted(int(name) for name in kernel.names("/proc") if name.isascii() and name.isdigit())
    except OSError as error:
        return _nobody_seen(error.strerror or str(error))
    if not pids:  # of a copied tree; a kernel shows a program itself at least
        return _nobody_seen("no process is there")
    found: list[Leak] = []
    not_read: list[NotRead] = []
    for pid in pids:
        texts, refused = _texts(kernel, pid)
        if ENVIRONMENT in refused and _is_kernel_thread(kernel, pid):
            continue
        not_read += [_not_read(kernel, pid, place, error) for place, error in refused.items()]
        not_read += _not_wholly_read(kernel, pid, texts)
        found += _of_program(kernel, pid, texts)
    return Leaks(tuple(found), tuple(not_read))


def _nobody_seen(why: str) -> Leaks:
    return Leaks((), (NotRead(0, "every program", COMMAND_LINE, why, doubt=True),))


def _texts(kernel: Kernel, pid: int) -> tuple[dict[str, list[str]], dict[str, OSError]]:
    """Arguments and variables, and what could not be read of a process that is there."""
    texts, refused = {}, {}
    for place, name in ((COMMAND_LINE, "cmdline"), (ENVIRONMENT, "environ")):
        try:
            texts[place] = _read(kernel, pid, name).split("\0")
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ESRCH):
                refused[place] = error
    return texts, refused


def _not_read(kernel: Kernel, pid: int, place: str, error: OSError) -> NotRead:
    name, status = "", ""
    with suppress(OSError):  # it has just ended, or this is not shown either
        name = _read(kernel, pid, "comm")
        status = _read(kernel, pid, "status")
    who = workload.process(pid, name)
    from_its_user = place == ENVIRONMENT and error.errno in (errno.EACCES, errno.EPERM) and _uid(status) == kernel.euid
    return NotRead(pid, who.name, place, printable(error.strerror or str(error)), not from_its_user)


def _not_wholly_read(kernel: Kernel, pid: int, texts: dict[str, list[str]]) -> Iterator[NotRead]:
    for place, more in (
        (COMMAND_LINE, workload.carries_more(texts.get(COMMAND_LINE, ()))),
        (ENVIRONMENT, workload.carries_more((), texts.get(ENVIRONMENT, ()))),
    ):
        if more:
            error = OSError(errno.E2BIG, "it speaks of tokens too often to read all of it")
            yield _not_read(kernel, pid, place, error)


def _is_kernel_thread(kernel: Kernel, pid: int) -> bool:
    """By the flags in its `stat` (proc_pid_stat(5)), which everybody may read: such a one has neither arguments nor environment."""
    with suppress(OSError, ValueError, IndexError):  # it has just ended, or this is not shown
        return bool(int(_read(kernel, pid, "stat").rpartition(")")[2].split()[6]) & _PF_KTHREAD)
    return False


def _uid(status: str) -> int | None:
    """The effective user of a process, by its `status` (proc_pid_status(5)); None where it does not tell."""
    line = next((line for line in status.splitlines() if line.startswith("Uid:")), "")
    words = line.split()
    return int(words[2]) if len(words) > 2 and words[2].isascii() and words[2].isdigit() else None


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
