"""Who may open what: the option string and the token judgement of vfio-pci, as pure functions.

The simulated kernel decides with this module, the predictor predicts with it and the documentation prints its table, so the
rules exist once. Names and order follow the kernel: `vfio_pci_core_match` (the string), `uuid_parse` (the token),
`vfio_pci_validate_vf_token` (5.7 to 6.16) and `vfio_pci_core_match_token_uuid` (6.17 and later), which judge alike.
"""

from __future__ import annotations

import enum
import errno
import re
from collections.abc import Callable
from dataclasses import dataclass

from vfdeck.backend.digest import same
from vfdeck.backend.model import Role

#: Length limit of the argument with its NUL: one page (group.c, strndup_user).
PAGE_SIZE = 4096

_UUID = re.compile(rb"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_OPTION = b"vf_token="
_UUID_LENGTH = 36


class ArgumentFault(enum.Enum):
    """Why an argument string was refused: errno and rule."""

    TOO_LONG = (errno.EINVAL, "the string with its NUL is longer than a page (4096 bytes)")
    NO_MATCH = (errno.ENODEV, "the string does not begin with the name of a function of this group that is on a vfio driver")
    UNKNOWN_OPTION = (errno.EINVAL, "an option is not vf_token=UUID")
    DUPLICATE = (errno.EINVAL, "vf_token= is given twice")
    SHORT = (errno.EINVAL, "fewer than 36 characters follow vf_token=")
    NOT_A_UUID = (errno.EINVAL, "vf_token= is not followed by a UUID of the form 8-4-4-4-12")

    @property
    def errno(self) -> int:
        """The errno the kernel answers with."""
        return self.value[0]

    @property
    def rule(self) -> str:
        """The rule in words."""
        return self.value[1]


@dataclass(frozen=True, slots=True)
class Argument:
    """A string given to VFIO_GROUP_GET_DEVICE_FD, taken apart for one function. `fault` None: well formed."""

    token: bytes | None = None
    fault: ArgumentFault | None = None


def parse_argument(argument: bytes, bdf: str) -> Argument:
    """Match `argument` against the function `bdf` and read its options, as vfio_pci_core_match does.

    `argument` is the string without its NUL. The token is returned in text order, which is how the kernel stores it.
    """
    if len(argument) >= PAGE_SIZE:
        return Argument(fault=ArgumentFault.TOO_LONG)
    argument = argument.split(b"\0", 1)[0]
    name = bdf.encode()
    if not argument.startswith(name):
        return Argument(fault=ArgumentFault.NO_MATCH)
    rest = argument[len(name) :]
    if rest and not rest.startswith(b" "):
        return Argument(fault=ArgumentFault.NO_MATCH)
    return _parse_options(rest)


def _parse_options(rest: bytes) -> Argument:
    """The options after the name. Only the space separates; the byte after a UUID begins the next option."""
    token: bytes | None = None
    while rest := rest.lstrip(b" "):
        if not rest.startswith(_OPTION):
            return Argument(fault=ArgumentFault.UNKNOWN_OPTION)
        if token is not None:
            return Argument(fault=ArgumentFault.DUPLICATE)
        rest = rest[len(_OPTION) :]
        if len(rest) < _UUID_LENGTH:
            return Argument(fault=ArgumentFault.SHORT)
        text, rest = rest[:_UUID_LENGTH], rest[_UUID_LENGTH:]
        if not _UUID.fullmatch(text):
            return Argument(fault=ArgumentFault.NOT_A_UUID)
        token = bytes.fromhex(text.decode().replace("-", ""))
    return Argument(token=token)


def format_argument(bdf: str, token_text: str | None) -> bytes:
    """The argument string for a function with or without a token."""
    return f"{bdf} vf_token={token_text}".encode() if token_text is not None else bdf.encode()


@dataclass(slots=True)
class TokenRecord:
    """What vfio-pci keeps for every PF bound to it (struct vfio_pci_vf_token): the UUID and the VFs in use."""

    uuid: bytes
    users: int = 0


class Rule(enum.Enum):
    """The twelve rows of the judgement. `errno` 0 passes; `log` is the kernel's line without its prefix."""

    VF_UNGUARDED = (1, 0, "", "the PF is not on vfio-pci, so its VFs open without a token")
    VF_TOKEN_NOT_APPLICABLE = (
        2,
        errno.EINVAL,
        "VF token incorrectly provided, PF not bound to vfio-pci",
        "the PF is not on vfio-pci, so a token for its VFs is an error",
    )
    VF_TOKEN_REQUIRED = (
        3,
        errno.EACCES,
        "VF token required to access device",
        "the PF is on vfio-pci: its VFs open only with its token",
    )
    VF_TOKEN_INCORRECT = (4, errno.EACCES, "Incorrect VF token provided for device", "the token given is not the PF's present one")
    VF_TOKEN_CORRECT = (5, 0, "", "the token given is the PF's present one")
    PF_IDLE = (6, 0, "", "no VF is in use, so the PF opens without a token; its token stays as it was")
    PF_SETS_TOKEN = (7, 0, "", "no VF is in use, so the token given becomes the PF's token")
    PF_TOKEN_REQUIRED = (
        8,
        errno.EACCES,
        "VF token required to access device",
        "VFs of this PF are in use, so the PF opens only with the present token",
    )
    PF_TOKEN_INCORRECT = (
        9,
        errno.EACCES,
        "Incorrect VF token provided for device",
        "VFs of this PF are in use and the token given is not the present one",
    )
    PF_TOKEN_CORRECT = (10, 0, "", "VFs of this PF are in use and the token given is the present one")
    PLAIN = (11, 0, "", "neither a PF nor a VF: no token applies")
    PLAIN_TOKEN = (
        12,
        errno.EINVAL,
        "VF token incorrectly provided, not a PF or VF",
        "neither a PF nor a VF, so a token is an error",
    )

    @property
    def row(self) -> int:
        """The row's number in the table."""
        return self.value[0]

    @property
    def errno(self) -> int:
        """0 to pass, else the errno."""
        return self.value[1]

    @property
    def log(self) -> str:
        """The kernel's log line for a refusal, without the `vfio-pci BDF: ` prefix; "" where none is logged."""
        return self.value[2]

    @property
    def reason(self) -> str:
        """The rule in words."""
        return self.value[3]


def judge(role: Role, guarded: bool, users: int, token_given: bool, matches: Callable[[], bool]) -> Rule:
    """The token judgement.

    Args:
        role: of the function being opened.
        guarded: of a VF, whether its PF is bound to vfio-pci; of a PF on vfio-pci always True.
        users: the VFs of the PF in use (matters for a PF only).
        token_given: whether the opener gave a token.
        matches: whether the token given is the present one; asked only where the rule depends on it.
    """
    if role is Role.PLAIN:
        return Rule.PLAIN_TOKEN if token_given else Rule.PLAIN
    if role is Role.VF:
        if not guarded:
            return Rule.VF_TOKEN_NOT_APPLICABLE if token_given else Rule.VF_UNGUARDED
        if not token_given:
            return Rule.VF_TOKEN_REQUIRED
        return Rule.VF_TOKEN_CORRECT if matches() else Rule.VF_TOKEN_INCORRECT
    if users == 0:
        return Rule.PF_SETS_TOKEN if token_given else Rule.PF_IDLE
    if not token_given:
        return Rule.PF_TOKEN_REQUIRED
    return Rule.PF_TOKEN_CORRECT if matches() else Rule.PF_TOKEN_INCORRECT


def validate_vf_token(role: Role, record: TokenRecord | None, token: bytes | None) -> Rule:
    """Judge an open against a real record and, where the rule says so, store the token (row 7).

    `record` is the PF's own record (PF), the PF's record when the PF is on vfio-pci (VF), else None.
    """
    rule = judge(
        role,
        record is not None,
        record.users if record else 0,
        token is not None,
        lambda: record is not None and token is not None and same(record.uuid, token),
    )
    if rule is Rule.PF_SETS_TOKEN and record is not None and token is not None:
        record.uuid = token
    return rule
