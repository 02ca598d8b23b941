"""Whom a change touches, from the plan down to the host's own use of what goes: on values, and in the demo."""

from __future__ import annotations

import pytest

from tests.values import make_fleet, make_pf, make_plain, make_vf, snapshot, vf_address
from vfdeck.backend import blast
from vfdeck.backend.changes import BindDriver, Change, Close, Open, Plan, SetAutoprobe, SetNumvfs, UnbindDriver
from vfdeck.backend.perform import plan_on
from vfdeck.backend.plan import plan
from vfdeck.backend.sim.host_use import Mounted, Upper
from vfdeck.backend.sim.scenario import SimulatedHost, load
from vfdeck.backend.topology import scan
from vfdeck.backend.usage.values import Disk, DiskUse, Fate, Interface, Session, Usage, UseKind

PF, PLAIN = "0000:03:00.0", "0000:04:00.0"
NIC, IDLE, DRIVE = "0000:03:00.1", "0000:5e:00.0", "0000:81:00.0"


class TestGoing:
    @pytest.mark.parametrize(
        ("change", "going"),
        [
            (SetNumvfs(PF, 0), [vf_address(PF, 0), vf_address(PF, 1)]),
            (SetNumvfs(PF, 4), [vf_address(PF, 0), vf_address(PF, 1)]),
            (UnbindDriver(PF), [PF, vf_address(PF, 0), vf_address(PF, 1)]),
            (BindDriver(vf_address(PF, 0), None), [vf_address(PF, 0)]),
            (Open(PF), []),
            (Close(PF), []),
            (SetAutoprobe(PF, True), []),
            (UnbindDriver("0000:09:00.0"), []),
        ],
    )
    def test_who_goes(self, change: Change, going: list[str]) -> None:
        assert [function.bdf for function in blast.going(change, snapshot(*make_fleet(2)))] == going

    def test_a_function_without_driver_is_not_in_use(self) -> None:
        assert blast.going(BindDriver(PLAIN, "vfio-pci"), snapshot(make_plain(driver=None))) == []


class TestOrder:
    USAGE = Usage(
        interfaces=(
            Interface("eth0", Fate.GONE, PLAIN, addresses=("192.0.2.1/24",), default_route=("IPv4",)),
            Interface("br0", Fate.CUT_OFF, kind="bridge", below=("eth0",)),
        ),
        disks=(
            Disk(
                "sda",
                PLAIN,
                (
                    DiskUse(UseKind.MOUNT, "/srv", "sda3"),
                    DiskUse(UseKind.PART_OF, "md0", "md0"),
                    DiskUse(UseKind.SWAP, "sda2", "sda2"),
                    DiskUse(UseKind.MOUNT, "/", "sda1"),
                ),
            ),
        ),
        session=Session("192.0.2.7", "eth0"),
        unchecked=("what else (EACCES)",),
    )

    def test_most_serious_first(self) -> None:
        view = snapshot(make_plain(driver="e1000e"))
        planned = plan(UnbindDriver(PLAIN), view, usage=self.USAGE)
        beginnings = [
            "your own SSH connection (from 192.0.2.7) runs over eth0",
            "the root file system is on sda1",
            "the host swaps to sda2",
            "mounted: /srv from sda3",
            "the default route (IPv4) runs over eth0",
            "this address goes: 192.0.2.1/24",
            "bridge br0 loses eth0",
            "one device is built on it",
            "could not check what else (EACCES)",
            f"interface eth0, disk sda of {PLAIN} vanish from the host",
        ]
        assert len(planned.warnings) == len(beginnings)
        for said, beginning in zip(planned.warnings, beginnings, strict=True):
            assert said.startswith(beginning)
        assert planned.severe == "cuts your own connection and takes the root file system away"
        assert planned.destructive

    def test_nothing_to_say(self) -> None:
        planned = plan(UnbindDriver(PLAIN), snapshot(make_plain(driver="e1000e")), usage=Usage())
        assert (planned.warnings, planned.severe, planned.destructive) == ((), "", False)


class TestSettings:
    def test_of_network_functions_only(self) -> None:
        def warnings(class_code: int) -> tuple[str, ...]:
            view = snapshot(make_pf(vfs=1, class_code=class_code), make_vf(class_code=class_code))
            return plan(SetNumvfs(PF, 0), view).warnings

        assert any("MAC addresses" in said for said in warnings(0x020000))
        assert not any("MAC addresses" in said for said in warnings(0x0B4000))
        assert not any("MAC addresses" in said for said in warnings(0x010802))

    def test_a_network_manager_may_take_new_interfaces(self) -> None:
        new = plan(SetNumvfs(PF, 2), snapshot(make_pf(driver="igb"))).warnings
        assert any("network manager" in said and said.endswith("(G5)") for said in new)
        new = plan(SetNumvfs(PF, 2), snapshot(make_pf(driver="nvme", class_code=0x010802))).warnings
        assert not any("network manager" in said for said in new)


