"""What a change would do, before it is done: steps, blast radius, and whether it can be done at all.

*Impossible* means that nothing sensible could come of it, and says why: it makes no sense, it would hang this very program, or the
kernel surely refuses a file (or likely does, after the change has taken something away already). What the kernel would refuse is
asked of `vfdeck.backend.predict` and foretold by the plan. An open is worth trying for the answer. Every kind of change has a
function that looks for obstacles and one that collects warnings; all only read the snapshot.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from vfdeck.backend import blast, rotation
from vfdeck.backend.acts import steps
from vfdeck.backend.changes import (
    BindDriver,
    Change,
    Close,
    Open,
    OpenPath,
    Plan,
    Prediction,
    ResetFunction,
    SetAutoprobe,
    SetNumvfs,
    SetToken,
    Step,
    TokenWay,
    UnbindDriver,
    VerifyToken,
    target_of,
)
from vfdeck.backend.facts import NETWORK, going_holders, host_has, own_opens, vfs_of
from vfdeck.backend.kernel import Stage, errno_name
from vfdeck.backend.model import Certainty, Function, JobState, Role, Snapshot, TokenState, is_vfio_driver
from vfdeck.backend.predict import predict
from vfdeck.backend.predict.seen import NOT_SEEN, Seen
from vfdeck.backend.token import Token
from vfdeck.backend.usage.said import losses, severe
from vfdeck.backend.usage.values import Usage
from vfdeck.backend.well_known import is_guessable, well_known
from vfdeck.backend.wording import listing, role_of

_DRIVER_NAME = re.compile(r"[A-Za-z0-9_.+ -]{1,100}")


@dataclass(frozen=True, slots=True)
class _Scene:
    """What a plan is made from: the function concerned, the snapshot, and what this program holds open."""

    function: Function
    snapshot: Snapshot
    own: frozenset[str]
    usage: Usage

    @property
    def bdf(self) -> str:
        return self.function.bdf

    @property
    def vfs(self) -> list[Function]:
        """The VFs of the function, if it is a PF."""
        return vfs_of(self.snapshot, self.function)

    def has(self, switch: str) -> bool:
        return host_has(self.snapshot.host, switch)


def plan(
    change: Change,
    snapshot: Snapshot,
    own: frozenset[str] = frozenset(),
    usage: Usage = blast.NO_USAGE,
    seen: Seen = NOT_SEEN,
) -> Plan:
    """What `change` would do, judged by `snapshot`.

    `own`: functions this program holds, beside those the snapshot says so of; `usage`: what the host uses `blast.going` for;
    `seen`: what was read beside the snapshot for the prediction.
    """
    bdf = target_of(change)
    function = snapshot.functions.get(bdf)
    if function is None:
        return Plan(change, bdf, impossible=f"{bdf} is not there (any more), or is none of the functions that vfdeck shows")
    scene = _Scene(function, snapshot, own_opens(snapshot, own), usage)
    title, obstacles, warnings, destructive = _KINDS[type(change)]
    predicted = predict(change, snapshot, scene.own, seen)
    # who was missed by a look that may be late could at most make a refusal wait: what is hopeless is so either way
    certain = predict(change, replace(snapshot, late=0.0), scene.own, seen) if snapshot.late else predicted
    impossible = next(chain(obstacles(change, scene), _hopeless(certain)), "")
    if impossible:
        return Plan(change, title(change, scene), impossible=impossible, predicted=predicted)
    return Plan(
        change,
        title(change, scene),
        tuple(Step(act.text, act.shell) for act in steps(change, snapshot, own)),
        (*losses(usage), *warnings(change, scene), *_foretold(predicted)),
        destructive(change, scene),
        severe=severe(usage),
        predicted=predicted,
    )


def _hopeless(predicted: Prediction | None) -> Iterator[str]:
    """A refusal that is sure to come, or likely comes when something has been given up already. Rights can be had, so they do not
    count here."""
    if predicted is None or predicted.stage is not Stage.FILE or predicted.errno == errno.EACCES:
        return
    late = predicted.step > 0 and predicted.certainty is Certainty.INFERRED
    if predicted.certainty is Certainty.EXACT or late:
        yield f"{predicted.reason}: the kernel would answer {errno_name(predicted.errno)}{_way_out(predicted)}"


def _way_out(predicted: Prediction) -> str:
    """What to do first, where that is one command."""
    if predicted.place == "sriov_numvfs" and "enable_sriov is N" in predicted.reason:
        return "; echo Y > /sys/module/vfio_pci/parameters/enable_sriov"
    return ""


def _foretold(predicted: Prediction | None) -> Iterator[str]:
    """The expected answer, where it is not plain success; whom a change waits for, the blast radius says."""
    if predicted is not None and (predicted.errno or predicted.fewer or predicted.certainty is Certainty.UNKNOWN):
        yield f"expected: {predicted}"


# -- obstacles ---------------------------------------------------------------------------------------------------------
def _needs_pf(scene: _Scene) -> Iterator[str]:
    if scene.function.role is not Role.PF:
        yield f"{scene.bdf} is {role_of(scene.function)}: only a PF has VFs"


def _needs_no_own_opens(scene: _Scene, functions: list[Function]) -> Iterator[str]:
    """The kernel would wait for this very program, which waits for the kernel (vfio_main.c vfio_unregister_group_dev)."""
    held = [f.bdf for f in functions if f.bdf in scene.own]
    if held:
        yield f"vfdeck itself holds {listing(held)}: close first, or the kernel waits for vfdeck for ever"


def _numvfs_obstacles(change: SetNumvfs, scene: _Scene) -> Iterator[str]:
    yield from _needs_pf(scene)
    if scene.function.sriov is not None and change.count == scene.function.sriov.numvfs:
        yield f"nothing to do: {scene.bdf} has {change.count} VFs already"
    yield from _running_job(scene)
    yield from _needs_no_own_opens(scene, scene.vfs)


def _running_job(scene: _Scene) -> Iterator[str]:
    jobs = [job for job in scene.snapshot.jobs if job.target == scene.bdf and job.state is JobState.RUNNING]
    if jobs:
        yield f"a change of {scene.bdf} is under way ({jobs[0].title}): a second one would wait behind it"


def _unbind_obstacles(_: UnbindDriver, scene: _Scene) -> Iterator[str]:
    if scene.function.driver is None:
        yield f"nothing to do: {scene.bdf} has no driver"
    yield from _running_job(scene)
    yield from _needs_no_own_opens(scene, [scene.function, *scene.vfs])


def _bind_obstacles(change: BindDriver, scene: _Scene) -> Iterator[str]:
    driver, function = change.driver, scene.function
    if driver is not None and (not _DRIVER_NAME.fullmatch(driver) or driver in (".", "..")):
        yield "that is no name of a driver"
    if driver is not None and driver == function.driver:
        yield f"nothing to do: {scene.bdf} is on {driver} already"
    yield from _running_job(scene)
    yield from _needs_no_own_opens(scene, [function, *scene.vfs] if function.driver else [])


def _token_obstacles(change: SetToken, scene: _Scene) -> Iterator[str]:
    function = scene.function
    if function.role is not Role.PF:
        yield f"{scene.bdf} is {role_of(function)}: only a PF has a token"
    if not function.on_vfio:
        on = f"on {function.driver}" if function.driver else "on no driver"
        yield f"{scene.bdf} is {on}: only a PF on vfio-pci has a token"
    if not scene.has("vf_token"):
        yield f"Linux {scene.snapshot.host.kernel} has no VF tokens; they came with 5.7"
    yield from rotation.no_way(change, scene.snapshot, scene.own)
    if rotation.way(change, scene.snapshot, scene.own) in (TokenWay.OPEN, TokenWay.CURRENT):
        yield from _deadlock(scene)


def _verify_obstacles(change: VerifyToken, scene: _Scene) -> Iterator[str]:
    yield from rotation.cannot_ask(scene.function, change.path, scene.snapshot, scene.own)


def _deadlock(scene: _Scene) -> Iterator[str]:
    """5.19 to 6.16: opening a PF while its number of VFs changes can hang both for good."""
    fixed = scene.has("vf_own_devset") or scene.has("sriov_active") or not scene.has("pf_runtime_pm")
    if scene.function.role is Role.PF and not fixed:
        for job in _running_job(scene):
            yield f"{job}; on this kernel both could hang for good"


def _open_obstacles(_: Open, scene: _Scene) -> Iterator[str]:
    yield from _deadlock(scene)


def _close_obstacles(_: Close, scene: _Scene) -> Iterator[str]:
    if scene.bdf not in scene.own:
        yield f"vfdeck does not hold {scene.bdf}"


def _autoprobe_obstacles(change: SetAutoprobe, scene: _Scene) -> Iterator[str]:
    yield from _needs_pf(scene)
    if scene.function.sriov and scene.function.sriov.autoprobe is change.on:
        yield f"nothing to do: autoprobe of {scene.bdf} is {'on' if change.on else 'off'} already"


def _reset_obstacles(_: ResetFunction, scene: _Scene) -> Iterator[str]:
    yield from _running_job(scene)


# -- warnings ----------------------------------------------------------------------------------------------------------
def _numvfs_warnings(change: SetNumvfs, scene: _Scene) -> Iterator[str]:
    present = len(scene.vfs)
    between = f"{present} -> {change.count} needs 0 in between: " if change.count else ""
    yield from blast.vanishing_vfs(scene.snapshot, scene.function, between, scene.usage)
    if present:
        yield from blast.waits(scene.snapshot, [h for vf in scene.vfs for h in scene.snapshot.holders_of(vf.bdf)])
        yield from blast.settings_lost(scene.vfs)
    if change.count:
        yield from _new_vfs(scene)


def _new_vfs(scene: _Scene) -> Iterator[str]:
    """Where new VFs go by themselves (vfio_pci_core.c vfio_pci_bus_notifier, pci-driver.c pci_device_can_probe)."""
    function = scene.function
    if function.on_vfio:
        yield f"the new VFs go to {function.driver}, and open only with the token of {scene.bdf}{_token_hint(scene)}"
    elif function.sriov and function.sriov.autoprobe:
        then = ", and a network manager may set up their interfaces (G5)" if function.class_code >> 16 == NETWORK else ""
        yield f"autoprobe is on: drivers of the host take the new VFs at once{then}"


def _token_hint(scene: _Scene) -> str:
    known = scene.snapshot.tokens.get(scene.bdf)
    if known and known.state is TokenState.UNSET:
        return ", which was never set: set one, or nobody can open them"
    return f" (#{known.fingerprint})" if known and known.state is TokenState.SET else ""


def _bind_warnings(change: BindDriver, scene: _Scene) -> Iterator[str]:
    function, view = scene.function, scene.snapshot
    yield from blast.leaving_driver(view, function, scene.usage)
    if is_vfio_driver(change.driver):
        yield from blast.company(view, function)
        if function.role is Role.PF:
            yield f"{scene.bdf} gets a random token that nobody knows: set one before its VFs are to be opened"
        return
    pf = view.functions.get(function.physfn or "")
    if pf is not None and pf.on_vfio:
        yield f"{scene.bdf} belongs to {pf.bdf}, which a program in user space may drive: it can see and change what the VF does"


def _unbind_warnings(_: UnbindDriver, scene: _Scene) -> Iterator[str]:
    yield from blast.leaving_driver(scene.snapshot, scene.function, scene.usage)


def _weak(token: Token | None) -> Iterator[str]:
    known = None if token is None else well_known(token)
    if known is not None:
        yield f"this token is no secret: {known.words}"
    elif token is not None and is_guessable(token):
        yield "this token is no secret: it has a few digits over and over, and is soon guessed"


def _token_warnings(change: SetToken, scene: _Scene) -> Iterator[str]:
    yield from rotation.warnings(change, scene.snapshot, scene.own)
    if rotation.way(change, scene.snapshot, scene.own) is TokenWay.OPEN:
        yield from _open_warnings(Open(change.pf, change.token), scene)
    else:
        yield from _weak(change.token)


def _verify_warnings(change: VerifyToken, scene: _Scene) -> Iterator[str]:
    yield from rotation.asking_costs(change, scene.snapshot)


def _open_warnings(change: Open, scene: _Scene) -> Iterator[str]:
    function, view = scene.function, scene.snapshot
    if not view.holders_of(scene.bdf) and scene.bdf not in scene.own:
        under = f", under its {len(scene.vfs)} VF{'' if len(scene.vfs) == 1 else 's'}" if scene.vfs else ""
        yield f"the first open of a function resets it{under}; so does the last close"
    if function.role is Role.PF and function.on_vfio and change.token is not None and not view.users_of(scene.bdf).value:
        yield f"opening {scene.bdf} with a token sets it, even where the open then fails; the old one is refused from then on"
    yield from _weak(change.token)
    yield from _unguarded_path(change, scene)


def _unguarded_path(change: Open, scene: _Scene) -> Iterator[str]:
    """6.6 to 6.16 (D17)."""
    hole = scene.has("cdev") and not scene.has("cdev_token")
    if change.path is OpenPath.CDEV and hole and scene.function.role is Role.VF and change.token is None:
        yield "this kernel asks for no token on this path; the VF counts as in use all the same"


def _close_warnings(_: Close, scene: _Scene) -> Iterator[str]:
    yield f"the last close of {scene.bdf} resets it"


def _autoprobe_warnings(change: SetAutoprobe, scene: _Scene) -> Iterator[str]:
    if scene.function.on_vfio:
        yield f"VFs of a PF on {scene.function.driver} go to it whatever this says"
    elif not change.on:
        yield "a VF without autoprobe can be bound only through its driver_override"


def _reset_warnings(_: ResetFunction, scene: _Scene) -> Iterator[str]:
    yield from blast.reset(scene.snapshot, scene.function, scene.usage)
    yield "the kernel asks neither for the token nor the users; they are not told"


# -- what goes for good ------------------------------------------------------------------------------------------------
def _takes_vfs(_: SetNumvfs, scene: _Scene) -> bool:
    return bool(scene.vfs)


def _takes_function(_: BindDriver | UnbindDriver, scene: _Scene) -> bool:
    """Also where it is not known whether anybody holds it, or a VF that goes along."""
    function, view = scene.function, scene.snapshot
    lost = bool(scene.vfs or blast.interfaces_and_disks([function], scene.usage))
    held = bool(going_holders(view, scene.bdf)) or (view.unseen > 0 and function.on_vfio)
    return function.driver is not None and (lost or held)


def _disturbs(_: ResetFunction, scene: _Scene) -> bool:
    """Whether somebody's work may fail."""
    return bool(blast.reset(scene.snapshot, scene.function, scene.usage))


