"""Pictures of the demo: a table of what there is to be seen, each at three sizes.

`pytest tests/snapshots --snapshot-update` takes them anew, `python -m tests.snapshots.png` makes PNG files of them: look at them
before keeping them. The demo's clock stands still in here, so the same picture comes out every time. Every dialog, every page
and every action is in the table, or has a reason to be missing.
"""

from __future__ import annotations

import errno
import importlib
import os
import pkgutil
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from tests.agent.ways import REFUSED, Demo, Gate
from tests.pilot.driving import Deck
from vfdeck.app import dashboard
from vfdeck.app.dashboard import themes
from vfdeck.app.dashboard.actions import ACTIONS
from vfdeck.app.dashboard.app import DashboardApp
from vfdeck.app.dashboard.dialogs.base import Dialog
from vfdeck.app.dashboard.lesson import Lesson
from vfdeck.app.dashboard.screen import Dashboard
from vfdeck.app.settings import understand
from vfdeck.backend.agent.remote_host import RemoteHost
from vfdeck.backend.host import Host
from vfdeck.backend.model import ProblemKind
from vfdeck.backend.sim import scenario
from vfdeck.backend.sim.faults.host import PracticeHost
from vfdeck.backend.sim.kernel import SimulatedKernel
from vfdeck.backend.sim.scenario import SimulatedHost
from vfdeck.backend.sim.surroundings import Credentials
from vfdeck.backend.token import Token
from vfdeck.widgets.rows import RowId

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
    top: str = "Dashboard"  # the class of the screen that is on top then
    does: str = ""  # the action of the registry that it shows
    scenario: str = "default"
    second: float = 20.0
    theme: str = themes.USUAL
    no_color: bool = False
    settings: str = ""  # the text of the file

    @property
    def id(self) -> str:
        """The file's name."""
        return f"{self.name}-{self.size[0]}x{self.size[1]}"


#: The sizes of every picture, unless the table says why not.
SIZES = ((40, 12), (80, 24), (120, 40))
#: A dialog about one number or one choice: on a large terminal it floats, the same, in the middle of what `demo` shows.
SMALL = SIZES[:2]
#: As large as a terminal gets.
WIDE = (250, 80)


def shots(
    name: str, way: Way, top: str = "Dashboard", does: str = "", scenario: str = "default", sizes: Any = SIZES
) -> list[Picture]:
    """The same at every size."""
    return [Picture(name, size, way, top, does, scenario) for size in sizes]


def keys(*pressed: str) -> Way:
    """Press keys, and wait until nothing is looked up any more."""

    async def way(deck: Deck, _: SimulatedHost) -> None:
        await deck.press(*pressed)

    return way


def after(first: Way, *pressed: str) -> Way:
    """Keys after another way."""

    async def way(deck: Deck, host: SimulatedHost) -> None:
        await first(deck, host)
        await deck.press(*pressed)

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


async def to_accelerator(deck: Deck) -> None:
    """Go to a PF that nobody holds."""
    while deck.tree.row_id is None or deck.tree.row_id.bdf != "0000:af:00.0":
        await deck.press("down")


async def token_set(deck: Deck, _: SimulatedHost) -> None:
    """A token was set on the accelerator."""
    await to_accelerator(deck)
    await deck.press("t")
    await deck.paste(TOKEN)
    await deck.press("enter")
    await deck.until(lambda: deck.dialog == "ConfirmDialog")
    await deck.press("y")
    await deck.until(lambda: "✓" in deck.line)


async def waiting(deck: Deck, host: SimulatedHost) -> None:
    """VFs are taken away while two machines hold one each: the first lets go when asked, for the other one the kernel waits."""
    await deck.press("v", "0", "enter")
    await deck.until(lambda: deck.dialog == "ConfirmDialog")
    await deck.press("Y")
    await deck.until(lambda: any(job.waits_for for job in host.snapshot().jobs))
    host.advance(12)
    await deck.until(lambda: all("(4242)" not in job.waits_for for job in host.snapshot().jobs))
    await deck.press("r")
    await deck.until(lambda: "12 s" in deck.line and "(4391)" in deck.line)


