"""What is told and written down of a token that was to be set: never more than the kernel's answer shows."""

from __future__ import annotations

import argparse
import errno
import os
from pathlib import Path
from typing import Any

import pytest

from tests.unit.test_knowledge import IDLE, IDLE_VF, ONE, TWO, Deck
from vfdeck.app.cli import main
from vfdeck.app.commands import changing, hosts
from vfdeck.backend.changes import Open, Outcome, SetToken, VerifyToken
from vfdeck.backend.entries import Event, parse
from vfdeck.backend.journal import FILE, Journal
from vfdeck.backend.kernel import Stage
from vfdeck.backend.lessons import may_have_set
from vfdeck.backend.model import TokenState
from vfdeck.backend.perform import Performer
from vfdeck.backend.sim.machine import Machine
from vfdeck.backend.sim.scenario import load
from vfdeck.backend.state_folder import StateFolder
from vfdeck.backend.verify import Verdict


@pytest.fixture
def machine() -> Machine:
    return load("default", 1).scenario.machine


@pytest.fixture
def deck(machine: Machine, tmp_path: Path) -> Deck:
    deck = Deck(machine, tmp_path)
    assert deck.perform(SetToken(IDLE, ONE)).ok
    return deck


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENODEV, errno.EBUSY, errno.EAGAIN])
def test_a_pf_whose_open_failed_after_the_judgement(deck: Deck, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the function cannot be enabled: the kernel has replaced the token before."""
    judge = deck.kernel.get_device_fd

    def fails(group: int, argument: bytes) -> int:
        deck.kernel.close(judge(group, argument))
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(deck.kernel, "get_device_fd", fails)
        outcome = deck.perform(SetToken(IDLE, TWO))
    assert (outcome.errno, outcome.stage) == (number, Stage.GET_DEVICE_FD)
    assert may_have_set(outcome)
    assert deck.known().state is TokenState.UNKNOWN
    assert deck.perform(VerifyToken(IDLE_VF, TWO)).verified


def test_a_close_that_fails_after_the_open(deck: Deck, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: Performer, act: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(Performer, "_close", fails)
        outcome = deck.perform(SetToken(IDLE, TWO))
    assert not outcome.ok
    assert may_have_set(outcome)
    assert deck.known().state is TokenState.UNKNOWN


@pytest.mark.parametrize(
    ("outcome", "may"),
    [
        ((0, None, {"verified": True}), True),
        ((0, None, {}), True),
        ((0, None, {"verified": False}), False),
        ((0, None, {"blocked": True}), True),
        ((0, None, {"attempted": False}), False),
        ((errno.EACCES, Stage.GET_DEVICE_FD, {}), False),
        ((errno.EINVAL, Stage.GET_DEVICE_FD, {}), True),
        ((errno.EACCES, Stage.BIND_IOMMUFD, {}), False),
        ((errno.EBUSY, Stage.BIND_IOMMUFD, {}), True),
        ((errno.EBUSY, Stage.OPEN_GROUP, {}), False),
        ((errno.EPERM, Stage.BORROW, {}), False),
        ((errno.EIO, Stage.FILE, {"done": ("open",)}), True),
    ],
)
def test_whether_a_token_may_be_in_force(outcome: tuple[int, Stage | None, dict[str, Any]], may: bool) -> None:
    number, stage, more = outcome
    assert may_have_set(Outcome(SetToken(IDLE, ONE), number, stage, **more)) is may


def test_an_open_of_a_pf_with_vfs_in_use_only_compares(deck: Deck, tmp_path: Path) -> None:
    assert deck.perform(Open(IDLE_VF, ONE, hold=True)).ok
    before = deck.known()
    assert deck.perform(Open(IDLE, ONE)).ok
    assert (deck.known().since, deck.known().fingerprint) == (before.since, ONE.fingerprint)
    written = [parse(line).event for line in (tmp_path / "vfdeck" / FILE).read_bytes().splitlines()]
    assert written[-1] is Event.CONFIRMED
    assert written.count(Event.SET) == 1


def test_two_operators_at_once(deck: Deck, machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one who came later wins; the other one is told, though its open went well."""
    other = Deck(machine, tmp_path, "bob")
    close = Performer._close
    outcomes: list[Outcome | None] = []

    def close_and_yield(performer: Performer, act: Any) -> None:
        close(performer, act)
        if not outcomes:
            outcomes.append(None)
            outcomes[0] = other.perform(SetToken(IDLE, TWO))

    monkeypatch.setattr(Performer, "_close", close_and_yield)
    mine = deck.perform(SetToken(IDLE, ONE))
    assert (mine.ok, mine.verified) == (True, False)
    assert outcomes[0] is not None
    assert outcomes[0].verified is True
    assert other.perform(VerifyToken(IDLE_VF, TWO)).verified


@pytest.fixture
def remembering(monkeypatch: pytest.MonkeyPatch, machine: Machine, tmp_path: Path) -> Deck:
    """The simulated host of the commands, with a memory as of a real one."""
    deck = Deck(machine, tmp_path / "state")
    monkeypatch.setattr(hosts, "simulated", lambda name, seed: deck)
    return deck


@pytest.mark.parametrize("event", [Event.BEGUN, Event.SET])
def test_a_rival_in_the_journal_is_told(
    remembering: Deck, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], event: Event
) -> None:
    deck = remembering
    assert deck._memory is not None
    mine = deck._memory.journal
    other = Journal(StateFolder(str(tmp_path / "state" / "vfdeck")), mine.boot, mine.machine, lambda: "bob")

    def meanwhile(_: Performer, act: Any) -> Verdict:
        for what in dict.fromkeys((Event.BEGUN, event)):
            other.note(what, IDLE, TWO.fingerprint, deck.kernel.clock(), deck.kernel.binding(IDLE))
        return Verdict(None, "somebody has the VF open")

    monkeypatch.setattr(Performer, "_ask", meanwhile)
    status = main(("token", "rotate", IDLE, "--out", str(tmp_path / "new"), "--yes", "--demo"))
    told = " ".join(capsys.readouterr().out.split())
    assert status == 75
    assert "another vfdeck" in told
    assert f"#{TWO.fingerprint}" in told
    assert "is the token of" not in told
    assert (tmp_path / "new").exists()


def test_what_is_not_written_down_is_said(
    remembering: Deck, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(fd: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("vfdeck.backend.state_folder.os.fsync", full)
    monkeypatch.setattr("vfdeck.app.token_delivery.os", argparse.Namespace(**{**vars(os), "fsync": lambda fd: None}))
    assert main(("token", "rotate", IDLE, "--out", str(tmp_path / "new"), "--yes", "--demo")) == 0
    told = capsys.readouterr().err
    assert "tokens.jsonl: No space left on device" in told
    assert "audit.jsonl: No space left on device" in told


def test_an_interrupt_while_it_is_set_says_what_may_be(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Performer, "perform", interrupted)
    out = tmp_path / "new"
    assert main(("token", "rotate", IDLE, "--out", str(out), "--yes", "--demo")) == 130
    told = capsys.readouterr().err
    assert "may be in force; keep it: written to" in told
    assert str(out) in told
    assert out.read_text().strip() not in told
    assert out.exists()


def test_an_interrupt_at_the_question_says_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(changing, "demand_somebody", lambda: None)
    monkeypatch.setattr(changing, "_discard_typed", interrupted)
    assert main(("token", "rotate", IDLE, "--out", str(tmp_path / "new"), "--demo")) == 130
    assert "may be in force" not in capsys.readouterr().err
