"""The token journal: what several runs wrote, whatever happened to them, and never more than it allows."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfdeck.backend.entries import Entry, Event, Newer, Told, parse
from vfdeck.backend.journal import FILE, Journal
from vfdeck.backend.life import Life
from vfdeck.backend.model import Happened, ProblemKind, TokenEvent
from vfdeck.backend.past import past
from vfdeck.backend.state_folder import StateFolder

PF, OTHER_PF = "0000:03:00.0", "0000:81:00.0"
BOOT, OLD_BOOT = "5c9b7a2e-0000-4000-8000-000000000001", "5c9b7a2e-0000-4000-8000-000000000000"
ONE, TWO = "11111111", "22222222"


@pytest.fixture
def folder(tmp_path: Path) -> StateFolder:
    return StateFolder(str(tmp_path / "vfdeck"))


class Clock(Life):
    """A boot clock, and whether all others live."""

    def __init__(self, alive: bool | None) -> None:
        self.alive, self.now = alive, 1000.0
        self.started, self.space = 1, "pid:[1]"

    def up(self) -> float | None:
        return self.now

    def lives(self, pid: int | None, started: int | None, space: str) -> bool | None:
        return self.alive


def journal(
    folder: StateFolder | None, boot: str = BOOT, machine: str = "m", user: str = "alice", life: Life | None = None
) -> Journal:
    """As another run of vfdeck has it."""
    return Journal(folder, boot, machine, lambda: user, life)


def told(folder: StateFolder, binding: int | None = 7, pf: str = PF, boot: str = BOOT) -> Told | None:
    reader = journal(folder, boot)
    reader.look()
    assert reader.problems() == ()
    return reader.told(pf, binding)


def write(folder: StateFolder, *lines: bytes) -> None:
    os.makedirs(folder.path, exist_ok=True)
    with open(folder.place(FILE), "ab") as file:
        file.write(b"".join(line + b"\n" for line in lines))


class TestEvents:
    def test_a_later_run_is_told_who_set_which_token_when(self, folder: StateFolder) -> None:
        writer = journal(folder, user="bob")
        writer.note(Event.BEGUN, PF, ONE, 9.5, 7)
        writer.note(Event.SET, PF, ONE, 10.0, 7, holders=((42, 7), (41, None)))
        found = told(folder)
        assert found is not None
        assert found.in_force is not None
        assert found.begun == ()
        entry = found.in_force
        assert (entry.fingerprint, entry.time, entry.by, entry.run, entry.holders) == (
            ONE,
            10.0,
            "bob",
            writer.run,
            ((41, None), (42, 7)),
        )

    def test_it_ends_with_the_binding_and_with_the_boot(self, folder: StateFolder) -> None:
        journal(folder).note(Event.SET, PF, ONE, 10.0, 7)
        assert told(folder, binding=8) is None
        assert told(folder, pf=OTHER_PF) is None
        assert told(folder, boot="another") is None
        after = journal(folder)
        after.look()
        assert after.lost(PF, 8) == (ONE, "rebound")
        assert after.lost(PF, 7) == ("", "")
        rebooted = journal(folder, "another")
        rebooted.look()
        assert rebooted.lost(PF, 3) == (ONE, "rebooted")
        elsewhere = journal(folder, "another", machine="n")
        elsewhere.look()
        assert elsewhere.lost(PF, 3) == ("", "")

    def test_a_token_that_was_withdrawn_was_not_lost_by_the_reboot(self, folder: StateFolder) -> None:
        before = journal(folder, boot=OLD_BOOT)
        before.note(Event.SET, PF, ONE, 1000.0, 7)
        before.note(Event.WITHDRAWN, PF, ONE, 1001.0, 7)
        after = journal(folder)
        after.look()
        assert after.lost(PF, 3) == ("", "")
        before.note(Event.CONFIRMED, PF, TWO, 1002.0, 7)
        before.note(Event.BEGUN, PF, ONE, 1003.0, 7)
        before.note(Event.UNCHANGED, PF, ONE, 1004.0, 7)
        after.look()
        assert after.lost(PF, 3) == (TWO, "rebooted")

    def test_a_binding_that_could_not_be_read_is_believed_by_nobody(self, folder: StateFolder) -> None:
        journal(folder).note(Event.SET, PF, ONE, 10.0, None)
        assert told(folder, binding=None) is None
        assert told(folder, binding=7) is None

    def test_a_writer_that_died_leaves_a_setting_in_doubt(self, folder: StateFolder) -> None:
        journal(folder).note(Event.SET, PF, ONE, 10.0, 7)
        journal(folder).note(Event.BEGUN, PF, TWO, 20.0, 7)
        found = told(folder)
        assert found is not None
        assert found.in_force is not None
        assert (found.in_force.fingerprint, [entry.fingerprint for entry in found.begun]) == (ONE, [TWO])

    def test_one_that_was_refused_leaves_none(self, folder: StateFolder) -> None:
        journal(folder).note(Event.SET, PF, ONE, 10.0, 7)
        second = journal(folder)
        second.note(Event.BEGUN, PF, TWO, 20.0, 7)
        second.note(Event.UNCHANGED, PF, TWO, 20.1, 7)
        found = told(folder)
        assert found is not None
        assert found.in_force is not None
        assert (found.in_force.fingerprint, found.begun) == (ONE, ())

    @pytest.mark.parametrize("order", ["ABab", "ABba", "AaBb", "BbAa"])
    def test_two_who_set_at_once_leave_it_open_which_came_last(self, folder: StateFolder, order: str) -> None:
        runs = {"a": journal(folder), "b": journal(folder)}
        for moment, who in enumerate(order):
            token = ONE if who in "aA" else TWO
            event = Event.BEGUN if who.isupper() else Event.SET
            runs[who.lower()].note(event, PF, token, 10.0 + moment, 7)
        found = told(folder)
        assert found is not None
        assert found.in_force is not None
        last, first = (ONE, TWO) if order[-1] == "a" else (TWO, ONE)
        assert found.in_force.fingerprint == last
        overlap = order.startswith("AB")
        assert [entry.fingerprint for entry in found.begun] == ([first] if overlap else [])
        journal(folder).note(Event.CONFIRMED, PF, first, 30.0, 7)
        settled = told(folder)
        assert settled is not None
        assert settled.in_force is not None
        assert (settled.in_force.fingerprint, settled.confirmed, settled.begun) == (first, 30.0, ())

    @pytest.mark.parametrize("event", [Event.SET, Event.CONFIRMED])
    @pytest.mark.parametrize(("alive", "age", "doubt"), [
        (False, 1.0, False),
        (True, 9e9, True),
        (None, 3000.0, True),
        (None, 4000.0, False),
    ])  # fmt: skip
    def test_who_was_dead_before_is_no_rival(
        self, folder: StateFolder, event: Event, alive: bool | None, age: float, doubt: bool
    ) -> None:
        """Whatever the wall clock says."""
        clock = Clock(alive)
        journal(folder, life=clock).note(Event.BEGUN, PF, ONE, 5000.0, 7)
        clock.now += age
        second = journal(folder, life=clock)
        second.look()
        if event is Event.SET:
            second.note(Event.BEGUN, PF, TWO, 10.0, 7)
        second.note(event, PF, TWO, 10.0, 7)
        found = told(folder)
        assert found is not None
        assert [entry.fingerprint for entry in found.begun] == ([ONE] if doubt else [])

    def test_who_died_after_a_setting_was_begun_stays_a_doubt(self, folder: StateFolder) -> None:
        clock = Clock(alive=True)
        journal(folder, life=clock).note(Event.BEGUN, PF, ONE, 10.0, 7)
        second = journal(folder, life=clock)
        second.look()
        second.note(Event.BEGUN, PF, TWO, 11.0, 7)
        clock.alive = False
        second.look()
        second.note(Event.SET, PF, TWO, 12.0, 7)
        found = told(folder)
        assert found is not None
        assert [entry.fingerprint for entry in found.begun] == [ONE]

    def test_a_journal_of_an_older_vfdeck_is_read(self, folder: StateFolder) -> None:
        """It has no word of the boot clock, nor of who lives."""
        lines = [
            Entry(event, PF, 7, ONE, 10.0, BOOT, "m", "bob", "1-a", ((42, 7),)).to_line() for event in (Event.BEGUN, Event.SET)
        ]
        new = ("way", "up", "started", "space", "over", "ticks")
        write(folder, *(json.dumps({k: v for k, v in json.loads(line).items() if k not in new}).encode() for line in lines))
        found = told(folder)
        assert found is not None
        assert found.in_force is not None
        assert (found.in_force.by, found.in_force.up, found.in_force.over, found.begun) == ("bob", None, (), ())

    def test_settings_that_died_do_not_pile_up(self, folder: StateFolder) -> None:
        clock = Clock(alive=False)
        for number in range(30):
            dying = journal(folder, life=clock)
            dying.look()
            dying.note(Event.BEGUN, PF, f"{number:08x}", 10.0, 7)
        found = told(folder)
        assert found is not None
        assert [entry.fingerprint for entry in found.begun] == ["0000001c", "0000001d"]
        assert len(journal(folder)._shorten(folder.lines(FILE))) == 2

    def test_confirming_keeps_who_set_it_and_when(self, folder: StateFolder) -> None:
        journal(folder).note(Event.SET, PF, ONE, 10.0, 7)
        journal(folder).note(Event.CONFIRMED, PF, ONE, 30.0, 7)
        found = told(folder)
        assert found is not None
        assert found.in_force is not None
        assert (found.in_force.event, found.in_force.time, found.confirmed) == (Event.SET, 10.0, 30.0)

    def test_what_was_withdrawn_is_not_claimed(self, folder: StateFolder) -> None:
        journal(folder).note(Event.SET, PF, ONE, 10.0, 7)
        journal(folder).note(Event.WITHDRAWN, PF, "", 30.0, 7)
        found = told(folder)
        assert found is not None
        assert found.in_force is None

    def test_another_run_is_heard_while_this_one_runs(self, folder: StateFolder) -> None:
        reader, writer = journal(folder), journal(folder)
        reader.look()
        assert reader.told(PF, 7) is None
        writer.note(Event.SET, PF, ONE, 10.0, 7)
        reader.look()
        assert reader.told(PF, 7) is not None


class TestFaults:
    @pytest.mark.parametrize(
        ("line", "words"),
        [
            (b"rubbish", "line 1: not JSON"),
            (b"\xff\xfe", "line 1: not JSON"),
            (b"", "line 1: not JSON"),
            (b"[" * 100_000, "line 1: not JSON"),
            (b"7", "line 1: not an object with a version"),
            (b'{"v": "one"}', "line 1: not an object with a version"),
            (b'{"v": 1}', "line 1: no event;"),
            (b'{"v": 1, "event": "sung"}', "line 1: no event that is known;"),
        ],
    )
    def test_a_damaged_line_is_told_and_the_others_count(self, folder: StateFolder, line: bytes, words: str) -> None:
        write(folder, line)
        journal(folder).note(Event.SET, PF, ONE, 10.0, 7)
        reader = journal(folder)
        reader.look()
        [problem] = reader.problems()
        assert problem.path.endswith("/tokens.jsonl")
        assert words in problem.what
        assert "left alone and not believed" in problem.what
        assert reader.told(PF, 7) is not None

    @pytest.mark.parametrize("field", ["", "event", "token", "time", "binding", "holders"])
    def test_a_message_does_not_repeat_what_is_damaged(self, folder: StateFolder, field: str) -> None:
        """It may be anything, a token among it."""
        secret = "2f7bf1a5-7d3b-4c0e-9c5e-3b1f0a9d4e11"
        good = json.loads(Entry(Event.SET, PF, 7, ONE, 1.0, BOOT).to_line())
        write(folder, json.dumps({**good, field: secret}).encode() if field else secret.encode())
        reader = journal(folder)
        reader.look()
        [problem] = reader.problems()
        assert "line 1: " in problem.what
        assert secret not in problem.what

    def test_a_newer_vfdeck_is_not_misread(self, folder: StateFolder) -> None:
        write(folder, b'{"v": 2, "what": "ever"}')
        journal(folder).note(Event.SET, PF, ONE, 10.0, 7)
        reader = journal(folder)
        reader.look()
        [problem] = reader.problems()
        assert problem.what == "1 entry of a newer vfdeck: left alone, and not known here"

    def test_what_cannot_be_written_now_is_written_later(self, folder: StateFolder, monkeypatch: pytest.MonkeyPatch) -> None:
        writer = journal(folder)
        real = os.fsync

        def full(fd: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "fsync", full)
        writer.note(Event.SET, PF, ONE, 10.0, 7)
        [problem] = writer.problems()
        assert problem.what == "No space left on device; what happened to tokens is remembered until this vfdeck ends"
        assert told(folder) is None
        monkeypatch.setattr(os, "fsync", real)
        writer.look()
        assert writer.problems() == ()
        assert told(folder) is not None

    def test_without_a_home(self) -> None:
        homeless = journal(None)
        homeless.look()
        assert homeless.problems() == ()
        homeless.note(Event.SET, PF, ONE, 10.0, 7)
        [problem] = homeless.problems()
        assert "no home directory" in problem.what

    def test_without_a_boot_id_nothing_is_written(self, folder: StateFolder) -> None:
        journal(folder, boot="").note(Event.SET, PF, ONE, 10.0, 7)
        assert not os.path.exists(folder.path)

    def test_a_journal_that_cannot_be_read(self, folder: StateFolder) -> None:
        os.makedirs(folder.place(FILE))
        reader = journal(folder)
        reader.look()
        [problem] = reader.problems()
        assert "what it tells of tokens is not known" in problem.what

    def test_a_folder_of_somebody_else_is_told(self, folder: StateFolder, monkeypatch: pytest.MonkeyPatch) -> None:
        journal(folder).note(Event.SET, PF, ONE, 10.0, 7)
        uid = os.geteuid()
        monkeypatch.setattr(os, "geteuid", lambda: uid + 1)
        other = journal(folder)
        other.note(Event.SET, PF, TWO, 10.0, 7)
        assert "belongs to user" in other.problems()[0].what


def entries(pfs: list[str], bindings: list[int], boots: list[str]) -> st.SearchStrategy[Entry]:
    return st.builds(
        Entry,
        st.sampled_from(Event),
        st.sampled_from(pfs),
        st.sampled_from(bindings),
        st.sampled_from([ONE, TWO]),
        st.floats(0, 150),
        st.sampled_from(boots),
        st.just("m"),
        run=st.sampled_from(["1-a", "2-b", "3-c"]),
        over=st.lists(st.sampled_from(["1-a", "2-b", "3-c"]), max_size=2).map(tuple),
    )


class Dead(StateFolder):
    """A folder on a file system that answers when the test lets it."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.answers = threading.Event()
        self.asked = threading.Event()

    def mark(self, name: str) -> tuple[int, ...] | None:
        self._wait()
        return super().mark(name)

    def append(self, *arguments: Any, **keywords: Any) -> None:
        self._wait()
        super().append(*arguments, **keywords)

    def _wait(self) -> None:
        self.asked.set()
        self.answers.wait()


