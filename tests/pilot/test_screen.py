"""The main screen: what it shows, where it puts it, and how one leaves."""

from __future__ import annotations

import asyncio
import dataclasses
import io
import os
import random
import subprocess
import sys
import threading
from pathlib import Path
from typing import get_args

import pytest
from rich.console import Console
from textual import constants

from tests import values
from tests.fake_host import NIC, NVME, FakeHost, done, small_fleet
from tests.pilot.driving import running
from tests.widgets.hostile import TEXTS, fleet, outcome
from vfdeck.app.commands.dashboard import show
from vfdeck.app.dashboard.actions import ACTIONS, BY_ID
from vfdeck.app.dashboard.app import DashboardApp, run
from vfdeck.backend.changes import Change
from vfdeck.backend.model import Job, JobState, Snapshot
from vfdeck.widgets.rows import RowId

VF = values.vf_address(NIC, 1)


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (250, 80), (60, 20), (40, 12), (20, 5), (1, 1)])
async def test_any_size_will_do(size: tuple[int, int]) -> None:
    async with running(size=size) as deck:
        for keys in ("down", "d", "d", "t", "escape", "question_mark", "escape", "v", "escape", "o", "escape", "b", "escape"):
            await deck.press(keys)
        small = size < (40, 12)
        assert ("at least 40 columns" in " ".join(deck.text.split())) == (small and size[0] > 10)


async def test_facts_stand_below_or_beside() -> None:
    for size, beside in (((80, 24), False), ((120, 40), True)):
        async with running(size=size) as deck:
            side, tree = deck.main.query_one("#side").region, deck.tree.region
            assert (side.x > tree.x) == beside
            assert (side.y > tree.y) != beside
            assert "autoprobe" in deck.text


async def test_details_take_the_whole_screen_and_give_it_back() -> None:
    async with running(size=(60, 14)) as deck:
        assert "8086:10c9" not in deck.text
        await deck.press("d")
        assert "token" in deck.text
        assert deck.tree.region.height == 0
        await deck.press("escape")
        assert deck.tree.has_focus
        await deck.press("down", "enter")
        assert deck.main.has_class("-details")
        await deck.press("d")
        assert not deck.main.has_class("-details")


async def test_news_arrive_by_themselves_and_the_cursor_stays() -> None:
    host = FakeHost()
    async with running(host, follow=True) as deck:
        await deck.press("end")
        host.replace(values.make_pf("0000:01:00.0"))
        await deck.until(lambda: "0000:01:00.0" in deck.text)
        assert deck.tree.row_id == RowId("fake", NVME)


async def test_r_looks_again() -> None:
    host = FakeHost()
    async with running(host) as deck:
        host.view = values.without(host.view, NVME)
        await deck.press("r")
        await deck.until(lambda: NVME not in deck.text)


async def test_a_job_of_the_host_shows_with_whom_it_waits_for() -> None:
    job = Job(1, "0 VFs on " + NIC, NIC, JobState.RUNNING, "writing", values.NOON, "qemu-system-x86 (4242)")
    async with running(FakeHost(dataclasses.replace(small_fleet(), jobs=(job,)))) as deck:
        assert deck.line == f"◔ 0 VFs on {NIC} · 1 min · waiting for qemu-system-x86 (4242)"
        assert "W waiting" in deck.text


@pytest.mark.parametrize(
    ("scanned", "said"),
    [
        (6, "and found none of them among 6 PCI functions."),
        (0, "and found no PCI function at all."),
        (None, "but its PCI functions could not be listed."),
    ],
)
async def test_without_hardware_it_says_among_how_many(scanned: int | None, said: str) -> None:
    async with running(FakeHost(values.snapshot(scanned=scanned, host={"simulated": False}), simulated=False)) as deck:
        assert said in deck.text


async def test_without_hardware_it_says_what_it_looked_for() -> None:
    bare = values.snapshot(values.make_plain(driver="e1000e"), host={"simulated": False})
    async with running(FakeHost(bare, simulated=False)) as deck:
        for expected in (
            "No SR-IOV hardware on demo",
            "sriov_totalvfs",
            "physfn",
            "none of them among 1 PCI function",
            "vfdeck demo",
        ):
            assert expected in deck.text
        assert "DEMO" not in deck.text
        await deck.press("t", "d", "p", "escape")
        await deck.press("q")


