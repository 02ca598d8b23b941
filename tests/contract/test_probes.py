"""What a kernel shows when it is asked is what the table of versions says of it."""

from __future__ import annotations

import dataclasses

from tests.contract.bed import IGB, PLAIN, Bed, try_open
from vfdeck.backend.facts import host_has
from vfdeck.backend.local_host import LocalHost
from vfdeck.backend.probes import ask_kernel
from vfdeck.backend.topology import scan


def test_a_kernel_with_nodes(cdevs: Bed) -> None:
    assert cdevs.bind(PLAIN) == "OK"
    shown = ask_kernel(cdevs.kernel, scan(cdevs.kernel, {}))
    names = ("vf_token", "denylist", "cdev", "cdev_token", "cdev_token_works", "fdinfo_syspath")
    assert shown == {name: cdevs.has(name) for name in names}


def test_a_kernel_without(bed: Bed) -> None:
    """Nothing is claimed of what could not be asked."""
    shown = ask_kernel(bed.kernel, scan(bed.kernel, {}))
    assert shown == {"denylist": bed.has("denylist"), **({"vf_token": True} if bed.has("vf_token") else {})}


def test_asking_leaves_nothing_behind(cdevs: Bed) -> None:
    cdevs.vfio_pf()
    snapshot = LocalHost(cdevs.kernel, {}).snapshot()
    assert dict(snapshot.host.probed)["cdev_token"] == cdevs.has("cdev_token")
    assert snapshot.users_of(IGB).value == 0
    assert try_open(cdevs.program("user"), IGB) == "OK"  # nobody is counted as a user
    assert cdevs.numvfs(IGB, 0) == "OK"  # nor holds a VF


def test_the_answer_counts_for_more_than_the_release(cdevs: Bed) -> None:
    snapshot = scan(cdevs.kernel, {})
    other = dataclasses.replace(snapshot.host, kernel="6.12.1", probed=(("cdev_token", True),))
    assert host_has(other, "cdev_token")
    assert not host_has(dataclasses.replace(other, probed=()), "cdev_token")
