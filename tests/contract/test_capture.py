"""VFs of a vfio PF are captured, and what PFs, their VFs and their drivers forbid each other."""

from __future__ import annotations

from tests.contract.bed import DRIVERS, IGB, NVME, PROBE, U1, Bed, try_open
from vfdeck.backend.vfio import DEVICES


def captured(bed: Bed, log: list[str]) -> list[str]:
    return [line for line in log if "Captured" in line]


# -- capture ---------------------------------------------------------------------------------------------------------------
def test_vfs_of_a_vfio_pf_are_captured(tokens: Bed) -> None:
    tokens.take_log()
    vfs = tokens.vfio_pf()
    assert [tokens.attribute(vf, "driver_override") for vf in vfs] == ["vfio-pci"] * 2
    assert [tokens.driver(vf) for vf in vfs] == ["vfio-pci"] * 2
    lines = captured(tokens, tokens.take_log())
    assert lines == [f"vfio-pci {IGB}: Captured SR-IOV VF {vf} driver_override" for vf in vfs]


def test_autoprobe_off_does_not_stop_the_capture(tokens: Bed) -> None:
    tokens.must(f"{DEVICES}/{IGB}/sriov_drivers_autoprobe", "0")
    vfs = tokens.vfio_pf()
    assert [tokens.driver(vf) for vf in vfs] == ["vfio-pci"] * 2


def test_a_native_driver_does_not_get_captured_vfs(tokens: Bed) -> None:
    tokens.load("nvme")
    assert tokens.unbind(NVME) == "OK"
    vfs = tokens.vfio_pf(NVME)
    assert [tokens.driver(vf) for vf in vfs] == ["vfio-pci"] * 2


def test_the_override_dies_with_the_vf(tokens: Bed) -> None:
    """VFs that the next driver of the PF makes carry none."""
    (vf, _) = tokens.vfio_pf()
    tokens.load("pci-pf-stub")
    assert tokens.unbind(IGB) == "OK"
    assert tokens.bind(IGB, "pci-pf-stub") == "OK"
    assert tokens.numvfs(IGB, 1) == "OK"
    assert (tokens.attribute(vf, "driver_override"), tokens.driver(vf)) == ("(null)", None)


def test_vfs_of_another_pf_are_not_captured(tokens: Bed) -> None:
    tokens.load("pci-pf-stub")
    assert tokens.bind(IGB, "pci-pf-stub") == "OK"
    tokens.take_log()
    assert tokens.numvfs(IGB, 2) == "OK"
    for vf in tokens.virtfns(IGB).values():
        assert (tokens.attribute(vf, "driver_override"), tokens.driver(vf)) == ("(null)", None)
    assert captured(tokens, tokens.take_log()) == []


def test_a_captured_vf_may_go_elsewhere_with_a_warning(tokens: Bed) -> None:
    vf, other = tokens.vfio_pf()
    tokens.load("pci-stub")
    assert tokens.unbind(vf) == "OK"
    tokens.take_log()
    assert tokens.bind(vf, "pci-stub") == "OK"
    owner = "driver vfio-pci" if tokens.has("core_split") else "vfio-pci"
    warning = f"vfio-pci {IGB}: VF {vf} bound to driver pci-stub while PF bound to {owner}"
    assert [line for line in tokens.take_log() if "while PF bound" in line] == [warning]
    assert tokens.driver(other) == "vfio-pci"
    assert (tokens.unbind(vf), tokens.bind(vf)) == ("OK", "OK")
    assert [line for line in tokens.take_log() if "while PF bound" in line] == []


def test_a_captured_vf_comes_back_by_itself(tokens: Bed) -> None:
    """Its override stays when it is unbound, so any probe brings it back; with the override cleared it stays free."""
    vf, _ = tokens.vfio_pf()
    assert tokens.unbind(vf) == "OK"
    assert tokens.driver(vf) is None
    tokens.must(PROBE, vf)
    assert tokens.driver(vf) == "vfio-pci"
    assert tokens.unbind(vf) == "OK"
    tokens.override(vf, "")
    tokens.must(PROBE, vf)
    assert tokens.driver(vf) is None


