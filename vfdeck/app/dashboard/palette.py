"""The command palette, made from the registry."""

from __future__ import annotations

from functools import partial
from typing import cast

from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content

from vfdeck.app.dashboard.actions import ACTIONS, Action
from vfdeck.app.dashboard.screen import Dashboard


class ActionProvider(Provider):
    """Offers every action; one that is not possible now says why instead of what it does."""

    async def discover(self) -> Hits:
        """All actions, before anything is typed."""
        for action in self._offered():
            yield DiscoveryHit(Content(action.title), self._do(action), text=action.title, help=self._help(action))

    async def search(self, query: str) -> Hits:
        """Actions whose title matches."""
        matcher = self.matcher(query)
        for action in self._offered():
            score = matcher.match(action.title)
            if score > 0:
                yield Hit(score, matcher.highlight(action.title), self._do(action), text=action.title, help=self._help(action))

    def _offered(self) -> list[Action]:
        """Every action but the palette itself; none where a dialog is open."""
        if not isinstance(self.screen, Dashboard):
            return []
        return [a for a in ACTIONS if a.id != "palette" and a.on_tour <= self.screen.is_touring]

    def _do(self, action: Action) -> partial[None]:
        """What choosing an action does."""
        assert isinstance(self.screen, Dashboard)
        return partial(self.screen.action_act, action.id)

    def _help(self, action: Action) -> str:
        """What an action does with its key, or why not.

        Reasons hold foreign text. The palette reads a `str` as markup but takes `Content` as it is, whatever its annotation says.
        """
        assert isinstance(self.screen, Dashboard)
        reason = self.screen.why_not(action, *self.screen.selected())
        text = f"not now: {reason}" if reason else f"{action.help}  [{self.screen.keys.shown(action)}]"
        return cast(str, Content(text))
