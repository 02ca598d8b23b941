"""`vfdeck watch`: what it says of changes, one line each."""

from __future__ import annotations

import dataclasses
import json
import threading

import pytest

from tests import values
from vfdeck.app import failure
from vfdeck.app.cli import main
from vfdeck.app.commands import following, hosts, watch
from vfdeck.backend.model import Job, JobState, Problem, Snapshot
from vfdeck.widgets.happened import happenings

PF, VF = values.PF, values.vf_address()
BEFORE = values.snapshot(*values.make_fleet(5), values.make_plain())


def told(after: Snapshot, before: Snapshot = BEFORE) -> list[tuple[str, str]]:
    return [(change.subject, change.text) for change in happenings(before, after)]


def test_nothing_happened() -> None:
    assert told(dataclasses.replace(BEFORE, taken=BEFORE.taken + 5)) == []


def test_a_vf_is_opened_and_its_pf_counts_it() -> None:
    held = dataclasses.replace(BEFORE, holders=(values.make_holder(VF, 4242, "qemu-system-x86"),))
    of_the_vf = dict(told(held))[f"{VF} (VF 0 of {PF})"]
    assert "state is now in use, was ready" in of_the_vf
    assert "qemu-system-x86" in of_the_vf
    assert "the number of users is now 1, was 0" in dict(told(held))[f"{PF} (PF)"]


def test_many_alike_are_one_line() -> None:
    fewer = values.snapshot(*values.make_fleet(1), values.make_plain())
    lines = dict(told(fewer))
    assert lines[f"4 VFs of {PF}, {values.vf_address(PF, 1)} to {values.vf_address(PF, 4)}"] == "gone"
    assert dict(told(BEFORE, fewer))[f"4 VFs of {PF}, {values.vf_address(PF, 1)} to {values.vf_address(PF, 4)}"] == "new"


def test_a_pf_that_goes_with_its_vfs_is_told_by_itself() -> None:
    view = values.snapshot(*values.make_fleet(2))
    nothing = values.without(view, *view.functions)
    vfs = [f"{values.vf_address(PF, number)} (VF {number} of {PF})" for number in range(2)]
    assert told(nothing, view) == [(f"{PF} (PF)", "gone"), *((vf, "gone") for vf in vfs)]
    assert told(view, nothing) == [(f"{PF} (PF)", "new"), *((vf, "new") for vf in vfs)]
    assert [subject for subject, _ in told(values.without(BEFORE, *values.snapshot(*values.make_fleet(5)).functions))] == [
        f"{PF} (PF)",
        f"5 VFs of {PF}, {VF} to {values.vf_address(PF, 4)}",
    ]


def test_problems_and_waiting_changes_are_told_once() -> None:
    odd = Problem("/sys/x", "not a number")
    job = Job(1, f"{PF}: 5 -> 0 VFs", PF, JobState.RUNNING, "write 0", BEFORE.taken, waits_for="qemu (4242), which holds it")
    after = dataclasses.replace(BEFORE, problems=(odd,), jobs=(job,))
    assert ("problem", "/sys/x: not a number") in told(after)
    assert (f"{PF}: 5 -> 0 VFs", "waits for qemu (4242), which holds it") in told(after)
    assert not told(after, after)
    assert (f"{PF}: 5 -> 0 VFs", "no longer waits for qemu (4242), which holds it") in told(BEFORE, after)
    assert ("no longer a problem", "/sys/x: not a number") in told(BEFORE, after)


def test_a_line_for_each_change(capsys: pytest.CaptureFixture[str]) -> None:
    held = dataclasses.replace(BEFORE, holders=(values.make_holder(VF, 4242, "qemu-system-x86"),))
    watch.tell([BEFORE, held], as_json=False)
    before, after = capsys.readouterr().out.split(": watching\n")
    assert PF in before
    assert all(f" {BEFORE.host.name}: 0000:" in line for line in after.splitlines())
    assert len(after.splitlines()) == 2

    watch.tell([BEFORE, held], as_json=True)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["functions"] for line in lines] == [[PF], [VF]]
    assert lines[0]["columns"]["users"] == ["0", "1"]


def test_numbers_are_said_as_one_says_them() -> None:
    fewer = values.snapshot(*values.make_fleet(1), values.make_plain())
    assert "the number of VFs is now 1 of 8, was 5 of 8" in dict(told(fewer))[f"{PF} (PF)"]
    held = dataclasses.replace(BEFORE, holders=(values.make_holder(VF, 4242, "qemu-system-x86"),), unseen=1)
    assert "the number of users is now at least 1, was 0" in dict(told(held))[f"{PF} (PF)"]


def test_plain_what_there_is_has_no_columns_and_no_signs(capsys: pytest.CaptureFixture[str]) -> None:
    held = dataclasses.replace(BEFORE, holders=(values.make_holder(VF, 4242, "qemu-system-x86"),), unseen=1)
    watch.tell([held], as_json=False)
    columns = capsys.readouterr().out
    watch.tell([held], as_json=False, plain=True)
    plain = capsys.readouterr().out
    assert plain.isascii()
    assert "  " not in plain
    assert f"\n{PF}, PF, vfio-pci, 5 of 8 VFs, group 10, " in plain
    assert f"\n{values.vf_address(PF, 1)} to {values.vf_address(PF, 4)}, VF 1 to 4, vfio-pci, " in plain
    assert len(plain.splitlines()) == len(columns.splitlines())
    assert "… " in columns
    assert watch.spoken("  PF  users ≥2  held by x (1)") == "PF, users at least 2, held by x (1)"


def test_plain_is_no_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watch", "--plain", "--json"]) == failure.USAGE
    assert "not allowed with argument" in capsys.readouterr().err


def test_interrupted_it_closes_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    class Host:
        """Never changes."""

        name, simulated, closed = "demo", True, False

        def snapshot(self) -> Snapshot:
            return BEFORE

        def wait_for_change(self, seconds: float) -> bool:
            raise SystemExit  # ends the thread that looks

        def close(self) -> None:
            self.closed = True

    host = Host()
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    monkeypatch.setattr(hosts, "local", lambda root: host)

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(watch, "tell", interrupted)
    assert main(["watch"]) == failure.INTERRUPTED
    assert host.closed


def test_a_reader_that_stalls_gets_the_latest_of_each_host() -> None:
    seen = following.Latest()
    other = dataclasses.replace(BEFORE, host=dataclasses.replace(BEFORE.host, name="other"))
    for second in range(1000):
        seen.put(dataclasses.replace(BEFORE, taken=float(second)))
        seen.put(dataclasses.replace(other, taken=float(second)))
    assert [(taken.host.name, taken.taken) for taken in (seen.take(), seen.take())] == [(BEFORE.host.name, 999), ("other", 999)]
    assert not seen._snapshots


def test_a_look_that_fails_ends_the_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    class Host:
        name, simulated = "demo", True

        def snapshot(self) -> Snapshot:
            raise ZeroDivisionError

        def close(self) -> None:
            pass

    monkeypatch.setattr(hosts, "local", lambda root: Host())
    assert main(["watch"]) == failure.SOFTWARE
    assert "ZeroDivisionError at test_watch.py" in capsys.readouterr().err
