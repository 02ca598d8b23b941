"""The folder in which vfdeck remembers things from run to run, and files of lines in it that several programs may add to.

It is `vfdeck` in the XDG state directory, for its owner alone. A line is written by one write(2) under a lock, and is on the disk
when `append` returns. What is there is never lost to a full disk, to another vfdeck or to a crash in between.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

from vfdeck.backend.errands import Errands

#: How long to wait for another vfdeck that writes, seconds.
PATIENCE = 1.0

#: Longest file that is read, in bytes: what is longer was not written by us.
LONGEST = 32 << 20

_LOCK = "lock"
_ANY = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY

#: Shortens the lines of a file that has grown long.
Shorten = Callable[[list[bytes]], list[bytes]]


def default_path(environment: Mapping[str, str], euid: int) -> str | None:
    """`$XDG_STATE_HOME/vfdeck`, else `~/.local/state/vfdeck`; None without a home.

    Root does not write to the home of whoever called it: a $HOME (sudo may keep it) or $XDG_STATE_HOME in which others have a say
    does not count, and root's own home does.
    """
    state = environment.get("XDG_STATE_HOME", "")
    if not os.path.isabs(state) or (euid == 0 and not _roots_alone(state)):  # the specification has relative ones ignored
        home = environment.get("HOME", "")
        if not os.path.isabs(home) or (euid == 0 and not _roots_alone(home)):
            home = _home_of(euid)
        if not home:
            return None
        state = f"{home}/.local/state"
    return os.path.join(state, "vfdeck")


def _roots_alone(path: str) -> bool:
    """Whether nobody but root decides what is at a path: each part is root's, and others may add to it at most (as to /tmp)."""
    try:
        places = {os.path.normpath(path), os.path.realpath(path)}
        return all(_is_roots(place) for place in places)
    except (OSError, ValueError):
        return False


def _is_roots(path: str) -> bool:
    """As `_roots_alone`, without following links. Parts that are still to be made are root's where no other can make them."""
    parts = path.strip("/").split("/")
    shared = False
    for place in ["/", *("/" + "/".join(parts[:count]) for count in range(1, len(parts) + 1))]:
        try:
            found = os.lstat(place)
        except FileNotFoundError:
            return not shared
        link = stat.S_ISLNK(found.st_mode)  # has mode 0777, which means nothing
        shared = not link and bool(found.st_mode & 0o022)
        if found.st_uid != 0 or (shared and not found.st_mode & stat.S_ISVTX):
            return False
    return not shared


def _home_of(uid: int) -> str:
    import pwd

    try:
        home = pwd.getpwuid(uid).pw_dir
    except KeyError:
        return ""
    return home if os.path.isabs(home) else ""


