"""From a key to confirmed changes of many functions: one dialog, one plan of all, one confirmation."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from vfdeck.app.dashboard.actions import Action, its_pf
from vfdeck.app.dashboard.batch import Batch, Item, LeftOut, retarget, sort_out, together, told, used_by_host
from vfdeck.app.dashboard.desk import Desk, Target
from vfdeck.app.dashboard.dialogs.base import Page
from vfdeck.app.dashboard.flow import Flow, with_notes
from vfdeck.backend.changes import Change, Open, Plan
from vfdeck.widgets.rows import RowId
from vfdeck.widgets.sections import Section
from vfdeck.widgets.state import Tone, plural


@dataclass
class _Wish:
    """What shall be done to which functions, and what the last look made of it."""

    title: str
    wanted: list[tuple[Target, Change]]
    without: list[LeftOut]  # out before anything was planned
    kept: Sequence[Item] = ()
    left: Sequence[LeftOut] = ()
    hidden: int = 0  # marked rows that a filter hides
    notes: tuple[str, ...] = ()  # more to consider

    def plan(self) -> Plan:
        """One plan of all that was kept."""
        if not self.kept:
            return Plan(self.wanted[0][1], self.title, impossible="; ".join(f"{bdf}: {why}" for bdf, why in self.left))
        plan = with_notes(together(self._full_title(), self.kept, self.left), self.notes)
        if not self.hidden:
            return plan
        note = f"{plural(self.hidden, 'marked row')} that the filter hides {'is' if self.hidden == 1 else 'are'} among them"
        return replace(plan, warnings=(note, *plan.warnings))

    def _full_title(self) -> str:
        """With the one function, or how many there are, where that is not said yet."""
        about = plural(len(self.kept), "function") if len(self.kept) > 1 else self.kept[0].name
        return self.title if self.title.endswith(about) else f"{self.title}: {about}"


class BatchFlow:
    """Asks for many what `Flow` asks for one. `begin` is handed the confirmed batch."""

    def __init__(self, desk: Desk, flow: Flow, begin: Callable[[Batch], None]) -> None:
        self._desk = desk
        self._flow = flow
        self._begin = begin

    async def change(self, action: Action, targets: Sequence[Target]) -> None:
        """Dialog, plan, confirmation; then the batch begins. What can't be done to is left out and told."""
        seen, hidden = self._desk.visible(action)
        seen = [target for target in seen if not action.available(*target)]
        possible = [target for target in targets if not action.available(*target)]
        left = [LeftOut(self._name(target), why) for target in targets if (why := action.available(*target))]
        changes = await self._changes(action, possible)
        if changes is None:
            return
        wish = _Wish(action.title, [], left)
        for target, change in zip(possible, changes, strict=True):
            if change is None:
                left.append(LeftOut(self._name(target), "no token of its PF was set in this session"))
            else:
                wish.wanted.append((target, change))
        wish.hidden = hidden
        wish.notes = tuple(dict.fromkeys(note for _, change in wish.wanted for note in self._flow.unseen_note(change)))
        batch = await self._confirm(wish, {target.row_id for target in seen})
        if batch is not None:
            self._begin(batch)

    async def agreed(self, title: str, wanted: list[tuple[Target, Change]], notes: tuple[str, ...]) -> Batch | None:
        """The batch of these changes once it is confirmed; None where it is not. Raises NoAnswer."""
        return await self._confirm(_Wish(title, wanted, [], notes=notes), {target.row_id for target, _ in wanted})

    async def _changes(self, action: Action, targets: Sequence[Target]) -> list[Change | None] | None:
        """The change of each target: asked for once, unless it is one and the same for all without a question. None: cancelled."""
        if action.change is not None:
            changes = [action.change(*target) for target in targets]
            kinds = {None if change is None else retarget(change, "") for change in changes}
            if len(kinds) == 1 and None not in kinds:
                return changes
        answer = await self._flow.asked(action, targets)
        return None if answer is None else [self._same(answer, targets[0], target) for target in targets]

    def _same(self, answer: Change, first: Target, other: Target) -> Change | None:
        """What was answered for the first target, for another; None where it would need a token that is not there.

        The token set in this session that was chosen for the first is, for a VF of another PF, that PF's.
        """
        change = retarget(answer, other.function.bdf)
        mine, its = (self._desk.tokens.of(t.snapshot.host.name, its_pf(*t).bdf) for t in (first, other))
        if isinstance(change, Open) and change.token is not None and change.token == mine:
            return replace(change, token=its) if its is not None else None
        return change

    async def _confirm(self, wish: _Wish, seen: set[RowId]) -> Batch | None:
        """Show one plan of all that can be done together; the batch once it is confirmed. `seen`: what no filter hides."""
        what = f"what it would do to {plural(len(wish.wanted), 'function')}"

        def make() -> Plan:
            self._look(wish)
            return wish.plan()

        def narrow() -> None:
            wish.wanted = [(target, change) for target, change in wish.wanted if target.row_id in seen]
            wish.hidden = 0

        first = await self._desk.lookup.make(what, make)
        if not wish.kept:
            page = Page(f"{wish.title}: nothing to do", [Section("", told(wish.left))], label_width=2, tone=Tone.WARN)
            self._desk.screen.app.push_screen(page)
            return None
        in_sight = sum(target.row_id in seen for target, _ in wish.wanted) if wish.hidden else 0
        fewer = f"Only {in_sight} in sight" if 0 < in_sight < len(wish.wanted) else ""
        plan = await self._flow.confirmed(what, make, first=first, fewer=fewer, narrow=narrow)
        if plan is None:
            return None
        tree = self._desk.tree
        tree.unmark(self._desk.marks_in_sight() if fewer and not wish.hidden else tree.marks)
        return Batch(plan.title, deque(wish.kept), wish.left)

    def _name(self, target: Target) -> str:
        return self._desk.named(target.snapshot.host.name, target.function.bdf)

    def _look(self, wish: _Wish) -> None:
        """Plan every change by the latest look, and sort out what can't be done together; not for the screen's own thread."""
        items, left = [], list(wish.without)
        for target, change in wish.wanted:
            if len(wish.wanted) > 1 and (of_the_host := used_by_host(change, target.snapshot)):
                left.append(LeftOut(self._name(target), f"{of_the_host} would go: do it by itself"))
                continue
            host = self._desk.host_of(target)
            items.append(Item(host, change, host.plan(change, self._desk.latest(target)), self._name(target)))
        kept, more = sort_out(items)
        wish.kept, wish.left = kept, [*left, *more]
