"""What the host's disks are used for: mounts, swap, and what is built on them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.usage_tree import HostTree
from tests.values import make_plain
from vfdeck.backend.linux.kernel import LinuxKernel
from vfdeck.backend.usage.disks import parse_mounts, parse_swaps
from vfdeck.backend.usage.look import look_up
from vfdeck.backend.usage.said import losses, severe
from vfdeck.backend.usage.values import DiskUse, Usage, UseKind

HBA, OTHER = "0000:81:00.0", "0000:82:00.0"
GOING = [make_plain(HBA, driver="megaraid_sas", class_code=0x010400)]
LVM, CRYPT, MPATH = "LVM-aBcD", "CRYPT-LUKS2-12", "mpath-3600"


@pytest.fixture
def host(tmp_path: Path) -> HostTree:
    """A host with one disk on each of two controllers."""
    tree = HostTree(tmp_path)
    tree.disk("sdx", HBA, number="8:160", parts={"sdx1": "8:161", "sdx2": "8:162", "sdx3": "8:163"})
    tree.disk("sdy", OTHER, number="8:176", parts={"sdy1": "8:177"})
    return tree


def usage(host: HostTree) -> Usage:
    return look_up(host.kernel(), GOING)


def uses(host: HostTree) -> list[tuple[str, str, str, bool]]:
    (disk,) = usage(host).disks
    return [(use.kind.value, use.where, use.through, use.spared) for use in disk.uses]


def test_mounts_by_the_number_of_their_device(host: HostTree) -> None:
    host.mount("8:161", "/boot")
    host.mount("8:162", "/srv/a\\040b")
    host.mount("8:177", "/home")
    host.mount("0:30", "/run", "tmpfs", "tmpfs")
    found = usage(host)
    assert [(disk.name, disk.bdf) for disk in found.disks] == [("sdx", HBA)]
    assert uses(host) == [("mount", "/boot", "sdx1", False), ("mount", "/srv/a b", "sdx2", False)]
    assert losses(found) == [
        "mounted: /boot from sdx1: what is not written yet is lost, and programs fail (B15)",
        "mounted: /srv/a b from sdx2: what is not written yet is lost, and programs fail (B15)",
    ]
    assert (severe(found), found.unchecked) == ("", ())


def test_the_root_file_system_comes_first(host: HostTree) -> None:
    host.put("proc/self/mountinfo", "")
    for number, point in (("8:161", "/data/deep"), ("8:161", "/var"), ("8:162", "/")):
        host.mount(number, point)
    host.swap("/dev/sdx3")
    said = losses(usage(host))
    assert said == [
        "the root file system is on sdx2: the host cannot go on without it (B15)",
        "the host swaps to sdx3: programs whose memory is there are killed (B15)",
        "mounted: /var, /data/deep from sdx1: what is not written yet is lost, and programs fail (B15)",
    ]
    assert severe(usage(host)) == "takes the root file system away"


def test_nothing_in_use(host: HostTree) -> None:
    assert usage(host).disks[0].uses == ()
    assert losses(usage(host)) == []


def test_swap_files_by_the_mount_that_they_are_on(host: HostTree) -> None:
    host.mount("8:161", "/srv")
    host.mount("8:177", "/srv/deep")
    host.swap("/srv/swap\\040file", "file")
    host.swap("/srv/deep/swap", "file")
    host.swap("/dev/sdy1")
    assert uses(host) == [("mount", "/srv", "sdx1", False), ("swap", "/srv/swap file", "sdx1", False)]
    assert any("the host swaps to sdx1 in /srv/swap file" in said for said in losses(usage(host)))


class TestBuiltOn:
    def test_a_volume_on_an_encrypted_partition(self, host: HostTree) -> None:
        host.built("dm-0", "sdx2", number="254:0", dm__name="luks-1", dm__uuid=CRYPT)
        host.built("dm-1", "dm-0", number="254:1", dm__name="vg0-root", dm__uuid=LVM)
        host.built("dm-2", "dm-0", number="254:2", dm__name="vg0-swap", dm__uuid=LVM)
        host.built("dm-3", "dm-0", number="254:3", dm__name="vg0-thin", dm__uuid=LVM)
        host.put("proc/self/mountinfo", "")
        host.mount("254:1", "/", source="/dev/mapper/vg0-root")
        host.swap("/dev/dm-2")
        assert uses(host) == [
            ("mount", "/", "vg0-root (LVM)", False),
            ("swap", "vg0-swap (LVM)", "vg0-swap (LVM)", False),
            ("part of", "vg0-thin (LVM)", "vg0-thin (LVM)", False),
        ]
        said = losses(usage(host))
        assert said[0] == "the root file system is on vg0-root (LVM) on sdx: the host cannot go on without it (B15)"
        assert said[-1] == "one device is built on it, and may be in use: vg0-thin (LVM) on sdx (B15)"

    def test_a_mirror_goes_on_without_one_disk(self, host: HostTree) -> None:
        host.built("md0", "sdx1", "sdy1", number="9:0", md__level="raid1", md__raid_disks="2", md__degraded="0")
        host.put("proc/self/mountinfo", "")
        host.mount("9:0", "/")
        assert uses(host) == [("mount", "/", "md0 (raid1)", True)]
        assert "md0 (raid1), which loses sdx: it goes on only if its other disks are sound" in losses(usage(host))[0]
        assert severe(usage(host)) == ""

    def test_a_mirror_whose_disks_all_go(self, host: HostTree) -> None:
        host.built("md0", "sdx1", "sdy1", number="9:0", md__level="raid1")
        host.mount("9:0", "/srv")
        both = look_up(host.kernel(), [*GOING, make_plain(OTHER, driver="ahci", class_code=0x010601)])
        assert [use.spared for disk in both.disks for use in disk.uses] == [False, False]

    @pytest.mark.parametrize(("level", "spared"), [("raid0", False), ("linear", False), ("raid6", True), ("raid5", True)])
    def test_raids_by_level(self, host: HostTree, level: str, spared: bool) -> None:
        host.built("md0", "sdx1", "sdy1", number="9:0", md__level=level, md__degraded="0")
        assert uses(host) == [("part of", f"md0 ({level})", f"md0 ({level})", spared)]
        host.built("dm-0", "md0", number="254:0", dm__name="top", dm__uuid=LVM)
        assert uses(host) == [("part of", "top (LVM)", "top (LVM)", spared)]

    @pytest.mark.parametrize(
        ("level", "degraded", "disks", "going", "spared"),
        [
            ("raid5", "0", "4", 1, True),
            ("raid5", "0", "4", 2, False),
            ("raid5", "1", "4", 1, False),
            ("raid6", "0", "4", 2, True),
            ("raid6", "1", "4", 1, True),
            ("raid6", "1", "4", 2, False),
            ("raid4", "1", "4", 1, False),
            ("raid1", "0", "4", 3, True),
            ("raid1", "1", "4", 3, False),
            ("raid1", "0", "5 (4)", 3, True),
        ],
    )
    def test_members_count_against_what_the_level_tolerates(
        self, host: HostTree, level: str, degraded: str, disks: str, going: int, spared: bool
    ) -> None:
        host.disk("sdz", HBA, number="8:240", parts={f"sdz{n}": f"8:{240 + n}" for n in (1, 2, 3)})
        for name in ("sda", "sdb"):
            host.disk(name, number=f"7:{ord(name[2])}", parts={f"{name}1": f"7:{ord(name[2]) + 100}"})
        members = [f"sdz{n}" for n in range(1, going + 1)] + ["sdy1", "sda1", "sdb1"][: 4 - going]
        host.built("md0", *members, number="9:0", md__level=level, md__raid_disks=disks, md__degraded=degraded)
        host.mount("9:0", "/srv")
        (disk,) = [disk for disk in usage(host).disks if disk.name == "sdz"]
        assert [use.spared for use in disk.uses] == [spared]
        assert usage(host).unchecked == ()

    @pytest.mark.parametrize(("state", "spared"), [("spare", True), ("faulty", True), ("in_sync,write_mostly", False), ("", False)])
    def test_a_spare_that_goes_does_not_count(self, host: HostTree, state: str, spared: bool) -> None:
        host.built("md0", "sdx1", "sdy1", number="9:0", md__level="raid5", md__degraded="1")
        host.put("sys/class/block/md0/md/dev-sdx1/state", state)
        assert uses(host) == [("part of", "md0 (raid5)", "md0 (raid5)", spared)]

    @pytest.mark.parametrize("level", ["raid4", "raid5", "raid6"])
    def test_an_array_that_loses_its_write_journal_becomes_read_only(self, host: HostTree, level: str) -> None:
        host.built("md0", "sdx1", "sdy1", number="9:0", md__level=level, md__degraded="0")
        host.put("sys/class/block/md0/md/dev-sdx1/state", "journal")
        assert uses(host) == [("part of", f"md0 ({level})", f"md0 ({level})", False)]
        assert ["it loses its write journal, and becomes read-only" in said for said in usage(host).unchecked] == [True]

    @pytest.mark.parametrize(
        ("layout", "going", "spared", "doubted"),
        [("258", 1, True, False), ("258", 2, False, True), ("259", 2, True, False), ("x", 1, False, True)],
    )
    def test_raid10_by_its_copies(self, host: HostTree, layout: str, going: int, spared: bool, doubted: bool) -> None:
        members = [*["sdx1", "sdx2"][:going], "sdy1", "sda1"]
        host.disk("sda", number="8:0", parts={"sda1": "8:1"})
        host.built("md0", *members, number="9:0", md__level="raid10", md__degraded="0", md__layout=layout)
        assert [use[3] for use in uses(host)] == [spared]
        assert [said.startswith("whether md0 (raid10) goes on without sdx1") for said in usage(host).unchecked] == [True] * doubted

    def test_an_array_whose_state_cannot_be_read(self, host: HostTree) -> None:
        host.built("md0", "sdx1", "sdy1", number="9:0", md__level="raid1", md__raid_disks="2")
        assert uses(host) == [("part of", "md0 (raid1)", "md0 (raid1)", False)]
        assert usage(host).unchecked == ("whether md0 (raid1) goes on without sdx1 (its state cannot be read)",)

    def test_an_array_of_encrypted_disks(self, host: HostTree) -> None:
        """A member goes with what it stands on, however far below that is."""
        for number, part in enumerate(("sdx1", "sdx2", "sdy1")):
            host.built(f"dm-{number}", part, number=f"254:{number}", dm__name=f"luks-{number}", dm__uuid=CRYPT)
        host.built("md0", "dm-0", "dm-2", number="9:0", md__level="raid1", md__raid_disks="2", md__degraded="0")
        host.built("md1", "dm-0", "dm-1", "dm-2", number="9:1", md__level="raid5", md__degraded="0")
        assert {use[1]: use[3] for use in uses(host)} == {"md0 (raid1)": True, "md1 (raid5)": False}

    def test_a_mirrored_volume_of_lvm_is_not_told(self, host: HostTree) -> None:
        host.built("dm-0", "sdx1", number="254:0", dm__name="vg-lv_rimage_0", dm__uuid=LVM)
        host.built("dm-1", "sdy1", number="254:1", dm__name="vg-lv_rimage_1", dm__uuid=LVM)
        host.built("dm-2", "dm-0", "dm-1", number="254:2", dm__name="vg-lv", dm__uuid=LVM)
        assert uses(host) == [("part of", "vg-lv (LVM)", "vg-lv (LVM)", False)]
        assert usage(host).unchecked == ("whether vg-lv goes on without dm-0 (no file tells what kind of volume it is)",)

    def test_several_paths_to_a_disk(self, host: HostTree) -> None:
        host.built("dm-0", "sdx", "sdy", number="254:0", dm__name="mpatha", dm__uuid=MPATH)
        host.mount("254:0", "/srv")
        assert ("mount", "/srv", "mpatha (multipath)", True) in uses(host)

    def test_holders_in_a_circle(self, host: HostTree) -> None:
        host.built("dm-0", "sdx1", number="254:0", dm__name="a")
        host.built("dm-1", "dm-0", number="254:1", dm__name="b")
        (host.root / "sys/class/block/dm-1/holders/dm-0").symlink_to("../../dm-0")
        (host.root / "sys/class/block/sdx1/holders/sdx").symlink_to("../../sdx")
        host.mount("254:1", "/srv")
        assert ("mount", "/srv", "b", False) in uses(host)


class TestNvme:
    def test_of_a_function_with_several_paths(self, host: HostTree) -> None:
        nvme = make_plain("0000:83:00.0", driver="nvme", class_code=0x010802, disks=("nvme0n1",))
        host.disk("nvme0n1", number="259:0", parts={"nvme0n1p1": "259:1"})  # the disk itself hangs from no function
        host.disk("nvme0c0n1", "0000:83:00.0", number="259:2", hidden="1")
        host.disk("nvme0c1n1", "0000:84:00.0", number="259:3", hidden="1")
        host.mount("259:1", "/srv")
        (disk,) = look_up(host.kernel(), [nvme]).disks
        assert disk.uses == (DiskUse(UseKind.MOUNT, "/srv", "nvme0n1p1", spared=True),)
        (host.root / "sys/class/block/nvme0c1n1").unlink()
        (disk,) = look_up(host.kernel(), [nvme]).disks
        assert disk.uses == (DiskUse(UseKind.MOUNT, "/srv", "nvme0n1p1"),)


class TestBtrfs:
    def pool(self, host: HostTree, *members: str) -> None:
        for member in members:
            host.put(f"sys/fs/btrfs/1234/devices/{member}", "")

    def test_one_disk(self, host: HostTree) -> None:
        self.pool(host, "sdx1")
        host.mount("0:30", "/srv", "btrfs", "/dev/sdx1")
        assert uses(host) == [("mount", "/srv", "sdx1", False)]

    def test_several_disks_by_the_name_of_any(self, host: HostTree) -> None:
        self.pool(host, "sdx1", "sdy1")
        host.mount("0:30", "/srv", "btrfs", "/dev/sdy1")
        host.mount("0:31", "/srv/deep", "btrfs", "/dev/sdy1")
        assert uses(host) == [("mount", "/srv", "sdx1", False), ("mount", "/srv/deep", "sdx1", False)]
        assert usage(host).unchecked == (
            "whether the btrfs file system of sdx1, sdy1 goes on without sdx1 (that depends on how it keeps its data)",
        )

    def test_on_an_array_that_goes_on(self, host: HostTree) -> None:
        host.built("md0", "sdx1", "sdy1", number="9:0", md__level="raid1", md__raid_disks="2", md__degraded="0")
        self.pool(host, "md0", "sda1")
        host.mount("0:30", "/srv", "btrfs", "/dev/md0")
        assert uses(host) == [("mount", "/srv", "md0 (raid1)", True)]
        assert usage(host).unchecked == ()

    def test_encrypted_disks(self, host: HostTree) -> None:
        host.built("dm-0", "sdx1", number="254:0", dm__name="luks-x", dm__uuid=CRYPT)
        host.built("dm-1", "sdy1", number="254:1", dm__name="luks-y", dm__uuid=CRYPT)
        self.pool(host, "dm-0", "dm-1")
        host.mount("0:30", "/srv", "btrfs", "/dev/mapper/luks-y")
        assert uses(host) == [("mount", "/srv", "luks-x (encrypted)", False)]

    def test_a_device_that_is_not_told(self, host: HostTree) -> None:
        self.pool(host, "sdx1")
        host.mount("0:30", "/srv", "btrfs", "/dev/root")
        assert usage(host).unchecked == ("on which disks /srv is (its device is given as /dev/root)",)


class TestCouldNotCheck:
    def test_zfs_does_not_tell_its_disks(self, host: HostTree) -> None:
        host.mount("0:40", "/tank", "zfs", "tank")
        assert usage(host).unchecked == ("whether sdx belongs to a ZFS pool (the kernel's files do not tell the disks of a pool)",)

    def test_no_mounts_to_read(self, host: HostTree) -> None:
        (host.root / "proc/self/mountinfo").unlink()
        (found,) = usage(host).unchecked
        assert found.startswith("whether sdx is mounted (ENOENT")

    def test_swaps_that_cannot_be_read(self, host: HostTree) -> None:
        (host.root / "proc/swaps").unlink()
        assert usage(host).unchecked == ()  # a kernel without swap
        (host.root / "proc/swaps").mkdir()
        (found,) = usage(host).unchecked
        assert found.startswith("whether the host swaps to sdx (EISDIR")

    def test_a_tree_of_files(self, host: HostTree) -> None:
        host.mount("8:161", "/boot")
        (host.root / "proc/self").rename(host.root / "proc/1")
        (host.root / "proc/swaps").unlink()
        found = look_up(LinuxKernel(str(host.root)), GOING)
        assert [use.where for use in found.disks[0].uses] == ["/boot"]
        assert found.unchecked == ("whether the host swaps to sdx (there is no /proc/swaps)",)

    def test_hostile_names(self, host: HostTree) -> None:
        host.built("dm-0", "sdx1", number="254:0", dm__name="x\x1b[2J")
        host.mount("254:0", "/m\\033[2J\\377")
        said = losses(usage(host))
        assert said == [
            "mounted: /m␛[2J\\xff from x␛[2J on sdx: what is not written yet is lost, and programs fail (B15)",
        ]


@given(st.lists(st.binary(max_size=120), max_size=6))
def test_anything_may_stand_in_the_tables(lines: list[bytes]) -> None:
    for mount in parse_mounts(lines):
        assert isinstance(mount.point, str)
    for path, _ in parse_swaps(lines):
        assert path.startswith("/")


def test_mounts_with_any_number_of_tags() -> None:
    lines = [
        b"1 2 8:1 / /a rw - ext4 /dev/sda1 rw",
        b"1 2 8:1 / /b rw shared:1 master:2 - ext4 /dev/sda1 rw",
        b"1 2 8:1 / /c rw -",
        b"",
    ]
    assert [mount.point for mount in parse_mounts(lines)] == ["/a", "/b"]
