"""The feature call on a duplicate of another program's fd of a PF: its token is replaced, and nobody has to stop.

The call succeeds on an fd of *any* PF, so the right one has to be known first: by what the kernel tells of descriptors (fdinfo from
6.18, a cdev's node), else by the bus that the device is on, and the groups that the program has open.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from vfdeck.backend.changes import Explanation
from vfdeck.backend.evidence import CAP_SYS_PTRACE, YAMA, known, rights, text_of
from vfdeck.backend.kernel import (
    VFIO_DEVICE_FEATURE_PCI_VF_TOKEN,
    VFIO_DEVICE_FEATURE_PROBE,
    VFIO_DEVICE_FEATURE_SET,
    Kernel,
    OpenFile,
    Process,
    Refusal,
    Stage,
    errno_name,
)
from vfdeck.backend.model import is_vfio_driver
from vfdeck.backend.vfio import DEVICES, Program, rung

_SETS = VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_PCI_VF_TOKEN


def forbidden(kernel: Kernel, pid: int) -> str:
    """Why this program surely may not duplicate a descriptor of process `pid`; "" where nothing read is against it.

    Source: pidfd_getfd(2), which asks for PTRACE_MODE_ATTACH_REALCREDS (kernel/ptrace.c __ptrace_may_access, yama_lsm.c). What else
    can refuse (a security module, a process that is not to be dumped), the kernel tells.
    """
    scope, who = known(text_of(kernel, YAMA)), known(rights(kernel))
    setting = f"kernel.yama.ptrace_scope is {scope}"
    if scope == "3":
        return f"nobody may duplicate another program's descriptors until the next boot: {setting}"
    if who is None or who.may(CAP_SYS_PTRACE):
        return ""
    if scope == "2":
        return f"vfdeck has no CAP_SYS_PTRACE, and {setting}: it may not duplicate the descriptor of process {pid}"
    uid = _uid(kernel, pid)
    if uid is not None and uid != who.uid:
        return f"vfdeck (uid {who.uid}) has no CAP_SYS_PTRACE: it may not duplicate the descriptor of process {pid} (uid {uid})"
    return ""


def doubtful(kernel: Kernel, pid: int) -> str:
    """What may refuse, and need not, to let this program duplicate a descriptor of process `pid`; "" where nothing read does.

    Yama's scope 1 lets through who is an ancestor, or was named by the process itself (PR_SET_PTRACER; yama_ptrace_access_check).
    """
    who = known(rights(kernel))
    if known(text_of(kernel, YAMA)) != "1" or who is None or who.may(CAP_SYS_PTRACE):
        return ""
    return (
        f"duplicating the descriptor of process {pid} may be refused (EPERM): vfdeck has no CAP_SYS_PTRACE, and with "
        "kernel.yama.ptrace_scope 1 only an ancestor may, or whom the process has named (PR_SET_PTRACER)"
    )


def _uid(kernel: Kernel, pid: int) -> int | None:
    """The real user id of a process; None where it cannot be read."""
    with suppress(OSError, ValueError, IndexError):
        for line in kernel.read(f"/proc/{pid}/status").splitlines():
            if line.startswith(b"Uid:"):
                return int(line.split()[1])
    return None


class Outdated(Exception):
    """What was planned fits no more, or it cannot be told which descriptor is the PF's; nothing was done. The text says why."""


def set_through_one_of(kernel: Kernel, pids: Sequence[int], pf: str, token: bytes) -> None:
    """As `set_through`, of the first of some processes whose descriptor is to be had; what the first one answered, if none is."""
    refused: list[Refusal | Outdated] = []
    for pid in pids:
        try:
            return set_through(kernel, pid, pf, token)
        except Outdated as outdated:
            refused.append(outdated)
        except Refusal as refusal:
            if refusal.stage is not Stage.BORROW:
                raise
            refused.append(refusal)
    raise refused[0]


def set_through(kernel: Kernel, pid: int, pf: str, token: bytes) -> None:
    """Set the token of `pf` through the descriptor that process `pid` has of it.

    Raises:
        Refusal: at `borrow` (see `Kernel.borrow`) or `feature`; nothing was done.
        Outdated: the process has no descriptor that is surely the PF's (any more); nothing was done.
    """
    with _borrowed(kernel, pid, pf) as fd:
        rung(Stage.FEATURE, pf, lambda: kernel.feature(fd, _SETS, token))


@contextmanager
def _borrowed(kernel: Kernel, pid: int, pf: str) -> Iterator[int]:
    """A duplicate of the descriptor, closed at the end."""
    before = _files_of(kernel, pid)
    told = [fd for file in before if file.bdf == pf and file.kind in ("device", "cdev") and not file.by_name for fd in file.fds]
    untold = [fd for file in before if file.kind == "device" and not file.bdf for fd in file.fds]
    duplicates: list[int] = []
    try:
        for number in told or untold:
            _duplicate(kernel, pid, number, pf, duplicates)
        fd = duplicates[0] if told and duplicates else _identified(kernel, pid, pf, before, duplicates)
        _still_the_same(kernel, before[0].process, pf if told else "", fd)
        yield fd
    finally:
        for fd in duplicates:
            kernel.close(fd)