def _replaces_token(change: SetToken | Open, scene: _Scene) -> bool:
    """A token that somebody uses, or may use, is gone afterwards and cannot be read back."""
    if change.token is None or scene.function.role is not Role.PF or not scene.function.on_vfio:
        return False
    known, users = scene.snapshot.tokens.get(scene.bdf), scene.snapshot.users_of(scene.bdf)
    if isinstance(change, SetToken) and rotation.way(change, scene.snapshot, scene.own) is TokenWay.CURRENT:
        return True  # it resets the PF under its VFs
    replaced = isinstance(change, SetToken) or users.value == 0
    in_force = known is not None and (known.state is TokenState.SET and known.fingerprint != change.token.fingerprint)
    return replaced and (in_force or bool(users.value) or users.certainty is not Certainty.EXACT)


def _nothing(_: Change, __: _Scene) -> bool:
    return False


# -- titles ------------------------------------------------------------------------------------------------------------
def _numvfs_title(change: SetNumvfs, scene: _Scene) -> str:
    present = scene.function.sriov.numvfs if scene.function.sriov else 0
    return f"{scene.bdf}: {present} -> {change.count} VFs"


def _bind_title(change: BindDriver, scene: _Scene) -> str:
    return f"{scene.bdf}: {scene.function.driver or 'no driver'} -> {change.driver or 'the kernel chooses'}"


