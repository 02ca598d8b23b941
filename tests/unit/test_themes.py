"""Themes: what is written can be read, on every ground, by most eyes, and on every terminal."""

from __future__ import annotations

import dataclasses
import itertools
import re

import pytest

from tests.colour import EYES, apart, contrast
from vfdeck.app.dashboard import themes
from vfdeck.widgets.state import Tone

TEXTS = ("text", "dim", "good", "busy", "own", "warn", "bad")
GROUNDS = ("ground", "surface", "panel", "cursor")
#: Colours that text in the colour of the ground stands on.
LIT = ("focus", "danger", "badge")


def colours(name: str, parts: tuple[str, ...]) -> dict[str, str]:
    """Some of a theme's colours."""
    return {part: getattr(themes.palettes()[name], part) for part in parts}


def test_the_measures_are_right() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)  # as every checker of WCAG has it
    assert apart("#ffffff", "#000000", "all cones") == pytest.approx(100.0, abs=0.1)
    red, green = "#d62728", "#7a6a00"  # a pair that eyes without green cones mistake for each other
    assert apart(red, green, "all cones") > 60
    assert apart(red, green, "deuteranopia") < 20


def test_every_tone_has_its_colour() -> None:
    assert {str(tone) for tone in Tone} - {"plain", "strong"} == set(TEXTS) - {"text"}


@pytest.mark.parametrize("name", themes.palettes())
def test_colours_are_well_formed(name: str) -> None:
    for field in dataclasses.fields(themes.Colours):
        if field.type == "str" and field.name not in ("name", "about"):
            assert re.fullmatch(r"#[0-9a-f]{6}", getattr(themes.palettes()[name], field.name)), field.name


@pytest.mark.parametrize("name", themes.palettes())
def test_text_stands_out_from_every_ground(name: str) -> None:
    least = themes.palettes()[name].contrast
    assert least >= (7.0 if name == "high-contrast" else 4.5)
    pairs = [*itertools.product(colours(name, TEXTS).items(), colours(name, GROUNDS).items())]
    pairs += itertools.product(colours(name, ("ground",)).items(), colours(name, LIT).items())
    poor = {f"{one[0]} on {two[0]}": found for one, two in pairs if (found := contrast(one[1], two[1])) < least}
    assert poor == {}


def test_grounds_differ_from_each_other() -> None:
    """Where the cursor is can be seen."""
    for name in themes.palettes():
        shown = colours(name, GROUNDS)
        assert apart(shown["cursor"], shown["ground"], "all cones") > 9, name
        assert all(apart(shown["cursor"], shown["ground"], eyes) > 9 for eyes in EYES), name


def test_eyes_without_red_or_green_cones_tell_the_meanings_apart() -> None:
    promised = {name: palette.apart for name, palette in themes.palettes().items() if palette.apart}
    assert promised == {"colour-blind": 15.0}
    for name, least in promised.items():
        for (one, a), (two, b) in itertools.combinations(colours(name, TEXTS).items(), 2):
            assert all(apart(a, b, eyes) >= least for eyes in EYES), f"{one} and {two}"


def test_the_usual_theme_could_not_promise_that() -> None:
    usual = colours(themes.USUAL, TEXTS)
    assert min(apart(usual["good"], usual["bad"], eyes) for eyes in EYES) < 15


MANY = {"TERM": "xterm-256color"}


@pytest.mark.parametrize(
    ("environment", "wanted", "chosen"),
    [
        ({"TERM": "linux"}, "dark", "16-colours"),
        ({"TERM": "linux"}, "light", "16-colours"),
        ({"TERM": "xterm"}, "dark", "16-colours"),
        ({}, "dark", "16-colours"),
        (MANY, "dark", "dark"),
        (MANY, "high-contrast", "high-contrast"),
        (MANY, "16-colours", "16-colours"),
        ({"TERM": "xterm", "COLORTERM": "truecolor"}, "colour-blind", "colour-blind"),
        ({"TERM": "linux", "NO_COLOR": "1"}, "dark", "dark"),
        ({"TERM": "linux", "NO_COLOR": "1"}, "16-colours", "dark"),
        ({**MANY, "NO_COLOR": ""}, "light", "light"),
    ],
)
def test_the_terminal_has_the_last_word(environment: dict[str, str], wanted: str, chosen: str) -> None:
    assert themes.choose(wanted, environment) == chosen
    assert chosen in themes.usable(environment)
    assert bool(themes.why_not(wanted, environment)) == (chosen != wanted)


def test_why_not_names_the_reason() -> None:
    assert themes.why_not("light", {"TERM": "li\x1bnux"}) == (
        "theme light needs more than the 16 colours of this terminal (TERM='li\\x1bnux')"
    )
    assert themes.why_not("16-colours", {"NO_COLOR": "1"}) == "theme 16-colours cannot be had with NO_COLOR"
