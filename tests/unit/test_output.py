"""What commands print reaches any standard output."""

from __future__ import annotations

import io
import json
import sys

import pytest

from vfdeck.app.commands import output

TEXT = "é … 日 \U0001f600"


def test_json_is_ascii_whatever_the_locale(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii", write_through=True))
    output.write(json.dumps({"name": TEXT}, ensure_ascii=False))
    assert raw.getvalue().isascii()
    assert json.loads(raw.getvalue()) == {"name": TEXT}


def test_lines_have_question_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii", write_through=True))
    output.write_lines(["x", TEXT])
    assert raw.getvalue() == b"x\n? ? ? ?\n"