class TestInTheDemo:
    """The same lookup over the simulated kernel's files."""

    @pytest.fixture
    def host(self) -> SimulatedHost:
        return load()

    def plan(self, host: SimulatedHost, change: Change) -> Plan:
        return plan_on(host.kernel, change, scan(host.kernel))

    def test_the_operator_s_own_connection(self, host: SimulatedHost) -> None:
        planned = self.plan(host, UnbindDriver(NIC))
        assert planned.severe == "cuts your own connection"
        assert planned.warnings[:3] == (
            "your own SSH connection (from 192.0.2.7) runs over enp3s0f1: you will be cut off (B14)",
            "the default route (IPv4 and IPv6) runs over enp3s0f1: the host loses its way out (B14)",
            "2 addresses go: 198.51.100.17/24 (enp3s0f1), 2001:db8:17::17/64 (enp3s0f1)",
        )
        assert not any("could not check" in said for said in planned.warnings)

    def test_another_port_is_not_severe(self, host: SimulatedHost) -> None:
        planned = self.plan(host, UnbindDriver(IDLE))
        assert (planned.severe, planned.destructive) == ("", True)
        assert planned.warnings[0] == "this address goes: 10.94.0.7/24 (enp94s0np0)"

    def test_a_drive_in_use(self, host: SimulatedHost) -> None:
        planned = self.plan(host, BindDriver(DRIVE, "vfio-pci"))
        assert planned.warnings[:2] == (
            "the host swaps to nvme0n1p2: programs whose memory is there are killed (B15)",
            "mounted: /var/lib/libvirt/images from nvme0n1p1: what is not written yet is lost, and programs fail (B15)",
        )
        assert (planned.severe, planned.destructive) == ("", True)

    def test_a_drive_with_the_root_file_system(self, host: SimulatedHost) -> None:
        machine = host.scenario.machine
        machine.use.mounts.append(Mounted("nvme0n1p3", "/", "ext4"))
        assert self.plan(host, UnbindDriver(DRIVE)).severe == "takes the root file system away"

    def test_a_bridge_and_a_vlan_on_top(self, host: SimulatedHost) -> None:
        use = host.scenario.machine.use
        use.uppers += [Upper("br0", "bridge", ("enp94s0np0",)), Upper("br0.7", "vlan", ("br0",))]
        said = self.plan(host, UnbindDriver(IDLE)).warnings
        assert "bridge br0 loses enp94s0np0 and leads nowhere then" in said
        assert "VLAN br0.7 on br0 leads nowhere then" in said
        use.uppers += [Upper("bond0", "bond", ("enp94s0np0", "enp3s0f1"))]
        assert "bond bond0 loses enp94s0np0 and keeps enp3s0f1" in self.plan(host, UnbindDriver(IDLE)).warnings

    def test_what_went_with_its_driver_is_not_in_use_any_more(self, host: SimulatedHost) -> None:
        kernel = host.kernel
        host.scenario.actors[4391].kernel.exit()  # it holds a VF of the port
        for bdf in (NIC, DRIVE):
            driver = scan(kernel).functions[bdf].driver
            assert kernel.write(f"/sys/bus/pci/drivers/{driver}/unbind", bdf.encode()).result() is None
        assert {entry.interface for entry in kernel.addresses()} == {"lo", "enp94s0np0"}
        assert kernel.names("/sys/class/block") == []
        assert b"enp3s0f1" not in kernel.read("/proc/self/net/route") + kernel.read("/proc/self/net/ipv6_route")
        assert b"nvme" not in kernel.read("/proc/self/mountinfo") + kernel.read("/proc/swaps")
        said = self.plan(host, UnbindDriver(IDLE)).warnings
        # the connection's address is gone with its port, and so is every route back
        assert any(what.startswith("could not check whether your own connection runs over enp94s0np0") for what in said)

    @pytest.mark.parametrize("name", ["card", "none"])
    def test_hosts_that_say_nothing_of_their_use(self, name: str) -> None:
        host = load(name)
        for function in scan(host.kernel).functions.values():
            planned = plan_on(host.kernel, UnbindDriver(function.bdf), scan(host.kernel))
            assert not any("could not check" in said for said in planned.warnings)
            assert planned.severe == ""
