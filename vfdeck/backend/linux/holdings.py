"""What one process holds of vfio: its descriptors and mappings, as /proc shows them to those who may look.

`/proc/PID/fd` names the files, `/proc/PID/fdinfo` from 6.18 on the function (vfio_device_show_fdinfo in
drivers/vfio/vfio_main.c), and `/proc/PID/maps` the mappings. All descriptors `anon_inode:[vfio-device]` share one inode (checked
on 6.1 and 6.12), so that neither it nor a mapping's inode tells devices apart.

Links are read, which asks no file system, and followed only where the mount is one that answers by itself. Between the look at the
mount and the question the program may put another file in that place (dup2, mmap), on a mount that never answers: so a process that
can be given up asks, and sees first that it has a file of the mount that was judged (`GuardedReader.node`). What could be told
by its name alone is marked so, for anybody may give a file such a name; a descriptor of O_PATH holds nothing, and needs no right
to the node. Few calls for each descriptor: a host may have several hundred thousand.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, Union

from vfdeck.backend.bdf import PATTERN
from vfdeck.backend.linux.mappings import mapped_files
from vfdeck.backend.linux.mounts import Mounts
from vfdeck.backend.linux.nodes import Nodes, slurp
from vfdeck.backend.linux.reads import GuardedReader, Node

_DEVICE = "anon_inode:[vfio-device]"
_PATHS = (
    (re.compile(r"/dev/vfio/((?:noiommu-)?\d+)(?: \(deleted\))?"), "group"),
    (re.compile(r"/dev/vfio/devices/((?:noiommu-)?vfio\d+)(?: \(deleted\))?"), "cdev"),
    (re.compile(r"/dev/vfio/vfio()(?: \(deleted\))?"), "container"),
    (re.compile(r"/dev/iommu()(?: \(deleted\))?"), "iommufd"),
)
_SYSPATH = re.compile(rb"^vfio-device-syspath:.*/(%b)$" % PATTERN.encode(), re.MULTILINE)
_MOUNT = re.compile(rb"^mnt_id:\s*(\d+)$", re.MULTILINE)
_FLAGS = re.compile(rb"^flags:\s*([0-7]{1,16})$", re.MULTILINE)
#: A file in /dev among texts between NULs, which no text holds; not those that programs have open in great numbers, and that nobody
#: puts a node of vfio in the place of.
_IN_DEV = re.compile(r"\0/dev/(?!(?:null|zero|u?random|tty|ptmx|kvm)\0|pts/|shm/)")

# include/linux/sched.h: a thread of the kernel, which has no files
_PF_KTHREAD = 0x00200000

#: So many files of one process are asked what they are: it may have a million that look like nodes. Programs that use vfio have
#: some dozens in /dev.
_MOST_QUESTIONS = 2048

#: So many things are told of one process; a program with more of them than that wants to be a burden.
_MOST_FOUND = 4096

#: Kind, node and BDF, as in `OpenFile`.
Found = tuple[str, str, str]

#: Asks what a file is; None where that can't be told.
Ask = Callable[[], Union[os.stat_result, Node, None]]


#: Seconds that a file system may take to say what a file is; a host that is very busy must not make holders doubtful.
PATIENCE = 1.0


def asker() -> GuardedReader:
    """Who asks what the files of other programs are. A process is started when there is something to ask."""
    return GuardedReader(PATIENCE, "its file system gives no answer")


@dataclass(slots=True)
class Holdings:
    """What was seen of one process. `hidden`: something of it could not be looked at."""

    found: list[Found] = field(default_factory=list)
    hidden: bool = False
    fds: dict[Found, list[int]] = field(default_factory=dict)  # the numbers of the descriptors behind each thing found
    named: set[Found] = field(default_factory=set)  # what has the name of a node, and could not be asked whether it is one

    def add(self, seen: Found, fd: str = "", by_name: bool = False) -> None:
        """Note one thing; the same one twice is one, and known as well as the better of both. `fd`: its descriptor."""
        if seen not in self.found:
            if len(self.found) >= _MOST_FOUND:
                self.hidden = True
                return
            self.found.append(seen)
            self.named |= {seen} if by_name else set()
        elif not by_name:
            self.named.discard(seen)
        if fd.isascii() and fd.isdigit():
            self.fds.setdefault(seen, []).append(int(fd))


def holdings(proc: str, nodes: Nodes, reader: GuardedReader | None = None) -> Holdings:
    """Everything of the process whose directory in /proc is `proc`; one that ends meanwhile has what was seen until then.

    `reader` asks what files are (`asker`); one for many looks saves starting it anew.
    """
    held = Holdings()
    try:
        _Look(proc, nodes, held, Mounts(proc), reader or asker()).whole()
    except (FileNotFoundError, ProcessLookupError):  # it has ended
        return held
    except OSError:
        held.hidden = not _holds_nothing(proc)
    return held


def identify(fd: int, pid: int, nodes: Nodes, proc: str = "/proc") -> Found | None:
    """What descriptor `fd` of this program is, a duplicate of one of process `pid`; None for what is not surely vfio's.

    Nobody else can put another file in the place of ours: it is asked where its mount answers by itself. Raises OSError: EBADF.
    """
    text, info = os.readlink(f"{proc}/self/fd/{fd}"), _fdinfo(f"{proc}/self/fdinfo/{fd}")
    for place in (f"{proc}/self", f"{proc}/{pid}"):  # the mount of a node of a container is listed in the container alone
        seen, by_name = _what(text, info, Mounts(place), nodes, lambda: os.fstat(fd))
        if seen is not None and not by_name:
            return None if info.path_only else seen
    return None


@dataclass(slots=True)
class _Look:
    """A look at one process. Raises OSError where it may not be looked at, or has ended."""

    proc: str
    nodes: Nodes
    held: Holdings
    mounts: Mounts
    reader: GuardedReader
    unanswered: bool = False  # the last question had no answer in time, or was one too many
    questions: int = 0

    def whole(self) -> None:
        directory = os.open(f"{self.proc}/fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            links = _links(directory)
            likely = _likely(links)
            for fd in likely:
                self._descriptor(fd, links[fd])
            if self.held.found:  # a program that uses vfio: nodes may have been made or mounted under any other name
                for fd in [fd for fd, text in links.items() if text[:1] == "/" and fd not in likely]:
                    self._descriptor(fd, links[fd])
        finally:
            os.close(directory)
        self._maps()

    def _descriptor(self, fd: str, text: str) -> None:
        info = _fdinfo(f"{self.proc}/fdinfo/{fd}")
        if info.path_only:
            return
        seen, by_name = _what(text, info, self.mounts, self.nodes, partial(self._ask, f"fd/{fd}", [info.mount]))
        if seen is not None:
            self.held.add(seen, fd, by_name)
        elif self.unanswered:
            self.held.hidden = True
        self.unanswered = False

    def _ask(self, name: str, mounts: list[bytes]) -> Node | None:
        """What the file is that this link of the process leads to, if it is on one of these mounts."""
        self.questions += 1
        if self.questions > _MOST_QUESTIONS:
            self.unanswered = True
            return None
        base, _, who = self.proc.rpartition("/")
        try:
            # the one who asks is another "self"
            return _node(self.reader, f"{base}/{os.getpid() if who == 'self' else who}/{name}", mounts)
        except TimeoutError:
            self.unanswered = True
        except OSError:
            pass
        return None

    def _maps(self) -> None:
        """Mapped devices: those whose function is told, and those that no descriptor of the process can be the origin of.

        A mapping keeps its device in use after the descriptor is closed.
        """
        anonymous = any(kind == "device" for kind, _, _ in self.held.found)
        cdevs = {node for kind, node, _ in self.held.found if kind == "cdev"}
        for mapped in mapped_files(self.proc, "vfio"):
            if mapped.text == _DEVICE:  # a file has a slash before its name, also one in the root of a namespace of its own
                bdf = self.nodes.function_at(mapped.offset)
                if bdf or not anonymous:
                    self.held.add(("mapping", "", bdf))
            elif mapped.text.startswith("/dev/"):
                # map_files shows the mapped file itself, to those with CAP_CHECKPOINT_RESTORE
                place = f"map_files/{mapped.addresses}"
                usable = self.mounts.nodes_on(mapped.device)
                ask = partial(self._ask, place, self.mounts.local())
                kind, node, by_name = _kind(mapped.text, usable, self.nodes, ask)
                self.held.hidden |= self.unanswered and not kind
                self.unanswered = False
                if kind == "cdev" and node not in cdevs:
                    self.held.add(("mapping", node, self.nodes.functions.get(node, "")), by_name=by_name)


def _likely(links: dict[str, str]) -> set[str]:
    """Descriptors that may be vfio's by their text. All of the host go through here, those of most programs at once."""
    if not _maybe("\0".join(links.values())):
        return set()
    return {fd for fd, text in links.items() if (text == _DEVICE or text[:1] == "/") and _maybe(text)}


