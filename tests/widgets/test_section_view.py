"""The panel that draws sections line by line."""

from __future__ import annotations

from textual.app import App, ComposeResult
from textual.containers import Vertical
from textual.geometry import Offset
from textual.selection import Selection

from vfdeck.widgets.section_view import SectionView
from vfdeck.widgets.sections import Fact, Section

LONG = [Section("Title", tuple(Fact(f"n{n}", f"value {n} " + "word " * 12) for n in range(30)))]


class ViewApp(App[None]):
    """A panel as high as what it says, within a box."""

    CSS = "#box { height: 10; } SectionView { height: auto; max-height: 8; }"

    def __init__(self, sections: list[Section]) -> None:
        super().__init__()
        self.sections = sections

    def compose(self) -> ComposeResult:
        """The panel."""
        with Vertical(id="box"):
            yield SectionView(self.sections)

    @property
    def view(self) -> SectionView:
        """The panel."""
        return self.query_one(SectionView)

    def lines(self) -> list[str]:
        """What the panel shows."""
        return [self.view.render_line(y).text.rstrip() for y in range(self.view.size.height)]


async def test_it_is_as_high_as_what_it_says() -> None:
    app = ViewApp([Section("Title", (Fact("label", "value"), Fact("", "paragraph")))])
    async with app.run_test(size=(40, 12)) as pilot:
        await pilot.pause()
        assert app.lines() == ["Title", "label     value", "paragraph"]
        app.view.show([Section("", (Fact("", "one"),))])
        await pilot.pause()
        assert app.lines() == ["one"]


async def test_what_is_too_long_scrolls_and_wraps_beside_the_scrollbar() -> None:
    app = ViewApp(LONG)
    async with app.run_test(size=(40, 12)) as pilot:
        await pilot.pause()
        app.view.focus()
        assert app.view.show_vertical_scrollbar
        assert len(app.lines()) == 8
        words = " ".join(line[10:] for line in app.lines()[1:4])
        assert "wor " not in words
        await pilot.press("end")
        await pilot.pause()
        assert app.lines()[0] != "Title"
        app.view.show([Section("New", ())], top=True)
        await pilot.pause()
        assert app.lines()[0] == "New"
        assert not app.view.show_vertical_scrollbar


async def test_two_columns() -> None:
    sections = [
        Section("PF", (Fact("", "name"), Fact("", "ready"))),
        Section("", (Fact("a", "1"),)),
        Section("", (Fact("b", "2"),)),
    ]
    app = ViewApp(sections)
    async with app.run_test(size=(60, 12)) as pilot:
        app.view.columns = 2
        app.view._redraw()
        await pilot.pause()
        lines = app.lines()
        assert lines[:2] == ["PF  name", "ready"]
        assert lines[2].split() == ["a", "1", "b", "2"]


async def test_text_can_be_selected() -> None:
    app = ViewApp([Section("Title", (Fact("", "echo 4 > sriov_numvfs"),))])
    async with app.run_test(size=(40, 12)) as pilot:
        await pilot.pause()
        selection = Selection(Offset(5, 1), Offset(11, 1))
        assert app.view.get_selection(selection) == ("4 > sr", "\n")
        app.screen.selections = {app.view: selection}
        await pilot.pause()
        assert app.lines()[1] == "echo 4 > sriov_numvfs"
        backgrounds = {segment.style.bgcolor for segment in app.view.render_line(1) if segment.style}
        assert len(backgrounds) == 2
