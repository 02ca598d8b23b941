"""What a restart makes of a function: what is found in which file, and what is never claimed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fabricate import Fake, build, with_vfs
from vfdeck.backend.checks import Verdict
from vfdeck.backend.lasting import Lasting, lasting
from vfdeck.backend.linux.kernel import LinuxKernel
from vfdeck.backend.topology import scan

PF, VF = "0000:01:00.0", "0000:01:10.0"
YES, NO, UNKNOWN = Verdict.YES, Verdict.NO, Verdict.UNKNOWN


def of(root: Path, files: dict[str, str], bdf: str = PF, *, driver: str = "vfio-pci", line: str = "quiet") -> Lasting:
    """What lasts of a PF with two VFs, or of one of these, on a host with these files."""
    override = driver if driver == "vfio-pci" else None
    pf = with_vfs(
        Fake(PF, driver=driver, override=override, group=14, totalvfs=8, vendor=0x8086, device=0x10C9),
        2,
        driver=driver,
        override=override,
        group=20,
    )
    tree = build(root, [pf])
    for path, text in {"/etc/hostname": "x\n", "/proc/cmdline": f"{line}\n", **files}.items():
        place = tree / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    kernel = LinuxKernel(str(tree))
    snapshot = scan(kernel, {})
    return lasting(kernel, snapshot.functions[bdf], snapshot)


def test_nothing_is_found(tmp_path: Path) -> None:
    found = of(tmp_path, {})
    assert found.token is not None
    assert found.token.verdict is NO
    for answer in (found.vfs, found.driver):
        assert answer is not None
        assert answer.verdict is NO
        assert "nothing was found of driverctl, udev, systemd" in answer.said[0]


def test_what_a_function_has_not_is_not_told(tmp_path: Path) -> None:
    found = of(tmp_path, {}, driver="igb")
    assert found.token is None
    assert found.driver is not None
    assert found.driver.verdict is YES
    assert "igb takes it by its ids" in found.driver.said[0]


@pytest.mark.parametrize(
    ("path", "text", "said"),
    [
        ("/etc/udev/rules.d/9.rules", f'KERNEL=="{PF}", ATTR{{sriov_numvfs}}="4"', "names it and sets 4 VFs"),
        ("/etc/systemd/system/vf.service", f"ExecStart=sh -c 'echo 1 > /sys/bus/pci/devices/{PF}/sriov_numvfs'", "sets 1 VF"),
        ("/etc/systemd/network/5.link", f"[Match]\nPath=pci-{PF}\n[SR-IOV]\nSR-IOVVirtualFunctions=8\n", "sets 8 VFs"),
        ("/etc/netplan/1.yaml", f"# {PF}\n  virtual-function-count: 3\n", "sets 3 VFs"),
        ("/etc/rc.local", f"echo 2 > {PF}/sriov_numvfs; echo 4 > 0000:09:00.0/sriov_numvfs", "speaks of its VFs"),
    ],
)
def test_who_makes_the_vfs_again(tmp_path: Path, path: str, text: str, said: str) -> None:
    found = of(tmp_path, {path: text}).vfs
    assert found is not None
    assert found.verdict is YES
    assert found.said[0].startswith(path)
    assert said in found.said[0]


def test_an_option_of_an_older_driver(tmp_path: Path) -> None:
    found = of(tmp_path, {"/etc/modprobe.d/igb.conf": "options igb max_vfs=7\n"}, driver="igb").vfs
    assert found is not None
    assert found.said == ("/etc/modprobe.d/igb.conf gives every PF of igb 7 VFs",)


@pytest.mark.parametrize(
    ("files", "line", "said"),
    [
        ({f"/etc/driverctl.d/{PF}": "vfio-pci\n"}, "", "driverctl binds it to vfio-pci"),
        ({"/etc/modprobe.d/v.conf": "options vfio-pci ids=1:2,8086:10C9\n"}, "", "gives every 8086:10c9 to vfio-pci"),
        ({}, "vfio-pci.ids=8086:10c9", "the kernel's command line gives every 8086:10c9"),
        ({"/etc/udev/rules.d/9.rules": f'KERNEL=="{PF}", ATTR{{driver_override}}="vfio-pci"'}, "", "speaks of its driver"),
    ],
)
def test_who_binds_it_again(tmp_path: Path, files: dict[str, str], line: str, said: str) -> None:
    found = of(tmp_path, files, line=line).driver
    assert found is not None
    assert found.verdict is YES
    assert said in found.said[0]


@pytest.mark.parametrize("ids", ["8086:10ca", "10c9:8086", "8086", "8086:10c9:ffff:1"])
def test_other_ids_are_others(tmp_path: Path, ids: str) -> None:
    found = of(tmp_path, {"/etc/modprobe.d/v.conf": f"options vfio-pci ids={ids}\n"}).driver
    assert found is not None
    assert found.verdict is not YES


def test_a_file_that_names_nobody_may_mean_it(tmp_path: Path) -> None:
    found = of(tmp_path, {"/etc/rc.local": "echo 4 > $dev/sriov_numvfs"}).vfs
    assert found is not None
    assert found.verdict is UNKNOWN
    assert found.said == ("/etc/rc.local may mean it, but does not name it",)


def test_the_vfs_of_a_pf_on_vfio_follow_it(tmp_path: Path) -> None:
    found = of(tmp_path, {}, VF).driver
    assert found is not None
    assert found.verdict is YES
    assert f"the PF {PF}" in found.said[0]


def test_what_cannot_be_read_is_not_a_no(tmp_path: Path) -> None:
    tree = build(tmp_path, [Fake(PF, driver="vfio-pci", override="vfio-pci", group=14, totalvfs=8)])
    kernel = LinuxKernel(str(tree))
    snapshot = scan(kernel, {})
    found = lasting(kernel, snapshot.functions[PF], snapshot).driver
    assert found is not None
    assert found.verdict is UNKNOWN
    assert "could not look: /etc" in found.said[0]


def test_names_of_files_are_foreign(tmp_path: Path) -> None:
    found = of(tmp_path, {"/etc/udev/rules.d/\x1b[31m.rules": f"{PF} sriov_numvfs"}).vfs
    assert found is not None
    assert all(text.isprintable() for text in found.said)
