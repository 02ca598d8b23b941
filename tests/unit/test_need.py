"""Whether a token is needed: what is said is what the simulated kernel then answers."""

from __future__ import annotations

import errno

import pytest

from tests.values import PF, make_fleet, make_holder, make_plain, snapshot, vf_address
from vfdeck.backend.changes import BindDriver, Open, OpenPath
from vfdeck.backend.model import Role
from vfdeck.backend.need import need
from vfdeck.backend.sim.scenario import load

VF = vf_address()


@pytest.mark.parametrize("path", OpenPath)
def test_an_open_without_a_token_is_refused_where_one_is_needed(path: OpenPath) -> None:
    host = load("default", 1)
    seen = host.snapshot()
    asked = set()
    for function in seen.functions.values():
        if function.role is not Role.VF or not function.on_vfio or seen.holders_of(function.bdf):
            continue
        about = need(seen, function.bdf)
        needed = about.by_group if path is OpenPath.GROUP else about.by_cdev
        outcome = host.perform(Open(function.bdf, path=path))
        assert needed is not None
        assert (outcome.errno == errno.EACCES) == needed, (function.bdf, about, outcome)
        asked.add(needed)
    assert asked == {path is OpenPath.GROUP}  # this kernel's nodes ask for none


def test_a_vf_whose_pf_is_not_on_vfio_needs_none() -> None:
    host = load("default", 1)
    assert host.perform(BindDriver("0000:03:0a.1", "vfio-pci")).ok
    about = need(host.snapshot(), "0000:03:0a.1")
    assert (about.by_group, "so that there is no token" in about.why) == (False, True)
    assert host.perform(Open("0000:03:0a.1")).ok


@pytest.mark.parametrize(
    ("kernel", "vf", "by_group", "why"),
    [
        ("6.12.0", {}, True, "its PF 0000:03:00.0 is on vfio-pci"),
        ("5.4.0", {}, False, "Linux 5.4.0 has no VF tokens"),
        ("6.12.0", {"driver": "igbvf"}, False, "it is on igbvf"),
        ("6.12.0", {"driver": None}, False, "it is on no driver"),
        ("6.12.0", {"driver": "mlx5_vfio_pci"}, True, "is on vfio-pci"),
        ("5.16.0", {"driver": "mlx5_vfio_pci"}, False, "only where both are the same"),
    ],
)
def test_by_kernel_and_driver(kernel: str, vf: dict[str, object], by_group: bool, why: str) -> None:
    about = need(snapshot(*make_fleet(1, vf=vf), host={"kernel": kernel}), VF)
    assert about.by_group is by_group
    assert why in about.why
    assert about.by_cdev in (None, False)


@pytest.mark.parametrize(("kernel", "needed"), [("6.12.0", False), ("6.19.0", True)])
def test_by_its_own_node(kernel: str, needed: bool) -> None:
    about = need(snapshot(*make_fleet(1, vf={"cdev": "vfio1"}), host={"kernel": kernel, "cdev": True}), VF)
    assert (about.by_group, about.by_cdev) == (True, needed)
    assert ("D17" in about.why) is not needed


def test_of_a_pf_by_its_users() -> None:
    free = snapshot(*make_fleet(1))
    assert need(free, PF).by_group is False
    assert need(snapshot(*make_fleet(1), holders=(make_holder(VF),)), PF).by_group is True
    unseen = need(snapshot(*make_fleet(1), unseen=3), PF)
    assert (unseen.by_group, unseen.why) == (None, "whether its VFs are in use is not known")


def test_of_what_cannot_be_told() -> None:
    assert need(snapshot(*make_fleet(1)[1:]), VF).by_group is None
    plain = make_plain()
    assert need(snapshot(plain), plain.bdf).by_group is False
    with pytest.raises(KeyError):
        need(snapshot(plain), VF)