async def test_problems_can_be_read() -> None:
    async with running() as deck:
        assert "1 problem (p)" in deck.text
        await deck.press("p")
        assert "sriov_stride" in deck.page
        assert "expected a whole number" in deck.page
    async with running(FakeHost(values.snapshot(*values.make_fleet()))) as deck:
        await deck.press("p")
        assert "everything could be read" in deck.page


async def test_help_comes_from_the_registry() -> None:
    async with running() as deck:
        await deck.press("question_mark")
        for action in ACTIONS:
            assert (action.title in deck.page) is not action.on_tour
        assert "R ready" in deck.page
        await deck.press("q")
        assert deck.dialog == ""


async def test_the_palette_does_what_it_says() -> None:
    host = FakeHost()
    async with running(host) as deck:
        await deck.press("ctrl+p")
        await deck.until(lambda: "Set the PF's VF token" in deck.text)
        await deck.press(*"number")
        await deck.until(lambda: "Turn VFs on or off" in deck.text and "Set the PF's" not in deck.text)
        await deck.press("enter")
        await deck.until(lambda: deck.dialog == "NumvfsDialog")


@pytest.mark.parametrize("text", TEXTS)
async def test_foreign_text_goes_through_every_screen_unharmed(text: str) -> None:
    host = FakeHost(fleet(text))
    host.name = host.view.host.name
    host.script = lambda change: outcome(change, text)
    host.plans = {type(None): {}}
    async with running(host, size=(120, 40)) as deck:
        for keys in (
            ("t", "escape"),
            ("v", "1", "escape"),
            ("b", "escape"),
            ("down", "o", "escape"),
            ("p", "escape"),
            ("home", "d", "d"),
            ("ctrl+p", "escape"),
            ("down", "down", "u", "y"),
        ):
            await deck.press(*keys)
        await deck.until(lambda: deck.dialog == "Page")
        assert text[:20].rstrip() in deck.page
        await deck.press("escape")
        assert deck.app.is_running


async def test_clicking_a_key_does_its_action() -> None:
    async with running() as deck:
        await deck.pilot.click("KeyBar", offset=(2, 0))
        assert deck.dialog == "TokenDialog"


async def test_several_hosts_hang_below_each_other() -> None:
    async with running(FakeHost(small_fleet("a")), FakeHost(small_fleet("b"))) as deck:
        assert "2 hosts" in deck.text
        await deck.press("end", "u", "y")
        second = deck.app.hosts[1]
        assert isinstance(second, FakeHost)
        await deck.until(lambda: second.performed)


async def test_a_failing_host_is_a_problem_and_not_the_end() -> None:
    class Failing(FakeHost):
        """Breaks its promise never to raise."""

        broken = False

        def snapshot(self) -> Snapshot:
            if self.broken:
                raise RuntimeError("secret")
            return super().snapshot()

    host = Failing()
    async with running(host) as deck:
        host.broken = True
        await deck.press("r")
        await deck.until(lambda: "RuntimeError while looking" in deck.line)
        await deck.press("p")
        assert "RuntimeError" in deck.page
        assert "secret" not in deck.text


async def test_quitting_does_not_wait_for_the_kernel() -> None:
    host = FakeHost()
    host.gate.clear()
    async with running(host) as deck:
        await deck.press("u", "y")
        await deck.until(lambda: host.performed)
        await deck.press("q", "y")
        await deck.until(lambda: not deck.app.is_running)
    assert all(thread.daemon for thread in threading.enumerate() if thread.name.startswith(("changes", "feed", "look")))
    host.gate.set()


async def test_a_crash_shows_no_values() -> None:
    app = DashboardApp([FakeHost()])
    said = io.StringIO()
    app.error_console = Console(file=said, width=200)
    secret = "9e3b1d52-7c41-4f0a-8a6e-2f5b8c1d9e07"

    def crash() -> None:
        token = "-".join(secret.split("-"))
        raise RuntimeError(f"a bug{token[:0]}")

    async def until_it_crashes() -> None:
        async with app.run_test() as pilot:
            app.call_later(crash)
            await pilot.pause()

    with pytest.raises(RuntimeError, match="a bug"):
        await until_it_crashes()
    assert "a bug" in said.getvalue()
    assert "9e3b1d52-7c41" not in said.getvalue().replace(f'secret = "{secret}"', "")