class TestNoAnswer:
    @pytest.fixture
    def dead(self, tmp_path: Path) -> Iterator[Dead]:
        folder = Dead(str(tmp_path / "vfdeck"))
        yield folder
        folder.answers.set()

    def settle(self, folder: Dead) -> None:
        folder.answers.set()
        assert folder.errands.wait(folder.errands.send(lambda: None), 60.0)

    def test_a_look_has_what_was_known_before_and_says_so(self, dead: Dead, monkeypatch: pytest.MonkeyPatch) -> None:
        reader, writer = journal(dead), journal(StateFolder(dead.path))
        writer.note(Event.SET, PF, ONE, 10.0, 7)
        dead.answers.set()
        reader.look()
        writer.note(Event.SET, PF, TWO, 10.0, 7)
        dead.answers.clear()
        dead.asked.clear()
        with monkeypatch.context() as patch:
            patch.setattr("vfdeck.backend.journal.LOOK_PATIENCE", 0.0)
            reader.look()
            assert dead.asked.wait(60.0)
            reader.look()
            found = reader.told(PF, 7)
            assert found is not None
            assert found.last.fingerprint == ONE
            [problem] = reader.problems()
        assert problem.path.endswith("/tokens.jsonl")
        assert problem.what == "has not answered for more than a moment; what is known of tokens may be old"
        self.settle(dead)
        reader.look()
        found = reader.told(PF, 7)
        assert found is not None
        assert (found.last.fingerprint, reader.problems()) == (TWO, ())

    def test_a_note_is_told_to_be_missing_and_written_when_it_answers(self, dead: Dead, monkeypatch: pytest.MonkeyPatch) -> None:
        writer = journal(dead)
        with monkeypatch.context() as patch:
            patch.setattr("vfdeck.backend.journal.LOOK_PATIENCE", 0.0)
            patch.setattr("vfdeck.backend.journal.NOTE_PATIENCE", 0.0)
            writer.note(Event.SET, PF, ONE, 10.0, 7)
            assert dead.asked.wait(60.0)
            assert [problem.what for problem in writer.problems()] == [
                "has not answered for more than a moment; what is known of tokens may be old",
                "has not answered for more than a moment; what happened to tokens is remembered until this vfdeck ends",
            ]
        assert [event.fingerprint for event in writer.past(PF, 7)] == [ONE]
        self.settle(dead)
        assert writer.problems() == ()
        assert told(StateFolder(dead.path)) is not None


