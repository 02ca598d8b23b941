"""What an open is expected to answer: both ladders rung by rung, with the rules that the kernel uses.

Order of checks: drivers/vfio/group.c and device_cdev.c. The token judgement is `vfdeck.backend.token_rules`.
"""

from __future__ import annotations

import errno

from vfdeck.backend.acts import FeatureAct, OpenAct, VerifyAct
from vfdeck.backend.changes import Open, OpenPath, Prediction
from vfdeck.backend.evidence import CAP_SYS_RAWIO, known
from vfdeck.backend.explain import explain
from vfdeck.backend.facts import Facts, blocking_members, guarded
from vfdeck.backend.kernel import Stage
from vfdeck.backend.model import Certainty, Role
from vfdeck.backend.predict.ask import PLAIN_VFIO, Ask, Rule, exact_if, first, no, surely_no_vfio
from vfdeck.backend.predict.seen import BESIDE
from vfdeck.backend.token_rules import judge

OPENS = "it opens"


def predict_open(ask: Ask, act: OpenAct) -> Prediction:
    """The expected answer to an open, with the words of the explanation that a refusal would get."""
    found = first(_LADDERS[act.path], ask, act) or Prediction(0, None, Certainty.INFERRED, success=OPENS)
    if found.stage is None or found.reason:
        return found
    change = Open(act.bdf, act.token, path=act.path)
    facts = Facts(ask.snapshot, change, found.stage, found.errno, own=ask.own)
    return no(found.errno, found.stage, found.certainty, explain(facts)[0].title)


def predict_feature(ask: Ask, act: FeatureAct) -> Prediction:
    """The expected answer to setting a token through an open fd: the kernel checks neither users nor the old token."""
    if ask.function.role is not Role.PF or not ask.sure("vf_token"):
        certainty = exact_if(ask.function.role is not Role.PF and ask.function.driver == PLAIN_VFIO and not ask.doubtful([ask.bdf]))
        return no(errno.ENOTTY, Stage.FEATURE, certainty, f"{ask.bdf} has no token of its own")
    surely = ask.function.driver == PLAIN_VFIO and not act.lenders  # a duplicate may be refused, or be gone
    return Prediction(0, None, exact_if(surely), success="the token is set")


def predict_verify(ask: Ask, act: VerifyAct) -> Prediction:
    """The expected answer to asking of a VF whether a token is right: what refuses the question, not what it comes to."""
    if act.after:
        return Prediction(0, None, Certainty.EXACT)
    opening = OpenAct(act.bdf, act.token, act.path, act.node)
    return first(_QUESTIONS[act.path], ask, opening) or Prediction(0, None, Certainty.INFERRED, success="the kernel tells")


def _opens(reason: str) -> Prediction:
    return Prediction(0, None, Certainty.INFERRED, reason, success=OPENS)


def _settled(ask: Ask) -> bool:
    """Whether nothing unseen can come between: nobody else has the group, and no removal of the function can be waiting."""
    mine = {h.bdf for h in ask.group_holders if h.own and h.bdf != ask.bdf}
    return ask.quiet(set(ask.members) - mine)


def _our_group(ask: Ask) -> bool:
    """Whether this program has the group open by its node already: then the node and the container are not asked again."""
    held = [h for h in ask.group_holders if h.own]
    return bool(held) and all(h.kind != "cdev" for h in held)


def _reached(ask: Ask, act: OpenAct) -> bool:
    """Whether an open surely comes as far as the rung that judges: no container, module or platform is asked on the way.

    So it is on the group path where this program has the group already. On the cdev path every open opens the function's node anew.
    """
    return act.path is OpenPath.GROUP and _our_group(ask)


# -- rungs of both ladders ---------------------------------------------------------------------------------------------
def _beside(ask: Ask, act: OpenAct) -> Prediction | None:
    """The node beside the function's or the group's own: /dev/vfio/vfio, or /dev/iommu (C21, C2, E4, E5)."""
    by_cdev = act.path is OpenPath.CDEV
    if _iommufd_open(ask) if by_cdev else _our_group(ask):
        return None
    stage, node = Stage.OPEN_IOMMU if by_cdev else Stage.OPEN_CONTAINER, BESIDE[act.path]
    if ask.seen.beside_missing:
        return no(errno.ENOENT, stage, Certainty.INFERRED, f"there is no {node}")
    if ask.seen.admits(ask.seen.beside) is False:
        return no(errno.EACCES, stage, Certainty.INFERRED, f"mode and owner of {node} keep vfdeck out")
    return None


def _iommufd_open(ask: Ask) -> bool:
    """Whether this program has /dev/iommu open already: it does with the first device that it opened by its own node."""
    return any(h.own and h.kind == "cdev" for h in ask.snapshot.holders)


def _no_backend(ask: Ask, _: OpenAct) -> Prediction | None:
    """The backend of containers is not there (C13)."""
    if known(ask.seen.type1) is not False or ask.function.noiommu or _our_group(ask):
        return None
    return no(errno.ENODEV, Stage.SET_IOMMU, Certainty.INFERRED, "vfio_iommu_type1 is not loaded")


