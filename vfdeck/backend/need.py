"""Whether a function opens only with a VF token, and why: by its group and by its own node, which not every kernel judges alike."""

from __future__ import annotations

from dataclasses import dataclass

from vfdeck.backend.facts import cdev_unguarded, guarded, host_has, pf_of
from vfdeck.backend.model import Certainty, Role, Snapshot


@dataclass(frozen=True, slots=True)
class Need:
    """Whether a token is needed to open a function; None: it cannot be told, or there is no such path."""

    by_group: bool | None
    by_cdev: bool | None
    why: str


def need(snapshot: Snapshot, bdf: str) -> Need:
    """Of a VF: whether its PF's token guards it. Of a PF: whether its VFs are in use. Raises KeyError for a function not there."""
    function = snapshot.functions[bdf]
    if function.role is Role.PLAIN:
        return Need(False, False, "it has no part in SR-IOV")
    if not function.on_vfio:
        return Need(False, False, f"it is on {function.driver or 'no driver'}, so that nobody can open it through vfio")
    if not host_has(snapshot.host, "vf_token"):
        return Need(False, False, f"Linux {snapshot.host.kernel} has no VF tokens (they came with 5.7)")
    return _of_pf(snapshot, bdf) if function.role is Role.PF else _of_vf(snapshot, bdf)


def _of_pf(snapshot: Snapshot, bdf: str) -> Need:
    """The PF's own open needs the token while VFs are in use; before that it may bring a new one (token_rules.judge)."""
    users = snapshot.users_of(bdf)
    needed = True if users.value else None if users.certainty is not Certainty.EXACT else False
    words = {
        True: f"{users} of its VFs in use",
        False: "none of its VFs is in use",
        None: "whether its VFs are in use is not known",
    }
    return Need(needed, _by_cdev(snapshot, bdf, needed), words[needed])


def _of_vf(snapshot: Snapshot, bdf: str) -> Need:
    function, pf = snapshot.functions[bdf], pf_of(snapshot, bdf)
    if pf is None:
        return Need(None, None, f"its PF {function.physfn or ''} is not visible".replace("  ", " "))
    if not pf.on_vfio:
        return Need(False, False, f"its PF {pf.bdf} is on {pf.driver or 'no driver'}, so that there is no token")
    if not guarded(snapshot, bdf):
        why = f"it is on {function.driver}, its PF on {pf.driver}: this kernel judges a token only where both are the same"
        return Need(False, False, why)
    by_cdev = _by_cdev(snapshot, bdf, True)
    why = f"its PF {pf.bdf} is on {pf.driver}"
    if by_cdev is False:
        why += f"; by its own node Linux {snapshot.host.kernel} asks for none (D17)"
    return Need(True, by_cdev, why)


def _by_cdev(snapshot: Snapshot, bdf: str, by_group: bool | None) -> bool | None:
    """The same by the function's own node: None where it has none."""
    if snapshot.functions[bdf].cdev is None:
        return None
    return False if cdev_unguarded(snapshot.host) else by_group
