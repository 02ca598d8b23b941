"""What is known of tokens: by what was seen, by what several vfdecks wrote down, and never more than that allows."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from tests.values import NOON, PF, make_fleet, make_holder, make_pf, snapshot
from vfdeck.app.commands.token_status import history
from vfdeck.backend.changes import BindDriver, Open, OpenPath, SetNumvfs, SetToken, UnbindDriver
from vfdeck.backend.journal import FILE
from vfdeck.backend.knowledge import SUSPECTS, TokenWatch
from vfdeck.backend.life import Life
from vfdeck.backend.local_host import LocalHost
from vfdeck.backend.memory import Memory, memory_of
from vfdeck.backend.model import Happened, Holder, Suspect, TokenEvent, TokenKnowledge, TokenState
from vfdeck.backend.report import to_text
from vfdeck.backend.sim.kernel import SimulatedKernel
from vfdeck.backend.sim.machine import Machine
from vfdeck.backend.sim.scenario import load
from vfdeck.backend.token import Token
from vfdeck.backend.wording import token_event, token_history
from vfdeck.widgets.facts import function_facts
from vfdeck.widgets.state import token_words

IDLE, IDLE_VF = "0000:af:00.0", "0000:af:00.1"
ONE, TWO = Token(bytes(range(16))), Token(bytes(range(16, 32)))


class Known(Memory):
    """As of a user that the test knows."""

    def __init__(self, kernel: SimulatedKernel, state: Path, user: str) -> None:
        self._known = user
        super().__init__(kernel, {"XDG_STATE_HOME": str(state)})

    def user(self) -> str:
        return self._known


class Deck(LocalHost):
    """One run of vfdeck, with a memory in a folder of the test's; who is behind it is called `user`."""

    def __init__(self, machine: Machine, state: Path, user: str = "alice") -> None:
        kernel = SimulatedKernel(machine, "vfdeck")
        super().__init__(kernel, {}, Known(kernel, state, user))

    def known(self, pf: str = IDLE) -> TokenKnowledge:
        return self.snapshot().tokens[pf]


@pytest.fixture
def machine() -> Machine:
    return load("default", 1).scenario.machine


@pytest.fixture
def deck(machine: Machine, tmp_path: Path) -> Deck:
    return Deck(machine, tmp_path)


class Living(Life):
    """Tells of every other run what a test says."""

    alive: bool | None = True

    def __init__(self) -> None:
        self.started, self.space = 1, "pid:[1]"

    def up(self) -> float | None:
        return 1000.0

    def lives(self, pid: int | None, started: int | None, space: str) -> bool | None:
        assert (started, space) == (1, "pid:[1]")
        return self.alive


def rebind(machine: Machine) -> None:
    """By somebody who tells nobody."""
    somebody = LocalHost(SimulatedKernel(machine, "somebody"), {})
    assert somebody.perform(UnbindDriver(IDLE)).ok
    assert somebody.perform(BindDriver(IDLE, "vfio-pci")).ok


