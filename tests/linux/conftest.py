"""Fixtures of the tests of the real kernel's files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.linux.fabricated import Proc
from vfdeck.backend.linux import holdings
from vfdeck.backend.linux.reads import GuardedReader, Node


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Proc:
    """A root directory with a /proc and the classes of vfio. Its files are not on the mounts that it tells of."""
    really = holdings._node

    def ask(reader: GuardedReader, path: str, mounts: list[bytes]) -> Node | os.stat_result:
        return os.stat(path) if path.startswith(str(tmp_path)) else really(reader, path, mounts)

    monkeypatch.setattr(holdings, "_node", ask)
    return Proc(tmp_path)
