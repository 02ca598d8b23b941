"""The film: what looks alike is kept once, every picture has its time, and foreign text is text."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from rich.segment import Segment
from rich.style import Style

from tests.tour.film import Film

SVG = "{http://www.w3.org/2000/svg}"


def line(text: str, style: str = "white on #121212") -> list[Segment]:
    """A row."""
    return [Segment(text, Style.parse(style))]


def test_rows_that_look_alike_are_kept_once() -> None:
    film = Film(10)
    film.add([line("a"), line("b")], "", 1)
    film.add([line("a"), line("c")], "x", 2)
    assert [frame.rows for frame in film.frames] == [(0, 1), (0, 2)]
    root = ET.fromstring(film.animated())
    assert len(root.findall(f"{SVG}defs/{SVG}g")) == 3


def test_a_picture_that_stays_stays_longer() -> None:
    film = Film(10)
    film.add([line("a")], "", 1)
    film.add([line("a")], "", 2)
    assert [frame.seconds for frame in film.frames] == [3]


def test_every_picture_has_its_time() -> None:
    film = Film(10)
    for text, seconds in (("a", 1.0), ("b", 2.0), ("c", 1.0)):
        film.add([line(text)], "", seconds)
    drawn = film.animated()
    assert "@keyframes f0{0%{visibility:visible}25.000%{visibility:hidden}}" in drawn
    assert "@keyframes f1{0%{visibility:hidden}25.000%{visibility:visible}75.000%{visibility:hidden}}" in drawn
    assert "animation:f2 4.0s step-end infinite" in drawn


def test_text_is_no_markup() -> None:
    film = Film(10)
    film.add([line("<script>&", "bold red on blue")], '"<x>', 1)
    root = ET.fromstring(film.still(0))
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert texts == ["<script>&", '"<x>']
    assert [rect.get("fill") for rect in root.iter(f"{SVG}rect")][1:] == ["#000080"]
