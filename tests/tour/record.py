"""`python -m tests.tour.record [FOLDER]` walks through the tour and films it: screenshots/tour.svg, always the same.

With a FOLDER every picture is written there as PNG, too, to be looked at.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from unittest.mock import patch

import resvg_py

from tests.pilot.driving import Deck
from tests.tour.film import Film
from tests.tour.walking import do_step, next_lesson, touring
from vfdeck.backend.token import Token

FILM = Path(__file__).parents[2] / "screenshots" / "tour.svg"
SIZE = (80, 24)

#: A token for the film; its fingerprint is seen, the token never.
TOKEN = Token.parse("9e3b1d52-7c41-4f0a-8a6e-2f5b8c1d9e07")

#: How long a picture is seen, seconds: after a key, and where there is something to read.
KEY, READ = 0.7, 3.5

#: The lessons that are shown; all seven would be too long for a film.
SHOWN = (1, 2, 6)

_NAMES = {"enter": "⏎", "escape": "Esc", "tab": "Tab", "space": "Space", "up": "↑", "down": "↓", "greater_than_sign": ">"}


async def film(shown: tuple[int, ...] = SHOWN) -> Film:
    """The tour, filmed."""
    taken = Film(SIZE[0])

    def take(deck: Deck, caption: str, seconds: float) -> None:
        taken.add(([*strip] for strip in deck.app.screen._compositor.render_strips()), caption, seconds)

    with patch.object(Token, "generate", return_value=TOKEN):
        async with touring(shown[0], size=SIZE) as (deck, tour):
            while True:
                if tour.number in shown:
                    pressed: list[str] = []
                    take(deck, "", READ)

                    async def watch(deck: Deck, key: str, pressed: list[str] = pressed) -> None:
                        pressed.append(_NAMES.get(key, "!" if key == "exclamation_mark" else key))
                        take(deck, "  ".join(pressed), KEY if key not in ("y", "Y") else READ)

                    for step in tour.lesson.steps:
                        await do_step(deck, step, watch)
                        take(deck, "  ".join(pressed), READ)
                if tour.number == shown[-1]:
                    return taken
                await next_lesson(deck, tour)


def main() -> int:
    """Film it."""
    os.environ.pop("NO_COLOR", None)
    taken = asyncio.run(film())
    FILM.write_text(taken.animated(), encoding="utf-8")
    print(f"{FILM.name}: {len(taken.frames)} pictures, {FILM.stat().st_size // 1024} KB")
    if len(sys.argv) > 1:
        folder = Path(sys.argv[1])
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(len(taken.frames)):
            png = resvg_py.svg_to_bytes(svg_string=taken.still(number), monospace_family="DejaVu Sans Mono")
            (folder / f"tour-{number:02}.png").write_bytes(bytes(png))
    return 0


if __name__ == "__main__":
    sys.exit(main())
