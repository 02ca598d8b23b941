"""The time line: what happens to a function and its family, whoever tells of it."""

from __future__ import annotations

import dataclasses
import itertools

from tests import values
from tests.fake_host import NIC, done, refused, small_fleet
from vfdeck.app.dashboard.timeline import Timeline
from vfdeck.backend.changes import Open, SetNumvfs
from vfdeck.backend.kernel import DEAF, LOST, Uevent
from vfdeck.backend.local_host import HEARD, LocalHost
from vfdeck.backend.model import Job, JobState
from vfdeck.backend.sim import scenario
from vfdeck.backend.sim.kernel import SimulatedKernel
from vfdeck.widgets.event_facts import SHOWN, Entry, Events, Kind, event_sections, room
from vfdeck.widgets.rows import RowId
from vfdeck.widgets.sections import plain_text

VIEW = small_fleet()
VFS = [values.vf_address(NIC, number) for number in range(4)]
PF_ROW, HOST_ROW = RowId("fake", NIC), RowId("fake", "")


def add(bdf: str, at: float = 5.0, action: str = "add") -> Uevent:
    return Uevent(action, "pci", f"/devices/pci0000:3a/{bdf}", bdf, "", at)


def texts(line: Timeline, row_id: RowId = PF_ROW, view: object = VIEW) -> list[str]:
    return [entry.text for entry in line.of(row_id, view)]  # type: ignore[arg-type]


def test_a_pf_has_the_events_of_its_vfs_and_a_vf_those_of_its_pf() -> None:
    line = Timeline()
    line.heard("fake", [add(VFS[0], 1.0), add(VFS[1], 2.0, "bind"), add(NIC, 3.0, "change"), add("0000:81:00.0", 4.0, "remove")])
    line.heard("other", [add(NIC, 5.0)])
    assert texts(line) == [f"change pci {NIC}", f"bind pci {VFS[1]}", f"add pci {VFS[0]}"]
    assert texts(line, RowId("fake", VFS[0])) == [f"change pci {NIC}", f"add pci {VFS[0]}"]
    assert len(texts(line, HOST_ROW)) == 4
    assert texts(line, RowId("other", NIC)) == [f"add pci {NIC}"]


def test_uevents_that_come_together_are_one_line() -> None:
    line = Timeline()
    line.heard("fake", [add(vf) for vf in VFS])
    groups = [Uevent("add", "vfio", f"/devices/virtual/vfio/{number}", "", "", 6.0) for number in (7, 8, 9)]
    line.heard("fake", groups)
    assert texts(line) == [f"add pci 4 functions, {VFS[0]} to {VFS[3]}"]
    assert texts(line, HOST_ROW)[0] == "add vfio 3 groups, group 7 to group 9"


def test_vfs_that_are_gone_still_belong_to_their_pf() -> None:
    line = Timeline()
    line.heard("fake", [add(VFS[2], 1.0, "remove")])
    without = dataclasses.replace(VIEW, functions={b: f for b, f in VIEW.functions.items() if b not in VFS}, taken=VIEW.taken + 1)
    pf = dataclasses.replace(without.functions[NIC], sriov=values.make_pf(NIC).sriov)
    without = dataclasses.replace(without, functions={**without.functions, NIC: pf})
    assert f"remove pci {VFS[2]}" not in texts(line, view=without)
    line.looked(VIEW, without)
    told = texts(line, view=without)
    assert f"remove pci {VFS[2]}" in told
    assert f"4 VFs of {NIC}, {VFS[0]} to {VFS[3]}: gone" in told


def test_vfs_that_came_back_are_former_ones_no_more() -> None:
    """Their addresses may be another PF's then: what happens to them is not this one's any more."""
    line = Timeline()
    gone = values.without(VIEW, *VFS)
    pf = dataclasses.replace(gone.functions[NIC], sriov=values.make_pf(NIC).sriov)
    gone = dataclasses.replace(gone, functions={**gone.functions, NIC: pf}, taken=VIEW.taken + 1)
    line.looked(VIEW, gone)
    other = dataclasses.replace(VIEW.functions[VFS[2]], physfn="0000:81:00.0")
    back = dataclasses.replace(gone, functions={**gone.functions, VFS[2]: other}, taken=VIEW.taken + 2)
    line.looked(gone, back)
    line.heard("fake", [add(VFS[2], VIEW.taken + 3, "change"), add(VFS[1], VIEW.taken + 3, "remove")])
    told = texts(line, view=back)
    assert f"remove pci {VFS[1]}" in told
    assert f"change pci {VFS[2]}" not in told


def test_a_change_is_told_from_its_beginning_to_its_end() -> None:
    line = Timeline()
    job = Job(1, f"remove the VFs of {NIC}", NIC, JobState.RUNNING, "", VIEW.taken + 1)
    waits = dataclasses.replace(job, step="write 0", waits_for="qemu (4242)")
    looks = [VIEW, *(dataclasses.replace(VIEW, jobs=(j,), taken=VIEW.taken + n) for n, j in enumerate((job, waits), 2)), VIEW]
    line.looked(None, VIEW)
    for before, after in itertools.pairwise(looks):
        line.looked(before, after)
    line.done("fake", job.title, dataclasses.replace(done(SetNumvfs(NIC, 0)), ended=VIEW.taken + 9), 0.0)
    told = [entry for entry in line.of(PF_ROW, VIEW) if entry.kind is not Kind.SEEN]
    assert [(entry.kind, entry.text) for entry in reversed(told)] == [
        (Kind.JOB, f"began: {job.title}"),
        (Kind.JOB, f"{job.title}: write 0"),
        (Kind.DONE, f"Done: {job.title}"),
    ]
    assert [entry.time - VIEW.taken for entry in reversed(told)] == [1, 3, 9]
    assert any("waits for qemu (4242)" in text for text in texts(line))