def _tied(ask: Ask, act: OpenAct) -> Prediction | None:
    """Firmware keeps memory of the group for itself (C11): newer kernels say so when the group is claimed, older ones later."""
    if not ask.seen.tied or (act.path is OpenPath.GROUP and _our_group(ask)):
        return None
    reason = f"firmware keeps memory of group {ask.function.iommu_group} for itself"
    if not ask.has("require_direct"):
        return None if act.path is OpenPath.CDEV else no(errno.EPERM, Stage.SET_IOMMU, Certainty.INFERRED, reason)
    stage = Stage.BIND_IOMMUFD if act.path is OpenPath.CDEV else Stage.SET_CONTAINER
    return no(errno.EINVAL, stage, Certainty.INFERRED, reason)


def _blocked_group(ask: Ask, act: OpenAct) -> Prediction | None:
    """A member's driver does DMA of its own; which drivers do not is known by name only (kernel: driver_managed_dma)."""
    if not blocking_members(ask.snapshot, ask.bdf) or _our_group(ask):
        return None
    if act.path is OpenPath.CDEV:
        return no(errno.EPERM, Stage.BIND_IOMMUFD, Certainty.INFERRED)
    if ask.has("dma_owner"):
        return no(errno.EPERM, Stage.SET_CONTAINER, Certainty.INFERRED)
    return no(errno.EINVAL, Stage.GET_DEVICE_FD, Certainty.INFERRED)


def _token(ask: Ask, act: OpenAct) -> Prediction | None:
    """The token judgement, as far as the token and the users are known; None where it passes."""
    function, given = ask.function, act.token is not None
    stage = Stage.BIND_IOMMUFD if act.path is OpenPath.CDEV else Stage.GET_DEVICE_FD
    users = ask.snapshot.users_of(ask.bdf) if function.role is Role.PF else None
    matches = ask.token_matches(act.token)
    is_guarded = guarded(ask.snapshot, ask.bdf)
    rule = judge(function.role, is_guarded, users.value if users else 0, given, lambda: matches is not False)
    if users is not None and users.value == 0 and users.certainty is not Certainty.EXACT:
        why = "no VF is seen to be in use, but not every process could be looked at"
        return no(errno.EACCES, stage, Certainty.UNKNOWN, f"{why}: with VFs in use it takes the token in force")
    if rule.errno:
        by_rule = not given or rule.errno == errno.EINVAL  # a wrong token may have become the right one
        counted = users is None or users.certainty is Certainty.EXACT
        surely = by_rule and counted and _reached(ask, act) and _guard_known(ask) and _settled(ask)
        return no(rule.errno, stage, exact_if(surely))
    if given and matches is None and is_guarded and (users is None or users.value):
        return no(errno.EACCES, stage, Certainty.UNKNOWN, "only who set the PF's token knows whether this is it")
    return None


def _guard_known(ask: Ask) -> bool:
    """Whether it is certain that a token applies, or does not. Variants of vfio-pci have hooks of their own, and before 5.18 it
    matters whether a VF is on the same driver as its PF."""
    if not ask.sure("vf_token") or ask.function.driver != PLAIN_VFIO:
        return False
    if ask.function.role is not Role.VF:
        return True
    pf = ask.pf
    return pf is not None and (pf.driver == PLAIN_VFIO or surely_no_vfio([pf])) and not ask.doubtful([pf.bdf])


def _opens_by_token(ask: Ask, act: OpenAct) -> Prediction | None:
    """The judgement passes: the reason is its row."""
    users = ask.snapshot.users_of(ask.bdf).value if ask.function.role is Role.PF else 0
    rule = judge(ask.function.role, guarded(ask.snapshot, ask.bdf), users, act.token is not None, lambda: True)
    return _opens(rule.reason)


def _changing(ask: Ask, _: OpenAct) -> Prediction | None:
    """The first open resets the function, which wants its lock (vfio_pci_core_enable)."""
    job = ask.job()
    if job is None:
        return None
    stage = Stage.BIND_IOMMUFD if _.path is OpenPath.CDEV else Stage.GET_DEVICE_FD
    return no(errno.EAGAIN, stage, Certainty.INFERRED, f"a change of {ask.bdf} is under way ({job.title})")


# -- group path --------------------------------------------------------------------------------------------------------
def _no_group(ask: Ask, _: OpenAct) -> Prediction | None:
    if ask.function.iommu_group is not None:
        return None
    return no(errno.ENOENT, Stage.IOMMU_GROUP, exact_if(not ask.doubtful([ask.bdf])))


def _no_group_node(ask: Ask, _: OpenAct) -> Prediction | None:
    members = [ask.snapshot.functions[m] for m in ask.members if m in ask.snapshot.functions]
    if any(f.on_vfio for f in members):
        return None
    return no(errno.ENOENT, Stage.OPEN_GROUP, exact_if(surely_no_vfio(members) and not ask.doubtful(ask.members)))


def _group_mode(ask: Ask, _: OpenAct) -> Prediction | None:
    return None if _our_group(ask) else _node_mode(ask, Stage.OPEN_GROUP)