#: Run by a process of its own: writes settings until it is told that there were enough, on a disk that is full now and then.
WRITER = """
import errno, os, sys
from vfdeck.backend.entries import Event
from vfdeck.backend.journal import Journal
from vfdeck.backend.state_folder import StateFolder

path, boot, token, full = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
journal = Journal(StateFolder(path), boot, "m")
real, count = os.write, 0

def write(fd, data):
    global count
    count += 1
    if count % full == 0:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return real(fd, data[: 40 if count % 3 == 0 else len(data)])

os.write = write
print(journal.run, flush=True)
sys.stdin.readline()
for number in range(30):
    journal.note(Event.BEGUN, "0000:03:00.0", token, float(number), 7)
    journal.note(Event.SET, "0000:03:00.0", token, number + 0.5, 7)
    said = [problem.what for problem in journal.problems()]
    assert len(said) <= 1, said
    assert not said or said[0].endswith("; what happened to tokens is remembered until this vfdeck ends"), said
    assert not said or said[0].startswith(("No space left on device", "another program has the lock")), said
os.write = real
for attempt in range(100_000):  # a look does not wait for the lock
    journal.look()
    if not journal.unwritten:
        break
[problem] = journal.problems()
assert problem.what.startswith("line 2: not JSON"), problem.what
"""