def test_a_refusal_says_what_was_refused_at_the_hosts_time_as_last_seen() -> None:
    line = Timeline()
    line.done("fake", f"open {VFS[0]}", refused(Open(VFS[0])), 77.0)
    (entry,) = line.of(PF_ROW, VIEW)
    assert entry.time == 77.0
    assert entry.text == f"open {VFS[0]}: Refused: EACCES at get_device_fd of {VFS[0]}"


def test_what_could_not_be_heard_is_said() -> None:
    line = Timeline()
    line.heard("fake", [Uevent(DEAF, "", "", "", ""), Uevent(LOST, "", "", "", "", 3.0)])
    assert line.is_deaf("fake")
    assert not line.is_deaf("other")
    assert texts(line, HOST_ROW) == ["events came faster than they were read, and some are missing here"]


def test_only_so_many_are_kept_and_the_panel_shows_the_newest() -> None:
    line = Timeline(kept=SHOWN + 20)
    for number in range(SHOWN + 50):
        line.add(Entry(float(number), Kind.SEEN, "fake", (NIC,), f"event {number}"))
    entries = tuple(line.of(PF_ROW, VIEW))
    assert len(entries) == len(list(line)) == SHOWN + 20
    said = plain_text(event_sections("Events", Events(entries, ("a note",))))
    assert said.splitlines()[1] == "a note"
    assert f"event {SHOWN + 49}" in said
    assert "event 49" not in said
    assert "and 20 events before" in said


def test_a_noisy_host_pushes_out_nothing_of_the_others() -> None:
    line = Timeline(kept=50, in_all=80)
    for host in ("a", "b"):
        for number in range(10):
            line.add(Entry(float(number), Kind.SEEN, host, (NIC,), f"event {number}"))
    for number in range(1000):
        line.add(Entry(float(number), Kind.SEEN, "noisy", (NIC,), f"event {number}"))
    assert [len(texts(line, RowId(host, NIC))) for host in ("a", "b", "noisy")] == [10, 10, 50]
    for number in range(1000):
        line.add(Entry(float(number), Kind.SEEN, "noisy too", (NIC,), f"event {number}"))
    assert len(list(line)) == 80
    assert [len(texts(line, RowId(host, NIC))) for host in ("a", "b", "noisy", "noisy too")] == [10, 10, 30, 30]
    assert texts(line, RowId("noisy", NIC))[0] == "event 999"


def test_an_event_of_another_day_has_its_day() -> None:
    entries = (Entry(2e5, Kind.SEEN, "fake", (), "today"), Entry(0.0, Kind.KERNEL, "fake", (), "long ago"))
    facts = event_sections("Events", Events(entries))[0].facts
    assert [":" in fact.label for fact in facts] == [True, False]
    assert facts[1].value.endswith("kernel: long ago")


# -- what hosts hear ------------------------------------------------------------------------------------------------------
def test_a_host_tells_what_it_heard_once() -> None:
    host = scenario.load("card")
    host.wait_for_change(0)
    assert host.heard() == ()
    pf = next(f.bdf for f in host.snapshot().functions.values() if f.sriov is not None and f.sriov.totalvfs)
    host.scenario.machine.uevent("change", "pci", host.scenario.machine.functions[pf])
    host.wait_for_change(0)
    (event,) = host.heard()
    assert (event.action, event.bdf) == ("change", pf)
    assert event.time == host.kernel.clock()
    assert host.heard() == ()


def test_a_host_that_nobody_asks_keeps_the_newest_and_says_that_some_are_lost() -> None:
    machine = scenario.load("card").scenario.machine
    host = LocalHost(SimulatedKernel(machine, pid=1))
    host.wait_for_change(0)
    function = next(iter(machine.functions.values()))
    for number in range(HEARD + 5):
        machine.uevent(f"change{number}", "pci", function)
    host.wait_for_change(0)
    heard = host.heard()
    assert len(heard) == HEARD
    assert heard[0].action == LOST
    assert heard[-1].action == f"change{HEARD + 4}"


class _Deaf:
    live = False

    def wait(self, seconds: float) -> list[Uevent]:
        return []

    def close(self) -> None:
        pass


def test_where_no_uevents_can_be_heard_that_is_told_once() -> None:
    kernel = SimulatedKernel(scenario.load("card").scenario.machine, pid=1)
    kernel.uevents = _Deaf  # type: ignore[method-assign, assignment]
    host = LocalHost(kernel)
    for _ in range(2):
        host.wait_for_change(0)
    assert [event.action for event in host.heard()] == [DEAF]


def test_outcomes_tell_their_steps_and_their_time() -> None:
    host = scenario.load("card")
    view = host.snapshot()
    pf = next(f for f in view.functions.values() if f.sriov is not None and f.sriov.totalvfs and not f.sriov.numvfs)
    change = SetNumvfs(pf.bdf, 1)
    plan = host.plan(change, view)
    host.advance(3)
    outcome = host.perform(change)
    assert outcome.ok
    assert outcome.steps == plan.steps
    assert tuple(step.text for step in outcome.steps) == outcome.done
    assert outcome.ended == host.kernel.clock()
    again = host.perform(change)
    assert not again.attempted
    assert again.steps == ()


def test_a_small_panel_draws_no_more_than_it_can_show() -> None:
    assert room(37, 30) == 15
    assert room(78, 9) == 9
    assert room(37, 5) == 8
    assert room(200, 1000) == SHOWN
    entries = tuple(Entry(float(number), Kind.SEEN, "fake", (NIC,), "x") for number in range(20))
    facts = event_sections("Events", Events(entries, shown=8))[0].facts
    assert len(facts) == 9
    assert facts[-1].value == "and 12 events before"
