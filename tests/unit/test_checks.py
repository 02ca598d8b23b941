"""The arithmetic of checks, what they look like, and what they say of a host of which little can be read."""

from __future__ import annotations

import errno
import itertools
import json
import struct
from collections import Counter
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import values
from tests.fabricate import Fake, build, with_vfs
from vfdeck.backend.catalogue import entries
from vfdeck.backend.changes import OpenPath
from vfdeck.backend.checks import CanBind, CanEnable, CanOpen, Check, Report, Severity, Verdict, WholeHost, ask, worst_first
from vfdeck.backend.checks.advice import data, has_sriov_hook
from vfdeck.backend.checks.pci import SriovRegisters, sriov_registers
from vfdeck.backend.checks.persistence import VFS, Settings, module_options
from vfdeck.backend.checks.render import answer_text, findings_text, to_json
from vfdeck.backend.checks.scene import Scene
from vfdeck.backend.checks.users import locked_memory, rights_of
from vfdeck.backend.evidence import Rights, Unread
from vfdeck.backend.linux.kernel import LinuxKernel
from vfdeck.backend.model import Function
from vfdeck.backend.profile import profile
from vfdeck.backend.sim import drivers
from vfdeck.backend.topology import scan

PF = "0000:01:00.0"
YES, NO, UNKNOWN = Verdict.YES, Verdict.NO, Verdict.UNKNOWN


def check(verdict: Verdict, weight: Severity = Severity.ERROR, **fields: Any) -> Check:
    return Check("Is it so?", verdict, weight=weight, **fields)


# -- arithmetic ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("verdict", "weight", "severity"),
    [
        (YES, Severity.ERROR, Severity.OK),
        (NO, Severity.ERROR, Severity.ERROR),
        (NO, Severity.NOTE, Severity.NOTE),
        (UNKNOWN, Severity.ERROR, Severity.NOTE),
        (UNKNOWN, Severity.OK, Severity.OK),
    ],
)
def test_severity(verdict: Verdict, weight: Severity, severity: Severity) -> None:
    assert check(verdict, weight).severity is severity


CHECKS = st.builds(check, st.sampled_from(list(Verdict)), st.sampled_from(list(Severity)))


@given(st.lists(CHECKS))
def test_a_report_is_no_better_than_its_checks(checks: list[Check]) -> None:
    report = Report("?", tuple(checks))
    deciding = [c.verdict for c in checks if c.weight is Severity.ERROR]
    assert (report.verdict is NO) == (NO in deciding)
    assert (report.verdict is YES) == all(v is YES for v in deciding)
    assert report.severity == max((c.severity for c in checks), default=Severity.OK)
    assert sum(len(report.of(severity)) for severity in Severity) == len(checks)
    ordered = worst_first(checks)
    assert all(a.severity >= b.severity for a, b in itertools.pairwise(ordered))


# -- data ------------------------------------------------------------------------------------------------------------------
def test_advice_names_entries_and_switches_there_are() -> None:
    known = {entry.id for entry in entries()} | {""}
    for table in data()["advice"]:
        assert table["id"] in known
        assert Severity[table["severity"].upper()] > Severity.OK
        assert table["text"].endswith(".")
        assert table["question"].endswith("?")
        for switch in (*table.get("has", ()), *table["lacks"]):
            profile("6.12").has(switch)  # KeyError for one that there is not


def test_known_drivers_agree_with_the_simulated_ones() -> None:
    names = [name for name in drivers._data() if name != "vfio-pci"]
    known = {name: has_sriov_hook(name) for name in names}
    assert sum(hook is not None for hook in known.values()) > len(names) // 2
    for name, hook in known.items():
        assert hook in (None, bool(drivers.load(name).sriov)), name


def test_drivers_by_the_names_they_register() -> None:
    assert has_sriov_hook("LiquidIO") is True
    assert has_sriov_hook("liquidio") is None
    assert has_sriov_hook("mlx4_core") is False  # its VFs come from its option num_vfs


