"""The arithmetic of checks, what they look like, and what they say of a host of which little can be read."""

from __future__ import annotations

import itertools
import json
import struct
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
from vfdeck.backend.checks.persistence import Settings, module_options
from vfdeck.backend.checks.render import answer_text, findings_text, to_json
from vfdeck.backend.checks.users import locked_memory, rights_of
from vfdeck.backend.evidence import Rights, Unread
from vfdeck.backend.linux.kernel import LinuxKernel
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
    assert rights_of(kernel, "4711") == Rights(4711, frozenset(), 0, user_namespace=False)
    for absent in ("nobody", "od"):
        assert isinstance(rights_of(kernel, absent), Unread)
    root = rights_of(kernel, "root")
    assert isinstance(root, Rights)
    assert root.may(17)


def test_broken_user_files(tmp_path: Path) -> None:
    assert isinstance(rights_of(etc(tmp_path), "dpdk"), Unread)
    assert isinstance(rights_of(etc(tmp_path, passwd="dpdk:x:one:two::\n", group=""), "dpdk"), Unread)
    assert isinstance(locked_memory(etc(tmp_path)), Unread)


@pytest.mark.parametrize(("capabilities", "limit"), [("0000000000000000", 65536), ("0000000000004000", None)])
def test_locked_memory(tmp_path: Path, capabilities: str, limit: int | None) -> None:
    home = tmp_path / "proc/self"
    home.mkdir(parents=True)
    (home / "status").write_text(f"Uid:\t1 1 1 1\nGid:\t1 1 1 1\nCapEff:\t{capabilities}\n")
    (home / "limits").write_text("Max locked memory         65536                unlimited            bytes     \n")
    assert locked_memory(LinuxKernel(str(tmp_path))) == limit


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
    assert "?        Is it so?  [C12]" in lines
    assert "           -> first this" in lines
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
