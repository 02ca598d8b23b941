"""What the answer to a change teaches of tokens: the kernel tells nobody a token, but an open that passed tells something."""

from __future__ import annotations

import errno

from vfdeck.backend.changes import BindDriver, Change, Open, SetToken, VerifyToken, target_of
from vfdeck.backend.facts import guarded, host_has
from vfdeck.backend.kernel import Stage
from vfdeck.backend.knowledge import TokenWatch
from vfdeck.backend.model import Role, Snapshot

#: The stages that judge a token, with the errnos that come before or from the judgement itself; any other came after it.
_JUDGED = {
    Stage.GET_DEVICE_FD: {errno.EACCES, errno.EINVAL, errno.ENODEV},
    Stage.BIND_IOMMUFD: {errno.EACCES, errno.EBUSY, errno.ENODEV, errno.E2BIG},
}


def about_to(watch: TokenWatch, change: Change, before: Snapshot, now: float) -> None:
    """A change is about to be made that may set a token: whoever reads the journal meanwhile is told."""
    if _may_set(change, before) and isinstance(change, Open | SetToken) and change.token is not None:
        watch.about_to_set(target_of(change), change.token, now)


def _may_set(change: Change, before: Snapshot) -> bool:
    """Whether a change gives a PF a token."""
    return isinstance(change, SetToken) or (isinstance(change, Open) and _role(before, change.bdf) is Role.PF)


def success(watch: TokenWatch, change: Change, before: Snapshot, now: float) -> None:
    """A change succeeded. A PF that opened with a token has this one: it was set, or was right."""
    role = _role(before, target_of(change))
    if isinstance(change, SetToken):
        watch.set_by_us(change.pf, change.token, now)
    elif isinstance(change, Open) and change.token is not None and role is Role.PF:
        watch.set_by_us(change.bdf, change.token, now)
    elif isinstance(change, Open) and change.token is not None and guarded(before, change.bdf):
        watch.proved(pf_of(before, change.bdf), change.token, now)
    elif isinstance(change, BindDriver) and change.driver == "vfio-pci" and role is Role.PF:
        watch.bound(change.bdf, now)


def refusal(watch: TokenWatch, change: Change, before: Snapshot, number: int, stage: Stage, now: float) -> None:
    """A refusal may show that what we knew of a token need not be true any more.

    Either a token that we knew is not right now: somebody replaced it. Or an idle PF's open failed after the judgement of the
    token: then the token given was set although the open was refused (kernel: the match has that side effect).
    """
    if not isinstance(change, Open | SetToken) or change.token is None:
        return
    bdf = target_of(change)
    pf = pf_of(before, bdf)
    judged = stage in _JUDGED and (stage is not Stage.BIND_IOMMUFD or host_has(before.host, "cdev_token"))
    refused = judged and number == errno.EACCES and watch.believes(pf, change.token)
    late = judged and number not in _JUDGED[stage]
    if refused or (late and _role(before, bdf) is Role.PF):
        watch.doubt(pf, now)
    elif _may_set(change, before):
        watch.not_set(pf, change.token, now)


def asked(watch: TokenWatch, change: Change, before: Snapshot, right: bool | None, now: float) -> None:
    """A VF was asked whether the change's token is its PF's; `right` None: it did not tell."""
    if right is not None and isinstance(change, VerifyToken | SetToken):
        (watch.proved if right else watch.wrong)(pf_of(before, target_of(change)), change.token, now)


def pf_of(snapshot: Snapshot, bdf: str) -> str:
    """A VF's PF, any other function itself."""
    function = snapshot.functions.get(bdf)
    return function.physfn or bdf if function else bdf


def _role(snapshot: Snapshot, bdf: str) -> Role | None:
    function = snapshot.functions.get(bdf)
    return function.role if function else None
