"""What this program may not do on this host, and which right it lacks for that. Probed without doing anything.

Who may write a file of sysfs is a matter of its mode and owner: the kernel asks for no capability there (kernfs_fop_open), but
CAP_DAC_OVERRIDE stands above modes. To see what other users' programs hold takes two: one to list their descriptors
(CAP_DAC_READ_SEARCH), one to read where they lead (CAP_SYS_PTRACE; proc_fd_access_allowed).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress

from vfdeck.backend.acts import DRIVERS
from vfdeck.backend.evidence import (
    CAP_DAC_OVERRIDE,
    CAP_SYS_ADMIN,
    CAP_SYS_PTRACE,
    Rights,
    Unread,
    allows,
    rights,
    stat_of,
)
from vfdeck.backend.kernel import Kernel
from vfdeck.backend.model import Function, Lack, Role, Snapshot
from vfdeck.backend.vfio import DEVICES

CAP_DAC_READ_SEARCH = 2
CAP_SYSLOG = 34
RESTRICT = "/proc/sys/kernel/dmesg_restrict"

NAMES = {
    CAP_DAC_OVERRIDE: "CAP_DAC_OVERRIDE",
    CAP_DAC_READ_SEARCH: "CAP_DAC_READ_SEARCH",
    CAP_SYS_PTRACE: "CAP_SYS_PTRACE",
    CAP_SYS_ADMIN: "CAP_SYS_ADMIN",
    CAP_SYSLOG: "CAP_SYSLOG",
}

#: By what would need it: in words, and the capabilities that it takes; each may be stood in for by others.
NEEDS: dict[str, tuple[str, tuple[tuple[int, ...], ...]]] = {
    "write": ("write files of sysfs that were not given to this user", ((CAP_DAC_OVERRIDE,),)),
    "holders": (
        "see what other users' programs hold",
        ((CAP_SYS_PTRACE,), (CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE)),
    ),
    "borrow": ("rotate a token through another program's descriptor", ((CAP_SYS_PTRACE,),)),
    "log": ("read the kernel's own words for a refusal", ((CAP_SYSLOG, CAP_SYS_ADMIN),)),
    "config": ("read a function's SR-IOV capability in config space", ((CAP_SYS_ADMIN,),)),
}


def lacks(kernel: Kernel) -> tuple[Lack, ...] | Unread:
    """What this program may not do. Root by its user id writes what root owns, also without any capability."""
    who = rights(kernel)
    return who if isinstance(who, Unread) else tuple(_lacking(kernel, who))


def _lacking(kernel: Kernel, who: Rights) -> Iterator[Lack]:
    for need, (what, capabilities) in NEEDS.items():
        missing = [options[0] for options in capabilities if not any(_has(who, one) for one in options)]
        if missing and not (need == "write" and who.uid == 0) and not (need == "log" and _log_is_open(kernel)):
            yield Lack(need, what, " and ".join(NAMES[one] for one in missing))


def _has(who: Rights, capability: int) -> bool:
    """Whether it is there and may count: in a user namespace it does not reach the host, and where that is not known it may."""
    return who.on_host(capability) is not False


def _log_is_open(kernel: Kernel) -> bool:
    with suppress(OSError):
        return kernel.read(RESTRICT).strip() == b"0"
    return False


# -- files of sysfs --------------------------------------------------------------------------------------------------------
def closed(kernel: Kernel, functions: Iterable[Function]) -> frozenset[str]:
    """Those files that changes of these functions write, and that mode and owner are known to keep this program out of.

    Of VFs only those of their drivers: there may be thousands, and without these nothing is done to them.
    """
    who = rights(kernel)
    if isinstance(who, Unread):
        return frozenset()
    paths = {path for function in functions for path in _files(function)}
    return frozenset(path for path in paths if _keeps_out(kernel, path, who))


def _files(function: Function) -> Iterator[str]:
    yield from writes_unbind(function)
    if function.role is not Role.VF:
        yield from (*writes_bind(function), *writes_reset(function))
    if function.sriov is not None:
        yield from (*writes_numvfs(function), *writes_autoprobe(function))


def unbind_file(driver: str) -> str:
    """What is written to take a function from its driver."""
    return f"{DRIVERS}/{driver}/unbind"


def _keeps_out(kernel: Kernel, path: str, who: Rights) -> bool:
    found = stat_of(kernel, path)
    return not isinstance(found, Unread) and allows(found, who, 0o2) is False


def writes_numvfs(pf: Function) -> tuple[str, ...]:
    """Of turning VFs on or off."""
    return (f"{DEVICES}/{pf.bdf}/sriov_numvfs",)


def writes_autoprobe(pf: Function) -> tuple[str, ...]:
    """Of turning autoprobe on or off."""
    return (f"{DEVICES}/{pf.bdf}/sriov_drivers_autoprobe",)


def writes_reset(function: Function) -> tuple[str, ...]:
    """Of a reset."""
    return (f"{DEVICES}/{function.bdf}/reset",)


def writes_unbind(function: Function) -> tuple[str, ...]:
    """Of taking a function from its driver."""
    return (unbind_file(function.driver),) if function.driver is not None else ()


def writes_bind(function: Function) -> tuple[str, ...]:
    """Of binding a function to another driver."""
    return (*writes_unbind(function), f"{DEVICES}/{function.bdf}/driver_override")


def keeps_from(snapshot: Snapshot, path: str) -> str:
    """ "" where nothing is known against writing a file, else the reason, for a person."""
    if path not in snapshot.closed:
        return ""
    name = path.removeprefix(f"{DEVICES}/").removeprefix(f"{DRIVERS}/")
    return f"this user may not write {name}: that takes root, CAP_DAC_OVERRIDE, or the right to write it (A19)"
