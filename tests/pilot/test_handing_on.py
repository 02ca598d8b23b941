"""A token is handed on from the dashboard: to a file, or to a program; and taken back where it is not set after all."""

from __future__ import annotations

import dataclasses
import errno
import os
import stat
import threading
from pathlib import Path

import pytest

from tests.fake_host import NIC, FakeHost, done, refused, small_fleet
from tests.pilot.driving import Deck, running
from tests.pilot.test_many import OTHER, two_pfs
from vfdeck.app import token_delivery
from vfdeck.app.dashboard.dialogs.hand_on import HandOnDialog
from vfdeck.app.unattended import Unattended
from vfdeck.backend.changes import Change, Outcome, Plan, SetAutoprobe, SetToken, target_of
from vfdeck.backend.kernel import Stage
from vfdeck.widgets.token_field import TokenField


async def begun(deck: Deck, key: str = "T") -> str:
    """Open the token's dialog and the one that hands it on; the answer is the token's text."""
    await deck.press(key, *(() if key == "T" else ("g",)))
    assert deck.dialog == "TokenDialog"
    token = deck.app.screen.query_one(TokenField).token
    await deck.press("ctrl+o")
    assert deck.dialog == "HandOnDialog"
    return token.reveal_text() if token is not None else ""


async def settled(deck: Deck) -> None:
    """Until what is being handed on has been, or not."""
    await deck.until(lambda: not (isinstance(deck.app.screen, HandOnDialog) and deck.app.screen.is_busy))


async def to_file(deck: Deck, path: Path, key: str = "T") -> str:
    """Make a token and write it to a file; back in the token's dialog, the answer is the token's text."""
    token = await begun(deck, key)
    await deck.paste(str(path))
    await deck.press("enter")
    await deck.until(lambda: deck.dialog == "TokenDialog")
    return token


async def agreed(deck: Deck) -> None:
    """Accept token and plan."""
    await deck.press("enter")
    await deck.until(lambda: deck.dialog == "ConfirmDialog")
    await deck.press("y")


def said(deck: Deck) -> str:
    """Everything on the terminal, as one line."""
    return " ".join(deck.text.replace("│", " ").split())


async def test_to_a_file_before_it_is_set(tmp_path: Path) -> None:
    host, path = FakeHost(), tmp_path / "t"
    host.script = done
    async with running(host) as deck:
        token = await to_file(deck, path)
        assert path.read_text() == f"{token}\n"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert host.performed == []
        assert "written to" in said(deck)
        assert "nobody has seen" not in said(deck)
        await agreed(deck)
        await deck.until(lambda: deck.line.startswith("✓"))
        assert "written to" in deck.line
        await deck.press("e")
        assert f"written to {path}" in " ".join(deck.page.split())
        assert path.exists()
        await deck.press("escape", "q")  # somebody has it: nothing to ask
        await deck.until(lambda: not deck.app.is_running)


async def test_to_a_program_which_gets_no_terminal(tmp_path: Path) -> None:
    host, path = FakeHost(), tmp_path / "t"
    host.script = done
    async with running(host) as deck:
        token = await begun(deck)
        await deck.press("down")
        await deck.paste(f"sh -c 'cat >{path}; echo noise; (: </dev/tty) 2>/dev/null && echo tty >>{path}; true'")
        await deck.press("enter")
        await deck.until(lambda: deck.dialog == "TokenDialog")
        assert path.read_text() == f"{token}\n"
        await deck.until(lambda: "handed to sh" in said(deck))
        await agreed(deck)
        await deck.until(lambda: deck.line.startswith("✓"))
        assert "handed to sh" in deck.line


@pytest.mark.parametrize("after", [("escape",), ("enter", "escape")], ids=["dialog cancelled", "plan declined"])
async def test_what_is_not_set_is_taken_back(after: tuple[str, ...], tmp_path: Path) -> None:
    host, path = FakeHost(), tmp_path / "t"
    async with running(host) as deck:
        await to_file(deck, path)
        await deck.press(*after)
        await deck.until(lambda: not path.exists())
        await deck.until(lambda: "was removed again" in deck.line)
        assert "Nothing was set" in deck.line
        assert host.performed == []


async def test_a_refused_one_is_taken_back_and_the_page_says_so(tmp_path: Path) -> None:
    host, path = FakeHost(), tmp_path / "t"
    host.script = lambda change: Outcome(change, errno.EINVAL, Stage.FEATURE, NIC)
    async with running(host) as deck:
        await to_file(deck, path)
        await agreed(deck)
        await deck.until(lambda: deck.dialog == "Page")
        assert "was removed again" in " ".join(deck.page.split())
        assert not path.exists()


