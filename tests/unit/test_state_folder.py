"""The state folder: for its owner alone, safe against other writers, full disks and whatever lies in its place."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfdeck.backend import state_folder
from vfdeck.backend.state_folder import StateFolder, default_path

NAME = "lines"


@pytest.fixture
def folder(tmp_path: Path) -> StateFolder:
    return StateFolder(str(tmp_path / "state" / "vfdeck"))


def mode(path: str) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


def test_lines_come_back_in_order(folder: StateFolder) -> None:
    assert folder.lines(NAME) == []
    assert folder.mark(NAME) is None
    folder.append(NAME, b"one")
    before = folder.mark(NAME)
    folder.append(NAME, b"two")
    assert folder.lines(NAME) == [b"one", b"two"]
    assert folder.mark(NAME) != before


def test_folder_and_files_are_for_their_owner_alone(folder: StateFolder) -> None:
    umask = os.umask(0)
    try:
        folder.append(NAME, b"x")
    finally:
        os.umask(umask)
    assert (mode(folder.path), mode(folder.place(NAME)), mode(folder.place("lock"))) == (0o700, 0o600, 0o600)


def test_modes_that_were_widened_are_narrowed(folder: StateFolder) -> None:
    folder.append(NAME, b"x")
    os.chmod(folder.place(NAME), 0o644)
    assert folder.lines(NAME) == [b"x"]
    assert mode(folder.place(NAME)) == 0o600


def test_the_mode_of_a_folder_that_was_there_is_left(folder: StateFolder) -> None:
    os.makedirs(folder.path)
    os.chmod(folder.path, 0o755)
    folder.append(NAME, b"x")
    assert mode(folder.path) == 0o755
    os.chmod(folder.path, 0o775)
    for use in (lambda: folder.append(NAME, b"y"), lambda: folder.lines(NAME)):
        with pytest.raises(PermissionError, match="others may write"):
            use()
    assert mode(folder.path) == 0o775


@pytest.mark.parametrize("what", [NAME, "lock"])
def test_a_link_in_the_place_of_a_file_is_not_followed(folder: StateFolder, tmp_path: Path, what: str) -> None:
    os.makedirs(folder.path)
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    os.symlink(victim, folder.place(what))
    with pytest.raises(OSError, match="symbolic links"):
        folder.append(NAME, b"x")
    assert victim.read_bytes() == b"precious"


def test_a_link_in_the_place_of_the_folder_is_not_followed(folder: StateFolder, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    os.makedirs(os.path.dirname(folder.path))
    os.symlink(tmp_path / "elsewhere", folder.path)
    with pytest.raises(NotADirectoryError):
        folder.append(NAME, b"x")
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_pipe_in_the_place_of_a_file_makes_nobody_wait(folder: StateFolder) -> None:
    os.makedirs(folder.path)
    os.mkfifo(folder.place(NAME))
    with pytest.raises(OSError, match="plain file"):
        folder.lines(NAME)
    with pytest.raises(OSError, match="plain file"):
        folder.append(NAME, b"x")


def test_what_belongs_to_somebody_else_is_not_used(folder: StateFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.append(NAME, b"x")
    real = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: real + 1)
    with pytest.raises(PermissionError, match=f"belongs to user {real}"):
        folder.append(NAME, b"y")
    with pytest.raises(PermissionError, match="belongs to user"):
        folder.lines(NAME)


def test_a_line_that_was_torn_does_not_swallow_the_next(folder: StateFolder) -> None:
    folder.append(NAME, b"one")
    with open(folder.place(NAME), "ab") as file:
        file.write(b"tor")
    assert folder.lines(NAME) == [b"one"]
    folder.append(NAME, b"two")
    assert folder.lines(NAME) == [b"one", b"tor", b"two"]


class Disk:
    """A disk that takes only so many bytes more."""

    def __init__(self, room: int, write: Callable[[int, bytes], int]) -> None:
        self.room = room
        self._write = write

    def write(self, fd: int, data: bytes) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = self._write(fd, data[: self.room])
        self.room -= written
        return written


def errno_of(call: Callable[[], None]) -> int | None:
    try:
        call()
    except OSError as error:
        return error.errno
    return 0


@given(room=st.integers(0, 40), before=st.lists(st.binary(max_size=5).map(lambda b: b.replace(b"\n", b"")), max_size=3))
def test_a_full_disk_loses_nothing_and_leaves_nothing_half(
    tmp_path_factory: pytest.TempPathFactory, room: int, before: list[bytes]
) -> None:
    folder = StateFolder(str(tmp_path_factory.mktemp("state") / "vfdeck"))
    for line in before:
        folder.append(NAME, line)
    disk = Disk(room, os.write)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "write", disk.write)
        full = errno_of(lambda: folder.append(NAME, b"0123456789"))
    assert full == (errno.ENOSPC if room < 11 else 0)
    assert folder.lines(NAME) == (before if full else [*before, b"0123456789"])
    folder.append(NAME, b"later")
    assert folder.lines(NAME)[-1] == b"later"


def test_a_full_disk_while_shortening_leaves_the_long_file(folder: StateFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(10):
        folder.append(NAME, b"line %d" % number)
    real = os.rename

    def rename(*args: object, **keywords: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "rename", rename)
    folder.append(NAME, b"more", longest=10, shorten=lambda lines: lines[-1:])
    monkeypatch.setattr(os, "rename", real)
    assert len(folder.lines(NAME)) == 11
    assert sorted(os.listdir(folder.path)) == [NAME, "lock"]


def test_a_long_file_is_shortened_or_put_aside(folder: StateFolder) -> None:
    for number in range(10):
        folder.append(NAME, b"line %d" % number)
    folder.append(NAME, b"more", longest=10, shorten=lambda lines: lines[-2:])
    assert folder.lines(NAME) == [b"line 8", b"line 9", b"more"]
    folder.append(NAME, b"last", longest=10)
    assert folder.lines(NAME) == [b"last"]
    assert folder.lines(f"{NAME}.1") == [b"line 8", b"line 9", b"more"]
    assert mode(folder.place(f"{NAME}.1")) == 0o600


def test_who_holds_the_lock_is_waited_for_only_so_long(folder: StateFolder) -> None:
    folder.append(NAME, b"x")
    with open(folder.place("lock"), "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(TimeoutError, match="another program has the lock"):
            folder.append(NAME, b"y", patience=0.0)
    folder.append(NAME, b"z", patience=0.0)
    assert folder.lines(NAME) == [b"x", b"z"]


def test_many_writers_lose_nothing_even_while_one_of_them_shortens(folder: StateFolder) -> None:
    """Each thread opens the file anew, as another program would: flock(2) belongs to an open file."""
    everything: list[bytes] = []

    def shorten(lines: list[bytes]) -> list[bytes]:
        everything.extend(lines)
        return []

    def write(writer: int) -> None:
        for number in range(25):
            StateFolder(folder.path).append(NAME, b"%d-%d" % (writer, number), 60.0, 100, shorten)

    writers = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for thread in writers:
        thread.start()
    for thread in writers:
        thread.join()
    everything.extend(folder.lines(NAME))
    assert sorted(everything) == sorted(b"%d-%d" % (w, n) for w in range(4) for n in range(25))
    for writer in range(4):
        mine = [line for line in everything if line.startswith(b"%d-" % writer)]
        assert mine == [b"%d-%d" % (writer, n) for n in range(25)]


def test_a_file_without_end_is_not_read(folder: StateFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_folder, "LONGEST", 100)
    folder.append(NAME, b"x" * 200)
    with pytest.raises(OSError, match="too large"):
        folder.lines(NAME)


def test_a_file_in_the_place_of_a_folder_above(folder: StateFolder, tmp_path: Path) -> None:
    (tmp_path / "state").write_bytes(b"")
    with pytest.raises(FileExistsError):
        folder.append(NAME, b"x")
    with pytest.raises(NotADirectoryError):
        folder.lines(NAME)
    with pytest.raises(NotADirectoryError):
        folder.mark(NAME)


class TestPlace:
    def test_the_state_directory_of_the_environment(self) -> None:
        assert default_path({"XDG_STATE_HOME": "/s", "HOME": "/h"}, 1000) == "/s/vfdeck"

    def test_without_it_the_one_below_the_home(self) -> None:
        assert default_path({"HOME": "/h"}, 1000) == "/h/.local/state/vfdeck"

    def test_a_relative_one_is_ignored(self) -> None:
        assert default_path({"XDG_STATE_HOME": "s", "HOME": "/h"}, 1000) == "/h/.local/state/vfdeck"

    def test_without_a_home_the_one_of_the_user_database(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(state_folder, "_home_of", lambda uid: f"/home/{uid}")
        assert default_path({}, 1000) == "/home/1000/.local/state/vfdeck"

    def test_no_home_at_all(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(state_folder, "_home_of", lambda uid: "")
        assert default_path({"HOME": "relative"}, 1000) is None

    def test_root_does_not_write_to_the_home_of_another(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(state_folder, "_home_of", lambda uid: "/the/home/of/root")
        monkeypatch.setattr(state_folder, "_roots_alone", lambda home: home != str(tmp_path))
        assert default_path({"HOME": str(tmp_path)}, 0) == "/the/home/of/root/.local/state/vfdeck"
        assert default_path({"HOME": "/root"}, 0) == "/root/.local/state/vfdeck"

    @pytest.mark.skipif(os.geteuid() != 0, reason="gives folders away")
    @pytest.mark.parametrize("spoil", ["", "owner", "mode", "above", "link"])
    def test_root_does_not_write_where_others_have_a_say(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoil: str) -> None:
        monkeypatch.setattr(state_folder, "_home_of", lambda uid: "/the/home/of/root")
        state = tmp_path / "a" / "state"
        state.mkdir(parents=True)
        if spoil == "owner":
            os.chown(state, 1000, 1000)
        elif spoil == "mode":
            state.chmod(0o1777)
        elif spoil == "above":
            os.chown(state.parent, 1000, 1000)
        elif spoil == "link":
            (state / "theirs").mkdir()
            os.chown(state / "theirs", 1000, 1000)
            (tmp_path / "link").symlink_to(state / "theirs")
            state = tmp_path / "link"
        for place in (state, state / "to" / "be" / "made"):
            found = default_path({"XDG_STATE_HOME": str(place)}, 0)
            assert found == ("/the/home/of/root/.local/state/vfdeck" if spoil else f"{place}/vfdeck")
            found = default_path({"HOME": str(place)}, 0)
            assert found == ("/the/home/of/root" if spoil else str(place)) + "/.local/state/vfdeck"
