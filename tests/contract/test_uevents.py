"""The uevents of binding, of VFs that come and go, and of what is silent."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.bed import IGB, PLAIN, U1, U2, Bed, open_device, try_open
from vfdeck.backend.kernel import Uevent, UeventSource
from vfdeck.backend.vfio import DEVICES

Seen = list[tuple[str, str, str, str]]


@pytest.fixture
def source(bed: Bed) -> Iterator[UeventSource]:
    """The kernel's own events."""
    found = bed.kernel.uevents()
    if not found.live:
        pytest.skip("no uevents to be had here")
    yield found
    found.close()


def take(bed: Bed, source: UeventSource) -> list[Uevent]:
    """Everything that has come; real events may be a moment late."""
    events: list[Uevent] = []
    while more := source.wait(0.0 if bed.simulated else 0.7):
        events += more
    return events


def seen(events: list[Uevent]) -> Seen:
    return [(event.action, event.subsystem, event.bdf, event.driver) for event in events]


def registered(bed: Bed, bdf: str) -> Seen:
    """A function comes to vfio-pci."""
    node = [("add", "vfio-dev", bdf, "")] if bed.has("vfio_dev_sysfs") else []
    return [("add", "vfio", "", ""), *node, ("bind", "pci", bdf, "vfio-pci")]


def unregistered(bed: Bed, bdf: str) -> Seen:
    """A function leaves vfio-pci."""
    node = [("remove", "vfio-dev", bdf, "")] if bed.has("vfio_dev_sysfs") else []
    return [*node, ("remove", "vfio", "", ""), ("unbind", "pci", bdf, "")]


def test_binding(bed: Bed, source: UeventSource) -> None:
    assert bed.bind(PLAIN) == "OK"
    group = bed.link(PLAIN, "iommu_group")
    events = take(bed, source)
    assert seen(events) == registered(bed, PLAIN)
    assert events[0].devpath == f"/devices/virtual/vfio/{group}"
    if bed.has("vfio_dev_sysfs"):
        (name,) = bed.kernel.names(f"{DEVICES}/{PLAIN}/vfio-dev")
        assert events[1].devpath.endswith(f"/{PLAIN}/vfio-dev/{name}")
    assert events[-1].devpath.endswith(f"/{PLAIN}")
    assert bed.unbind(PLAIN) == "OK"
    assert seen(take(bed, source)) == unregistered(bed, PLAIN)


def test_vfs_come_and_go(tokens: Bed, source: UeventSource) -> None:
    """Each VF: found, linked, bound. The PF: one event in the end when they come, none when they go."""
    assert tokens.bind(IGB) == "OK"
    take(tokens, source)
    assert tokens.numvfs(IGB, 2) == "OK"
    vfs = list(tokens.virtfns(IGB).values())
    expected: Seen = []
    for vf in vfs:
        expected += [("add", "pci", vf, ""), ("change", "pci", vf, ""), *registered(tokens, vf)]
    assert seen(take(tokens, source)) == [*expected, ("change", "pci", IGB, "vfio-pci")]
    assert tokens.numvfs(IGB, 0) == "OK"
    gone: Seen = []
    for vf in vfs:
        gone += [*unregistered(tokens, vf), ("remove", "pci", vf, "")]
    assert seen(take(tokens, source)) == gone


def test_what_was_refused_is_silent(tokens: Bed, source: UeventSource) -> None:
    tokens.vfio_pf()
    take(tokens, source)
    assert [tokens.numvfs(IGB, count) for count in (2, 9, 4)] == ["OK", "ERANGE", "EBUSY"]
    assert take(tokens, source) == []


def test_opens_closes_and_tokens_are_silent(tokens: Bed, source: UeventSource) -> None:
    vf, _ = tokens.vfio_pf()
    take(tokens, source)
    holder = tokens.program("holder")
    pf = open_device(holder, IGB, U1)
    holder.set_token(pf, U2.bytes)
    assert try_open(holder, vf, U1) == "EACCES get_device_fd"
    assert try_open(holder, vf, U2) == "OK"
    holder.close(pf)
    assert take(tokens, source) == []


def test_while_a_vf_is_held(tokens: Bed, source: UeventSource) -> None:
    """Its own directory of vfio goes before the wait, where things are hidden first; everything else after it."""
    vf, _ = tokens.vfio_pf()
    holder = tokens.program("holder")
    assert try_open(holder, IGB, U1) == "OK"
    open_device(holder, vf, U1)
    take(tokens, source)
    pending = tokens.blocked(f"{DEVICES}/{IGB}/sriov_numvfs", "0")
    before = seen(take(tokens, source))
    assert before == ([("remove", "vfio-dev", vf, "")] if tokens.has("hide_first") else [])
    tokens.exit(holder)
    assert tokens.finish(pending) == "OK"
    after = seen(take(tokens, source))
    assert (before + after)[: len(unregistered(tokens, vf))] == unregistered(tokens, vf)
    assert after[-1][:2] == ("remove", "pci")
