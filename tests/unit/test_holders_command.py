"""`vfdeck holders`: who holds what, and how its exit status says it."""

from __future__ import annotations

import dataclasses
import json
import shutil
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest

from tests import values
from tests.fabricate import Fake, build, with_vfs
from vfdeck.app.cli import main
from vfdeck.app.commands import holders, hosts, output
from vfdeck.backend.model import Certainty, Snapshot

PF, VF = values.PF, values.vf_address()
HELD = values.snapshot(
    *values.make_fleet(2),
    values.make_plain(),
    holders=(
        values.make_holder(VF, vm="web", started=values.NOON, since=values.NOON + 30, user="libvirt-qemu"),
        values.make_holder("0000:04:00.0", 77, "dpdk", user="", container="docker 4f1c2d3e5a6b", certainty=Certainty.INFERRED),
    ),
)
NOTHING = values.snapshot(*values.make_fleet(1))


class Host:
    """Shows snapshots one after the other; interrupted at the end."""

    name, simulated = "demo", True

    def __init__(self, *views: Snapshot) -> None:
        self.views = list(views)
        self.closed = False

    def snapshot(self) -> Snapshot:
        return self.views.pop(0)

    def wait_for_change(self, seconds: float) -> bool:
        if not self.views:
            raise KeyboardInterrupt
        return True

    def close(self) -> None:
        self.closed = True


def on(monkeypatch: pytest.MonkeyPatch, *views: Snapshot) -> Host:
    host = Host(*views)
    monkeypatch.setattr(hosts, "local", lambda root: host)
    return host


def validated(text: str) -> dict[str, object]:
    schema = json.loads(files("vfdeck.backend").joinpath("schema/holders-v1.json").read_text(encoding="utf-8"))
    value: dict[str, object] = json.loads(text)
    jsonschema.Draft202012Validator(schema).validate(value)
    return value


