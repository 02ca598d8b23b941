"""What is known of the tokens of a host's PFs: nobody can read a token, so this follows from what we did and what we saw.

A token begins with the binding of its PF to vfio-pci (random, known to nobody), is replaced when somebody sets it, and ends when
the PF leaves vfio-pci or the host reboots. What another program set while we did not look can't be known, and is never claimed.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING

from vfdeck.backend.model import Function, Role, TokenKnowledge, TokenState

if TYPE_CHECKING:
    from vfdeck.backend.token import Token


class TokenWatch:
    """Follows the PFs of one host through its snapshots; keeps the tokens that we set ourselves. Any thread may ask and tell."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._known: dict[str, TokenKnowledge] = {}
        self._tokens: dict[str, Token] = {}
        self._seen: dict[str, bool] = {}  # whether each PF was on vfio-pci when last seen

    def update(self, functions: Iterable[Function], now: float) -> dict[str, TokenKnowledge]:
        """Take in what is there now; the knowledge of every PF."""
        with self._lock:
            present = {f.bdf: f.on_vfio for f in functions if f.role is Role.PF}
            for pf, guarded in present.items():
                before = self._seen.get(pf)
                if not guarded:
                    self._forget(pf)
                    self._known[pf] = TokenKnowledge(pf, TokenState.NONE)
                elif before is None:
                    self._known.setdefault(pf, TokenKnowledge(pf, TokenState.UNKNOWN))
                elif not before:
                    self.bound(pf, now)
            for pf in self._seen.keys() - present.keys():
                self._forget(pf)
            self._seen = present
            return {pf: self._known[pf] for pf in present}

    def bound(self, pf: str, now: float) -> None:
        """The PF was bound to vfio-pci: it has a fresh random token."""
        with self._lock:
            self._forget(pf)
            self._known[pf] = TokenKnowledge(pf, TokenState.UNSET, since=now)
            self._seen[pf] = True

    def set_by_us(self, pf: str, token: Token, now: float) -> None:
        """We set this token."""
        with self._lock:
            self._tokens[pf] = token
            self._known[pf] = TokenKnowledge(pf, TokenState.SET, token.fingerprint, now)

    def token(self, pf: str) -> Token | None:
        """The token we set, while it is believed to be in force."""
        with self._lock:
            return self._tokens.get(pf)

    def doubt(self, pf: str) -> None:
        """A token that should have been right was refused: somebody else replaced it."""
        with self._lock:
            self._forget(pf)
            self._known[pf] = TokenKnowledge(pf, TokenState.UNKNOWN)

    def _forget(self, pf: str) -> None:
        self._known.pop(pf, None)
        self._tokens.pop(pf, None)
