"""Themes on the screen: what is really painted, and how one theme becomes another."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from rich.segment import Segment

from tests.colour import contrast
from tests.fake_host import FakeHost
from tests.pilot.driving import Deck, running
from vfdeck.app.dashboard import themes
from vfdeck.app.dashboard.app import DashboardApp

#: Keys, one screen after the other; Escape ends each.
WAYS = (
    ("down",),
    ("d",),
    ("tab",),
    ("question_mark",),
    ("t", "x"),
    ("v", "9"),
    ("v", "0", "enter"),
    ("b", "down"),
    ("o",),
    ("f", "h"),
    ("p",),
    ("ctrl+p",),
    ("ctrl+t",),
)


@pytest.fixture(autouse=True)
def _terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)


def painted(deck: Deck) -> list[list[Segment]]:
    """Every line of the terminal, piece by piece."""
    return [list(strip) for strip in deck.app.screen._compositor.render_strips()]


def in_front(deck: Deck) -> Iterator[Segment]:
    """The pieces that are not behind a dialog or the palette, which dim what is behind them."""
    frames = [deck.app.screen.query_one(name) for name in ("#dialog", "#--container") if deck.app.screen.query(name)]
    region = frames[0].region if frames else deck.app.screen.region
    for strip in deck.app.screen._compositor.render_strips()[region.y : region.bottom]:
        yield from strip.crop(region.x, region.right)


def texts(deck: Deck) -> Iterator[tuple[str, str, str]]:
    """What can be read, with its colour and the one behind it; lines, frames and scrollbars are no text."""
    for segment in in_front(deck):
        style, words = segment.style, "".join(c for c in segment.text if c.isascii() or c.isalpha()).strip()
        if style is None or not words:
            continue
        assert style.color is not None, segment
        assert style.bgcolor is not None, segment
        front, back = (colour.get_truecolor().hex for colour in (style.color, style.bgcolor))
        yield words, *((back, front) if style.reverse else (front, back))


@pytest.mark.parametrize("name", themes.palettes())
async def test_what_is_painted_can_be_read(name: str) -> None:
    least = themes.palettes()[name].contrast
    seen = 0
    async with running(theme=name) as deck:
        for way in WAYS:
            await deck.press(*way)
            seen += len(found := list(texts(deck)))
            poor = {(words, front, back) for words, front, back in found if contrast(front, back) < least - 0.05}
            assert poor == set(), way
            await deck.press("escape", "escape")
    assert seen > 300


@pytest.mark.parametrize("way", WAYS[:7], ids=" ".join)
async def test_changed_while_it_runs_it_looks_as_if_begun_with_it(way: tuple[str, ...]) -> None:
    """Nothing that was drawn before keeps its colours."""
    shown = []
    for begun in ("dark", "light"):
        async with running(theme=begun) as deck:
            await deck.press(*way)
            await deck.until(lambda: not deck.main.is_inspecting)
            painted(deck)
            deck.app.theme = "light"
            await deck.pilot.pause()
            await deck.pilot.pause()
            shown.append(painted(deck))
    assert shown[0] == shown[1]


async def test_each_is_shown_while_one_chooses() -> None:
    async with running() as deck:
        await deck.press("ctrl+t")
        assert deck.dialog == "ThemeDialog"
        for name in (*themes.names()[1:], themes.USUAL):
            await deck.press("down")
            assert deck.app.theme == themes.textual_name(name)
        await deck.press("down", "enter")
        assert (deck.dialog, deck.app.theme) == ("", "light")
        assert "theme light from now on" in deck.line
        await deck.press("ctrl+t", "down", "down")
        assert deck.app.theme == "colour-blind"
        await deck.press("escape")
        assert (deck.dialog, deck.app.theme) == ("", "light")


@pytest.mark.parametrize(
    ("variable", "value", "offered"), [("TERM", "linux", ("16-colours",)), ("NO_COLOR", "1", themes.names()[:-1])]
)
async def test_only_what_the_terminal_can_show_is_offered(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, offered: tuple[str, ...]
) -> None:
    monkeypatch.delenv("COLORTERM", raising=False)
    monkeypatch.setenv(variable, value)
    async with running(theme=offered[0]) as deck:
        await deck.press("ctrl+t")
        assert [name for name in themes.names() if f" {name} " in deck.text] == list(offered)
        assert ("more than 16 colours" in deck.text) == (variable == "TERM")
        await deck.press("down", "enter")
        assert deck.app.theme == themes.textual_name(offered[1 % len(offered)])


async def test_the_terminals_palette_paints_as_well() -> None:
    app = DashboardApp([FakeHost()], theme=themes.TERMINALS, follow=False)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert app.theme == "ansi-dark"
        assert app.native_ansi_color


async def test_why_a_theme_cannot_be_had_is_said_at_the_start() -> None:
    app = DashboardApp([FakeHost()], note=themes.why_not("light", {"TERM": "linux"}), follow=False)
    async with app.run_test(size=(100, 24)) as pilot:
        await pilot.pause()
        assert "theme light needs more than the 16 colours" in Deck(app, pilot).line
