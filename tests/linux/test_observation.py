"""The kernel log and uevents."""

from __future__ import annotations

import builtins
import errno
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vfdeck.backend.kernel import LOST, LogLine, Uevent
from vfdeck.backend.linux import klog, uevents
from vfdeck.backend.linux.kernel import LinuxKernel
from vfdeck.backend.linux.uevents import NetlinkSource, PollingSource, open_source, to_uevent
from vfdeck.backend.workload import redacted

RECORDS = (
    b"6,100,2500000,-;vfio-pci 0000:01:10.0: VF token required to access device\n SUBSYSTEM=pci\n DEVICE=+pci:0000:01:10.0\n"
    b"14,101,2600000,-;a program's words\n"
    b"4,102,3000001,c,caller=T1;w\xc3\xa4rn \x1b[31m\xff\n"
    b"rubbish\nx,y,z;t\n5;short\n\n"
)


def test_log_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/kmsg").write_bytes(RECORDS)
    assert LinuxKernel(str(tmp_path)).log() == [
        LogLine(2.5, "vfio-pci 0000:01:10.0: VF token required to access device"),
        LogLine(3.000001, "wärn ␛[31m\\xff"),
    ]


def test_log_goes_on_and_keeps_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that gives one record a read, tells once that it was overtaken, and says EAGAIN at the end."""
    answers: deque[bytes | int] = deque([b"6,1,1000000,-;one\n", errno.EPIPE, b"6,9,9000000,-;nine\n", errno.EAGAIN])

    def read(_fd: int, _length: int) -> bytes:
        answer = answers.popleft()
        if isinstance(answer, int):
            raise OSError(answer, os.strerror(answer))
        return answer

    log = klog.KernelLog(lambda: os.open("/dev/null", os.O_RDONLY), kept=2)
    monkeypatch.setattr("os.read", read)
    assert log.lines() == [LogLine(1.0, "one"), LogLine(9.0, "nine")]
    answers.extend([b"6,10,10000000,-;ten\n", errno.EAGAIN])
    assert log.lines() == [LogLine(9.0, "nine"), LogLine(10.0, "ten")]
    answers.append(errno.EPERM)
    assert log.lines() is None


TOKEN = "3f8a1c52-9b7e-4d06-a1c3-5e2f7b9d8c41"


@pytest.mark.parametrize(
    "form",
    [
        f'a5="-a" a6="0000:3b:02.1" a7="--vfio-vf-token" a8="{TOKEN}" a9="--"',
        f'a1="-device" a2="vfio-pci,host=0000:3b:02.1,vf-token={TOKEN}"',
        f"0000:3b:02.1 a4=--token a5={TOKEN}",
        f"vf_token: '{TOKEN}' 0000:3b:02.1",
        f"host=0000:3b:02.1 vf-token {TOKEN.replace('-', '').upper()}",
    ],
)
def test_no_part_of_a_token_is_left_where_a_line_is_cut(form: str) -> None:
    secret = TOKEN.replace("-", "")
    for length in range(260):
        record = f"5,1,1000000,-;audit: type=1309 argc=12 a0={'x' * length} {form}\n".encode()
        text = redacted(klog._parse(record, 0.0)[0].text).lower().replace("-", "")
        assert not [part for start in range(len(secret) - 7) if (part := secret[start : start + 8]) in text], length


def test_log_that_may_not_be_read(tmp_path: Path) -> None:
    def refuse() -> int:
        raise PermissionError(errno.EPERM, "no")

    assert klog.KernelLog(refuse).lines() is None
    assert LinuxKernel(str(tmp_path)).log() is None


# -- uevents ---------------------------------------------------------------------------------------------------------
class Device:
    def __init__(self, **properties: str) -> None:
        self.properties = properties


class Monitor:
    """A pyudev.Monitor over a pipe: one byte is one event, `!` is a full buffer."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.reader, False)

    def fileno(self) -> int:
        return self.reader

    def poll(self, timeout: float) -> Device | None:
        assert timeout == 0
        try:
            byte = os.read(self.reader, 1)
        except BlockingIOError:
            return None
        if byte == b"!":
            raise OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS))
        return Device(ACTION="add", SUBSYSTEM="pci", DEVPATH=f"/devices/pci0000:00/0000:01:10.{byte.decode()}")


def test_events_come_at_once_and_together() -> None:
    monitor = Monitor()
    source = NetlinkSource(monitor)
    assert source.live
    assert source.wait(0) == []
    os.write(monitor.writer, b"024")
    begun = time.monotonic()
    assert [event.bdf for event in source.wait(30)] == ["0000:01:10.0", "0000:01:10.2", "0000:01:10.4"]
    assert time.monotonic() - begun < 10
    begun = time.monotonic()
    assert source.wait(0.1) == []
    assert time.monotonic() - begun >= 0.09


