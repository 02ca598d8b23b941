"""Where tokens were handed on from the dashboard, and taking them back where they were not set after all."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import NamedTuple

from vfdeck.app.dashboard.feed import aside
from vfdeck.app.token_delivery import Delivery
from vfdeck.backend.token import Token

#: How long to wait for a file system when a token is taken back, seconds.
PATIENCE = 2.0


class Handed(NamedTuple):
    """A token that was handed on."""

    token: Token
    delivery: Delivery
    where: str  # in the words that follow its name: "written to /root/token, for its owner's eyes"


class HandedOn:
    """Everything that was handed on in this session.

    What a change under way is about, or what may be in force, stays where it is; the rest is taken back by `take_back`.
    """

    def __init__(self) -> None:
        self._handed: list[Handed] = []
        self._under_way: Counter[Token] = Counter()
        self._in_force: set[Token] = set()
        self._taken_back: dict[Token, list[str]] = {}

    def add(self, handed: Handed) -> None:
        """A token was handed on just now."""
        self._handed.append(handed)

    def keep(self, token: Token) -> None:
        """A token may be in force: it stays where it is, for good."""
        self._in_force.add(token)

    def begun(self, token: Token) -> None:
        """A change that sets a token was confirmed."""
        self._under_way[token] += 1

    def over(self, token: Token, may_be_in_force: bool) -> None:
        """Such a change has come back."""
        self._under_way[token] -= 1
        if may_be_in_force:
            self.keep(token)

    def places(self, token: Token) -> list[str]:
        """Where a token is."""
        return [handed.where for handed in self._handed if handed.token == token]

    def taken_back(self, token: Token) -> list[str]:
        """What became of a token that was handed on and not set."""
        return self._taken_back.get(token, [])

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to take back."""
        return not any(self._is_useless(handed) for handed in self._handed)

    def _is_useless(self, handed: Handed) -> bool:
        return not self._under_way[handed.token] and handed.token not in self._in_force

    async def take_back(self) -> list[str]:
        """Take back what counts for nothing: what became of each."""
        useless = [handed for handed in self._handed if self._is_useless(handed)]
        self._handed = [handed for handed in self._handed if handed not in useless]
        told = []
        for handed in useless:
            try:
                text = await asyncio.wait_for(aside(handed.delivery.withdraw, "take back"), PATIENCE)
            except TimeoutError:
                text = f"{handed.where}: that does not answer now, and is taken back when it does"
            self._taken_back.setdefault(handed.token, []).append(text)
            told.append(text)
        return told
