"""The lines around the tree."""

from __future__ import annotations

import dataclasses

from textual.app import App, ComposeResult

from tests import values
from tests.fake_host import small_fleet
from vfdeck.backend.model import Job, JobState
from vfdeck.backend.sim.scenario import load
from vfdeck.widgets.bars import Banner, JobLine, Key, KeyBar
from vfdeck.widgets.state import Tone

KEYS = [Key("token", "t", "Token"), Key("open", "o", "Open", enabled=False), Key("quit", "q", "Quit", pinned=True)]


class BarsApp(App[None]):
    """All three lines."""

    def __init__(self) -> None:
        super().__init__()
        self.pressed: list[str] = []

    def compose(self) -> ComposeResult:
        """The lines."""
        yield Banner()
        yield JobLine()
        yield KeyBar()

    def on_key_bar_pressed(self, event: KeyBar.Pressed) -> None:
        """Write it down."""
        self.pressed.append(event.id)


async def test_the_banner_says_more_where_there_is_room() -> None:
    for width, expected in ((120, "DEMO · simulated hardware"), (80, "4 VFs  1 in use  ! 1 problem (p)"), (40, "DEMO")):
        app = BarsApp()
        async with app.run_test(size=(width, 5)):
            app.query_one(Banner).show([small_fleet()], True)
            text = app.query_one(Banner).render().plain
            assert expected in text
            assert len(text) <= width


async def test_a_hint_is_read_to_its_end_and_what_comes_by_itself_moves_nothing() -> None:
    app = BarsApp()
    async with app.run_test(size=(40, 9)) as pilot:
        line = app.query_one(JobLine)
        for words, height in ((4, 1), (8, 2), (15, 3), (200, 3)):
            line.hint(" ".join(f"word{number:02}" for number in range(words)))
            await pilot.pause()
            shown = "\n".join(strip.text for strip in app.screen._compositor.render_strips())
            assert line.size.height == height
            assert (f"word{words - 1:02}" in shown) == (words < 200)
            assert ("…" in shown.replace("looking …", "")) == (words == 200)
        line.clear_hint()
        await pilot.pause()
        assert line.size.height == 1
        line.show_last("it went well " * 20, Tone.GOOD)
        await pilot.pause()
        assert line.size.height == 1


async def test_a_warning_stays_longer_than_words_and_an_agent_that_only_looks_has_a_badge() -> None:
    hosts = [load("default").snapshot(), load("card").snapshot()]
    for width, expected in (
        (160, " 2 hosts   1 host: cdev asks no token "),
        (76, "  7 PFs 16 VFs 3 used"),
        (66, "  7/16/3"),
        (40, "  7/16/3"),
    ):
        app = BarsApp()
        async with app.run_test(size=(width, 5)):
            app.query_one(Banner).show(hosts, True)
            text = app.query_one(Banner).render().plain
            assert expected in text
            assert ("cdev asks no token" in text) == (width > 40)
            only = [dataclasses.replace(one, host=dataclasses.replace(one.host, read_only=True)) for one in hosts]
            app.query_one(Banner).show(only[:1], True)
            assert (" read-only " in app.query_one(Banner).render().plain) == (width > 60)


async def test_the_banner_of_many_hosts_and_of_none() -> None:
    app = BarsApp()
    async with app.run_test(size=(80, 5)):
        banner = app.query_one(Banner)
        banner.show([], False)
        assert "looking" in banner.render().plain
        assert "DEMO" not in banner.render().plain
        banner.show([small_fleet(), dataclasses.replace(small_fleet("b"), unseen=2)], False)
        assert "2 hosts" in banner.render().plain
        assert "≥2 in use" in banner.render().plain


async def test_the_banner_of_many_hosts_tells_what_most_suffer_from() -> None:
    app = BarsApp()
    async with app.run_test(size=(120, 5)):
        banner = app.query_one(Banner)
        hole, sound = load("datacentre/net-03").snapshot(), load("datacentre/rdma-01").snapshot()
        banner.show([hole, dataclasses.replace(hole, host=dataclasses.replace(hole.host, name="b")), sound], True)
        assert "2 hosts: cdev asks no token" in banner.render().plain
        banner.show([sound, dataclasses.replace(sound, host=dataclasses.replace(sound.host, name="b"))], True)
        assert "cdev" not in banner.render().plain


async def test_the_job_line_shows_the_most_urgent() -> None:
    app = BarsApp()
    async with app.run_test(size=(80, 5)):
        line = app.query_one(JobLine)
        line.show_last("✓ done", Tone.GOOD)
        assert line.text == "✓ done"
        line.show_jobs([small_fleet()], ["set 4 VFs", "set 2 VFs"])
        assert line.text == "◔ set 4 VFs  (+1 queued)"
        jobs = tuple(
            Job(n, f"job {n}", values.PF + str(n), JobState.RUNNING, "writing", values.NOON + n, "qemu (4242)") for n in (1, 2)
        )
        line.show_jobs([dataclasses.replace(small_fleet(), jobs=jobs)], ["set 4 VFs"])
        assert line.text == "◔ job 1 · 59 s · +1 more · waiting for qemu (4242)"
        line.hint("Open: not on vfio")
        assert line.text == "Open: not on vfio"
        line.clear_hint()
        assert line.text.startswith("◔ job 1")


async def test_keys_that_are_not_possible_give_way() -> None:
    for width, expected in ((80, "t Token  o Open  "), (26, "t Token  "), (10, "q Quit")):
        app = BarsApp()
        async with app.run_test(size=(width, 5)):
            bar = app.query_one(KeyBar)
            bar.show(KEYS)
            assert bar.render().plain.startswith(expected)
            assert bar.render().plain.rstrip().endswith("q Quit")


async def test_a_key_can_be_clicked() -> None:
    app = BarsApp()
    async with app.run_test(size=(80, 5)) as pilot:
        app.query_one(KeyBar).show(KEYS)
        await pilot.pause()
        await pilot.click(KeyBar, offset=(11, 0))
        await pilot.click(KeyBar, offset=(2, 0))
        await pilot.click(KeyBar, offset=(40, 0))
        await pilot.pause()
        assert app.pressed == ["open", "token"]
