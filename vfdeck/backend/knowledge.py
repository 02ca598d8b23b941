"""What is known of the tokens of a host's PFs: nobody can read a token, so this follows from what we did and what we saw.

A token begins with the binding of its PF to vfio-pci (random, known to nobody), is replaced when somebody sets it, and ends when
the PF leaves vfio-pci or the host reboots. What another program set while we did not look can't be known, and is never claimed.
"""

from __future__ import annotations

import threading
from collections.abc import Container, Iterable
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
        self._moment = 0  # counts what we did ourselves
        self._touched: dict[str, int] = {}  # the moment at which we last did something to each PF's token
        self._lost: dict[str, str] = {}  # fingerprints of tokens that went with a binding to vfio-pci
        self._seen: dict[str, bool] = {}  # whether each PF was on vfio-pci when last seen

    def mark(self) -> int:
        """A moment, for `update`: take it before looking at the host."""
        with self._lock:
            return self._moment

    def update(self, functions: Iterable[Function], held: Container[str], now: float, since: int) -> dict[str, TokenKnowledge]:
        """Take in what was seen of the host; the knowledge of every PF.

        Args:
            functions: the host's functions.
            held: functions that programs other than this one hold; who holds a PF may have set its token.
            now: when that was seen, seconds since the epoch.
            since: the `mark` taken before looking. What we did ourselves after it is newer than what was seen.
        """
        with self._lock:
            present = {f.bdf: f.on_vfio for f in functions if f.role is Role.PF}
            for pf, guarded in present.items():
                if self._touched.get(pf, 0) > since:
                    continue
                before = self._seen.get(pf)
                if not guarded:
                    self._lose(pf)
                    self._known[pf] = TokenKnowledge(pf, TokenState.NONE)
                elif before is None:
                    self._known.setdefault(pf, TokenKnowledge(pf, TokenState.UNKNOWN))
                elif not before:
                    self._bound(pf, now)
                if guarded and pf in held and self._known[pf].state is TokenState.UNSET:
                    self._known[pf] = TokenKnowledge(pf, TokenState.UNKNOWN)
                self._seen[pf] = guarded
            for pf in self._seen.keys() - present.keys():
                self._forget(pf)
                self._lost.pop(pf, None)
                del self._seen[pf]
            return {pf: self._known[pf] for pf in present if pf in self._known}

    def bound(self, pf: str, now: float) -> None:
        """The PF was bound to vfio-pci: it has a fresh random token."""
        with self._lock:
            self._bound(pf, now)
            self._touch(pf)

    def set_by_us(self, pf: str, token: Token, now: float) -> None:
        """We set this token."""
        with self._lock:
            self._touch(pf)
            self._tokens[pf] = token
            self._known[pf] = TokenKnowledge(pf, TokenState.SET, token.fingerprint, now)

    def proved(self, pf: str, token: Token, now: float) -> None:
        """An open that needs the PF's token succeeded with this one."""
        with self._lock:
            known = self._known.get(pf)
            if known is None or known.fingerprint != token.fingerprint:
                self._touch(pf)
                self._tokens[pf] = token
                self._known[pf] = TokenKnowledge(pf, TokenState.SET, token.fingerprint, now, proved=True)

    def token(self, pf: str) -> Token | None:
        """The token we set, while it is believed to be in force."""
        with self._lock:
            return self._tokens.get(pf)

    def doubt(self, pf: str) -> None:
        """What we knew of the token need not be true any more."""
        with self._lock:
            self._touch(pf)
            self._forget(pf)
            self._known[pf] = TokenKnowledge(pf, TokenState.UNKNOWN)

    def _bound(self, pf: str, now: float) -> None:
        self._lose(pf)
        self._known[pf] = TokenKnowledge(pf, TokenState.UNSET, since=now, lost=self._lost.get(pf, ""))
        self._seen[pf] = True

    def _touch(self, pf: str) -> None:
        self._moment += 1
        self._touched[pf] = self._moment

    def _lose(self, pf: str) -> None:
        """The PF's token went with its binding."""
        known = self._known.get(pf)
        if known is not None and known.fingerprint:
            self._lost[pf] = known.fingerprint
        self._forget(pf)

    def _forget(self, pf: str) -> None:
        self._known.pop(pf, None)
        self._tokens.pop(pf, None)