def _node_mode(ask: Ask, stage: Stage) -> Prediction | None:
    """The node is there, with this mode and owner, where they were read; then the right that a missing IOMMU demands (C5)."""
    if ask.seen.node_missing:
        return no(errno.ENOENT, stage, Certainty.INFERRED)
    admitted = ask.seen.admits(ask.seen.node)
    if not (ask.snapshot.host.privileged if admitted is None else admitted):
        return no(errno.EACCES, stage, Certainty.INFERRED)
    who = known(ask.seen.rights)
    if ask.function.noiommu and who is not None and who.on_host(CAP_SYS_RAWIO) is False:
        return no(errno.EPERM, stage, Certainty.INFERRED)
    return None


def _group_busy(ask: Ask, _: OpenAct) -> Prediction | None:
    """Another program has the group; a group that we have open ourselves by its node is used again."""
    busy = any(not h.own or h.kind == "cdev" for h in ask.group_holders)
    return no(errno.EBUSY, Stage.OPEN_GROUP, Certainty.INFERRED) if busy else None


def _no_tokens_yet(ask: Ask, act: OpenAct) -> Prediction | None:
    if ask.has("vf_token"):
        return None
    if act.token is not None:
        return no(errno.ENODEV, Stage.GET_DEVICE_FD, Certainty.INFERRED)
    return _opens("this kernel knows no tokens")


def _not_on_vfio(ask: Ask, act: OpenAct) -> Prediction | None:
    if ask.function.on_vfio:
        return None
    surely = surely_no_vfio([ask.function]) and _reached(ask, act) and _settled(ask)
    return no(errno.ENODEV, Stage.GET_DEVICE_FD, exact_if(surely))


# -- cdev path ---------------------------------------------------------------------------------------------------------
def _no_node(ask: Ask, _: OpenAct) -> Prediction | None:
    """Kernels built without such nodes have the directory that names them all the same."""
    if ask.function.on_vfio and ask.function.cdev:
        return None
    if not ask.function.on_vfio:
        none = surely_no_vfio([ask.function]) and not ask.doubtful([ask.bdf])
        return no(errno.ENOENT, Stage.CDEV_NODE, exact_if(none))
    if ask.has("vfio_dev_sysfs"):
        known = ask.sure("vfio_dev_sysfs") and ask.quiet([ask.bdf]) and not ask.doubtful(["/dev/vfio"])
        return no(errno.ENOENT, Stage.OPEN_CDEV, exact_if(known))
    return no(errno.ENOENT, Stage.CDEV_NODE, Certainty.INFERRED)


def _cdev_mode(ask: Ask, _: OpenAct) -> Prediction | None:
    return _node_mode(ask, Stage.OPEN_CDEV)


def _bind_knows_token(ask: Ask, act: OpenAct) -> Prediction | None:
    if act.token is None or ask.has("cdev_token_works"):
        return None
    return no(errno.E2BIG if ask.has("cdev_token") else errno.EINVAL, Stage.BIND_IOMMUFD, Certainty.INFERRED)


def _group_open(ask: Ask, _: OpenAct) -> Prediction | None:
    """Somebody has the group by its node. A mapping does not tell by which node its device was opened."""
    kinds = {h.kind for h in ask.group_holders} - {"cdev"}
    if kinds == {"mapping"}:
        why = f"whether who maps a function of group {ask.function.iommu_group} opened it by the group's node"
        return no(errno.EBUSY, Stage.BIND_IOMMUFD, Certainty.UNKNOWN, why)
    return no(errno.EBUSY, Stage.BIND_IOMMUFD, Certainty.INFERRED) if kinds else None


def _bind_token(ask: Ask, act: OpenAct) -> Prediction | None:
    """No judgement before 6.17."""
    return _token(ask, act) if ask.has("cdev_token") else None


def _bound_elsewhere(ask: Ask, _: OpenAct) -> Prediction | None:
    taken = ask.bdf in ask.own or ask.holders_of([ask.bdf])
    return no(errno.EINVAL, Stage.BIND_IOMMUFD, Certainty.INFERRED) if taken else None


_LADDERS: dict[OpenPath, tuple[Rule[OpenAct], ...]] = {
    OpenPath.GROUP: (
        _no_group,
        _no_group_node,
        _group_mode,
        _group_busy,
        _beside,
        _blocked_group,
        _tied,
        _no_backend,
        _no_tokens_yet,
        _not_on_vfio,
        _token,
        _changing,
        _opens_by_token,
    ),
    OpenPath.CDEV: (
        _no_node,
        _cdev_mode,
        _beside,
        _bind_knows_token,
        _group_open,
        _bind_token,
        _bound_elsewhere,
        _blocked_group,
        _tied,
        _changing,
    ),
}

#: The rungs that come before the token is judged, where a VF is only asked about it.
_QUESTIONS: dict[OpenPath, tuple[Rule[OpenAct], ...]] = {
    OpenPath.GROUP: (_no_group, _no_group_node, _group_mode, _group_busy),
    OpenPath.CDEV: (_no_node, _cdev_mode, _bind_knows_token, _group_open),
}