async def palette(deck: Deck, _: SimulatedHost) -> None:
    """The palette before anything is typed, its cursor at rest."""
    await deck.press("colon")
    await deck.until(lambda: "Set the PF's VF token" in deck.text)
    field = deck.app.screen.query_one(Input)
    field.cursor_blink = False
    await deck.pilot.pause()


async def held(deck: Deck, _: SimulatedHost) -> None:
    """The accelerator, held open by vfdeck."""
    await to_accelerator(deck)
    await deck.press("o", "tab", "tab", "space", "enter")
    await deck.until(lambda: deck.dialog == "ConfirmDialog")
    await deck.press("y")
    await deck.until(lambda: "✓" in deck.line)
    if deck.dialog:
        await deck.press("escape")


async def probed(deck: Deck, _: SimulatedHost) -> None:
    """Autoprobe of the first PF was turned off."""
    await deck.press("a", "y")
    await deck.until(lambda: "✓" in deck.line)


async def handing_on(deck: Deck, _: SimulatedHost) -> None:
    """A new token is to be handed on to a program that does not take it."""
    await deck.press("T", "ctrl+o", "down")
    await deck.paste("sh -c 'echo no key for vf/nic0; exit 1'")
    await deck.press("enter")
    await deck.until(lambda: "no key for" in deck.text)


async def handed_on(deck: Deck, _: SimulatedHost) -> None:
    """A new token was handed to a program."""
    await deck.press("T", "ctrl+o", "down")
    await deck.paste("head -c 36")
    await deck.press("enter")
    await deck.until(lambda: deck.dialog == "TokenDialog")


async def unseen_set(deck: Deck, _: SimulatedHost) -> None:
    """A token was set that nobody has seen."""
    await to_accelerator(deck)
    await deck.press("t", "g", "enter", "enter")
    await deck.until(lambda: deck.dialog == "ConfirmDialog")
    await deck.press("y")
    await deck.until(lambda: "✓" in deck.line)


async def eventful(deck: Deck, host: SimulatedHost) -> None:
    """Autoprobe was turned off, then a VF opened without its token."""
    await probed(deck, host)
    host.advance(3)
    await refused_beside(deck, host)