async def test_one_that_may_be_in_force_stays_where_it_is(tmp_path: Path) -> None:
    host, path = FakeHost(), tmp_path / "t"
    host.script = lambda change: dataclasses.replace(refused(change), stage=Stage.FILE)
    async with running(host) as deck:
        token = await to_file(deck, path)
        await agreed(deck)
        await deck.until(lambda: deck.dialog == "Page")
        assert "may be in force all the same: keep it" in " ".join(deck.page.split())
        assert f"written to {path}" in " ".join(deck.page.split())
        assert path.read_text() == f"{token}\n"


async def test_another_change_that_comes_back_takes_nothing_out_of_an_open_dialog(tmp_path: Path) -> None:
    host, path = FakeHost(two_pfs()), tmp_path / "t"
    host.script = done
    host.gate.clear()
    async with running(host) as deck:
        await deck.press("down")
        other = SetAutoprobe(OTHER, False)
        deck.main._results.perform(host, other, Plan(other, "autoprobe off"))
        token = await to_file(deck, path)
        host.gate.set()
        await deck.until(lambda: "autoprobe off" in deck.line)
        assert path.read_text() == f"{token}\n"
        await agreed(deck)
        await deck.until(lambda: len(host.performed) == 2)
        await deck.until(lambda: "written to" in deck.line)
        assert path.read_text() == f"{token}\n"


async def test_a_fault_of_the_delivery_is_a_line_and_no_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def faulty(*_: object) -> str:
        raise RuntimeError("odd")

    monkeypatch.setattr("vfdeck.app.token_delivery._File.deliver", faulty)
    async with running(FakeHost(), size=(140, 40)) as deck:
        await begun(deck)
        await deck.paste(str(tmp_path / "t"))
        await deck.press("enter")
        await settled(deck)
        assert "handing it on failed (RuntimeError): whether anybody has it is not known" in said(deck)
        assert deck.dialog == "HandOnDialog"


async def test_only_the_token_that_is_set_stays(tmp_path: Path) -> None:
    host = FakeHost()
    host.script = done
    async with running(host) as deck:
        await to_file(deck, tmp_path / "first")
        await deck.press("g", "ctrl+o")
        await deck.paste(str(tmp_path / "second"))
        await deck.press("enter")
        await deck.until(lambda: deck.dialog == "TokenDialog")
        await agreed(deck)
        await deck.until(lambda: not (tmp_path / "first").exists())
        change = host.performed[0]
        assert isinstance(change, SetToken)
        assert (tmp_path / "second").read_text() == f"{change.token.reveal_text()}\n"


async def test_a_changed_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "t"
    async with running(FakeHost()) as deck:
        await to_file(deck, path)
        path.write_text("mine\n")
        await deck.press("escape")
        await deck.until(lambda: "was not removed" in deck.line)
        assert path.read_text() == "mine\n"


@pytest.mark.parametrize(
    ("path", "command", "what"),
    [
        ("", "", "nothing typed yet"),
        ("x", "cat", "expected one of them"),
        ("{}/there", "", "File exists; expected the name of a new file"),
        ("{}/no/such", "", "No such file or directory"),
        ("", "/no/such/program", "there is no such program"),
        ("", "'", "no closing quotation"),
        ("", "false", "false exited with status 1"),
        ("", "sh -c 'printf \"\\033[31mno [bold]key[/]\" >&2; exit 2'", "said: ␛[31mno [bold]key[/]"),
        ("", "true", "without reading the token"),
        ("", "echo {token}", "the token itself is in it"),
    ],
)
async def test_a_fault_is_one_line_and_nothing_is_lost(path: str, command: str, what: str, tmp_path: Path) -> None:
    (tmp_path / "there").write_text("precious")
    async with running(FakeHost(), size=(140, 40)) as deck:
        token = await begun(deck)
        if path:
            await deck.paste(path.format(tmp_path))
        if command:
            await deck.press("down")
            await deck.paste(command.replace("{token}", token.upper()))
        await deck.press("enter")
        await settled(deck)
        assert what in said(deck)
        assert deck.dialog == "HandOnDialog"
        assert (tmp_path / "there").read_text() == "precious"
        await deck.press("escape")
        field = deck.app.screen.query_one(TokenField)
        assert field.token is not None
        assert field.token.reveal_text() == token
        assert field.unseen


async def test_a_program_is_given_up_and_the_screen_lives_on(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "begun")
    async with running(FakeHost()) as deck:
        await begun(deck)
        await deck.press("down")
        await deck.paste(f"sh -c 'echo $$ >{tmp_path}/begun; exec sleep 1000'")
        await deck.hit("enter")
        with open(tmp_path / "begun") as fifo:
            pid = int(fifo.read())
        assert "Esc gives it up" in deck.text
        await deck.hit("enter")  # once is enough
        await deck.hit("escape")
        await settled(deck)
        assert "was given up" in said(deck)
        assert deck.dialog == "HandOnDialog"
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
        await deck.press("escape")
        assert deck.dialog == "TokenDialog"


