"""What the host's network loses with functions: interfaces, what stands on them, addresses, routes, the operator's connection."""

from __future__ import annotations

import errno
import ipaddress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.usage_tree import SSH, HostTree
from tests.values import make_plain
from vfdeck.backend.linux.kernel import LinuxKernel
from vfdeck.backend.usage import routes
from vfdeck.backend.usage.look import look_up
from vfdeck.backend.usage.network import Network
from vfdeck.backend.usage.said import losses, severe
from vfdeck.backend.usage.session import parse
from vfdeck.backend.usage.values import Fate, Interface, Session, Usage

NIC, OTHER = "0000:04:00.0", "0000:05:00.0"
GOING = [make_plain(NIC, driver="e1000e")]


@pytest.fixture
def host(tmp_path: Path) -> HostTree:
    """A host with two cards, the first with an address and the default route."""
    tree = HostTree(tmp_path)
    tree.interface("eth0", NIC, address="198.51.100.17/24")
    tree.interface("eth1", OTHER)
    return tree


def usage(host: HostTree) -> Usage:
    return look_up(host.kernel(), GOING)


def fates(found: Usage) -> dict[str, Fate]:
    return {interface.name: interface.fate for interface in found.interfaces}


def test_an_interface_with_addresses_and_routes(host: HostTree) -> None:
    host.address("eth0", "2001:db8::17/64")
    host.address("eth0", "fe80::1/64")
    host.route("eth0")
    host.route("eth0", "::/0", flags=3)
    found = usage(host)
    assert found.interfaces == (
        Interface("eth0", Fate.GONE, NIC, addresses=("198.51.100.17/24", "2001:db8::17/64"), default_route=("IPv4", "IPv6")),
    )
    assert found.unchecked == ()
    assert losses(found) == [
        "the default route (IPv4 and IPv6) runs over eth0: the host loses its way out (B14)",
        "2 addresses go: 198.51.100.17/24 (eth0), 2001:db8::17/64 (eth0)",
    ]
    assert severe(found) == ""


def test_functions_without_use(host: HostTree) -> None:
    assert look_up(host.kernel(), [make_plain("0000:09:00.0", class_code=0x010802, driver="nvme")]) == Usage()
    assert look_up(host.kernel(), []) == Usage()


def test_another_default_route_is_left(host: HostTree) -> None:
    host.route("eth0")
    host.route("eth1", metric=200)
    assert "runs over eth0: another one is left" in losses(usage(host))[0]


@pytest.mark.parametrize("flags", [0x0002, 0x0201])
def test_routes_that_lead_nowhere_do_not_count(host: HostTree, flags: int) -> None:
    host.route("eth0", flags=flags)
    host.route("eth0", "::/0", flags=flags)
    assert usage(host).interfaces[0].default_route == ()


