"""Search, filter and order of the fleet tree: what is typed, what it means, and the way back."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from vfdeck.app.dashboard.actions import BY_ID
from vfdeck.app.keymap import USUAL, Keymap
from vfdeck.backend.model import Snapshot
from vfdeck.widgets.bars import JobLine, KeyBar, ViewLine
from vfdeck.widgets.branches import View
from vfdeck.widgets.filtering import FilterFault, Query, completed, completions, parse
from vfdeck.widgets.fleet_tree import FleetTree, Place
from vfdeck.widgets.query import QueryBar
from vfdeck.widgets.sorting import Order
from vfdeck.widgets.state import Tone


class _Typing(NamedTuple):
    """What is being typed, and how it was before, for Escape."""

    what: str  # "search" or "filter"
    place: Place
    before: Query | None


def _finished(text: str, offers: Sequence[str]) -> str:
    """What is typed without a last word that may become a key: half a key would leave nothing for a moment."""
    word = re.split(r"\s", text)[-1]
    return text[: len(text) - len(word)] if word and any(offer.endswith(":") for offer in offers) else text


class Finder:
    """Keeps the tree's filter, search and order. The screen tells it what happens in the `QueryBar`."""

    def __init__(
        self,
        tree: FleetTree,
        bar: QueryBar,
        line: JobLine,
        keys: KeyBar,
        shown: ViewLine,
        snapshots: Callable[[], Sequence[Snapshot]],
        names: Keymap = USUAL,
    ) -> None:
        self._names = names
        self._tree, self._bar, self._line, self._keys, self._shown = tree, bar, line, keys, shown
        self._snapshots = snapshots
        self._typing: _Typing | None = None
        self._filter: Query | None = None
        self._order = Order.ADDRESS
        self._matches: tuple[int | None, int | None] = (None, None)

    @property
    def _search(self) -> Query | None:
        """The search that is shown."""
        return self._tree.search.query if self._tree.search is not None else None

    def begin_with(self, order: str, text: str) -> None:
        """Begin with an order, by its word, and a filter that was understood before."""
        self._order = next(one for one in Order if one.word == order)
        self._filter = parse(text) if text else None
        if self._filter is not None or self._order is not Order.ADDRESS:
            self._tree.apply_view(View(self._filter.test if self._filter else None, self._order))
            self.show()

    # -- typing -------------------------------------------------------------------------------------------------------
    def start(self, what: str) -> None:
        """Let a search or a filter be typed; a filter goes on from the one that is in force."""
        before = self._filter if what == "filter" else self._search
        self._typing = _Typing(what, self._tree.place(), before)
        self._keys.display = False  # while something is typed they do nothing; and the tree keeps its place
        self._bar.open("/" if what == "search" else "filter", self._filter.text if what == "filter" and self._filter else "")
        self.typed(self._bar.text)

    def typed(self, text: str) -> None:
        """Show at once what it finds or leaves; what is no filter changes nothing yet, and the line below says why."""
        if self._typing is None:
            return
        offers = completions(text, self._snapshots())
        try:
            query = parse(_finished(text, offers) if self._typing.what == "filter" else text)
        except FilterFault as fault:
            unfinished = bool(offers) and not text.endswith(" ")
            self._line.hint(self._offer(offers) if unfinished else str(fault), Tone.DIM if unfinished else Tone.WARN)
            return
        if self._typing.what == "search":
            self._matches = (None, None)
            self._tree.find(query, self._typing.place.row_id)
        else:
            self._keep(query if query.text else None)
        self._line.hint(self._offer(offers), Tone.DIM)
        self.show()

    def _offer(self, offers: Sequence[str]) -> str:
        """What Tab would do, in a line."""
        return f"Tab: {'  '.join(offers)}" if offers else "Enter keeps it, Esc gives it up"

    def complete(self, text: str) -> None:
        """Let the first thing that it may become be typed."""
        offers = completions(text, self._snapshots())
        if offers:
            self._bar.put(completed(text, offers[0]))
            self.typed(self._bar.text)

    def accept(self, text: str) -> None:
        """Keep it; what is no filter stays to be mended."""
        if self._typing is None:
            return
        try:
            query = parse(text)
        except FilterFault as fault:
            self._line.hint(str(fault))
            return
        if self._typing.what == "filter":
            self._keep(query if query.text else None)
        elif not query.text:
            self._tree.find(None, None)
        self._stop()

    def cancel(self) -> None:
        """Everything as it was before."""
        if self._typing is None:
            return
        typing = self._typing
        if typing.what == "search":
            self._tree.find(None, None)
        else:
            self._keep(typing.before)
        self._tree.go_back(typing.place)
        self._stop()

    def _stop(self) -> None:
        """Nothing is typed any more."""
        self._typing = None
        self._bar.close()
        self._keys.display = True
        self._line.clear_hint()
        self._tree.focus()
        self.show()

    def step(self, step: int) -> None:
        """To the next match, or to the one before."""
        self._tree.find_next(step)

    def back(self) -> bool:
        """Escape: end the search, else the filter, else take the marks away; False where there is none of them."""
        if self._tree.search is not None:
            self._tree.find(None, None)
        elif self._filter is not None:
            self._keep(None)
        elif self._tree.marks:
            self._tree.clear_marks()
        else:
            return False
        self.show()
        return True

    # -- filter and order ---------------------------------------------------------------------------------------------
    def _keep(self, query: Query | None) -> None:
        """Show what a filter leaves."""
        if (query.text if query else "") != (self._filter.text if self._filter else ""):
            self._filter = query
            self._tree.apply_view(View(query.test if query else None, self._order))

    def next_order(self) -> None:
        """Sort by the next thing."""
        self.sort(self._order.next)

    def sort(self, order: Order) -> None:
        """Sort by this."""
        self._order = order
        self._tree.apply_view(View(self._filter.test if self._filter else None, self._order))
        self._line.hint(f"sorted by {self._order.word}: {self._order.meaning}", Tone.DIM)

    # -- telling ------------------------------------------------------------------------------------------------------
    def searched(self, number: int | None, count: int | None) -> None:
        """The tree tells how far a search has come."""
        self._matches = (number, count)
        self.show()

    def show(self) -> None:
        """Say what is not as usual: what is being typed beside the field, everything else above the tree."""
        typed = self._typing.what if self._typing is not None else ""
        pieces: list[tuple[str, str]] = []
        if typed:
            self._bar.tell(self._left() if typed == "filter" else self._found())
        if self._filter is not None and typed != "filter":
            pieces += [(f"filter {self._filter.text}", Tone.STRONG), (self._left(), Tone.PLAIN)]
        if self._search is not None and typed != "search":
            pieces += [(f"/{self._search.text}", Tone.STRONG), (self._found(), Tone.PLAIN)]
        if self._tree.marks:
            pieces.append((f"{len(self._tree.marks)} marked", Tone.OWN))
        if pieces and self._typing is None:
            on, before, changes = (self._names.shown(BY_ID[action]) for action in ("next", "previous", "filter"))
            keys = [
                (f"{on} {before} go on", self._search is not None),
                (f"{changes} changes", self._filter is not None),
                ("Esc ends", True),
            ]
            pieces.append((", ".join(text for text, wanted in keys if wanted), Tone.DIM))
        self._shown.show(pieces)

    def _left(self) -> str:
        """How many functions the filter leaves, once it has been applied."""
        rows, test = self._tree.rows, self._filter.test if self._filter else None
        return f"{rows.matched} of {rows.total}" if rows.view.keep is test else "…"

    def _found(self) -> str:
        """Which match the cursor is on, of how many, as far as that is known."""
        if self._search is None:
            return ""
        number, count = self._matches
        return "no match" if count == 0 else f"{'?' if number is None else number} of {'…' if count is None else count}"

    @property
    def is_empty(self) -> bool:
        """Whether there is no search to go on with."""
        return self._tree.search is None