async def test_a_program_has_only_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vfdeck.app.dashboard.dialogs.hand_on.Unattended", lambda: Unattended(0.1))
    async with running(FakeHost()) as deck:
        await begun(deck)
        await deck.press("down")
        await deck.paste("sleep 1000")
        await deck.press("enter")
        await settled(deck)
        assert "did not end within 0.1 s" in said(deck)


async def test_one_that_may_be_in_force_can_be_written_later(tmp_path: Path) -> None:
    host, path = FakeHost(), tmp_path / "t"
    host.script = lambda change: Outcome(change, errno.EIO, Stage.FILE, NIC)
    async with running(host) as deck:
        await deck.press("T", "enter", "enter")
        await deck.until(lambda: deck.dialog == "ConfirmDialog")
        await deck.press("y")
        await deck.until(lambda: deck.dialog == "Page")
        assert "may be in force all the same" in " ".join(deck.page.split())
        await deck.press("escape", "q")
        assert deck.dialog == "LeaveDialog"
        assert "possibly in force" in " ".join(deck.page.split())
        await deck.press("escape", "t")
        assert "Show the one that may be in force" in deck.text
        await deck.press("ctrl+o")
        assert "may be in force" in deck.text
        await deck.paste(str(path))
        await deck.press("enter")
        await deck.until(lambda: deck.dialog == "TokenDialog")
        change = host.performed[0]
        assert isinstance(change, SetToken)
        assert path.read_text() == f"{change.token.reveal_text()}\n"
        await deck.press("escape", "q")
        await deck.until(lambda: not deck.app.is_running)
        assert path.exists()


async def test_one_that_is_being_set_is_named_when_leaving() -> None:
    host = FakeHost()
    host.gate.clear()
    async with running(host) as deck:
        await deck.press("T", "enter", "enter")
        await deck.until(lambda: deck.dialog == "ConfirmDialog")
        await deck.press("y")
        await deck.until(lambda: host.performed)
        change = host.performed[0]
        assert isinstance(change, SetToken)
        await deck.press("q")
        assert deck.dialog == "LeaveDialog"
        assert f"#{change.token.fingerprint} of {NIC}, possibly in force" in " ".join(deck.page.split())
        await deck.press("escape", "t", "ctrl+t")
        assert change.token.reveal_text() in deck.text
        host.gate.set()


async def test_of_a_simulated_host_it_is_said_that_the_file_is_real() -> None:
    host = FakeHost(small_fleet())
    async with running(host) as deck:
        await begun(deck)
        assert ("The host is simulated; the file or the program is not." in said(deck)) == host.view.host.simulated


async def test_a_batch_names_an_unseen_token() -> None:
    host = FakeHost(two_pfs())
    host.script = done
    async with running(host) as deck:
        await deck.press("m", "J", "m", "t", "g", "enter", "enter")
        await deck.until(lambda: deck.dialog == "ConfirmDialog")
        assert said(deck).count("only this vfdeck will know it") == 1
        await deck.press("y")
        await deck.until(lambda: "2 done" in deck.line)
        await deck.press("q")
        assert " ".join(deck.page.split()).count(" of 0000:") == 2


@pytest.mark.parametrize("takers", [{NIC}, set()], ids=["one PF took it", "no PF took it"])
async def test_a_batch_keeps_the_file_where_one_took_the_token(takers: set[str], tmp_path: Path) -> None:
    host, path = FakeHost(two_pfs()), tmp_path / "t"

    def answer(change: Change) -> Outcome:
        bdf = target_of(change)
        return done(change) if bdf in takers else Outcome(change, errno.EINVAL, Stage.FEATURE, bdf)

    host.script = answer
    async with running(host) as deck:
        await deck.press("m", "J", "m")
        await to_file(deck, path, "t")
        await agreed(deck)
        await deck.until(lambda: deck.dialog == "Page")
        assert path.exists() == bool(takers)
        assert (f"written to {path}" if takers else "was removed again") in " ".join(deck.page.split())


async def test_a_file_system_that_does_not_answer_holds_up_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, path = threading.Event(), tmp_path / "t"
    make = token_delivery.to_file

    def slow(where: str, so: str) -> token_delivery.Delivery:
        gate.wait()
        return make(where, so)

    monkeypatch.setattr("vfdeck.app.token_delivery.to_file", slow)
    monkeypatch.setattr("vfdeck.app.dashboard.dialogs.hand_on.PATIENCE", 0.01)
    async with running(FakeHost()) as deck:
        await begun(deck)
        await deck.paste(str(path))
        await deck.hit("enter", "escape")
        await settled(deck)
        assert "does not answer" in said(deck)
        await deck.press("escape", "escape")
        assert deck.dialog == ""
        taken = threading.Event()
        withdraw = token_delivery._File.withdraw

        def after(file: token_delivery._File) -> str:
            told = withdraw(file)
            taken.set()
            return told

        monkeypatch.setattr("vfdeck.app.token_delivery._File.withdraw", after)
        gate.set()
        await deck.until(taken.is_set)
        assert not path.exists()
