"""The files that bind functions to drivers: bind, unbind, drivers_probe, driver_override, new_id, remove_id.

Order and errnos: drivers/base/bus.c and drivers/pci/pci-driver.c.
"""

from __future__ import annotations

import errno
import os

from vfdeck.backend.sim import lifecycle
from vfdeck.backend.sim.drivers import Driver
from vfdeck.backend.sim.hardware import Function
from vfdeck.backend.sim.machine import Machine, Task, refuse


def bind(machine: Machine, driver: Driver, name: str) -> Task:
    """drivers/X/bind."""
    function = machine.function_named(name)
    if not lifecycle.matches(machine, driver, function):
        raise refuse(errno.ENODEV)
    yield from machine.lock(function)
    try:
        new = machine.profile.has("bind_errno")
        if function.driver is not None:
            raise refuse(errno.EBUSY if new else errno.ENODEV)
        try:
            lifecycle.probe(machine, driver, function)
        except OSError as error:
            raise error if new else refuse(errno.ENODEV) from None
    finally:
        function.locked = False


def unbind(machine: Machine, driver: Driver, name: str) -> Task:
    """drivers/X/unbind: waits for users, and a PF's VFs go first."""
    function = machine.function_named(name)
    if function.driver != driver.name:
        raise refuse(errno.ENODEV)
    yield from machine.lock(function)
    try:
        if function.driver == driver.name:
            yield from lifecycle.detach(machine, function)
    finally:
        function.locked = False


def drivers_probe(machine: Machine, name: str) -> Task:
    """drivers_probe: success even if no driver takes the function."""
    function = machine.function_named(name)
    yield from machine.lock(function)
    try:
        lifecycle.attach(machine, function)
    finally:
        function.locked = False


def set_override(function: Function, data: bytes) -> None:
    """driver_override: a name, or an empty text to clear it; nothing is bound anew."""
    if len(data) >= 4096 - 1:
        raise refuse(errno.EINVAL)
    text = os.fsdecode(data.split(b"\0", 1)[0].split(b"\n", 1)[0])
    function.override = text or None


def new_id(machine: Machine, driver: Driver, text: str) -> Task:
    """drivers/X/new_id: functions that match are bound at once."""
    identity = _parse_id(text)
    if identity in driver.dynamic or (identity in driver.ids):
        raise refuse(errno.EEXIST)
    driver.dynamic.add(identity)
    for function in list(machine.functions.values()):
        if function.driver is None and lifecycle.matches(machine, driver, function):
            yield from drivers_probe(machine, function.bdf)


def remove_id(driver: Driver, text: str) -> None:
    """drivers/X/remove_id."""
    identity = _parse_id(text)
    if identity not in driver.dynamic:
        raise refuse(errno.ENODEV)
    driver.dynamic.discard(identity)


def _parse_id(text: str) -> str:
    """The first two of the hex fields `VVVV DDDD [sv sd [class mask]]`, as the driver data writes ids."""
    fields = text.split()
    try:
        vendor, device = (int(field, 16) for field in fields[:2])
    except ValueError:
        raise refuse(errno.EINVAL) from None
    return f"{vendor:04x}:{device:04x}"