# -- PFs and drivers -------------------------------------------------------------------------------------------------------
def test_vfio_refuses_a_pf_that_has_vfs(tokens: Bed) -> None:
    """The PF of VFs that a kernel driver made, once that driver has gone and left them."""
    tokens.load("pci-pf-stub")
    assert tokens.bind(IGB, "pci-pf-stub") == "OK"
    assert tokens.numvfs(IGB, 2) == "OK"
    tokens.take_log()
    assert tokens.unbind(IGB) == "OK"
    assert f"pci-pf-stub {IGB}: driver left SR-IOV enabled after remove" in tokens.take_log()
    assert len(tokens.virtfns(IGB)) == 2
    # without a driver the number cannot be changed
    assert [tokens.numvfs(IGB, count) for count in (2, 0, 4)] == ["OK", "ENOENT", "ENOENT"]
    tokens.take_log()
    assert tokens.bind(IGB) == ("EBUSY" if tokens.has("bind_errno") else "ENODEV")
    assert tokens.driver(IGB) is None
    failed = "vfio-pci {}: probe with driver vfio-pci failed with error -16"
    if not tokens.has("probe_text"):
        failed = "vfio-pci: probe of {} failed with error -16"
    lines = [line for line in tokens.take_log() if "SR-IOV enabled" in line or "probe" in line]
    assert lines == [f"vfio-pci {IGB}: Cannot bind to PF with SR-IOV enabled", failed.format(IGB)]
    # a VF of a PF without driver is free of tokens
    vf = tokens.virtfns(IGB)[0]
    assert tokens.bind(vf) == "OK"
    assert [try_open(tokens.program("user"), vf, token) for token in (None, U1)] == ["OK", "EINVAL get_device_fd"]
    # the driver that can, clears up
    assert tokens.bind(IGB, "pci-pf-stub") == "OK"
    assert tokens.numvfs(IGB, 0) == "OK"


def test_before_tokens_vfio_took_a_pf_that_has_vfs(bed: Bed) -> None:
    if bed.has("vf_token"):
        return
    bed.load("pci-pf-stub")
    assert bed.bind(IGB, "pci-pf-stub") == "OK"
    assert bed.numvfs(IGB, 2) == "OK"
    assert (bed.unbind(IGB), bed.bind(IGB)) == ("OK", "OK")
    assert len(bed.virtfns(IGB)) == 2


def test_unbinding_a_vfio_pf_takes_its_vfs(tokens: Bed) -> None:
    vfs = tokens.vfio_pf()
    tokens.take_log()
    assert tokens.unbind(IGB) == "OK"
    assert (tokens.virtfns(IGB), [tokens.exists(vf) for vf in vfs]) == ({}, [False, False])
    assert tokens.attribute(IGB, "sriov_numvfs") == "0"
    assert not any("left SR-IOV" in line for line in tokens.take_log())


def test_igb_frees_its_vfs_and_offers_seven(tokens: Bed) -> None:
    tokens.load("igb")
    assert tokens.driver(IGB) == "igb"
    assert tokens.attribute(IGB, "sriov_totalvfs") == "7"
    assert [tokens.numvfs(IGB, count) for count in (8, 7)] == ["ERANGE", "OK"]
    assert len(tokens.virtfns(IGB)) == 7
    assert tokens.unbind(IGB) == "OK"
    assert tokens.virtfns(IGB) == {}
    assert tokens.attribute(IGB, "sriov_totalvfs") == "8"


def test_removing_the_override_of_a_bound_function_changes_nothing(tokens: Bed) -> None:
    vf, _ = tokens.vfio_pf()
    tokens.override(vf, "")
    assert tokens.driver(vf) == "vfio-pci"
    assert tokens.write(f"{DRIVERS}/vfio-pci/unbind", vf) == "OK"
