"""Scanning through the seam, over trees on disk."""

from __future__ import annotations

import errno
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fabricate import Fake, build, fleet, with_vfs
from vfdeck.backend.linux.kernel import LinuxKernel
from vfdeck.backend.model import Link, Problem, Role, Snapshot
from vfdeck.backend.pci_ids import Ids, Names
from vfdeck.backend.topology import DEVICES, scan

NO_NAMES: dict[Ids, Names] = {}
PF = Fake("0000:01:00.0", driver="vfio-pci", group=14, totalvfs=8, numa=1)


class Watched(LinuxKernel):
    """A kernel that refuses chosen paths, and remembers what was read and listed."""

    def __init__(self, root: Path, refuse: dict[str, int] | None = None) -> None:
        super().__init__(str(root))
        self.refuse = refuse or {}
        self.done: list[str] = []

    def _note(self, path: str) -> None:
        self.done.append(path)
        for tail, number in self.refuse.items():
            if path.endswith(tail):
                raise OSError(number, os.strerror(number), path)

    def read(self, path: str) -> bytes:
        self._note(path)
        return super().read(path)

    def names(self, path: str) -> list[str]:
        self._note(path)
        return super().names(path)

    def link(self, path: str) -> str:
        self._note(path)
        return super().link(path)


def look(root: Path, *functions: Fake, refuse: dict[str, int] | None = None) -> Snapshot:
    return scan(Watched(build(root, functions), refuse), NO_NAMES)


def test_a_pf_with_vfs(tmp_path: Path) -> None:
    pf = replace(PF, nets=("eno1",), link=("2.5 GT/s PCIe", 1, "5.0 GT/s PCIe", 4), files={"sriov_drivers_autoprobe": b"0\n"})
    seen = look(tmp_path, with_vfs(pf, 3, driver="vfio-pci", override="vfio-pci", group=20, cdev=5))
    assert list(seen.functions) == ["0000:01:00.0", "0000:01:10.0", "0000:01:10.2", "0000:01:10.4"]
    found = seen.functions["0000:01:00.0"]
    assert (found.role, found.vendor_id, found.device_id, found.class_code) == (Role.PF, 0x8086, 0x10C9, 0x020000)
    assert (found.driver, found.iommu_group, found.numa_node, found.interfaces) == ("vfio-pci", 14, 1, ("eno1",))
    assert found.link == Link("2.5 GT/s PCIe", 1, "5.0 GT/s PCIe", 4)
    assert found.link.degraded
    assert found.subsystem == "8086:a03c"
    assert found.sriov is not None
    assert found.sriov.vfs == ("0000:01:10.0", "0000:01:10.2", "0000:01:10.4")
    assert (found.sriov.totalvfs, found.sriov.offset, found.sriov.stride, found.sriov.vf_device) == (8, 128, 2, 0x10CA)
    assert found.sriov.autoprobe is False
    second = seen.vfs_of("0000:01:00.0")[1]
    assert (second.role, second.physfn, second.vf_index) == (Role.VF, "0000:01:00.0", 1)
    assert (second.driver, second.driver_override, second.iommu_group, second.cdev) == ("vfio-pci", "vfio-pci", 21, "vfio6")
    assert second.numa_node == 1
    assert second.link is None
    assert not seen.problems


def test_facts_of_the_host(tmp_path: Path) -> None:
    host = look(tmp_path, replace(PF, cdev=0)).host
    assert (host.name, host.kernel, host.enable_sriov, host.cdev, host.iommu) == (
        "fabricated",
        "6.12.107+deb13-amd64",
        True,
        True,
        True,
    )
    assert not host.simulated
    without = scan(LinuxKernel(str(build(tmp_path / "b", [Fake("0000:00:01.0")], enable_sriov=None))), NO_NAMES).host
    assert (without.enable_sriov, without.cdev, without.iommu) == (None, False, False)


