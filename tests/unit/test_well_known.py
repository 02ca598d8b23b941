"""Tokens that everybody knows: each with a source and an entry, and told for what it is."""

from __future__ import annotations

import tomllib
import uuid
from importlib.resources import files

import pytest

from tests.values import FLEET, PF
from vfdeck.backend.catalogue import entries
from vfdeck.backend.changes import Open, SetToken
from vfdeck.backend.plan import plan
from vfdeck.backend.token import Token
from vfdeck.backend.well_known import by_fingerprint, well_known

TOKENS = tomllib.loads(files("vfdeck.backend").joinpath("well_known.toml").read_text(encoding="utf-8"))["token"]
NIL = "00000000-0000-0000-0000-000000000000"


@pytest.mark.parametrize("entry", TOKENS, ids=lambda entry: entry["value"])
def test_each_has_a_value_a_source_and_an_entry(entry: dict[str, str]) -> None:
    assert entry.keys() == {"value", "source", "where", "entry"}
    assert all(entry.values())
    assert str(uuid.UUID(entry["value"])) == entry["value"]
    assert entry["entry"] in {known.id for known in entries()}
    assert (entry["entry"] == "D14") == (entry["value"] == NIL)
    known = well_known(Token.parse(entry["value"]))
    assert known is not None
    assert (known.source, known.where, known.entry) == (entry["source"], entry["where"], entry["entry"])
    assert by_fingerprint(known.fingerprint) == known


def test_none_stands_there_twice() -> None:
    assert len({entry["value"] for entry in TOKENS}) == len(TOKENS)


def test_others_are_nobody_s_business() -> None:
    assert well_known(Token.generate()) is None
    assert by_fingerprint("") is None


@pytest.mark.parametrize("kind", [SetToken, Open])
@pytest.mark.parametrize(
    ("text", "words"),
    [
        (NIL, "it is all zero: DPDK and QEMU take it for none"),
        ("14d63f20-8445-11ea-8900-1f9ce7d5650d", "it stands in public documentation (the DPDK documentation)"),
    ],
)
def test_plans_warn_of_them(kind: type[SetToken | Open], text: str, words: str) -> None:
    warnings = " ".join(plan(kind(PF, Token.parse(text)), FLEET).warnings)
    assert f"this token is no secret: {words}" in warnings
    assert ("public documentation" in warnings) == (text != NIL)