class TestBuiltOn:
    def test_a_bridge_stays_and_leads_nowhere(self, host: HostTree) -> None:
        host.interface("vnet0")  # a machine's port: no way out
        host.upper("br0", "bridge", "eth0", "vnet0", master=True, address="203.0.113.1/24")
        host.route("br0")
        found = usage(host)
        assert fates(found) == {"eth0": Fate.GONE, "br0": Fate.CUT_OFF}
        said = losses(found)
        assert said[0].startswith("the default route (IPv4) runs over br0 on eth0: the host loses its way out")
        assert "this address is cut off: 203.0.113.1/24 (br0)" in said
        assert "bridge br0 loses eth0 and leads nowhere then" in said

    def test_a_bond_keeps_its_other_member(self, host: HostTree) -> None:
        host.upper("bond0", "bond", "eth0", "eth1", master=True, address="203.0.113.1/24")
        host.upper("bond0.100", "vlan", "bond0")
        host.route("bond0.100")
        found = usage(host)
        assert fates(found) == {"eth0": Fate.GONE, "bond0": Fate.WEAKENED, "bond0.100": Fate.WEAKENED}
        assert losses(found)[0] == "the default route (IPv4) runs over bond0.100, which loses eth0 and keeps eth1: it may go (B14)"
        assert "bond bond0 loses eth0 and keeps eth1" in losses(found)
        assert not any("203.0.113.1" in said for said in losses(found))

    def test_a_bond_whose_members_all_go(self, host: HostTree) -> None:
        host.upper("bond0", "bond", "eth0", "eth1", master=True)
        host.upper("bond0.100", "vlan", "bond0")
        found = look_up(host.kernel(), [*GOING, make_plain(OTHER, driver="e1000e")])
        assert fates(found) == {"eth0": Fate.GONE, "eth1": Fate.GONE, "bond0": Fate.CUT_OFF, "bond0.100": Fate.CUT_OFF}

    def test_vlans_and_macvlans_vanish_and_a_bridge_on_them_is_cut_off(self, host: HostTree) -> None:
        host.upper("eth0.5", "vlan", "eth0", address="203.0.113.5/24")
        host.upper("mv0", "", "eth0")
        host.upper("br5", "bridge", "eth0.5", master=True)
        found = usage(host)
        assert fates(found) == {"eth0": Fate.GONE, "eth0.5": Fate.GONE, "mv0": Fate.GONE, "br5": Fate.CUT_OFF}
        said = losses(found)
        assert "2 addresses go: 198.51.100.17/24 (eth0), 203.0.113.5/24 (eth0.5)" in said
        assert "what is built on it vanishes too: VLAN eth0.5, mv0" in said

    def test_loops_come_to_an_end(self, host: HostTree) -> None:
        host.upper("a", "vlan", "eth0")
        host.upper("b", "vlan", "a")
        host.upper("a", "vlan", "b")
        host.upper("m", "bridge", "eth0", master=True)
        host.upper("m", "bridge", "b", master=True)
        found = usage(host)
        assert set(fates(found)) == {"eth0", "a", "b", "m"}
        assert losses(found)

    def test_a_machine_behind_the_bridge_is_no_way_out(self, host: HostTree) -> None:
        host.interface("tap0")
        host.upper("tap0.1", "vlan", "tap0")
        host.upper("br0", "bridge", "eth0", "tap0.1", master=True)
        assert fates(usage(host))["br0"] is Fate.CUT_OFF

    def test_the_work_grows_no_faster_than_the_interfaces(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A host may have thousands of VLANs."""
        looks: list[str] = []
        real = Network._look

        def look(network: Network, name: str) -> object:
            looks.append(name)
            return real(network, name)

        monkeypatch.setattr(Network, "_look", look)
        counts = []
        for number in (20, 80):
            host = HostTree(tmp_path / str(number))
            host.interface("eth0", NIC)
            for vlan in range(number):
                host.upper(f"eth0.{vlan}", "vlan", "eth0")
            looks.clear()
            assert len(usage(host).interfaces) == number + 1
            counts.append(len(looks))
        assert counts[1] < 5 * counts[0]


class TestOwnConnection:
    def test_over_the_interface_itself(self, host: HostTree) -> None:
        host.session()
        host.route("eth0")
        found = usage(host)
        assert found.session == Session("192.0.2.7", "eth0")
        assert losses(found)[0] == "your own SSH connection (from 192.0.2.7) runs over eth0: you will be cut off (B14)"
        assert severe(found) == "cuts your own connection"

    def test_over_another_one(self, host: HostTree) -> None:
        host.address("eth1", "198.51.100.99/24")
        host.session("192.0.2.7 50522 198.51.100.99 22")
        found = usage(host)
        assert (found.session, severe(found), found.unchecked) == (None, "", ())

    def test_over_a_vlan_of_a_bridge(self, host: HostTree) -> None:
        host.upper("br0", "bridge", "eth0", master=True)
        host.upper("br0.7", "vlan", "br0", address="203.0.113.7/24")
        host.session("192.0.2.7 50522 203.0.113.7 22")
        found = usage(host)
        assert losses(found)[0].endswith("runs over br0.7 on eth0: you will be cut off (B14)")
        assert severe(found)

    def test_over_a_bond_that_goes_on(self, host: HostTree) -> None:
        host.upper("bond0", "bond", "eth0", "eth1", master=True, address="203.0.113.7/24")
        host.session("192.0.2.7 50522 203.0.113.7 22")
        found = usage(host)
        assert losses(found)[0].endswith("runs over bond0, which loses eth0 and keeps eth1: you may be cut off (B14)")
        assert severe(found) == ""

    def test_ipv6_also_where_a_zone_stands_with_it(self, host: HostTree) -> None:
        host.address("eth0", "2001:db8::17/64")
        host.session("2001:db8::7 50522 2001:db8::17%eth0 22", established=False)
        host.put("proc/self/net/tcp6", "  sl\n")
        found = usage(host)
        assert found.session == Session("2001:db8::7", "eth0", open=False)

    def test_ipv4_inside_ipv6(self, host: HostTree) -> None:
        host.session(established=False)
        row = "   1: 0000000000000000FFFF0000116433C6:0016 0000000000000000FFFF0000070200C0:C55A 01 0:0\n"
        host.put("proc/self/net/tcp6", row)
        assert usage(host).session == Session("192.0.2.7", "eth0", open=True)

    def test_one_that_is_over(self, host: HostTree) -> None:
        host.session(established=False)
        said = losses(usage(host))[0]
        assert said.startswith("you came by an SSH connection (from 192.0.2.7) that is over by now; it runs over eth0")
        assert severe(usage(host))

    def test_whether_it_is_over_cannot_be_checked(self, host: HostTree) -> None:
        host.session()
        (host.root / "proc/self/net/tcp").unlink()
        found = usage(host)
        assert found.session == Session("192.0.2.7", "eth0", open=None)
        assert any("still there" in what for what in found.unchecked)

    def test_an_address_on_no_card_goes_by_the_route(self, host: HostTree) -> None:
        host.address("lo", "203.0.113.200/32")
        host.session("192.0.2.7 50522 203.0.113.200 22")
        host.route("eth1", "192.0.0.0/16")
        host.route("eth0", "192.0.2.0/24")
        found = usage(host)
        assert found.session == Session("192.0.2.7", "eth0", routed=True)
        assert "is routed over eth0" in losses(found)[0]

    def test_without_addresses_the_route_tells(self, host: HostTree) -> None:
        host.addresses = TimeoutError(errno.ETIMEDOUT, "not read")
        host.session()
        host.route("eth0", metric=50)
        host.route("eth1", metric=60)
        found = usage(host)
        assert found.session == Session("192.0.2.7", "eth0", routed=True)
        assert found.unchecked == ("the addresses of eth0 (not read)",)

    def test_no_way_to_tell(self, host: HostTree) -> None:
        host.session("192.0.2.7 50522 203.0.113.200 22")
        found = usage(host)
        assert found.session is None
        assert found.unchecked == (
            "whether your own connection runs over eth0 (no interface has 203.0.113.200, and no route leads to 192.0.2.7)",
        )

    def test_from_the_machine_itself(self, host: HostTree) -> None:
        host.address("lo", "127.0.0.1/8")
        host.session("127.0.0.1 50522 127.0.0.1 22")
        assert (usage(host).session, usage(host).unchecked) == (None, ())

    def test_from_a_machine_behind_a_bridge_of_its_own(self, host: HostTree) -> None:
        host.interface("vnet0")
        host.upper("virbr0", "bridge", "vnet0", master=True, address="192.168.122.1/24")
        host.route("virbr0", "192.168.122.0/24")
        host.session("192.168.122.50 50522 192.168.122.1 22")
        assert (usage(host).session, usage(host).unchecked) == (None, ())


class TestAncestors:
    def test_sudo_drops_the_variable(self, host: HostTree) -> None:
        host.process("self", 4711, "vfdeck", 4700)
        host.process("4700", 4700, "sudo) x (y", 4600, f"SSH_CONNECTION={SSH}\0".encode())
        assert usage(host).session is not None

    def test_the_nearest_one_counts(self, host: HostTree) -> None:
        host.process("self", 4711, "vfdeck", 4700, f"SSH_CONNECTION={SSH}\0".encode())
        host.process("4700", 4700, "bash", 1, b"SSH_CONNECTION=10.0.0.1 1 10.0.0.2 22\0")
        found = usage(host).session
        assert found is not None
        assert found.peer == "192.0.2.7"

    def test_nobody_came_by_ssh(self, host: HostTree) -> None:
        host.process("self", 4711, "vfdeck", 4700)
        host.process("4700", 4700, "login", 1)
        assert (usage(host).session, usage(host).unchecked) == (None, ())

    def test_one_that_cannot_be_read(self, host: HostTree) -> None:
        host.process("self", 4711, "vfdeck", 4700)
        host.process("4700", 4700, "sud\x1bo", 1)
        (host.root / "proc/4700/environ").unlink()
        (host.root / "proc/4700/environ").mkdir()
        (found,) = usage(host).unchecked
        assert found.startswith(
            "whether your own connection runs over eth0 (the environment of sud␛o (4700) cannot be read: EISDIR"
        )

    @pytest.mark.parametrize(
        "text",
        [
            "UNKNOWN 65535 UNKNOWN 65535",
            "",
            "1.2.3.4 5",
            "1.2.3.4 x 1.2.3.4 22",
            "1.2.3.4 70000 1.2.3.4 22",
            "1.2.3.4 -1 1.2.3.4 22",
            f"1.2.3.4 {'0' * 5000} 1.2.3.4 22",
            f"1.2.3.4 5 1.2.3.4 {'0' * 5000}",
        ],
    )
    def test_a_variable_that_makes_no_sense(self, host: HostTree, text: str) -> None:
        host.process("self", 4711, "vfdeck", 1, f"SSH_CONNECTION={text}\0".encode())
        (found,) = usage(host).unchecked
        assert "SSH_CONNECTION is" in found

    @pytest.mark.parametrize("stat", [b"", b"4711 (vfdeck", b"4711 (x) S -5", b"\xff\0)", b"4711 (x) S " + b"5" * 5000])
    def test_a_process_that_makes_no_sense(self, host: HostTree, stat: bytes) -> None:
        host.put("proc/self/stat", stat)
        (found,) = usage(host).unchecked
        assert "/proc/self/stat makes no sense" in found

    def test_parents_in_a_circle(self, host: HostTree) -> None:
        host.process("self", 4711, "vfdeck", 4700)
        host.process("4700", 4700, "a", 4701)
        host.process("4701", 4701, "b", 4700)
        (found,) = usage(host).unchecked
        assert "too many programs" in found


class TestCouldNotCheck:
    def test_a_tree_of_files_tells_neither_addresses_nor_the_connection(self, host: HostTree) -> None:
        (host.root / "proc/self").rename(host.root / "proc/1")
        found = look_up(LinuxKernel(str(host.root)), GOING)
        assert [interface.name for interface in found.interfaces] == ["eth0"]
        assert [what.partition(" (")[0] for what in found.unchecked] == [
            "the addresses of eth0",
            "whether your own connection runs over eth0",
        ]
        assert losses(found)[0].startswith("could not check the addresses of eth0 (the files of a directory tell no addresses)")

    def test_files_that_are_not_there(self, host: HostTree) -> None:
        (host.root / "proc/self/net/route").unlink()
        assert any(what.startswith("whether the default route runs over eth0 (ENOENT") for what in usage(host).unchecked)

    def test_another_network_namespace(self, host: HostTree) -> None:
        host.put("proc/self/net/dev", "Inter-|\n face |\n    lo: 0\n  eth9: 0\n")
        assert usage(host).unchecked == ("what eth0 carries (it is in another network namespace than vfdeck)",)

    def test_a_card_whose_interface_is_not_seen(self, tmp_path: Path) -> None:
        found = look_up(HostTree(tmp_path).kernel(), GOING)
        assert found.unchecked == (f"which interface {NIC} has (none is seen here: a container may have it)",)

    @pytest.mark.parametrize("driver", [None, "vfio-pci", "pci-stub", "igb_uio"])
    def test_drivers_that_make_no_interfaces(self, tmp_path: Path, driver: str | None) -> None:
        assert look_up(HostTree(tmp_path).kernel(), [make_plain(NIC, driver=driver)]) == Usage()

    def test_an_interface_that_only_the_snapshot_knows(self, tmp_path: Path) -> None:
        found = look_up(HostTree(tmp_path).kernel(), [make_plain(NIC, driver="e1000e", interfaces=("eth7",))])
        assert [interface.name for interface in found.interfaces] == ["eth7"]

    def test_hostile_names(self, host: HostTree) -> None:
        name = "e\x1b[2J\udce9"
        host.interface(name, NIC)
        (host.root / "sys/class/net" / name / "upper_x\x1by").symlink_to("../nowhere")
        found = usage(host)
        assert all("\x1b" not in said and "\udce9" not in said for said in losses(found))
        assert {"eth0", "e␛[2J\\xe9", "x␛y"} == set(fates(found))


class TestTables:
    @given(st.lists(st.binary(max_size=120), max_size=6))
    def test_anything_may_stand_there(self, lines: list[bytes]) -> None:
        for route in (*routes.ipv4_routes(lines), *routes.ipv6_routes(lines)):
            assert route.family in ("IPv4", "IPv6")
        here = (ipaddress.ip_address("192.0.2.1"), 22)
        assert routes.is_established(lines, here, here) is False

    @given(st.ip_addresses(), st.integers(0, 65535), st.ip_addresses(), st.integers(0, 65535))
    def test_a_connection_reads_back(
        self, peer: routes.IPAddress, peer_port: int, local: routes.IPAddress, local_port: int
    ) -> None:
        found = parse(f"{peer} {peer_port} {local} {local_port}".encode())
        assert found is not None
        assert (found.peer_port, found.local_port) == (peer_port, local_port)
        assert (found.peer, found.local) == (routes.address_of(str(peer)), routes.address_of(str(local)))

    @given(st.binary(max_size=80))
    def test_any_variable(self, text: bytes) -> None:
        parse(text)

    def test_the_longest_prefix_wins_then_the_metric(self) -> None:
        def route(name: str, network: str, metric: int) -> routes.Route:
            return routes.Route(name, ipaddress.ip_network(network), metric)

        table = [route("a", "0.0.0.0/0", 1), route("b", "192.0.2.0/24", 9), route("c", "192.0.2.0/24", 5), route("d", "::/0", 1)]
        found = routes.route_to(table, ipaddress.ip_address("192.0.2.7"))
        assert found is not None
        assert found.interface == "c"
        assert routes.route_to(table[1:3], ipaddress.ip_address("198.51.100.1")) is None
