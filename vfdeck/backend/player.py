"""The operations of a recording, done on any kernel: what the recorder did on real ones, in the same terms.

An *actor* is one program. It keeps one group fd and one container per IOMMU group while it has a device of that group.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from vfdeck.backend.kernel import BIND_ARGSZ_TOKEN, Blocked, Kernel, Pending, Refusal, errno_name
from vfdeck.backend.text import printable
from vfdeck.backend.vfio import DEVICES, OpenDevice, Program

Step = dict[str, Any]

#: What a step whose fields are missing or of another type than expected raises.
BROKEN = (KeyError, TypeError, ValueError, AttributeError)

#: How long a write may take before it counts as blocked, where the step does not say, seconds.
PATIENCE = 4.0


@dataclass(slots=True)
class Actor:
    """One program of the recording."""

    kernel: Kernel
    program: Program
    handles: dict[str, OpenDevice] = field(default_factory=dict)
    mappings: list[int] = field(default_factory=list)


class Player:
    """Does the operations of a recording on the kernel that `new_kernel` gives to each program."""

    def __init__(self, new_kernel: Callable[[str], Kernel]) -> None:
        self._new_kernel = new_kernel
        self._root = new_kernel("recorder")
        self._actors: dict[str, Actor] = {}
        self._waiting: dict[str, Pending] = {}

    def do(self, step: Step) -> Step:
        """Do one operation; the answer in the recording's terms.

        Raises:
            KeyError, TypeError, ValueError: the step is broken.
        """
        operations: dict[str, Callable[[Step], Step]] = {
            "write": self._write,
            "wait": self._wait,
            "read": self._read,
            "state": self._state,
            "open": self._open,
            "bind_iommufd": self._bind,
            "close": self._close,
            "feature": self._feature,
            "map": self._map,
        }
        if step["op"] not in operations:
            raise ValueError(f"unknown operation, expected one of {', '.join(operations)}")
        try:
            return operations[step["op"]](step)
        except Refusal as refusal:
            return {"result": refusal.name, "stage": str(refusal.stage)}
        except (Blocked, TimeoutError):  # a write, and a read, that wait
            return {"result": "BLOCKED"}
        except OSError as error:
            return {"result": errno_name(error.errno or 0)}

    def close_all(self) -> None:
        """Close every handle of every actor, and undo every mapping."""
        for actor in self._actors.values():
            for mapping in actor.mappings:
                actor.kernel.unmap(mapping)
            actor.mappings.clear()
            for device in actor.handles.values():
                actor.program.close(device)
            actor.handles.clear()
            actor.program.close_iommufd()

    def held(self, actor: str) -> dict[str, str]:
        """The functions that an actor has open, each with how: `cdev`, or `device` through its group."""
        devices = self._actors[actor].handles.values() if actor in self._actors else ()
        return {device.bdf: "cdev" if device.path == "cdev" else "device" for device in devices}

    def bdf_of(self, actor: str, handle: str) -> str | None:
        """The function behind an actor's handle; None where it has no such handle."""
        device = self._actors[actor].handles.get(handle) if actor in self._actors else None
        return device.bdf if device is not None else None

    def _actor(self, step: Step) -> Actor:
        name = step.get("actor", "a")
        if name not in self._actors:
            kernel = self._new_kernel(name)
            self._actors[name] = Actor(kernel, Program(kernel))
        return self._actors[name]

    def _write(self, step: Step) -> Step:
        pending = self._root.write(step["path"], step["data"].encode("utf-8", "surrogateescape"))
        pending.wait(step.get("patience", PATIENCE))
        if not self._root.simulated:
            time.sleep(step.get("settle", 0))  # what drivers do of their own after the answer
        try:
            error = pending.result()
        except Blocked:
            self._waiting[step["path"]] = pending
            raise
        return _result(error)

    def _wait(self, step: Step) -> Step:
        pending = self._waiting[step["path"]]
        pending.wait(PATIENCE)
        answer = _result(pending.result())
        del self._waiting[step["path"]]
        return answer

    def _read(self, step: Step) -> Step:
        return {"result": "OK", "value": self._root.read(step["path"]).decode()}

    def _state(self, step: Step) -> Step:
        function = f"{DEVICES}/{step['device']}"
        names = self._root.names(function)
        vfs = sorted((name for name in names if name.startswith("virtfn")), key=lambda name: int(name[6:]))
        answer: Step = {
            "result": "OK",
            "driver": self._link(f"{function}/driver"),
            "override": self._root.read(f"{function}/driver_override").decode().strip(),
            "physfn": self._link(f"{function}/physfn"),
            "virtfns": [self._link(f"{function}/{name}") for name in vfs],
        }
        for name in ("numvfs", "totalvfs", "drivers_autoprobe", "offset", "stride", "vf_device"):
            if f"sriov_{name}" in names:
                answer[f"sriov_{name}"] = self._text(f"{function}/sriov_{name}")
        return answer

    def _text(self, path: str) -> str:
        try:
            return self._root.read(path).decode().strip()
        except TimeoutError:
            return "BLOCKED"

    def _link(self, path: str) -> str | None:
        try:
            return self._root.link(path).rsplit("/", 1)[-1]
        except OSError as error:
            if error.errno == errno.ENOENT:
                return None
            raise

    def _open(self, step: Step) -> Step:
        actor, handle = self._actor(step), step["handle"]
        actor.handles[handle] = actor.program.open_by_group(step["device"], step["argument"].encode("utf-8", "surrogateescape"))
        return {"result": "OK"}

    def _bind(self, step: Step) -> Step:
        actor, handle = self._actor(step), step["handle"]
        actor.handles[handle] = actor.program.open_by_cdev(
            step["device"],
            bytes.fromhex(step["token"]) if step.get("token") else None,
            flags=step.get("flags"),
            argsz=step.get("argsz", BIND_ARGSZ_TOKEN),
            iommufd=step.get("iommufd"),
        )
        return {"result": "OK"}

    def _close(self, step: Step) -> Step:
        actor = self._actor(step)
        if step["handle"] not in actor.handles:
            return {"result": "NOHANDLE"}
        actor.program.close(actor.handles.pop(step["handle"]))
        return {"result": "OK"}

    def _feature(self, step: Step) -> Step:
        actor = self._actor(step)
        if step["handle"] not in actor.handles:
            return {"result": "NOHANDLE"}
        data = bytes.fromhex(step.get("data", ""))
        try:
            actor.kernel.feature(actor.handles[step["handle"]].fd, step["flags"], data, step.get("argsz"))
        except OSError as error:
            return {"result": errno_name(error.errno or 0)}
        return {"result": "OK"}

    def _map(self, step: Step) -> Step:
        """Map a BAR of an open device, until the end; recordings have none of this yet."""
        actor = self._actor(step)
        if step["handle"] not in actor.handles:
            return {"result": "NOHANDLE"}
        actor.mappings.append(actor.kernel.map(actor.handles[step["handle"]].fd))
        return {"result": "OK"}


def fault(error: Exception) -> str:
    """What is wrong with a broken step, in words."""
    return f"missing field {error}" if isinstance(error, KeyError) else printable(str(error))


def _result(error: OSError | None) -> Step:
    return {"result": "OK" if error is None else errno_name(error.errno or 0)}
