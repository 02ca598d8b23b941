"""Foreign text through every module that draws, narrow and wide: nothing of it is obeyed, every line is as wide as the terminal.

Which modules there are is read from the packages: one that is new has to say here how foreign text comes to it, or why none does.
"""

from __future__ import annotations

import dataclasses
import pkgutil
from collections.abc import Callable
from typing import Any

import pytest
from rich.cells import cell_len

from tests import values
from tests.fake_host import FakeHost
from tests.pilot.driving import Deck, running
from tests.widgets.hostile import TEXTS, fleet, outcome
from vfdeck import widgets
from vfdeck.app.dashboard import dialogs
from vfdeck.app.dashboard.dialogs.autoprobe import AutoprobeDialog
from vfdeck.app.dashboard.dialogs.base import Page
from vfdeck.app.dashboard.dialogs.check import CheckDialog, CheckPage, HostPage
from vfdeck.app.dashboard.dialogs.confirm import ConfirmDialog
from vfdeck.app.dashboard.dialogs.driver import DriverDialog
from vfdeck.app.dashboard.dialogs.export import ExportDialog
from vfdeck.app.dashboard.dialogs.hand_on import HandOnDialog
from vfdeck.app.dashboard.dialogs.leave import LeaveDialog
from vfdeck.app.dashboard.dialogs.numvfs import Judged, NumvfsDialog
from vfdeck.app.dashboard.dialogs.open import OpenDialog
from vfdeck.app.dashboard.dialogs.result import ResultPage
from vfdeck.app.dashboard.dialogs.token import TokenDialog
from vfdeck.app.dashboard.exporting import Offer
from vfdeck.app.dashboard.feed import UeventsHeard
from vfdeck.backend.changes import Open, Plan, SetNumvfs, Step
from vfdeck.backend.checks import Check, Report, Verdict
from vfdeck.backend.kernel import LogLine, Uevent
from vfdeck.backend.text import printable
from vfdeck.backend.token import Token
from vfdeck.widgets.report import report
from vfdeck.widgets.sections import Fact, Section
from vfdeck.widgets.shell_facts import Ran
from vfdeck.widgets.state import Tone

SIZES = ((40, 12), (160, 48))


def pf_of(text: str) -> Any:
    """A PF of which everything is foreign."""
    return fleet(text).functions[values.PF]


def a_report(text: str) -> Report:
    """An answer of checks."""
    return Report(text, (Check(text, Verdict.NO, (text,), "A1", do=(text,)), Check(text, Verdict.UNKNOWN, (text,))))


def a_plan(text: str, impossible: str = "") -> Plan:
    """A plan in which everything is foreign."""
    return Plan(SetNumvfs(values.PF, 3), text, (Step(text, text),), (text,), impossible=impossible)


def judged(text: str) -> NumvfsDialog:
    """A number of VFs that is judged with it."""
    return NumvfsDialog(pf_of(text), lambda _: [Judged(text, a_plan(text, text), a_report(text))])


def sections(text: str) -> list[Section]:
    """A page's."""
    return [Section(text, (Fact(text, text), Fact("", text)))]


#: How foreign text comes to each module of dialogs; None: none does, as it says itself.
DIALOGS: dict[str, tuple[Callable[[str], Any], ...]] = {
    "autoprobe": (lambda text: AutoprobeDialog(pf_of(text)),),
    "base": (lambda text: Page(text, sections(text), keys="x"),),
    "check": (
        lambda text: CheckDialog(pf_of(text)),
        lambda text: CheckPage(text, [a_report(text)]),
        lambda text: HostPage(text, a_report(text)),
    ),
    "confirm": (lambda text: ConfirmDialog(a_plan(text)), lambda text: ConfirmDialog(a_plan(text, text))),
    "driver": (lambda text: DriverDialog(pf_of(text), fleet(text)),),
    "hand_on": (lambda text: HandOnDialog(Token.generate(), text, simulated=True),),
    "export": (lambda text: ExportDialog([Offer("x", text, text, {".json": str}), Offer("y", text, text, {}, text)]),),
    "leave": (lambda text: LeaveDialog(sections(text)),),
    "numvfs": (judged,),
    "open": (lambda text: OpenDialog(pf_of(text), fleet(text), None),),
    "result": (lambda text: ResultPage(text, report(outcome(Open(values.PF), text)), Tone.BAD),),
    "theme": (),  # names of themes, which are vfdeck's own
    "token": (lambda text: TokenDialog(pf_of(text), fleet(text)),),
}

