"""What is looked up of one function: each part for itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fabricate import Fake, build
from vfdeck.backend.details import Details, NoVpd, Part, look_up
from vfdeck.backend.evidence import Unread
from vfdeck.backend.linux.kernel import LinuxKernel
from vfdeck.backend.sim.scenario import load
from vfdeck.backend.topology import scan

PF = "0000:01:00.0"


def resets(root: Path, release: str, text: bytes | None) -> object:
    files = {} if text is None else {"reset_method": text}
    tree = build(root, [Fake(PF, driver="igb", totalvfs=8, files=files)])
    (tree / "proc/sys/kernel").mkdir(parents=True, exist_ok=True)
    (tree / "proc/sys/kernel/osrelease").write_text(f"{release}\n")
    kernel = LinuxKernel(str(tree))
    view = scan(kernel, {})
    return look_up(kernel, view.functions[PF], [Part.RESETS], view).resets


def test_the_ways_to_reset_it(tmp_path: Path) -> None:
    assert resets(tmp_path, "6.12.1", b"flr pm bus\n") == ("flr", "pm", "bus")


def test_none_is_told_from_not_told(tmp_path: Path) -> None:
    assert resets(tmp_path / "new", "6.12.1", None) == ()
    found = resets(tmp_path / "old", "5.10.0", None)
    assert isinstance(found, Unread)
    assert "it came with 5.15" in found.why


@pytest.mark.parametrize("part", list(Part))
def test_a_part_is_all_that_is_looked_up(part: Part) -> None:
    host = load("default")
    view = host.snapshot()
    bdf = next(iter(view.functions))
    found = host.details(bdf, [part], view)
    told = {name for name in ("resets", "lasting", "by_group", "by_cdev", "leaks", "vpd") if getattr(found, name) is not None}
    names = {Part.OPENING: {"by_group", "by_cdev"}}
    assert told == names.get(part, {part.name.lower()})


def test_parts_come_together() -> None:
    first, second = Details(PF, resets=("flr",), vpd=NoVpd.NONE), Details(PF, resets=("bus",))
    assert first.joined(second) == Details(PF, resets=("bus",), vpd=NoVpd.NONE)


def test_a_function_that_is_gone_has_none() -> None:
    host = load("default")
    assert host.details("0000:00:00.0", list(Part), host.snapshot()) == Details("0000:00:00.0")
