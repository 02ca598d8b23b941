"""What is told of tokens beside what came of a change: who knows them, where they were handed on, and what would be lost."""

from __future__ import annotations

from collections.abc import Iterable

from vfdeck.app.dashboard.actions import BY_ID
from vfdeck.app.dashboard.desk import Desk
from vfdeck.backend.changes import Outcome, SetToken
from vfdeck.backend.token import Token
from vfdeck.widgets.sections import Fact, Section
from vfdeck.widgets.state import Tone


class TokensTold:
    """Words for it. Every text names a token by its fingerprint."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def in_line(self, host: str, outcome: Outcome) -> str:
        """What the line about a change has to add; "" for nothing."""
        change = outcome.change
        if not isinstance(change, SetToken):
            return ""
        places, lost = self._desk.handed.places(change.token), self._desk.handed.taken_back(change.token)
        if self._is_at_stake(host, change):
            places.insert(0, f"only this vfdeck knows #{change.token.fingerprint}")
        return "".join(f"; {text}" for text in (*places, *lost))

    def sections(self, host: str, outcome: Outcome) -> list[Section]:
        """What the page about a change tells first; nothing for other changes."""
        change = outcome.change
        if not isinstance(change, SetToken):
            return []
        name = f"#{change.token.fingerprint}"
        facts = []
        if change.token in self._desk.tokens.possible(host, change.pf):
            facts.append(Fact("", f"{name} may be in force all the same: keep it.", Tone.WARN))
        if self._is_at_stake(host, change):
            facts.append(Fact("", f"Only this vfdeck knows {name}, until it ends. {self._ways} on.", Tone.WARN))
        facts += self._places(change.token)
        return [Section("", tuple(facts))] if facts else []

    def of_many(self, outcomes: Iterable[Outcome | None]) -> list[Section]:
        """What the page about several changes tells: where their tokens are."""
        changes = (outcome.change for outcome in outcomes if outcome is not None)
        tokens = dict.fromkeys(change.token for change in changes if isinstance(change, SetToken))
        facts = tuple(fact for token in tokens for fact in self._places(token))
        return [Section("", facts)] if facts else []

    def _places(self, token: Token) -> list[Fact]:
        kept = [Fact("", f"#{token.fingerprint} is {where}", Tone.GOOD) for where in self._desk.handed.places(token)]
        return [*kept, *(Fact("", text, Tone.WARN) for text in self._desk.handed.taken_back(token))]

    def known_here_only(self) -> list[Section]:
        """The tokens that would be lost with this vfdeck; empty where there are none."""
        facts = [
            Fact(
                "",
                f"#{token.fingerprint} of {self._desk.named(row.host, row.bdf)}{'' if sure else ', possibly in force'}",
                Tone.WARN,
            )
            for row, token, sure in self._desk.tokens.known_here_only()
        ]
        if not facts:
            return []
        last = Fact("", f"Nobody has seen {'it' if len(facts) == 1 else 'them'}. {self._ways} on.")
        return [Section("Known only to this vfdeck, and lost if you quit now", (*facts, last))]

    def _is_at_stake(self, host: str, change: SetToken) -> bool:
        """Whether nobody has seen a token that is in force now, or may be."""
        tokens = self._desk.tokens
        counts = tokens.of(host, change.pf) == change.token or change.token in tokens.possible(host, change.pf)
        return counts and tokens.is_unseen(change.token)

    @property
    def _ways(self) -> str:
        """How such a token comes to somebody."""
        return f"On the PF, {self._desk.keys.shown(BY_ID['token'])} and then ^t shows it, ^o hands it"
