"""Who holds what, as /proc shows it: what a kernel tells of descriptors and mappings, on simulated and real kernels alike."""

from __future__ import annotations

from uuid import UUID

import pytest

from tests.contract.bed import IGB, U1, Bed, open_device, try_open
from vfdeck.backend.holders import holders
from vfdeck.backend.model import Certainty
from vfdeck.backend.topology import scan

Seen = set[tuple[str, str, Certainty]]


def seen(bed: Bed) -> tuple[Seen, int]:
    """Holders by function, kind and certainty, and the number of programs whose device nothing tells."""
    held = holders(bed.kernel.open_files().files, dict(scan(bed.kernel, {}).functions))
    return {(holder.bdf, holder.kind, holder.certainty) for holder in held.holders}, held.unattributed


@pytest.fixture
def guarded(tokens: Bed) -> tuple[Bed, str, str, UUID]:
    """Two VFs of a PF whose token is U1."""
    vf, other = tokens.vfio_pf()
    assert try_open(tokens.program("setter"), IGB, U1) == "OK"
    return tokens, vf, other, U1


def test_a_device_of_a_group(guarded: tuple[Bed, str, str, UUID]) -> None:
    """By fdinfo from 6.18, by the group before."""
    bed, vf, _, token = guarded
    assert seen(bed) == (set(), 0)
    program = bed.program("user")
    device = open_device(program, vf, token)
    certainty = Certainty.EXACT if bed.has("fdinfo_syspath") else Certainty.INFERRED
    assert seen(bed) == ({(vf, "device", certainty)}, 0)
    program.close(device)
    assert seen(bed) == (set(), 0)


def test_a_group_s_node_alone(guarded: tuple[Bed, str, str, UUID]) -> None:
    bed, vf, _, _ = guarded
    kernel = bed.new_kernel("user")
    fd = kernel.open(bed.group_path(vf))
    assert seen(bed) == ({(vf, "group", Certainty.INFERRED)}, 0)
    kernel.close(fd)
    assert seen(bed) == (set(), 0)


def test_a_mapping_that_outlives_its_descriptor(guarded: tuple[Bed, str, str, UUID]) -> None:
    """Before 6.10 its address tells the function; later nothing does, and somebody is known to hold something."""
    bed, vf, _, token = guarded
    program = bed.program("user")
    device = open_device(program, vf, token)
    mapping = program.kernel.map(device.fd)
    program.close(device)
    told = bed.has("maps_tell_addresses")
    assert seen(bed) == (({(vf, "mapping", Certainty.INFERRED)}, 0) if told else (set(), 1))
    program.kernel.unmap(mapping)
    assert seen(bed) == (set(), 0)


def test_a_cdev(cdevs: Bed) -> None:
    """Its node tells the function; whether it is bound nobody can see."""
    vf, _ = cdevs.vfio_pf()
    kernel = cdevs.new_kernel("user")
    fd = kernel.open(cdevs.cdev_path(vf))
    assert seen(cdevs) == ({(vf, "cdev", Certainty.EXACT)}, 0)
    kernel.close(fd)
    assert seen(cdevs) == (set(), 0)
