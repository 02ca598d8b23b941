"""What carries out a change: the very writes and calls, in order. The plan shows them, the executor does them, so both agree."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Union

from vfdeck.backend import rotation
from vfdeck.backend.changes import (
    BindDriver,
    Change,
    Close,
    Open,
    OpenPath,
    ResetFunction,
    SetAutoprobe,
    SetNumvfs,
    SetToken,
    Step,
    TokenWay,
    UnbindDriver,
    VerifyToken,
)
from vfdeck.backend.facts import own_opens
from vfdeck.backend.model import Function, Snapshot
from vfdeck.backend.token import Token
from vfdeck.backend.vfio import DEVICES
from vfdeck.backend.wording import group_node

DRIVERS = "/sys/bus/pci/drivers"
DRIVERS_PROBE = "/sys/bus/pci/drivers_probe"


@dataclass(frozen=True, slots=True)
class Write:
    """One `write(2)` of `data` to a file in sysfs."""

    path: str
    data: bytes
    text: str

    @property
    def shell(self) -> str:
        """The same write by a shell: `echo` ends its text with the newline that `data` ends with."""
        value = self.data.decode().removesuffix("\n")
        return f"echo {shlex.quote(value)} > {shlex.quote(self.path)}" if value else f"echo > {shlex.quote(self.path)}"


@dataclass(frozen=True, slots=True)
class OpenAct:
    """Open a device along a ladder, with or without a token."""

    bdf: str
    token: Token | None
    path: OpenPath
    node: str = ""

    @property
    def text(self) -> str:
        """What is opened, with the token's fingerprint."""
        how = f"with token #{self.token.fingerprint}" if self.token else "without a token"
        return f"open {self.bdf} through its {'group' if self.path is OpenPath.GROUP else 'own node'}, {how}"

    @property
    def shell(self) -> str:
        """No shell can do this: the calls, without the token."""
        if self.path is OpenPath.CDEV:
            flag = ", flags=VFIO_DEVICE_BIND_FLAG_TOKEN" if self.token else ""
            return f"# open {self.node or '/dev/vfio/devices/...'}, /dev/iommu; ioctl VFIO_DEVICE_BIND_IOMMUFD{flag}"
        option = " vf_token=..." if self.token else ""
        opened = f"{self.node or '/dev/vfio/...'}, /dev/vfio/vfio"
        return f'# open {opened}; ioctl VFIO_GROUP_SET_CONTAINER, VFIO_SET_IOMMU, VFIO_GROUP_GET_DEVICE_FD "{self.bdf}{option}"'


@dataclass(frozen=True, slots=True)
class FeatureAct:
    """Replace a PF's token through the fd of it that this program has open, or a duplicate of another program's."""

    pf: str
    token: Token
    lenders: tuple[tuple[int, str], ...] = ()  # the processes, by number and name, one of whose fds is duplicated: asked in turn

    @property
    def text(self) -> str:
        """What is set, by fingerprint."""
        who = ", else ".join(f"{program} ({pid})" for pid, program in self.lenders)
        of = f"a duplicate of the fd that {who} has" if who else "the open fd"
        return f"set token #{self.token.fingerprint} through {of} of {self.pf}"

    @property
    def shell(self) -> str:
        """No shell can do this: the call, without the token."""
        call = "ioctl VFIO_DEVICE_FEATURE, SET | PCI_VF_TOKEN"
        return f"# pidfd_open {self.lenders[0][0]}, pidfd_getfd; {call}; close" if self.lenders else f"# {call}, on the open fd"


@dataclass(frozen=True, slots=True)
class VerifyAct:
    """Ask of a VF whether a token is the right one, without opening it."""

    bdf: str
    token: Token
    path: OpenPath
    node: str = ""
    after: bool = False  # whether a token that was just set is in force: what cannot be told then is no failure

    @property
    def text(self) -> str:
        """What is asked, with the token's fingerprint."""
        through = "its group" if self.path is OpenPath.GROUP else "its own node"
        return f"ask of {self.bdf}, through {through}, whether token #{self.token.fingerprint} is the right one"

    @property
    def shell(self) -> str:
        """No shell can do this: the calls, without the token."""
        if self.path is OpenPath.CDEV:
            return f"# open {self.node}; ioctl VFIO_DEVICE_BIND_IOMMUFD, flags=VFIO_DEVICE_BIND_FLAG_TOKEN, iommufd=itself"
        return f'# open {self.node}, no container; ioctl VFIO_GROUP_GET_DEVICE_FD "{self.bdf} vf_token=..." and "{self.bdf}"'


@dataclass(frozen=True, slots=True)
class CloseAct:
    """Close fds of a device: the one that the act before opened, or every one that this program has."""

    bdf: str
    just_opened: bool

    @property
    def text(self) -> str:
        """What is closed."""
        return f"close {self.bdf} again" if self.just_opened else f"close every fd of {self.bdf} that vfdeck holds"

    @property
    def shell(self) -> str:
        """The call."""
        return "# close the fd"


Act = Union[Write, OpenAct, FeatureAct, VerifyAct, CloseAct]


def steps(change: Change, snapshot: Snapshot, own: frozenset[str] = frozenset()) -> tuple[Act, ...]:
    """The acts that carry out `change` on a host in this state, in order.

    Args:
        change: what is wanted.
        snapshot: the host's state now.
        own: functions that this program holds open, beside those that the snapshot says so of.
    """
    build: Callable[[Any, Snapshot, frozenset[str]], tuple[Act, ...]] = _BUILDERS[type(change)]
    return build(change, snapshot, own_opens(snapshot, own))


