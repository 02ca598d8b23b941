"""The files that bind and unbind: which texts they take and what they answer, by release."""

from __future__ import annotations

import errno

import pytest

from tests.contract.bed import DRIVERS, IGB, NVME, PLAIN, PROBE, U1, Bed, answer, try_open
from vfdeck.backend.vfio import DEVICES

BIND, UNBIND = f"{DRIVERS}/vfio-pci/bind", f"{DRIVERS}/vfio-pci/unbind"


def override_file(bdf: str) -> str:
    return f"{DEVICES}/{bdf}/driver_override"


# -- bind, unbind ----------------------------------------------------------------------------------------------------------
def test_bind_wants_a_function_that_the_driver_takes(bed: Bed) -> None:
    assert bed.write(BIND, "0000:05:00.0") == "ENODEV"
    assert bed.write(BIND, "nonsense") == "ENODEV"
    assert bed.write(BIND, PLAIN) == "ENODEV"  # no override, no id
    bed.override(PLAIN, "another")
    assert bed.write(BIND, PLAIN) == "ENODEV"
    bed.override(PLAIN, "vfio-pci")
    assert bed.write(BIND, f"{PLAIN}\n") == "OK"
    assert bed.driver(PLAIN) == "vfio-pci"


def test_bind_wants_the_exact_name(bed: Bed) -> None:
    bed.override(PLAIN, "vfio-pci")
    for text in (f" {PLAIN}", f"{PLAIN} ", f"{PLAIN}\n\n", PLAIN[5:], PLAIN.upper() + "x"):
        assert (text, bed.write(BIND, text)) == (text, "ENODEV")


def test_bind_of_a_bound_function(bed: Bed) -> None:
    assert bed.bind(PLAIN) == "OK"
    assert bed.write(BIND, PLAIN) == ("EBUSY" if bed.has("bind_errno") else "ENODEV")


def test_unbind(bed: Bed) -> None:
    assert [bed.write(UNBIND, text) for text in (PLAIN, "0000:05:00.0", "x")] == ["ENODEV"] * 3
    assert bed.bind(PLAIN) == "OK"
    bed.load("pci-stub")
    assert bed.write(f"{DRIVERS}/pci-stub/unbind", PLAIN) == "ENODEV"
    assert bed.write(UNBIND, PLAIN) == "OK"
    assert bed.write(UNBIND, PLAIN) == "ENODEV"


def test_drivers_probe(bed: Bed) -> None:
    """Success, whether a driver takes the function or not; only a function that is none is refused."""
    bed.override(PLAIN, "vfio-pci")
    assert bed.write(PROBE, PLAIN) == "OK"
    assert bed.driver(PLAIN) == "vfio-pci"
    assert bed.write(PROBE, PLAIN) == "OK"
    assert bed.write(PROBE, IGB) == "OK"
    assert bed.driver(IGB) is None
    assert bed.write(PROBE, "0000:05:00.0") == "ENODEV"


def test_drivers_probe_hides_a_failed_probe(tokens: Bed) -> None:
    tokens.load("pci-pf-stub")
    assert tokens.bind(IGB, "pci-pf-stub") == "OK"
    assert tokens.numvfs(IGB, 1) == "OK"
    assert tokens.unbind(IGB) == "OK"
    tokens.override(IGB, "vfio-pci")
    assert tokens.write(PROBE, IGB) == "OK"
    assert tokens.driver(IGB) is None


# -- driver_override -------------------------------------------------------------------------------------------------------
def test_override_texts(bed: Bed) -> None:
    path = override_file(PLAIN)
    assert bed.read(path) == "(null)"
    for text, value in (("vfio-pci", "vfio-pci"), ("a b\n", "a b"), ("x\ny", "x"), ("\n", "(null)"), ("vfio-pci\n", "vfio-pci")):
        assert (text, bed.write(path, text), bed.read(path)) == (text, "OK", value)
    assert bed.write(path, "") == "OK"
    assert bed.read(path) == "vfio-pci"  # a write of nothing never reaches the file
    assert bed.write(path, "\n") == "OK"
    assert bed.driver(PLAIN) is None


def test_override_is_shorter_than_a_page(bed: Bed) -> None:
    path = override_file(PLAIN)
    assert bed.write(path, "x" * 4095) == "EINVAL"
    assert bed.write(path, "x" * 4094) == "OK"
    assert bed.write(path, "y" * 5000) == "EINVAL"
    assert bed.read(path)[:8] == "xxxxxxxx"


def test_setting_an_override_binds_nothing(bed: Bed) -> None:
    bed.override(PLAIN, "vfio-pci")
    assert bed.driver(PLAIN) is None
    assert bed.bind(PLAIN) == "OK"
    bed.override(PLAIN, "pci-stub")
    assert bed.driver(PLAIN) == "vfio-pci"


