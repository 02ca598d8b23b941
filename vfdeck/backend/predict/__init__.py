"""What the kernel is expected to answer to a change, before it is tried: its acts one after the other, with the rules it uses.

A prediction is exact, inferred (versions may be backported, holders and tokens are known only as far as vfdeck sees), or unknown
where nobody could say: only the setter knows a token. `ask` says what makes one exact. The plan shows it, the outcome is compared
with it, and the tests of the simulated and of the real kernel count how often it is right.
"""

from __future__ import annotations

from dataclasses import replace

from vfdeck.backend.acts import Act, FeatureAct, OpenAct, VerifyAct, Write, steps
from vfdeck.backend.changes import Change, Prediction, target_of
from vfdeck.backend.facts import own_opens, vfs_of
from vfdeck.backend.leaving import takes_vfs
from vfdeck.backend.model import Certainty, Function, Snapshot
from vfdeck.backend.predict.ask import Ask
from vfdeck.backend.predict.opens import predict_feature, predict_open, predict_verify
from vfdeck.backend.predict.seen import NOT_SEEN, Seen
from vfdeck.backend.predict.writes import predict_write

#: From the least to the most certain.
_CERTAINTIES = (Certainty.UNKNOWN, Certainty.INFERRED, Certainty.EXACT)


def predict(change: Change, snapshot: Snapshot, own: frozenset[str] = frozenset(), seen: Seen = NOT_SEEN) -> Prediction | None:
    """The expected answer to a change; None where its function is not there, or there is nothing to do.

    Args:
        change: what is wanted.
        snapshot: the host's state now.
        own: functions that this program holds open, beside those that the snapshot says so of.
        seen: what was read beside the snapshot (`look_beside`).
    """
    function, mine = snapshot.functions.get(target_of(change)), own_opens(snapshot, own)
    if function is None:
        return None
    told: Prediction | None = None
    left = ""
    for number, act in enumerate(steps(change, snapshot, own)):
        found = replace(predict_act(act, Ask(function, snapshot, mine, seen, left)), step=number)
        told = found if told is None else _together(told, found)
        if found.errno:
            break
        left = left or _leaves_doubt(act, function, snapshot)
        snapshot = _after(act, function, snapshot)
        function = snapshot.functions[function.bdf]
    return told


def predict_act(act: Act, ask: Ask) -> Prediction:
    """The expected answer to one call for a function."""
    if isinstance(act, Write):
        return predict_write(ask, act)
    if isinstance(act, OpenAct):
        return predict_open(ask, act)
    if isinstance(act, FeatureAct):
        return predict_feature(ask, act)
    if isinstance(act, VerifyAct):
        return predict_verify(ask, act)
    return Prediction(0, None, Certainty.EXACT)  # a close


def _together(before: Prediction, after: Prediction) -> Prediction:
    """Two acts as one answer, no more certain than either. Of two that succeed the one with more to say speaks."""
    certainty = min(before.certainty, after.certainty, key=_CERTAINTIES.index)
    speaks = after if after.errno or (after.reason and not before.blocked) or not before.reason else before
    success = before.success if before.reason or not after.reason else after.success
    reason = speaks.reason or before.reason
    return replace(speaks, certainty=certainty, reason=reason, blocked=before.blocked or after.blocked, success=success)


# -- what an act leaves behind -----------------------------------------------------------------------------------------
def _after(act: Act, function: Function, snapshot: Snapshot) -> Snapshot:
    """The snapshot as far as the acts that follow ask for it: drivers, overrides, and VFs that have gone."""
    if not isinstance(act, Write):
        return snapshot
    name, value = act.path.rsplit("/", 1)[-1], act.data.decode().strip()
    if name == "sriov_numvfs" and value == "0":
        return _without_vfs(function, snapshot)
    if name == "unbind":
        gone = _without_vfs(function, snapshot) if takes_vfs(function.driver, snapshot.host) else snapshot
        return _with(replace(gone.functions[function.bdf], driver=None), gone)
    if name == "driver_override":
        return _with(replace(function, driver_override=value or None), snapshot)
    return snapshot


def _leaves_doubt(act: Act, function: Function, snapshot: Snapshot) -> str:
    """The driver that an unbind takes away, where nobody knows what it does with the function's VFs; else ""."""
    unbinds = isinstance(act, Write) and act.path.endswith("/unbind") and vfs_of(snapshot, function)
    return function.driver or "" if unbinds and takes_vfs(function.driver, snapshot.host) is None else ""


def _with(function: Function, snapshot: Snapshot) -> Snapshot:
    return replace(snapshot, functions={**snapshot.functions, function.bdf: function})


def _without_vfs(pf: Function, snapshot: Snapshot) -> Snapshot:
    if pf.sriov is None or not pf.sriov.vfs:
        return snapshot
    gone = frozenset(pf.sriov.vfs)
    left = {bdf: f for bdf, f in snapshot.functions.items() if bdf not in gone}
    holders = tuple(h for h in snapshot.holders if h.bdf not in gone)
    bare = replace(pf, sriov=replace(pf.sriov, vfs=()))
    return replace(snapshot, functions={**left, pf.bdf: bare}, holders=holders)