@pytest.mark.parametrize("full", [1000, 7, 3])
def test_two_processes_on_a_full_disk_lose_nothing_beside_a_damaged_line(folder: StateFolder, full: int) -> None:
    """What could not be written is written later, in order, each entry once; what somebody else spoiled is told once, and stays."""
    journal(folder).note(Event.SET, PF, ONE, 0.0, 7)
    write(folder, b'{"v": 1, "event": "se')
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, folder.path, BOOT, token, str(full)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        for token in (ONE, TWO)
    ]
    try:
        runs = [process.stdout.readline().strip() for process in writers if process.stdout]  # both are there
        for process in writers:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        said = [process.communicate(timeout=120)[1] for process in writers]
    finally:
        for process in writers:
            process.kill()
            process.wait()
    assert said == ["", ""]
    assert [process.returncode for process in writers] == [0, 0]
    reader = journal(folder)
    reader.look()
    [problem] = reader.problems()
    assert problem.kind is ProblemKind.MEMORY
    assert problem.what.startswith("line 2: not JSON; expected an entry of a vfdeck: left alone")
    lines = [parse(line) for number, line in enumerate(folder.lines(FILE)) if number != 1]
    for run in runs:
        written = [(entry.event, entry.time) for entry in lines if entry.run == run]
        assert written == [(e, n + d) for n in range(30) for e, d in ((Event.BEGUN, 0.0), (Event.SET, 0.5))]
    found = reader.told(PF, 7)
    assert found is not None
    assert found.last.run in runs


