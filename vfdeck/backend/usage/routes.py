"""The kernel's tables of routes and connections as text: /proc/net/route, ipv6_route, tcp, tcp6. Only parsing, no reading.

Both route tables show the main table only; of an IPv4 route with several next hops just the first (fib_route_seq_show,
net/ipv4/fib_trie.c; ipv6_route_native_seq_show, net/ipv6/ip6_fib.c). Lines that make no sense are left out.
"""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Union

from vfdeck.backend.text import printable

IPAddress = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]
IPNetwork = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]

_RTF_UP, _RTF_REJECT = 0x0001, 0x0200  # include/uapi/linux/route.h
_ESTABLISHED = b"01"  # TCP_ESTABLISHED, include/net/tcp_states.h


@dataclass(frozen=True, slots=True)
class Route:
    """A route of the main table."""

    interface: str
    network: IPNetwork
    metric: int

    @property
    def default(self) -> bool:
        """Whether it leads everywhere."""
        return self.network.prefixlen == 0

    @property
    def family(self) -> str:
        """`IPv4` or `IPv6`."""
        return f"IPv{self.network.version}"


def ipv4_routes(lines: Iterable[bytes]) -> list[Route]:
    """The routes of /proc/net/route. Addresses stand there as the machine's numbers, of the bytes that go over the wire."""
    found = []
    for line in lines:
        fields = line.split()
        try:
            name, destination, flags, metric, mask = fields[0], fields[1], int(fields[3], 16), int(fields[6]), fields[7]
            network = ipaddress.IPv4Network((_ipv4(destination), str(_ipv4(mask))), strict=False)
        except (IndexError, ValueError):  # the heading, too
            continue
        if flags & _RTF_UP and not flags & _RTF_REJECT and name != b"*":
            found.append(Route(printable(name), network, metric))
    return found


def ipv6_routes(lines: Iterable[bytes]) -> list[Route]:
    """The routes of /proc/net/ipv6_route."""
    found = []
    for line in lines:
        fields = line.split()
        try:
            address = ipaddress.IPv6Address(bytes.fromhex(fields[0].decode("ascii")))
            network = ipaddress.IPv6Network((address, int(fields[1], 16)), strict=False)
            metric, flags, name = int(fields[5], 16), int(fields[8], 16), fields[9]
        except (IndexError, ValueError):
            continue
        if flags & _RTF_UP and not flags & _RTF_REJECT and name != b"lo":
            found.append(Route(printable(name), network, metric))
    return found


def route_to(routes: Iterable[Route], peer: IPAddress) -> Route | None:
    """The route that a packet to `peer` takes: the longest prefix, then the lowest metric. Policy rules are not looked at."""
    fitting = [route for route in routes if route.network.version == peer.version and peer in route.network]
    return min(fitting, key=lambda route: (-route.network.prefixlen, route.metric), default=None)


def address_of(text: str) -> IPAddress | None:
    """An address as programs write it: without zone, and IPv4 where it is only wrapped in IPv6; None for what is none."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def is_established(lines: Iterable[bytes], local: tuple[IPAddress, int], peer: tuple[IPAddress, int]) -> bool:
    """Whether one of these lines of /proc/net/tcp or tcp6 is the established connection between `local` and `peer`."""
    wanted = {_endpoint(*local, wide) + b" " + _endpoint(*peer, wide) + b" " + _ESTABLISHED for wide in (False, True)}
    return any(b" ".join(line.split()[1:4]).upper() in wanted for line in lines)


def _endpoint(address: IPAddress, port: int, wide: bool) -> bytes:
    """An address and port as the kernel prints them: words of four bytes as the machine's numbers; `wide`: as in tcp6."""
    packed = address.packed
    if wide and len(packed) == 4:
        packed = b"\0" * 10 + b"\xff\xff" + packed
    words = (int.from_bytes(packed[at : at + 4], sys.byteorder) for at in range(0, len(packed), 4))
    return ("".join(f"{word:08X}" for word in words) + f":{port:04X}").encode()


def _ipv4(digits: bytes) -> ipaddress.IPv4Address:
    """An address of /proc/net/route. Raises ValueError."""
    number = int(digits, 16)
    if not 0 <= number <= 0xFFFFFFFF:
        raise ValueError(digits)
    return ipaddress.IPv4Address(number.to_bytes(4, sys.byteorder))
