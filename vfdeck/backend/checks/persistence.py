"""What on this host makes bindings and VFs last beyond a restart, and options of modules beyond their loading: files below /etc.

Everything here is a hint: a file that names a function, or speaks of VFs, is not proof that it does what it should.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from vfdeck.backend.evidence import Unread
from vfdeck.backend.kernel import Kernel, errno_name
from vfdeck.backend.text import printable

MODPROBE = "/etc/modprobe.d"
#: Directories, and the ends of the names of the files there that are read.
_PLACES = (
    ("/etc/driverctl.d", ""),
    ("/etc/udev/rules.d", ".rules"),
    ("/etc/systemd/network", ".link"),
    ("/etc/systemd/system", ".service"),
    ("/etc/NetworkManager/system-connections", ".nmconnection"),
    ("/etc/network/interfaces.d", ""),
    ("/etc/netplan", ".yaml"),
    ("/etc/dpdk", ""),
    (MODPROBE, ".conf"),
)
_FILES = ("/etc/network/interfaces", "/etc/rc.local")
#: What such a file says of VFs, and of drivers.
VFS = re.compile(r"sriov_numvfs|SR-IOVVirtualFunctions|total-vfs|max_vfs|virtual-function-count")
DRIVERS = re.compile(r"driver_override|\bvfio[-_]pci\b")
#: The same places as a person calls them.
PLACES = "driverctl, udev, systemd, modprobe, NetworkManager, netplan, ifupdown, dpdk or rc.local"
#: Files that are looked at in one place, at most.
_MANY = 500


@dataclass(frozen=True, slots=True)
class Settings:
    """The files that may set something at boot, by path, with what could not be read."""

    files: dict[str, str]
    unread: tuple[str, ...] = ()

    def speaking_of(self, bdf: str, what: re.Pattern[str], *more: str) -> list[str]:
        """The files (to show) that speak of `what` and name a function, by its address or one of `more` (interfaces, ids).

        A file whose own name is the address counts too (driverctl).
        """
        return [printable(path) for path in self.naming(bdf, what, *more)]

    def naming(self, bdf: str, what: re.Pattern[str], *more: str) -> list[str]:
        """The same files as keys of `files`."""
        words = (bdf, *more)
        named = [path for path, text in self.files.items() if any(_has(word, path) or _has(word, text) for word in words if word)]
        return [path for path in named if what.search(self.files[path]) or bdf in path]

    def general(self, what: re.Pattern[str]) -> list[str]:
        """The files (to show) that speak of `what`, whatever function they mean."""
        return [printable(path) for path, text in self.files.items() if what.search(text)]


def _has(word: str, text: str) -> bool:
    """Whether a name stands in a text, not as part of a longer one."""
    return re.search(rf"(?<![\w.:]){re.escape(word)}(?![\w:])", text) is not None


def settings(kernel: Kernel) -> Settings | Unread:
    """Read the places where such things are kept. `Unread` where there is no /etc to look at, as in a copied sysfs."""
    try:
        kernel.names("/etc")
    except OSError as error:
        return Unread(f"/etc: {errno_name(error.errno or 0)}")
    files: dict[str, str] = {}
    unread: list[str] = []
    for path in (*_in_places(kernel, unread), *_FILES):
        try:
            files[path] = kernel.read(path).decode("utf-8", "replace")
        except FileNotFoundError:
            continue
        except OSError as error:
            unread.append(f"{printable(path)}: {errno_name(error.errno or 0)}")
    return Settings(files, tuple(unread))


def _in_places(kernel: Kernel, unread: list[str]) -> Iterator[str]:
    for place, end in _PLACES:
        try:
            names = kernel.names(place)
        except FileNotFoundError:
            continue
        except OSError as error:
            unread.append(f"{place}: {errno_name(error.errno or 0)}")
            continue
        if len(names) > _MANY:
            unread.append(f"{place}: {len(names)} files, of which {_MANY} are looked at")
        yield from (f"{place}/{name}" for name in sorted(names)[:_MANY] if name.endswith(end))


def module_options(found: Settings, module: str) -> list[tuple[str, str, str]]:
    """The options that modprobe.d gives a module: file, option, value."""
    said = []
    for path, text in found.files.items():
        if not path.startswith(MODPROBE + "/"):
            continue
        for line in text.splitlines():
            words = line.partition("#")[0].split()
            if len(words) > 2 and words[0] == "options" and words[1].replace("-", "_") == module:
                said += [(path, *_option(word)) for word in words[2:]]
    return said


def _option(word: str) -> tuple[str, str]:
    name, _, value = word.partition("=")
    return name.replace("-", "_"), value
