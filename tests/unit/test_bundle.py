"""The bundle for a bug report: everything that matters, and nothing that tells of persons, machines or secrets."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from tests.values import PF, make_fleet, make_holder, make_plain, snapshot, vf_address
from vfdeck.app.cli import main
from vfdeck.backend.bundle import bundle, scrub, to_json
from vfdeck.backend.kernel import LogLine
from vfdeck.backend.linux.kernel import LinuxKernel
from vfdeck.backend.model import Problem, TokenKnowledge, TokenState

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
    assert len(body["host"]["name"]) == 12


def test_two_hosts_can_be_told_apart(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path, None)
    names = {bundle(kernel, snapshot(host={"name": name}))["host"]["name"] for name in ("one", "two", "two")}
    assert len(names) == 2


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
        "000001ffffffffff",
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
