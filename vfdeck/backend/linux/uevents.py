"""Live changes: the kernel's uevents. The only module that imports pyudev, and only when somebody wants to listen.

Events come from the kernel itself (netlink group 1), not from udev: they arrive without a udevd, and before its rules have run.
A change of a token, an open and a close cause no uevent.
"""

from __future__ import annotations

import os
import select
import socket
import threading
import time
import weakref
from contextlib import suppress
from typing import Any

from vfdeck.backend.bdf import BDF
from vfdeck.backend.kernel import LOST, Uevent, UeventSource
from vfdeck.backend.text import printable

SUBSYSTEMS = ("pci", "vfio", "vfio-dev")

# Enabling thousands of VFs makes a burst of tens of thousands of events; bytes.
_BUFFER = 64 << 20
# Events handed out at once at most, so that a burst does not starve the caller.
_BATCH = 1000
# linux/netlink.h NETLINK_KOBJECT_UEVENT and the group that the kernel itself sends to; asm-generic/socket.h SO_RCVBUFFORCE.
_UEVENTS, _FROM_KERNEL, _RCVBUFFORCE = 15, 1, 33
# More than a uevent can have (UEVENT_BUFFER_SIZE and its head); bytes.
_MESSAGE = 1 << 14


def open_source(root: str = "/") -> UeventSource:
    """A source of uevents of this machine's PCI and vfio devices. Where that can't be had, one that says so (`live` False)."""
    if root != "/":
        return PollingSource()
    for listen in (_monitor, RawMonitor):  # the second where pyudev, or its library, is not there
        with suppress(ImportError, OSError, ValueError, MemoryError, AttributeError):
            # pyudev raises ImportError or OSError without libudev, and ValueError for EINVAL
            return NetlinkSource(listen())
    return PollingSource()


def _monitor() -> Any:
    """A started pyudev monitor of the kernel's events."""
    import pyudev

    monitor = pyudev.Monitor.from_netlink(pyudev.Context(), source="kernel")
    for subsystem in SUBSYSTEMS:
        monitor.filter_by(subsystem)
    with suppress(OSError, ValueError):  # needs CAP_NET_ADMIN; without it a burst may be lost, which is told
        monitor.set_receive_buffer_size(_BUFFER)
    monitor.start()
    return monitor


class PollingSource:
    """No events, only the passing of time: the caller looks for itself."""

    live = False

    def __init__(self) -> None:
        self._closed = threading.Event()

    def wait(self, seconds: float) -> list[Uevent]:
        """Wait `seconds`, or until closed; nothing is ever reported."""
        self._closed.wait(min(max(seconds, 0.0), threading.TIMEOUT_MAX))
        return []

    def close(self) -> None:
        """Wake who waits."""
        self._closed.set()


class NetlinkSource:
    """Uevents from a monitor with `fileno()` and `poll(timeout)` (pyudev.Monitor). One thread reads at a time."""

    live = True

    def __init__(self, monitor: Any) -> None:
        self._monitor = monitor
        self._lock = threading.Lock()
        self._closed = False
        self._wake, self._waker = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        weakref.finalize(self, _close, self._wake, self._waker)

    def wait(self, seconds: float) -> list[Uevent]:
        """Uevents that came within `seconds`; returns with the first ones, and at once after `close`."""
        deadline = time.monotonic() + max(seconds, 0.0)
        if not self._lock.acquire(timeout=min(max(seconds, 0.0), threading.TIMEOUT_MAX)):
            return []
        try:
            while not self._closed:
                left = max(deadline - time.monotonic(), 0.0)
                ready = self._poll(left)
                events = self._drain() if ready and not self._closed else []
                if events or left <= 0:
                    return events
            return []
        finally:
            self._lock.release()

    def close(self) -> None:
        """Wake who waits and stop listening."""
        self._closed = True
        with suppress(BlockingIOError):  # it is full: whoever waits is awake
            os.write(self._waker, b"!")
        with self._lock:
            self._monitor = None

    def _poll(self, seconds: float) -> bool:
        """Whether something is to be read, or the source was closed, within `seconds`."""
        poll = select.poll()
        poll.register(self._monitor.fileno(), select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        return bool(poll.poll(min(seconds, 1e6) * 1000))

    def _drain(self) -> list[Uevent]:
        """What is there now, without waiting."""
        events: list[Uevent] = []
        try:
            while len(events) < _BATCH and (device := self._monitor.poll(0)) is not None:
                events.append(to_uevent(device.properties))
        except (OSError, ValueError, MemoryError, OverflowError):
            # ENOBUFS: the socket's buffer was full and events were dropped
            events.append(Uevent(LOST, "", "", "", "", time.time()))
        return events


def _close(*fds: int) -> None:
    for fd in fds:
        os.close(fd)


class Message:
    """A uevent as the kernel sends it (lib/kobject_uevent.c): `ACTION@DEVPATH`, then its keys as `KEY=VALUE`, each ended by NUL."""

    def __init__(self, data: bytes) -> None:
        pairs = (part.decode("utf-8", "surrogateescape").partition("=") for part in data.split(b"\0")[1:])
        self.properties = {key: value for key, sign, value in pairs if sign}


class RawMonitor:
    """The part of pyudev's Monitor that is needed here, by the standard library alone. Raises OSError."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, _UEVENTS)
        with suppress(OSError):  # needs CAP_NET_ADMIN; without it a burst may be lost, which is told
            self._socket.setsockopt(socket.SOL_SOCKET, _RCVBUFFORCE, _BUFFER)
        self._socket.bind((0, _FROM_KERNEL))

    def fileno(self) -> int:
        """The socket, to wait for."""
        return self._socket.fileno()

    def poll(self, timeout: float) -> Message | None:
        """The next event of our subsystems that is there already; `timeout` is 0. Raises OSError (ENOBUFS: some were lost)."""
        while True:
            try:
                data, (sender, _) = self._socket.recvfrom(_MESSAGE)
            except BlockingIOError:
                return None
            message = Message(data)
            if sender == 0 and message.properties.get("SUBSYSTEM") in SUBSYSTEMS:  # 0: the kernel, no other program
                return message


def to_uevent(properties: Any) -> Uevent:
    """A uevent from its keys (a mapping of str to str)."""
    devpath = printable(properties.get("DEVPATH") or "", 4096)
    found = BDF.findall(properties.get("PCI_SLOT_NAME") or devpath)
    return Uevent(
        action=printable(properties.get("ACTION") or ""),
        subsystem=printable(properties.get("SUBSYSTEM") or ""),
        devpath=devpath,
        bdf=found[-1] if found else "",
        driver=printable(properties.get("DRIVER") or ""),
        time=time.time(),
    )
