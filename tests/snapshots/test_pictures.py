"""Pictures of the demo, at several sizes.

`pytest tests/snapshots --snapshot-update` takes them anew, `python -m tests.snapshots.png` makes PNG files of them: look at them
before keeping them. The demo's clock stands still in here, so the same picture comes out every time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from tests.pilot.driving import Deck
from vfdeck.app.dashboard import themes
from vfdeck.app.dashboard.app import DashboardApp
from vfdeck.backend.sim import scenario
from vfdeck.backend.sim.scenario import SimulatedHost

#: syrupy expects the test's name in the file's; ours are for people
pytestmark = pytest.mark.filterwarnings("ignore:\\s*Can not relate snapshot")

#: A token for pictures; the fingerprint shows, the token never does.
TOKEN = "9e3b1d52-7c41-4f0a-8a6e-2f5b8c1d9e07"


class SnapCompare(Protocol):
    """The plugin's fixture."""

    def __call__(
        self, app: DashboardApp, *, terminal_size: tuple[int, int], run_before: Callable[[Pilot[Any]], Awaitable[None]]
    ) -> bool: ...


Way = Callable[[Deck, SimulatedHost], Coroutine[Any, Any, None]]


@dataclass(frozen=True)
class Picture:
    """How to come to a picture: the scenario, its second, and what is done there."""

    name: str
    size: tuple[int, int]
    way: Way
    scenario: str = "default"
    second: float = 20.0
    theme: str = themes.USUAL
    no_color: bool = False

    @property
    def id(self) -> str:
        """The file's name."""
        return f"{self.name}-{self.size[0]}x{self.size[1]}"


def keys(*pressed: str, dialog: str = "") -> Way:
    """Press keys, and wait for a dialog."""

    async def way(deck: Deck, _: SimulatedHost) -> None:
        await deck.press(*pressed)
        if dialog:
            await deck.until(lambda: deck.dialog == dialog)

    return way


async def token_typed(deck: Deck, _: SimulatedHost) -> None:
    """The token's dialog with a token in it."""
    await deck.press("t")
    await deck.paste(TOKEN)


async def token_wrong(deck: Deck, _: SimulatedHost) -> None:
    """The token's dialog with something in it that is no token."""
    await deck.press("t")
    await deck.paste("9e3b1d52-7c41-4f0a-8a6e-2f5b8c1d9eO7")


async def refused(deck: Deck, _: SimulatedHost) -> None:
    """A VF opened without its token: the kernel says no, and the page says why."""
    await deck.press("down", "down", "down", "right", "o", "enter")  # the first of six that are alike
    await deck.until(lambda: deck.dialog == "ConfirmDialog")
    await deck.press("y")
    await deck.until(lambda: deck.dialog == "Page")


async def refused_beside(deck: Deck, host: SimulatedHost) -> None:
    """The same, once the page is closed."""
    await refused(deck, host)
    await deck.press("escape")


async def refused_ladder(deck: Deck, host: SimulatedHost) -> None:
    """The same in the panel that tells an open rung by rung."""
    await refused_beside(deck, host)
    await deck.press("3")


async def token_set(deck: Deck, _: SimulatedHost) -> None:
    """A token was set on the accelerator."""
    while deck.tree.row_id is None or deck.tree.row_id.bdf != "0000:af:00.0":
        await deck.press("down")
    await deck.press("t")
    await deck.paste(TOKEN)
    await deck.press("enter")
    await deck.until(lambda: deck.dialog == "ConfirmDialog")
    await deck.press("y")
    await deck.until(lambda: "✓" in deck.line and deck.text.count("#024c873b") >= 2)


async def waiting(deck: Deck, host: SimulatedHost) -> None:
    """VFs are taken away while a machine holds one: the kernel waits, and the dashboard says for whom."""
    await deck.press("v", "0", "enter")
    await deck.until(lambda: deck.dialog == "ConfirmDialog")
    await deck.press("Y")
    await deck.until(lambda: any(job.waits_for for job in host.snapshot().jobs))
    host.advance(12)
    await deck.press("r")
    await deck.until(lambda: "12 s" in deck.line)


async def palette(deck: Deck, _: SimulatedHost) -> None:
    """The palette before anything is typed, its cursor at rest."""
    await deck.press("ctrl+p")
    await deck.until(lambda: "Set the PF's VF token" in deck.text)
    field = deck.app.screen.query_one(Input)
    field.cursor_blink = False
    await deck.pilot.pause()


def themed(name: str) -> list[Picture]:
    """The pictures that there are of every theme."""
    removal = keys("v", "0", "enter", dialog="ConfirmDialog")
    return [
        Picture(f"{name}-demo", (80, 24), keys(), theme=name),
        Picture(f"{name}-demo", (120, 40), keys(), theme=name),
        Picture(f"{name}-refused", (80, 24), refused, theme=name),
        Picture(f"{name}-removal", (80, 24), removal, theme=name),
    ]


#: To the first of six VFs that are alike.
FREE_VF = ("down", "down", "down", "right")

