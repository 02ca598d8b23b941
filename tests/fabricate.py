"""A sysfs tree on disk, made from a short description: for tests of what reads real hosts, and for the benchmark.

    pf = with_vfs(Fake("0000:03:00.0", driver="vfio-pci", group=10, totalvfs=8), 4, driver="vfio-pci", group=11)
    build(tmp_path, [pf, Fake("0000:00:1f.6", driver="e1000e", group=7, nets=("eno1",))])

`tmp_path` then serves as the root of a `LinuxKernel` and, as `lspci -O sysfs.path=tmp_path/sys/bus/pci`, of pciutils. The names of
files and the form of their contents are those of Linux 6.12; what a function does not have is left out, as in the real thing.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

BOOT_ID = "6f1f4a1e-9d0c-4c0b-8b7a-3d9f2f5c1a77"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY


@dataclass(frozen=True)
class Fake:
    """One function of the tree to be. A PF has `totalvfs`; its VFs come from `with_vfs`."""

    bdf: str
    vendor: int = 0x8086
    device: int = 0x10C9
    class_code: int = 0x020000
    subsystem: tuple[int, int] = (0x8086, 0xA03C)
    revision: int = 1
    driver: str | None = None
    override: str | None = None
    group: int | None = None
    noiommu: bool = False
    numa: int = -1
    nets: tuple[str, ...] = ()
    disks: tuple[str, ...] = ()
    #: present speed, present width, greatest speed, greatest width; None: no PCIe link
    link: tuple[str, int, str, int] | None = ("2.5 GT/s PCIe", 4, "2.5 GT/s PCIe", 4)
    #: N of `vfio-dev/vfioN` and its node below /dev/vfio/devices
    cdev: int | None = None
    totalvfs: int | None = None
    offset: int = 128
    stride: int = 2
    vf_device: int = 0x10CA
    autoprobe: bool = True
    vfs: tuple[Fake, ...] = ()
    is_vf: bool = False
    #: more files of the function's directory, or other contents for the usual ones
    files: dict[str, bytes] = field(default_factory=dict)


def address(pf: str, distance: int) -> str:
    """The BDF whose routing id is `distance` above that of `pf`."""
    domain, bus, rest = pf.split(":")
    slot, function = rest.split(".")
    number = (int(bus, 16) << 8 | int(slot, 16) << 3 | int(function)) + distance
    return f"{domain}:{number >> 8:02x}:{number >> 3 & 0x1F:02x}.{number & 7}"


def with_vfs(
    pf: Fake,
    count: int,
    *,
    driver: str | None = None,
    override: str | None = None,
    group: int | None = None,
    cdev: int | None = None,
    nets: str = "",
) -> Fake:
    """`pf` with `count` VFs where the PCI arithmetic puts them.

    `group` and `cdev` are the numbers of the first VF and count up; `nets` names each VF's interface, with `{}` for its index.
    """

    def nth(index: int) -> Fake:
        return replace(
            pf,
            bdf=address(pf.bdf, pf.offset + pf.stride * index),
            device=pf.vf_device,
            driver=driver,
            override=override,
            group=None if group is None else group + index,
            cdev=None if cdev is None else cdev + index,
            nets=(nets.format(index),) if nets else (),
            disks=(),
            totalvfs=None,
            vfs=(),
            is_vf=True,
            files={},
        )

    return replace(pf, vfs=tuple(nth(index) for index in range(count)))


def fleet(vfs: int, per_pf: int = 128) -> list[Fake]:
    """A host with `vfs` VFs, `per_pf` on each PF, and some bridges; PFs and odd VFs on vfio-pci, even VFs on a network driver."""
    bridge = Fake("", device=0x1901, class_code=0x060400, driver="pcieport", link=None)
    functions = [replace(bridge, bdf=f"0000:00:{slot:02x}.0", group=slot) for slot in range(8)]
    for number, start in enumerate(range(0, vfs, per_pf)):
        pf = Fake(
            f"{number >> 7:04x}:{number % 128 + 1:02x}:00.0",
            driver="vfio-pci",
            group=1000 * number + 100,
            numa=number & 1,
            totalvfs=per_pf,
            offset=16,
            stride=1,
        )
        full = with_vfs(pf, min(per_pf, vfs - start), driver="vfio-pci", override="vfio-pci", group=1000 * number + 101)
        functions.append(replace(full, vfs=tuple(_mixed(vf, number, index) for index, vf in enumerate(full.vfs))))
    return functions


def _mixed(vf: Fake, number: int, index: int) -> Fake:
    if index % 2:
        return replace(vf, cdev=1000 * number + index)
    return replace(vf, driver="igbvf", override=None, nets=(f"p{number}v{index}",))


def build(
    root: Path,
    functions: Iterable[Fake],
    *,
    release: str = "6.12.107+deb13-amd64",
    hostname: str = "fabricated",
    enable_sriov: str | None = "Y",
    noiommu_mode: str | None = None,
) -> Path:
    """Write the tree below `root` (made where absent) and return `root`.

    `enable_sriov` None: vfio-pci is not loaded; `noiommu_mode` None: the kernel was built without that mode.
    """
    for place in ("sys/bus/pci/devices", "sys/bus/pci/drivers", "sys/kernel/iommu_groups", "dev/vfio/devices"):
        (root / place).mkdir(parents=True, exist_ok=True)
    _put(root / "proc/sys/kernel/osrelease", f"{release}\n")
    _put(root / "proc/sys/kernel/hostname", f"{hostname}\n")
    _put(root / "proc/sys/kernel/random/boot_id", f"{BOOT_ID}\n")
    _put(root / "dev/vfio/vfio", "")
    for name in ("drivers_probe", "rescan"):
        _put(root / "sys/bus/pci" / name, "")
    if enable_sriov is not None:
        _put(root / "sys/module/vfio_pci/parameters/enable_sriov", f"{enable_sriov}\n")
        _driver(root, "vfio-pci")
    if noiommu_mode is not None:
        _put(root / "sys/module/vfio/parameters/enable_unsafe_noiommu_mode", f"{noiommu_mode}\n")
    for function in functions:
        _function(root, function, None)
        for index, vf in enumerate(function.vfs):
            _function(root, vf, function)
            os.symlink(f"../{vf.bdf}", root / "sys" / _home(function.bdf) / f"virtfn{index}")
    return root


def _put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _home(bdf: str) -> str:
    """The function's real directory, below /sys; all functions of a domain hang from one root bus."""
    return f"devices/pci{bdf.split(':')[0]}:00/{bdf}"


