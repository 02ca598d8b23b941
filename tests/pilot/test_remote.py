"""Hosts behind agents in the dashboard: connecting, there, refused, lost."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from tests.agent.ways import REFUSED, Demo, Gate
from tests.fake_host import FakeHost, small_fleet
from tests.pilot.driving import Deck, running
from vfdeck.backend.agent.remote_host import RemoteHost
from vfdeck.backend.changes import SetAutoprobe
from vfdeck.backend.model import ONLY_LOOKS, ProblemKind, Snapshot
from vfdeck.widgets.rows import RowId


def seen(deck: Deck, name: str = "hv-1") -> Snapshot:
    found = deck.main.fleet.snapshot(name)
    assert found is not None
    return found


def beside(deck: Deck) -> str:
    """What the panel beside the tree says."""
    return " ".join(" ".join(line.partition("│")[2] for line in deck.text.splitlines()).split())


def is_away(deck: Deck) -> bool:
    return seen(deck).away is not None


async def there(deck: Deck, name: str = "hv-1") -> None:
    """Wait until a host is connected."""
    await deck.until(lambda: seen(deck, name).away is None)


def lose(host: RemoteHost, why: str = "the connection ended") -> None:
    assert host._connection is not None
    host._connection.give_up(why)


async def test_a_host_that_is_not_connected_yet_is_in_the_tree_and_holds_up_nothing(tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    host = RemoteHost("hv-1", Demo(tmp_path, gate.wait))
    async with running(host, FakeHost(small_fleet("near"))) as deck:
        await deck.until(lambda: seen(deck, "near").functions)
        assert "hv-1  connecting …" in deck.text
        assert seen(deck).never_seen
        await deck.press("home", "d")
        assert "not privileged" not in deck.text, "nothing is said of a host that was never seen"
        await deck.press("d", "c")
        assert "hv-1: connecting" in deck.line
        gate.open()
        await there(deck)
        assert seen(deck).functions
        assert "hv-1  connecting" not in deck.text
        assert not any(entry.text for entry in deck.main._timeline if entry.host == "hv-1"), "what is there is no news"
        host.close()


async def test_a_login_that_is_refused_is_tried_again_by_a_key_only(tmp_path: Path) -> None:
    way = Demo(tmp_path, REFUSED)
    host = RemoteHost("hv-1", way)
    async with running(host, size=(160, 30)) as deck:
        await deck.until(lambda: seen(deck).problems[0].kind is ProblemKind.LOST)
        assert "hv-1  not reached: the login was refused" in deck.text
        assert "ssh hv-1" in deck.text, "what to do"
        await deck.press("home")
        assert "only r tries again" in beside(deck)
        deck.main._feed.look_soon()
        deck.main._feed.look_soon()
        await deck.until(lambda: not deck.main._feed._looking)
        assert way.tries == 1
        way.before = ""
        await deck.press("home", "r")
        await there(deck)
        assert way.tries == 2
        host.close()


async def test_only_the_host_at_the_cursor_logs_in_again(tmp_path: Path) -> None:
    ways = {}
    for name in ("hv-1", "hv-2"):
        (tmp_path / name).mkdir()
        ways[name] = Demo(tmp_path / name, REFUSED)
    hosts = [RemoteHost(name, way) for name, way in ways.items()]
    async with running(*hosts) as deck:
        await deck.until(lambda: all(seen(deck, name).problems[0].kind is ProblemKind.LOST for name in ways))
        deck.tree.select(RowId("hv-2"))
        await deck.press("r")
        await deck.until(lambda: ways["hv-2"].tries == 2)
        await deck.until(lambda: not deck.main._feed._looking and not deck.main._feed._wanted)
        assert ways["hv-1"].tries == 1
    for host in hosts:
        host.close()


async def test_a_lost_host_is_dim_and_its_last_picture_stays(tmp_path: Path) -> None:
    way = Demo(tmp_path)
    host = RemoteHost("hv-1", way)
    async with running(host, size=(160, 40)) as deck:
        await there(deck)
        before = seen(deck)
        pf = before.pfs()[0].bdf
        deck.tree.select(RowId("hv-1", pf))
        way.before = REFUSED
        lose(host)
        await deck.press("r")
        await deck.until(lambda: seen(deck).away is not None and seen(deck).problems[0].kind is ProblemKind.LOST)
        assert seen(deck).functions == before.functions
        assert "lost, last seen at" in deck.text
        assert "only r tries again" in beside(deck)
        row = deck.tree.rows.find(RowId("hv-1", pf))
        assert row is not None
        assert deck.tree._look(deck.tree.rows[row], "").away
        await deck.press("b")
        assert deck.dialog == "", "nothing can be asked of it"
        assert "hv-1: lost, last seen at" in deck.line
        told = [entry.text for entry in deck.main._timeline if entry.host == "hv-1"]
        assert [text for text in told if "no connection" in text] == told[-1:]
        way.before = ""
        await deck.press("r")
        await there(deck)
        host.close()


async def test_what_is_marked_on_a_lost_host_cannot_be_changed(tmp_path: Path) -> None:
    way = Demo(tmp_path)
    host = RemoteHost("hv-1", way)
    async with running(host) as deck:
        await there(deck)
        deck.tree.select(RowId("hv-1", seen(deck).pfs()[0].bdf))
        await deck.press("m")
        way.before = REFUSED
        lose(host)
        await deck.press("r")
        await deck.until(lambda: seen(deck).away is not None and seen(deck).problems[0].kind is ProblemKind.LOST)
        await deck.press("b")
        assert "lost" in deck.line
        host.close()


async def test_a_change_there_goes_through_the_agent(tmp_path: Path) -> None:
    host = RemoteHost("hv-1", Demo(tmp_path))
    async with running(host, size=(120, 40)) as deck:
        await there(deck)
        pf = next(pf for pf in seen(deck).pfs() if pf.sriov is not None and pf.sriov.autoprobe)
        deck.tree.select(RowId("hv-1", pf.bdf))
        await deck.press("a")
        await deck.until(lambda: deck.dialog == "ConfirmDialog")
        await deck.press("y")

        def is_off() -> bool:
            sriov = seen(deck).functions[pf.bdf].sriov
            return sriov is not None and sriov.autoprobe is False

        await deck.until(is_off)
        host.close()


async def test_where_no_host_is_reached_the_first_line_says_so(tmp_path: Path) -> None:
    hosts = []
    for name in ("hv-1", "hv-2"):
        (tmp_path / name).mkdir()
        hosts.append(RemoteHost(name, Demo(tmp_path / name, REFUSED)))
    async with running(*hosts) as deck:
        await deck.until(lambda: "no host was reached (p: why)" in deck.text)
        assert "looking …" not in deck.text


async def test_the_first_pf_has_the_cursor_unless_somebody_moved_it(tmp_path: Path) -> None:
    for moves, selected in (((), RowId("hv-1", "0000:03:00.0")), (("home",), RowId("hv-1"))):
        (folder := tmp_path / f"{len(moves)}").mkdir()
        gate = Gate(folder)
        host = RemoteHost("hv-1", Demo(folder, gate.wait))
        async with running(host) as deck:
            await deck.until(partial(is_away, deck))
            assert deck.tree.row_id == RowId("hv-1")
            await deck.press(*moves)
            gate.open()
            await there(deck)
            assert deck.tree.row_id == selected
            assert "DEMO" in deck.text, "what is simulated there is so here"
            host.close()


async def test_an_agent_that_only_looks_greys_every_change(tmp_path: Path) -> None:
    way = Demo(tmp_path, options="--read-only")
    host = RemoteHost("hv-1", way)
    async with running(host) as deck:
        await there(deck)
        for key in "tvbuoaR":
            await deck.press(key)
            assert deck.dialog == ""
            assert "hv-1: the agent there only looks (read-only)" in deck.line
        snapshot = seen(deck)
        plan = host.plan(SetAutoprobe("0000:03:00.0", False), snapshot)
        assert plan.impossible == ONLY_LOOKS
        await deck.press("home", "d")
        assert ONLY_LOOKS in " ".join(deck.text.split())
        host.close()
