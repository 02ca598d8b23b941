"""The test bed itself: the hardware that every other test in this folder relies on is there, and untouched."""

from __future__ import annotations

from pathlib import Path

import pytest

DEVICES = Path("/sys/bus/pci/devices")

PFS = {
    "0000:01:00.0": ("0x8086", "0x10c9"),
    "0000:02:00.0": ("0x8086", "0x10c9"),
    "0000:03:00.0": ("0x1b36", "0x0010"),
}
PLAIN = "0000:04:00.0"


def attribute(device: str, name: str) -> str:
    """One of a function's files in sysfs."""
    return (DEVICES / device / name).read_text(encoding="ascii").strip()


@pytest.mark.parametrize("device", PFS)
def test_physical_functions(device: str) -> None:
    assert (attribute(device, "vendor"), attribute(device, "device")) == PFS[device]
    assert attribute(device, "sriov_totalvfs") == "8"
    assert attribute(device, "sriov_numvfs") == "0"
    assert list((DEVICES / device).glob("virtfn*")) == []


def test_plain_function() -> None:
    assert (attribute(PLAIN, "vendor"), attribute(PLAIN, "device")) == ("0x8086", "0x10d3")
    assert not (DEVICES / PLAIN / "sriov_totalvfs").exists()


def test_each_function_has_an_iommu_group_of_its_own() -> None:
    groups = {device: (DEVICES / device / "iommu_group").resolve() for device in (*PFS, PLAIN)}
    assert len(set(groups.values())) == len(groups)
    for device, group in groups.items():
        assert [entry.name for entry in (group / "devices").iterdir()] == [device]


def test_no_native_driver_is_loaded() -> None:
    loaded = {name for name in ("igb", "igbvf", "e1000e", "nvme") if Path("/sys/module", name).exists()}
    assert loaded == set()
    assert [device for device in (*PFS, PLAIN) if (DEVICES / device / "driver").exists()] == []


def test_vfio_is_ready() -> None:
    assert Path("/sys/bus/pci/drivers/vfio-pci").is_dir()
    assert Path("/sys/module/vfio_pci/parameters/enable_sriov").read_text(encoding="ascii").strip() == "Y"
    assert Path("/dev/vfio/vfio").is_char_device()
