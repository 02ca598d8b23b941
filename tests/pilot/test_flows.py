"""Every change from key to result: dialog, plan, confirmation, outcome."""

from __future__ import annotations

import dataclasses
import time

import pytest
from textual.widgets import Static

from tests import values
from tests.fake_host import NIC, NVME, FakeHost, done, refused
from tests.pilot.driving import Deck, running
from vfdeck.app.dashboard.feed import SnapshotReady
from vfdeck.backend.changes import (
    BindDriver,
    Change,
    Close,
    Explanation,
    Open,
    OpenPath,
    Outcome,
    SetAutoprobe,
    SetNumvfs,
    SetToken,
    UnbindDriver,
)
from vfdeck.backend.model import TokenState
from vfdeck.backend.plan import plan
from vfdeck.backend.token import Token

GOOD = "9e3b1d52-7c41-4f0a-8a6e-2f5b8c1d9e07"
VF = values.vf_address(NIC, 0)


async def confirm(deck: Deck, host: FakeHost, key: str = "y") -> Change:
    """Confirm the plan on the screen and wait until the change was carried out."""
    await deck.until(lambda: deck.dialog == "ConfirmDialog")
    before = len(host.performed)
    await deck.press(key)
    await deck.until(lambda: len(host.performed) > before)
    return host.performed[-1]


async def shows(deck: Deck, words: str) -> None:
    """Wait until the terminal shows some words."""
    await deck.until(lambda: words in deck.text)


async def test_set_a_typed_token() -> None:
    host = FakeHost()
    host.script = done
    async with running(host) as deck:
        await deck.press("t")
        assert deck.dialog == "TokenDialog"
        await deck.paste(GOOD)
        await deck.press("enter")
        assert await confirm(deck, host) == SetToken(NIC, Token.parse(GOOD))
        await deck.until(lambda: deck.line.startswith("✓ Done: SetToken on"))
        assert GOOD not in deck.text


async def test_rotate_makes_a_token_at_once() -> None:
    host = FakeHost()
    async with running(host) as deck:
        await deck.press("down", "T")
        assert "Rotate the VF token of" in deck.text
        assert "nobody has seen this token; ^r shows it" in deck.text
        await deck.press("ctrl+r", "enter")
        change = await confirm(deck, host)
        assert isinstance(change, SetToken)
        assert change.pf == NIC


async def test_a_plan_that_is_declined_says_what_became_of_the_token() -> None:
    host = FakeHost()
    async with running(host) as deck:
        await deck.press("t", "g", "ctrl+r", "enter", "escape")
        assert deck.line.startswith("Nothing was set: token #")
        assert host.performed == []


async def test_set_a_token_that_was_made_on_a_vf() -> None:
    host = FakeHost()
    async with running(host) as deck:
        await deck.press("down", "t", "g")
        assert "nobody has seen this token; ^r shows it" in deck.text
        await deck.press("enter")  # not without a second thought
        assert deck.dialog == "TokenDialog"
        assert "again sets it unseen" in deck.text
        await deck.press("enter")
        change = await confirm(deck, host)
        assert isinstance(change, SetToken)
        assert change.pf == NIC


async def test_a_made_token_that_was_shown_is_set_at_once() -> None:
    host = FakeHost()
    async with running(host) as deck:
        await deck.press("t", "g", "ctrl+r")
        assert "nobody has seen" not in deck.text
        await deck.press("g")  # another one, shown from the start
        assert "nobody has seen" not in deck.text
        await deck.press("ctrl+r", "enter")
        assert isinstance(await confirm(deck, host), SetToken)


async def test_enter_without_a_token_says_what_is_expected() -> None:
    async with running() as deck:
        await deck.press("t", "enter")
        assert deck.dialog == "TokenDialog"
        assert "nothing typed yet: a UUID of 32 hex digits" in deck.text
        await deck.press("escape", "down", "o", "down", "enter")
        assert deck.dialog == "OpenDialog"
        assert "nothing typed yet: a UUID of 32 hex digits" in deck.text


