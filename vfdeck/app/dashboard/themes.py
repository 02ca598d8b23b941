"""Colours: one calm theme of our own, and the terminal's palette where there are only 16 colours."""

from __future__ import annotations

from collections.abc import Mapping

from textual.theme import Theme

DARK = Theme(
    name="vfdeck",
    primary="#6ea3d8",
    secondary="#8a93a8",
    accent="#5fc1b4",
    foreground="#c9d1dc",
    background="#10141b",
    surface="#161c25",
    panel="#1d2530",
    success="#86c48a",
    warning="#d9b063",
    error="#e5776f",
    dark=True,
    variables={
        "border": "#33404f",
        "border-blurred": "#2a3441",
        "block-cursor-text-style": "none",
        "input-selection-background": "#6ea3d8 35%",
        "scrollbar": "#2a3441",
        "scrollbar-hover": "#3a4757",
        "scrollbar-background": "#10141b",
        "scrollbar-corner-color": "#10141b",
    },
)


def choose_theme(environment: Mapping[str, str]) -> str:
    """The theme for a terminal: its own palette where it has 16 colours, ours everywhere else.

    With NO_COLOR the answer is always ours: it turns into greys, whereas a theme of the terminal's palette would be painted
    black on black (Textual 8.2).
    """
    if "NO_COLOR" in environment:
        return DARK.name
    if environment.get("COLORTERM", "").lower() in ("truecolor", "24bit"):
        return DARK.name
    term = environment.get("TERM", "").lower()
    many = "256" in term or "direct" in term or term in ("xterm-kitty", "alacritty", "foot", "wezterm", "xterm-ghostty")
    return DARK.name if many else "ansi-dark"