PICTURES = [
    Picture("demo", (80, 24), keys()),
    Picture("demo", (120, 40), keys()),
    Picture("demo", (40, 12), keys()),
    Picture("demo", (200, 50), keys()),
    Picture("details", (80, 24), keys("d")),
    Picture("folded", (80, 24), keys("minus")),
    Picture("set-token", (80, 24), token_typed),
    Picture("wrong-token", (80, 24), token_wrong),
    Picture("token-set", (120, 40), token_set),
    Picture("vfs", (80, 24), keys("v", "1", "2")),
    Picture("bind", (80, 24), keys("b")),
    Picture("open", (80, 24), keys("down", "o")),
    Picture("confirm", (80, 24), keys("a", dialog="ConfirmDialog")),
    Picture("confirm-removal", (120, 40), keys("v", "1", "2", "enter", dialog="ConfirmDialog")),
    Picture("confirm-removal", (80, 24), keys("v", "0", "enter", dialog="ConfirmDialog")),
    Picture("refused", (80, 24), refused),
    Picture("refused", (120, 40), refused),
    Picture("refused-beside", (120, 40), refused_beside),
    Picture("waiting", (120, 40), waiting),
    *(Picture("device", size, keys("d")) for size in ((80, 24), (120, 40), (250, 80))),
    *(Picture("token", size, keys("2", "d")) for size in ((80, 24), (120, 40))),
    *(Picture("token", size, keys("2")) for size in ((40, 12), (250, 80))),
    *(Picture("ladder", size, keys(*FREE_VF, "3", "d")) for size in ((80, 24), (120, 40))),
    *(Picture("ladder", size, keys(*FREE_VF, "3")) for size in ((40, 12), (250, 80))),
    Picture("ladder-refused", (120, 40), refused_ladder),
    *(Picture("holders", size, keys("4", "d")) for size in ((80, 24), (120, 40))),
    *(Picture("holders", size, keys("4")) for size in ((40, 12), (250, 80))),
    Picture("greyed", (80, 24), keys("end", "t")),
    Picture("help", (80, 24), keys("question_mark")),
    Picture("help", (120, 40), keys("question_mark")),
    Picture("palette", (80, 24), palette),
    Picture("empty", (80, 24), keys(), scenario="none"),
    Picture("too-small", (36, 8), keys()),
    Picture("16-colours", (80, 24), keys(), theme=themes.TERMINALS),
    Picture("16-colours-token", (80, 24), token_wrong, theme=themes.TERMINALS),
    Picture("16-colours-refused", (80, 24), refused, theme=themes.TERMINALS),
    Picture("16-colours-removal", (80, 24), keys("v", "0", "enter", dialog="ConfirmDialog"), theme=themes.TERMINALS),
    *(picture for name in themes.palettes() if name != themes.USUAL for picture in themed(name)),
    Picture("theme", (80, 24), keys("ctrl+t", dialog="ThemeDialog")),
    Picture("no-colour", (80, 24), keys(), no_color=True),
    Picture("no-colour-removal", (80, 24), keys("v", "0", "enter", dialog="ConfirmDialog"), no_color=True),
]


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.id)
def test_picture(snap_compare: SnapCompare, picture: Picture, monkeypatch: pytest.MonkeyPatch) -> None:
    if picture.no_color:
        monkeypatch.setenv("NO_COLOR", "1")
    host = scenario.load(picture.scenario, seed=1)
    if picture.second:
        host.advance(picture.second)
    app = DashboardApp([host], theme=picture.theme, follow=False)

    async def come(pilot: Pilot[Any]) -> None:
        deck = Deck(app, pilot)
        await deck.until(lambda: deck.main.fleet.snapshots)
        await picture.way(deck, host)
        await deck.until(lambda: not deck.main.is_inspecting)  # what is looked up for the panel is in the picture

    assert snap_compare(app, terminal_size=picture.size, run_before=come)


#: So many hosts of the fleet are in its pictures: every so-manieth, and those that are odd.
EVERY, ODD = 40, ("r04-n17", "r06-n28", "r09-n05", "r21-n38", "r22-n09", "r24-n40")

FLEET = [
    Picture("fleet", (120, 40), keys()),
    Picture("fleet", (80, 24), keys()),
    Picture("fleet-odd-first", (120, 40), keys("s", "s", "s", "home", "down", "right", "down")),
    Picture("fleet-odd-first", (80, 24), keys("s", "s", "s", "home")),
]


@pytest.mark.parametrize("picture", FLEET, ids=lambda picture: picture.id)
def test_picture_of_a_fleet(snap_compare: SnapCompare, picture: Picture) -> None:
    hosts = [host for n, host in enumerate(scenario.load_all("fleet", seed=1)) if n % EVERY == 0 or host.name in ODD]
    for host in hosts:
        host.advance(60)
    app = DashboardApp(hosts, theme=picture.theme, follow=False)

    async def come(pilot: Pilot[Any]) -> None:
        deck = Deck(app, pilot)
        await deck.until(lambda: len(deck.main.fleet.snapshots) == len(hosts))
        await picture.way(deck, scenario.load("card"))
        await deck.until(lambda: not deck.main.is_inspecting)

    assert snap_compare(app, terminal_size=picture.size, run_before=come)