# -- configuration space ---------------------------------------------------------------------------------------------------
def space(at: int = 0x160, bars: tuple[int, ...] = (0xC, 0, 0, 0xFE82000C, 0, 0)) -> bytes:
    made = bytearray(4096)
    struct.pack_into("<I", made, 0x100, 0x0001 | 1 << 16 | at << 20)
    struct.pack_into("<I", made, at, 0x0010 | 1 << 16)
    struct.pack_into("<HHHB", made, at + 0x0C, 8, 8, 0, 0)
    struct.pack_into("<6I", made, at + 0x24, *bars)
    return bytes(made)


def test_the_capability_as_a_real_igb_has_it() -> None:
    assert sriov_registers(space(), PF) == SriovRegisters(8, 8, 0, frozenset({0, 3}))
    bars32 = sriov_registers(space(bars=(0xFE800000, 0xFE810000, 0, 0, 0, 0)), PF)
    assert isinstance(bars32, SriovRegisters)
    assert bars32.bars == {0, 1}


@given(st.lists(st.tuples(st.integers(64, 1023), st.sampled_from([0x10, 0x01, 0x1A0, 0xFF0, 0xFFF])), max_size=20))
def test_any_chain_is_parsed_or_refused(headers: list[tuple[int, int]]) -> None:
    made = bytearray(4096)
    for word, low in headers:
        struct.pack_into("<I", made, 4 * word, low | (4 * word + 0x94 & 0xFFC) << 20)
    assert isinstance(sriov_registers(bytes(made), PF), SriovRegisters | Unread)


def test_a_capability_with_migration() -> None:
    made = bytearray(space())
    made[0x160 + 4] = 1
    found = sriov_registers(bytes(made), PF)
    assert isinstance(found, SriovRegisters)
    assert found.migration


def test_a_chain_that_bites_its_tail_ends() -> None:
    made = bytearray(4096)
    struct.pack_into("<I", made, 0x100, 0x0001 | 1 << 16 | 0x100 << 20)
    assert isinstance(sriov_registers(bytes(made), PF), Unread)


# -- users and settings ----------------------------------------------------------------------------------------------------
def etc(tmp_path: Path, **texts: str) -> LinuxKernel:
    (tmp_path / "etc").mkdir(exist_ok=True)
    for name, text in texts.items():
        (tmp_path / "etc" / name).write_text(text)
    return LinuxKernel(str(tmp_path))


def test_users_of_the_host(tmp_path: Path) -> None:
    kernel = etc(tmp_path, passwd="dpdk:x:1001:1002::/:/bin/sh\nodd\n", group="vfio:x:106:libvirt,dpdk\nkvm:x:107:libvirt\n")
    assert rights_of(kernel, "dpdk") == Rights(1001, frozenset({1002, 106}), 0, user_namespace=False)
    assert rights_of(kernel, "1001") == rights_of(kernel, "dpdk")
    for absent in ("nobody", "od", "4711"):  # of a number alone the groups are not known
        assert isinstance(rights_of(kernel, absent), Unread)
    root = rights_of(kernel, "root")
    assert isinstance(root, Rights)
    assert root.may(17)


def test_broken_user_files(tmp_path: Path) -> None:
    assert isinstance(rights_of(etc(tmp_path), "dpdk"), Unread)
    assert isinstance(rights_of(etc(tmp_path, passwd="dpdk:x:one:two::\n", group=""), "dpdk"), Unread)
    assert isinstance(locked_memory(etc(tmp_path)), Unread)


WHOLE, MAPPED = "0 0 4294967295\n", "0 1000 1\n"


def own(tmp_path: Path, capabilities: int, mapped: str) -> LinuxKernel:
    """A tree in which this program has these capabilities, and these ids are mapped ("": not to be read)."""
    home = tmp_path / "proc/self"
    home.mkdir(parents=True)
    (home / "status").write_text(f"Uid:\t1 1 1 1\nGid:\t1 1 1 1\nCapEff:\t{capabilities:016x}\n")
    (home / "limits").write_text("Max locked memory         65536                unlimited            bytes     \n")
    if mapped:
        (home / "uid_map").write_text(mapped)
    return LinuxKernel(str(tmp_path))