async def test_the_token_dialog_says_at_once_that_none_can_be_set() -> None:
    held = (values.make_holder(VF), values.make_holder(NIC, 77, "dpdk", kind="group"))  # its group only: no fd to borrow
    async with running(FakeHost(values.snapshot(*values.make_fleet(1, NIC), holders=held)), size=(200, 40)) as deck:
        await deck.press("t")
        said = " ".join(str(line.render()) for line in deck.app.screen.query(Static))
        assert "Can't be set now: VFs are in use (qemu-system-x86 (4242)" in said
        assert f"the group of {NIC} is taken by dpdk (77) on {NIC}" in said
        assert "Hand it on" not in said
        await deck.pilot.resize_terminal(80, 24)
        await deck.press("g")
        await shows(deck, "Continue  ⏎")
    for holders in ((), (values.make_holder(VF), values.own_holder(NIC))):
        async with running(FakeHost(values.snapshot(*values.make_fleet(1, NIC), holders=holders))) as deck:
            await deck.press("t")
            assert "Can't be set now" not in deck.text
            assert "is held" not in deck.text
            assert ("they go on" in deck.text) == bool(holders)


async def test_what_is_no_token_cannot_be_set() -> None:
    host = FakeHost()
    async with running(host) as deck:
        await deck.press("t", *"9e3b", "enter")
        assert deck.dialog == "TokenDialog"
        assert "4 hex digits, expected 32" in deck.text
        await deck.press("escape")
        assert deck.dialog == ""
        assert host.planned == []


async def test_set_the_number_of_vfs() -> None:
    host = FakeHost()
    async with running(host) as deck:
        await deck.press("v")
        assert "VFs: 4 on now, 8 at most" in deck.text
        await deck.press("x", "enter")
        assert "not a number" in deck.text
        await deck.press("backspace", "8", "enter")
        assert await confirm(deck, host) == SetNumvfs(NIC, 8)


@pytest.mark.parametrize("enabled", [True, False, None])
@pytest.mark.parametrize("count", [0, 2, 4, 8, 9])
async def test_the_planner_has_its_say_while_a_number_is_typed(enabled: bool | None, count: int) -> None:
    host = FakeHost()
    host.view = dataclasses.replace(host.view, host=dataclasses.replace(host.view.host, enable_sriov=enabled))
    host.planner = plan
    async with running(host, size=(250, 40)) as deck:
        await deck.press("v", str(count))
        expected = plan(SetNumvfs(NIC, count), host.view)
        said = " ".join(str(line.render()) for line in deck.app.screen.query(Static))
        for words in (expected.impossible or expected.title, *expected.warnings):
            assert words in said
        await deck.press("enter")
        assert deck.dialog == ("NumvfsDialog" if expected.impossible else "ConfirmDialog")


async def test_bind_to_vfio_to_the_kernels_choice_and_to_another() -> None:
    host = FakeHost()
    async with running(host) as deck:
        await deck.press("end", "b", "enter")
        assert await confirm(deck, host) == BindDriver(NVME, "vfio-pci")
        await deck.press("b", "down", "enter")
        assert await confirm(deck, host) == BindDriver(NVME, None)
        await deck.press("b", "down", "down", "enter")
        assert deck.dialog == "DriverDialog"
        await deck.press(*"pci_x/")
        assert "character 6 cannot be in a driver's name" in deck.text
        await deck.press("backspace", "enter")
        assert await confirm(deck, host) == BindDriver(NVME, "pci_x")


async def test_unbind_and_autoprobe_need_no_dialog() -> None:
    host = FakeHost()
    async with running(host) as deck:
        await deck.press("u")
        assert await confirm(deck, host) == UnbindDriver(NIC)
        await deck.press("a")
        assert await confirm(deck, host) == SetAutoprobe(NIC, False)


async def test_open_without_a_token_is_refused_and_explained() -> None:
    host = FakeHost()
    host.script = refused
    async with running(host) as deck:
        await deck.press("down", "o", "enter")
        assert await confirm(deck, host) == Open(VF)
        await deck.until(lambda: deck.dialog == "Page")
        assert f"Refused: EACCES at get_device_fd of {VF}" in deck.text
        for expected in (
            "errno: EACCES",
            "stage: get_device_fd",
            "its VFs open only with its token",
            "What to do",
            "How to check",
            "mistaken",
        ):
            assert expected in deck.page
        await deck.press("escape")
        assert deck.line.startswith("✗ Refused: EACCES at get_device_fd")
        await deck.press("e")
        assert deck.dialog == "Page"


