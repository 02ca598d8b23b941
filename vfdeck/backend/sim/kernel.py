"""SimulatedKernel: one program's view of a simulated machine, and the machine's other programs."""

from __future__ import annotations

import errno
import itertools
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from vfdeck.backend import workload
from vfdeck.backend.kernel import (
    BIND_ARGSZ_TOKEN,
    VFIO_DEVICE_BIND_FLAG_TOKEN,
    Address,
    FileStat,
    LogLine,
    OpenFile,
    OpenFiles,
    Pending,
    Uevent,
)
from vfdeck.backend.sim import host_use, sysfs, vfio
from vfdeck.backend.sim.files import ContainerFile, DeviceFile, File, GroupFile, IommuFile
from vfdeck.backend.sim.hardware import Function
from vfdeck.backend.sim.machine import Job, Machine, ProcessRecord, refuse
from vfdeck.backend.sim.surroundings import Credentials

FIRST_PID = 1000


class SimulatedKernel:
    """A program on a simulated machine; satisfies `Kernel`. Safe to use from several threads."""

    simulated = True

    def __init__(
        self,
        machine: Machine,
        name: str = "vfdeck",
        user: str = "root",
        uid: int = 0,
        pid: int | None = None,
        credentials: Credentials | None = None,
    ) -> None:
        self.machine = machine
        if pid is None:
            pid = next(n for n in itertools.count(FIRST_PID) if n not in machine.processes)
        self.process = ProcessRecord(pid, name, user, credentials or Credentials(uid))
        machine.processes[pid] = self.process
        self._handles = itertools.count(3)

    @property
    def is_tree(self) -> bool:
        """See `Kernel.is_tree`."""
        return False

    @property
    def euid(self) -> int:
        """See `Kernel.euid`."""
        return self.process.uid

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
            text = self.machine.around.text_of(self.process.credentials, path)
            if text is not None:
                return text.encode()
            node = sysfs.resolve(self.machine, self._own(path))
            if node.names is not None:
                raise refuse(errno.EISDIR)
            if node.read is None:
                raise refuse(errno.EACCES if node.write else errno.EISDIR)
            if node.private and not self.process.credentials.has("CAP_DAC_OVERRIDE"):
                raise refuse(errno.EACCES)
            content = node.read()
            data = content if isinstance(content, bytes) else content.encode()
            return data if self.process.credentials.has("CAP_SYS_ADMIN") else data[: node.plain]

    def _own(self, path: str) -> str:
        """The path without `/proc/self`, which is a link to the program's own directory."""
        return path.replace("/proc/self/", f"/proc/{self.process.pid}/", 1) if path.startswith("/proc/self/") else path

    def write(self, path: str, data: bytes) -> Pending:
        """See `Kernel.write`."""
        with self._call() as machine:
            try:
                node = sysfs.resolve(machine, path)
                if node.names is not None:
                    raise refuse(errno.EISDIR)
                machine.around.may_write(self.process.credentials, path)
                if node.write is None:
                    raise refuse(errno.EACCES)
                task = node.write(data) if data else None
            except OSError as error:
                return Job(machine, path, error=error)
            return Job(machine, path) if task is None else machine.begin(path, task)

    def names(self, path: str) -> list[str]:
        """See `Kernel.names`."""
        with self.machine.changed:
            beside, hidden = self.machine.around.names_in(path), self.process.credentials.container.hidden
            try:
                node = sysfs.resolve(self.machine, path)
            except FileNotFoundError:
                if beside:
                    return beside
                raise
            if node.names is None:
                raise refuse(errno.ENOTDIR)
            found = dict.fromkeys([*node.names(), *beside])
            return [name for name in found if f"{path.rstrip('/')}/{name}" not in hidden]

    def link(self, path: str) -> str:
        """See `Kernel.link`."""
        with self.machine.changed:
            node = sysfs.resolve(self.machine, path)
            if node.link is None:
                raise refuse(errno.EINVAL)
            return node.link

    def stat(self, path: str) -> FileStat:
        """See `Kernel.stat`."""
        with self.machine.changed:
            around = self.machine.around
            if path in self.process.credentials.container.hidden:
                raise refuse(errno.ENOENT)
            if path in self._nodes():
                return around.node_of(path)
            if around.text_of(self.process.credentials, path) is not None:
                return FileStat(stat.S_IFREG | 0o444, 0, 0)
            if around.names_in(path):
                return FileStat(stat.S_IFDIR | 0o755, 0, 0)
            node = sysfs.resolve(self.machine, self._own(path))
            if node.names is not None:
                return FileStat(stat.S_IFDIR | 0o755, 0, 0)
            return FileStat(stat.S_IFREG | (0o444 if node.read else 0) | (0o200 if node.write else 0), 0, 0)

    def binding(self, bdf: str) -> int:
        """See `Kernel.binding`."""
        with self.machine.changed:
            function = self.machine.functions.get(bdf)
            if function is None or function.driver_link is None:
                raise refuse(errno.ENOENT)
            return function.bindings

    def _nodes(self) -> set[str]:
        """The device nodes there are."""
        machine = self.machine
        groups = {f"/dev/vfio/{f.group.node}" for f in machine.vfio_functions() if f.group}
        found = groups | {f"/dev/vfio/devices/{name}" for name in sysfs.cdev_nodes(machine)} | {"/dev/vfio/vfio"}
        return found | {"/dev/iommu"} if machine.profile.iommufd and machine.profile.has("iommufd_container") else found

    # -- descriptors -------------------------------------------------------------------------------------------------
    def open(self, path: str) -> int:
        """See `Kernel.open`."""
        with self._call() as machine:
            return self._install(self._open_node(machine, path))

    def _open_node(self, machine: Machine, path: str) -> File:
        """What open(2) of a node gives: first the node and who may open it, then its driver."""
        program = self.process.credentials
        name = path.rsplit("/", 1)[-1]
        if path == "/dev/vfio/vfio":
            machine.around.may_open(program, path)
            return ContainerFile()
        if path == "/dev/iommu":
            if not machine.profile.iommufd or not machine.profile.has("iommufd_container"):
                raise refuse(errno.ENOENT)
            machine.around.may_open(program, path)
            return IommuFile()
        if path == f"/dev/vfio/devices/{name}" and name in sysfs.cdev_nodes(machine):
            machine.around.may_open(program, path)
            return vfio.open_cdev(self._by_cdev(machine, name), program)
        for function in machine.vfio_functions():
            group = function.group
            if group is not None and path == f"/dev/vfio/{group.node}":
                machine.around.may_open(program, path)
                return vfio.open_group(machine, group, program)
        raise refuse(errno.ENOENT)

    def _by_cdev(self, machine: Machine, name: str) -> Function:
        return next(f for f in machine.vfio_functions() if f.vfio and f.vfio.name == name)

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

    def borrow(self, pid: int, fd: int) -> int:
        """See `Kernel.borrow` (kernel/pid.c pidfd_getfd)."""
        with self._call() as machine:
            if not machine.profile.has("pidfd_getfd"):
                raise refuse(errno.ENOSYS)
            if pid <= 0:
                raise refuse(errno.EINVAL)
            other = machine.processes.get(pid)
            if other is None:
                raise refuse(errno.ESRCH)
            if other is not self.process:
                machine.around.may_trace(self.process.credentials, other.credentials)
            if fd not in other.fds:
                raise refuse(errno.EBADF)
            return self._install(other.fds[fd])

    def identify(self, fd: int, pid: int) -> tuple[str, str, str] | None:
        """See `Kernel.identify`; every file of this machine is vfio's."""
        with self.machine.changed:
            file = self._file(fd)
            return file.kind, file.node, self._told(file)

    def _told(self, file: File) -> str:
        """The BDF that the kernel tells of a descriptor, by its fdinfo or its node."""
        tells = isinstance(file, DeviceFile) and (file.kind == "cdev" or self.machine.profile.has("fdinfo_syspath"))
        return file.function.bdf if tells and isinstance(file, DeviceFile) else ""

    # -- vfio --------------------------------------------------------------------------------------------------------
    def set_container(self, group: int, container: int) -> None:
        """See `Kernel.set_container`."""
        with self._call() as machine:
            vfio.set_container(machine, self._group(group), self.process.fds.get(container), container, self.process.credentials)

    def set_iommu(self, container: int, kind: int) -> None:
        """See `Kernel.set_iommu`."""
        with self._call() as machine:
            vfio.set_iommu(machine, self._file(container), kind, self.process.credentials)

    def get_device_fd(self, group: int, argument: bytes) -> int:
        """See `Kernel.get_device_fd`."""
        with self._call() as machine:
            return self._install(vfio.get_device_fd(machine, self._group(group), argument))

    def bind_iommufd(
        self,
        cdev: int,
        iommufd: int,
        *,
        token: bytes | None = None,
        flags: int | None = None,
        argsz: int = BIND_ARGSZ_TOKEN,
        beyond: bytes = b"",
    ) -> None:
        """See `Kernel.bind_iommufd`."""
        if flags is None:
            flags = VFIO_DEVICE_BIND_FLAG_TOKEN if token is not None else 0
        with self._call() as machine:
            target = self.process.fds.get(iommufd)
            vfio.bind_iommufd(machine, self._device(cdev), target, iommufd, token, flags, argsz, beyond)

    def feature(self, device: int, flags: int, data: bytes = b"", argsz: int | None = None) -> None:
        """See `Kernel.feature`."""
        with self._call() as machine:
            vfio.feature(machine, self._device(device), flags, data, 8 + len(data) if argsz is None else argsz)

    def reset_domain(self, device: int) -> tuple[str, ...]:
        """See `Kernel.reset_domain`."""
        with self._call() as machine:
            return vfio.reset_domain(machine, self._device(device))

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
    def open_files(self, late: float = 0.0) -> OpenFiles:
        """See `Kernel.open_files`; a program without privilege sees its own user's processes only. It is never late."""
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
        """What /proc shows of a program's descriptors and mappings, where it has any."""
        if not process.fds and not process.maps:
            return
        has, own = self.machine.profile.has, process is self.process
        variables = [f"{name}={value}" for name, value in process.environment.items()]
        who = workload.process(
            process.pid, process.name, process.user, process.started, process.arguments, process.cgroup, variables
        )
        devices = [file for file in process.fds.values() if isinstance(file, DeviceFile)]
        for fd, file in process.fds.items():
            yield OpenFile(who, file.kind, file.node, self._told(file), own, fds=(fd,))
        for mapped in {id(file): file for file in process.maps.values() if isinstance(file, DeviceFile)}.values():
            if mapped.kind == "cdev":
                if all(file.function is not mapped.function for file in devices if file.kind == "cdev"):
                    yield OpenFile(who, "mapping", mapped.node, mapped.function.bdf, own)
            elif has("maps_tell_addresses"):
                yield OpenFile(who, "mapping", "", mapped.function.bdf, own)
            elif all(file.kind != "device" for file in devices):
                yield OpenFile(who, "mapping", "", "", own)

    def addresses(self) -> list[Address]:
        """See `Kernel.addresses`."""
        with self.machine.changed:
            return host_use.addresses(self.machine)

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