def _open_title(change: Open, _: _Scene) -> str:
    how = f"with token #{change.token.fingerprint}" if change.token else "without a token"
    return f"{change.bdf}: open {how}{' and hold' if change.hold else ''}"


_Kind = tuple[
    Callable[[Any, _Scene], str],
    Callable[[Any, _Scene], Iterator[str]],
    Callable[[Any, _Scene], Iterator[str]],
    Callable[[Any, _Scene], bool],
]

#: Per kind of change: its title, its obstacles, its warnings, and whether it is destructive.
_KINDS: dict[type, _Kind] = {
    SetNumvfs: (_numvfs_title, _numvfs_obstacles, _numvfs_warnings, _takes_vfs),
    BindDriver: (_bind_title, _bind_obstacles, _bind_warnings, _takes_function),
    UnbindDriver: (
        lambda c, s: f"{c.bdf}: {s.function.driver or 'no driver'} -> no driver",
        _unbind_obstacles,
        _unbind_warnings,
        _takes_function,
    ),
    SetToken: (lambda c, _: f"{c.pf}: set token #{c.token.fingerprint}", _token_obstacles, _token_warnings, _replaces_token),
    VerifyToken: (
        lambda c, _: f"{c.bdf}: is it token #{c.token.fingerprint}?",
        _verify_obstacles,
        _verify_warnings,
        _nothing,
    ),
    Open: (_open_title, _open_obstacles, _open_warnings, _replaces_token),
    Close: (lambda c, _: f"{c.bdf}: close", _close_obstacles, _close_warnings, _nothing),
    ResetFunction: (lambda c, _: f"{c.bdf}: reset", _reset_obstacles, _reset_warnings, _disturbs),
    SetAutoprobe: (
        lambda c, _: f"{c.pf}: autoprobe {'on' if c.on else 'off'}",
        _autoprobe_obstacles,
        _autoprobe_warnings,
        _nothing,
    ),
}