@pytest.mark.parametrize(
    ("capabilities", "mapped", "limit"), [(0, WHOLE, 65536), (0, "", 65536), (1 << 14, WHOLE, None), (1 << 14, MAPPED, 65536)]
)
def test_locked_memory(tmp_path: Path, capabilities: int, mapped: str, limit: int | None) -> None:
    assert locked_memory(own(tmp_path, capabilities, mapped)) == limit


def test_locked_memory_where_the_namespace_does_not_show(tmp_path: Path) -> None:
    found = locked_memory(own(tmp_path, 1 << 14, ""))
    assert isinstance(found, Unread)
    assert "uid_map" in found.why


@pytest.mark.parametrize(("mapped", "verdict"), [(WHOLE, YES), (MAPPED, NO), ("", UNKNOWN)])
def test_raw_io_in_a_user_namespace(tmp_path: Path, mapped: str, verdict: Verdict) -> None:
    bare = values.make_plain(driver="vfio-pci", iommu_group=4, noiommu=True)
    report = ask(CanOpen(bare.bdf), own(tmp_path, 1 << 17, mapped), values.snapshot(bare))
    assert [c.verdict for c in report.checks if "without an IOMMU" in c.question] == [verdict]


def test_names_of_files_are_made_printable() -> None:
    path = "/etc/rc.local.d/a\x1b[31m"
    found = Settings({path: f"echo 4 > /sys/bus/pci/devices/{PF}/sriov_numvfs"})
    for shown in (found.general(VFS), found.speaking_of(PF, VFS)):
        assert len(shown) == 1
        assert shown[0].isprintable()


def test_options_of_modules() -> None:
    text = "# options vfio-pci ids=1\noptions vfio-pci ids=8086:10c9 disable-idle-d3\noptions vfio foo=1\ninstall vfio-pci x=1\n"
    found = Settings({"/etc/modprobe.d/a.conf": text, "/etc/rc.local": "options vfio-pci x=2\n"})
    options = [("ids", "8086:10c9"), ("disable_idle_d3", "")]
    assert module_options(found, "vfio_pci") == [("/etc/modprobe.d/a.conf", *option) for option in options]


# -- hosts of which little can be read -------------------------------------------------------------------------------------
@pytest.fixture
def sparse(tmp_path: Path) -> LinuxKernel:
    """A copied tree: nothing but what a scan reads."""
    pf = with_vfs(Fake(PF, driver="vfio-pci", group=14, totalvfs=8), 2, driver="vfio-pci", override="vfio-pci", group=20)
    return LinuxKernel(str(build(tmp_path, [pf])))


@pytest.mark.parametrize(
    "question", [CanEnable(PF, 4), CanBind("0000:01:10.0", "igbvf"), CanOpen(PF), CanOpen(PF, OpenPath.CDEV, "dpdk"), WholeHost()]
)
def test_what_cannot_be_read_is_never_claimed(sparse: LinuxKernel, question: Any) -> None:
    snapshot = scan(sparse, {})
    report = ask(question, sparse, snapshot)
    unknown = [c for c in report.checks if c.verdict is UNKNOWN]
    assert unknown
    assert all(c.evidence for c in report.checks if c.verdict is not YES)
    entry_ids = {entry.id for entry in entries()} | {""}
    assert {c.entry for c in report.checks} <= entry_ids


