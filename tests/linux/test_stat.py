"""Who may do what with a file: stat(2) through the seam."""

from __future__ import annotations

import os
import stat
import struct
from pathlib import Path

import pytest

from tests.linux.test_files import kernel, tree
from vfdeck.backend.kernel import FileStat
from vfdeck.backend.linux.kernel import LinuxKernel

__all__ = ["kernel", "tree"]  # fixtures


def test_mode_and_owner(kernel: LinuxKernel, tree: Path) -> None:
    file = tree / "sys/devices/pci0000:00/0000:01:00.0/vendor"
    file.chmod(0o640)
    for path in ("/sys/devices/pci0000:00/0000:01:00.0/vendor", "/sys/bus/pci/devices/0000:01:00.0/vendor"):
        assert kernel.stat(path) == FileStat(stat.S_IFREG | 0o640, os.geteuid(), os.getegid())
    assert stat.S_ISDIR(kernel.stat("/sys/bus/pci/devices/0000:01:00.0").mode)


def test_a_link_stays_within_the_root(kernel: LinuxKernel, tree: Path) -> None:
    (tree / "out").symlink_to("/../secret")
    (tree.parent / "secret").chmod(0o600)
    with pytest.raises(FileNotFoundError):
        kernel.stat("/out")


@pytest.mark.parametrize("path", ["/absent", "/sys/absent/deep", "/sys/\0"])
def test_nothing_there(kernel: LinuxKernel, path: str) -> None:
    with pytest.raises(FileNotFoundError):
        kernel.stat(path)


def test_a_device_node_of_this_machine() -> None:
    found = LinuxKernel().stat("/dev/null")
    assert (stat.S_ISCHR(found.mode), found.device, found.acl) == (True, (1, 3), False)


def test_an_access_control_list(tmp_path: Path) -> None:
    file = tmp_path / "node"
    file.touch(0o600)
    # version 2; user::rw-, user:1000:rw-, group::---, mask::rw-, other::---
    entries = ((0x01, 6, 0xFFFFFFFF), (0x02, 6, 1000), (0x04, 0, 0xFFFFFFFF), (0x10, 6, 0xFFFFFFFF), (0x20, 0, 0xFFFFFFFF))
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    try:
        os.setxattr(file, "system.posix_acl_access", acl)
    except OSError as error:
        pytest.skip(f"no access control lists here: {error}")
    assert LinuxKernel(str(tmp_path)).stat("/node").acl
    assert LinuxKernel().stat(str(file)).acl
