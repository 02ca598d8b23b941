"""What is looked up before a change, off the screen's thread: plans that take long, checks, and what they say."""

from __future__ import annotations

import threading

import pytest

from tests import values
from tests.fake_host import NIC, NVME, FakeHost, small_fleet
from tests.pilot.driving import running
from tests.pilot.test_many import OTHER, two_pfs
from vfdeck.app.dashboard import lookup
from vfdeck.app.dashboard.dialogs import numvfs
from vfdeck.app.dashboard.dialogs.check import check_sections
from vfdeck.backend.changes import Change, OpenPath, Plan, SetNumvfs, UnbindDriver, target_of
from vfdeck.backend.checks import CanBind, CanEnable, CanOpen, Check, Question, Report, Severity, Verdict, WholeHost
from vfdeck.backend.model import Snapshot
from vfdeck.widgets.sections import plain_text

VF = values.vf_address(NIC, 0)


class SlowPlanner(FakeHost):
    """Every plan waits for `told`, as sysfs or netlink may."""

    def __init__(self, view: Snapshot | None = None) -> None:
        super().__init__(view)
        self.told = threading.Event()
        self.asked_for_plans = threading.Event()

    def plan(self, change: Change, snapshot: Snapshot) -> Plan:
        """The plan, once told."""
        self.asked_for_plans.set()
        self.told.wait()
        return super().plan(change, snapshot)


async def test_a_plan_that_takes_long_holds_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "PATIENCE", 0.0)
    host = SlowPlanner()
    async with running(host) as deck:
        await deck.hit("u")
        await deck.until(lambda: f"looking up what it would do to {NIC}" in deck.line)
        assert "Esc gives it up" in deck.line
        await deck.hit("down")  # the screen lives, and still says so
        assert deck.tree.row_id is not None
        assert deck.tree.row_id.bdf == VF
        assert "looking up" in deck.line
        for _ in range(3):  # a second key begins no second plan
            await deck.hit("u", "b", "v")
        assert deck.dialog == ""
        host.told.set()
        await deck.until(lambda: deck.dialog == "ConfirmDialog")
        assert host.planned == [UnbindDriver(NIC)]
        assert "looking up" not in deck.line


async def test_escape_gives_a_look_up_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "PATIENCE", 0.0)
    host = SlowPlanner()
    async with running(host) as deck:
        await deck.hit("u")
        await deck.until(lambda: "looking up" in deck.line)
        await deck.hit("escape")
        await deck.until(lambda: not deck.is_busy)
        assert "looking up" not in deck.line
        host.told.set()
        await deck.press("down", "u")  # the answer to the first is heard by nobody
        await deck.until(lambda: deck.dialog == "ConfirmDialog")
        assert f"UnbindDriver on {VF}" in deck.text
        await deck.press("escape")
        assert deck.dialog == ""
        assert host.performed == []


async def test_quitting_does_not_wait_for_a_look_up() -> None:
    host = SlowPlanner()
    async with running(host) as deck:
        await deck.hit("u")
        await deck.until(host.asked_for_plans.is_set)
        await deck.hit("q")
        await deck.until(lambda: not deck.app.is_running)
    host.told.set()


async def test_a_bug_of_the_planner_is_named_and_ends_nothing() -> None:
    host = FakeHost()

    def broken(change: Change, _: Snapshot) -> Plan:
        raise ValueError(f"secret {change}")

    host.planner = broken
    async with running(host) as deck:
        await deck.press("u")
        await deck.until(lambda: "this is a bug" in deck.line)
        assert "ValueError" in deck.line
        await deck.press("v", "8")
        await deck.until(lambda: "vfdeck itself failed (ValueError)" in " ".join(deck.text.split()))
        assert "secret" not in deck.text
        await deck.press("escape")
        host.planner = None
        await deck.press("u")
        assert deck.dialog == "ConfirmDialog"


# -- the number of VFs -----------------------------------------------------------------------------------------------------
def a8(question: Question, _: Snapshot) -> Report:
    """vfio-pci makes no VFs."""
    no = Check("Does its driver make VFs?", Verdict.NO, ("enable_sriov: N",), "A8", do=("echo Y > enable_sriov",))
    maybe = Check("Does its firmware grant them?", Verdict.UNKNOWN, ("not shown",), "A2", Severity.NOTE)
    return Report(str(question), (Check("Is it a PF?", Verdict.YES, ("it is",), "A1"), maybe, no))