class TestPast:
    def test_settings_in_order_with_who_and_how_and_whether_it_was_shown(self, folder: StateFolder) -> None:
        one, two = journal(folder), journal(folder, user="bob")
        one.note(Event.BEGUN, PF, ONE, 10.0, 7, way="open")
        one.note(Event.SET, PF, ONE, 11.0, 7)
        two.note(Event.BEGUN, PF, TWO, 20.0, 7, way="borrowed")
        two.note(Event.UNCHANGED, PF, TWO, 21.0, 7)
        one.note(Event.CONFIRMED, PF, ONE, 30.0, 7)
        two.note(Event.CONFIRMED, PF, TWO, 40.0, 7)
        two.note(Event.WITHDRAWN, PF, TWO, 50.0, 7)
        two.note(Event.BEGUN, PF, ONE, 60.0, 7, way="feature")
        one.note(Event.SET, OTHER_PF, ONE, 70.0, 7)
        one.look()
        assert one.past(PF, 7) == (
            TokenEvent(Happened.SET, 11.0, ONE, "alice", one.run, True, "open", 30.0),
            TokenEvent(Happened.REFUSED, 20.0, TWO, "bob", two.run, False, "borrowed"),
            TokenEvent(Happened.FOUND, 40.0, TWO, "bob", two.run, False, "", 40.0),
            TokenEvent(Happened.DOUBTED, 50.0, TWO, "bob", two.run, False),
            TokenEvent(Happened.BEGUN, 60.0, ONE, "bob", two.run, False, "feature"),
        )
        assert one.past(PF, 8) == ()

    @given(st.lists(entries([PF], [7], [BOOT]), max_size=80))
    def test_no_history_makes_it_stumble(self, history: list[Entry]) -> None:
        found = past(history, "1-a")
        assert len(found) <= 50
        assert all(event.own == (event.run == "1-a") for event in found)