async def test_open_with_the_token_of_this_session_and_hold() -> None:
    host = FakeHost()
    host.script = done
    async with running(host) as deck:
        await deck.press("t")
        await deck.paste(GOOD)
        await deck.press("enter")
        await confirm(deck, host)
        await deck.until(lambda: deck.line.startswith("✓"))
        await deck.press("down", "o")
        assert "set in this session, #" in deck.text
        await deck.press("tab", "tab", "space", "enter")
        assert await confirm(deck, host) == Open(VF, Token.parse(GOOD), hold=True)


async def test_a_token_that_was_replaced_is_offered_no_more() -> None:
    host = FakeHost()
    host.script = done
    async with running(host) as deck:
        await deck.press("t")
        await deck.paste(GOOD)
        await deck.press("enter")
        await confirm(deck, host)
        await deck.until(lambda: deck.line.startswith("✓"))
        await deck.press("r", "down", "o")
        assert "set in this session, #" in deck.text
        await deck.press("escape")
        host.view = dataclasses.replace(host.view, tokens={NIC: values.make_knowledge(NIC, TokenState.UNSET)})
        await deck.press("r")
        await deck.until(lambda: deck.main.fleet.snapshots[0].tokens[NIC].state is TokenState.UNSET)
        await deck.press("o")
        assert deck.dialog == "OpenDialog"
        assert "set in this session" not in deck.text
        assert not len(deck.main._tokens)


async def test_an_old_look_drops_no_token() -> None:
    host = FakeHost()
    host.script = done
    async with running(host) as deck:
        old = SnapshotReady(host.name, host.view, time.monotonic())
        await deck.press("t")
        await deck.paste(GOOD)
        await deck.press("enter")
        await confirm(deck, host)
        await deck.until(lambda: deck.line.startswith("✓"))
        deck.main.post_message(old)
        await deck.press("down", "o")
        assert "set in this session, #" in deck.text


async def test_open_with_a_typed_token_through_the_cdev() -> None:
    host = FakeHost(values.snapshot(*values.make_fleet(1, NIC, vf={"cdev": "vfio3"}), host={"cdev": True}))
    async with running(host) as deck:
        await deck.press("down", "o", "down")
        await deck.paste(GOOD)
        await deck.press("tab", "down", "enter")
        assert await confirm(deck, host) == Open(VF, Token.parse(GOOD), path=OpenPath.CDEV)


@pytest.mark.parametrize(("kernel", "hole"), [("6.12.107", True), ("6.18.0", False)])
async def test_the_open_dialog_tells_what_a_path_asks_for(kernel: str, hole: bool) -> None:
    view = values.snapshot(*values.make_fleet(1, NIC, vf={"cdev": "vfio3"}), host={"cdev": True, "kernel": kernel})
    async with running(FakeHost(view)) as deck:
        await deck.press("down", "o")
        assert ("by its group the kernel asks" in deck.text) == hole
        assert "asks for no token" not in deck.text
        await deck.press("tab", "down")
        said = " ".join(str(line.render()) for line in deck.app.screen.query(Static))
        assert ("asks for no token on this path (D17)" in said) == hole
        assert ("the kernel asks for that PF's token" in said) != hole


async def test_close_what_is_held() -> None:
    host = FakeHost(values.snapshot(*values.make_fleet(1, NIC), holders=(values.own_holder(VF),)))
    async with running(host) as deck:
        await deck.press("down", "c")
        assert await confirm(deck, host) == Close(VF)


async def test_nothing_is_done_without_a_confirmation() -> None:
    host = FakeHost()
    async with running(host) as deck:
        for keys in (("u", "escape"), ("u", "n"), ("v", "8", "enter", "escape"), ("t", "g", "enter", "enter", "tab", "enter")):
            await deck.press(*keys)
            await deck.press("escape", "escape")
        assert host.performed == []


async def test_what_takes_something_away_needs_its_own_key() -> None:
    host = FakeHost()
    host.plans[SetNumvfs] = {"destructive": True, "warnings": ("qemu loses its VF",)}
    async with running(host) as deck:
        await deck.press("v", "0", "enter")
        await deck.until(lambda: deck.dialog == "ConfirmDialog")
        assert "qemu loses its VF" in deck.text
        await deck.press("y")
        assert "press Y" in deck.text
        assert host.performed == []
        await deck.press("enter")  # the focus rests on Cancel
        assert deck.dialog == ""
        assert host.performed == []
        await deck.press("v", "0", "enter")
        assert await confirm(deck, host, "Y") == SetNumvfs(NIC, 0)


