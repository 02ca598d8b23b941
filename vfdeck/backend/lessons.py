"""What the answer to a change teaches of tokens: the kernel tells nobody a token, but an open that passed tells something."""

from __future__ import annotations

import errno
from collections.abc import Sequence

from vfdeck.backend.changes import BindDriver, Change, Open, Outcome, SetToken, TokenWay, VerifyToken, target_of
from vfdeck.backend.facts import guarded, host_has
from vfdeck.backend.kernel import Stage
from vfdeck.backend.knowledge import TokenWatch
from vfdeck.backend.model import Certainty, Role, Snapshot
from vfdeck.backend.rotation import way

#: The stages that judge a token, with the errnos that surely come before the judgement or from it. Any other may have come after
#: it (vfio_device_open: no container, enabling the function), when a PF's token was set already.
_JUDGED = {
    Stage.GET_DEVICE_FD: {errno.EACCES, errno.EFAULT},
    Stage.BIND_IOMMUFD: {errno.EACCES, errno.EFAULT, errno.E2BIG},
}


def may_have_set(outcome: Outcome, borrowed: bool = False) -> bool:
    """Whether the token that a change was to give a PF may be in force now. `borrowed`: through another program's descriptor.

    Opening a PF with a token sets it before the device itself is opened, so a later failure of the same call leaves it set. What
    a check found to be another token, somebody set in the same moment; a borrowed descriptor may also be another PF's, which has
    the token now.
    """
    if outcome.ok:
        return outcome.verified is not False or borrowed
    if not outcome.attempted:
        return False
    return outcome.blocked or _set_all_the_same(outcome.stage, outcome.errno, outcome.done)


def _set_all_the_same(stage: Stage | None, number: int, done: Sequence[str]) -> bool:
    """Whether a call that was refused may have set the token. No rung is Stage.FILE: that is a failure between the calls."""
    if stage is Stage.FEATURE:  # every refusal of that call comes before it stores the token (vfio_pci_core_feature_token)
        return False
    if done or stage is Stage.FILE:
        return True
    return stage in _JUDGED and number not in _JUDGED[stage]


def about_to(watch: TokenWatch, change: Change, before: Snapshot, now: float) -> None:
    """A change is about to be made that may set a token: whoever reads the journal meanwhile is told."""
    if _may_set(change, before) and isinstance(change, (Open, SetToken)) and change.token is not None:
        taken = way(change, before) if isinstance(change, SetToken) else TokenWay.OPEN
        watch.about_to_set(target_of(change), change.token, now, taken.value)


def _may_set(change: Change, before: Snapshot) -> bool:
    """Whether a change gives a PF a token."""
    return isinstance(change, SetToken) or (isinstance(change, Open) and _role(before, change.bdf) is Role.PF)


def success(watch: TokenWatch, change: Change, before: Snapshot, now: float) -> None:
    """A change succeeded. A PF that opened with a token has this one: it was set, or, with VFs in use, it was right."""
    role = _role(before, target_of(change))
    if isinstance(change, SetToken):
        watch.set_by_us(change.pf, change.token, now)
    elif isinstance(change, Open) and change.token is not None and role is Role.PF:
        (watch.proved if _in_use(before, change.bdf) else watch.set_by_us)(change.bdf, change.token, now)
    elif isinstance(change, Open) and change.token is not None and guarded(before, change.bdf):
        watch.proved(pf_of(before, change.bdf), change.token, now)
    elif isinstance(change, BindDriver) and change.driver == "vfio-pci" and role is Role.PF:
        watch.bound(change.bdf, now)


def refusal(
    watch: TokenWatch, change: Change, before: Snapshot, number: int, stage: Stage, now: float, done: Sequence[str] = ()
) -> None:
    """A refusal may show that what we knew of a token need not be true any more. `done`: the steps carried out before it.

    Either a token that we knew is not right now: somebody replaced it. Or an idle PF's open failed after the judgement of the
    token: then the token given was set although the open was refused (kernel: the match has that side effect).
    """
    if not isinstance(change, (Open, SetToken)) or change.token is None:
        return
    bdf = target_of(change)
    pf = pf_of(before, bdf)
    asked = stage is not Stage.BIND_IOMMUFD or host_has(before.host, "cdev_token")
    refused = asked and stage in _JUDGED and number == errno.EACCES and watch.believes(pf, change.token)
    late = asked and _set_all_the_same(stage, number, done)
    if refused or (late and _role(before, bdf) is Role.PF):
        watch.doubt(pf, now)
    elif _may_set(change, before):
        watch.not_set(pf, change.token, now)


def opening_refused(
    watch: TokenWatch, change: SetToken, given: Open, before: Snapshot, number: int, stage: Stage, now: float
) -> None:
    """The PF did not open with the token that was to be in force: the new one was not set, and what was believed may be wrong."""
    watch.not_set(change.pf, change.token, now)
    refusal(watch, given, before, number, stage, now)


def asked(watch: TokenWatch, change: Change, before: Snapshot, right: bool | None, now: float) -> None:
    """A VF was asked whether the change's token is its PF's; `right` None: it did not tell."""
    if right is not None and isinstance(change, (VerifyToken, SetToken)):
        (watch.proved if right else watch.wrong)(pf_of(before, target_of(change)), change.token, now)


def pf_of(snapshot: Snapshot, bdf: str) -> str:
    """A VF's PF, any other function itself."""
    function = snapshot.functions.get(bdf)
    return function.physfn or bdf if function else bdf


def _in_use(snapshot: Snapshot, pf: str) -> bool:
    """Whether a VF of the PF is certainly in use, so that an open of the PF compares the token and sets none."""
    users = snapshot.users_of(pf)
    return users.value > 0 and users.certainty is Certainty.EXACT


def _role(snapshot: Snapshot, bdf: str) -> Role | None:
    function = snapshot.functions.get(bdf)
    return function.role if function else None