def test_only_what_matters_is_shown_and_groups_are_whole(tmp_path: Path) -> None:
    seen = look(
        tmp_path,
        Fake("0000:00:01.0", driver="pcieport", class_code=0x060400, group=3),
        Fake("0000:00:1f.6", driver="e1000e", group=7),
        Fake("0000:02:00.0", driver="vfio-pci", group=3),
        Fake("0000:02:00.1", driver="snd_hda_intel", group=3),
        Fake("0000:03:00.0", driver="mlx5_vfio_pci", group=9),
        Fake("0000:04:00.0"),
    )
    assert list(seen.functions) == ["0000:00:01.0", "0000:02:00.0", "0000:02:00.1", "0000:03:00.0"]
    assert seen.scanned == 6
    assert {number: group.members for number, group in seen.groups.items()} == {
        3: ("0000:00:01.0", "0000:02:00.0", "0000:02:00.1"),
        9: ("0000:03:00.0",),
    }
    assert all(function.role is Role.PLAIN for function in seen.functions.values())


def test_addresses_sort_by_domain_as_a_number(tmp_path: Path) -> None:
    addresses = ["10000:01:00.0", "0000:0a:00.0", "0001:00:00.0", "0000:02:00.1"]
    seen = look(tmp_path, *(Fake(bdf, driver="vfio-pci") for bdf in addresses))
    assert list(seen.functions) == ["0000:02:00.1", "0000:0a:00.0", "0001:00:00.0", "10000:01:00.0"]


def test_disks(tmp_path: Path) -> None:
    nvme = Fake("0000:03:00.0", class_code=0x010802, driver="nvme", totalvfs=8, disks=("nvme0n1", "nvme0n2"), offset=1, stride=1)
    seen = look(tmp_path, with_vfs(nvme, 1, driver="nvme"))
    assert seen.functions["0000:03:00.0"].disks == ("nvme0n1", "nvme0n2")
    controller = tmp_path / "sys" / DEVICES[5:] / "0000:03:00.1" / "nvme" / "nvme1"
    for name in ("nvme1c1n1", "ng1n1", "hwmon3", "power"):
        (controller / name).mkdir(parents=True)
    assert scan(LinuxKernel(str(tmp_path)), NO_NAMES).functions["0000:03:00.1"].disks == ("nvme1n1",)


def test_virtio_interfaces_and_disks_are_one_level_deeper(tmp_path: Path) -> None:
    pf = replace(PF, vendor=0x1AF4, driver="virtio-pci", class_code=0x020000)
    build(tmp_path, [with_vfs(pf, 1, driver="virtio-pci")])
    home = tmp_path / "sys" / DEVICES[5:] / "0000:01:10.0"
    (home / "virtio3" / "net" / "eth7").mkdir(parents=True)
    (home / "virtio4" / "block" / "vda").mkdir(parents=True)
    vf = scan(LinuxKernel(str(tmp_path)), NO_NAMES).functions["0000:01:10.0"]
    assert (vf.interfaces, vf.disks) == (("eth7",), ("vda",))


@pytest.mark.parametrize("mode", [None, "Y"])
def test_groups_without_an_iommu(tmp_path: Path, mode: str | None) -> None:
    """Told by the node, and where there is none (as on a simulated kernel, or in a container) by the group's name."""
    fakes = [Fake("0000:02:00.0", driver="vfio-pci", group=0, noiommu=True), Fake("0000:03:00.0", driver="vfio-pci", group=1)]
    build(tmp_path, fakes, noiommu_mode=mode)
    if mode is not None:
        (tmp_path / "dev/vfio/noiommu-0").unlink()
    seen = scan(LinuxKernel(str(tmp_path)), NO_NAMES)
    assert [function.noiommu for function in seen.functions.values()] == [True, False]
    assert seen.host.noiommu is (None if mode is None else True)
    assert seen.host.iommu


