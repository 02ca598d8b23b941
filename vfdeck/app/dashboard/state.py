"""What the dashboard knows: the fleet as it was last seen, and the tokens that were set in this session."""

from __future__ import annotations

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
    """A token that was set in this session, and when by the monotonic clock."""

    token: Token
    since: float


class SessionTokens:
    """The tokens that were set in this session, for as long as nothing says that they are in force no more."""

    def __init__(self) -> None:
        self._kept: dict[RowId, _Kept] = {}
        self._unseen: list[Token] = []  # made here, and neither shown nor handed on

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, host: str, change: SetToken) -> None:
        """A token was set just now."""
        self._kept[RowId(host, change.pf)] = _Kept(change.token, time.monotonic())

    def of(self, host: str, pf: str) -> Token | None:
        """A PF's token."""
        kept = self._kept.get(RowId(host, pf))
        return kept.token if kept is not None else None

    def made_unseen(self, token: Token) -> None:
        """A token that nobody has seen is to be set."""
        if not self.is_unseen(token):
            self._unseen.append(token)

    def seen(self, token: Token) -> None:
        """A token was shown."""
        self._unseen = [other for other in self._unseen if other != token]

    def is_unseen(self, token: Token | None) -> bool:
        """Whether a token was made here and nobody has seen it."""
        return token is not None and any(other == token for other in self._unseen)

    def known_here_only(self) -> list[tuple[RowId, Token]]:
        """The PFs whose token only this vfdeck knows, each with it."""
        return [(row, kept.token) for row, kept in self._kept.items() if self.is_unseen(kept.token)]

    def check(self, message: SnapshotReady) -> None:
        """Forget what a look shows to be replaced; a look from before the setting says nothing."""
        self._kept = {row: kept for row, kept in self._kept.items() if not self._replaced(row, kept, message)}

    def _replaced(self, row: RowId, kept: _Kept, message: SnapshotReady) -> bool:
        """Whether the host says that a PF's token is no more the one that was set."""
        if message.host != row.host or message.begun < kept.since:
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
