"""Colours as people see them: contrast as WCAG 2 reckons it, eyes without one kind of cones, and how far two colours are apart."""

from __future__ import annotations

import math

Linear = tuple[float, float, float]

#: Machado, Oliveira, Fernandes 2009, severity 1.0, on linear RGB: eyes without L cones (red), and without M cones (green).
EYES: dict[str, tuple[Linear, Linear, Linear]] = {
    "all cones": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
}


def linear(colour: str) -> Linear:
    """`#rrggbb` as light."""
    channels = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return red, green, blue


def contrast(one: str, other: str) -> float:
    """WCAG 2's contrast ratio of two colours, 1 to 21."""
    dark, bright = sorted(0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b in (linear(one), linear(other)))
    return (bright + 0.05) / (dark + 0.05)


def seen(colour: str, eyes: str) -> Linear:
    """A colour as light that looks the same to these eyes."""
    light = linear(colour)
    red, green, blue = (min(1.0, max(0.0, sum(m * c for m, c in zip(row, light, strict=True)))) for row in EYES[eyes])
    return red, green, blue


def apart(one: str, other: str, eyes: str) -> float:
    """How different two colours are to these eyes: the distance in CIE L*a*b* (1976), of which about 2.3 can just be seen."""
    return math.dist(_lab(seen(one, eyes)), _lab(seen(other, eyes)))


def _lab(light: Linear) -> Linear:
    """CIE L*a*b* under daylight D65."""
    red, green, blue = light
    x = _root((0.4124564 * red + 0.3575761 * green + 0.1804375 * blue) / 0.95047)
    y = _root(0.2126729 * red + 0.7151522 * green + 0.0721750 * blue)
    z = _root((0.0193339 * red + 0.1191920 * green + 0.9503041 * blue) / 1.08883)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def _root(share: float) -> float:
    return math.cbrt(share) if share > 216 / 24389 else (24389 / 27 * share + 16) / 116
