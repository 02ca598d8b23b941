"""Whole conversations go as they are written down (`tests/agent/transcripts.py`); every method and every error is in one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.agent.transcripts import play, transcripts
from vfdeck.backend.agent.idl import SERVICE_TEXT, text

EVERYTHING = "\n".join(path.read_text(encoding="utf-8") for path in transcripts())


@pytest.mark.parametrize("path", transcripts(), ids=lambda path: path.stem)
def test_a_conversation_goes_as_it_is_written_down(path: Path) -> None:
    written = path.read_text(encoding="utf-8")
    assert play(written) == written, "where that is right: python -m tests.agent.transcripts"


@pytest.mark.parametrize("kind", ["method", "error"])
@pytest.mark.parametrize(
    ("interface", "about"), [("io.vfdeck.Agent", text()), ("org.varlink.service", SERVICE_TEXT)], ids=["ours", "service"]
)
def test_every_method_and_error_is_in_one(kind: str, interface: str, about: str) -> None:
    names = set(re.findall(rf"^{kind} (\w+)", about, re.MULTILINE)) - {"MethodNotImplemented"}  # of ours none is
    assert names
    assert {name for name in names if f'"{kind}": "{interface}.{name}"' not in EVERYTHING} == set()
