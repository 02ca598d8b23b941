"""Settings in the dashboard: how it begins, which keys do what, and what is said of a file with faults."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fake_host import NIC, FakeHost
from tests.pilot.driving import running
from vfdeck.app.dashboard.actions import ACTIONS
from vfdeck.app.dashboard.app import DashboardApp, run
from vfdeck.app.settings import understand
from vfdeck.backend.changes import UnbindDriver
from vfdeck.widgets.bars import KeyBar
from vfdeck.widgets.panel_view import PanelView
from vfdeck.widgets.section_view import SectionView


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
    reading = understand('[keys]\ntoken = ["f2", "B"]\nhelp = "i"\nvfs = "t"\n', "S")
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
        assert deck.line == "v does nothing here; i lists the keys"
        await deck.press("question_mark")
        assert deck.dialog == ""


async def test_keys_in_force_are_shown_everywhere() -> None:
    reading = understand('[keys]\ntoken = "f2"\nhelp = "i"\n', "S")
    async with running(reading=reading, size=(160, 40)) as deck:
        bar = str(deck.main.query_one(KeyBar).render())
        assert "f2 Token" in bar
        assert "i Help" in bar
        await deck.press("i")
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


async def test_columns_are_as_they_were_listed() -> None:
    async with running(size=(160, 30), reading=understand("columns = ['numa', 'token', 'state']", "S")) as deck:
        head = deck.text.splitlines()[1]
        assert head.split()[:4] == ["function", "NUMA", "token", "state"], head
        assert "driver" not in head


@pytest.mark.parametrize(
    ("details", "width", "beside", "shown"),
    [
        ("auto", 109, False, True),
        ("auto", 110, True, True),
        ("beside", 79, False, True),
        ("beside", 80, True, True),
        ("below", 200, False, True),
        ("hidden", 200, False, False),
    ],
)
async def test_the_panel_stands_where_it_is_wanted(details: str, width: int, beside: bool, shown: bool) -> None:
    async with running(size=(width, 40), reading=understand(f"details = '{details}'", "S")) as deck:
        panel = deck.main.query_one(PanelView)
        assert panel.is_on_screen == shown
        if shown:
            assert (panel.region.x > deck.tree.region.x) == beside
            assert panel.size.height >= 8
        await deck.press("1")
        assert panel.is_on_screen
        await deck.press("escape")
        assert panel.is_on_screen == shown
        assert deck.tree.has_focus


async def test_keys_of_a_keymap_move_scroll_and_leave() -> None:
    async with running(reading=understand('keymap = "emacs"', "S")) as deck:
        await deck.press("home")
        first = deck.tree.row_id
        await deck.press("ctrl+n")
        assert deck.tree.row_id != first
        await deck.press("ctrl+p")
        assert deck.dialog == ""
        assert deck.tree.row_id == first
        await deck.press("alt+e")
        assert deck.tree.cursor == len(deck.tree.rows) - 1
        await deck.press("question_mark")
        view = deck.app.screen.query_one(SectionView)
        await deck.press("ctrl+n", "ctrl+n")
        await deck.until(lambda: view.scroll_offset.y == 2)
        await deck.press("ctrl+g")
        assert deck.dialog == ""
        await deck.press("ctrl+s", "v", "ctrl+g")
        assert deck.tree.has_focus
        await deck.press("alt+x")
        assert type(deck.app.screen).__name__ == "CommandPalette"


async def test_help_tells_the_keymaps_own_moves() -> None:
    async with running(reading=understand('keymap = "vim"', "S")) as deck:
        await deck.press("question_mark")
        page = " ".join(deck.page.split())
        assert "ctrl+f ctrl+d a page down" in page
        assert "keymap vim" in page


async def test_u_takes_back_and_does_not_unbind_with_the_keymap_vim() -> None:
    async with running(reading=understand('keymap = "vim"', "S")) as deck:
        await deck.press("u")
        assert deck.dialog == ""
        assert "Undo:" in deck.line
        await deck.press("U")
        assert deck.dialog == "ConfirmDialog"


async def test_consent_is_typed_for_everything_where_that_is_wanted() -> None:
    for confirm in ("loss", "always"):
        async with running(reading=understand(f'confirm = "{confirm}"', "S")) as deck:
            await deck.press("a")
            assert deck.dialog == "ConfirmDialog"
            typed = "Type 0000:" in deck.text
            assert typed == (confirm == "always")
            await deck.press("y")
            assert (deck.dialog == "ConfirmDialog") == typed


async def test_consent_is_typed_where_something_goes_away_and_that_is_wanted() -> None:
    host = FakeHost()
    host.plans[UnbindDriver] = {"destructive": True, "warnings": ("qemu loses its VF",)}
    async with running(host, reading=understand('confirm = "loss"', "S")) as deck:
        await deck.press("u")
        assert "to do it all the same:" in deck.text
        await deck.press("Y", "enter")
        assert deck.dialog == "ConfirmDialog"
        assert host.performed == []
        await deck.press("backspace")
        await deck.paste(NIC)
        await deck.press("enter")
        await deck.until(lambda: host.performed)
        assert host.performed == [UnbindDriver(NIC)]


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
