"""What the dashboard knows: the fleet as it was last seen, and the tokens that were set in this session."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from vfdeck.app.dashboard.feed import SnapshotReady
from vfdeck.backend.changes import SetToken
from vfdeck.backend.model import Snapshot, TokenKnowledge, TokenState
from vfdeck.backend.token import Token
from vfdeck.widgets.rows import RowId


@dataclass(frozen=True, slots=True)
class Fleet:
    """Everything the screen shows that comes from hosts: their snapshots in the order of the hosts, and failures of the backend."""

    snapshots: tuple[Snapshot, ...] = ()
    failures: tuple[tuple[str, str], ...] = ()

    def with_snapshots(self, fresh: Mapping[str, Snapshot], order: Sequence[str]) -> Fleet:
        """The same with fresh snapshots of some hosts, whose failures are over."""
        known = {s.host.name: s for s in self.snapshots} | dict(fresh)
        return Fleet(tuple(known[name] for name in order if name in known), tuple(f for f in self.failures if f[0] not in fresh))

    def with_failure(self, host: str, what: str) -> Fleet:
        """The same with a failure of one host's backend."""
        return replace(self, failures=(*(f for f in self.failures if f[0] != host), (host, what)))

    def snapshot(self, host: str) -> Snapshot | None:
        """A host's snapshot."""
        return next((s for s in self.snapshots if s.host.name == host), None)


class _Kept(NamedTuple):
    """A token of this session, and since when by the monotonic clock it was set or may be; never, while it is being set."""

    token: Token
    since: float


class Stake(NamedTuple):
    """A PF's token that only this vfdeck knows."""

    row: RowId
    token: Token
    sure: bool  # it is in force; else it may be


class SessionTokens:
    """The tokens that were set in this session, for as long as nothing says that they are in force no more.

    Beside them those that may be in force: they are being set, or the kernel's answer left it open.
    """

    def __init__(self) -> None:
        self._kept: dict[RowId, _Kept] = {}
        self._possible: dict[RowId, tuple[_Kept, ...]] = {}
        self._unseen: list[Token] = []  # made here, and neither shown nor handed on

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, host: str, change: SetToken) -> None:
        """A token is in force."""
        self._kept[RowId(host, change.pf)] = _Kept(change.token, time.monotonic())

    def begun(self, host: str, change: SetToken) -> None:
        """A token is going to be set."""
        row = RowId(host, change.pf)
        self._possible[row] = (*self._possible.get(row, ()), _Kept(change.token, math.inf))

    def over(self, host: str, change: SetToken, in_force: bool, perhaps: bool) -> None:
        """It has come back: it is in force, perhaps it is, or it is not."""
        row = RowId(host, change.pf)
        others = list(self._possible.pop(row, ()))
        mine = next((kept for kept in others if kept.token == change.token and kept.since == math.inf), None)
        if mine is not None:
            others.remove(mine)
        if in_force:
            self.keep(host, change)
            others = [kept for kept in others if kept.since == math.inf]
        elif perhaps:
            others.append(_Kept(change.token, time.monotonic()))
        if others:
            self._possible[row] = tuple(others)

    def of(self, host: str, pf: str) -> Token | None:
        """A PF's token."""
        kept = self._kept.get(RowId(host, pf))
        return kept.token if kept is not None else None

    def possible(self, host: str, pf: str) -> list[Token]:
        """The tokens that may be a PF's, beside or in place of the one that `of` tells; the latest last."""
        return [kept.token for kept in self._possible.get(RowId(host, pf), ())]

    def made_unseen(self, token: Token) -> None:
        """A token that nobody has seen is to be set."""
        if not self.is_unseen(token):
            self._unseen.append(token)

    def seen(self, token: Token) -> None:
        """A token was shown, or handed on."""
        self._unseen = [other for other in self._unseen if other != token]

    def is_unseen(self, token: Token | None) -> bool:
        """Whether a token was made here and nobody has seen it."""
        return token is not None and any(other == token for other in self._unseen)

    def known_here_only(self) -> list[Stake]:
        """The tokens that only this vfdeck knows."""
        sure = [Stake(row, kept.token, True) for row, kept in self._kept.items()]
        perhaps = [Stake(row, kept.token, False) for row, several in self._possible.items() for kept in several]
        return [stake for stake in (*sure, *perhaps) if self.is_unseen(stake.token)]

    def check(self, message: SnapshotReady) -> None:
        """Forget what a look shows to be replaced; a look from before the setting says nothing."""
        self._kept = {row: kept for row, kept in self._kept.items() if not self._replaced(row, kept, message)}
        for row, several in list(self._possible.items()):
            if row.host == message.host:
                self._settle(row, several, message)

    def _settle(self, row: RowId, several: tuple[_Kept, ...], message: SnapshotReady) -> None:
        """Sort out the tokens that may be in force: a look may show that one is, or that another one is."""
        known = message.snapshot.tokens.get(row.bdf)
        left = []
        for kept in several:
            if message.since < kept.since or (known is not None and known.state is TokenState.UNKNOWN):
                left.append(kept)
            elif not self._replaced(row, kept, message):
                self._kept[row] = kept
        self._possible[row] = tuple(left)
        if not left:
            del self._possible[row]

    def _replaced(self, row: RowId, kept: _Kept, message: SnapshotReady) -> bool:
        """Whether the host says that a PF's token is no more the one that was set."""
        if message.host != row.host or message.since < kept.since:
            return False
        known = message.snapshot.tokens.get(row.bdf)
        return known is None or known.state is not TokenState.SET or known.fingerprint != kept.token.fingerprint

    def shown(self, host: str, snapshot: Snapshot, begun: float) -> Snapshot:
        """The snapshot with every token that was set since the look began: the look still has what was known before."""
        later = {
            row.bdf: TokenKnowledge(row.bdf, TokenState.SET, kept.token.fingerprint, snapshot.taken)
            for row, kept in self._kept.items()
            if row.host == host and begun < kept.since and row.bdf in snapshot.functions
        }
        return replace(snapshot, tokens={**snapshot.tokens, **later}) if later else snapshot


def named(snapshot: Snapshot, name: str) -> Snapshot:
    """The snapshot under the name by which its host is known here."""
    return snapshot if snapshot.host.name == name else replace(snapshot, host=replace(snapshot.host, name=name))
