"""Whom an open is asked for: the rights of this program, or those of another user by the host's own files.

Users of a directory service (LDAP, sssd) stand in no file of the host, so nothing is said of them.
"""

from __future__ import annotations

import re

from vfdeck.backend.evidence import Rights, Unread, rights
from vfdeck.backend.kernel import Kernel, errno_name
from vfdeck.backend.text import printable

PASSWD, GROUP = "/etc/passwd", "/etc/group"
LIMITS = "/proc/self/limits"
USER_IDS = "/proc/self/uid_map"
CAP_IPC_LOCK = 14  # include/uapi/linux/capability.h
_ALL = (1 << 64) - 1  # root's capabilities: every one there may be


def rights_of(kernel: Kernel, user: str) -> Rights | Unread:
    """The rights that a program of `user` (a name or a number) starts with; "" for this very program's."""
    if not user:
        return rights(kernel)
    if user in ("0", "root"):
        return Rights(0, frozenset({0}), _ALL, user_namespace=False)
    lines = _table(kernel, PASSWD)
    if isinstance(lines, Unread):
        return lines
    found = next((line for line in lines if user in (line[0], line[2])), None)
    if found is None:
        return Unread(f"{PASSWD} has no user {printable(user, 40)}; directory services are not asked")
    members = _table(kernel, GROUP)
    if isinstance(members, Unread):
        return members
    try:
        more = {int(group[2]) for group in members if found[0] in group[3].split(",")}
        return Rights(int(found[2]), frozenset({int(found[3]), *more}), 0, user_namespace=False)
    except ValueError:
        return Unread(f"{PASSWD} or {GROUP}: an id is no number")


def _table(kernel: Kernel, path: str) -> list[list[str]] | Unread:
    """The lines of a file of fields between colons, those of at least four."""
    try:
        text = kernel.read(path).decode("utf-8", "replace")
    except OSError as error:
        return Unread(f"{path}: {errno_name(error.errno or 0)}")
    return [fields for fields in (line.split(":") for line in text.splitlines()) if len(fields) >= 4]


def locked_memory(kernel: Kernel) -> int | Unread | None:
    """This program's soft limit of locked memory in bytes; None: unlimited, by the limit itself or by CAP_IPC_LOCK."""
    mine = rights(kernel)
    exempt = mine if isinstance(mine, Unread) else mine.on_host(CAP_IPC_LOCK)
    if exempt is True:
        return None
    try:
        text = kernel.read(LIMITS).decode("ascii", "replace")
    except OSError as error:
        return Unread(f"{LIMITS}: {errno_name(error.errno or 0)}")
    found = re.search(r"^Max locked memory\s+(\d+|unlimited)\s", text, re.MULTILINE)
    if found is None:
        return Unread(f"{LIMITS}: no line about locked memory")
    if found[1] == "unlimited":
        return None
    if exempt is None:
        return Unread(f"limited, and whether CAP_IPC_LOCK lifts that could not be read ({USER_IDS})")
    return exempt if isinstance(exempt, Unread) else int(found[1])


def who(user: str, found: Rights) -> str:
    """The user in words: `dpdk, uid 64055, groups 64055 107`."""
    groups = " ".join(str(gid) for gid in sorted(found.gids)) or "none"
    return f"{printable(user, 40) or 'this program'}: uid {found.uid}, groups {groups}"