async def test_a_refusal_of_the_number_dialog_names_entry_and_evidence() -> None:
    host = FakeHost()
    host.checker = a8
    host.plans[SetNumvfs] = {"impossible": "enable_sriov is N"}
    async with running(host) as deck:
        await deck.press("v", "8")
        for words in ("✗ enable_sriov is N", "A8: Does its driver make VFs? no", "enable_sriov: N", "vfdeck explain A8"):
            assert words in deck.text
        assert host.asked == [CanEnable(NIC, 8)]
        await deck.press("enter")
        assert deck.dialog == "NumvfsDialog"
        assert "8 can't be set now: A8" in deck.text
        await deck.press("e")
        assert deck.dialog == "Page"
        assert "A8  " in deck.page
        assert "enable_sriov" in deck.page
        await deck.press("escape")
        assert deck.dialog == "NumvfsDialog"


async def test_continue_says_why_not() -> None:
    host = FakeHost()
    async with running(host) as deck:
        await deck.press("v", "enter")
        assert "nothing typed yet" in deck.text
        await deck.press("e", "enter")  # with nothing to explain it is a letter
        assert "not a number of VFs" in deck.text
        await deck.press("backspace", "8")
        assert "not a number" not in deck.text
        assert host.performed == []


async def test_a_number_typed_on_while_the_host_is_asked_is_judged_once_and_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numvfs, "PATIENCE", 60.0)
    host = SlowPlanner()
    async with running(host) as deck:
        await deck.hit("v", "1", "2", "3", "enter")
        await deck.until(host.asked_for_plans.is_set)
        assert deck.dialog == "NumvfsDialog"
        host.told.set()
        await deck.until(lambda: deck.dialog == "ConfirmDialog")
        assert [c.count for c in host.planned if isinstance(c, SetNumvfs)] == [1, 123, 123]


async def test_a_number_that_is_judged_for_ever_holds_no_later_one_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numvfs, "PATIENCE", 0.001)
    host, never = FakeHost(), threading.Event()

    def planner(change: Change, _: Snapshot) -> Plan:
        if isinstance(change, SetNumvfs) and change.count == 1:
            never.wait()
        return Plan(change, f"judged {change}")

    host.planner = planner
    async with running(host) as deck:
        await deck.hit("v", "1")
        await deck.until(lambda: "looking up what 1 VFs would mean" in deck.text)
        await deck.hit("enter")
        assert "goes on once it is looked up" in deck.text
        await deck.hit("2")
        await deck.until(lambda: "✓ judged" in deck.text)
        assert "goes on" not in deck.text
        await deck.press("enter")
        await deck.until(lambda: deck.dialog == "ConfirmDialog")
        assert host.planned[-1] == SetNumvfs(NIC, 12)
    never.set()


async def test_nor_a_number_that_was_typed_before_it_took_long(monkeypatch: pytest.MonkeyPatch) -> None:
    host = SlowPlanner()
    monkeypatch.setattr(numvfs, "PATIENCE", 0.2)
    async with running(host) as deck:
        await deck.hit("v", "1", "2")  # 1 is judged for ever, and nothing is typed any more
        await deck.until(lambda: "looking up what 12 VFs would mean" in deck.text)
        host.told.set()
        await deck.until(lambda: "✓" in deck.text)


async def test_enter_after_a_judge_that_failed_says_that_nothing_is_sent() -> None:
    host = FakeHost()

    def planner(change: Change, _: Snapshot) -> Plan:
        if isinstance(change, SetNumvfs) and change.count == 8:
            raise ValueError("secret")
        return Plan(change, f"judged {change}")

    host.planner = planner
    async with running(host) as deck:
        await deck.press("v", "8", "enter")
        assert "8 was not looked up: nothing is sent" in deck.text
        assert "vfdeck itself failed (ValueError)" in " ".join(deck.text.split())
        assert deck.dialog == "NumvfsDialog"
        await deck.press("backspace", "4")
        assert "nothing is sent" not in deck.text
        assert "✓ judged" in deck.text


async def test_a_number_below_zero_is_named_with_the_kernels_answer() -> None:
    async with running() as deck:
        await deck.press("v", "minus", "1", "enter")
        assert "✗ below zero: the kernel would answer EINVAL" in deck.text
        assert deck.dialog == "NumvfsDialog"