def test_lost_events_are_told() -> None:
    monitor = Monitor()
    os.write(monitor.writer, b"0!")
    assert [event.action for event in NetlinkSource(monitor).wait(5)] == ["add", LOST]


@pytest.mark.parametrize("make", [PollingSource, lambda: NetlinkSource(Monitor())])
def test_close_wakes_who_waits(make: Callable[[], PollingSource | NetlinkSource]) -> None:
    source = make()
    timer = threading.Timer(0.1, source.close)
    timer.start()
    begun = time.monotonic()
    assert source.wait(60) == []
    assert time.monotonic() - begun < 20
    timer.join()
    assert source.wait(60) == []
    source.close()


def test_polling_only_waits() -> None:
    source = PollingSource()
    assert not source.live
    begun = time.monotonic()
    assert source.wait(0.05) == []
    assert time.monotonic() - begun >= 0.04
    assert source.wait(-1) == []


def test_a_tree_is_polled(tmp_path: Path) -> None:
    assert not LinuxKernel(str(tmp_path)).uevents().live


def test_without_pyudev(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def no_pyudev(name: str, *rest: Any, **more: Any) -> Any:
        if name == "pyudev":
            raise ImportError("No library named udev")
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", no_pyudev)
    monkeypatch.setattr(uevents, "RawMonitor", Monitor)
    source = open_source()
    assert source.live
    source.close()


@pytest.mark.parametrize("error", [OSError(errno.EPERM, "no"), ValueError("Invalid argument"), MemoryError()])
def test_no_netlink(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def refuse() -> None:
        raise error

    monkeypatch.setattr(uevents, "_monitor", refuse)
    monkeypatch.setattr(uevents, "RawMonitor", refuse)
    assert not open_source().live


def test_a_uevent_as_the_kernel_sends_it() -> None:
    path = "/devices/pci0000:00/0000:00:02.0/0000:03:00.1"
    keys = ["ACTION=bind", f"DEVPATH={path}", "SUBSYSTEM=pci", "DRIVER=vfio-pci", "=", "odd", ""]
    data = "\0".join([f"bind@{path}", *keys]).encode() + b"\xff=\0"
    event = to_uevent(uevents.Message(data).properties)
    assert (event.action, event.subsystem, event.bdf, event.driver) == ("bind", "pci", "0000:03:00.1", "vfio-pci")


class Socket:
    """Gives what it was told to, then nothing more."""

    def __init__(self, *messages: tuple[bytes, int]) -> None:
        self.messages = list(messages)

    def recvfrom(self, size: int) -> tuple[bytes, tuple[int, int]]:
        if not self.messages:
            raise BlockingIOError(errno.EAGAIN, "nothing there")
        data, sender = self.messages.pop(0)
        return data, (sender, 1)


def test_the_raw_monitor_takes_only_the_kernels_word_on_its_subsystems() -> None:
    monitor = uevents.RawMonitor.__new__(uevents.RawMonitor)
    pci, usb = b"add@/a\0ACTION=add\0SUBSYSTEM=pci\0", b"add@/b\0ACTION=add\0SUBSYSTEM=usb\0"
    monitor._socket = Socket((pci, 4242), (usb, 0), (pci, 0))  # type: ignore[assignment]
    found = monitor.poll(0)
    assert found is not None
    assert found.properties["SUBSYSTEM"] == "pci"
    assert monitor.poll(0) is None


def test_the_raw_monitor_listens() -> None:
    try:
        monitor = uevents.RawMonitor()
    except OSError as error:
        pytest.skip(f"no netlink here: {error}")
    source = NetlinkSource(monitor)
    assert isinstance(source.wait(0), list)
    source.close()


def test_keys() -> None:
    vf = "/devices/pci0000:00/0000:00:0a.0/0000:01:10.0"
    keys = {"ACTION": "bind", "SUBSYSTEM": "pci", "DEVPATH": vf, "PCI_SLOT_NAME": "0000:01:10.0", "DRIVER": "vfio-pci"}
    assert to_uevent(keys) == Uevent("bind", "pci", vf, "0000:01:10.0", "vfio-pci")
    assert to_uevent({"DEVPATH": f"{vf}/vfio-dev/vfio1"}).bdf == "0000:01:10.0"
    assert to_uevent({"DEVPATH": "/devices/virtual/vfio/19"}).bdf == ""
    assert to_uevent({"DEVPATH": "\x1b]0;x\x07"}) == Uevent("", "", "␛]0;x␇", "", "")
