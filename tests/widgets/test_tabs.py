"""The line that names the panels."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from textual.app import App, ComposeResult

from vfdeck.widgets.tabs import Tab, TabLine, tab_words

TABS = [Tab("device", "1", "Device", "Dev"), Tab("token", "2", "Token", "Tok"), Tab("open", "3", "Open", "Open")]


def line(width: int, chosen: str = "token") -> str:
    """What is said in so many cells."""
    return "".join(tab_words(TABS, chosen, width))


def test_titles_shorten_then_only_the_chosen_has_one_then_none() -> None:
    assert line(80) == " 1 Device [2 Token] 3 Open "
    assert line(26) == " 1 Dev [2 Token] 3 Open "
    assert line(20) == "1 Dev [2 Tok] 3 Open"
    assert line(20, "device") == "[1 Dev] 2 Tok 3 Open"
    assert line(19) == " 1 [2 Token] 3 "
    assert line(10) == " 1 [2] 3 "


@given(st.integers(0, 80), st.sampled_from([tab.id for tab in TABS]))
def test_the_chosen_one_is_always_in_brackets(width: int, chosen: str) -> None:
    words = tab_words(TABS, chosen, width)
    assert [tab.id for tab, word in zip(TABS, words, strict=True) if "[" in word] == [chosen]
    assert all(tab.key in word for tab, word in zip(TABS, words, strict=True))
    assert cell_len("".join(words)) <= max(width, 9)


class TabApp(App[None]):
    """The line alone."""

    def __init__(self) -> None:
        super().__init__()
        self.pressed: list[str] = []

    def compose(self) -> ComposeResult:
        """The line."""
        yield TabLine()

    def on_tab_line_pressed(self, event: TabLine.Pressed) -> None:
        """Write it down."""
        self.pressed.append(event.id)


@pytest.mark.parametrize("width", [80, 24, 16, 10])
async def test_a_click_chooses_what_is_under_the_mouse(width: int) -> None:
    app = TabApp()
    async with app.run_test(size=(width, 3)) as pilot:
        app.query_one(TabLine).show(TABS, "open")
        await pilot.pause()
        said = app.query_one(TabLine).render().plain
        for tab in TABS:
            await pilot.click(TabLine, offset=(said.index(tab.key), 0))
        assert app.pressed == ["device", "token", "open"]
        await pilot.click(TabLine, offset=(width - 1, 0))
        assert app.pressed[3:] in ([], ["open"])