def _identified(kernel: Kernel, pid: int, pf: str, files: list[OpenFile], duplicates: list[int]) -> int:
    """Which of the duplicates, all of PFs, is that of `pf`, where the kernel does not name their functions.

    It tells what shares the slot or bus with a device. One that shares it with `pf`, and with no other PF that it could be, is its.
    """
    rivals = {fd: _rivals(kernel, fd, pf, files) for fd in duplicates}
    found = [fd for fd in duplicates if rivals[fd] is not None]
    if not found:
        raise Outdated(f"process {pid} has no descriptor of {pf} open (any more)")
    doubtful = sorted({bdf for fd in found for bdf in rivals[fd] or ()})
    if doubtful:
        other = ", ".join(doubtful)
        raise Outdated(f"the kernel does not tell which descriptor of process {pid} is that of {pf}, and which of {other}")
    return found[0]


def _rivals(kernel: Kernel, fd: int, pf: str, files: list[OpenFile]) -> set[str] | None:
    """The other PFs that a PF's descriptor could be of: by its bus and the groups that the program has open. None: not `pf`'s."""
    try:
        near = kernel.reset_domain(fd)
    except OSError:  # ENODEV on a root bus: the groups alone have to tell
        near = (pf, *kernel.names(DEVICES))
    groups = {file.node for file in files if file.kind == "group"}
    by_group = _group(kernel, pf) in groups  # else its descriptor came from elsewhere, and so may another's
    rivals = {bdf for bdf in near if bdf != pf and _is_vfio_pf(kernel, bdf) and (not by_group or _group(kernel, bdf) in groups)}
    return rivals if pf in near else None


def _is_vfio_pf(kernel: Kernel, bdf: str) -> bool:
    try:
        kernel.stat(f"{DEVICES}/{bdf}/sriov_totalvfs")
        return is_vfio_driver(kernel.link(f"{DEVICES}/{bdf}/driver").rpartition("/")[2])
    except OSError:
        return False


def _group(kernel: Kernel, bdf: str) -> str:
    with suppress(OSError):
        return Program(kernel).group_node(bdf)
    return ""


def _duplicate(kernel: Kernel, pid: int, number: int, pf: str, kept: list[int]) -> None:
    """Duplicate one descriptor; keep it where it is one of a PF on vfio, bound to its iommufd if it is a cdev's.

    Nothing is asked of a descriptor before the kernel has shown that it is vfio's own: where a file of FUSE has its number by now,
    the call would lead to another program, and the token with it.
    """
    try:
        fd = rung(Stage.BORROW, pf, lambda: kernel.borrow(pid, number))
    except Refusal as refusal:
        if refusal.errno == errno.EBADF:  # closed meanwhile
            return
        raise
    kept.append(fd)
    try:
        what = kernel.identify(fd, pid)
        if what is None or what[0] not in ("device", "cdev") or what[2] not in ("", pf):
            raise OSError(errno.ENOTTY, "not the PF's")
        kernel.feature(fd, _SETS | VFIO_DEVICE_FEATURE_PROBE)
    except OSError:  # ENOTTY: a VF's; EINVAL: a cdev that is not bound
        kept.remove(fd)
        kernel.close(fd)


def _still_the_same(kernel: Kernel, process: Process, told: str, fd: int) -> None:
    """The number of a process, and those of its descriptors, may have passed to others between the look and the call.

    `told`: the function that the kernel told of the descriptor, and so tells of the duplicate; "" where it tells none.

    Raises:
        Outdated: it is another process now, or what was duplicated is another function's.
    """
    what = kernel.identify(fd, process.pid)
    if what is None or what[2] != told or all(file.process != process for file in kernel.open_files().files):
        raise Outdated(f"process {process.pid} changed what it has open in this very moment")


def _files_of(kernel: Kernel, pid: int) -> list[OpenFile]:
    return [file for file in kernel.open_files().files if file.pid == pid and not file.own]


def explain(pf: str, number: int) -> Explanation:
    """Why another program's descriptor of the PF could not be had; nothing was changed."""
    rules = {
        errno.EPERM: (
            "This program may not duplicate the descriptor",
            "Who may not trace a process may not duplicate its descriptors; Yama, SELinux and AppArmor can forbid it to root too.",
            (
                "cat /proc/sys/kernel/yama/ptrace_scope; grep Cap /proc/self/status",
                "journalctl -k --grep 'denied.*ptrace' (what SELinux or AppArmor refused)",
            ),
            ("Run vfdeck as root on the host itself (CAP_SYS_PTRACE), or set the token in the program that has the PF open.",),
        ),
        errno.ESRCH: ("The program has ended", "Its descriptors went with it.", (), ("Look again: the PF may be free now.",)),
        errno.ENOSYS: (
            "The kernel has no pidfd_getfd here",
            "The call came with Linux 5.6; a sandbox may hide it.",
            (),
            ("Run vfdeck outside of the container.",),
        ),
    }
    name = errno_name(number)
    title, rule, check, do = rules.get(number, ("The descriptor could not be duplicated", f"The kernel answered {name}.", (), ()))
    return Explanation("note", title, rule, f"The token of {pf} is as it was; the kernel answered {name}.", check, do)