def _maybe(texts: str) -> bool:
    """Whether one of some texts between NULs is in /dev, or speaks of vfio."""
    return "vfio" in texts or "iommu" in texts or _IN_DEV.search(f"\0{texts}\0") is not None


def _links(directory: int) -> dict[str, str]:
    """The text of every descriptor, by its name.

    Listed, always: to go by the numbers and the directory's size (6.2 and later) costs less, and misses a descriptor that stays
    while another comes and goes below it.
    """
    readlink, names = os.readlink, os.listdir(directory)
    with suppress(OSError):
        return {fd: readlink(fd, dir_fd=directory) for fd in names}
    found: dict[str, str] = {}  # something has happened meanwhile, or is odd: one by one
    for fd in names:
        try:
            found[fd] = readlink(fd, dir_fd=directory)
        except FileNotFoundError:  # closed meanwhile
            continue
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            found[fd] = "/"  # a path longer than a page
    return found


class _Info(NamedTuple):
    """What fdinfo tells of a descriptor: the BDF, the id of its mount (both empty where it tells none), whether it is of O_PATH."""

    bdf: str = ""
    mount: bytes = b""
    path_only: bool = False


def _fdinfo(path: str) -> _Info:
    """Empty where it can't be read."""
    try:
        text = slurp(path)
    except OSError:
        return _Info()
    told, mount, flags = _SYSPATH.search(text), _MOUNT.search(text), _FLAGS.search(text)
    path_only = flags is not None and bool(int(flags[1], 8) & os.O_PATH)
    return _Info(told[1].decode("ascii") if told else "", mount[1] if mount else b"", path_only)