def test_windows_and_remapping_are_unknown_there(sparse: LinuxKernel) -> None:
    resource = Path(sparse.root, "sys/bus/pci/devices", PF, "resource")
    resource.write_text("0x0 0x0 0x0\n" * 7)  # a kernel without SR-IOV has no lines for it
    found = {c.entry: c.verdict for c in ask(CanEnable(PF, 4), sparse, scan(sparse, {})).checks}
    assert (found["A10"], found["A15"], found["A3"]) == (UNKNOWN, UNKNOWN, YES)
    resource.unlink()
    assert {c.entry: c.verdict for c in ask(CanEnable(PF, 4), sparse, scan(sparse, {})).checks}["A10"] is UNKNOWN
    found = {c.entry: c.verdict for c in ask(CanOpen(PF), sparse, scan(sparse, {})).checks}
    assert (found["C12"], found["C11"]) == (UNKNOWN, UNKNOWN)
    assert {c.entry: c.verdict for c in ask(WholeHost(), sparse, scan(sparse, {})).checks}["G6"] is UNKNOWN


def enabled(kernel: LinuxKernel, count: int, *functions: Function) -> dict[str, Verdict]:
    """The answers to whether a PF gives so many VFs, by entry."""
    return {c.entry: c.verdict for c in ask(CanEnable(values.PF, count), kernel, values.snapshot(*functions)).checks}


@pytest.mark.parametrize(
    ("groups", "verdict"), [((11, 12), YES), ((77, 77), NO), ((11, 10), NO), ((11, None), UNKNOWN), ((None, None), UNKNOWN)]
)
def test_groups_of_vfs(tmp_path: Path, groups: tuple[int | None, int | None], verdict: Verdict) -> None:
    pf = values.make_pf(vfs=2, driver="igb", iommu_group=10)
    vfs = [values.make_vf(values.PF, index, driver=None, iommu_group=group) for index, group in enumerate(groups)]
    assert enabled(etc(tmp_path), 3, pf, *vfs)["C10"] is verdict


@pytest.mark.parametrize(
    ("vfs", "offset", "stride", "verdict"), [(0, 0, 0, UNKNOWN), (1, 128, 0, UNKNOWN), (1, 0, 0, NO), (2, 128, 0, NO)]
)
def test_places_of_vfs_show_once_there_are_some(tmp_path: Path, vfs: int, offset: int, stride: int, verdict: Verdict) -> None:
    pf = values.make_pf(vfs=vfs, driver="igb")
    assert pf.sriov is not None
    pf = replace(pf, sriov=replace(pf.sriov, offset=offset, stride=stride))
    found = enabled(etc(tmp_path), 3, pf)
    assert (found["A15"], found["A11"]) == (verdict, UNKNOWN)


@pytest.mark.parametrize(
    ("flags", "verdict"),
    [({"eth0": "0x1003"}, YES), ({"eth0": "0x1002"}, NO), ({"eth0": "up"}, UNKNOWN), ({"eth0": None}, UNKNOWN), ({}, UNKNOWN)],
)
def test_an_interface_is_up_by_its_flags(tmp_path: Path, flags: dict[str, str | None], verdict: Verdict) -> None:
    home = tmp_path / "sys/bus/pci/devices" / values.PF / "net"
    home.mkdir(parents=True)
    for name, text in flags.items():
        (home / name).mkdir()
        (home / name / "operstate").write_text("down\n")  # no cable: of no account
        if text is not None:
            (home / name / "flags").write_text(f"{text}\n")
    assert enabled(etc(tmp_path), 4, values.make_pf(driver="bnxt_en", interfaces=("eth0",)))["A18"] is verdict


