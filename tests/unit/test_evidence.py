"""Reading what tells causes apart: from trees on disk through the real kernel's files, three-valued throughout."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.values import make_pf, make_vf, snapshot
from vfdeck.backend.changes import Open, SetNumvfs
from vfdeck.backend.evidence import (
    NOTHING,
    Rights,
    Unread,
    all_off,
    allows,
    bridge_above,
    bus_range,
    gather,
    interfaces_up,
    lockdown,
    mount_options,
    node_numbers,
    parameter,
    reserved_regions,
    rights,
    security_modules,
    stat_of,
    vf_windows,
    windows,
)
from vfdeck.backend.facts import Facts
from vfdeck.backend.kernel import FileStat, Stage
from vfdeck.backend.linux.kernel import LinuxKernel

PF, BRIDGE = "0000:03:00.0", "0000:00:1c.0"
DAC = 1 << 1


def tree(root: Path, files: dict[str, str]) -> LinuxKernel:
    """A kernel over these files."""
    for name, text in files.items():
        path = root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return LinuxKernel(str(root))


def why(value: object) -> str:
    """The reason of what could not be read."""
    assert isinstance(value, Unread)
    return value.why


@pytest.fixture
def behind_a_bridge(tmp_path: Path) -> Path:
    """A PF below a bridge that owns the buses 3 to 5."""
    place = f"sys/devices/pci0000:00/{BRIDGE}"
    tree(tmp_path, {f"{place}/secondary_bus_number": "3\n", f"{place}/subordinate_bus_number": "5\n", f"{place}/{PF}/x": ""})
    devices = tmp_path / "sys/bus/pci/devices"
    devices.mkdir(parents=True)
    (devices / PF).symlink_to(f"../../../devices/pci0000:00/{BRIDGE}/{PF}")
    (devices / BRIDGE).symlink_to(f"../../../devices/pci0000:00/{BRIDGE}")
    return tmp_path


class TestBuses:
    def test_the_bridge_and_what_it_owns(self, behind_a_bridge: Path) -> None:
        kernel = LinuxKernel(str(behind_a_bridge))
        assert bridge_above(kernel, PF) == BRIDGE
        assert bus_range(kernel, PF) == range(3, 6)

    def test_on_a_root_bus(self, behind_a_bridge: Path) -> None:
        kernel = LinuxKernel(str(behind_a_bridge))
        assert bridge_above(kernel, BRIDGE) is None
        assert "root bus" in why(bus_range(kernel, BRIDGE))

    def test_not_there(self, tmp_path: Path) -> None:
        assert "ENOENT" in why(bus_range(LinuxKernel(str(tmp_path)), PF))

    def test_no_number(self, behind_a_bridge: Path) -> None:
        (behind_a_bridge / f"sys/devices/pci0000:00/{BRIDGE}/subordinate_bus_number").write_text("many\n")
        assert "no number" in why(bus_range(LinuxKernel(str(behind_a_bridge)), PF))


class TestWindows:
    ZERO = "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
    ROOM = "0x00000000e0000000 0x00000000e001ffff 0x0000000000140204\n"
    UNSET = "0x0000000000000000 0x000000000001ffff 0x0000000020140204\n"

    def read(self, tmp_path: Path, *bars: str) -> LinuxKernel:
        lines = [self.ROOM, *[self.ZERO] * 6, *bars, *[self.ZERO] * (6 - len(bars))]
        return tree(tmp_path, {f"sys/bus/pci/devices/{PF}/resource": "".join(lines)})

    def test_the_vf_bars_are_lines_8_to_13(self, tmp_path: Path) -> None:
        found = vf_windows(self.read(tmp_path, self.ROOM, self.ZERO, self.UNSET), PF)
        assert not isinstance(found, Unread)
        assert [(w.size, w.assigned) for w in found] == [(0x20000, True), (0x20000, False)]

    def test_all_lines(self, tmp_path: Path) -> None:
        found = windows(self.read(tmp_path), PF)
        assert not isinstance(found, Unread)
        assert len(found) == 13
        assert (found[0].present, found[1].present, found[1].size) == (True, False, 0)

    def test_none(self, tmp_path: Path) -> None:
        assert vf_windows(self.read(tmp_path), PF) == ()

    @pytest.mark.parametrize("text", ["0x1 0x2\n", "x y z\n", "\0\0\n"])
    def test_not_what_was_expected(self, tmp_path: Path, text: str) -> None:
        kernel = tree(tmp_path, {f"sys/bus/pci/devices/{PF}/resource": text})
        assert "three hexadecimal numbers" in why(vf_windows(kernel, PF))


class TestRights:
    STATUS = (
        "Name:\tvfdeck\nUid:\t1000\t1001\t1000\t1000\nGid:\t5\t6\t5\t5\nGroups:\t6 104 \n"
        "CapEff:\t0000000000020002\nNoNewPrivs:\t1\n"
    )

    def test_from_the_files(self, tmp_path: Path) -> None:
        kernel = tree(tmp_path, {"proc/self/status": self.STATUS, "proc/self/uid_map": "         0          0 4294967295\n"})
        assert rights(kernel) == Rights(1001, frozenset({6, 104}), 0x20002, no_new_privs=True, user_namespace=False)

    def test_in_a_user_namespace(self, tmp_path: Path) -> None:
        kernel = tree(tmp_path, {"proc/self/status": self.STATUS, "proc/self/uid_map": "0 100000 65536\n"})
        found = rights(kernel)
        assert isinstance(found, Rights)
        assert found.user_namespace is True

    def test_of_this_very_process(self) -> None:
        found = rights(LinuxKernel())
        assert isinstance(found, Rights)
        assert found.uid == os.geteuid()

    @pytest.mark.parametrize("text", ["", "Uid:\t1\n", "Uid:\tx y\nGid:\t1 1\nCapEff:\t0\n"])
    def test_not_what_was_expected(self, tmp_path: Path, text: str) -> None:
        assert "CapEff" in why(rights(tree(tmp_path, {"proc/self/status": text})))


class TestModes:
    ROOT = Rights(0, frozenset({0}), DAC, user_namespace=False)
    BARE_ROOT = Rights(0, frozenset({0}), 0, user_namespace=False)
    GUEST_ROOT = Rights(0, frozenset({0}), DAC, user_namespace=True)
    ROOT_SOMEWHERE = Rights(0, frozenset({0}), DAC, user_namespace=None)
    USER = Rights(1000, frozenset({1000, 104}), 0, user_namespace=False)
    USER_SOMEWHERE = Rights(1000, frozenset({1000}), 0, user_namespace=None)

    @pytest.mark.parametrize(
        ("mode", "owner", "group", "acl", "who", "allowed"),
        [
            (0o600, 0, 0, False, USER, False),
            (0o600, 0, 0, False, ROOT, True),
            (0o000, 0, 0, False, ROOT, True),
            (0o000, 0, 0, False, BARE_ROOT, False),
            (0o600, 1000, 0, False, USER, True),
            (0o660, 0, 104, False, USER, True),
            (0o640, 0, 104, False, USER, False),
            (0o666, 0, 0, False, USER, True),
            (0o606, 0, 104, False, USER, False),  # the first class that applies decides
            (0o066, 1000, 0, False, USER, False),
            (0o660, 0, 0, True, USER, None),
            (0o640, 0, 0, True, USER, False),  # the group's bits are the mask of an access list
            (0o600, 1, 1, False, GUEST_ROOT, None),
            (0o600, 1, 1, False, ROOT_SOMEWHERE, None),
            (0o640, 1, 0, True, GUEST_ROOT, None),  # what the list forbids, the capability may allow
            (0o600, 0, 0, False, ROOT_SOMEWHERE, True),
            (0o600, 1, 1, False, USER_SOMEWHERE, False),  # no capability, wherever it is
        ],
    )
    def test_who_may(self, mode: int, owner: int, group: int, acl: bool, who: Rights, allowed: bool | None) -> None:
        assert allows(FileStat(mode, owner, group, acl=acl), who) is allowed

    def test_of_a_file(self, tmp_path: Path) -> None:
        kernel = tree(tmp_path, {"dev/vfio/12": ""})
        os.chmod(tmp_path / "dev/vfio/12", 0o640)
        found = stat_of(kernel, "/dev/vfio/12")
        assert isinstance(found, FileStat)
        assert (found.mode & 0o777, found.uid) == (0o640, os.geteuid())
        assert "ENOENT" in why(stat_of(kernel, "/dev/vfio/13"))


class TestSurroundings:
    MOUNTS = (
        "22 1 0:21 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
        "23 22 0:22 / /sys ro,nosuid - sysfs sysfs ro\n"
        "24 22 0:23 / /dev rw,nosuid shared:2 - devtmpfs udev rw\n"
        "25 24 0:24 / /dev/my\\040nodes rw,nodev - tmpfs tmpfs rw\n"
        "broken\n"
    )

    @pytest.mark.parametrize(
        ("path", "option"), [("/sys/bus/x", "ro"), ("/dev/my nodes/12", "nodev"), ("/dev/vfio/12", "rw"), ("/devices", "relatime")]
    )
    def test_mounts(self, tmp_path: Path, path: str, option: str) -> None:
        found = mount_options(tree(tmp_path, {"proc/self/mountinfo": self.MOUNTS}), path)
        assert not isinstance(found, Unread)
        assert option in found

    def test_a_place_beside_is_no_place_below(self, tmp_path: Path) -> None:
        found = mount_options(tree(tmp_path, {"proc/self/mountinfo": self.MOUNTS}), "/system")
        assert found == frozenset({"rw", "relatime"})

    def test_lockdown_and_modules(self, tmp_path: Path) -> None:
        files = {"lockdown": "none [integrity] confidentiality\n", "lsm": "lockdown,capability,selinux"}
        kernel = tree(tmp_path, {f"sys/kernel/security/{name}": text for name, text in files.items()})
        assert lockdown(kernel) == "integrity"
        assert security_modules(kernel) == ("lockdown", "capability", "selinux")

    def test_parameters_regions_and_numbers(self, tmp_path: Path) -> None:
        files = {
            "sys/module/vfio_pci/parameters/enable_sriov": "Y\n",
            "sys/module/vfio_pci/parameters/disable_denylist": "?\n",
            "sys/kernel/iommu_groups/4/reserved_regions": "0x0 0x1 direct\n0x2 0x3 msi\n",
            "sys/class/vfio/4/dev": "240:7\n",
        }
        kernel = tree(tmp_path, files)
        assert parameter(kernel, "vfio_pci", "enable_sriov") is True
        assert "neither Y nor N" in why(parameter(kernel, "vfio_pci", "disable_denylist"))
        assert reserved_regions(kernel, 4) == ("direct", "msi")
        assert node_numbers(kernel, "/dev/vfio/4") == (240, 7)
        assert "no node" in why(node_numbers(kernel, "/dev/vfio/vfio"))


def test_an_interface_is_up_by_its_flags_not_by_its_cable(tmp_path: Path) -> None:
    net = f"sys/bus/pci/devices/{PF}/net"
    files = {
        "no_cable/operstate": "down",
        "no_cable/flags": "0x1003",
        "off/operstate": "down",
        "off/flags": "0x1002",
        "odd/flags": "up",
    }
    found = interfaces_up(tree(tmp_path, {f"{net}/{name}": f"{text}\n" for name, text in files.items()}), PF)
    assert not isinstance(found, Unread)
    assert (found["no_cable"], found["off"]) == (True, False)
    assert "no hexadecimal number" in why(found["odd"])


@pytest.mark.parametrize(
    ("links", "off"),
    [
        ({"p0": False}, True),
        ({"p0": True}, False),
        ({"p0": False, "p1": False}, True),
        ({"p0": True, "pf0vf0rep": False}, None),
        ({"p0": Unread("no")}, None),
        ({"p0": False, "p1": Unread("no")}, None),
        ({}, None),
    ],
)
def test_a_function_is_off_where_all_its_interfaces_are(links: dict[str, bool | Unread], off: bool | None) -> None:
    assert all_off(links) is off


def test_a_resource_file_without_the_lines_of_vfs_tells_nothing_of_them(tmp_path: Path) -> None:
    lines = "0x0000000000000000 0x0000000000000000 0x0000000000000000\n" * 7
    assert "7 lines" in why(vf_windows(tree(tmp_path, {f"sys/bus/pci/devices/{PF}/resource": lines}), PF))


def test_gathering_in_an_empty_tree_reads_nothing_and_raises_nothing(tmp_path: Path) -> None:
    kernel = tree(tmp_path, {})
    for change in (SetNumvfs(PF, 4), Open("0000:03:10.0")):
        facts = Facts(snapshot(make_pf(), make_vf()), change, Stage.FILE, 13, "/dev/vfio/10")
        found = gather(kernel, facts)
        for name in NOTHING.__slots__:
            assert isinstance(getattr(found, name), Unread) or name == "type1", name
        assert found.type1 is False  # a directory that is not there is not there


def test_before_a_refusal_nothing_was_looked_at() -> None:
    assert all(isinstance(getattr(NOTHING, name), Unread) for name in NOTHING.__slots__)
