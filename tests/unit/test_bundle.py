"""The bundle for a bug report: everything that matters, and nothing that tells of persons, machines or secrets."""

from __future__ import annotations

import json
import os
import re
import stat
from pathlib import Path

import pytest

from tests.values import PF, make_fleet, make_holder, make_plain, snapshot, vf_address
from vfdeck.app.cli import main
from vfdeck.backend.bundle import bundle, scrub, to_json
from vfdeck.backend.kernel import LogLine
from vfdeck.backend.linux.kernel import LinuxKernel
from vfdeck.backend.model import Problem, TokenKnowledge, TokenState
from vfdeck.backend.text import printable

VF = vf_address(PF, 0)

#: What must not get out, wherever it stands.
CANARIES = {
    "token": "bd8d9d2b-5a5f-4f5a-a211-f591514ba1f3",
    "bare token": "bd8d9d2b5a5f4f5aa211f591514ba1f3",
    "host": "kraken",
    "whole host": "kraken.corp.example",
    "user": "marianne",
    "guest": "payroll-db",
    "mac": "52:54:00:c0:ff:ee",
    "mac with hyphens": "52-54-00-c0-ff-ee",
    "serial": "PHAB1234567890",
    "device serial": "3c-fd-fe-ff-ff-9e-40-18",
    "guid": "0c42:a103:0065:4321",
    "address": "192.0.2.77",
    "address of six": "2001:db8::beef",
    "fingerprint": "feedc0de",
    "interface": "lan-marianne",
}
#: What no kernel logs.
LOGGED_BY_NOBODY = ("user", "guest", "interface", "fingerprint")


class Kernel(LinuxKernel):
    """Files of an empty tree, and a log that tells too much."""

    def __init__(self, root: Path, lines: list[str] | None) -> None:
        super().__init__(str(root))
        self.lines = lines

    def log(self) -> list[LogLine] | None:
        return None if self.lines is None else [LogLine(n, line) for n, line in enumerate(self.lines)]


def everything(tmp_path: Path) -> str:
    """A bundle of a host where each canary stands in every place that takes foreign text."""
    c = CANARIES
    lines = [f"vfio-pci {VF}: {name}: {text}" for name, text in c.items() if name not in LOGGED_BY_NOBODY]
    lines += [f'vfio-pci {VF}: Device is currently in use, task "{c["guest"]}" (77) blocked until device is released']
    lines += [f"vfio-pci {VF}: vfio-noiommu device opened by user ({c['user']}:77)", f"{VF}: reads /home/{c['user']}/disk.img"]
    lines += [f"nvme {PF}: Serial Number: {c['serial']}", f"unrelated line of {c['guest']}"]
    functions = make_fleet(2, interfaces=(c["interface"],))
    told = " ".join(c[name] for name in ("token", "mac", "whole host", "address"))
    view = snapshot(
        *functions,
        make_plain(),
        host={"name": c["whole host"], "kernel": f"6.12.1-{c['host']}"},
        holders=(make_holder(VF, program=c["guest"], user=c["user"]), make_holder(VF, program="qemu-system-x86")),
        tokens=[TokenKnowledge(PF, TokenState.SET, c["fingerprint"], 1.0)],
        problems=(Problem(f"/sys/bus/pci/devices/{PF}/x", told), Problem("/proc/7/fd", c["user"])),
    )
    return to_json(bundle(Kernel(tmp_path, lines), view, VF, "EXDEV", "get_device_fd"))


@pytest.mark.parametrize("name", CANARIES)
def test_no_canary_gets_out(name: str, tmp_path: Path) -> None:
    text = everything(tmp_path)
    assert CANARIES[name].lower() not in text.lower()


def test_what_matters_is_in_it(tmp_path: Path) -> None:
    body = json.loads(everything(tmp_path))
    assert body["answer"] == {"errno": "EXDEV", "stage": "get_device_fd", "about": VF}
    assert "cdev" in body["host"]["switches"]
    assert [f["bdf"] for f in body["functions"]] == [VF, PF, vf_address(PF, 1)]
    vf = body["functions"][0]
    assert (vf["driver"], vf["role"], vf["physfn"]) == ("vfio-pci", "VF", PF)
    assert vf["nodes"] == {"group": "/dev/vfio/20: ENOENT"}
    assert vf["holders"] == {"a program device": 1, "qemu device": 1}
    assert body["functions"][1]["token"] == "set"
    assert all(PF in line or VF in line for line in body["log"])
    assert any("blocked until device is released" in line for line in body["log"])
    assert "name" not in body["host"]