@pytest.mark.parametrize(
    ("chips", "type1", "iommufd", "verdict", "said"),
    [
        ("IR-PCI-MSI-0000:03:00.0", "N", None, YES, "remaps"),
        ("IR-PCI-MSI-0000:03:00.0", "Y", "N", NO, "of vfio_iommu_type1 is Y: containers"),
        ("IR-PCI-MSI-0000:03:00.0", None, "Y", NO, "of iommufd is Y: opens on the cdev path"),
        ("PCI-MSIX-0000:03:00.0", "N", "N", NO, "no remapping"),
        ("GICv3", "N", "Y", UNKNOWN, "of iommufd is Y"),
    ],
)
def test_both_switches_of_unsafe_interrupts_count(
    tmp_path: Path, chips: str, type1: str | None, iommufd: str | None, verdict: Verdict, said: str
) -> None:
    files = {"proc/interrupts": f" 24: 0 {chips} eth0\n"}
    names = {"vfio_iommu_type1": type1, "iommufd": iommufd}
    files |= {f"sys/module/{name}/parameters/allow_unsafe_interrupts": text for name, text in names.items() if text}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{text}\n")
    report = ask(WholeHost(), etc(tmp_path), values.snapshot(values.make_pf(), host={"iommu": True}))
    found = next(c for c in report.checks if c.entry == "C12")
    assert found.verdict is verdict
    assert said in " ".join(found.evidence)
    assert any("echo N" in text for text in found.do) is (found.verdict is NO and chips.startswith("IR"))


@pytest.mark.parametrize(("release", "verdict"), [("6.12.0", NO), ("6.6.20", UNKNOWN), ("5.4.0", YES)])
def test_a_model_that_only_newer_kernels_refuse(tmp_path: Path, release: str, verdict: Verdict) -> None:
    view = values.snapshot(values.make_plain(vendor_id=0x8086, device_id=0x0CFE, driver=None), host={"kernel": release})
    report = ask(CanBind("0000:04:00.0"), etc(tmp_path), view)
    assert next(c for c in report.checks if c.entry == "B3").verdict is verdict


@pytest.mark.parametrize("count", [0, 2])
def test_the_number_there_is_needs_no_driver(tmp_path: Path, count: int) -> None:
    report = ask(CanEnable(values.PF, count), etc(tmp_path), values.snapshot(values.make_pf(vfs=count, driver=None)))
    assert (report.verdict, len(report.checks)) == (YES, 1)


@pytest.mark.parametrize(("mode", "verdict"), [(0o444, NO), (0o644, UNKNOWN)])
def test_a_file_without_write_bits_refuses_everybody(sparse: LinuxKernel, mode: int, verdict: Verdict) -> None:
    path = f"/sys/bus/pci/devices/{PF}/sriov_numvfs"
    file = Path(sparse.root, path[1:])
    file.touch()
    file.chmod(mode)
    assert Scene(sparse, scan(sparse, {})).may_write(path).verdict is verdict  # whose rights these are cannot be read there