async def test_what_cuts_off_the_operator_needs_the_address_typed() -> None:
    host = FakeHost()
    host.plans[UnbindDriver] = {"destructive": True, "severe": "cuts your own connection", "warnings": ("you will be cut off",)}
    async with running(host) as deck:
        await deck.press("u")
        await deck.until(lambda: deck.dialog == "ConfirmDialog")
        assert "cuts your own connection" in deck.text
        assert f"Type {NIC} to do it all the same" in deck.text
        await deck.press("Y", "enter")  # goes into the field
        assert f"type {NIC} first" in deck.text
        await deck.press("tab", "Y", "y", "enter")  # on Cancel: neither key does it
        assert deck.dialog == ""
        await deck.press("u")
        await deck.paste(f"{NIC[:-1]}7")
        await deck.press("enter")
        assert deck.dialog == "ConfirmDialog"
        assert host.performed == []
        await deck.press("backspace", NIC[-1])
        assert await confirm(deck, host, "enter") == UnbindDriver(NIC)


@pytest.mark.parametrize("size", [(80, 24), (40, 12)])
async def test_a_long_severe_plan_scrolls_above_its_field_and_buttons(size: tuple[int, int]) -> None:
    host = FakeHost()
    warnings = tuple(f"line {number} of what goes away with this function and all that stands on it" for number in range(30))
    host.plans[UnbindDriver] = {"destructive": True, "severe": "cuts your own connection", "warnings": warnings}
    async with running(host, size=size) as deck:
        await deck.press("u")
        await shows(deck, "↑ ↓ scroll")
        for keys, seen in (((), "line 0 "), (("end",), "$ echo x >"), (("home",), "line 0 ")):
            await deck.press(*keys)
            await shows(deck, seen)
            for words in (f"Type {NIC}", "Cancel  Esc", "Do it  ⏎", "↑ ↓ scroll"):
                assert words in deck.text
        await deck.press("pagedown")
        await deck.until(lambda: "line 0 " not in deck.text)
        await deck.press("pageup")
        await shows(deck, "line 0 ")
        await deck.paste(NIC)
        assert NIC in deck.text.replace(f"Type {NIC}", "").split("line", 1)[-1]
        assert await confirm(deck, host, "enter") == UnbindDriver(NIC)


async def test_a_short_plan_needs_no_scrolling() -> None:
    async with running(size=(80, 24)) as deck:
        await deck.press("u")
        await deck.until(lambda: deck.dialog == "ConfirmDialog")
        assert "Do it" in deck.text
        assert "scroll" not in deck.text


async def test_severe_and_impossible_can_only_be_closed() -> None:
    host = FakeHost()
    host.plans[UnbindDriver] = {"severe": "cuts your own connection", "impossible": "busy", "steps": ()}
    async with running(host) as deck:
        await deck.press("u", "Y")
        assert deck.dialog == "ConfirmDialog"
        assert "to do it all the same" not in deck.text
        await deck.press("enter")
        assert deck.dialog == ""
        assert host.performed == []


async def test_enter_confirms_no_removal_wherever_the_focus_is_but_on_its_button() -> None:
    host = FakeHost()
    host.plans[UnbindDriver] = {"destructive": True}
    async with running(host) as deck:
        await deck.press("u", "enter")  # on Cancel
        assert deck.dialog == ""
        await deck.press("u")
        deck.app.screen.set_focus(None)
        await deck.press("enter", "enter")
        assert deck.dialog == "ConfirmDialog"
        await deck.press("escape")
        await deck.press("u", "tab", "tab", "enter")  # over its button and back on Cancel
        assert deck.dialog == ""
        for keys in (("u", "enter"), ("u", "enter", "enter"), ("u", "y", "enter")):
            for key in keys:  # faster than the dialog comes up
                deck.app.simulate_key(key)
            await deck.pilot.pause()
            await deck.press("escape")
        assert host.performed == []


async def test_what_is_impossible_can_only_be_closed() -> None:
    host = FakeHost()
    host.plans[UnbindDriver] = {"impossible": "the PF is being removed", "steps": ()}
    async with running(host) as deck:
        await deck.press("u")
        assert "the PF is being removed" in deck.page
        await deck.press("y", "Y")
        assert deck.dialog == "ConfirmDialog"
        await deck.press("enter")
        assert deck.dialog == ""
        assert host.performed == []