def test_a_vf_that_waits_to_be_removed_stays_with_its_pf(tmp_path: Path) -> None:
    """Its links to and from the PF have gone by then."""
    build(tmp_path, [with_vfs(PF, 3, driver="vfio-pci", group=20), Fake("0000:05:00.0", device=0x10CA, driver="vfio-pci")])
    devices = tmp_path / "sys" / DEVICES[5:]
    for gone in ("0000:01:00.0/virtfn0", "0000:01:10.0/physfn", "0000:01:10.0/driver"):
        (devices / gone).unlink()
    seen = scan(LinuxKernel(str(tmp_path)), NO_NAMES)
    waiting = seen.functions["0000:01:10.0"]
    assert (waiting.role, waiting.physfn, waiting.vf_index, waiting.driver) == (Role.VF, "0000:01:00.0", 0, "vfio-pci")
    assert [vf.vf_index for vf in seen.vfs_of("0000:01:00.0")] == [0, 1, 2]
    assert seen.functions["0000:05:00.0"].role is Role.PLAIN


def test_links_that_do_not_lead_where_pci_puts_vfs_are_followed(tmp_path: Path) -> None:
    build(tmp_path, [with_vfs(PF, 4, driver="vfio-pci")])
    home = tmp_path / "sys" / DEVICES[5:] / PF.bdf
    for index, target in enumerate(("0000:01:10.6", "0000:01:10.4", "0000:01:10.2", "0000:01:10.0")):
        link = home / f"virtfn{index}"
        link.unlink()
        link.symlink_to(f"../{target}")
    seen = scan(LinuxKernel(str(tmp_path)), NO_NAMES)
    assert [vf.bdf for vf in seen.vfs_of(PF.bdf)] == ["0000:01:10.6", "0000:01:10.4", "0000:01:10.2", "0000:01:10.0"]


def test_a_vf_whose_pf_is_not_there(tmp_path: Path) -> None:
    """As in a virtual machine, or a copy of half a tree."""
    build(tmp_path, [with_vfs(PF, 1, driver="vfio-pci")])
    (tmp_path / "sys" / DEVICES[5:] / "0000:01:00.0").unlink()
    vf = scan(LinuxKernel(str(tmp_path)), NO_NAMES).functions["0000:01:10.0"]
    assert (vf.role, vf.physfn, vf.vf_index) == (Role.VF, "0000:01:00.0", None)


def test_nothing_that_can_block_is_read_and_vfs_are_not_listed(tmp_path: Path) -> None:
    kernel = Watched(build(tmp_path, [with_vfs(PF, 8, driver="vfio-pci", group=20), Fake("0000:00:1f.6", driver="e1000e")]))
    scan(kernel, NO_NAMES)
    assert not [path for path in kernel.done if path.endswith(("sriov_numvfs", "sriov_vf_total_msix", "config"))]
    assert len(kernel.done) == len(set(kernel.done)), "nothing is looked at twice"
    assert f"{DEVICES}/0000:01:00.0" in kernel.done
    assert f"{DEVICES}/0000:01:10.0" not in kernel.done
    assert f"{DEVICES}/0000:00:1f.6/driver_override" not in kernel.done


def test_names_are_given_or_looked_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build(tmp_path, [PF])
    kernel = LinuxKernel(str(tmp_path))
    assert scan(kernel, {(0x8086, 0x10C9): ("Intel", "82576")}).functions[PF.bdf].name == "Intel 82576"
    monkeypatch.setattr("vfdeck.backend.pci_ids.lookup", lambda wanted: dict.fromkeys(wanted, ("from", "the file")))
    assert scan(kernel).functions[PF.bdf].name == "from the file"


@pytest.mark.parametrize("count", [0, 1, 300])
def test_fleets_of_all_sizes(tmp_path: Path, count: int) -> None:
    seen = scan(LinuxKernel(str(build(tmp_path, fleet(count)))), NO_NAMES)
    assert sum(function.role is Role.VF for function in seen.functions.values()) == count
    assert sum(len(seen.vfs_of(pf.bdf)) for pf in seen.pfs()) == count
    assert not seen.problems