@given(st.binary(max_size=200) | st.recursive(st.none() | st.integers() | st.floats() | st.text(max_size=5), st.lists).map(repr))
def test_no_line_makes_it_stumble(line: bytes | str) -> None:
    with suppress(ValueError):
        parse(line if isinstance(line, bytes) else line.encode("utf-8", "replace"))


fields = st.sampled_from(
    ["v", "event", "pf", "token", "binding", "time", "boot", "machine", "by", "run", "holders", "ticks", "up", "started", "over"]
)
values = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.lists(st.integers() | st.text(max_size=2))
)


@given(st.dictionaries(fields, values, max_size=3))
def test_no_field_makes_it_stumble(changed: dict[str, object]) -> None:
    good = json.loads(Entry(Event.SET, PF, 7, ONE, 1.0, BOOT).to_line())
    line = json.dumps({**good, **changed}).encode()
    entry = None
    with suppress(ValueError, Newer):
        entry = parse(line)
    if entry is None:
        return
    assert parse(entry.to_line()) == entry
    assert entry.by.isprintable()


# -- shortening ----------------------------------------------------------------------------------------------------------
histories = st.lists(entries([PF], [7], [BOOT]), max_size=25) | st.lists(
    entries([PF, OTHER_PF], [7, 8, 9], [OLD_BOOT, BOOT]), max_size=25
)


@given(histories)
def test_shortening_changes_nothing_that_is_told(history: list[Entry]) -> None:
    """Of the last two bindings of each PF in this boot."""

    def view(lines: list[bytes]) -> dict[tuple[str, int], Told | None]:
        reader = Journal(None, BOOT, "m")
        reader._take(lines)
        seen: dict[tuple[str, int], Told | None] = {}
        for pf in (PF, OTHER_PF):
            order = [entry.binding for entry in history if entry.pf == pf and entry.boot == BOOT]
            for binding in [b for b in dict.fromkeys(reversed(order)) if b is not None][:2]:
                seen[pf, binding] = reader.told(pf, binding)
                assert seen[pf, binding] is not None
        return seen

    writer = Journal(None, BOOT, "m")
    lines = [entry.to_line() for entry in history]
    short = writer._shorten(lines)
    assert view(short) == view(lines)
    assert writer._shorten(short) == short
    assert set(short) <= set(lines)


def test_a_long_journal_is_shortened_to_what_holds(folder: StateFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vfdeck.backend.journal.LONG", 5000)
    write(folder, b"rubbish", b'{"v": 2}')
    journal(folder, OLD_BOOT).note(Event.SET, PF, ONE, 1.0, 3)
    journal(folder, "boot of another machine", machine="n").note(Event.SET, PF, ONE, 1.0, 3)
    writer = journal(folder)
    for number in range(200):
        writer.note(Event.SET, PF, TWO, 10.0 + number, 7)
    lines = folder.lines(FILE)
    assert sum(map(len, lines)) < 6000
    assert lines[:2] == [b"rubbish", b'{"v": 2}']
    kept = [parse(line) for line in lines[2:]]
    assert [entry.boot for entry in kept[:1]] == ["boot of another machine"]
    assert kept[-1].time == 209.0
