"""SimulatedKernel: one program's view of a simulated machine, and the machine's other programs."""

from __future__ import annotations

import errno
import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from vfdeck.backend.kernel import (
    BIND_ARGSZ_TOKEN,
    VFIO_DEVICE_BIND_FLAG_TOKEN,
    LogLine,
    OpenFile,
    OpenFiles,
    Pending,
    Uevent,
)
from vfdeck.backend.sim import sysfs, vfio
from vfdeck.backend.sim.files import ContainerFile, DeviceFile, File, GroupFile, IommuFile
from vfdeck.backend.sim.hardware import Function
from vfdeck.backend.sim.machine import Job, Machine, ProcessRecord, refuse

FIRST_PID = 1000


class SimulatedKernel:
    """A program on a simulated machine; satisfies `Kernel`. Safe to use from several threads."""

    simulated = True

    def __init__(self, machine: Machine, name: str = "vfdeck", user: str = "root", uid: int = 0, pid: int | None = None) -> None:
        self.machine = machine
        if pid is None:
            pid = next(n for n in itertools.count(FIRST_PID) if n not in machine.processes)
        self.process = ProcessRecord(pid, name, user, uid)
        machine.processes[pid] = self.process
        self._handles = itertools.count(3)

    @contextmanager
    def _call(self) -> Iterator[Machine]:
        """A system call: alone in the machine, and afterwards whoever waited for this goes on."""
        with self.machine.changed:
            try:
                yield self.machine
            finally:
                self.machine.settle()

    def exit(self) -> None:
        """The program ends: its descriptors and mappings go."""
        with self._call() as machine:
            for file in [*self.process.fds.values(), *self.process.maps.values()]:
                vfio.drop(machine, file)
            self.process.fds.clear()
            self.process.maps.clear()
            machine.processes.pop(self.process.pid, None)

    # -- files -------------------------------------------------------------------------------------------------------
    def read(self, path: str) -> bytes:
        """See `Kernel.read`; one that would wait for a device lock is a TimeoutError at once."""
        with self.machine.changed:
            node = sysfs.resolve(self.machine, path)
            if node.names is not None:
                raise refuse(errno.EISDIR)
            if node.read is None:
                raise refuse(errno.EACCES if node.write else errno.EISDIR)
            return node.read().encode()

    def write(self, path: str, data: bytes) -> Pending:
        """See `Kernel.write`."""
        with self._call() as machine:
            try:
                node = sysfs.resolve(machine, path)
                if node.names is not None:
                    raise refuse(errno.EISDIR)
                if node.write is None or self.process.uid != 0:
                    raise refuse(errno.EACCES)
                task = node.write(data) if data else None
            except OSError as error:
                return Job(machine, path, error=error)
            return Job(machine, path) if task is None else machine.begin(path, task)

    def names(self, path: str) -> list[str]:
        """See `Kernel.names`."""
        with self.machine.changed:
            node = sysfs.resolve(self.machine, path)
            if node.names is None:
                raise refuse(errno.ENOTDIR)
            return node.names()

    def link(self, path: str) -> str:
        """See `Kernel.link`."""
        with self.machine.changed:
            node = sysfs.resolve(self.machine, path)
            if node.link is None:
                raise refuse(errno.EINVAL)
            return node.link

    # -- descriptors -------------------------------------------------------------------------------------------------
    def open(self, path: str) -> int:
        """See `Kernel.open`."""
        with self._call() as machine:
            return self._install(self._open_node(machine, path))

    def _open_node(self, machine: Machine, path: str) -> File:
        if path == "/dev/vfio/vfio":
            return ContainerFile()
        if path == "/dev/iommu":
            if not machine.profile.iommufd or not machine.profile.has("iommufd_container"):
                raise refuse(errno.ENOENT)
            self._may_open(machine, path)
            return IommuFile()
        name = path.rsplit("/", 1)[-1]
        if path == f"/dev/vfio/devices/{name}" and name in sysfs.cdev_nodes(machine):
            self._may_open(machine, path)
            return vfio.open_cdev(self._by_cdev(machine, name))
        for function in machine.vfio_functions():
            group = function.group
            if group is not None and path == f"/dev/vfio/{group.node}":
                self._may_open(machine, path)
                return vfio.open_group(machine, group)
        raise refuse(errno.ENOENT)

    def _by_cdev(self, machine: Machine, name: str) -> Function:
        return next(f for f in machine.vfio_functions() if f.vfio and f.vfio.name == name)

    def _may_open(self, machine: Machine, path: str) -> None:
        if self.process.uid not in (0, machine.owners.get(path, 0)):
            raise refuse(errno.EACCES)

    def _install(self, file: File) -> int:
        file.refs += 1
        fd = next(self._handles)
        self.process.fds[fd] = file
        return fd

    def _file(self, fd: int) -> File:
        try:
            return self.process.fds[fd]
        except KeyError:
            raise refuse(errno.EBADF) from None

    def dup(self, fd: int) -> int:
        """See `Kernel.dup`."""
        with self._call():
            return self._install(self._file(fd))

    def close(self, fd: int) -> None:
        """See `Kernel.close`."""
        with self._call() as machine:
            file = self._file(fd)
            del self.process.fds[fd]
            vfio.drop(machine, file)

    # -- vfio --------------------------------------------------------------------------------------------------------
    def set_container(self, group: int, container: int) -> None:
        """See `Kernel.set_container`."""
        with self._call() as machine:
            vfio.set_container(machine, self._group(group), self.process.fds.get(container), container)

    def set_iommu(self, container: int, kind: int) -> None:
        """See `Kernel.set_iommu`."""
        with self._call():
            vfio.set_iommu(self._file(container), kind)

    def get_device_fd(self, group: int, argument: bytes) -> int:
        """See `Kernel.get_device_fd`."""
        with self._call() as machine:
            return self._install(vfio.get_device_fd(machine, self._group(group), argument))

    def bind_iommufd(
        self, cdev: int, iommufd: int, *, token: bytes | None = None, flags: int | None = None, argsz: int = BIND_ARGSZ_TOKEN
    ) -> None:
        """See `Kernel.bind_iommufd`."""
        if flags is None:
            flags = VFIO_DEVICE_BIND_FLAG_TOKEN if token is not None else 0
        with self._call() as machine:
            vfio.bind_iommufd(machine, self._device(cdev), self.process.fds.get(iommufd), iommufd, token, flags, argsz)

    def feature(self, device: int, flags: int, data: bytes = b"", argsz: int | None = None) -> None:
        """See `Kernel.feature`."""
        with self._call() as machine:
            vfio.feature(machine, self._device(device), flags, data, 8 + len(data) if argsz is None else argsz)

    def map(self, device: int) -> int:
        """See `Kernel.map`."""
        with self._call():
            file = self._device(device)
            if not file.bound:
                raise refuse(errno.EINVAL)
            file.refs += 1
            handle = next(self._handles)
            self.process.maps[handle] = file
            return handle

    def unmap(self, mapping: int) -> None:
        """See `Kernel.unmap`."""
        with self._call() as machine:
            if mapping not in self.process.maps:
                raise refuse(errno.EINVAL)
            vfio.drop(machine, self.process.maps.pop(mapping))

    def _group(self, fd: int) -> GroupFile:
        file = self._file(fd)
        if not isinstance(file, GroupFile):
            raise refuse(errno.ENOTTY)
        return file

    def _device(self, fd: int) -> DeviceFile:
        file = self._file(fd)
        if not isinstance(file, DeviceFile):
            raise refuse(errno.ENOTTY)
        return file

    # -- observation -------------------------------------------------------------------------------------------------
    def open_files(self) -> OpenFiles:
        """See `Kernel.open_files`; a program without privilege sees its own user's processes only."""
        with self.machine.changed:
            found: list[OpenFile] = []
            unseen = 0
            for process in self.machine.processes.values():
                if self.process.uid in (0, process.uid):
                    found += self._files_of(process)
                else:
                    unseen += 1
            return OpenFiles(tuple(found), unseen)

    def _files_of(self, process: ProcessRecord) -> Iterator[OpenFile]:
        own = process is self.process
        for file in process.fds.values():
            tells = isinstance(file, DeviceFile) and self.machine.profile.has("fdinfo_syspath")
            bdf = file.function.bdf if tells and isinstance(file, DeviceFile) else ""
            yield OpenFile(process.pid, process.name, process.user, file.kind, file.node, bdf, own)
        for file in process.maps.values():
            if file not in process.fds.values():
                yield OpenFile(process.pid, process.name, process.user, "mapping", file.node, "", own)

    def log(self) -> list[LogLine] | None:
        """See `Kernel.log`."""
        with self.machine.changed:
            return list(self.machine.log.lines) if self.process.uid == 0 else None

    def uevents(self) -> SimulatedUevents:
        """See `Kernel.uevents`."""
        return SimulatedUevents(self.machine)

    def clock(self) -> float:
        """See `Kernel.clock`."""
        return self.machine.now


class SimulatedUevents:
    """Uevents of a simulated machine; satisfies `UeventSource`."""

    live = True

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._queue: list[Uevent] = []
        self._arrived = threading.Condition()
        self._closed = False
        machine.listeners.append(self._receive)

    def _receive(self, event: Uevent) -> None:
        with self._arrived:
            self._queue.append(event)
            self._arrived.notify_all()

    def wait(self, seconds: float) -> list[Uevent]:
        """See `UeventSource.wait`."""
        with self._arrived:
            self._arrived.wait_for(lambda: self._queue or self._closed, seconds)
            taken, self._queue = self._queue, []
            return taken

    def close(self) -> None:
        """See `UeventSource.close`."""
        if self._receive in self._machine.listeners:
            self._machine.listeners.remove(self._receive)
        with self._arrived:
            self._closed = True
            self._arrived.notify_all()
