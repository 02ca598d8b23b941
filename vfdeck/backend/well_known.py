"""Tokens that everybody knows, with where they stand (`well_known.toml`)."""

from __future__ import annotations

import functools
import uuid
from dataclasses import dataclass

from vfdeck.backend.tables import table
from vfdeck.backend.token import Token

#: The entry of the catalogue for the all-zero token; any other is a public one like the others.
NIL = "D14"
_FEW = 5


@dataclass(frozen=True, slots=True)
class WellKnown:
    """A token that everybody knows; itself it is not in here, since what is shown of one is its fingerprint."""

    fingerprint: str
    source: str  # the document or program
    where: str  # the place in it
    entry: str  # of the catalogue

    @property
    def words(self) -> str:
        """Why it is no secret, as a clause."""
        if self.entry == NIL:
            return "it is all zero: DPDK and QEMU take it for none, and it is everybody's first guess"
        return f"it stands in public documentation ({self.source})"


def well_known(token: Token) -> WellKnown | None:
    """What is publicly known of a token; None: nothing that is known here."""
    return by_fingerprint(token.fingerprint)


def is_guessable(token: Token) -> bool:
    """Whether a token has so few different digits that somebody thought it up: of random ones, one in 10**15 has."""
    return len(set(token.reveal().hex())) < _FEW


def by_fingerprint(fingerprint: str) -> WellKnown | None:
    """The same for a token of which only the fingerprint is there."""
    return _all().get(fingerprint)


@functools.cache
def _all() -> dict[str, WellKnown]:
    found = {}
    for entry in table("vfdeck.backend", "well_known")["token"]:
        fingerprint = Token(uuid.UUID(entry["value"]).bytes).fingerprint
        found[fingerprint] = WellKnown(fingerprint, entry["source"], entry["where"], entry["entry"])
    return found