#: Where each module of widgets gets it: on the main screen, in a panel, in a dialog, or not at all.
SCREEN, PANEL, DIALOG, NONE = "screen", "panel", "dialog", "none"
WIDGETS = {
    **dict.fromkeys(("alike", "bars", "branches", "cells", "changed", "columns", "fleet_tree", "news", "painting", "rows"), SCREEN),
    **dict.fromkeys(("filtering", "query", "searching", "slices", "sorting", "state", "tree_view"), SCREEN),
    **dict.fromkeys(("device_facts", "event_facts", "facts", "happened", "holder_facts", "holder_words", "host_facts"), PANEL),
    **dict.fromkeys(("open_facts", "panel_view", "section_view", "sections", "shell_facts", "token_facts"), PANEL),
    **dict.fromkeys(("choices", "report"), DIALOG),
    "nearest": NONE,  # names of ours
    "tabs": NONE,  # titles of panels
    "token_field": NONE,  # what is typed is not repeated
    "tour_strip": NONE,  # texts of the tour
}


def modules(package: Any) -> set[str]:
    """The names of a package's modules."""
    return {module.name for module in pkgutil.iter_modules(package.__path__)}


def test_no_module_is_missing() -> None:
    assert set(DIALOGS) == modules(dialogs)
    assert set(WIDGETS) == modules(widgets)


def is_sane(deck: Deck) -> None:
    """Every line is as wide as the terminal, holds nothing that a terminal obeys, and no markup."""
    width = deck.app.size.width
    for strip in deck.app.screen._compositor.render_strips():
        assert cell_len(strip.text) == width, strip.text
        assert printable(strip.text, limit=10_000).rstrip() == strip.text.rstrip()
        assert not any(segment.style and segment.style.meta.get("@click") for segment in strip)
        assert not any(segment.style and segment.style.link for segment in strip)


def test_what_is_obeyed_would_be_noticed() -> None:
    for raw in ("\x1b[31mx", "\u202ex", "a\tb", "\x9bx"):
        assert printable(raw, limit=10_000).rstrip() != raw.rstrip()


async def settled(deck: Deck) -> None:
    """Let it find its height."""
    for _ in range(3):
        await deck.pilot.pause()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
async def test_screen_and_panels(text: str, size: tuple[int, int]) -> None:
    view = fleet(text)
    host = FakeHost(dataclasses.replace(view, host=dataclasses.replace(view.host, name=text)))
    host.name = text
    host.lines = [LogLine(1.0, printable(f"{values.PF} {text}"), time=values.NOON)]
    async with running(host, size=size) as deck:
        heard = Uevent(text, text, text, values.PF, text, values.NOON)
        deck.main.post_message(UeventsHeard(text, (heard, Uevent(text, text, text, "", text))))
        deck.main._transcript.begun(1, Ran(text, text, (Step(text, text), Step(text, "")), values.NOON))
        deck.main._transcript.done(1, outcome(Open(values.PF), text))
        for key in ("plus", "down", "2", "3", "4", "5", "r", "6", "up", "slash", "x", "escape", "s"):
            await deck.press(key)
            is_sane(deck)
        assert deck.app.is_running


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", DIALOGS)
async def test_dialogs(name: str, size: tuple[int, int]) -> None:
    async with running(size=size) as deck:
        for text in TEXTS:
            for make in DIALOGS[name]:
                deck.app.push_screen(make(text))
                await settled(deck)
                if name == "numvfs":
                    await deck.press("3")
                is_sane(deck)
                await deck.press("escape")
                assert deck.dialog == ""
