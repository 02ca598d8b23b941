"""Colours: themes of our own, kept as data, and the terminal's palette where there are only 16 colours.

Importing this imports no Textual, so that settings and `--theme` can be checked without it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from textual.theme import Theme

#: The theme where nothing else is asked for.
USUAL = "dark"
#: The terminal's own palette: what people call it, and what Textual does.
TERMINALS, ANSI = "16-colours", "ansi-dark"
_ANSI_ABOUT = "the terminal's own colours"

#: Terminals with more colours than 16 whose names do not say so.
_MANY = ("xterm-kitty", "alacritty", "foot", "wezterm", "xterm-ghostty")


@dataclass(frozen=True, slots=True)
class Colours:
    """A theme as it stands in themes.toml. `contrast`: the least between texts and grounds, as WCAG has it; `apart`: the least
    difference between two meanings (CIE 1976) to eyes without red or green cones, 0.0 where that is not promised."""

    name: str
    about: str
    text: str
    dim: str
    ground: str
    surface: str
    panel: str
    cursor: str
    line: str
    guide: str
    scrollbar: str
    good: str
    busy: str
    own: str
    warn: str
    bad: str
    focus: str
    danger: str
    badge: str
    light: bool = False
    contrast: float = 4.5
    apart: float = 0.0


@cache
def palettes() -> dict[str, Colours]:
    """Every theme of our own by its name."""
    data = tomllib.loads(files(__package__).joinpath("themes.toml").read_text(encoding="utf-8"))
    return {name: Colours(name, **values) for name, values in data.items()}


def names() -> tuple[str, ...]:
    """Every theme that can be asked for."""
    return (*palettes(), TERMINALS)


def about(name: str) -> str:
    """A theme in a few words."""
    return palettes()[name].about if name in palettes() else _ANSI_ABOUT


def usable(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The themes that a terminal can show: its own palette alone where it has 16 colours.

    With NO_COLOR ours, which turn into greys: a theme of the terminal's palette would be painted black on black (Textual 8.2).
    """
    if "NO_COLOR" in environment:
        return tuple(palettes())
    return names() if _has_many_colours(environment) else (TERMINALS,)


def choose(wanted: str, environment: Mapping[str, str]) -> str:
    """The theme that is wanted where the terminal can show it, else the one that comes closest."""
    can = usable(environment)
    return wanted if wanted in can else USUAL if USUAL in can else can[0]


def why_not(wanted: str, environment: Mapping[str, str]) -> str:
    """Why a theme cannot be had here; "" where it can."""
    if wanted in usable(environment):
        return ""
    if "NO_COLOR" in environment:
        return f"theme {wanted} cannot be had with NO_COLOR"
    return f"theme {wanted} needs more than the 16 colours of this terminal (TERM={environment.get('TERM', '')!a})"


def _has_many_colours(environment: Mapping[str, str]) -> bool:
    """Whether a terminal says of itself that it has more than 16 colours."""
    if environment.get("COLORTERM", "").lower() in ("truecolor", "24bit"):
        return True
    term = environment.get("TERM", "").lower()
    return "256" in term or "direct" in term or term in _MANY


def textual_name(name: str) -> str:
    """What Textual calls a theme."""
    return ANSI if name == TERMINALS else name


def own_name(textual: str) -> str:
    """What people call one of Textual's."""
    return TERMINALS if textual == ANSI else textual


@cache
def theme(name: str) -> Theme:
    """A theme of our own for Textual. Whatever it would work out of the first colours for text is given here in full."""
    from textual.theme import Theme

    c = palettes()[name]
    return Theme(
        name=name,
        primary=c.focus,
        secondary=c.dim,
        accent=c.own,
        foreground=c.text,
        background=c.ground,
        surface=c.surface,
        panel=c.panel,
        success=c.good,
        warning=c.badge,
        error=c.danger,
        dark=not c.light,
        variables={
            "text-primary": c.busy,
            "text-success": c.good,
            "text-accent": c.own,
            "text-warning": c.warn,
            "text-error": c.bad,
            "text-muted": c.dim,
            "text-disabled": c.dim,
            "foreground-darken-3": c.dim,
            "secondary-darken-2": c.guide,
            "primary-muted": c.cursor,
            "border": c.line,
            "border-blurred": c.line,
            "block-cursor-background": c.cursor,
            "block-cursor-foreground": c.text,
            "block-cursor-blurred-background": c.surface,
            "block-cursor-blurred-foreground": c.text,
            "block-cursor-text-style": "none",
            "block-hover-background": c.panel,
            "input-cursor-background": c.text,
            "input-cursor-foreground": c.ground,
            "input-selection-background": c.cursor,
            "scrollbar": c.scrollbar,
            "scrollbar-hover": c.guide,
            "scrollbar-active": c.guide,
            "scrollbar-background": c.ground,
            "scrollbar-background-hover": c.ground,
            "scrollbar-background-active": c.ground,
            "scrollbar-corner-color": c.ground,
        },
    )