def test_a_long_command_line_is_read_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cmdline").write_text("quiet " * 40 + "iommu=pt pcie_acs_override=downstream\x1b[31m\n")
    found = {c.entry: c for c in ask(WholeHost(), etc(tmp_path), values.snapshot(*values.make_fleet(1))).checks}
    assert found["C19"].verdict is NO
    assert found["C10"].evidence[0].isprintable()


class Refusing(LinuxKernel):
    """A tree in which one file is refused."""

    def __init__(self, root: str, refused: str) -> None:
        super().__init__(root)
        self.refused = refused

    def read(self, path: str) -> bytes:
        if path == self.refused:
            raise PermissionError(errno.EACCES, "refused", path)
        return super().read(path)


def test_built_in_is_what_has_no_counter(tmp_path: Path) -> None:
    (tmp_path / "sys/module/vfio_pci/parameters").mkdir(parents=True)
    (tmp_path / "etc/modprobe.d").mkdir(parents=True)
    (tmp_path / "etc/modprobe.d/v.conf").write_text("options vfio-pci ids=8086:10c9\n")
    snapshot = values.snapshot(*values.make_fleet(1))
    for kernel, built_in in (
        (LinuxKernel(str(tmp_path)), True),
        (Refusing(str(tmp_path), "/sys/module/vfio_pci/refcnt"), False),
    ):
        assert any(c.entry == "B21" for c in ask(WholeHost(), kernel, snapshot).checks) is built_in


@pytest.mark.parametrize(
    ("methods", "found"), [("flr bus", False), ("pm", False), ("pm bus", False), ("bus", True), ("cxl_bus", True)]
)
def test_a_reset_beyond_the_function(sparse: LinuxKernel, methods: str, found: bool) -> None:
    Path(sparse.root, "sys/bus/pci/devices", PF, "reset_method").write_text(f"{methods}\n")
    assert any(c.entry == "G3" for c in ask(WholeHost(), sparse, scan(sparse, {})).checks) is found


@pytest.mark.parametrize("switch", ["Y", "N"])
def test_a_pf_that_sleeps_shows_the_switch_as_it_is(sparse: LinuxKernel, switch: str) -> None:
    parameters = Path(sparse.root, "sys/module/vfio_pci/parameters")
    parameters.mkdir(parents=True, exist_ok=True)
    (parameters / "disable_idle_d3").write_text(f"{switch}\n")
    Path(sparse.root, "sys/bus/pci/devices", PF, "power_state").write_text("D3hot\n")
    said = [c.evidence[0] for c in ask(WholeHost(), sparse, scan(sparse, {})).checks if c.entry == "A28"]
    assert said == [f"power_state: D3hot, disable_idle_d3: {switch}"]


class Counting(LinuxKernel):
    """A tree that counts what is read."""

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self.seen: Counter[str] = Counter()

    def read(self, path: str) -> bytes:
        self.seen[path] += 1
        return super().read(path)


def test_a_configuration_space_is_read_once(sparse: LinuxKernel) -> None:
    Path(sparse.root, "sys/bus/pci/devices", PF, "config").write_bytes(space())
    kernel = Counting(sparse.root)
    ask(WholeHost(), kernel, scan(sparse, {}))
    assert kernel.seen[f"/sys/bus/pci/devices/{PF}/config"] == 1


# -- what it looks like ----------------------------------------------------------------------------------------------------
LONG = "a sentence that goes on and on, as they do when a file of sysfs and what it reads are both to be in it, to the end"


def report() -> Report:
    return Report(
        "Can it be?",
        (
            check(YES, evidence=("fine",)),
            check(NO, evidence=(LONG,), entry="A10", subject=PF, do=("first this", "then that")),
            check(NO, Severity.NOTE, entry="G7"),
            check(UNKNOWN, evidence=("EACCES",), entry="C12"),
        ),
    )


def test_the_text_of_an_answer() -> None:
    lines = list(answer_text(report()))
    assert lines[:3] == ["Can it be? no", "yes      Is it so?", "           fine"]
    assert "NO       Is it so?  [A10]" in lines
    assert "no       Is it so?  [G7]" in lines
    assert "??       Is it so?  [C12]" in lines
    assert "           -> first this" in lines
    assert lines[-1] == "NO decides, no does not decide; could not check: ?? would decide"
    assert max(map(len, lines)) <= 80


def test_the_text_of_findings_leaves_out_what_is_fine() -> None:
    lines = list(findings_text(report(), values.snapshot(*values.make_fleet(1))))
    assert lines[0] == "demo  Linux 6.12.107+deb13-amd64  1 error, 0 warnings, 2 notes, 1 fine"
    assert lines[1] == f"error    {PF}  Is it so? no  [A10]"
    assert "note     Is it so? could not check  [C12]" in lines
    assert not [line for line in lines if "yes" in line]


def validate(text: str) -> dict[str, Any]:
    schema = json.loads(files("vfdeck.backend").joinpath("schema/checks-v1.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    value: dict[str, Any] = json.loads(text)
    jsonschema.validate(value, schema)
    return value


def test_json(sparse: LinuxKernel) -> None:
    snapshot = scan(sparse, {})
    value = validate(to_json(report(), snapshot))
    assert (value["verdict"], value["severity"], value["host"]["name"]) == ("no", "error", "fabricated")
    assert [c["entry"] for c in value["checks"]] == [None, "A10", "G7", "C12"]
    for question in (CanEnable(PF, 4), CanBind(PF), CanOpen(PF), WholeHost()):
        validate(to_json(ask(question, sparse, snapshot), snapshot))