async def test_the_number_dialog_says_that_it_is_looking_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numvfs, "PATIENCE", 0.001)
    host = SlowPlanner()
    async with running(host) as deck:
        await deck.hit("v", "8")
        await deck.until(lambda: "looking up what 8 VFs would mean" in deck.text)
        await deck.hit("escape")
        assert deck.dialog == ""
        host.told.set()


async def test_all_marked_pfs_are_judged() -> None:
    host = FakeHost(two_pfs())

    def planner(change: Change, _: Snapshot) -> Plan:
        return Plan(change, "set VFs", impossible="it offers 4" if target_of(change) == OTHER else "")

    host.planner = planner
    async with running(host) as deck:
        await deck.press("m", "J", "m", "v", "8")
        assert "1 of 2 PFs can" in deck.text
        assert f"✗ {OTHER}: it offers 4" in deck.text
        await deck.press("enter")
        await deck.until(lambda: deck.dialog == "ConfirmDialog")
        assert f"left out {OTHER}: it offers 4" in " ".join(deck.text.split())


# -- checks ----------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("size", [(80, 24), (40, 12), (120, 40)])
async def test_a_pf_is_checked_and_the_answer_scrolls(size: tuple[int, int]) -> None:
    host = FakeHost(small_fleet())
    host.checker = a8
    async with running(host, size=size) as deck:
        await deck.press("w")
        assert deck.dialog == "CheckDialog"
        await deck.press("backspace", "x", "enter")
        assert "not a number of VFs" in deck.text
        await deck.press("backspace", "6", "enter")
        await deck.until(lambda: deck.dialog == "Page")
        assert host.asked == [CanEnable(NIC, 6), CanBind(NIC), CanOpen(NIC)]
        assert host.planned == []
        for words in ("no", "✗: Does its driver make VFs?  A8", "?: Does its firmware grant them?  A2", "→: echo Y > enable_sriov"):
            assert words in deck.page
        assert "Close  Esc" in deck.text
        await deck.press("end")
        await deck.until(lambda: "e explains" in " ".join(deck.text.split()))
        assert "Close  Esc" in deck.text
        await deck.press("e")
        await deck.until(lambda: "From the catalogue" in deck.text)
        await deck.press("escape", "escape")
        assert deck.dialog == ""


async def test_any_function_is_checked_without_a_question() -> None:
    host = FakeHost(values.snapshot(*values.make_fleet(1, NIC, vf={"cdev": "vfio3"}), host={"cdev": True}))
    async with running(host) as deck:
        await deck.press("down", "w")
        await deck.until(lambda: deck.dialog == "Page")
        assert host.asked == [CanBind(VF), CanOpen(VF), CanOpen(VF, OpenPath.CDEV)]
        assert "yes" in deck.page
        await deck.press("escape", "home", "w")
        await deck.until(lambda: deck.dialog == "Page")
        assert host.asked[-1] == WholeHost()


@pytest.mark.parametrize(
    ("verdict", "weight", "mark"),
    [
        (Verdict.YES, Severity.ERROR, "✓"),
        (Verdict.NO, Severity.ERROR, "✗"),
        (Verdict.NO, Severity.WARNING, "!"),
        (Verdict.UNKNOWN, Severity.ERROR, "??"),
        (Verdict.UNKNOWN, Severity.NOTE, "?"),
    ],
)
def test_three_answers_and_their_weight_are_told_apart(verdict: Verdict, weight: Severity, mark: str) -> None:
    report = Report("Can it?", (Check("Is it?", verdict, ("why",), "A1", weight, do=("mend it",)),))
    text = plain_text(check_sections(report))
    assert f"{mark}: Is it?" in text
    assert ("mend it" in text) == ("A1" in text) == (verdict is not Verdict.YES)


async def test_the_check_of_a_slow_host_can_be_given_up() -> None:
    host = FakeHost()
    gate, begun = threading.Event(), threading.Event()

    def slow(question: Question, _: Snapshot) -> Report:
        begun.set()
        gate.wait()
        return Report(str(question), ())

    host.checker = slow
    async with running(host) as deck:
        await deck.hit("end", "w", "enter")
        await deck.until(begun.is_set)
        await deck.hit("escape")
        await deck.until(lambda: not deck.is_busy)
        gate.set()
        assert deck.dialog == ""
        assert NVME in deck.text