@pytest.mark.parametrize("simulated", [True, False])
async def test_no_log_of_textual_gets_a_token(simulated: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, secret = tmp_path / "log", "9e3b1d52-7c41-4f0a-8a6e-2f5b8c1d9e07"
    log.touch()
    monkeypatch.setenv("TEXTUAL_LOG", str(log))
    monkeypatch.setenv("TEXTUAL", "devtools,debug")
    monkeypatch.setattr(constants, "LOG_FILE", str(log))
    async with running(FakeHost(simulated=simulated)) as deck:
        await deck.press("t", *secret, "tab")
        assert "✓ a UUID" in deck.text
        assert "devtools" not in deck.app.features
    assert log.read_text() == ""
    assert "TEXTUAL_LOG" not in os.environ


async def test_a_host_is_known_by_its_own_name_whatever_its_snapshots_say() -> None:
    host = FakeHost(small_fleet(""))
    host.name = "this host"
    async with running(host) as deck:
        assert "this host" in deck.text
        await deck.press("v", "8", "enter", "y")
        await deck.until(lambda: host.performed)
        assert [s.host.name for s in deck.main.fleet.snapshots] == ["this host"]


def test_a_host_is_closed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setattr(DashboardApp, "run", lambda self, **_: None)
    host = FakeHost()
    assert run([host]) == 0
    assert host.closed == 0
    assert show([host]) == 0
    assert host.closed == 1


def test_without_a_terminal_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([FakeHost()]) == 64
    assert "needs a terminal" in capsys.readouterr().err


def test_actions_have_one_key_each() -> None:
    keys = [key for action in ACTIONS for key in action.keys.split(",")]
    assert len(keys) == len(set(keys))
    assert set(BY_ID) == {action.id for action in ACTIONS}


@pytest.mark.parametrize("key", ["u", "t", "v", "b", "o"])
async def test_keys_may_come_faster_than_dialogs(key: str) -> None:
    """Keys that were typed ahead meet a dialog before its widgets are there, or after they have gone."""
    hasty = ["enter", "up", "y", "g", "space", "escape", "enter", "down", "t", "v"]
    async with running() as deck:
        await deck.press("down" if key == "o" else "home")
        for turns in range(len(hasty)):
            deck.app.simulate_key(key)
            for _ in range(turns * 2):
                await asyncio.sleep(0)
            for number in range(3):
                deck.app.simulate_key(hasty[(turns + number) % len(hasty)])
            await deck.pilot.pause()
            assert len(deck.app.screen_stack) <= 2
            await deck.press("escape", "escape")
            assert deck.dialog == ""


@pytest.mark.parametrize("seed", range(4))
async def test_random_keys_change_nothing_unconfirmed(seed: int) -> None:
    """No `Y`, and no Tab to the button that does it."""
    host = FakeHost(dataclasses.replace(small_fleet(), holders=(values.own_holder(VF),)))
    host.script = done
    host.plans = {kind: {"destructive": True} for kind in get_args(Change)}
    keys = [
        *"tvbuuuocarwdepgy1",
        *("slash", "f", "s", "m", "n", "N", "right_square_bracket", "left_curly_bracket", "backspace"),
        *("minus", "plus", "left", "right", "up", "down", "enter", "escape", "escape", "home", "end", "space", "question_mark"),
    ]
    chance = random.Random(seed)
    async with running(host) as deck:
        for _ in range(200):
            deck.app.simulate_key(chance.choice(keys))
            for _ in range(chance.choice((0, 0, 0, 1, 2, 3, 5, 8, 13))):
                await asyncio.sleep(0)
            if chance.random() < 0.1:
                await deck.pilot.pause()
        await deck.pilot.pause()
        assert deck.app.is_running
        assert host.planned
        assert host.performed == []


def test_the_registry_can_be_read_without_textual() -> None:
    code = "import sys, vfdeck.app.dashboard.actions, vfdeck.app.dashboard; assert 'textual' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