def test_the_whole_host(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    host = on(monkeypatch, HELD)
    assert main(["holders"]) == 0
    assert host.closed
    assert capsys.readouterr().out.splitlines() == [
        "0000:03:10.0  VF 0   qemu-system-x86 (4242)  user libvirt-qemu  VM web               up 1 min  device open [exact]",
        "0000:04:00.0  plain  dpdk (77)               user unknown       docker 4f1c2d3e5a6b            device open [inferred]",
        "VFs of 0000:03:00.0 in use: 1",
    ]


@pytest.mark.parametrize(
    ("view", "asked", "status", "told"),
    [
        (HELD, PF, 0, "qemu-system-x86 (4242)"),  # a PF stands for its VFs
        (HELD, "03:10.0", 0, "qemu-system-x86 (4242)"),
        (HELD, "0000:03:10.2", 1, "nobody holds 0000:03:10.2"),
        (HELD, "0000:04:00.0", 0, "dpdk (77)"),
        (NOTHING, None, 1, "nobody holds anything"),
        (dataclasses.replace(NOTHING, unseen=3), None, 77, "not looked at: 3 processes; there may be more holders"),
        (dataclasses.replace(NOTHING, unseen=1, unattributed=1), VF, 77, f"nobody was seen to hold {VF}"),
    ],
)
def test_one_function(
    view: Snapshot, asked: str | None, status: int, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    on(monkeypatch, view, view)
    arguments = ["holders", *([asked] if asked else [])]
    assert main(arguments) == status
    assert told in capsys.readouterr().out
    assert main([*arguments, "--json"]) == status
    value = validated(capsys.readouterr().out)
    assert bool(value["holders"]) == (status == 0)
    assert value["certainty"] == ("at least" if status == 77 else "inferred" if "dpdk" in told else "exact")


@pytest.mark.parametrize(
    ("asked", "status", "told"),
    [("3:2", 64, "no PCI address"), ("\x1b[31m", 64, "␛[31m"), ("0000:99:00.0", 66, "is no PF, no VF and no function")],
)
def test_what_is_not_there(
    asked: str, status: int, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    on(monkeypatch, HELD)
    assert main(["holders", asked]) == status
    assert told in capsys.readouterr().err


def test_changes_as_they_happen(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setattr(holders, "clock", lambda moment: f"@{moment - values.NOON:.0f}")
    other = values.make_holder(VF, 99, "new", since=values.NOON + 70)
    views = (
        HELD,
        dataclasses.replace(HELD, holders=(*HELD.holders, other), taken=values.NOON + 70),
        dataclasses.replace(HELD, holders=(other,), taken=values.NOON + 80),
        dataclasses.replace(values.without(HELD, PF, VF), holders=(), taken=values.NOON + 90),
    )
    host = on(monkeypatch, *views)
    assert main(["holders", "--watch", PF]) == 130
    assert host.closed
    assert capsys.readouterr().out.splitlines() == [
        f"@60 = {VF} VF 0  qemu-system-x86 (4242), user libvirt-qemu, VM web, device open [exact], for 30 s",
        "@60  1 holder; waiting for changes",
        f"@70 + {VF} VF 0  new (99), user root, device open [exact]",
        f"@80 - {VF} VF 0  qemu-system-x86 (4242), user libvirt-qemu, VM web, device open [exact], for 50 s",
        f"@90 - {VF} no longer there  new (99), user root, device open [exact], for 20 s",
    ]


def test_a_holder_that_goes_on_from_the_group_to_the_device(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = dataclasses.replace(HELD, holders=(values.make_holder(VF, kind="group", certainty=Certainty.INFERRED),))
    then = dataclasses.replace(HELD, holders=(values.make_holder(VF),))
    on(monkeypatch, first, then, then)
    assert main(["holders", "--watch"]) == 130
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in said] == ["=", "1", "~"]
    assert "device open [exact]" in said[-1]
    on(monkeypatch, first, then, then)
    assert main(["holders", "--watch", "--json"]) == 130
    assert [validated(line)["change"] for line in capsys.readouterr().out.splitlines()] == ["held", "changed"]


def test_changes_as_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    on(monkeypatch, HELD, NOTHING)
    assert main(["holders", "--watch", "--json"]) == 130
    lines = [validated(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["change"] for line in lines] == ["held", "held", "gone", "gone"]


def test_the_demo(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["holders", "--demo"]) == 0
    assert "VM web-1" in capsys.readouterr().out
    assert main(["holders", "--demo", "none"]) == 1
    assert main(["holders", "--demo", "default", "--json"]) == 0
    told = capsys.readouterr().out
    value = validated(told[told.index("{") :])
    assert value["simulated"] is True
    assert "vf-token=#" in told


def test_a_tree_on_disk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every link is followed below the root, process 1 included; nobody there may be looked at by another name than its own."""
    pf = with_vfs(Fake("0000:01:00.0", driver="vfio-pci", group=14, totalvfs=8), 2, driver="vfio-pci", group=20)
    root = build(tmp_path, [pf])
    (root / "sys/class/vfio/20").mkdir(parents=True)
    for pid, fds in ((1, ()), (7, ("/dev/vfio/20", "anon_inode:[vfio-device]", "/dev/vfio/99"))):
        (root / f"proc/{pid}/fd").mkdir(parents=True)
        (root / f"proc/{pid}/comm").write_text("spdk_tgt\n")
        (root / f"proc/{pid}/maps").write_text("")
        for number, text in enumerate(fds):
            (root / f"proc/{pid}/fd/{number}").symlink_to(text)
    assert main(["holders", "--root", str(root), "01:00.0"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("0000:01:10.0  VF 0  spdk_tgt (7)")
    assert lines[0].endswith("perhaps device open [by a file's name only, not checked]")  # no fdinfo there
    assert lines[1] == "VFs of 0000:01:00.0 in use: ≥0 (at least: not all could be looked at)"


@pytest.mark.parametrize("missing", ["proc", "proc's processes"])
def test_a_tree_without_processes_tells_nothing_of_holders(
    missing: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build(tmp_path, [with_vfs(Fake("0000:01:00.0", driver="vfio-pci", totalvfs=8), 2, driver="vfio-pci")])
    if missing == "proc":
        shutil.rmtree(tmp_path / "proc")
    assert main(["holders", "--root", str(tmp_path)]) == 77
    told = capsys.readouterr().out
    assert "nobody was seen to hold anything" in told
    assert "VFs of 0000:01:00.0 in use: ≥0 (at least" in told
    assert "there may be more holders" in told
    assert main(["holders", "--json", "--root", str(tmp_path)]) == 77
    assert validated(capsys.readouterr().out)["certainty"] == "at least"
    assert main(["token", "scan", "--root", str(tmp_path)]) == 77
    assert "not read: command line of every program" in capsys.readouterr().out


def test_a_narrow_terminal_breaks_lines_between_words(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    on(monkeypatch, HELD, HELD)
    main(["holders"])
    wide = capsys.readouterr().out
    monkeypatch.setattr(output, "width", lambda: 60)
    main(["holders"])
    narrow = capsys.readouterr().out
    assert max(map(len, narrow.splitlines())) <= 60
    assert narrow.split() == wide.split()
    assert "user libvirt-qemu" in narrow
    assert "docker 4f1c2d3e5a6b" in narrow


def test_a_part_that_is_wider_than_the_terminal_is_broken_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "width", lambda: 20)
    assert output.fitted("a  one two three four five") == ["a  one two three", "    four five"]
    monkeypatch.setattr(output, "width", lambda: None)
    assert output.fitted("x " * 100) == ["x " * 100]
