"""Duplicating descriptors of other processes, on the kernel that the tests run on."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from vfdeck.backend.linux.borrow import borrow, call_number
from vfdeck.backend.linux.kernel import LinuxKernel


@contextmanager
def child() -> Iterator[tuple[int, int]]:
    """A process with a file of its own; its number and the file's."""
    report, theirs = os.pipe()
    stop, go_on = os.pipe()
    pid = os.fork()
    if pid == 0:
        own = os.memfd_create("own")
        os.write(own, b"the child's")
        os.write(theirs, struct.pack("i", own))
        os.close(go_on)
        os.read(stop, 1)  # until the parent lets go
        os._exit(0)
    os.close(stop)
    try:
        yield pid, struct.unpack("i", os.read(report, 4))[0]
    finally:
        os.close(go_on)
        os.waitpid(pid, 0)
        os.close(report)
        os.close(theirs)


def refusal(pid: int, fd: int) -> int:
    try:
        os.close(borrow(pid, fd))
    except OSError as error:
        return error.errno or 0
    return 0


@pytest.fixture
def allowed() -> None:
    """A child may be looked at under every setting of Yama but the last one; sandboxes may hide the call."""
    with child() as (pid, fd):
        try:
            os.close(borrow(pid, fd))
        except OSError as error:
            if error.errno in (errno.EPERM, errno.ENOSYS):
                pytest.skip(f"not allowed here: {error}")
            raise


@pytest.mark.usefixtures("allowed")
def test_the_duplicate_is_the_same_open_file() -> None:
    before = set(os.listdir("/proc/self/fd"))
    with child() as (pid, fd):
        mine = LinuxKernel().borrow(pid, fd)
    assert os.pread(mine, 64, 0) == b"the child's"  # it lives on after the child
    assert not os.get_inheritable(mine)
    os.close(mine)
    assert set(os.listdir("/proc/self/fd")) == before


@pytest.mark.usefixtures("allowed")
def test_refusals() -> None:
    with child() as (pid, _):
        assert refusal(pid, 9999) == errno.EBADF
        assert refusal(pid, -1) == errno.EBADF
        assert refusal(pid, 1 << 40) == errno.EBADF
    assert refusal(pid, 0) == errno.ESRCH
    assert refusal(0, 0) == errno.EINVAL


@pytest.mark.usefixtures("allowed")
@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user")
def test_another_user_may_not() -> None:
    with child() as (pid, fd):
        helper = os.fork()
        if helper == 0:
            os.setresuid(65534, 65534, 65534)
            try:
                borrow(pid, fd)
            except OSError as error:
                os._exit(error.errno or 0)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(helper, 0)[1]) == errno.EPERM


def test_a_tree_s_processes_are_not_this_machine_s(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=os.strerror(errno.EOPNOTSUPP)):
        LinuxKernel(str(tmp_path)).borrow(os.getpid(), 0)


@pytest.mark.parametrize(
    ("machine", "wide", "number"),
    [("x86_64", True, 438), ("aarch64", True, 438), ("ppc64le", True, 438), ("mips64", True, 5438), ("mips", False, 4438)],
)
def test_numbers_of_the_call(machine: str, wide: bool, number: int) -> None:
    """arch/*/kernel/syscalls: pidfd_getfd."""
    assert call_number(438, machine, wide) == number


def test_alpha_counts_on_its_own() -> None:
    assert call_number(438, "alpha", True) == 548