async def unreadable(deck: Deck, host: SimulatedHost) -> None:
    """A card answers no more, a file holds nonsense, and the programs of others cannot be looked at; the settings have faults."""
    card, said = "/sys/bus/pci/devices/0000:81:00.0/", {"sriov_offset": b"0x\x1b[31m!\n"}
    read = host.kernel.read

    def fails(path: str, *more: Any) -> bytes:
        name = path.removeprefix(card)
        if path.startswith(card) and name in ("numa_node", "current_link_speed"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return said[name] if name in said and path.startswith(card) else read(path, *more)

    host.kernel.read = fails  # type: ignore[method-assign]
    assert isinstance(host.kernel, SimulatedKernel)
    host.kernel.process.credentials = Credentials(uid=1000)
    await deck.until(lambda: not deck.main.is_inspecting)
    await deck.press("r")
    await deck.until(lambda: deck.main.fleet.snapshots[0].problems)
    await deck.pilot.pause()  # what is looked up anew for the panel below the page is begun by then
    await deck.until(lambda: not deck.main.is_inspecting)
    await deck.press("p")


async def leaving(deck: Deck, host: SimulatedHost) -> None:
    """Quit is pressed while the kernel waits."""
    await waiting(deck, host)
    await deck.press("q")


def themed(name: str) -> list[Picture]:
    """The pictures that there are of every theme."""
    removal = keys("v", "0", "enter")
    return [
        Picture(f"{name}-demo", (80, 24), keys(), theme=name),
        Picture(f"{name}-demo", (120, 40), keys(), theme=name),
        Picture(f"{name}-refused", (80, 24), refused, "ResultPage", theme=name),
        Picture(f"{name}-removal", (80, 24), removal, "ConfirmDialog", theme=name),
    ]


#: Marks two PFs.
MARKS = ("m", "down", "down", "down", "m")
#: To the first of six VFs that are alike.
FREE_VF = ("down", "down", "down", "right")

#: Settings with faults, and those that change what is to be seen.
FAULTY = 'theme = "drak"\nkeymap = "vim"\n[keys]\ntoken = "u"\n'
OTHERWISE = 'keymap = "htop"\ncolumns = ["holder", "state", "token", "driver"]\ndetails = "below"\n'

REMOVAL = keys("v", "0", "enter")
PICTURES = [
    # the screen
    *shots("demo", keys()),
    Picture("demo", (200, 50), keys()),
    *shots("device", keys("1", "d"), does="details", sizes=SIZES[1:]),
    *(Picture("device", size, keys("1"), does="panel_device") for size in ((40, 12), WIDE)),
    *shots("token", keys("2", "d"), does="panel_token", sizes=SIZES[1:2]),  # at 120x40 it fills the screen to the last line
    *(Picture("token", size, keys("2"), does="panel_token") for size in ((40, 12), WIDE)),
    *shots("ladder", keys(*FREE_VF, "3", "d"), does="panel_open", sizes=SIZES[1:]),
    *(Picture("ladder", size, keys(*FREE_VF, "3"), does="panel_open") for size in ((40, 12), WIDE)),
    *shots("ladder-refused", refused_ladder),
    *shots("holders", keys("4", "d"), does="panel_holders", sizes=SIZES[1:]),
    *(Picture("holders", size, keys("4"), does="panel_holders") for size in ((40, 12), WIDE)),
    *shots("events", after(eventful, "5"), does="panel_events"),
    *shots("shell", after(eventful, "6"), does="panel_shell"),
    *shots("copied", after(probed, "C"), does="copy", sizes=SMALL),  # a line
    *shots("folded", keys("minus"), does="fold_all"),
    *shots("unfolded", keys("plus"), does="unfold_all"),
    *shots("found", keys("slash", *"qemu"), does="search"),
    *shots("found-next", keys("slash", *"qemu", "enter", "n"), does="next", sizes=SMALL),  # a mark in the line of `found`
    *shots("found-before", keys("slash", *"qemu", "enter", "N"), does="previous", sizes=SMALL),
    *shots("filtering", keys("f", *"driver:vf"), does="filter"),
    *shots("filtered", keys("f", *"driver:vfio-pci", "enter")),
    *shots("filter-wrong", keys("f", *"drivr:x")),
    *shots("marked", keys(*MARKS), does="mark"),
    *shots("sorted", keys("s"), does="sort"),
    *shots("greyed", keys("end", "t")),
    *shots("token-set", token_set),
    *shots("refused-beside", refused_beside),
    *shots("waiting", waiting),
    *shots("empty", keys(), scenario="none"),
    *shots("broken", keys(), scenario="broken"),
    Picture("too-small", (36, 8), keys()),
    # dialogs
    *shots("set-token", token_typed, "TokenDialog", "token"),
    *shots("wrong-token", token_wrong, "TokenDialog"),
    *shots("rotate", keys("T"), "TokenDialog", "rotate"),
    *shots("hand-on", handing_on, "HandOnDialog"),
    *shots("handed-on", handed_on, "TokenDialog"),
    *shots("token-known", after(unseen_set, "t"), "TokenDialog"),
    *shots("vfs", keys("v", "1", "2"), "NumvfsDialog", "vfs"),
    *shots("vfs-too-many", keys("v", "9", "9", "9", "enter"), "NumvfsDialog"),
    *shots("bind", keys("b"), "DriverDialog", "bind"),
    *shots("open", keys("down", "o"), "OpenDialog", "open"),
    *shots("autoprobe", after(probed, *MARKS, "a"), "AutoprobeDialog", "autoprobe"),
    *shots("check", keys("w"), "CheckDialog", "check", sizes=SMALL),
    *shots("export", after(probed, "m", "x"), "ExportDialog", "export"),
    *shots("export-wrong", after(probed, "x", "tab", ".", "t", "x", "t"), "ExportDialog", sizes=SMALL),
    *shots("theme", keys("ctrl+t"), "ThemeDialog", "theme"),
    *shots("palette", palette, "CommandPalette", "palette"),
    *shots("leave", leaving, "LeaveDialog", "quit"),
    *shots("leave-token", after(unseen_set, "q"), "LeaveDialog"),
    # confirmations
    *shots("confirm", keys("a"), "ConfirmDialog"),
    *shots("confirm-removal", keys("v", "1", "2", "enter"), "ConfirmDialog", sizes=SIZES[2:]),  # kept as the README shows it
    *shots("confirm-removal", REMOVAL, "ConfirmDialog", sizes=SMALL),
    *shots("unbind", keys("u"), "ConfirmDialog", "unbind"),
    *shots("close", after(held, "c"), "ConfirmDialog", "close"),
    *shots("reset", keys("R"), "ConfirmDialog", "reset"),
    *shots("undo", after(probed, "z"), "ConfirmDialog", "undo"),
    *shots("many", keys(*MARKS, "u"), "ConfirmDialog"),
    # pages
    *shots("refused", refused, "ResultPage"),
    *shots("result", after(refused_beside, "e"), "ResultPage", "result", sizes=SMALL),  # `refused`, come back to
    *shots("checked", keys("w", "8", "enter"), "CheckPage"),
    *shots("checked-host", keys("home", "w"), "HostPage", scenario="broken"),
    *shots("catalogue", keys("home", "w", "e"), "Page", scenario="broken"),
    *(Picture("problems", size, unreadable, "Page", "problems", settings=FAULTY) for size in SIZES),
    *shots("practice", keys(), "Page", scenario="fault:A14"),
    *(Picture("settings", size, keys(), settings=OTHERWISE) for size in SIZES),
    *shots("help", keys("question_mark"), "Page", "help"),
    # fewer colours: the words and their places are those of the pictures above
    Picture("16-colours", (80, 24), keys(), theme=themes.TERMINALS),
    Picture("16-colours-token", (80, 24), token_wrong, "TokenDialog", theme=themes.TERMINALS),
    Picture("16-colours-refused", (80, 24), refused, "ResultPage", theme=themes.TERMINALS),
    Picture("16-colours-removal", (80, 24), REMOVAL, "ConfirmDialog", theme=themes.TERMINALS),
    *(picture for name in themes.palettes() if name != themes.USUAL for picture in themed(name)),
    Picture("no-colour", (80, 24), keys(), no_color=True),
    Picture("no-colour-removal", (80, 24), REMOVAL, "ConfirmDialog", no_color=True),
]

#: Actions of which there is nothing to be seen that is not in another picture.
UNSEEN = {
    "refresh": "shows what is there",
    "next_panel": "as its number does",
    "previous_panel": "as its number does",
    "tour_next": "test_tour_pictures.py",
    "tour_back": "test_tour_pictures.py",
    "tour_act": "test_tour_pictures.py",
    "tour_leave": "the strip is gone",
}


def descendants(parent: type) -> set[type]:
    """Every class below one."""
    children: list[type] = parent.__subclasses__()
    return {cls for child in children for cls in (child, *descendants(child))}


def test_every_dialog_and_page_has_its_picture() -> None:
    for module in pkgutil.walk_packages(dashboard.__path__, f"{dashboard.__name__}."):
        importlib.import_module(module.name)
    shown = {
        cls.__name__ for cls in descendants(Dialog) if not cls.__name__.startswith("_") and cls.__module__.startswith("vfdeck.")
    }
    assert {"TokenDialog", "Page", "ResultPage"} <= shown
    assert shown <= {picture.top for picture in PICTURES}


def test_every_action_has_its_picture_or_a_reason_for_none() -> None:
    seen = {picture.does for picture in PICTURES if picture.does}
    assert seen.isdisjoint(UNSEEN)
    assert seen | set(UNSEEN) == {action.id for action in ACTIONS}


def test_every_picture_is_taken_at_every_size_or_the_table_says_why_not() -> None:
    names = [picture.id for picture in PICTURES]
    assert len(names) == len(set(names))
    for picture in PICTURES:
        if picture.theme == themes.USUAL and not picture.no_color and picture.name != "too-small":
            assert {f"{picture.name}-40x12", f"{picture.name}-80x24"} <= set(names)


async def looked_up(deck: Deck) -> None:
    """Wait for what is looked up for the panel."""
    await deck.until(lambda: not deck.main.is_inspecting)


async def at_rest(deck: Deck) -> None:
    """Wait until what is drawn stays as it is: a scroll bar and the lines beside it come with the layout after the text's."""
    same, before = 0, ""
    while same < 5:
        await deck.pilot.pause()
        now = deck.app.export_screenshot()
        same, before = (same + 1 if now == before else 0), now


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.id)
def test_picture(snap_compare: SnapCompare, picture: Picture, monkeypatch: pytest.MonkeyPatch) -> None:
    if picture.no_color:
        monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(Token, "generate", lambda: Token.parse(TOKEN))
    done: list[str] = []
    act = Dashboard.action_act

    def noted(screen: Dashboard, action: str) -> None:
        done.append(action)
        act(screen, action)

    monkeypatch.setattr(Dashboard, "action_act", noted)
    host = scenario.load(picture.scenario, seed=1)
    if picture.second:
        host.advance(picture.second)
    lesson = Lesson.of(host.exercise) if isinstance(host, PracticeHost) else None
    reading = understand(picture.settings, "~/.config/vfdeck/settings.toml")
    app = DashboardApp([host], theme=picture.theme, follow=False, lesson=lesson, reading=reading)

    async def come(pilot: Pilot[Any]) -> None:
        deck = Deck(app, pilot)
        await deck.until(lambda: deck.main.fleet.snapshots)
        await looked_up(deck)
        await at_rest(deck)  # a screen under a dialog is not laid out anew
        await picture.way(deck, host)
        await looked_up(deck)
        await deck.until(lambda: type(app.screen).__name__ == picture.top)
        await at_rest(deck)
        assert not picture.does or picture.does in done

    assert snap_compare(app, terminal_size=picture.size, run_before=come)