def test_switches_are_those_that_the_kernel_showed(tmp_path: Path) -> None:
    view = snapshot(host={"kernel": "5.14.0-503.el9", "probed": (("cdev", True), ("vf_token", False))})
    host = bundle(Kernel(tmp_path, None), view)["host"]
    assert "cdev" in host["switches"]
    assert "vf_token" not in host["switches"]
    assert host["probed"] == {"cdev": True, "vf_token": False}


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        (f"vfio-pci {VF}: enabling device (0000 -> 0002)", True),
        (f"pci {VF}: BAR 0: no space", True),
        (f"vfio_pci: add [8086:10ca] for {VF}", True),
        (f"mlx5_core {VF}: Cannot modify SR-IOV while VFs are assigned", True),  # the catalogue knows it
        (f"igb {VF}: something else", False),  # neither function is on igb
        (f"vfio-pcix {VF}: no such driver", False),
        ("vfio-pci 0000:99:00.0: about another function", False),
        (f"audit: type=2500 vm=payroll device={VF} VF token required to access device", False),
        (f"my note on {VF}", False),
    ],
)
def test_lines_of_the_log_are_chosen(line: str, kept: bool, tmp_path: Path) -> None:
    assert bundle(Kernel(tmp_path, [line]), snapshot(*make_fleet(1)), VF)["log"] == ([line] if kept else [])


def test_interfaces_in_the_log_have_no_names(tmp_path: Path) -> None:
    lines = [f"igb {PF} lan-marianne: renamed from eth-marianne"]
    log = bundle(Kernel(tmp_path, lines), snapshot(*make_fleet(1, driver="igb")), PF)["log"]
    assert log == [f"igb {PF} <interface>: renamed from <removed>"]


def test_a_token_at_the_cut_of_a_line() -> None:
    token = CANARIES["token"]
    for length in range(2, len(token)):
        for before in ("z " * 70, "vfio-pci: vf-token=", "vf_token = "):
            line = before + token[:length]
            cut = printable(line + token[length:] + "x" * 200, limit=len(line) + 1)
            assert cut.endswith("…")
            assert token[:length] not in scrub(cut, "kraken")
        if length > 8:
            assert token[:length] not in scrub(f"given {token[:length]}", "kraken")


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("MAC address aabbccddeeff", "aabb"),
        ("sys_image_guid 506b4b0300c12e2a", "506b"),
        ("node_guid=0x506b:4b03", "506b"),
        ("addr fe80::21b:21ff:fe12:3456", "21"),
        ("at 2001:db8:0:1:2:3:4:5", "db8"),
        ("at ::ffff:192.0.2.77", "192"),
        ('vm="acme payroll" on', "payroll"),
        ("acct=bob hostname=node8 user=eve exe=/opt/mallory", "bob|node8|eve|mallory"),
        ("token bd 8d 9d 2b 5a 5f 4f", "8d 9d"),
    ],
)
def test_more_that_is_taken_out(text: str, left: str) -> None:
    assert re.search(left, scrub(text, "kraken")) is None


def test_a_log_that_may_not_be_read_says_so(tmp_path: Path) -> None:
    assert bundle(Kernel(tmp_path, None), snapshot(*make_fleet(1)))["log"] == "the kernel log may not be read"


def test_many_functions_are_cut_and_counted(tmp_path: Path) -> None:
    view = snapshot(*(make_plain(f"0000:{bus:02x}:00.0", iommu_group=bus) for bus in range(100)))
    body = bundle(Kernel(tmp_path, []), view)
    assert (len(body["functions"]), body["functions_left_out"]) == (64, 36)


@pytest.mark.parametrize(
    "text",
    [
        "0000:03:00.0",
        "vfio-pci 0000:03:10.0: VF token required to access device",
        "8086:10c9",
        "6.12.107+deb13-amd64",
        "DMAR: fault addr 0xfffff000",
    ],
)
def test_what_is_harmless_stays(text: str) -> None:
    assert scrub(text, "kraken.corp.example") == text


def test_a_file_of_its_own_for_its_owner(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "report.json"
    arguments = ["explain", "EXDEV", "--stage", "sriov_numvfs", "--demo", "--bundle", str(path)]
    assert main(arguments) == 0
    assert "written" in capsys.readouterr().out
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    body = json.loads(path.read_text())
    assert body["answer"] == {"errno": "EXDEV", "stage": "sriov_numvfs", "about": ""}
    assert body["host"]["simulated"] is True
    assert main(arguments) == 73  # never over a file that is there
    path.unlink()
    os.symlink(tmp_path / "elsewhere", path)
    assert main(arguments) == 73  # nor through a link
    assert not (tmp_path / "elsewhere").exists()


def test_printed_where_no_file_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "18", "--demo", "--bundle"]) == 0
    assert json.loads(capsys.readouterr().out)["answer"]["errno"] == "EXDEV"


def test_about_a_function_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "--demo", "--about", "0000:ff:1f.7", "--bundle"]) == 64
    assert "no function 0000:ff:1f.7" in capsys.readouterr().err
