"""The network interfaces that would go, what is built on them, and what they carry.

What is built on an interface stands in its directory in sysfs: `upper_NAME` for each, `master` for the bridge, bond or the like
that it is a member of. A master stays when a member goes, all else vanishes with what it stands on (netdev_master_upper_dev_link
and netdev_upper_dev_link, net/core/dev.c).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from vfdeck.backend.facts import NETWORK
from vfdeck.backend.kernel import Address
from vfdeck.backend.model import Function
from vfdeck.backend.text import printable
from vfdeck.backend.usage.looking import Looker, belonging, reason
from vfdeck.backend.usage.routes import IPAddress, Route, address_of, ipv4_routes, ipv6_routes, route_to
from vfdeck.backend.usage.session import connection, is_open
from vfdeck.backend.usage.values import Fate, Interface, Session
from vfdeck.backend.wording import listing

NET = "/sys/class/net"
_WITHOUT_INTERFACES = frozenset({"pci-stub", "pci-pf-stub", "uio_pci_generic", "igb_uio"})
#: The kernel's names of kinds of interfaces (DEVTYPE in the uevent), where ours differ.
_KINDS = {"vlan": "VLAN", "vrf": "VRF", "vxlan": "VXLAN"}


@dataclass(slots=True)
class _Seen:
    """An interface as its directory in sysfs shows it; names are as they stand there."""

    name: str
    master: str
    above: list[str]
    below: list[str]
    hardware: bool  # a device of its own
    fate: Fate | None = None


@dataclass(slots=True)
class Network:
    """The interfaces of a host, as far as they are asked for."""

    looker: Looker
    _seen: dict[str, _Seen] = field(default_factory=dict)
    _below: dict[str, list[str]] = field(default_factory=dict)  # the concerned interfaces that each concerned one stands on
    _routes: list[Route] = field(default_factory=list)  # of the main table
    _defaults: list[Route] = field(default_factory=list)  # those that lead everywhere

    def interfaces(self, functions: Iterable[Function]) -> tuple[Interface, ...]:
        """The interfaces of these functions, then all that is built on them, with what they carry."""
        hanging, owners = self.looker.by_function(NET), dict[str, str]()
        hidden = []
        for function in functions:
            names = belonging(function.bdf, function.interfaces, hanging)
            owners |= dict.fromkeys(names, function.bdf)
            if not names and _has_interfaces(function):
                hidden.append(function.bdf)
        if hidden:
            what = f"which interface{'' if len(hidden) == 1 else 's'} {listing(hidden, 2)} {'has' if len(hidden) == 1 else 'have'}"
            self.looker.doubt(what, "none is seen here: a container may have it")
        if not owners:
            return ()
        concerned = self._concerned(owners)
        addresses = self._addresses(concerned)
        self._read_routes(concerned)
        self._elsewhere(owners)
        return tuple(self._interface(name, owners.get(name, ""), addresses) for name in concerned)

    def session(self, interfaces: Sequence[Interface]) -> Session | None:
        """The operator's connection, if it runs over one of these. What could not be found out is noted."""
        found, why = connection(self.looker)
        names = listing([interface.name for interface in interfaces if interface.bdf])
        question = f"whether your own connection runs over {names}"
        if found is None:
            if why:
                self.looker.doubt(question, why)
            return None
        try:
            holders = _with_address(self.looker.kernel.addresses(), found.local)
        except OSError:  # that is noted already, with the addresses
            holders = []
        if "lo" in holders and found.peer.is_loopback:
            return None
        usual = [name for name in holders if name == "lo" or self._leads_out(name, set())]
        routed = not usual or usual == ["lo"]  # an address on lo or a dummy says nothing of the way
        if routed:
            route = route_to(self._routes, found.peer)
            if route is None:
                self.looker.doubt(question, f"no interface has {found.local}, and no route leads to {found.peer}")
                return None
            usual = [route.interface]
        concerned = {interface.name for interface in interfaces}
        name = next((shown for name in usual if (shown := printable(name)) in concerned), None)
        if name is None:
            return None
        is_there = is_open(self.looker, found)
        if is_there is None:
            self.looker.doubt(f"whether your SSH connection from {found.peer} is still there", "the kernel's list cannot be read")
        return Session(str(found.peer), name, routed, is_there)

    # -- what is built on what ---------------------------------------------------------------------------------------
    def _look(self, name: str) -> _Seen:
        if name not in self._seen:
            names = self.looker.names(f"{NET}/{name}")
            master = ""
            if "master" in names:
                master = _target(self.looker, f"{NET}/{name}/master")
            above = [entry[6:] for entry in names if entry.startswith("upper_")]
            above += [master] if master and master not in above else []
            below = [entry[6:] for entry in names if entry.startswith("lower_")]
            self._seen[name] = _Seen(name, master, above, below, "device" in names)
        return self._seen[name]

    def _concerned(self, going: Iterable[str]) -> list[str]:
        """The interfaces that go and all above them, lowest first; each has its fate then."""
        found = dict.fromkeys(going)
        for name in found:
            self._look(name).fate = Fate.GONE
        todo = deque(found)
        while todo:
            name = todo.popleft()
            for above in dict.fromkeys(self._look(name).above):
                if above not in found:
                    found[above] = None
                    todo.append(above)
                if above != name:
                    self._below.setdefault(above, []).append(name)
        for name in found:
            self._decide(name, frozenset())
        return list(found)

    def _decide(self, name: str, asking: frozenset[str]) -> Fate:
        """What becomes of a concerned interface, by what becomes of those below it."""
        seen = self._look(name)
        if seen.fate is None:
            if name in asking:  # a loop, which no kernel makes
                return Fate.WEAKENED
            asked = {below: self._decide(below, asking | {name}) for below in self._below.get(name, ())}
            fates = set(asked.values())
            if any(self._look(below).master != name for below in asked):
                seen.fate = next(fate for fate in Fate if fate in fates)
            else:
                seen.fate = Fate.WEAKENED if Fate.WEAKENED in fates or self._spare(name) else Fate.CUT_OFF
        return seen.fate

    def _spare(self, name: str) -> list[str]:
        """The ways out that a master keeps: other members that lead to hardware."""
        members = [below for below in self._look(name).below if self._look(below).fate is None]
        return [member for member in members if self._leads_out(member, set())]

    def _leads_out(self, name: str, asked: set[str]) -> bool:
        """Whether an interface is hardware, or stands on some."""
        if name in asked:
            return False
        asked.add(name)
        seen = self._look(name)
        return seen.hardware or any(self._leads_out(below, asked) for below in seen.below)

    # -- what they carry ---------------------------------------------------------------------------------------------
    def _addresses(self, concerned: list[str]) -> dict[str, list[str]]:
        """Addresses by interface."""
        found: dict[str, list[str]] = {}
        try:
            for entry in self.looker.kernel.addresses():
                if not _for_the_link_only(entry):
                    found.setdefault(printable(entry.interface), []).append(f"{entry.address}/{entry.prefix}")
        except OSError as error:
            self.looker.doubt(f"the addresses of {_names(concerned)}", error.strerror or reason(error))
        return found

    def _read_routes(self, concerned: list[str]) -> None:
        lines = self.looker.lines(f"{self.looker.proc}/net/route", f"whether the default route runs over {_names(concerned)}")
        wide = self.looker.lines(f"{self.looker.proc}/net/ipv6_route", None)  # without IPv6 there is none
        self._routes = [*ipv4_routes(lines or ()), *ipv6_routes(wide or ())]
        self._defaults = [route for route in self._routes if route.default]

    def _elsewhere(self, going: Iterable[str]) -> None:
        """Note the interfaces that this program's network namespace does not have: of them nothing else can be told."""
        lines = self.looker.lines(f"{self.looker.proc}/net/dev", None)
        if lines is None:
            return
        here = {printable(line.rpartition(b":")[0].strip()) for line in lines}
        for name in going:
            if printable(name) not in here:
                self.looker.doubt(f"what {printable(name)} carries", "it is in another network namespace than vfdeck")

    def _interface(self, name: str, bdf: str, addresses: dict[str, list[str]]) -> Interface:
        seen, shown = self._look(name), printable(name)
        defaults = self._defaults
        own = tuple(dict.fromkeys(route.family for route in defaults if route.interface == shown))
        return Interface(
            name=shown,
            fate=seen.fate or Fate.GONE,
            bdf=bdf,
            kind="" if bdf else self._kind(name),
            below=tuple(printable(below) for below in self._below.get(name, ())),
            spare=tuple(printable(spare) for spare in self._spare(name)) if seen.fate is Fate.WEAKENED else (),
            addresses=tuple(addresses.get(shown, ())),
            default_route=own,
            other_default=all(any(r.family == family and r.interface != shown for r in defaults) for family in own) and bool(own),
        )

    def _kind(self, name: str) -> str:
        lines = self.looker.text(f"{NET}/{name}/uevent").split("\n")
        kind = next((line[8:] for line in lines if line.startswith("DEVTYPE=")), "")
        return _KINDS.get(kind, printable(kind, 20))


def _has_interfaces(function: Function) -> bool:
    """Whether a function is a network function on a driver that makes interfaces of it."""
    return (
        function.class_code >> 16 == NETWORK
        and function.driver is not None
        and not (function.on_vfio or function.driver in _WITHOUT_INTERFACES)
    )


def _target(looker: Looker, path: str) -> str:
    """The last part of what a link points to, "" where it can't be read."""
    try:
        return looker.kernel.link(path).rpartition("/")[2]
    except OSError:
        return ""


def _with_address(addresses: Iterable[Address], wanted: IPAddress) -> list[str]:
    return [entry.interface for entry in addresses if address_of(entry.address) == wanted]


def _for_the_link_only(entry: Address) -> bool:
    """Whether IPv6 made this address for itself (fe80::/10); every interface that is up has one."""
    address = address_of(entry.address)
    return address is None or (address.version == 6 and address.is_link_local)


def _names(interfaces: Sequence[str]) -> str:
    return listing([printable(name) for name in interfaces])