def as_ours(told: tuple[Step, ...], change: Change, snapshot: Snapshot | None) -> tuple[Step, ...]:
    """The steps of a change that another host has told, each with the shell command that is made here for what it says.

    What comes from elsewhere is never a command. A step that nobody here would take has none.
    """
    ours = {act.text: act.shell for act in steps(change, snapshot)} if snapshot is not None else {}
    return tuple(Step(step.text, ours.get(step.text, "")) for step in told)


def _set_numvfs(change: SetNumvfs, snapshot: Snapshot, _: frozenset[str]) -> tuple[Act, ...]:
    function = snapshot.functions.get(change.pf)
    present = function.sriov.numvfs if function and function.sriov else 0
    counts = [0, change.count] if present and change.count else [change.count]
    path = f"{DEVICES}/{change.pf}/sriov_numvfs"
    return tuple(Write(path, b"%d\n" % n, f"give {change.pf} {n} VFs" if n else f"remove the VFs of {change.pf}") for n in counts)


def _bind(change: BindDriver, snapshot: Snapshot, _: frozenset[str]) -> tuple[Act, ...]:
    """A named driver through its own bind file, which answers with the reason of a refusal; drivers_probe always says OK."""
    bdf, driver = change.bdf, change.driver
    release = _unbind(UnbindDriver(bdf), snapshot, frozenset())
    if driver is None:
        return (
            *release,
            _clear(bdf),
            Write(DRIVERS_PROBE, f"{bdf}\n".encode(), f"let the kernel choose a driver for {bdf}"),
        )
    return (
        *release,
        Write(_override(bdf), f"{driver}\n".encode(), f"reserve {bdf} for {driver}"),
        Write(f"{DRIVERS}/{driver}/bind", f"{bdf}\n".encode(), f"bind {bdf} to {driver}"),
    )


def _unbind(change: UnbindDriver, snapshot: Snapshot, _: frozenset[str]) -> tuple[Act, ...]:
    function = snapshot.functions.get(change.bdf)
    if function is None or function.driver is None:
        return ()
    path = f"{DRIVERS}/{function.driver}/unbind"
    release = Write(path, f"{change.bdf}\n".encode(), f"take {change.bdf} from {function.driver}")
    return (release, _clear(change.bdf)) if change.clear_override else (release,)


def _override(bdf: str) -> str:
    return f"{DEVICES}/{bdf}/driver_override"


def _clear(bdf: str) -> Write:
    return Write(_override(bdf), b"\n", f"clear the driver_override of {bdf}")


def _set_token(change: SetToken, snapshot: Snapshot, own: frozenset[str]) -> tuple[Act, ...]:
    pf, chosen = change.pf, rotation.way(change, snapshot, own)
    lenders = tuple((h.pid, h.program) for h in rotation.lenders(snapshot, pf)) if chosen is TokenWay.BORROWED else ()
    setting: tuple[Act, ...] = (FeatureAct(pf, change.token, lenders),)
    if chosen is TokenWay.OPEN:
        setting = _open(Open(pf, change.token), snapshot, own)
    elif chosen is TokenWay.CURRENT:
        opening, closing = _open(Open(pf, change.current), snapshot, own)
        setting = (opening, *setting, closing)
    vf = rotation.witness(snapshot, pf, own)
    return (*setting, *(_verify(VerifyToken(vf.bdf, change.token), snapshot, after=True) if vf else ()))


def _verify(change: VerifyToken, snapshot: Snapshot, _: frozenset[str] = frozenset(), after: bool = False) -> tuple[Act, ...]:
    node = _node(snapshot.functions.get(change.bdf), change.path)
    return (VerifyAct(change.bdf, change.token, change.path, node, after),)


def _open(change: Open, snapshot: Snapshot, _: frozenset[str]) -> tuple[Act, ...]:
    opening = OpenAct(change.bdf, change.token, change.path, _node(snapshot.functions.get(change.bdf), change.path))
    return (opening,) if change.hold else (opening, CloseAct(change.bdf, just_opened=True))


def _node(function: Function | None, path: OpenPath) -> str:
    """The node that a path begins with; "" where there is none."""
    cdev = f"/dev/vfio/devices/{function.cdev}" if function and function.cdev else ""
    return cdev if path is OpenPath.CDEV else group_node(function) or ""


def _close(change: Close, _: Snapshot, __: frozenset[str]) -> tuple[Act, ...]:
    return (CloseAct(change.bdf, just_opened=False),)


def _set_autoprobe(change: SetAutoprobe, _: Snapshot, __: frozenset[str]) -> tuple[Act, ...]:
    path = f"{DEVICES}/{change.pf}/sriov_drivers_autoprobe"
    what = "offer new VFs to drivers" if change.on else "offer new VFs to no driver"
    return (Write(path, b"1\n" if change.on else b"0\n", f"{change.pf}: {what}"),)


def _reset(change: ResetFunction, _: Snapshot, __: frozenset[str]) -> tuple[Act, ...]:
    return (Write(f"{DEVICES}/{change.bdf}/reset", b"1\n", f"reset {change.bdf}"),)


_BUILDERS: dict[type, Callable[..., tuple[Act, ...]]] = {
    SetNumvfs: _set_numvfs,
    BindDriver: _bind,
    UnbindDriver: _unbind,
    SetToken: _set_token,
    VerifyToken: _verify,
    Open: _open,
    Close: _close,
    SetAutoprobe: _set_autoprobe,
    ResetFunction: _reset,
}
