"""What a restart of the host makes of a function: of its token, its VFs and its driver.

The kernel keeps none of them. VFs and drivers come back where something sets them at boot, which is looked for in the usual
places, read-only (`checks.persistence`). A file that names a function is a strong hint, no proof that it does what it should.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from vfdeck.backend.checks import Verdict
from vfdeck.backend.checks.persistence import DRIVERS, PLACES, VFS, Settings, module_options, settings
from vfdeck.backend.evidence import Unread
from vfdeck.backend.facts import pf_of
from vfdeck.backend.kernel import Kernel, errno_name
from vfdeck.backend.model import Function, Role, Snapshot
from vfdeck.backend.text import printable

_DRIVERCTL = "/etc/driverctl.d"
_COMMAND_LINE = "/proc/cmdline"
#: How files say a number of VFs: udev and shell, systemd.link(5), NetworkManager, netplan, options of older drivers.
_COUNTS = re.compile(
    r"""sriov_numvfs\}\s*=\s*"(\d+)"|echo\s+(\d+)\s*>[^\n]*?sriov_numvfs"""
    r"""|(?:SR-IOVVirtualFunctions|total-vfs|max_vfs)\s*=\s*(\d+)|virtual-function-count:\s*(\d+)"""
)
#: Files that are told of one thing, at most.
_TOLD = 4


@dataclass(frozen=True, slots=True)
class Answer:
    """Whether something comes back. Yes: something found says so; no: nothing was found; unknown: not all could be told."""

    verdict: Verdict
    said: tuple[str, ...]  # which file does what, or where nothing was found, or why it cannot be told


@dataclass(frozen=True, slots=True)
class Lasting:
    """What comes back after a restart; None for what the function does not have now."""

    token: Answer | None
    vfs: Answer | None
    driver: Answer | None


def lasting(kernel: Kernel, function: Function, snapshot: Snapshot) -> Lasting:
    """Look in the places where such things are set. Never raises OSError."""
    look = _Look(function, snapshot, settings(kernel), _command_line(kernel))
    token = "the PF gets a random one that nobody knows, whenever vfio-pci takes it: whoever set one has to set it again"
    on_vfio_pf = function.role is Role.PF and function.on_vfio
    return Lasting(
        token=Answer(Verdict.NO, (token,)) if on_vfio_pf else None,
        vfs=_vfs(look) if function.sriov is not None and function.sriov.numvfs else None,
        driver=_driver(look) if function.driver is not None else None,
    )


@dataclass(frozen=True, slots=True)
class _Look:
    function: Function
    snapshot: Snapshot
    settings: Settings | Unread
    command_line: str | Unread

    @property
    def ids(self) -> str:
        return f"{self.function.vendor_id:04x}:{self.function.device_id:04x}"

    def answer(self, found: list[str], what: re.Pattern[str]) -> Answer:
        """What was found; where nothing was, what may mean the function all the same, and what could not be read."""
        if found:
            more = [f"and {len(found) - _TOLD} files more"] if len(found) > _TOLD else []
            return Answer(Verdict.YES, (*found[:_TOLD], *more))
        if isinstance(self.settings, Unread):
            return Answer(Verdict.UNKNOWN, (f"could not look: {self.settings.why}",))
        doubts = [f"{path} may mean it, but does not name it" for path in self.settings.general(what)]
        doubts += [f"could not read {unread}" for unread in self.settings.unread]
        if isinstance(self.command_line, Unread):
            doubts.append(f"could not read {self.command_line.why}")
        if doubts:
            return Answer(Verdict.UNKNOWN, tuple(doubts[:_TOLD]))
        return Answer(Verdict.NO, (f"nothing was found of {PLACES} below /etc, nor on the kernel's command line",))


def _command_line(kernel: Kernel) -> str | Unread:
    try:
        return kernel.read(_COMMAND_LINE).decode("utf-8", "replace")
    except OSError as error:
        return Unread(f"{_COMMAND_LINE}: {errno_name(error.errno or 0)}")


# -- VFs -------------------------------------------------------------------------------------------------------------------
def _vfs(look: _Look) -> Answer:
    if isinstance(look.settings, Unread):
        return look.answer([], VFS)
    function, found = look.function, look.settings
    said = []
    for path in found.naming(function.bdf, VFS, *function.interfaces, look.ids):
        if not path.startswith(f"{_DRIVERCTL}/"):
            said.append(f"{printable(path)} {_number_of_vfs(found.files[path])}")
    if function.driver:
        options = module_options(found, function.driver.replace("-", "_"))
        counts = [(printable(path), _vf_words(value)) for path, name, value in options if name == "max_vfs"]
        said += [f"{path} gives every PF of {function.driver} {count}" for path, count in counts]
    return look.answer(said, VFS)


def _number_of_vfs(text: str) -> str:
    """What a file that names the function says of the number; several numbers may be meant for several functions."""
    numbers = {number for groups in _COUNTS.findall(text) for number in groups if number}
    return f"names it and sets {_vf_words(numbers.pop())}" if len(numbers) == 1 else "names it and speaks of its VFs"


def _vf_words(number: str) -> str:
    return f"{printable(number, 10)} VF{'' if number == '1' else 's'}"


# -- driver ----------------------------------------------------------------------------------------------------------------
def _driver(look: _Look) -> Answer:
    """Who binds it to the driver that it is on now, or to another one."""
    function = look.function
    said = [*_of_driverctl(look), *_of_ids(look)]
    if not said and not function.on_vfio and function.driver_override is None:
        return Answer(Verdict.YES, (f"{function.driver} takes it by its ids, as far as it is loaded at boot",))
    said += _of_files(look)
    if pf := _pf_on_vfio(look):
        said.append(f"the PF {pf.bdf}, once it is on {pf.driver} again, takes its VFs there by itself")
    found = look.answer(said, DRIVERS)
    if found.verdict is Verdict.NO and not function.on_vfio:  # without its override the kernel may choose the same driver
        text = f"driver_override is gone then; whether {function.driver} takes it by its ids is not known"
        return Answer(Verdict.UNKNOWN, (*found.said, text))
    return found


def _of_driverctl(look: _Look) -> list[str]:
    path = f"{_DRIVERCTL}/{look.function.bdf}"
    driver = None if isinstance(look.settings, Unread) else look.settings.files.get(path)
    return [] if driver is None else [f"driverctl binds it to {printable(driver, 40) or 'nothing'} ({path})"]


def _of_ids(look: _Look) -> list[str]:
    """vfio-pci takes every function of a model that its option `ids` lists, where no driver has taken it before."""
    said = []
    if not isinstance(look.settings, Unread):
        options = module_options(look.settings, "vfio_pci")
        said += [_by_ids(look, printable(path)) for path, name, value in options if name == "ids" and _lists(value, look)]
    if not isinstance(look.command_line, Unread):
        for word in look.command_line.split():
            name, _, value = word.partition("=")
            if name.replace("-", "_") == "vfio_pci.ids" and _lists(value, look):
                said.append(_by_ids(look, "the kernel's command line"))
    return said


def _by_ids(look: _Look, where: str) -> str:
    return f"{where} gives every {look.ids} to vfio-pci, where no other driver was loaded before it"


def _lists(value: str, look: _Look) -> bool:
    """vendor:device[:subvendor[:subdevice[:class[:mask]]]], separated by commas, in hexadecimal (vfio_pci.c)."""
    function = look.function
    mine = f"{look.ids}:{function.subsystem or ':'}".split(":")
    for entry in value.strip("\"'").lower().split(","):
        wanted = entry.split(":")[:4]
        if len(wanted) >= 2 and all(not w or not m or w.lstrip("0") == m.lstrip("0") for w, m in zip(wanted, mine)):
            return True
    return False


def _of_files(look: _Look) -> list[str]:
    """Other files that name the function and speak of drivers."""
    if isinstance(look.settings, Unread):
        return []
    named = look.settings.naming(look.function.bdf, DRIVERS, *look.function.interfaces)
    return [f"{printable(path)} names it and speaks of its driver" for path in named if not path.startswith(f"{_DRIVERCTL}/")]


def _pf_on_vfio(look: _Look) -> Function | None:
    pf = pf_of(look.snapshot, look.function.bdf) if look.function.role is Role.VF else None
    return pf if pf is not None and pf.on_vfio else None