def test_an_override_decides_alone(bed: Bed) -> None:
    """A driver whose ids match does not take a function that is meant for another."""
    bed.load("e1000e")
    assert bed.driver(PLAIN) == "e1000e"
    assert bed.unbind(PLAIN) == "OK"
    bed.override(PLAIN, "vfio-pci")
    assert bed.write(f"{DRIVERS}/e1000e/bind", PLAIN) == "ENODEV"
    assert bed.write(PROBE, PLAIN) == "OK"
    assert bed.driver(PLAIN) == "vfio-pci"
    assert bed.unbind(PLAIN) == "OK"
    bed.override(PLAIN, "")
    assert bed.write(f"{DRIVERS}/e1000e/bind", PLAIN) == "OK"


# -- autoprobe -------------------------------------------------------------------------------------------------------------
def test_autoprobe_off_stops_manual_binding_too(tokens: Bed) -> None:
    """Unless the VF has an override."""
    tokens.load("pci-pf-stub")
    tokens.must(f"{DEVICES}/{NVME}/sriov_drivers_autoprobe", "0")
    assert tokens.bind(NVME, "pci-pf-stub") == "OK"
    assert tokens.numvfs(NVME, 1) == "OK"
    (vf,) = tokens.virtfns(NVME).values()
    assert tokens.write(f"{DRIVERS}/vfio-pci/new_id", "1b36 0010") == "OK"
    assert tokens.driver(vf) is None
    assert tokens.write(BIND, vf) == "ENODEV"
    assert tokens.write(PROBE, vf) == "OK"
    assert tokens.driver(vf) is None
    tokens.must(f"{DEVICES}/{NVME}/sriov_drivers_autoprobe", "1")
    assert tokens.write(BIND, vf) == "OK"
    assert tokens.unbind(vf) == "OK"
    assert tokens.write(f"{DRIVERS}/vfio-pci/remove_id", "1b36 0010") == "OK"
    tokens.must(f"{DEVICES}/{NVME}/sriov_drivers_autoprobe", "0")
    assert tokens.bind(vf) == "OK"


# -- ids -------------------------------------------------------------------------------------------------------------------
def test_new_id_binds_at_once(bed: Bed) -> None:
    new, remove = f"{DRIVERS}/vfio-pci/new_id", f"{DRIVERS}/vfio-pci/remove_id"
    assert bed.write(new, "8086 10d3") == "OK"
    assert bed.driver(PLAIN) == "vfio-pci"
    assert bed.write(new, "8086 10d3") == "EEXIST"
    assert bed.unbind(PLAIN) == "OK"
    assert bed.write(BIND, PLAIN) == "OK"
    assert bed.write(remove, "8086 10d3") == "OK"
    assert bed.driver(PLAIN) == "vfio-pci"
    assert bed.unbind(PLAIN) == "OK"
    assert bed.write(BIND, PLAIN) == "ENODEV"
    assert bed.write(remove, "8086 10d3") == "ENODEV"
    assert bed.driver(IGB) is None


def test_new_id_texts(bed: Bed) -> None:
    new, remove = f"{DRIVERS}/vfio-pci/new_id", f"{DRIVERS}/vfio-pci/remove_id"
    for text in ("8086", "x y", "-", "\n"):
        assert (text, bed.write(new, text), bed.write(remove, text)) == (text, "EINVAL", "EINVAL")
    assert bed.write(new, "0x1234 0xABCD") == "OK"
    assert bed.write(remove, "1234 abcd 0 0 0 0") in ("OK", "ENODEV")
    bed.write(remove, "1234 abcd")


# -- reset, remove ---------------------------------------------------------------------------------------------------------
def test_reset_asks_for_no_token(tokens: Bed) -> None:
    from tests.contract.bed import open_device

    vf, _ = tokens.vfio_pf()
    assert try_open(tokens.program("setter"), IGB, U1) == "OK"
    open_device(tokens.program("holder"), vf, U1)
    assert [tokens.write(f"{DEVICES}/{IGB}/reset", text) for text in ("0", "2", "x", "1")] == ["EINVAL", "EINVAL", "EINVAL", "OK"]


def test_remove_and_rescan(bed: Bed) -> None:
    assert bed.bind(PLAIN) == "OK"
    assert [bed.write(f"{DEVICES}/{PLAIN}/remove", text) for text in ("x", "0")] == ["EINVAL", "OK"]
    assert bed.exists(PLAIN)
    assert bed.write(f"{DEVICES}/{PLAIN}/remove", "1") == "OK"
    assert not bed.exists(PLAIN)
    assert try_open(bed.program("user"), PLAIN) == "ENOENT iommu_group"
    assert bed.write("/sys/bus/pci/rescan", "1") == "OK"
    assert bed.exists(PLAIN)
    assert (bed.driver(PLAIN), bed.attribute(PLAIN, "driver_override")) == (None, "(null)")


