"""What a kernel is expected to answer to an open, before it is tried: the ladders rung by rung, with the rules the kernel uses.

A prediction is exact, inferred (versions may be backported, holders and tokens are known only as far as vfdeck sees), or unknown
where nobody could say: only the setter knows a token. Its words are those of the explanation that the refusal would get.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass, replace

from vfdeck.backend.changes import Open, OpenPath
from vfdeck.backend.explain import explain
from vfdeck.backend.facts import Facts, blocking_members, group_members, guarded, kernel_has
from vfdeck.backend.kernel import Stage, errno_name
from vfdeck.backend.model import Certainty, Function, Holder, Role, Snapshot, TokenState
from vfdeck.backend.token_rules import judge


@dataclass(frozen=True, slots=True)
class Prediction:
    """An expected answer; `stage` None and `errno` 0: it opens."""

    errno: int
    stage: Stage | None
    certainty: Certainty
    reason: str = ""

    def __str__(self) -> str:
        """As a clause: `EACCES at get_device_fd (VF token required)`."""
        answer = "it opens" if self.stage is None else f"{errno_name(self.errno)} at {self.stage}"
        doubt = {Certainty.EXACT: "", Certainty.INFERRED: " as far as can be seen"}.get(
            self.certainty, " or success, which cannot be known"
        )
        return f"{answer}{doubt}" + (f" ({self.reason})" if self.reason else "")


@dataclass(frozen=True, slots=True)
class _Ask:
    change: Open
    snapshot: Snapshot
    function: Function
    own: frozenset[str]

    def has(self, switch: str) -> bool:
        return kernel_has(self.snapshot.host.kernel, switch)

    @property
    def holders(self) -> list[Holder]:
        """Who holds members of the group."""
        return [h for name in group_members(self.snapshot, self.function.bdf) for h in self.snapshot.holders_of(name)]


Rung = Callable[[_Ask], Prediction | None]


def predict(change: Open, snapshot: Snapshot, own: frozenset[str] = frozenset()) -> Prediction | None:
    """The expected answer to an open; None where the function is not there."""
    function = snapshot.functions.get(change.bdf)
    if function is None:
        return None
    ask = _Ask(change, snapshot, function, own)
    found = next((p for rung in _LADDERS[change.path] if (p := rung(ask))), Prediction(0, None, Certainty.INFERRED))
    if found.stage is None or found.reason:
        return found
    facts = Facts(snapshot, change, found.stage, found.errno, own=own)
    return replace(found, reason=explain(facts)[0].title)


def _no(number: int, stage: Stage, certainty: Certainty = Certainty.EXACT) -> Prediction:
    return Prediction(number, stage, certainty)


# -- rungs of both ladders ---------------------------------------------------------------------------------------------
def _blocked_group(ask: _Ask) -> Prediction | None:
    if not blocking_members(ask.snapshot, ask.function.bdf):
        return None
    if ask.change.path is OpenPath.CDEV:
        return _no(errno.EPERM, Stage.BIND_IOMMUFD)
    if ask.has("dma_owner"):
        return _no(errno.EPERM, Stage.SET_CONTAINER)
    return _no(errno.EINVAL, Stage.GET_DEVICE_FD)


def _token(ask: _Ask) -> Prediction | None:
    """The token judgement, as far as the token and the users are known."""
    function, given = ask.function, ask.change.token is not None
    stage = Stage.BIND_IOMMUFD if ask.change.path is OpenPath.CDEV else Stage.GET_DEVICE_FD
    users = ask.snapshot.users_of(function.bdf) if function.role is Role.PF else None
    matches = _matches(ask)
    is_guarded = guarded(ask.snapshot, function.bdf)
    rule = judge(function.role, is_guarded, users.value if users else 0, given, lambda: matches is not False)
    if users is not None and users.value == 0 and users.certainty is not Certainty.EXACT:
        why = "no VF is seen to be in use, but not every process could be looked at"
        return Prediction(errno.EACCES, stage, Certainty.UNKNOWN, f"{why}: with VFs in use it takes the token in force")
    if rule.errno:
        sure = users is None or users.certainty is Certainty.EXACT
        return _no(rule.errno, stage, Certainty.EXACT if sure and (not given or rule.errno == errno.EINVAL) else Certainty.INFERRED)
    if given and matches is None and is_guarded and (users is None or users.value):
        return Prediction(errno.EACCES, stage, Certainty.UNKNOWN, "only who set the PF's token knows whether this is it")
    return Prediction(0, None, Certainty.INFERRED, rule.reason)


def _matches(ask: _Ask) -> bool | None:
    """Whether the token given is the one in force, as far as is known here."""
    known = ask.snapshot.tokens.get(ask.function.physfn or ask.function.bdf)
    if known is None or ask.change.token is None or known.state not in (TokenState.SET, TokenState.UNSET):
        return None
    return known.state is TokenState.SET and known.fingerprint == ask.change.token.fingerprint


# -- group path --------------------------------------------------------------------------------------------------------
def _no_group(ask: _Ask) -> Prediction | None:
    return _no(errno.ENOENT, Stage.IOMMU_GROUP) if ask.function.iommu_group is None else None


def _no_group_node(ask: _Ask) -> Prediction | None:
    members = [ask.snapshot.functions[m] for m in group_members(ask.snapshot, ask.function.bdf) if m in ask.snapshot.functions]
    return None if any(f.on_vfio for f in members) else _no(errno.ENOENT, Stage.OPEN_GROUP)


def _group_mode(ask: _Ask) -> Prediction | None:
    return None if ask.snapshot.host.privileged else _no(errno.EACCES, Stage.OPEN_GROUP, Certainty.INFERRED)


def _group_busy(ask: _Ask) -> Prediction | None:
    """Another program has the group; a group that we have open ourselves by its node is used again."""
    busy = any(not h.own or h.kind == "cdev" for h in ask.holders)
    return _no(errno.EBUSY, Stage.OPEN_GROUP, Certainty.INFERRED) if busy else None


def _no_tokens_yet(ask: _Ask) -> Prediction | None:
    if ask.has("vf_token"):
        return None
    if ask.change.token is not None:
        return _no(errno.ENODEV, Stage.GET_DEVICE_FD)
    return Prediction(0, None, Certainty.INFERRED, "this kernel knows no tokens")


def _not_on_vfio(ask: _Ask) -> Prediction | None:
    return None if ask.function.on_vfio else _no(errno.ENODEV, Stage.GET_DEVICE_FD)


# -- cdev path ---------------------------------------------------------------------------------------------------------
def _no_node(ask: _Ask) -> Prediction | None:
    if ask.function.on_vfio and ask.function.cdev and ask.has("cdev"):
        return None
    listed = ask.function.on_vfio and ask.has("vfio_dev_sysfs")  # kernels built without nodes have the directory all the same
    return _no(errno.ENOENT, Stage.OPEN_CDEV if listed else Stage.CDEV_NODE)


def _cdev_mode(ask: _Ask) -> Prediction | None:
    return None if ask.snapshot.host.privileged else _no(errno.EACCES, Stage.OPEN_CDEV, Certainty.INFERRED)


def _bind_knows_token(ask: _Ask) -> Prediction | None:
    if ask.change.token is None or ask.has("cdev_token_works"):
        return None
    return _no(errno.E2BIG if ask.has("cdev_token") else errno.EINVAL, Stage.BIND_IOMMUFD, Certainty.INFERRED)


def _group_open(ask: _Ask) -> Prediction | None:
    return _no(errno.EBUSY, Stage.BIND_IOMMUFD, Certainty.INFERRED) if any(h.kind != "cdev" for h in ask.holders) else None


def _bind_token(ask: _Ask) -> Prediction | None:
    """No judgement before 6.17; a pass leaves the rungs after it to speak."""
    found = _token(ask) if ask.has("cdev_token") else None
    return found if found and found.stage else None


def _bound_elsewhere(ask: _Ask) -> Prediction | None:
    taken = ask.function.bdf in ask.own or ask.snapshot.holders_of(ask.function.bdf)
    return _no(errno.EINVAL, Stage.BIND_IOMMUFD, Certainty.INFERRED) if taken else None


_LADDERS: dict[OpenPath, tuple[Rung, ...]] = {
    OpenPath.GROUP: (
        _no_group,
        _no_group_node,
        _group_mode,
        _group_busy,
        _blocked_group,
        _no_tokens_yet,
        _not_on_vfio,
        _token,
    ),
    OpenPath.CDEV: (_no_node, _cdev_mode, _bind_knows_token, _group_open, _bind_token, _bound_elsewhere, _blocked_group),
}