def _driver(root: Path, name: str) -> None:
    home = root / "sys/bus/pci/drivers" / name
    if not home.exists():
        home.mkdir()
        for file in ("bind", "unbind", "new_id", "remove_id"):
            (home / file).touch()


def _function(root: Path, function: Fake, pf: Fake | None) -> None:
    home = root / "sys" / _home(function.bdf)
    os.makedirs(home, exist_ok=True)
    os.symlink(f"../../../{_home(function.bdf)}", root / "sys/bus/pci/devices" / function.bdf)
    at = os.open(home, _DIRECTORY)
    try:
        for name, content in (dict(_files(function)) | function.files).items():
            fd = os.open(name, os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=at)
            os.write(fd, content)
            os.close(fd)
        os.symlink("../../../bus/pci", "subsystem", dir_fd=at)
        if pf is not None:
            os.symlink(f"../{pf.bdf}", "physfn", dir_fd=at)
        if function.driver is not None:
            _driver(root, function.driver)
            os.symlink(f"../../../bus/pci/drivers/{function.driver}", "driver", dir_fd=at)
            os.symlink(f"../../../../{_home(function.bdf)}", root / "sys/bus/pci/drivers" / function.driver / function.bdf)
    finally:
        os.close(at)
    _children(home, function)
    if function.group is not None:
        _group(root, home, function, function.group)
    if function.cdev is not None:
        os.makedirs(home / "vfio-dev" / f"vfio{function.cdev}")
        (root / "dev/vfio/devices" / f"vfio{function.cdev}").touch()


def _children(home: Path, function: Fake) -> None:
    """The directories that drivers add: network interfaces and disks."""
    for net in function.nets:
        os.makedirs(home / "net" / net)
    for disk in function.disks:
        nvme = disk.startswith("nvme")
        os.makedirs(home / "nvme" / disk.rpartition("n")[0] / disk if nvme else home / "block" / disk)