def test_removing_a_pf_takes_its_vfs(tokens: Bed) -> None:
    vfs = tokens.vfio_pf()
    assert tokens.write(f"{DEVICES}/{IGB}/remove", "1") == "OK"
    assert [tokens.exists(bdf) for bdf in (IGB, *vfs)] == [False] * 3
    assert tokens.write("/sys/bus/pci/rescan", "1") == "OK"
    assert (tokens.exists(IGB), tokens.driver(IGB), tokens.virtfns(IGB)) == (True, None, {})
    assert tokens.attribute(IGB, "sriov_numvfs") == "0"


def test_a_vf_cannot_be_removed_by_itself(tokens: Bed) -> None:
    (vf,) = tokens.vfio_pf(vfs=1)
    assert "remove" not in tokens.kernel.names(f"{DEVICES}/{vf}")
    assert tokens.write(f"{DEVICES}/{vf}/remove", "1") == "ENOENT"


def test_a_drive_that_does_not_work(tokens: Bed) -> None:
    """nvme finds out in its probe from 6.2 on; before, the bind succeeds and the driver lets go a moment later."""
    tokens.load("nvme")
    tokens.must(f"{DEVICES}/{NVME}/sriov_drivers_autoprobe", "0")
    assert tokens.numvfs(NVME, 1) == "OK"
    (vf,) = tokens.virtfns(NVME).values()
    tokens.override(vf, "nvme")
    answered = tokens.write(f"{DRIVERS}/nvme/bind", vf)
    assert answered == ("ENODEV" if tokens.has("nvme_sync_probe") else "OK")
    assert tokens.lets_go(vf)


@pytest.mark.parametrize(("driver", "bdf", "refusal"), [("nvme", IGB, "ENODEV"), ("igb", NVME, "EIO")])
def test_a_driver_that_is_given_other_hardware(tokens: Bed, driver: str, bdf: str, refusal: str) -> None:
    """An override leads any function to any driver, which finds out in its probe; nvme before 6.2 a moment later."""
    tokens.load(driver)
    tokens.override(bdf, driver)
    late = driver == "nvme" and not tokens.has("nvme_sync_probe")
    told = refusal if tokens.has("bind_errno") else "ENODEV"
    assert tokens.write(f"{DRIVERS}/{driver}/bind", bdf) == ("OK" if late else told)
    assert tokens.lets_go(bdf)


# -- places ----------------------------------------------------------------------------------------------------------------
def test_what_is_no_file(bed: Bed) -> None:
    assert answer(bed.kernel.read, f"{DEVICES}/{PLAIN}") == "EISDIR"
    assert answer(bed.kernel.read, f"{DEVICES}/{PLAIN}/nothing") == "ENOENT"
    assert answer(bed.kernel.names, f"{DEVICES}/{PLAIN}/vendor") == "ENOTDIR"
    assert answer(bed.kernel.link, f"{DEVICES}/{PLAIN}/vendor") == "EINVAL"
    assert bed.write(f"{DEVICES}/{PLAIN}/nothing", "1") in ("ENOENT", "EACCES")
    assert bed.write(DEVICES, "1") == "EISDIR"
    assert answer(bed.kernel.open, "/dev/vfio/999") == "ENOENT"


def test_modules_and_nodes(bed: Bed) -> None:
    assert ("enable_sriov" in bed.kernel.names("/sys/module/vfio_pci/parameters")) == bed.has("vf_token")
    assert "vfio" in bed.kernel.names("/dev/vfio")
    assert bed.bind(PLAIN) == "OK"
    assert bed.link(PLAIN, "iommu_group") in bed.kernel.names("/dev/vfio")
    group = f"/sys/kernel/iommu_groups/{bed.link(PLAIN, 'iommu_group')}"
    assert bed.kernel.names(f"{group}/devices") == [PLAIN]


# -- which binding it is ---------------------------------------------------------------------------------------------------
def test_every_binding_has_a_number_of_its_own(bed: Bed) -> None:
    """What the token journal knows a binding by: it stays while the function is bound, and never comes again."""
    kernel = bed.new_kernel("watcher")
    with pytest.raises(OSError, match="No such file") as refused:
        kernel.binding(PLAIN)
    assert refused.value.errno == errno.ENOENT
    seen = []
    for _ in range(3):
        assert bed.bind(PLAIN) == "OK"
        seen.append(kernel.binding(PLAIN))
        bed.override(PLAIN, "another")
        assert kernel.binding(PLAIN) == seen[-1]
        assert bed.write(UNBIND, PLAIN) == "OK"
        bed.override(PLAIN, "")
    assert len(set(seen)) == 3


def test_the_number_of_a_pf_stays_while_its_vfs_come_and_go(tokens: Bed) -> None:
    kernel = tokens.new_kernel("watcher")
    assert tokens.bind(IGB) == "OK"
    before = kernel.binding(IGB)
    assert [tokens.numvfs(IGB, count) for count in (2, 0)] == ["OK", "OK"]
    assert kernel.binding(IGB) == before
