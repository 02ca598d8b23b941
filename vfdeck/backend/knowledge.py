"""What is known of the tokens of a host's PFs: nobody can read a token, so this follows from what we did and what we saw.

A token begins with the binding of its PF to vfio-pci (random, known to nobody), is replaced when somebody sets it, and ends when
the PF leaves vfio-pci or the host reboots. What another program set while nobody looked can't be known, and is never claimed. What
earlier runs and other vfdecks did is in the journal.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from vfdeck.backend.model import Function, Holder, Role, Suspect, TokenEvent, TokenKnowledge, TokenState

if TYPE_CHECKING:
    from vfdeck.backend.entries import Entry, Program, Told
    from vfdeck.backend.journal import Journal
    from vfdeck.backend.token import Token

#: How many programs that may have set a PF's token are remembered, the latest ones.
SUSPECTS = 8


def _unknown_binding(pf: str) -> int | None:
    return None


class TokenWatch:
    """Follows the PFs of one host through its snapshots; keeps the tokens that we set ourselves. Any thread may ask and tell."""

    def __init__(self, journal: Journal | None = None, binding: Callable[[str], int | None] = _unknown_binding) -> None:
        """`journal` None: nothing is remembered beyond this run. `binding`: see `Kernel.binding`, None where it is not known."""
        self._lock = threading.RLock()
        self._journal = journal
        self._binding = binding
        self._known: dict[str, TokenKnowledge] = {}
        self._tokens: dict[str, Token] = {}
        self._moment = 0  # counts what we did ourselves
        self._touched: dict[str, int] = {}  # the moment at which we last did something to each PF's token
        self._lost: dict[str, tuple[str, str]] = {}  # tokens that went with a binding to vfio-pci: fingerprint, and how
        self._seen: dict[str, bool] = {}  # whether each PF was on vfio-pci when last seen
        self._bindings: dict[str, int | None] = {}  # and which binding that was
        self._holders: dict[str, frozenset[Program]] = {}  # and who held it
        self._cleared: dict[str, frozenset[Program]] = {}  # who held it already when its token was set or confirmed
        self._told: dict[str, Told] = {}  # what the journal said when it was last listened to
        self._noted: dict[str, list[Entry]] = {}  # what we did since the PF was bound

    def mark(self) -> int:
        """A moment, for `update`: take it before looking at the host."""
        with self._lock:
            return self._moment

    def update(self, functions: Iterable[Function], held: Iterable[Holder], now: float, since: int) -> dict[str, TokenKnowledge]:
        """Take in what was seen of the host; the knowledge of every PF.

        Args:
            functions: the host's functions.
            held: what programs other than this one hold; who holds a PF may have set its token. Of whom it could not be checked,
                nothing follows: anybody can give a file such a name.
            now: when that was seen, seconds since the epoch.
            since: the `mark` taken before looking. What we did ourselves after it is newer than what was seen.
        """
        present = {f.bdf: f.on_vfio for f in functions if f.role is Role.PF}
        bindings = {pf: self._binding(pf) for pf, guarded in present.items() if guarded}
        holders: dict[str, list[Holder]] = defaultdict(list)
        for holder in held:
            if holder.bdf in present and not holder.by_name:
                holders[holder.bdf].append(holder)
        if self._journal is not None:
            self._journal.look()
        with self._lock:
            for pf, guarded in present.items():
                if self._touched.get(pf, 0) <= since:
                    self._see(pf, guarded, bindings.get(pf), now)
                    self._hear(pf)
                    self._suspect(pf, holders[pf], now)
            for pf in self._seen.keys() - present.keys():
                self._forget(pf)
                self._lost.pop(pf, None)
                del self._seen[pf]
            return {pf: self._with_events(pf) for pf in present if pf in self._known}

    # -- what we do --------------------------------------------------------------------------------------------------
    def bound(self, pf: str, now: float) -> None:
        """The PF was bound to vfio-pci: it has a fresh random token."""
        with self._lock:
            self._bound(pf, self._binding(pf), now, "unbound")
            self._touch(pf)

    def about_to_set(self, pf: str, token: Token, now: float, way: str = "") -> None:
        """We are about to give the PF this token: `set_by_us`, `not_set` or `doubt` tells what came of it. `way`: a `TokenWay`."""
        with self._lock:
            binding, before = self._binding(pf), self._bindings.get(pf)
            if None not in (binding, before) and binding != before:
                self._bound(pf, binding, now, "rebound")
            self._bindings[pf] = binding
        self._note("BEGUN", pf, token.fingerprint, now, way)

    def set_by_us(self, pf: str, token: Token, now: float) -> None:
        """We set this token."""
        with self._lock:
            self._touch(pf)
            self._tokens[pf] = token
            self._known[pf] = TokenKnowledge(pf, TokenState.SET, token.fingerprint, now)
            self._cleared[pf] = self._holders.get(pf, frozenset())
        self._note("SET", pf, token.fingerprint, now)

    def not_set(self, pf: str, token: Token, now: float) -> None:
        """The kernel refused before it set anything."""
        self._note("UNCHANGED", pf, token.fingerprint, now)

    def proved(self, pf: str, token: Token, now: float) -> None:
        """An open that needs the PF's token succeeded with this one, or the kernel was asked and said that it is right."""
        with self._lock:
            same, known = self.believes(pf, token), self._known.get(pf)
            self._touch(pf)
            self._tokens[pf] = token
            self._cleared[pf] = self._holders.get(pf, frozenset())
            if known is not None and same:
                kept = replace(known, state=TokenState.SET, suspects=(), begun="", confirmed=now)
            else:
                kept = TokenKnowledge(pf, TokenState.SET, token.fingerprint, now, proved=True, confirmed=now)
            self._known[pf] = kept
        self._note("CONFIRMED", pf, token.fingerprint, now)

    def wrong(self, pf: str, token: Token, now: float) -> None:
        """The kernel refused this token, or said that it is wrong: if it was thought to be in force, it is not."""
        if self.believes(pf, token):
            self.doubt(pf, now)

    def believes(self, pf: str, token: Token) -> bool:
        """Whether this token is, or may be, the one in force, by all that is known."""
        with self._lock:
            known, kept = self._known.get(pf), self._tokens.get(pf)
            if known is None or known.fingerprint != token.fingerprint:
                return False
            # where the token itself is at hand, it is compared: others may have the same fingerprint
            return kept is None or kept.fingerprint != known.fingerprint or kept == token

    def token(self, pf: str) -> Token | None:
        """The token we set, while it is believed to be in force."""
        with self._lock:
            return self._tokens.get(pf)

    def doubt(self, pf: str, now: float = 0.0) -> None:
        """What we knew of the token need not be true any more."""
        with self._lock:
            self._touch(pf)
            known = self._known.get(pf)
            self._forget(pf)
            self._known[pf] = TokenKnowledge(pf, TokenState.UNKNOWN)
        self._note("WITHDRAWN", pf, known.fingerprint if known else "", now)

    # -- what follows ------------------------------------------------------------------------------------------------
    def _see(self, pf: str, guarded: bool, binding: int | None, now: float) -> None:
        """A look at the PF: is it on vfio-pci, and still the same binding?"""
        before, bound = self._seen.get(pf), self._bindings.get(pf)
        if not guarded:
            self._lose(pf, "unbound")
            self._known[pf] = TokenKnowledge(pf, TokenState.NONE)
            self._seen[pf] = False
        elif before is None:
            self._known.setdefault(pf, TokenKnowledge(pf, TokenState.UNKNOWN))
        elif not before:
            self._bound(pf, binding, now, "unbound")
        elif bound is not None and binding not in (None, bound):
            self._bound(pf, binding, now, "rebound")
        self._seen[pf] = guarded
        self._bindings[pf] = binding

    def _hear(self, pf: str) -> None:
        """What the journal tells of the PF's token beyond what we know ourselves."""
        binding = self._bindings.get(pf)
        if self._journal is None or binding is None or not self._seen[pf]:
            return
        known = self._known[pf]
        if not known.lost and known.state is not TokenState.SET:
            lost, how = self._journal.lost(pf, binding)
            self._known[pf] = known = replace(known, lost=lost, lost_by=how)
        told = self._journal.told(pf, binding)
        if told is not None and told != self._told.get(pf) and not self._journal.unwritten:
            self._believe(pf, told, self._journal.run)
        self._hear_of_the_living(pf, told, self._journal)

    def _believe(self, pf: str, told: Told, run: str) -> None:
        """The journal has something new to say. `run`: ours."""
        known = self._known[pf]
        self._told[pf] = told
        if told.last.run != run:
            if told.in_force is None or told.in_force.run != run:
                known = _as_told(pf, told, known)
                self._cleared[pf] = told.in_force.accounted_for if told.in_force else frozenset()
                if pf in self._tokens and self._tokens[pf].fingerprint != known.fingerprint:
                    del self._tokens[pf]
            elif told.last.event == "confirmed":  # our own token, by another run
                known = replace(known, state=TokenState.SET, suspects=(), confirmed=told.confirmed)
                self._cleared[pf] = told.last.accounted_for
        begun = next((entry.fingerprint for entry in reversed(told.begun) if entry.run != run), "")
        if begun:
            known = replace(known, state=TokenState.UNKNOWN, begun=begun)
        elif known.begun:  # that one is over, and nothing came of it
            settled = known.fingerprint and not known.suspects
            known = replace(known, state=TokenState.SET if settled else known.state, begun="")
        self._known[pf] = known

    def _hear_of_the_living(self, pf: str, told: Told | None, journal: Journal) -> None:
        """Whether the one that began to set another token is still about to."""
        known = self._known[pf]
        begun = told.begun if told and known.begun else ()
        setting = any(journal.lives(e.run) is True for e in begun if e.fingerprint == known.begun)
        if setting != known.setting:
            self._known[pf] = replace(known, setting=setting)

    def _with_events(self, pf: str) -> TokenKnowledge:
        """What is known of the PF's token, with what happened to it."""
        known, binding, noted = self._known[pf], self._bindings.get(pf), self._noted.get(pf)
        events: tuple[TokenEvent, ...] = ()
        if known.state is TokenState.NONE:
            return known
        if self._journal is not None and binding is not None:
            events = self._journal.past(pf, binding)
        elif noted:
            from vfdeck.backend.past import past

            events = past(noted, "")
        return replace(known, events=events) if events else known

    def _suspect(self, pf: str, holders: list[Holder], now: float) -> None:
        """Whoever holds the PF and did not when its token was set may have set another one.

        Also one that carries the same token: that is told, but what a program shows of itself proves nothing.
        """
        self._holders[pf] = frozenset((holder.pid, holder.ticks) for holder in holders)
        known = self._known[pf]
        if known.state is TokenState.NONE:
            return
        suspects = {(suspect.pid, suspect.program): suspect for suspect in known.suspects}
        for holder in holders:
            carried = holder.tokens[0] if len(holder.tokens) == 1 else ""  # of several nothing tells which it brought
            cleared = (holder.pid, holder.ticks) in self._cleared.get(pf, ())
            if (holder.pid, holder.program) in suspects or cleared:
                continue
            suspects[holder.pid, holder.program] = Suspect(holder.program, holder.pid, holder.since or now, carried)
        if len(suspects) > len(known.suspects):
            self._known[pf] = replace(known, state=TokenState.UNKNOWN, suspects=tuple(suspects.values())[-SUSPECTS:])

    def _bound(self, pf: str, binding: int | None, now: float, how: str) -> None:
        self._lose(pf, how)
        lost, lost_by = self._lost.get(pf, ("", ""))
        self._known[pf] = TokenKnowledge(pf, TokenState.UNSET, since=now, lost=lost, lost_by=lost_by)
        self._seen[pf] = True
        self._bindings[pf] = binding

    def _touch(self, pf: str) -> None:
        self._moment += 1
        self._touched[pf] = self._moment

    def _lose(self, pf: str, how: str) -> None:
        """The PF's token went with its binding."""
        known = self._known.get(pf)
        if known is not None and known.state is TokenState.SET:
            self._lost[pf] = known.fingerprint, how
        self._forget(pf)
        self._noted.pop(pf, None)

    def _forget(self, pf: str) -> None:
        for memory in (self._known, self._tokens, self._cleared, self._told):
            memory.pop(pf, None)

    def _note(self, event: str, pf: str, fingerprint: str, now: float, way: str = "") -> None:
        """Into the journal, outside of the lock: the disk may take its time."""
        from vfdeck.backend.entries import Entry, Event

        with self._lock:
            binding, holders = self._bindings.get(pf), self._holders.get(pf, frozenset())
            self._noted.setdefault(pf, []).append(Entry(Event[event], pf, binding, fingerprint, now, "", way=way))
        if self._journal is not None:
            self._journal.note(Event[event], pf, fingerprint, now, binding, holders, way)


def _as_told(pf: str, told: Told, known: TokenKnowledge) -> TokenKnowledge:
    """Knowledge that is the journal's alone."""
    entry = told.in_force
    if entry is None:
        return TokenKnowledge(pf, TokenState.UNKNOWN, lost=known.lost, lost_by=known.lost_by)
    return TokenKnowledge(
        pf,
        TokenState.SET,
        entry.fingerprint,
        entry.time,
        proved=entry.event == "confirmed",
        by=entry.by,
        earlier=True,
        confirmed=told.confirmed,
    )
