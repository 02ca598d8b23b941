"""Settings in the dashboard: how it begins, which keys do what, and what is said of a file with faults."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fake_host import FakeHost
from tests.pilot.driving import running
from vfdeck.app.dashboard.actions import ACTIONS
from vfdeck.app.dashboard.app import DashboardApp, run
from vfdeck.app.settings import understand
from vfdeck.widgets.bars import KeyBar


async def test_it_begins_with_order_and_filter() -> None:
    async with running(reading=understand('sort = "users"\nfilter = "driver:vfio-pci"\n', "S")) as deck:
        await deck.until(lambda: "filter driver:vfio-pci" in deck.text)
        assert "user↓" in deck.text
        assert deck.tree.rows.matched < deck.tree.rows.total
        await deck.press("escape")
        assert "filter driver" not in deck.text
        assert deck.line == ""


async def test_a_column_is_left_out() -> None:
    async with running(size=(160, 30)) as deck:
        assert " group " in deck.text.splitlines()[1]
    async with running(size=(160, 30), reading=understand("hide = ['group']", "S")) as deck:
        assert " group " not in deck.text.splitlines()[1]


async def test_other_keys_do_the_same_and_the_old_ones_nothing() -> None:
    reading = understand('[keys]\ntoken = ["f2", "B"]\nhelp = "x"\nvfs = "t"\n', "S")
    assert reading.faults == ()
    async with running(reading=reading) as deck:
        for key in ("f2", "B"):
            await deck.press(key)
            assert deck.dialog == "TokenDialog"
            await deck.press("escape")
        await deck.press("t")
        assert deck.dialog == "NumvfsDialog"
        await deck.press("escape", "v")
        assert deck.dialog == ""
        assert deck.line == "v does nothing here; x lists the keys"
        await deck.press("question_mark")
        assert deck.dialog == ""


async def test_keys_in_force_are_shown_everywhere() -> None:
    reading = understand('[keys]\ntoken = "f2"\nhelp = "x"\n', "S")
    async with running(reading=reading, size=(160, 40)) as deck:
        bar = str(deck.main.query_one(KeyBar).render())
        assert "f2 Token" in bar
        assert "x Help" in bar
        await deck.press("x")
        page = " ".join(deck.page.split())
        assert "f2 Set the PF" in page or "f2: Set the PF" in page, page[:300]
        assert "? Keys and letters" not in page
        await deck.press("escape", "ctrl+p", "t", "o", "k", "e", "n")
        await deck.until(lambda: "[f2]" in deck.text)


async def test_every_action_can_have_another_key() -> None:
    """Textual takes all of them at once, and none of its own binding gets in the way."""
    names = [f"f{number}" for number in range(1, 25)] + [f"ctrl+{char}" for char in "abdefghijklmnoprstuvwxz"]
    chosen = dict(zip((action.id for action in ACTIONS), names, strict=False))
    assert len(chosen) == len(ACTIONS)
    reading = understand("[keys]\n" + "".join(f'{action} = "{key}"\n' for action, key in chosen.items()), "S")
    assert reading.faults == ()
    async with running(reading=reading) as deck:
        found = {key: active.binding.action for key, active in deck.main.active_bindings.items()}
        assert {found.get(key) for key in chosen.values()} == {f"act('{action}')" for action in chosen}
        assert not {"t", "v", "q", "question_mark"} & set(found)


async def test_faults_are_told_in_a_line_and_on_a_page() -> None:
    reading = understand('theme = "drak"\n[keys]\nproblems = "F"\nquit = "y"\n', "/c/settings.toml")
    async with running(reading=reading) as deck:
        assert deck.line == "2 faults in the settings; F tells"
        await deck.press("F")
        assert deck.dialog == "Page"
        assert "/c/settings.toml:1: theme: 'drak'" in deck.page.replace("\n", " ")
        assert "keys.quit" in deck.page
        await deck.press("escape", "q")


async def test_a_foreign_text_in_a_fault_is_no_markup() -> None:
    async with running(reading=understand('"[red]x[/red]" = 1\n', "[bold]")) as deck:
        await deck.press("p")
        assert "[bold]:1: [red]x[/red]: no such setting" in deck.page


def test_the_file_counts_where_the_dashboard_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "vfdeck").mkdir()
    (tmp_path / "vfdeck" / "settings.toml").write_text('theme = "light"\nmouse = false\ninterval = 7\n')
    begun: list[tuple[str, bool, float]] = []
    for name, value in {"XDG_CONFIG_HOME": str(tmp_path), "TERM": "xterm-256color"}.items():
        monkeypatch.setenv(name, value)
    for stream in ("stdin", "stdout"):
        monkeypatch.setattr(f"sys.{stream}.isatty", lambda: True, raising=False)
    monkeypatch.setattr(DashboardApp, "run", lambda self, *, mouse: begun.append((self.theme, mouse, self._interval)))
    assert run([FakeHost()]) == 0
    assert run([FakeHost()], theme="colour-blind") == 0
    monkeypatch.setenv("TERM", "linux")
    monkeypatch.delenv("COLORTERM", raising=False)
    assert run([FakeHost()]) == 0
    assert begun == [("light", False, 7.0), ("colour-blind", False, 7.0), ("ansi-dark", False, 7.0)]
