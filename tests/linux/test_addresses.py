"""Addresses from the kernel itself."""

from __future__ import annotations

import contextlib
import errno
import json
import shutil
import socket
import struct
import subprocess
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfdeck.backend.kernel import Address
from vfdeck.backend.linux import addresses as module
from vfdeck.backend.linux.addresses import addresses, parse
from vfdeck.backend.linux.kernel import LinuxKernel

DONE = struct.pack("=IHHII", 16, 3, 2, 1, 0)


def message(family: int, prefix: int, index: int, **attributes: bytes) -> bytes:
    """A message RTM_NEWADDR with attributes `a1`, `a2`, ... by number."""
    body = struct.pack("=BBBBi", family, prefix, 0, 0, index)
    for name, value in attributes.items():
        body += struct.pack("=HH", 4 + len(value), int(name[1:])) + value + b"\0" * (-len(value) % 4)
    return struct.pack("=IHHII", 16 + len(body), 20, 2, 1, 0) + body


def test_this_machine_s_own() -> None:
    found = addresses()
    assert Address("lo", "127.0.0.1", 8) in found
    assert LinuxKernel().addresses() == found


@pytest.mark.skipif(shutil.which("ip") is None, reason="there is no iproute2 to compare with")
def test_the_same_as_iproute2_says() -> None:
    told = json.loads(subprocess.run(["ip", "-j", "addr"], capture_output=True, check=True).stdout)
    expected = {Address(i["ifname"], a["local"], a["prefixlen"]) for i in told for a in i.get("addr_info", ()) if "local" in a}
    assert set(addresses()) == expected


def test_a_tree_tells_none() -> None:
    with pytest.raises(OSError, match="tell no addresses") as refused:
        LinuxKernel("/nowhere").addresses()
    assert refused.value.errno == errno.EOPNOTSUPP


def test_a_lock_that_is_held_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    free = threading.Event()

    def wait() -> list[Address]:
        free.wait(10)
        return []

    monkeypatch.setattr(module, "_ask", wait)
    for _ in range(2):  # the second time nobody is sent to wait beside the first
        before = threading.active_count()
        with pytest.raises(TimeoutError, match="network configuration"):
            addresses(patience=0.01)
    assert threading.active_count() == before
    (waiting,) = module._stuck
    free.set()
    assert waiting.answered.wait(10)
    assert addresses() == []
    assert module._stuck == []


def test_the_kernel_s_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> list[Address]:
        raise PermissionError(errno.EPERM, "no")

    monkeypatch.setattr(module, "_ask", refuse)
    with pytest.raises(PermissionError):
        addresses()


def test_an_error_of_our_own_is_no_empty_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> list[Address]:
        raise ZeroDivisionError

    monkeypatch.setattr(module, "_ask", fail)
    failed: list[object] = []
    monkeypatch.setattr(threading, "excepthook", failed.append)
    with pytest.raises(OSError, match="vfdeck's own") as refused:
        addresses(patience=10)
    assert refused.value.errno == errno.EIO
    assert module._stuck == []


class TestParse:
    def test_addresses_of_both_kinds(self) -> None:
        v4 = message(socket.AF_INET, 24, 2, a1=b"\xc0\0\2\1", a2=b"\xc0\0\2\1", a3=b"eth0\0")
        v6 = message(socket.AF_INET6, 64, 3, a1=bytes.fromhex("20010db8000000000000000000000007"))
        assert parse(v4 + v6) == ([(2, "192.0.2.1", 24), (3, "2001:db8::7", 64)], False)
        assert parse(v4 + DONE) == ([(2, "192.0.2.1", 24)], True)

    def test_our_end_of_a_point_to_point_link(self) -> None:
        assert parse(message(socket.AF_INET, 32, 5, a1=b"\x0a\0\0\2", a2=b"\x0a\0\0\1"))[0] == [(5, "10.0.0.1", 32)]

    def test_what_is_no_ip_address_is_left_out(self) -> None:
        assert parse(message(socket.AF_INET, 24, 2, a1=b"\1\2")) == ([], False)
        assert parse(message(99, 24, 2, a1=b"\1\2\3\4")) == ([], False)

    def test_a_refusal_with_a_number_that_is_none(self) -> None:
        with pytest.raises(OSError) as refused:  # noqa: PT011  (the errno is what counts)
            parse(struct.pack("=IHHIIi", 20, 2, 0, 1, 0, -(1 << 31)))
        assert refused.value.errno == errno.EBADMSG

    def test_a_refusal(self) -> None:
        with pytest.raises(OSError, match="Operation not permitted") as refused:
            parse(struct.pack("=IHHIIi", 20, 2, 0, 1, 0, -errno.EPERM))
        assert refused.value.errno == errno.EPERM

    @pytest.mark.parametrize(("told", "number"), [(-errno.EINTR, errno.EINTR), (-(1 << 31), errno.EBADMSG)])
    def test_a_dump_that_ends_in_an_error(self, told: int, number: int) -> None:
        """What came before is not all there is."""
        some = message(socket.AF_INET, 24, 2, a1=b"\xc0\0\2\1")
        with pytest.raises(OSError) as refused:  # noqa: PT011  (the errno is what counts)
            parse(some + struct.pack("=IHHIIi", 20, 3, 2, 1, 0, told))
        assert refused.value.errno == number

    @pytest.mark.parametrize("body", [b"", struct.pack("=i", 0), b"\0\0"])
    def test_a_dump_that_ends_well(self, body: bytes) -> None:
        assert parse(struct.pack("=IHHII", 16 + len(body), 3, 2, 1, 0) + body) == ([], True)

    @pytest.mark.parametrize(
        "data", [b"", b"\1", DONE[:12], struct.pack("=IHHII", 8, 20, 0, 1, 0), struct.pack("=IHHII", 99, 20, 0, 1, 0)]
    )
    def test_what_is_no_message(self, data: bytes) -> None:
        with pytest.raises(OSError) as refused:  # noqa: PT011  (the errno is what counts)
            parse(data)
        assert refused.value.errno == errno.EBADMSG

    @given(st.binary(max_size=200))
    def test_anything(self, data: bytes) -> None:
        with contextlib.suppress(OSError):
            parse(data)

    @given(st.binary(max_size=60))
    def test_any_attributes(self, data: bytes) -> None:
        body = struct.pack("=BBBBi", socket.AF_INET, 24, 0, 0, 2) + data
        found, _ = parse(struct.pack("=IHHII", 16 + len(body), 20, 2, 1, 0) + body)
        assert len(found) <= 1