async def test_a_greyed_key_says_why() -> None:
    host = FakeHost()
    async with running(host) as deck:
        await deck.press("end", "t")
        assert deck.line == f"Token: {NVME} is on nvme; only a PF on vfio-pci has a token"
        await deck.press("o")
        assert deck.line.startswith(f"Open: {NVME} is on nvme")
        await deck.press("c")
        assert deck.line == f"Close: vfdeck does not hold {NVME} open"
        await deck.press("home", "b")
        assert deck.line == "Bind: choose a function first: this row is a host"
        await deck.press("e")
        assert deck.line == "Result: nothing was changed yet"
        await deck.press("down")
        assert deck.line == ""
        assert host.planned == []


async def test_a_change_that_waits_blocks_nothing_but_its_pf() -> None:
    host = FakeHost()
    host.script = done
    host.gate.clear()
    async with running(host) as deck:
        await deck.press("u")
        await confirm(deck, host)
        assert deck.line.startswith("◔ UnbindDriver")
        await deck.press("a", "y")  # queues behind it
        await deck.until(lambda: "queued" in deck.line)
        assert len(host.performed) == 1
        await deck.press("end", "u")  # another PF does not wait
        assert await confirm(deck, host) == UnbindDriver(NVME)
        host.gate.set()
        await deck.until(lambda: len(host.performed) == 3 and deck.line.startswith("✓"))
        assert SetAutoprobe(NIC, False) in host.performed


async def test_closing_never_queues_behind_what_may_wait_for_it() -> None:
    host = FakeHost(values.snapshot(*values.make_fleet(1, NIC), holders=(values.own_holder(VF),)))
    host.gate.clear()
    async with running(host) as deck:
        await deck.press("v", "0", "enter")
        await confirm(deck, host)
        await deck.press("down", "c")
        assert await confirm(deck, host) == Close(VF)
        host.gate.set()


async def test_a_result_waits_while_a_dialog_is_open() -> None:
    host = FakeHost()
    host.script = refused
    host.gate.clear()
    async with running(host) as deck:
        await deck.press("down", "o", "enter")
        await confirm(deck, host)
        await deck.press("home", "down", "v", "1")
        host.gate.set()
        await deck.until(lambda: deck.line.startswith("✗"))
        assert deck.dialog == "NumvfsDialog"


async def test_a_bug_of_the_backend_is_named_and_holds_no_values() -> None:
    host = FakeHost()

    def broken(change: Change) -> Outcome:
        raise ValueError(f"secret {change}")

    host.script = broken
    async with running(host) as deck:
        await deck.press("u")
        await confirm(deck, host)
        await deck.until(lambda: "this is a bug" in deck.line)
        assert "ValueError" in deck.line
        assert "secret" not in deck.text


async def test_the_host_is_looked_at_again_after_a_change() -> None:
    host = FakeHost()
    async with running(host) as deck:
        looks = host.looks
        await deck.press("u")
        await confirm(deck, host)
        await deck.until(lambda: host.looks > looks)


async def test_a_plan_that_changed_while_it_was_read_is_shown_again() -> None:
    """Programs come and go: who agreed to harm nobody has not agreed to harm the one who has come since."""
    host = FakeHost()
    async with running(host) as deck:
        await deck.press("u")
        await deck.until(lambda: deck.dialog == "ConfirmDialog")
        host.plans[UnbindDriver] = {"destructive": True, "warnings": ("the kernel waits until router-vm lets go",)}
        await deck.press("y")
        await deck.until(lambda: "changed while you read it" in deck.text)
        assert "router-vm" in deck.text
        assert host.performed == []
        await deck.press("Y")
        await deck.until(lambda: host.performed)


async def test_the_host_is_told_what_was_confirmed() -> None:
    host = FakeHost()
    async with running(host) as deck:
        await deck.press("u")
        change = await confirm(deck, host)
        assert host.confirmed == [host.plan(change, host.view)]


async def test_a_success_that_is_none_is_told_at_once() -> None:
    host = FakeHost()
    host.script = lambda change: Outcome(change, explanation=Explanation("A18", "Success, and no VFs at all", "rule", "why"))
    async with running(host) as deck:
        await deck.press("a")
        await confirm(deck, host)
        await deck.until(lambda: deck.dialog == "Page")
        assert deck.line.startswith("! Success, and no VFs at all")
