"""The IP addresses of this network namespace, asked of the kernel itself (rtnetlink, RTM_GETADDR).

No file of /proc says which interface has which IPv4 address. Up to 6.8 the kernel answers under the lock of all network
configuration (rtnl), which whoever changes an interface may hold for long. So a thread asks, and is given up when it does not come
back in time. psutil would ask for the links as well, which takes that lock on every kernel, and its older releases stop all
threads meanwhile.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

from vfdeck.backend.kernel import Address

#: Seconds that the answer may take.
PATIENCE = 0.5
# Seconds after which nothing more is to be expected: the kernel puts its answers into the socket before the question returns.
_LONGEST = 5.0

# include/uapi/linux/netlink.h, rtnetlink.h, if_addr.h
_NETLINK_ROUTE = 0
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_RTM_NEWADDR, _RTM_GETADDR = 20, 22
_NLM_F_REQUEST, _NLM_F_DUMP = 0x1, 0x300
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_MESSAGE = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, port
_IFADDR = struct.Struct("=BBBBi")  # struct ifaddrmsg: family, prefix length, flags, scope, interface index
_ATTRIBUTE = struct.Struct("=HH")  # struct rtattr: length, type
_MAX_ERRNO = 4095  # include/linux/err.h
_NUMBER = struct.Struct("=i")
_LENGTHS = {socket.AF_INET: 4, socket.AF_INET6: 16}
# The kernel fills at most this much for one recv.
_BUFFER = 1 << 16


@dataclass(slots=True)
class _Question:
    """One asking, and what came of it."""

    found: list[Address] = field(default_factory=list)
    error: OSError | None = field(default_factory=lambda: OSError(errno.EIO, "not read: an error of vfdeck's own"))
    answered: threading.Event = field(default_factory=threading.Event)

    def ask(self) -> None:
        try:
            self.found = _ask()
            self.error = None
        except OSError as error:
            self.error = error
        finally:  # whoever asked shall not wait for a thread that failed
            self.answered.set()


_stuck: list[_Question] = []
_lock = threading.Lock()


def addresses(patience: float = PATIENCE) -> list[Address]:
    """All addresses of this network namespace.

    Raises:
        TimeoutError: (ETIMEDOUT) somebody holds the lock of the network configuration.
        OSError: the kernel's refusal, or that it sent something that is no answer (EBADMSG).
    """
    question = _Question()
    with _lock:
        _stuck[:] = [earlier for earlier in _stuck if not earlier.answered.is_set()]
        if _stuck:  # one that waits is enough
            raise _timed_out()
        threading.Thread(target=question.ask, name="addresses", daemon=True).start()
        if not question.answered.wait(patience):
            _stuck.append(question)
            raise _timed_out()
    if question.error is not None:
        raise question.error
    return question.found


def _timed_out() -> TimeoutError:
    return TimeoutError(errno.ETIMEDOUT, "not read: somebody holds the kernel's lock of the network configuration")


def _ask() -> list[Address]:
    """Ask and read until the kernel says that this was all. Raises OSError."""
    found: list[Address] = []
    names: dict[int, str] = {}
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_ROUTE) as asking:
        asking.settimeout(_LONGEST)
        body = _IFADDR.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
        asking.sendto(_MESSAGE.pack(_MESSAGE.size + len(body), _RTM_GETADDR, _NLM_F_REQUEST | _NLM_F_DUMP, 1, 0) + body, (0, 0))
        done = False
        while not done:
            entries, done = parse(asking.recv(_BUFFER))
            for index, address, prefix in entries:
                name = names.get(index) or names.setdefault(index, _name(index))
                if name:
                    found.append(Address(name, address, prefix))
    return found


def _name(index: int) -> str:
    """The name of the interface with this index, "" where it has gone (SIOCGIFNAME, which takes no lock)."""
    try:
        return socket.if_indextoname(index)
    except (OSError, OverflowError, ValueError):
        return ""


def parse(data: bytes) -> tuple[list[tuple[int, str, int]], bool]:
    """What one message of the kernel holds: interface index, address and prefix length each, and whether it was the last.

    Raises:
        OSError: the kernel's refusal; EBADMSG for what is no such message.
    """
    found: list[tuple[int, str, int]] = []
    for kind, body in _messages(data):
        if kind == _NLMSG_DONE:
            number = _errno(body)  # how the dump ended (netlink_dump_done, net/netlink/af_netlink.c)
            if number:
                raise OSError(number, os.strerror(number))
            return found, True
        if kind == _NLMSG_ERROR:
            number = _errno(body) or errno.EBADMSG
            raise OSError(number, os.strerror(number))
        if kind == _RTM_NEWADDR and len(body) >= _IFADDR.size:
            family, prefix, _, _, index = _IFADDR.unpack_from(body)
            attributes = dict(_attributes(body[_IFADDR.size :]))
            # of a point-to-point link IFA_ADDRESS is the other end, and IFA_LOCAL is ours
            raw = attributes.get(_IFA_LOCAL) or attributes.get(_IFA_ADDRESS, b"")
            if _LENGTHS.get(family) == len(raw):
                found.append((index, str(ipaddress.ip_address(raw)), prefix))
    return found, False


def _errno(body: bytes) -> int:
    """The errno that a message begins with, negative there; 0 where all is well or none is there."""
    number = -_NUMBER.unpack_from(body)[0] if len(body) >= _NUMBER.size else 0
    return number if 0 <= number <= _MAX_ERRNO else errno.EBADMSG


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    if not data:
        raise OSError(errno.EBADMSG, os.strerror(errno.EBADMSG))
    at = 0
    while at < len(data):
        if len(data) - at < _MESSAGE.size:
            raise OSError(errno.EBADMSG, os.strerror(errno.EBADMSG))
        length, kind, _, _, _ = _MESSAGE.unpack_from(data, at)
        if length < _MESSAGE.size or at + length > len(data):
            raise OSError(errno.EBADMSG, os.strerror(errno.EBADMSG))
        yield kind, data[at + _MESSAGE.size : at + length]
        at += (length + 3) & ~3


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while len(data) - at >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < _ATTRIBUTE.size or at + length > len(data):
            return
        yield kind & 0x3FFF, data[at + _ATTRIBUTE.size : at + length]
        at += (length + 3) & ~3