# -- bad input -----------------------------------------------------------------------------------------------------------


def test_a_root_without_sysfs_is_one_problem(tmp_path: Path) -> None:
    seen = scan(LinuxKernel(str(tmp_path)), NO_NAMES)
    assert not seen.functions
    assert [problem.path for problem in seen.problems] == [DEVICES]
    assert seen.scanned is None
    assert seen.problems[0].what == "ENOENT (No such file or directory); expected a directory with one link per PCI function"


@pytest.mark.parametrize(
    "file", ["uevent", "driver_override", "sriov_totalvfs", "sriov_vf_device", "current_link_width", "numa_node"]
)
@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO])
def test_an_unreadable_file_is_named_and_the_rest_is_shown(tmp_path: Path, file: str, number: int) -> None:
    seen = look(tmp_path, with_vfs(PF, 2, driver="igbvf"), refuse={f"0000:01:00.0/{file}": number})
    assert [problem.path for problem in seen.problems] == [f"{DEVICES}/0000:01:00.0/{file}"]
    assert seen.problems[0].what.startswith(f"{errno.errorcode[number]} (")
    assert "; expected " in seen.problems[0].what
    assert len(seen.functions) == 3
    assert len(seen.vfs_of("0000:01:00.0")) == 2


@pytest.mark.parametrize("number", [errno.ENOENT, errno.ENODEV])
def test_a_function_that_vanishes_is_left_out_in_silence(tmp_path: Path, number: int) -> None:
    seen = look(
        tmp_path, with_vfs(PF, 3, driver="igbvf"), refuse={"0000:01:10.2/uevent": number, "0000:01:10.4/driver_override": number}
    )
    assert "0000:01:10.2" not in seen.functions
    assert [vf.vf_index for vf in seen.vfs_of("0000:01:00.0")] == [0, 2]
    assert not seen.problems


@pytest.mark.parametrize("file", ["sriov_totalvfs", "sriov_offset", "sriov_stride", "numa_node", "max_link_width"])
@pytest.mark.parametrize("content", [b"many\n", b"", b"\xff\xfe", b"1 2", b"9" * 5000])
def test_a_file_that_holds_no_number(tmp_path: Path, file: str, content: bytes) -> None:
    seen = look(tmp_path, replace(PF, files={file: content}))
    (problem,) = seen.problems
    assert problem.path.endswith(file)
    assert problem.what.endswith("; expected a decimal number")
    assert problem.what.isprintable()
    assert len(problem.what) < 100


@pytest.mark.parametrize(
    ("uevent", "what"),
    [
        (b"", "no PCI_ID in it"),
        (b"DRIVER=igb\nPCI_CLASS=20000\n", "no PCI_ID in it"),
        (b"PCI_ID=8086:10C9\n", "no PCI_CLASS in it"),
        (b"PCI_CLASS=20000\nPCI_ID=8086\n", '"PCI_CLASS=20000 PCI_ID=8086"'),
        (b"PCI_CLASS=x\nPCI_ID=8086:10C9\n", '"PCI_CLASS=x PCI_ID=8086:10C9"'),
        (b"PCI_CLASS=20000\nPCI_ID=8086:10C90\n", '"PCI_CLASS=20000 PCI_ID=8086:10C90"'),
        (b"PCI_CLASS=20000\nPCI_ID=-1:\x1b[31m\n", '"PCI_CLASS=20000 PCI_ID=-1:␛[31m"'),
        (b"\xff\x00\n\n====", "no PCI_ID in it"),
    ],
)
def test_a_broken_uevent(tmp_path: Path, uevent: bytes, what: str) -> None:
    seen = look(tmp_path, replace(PF, files={"uevent": uevent}))
    assert seen.problems == (Problem(f"{DEVICES}/{PF.bdf}/uevent", f"{what}; expected lines such as PCI_ID=8086:10CA"),)
    assert (seen.functions[PF.bdf].vendor_id, seen.functions[PF.bdf].role) == (0, Role.PF)