class StateFolder:
    """The folder. Every method raises OSError with what is in the way; the folder and its files are made when first written to."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.errands = Errands()  # for those who cannot wait for a file system that may not answer

    def place(self, name: str) -> str:
        """The path of a file in it."""
        return f"{self.path}/{name}"

    def mark(self, name: str) -> tuple[int, ...] | None:
        """Something that differs when the file's content does; None where there is none."""
        try:
            found = os.stat(self.place(name), follow_symlinks=False)
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns

    def lines(self, name: str) -> list[bytes]:
        """The lines of a file, without one at its end that is not finished; none where there is no file."""
        try:
            folder = self._folder()
        except FileNotFoundError:
            return []
        try:
            with self._opened(folder, name, os.O_RDONLY) as fd:
                return _whole_lines(_content(fd))
        except FileNotFoundError:
            return []
        finally:
            os.close(folder)

    def append(
        self, name: str, line: bytes, patience: float = PATIENCE, longest: int = 1 << 20, shorten: Shorten | None = None
    ) -> None:
        """Add a line (without its line feed), and be sure that it is on the disk.

        Args:
            name: the file's.
            line: what is added.
            patience: how long to wait for another program that writes, seconds.
            longest: a file of more bytes is shortened first.
            shorten: how; without it a long file becomes NAME.1, in place of an older one of that name.

        Raises:
            TimeoutError: another program has the lock.
            OSError: ENOSPC, EROFS, EACCES, ...: nothing was written.
        """
        folder = self._folder(make=True)
        try:
            with self._locked(folder, patience):
                if self._size(folder, name) > longest:
                    self._make_short(folder, name, shorten)
                with self._opened(folder, name, os.O_RDWR | os.O_APPEND | os.O_CREAT) as fd:
                    _add(fd, line)
                os.fsync(folder)
        finally:
            os.close(folder)

    def make(self) -> None:
        """Make the folder, and see that files can be written in it."""
        folder = self._folder(make=True)
        try:
            with self._opened(folder, _LOCK, os.O_RDWR | os.O_CREAT):
                pass
        finally:
            os.close(folder)

    def demand_writable(self) -> None:
        """Raise OSError where it is surely not to be written to; nothing is made. What only a write would tell is not told."""
        place = self.path
        try:
            os.close(self._folder())
        except FileNotFoundError:
            while not os.path.lexists(place := os.path.dirname(place)):
                pass
        if not os.access(place, os.W_OK | os.X_OK, effective_ids=True):
            read_only = os.statvfs(place).f_flag & os.ST_RDONLY
            number = errno.EROFS if read_only else errno.EACCES if os.path.isdir(place) else errno.ENOTDIR
            raise OSError(number, os.strerror(number), place)

    # -- the folder --------------------------------------------------------------------------------------------------
    def _folder(self, make: bool = False) -> int:
        if make:
            os.makedirs(os.path.dirname(self.path), mode=0o700, exist_ok=True)
            with suppress(FileExistsError):
                os.mkdir(self.path, mode=0o700)
        fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | _ANY)
        try:
            _demand_closed(fd, self.path)
        except OSError:
            os.close(fd)
            raise
        return fd

    @contextmanager
    def _opened(self, folder: int, name: str, flags: int) -> Iterator[int]:
        fd = os.open(name, flags | _ANY, 0o600, dir_fd=folder)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise OSError(errno.EINVAL, "is no plain file", self.place(name))
            _demand_own(fd, self.place(name))
            yield fd
        finally:
            os.close(fd)

    @contextmanager
    def _locked(self, folder: int, patience: float) -> Iterator[None]:
        """The one lock of all files in the folder; it goes with the descriptor, also where the program crashes."""
        with self._opened(folder, _LOCK, os.O_RDWR | os.O_CREAT) as fd:
            until = time.monotonic() + patience
            while True:
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() >= until:
                        raise TimeoutError(errno.ETIMEDOUT, "another program has the lock", self.place(_LOCK)) from None
                time.sleep(0.01)
            yield

    # -- its files ---------------------------------------------------------------------------------------------------
    def _size(self, folder: int, name: str) -> int:
        try:
            return os.stat(name, dir_fd=folder, follow_symlinks=False).st_size
        except FileNotFoundError:
            return 0

    def _make_short(self, folder: int, name: str, shorten: Shorten | None) -> None:
        """Put a shorter file in the place of a long one, at once or not at all."""
        if shorten is None:
            os.rename(name, f"{name}.1", src_dir_fd=folder, dst_dir_fd=folder)
            return
        with self._opened(folder, name, os.O_RDONLY) as old:
            content = _content(old)
        kept = b"".join(line + b"\n" for line in shorten(_whole_lines(content)))
        if len(kept) >= len(content):
            return
        new = f"{name}.new"
        try:
            with self._opened(folder, new, os.O_RDWR | os.O_CREAT | os.O_TRUNC) as fd:
                _write_all(fd, kept)
                os.fsync(fd)
            os.rename(new, name, src_dir_fd=folder, dst_dir_fd=folder)
        except OSError:  # the long file does as well
            _remove(folder, new)


def _demand_closed(fd: int, path: str) -> None:
    """Raise PermissionError where the folder is somebody else's, or others may put files into it; its mode is left as it is."""
    _demand_ours(found := os.fstat(fd), path)
    if found.st_mode & 0o022:
        raise PermissionError(errno.EPERM, "others may write to it; expected mode 0700", path)


def _demand_ours(found: os.stat_result, path: str) -> None:
    if found.st_uid != os.geteuid():
        raise PermissionError(errno.EPERM, f"belongs to user {found.st_uid}; expected one of user {os.geteuid()}'s own", path)


def _demand_own(fd: int, path: str) -> None:
    """Raise PermissionError where a file is somebody else's; take from others what they may do with our own."""
    _demand_ours(found := os.fstat(fd), path)
    if found.st_mode & 0o077:
        with suppress(OSError):  # it may be on a file system that is only read
            os.fchmod(fd, stat.S_IMODE(found.st_mode) & 0o700)


def _content(fd: int) -> bytes:
    parts: list[bytes] = []
    length = 0
    while part := os.read(fd, 1 << 16):
        parts.append(part)
        length += len(part)
        if length > LONGEST:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
    return b"".join(parts)


def _whole_lines(content: bytes) -> list[bytes]:
    """The lines that end; what is behind the last line feed is being written, or was when its writer died."""
    return content.split(b"\n")[:-1]


def _add(fd: int, line: bytes) -> None:
    """Add a line at the end; where that fails the file is as it was."""
    length = os.fstat(fd).st_size
    torn = length > 0 and os.pread(fd, 1, length - 1) != b"\n"
    try:
        _write_all(fd, (b"\n" if torn else b"") + line + b"\n")
        os.fsync(fd)
    except OSError:
        os.ftruncate(fd, length)
        raise


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


def _remove(folder: int, name: str) -> None:
    with suppress(OSError):
        os.unlink(name, dir_fd=folder)
