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

    What is being asked about, what a change under way is about, and what may be in force stays where it is; the rest is taken back
    by `take_back`.
    """

    def __init__(self) -> None:
        self._handed: list[Handed] = []
        self._asked: set[Token] = set()  # handed on from a dialog that may set them yet
        self._under_way: Counter[Token] = Counter()
        self._in_force: set[Token] = set()
        self._taken_back: dict[Token, list[str]] = {}
        self._late: set[asyncio.Task[str]] = set()  # kept, since the event loop does not

    def add(self, handed: Handed) -> None:
        """A token was handed on just now; until `asked` it may still be set."""
        self._handed.append(handed)
        self._asked.add(handed.token)

    def asked(self) -> None:
        """Nothing is being asked any more: what shall be set was `begun`."""
        self._asked.clear()

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

    def is_useless(self, token: Token) -> bool:
        """Whether a token was handed on and counts for nothing."""
        wanted = token in self._asked or self._under_way[token] > 0 or token in self._in_force
        return not wanted and any(handed.token == token for handed in self._handed)

    async def take_back(self, token: Token | None = None) -> list[str]:
        """Take back what counts for nothing, of one token or of all: what became of each. They are waited for together."""
        useless = [one for one in self._handed if token in (None, one.token) and self.is_useless(one.token)]
        if not useless:
            return []
        self._handed = [one for one in self._handed if one not in useless]
        tasks = [asyncio.ensure_future(_withdraw(one)) for one in useless]
        await asyncio.wait(tasks, timeout=PATIENCE)
        return [self._told(one, task) for one, task in zip(useless, tasks, strict=True)]

    def _told(self, one: Handed, task: asyncio.Task[str]) -> str:
        """What became of one; where that is not known yet, it is kept when it is."""
        texts = self._taken_back.setdefault(one.token, [])
        text = task.result() if task.done() else f"{one.where}: that does not answer now, and is taken back when it does"
        texts.append(text)
        if not task.done():
            number = len(texts) - 1

            def came(late: asyncio.Task[str]) -> None:
                self._late.discard(late)
                if not late.cancelled():
                    texts[number] = late.result()

            self._late.add(task)
            task.add_done_callback(came)
        return text


async def _withdraw(one: Handed) -> str:
    """What became of it. Raises nothing: a fault of one is no reason to forget the others."""
    try:
        return await aside(one.delivery.withdraw, "take back")
    except Exception as error:  # a bug of ours, or a path that no call takes: named by its kind only
        return f"{one.where}: it could not be taken back ({type(error).__name__}); its token was not set"