def test_hostile_names_are_made_visible(tmp_path: Path) -> None:
    override = b"\x1b]0;owned\x07" + "‮gpj".encode() + b"\xff[bold]x[/bold]" + b"A" * 10_000
    build(tmp_path, [replace(PF, files={"driver_override": override})])
    home = tmp_path / "sys" / DEVICES[5:]
    (home / PF.bdf / "net").mkdir()
    os.mkdir(os.fsencode(home / PF.bdf / "net") + b"/a\n\x1b[2J\xff")
    (home / "lost\nand found").mkdir()
    (home / "0000:01:00.8").mkdir()
    seen = scan(LinuxKernel(str(tmp_path)), NO_NAMES)
    function = seen.functions[PF.bdf]
    assert function.interfaces == ("a␊␛[2J\\xff",)
    assert function.driver_override is not None
    assert len(function.driver_override) == 200
    assert function.driver_override.startswith("␛]0;owned␇\\u202egpj\\xff[bold]x[/bold]AAA")
    assert [problem.path.rpartition("/")[2] for problem in seen.problems] == ["0000:01:00.8", "lost␊and found"]
    assert all(problem.what == "not a PCI address; expected a name such as 0000:03:00.0" for problem in seen.problems)


def test_a_group_link_that_leads_nowhere_sensible(tmp_path: Path) -> None:
    build(tmp_path, [replace(PF, group=None)])
    os.symlink("../../../kernel/iommu_groups/many", tmp_path / "sys" / DEVICES[5:] / PF.bdf / "iommu_group")
    seen = scan(LinuxKernel(str(tmp_path)), NO_NAMES)
    assert seen.functions[PF.bdf].iommu_group is None
    assert seen.problems[0].what == 'a link to "many"; expected the number of an IOMMU group'


def test_a_strange_switch(tmp_path: Path) -> None:
    seen = scan(LinuxKernel(str(build(tmp_path, [PF], enable_sriov="maybe"))), NO_NAMES)
    assert seen.host.enable_sriov is None
    assert seen.problems[0].what == '"maybe"; expected Y or N'


def test_a_function_that_is_locked_keeps_its_identity(tmp_path: Path) -> None:
    """As on 6.1, whose uevent and driver_override wait while a change of the function waits."""
    build(tmp_path, [PF])
    stuck = {f"{PF.bdf}/uevent": errno.ETIMEDOUT, f"{PF.bdf}/driver_override": errno.ETIMEDOUT}
    plain = scan(Watched(tmp_path), NO_NAMES).functions[PF.bdf]
    seen = scan(Watched(tmp_path, stuck), NO_NAMES)
    assert replace(seen.functions[PF.bdf], driver_override=plain.driver_override) == plain
    assert {problem.path.rsplit("/", 1)[-1] for problem in seen.problems} == {"uevent", "driver_override"}


def test_a_function_that_is_locked_while_it_leaves_vfio(tmp_path: Path) -> None:
    """As on 6.1: its driver link has gone, `uevent` waits, and what tells of vfio is the entry below `vfio-dev`."""
    build(tmp_path, [replace(PF, driver="vfio-pci", cdev=0)])
    os.unlink(tmp_path / "sys" / DEVICES[5:] / PF.bdf / "driver")
    seen = scan(Watched(tmp_path, {f"{PF.bdf}/uevent": errno.ETIMEDOUT}), NO_NAMES)
    assert seen.functions[PF.bdf].driver == "vfio-pci"


def test_a_kernel_without_nodes_of_functions(tmp_path: Path) -> None:
    """Debian's: there is `vfio-dev`, but nothing to open."""
    build(tmp_path, [replace(PF, driver="vfio-pci", cdev=0)])
    shutil.rmtree(tmp_path / "dev" / "vfio" / "devices")
    seen = scan(LinuxKernel(str(tmp_path)), NO_NAMES)
    assert (seen.functions[PF.bdf].cdev, seen.host.cdev) == (None, False)