class TestRunsOfVfdeck:
    def test_a_later_run_knows_what_an_earlier_one_set(self, deck: Deck, machine: Machine, tmp_path: Path) -> None:
        assert deck.perform(SetToken(IDLE, ONE)).ok
        mine = deck.known()
        assert (mine.state, mine.fingerprint, mine.earlier, mine.by) == (TokenState.SET, ONE.fingerprint, False, "")
        deck.close()
        later = Deck(machine, tmp_path, "bob").known()
        assert (later.state, later.fingerprint, later.since) == (TokenState.SET, ONE.fingerprint, mine.since)
        assert (later.earlier, later.by, later.proved, later.confirmed) == (True, "alice", False, machine.now)

    def test_it_ends_when_the_pf_was_bound_anew_meanwhile(self, deck: Deck, machine: Machine, tmp_path: Path) -> None:
        deck.perform(SetToken(IDLE, ONE))
        rebind(machine)
        later = Deck(machine, tmp_path).known()
        assert (later.state, later.lost, later.lost_by) == (TokenState.UNKNOWN, ONE.fingerprint, "rebound")
        assert later.fingerprint == ""

    def test_it_ends_with_a_reboot(self, deck: Deck, tmp_path: Path) -> None:
        deck.perform(SetToken(IDLE, ONE))
        rebooted = load("default", 2).scenario.machine
        assert rebooted.boot_id != deck.snapshot().host.boot_id
        later = Deck(rebooted, tmp_path).known()
        assert (later.state, later.lost, later.lost_by) == (TokenState.UNKNOWN, ONE.fingerprint, "rebooted")

    def test_another_one_that_rotates_is_heard_at_the_next_look(self, deck: Deck, machine: Machine, tmp_path: Path) -> None:
        deck.perform(SetToken(IDLE, ONE))
        other = Deck(machine, tmp_path, "bob")
        assert other.perform(SetToken(IDLE, TWO)).ok
        known = deck.known()
        assert (known.state, known.fingerprint, known.by, known.earlier) == (TokenState.SET, TWO.fingerprint, "bob", True)
        assert deck._watch.token(IDLE) is None

    def test_another_one_that_finds_it_wrong_is_heard(self, deck: Deck, machine: Machine, tmp_path: Path) -> None:
        deck.perform(SetToken(IDLE, ONE))
        record = machine.functions[IDLE].vfio
        assert record is not None
        assert record.token is not None
        record.token.uuid = bytes(16)
        other = Deck(machine, tmp_path)
        assert other.known().fingerprint == ONE.fingerprint
        assert other.perform(Open(IDLE_VF, ONE)).errno_name == "EACCES"
        assert other.known().state is TokenState.UNKNOWN
        assert deck.known().state is TokenState.UNKNOWN

    def test_another_one_that_holds_the_pf_has_written_down_what_it_set(
        self, deck: Deck, machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        other = Deck(machine, tmp_path)
        pid = cast(SimulatedKernel, other.kernel).process.pid
        assert other._memory is not None
        other._memory.journal.run = f"{pid}-0"  # as if it were the process that it is on its machine
        assert other.perform(Open(IDLE, ONE, hold=True)).ok
        assert [holder.pid for holder in deck.snapshot().holders_of(IDLE)] == [pid]
        known = deck.known()
        assert (known.state, known.fingerprint, known.suspects) == (TokenState.SET, ONE.fingerprint, ())

    def test_an_open_that_passes_confirms_it_for_everybody(self, deck: Deck, machine: Machine, tmp_path: Path) -> None:
        deck.perform(SetToken(IDLE, ONE))
        machine.now += 60
        other = Deck(machine, tmp_path)
        other.known()
        assert other.perform(Open(IDLE_VF, ONE)).ok
        for known in (other.known(), deck.known()):
            assert (known.state, known.confirmed, known.proved) == (TokenState.SET, machine.now, False)
            assert known.since == machine.now - 60
        assert other.known().by == "alice"
        assert not deck.known().earlier

    def test_one_that_dies_while_it_sets_leaves_a_doubt(
        self, deck: Deck, machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        deck.perform(SetToken(IDLE, ONE))

        def die(self: SimulatedKernel, group: int, argument: bytes) -> int:
            raise SystemExit

        with monkeypatch.context() as patch:
            patch.setattr(SimulatedKernel, "get_device_fd", die)
            dying = Deck(machine, tmp_path)
            with pytest.raises(SystemExit):
                dying.perform(SetToken(IDLE, TWO))
        cast(SimulatedKernel, dying.kernel).exit()
        known = deck.known()
        assert (known.state, known.fingerprint, known.begun) == (TokenState.UNKNOWN, ONE.fingerprint, TWO.fingerprint)
        assert Deck(machine, tmp_path).known().begun == TWO.fingerprint
        machine.now += 4000  # of simulated programs nobody can tell whether they live
        assert deck.perform(Open(IDLE_VF, ONE)).ok
        assert (deck.known().state, deck.known().begun) == (TokenState.SET, "")
        assert Deck(machine, tmp_path).known().state is TokenState.SET

    def test_what_all_of_them_did_is_told_until_the_pf_is_bound_anew(self, deck: Deck, machine: Machine, tmp_path: Path) -> None:
        other = Deck(machine, tmp_path, "bob")
        deck.perform(SetToken(IDLE, ONE))
        other.perform(SetToken(IDLE, TWO))
        events = deck.known().events
        assert [(e.what, e.fingerprint, e.by, e.own, e.way, e.confirmed) for e in events] == [
            (Happened.SET, ONE.fingerprint, "alice", True, "open", machine.now),
            (Happened.SET, TWO.fingerprint, "bob", False, "open", machine.now),
        ]
        assert len({e.run for e in events}) == 2
        rebind(machine)
        assert deck.known().events == ()

    def test_a_simulated_host_knows_its_own(self, machine: Machine) -> None:
        host = LocalHost(SimulatedKernel(machine, "vfdeck"), {})
        host.perform(SetToken(IDLE, ONE))
        [event] = host.snapshot().tokens[IDLE].events
        assert (event.what, event.fingerprint, event.own) == (Happened.SET, ONE.fingerprint, True)
        host.perform(UnbindDriver(IDLE))
        host.perform(BindDriver(IDLE, "vfio-pci"))
        assert host.snapshot().tokens[IDLE].events == ()

    def test_one_that_is_at_it_is_told_from_one_that_died(self, deck: Deck, machine: Machine, tmp_path: Path) -> None:
        other = Deck(machine, tmp_path, "bob")
        assert deck._memory is not None
        assert other._memory is not None
        deck._memory.journal._life = other._memory.journal._life = life = Living()
        deck.perform(SetToken(IDLE, ONE))
        other.known()
        other._watch.about_to_set(IDLE, TWO, machine.now)
        assert (deck.known().begun, deck.known().setting) == (TWO.fingerprint, True)
        assert "began to set #" + TWO.fingerprint + ", and has not finished" in token_history(deck.known())
        life.alive = False
        assert (deck.known().begun, deck.known().setting) == (TWO.fingerprint, False)
        assert "it is not known whether it did" in token_history(deck.known())
        assert deck.perform(Open(IDLE_VF, ONE)).ok  # it was dead before that, and so is no doubt any more
        assert (deck.known().state, deck.known().begun) == (TokenState.SET, "")

    def test_one_that_is_refused_changes_nothing(self, deck: Deck, machine: Machine, tmp_path: Path) -> None:
        deck.perform(SetToken(IDLE, ONE))
        assert deck.perform(Open(IDLE_VF, ONE, hold=True)).ok
        other = Deck(machine, tmp_path)
        other._watch.about_to_set(IDLE, TWO, machine.now)
        assert (deck.known().state, deck.known().begun) == (TokenState.UNKNOWN, TWO.fingerprint)
        other._watch.not_set(IDLE, TWO, machine.now)
        assert (deck.known().state, deck.known().begun) == (TokenState.SET, "")
        assert not deck.known().earlier

    def test_setting_that_failed_late_is_told_to_everybody(self, deck: Deck, machine: Machine, tmp_path: Path) -> None:
        deck.perform(SetToken(IDLE, ONE))
        other = Deck(machine, tmp_path)
        assert other.known().state is TokenState.SET
        machine.functions[IDLE].locked = True  # somebody else's change is under way: the open's reset gets EAGAIN
        assert deck.perform(SetToken(IDLE, TWO)).errno_name == "EAGAIN"
        assert other.known().state is TokenState.UNKNOWN

    def test_the_journal_holds_no_token(self, deck: Deck, tmp_path: Path) -> None:
        secret = Token.generate()
        deck.perform(SetToken(IDLE, secret))
        deck.perform(Open(IDLE_VF, secret))
        deck.perform(SetToken(IDLE, Token.generate()))
        deck.perform(Open(IDLE_VF, secret))
        written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
        assert secret.fingerprint.encode() in written
        assert secret.reveal().hex().encode() not in written.replace(b"-", b"").lower()
        assert secret.reveal() not in written

    def test_simulated_hosts_and_trees_remember_nothing(self, tmp_path: Path) -> None:
        from vfdeck.backend.linux.kernel import LinuxKernel

        assert memory_of(load("default", 1).kernel, {"XDG_STATE_HOME": str(tmp_path)}) is None
        assert memory_of(LinuxKernel(str(tmp_path)), {"XDG_STATE_HOME": str(tmp_path)}) is None


class TestFaults:
    def test_a_full_disk_is_a_problem_and_the_change_is_made(self, deck: Deck, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(fd: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            assert deck.perform(SetToken(IDLE, ONE)).ok
            seen = deck.snapshot()
            assert seen.tokens[IDLE].state is TokenState.SET
            assert sorted(os.path.basename(problem.path) for problem in seen.problems) == ["audit.jsonl", "tokens.jsonl"]
            assert all(problem.what.startswith("No space left on device; ") for problem in seen.problems)
        assert deck.perform(Open(IDLE_VF, ONE)).ok
        assert deck.snapshot().problems == ()

    def test_a_file_in_the_place_of_the_folder(self, machine: Machine, tmp_path: Path) -> None:
        (tmp_path / "vfdeck").write_bytes(b"mine")
        deck = Deck(machine, tmp_path)
        assert deck.perform(SetToken(IDLE, ONE)).ok
        assert {problem.what.split(";")[0] for problem in deck.snapshot().problems} == {"Not a directory"}
        assert (tmp_path / "vfdeck").read_bytes() == b"mine"

    def test_without_a_home(self, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("vfdeck.backend.state_folder._home_of", lambda uid: "")
        kernel = SimulatedKernel(machine, "vfdeck")
        host = LocalHost(kernel, {}, Memory(kernel, {}))
        assert host.snapshot().problems == ()
        assert host.perform(SetToken(IDLE, ONE)).ok
        seen = host.snapshot()
        assert seen.tokens[IDLE].state is TokenState.SET
        assert all("there is no home directory" in problem.what for problem in seen.problems)
        assert len(seen.problems) == 2

    def test_a_damaged_journal_is_a_problem(self, deck: Deck, machine: Machine, tmp_path: Path) -> None:
        deck.perform(SetToken(IDLE, ONE))
        with open(tmp_path / "vfdeck" / FILE, "ab") as file:
            file.write(b"\x00\x1b[31m\n")
        later = Deck(machine, tmp_path).snapshot()
        assert later.tokens[IDLE].state is TokenState.SET
        [problem] = later.problems
        assert "line 4: not JSON" in problem.what


# -- what is seen --------------------------------------------------------------------------------------------------------
class Seen:
    """A watch without a journal, and what it is shown."""

    def __init__(self) -> None:
        self.binding = 1
        self.watch = TokenWatch(binding=lambda pf: self.binding)
        self.now = NOON

    def look(self, *holders: Holder, driver: str = "vfio-pci") -> TokenKnowledge:
        self.now += 1
        return self.watch.update([make_pf(driver=driver), *make_fleet(2)[1:]], holders, self.now, self.watch.mark())[PF]

    def bound(self) -> Seen:
        self.look(driver="igb")
        assert self.look().state is TokenState.UNSET
        return self


class TestSeen:
    def test_a_binding_that_changed_between_two_looks(self) -> None:
        seen = Seen()
        seen.look()
        seen.watch.set_by_us(PF, ONE, NOON)
        assert seen.look().state is TokenState.SET
        seen.binding = 2
        known = seen.look()
        assert (known.state, known.lost, known.lost_by) == (TokenState.UNSET, ONE.fingerprint, "rebound")
        assert seen.watch.token(PF) is None

    def test_one_that_changed_just_before_setting_is_refused(self) -> None:
        seen = Seen()
        seen.look()
        seen.watch.set_by_us(PF, ONE, NOON)
        seen.look()
        seen.binding = 2
        seen.watch.about_to_set(PF, TWO, NOON)
        seen.watch.not_set(PF, TWO, NOON)
        assert (seen.look().state, seen.look().lost) == (TokenState.UNSET, ONE.fingerprint)

    def test_who_opens_the_pf_afterwards_may_have_set_another(self) -> None:
        seen = Seen()
        seen.look()
        seen.watch.set_by_us(PF, ONE, NOON)
        known = seen.look(make_holder(PF, 77, "testpmd"))
        assert (known.state, known.fingerprint) == (TokenState.UNKNOWN, ONE.fingerprint)
        [suspect] = known.suspects
        assert (suspect.program, suspect.pid, suspect.seen, suspect.fingerprint) == ("testpmd", 77, seen.now, "")
        assert seen.look().suspects == known.suspects
        seen.look(make_holder(PF, 77, "testpmd"))
        seen.watch.proved(PF, ONE, NOON + 50)
        known = seen.look(make_holder(PF, 77, "testpmd"))
        assert (known.state, known.suspects, known.confirmed, known.since) == (TokenState.SET, (), NOON + 50, NOON)

    def test_who_held_it_before_has_not(self) -> None:
        """So that rotating under a program that runs leaves the new token known."""
        seen = Seen()
        holder = make_holder(PF, 77, "testpmd", started=NOON - 100, ticks=100)
        seen.look(holder)
        seen.watch.set_by_us(PF, ONE, NOON)
        assert seen.look(holder).state is TokenState.SET
        # the clock was set meanwhile
        assert seen.look(make_holder(PF, 77, "testpmd", started=NOON + 900, ticks=100)).state is TokenState.SET
        # another program with the same number
        assert seen.look(make_holder(PF, 77, "testpmd", started=NOON - 900, ticks=200)).state is TokenState.UNKNOWN

    def test_a_holder_by_its_file_s_name_alone_says_nothing(self) -> None:
        """Anybody can make a file of that name."""
        seen = Seen()
        seen.look()
        seen.watch.set_by_us(PF, ONE, NOON)
        known = seen.look(make_holder(PF, 77, "forger", kind="cdev", by_name=True))
        assert (known.state, known.suspects) == (TokenState.SET, ())
        seen.watch.set_by_us(PF, TWO, NOON)
        assert seen.look(make_holder(PF, 77, "forger")).state is TokenState.UNKNOWN  # it holds it now

    def test_who_carries_the_same_token_is_told_so_and_believed_no_more(self) -> None:
        """A program may show whichever token it likes in its command line, and set another one."""
        seen = Seen()
        seen.look()
        seen.watch.set_by_us(PF, ONE, NOON)
        known = seen.look(make_holder(PF, 77, "testpmd", tokens=(ONE.fingerprint,)))
        assert (known.state, known.fingerprint, known.suspects[0].fingerprint) == (
            TokenState.UNKNOWN,
            ONE.fingerprint,
            ONE.fingerprint,
        )
        assert "testpmd (77) was seen to hold the PF and carries the same" in token_history(known)
        assert any("carries the same token, and will have set no other" in line for line in history(known))
        known = seen.look(make_holder(PF, tokens=(TWO.fingerprint,), pid=78))
        assert (known.state, known.suspects[-1].fingerprint) == (TokenState.UNKNOWN, TWO.fingerprint)

    def test_another_token_with_the_same_fingerprint_is_another(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Token, "fingerprint", "aaaaaaaa")
        seen = Seen()
        seen.look()
        seen.watch.set_by_us(PF, ONE, NOON)
        assert seen.watch.believes(PF, ONE)
        assert not seen.watch.believes(PF, TWO)
        seen.watch.wrong(PF, TWO, NOON)
        assert seen.look().state is TokenState.SET
        seen.watch.proved(PF, TWO, NOON + 5)
        assert (seen.look().since, seen.watch.token(PF)) == (NOON + 5, TWO)

    def test_text_that_looks_like_a_fingerprint_clears_nobody(self) -> None:
        """A program may write into its command line what it likes: what it carries is known of the process itself."""
        seen = Seen()
        seen.look()
        seen.watch.set_by_us(PF, ONE, NOON)
        known = seen.look(make_holder(PF, command=f"testpmd --vfio-vf-token=#{ONE.fingerprint}"))
        assert (known.state, known.suspects[0].fingerprint) == (TokenState.UNKNOWN, "")

    def test_of_several_tokens_nothing_tells_which_was_brought(self) -> None:
        known = Seen().bound().look(make_holder(PF, tokens=(ONE.fingerprint, TWO.fingerprint)))
        assert known.suspects[0].fingerprint == ""

    def test_a_pf_never_set_since_it_was_bound(self) -> None:
        seen = Seen().bound()
        known = seen.look(make_holder(PF))
        assert (known.state, known.fingerprint, len(known.suspects)) == (TokenState.UNKNOWN, "", 1)

    def test_who_holds_it_at_the_first_look_may_have_set_it(self) -> None:
        known = Seen().look(make_holder(PF, tokens=(ONE.fingerprint,)))
        assert (known.state, known.suspects[0].fingerprint) == (TokenState.UNKNOWN, ONE.fingerprint)

    def test_only_the_latest_are_remembered(self) -> None:
        seen = Seen()
        for pid in range(100, 100 + 2 * SUSPECTS):
            known = seen.look(make_holder(PF, pid))
        assert [suspect.pid for suspect in known.suspects] == list(range(100 + SUSPECTS, 100 + 2 * SUSPECTS))

    def test_a_wrong_verdict_on_our_own_token_withdraws_it_and_on_another_says_nothing(self) -> None:
        seen = Seen()
        seen.look()
        seen.watch.set_by_us(PF, ONE, NOON)
        seen.watch.wrong(PF, TWO, NOON)
        assert seen.look().state is TokenState.SET
        seen.watch.wrong(PF, ONE, NOON)
        assert (seen.look().state, seen.look().fingerprint) == (TokenState.UNKNOWN, "")

    def test_a_right_verdict_on_a_foreign_token(self) -> None:
        seen = Seen()
        seen.look()
        seen.watch.proved(PF, TWO, NOON)
        known = seen.look()
        assert (known.state, known.fingerprint, known.proved, known.confirmed) == (TokenState.SET, TWO.fingerprint, True, NOON)


# -- the audit trail -----------------------------------------------------------------------------------------------------
def audit(state: Path) -> Iterator[dict[str, object]]:
    for line in (state / "vfdeck" / "audit.jsonl").read_text().splitlines():
        yield json.loads(line)


class TestAudit:
    def test_every_change_has_a_line_before_and_one_after(self, deck: Deck, tmp_path: Path) -> None:
        deck.perform(SetToken(IDLE, ONE))
        deck.perform(Open(IDLE_VF, TWO, path=OpenPath.GROUP))
        deck.perform(SetNumvfs(IDLE, 17))
        begun, done, begun_2, refused, _, untried = audit(tmp_path)
        assert begun["change"] == {"kind": "SetToken", "pf": IDLE, "token": f"#{ONE.fingerprint}", "way": None, "current": None}
        assert [line["event"] for line in (begun, done)] == ["begun", "done"]
        assert begun["id"] == done["id"] != begun_2["id"]
        assert (begun["user"], begun["sudo_user"], begun["uid"], begun["pid"]) == ("alice", None, 0, os.getpid())
        assert done["outcome"]["ok"] is True  # type: ignore[index]
        outcome = refused["outcome"]
        assert isinstance(outcome, dict)
        assert (outcome["ok"], outcome["errno"], outcome["stage"]) == (False, "EACCES", "get_device_fd")
        outcome = untried["outcome"]
        assert isinstance(outcome, dict)
        assert (outcome["ok"], outcome["attempted"], outcome["errno"]) == (False, False, None)

    def test_a_fault_of_ours_is_named_and_not_told(self, deck: Deck, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(self: SimulatedKernel, group: int, argument: bytes) -> int:
            raise RuntimeError(argument)

        monkeypatch.setattr(SimulatedKernel, "get_device_fd", fail)
        with pytest.raises(RuntimeError):
            deck.perform(SetToken(IDLE, ONE))
        last = list(audit(tmp_path))[-1]
        assert (last["event"], last["fault"]) == ("failed", "RuntimeError")
        assert ONE.reveal_text() not in (tmp_path / "vfdeck" / "audit.jsonl").read_text()


class TestWords:
    @pytest.mark.parametrize(
        ("what", "words"),
        [
            (Happened.SET, "set #1a2b3c4d by eva in run 7-a of vfdeck, on another program's descriptor; not confirmed"),
            (
                Happened.REFUSED,
                "the kernel refused #1a2b3c4d, which was to be set by eva in run 7-a of vfdeck, on another program's descriptor",
            ),
            (
                Happened.BEGUN,
                "began to set #1a2b3c4d by eva in run 7-a of vfdeck, on another program's descriptor; what came of it is not told",
            ),
            (Happened.FOUND, "#1a2b3c4d was shown to be in force by eva in run 7-a of vfdeck; nobody told that they set it"),
            (Happened.DOUBTED, "#1a2b3c4d is not in force, or may not be (found by eva in run 7-a of vfdeck)"),
        ],
    )
    def test_events(self, what: Happened, words: str) -> None:
        assert token_event(TokenEvent(what, NOON, "1a2b3c4d", "eva", "7-a", False, "borrowed")) == words
        assert token_event(TokenEvent(what, NOON))

    """What a person is told of it, in the three places that tell of tokens."""

    SET = TokenKnowledge(PF, TokenState.SET, ONE.fingerprint, NOON)
    SUSPECT = Suspect("testpmd", 77, NOON, TWO.fingerprint)

    @pytest.mark.parametrize(
        ("known", "sentence", "words"),
        [
            (SET, f"#{ONE.fingerprint} was set here at 2025-01-01 12:00 UTC.", "set by vfdeck"),
            (replace(SET, earlier=True), "was set in an earlier run, or by another vfdeck, at", "nobody watched since"),
            (replace(SET, confirmed=NOON + 60), "and was right at 2025-01-01 12:01 UTC.", "nothing seen that replaced it"),
            (
                replace(SET, state=TokenState.UNKNOWN, suspects=(SUSPECT, SUSPECT)),
                f"testpmd (77) was seen to hold the PF and carries #{TWO.fingerprint}, and 1 more did",
                f"#{ONE.fingerprint}, possibly replaced since: testpmd (77)",
            ),
            (
                replace(SET, state=TokenState.UNKNOWN, begun=TWO.fingerprint),
                f"began to set #{TWO.fingerprint}",
                "possibly replaced since",
            ),
            (TokenKnowledge(PF, TokenState.UNKNOWN, suspects=(SUSPECT,)), "is not known here", "unknown: set before vfdeck looked"),
        ],
    )
    def test_each_is_told_for_what_it_is(self, known: TokenKnowledge, sentence: str, words: str) -> None:
        assert sentence in token_history(known)
        assert words in token_words(known)[0]

    def test_facts_and_tree_tell_it(self) -> None:
        known = replace(self.SET, confirmed=NOON + 30)
        seen = snapshot(*make_fleet(1), tokens=[known])
        told = [fact.value for section in function_facts(seen.functions[PF], seen) for fact in section.facts]
        assert any("1 min ago, confirmed 30 s ago" in text for text in told)
        doubtful = snapshot(*make_fleet(1), tokens=[replace(self.SET, state=TokenState.UNKNOWN)])
        assert f"token unknown (was #{ONE.fingerprint})" in "\n".join(to_text(doubtful))
