"""What all the lookups share: reading that notes what could not be read, and whose /proc is asked."""

from __future__ import annotations

import errno

from vfdeck.backend.bdf import is_bdf
from vfdeck.backend.kernel import Kernel, errno_name
from vfdeck.backend.text import printable

#: What a file that is missing, or a device that has gone meanwhile, gives.
GONE = frozenset({errno.ENOENT, errno.ENODEV, errno.ENXIO, errno.ESTALE, errno.ENOTDIR})


class Looker:
    """Reads through the seam; `unchecked` collects, in words, what could not be found out."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        #: the process whose network and mounts are looked at: this program, or in a tree of files the host's first
        self.proc = "/proc/1" if kernel.is_tree else "/proc/self"
        self._unchecked: dict[str, None] = {}

    @property
    def unchecked(self) -> tuple[str, ...]:
        """What could not be found out, and why."""
        return tuple(self._unchecked)

    def doubt(self, what: str, why: str | OSError) -> None:
        """Note that `what` could not be checked."""
        self._unchecked[f"{what} ({reason(why) if isinstance(why, OSError) else why})"] = None

    def lines(self, path: str, what: str | None) -> list[bytes] | None:
        """The lines of a file; None, and a note that `what` could not be checked, where it can't be read."""
        try:
            return self.kernel.read(path).split(b"\n")
        except OSError as error:
            if what is not None:
                self.doubt(what, error)
            return None

    def text(self, path: str) -> str:
        """A short file of sysfs, "" where it is not there; what can't be read is noted."""
        try:
            return self.kernel.read(path).decode("utf-8", "surrogateescape").strip()
        except OSError as error:
            if error.errno not in GONE:
                self.doubt(printable(path), error)
            return ""

    def names(self, path: str) -> list[str]:
        """The names in a directory, sorted; none where it is not there; what can't be read is noted."""
        try:
            return sorted(self.kernel.names(path))
        except OSError as error:
            if error.errno not in GONE:
                self.doubt(printable(path), error)
            return []

    def owner(self, path: str) -> str:
        """The BDF of the function that a device of a class (a link in /sys/class) hangs from, "" where there is none."""
        try:
            found = [part for part in self.kernel.link(path).split("/") if is_bdf(part)]
        except OSError:  # gone meanwhile, or in a fabricated tree no link
            return ""
        return found[-1] if found else ""

    def by_function(self, directory: str) -> dict[str, list[str]]:
        """The devices of a class, such as /sys/class/net, by the function that they hang from."""
        found: dict[str, list[str]] = {}
        for name in self.names(directory):
            found.setdefault(self.owner(f"{directory}/{name}"), []).append(name)
        return found


def reason(error: OSError) -> str:
    """An OSError in words: `EACCES: Permission denied`."""
    return f"{errno_name(error.errno or 0)}: {error.strerror or 'no reason given'}"


def belonging(bdf: str, known: tuple[str, ...], hanging: dict[str, list[str]]) -> list[str]:
    """A function's devices of a class: those that hang from it, and those that the snapshot knows of beside them."""
    names = hanging.get(bdf, [])
    shown = {printable(name) for name in names}
    return [*names, *(name for name in known if name not in shown)]