#: So many hosts of the fleet are in its pictures: every so-manieth, and those that are odd.
EVERY, ODD = 40, ("r04-n17", "r06-n28", "r09-n05", "r21-n38", "r22-n09", "r24-n40")

FLEET = [
    *shots("fleet", keys(), sizes=(*SIZES, WIDE)),
    *shots("fleet-alike-opened", keys("right", "down", "right", "down", "right")),
    Picture("fleet-odd-first", (120, 40), keys("s", "s", "s", "home", "down", "right", "down")),
    *shots("fleet-odd-first", keys("s", "s", "s", "home"), sizes=SMALL),
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
        await looked_up(deck)
        await at_rest(deck)
        await picture.way(deck, scenario.load("card"))
        await looked_up(deck)
        await at_rest(deck)

    assert snap_compare(app, terminal_size=picture.size, run_before=come)


async def at_lost(deck: Deck, _: SimulatedHost) -> None:
    """The cursor on a PF of a host that was lost, and a key that would change it."""
    deck.tree.select(RowId("hv-02", "0000:03:00.0"))
    await deck.press("b")
    assert deck.dialog == ""


#: Hosts behind agents: one that is there, one that was lost, one that was never reached, one that is being connected.
REMOTE = [
    Picture("remote", (120, 40), keys("home")),
    Picture("remote", (80, 24), keys("home")),
    Picture("remote-lost", (120, 40), at_lost),
    Picture("remote-lost", (40, 12), at_lost),
]


@pytest.mark.parametrize("picture", REMOTE, ids=lambda picture: picture.id)
def test_picture_of_hosts_behind_agents(snap_compare: SnapCompare, picture: Picture, tmp_path: Path) -> None:
    near, last = scenario.load("card", seed=1), scenario.load("default", seed=1)
    last.advance(20)
    gate = Gate(tmp_path)
    lost = RemoteHost("hv-02", Demo(tmp_path, REFUSED))
    lost._snapshot = replace(last.snapshot(), host=replace(last.snapshot().host, name=lost.name))
    refused = RemoteHost("hv-03", Demo(tmp_path, REFUSED))
    waiting = RemoteHost("hv-04", Demo(tmp_path, gate.wait))
    hosts: list[Host] = [near, lost, refused, waiting]
    app = DashboardApp(hosts, theme=picture.theme, follow=False)

    async def come(pilot: Pilot[Any]) -> None:
        deck = Deck(app, pilot)

        def are_told() -> bool:
            kinds = [snapshot.away.kind for snapshot in deck.main.fleet.snapshots if snapshot.away is not None]
            return kinds == [ProblemKind.LOST, ProblemKind.LOST, ProblemKind.CONNECTING]

        await deck.until(are_told)
        await deck.until(lambda: deck.main.fleet.snapshot(near.name) is not None)
        await picture.way(deck, near)
        await looked_up(deck)
        await at_rest(deck)

    same = snap_compare(app, terminal_size=picture.size, run_before=come)
    for host in hosts:
        host.close()
    gate.open()
    assert same