def _group(root: Path, home: Path, function: Fake, number: int) -> None:
    group = root / "sys/kernel/iommu_groups" / str(number)
    os.makedirs(group / "devices", exist_ok=True)
    os.symlink(f"../../../../{_home(function.bdf)}", group / "devices" / function.bdf)
    os.symlink(f"../../../kernel/iommu_groups/{number}", home / "iommu_group")
    if function.noiommu:
        (group / "name").write_text("vfio-noiommu\n")
    if function.driver is not None and "vfio" in function.driver:
        (root / "dev/vfio" / (f"noiommu-{number}" if function.noiommu else str(number))).touch()


def _files(function: Fake) -> Iterator[tuple[str, bytes]]:
    """Name and content of the plain files of a function's directory."""
    vendor, device, code = function.vendor, function.device, function.class_code
    sub_vendor, sub_device = function.subsystem
    alias = (
        f"pci:v{vendor:08X}d{device:08X}sv{sub_vendor:08X}sd{sub_device:08X}"
        f"bc{code >> 16:02X}sc{code >> 8 & 0xFF:02X}i{code & 0xFF:02X}"
    )
    yield "vendor", b"0x%04x\n" % vendor
    yield "device", b"0x%04x\n" % device
    yield "class", b"0x%06x\n" % code
    yield "subsystem_vendor", b"0x%04x\n" % sub_vendor
    yield "subsystem_device", b"0x%04x\n" % sub_device
    yield "revision", b"0x%02x\n" % function.revision
    yield "modalias", f"{alias}\n".encode()
    yield "uevent", _uevent(function, alias)
    yield "driver_override", f"{function.override or '(null)'}\n".encode()
    yield "numa_node", b"%d\n" % function.numa
    yield "irq", b"0\n"
    yield "resource", b"0x0000000000000000 0x0000000000000000 0x0000000000000000\n" * 13
    yield "config", _config(function)
    yield "enable", b"0\n"
    yield "local_cpulist", b"0-7\n"
    yield "remove", b""
    if function.link is not None:
        yield from _link(function.link if not function.is_vf else ("Unknown", 0, "Unknown", 0))
    if function.is_vf:
        yield "sriov_vf_msix_count", b""
    if function.totalvfs is not None:
        yield from _sriov(function, function.totalvfs)


def _uevent(function: Fake, alias: str) -> bytes:
    sub_vendor, sub_device = function.subsystem
    driver = f"DRIVER={function.driver}\n" if function.driver is not None else ""
    return (
        f"{driver}PCI_CLASS={function.class_code:X}\nPCI_ID={function.vendor:04X}:{function.device:04X}\n"
        f"PCI_SUBSYS_ID={sub_vendor:04X}:{sub_device:04X}\nPCI_SLOT_NAME={function.bdf}\nMODALIAS={alias}\n"
    ).encode()


def _config(function: Fake) -> bytes:
    """The first 64 bytes of configuration space: a type 0 header without BARs and capabilities."""
    header = struct.pack("<HHHHI", function.vendor, function.device, 0x0006, 0, function.class_code << 8 | function.revision)
    return header.ljust(0x2C, b"\0") + struct.pack("<HH", *function.subsystem) + bytes(16)


def _link(link: tuple[str, int, str, int]) -> Iterator[tuple[str, bytes]]:
    speed, width, max_speed, max_width = link
    yield "current_link_speed", f"{speed}\n".encode()
    yield "current_link_width", b"%d\n" % width
    yield "max_link_speed", f"{max_speed}\n".encode()
    yield "max_link_width", b"%d\n" % max_width


def _sriov(pf: Fake, totalvfs: int) -> Iterator[tuple[str, bytes]]:
    yield "sriov_totalvfs", b"%d\n" % totalvfs
    yield "sriov_numvfs", b"%d\n" % len(pf.vfs)
    yield "sriov_offset", b"%d\n" % pf.offset
    yield "sriov_stride", b"%d\n" % pf.stride
    yield "sriov_vf_device", b"%x\n" % pf.vf_device
    yield "sriov_drivers_autoprobe", b"%d\n" % pf.autoprobe
    yield "sriov_vf_total_msix", b"0\n"
