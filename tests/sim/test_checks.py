"""Checks before a change, against what the simulated kernel then answers; and what the doctor finds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sim.test_enabling import DEVICES, PF, PORT, Bench
from vfdeck.backend.changes import OpenPath
from vfdeck.backend.checks import CanBind, CanEnable, CanOpen, Check, Question, Report, Severity, Verdict, WholeHost, ask
from vfdeck.backend.checks.advice import badge
from vfdeck.backend.kernel import FileStat
from vfdeck.backend.local_host import LocalHost
from vfdeck.backend.model import TokenState
from vfdeck.backend.sim.hardware import Function, SriovCapability
from vfdeck.backend.sim.kernel import SimulatedKernel
from vfdeck.backend.sim.surroundings import Container, Credentials
from vfdeck.backend.token import Token
from vfdeck.backend.token_rules import format_argument
from vfdeck.backend.vfio import Program

YES, NO, UNKNOWN = Verdict.YES, Verdict.NO, Verdict.UNKNOWN
VF = "0000:01:10.0"


def answer(bench: Bench, question: Question, kernel: SimulatedKernel | None = None) -> Report:
    kernel = kernel or bench.kernel
    return ask(question, kernel, LocalHost(kernel, {}).snapshot())


def verdicts(report: Report) -> dict[str, Verdict]:
    """The answers by entry; the worst where several checks have the same."""
    order = [YES, UNKNOWN, NO]
    found: dict[str, Verdict] = {}
    for check in report.checks:
        found[check.entry] = max(found.get(check.entry, YES), check.verdict, key=order.index)
    return found


def said(report: Report, entry: str) -> str:
    return "; ".join(text for check in report.checks if check.entry == entry for text in check.evidence)


# -- can this PF give N VFs? -----------------------------------------------------------------------------------------------
def test_a_pf_that_can() -> None:
    bench = Bench()
    report = answer(bench, CanEnable(PF, 7))
    assert report.verdict is YES
    assert "16 KiB for each of 8 VFs" in said(report, "A10")
    assert bench.numvfs(7) == "OK"


def _no_window(bench: Bench) -> None:
    bench.capability.unassigned = frozenset({3})


def _no_windows(bench: Bench) -> None:
    bench.capability.unassigned = frozenset({0, 3})


def _beyond(bench: Bench) -> None:
    bench.capability.offset = 250
    bench.behind(1)


def _initial(bench: Bench) -> None:
    bench.capability.initial = 5


def _dependency(bench: Bench) -> None:
    bench.capability.dependency = "0000:01:00.1"


def _read_only(bench: Bench) -> None:
    bench.kernel.process.credentials = replace(bench.kernel.process.credentials, container=Container(read_only=("/sys",)))


@pytest.mark.parametrize(
    ("spoil", "entry", "errno"),
    [
        (_no_window, "A10", "ENOMEM"),
        (_no_windows, "A10", "ENOMEM"),
        (_beyond, "A11", "ENOMEM"),
        (_initial, "A15", "EIO"),
        (_dependency, "A16", "ENODEV"),
        (_read_only, "A20", "EROFS"),
    ],
)
def test_a_pf_that_cannot(spoil: Callable[[Bench], None], entry: str, errno: str) -> None:
    bench = Bench()
    spoil(bench)
    report = answer(bench, CanEnable(PF, 5))
    assert report.verdict is NO
    assert [c.entry for c in report.checks if c.severity is Severity.ERROR] == [entry]
    assert bench.numvfs(5) == errno


def test_an_ordinary_user_learns_what_could_not_be_read() -> None:
    bench = Bench()
    user = SimulatedKernel(bench.machine, "vfdeck", "user", credentials=Credentials(1000, 1000))
    report = answer(bench, CanEnable(PF, 5), user)
    found = verdicts(report)
    assert (report.verdict, found["A19"], found["A15"]) == (NO, NO, UNKNOWN)
    assert "only 64 bytes may be read" in said(report, "A15")
    assert found["A10"] is YES
    assert "could not be checked" in said(report, "A10")


@pytest.mark.parametrize(("driver", "enable", "entry"), [("vfio-pci", "N", "A8"), ("e1000e", "Y", "A7")])
def test_drivers_that_make_no_vfs(driver: str, enable: str, entry: str) -> None:
    bench = Bench(driver=driver, model=(0x8086, 0x10D3) if driver == "e1000e" else (0x8086, 0x10C9))
    bench.must("/sys/module/vfio_pci/parameters/enable_sriov", enable)
    assert verdicts(answer(bench, CanEnable(PF, 2)))[entry] is NO
    assert bench.numvfs(2) == "ENOENT"


def test_a_driver_that_nobody_knows() -> None:
    bench = Bench()
    bench.pf.driver = "strange"
    report = answer(bench, CanEnable(PF, 2))
    assert (report.verdict, verdicts(report)["A7"]) == (UNKNOWN, UNKNOWN)


def test_a_quiet_driver() -> None:
    bench = Bench(driver="bnxt_en", model=(0x14E4, 0x1750))
    bench.pf.up = False
    assert verdicts(answer(bench, CanEnable(PF, 2)))["A18"] is NO
    bench.pf.up = True
    assert answer(bench, CanEnable(PF, 2)).verdict is YES


def test_vfs_that_are_there_and_held() -> None:
    bench = Bench(driver="vfio-pci")
    assert bench.numvfs(2) == "OK"
    found = verdicts(answer(bench, CanEnable(PF, 4)))
    assert (found["A5"], found["G1"]) == (NO, YES)
    other = Program(SimulatedKernel(bench.machine, "qemu"))
    token = Token(bytes(range(16)))
    other.close(other.open_by_group(PF, format_argument(PF, token.reveal_text())))
    other.open_by_group(VF, format_argument(VF, token.reveal_text()))
    report = answer(bench, CanEnable(PF, 4))
    assert (report.verdict, verdicts(report)["G1"]) == (NO, NO)
    assert "qemu" in said(report, "G1")
    same = answer(bench, CanEnable(PF, 2))
    assert (same.verdict, len(same.checks)) == (YES, 1)  # nothing to do


def test_what_is_no_pf() -> None:
    bench = Bench()
    assert bench.numvfs(1) == "OK"
    assert verdicts(answer(bench, CanEnable(VF, 1))) == {"A1": NO}
    assert verdicts(answer(bench, CanEnable("0000:77:00.0", 1))) == {"G11": NO}


@settings(deadline=None, max_examples=150)
@given(
    total=st.integers(1, 40),
    offset=st.integers(1, 300),
    stride=st.integers(1, 20),
    last_bus=st.none() | st.integers(1, 4),
    unassigned=st.frozensets(st.sampled_from([0, 3]), max_size=2),
    initial=st.none() | st.integers(0, 40),
    dependency=st.sampled_from([None, None, None, "0000:01:00.1"]),
    driver=st.sampled_from(["igb", "vfio-pci", "i40e", "ice"]),
    enable=st.booleans(),
    present=st.booleans(),
    count=st.integers(1, 41),
)
def test_yes_is_a_promise_and_no_a_warning(
    total: int,
    offset: int,
    stride: int,
    last_bus: int | None,
    unassigned: frozenset[int],
    initial: int | None,
    dependency: str | None,
    driver: str,
    enable: bool,
    present: bool,
    count: int,
) -> None:
    models = {"igb": (0x8086, 0x10C9), "vfio-pci": (0x8086, 0x10C9), "i40e": (0x8086, 0x1572), "ice": (0x8086, 0x1592)}
    bench = Bench(driver=driver, model=models[driver])
    bench.pf.sriov = bench.capability = SriovCapability(total, offset, stride, 0x10CA)
    if present:
        bench.must(f"{DEVICES}/{PF}/sriov_numvfs", "1")
    if last_bus is not None:
        bench.behind(last_bus)
    bench.capability.unassigned, bench.capability.dependency = unassigned, dependency
    bench.capability.initial = None if initial is None else min(initial, total)
    bench.must("/sys/module/vfio_pci/parameters/enable_sriov", "Y" if enable else "N")
    verdict = answer(bench, CanEnable(PF, count)).verdict
    nothing_to_do = bench.capability.numvfs == count
    result = "OK" if nothing_to_do or not bench.capability.numvfs else bench.numvfs(0)  # as vfdeck does
    result = bench.numvfs(count) if result == "OK" else result
    if verdict is YES:
        assert (result, len(bench.capability.vfs)) == ("OK", count)
    elif verdict is NO and not nothing_to_do:
        assert result != "OK"


# -- can this function go to that driver? ----------------------------------------------------------------------------------
def test_a_function_that_vfio_takes() -> None:
    report = answer(Bench(), CanBind(PF))
    assert report.verdict is YES
    assert verdicts(report)["B14"] is NO  # its interface goes
    assert verdicts(report)["B6"] is UNKNOWN


@pytest.mark.parametrize(
    ("fields", "entry"),
    [({"header": 1, "class_code": 0x060400}, "B5"), ({"vendor": 0x8086, "device": 0x37C8}, "B3"), ({"group": None}, "B2")],
)
def test_functions_that_vfio_refuses(fields: dict[str, Any], entry: str) -> None:
    bench = Bench()
    plain = bench.machine.add(Function("0000:04:00.0", 0x8086, 0x10D3, 0x020000))
    if "group" in fields:
        bench.machine.leave_group(plain)
    else:
        for name, value in fields.items():
            setattr(plain, name, value)
    report = answer(bench, CanBind("0000:04:00.0"))
    assert (report.verdict, verdicts(report)[entry]) == (NO, NO)
    bench.must(f"{DEVICES}/0000:04:00.0/driver_override", "vfio-pci")
    assert bench.write("/sys/bus/pci/drivers/vfio-pci/bind", "0000:04:00.0") == "EINVAL"


def test_a_function_that_no_snapshot_shows_is_looked_at_all_the_same() -> None:
    bench = Bench()
    bench.machine.add(Function("0000:04:00.0", 0x8086, 0x10D3, 0x020000))
    assert "0000:04:00.0" not in LocalHost(bench.kernel, {}).snapshot().functions
    assert answer(bench, CanBind("0000:04:00.0")).verdict is YES


def test_a_pf_with_vfs_and_a_driver_that_is_not_loaded() -> None:
    bench = Bench()
    assert bench.numvfs(2) == "OK"
    assert verdicts(answer(bench, CanBind(PF)))["B4"] is NO
    assert verdicts(answer(bench, CanBind(PF, "mlx5_core")))["B7"] is NO


def test_company_in_the_group() -> None:
    bench = Bench()
    beside = bench.machine.add(Function("0000:01:00.1", 0x8086, 0x10D3, 0x020000), bench.pf.group.number if bench.pf.group else 0)
    bridge = bench.machine.add(Function(PORT, 0x8086, 0x3420, 0x060400, header=1), bench.pf.group.number if bench.pf.group else 0)
    for function, driver in ((beside, "e1000e"), (bridge, "pcieport")):
        bench.machine.load_driver(driver)
        bench.must("/sys/bus/pci/drivers_probe", function.bdf)
    report = answer(bench, CanBind(PF))
    assert verdicts(report)["C8"] is NO
    assert "0000:01:00.1 (e1000e)" in said(report, "C8")
    assert PORT not in said(report, "C8")


def test_a_vf_of_a_user_space_pf_to_a_driver_of_the_host() -> None:
    bench = Bench(driver="vfio-pci")
    bench.machine.load_driver("igbvf")
    assert bench.numvfs(1) == "OK"
    found = verdicts(answer(bench, CanBind(VF, "igbvf")))
    assert (found["B18"], found["B9"], found["B8"]) == (NO, NO, UNKNOWN)


# -- can this function be opened? ------------------------------------------------------------------------------------------
def guarded(release: str = "6.12.107") -> Bench:
    bench = Bench(release, "vfio-pci")
    assert bench.numvfs(2) == "OK"
    return bench


def test_a_pf_opens_for_root() -> None:
    bench = guarded()
    report = answer(bench, CanOpen(PF))
    assert report.verdict is YES
    Program(bench.kernel).open_by_group(PF, PF.encode())


def test_whose_node_it_is() -> None:
    bench = guarded()
    assert bench.pf.group is not None
    node = f"/dev/vfio/{bench.pf.group.node}"
    assert verdicts(answer(bench, CanOpen(PF, user="dpdk")))["C2"] is NO
    bench.machine.around.nodes[node] = FileStat(0o020660, 0, 1001)
    assert verdicts(answer(bench, CanOpen(PF, user="dpdk")))["C2"] is YES  # by its group
    bench.machine.around.nodes[node] = FileStat(0o020660, 0, 0, acl=True)
    assert verdicts(answer(bench, CanOpen(PF, user="1001")))["C2"] is UNKNOWN
    assert "access control list" in said(answer(bench, CanOpen(PF, user="1001")), "C2")
    assert verdicts(answer(bench, CanOpen(PF, user="nobody-here")))["C2"] is UNKNOWN


def test_what_keeps_an_open_from_the_iommu() -> None:
    bench = guarded()
    bench.machine.around.interrupt_remapping = False
    report = answer(bench, CanOpen(PF))
    assert (report.verdict, verdicts(report)["C12"]) == (NO, NO)
    bench.must("/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts", "Y")
    assert verdicts(answer(bench, CanOpen(PF)))["C12"] is YES
    bench.machine.around.type1 = False
    assert verdicts(answer(bench, CanOpen(PF)))["C13"] is NO


def test_a_group_that_is_taken() -> None:
    bench = guarded()
    Program(SimulatedKernel(bench.machine, "qemu")).open_by_group(PF, PF.encode())
    found = verdicts(answer(bench, CanOpen(PF)))
    assert found["C6"] is NO
    user = SimulatedKernel(bench.machine, "vfdeck", "user", credentials=Credentials(1000, 1000))
    assert verdicts(answer(bench, CanOpen(PF), user))["G9"] is UNKNOWN
    assert verdicts(answer(bench, CanOpen(PF, OpenPath.CDEV)))["E3"] is NO


@pytest.mark.parametrize(
    ("release", "path", "entry", "verdict"),
    [
        ("6.12.107", OpenPath.GROUP, "D1", UNKNOWN),
        ("6.12.107", OpenPath.CDEV, "D17", NO),
        ("6.17.0", OpenPath.CDEV, "E9", NO),
        ("7.3.4", OpenPath.CDEV, "D1", UNKNOWN),
    ],
)
def test_the_token_of_a_vf(release: str, path: OpenPath, entry: str, verdict: Verdict) -> None:
    assert verdicts(answer(guarded(release), CanOpen(VF, path)))[entry] is verdict


@pytest.mark.parametrize(("state", "entry", "verdict"), [(TokenState.UNSET, "D3", NO), (TokenState.SET, "D3", YES)])
def test_what_is_known_of_the_token(state: TokenState, entry: str, verdict: Verdict) -> None:
    bench = guarded()
    snapshot = LocalHost(bench.kernel, {}).snapshot()
    known = replace(snapshot.tokens[PF], state=state, fingerprint="1a2b3c4d")
    report = ask(CanOpen(VF), bench.kernel, replace(snapshot, tokens={PF: known}))
    assert verdicts(report)[entry] is verdict


def test_what_has_no_node() -> None:
    bench = Bench()
    assert answer(bench, CanOpen(PF)).verdict is NO
    assert verdicts(answer(bench, CanOpen(PF)))["C1"] is NO
    assert verdicts(answer(bench, CanOpen(PF, OpenPath.CDEV)))["E8"] is NO


# -- the whole host --------------------------------------------------------------------------------------------------------
def finding(bench: Bench, entry: str) -> Check | None:
    return next((c for c in answer(bench, WholeHost()).checks if c.entry == entry and c.verdict is not YES), None)


@pytest.mark.parametrize(
    ("path", "text", "verdict"),
    [
        ("/etc/udev/rules.d/70-vf.rules", f'KERNEL=="{PF}", ATTR{{sriov_numvfs}}="4"', None),
        ("/etc/udev/rules.d/70-vf.rules", 'ACTION=="add", ATTR{sriov_numvfs}="4"', UNKNOWN),
        ("/etc/systemd/network/10-eth.link", "[Match]\nOriginalName=eth0\n[Link]\nSR-IOVVirtualFunctions=4\n", None),
        ("/etc/systemd/system/vfs.service", "ExecStart=/bin/echo nothing of the kind", NO),
        ("/etc/motd", f"{PF} sriov_numvfs", NO),
    ],
)
def test_what_lasts(path: str, text: str, verdict: Verdict | None) -> None:
    bench = Bench()
    assert bench.numvfs(4) == "OK"
    bench.machine.around.files[path] = text
    found = finding(bench, "G6")
    assert (found.verdict if found else None) is verdict


def test_a_longer_name_is_another_name() -> None:
    bench = Bench(driver="vfio-pci")
    bench.machine.around.files[f"/etc/driverctl.d/{PF}0"] = "vfio-pci\n"
    assert finding(bench, "B20") is not None
    bench.machine.around.files[f"/etc/driverctl.d/{PF}"] = "vfio-pci\n"
    assert finding(bench, "B20") is None


def test_what_nothing_names_is_said_of_etc_alone() -> None:
    bench = Bench()
    assert bench.numvfs(4) == "OK"
    bench.machine.around.files["/etc/hostname"] = "host\n"
    found = finding(bench, "G6")
    assert found is not None
    assert found.evidence[0].startswith("no file below /etc of ")


def test_options_without_effect() -> None:
    bench = Bench(driver="vfio-pci")
    bench.machine.around.files["/etc/modprobe.d/vfio.conf"] = "options vfio-pci enable_sriov=1 disable_idle_d3=1 # sic\n"
    found = finding(bench, "B21")
    assert found is not None
    assert "disable_idle_d3=1, but it is N" in found.evidence[0]
    bench.must("/sys/module/vfio_pci/parameters/disable_idle_d3", "Y")
    assert finding(bench, "B21") is None


def test_a_function_off_the_bus_and_a_slow_link() -> None:
    bench = Bench()
    bench.pf.link = ("8.0 GT/s PCIe", 4, "16.0 GT/s PCIe", 8)
    slow = [c for c in answer(bench, WholeHost()).checks if "link" in c.question]
    assert [c.severity for c in slow] == [Severity.WARNING]
    bench.pf.lost = True
    found = finding(bench, "F4")
    assert found is not None
    assert found.severity >= Severity.WARNING


def test_a_mapping_alone_holds_it() -> None:
    bench = guarded()
    other = SimulatedKernel(bench.machine, "dpdk")
    program = Program(other)
    device = program.open_by_cdev(PF, None)
    other.map(device.fd)
    assert finding(bench, "G2") is None
    program.close(device)
    found = finding(bench, "G2")
    assert found is not None
    assert str(other.process.pid) in found.evidence[0]


def test_public_tokens_are_told_by_their_fingerprints() -> None:
    bench = guarded()
    snapshot = LocalHost(bench.kernel, {}).snapshot()
    for text, entry in (("00000000-0000-0000-0000-000000000000", "D14"), ("14d63f20-8445-11ea-8900-1f9ce7d5650d", "D19")):
        known = replace(snapshot.tokens[PF], state=TokenState.SET, fingerprint=Token.parse(text).fingerprint)
        report = ask(WholeHost(), bench.kernel, replace(snapshot, tokens={PF: known}))
        found = [c for c in report.checks if c.entry == entry]
        assert [c.severity for c in found] == [Severity.ERROR]
        assert text not in "".join(found[0].evidence)


@pytest.mark.parametrize(
    ("release", "expected"),
    [
        ("5.4.0", "no VF tokens"),
        ("5.15.30", "variants unguarded"),
        ("5.15.40", ""),
        ("6.12.107", "cdev asks no token"),
        ("6.17.2", "cdev token E2BIG"),
        ("7.3.4", ""),
    ],
)
def test_the_badge(release: str, expected: str) -> None:
    bench = Bench(release, "vfio-pci")
    snapshot = LocalHost(bench.kernel, {}).snapshot()
    assert badge(snapshot) == expected
    bare = replace(snapshot, host=replace(snapshot.host, cdev=False))
    assert badge(bare) == ("" if "cdev" in expected else expected)


def test_nothing_is_the_matter_with_a_plain_host() -> None:
    report = answer(Bench("7.3.4"), WholeHost())
    assert {check.entry for check in report.checks if check.severity is not Severity.OK} == {"A25"}  # igb keeps a VF for itself
    assert report.severity is Severity.NOTE
    assert len(report.of(Severity.OK)) >= 3