def _what(text: str, info: _Info, mounts: Mounts, nodes: Nodes, ask: Ask) -> tuple[Found | None, bool]:
    """What a descriptor is, None for what is not vfio's, and whether its name alone says so."""
    if text == _DEVICE:  # no file has such a name: others begin with a slash
        return ("device", "", info.bdf), False
    kind, node, by_name = _kind(text, mounts.nodes(info.mount), nodes, ask)
    if info.bdf:
        return ("cdev", node, info.bdf), False
    return ((kind, node, nodes.functions.get(node, "") if kind == "cdev" else ""), by_name) if kind else (None, False)


def _node(reader: GuardedReader, path: str, mounts: list[bytes]) -> Node:
    return reader.node(path, mounts)


def _kind(text: str, usable: bool | None, nodes: Nodes, ask: Ask) -> tuple[str, str, bool]:
    """Kind and node (two empty texts for what is not vfio's), and whether only the path says so.

    The number of the device decides; its path is asked where that is not to be had. `usable`: see `Mounts.nodes`.
    """
    if usable is False:
        return "", "", False
    found = ask() if usable else None
    if found is not None:
        if not stat.S_ISCHR(found.st_mode):
            return "", "", False
        if found.st_rdev in nodes.kinds:
            return *nodes.kinds[found.st_rdev], False
    kind, node = _kind_by_path(text)
    if found is not None and (kind, node) in nodes.kinds.values():  # the node of that name has another number
        return "", "", False
    return kind, node, bool(kind)


def _kind_by_path(text: str) -> tuple[str, str]:
    for pattern, kind in _PATHS:
        match = pattern.fullmatch(text)
        if match:
            return kind, match[1]
    return "", ""


def _holds_nothing(proc: str) -> bool:
    """Whether a process is a thread of the kernel, or dead and not yet buried (from /proc/PID/stat, which everybody may read)."""
    try:
        fields = slurp(f"{proc}/stat").rpartition(b")")[2].split()
        return bool(int(fields[6]) & _PF_KTHREAD) or (fields[0] in (b"Z", b"X") and int(fields[17]) <= 1)
    except (OSError, ValueError, IndexError):
        return False
