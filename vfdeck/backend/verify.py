"""Is this the token of a VF's PF? Asked of the kernel without opening the VF: nothing is reset, and nobody is counted as a user.

Both questions are opens that cannot succeed, and that the kernel refuses only after it has judged the token: a group without a
container (group.c, from 5.19; checked on 6.12 and 7.3), a bind to an fd that is no iommufd (device_cdev.c, from 6.18.3; checked
on 7.3). On a PF with no VF in use the same questions would *set* the token: never ask one.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass

from vfdeck.backend.changes import Change, Explanation, OpenPath, SetToken, VerifyToken
from vfdeck.backend.explain import explain as explain_refusal
from vfdeck.backend.facts import Facts
from vfdeck.backend.kernel import Kernel, Refusal, Stage
from vfdeck.backend.model import Snapshot
from vfdeck.backend.vfio import DEVICES, Program, rung


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a token was right; None: not asked, or it could not be told, and then why (a refusal of the kernel, or "")."""

    right: bool | None = None
    why: str = ""


def by_group(kernel: Kernel, bdf: str, argument: bytes, bare: bytes) -> bool | None:
    """Whether the token in `argument` is the right one for the VF `bdf`; None where this kernel does not tell.

    Asked with `argument` and, where that passes, with `bare`, the same without a token: only a kernel that refuses this one judges
    tokens before it misses the container. The group is open for these two calls.

    Raises:
        Refusal: it could not be asked: the VF has gone, or is none (`file`); its group is taken, or not for us (`open_group`).
    """
    _must_be_vf(kernel, bdf)
    path = f"/dev/vfio/{Program(kernel).group_node(bdf)}"
    group = rung(Stage.OPEN_GROUP, path, lambda: kernel.open(path))
    try:
        given = _answer(kernel, group, argument, bdf)
        if given == errno.EACCES:
            return False
        if given != errno.EINVAL:
            raise Refusal(given, Stage.GET_DEVICE_FD, bdf)
        return True if _answer(kernel, group, bare, bdf) == errno.EACCES else None
    finally:
        kernel.close(group)


def _answer(kernel: Kernel, group: int, argument: bytes, bdf: str) -> int:
    """The errno of the refusal.

    Raises:
        AssertionError: the kernel opened the device, which no kernel does without a container. It is closed again.
    """
    try:
        device = kernel.get_device_fd(group, argument)
    except OSError as error:
        return error.errno or errno.EIO
    kernel.close(device)
    raise AssertionError(f"the kernel opened {bdf} without a container")


def by_cdev(kernel: Kernel, bdf: str, token: bytes) -> bool:
    """Whether `token` is the right one for the VF `bdf`, asked through its own node, which may be in use through that node.

    Raises:
        Refusal: it could not be asked: the VF has gone, or is none (`file`); no node of its own (`cdev_node`, `open_cdev`); or at
            `bind_iommufd` EBUSY: its group is open, EINVAL: no token applies or the kernel takes none here, E2BIG: 6.17 to 6.18.2.
    """
    _must_be_vf(kernel, bdf)
    directory = f"{DEVICES}/{bdf}/vfio-dev"
    names = rung(Stage.CDEV_NODE, bdf, lambda: kernel.names(directory))
    if not names:
        raise Refusal(errno.ENOENT, Stage.CDEV_NODE, bdf)
    path = f"/dev/vfio/devices/{names[0]}"
    cdev = rung(Stage.OPEN_CDEV, path, lambda: kernel.open(path))
    try:
        rung(Stage.BIND_IOMMUFD, bdf, lambda: kernel.bind_iommufd(cdev, cdev, token=token))  # an open fd that is no iommufd
    except Refusal as refusal:
        if refusal.errno in (errno.EACCES, errno.EBADFD):
            return refusal.errno == errno.EBADFD
        raise
    finally:
        kernel.close(cdev)
    raise AssertionError(f"the kernel bound {bdf} to its own descriptor")


def _must_be_vf(kernel: Kernel, bdf: str) -> None:
    path = f"{DEVICES}/{bdf}/physfn"
    rung(Stage.FILE, path, lambda: kernel.link(path))


def explain(change: Change, before: Snapshot, verdict: Verdict) -> Explanation | None:
    """What a verdict other than yes means; None where there is nothing to say."""
    if isinstance(change, VerifyToken) and verdict.right is False:
        stage = Stage.GET_DEVICE_FD if change.path is OpenPath.GROUP else Stage.BIND_IOMMUFD
        return next(iter(explain_refusal(Facts(before, change, stage, errno.EACCES, change.bdf))), None)
    if isinstance(change, VerifyToken) and verdict.right is None:
        return Explanation(
            "note",
            "The kernel does not tell",
            "A kernel that judges tokens before it misses the container (5.19 and later) refuses the VF without a token: EACCES.",
            f"Here {change.bdf} without a token was not refused so: its token cannot be told right from wrong without opening it.",
            do=(f"Open {change.bdf} with the token, where that does no harm: it resets the VF.",),
        )
    if isinstance(change, SetToken) and verdict.right is False:
        return Explanation(
            "note",
            "Set, but another token is in force by now",
            "The last one who sets a PF's token wins; the kernel tells nobody.",
            f"A VF of {change.pf}, asked right afterwards, refused #{change.token.fingerprint}: somebody else set another token in "
            "this moment, or the descriptor was not the one of this PF.",
            do=("See who has the PF open, agree with them, then set it again.",),
        )
    if isinstance(change, SetToken) and verdict.why:
        return Explanation(
            "note",
            "Set; whether it is in force could not be asked",
            "A VF that is free can be asked whether a token is right; this one was not to be had in this moment.",
            f"The question was refused: {verdict.why}.",
            do=("Verify the token once a VF is free.",),
        )
    return None
