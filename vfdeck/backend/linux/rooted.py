"""Paths of a kernel whose files lie below another directory: a copied or fabricated tree, or a host's root in a container.

In such a tree a symbolic link may be absolute, or climb above the tree. Followed plainly it would answer with files of the
machine that vfdeck runs on. Here every link is followed as if the tree were the root directory, as after chroot(2).
"""

from __future__ import annotations

import ctypes
import errno
import os

# openat2(2), Linux 5.6: the number is the same on every architecture but alpha, which goes the slow way.
_OPENAT2 = 437
_RESOLVE_BENEATH = 0x08
_RESOLVE_IN_ROOT = 0x10
#: Links followed in one path before it counts as a loop (MAXSYMLINKS of the kernel).
_MAX_LINKS = 40
#: Directories that are remembered as harmless.
_REMEMBERED = 100_000


class _OpenHow(ctypes.Structure):
    """struct open_how of openat2(2)."""

    _fields_ = [("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64)]


_HOW_SIZE = ctypes.sizeof(_OpenHow)


class Rooted:
    """The tree below `root`. Paths given are absolute within it; results are paths of this machine.

    A directory whose plain path stays below the root (the kernel says so: RESOLVE_BENEATH) is used plainly from then on, which
    keeps scans cheap. Every other path is walked link by link.
    """

    def __init__(self, root: str) -> None:
        self.root = root.rstrip("/")
        self._plain: set[str] = set()
        self._how = _OpenHow(os.O_PATH | os.O_CLOEXEC | os.O_DIRECTORY, 0, _RESOLVE_BENEATH)
        self._libc = ctypes.CDLL(None, use_errno=True) if os.uname().machine != "alpha" else None
        self._top: int | None = None  # the root itself, once it was needed

    def __del__(self) -> None:
        if self._top is not None:
            os.close(self._top)

    def open(self, path: str, flags: int) -> int:
        """open(2) below the root; raises OSError."""
        try:
            return os.open(self.entry(path), flags | os.O_NOFOLLOW)
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
        return os.open(self.root + self._walk(path), flags | os.O_NOFOLLOW)

    def names(self, path: str) -> list[str]:
        """The names in a directory; raises OSError. One call opens it, with every link followed as if below the root."""
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        fd = self._openat2(path, _OpenHow(flags, 0, _RESOLVE_IN_ROOT))
        if fd is None:
            return os.listdir(self.directory(path))
        try:
            return os.listdir(fd)
        finally:
            os.close(fd)

    def directory(self, path: str) -> str:
        """Where the directory `path` is on this machine; raises OSError."""
        path = "/" + path.strip("/")
        if self._stays_beneath(path):
            return self.root + path
        return self.root + self._walk(path)

    def file(self, path: str) -> str:
        """Where the file `path` is on this machine, every link followed within the tree; raises OSError."""
        return self.root + self._walk("/" + path.strip("/"))

    def entry(self, path: str) -> str:
        """Where `path` is on this machine, its last component not followed; raises OSError."""
        parent, _, name = path.rstrip("/").rpartition("/")
        if name in ("", ".", ".."):
            return self.root + self._walk(path)
        if parent in self._plain:
            return f"{self.root}{parent}/{name}"
        return f"{self.directory(parent)}/{name}"

    def _stays_beneath(self, directory: str) -> bool:
        """Whether the plain path of a directory leads nowhere outside. Raises the OSError of a directory that can't be reached."""
        if directory in self._plain:
            return True
        try:
            fd = self._openat2(directory, self._how)
        except OSError as error:
            if error.errno in (errno.EXDEV, errno.EAGAIN):
                return False
            raise
        if fd is None:
            return False
        os.close(fd)
        if len(self._plain) < _REMEMBERED:
            self._plain.add(directory)
        return True

    def _openat2(self, path: str, how: _OpenHow) -> int | None:
        """openat2(2) from the root; None where there is no such call. Raises OSError."""
        if self._libc is None:
            return None
        if self._top is None:
            self._top = os.open(self.root + "/", os.O_PATH | os.O_CLOEXEC)
        below = ctypes.c_char_p(os.fsencode(path).lstrip(b"/") or b".")
        fd = self._libc.syscall(_OPENAT2, self._top, below, ctypes.byref(how), _HOW_SIZE)
        if fd >= 0:
            return int(fd)
        number = ctypes.get_errno()
        if number in (errno.ENOSYS, errno.EPERM):  # an old kernel, or a sandbox that does not know the call
            self._libc = None
            return None
        raise OSError(number, os.strerror(number), self.root + path)

    def _walk(self, path: str) -> str:
        """Follow every link of `path` within the tree; the result has none and begins with `/` (or is empty for the root)."""
        todo, done, links = path.split("/")[::-1], "", 0
        while todo:
            name = todo.pop()
            if name in ("", "."):
                continue
            if name == "..":
                done = done.rpartition("/")[0]
                continue
            try:
                text = os.readlink(f"{self.root}{done}/{name}")
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                done = f"{done}/{name}"
                continue
            links += 1
            if links > _MAX_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            if text.startswith("/"):
                done = ""
            todo.extend(text.split("/")[::-1])
        return done
