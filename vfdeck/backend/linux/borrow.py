"""A descriptor of another program, duplicated into this one: pidfd_open(2) and pidfd_getfd(2), Linux 5.3 and 5.6.

The kernel asks whether this program might trace the other (kernel/pid.c __pidfd_fget: PTRACE_MODE_ATTACH_REALCREDS). The duplicate
refers to the same open file; the other program notices nothing.
"""

from __future__ import annotations

import ctypes
import errno
import os

# Calls since 5.0 have one number on every architecture; alpha counts from 110 above, the ABIs of MIPS have bases of their own,
# and x32 a mark (arch/*/kernel/syscalls/*.tbl).
_PIDFD_OPEN, _PIDFD_GETFD = 434, 438
_ALPHA = 110
_MIPS_O32, _MIPS_N64 = 4000, 5000


def call_number(number: int, machine: str, wide: bool) -> int:
    """The number of a system call on `machine` (uname -m), for a program with 64-bit (`wide`) or 32-bit pointers.

    Not told apart by these two, and so not served: MIPS n32 and x32.
    """
    if machine == "alpha":
        return number + _ALPHA
    if machine.startswith("mips"):
        return number + (_MIPS_N64 if wide else _MIPS_O32)
    return number


def borrow(pid: int, fd: int) -> int:
    """A duplicate, close-on-exec, of descriptor `fd` of process `pid`.

    Raises:
        OSError: EPERM (may not trace it), ESRCH (it has ended), EBADF (no such descriptor), EINVAL (no such process can be),
            ENOSYS (a kernel before 5.6, or a sandbox that hides the call), EMFILE.
    """
    process = _call(_PIDFD_OPEN, pid, 0)
    try:
        return _call(_PIDFD_GETFD, process, fd, 0)
    finally:
        os.close(process)


def _call(number: int, *arguments: int) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    at = call_number(number, os.uname().machine, ctypes.sizeof(ctypes.c_void_p) == 8)
    try:
        found = libc.syscall(ctypes.c_long(at), *(ctypes.c_long(_checked(argument)) for argument in arguments))
    except OverflowError as error:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF)) from error
    if found < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int(found)


def _checked(number: int) -> int:
    """A C int; what lies beyond would be cut to another one without a word."""
    if not -(1 << 31) <= number < 1 << 31:
        raise OverflowError(number)
    return number
